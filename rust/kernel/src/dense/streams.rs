//! Streams of random numbers, 32 at a time in plain arithmetic on small arrays, which the compiler turns into registers:
//! standard normals by Box and Muller, and the masks of dropout.
//!
//! A value depends on its key and its index alone. Nothing is fused and every operation is exactly rounded, so that the
//! values are the same on every instruction set. With 24 bits for the radius no normal lies beyond 5.8.

use crate::dense::vectors::with_features;
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::random::Random;

/// Counters worked on at once.
const PAIRS: usize = 16;

/// Numbers of a block: two of each counter.
const BLOCK: usize = 2 * PAIRS;

/// Lines whose numbers are whole blocks, whatever their width: as many blocks as a line has numbers.
pub const LINES: usize = BLOCK;

/// A stream: a function of a seed, a purpose and an index, as [`Random`] is.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream of a seed, a purpose and an index within it.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        Self { key: Random::new(seed, purpose, index).bits() }
    }

    /// Standard normals, from a block on.
    pub fn normals<S: Isa, T: Real>(self, isa: S, first: u64, into: &mut [T]) {
        self.blocks(
            isa,
            first,
            into,
            pairs,
            #[inline(always)]
            |x| T::from_f64(f64::from(x)),
        );
    }

    /// 0 with probability `rate`, else 1/(1 − rate), from a block on. 32 bits a number: the rate is met to 1e-10.
    pub fn masks<S: Isa, T: Real>(self, isa: S, rate: f64, first: u64, into: &mut [T]) {
        // A cast ends at the largest number.
        let threshold = (rate * 4_294_967_296.0).round() as u32;
        let kept = 1.0 / (1.0 - rate);
        self.blocks(
            isa,
            first,
            into,
            halves,
            // A product instead of a branch, which would be guessed wrong.
            #[inline(always)]
            |bits| T::from_f64(kept * f64::from(u8::from(bits >= threshold))),
        );
    }

    #[inline(always)]
    fn blocks<S: Isa, N: Copy, T>(
        self,
        isa: S,
        first: u64,
        into: &mut [T],
        draw: impl Fn(u64, u64) -> [N; BLOCK],
        number: impl Fn(N) -> T,
    ) {
        with_features(
            isa,
            #[inline(always)]
            || {
                // Blocks of a length that the compiler knows.
                let (blocks, rest) = into.as_chunks_mut::<BLOCK>();
                let end = first.wrapping_add(blocks.len() as u64);
                for (block, to) in (first..).zip(blocks) {
                    let drawn = draw(self.key, block.wrapping_mul(PAIRS as u64));
                    for i in 0..BLOCK {
                        to[i] = number(drawn[i]);
                    }
                }
                if !rest.is_empty() {
                    let drawn = draw(self.key, end.wrapping_mul(PAIRS as u64));
                    rest.iter_mut().zip(drawn).for_each(|(to, x)| *to = number(x));
                }
            },
        );
    }
}

/// The first `n` normals of a seed, a purpose and an index.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn normals(seed: u64, purpose: &str, index: u64, n: usize) -> Result<Vec<f32>, KernelError> {
    let mut numbers = memory::zeros("normals", n)?;
    Stream::new(seed, purpose, index).normals(pulp::Scalar, 0, &mut numbers);
    Ok(numbers)
}

/// Random bits of a counter.
#[inline(always)]
fn bits(key: u64, counter: u64) -> u64 {
    mixed(key.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The bits of `PAIRS` counters from `first` on: the lower halves, then the upper ones.
#[inline(always)]
fn halves(key: u64, first: u64) -> [u32; BLOCK] {
    let mut halves = [0; BLOCK];
    for i in 0..PAIRS {
        let bits = bits(key, first.wrapping_add(i as u64));
        halves[i] = bits as u32;
        halves[PAIRS + i] = (bits >> 32) as u32;
    }
    halves
}

/// The normals of `PAIRS` counters from `first` on: the cosines, then the sines.
#[inline(always)]
fn pairs(key: u64, first: u64) -> [f32; BLOCK] {
    let mut radius = [0.0_f32; PAIRS];
    let mut angle = [0.0_f32; PAIRS];
    let mut turn = [0_u32; PAIRS];
    for i in 0..PAIRS {
        let bits = bits(key, first.wrapping_add(i as u64));
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

#[cfg(test)]
mod tests;
