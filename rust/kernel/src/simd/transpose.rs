//! Transposition of padded matrices, register block by register block.

use super::{Isa, Pass, Real, run};

/// Writes the transpose of a `rows` × `cols` matrix.
///
/// Both matrices must be padded: as many rows and columns as the next multiple of [`Real::PAD`] are read and written.
///
/// # Safety
/// The padded extents must be readable at `from` and writable at `to`, and must not overlap.
pub unsafe fn transpose<S: Isa, T: Real>(
    isa: S,
    (rows, cols): (usize, usize),
    (from, from_stride): (*const T, usize),
    (to, to_stride): (*mut T, usize),
) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, Transpose { rows, cols, from, from_stride, to, to_stride }) }
}

struct Transpose<T> {
    rows: usize,
    cols: usize,
    from: *const T,
    from_stride: usize,
    to: *mut T,
    to_stride: usize,
}

impl<T: Real> Pass for Transpose<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, _: S) {
        for r in (0..self.rows).step_by(T::PAD) {
            for c in (0..self.cols).step_by(T::PAD) {
                // SAFETY: whole blocks lie inside the padded extents.
                unsafe {
                    let from = self.from.add(r * self.from_stride + c);
                    let to = self.to.add(c * self.to_stride + r);
                    block::<S, T>((from, self.from_stride), (to, self.to_stride));
                }
            }
        }
    }
}

/// Transposes one block of `PAD` × `PAD` elements.
#[inline(always)]
unsafe fn block<S: Isa, T: Real>((from, from_stride): (*const T, usize), (to, to_stride): (*mut T, usize)) {
    #[cfg(target_arch = "x86_64")]
    if std::any::TypeId::of::<S>() == std::any::TypeId::of::<pulp::x86::V4>() {
        // SAFETY: the token proves AVX-512; the extents are the caller's promise; T is f32 or f64 by its size.
        unsafe {
            if T::SIZE == 4 {
                return x86::block_f32((from.cast(), from_stride), (to.cast(), to_stride));
            }
            return x86::block_f64((from.cast(), from_stride), (to.cast(), to_stride));
        }
    }
    for i in 0..T::PAD {
        for j in 0..T::PAD {
            // SAFETY: the caller's promise.
            unsafe { *to.add(i * to_stride + j) = *from.add(j * from_stride + i) };
        }
    }
}

/// Element by element, the transposes take a fifth of a step at 25 rows and width 64; with shuffles 2 % (AVX-512).
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// A 16 × 16 block: pairs of rows are interleaved, then pairs of pairs, then 128-bit quarters.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn block_f32((from, from_stride): (*const f32, usize), (to, to_stride): (*mut f32, usize)) {
        let mut row = [_mm512_setzero_ps(); 16];
        for (i, r) in row.iter_mut().enumerate() {
            // SAFETY: 16 rows of 16 elements are readable.
            *r = unsafe { _mm512_loadu_ps(from.add(i * from_stride)) };
        }
        let mut pair = row;
        for i in 0..8 {
            pair[2 * i] = _mm512_unpacklo_ps(row[2 * i], row[2 * i + 1]);
            pair[2 * i + 1] = _mm512_unpackhi_ps(row[2 * i], row[2 * i + 1]);
        }
        let low = |a, b| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
        let high = |a, b| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
        // quad[4q + j], quarter L: column 4L + j of rows 4q to 4q + 3.
        let mut quad = pair;
        for q in (0..16).step_by(4) {
            quad[q] = low(pair[q], pair[q + 2]);
            quad[q + 1] = high(pair[q], pair[q + 2]);
            quad[q + 2] = low(pair[q + 1], pair[q + 3]);
            quad[q + 3] = high(pair[q + 1], pair[q + 3]);
        }
        for j in 0..4 {
            let even_top = _mm512_shuffle_f32x4::<0x88>(quad[j], quad[4 + j]);
            let odd_top = _mm512_shuffle_f32x4::<0xdd>(quad[j], quad[4 + j]);
            let even_bottom = _mm512_shuffle_f32x4::<0x88>(quad[8 + j], quad[12 + j]);
            let odd_bottom = _mm512_shuffle_f32x4::<0xdd>(quad[8 + j], quad[12 + j]);
            // SAFETY: 16 rows of 16 elements are writable.
            unsafe {
                _mm512_storeu_ps(to.add(j * to_stride), _mm512_shuffle_f32x4::<0x88>(even_top, even_bottom));
                _mm512_storeu_ps(to.add((4 + j) * to_stride), _mm512_shuffle_f32x4::<0x88>(odd_top, odd_bottom));
                _mm512_storeu_ps(to.add((8 + j) * to_stride), _mm512_shuffle_f32x4::<0xdd>(even_top, even_bottom));
                _mm512_storeu_ps(to.add((12 + j) * to_stride), _mm512_shuffle_f32x4::<0xdd>(odd_top, odd_bottom));
            }
        }
    }

    /// An 8 × 8 block: pairs of rows are interleaved, then 128-bit quarters.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn block_f64((from, from_stride): (*const f64, usize), (to, to_stride): (*mut f64, usize)) {
        let mut row = [_mm512_setzero_pd(); 8];
        for (i, r) in row.iter_mut().enumerate() {
            // SAFETY: 8 rows of 8 elements are readable.
            *r = unsafe { _mm512_loadu_pd(from.add(i * from_stride)) };
        }
        // pair[2i + j], quarter L: column 2L + j of rows 2i and 2i + 1.
        let mut pair = row;
        for i in 0..4 {
            pair[2 * i] = _mm512_unpacklo_pd(row[2 * i], row[2 * i + 1]);
            pair[2 * i + 1] = _mm512_unpackhi_pd(row[2 * i], row[2 * i + 1]);
        }
        for j in 0..2 {
            let even_top = _mm512_shuffle_f64x2::<0x88>(pair[j], pair[2 + j]);
            let odd_top = _mm512_shuffle_f64x2::<0xdd>(pair[j], pair[2 + j]);
            let even_bottom = _mm512_shuffle_f64x2::<0x88>(pair[4 + j], pair[6 + j]);
            let odd_bottom = _mm512_shuffle_f64x2::<0xdd>(pair[4 + j], pair[6 + j]);
            // SAFETY: 8 rows of 8 elements are writable.
            unsafe {
                _mm512_storeu_pd(to.add(j * to_stride), _mm512_shuffle_f64x2::<0x88>(even_top, even_bottom));
                _mm512_storeu_pd(to.add((2 + j) * to_stride), _mm512_shuffle_f64x2::<0x88>(odd_top, odd_bottom));
                _mm512_storeu_pd(to.add((4 + j) * to_stride), _mm512_shuffle_f64x2::<0xdd>(even_top, even_bottom));
                _mm512_storeu_pd(to.add((6 + j) * to_stride), _mm512_shuffle_f64x2::<0xdd>(odd_top, odd_bottom));
            }
        }
    }
}

#[cfg(test)]
mod tests;
