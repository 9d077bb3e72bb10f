//! Matrices whose rows are whole registers, and the one product that everything is made of: safe code over slices.

use crate::simd::{Backend, Isa};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

use crate::dense::vectors::with_features;

/// Rows are padded to a multiple of this: whole registers on every instruction set.
const PAD: usize = 8;

/// A row-major matrix; the padding behind each row is zero where it matters.
#[derive(Debug, Default)]
pub struct Padded {
    /// Rows.
    pub rows: usize,
    /// Columns without padding.
    pub cols: usize,
    /// Distance between rows.
    pub stride: usize,
    /// All numbers.
    pub numbers: Vec<f64>,
}

impl Padded {
    /// Zeros.
    pub fn zeros(what: &'static str, rows: usize, cols: usize) -> Result<Self, KernelError> {
        let mut matrix = Self::default();
        matrix.reset(what, rows, cols)?;
        Ok(matrix)
    }

    /// Makes it so many zeros, in the memory that it has.
    pub fn reset(&mut self, what: &'static str, rows: usize, cols: usize) -> Result<&mut Self, KernelError> {
        let stride = cols.next_multiple_of(PAD);
        let len = rows.checked_mul(stride).ok_or(KernelError::Overflow { what })?;
        self.numbers.clear();
        memory::reserve(what, &mut self.numbers, len)?;
        self.numbers.resize(len, 0.0);
        (self.rows, self.cols, self.stride) = (rows, cols, stride);
        Ok(self)
    }

    /// Makes it a copy of `rows` × `cols` numbers without padding.
    pub fn load(&mut self, what: &'static str, numbers: &[f64], cols: usize) -> Result<&mut Self, KernelError> {
        self.reset(what, numbers.len().checked_div(cols).unwrap_or(0), cols)?;
        for (i, row) in numbers.chunks_exact(cols.max(1)).enumerate() {
            self.row_mut(i).copy_from_slice(row);
        }
        Ok(self)
    }

    /// Makes it a copy of another, padding too.
    pub fn copy(&mut self, what: &'static str, other: &Self) -> Result<&mut Self, KernelError> {
        self.numbers.clear();
        memory::reserve(what, &mut self.numbers, other.numbers.len())?;
        self.numbers.extend_from_slice(&other.numbers);
        (self.rows, self.cols, self.stride) = (other.rows, other.cols, other.stride);
        Ok(self)
    }

    /// Makes it a copy of another's columns from `first` on.
    pub fn columns_from(&mut self, what: &'static str, other: &Self, first: usize) -> Result<&mut Self, KernelError> {
        self.reset(what, other.rows, other.cols - first)?;
        (0..other.rows).for_each(|i| self.row_mut(i).copy_from_slice(&other.row(i)[first..]));
        Ok(self)
    }

    /// Makes it the transpose of another.
    pub fn transpose(&mut self, what: &'static str, other: &Self) -> Result<&mut Self, KernelError> {
        self.reset(what, other.cols, other.rows)?;
        for first in (0..other.rows).step_by(PAD) {
            let last = (first + PAD).min(other.rows);
            for col in 0..other.cols {
                let to = &mut self.numbers[col * self.stride..][first..last];
                for (row, to) in (first..last).zip(to) {
                    *to = other.numbers[row * other.stride + col];
                }
            }
        }
        Ok(self)
    }

    /// A row without its padding.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &[f64] {
        &self.numbers[i * self.stride..][..self.cols]
    }

    /// A row without its padding.
    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.numbers[i * self.stride..][..self.cols]
    }

    /// One number.
    #[inline(always)]
    pub fn at(&self, row: usize, col: usize) -> f64 {
        self.numbers[row * self.stride + col]
    }

    /// The rows before `row` and those from it on.
    #[inline(always)]
    pub fn split(&mut self, row: usize) -> (&mut [f64], &mut [f64]) {
        self.numbers.split_at_mut(row * self.stride)
    }

    /// Copies what is above the diagonal below it.
    pub fn mirror(&mut self) {
        for i in 0..self.rows {
            for j in i + 1..self.rows {
                self.numbers[j * self.stride + i] = self.numbers[i * self.stride + j];
            }
        }
    }
}

/// The left factor, read one number at a time: element (i, k) is `numbers[i·row + k·inner]`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub numbers: &'a [f64],
    pub row: usize,
    pub inner: usize,
}

/// The sign of a product that is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Plus,
    Minus,
}

/// Inner length of a pass over the columns: a panel of the right factor stays in the second cache.
const DEPTH: usize = 256;

