//! Paths too long to be kept whole: cut into segments, walked again on the way back, and still exact.
//!
//! That all ways of keeping a path agree to rounding is shown inside the crate (`src/objective/inner/tests.rs`), where they can be
//! chosen; here the budget chooses, and the derivative is held against difference quotients.

use rfp_kernel::{Activation, ExtraOutputs, Inner, Objective, Threads, evaluate};

use crate::common::problems::plain;
use crate::common::{Data, Problem, Shape, norm};

/// Relative error of the derivative along a random direction, by central differences of the kernel's own values. α is 0
/// and the query rows are others than those that adapt: else the path's end, where gradients vanish, would not show.
fn directional_error(problem: &Problem, shape: &Shape, inner: &Inner, step: f64) -> f64 {
    let data = Data::<f64>::of(problem);
    let clusters = data.clusters();
    let objective = Objective { loss: problem.loss, alpha: 0.0, inner: inner.clone(), skip_diverged: false };
    let call = |theta: &[f64]| {
        evaluate(&problem.net, theta, &clusters, None, &objective, ExtraOutputs::default(), Threads::serial()).unwrap()
    };
    let v = shape.direction();
    let length = norm(&v);
    let moved = |by: f64| data.theta.iter().zip(&v).map(|(t, v)| t + by * v / length).collect::<Vec<_>>();
    let quotient = (call(&moved(step)).value - call(&moved(-step)).value) / (2.0 * step);
    let slope: f64 = call(&data.theta).gradient.iter().zip(&v).map(|(g, v)| g * v / length).sum();
    (slope - quotient).abs() / norm(&call(&data.theta).gradient)
}

/// At a step h, central differences err by h²·R‴ and by the rounding of R over h: 1e-5 leaves both near 1e-10.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;

/// 400 points of 10,000 numbers are 32 MB, over the budget; the records of few rows are small.
#[test]
#[cfg_attr(slow, ignore = "takes a minute without optimization")]
fn segments_with_records() {
    let shape = Shape { inputs: 3, hidden: vec![64, 64], sizes: vec![7, 5], split: true, ..Shape::default() };
    let problem = shape.problem();
    for inner in [plain(400, 0.01), Inner { momentum: 0.5, ..plain(397, 0.005) }] {
        let error = directional_error(&problem, &shape, &inner, STEP);
        assert!(error < TOLERANCE, "error {error:e} with {inner:?}");
    }
}

/// 20 records of 700 rows are over the budget too: they are found again from the segments' points.
#[test]
#[cfg_attr(slow, ignore = "takes a minute without optimization")]
fn segments_without_records() {
    let shape =
        Shape { inputs: 2, hidden: vec![64, 64], activation: Activation::Silu, sizes: vec![700], ..Shape::default() };
    let error = directional_error(&shape.problem(), &shape, &plain(400, 0.01), STEP);
    assert!(error < TOLERANCE, "error {error:e}");
}

/// A thousand steps of a linear model, whose path has a closed form: with one row x, y and no bias moving the other way,
/// the residual shrinks by 1 − 2η(x² + 1) a step.
#[test]
fn a_thousand_steps_of_a_linear_model() {
    let mut problem = Shape { inputs: 1, hidden: vec![], sizes: vec![1], ..Shape::default() }.problem();
    let (x, y, rate, steps) = (0.75, 2.0, 1e-3, 1000);
    (problem.x, problem.y, problem.theta) = (vec![x], vec![y], vec![0.5, -0.25]);
    let data = Data::<f64>::of(&problem);
    let objective = Objective { loss: problem.loss, alpha: 0.0, inner: plain(steps, rate), skip_diverged: false };
    let wanted = ExtraOutputs { rate_gradient: true, status: false };
    let found =
        evaluate(&problem.net, &data.theta, &data.clusters(), None, &objective, wanted, Threads::serial()).unwrap();
    let shrink = 1.0 - 2.0 * rate * (x * x + 1.0);
    let factor = shrink.powi(2 * steps as i32);
    let residual = 0.5 * x - 0.25 - y;
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() <= 1e-11 * expected.abs(), "{found} instead of {expected}")
    };
    close(found.value, residual * residual * factor);
    close(found.gradient[0], 2.0 * residual * x * factor);
    close(found.gradient[1], 2.0 * residual * factor);
    let by_rate = residual * residual * 2.0 * steps as f64 * factor / shrink * -2.0 * (x * x + 1.0);
    close(found.rate_gradient.unwrap().iter().sum(), by_rate);
}
