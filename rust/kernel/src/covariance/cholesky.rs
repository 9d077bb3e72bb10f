//! The Cholesky factor U of a symmetric matrix UᵀU, upper triangular with its rows contiguous, and solves with it.
//!
//! Blocks of rows: inside a block plain updates of one row by another, behind it one product. What is below the diagonal is
//! neither read nor kept.

use std::ops::Range;

use crate::dense::vectors::with_features;
use crate::simd::Backend;
use crate::system::threads::Threads;
use crate::with_isa;

use super::padded::{Left, Padded, Sign, add_product};

/// Rows of a block.
const BLOCK: usize = 32;

/// A pivot that is not above zero: the matrix is not positive definite to rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadPivot {
    /// Its row.
    pub row: usize,
    /// Its value.
    pub value: f64,
}

/// Replaces a matrix (its upper triangle) by its factor.
///
/// # Errors
/// [`BadPivot`]. A factor that was stopped is useless: whoever asked asks the threads too.
pub fn factor(a: &mut Padded, threads: &Threads<'_>) -> Result<(), BadPivot> {
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || {
        let (n, stride) = (a.rows, a.stride);
        for first in (0..n).step_by(BLOCK) {
            if threads.is_stopped() {
                return Ok(());
            }
            let last = (first + BLOCK).min(n);
            factor_block(a, first..last)?;
            let (above, below) = a.split(last);
            let panel = &above[first * stride..];
            for row in (last..n).step_by(BLOCK) {
                let rows = BLOCK.min(n - row);
                let left = Left { numbers: &panel[row..], row: 1, inner: stride };
                let into = (&mut below[(row - last) * stride..], stride);
                add_product(isa, Sign::Minus, left, (panel, stride), last - first, into, rows, row..stride);
            }
        }
        Ok(())
    }))
}

/// Rows of one block, from the diagonal on.
#[inline(always)]
fn factor_block(a: &mut Padded, rows: Range<usize>) -> Result<(), BadPivot> {
    let stride = a.stride;
    for k in rows.clone() {
        let value = a.at(k, k);
        // Also where it is not a number.
        if !(value > 0.0 && value.is_finite()) {
            return Err(BadPivot { row: k, value });
        }
        let (above, below) = a.split(k + 1);
        let row = &mut above[k * stride..];
        let root = value.sqrt();
        let inverse = 1.0 / root;
        row[k] = root;
        row[k + 1..].iter_mut().for_each(|x| *x *= inverse);
        for i in k + 1..rows.end {
            let factor = row[i];
            let to = &mut below[(i - k - 1) * stride..][i..stride];
            subtract(to, factor, &row[i..stride]);
        }
    }
    Ok(())
}

/// to −= factor·from
#[inline(always)]
fn subtract(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to -= factor * from;
    }
}

/// log |UᵀU|
pub fn log_determinant(u: &Padded) -> f64 {
    2.0 * (0..u.rows).map(|i| u.at(i, i).ln()).sum::<f64>()
}

/// Columns in strips of which a block of rows stays in the first cache.
fn strips(cols: usize) -> impl Iterator<Item = Range<usize>> {
    const STRIP: usize = 128;
    (0..cols).step_by(STRIP).map(move |first| first..cols.min(first + STRIP))
}

/// B ← U⁻ᵀB.
pub fn forward(u: &Padded, b: &mut Padded, threads: &Threads<'_>) {
    forward_in(u, b, threads, false);
}

/// The inverse of Uᵀ, lower triangular: (UᵀU)⁻¹ is its crossproduct.
pub fn inverse(u: &Padded, into: &mut Padded, threads: &Threads<'_>) {
    for i in 0..u.rows {
        into.row_mut(i)[i] = 1.0;
    }
    forward_in(u, into, threads, true);
}

/// As [`forward`]; where B is lower triangular only so far.
fn forward_in(u: &Padded, b: &mut Padded, threads: &Threads<'_>, triangular: bool) {
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || {
        let (n, stride, width) = (u.rows, u.stride, b.stride);
        for first in (0..n).step_by(BLOCK) {
            if threads.is_stopped() {
                return;
            }
            let last = (first + BLOCK).min(n);
            let cols = if triangular { last.next_multiple_of(8) } else { width };
            for strip in strips(cols) {
                for k in first..last {
                    let (above, below) = b.split(k + 1);
                    let row = &mut above[k * width..][strip.clone()];
                    let inverse = 1.0 / u.at(k, k);
                    row.iter_mut().for_each(|x| *x *= inverse);
                    for i in k + 1..last {
                        subtract(&mut below[(i - k - 1) * width..][strip.clone()], u.at(k, i), row);
                    }
                }
            }
            if last < n {
                let (above, below) = b.split(last);
                let left = Left { numbers: &u.numbers[first * stride + last..], row: 1, inner: stride };
                let right = (&above[first * width..], width);
                add_product(isa, Sign::Minus, left, right, last - first, (below, width), n - last, 0..cols);
            }
        }
    }));
}

/// B ← U⁻¹B.
pub fn backward(u: &Padded, b: &mut Padded, threads: &Threads<'_>) {
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || {
        let (n, stride, width) = (u.rows, u.stride, b.stride);
        for first in (0..n).step_by(BLOCK).rev() {
            if threads.is_stopped() {
                return;
            }
            let last = (first + BLOCK).min(n);
            if last < n {
                let (above, below) = b.split(last);
                let left = Left { numbers: &u.numbers[first * stride + last..], row: stride, inner: 1 };
                let into = (&mut above[first * width..], width);
                add_product(isa, Sign::Minus, left, (below, width), n - last, into, last - first, 0..width);
            }
            for strip in strips(width) {
                for k in (first..last).rev() {
                    let (above, below) = b.split(k);
                    let row = &mut below[strip.clone()];
                    let inverse = 1.0 / u.at(k, k);
                    row.iter_mut().for_each(|x| *x *= inverse);
                    for i in first..k {
                        subtract(&mut above[i * width..][strip.clone()], u.at(i, k), row);
                    }
                }
            }
        }
    }));
}