/// into ± left·right for `rows` × `cols`, the columns whole registers; `depth` is the inner length.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn add_product<S: Isa>(
    isa: S,
    sign: Sign,
    left: Left<'_>,
    (right, right_stride): (&[f64], usize),
    depth: usize,
    (into, into_stride): (&mut [f64], usize),
    rows: usize,
    cols: std::ops::Range<usize>,
) {
    for from in (0..depth).step_by(DEPTH) {
        let depth = DEPTH.min(depth - from);
        let mut product = Product {
            sign,
            left: Left { numbers: &left.numbers[from * left.inner..], ..left },
            right: &right[from * right_stride..],
            right_stride,
            depth,
            into: &mut *into,
            into_stride,
        };
        let mut col = cols.start;
        while col < cols.end {
            let registers = (cols.end - col) / S::F64_LANES;
            col += S::F64_LANES
                * match registers.min(S::TILE_REGISTERS) {
                    4 => product.panel::<S, 4>(isa, rows, col),
                    2 | 3 => product.panel::<S, 2>(isa, rows, col),
                    _ => product.panel::<S, 1>(isa, rows, col),
                };
        }
    }
}

struct Product<'a> {
    sign: Sign,
    left: Left<'a>,
    right: &'a [f64],
    right_stride: usize,
    depth: usize,
    into: &'a mut [f64],
    into_stride: usize,
}

impl Product<'_> {
    /// `N` registers of every row; says how many.
    #[inline(always)]
    fn panel<S: Isa, const N: usize>(&mut self, isa: S, rows: usize, col: usize) -> usize {
        let mut row = 0;
        while row + 4 <= rows {
            self.tile::<S, 4, N>(isa, row, col);
            row += 4;
        }
        while row < rows {
            self.tile::<S, 1, N>(isa, row, col);
            row += 1;
        }
        N
    }

    #[inline(always)]
    fn tile<S: Isa, const M: usize, const N: usize>(&mut self, isa: S, row: usize, col: usize) {
        let width = N * S::F64_LANES;
        let left = &self.left.numbers[row * self.left.row..];
        let mut sums = [[isa.splat_f64s(0.0); N]; M];
        for k in 0..self.depth {
            let b = S::as_simd_f64s(&self.right[k * self.right_stride + col..][..width]).0;
            for i in 0..M {
                let a = isa.splat_f64s(left[i * self.left.row + k * self.left.inner]);
                for j in 0..N {
                    sums[i][j] = isa.mul_add_e_f64s(a, b[j], sums[i][j]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let to = &mut self.into[(row + i) * self.into_stride + col..][..width];
            for (to, &sum) in S::as_mut_simd_f64s(to).0.iter_mut().zip(sums) {
                *to = if self.sign == Sign::Plus { isa.add_f64s(*to, sum) } else { isa.sub_f64s(*to, sum) };
            }
        }
    }
}

/// Rows of a symmetric product that share their first column.
const BAND: usize = 32;

/// into ± AᵀB for matrices of one number of rows. With `upper` only what is on or above the diagonal is needed.
pub fn add_crossproduct(sign: Sign, a: &Padded, b: &Padded, into: &mut Padded, upper: bool, threads: &Threads<'_>) {
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || {
        let (stride, cols) = (into.stride, b.stride);
        for first in (0..into.rows).step_by(BAND) {
            if threads.is_stopped() {
                return;
            }
            let rows = BAND.min(into.rows - first);
            let left = Left { numbers: a.numbers.get(first..).unwrap_or(&[]), row: 1, inner: a.stride };
            let into = &mut into.numbers[first * stride..];
            let from = if upper { first } else { 0 };
            add_product(isa, sign, left, (&b.numbers, b.stride), a.rows, (into, stride), rows, from..cols);
        }
    }));
}

/// into ± AB.
pub fn add_matrix_product(sign: Sign, a: &Padded, b: &Padded, into: &mut Padded, threads: &Threads<'_>) {
    with_isa!(Backend::detect(), isa => with_features(isa, #[inline(always)] || {
        let (stride, cols) = (into.stride, b.stride);
        for first in (0..into.rows).step_by(BAND) {
            if threads.is_stopped() {
                return;
            }
            let rows = BAND.min(into.rows - first);
            let left = Left { numbers: &a.numbers[first * a.stride..], row: a.stride, inner: 1 };
            let into = &mut into.numbers[first * stride..];
            add_product(isa, sign, left, (&b.numbers, b.stride), b.rows, (into, stride), rows, 0..cols);
        }
    }));
}
