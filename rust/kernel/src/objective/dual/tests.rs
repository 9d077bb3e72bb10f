//! The dual form against the path with weights of its own, which steps of their own for each parameter always take.

use crate::network::activation::{ACTIVATIONS, Activation};
use crate::network::architecture::Architecture;
use crate::network::loss::{LOSSES, Loss};
use crate::objective::clusters::Clusters;
use crate::objective::evaluate;
use crate::objective::setting::{ExtraOutputs, Objective};
use crate::objective::setting::{Inner, StepSize};
use crate::system::random::Random;
use crate::system::threads::Threads;

const SIZES: [usize; 4] = [1, 2, 3, 5];

/// R_k and its gradient in either form.
fn both_forms(net: &Architecture, loss: Loss, alpha: f64, steps: usize, first_order: bool) -> [(f64, Vec<f64>); 2] {
    let rows: usize = SIZES.iter().sum();
    let mut random = Random::new(steps as u64, "dual", 0);
    let mut draw = |n: usize, scale: f64| -> Vec<f64> { (0..n).map(|_| scale * random.normal()).collect() };
    let x = draw(rows * net.n_inputs(), 1.0);
    let weights: Vec<f64> = draw(rows, 1.0).iter().map(|w| 0.5 + w.abs()).collect();
    let y: Vec<f64> = match loss {
        Loss::Squared | Loss::Huber { .. } | Loss::Quantile { .. } | Loss::Linear => draw(rows * net.n_outputs(), 1.0),
        Loss::CrossEntropy => vec![1.0 / net.n_outputs() as f64; rows * net.n_outputs()],
        Loss::Softmax => (0..rows).map(|i| (i % net.n_outputs()) as f64).collect(),
        Loss::Logistic | Loss::Poisson => (0..rows * net.n_outputs()).map(|i| (i % 2) as f64).collect(),
    };
    let theta = draw(net.n_parameters(), 0.1);
    let offsets: Vec<usize> = (0..=SIZES.len()).map(|c| SIZES[..c].iter().sum()).collect();
    let data = Clusters {
        x: &x,
        y: &y,
        offsets: &offsets,
        weights: Some(&weights),
        n_support: None,
        cluster_weights: None,
        precision: None,
    };
    let rate = 0.05;
    [StepSize::Common(rate), StepSize::PerParameter(vec![rate; net.n_parameters()])].map(|step_size| {
        let inner = Inner { steps, step_size, momentum: 0.0, head_only: false, first_order };
        let objective = Objective { loss, alpha, inner, skip_diverged: false };
        let found = evaluate(net, &theta, &data, None, &objective, ExtraOutputs::default(), Threads::serial()).unwrap();
        (found.value, found.gradient)
    })
}

#[test]
fn is_chosen_for_few_rows_of_wide_networks() {
    let layout = |hidden: &[usize]| {
        crate::network::layout::Layout::new::<f64>(&Architecture::new(3, hidden, 1, Activation::Tanh).unwrap())
    };
    assert!(SIZES.iter().all(|&rows| super::pays(&layout(&[100, 70, 33]), rows, 1)));
    assert!(!super::pays(&layout(&[64, 64]), 50, 1));
    assert!(!super::pays(&layout(&[]), 1, 1) && !super::pays(&layout(&[64, 64]), 1, 0));
}

#[test]
fn agrees_with_weights_of_its_own() {
    for (_, activation) in ACTIVATIONS {
        for ((_, loss), n_outputs) in LOSSES.into_iter().zip([1, 2, 5, 3].into_iter().cycle()) {
            for hidden in [&[90][..], &[64, 48], &[100, 70, 33]] {
                let net = Architecture::new(3, hidden, n_outputs, activation).unwrap();
                for (steps, alpha, first_order) in [(1, 0.3, false), (2, 0.0, false), (4, 0.6, false), (3, 0.3, true)] {
                    let [(value, dual), (expected, primal)] = both_forms(&net, loss, alpha, steps, first_order);
                    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let error: Vec<f64> = dual.iter().zip(&primal).map(|(a, b)| a - b).collect();
                    // Rounding of sums of a few hundred terms.
                    assert!((value - expected).abs() <= 1e-13 * expected.abs());
                    assert!(norm(&error) <= 1e-12 * norm(&primal), "{activation:?} {loss:?} {hidden:?} k {steps}");
                }
            }
        }
    }
}
