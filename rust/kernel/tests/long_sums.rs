//! Sums over a million rows in f32: the rows are all alike, so that every mean is known from one row, and every addition
//! rounds the same way. One after the other they would be off by a percent.

use rfp_kernel::many::{Dropout, Length, Recording, Rows, Selection, Spec, Task, When, fit_many};
use rfp_kernel::particles::{self, Particles};
use rfp_kernel::{
    Activation, Architecture, Clusters, ExtraOutputs, Loss, Objective, Precision, PrecisionBlock, Random, Threads,
    evaluate, hessian_vector, pool,
};

use crate::common::distance;
use crate::common::problems::plain;

const ROWS: usize = 1_000_000;
const X: [f64; 2] = [0.75, 0.3125];
const Y: f64 = -1.375;
const UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// One row's gradient in f32: a few dozen operations.
const ONE_ROW: f64 = 32.0 * UNIT;
/// Terms of a part, parts of a run, and chunks of a cluster whose rows are split over threads.
const PARTED: f64 = (512 + 64 + 32) as f64 * UNIT + ONE_ROW;
/// Terms of a run that is summed in one go, and its part of what is lost beyond.
const WHOLE: f64 = (4096 + 4) as f64 * UNIT + ONE_ROW;

fn net() -> Architecture {
    Architecture::new(2, &[5], 1, Activation::Tanh).expect("valid widths")
}

fn normals(purpose: &str, n: usize) -> Vec<f64> {
    let mut random = Random::new(0, purpose, 0);
    (0..n).map(|_| f64::from(random.normal() as f32)).collect()
}

fn narrow(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&x| x as f32).collect()
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&x| f64::from(x)).collect()
}

fn clusters<'a, T>(x: &'a [T], y: &'a [T], offsets: &'a [usize]) -> Clusters<'a, T> {
    Clusters { x, y, offsets, weights: None, n_support: None, cluster_weights: None, precision: None }
}

fn objective(alpha: f64) -> Objective {
    Objective { loss: Loss::Squared, alpha, inner: plain(1, 0.25), skip_diverged: false }
}

/// Value, gradients with and without adaptation, and a Hessian product, of one row in f64.
fn of_one_row() -> (f64, [Vec<f64>; 3]) {
    let (theta, v) = (normals("theta", net().n_parameters()), normals("v", net().n_parameters()));
    let (y, data) = ([Y], [0, 1]);
    let data = clusters(&X, &y, &data);
    let [adapted, bare] = [0.0, 1.0].map(|alpha| {
        let found =
            evaluate(&net(), &theta, &data, None, &objective(alpha), ExtraOutputs::default(), Threads::serial());
        found.unwrap()
    });
    let product = hessian_vector(&net(), &theta, &v, &data, Loss::Squared, Threads::serial()).unwrap();
    (bare.value, [adapted.gradient, bare.gradient, product])
}

#[track_caller]
fn near(found: &[f32], expected: &[f64], bound: f64, what: &str) {
    let error = distance(&wide(found), expected, 0.0);
    assert!(error < bound, "{what} is off by {error:e}, allowed {bound:e}");
}

/// One cluster, whose rows are split over threads, and seventeen, none of which is.
#[test]
fn of_clusters() {
    let (value, [adapted, bare, product]) = of_one_row();
    let (theta, v) = (narrow(&normals("theta", bare.len())), narrow(&normals("v", bare.len())));
    let (x, y) = (narrow(&X).repeat(ROWS), vec![Y as f32; ROWS]);
    let pool = pool(2).unwrap();
    let threads = Threads::with_pool(pool.as_deref());
    for count in [1, 17] {
        let offsets: Vec<usize> = (0..=count).map(|c| c * ROWS / count).collect();
        let data = clusters(&x, &y, &offsets);
        for (alpha, expected) in [(0.0, &adapted), (1.0, &bare)] {
            let found = evaluate(&net(), &theta, &data, None, &objective(alpha), ExtraOutputs::default(), threads);
            let found = found.unwrap();
            // A gradient of a gradient: both are sums.
            let bound = if alpha == 0.0 { 4.0 * PARTED } else { PARTED };
            near(&found.gradient, expected, bound, &format!("the gradient of {count} clusters, alpha {alpha},"));
            let error = (found.value / value - 1.0).abs();
            // f64 between parts.
            assert!(alpha == 0.0 || error < 512.0 * UNIT + ONE_ROW, "the loss of {count} clusters is off by {error:e}");
        }
        let found = hessian_vector(&net(), &theta, &v, &data, Loss::Squared, threads).unwrap();
        near(&found, &product, PARTED, &format!("the Hessian product of {count} clusters"));
    }
}

