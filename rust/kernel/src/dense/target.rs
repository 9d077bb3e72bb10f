//! Parameter vectors that a product's sums go to: the step, the gradient, the accumulation.

use crate::dense::tile::Finish;
use crate::simd::{Isa, Real};

/// A parameter vector to be written: `to = keep·from + scale·sum`, with a missing `from` read as zero.
#[derive(Clone, Copy, Debug)]
pub struct Target<T> {
    /// What is added to; null for nothing. May be `to` itself.
    pub from: *const T,
    /// What is written.
    pub to: *mut T,
    /// The factor of the new sum.
    pub scale: T,
    /// The factor of what is added to; none: 1.
    pub keep: Option<T>,
}

impl<T: Real> Target<T> {
    /// The target `offset` elements further on.
    ///
    /// # Safety
    /// Both vectors must be longer than `offset`.
    #[inline(always)]
    pub unsafe fn offset(self, offset: usize) -> Self {
        // SAFETY: the caller's promise; null stays null.
        unsafe {
            let from = if self.from.is_null() { self.from } else { self.from.add(offset) };
            Self { from, to: self.to.add(offset), ..self }
        }
    }

    /// One number of what is added to, times its factor.
    ///
    /// # Safety
    /// The vector, where there is one, must be longer than `offset`.
    #[inline(always)]
    pub unsafe fn kept(self, offset: usize) -> f64 {
        if self.from.is_null() {
            return 0.0;
        }
        // SAFETY: the caller's promise.
        let from = unsafe { (*self.from.add(offset)).to_f64() };
        self.keep.map_or(from, |keep| keep.to_f64() * from)
    }

    /// Writes a tile of sums whose first element is `at`, the rows `stride` apart.
    #[inline(always)]
    unsafe fn write<S: Isa, const M: usize, const N: usize>(
        self,
        s: S,
        (at, stride): (usize, usize),
        sums: &[[T::Lanes<S>; N]; M],
    ) {
        let scale = T::splat(s, self.scale);
        let offset = |i: usize, j: usize| at + i * stride + j * T::lanes::<S>();
        for (i, line) in sums.iter().enumerate() {
            for (j, &sum) in line.iter().enumerate() {
                // SAFETY: the caller's tile is inside both vectors.
                unsafe {
                    let scaled = if self.from.is_null() {
                        T::mul(s, scale, sum)
                    } else {
                        let from = T::load(s, self.from.add(offset(i, j)));
                        let kept = self.keep.map_or(from, |keep| T::mul(s, T::splat(s, keep), from));
                        T::fma(s, scale, sum, kept)
                    };
                    T::store(s, self.to.add(offset(i, j)), scaled);
                }
            }
        }
    }
}

/// The targets of one sum: the step and, where it is wanted too, the gradient itself.
pub type Targets<T> = [Option<Target<T>>; 2];

/// Targets `offset` elements further on.
///
/// # Safety
/// As [`Target::offset`].
#[inline(always)]
pub unsafe fn offset_targets<T: Real>(targets: &Targets<T>, offset: usize) -> Targets<T> {
    // SAFETY: the caller's promise.
    targets.map(|target| target.map(|t| unsafe { t.offset(offset) }))
}

/// A tile's sums into targets.
#[derive(Clone, Copy)]
pub struct Update<T> {
    /// Where they go.
    pub targets: Targets<T>,
    /// Distance between rows.
    pub stride: usize,
}

impl<S: Isa, T: Real> Finish<S, T> for Update<T> {
    #[inline(always)]
    unsafe fn start(self, s: S, _: usize) -> T::Lanes<S> {
        T::constant(s, 0.0)
    }

    #[inline(always)]
    unsafe fn finish<const M: usize, const N: usize>(self, s: S, row: usize, col: usize, sums: &[[T::Lanes<S>; N]; M]) {
        for target in self.targets.iter().flatten() {
            // SAFETY: the tile lies inside the padded vectors.
            unsafe { target.write(s, (row * self.stride + col, self.stride), sums) };
        }
    }
}
