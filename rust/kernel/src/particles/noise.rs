//! Standard normals by Box and Muller in plain f32 arithmetic on small arrays, which the compiler turns into registers.
//!
//! A value depends on its key and its index alone. Nothing is fused and every operation is exactly rounded, so that the
//! values are the same on every instruction set. With 24 bits for the radius none lies beyond 5.8.

use crate::dense::vectors::with_features;
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::random::Random;

/// Pairs worked on at once.
const PAIRS: usize = 16;

/// Fills `into` with the normals of a seed, a purpose and an index.
pub(super) fn fill<S: Isa, T: Real>(isa: S, seed: u64, purpose: &str, index: u64, into: &mut [T]) {
    let key = Random::new(seed, purpose, index).bits();
    with_features(
        isa,
        #[inline(always)]
        || {
            for (block, to) in into.chunks_mut(2 * PAIRS).enumerate() {
                let normals = pairs(key, (block * PAIRS) as u64);
                for (to, x) in to.iter_mut().zip(normals) {
                    *to = T::from_f64(f64::from(x));
                }
            }
        },
    );
}

/// The first `n` normals of a seed, a purpose and an index: what a step of [`solve`](super::solve) draws.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn normals(seed: u64, purpose: &str, index: u64, n: usize) -> Result<Vec<f32>, KernelError> {
    let mut numbers = memory::zeros("normals", n)?;
    fill(pulp::Scalar, seed, purpose, index, &mut numbers);
    Ok(numbers)
}

/// The normals of `PAIRS` counters from `first` on: the cosines, then the sines.
#[inline(always)]
fn pairs(key: u64, first: u64) -> [f32; 2 * PAIRS] {
    let mut radius = [0.0_f32; PAIRS];
    let mut angle = [0.0_f32; PAIRS];
    let mut turn = [0_u32; PAIRS];
    for i in 0..PAIRS {
        let bits = mixed(key.wrapping_add((first + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        // In (0, 1]: at 1 the radius is 0.
        radius[i] = minus_two_log(((bits >> 40) as u32 + 1) as f32 * (1.0 / 16_777_216.0)).sqrt();
        // A quarter of the circle, and the angle from its middle in units of it.
        turn[i] = (bits as u32 >> 28) & 3;
        angle[i] = ((bits as u32) & 0x00ff_ffff) as f32 * (1.0 / 16_777_216.0) - 0.499_999_97;
    }
    let mut normals = [0.0; 2 * PAIRS];
    for i in 0..PAIRS {
        let (sine, cosine) = eighth(angle[i]);
        // The middles of the quarters lie at 0, 90, 180 and 270 degrees.
        let (a, b) = if turn[i] & 1 == 0 { (cosine, sine) } else { (sine, cosine) };
        let flipped = if turn[i] & 2 == 0 { radius[i] } else { -radius[i] };
        normals[i] = flipped * a;
        normals[PAIRS + i] = if turn[i] & 1 == 0 { flipped * b } else { -flipped * b };
    }
    normals
}

/// The finalizer of SplitMix64, as in `random.rs`.
#[inline(always)]
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// −2 log u for normal u in (0, 1]: u = 2ᵉ·m with m in [√½, √2), log m = 2 atanh((m − 1)/(m + 1)) by its series.
#[inline(always)]
fn minus_two_log(u: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let shifted = u.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff) + ROOT_HALF);
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let series = 2.0 + t2 * (2.0 / 3.0 + t2 * (2.0 / 5.0 + t2 * (2.0 / 7.0 + t2 * (2.0 / 9.0))));
    let log = t * series + exponent * std::f32::consts::LN_2;
    -2.0 * log
}

/// Sine and cosine of a·π/2 for |a| ≤ ½, by their series: the first terms left out are below 3e-9.
#[inline(always)]
fn eighth(a: f32) -> (f32, f32) {
    let x = a * std::f32::consts::FRAC_PI_2;
    let x2 = x * x;
    let sine = x * (1.0 - x2 * (1.0 / 6.0 - x2 * (1.0 / 120.0 - x2 * (1.0 / 5040.0 - x2 * (1.0 / 362_880.0)))));
    let cosine =
        1.0 - x2 * (0.5 - x2 * (1.0 / 24.0 - x2 * (1.0 / 720.0 - x2 * (1.0 / 40_320.0 - x2 * (1.0 / 3_628_800.0)))));
    (sine, cosine)
}