/// Clusters with a matrix are not split; with the identity the gradient is the ordinary one.
#[test]
fn of_a_cluster_with_a_precision() {
    const FEW: usize = 100_000;
    let (_, [_, bare, _]) = of_one_row();
    let theta = narrow(&normals("theta", bare.len()));
    let (x, y) = (narrow(&X).repeat(FEW), vec![Y as f32; FEW]);
    let identity = PrecisionBlock::LowRank { diagonal: vec![1.0; FEW], factor: vec![0.0; FEW], rank: 1 };
    let precision = Precision::new(vec![identity]).unwrap();
    let data = Clusters { precision: Some(&precision), ..clusters(&x, &y, &[0, FEW]) };
    let objective = Objective { inner: plain(0, 0.25), ..objective(1.0) };
    let found = evaluate(&net(), &theta, &data, None, &objective, ExtraOutputs::default(), Threads::serial());
    near(&found.unwrap().gradient, &bare, PARTED, "the gradient");
}

/// Full-batch steps, by the kernel's own passes and layer by layer.
#[test]
fn of_a_full_batch() {
    let (value, [_, bare, _]) = of_one_row();
    let theta = narrow(&normals("theta", bare.len()));
    let (x, y) = (narrow(&X).repeat(ROWS), vec![Y as f32; ROWS]);
    // Nothing is dropped, so that the gradient is known.
    let dropout = Dropout { rates: vec![0.0], inputs: 0.0, by_row: false };
    let by_layer = Spec { length: Length::Steps(1), ..Spec::untrained(net(), Loss::Squared, dropout, 0) };
    let by_pass = Spec { dropout: None, ..by_layer.clone() };
    for (spec, bound) in [(&by_pass, PARTED), (&by_layer, WHOLE)] {
        let train = Selection { of: Rows { x: &x, y: &y, n_rows: ROWS }, rows: None, weights: None };
        let task = Task { spec, theta: &theta, train, batches: None, held_out: None, test: None };
        let recording = Recording { when: When::Every(1), intervals: true, ..Recording::default() };
        let found = std::sync::Mutex::new(None);
        fit_many(&[task], &recording, Threads::serial(), |_, outcome| *found.lock().unwrap() = Some(outcome)).unwrap();
        let found = found.into_inner().unwrap().unwrap();
        let gradient = &found.recorded.applied_gradients[bare.len()..2 * bare.len()];
        near(gradient, &bare, bound, &format!("the gradient with dropout {:?}", spec.dropout));
        let error = (found.loss_curve[0] / value - 1.0).abs();
        assert!(error < bound, "the loss is off by {error:e}");
    }
}

#[test]
fn of_particles() {
    let shape = Particles { n_inputs: 2, n_particles: 3, activation: Activation::Tanh, clip: Some(2.0) };
    let theta = normals("particles", 12);
    let one = particles::gradient(&shape, &theta, &X, &[0.375], Threads::serial()).unwrap();
    let expected: Vec<f64> = one.iter().map(|g| g * ROWS as f64).collect();
    let (x, residual) = (narrow(&X).repeat(ROWS), vec![0.375; ROWS]);
    let found = particles::gradient(&shape, &narrow(&theta), &x, &residual, Threads::serial()).unwrap();
    near(&found, &expected, WHOLE, "the particles' gradient");
}
