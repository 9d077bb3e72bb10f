//! Square roots of matrices that may be singular.

use crate::system::error::KernelError;
use crate::system::memory;

/// A negative pivot of the scaled matrix that counts as rounding.
const ROUNDING: f64 = 1e-9;

/// F with FFᵀ = D, for a symmetric positive semidefinite `q` × `q` matrix, by Cholesky with pivots on D scaled to a unit
/// diagonal: nothing is inverted, and a direction without variance is a column of zeros.
///
/// # Errors
/// [`KernelError::NotSemidefinite`] with the number of the matrix, [`KernelError::Memory`].
pub fn square_root(index: usize, d: &[f64], q: usize) -> Result<Vec<f64>, KernelError> {
    let bad = |pivot: f64| KernelError::NotSemidefinite { matrix: index, pivot };
    let asymmetry = |i: usize, j: usize| (d[i * q + j] - d[j * q + i]).abs();
    let scale = memory::list("the square root of a matrix", (0..q).map(|i| d[i * q + i].max(0.0).sqrt()))?;
    for i in 0..q {
        if d[i * q + i] < 0.0 {
            return Err(bad(d[i * q + i]));
        }
        for j in 0..i {
            let bound = scale[i] * scale[j];
            if asymmetry(i, j) > ROUNDING * bound || d[i * q + j].abs() > (1.0 + ROUNDING) * bound {
                return Err(bad(bound - d[i * q + j].abs().max(d[j * q + i].abs())));
            }
        }
    }
    let entry = |i: usize, j: usize| {
        let bound = scale[i] * scale[j];
        if bound > 0.0 { 0.5 * (d[i * q + j] + d[j * q + i]) / bound } else { 0.0 }
    };
    let mut root: Vec<f64> = memory::zeros("the square root of a matrix", q * q)?;
    let mut left = memory::list("the square root of a matrix", (0..q).map(|i| if scale[i] > 0.0 { 1.0 } else { 0.0 }))?;
    for k in 0..q {
        // A pivot this small is the rounding of a singular matrix.
        let Some(p) = largest(&left).filter(|&p| left[p] > q as f64 * 4.0 * f64::EPSILON) else { break };
        let pivot = left[p].sqrt();
        for i in 0..q {
            let sum: f64 = (0..k).map(|l| root[i * q + l] * root[p * q + l]).sum();
            if left[i] != 0.0 && i != p {
                root[i * q + k] = (entry(i, p) - sum) / pivot;
                left[i] -= root[i * q + k] * root[i * q + k];
            }
        }
        (root[p * q + k], left[p]) = (pivot, 0.0);
    }
    if let Some(&worst) = left.iter().find(|x| **x < -ROUNDING) {
        return Err(bad(worst));
    }
    for i in 0..q {
        root[i * q..][..q].iter_mut().for_each(|x| *x *= scale[i]);
    }
    Ok(root)
}

/// Where the largest number is, the first of several.
fn largest(numbers: &[f64]) -> Option<usize> {
    (0..numbers.len()).fold(None, |best, i| match best {
        Some(b) if numbers[b] >= numbers[i] => best,
        _ => Some(i),
    })
}
