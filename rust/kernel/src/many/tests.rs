//! The trainer of many models, on every instruction set and beside closed forms. The numbers themselves are compared with
//! PyTorch's from Python.

use super::*;
use crate::network::activation::Activation;
use crate::network::architecture::Architecture;
use crate::network::loss::Loss;
use crate::optimizer::{Decay, Optimizer, Penalties, Rule};
use crate::system::random::Random;

const ROWS: usize = 41;

fn optimizer(learning_rate: f64) -> Optimizer {
    Optimizer { rule: Rule::Sgd { momentum: 0.9, nesterov: false }, learning_rate, ..Optimizer::default() }
}

fn plain(hidden: &[usize], activation: Activation) -> Spec {
    Spec {
        architecture: Architecture::new(6, hidden, 3, activation).expect("valid widths"),
        loss: Loss::Softmax,
        optimizer: optimizer(0.05),
        batch_size: Some(16),
        replacement: false,
        length: Length::Steps(12),
        seed: 3,
        dropout: None,
        batch_norm: None,
        smoothing: None,
        input_noise: 0.0,
        mixup: None,
        shifts: None,
        early_stopping: None,
    }
}

/// Everything at once.
fn rich(hidden: &[usize], activation: Activation, by_row: bool) -> Spec {
    Spec {
        dropout: Some(Dropout { rates: vec![0.3; hidden.len()], inputs: 0.2, by_row }),
        batch_norm: Some(BatchNorm { momentum: 0.2, epsilon: 1e-3 }),
        smoothing: Some(Smoothing { epsilon: 0.1, uniform: by_row }),
        input_noise: 0.1,
        mixup: Some(0.6),
        shifts: Some(Shifts { shape: [2, 3], offsets: vec![-1, 1], probability: 0.5 }),
        early_stopping: Some(EarlyStopping { patience: 5, every: 2, min_delta: 0.0 }),
        ..plain(hidden, activation)
    }
}

struct Data {
    x: Vec<f64>,
    y: Vec<f64>,
    theta: Vec<f64>,
}

fn data(spec: &Spec) -> Data {
    let mut random = Random::new(1, "test data", 0);
    let mut normal = |n: usize, scale: f64| (0..n).map(|_| scale * random.normal()).collect::<Vec<_>>();
    let (x, theta) = (normal(6 * ROWS, 1.0), normal(spec.architecture.n_parameters(), 0.3));
    Data { x, y: (0..ROWS).map(|i| (i % 3) as f64).collect(), theta }
}

fn task<'a>(spec: &'a Spec, data: &'a Data) -> Task<'a, f64> {
    let of = Rows { x: &data.x, y: &data.y, n_rows: ROWS };
    let train = Selection { of, rows: None, weights: None };
    Task { spec, theta: &data.theta, train, batches: None, held_out: Some(train), test: None }
}

fn trained(backend: Backend, task: &Task<'_, f64>, recording: &Recording) -> Outcome<f64> {
    task.validate(recording).expect("a valid model");
    let found = with_isa!(backend, isa => training::train(isa, task, recording, Threads::serial()));
    found.expect("nobody interrupts")
}

/// Widths below, at and beyond a register, and with padding; sums in another order differ by rounding, which twelve steps
/// of size 0.05 with momentum enlarge a little.
#[test]
fn every_instruction_set_agrees() {
    for activation in [Activation::Tanh, Activation::Softplus, Activation::Relu] {
        for hidden in [&[][..], &[5], &[16, 3], &[64, 70]] {
            for spec in [plain(hidden, activation), rich(hidden, activation, false), rich(hidden, activation, true)] {
                let data = data(&spec);
                let recording = Recording { when: When::Every(4), losses: true, ..Recording::default() };
                let expected = trained(Backend::Portable(pulp::Scalar), &task(&spec, &data), &recording);
                for backend in Backend::available() {
                    let found = trained(backend, &task(&spec, &data), &recording);
                    let both = found
                        .theta
                        .iter()
                        .zip(&expected.theta)
                        .chain(found.batch_norm.iter().zip(&expected.batch_norm));
                    let apart = both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    assert!(apart < 1e-11, "{} apart by {apart:e}: {spec:?}", backend.name());
                    assert_eq!((found.n_steps, found.best_step), (expected.n_steps, expected.best_step));
                }
            }
        }
    }
}

