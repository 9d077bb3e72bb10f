//! What the tests share: a naive reference that knows nothing of the kernel's derivatives, and random problems.

pub mod hyper_dual;
pub mod network;
pub mod objective;
pub mod problems;

pub use objective::{Problem, Reference, eigenvalues};
pub use problems::{Data, Shape};

use rfp_kernel::simd::Real;

/// The type's own numbers, widened.
pub fn widened<T: Real>(numbers: &[T]) -> Vec<f64> {
    numbers.iter().map(|x| x.to_f64()).collect()
}

pub fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Norm of the difference, relative to what is expected, or to `floor` where that is larger.
pub fn distance(found: &[f64], expected: &[f64], floor: f64) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference = norm(&found.iter().zip(expected).map(|(a, b)| a - b).collect::<Vec<_>>());
    if difference == 0.0 { 0.0 } else { difference / norm(expected).max(floor) }
}
