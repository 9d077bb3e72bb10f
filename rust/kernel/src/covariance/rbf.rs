//! The radial basis function kernel exp(−½|x − x'|²/ℓ²), a row at a time.

use crate::dense::vectors::with_features;
use crate::simd::math::exp;
use crate::simd::{Backend, Isa};
use crate::with_isa;

use super::padded::Padded;

/// A squared distance in length scales beyond which the kernel is 0; a product of both is then 0 and not ∞·0.
const FAR: f64 = 1e5;

/// One kernel row: exp(−½s) and s, the squared distances over ℓ², of a point to the columns of `x` (inputs × points) from
/// `from` on.
pub fn row(
    x: &Padded,
    from: usize,
    point: impl Fn(usize) -> f64,
    length: f64,
    squares: &mut [f64],
    values: &mut [f64],
) {
    let inverse = 1.0 / length;
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || {
        squares.fill(0.0);
        for input in 0..x.rows {
            let p = point(input);
            for (square, x) in squares.iter_mut().zip(&x.row(input)[from..]) {
                let difference = (x - p) * inverse;
                *square += difference * difference;
            }
        }
        for square in squares.iter_mut() {
            // Infinite where the difference overflows.
            *square = square.min(FAR);
        }
    }));
    exponentials(squares, values);
}

/// values = exp(−½·squares)
fn exponentials(squares: &[f64], values: &mut [f64]) {
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || exponentials_on(isa, squares, values)));
}

#[inline(always)]
fn exponentials_on<S: Isa>(isa: S, squares: &[f64], values: &mut [f64]) {
    let half = isa.splat_f64s(-0.5);
    let ((from, rest), (to, rest_to)) = (S::as_simd_f64s(squares), S::as_mut_simd_f64s(values));
    for (from, to) in from.iter().zip(to) {
        *to = exp::<S, f64>(isa, isa.mul_f64s(*from, half));
    }
    for (from, to) in rest.iter().zip(rest_to) {
        *to = (-0.5 * from).exp();
    }
}