/// Without hidden layers and with squared loss, full-batch descent follows θ ← θ − 2η(Aθ − b)/n.
#[test]
fn a_linear_model_follows_its_normal_equations() {
    let architecture = Architecture::new(2, &[], 1, Activation::Identity).expect("valid widths");
    let rule = Rule::Sgd { momentum: 0.0, nesterov: false };
    let optimizer = Optimizer { rule, ..optimizer(0.1) };
    let spec = Spec { architecture, loss: Loss::Squared, optimizer, batch_size: None, ..plain(&[], Activation::Tanh) };
    let mut random = Random::new(2, "test data", 0);
    let x: Vec<f64> = (0..2 * ROWS).map(|_| random.normal()).collect();
    let y: Vec<f64> = (0..ROWS).map(|_| random.normal()).collect();
    let of = Rows { x: &x, y: &y, n_rows: ROWS };
    let train = Selection { of, rows: None, weights: None };
    let theta = [0.3, -0.2, 0.1];
    let found = trained(
        Backend::detect(),
        &Task { spec: &spec, theta: &theta, train, batches: None, held_out: None, test: None },
        &Recording::default(),
    );
    let mut expected = theta;
    for _ in 0..12 {
        let mut gradient = [0.0; 3];
        for (x, y) in x.chunks_exact(2).zip(&y) {
            let row = [x[0], x[1], 1.0];
            let residual = row.iter().zip(&expected).map(|(a, b)| a * b).sum::<f64>() - y;
            gradient.iter_mut().zip(row).for_each(|(g, a)| *g += 2.0 * residual * a / ROWS as f64);
        }
        expected.iter_mut().zip(gradient).for_each(|(to, g)| *to -= 0.1 * g);
    }
    let apart = found.theta.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-14, "{apart:e}");
    assert_eq!(found.loss_curve.len(), 12);
}

#[test]
fn faults_name_the_model() {
    let (good, mut bad) = (plain(&[3], Activation::Tanh), plain(&[3], Activation::Tanh));
    bad.dropout = Some(Dropout { rates: vec![0.1, 0.2], inputs: 0.0, by_row: false });
    let data = data(&good);
    let tasks = [task(&good, &data), task(&bad, &data)];
    let fault = fit_many(&tasks, &Recording::default(), Threads::serial(), |_, _| panic!("no work is done"));
    let expected = KernelError::Length { what: "dropout rates", got: 2, needed: 1 };
    assert_eq!(fault, Err(KernelError::Model { index: 1, fault: Box::new(expected) }));
    let rows = [0, 41];
    let train = Selection { rows: Some(&rows), ..tasks[0].train };
    let fault = Task { train, ..tasks[0] }.validate(&Recording::default());
    assert_eq!(fault, Err(KernelError::Row { index: 41, n_rows: 41 }));
}

#[test]
fn a_stop_leaves_at_once() {
    let spec = Spec { length: Length::Steps(u64::MAX), ..plain(&[3], Activation::Tanh) };
    let data = data(&spec);
    let stop = std::sync::atomic::AtomicBool::new(true);
    let threads = Threads::serial().with_stop(&stop);
    let found = fit_many(&[task(&spec, &data)], &Recording::default(), threads, |_, _| panic!("nothing is done"));
    assert_eq!(found, Err(KernelError::Interrupted));
}

/// A wide model that is alone shares its products with other threads, and its bits are those of one thread.
#[test]
#[cfg_attr(slow, ignore = "large")]
fn a_wide_model_has_the_same_bits_on_any_number_of_threads() {
    let spec = Spec { length: Length::Steps(2), ..plain(&[700, 700], Activation::Tanh) };
    let data = data(&spec);
    let on = |n_threads| {
        let helpers = crate::system::pools::pool(n_threads).unwrap();
        let threads = Threads::with_pool(helpers.as_deref());
        let found = std::sync::Mutex::new(None);
        let deliver = |_, outcome: Outcome<f64>| *found.lock().unwrap() = Some(outcome.theta);
        fit_many(&[task(&spec, &data)], &Recording::default(), threads, deliver).unwrap();
        found.into_inner().unwrap().unwrap()
    };
    assert!(on(1) == on(2) && on(1) == on(5));
}

/// Plain descent moves by rate · steps · mean applied gradient; what is recorded changes nothing, on any instruction set.
#[test]
fn intervals_say_how_far_descent_has_moved() {
    let rule = Rule::Sgd { momentum: 0.0, nesterov: false };
    let decay = Decay { strength: 0.2, biases: false };
    let penalties = Penalties { coupled: decay, ..Penalties::default() };
    for hidden in [&[][..], &[5], &[64, 70]] {
        for optimizer in [Optimizer { rule, ..optimizer(0.05) }, Optimizer { rule, penalties, ..optimizer(0.05) }] {
            let spec = Spec { optimizer, ..plain(hidden, Activation::Tanh) };
            let data = data(&spec);
            let recording = Recording { when: When::Every(5), thetas: true, intervals: true, ..Recording::default() };
            for backend in Backend::available() {
                let found = trained(backend, &task(&spec, &data), &recording);
                assert_eq!(found.theta, trained(backend, &task(&spec, &data), &Recording::default()).theta);
                let Recorded { steps, thetas, applied_gradients, .. } = &found.recorded;
                let n = data.theta.len();
                for (line, pair) in steps.windows(2).enumerate() {
                    let [before, after] = [line, line + 1].map(|line| &thetas[line * n..(line + 1) * n]);
                    let means = &applied_gradients[(line + 1) * n..(line + 2) * n];
                    let far = 0.05 * (pair[1] - pair[0]) as f64;
                    let moves = before.iter().zip(after).zip(means).map(|((a, b), g)| (a - b - far * g).abs());
                    let apart = moves.fold(0.0, f64::max);
                    assert!(apart < 1e-14, "{} apart by {apart:e}: {spec:?}", backend.name());
                }
            }
        }
    }
}

#[test]
fn given_batches_are_checked() {
    let spec = plain(&[3], Activation::Tanh);
    let data = data(&spec);
    let of = |rows: &[i64], offsets: &[usize]| {
        let batches = Some(Batches { rows, offsets });
        Task { batches, ..task(&spec, &data) }.validate(&Recording::default())
    };
    assert_eq!(of(&[0, 40, 3], &[0, 1, 3]), Ok(()));
    assert_eq!(of(&[0, 41], &[0, 2]), Err(KernelError::Row { index: 41, n_rows: 41 }));
    assert_eq!(of(&[-1, 4], &[0, 2]), Err(KernelError::Row { index: -1, n_rows: 41 }));
    for offsets in [&[][..], &[0], &[0, 1], &[1, 2], &[0, 2, 2], &[0, 3, 2], &[0, 3]] {
        assert!(matches!(of(&[0, 1], offsets), Err(KernelError::Offsets { .. })), "{offsets:?}");
    }
    let rows = [0, 1, 2];
    let train = Selection { rows: Some(&rows), ..task(&spec, &data).train };
    let batches = Some(Batches { rows: &rows, offsets: &[0, 3] });
    assert!(Task { train, batches, ..task(&spec, &data) }.validate(&Recording::default()).is_err());
    let weights: [f64; ROWS] = std::array::from_fn(|row| if row == 2 { 0.0 } else { 1.0 });
    let train = Selection { weights: Some(&weights), ..task(&spec, &data).train };
    assert!(Task { train, batches, ..task(&spec, &data) }.validate(&Recording::default()).is_err());
}

/// Two kinds of rows by turns, so that means and variances are known: half a million rows one after the other would be off
/// by half a percent and more, runs of 4096 are by 4096 roundings at most.
#[test]
fn batch_normalization_of_very_many_rows() {
    const MANY: usize = 500_000;
    let bound = f64::from(f32::EPSILON) / 2.0 * 4100.0;
    let architecture = Architecture::new(1, &[1], 1, Activation::Tanh).expect("valid widths");
    let layout = crate::network::layout::Layout::new::<f32>(&architecture);
    let cols = layout.hidden[0].stride;
    let by_turns = |even: f32, odd: f32| -> Vec<f32> {
        (0..MANY * cols).map(|at| if (at / cols).is_multiple_of(2) { even } else { odd }).collect()
    };
    let (mut z, mut delta, mut into) = (by_turns(3.3, 2.9), by_turns(0.3, 0.1), vec![0.0; 2 * cols]);
    let (ones, zeros) = (vec![1.0; cols], vec![0.0; cols]);
    let kept = BatchNorm { momentum: 1.0, epsilon: 0.0 };
    let mut normalization = batch_norm::Normalization::<f32>::new(kept, &layout, MANY).expect("memory");
    let matrix = |numbers: &mut Vec<f32>| crate::dense::Matrix { at: numbers.as_mut_ptr(), stride: cols };
    with_isa!(Backend::detect(), isa => {
        let processor = crate::dense::Processor::steady(isa);
        // SAFETY: both hold as many rows of the layer's padded width.
        unsafe {
            normalization.forward(processor, (0, MANY, cols), matrix(&mut z), [&ones, &zeros]);
            normalization.backward(processor, (0, MANY, cols), matrix(&mut delta), &ones, &mut into);
        }
    });
    let n = MANY as f64;
    // Mean, variance (of numbers 0.2 from the mean of 3.1), Σ δ·normal and Σ δ.
    let found = [normalization.means[0][0], normalization.variances[0][0], into[0], into[cols]];
    for (found, expected) in found.into_iter().zip([3.1, 0.04 * n / (n - 1.0), 0.1 * n, 0.2 * n]) {
        let error = (f64::from(found) / expected - 1.0).abs();
        assert!(error < bound, "{found} is off by {error:e}");
    }
}
