//! What the unit tests share: matrices whose surroundings must be neither read nor written.

use crate::dense::Matrix;
use crate::simd::{Isa, Real};
use crate::system::random::Random;

/// A row-major matrix inside a larger array. Everything outside is NaN: reading it shows in the results.
pub struct GuardedMatrix<T> {
    pub numbers: Vec<T>,
    pub rows: usize,
    pub cols: usize,
    stride: usize,
}

/// Numbers before the first row, off every alignment, and behind each row.
const MARGIN: usize = 3;

impl<T: Real> GuardedMatrix<T> {
    /// `rows` × `cols` numbers of a function of row and column.
    pub fn new(rows: usize, cols: usize, mut number: impl FnMut(usize, usize) -> f64) -> Self {
        let stride = cols + 2 * MARGIN;
        let mut guarded = Self { numbers: vec![T::from_f64(f64::NAN); (rows + 1) * stride], rows, cols, stride };
        for row in 0..rows {
            for col in 0..cols {
                let at = guarded.at(row, col);
                guarded.numbers[at] = T::from_f64(number(row, col));
            }
        }
        guarded
    }

    /// Standard normal numbers.
    pub fn random(random: &mut Random, rows: usize, cols: usize) -> Self {
        Self::new(rows, cols, |_, _| random.normal())
    }

    fn at(&self, row: usize, col: usize) -> usize {
        MARGIN + row * self.stride + col
    }

    pub fn get(&self, row: usize, col: usize) -> f64 {
        assert!(row < self.rows && col < self.cols);
        self.numbers[self.at(row, col)].to_f64()
    }

    pub fn stride(&self) -> usize {
        self.stride
    }

    pub fn ptr(&self) -> *const T {
        self.numbers[MARGIN..].as_ptr()
    }

    pub fn ptr_mut(&mut self) -> *mut T {
        self.numbers[MARGIN..].as_mut_ptr()
    }

    pub fn matrix(&self) -> Matrix<T> {
        Matrix::of(self.ptr(), self.stride)
    }

    pub fn matrix_mut(&mut self) -> Matrix<T> {
        Matrix { at: self.ptr_mut(), stride: self.stride }
    }

    /// Fails if anything outside the matrix was written.
    #[track_caller]
    pub fn assert_guard_intact(&self) {
        for (i, x) in self.numbers.iter().enumerate() {
            let (row, col) = (i.wrapping_sub(MARGIN) / self.stride, i.wrapping_sub(MARGIN) % self.stride);
            let is_inside = i >= MARGIN && row < self.rows && col < self.cols;
            assert!(is_inside || x.to_f64().is_nan(), "{x:?} was written outside, at row {row}, column {col}");
        }
    }
}

/// A number of columns, rounded up to whole registers.
pub fn padded<S: Isa, T: Real>(_: S, cols: usize) -> usize {
    cols.next_multiple_of(T::lanes::<S>())
}

/// Distance from 1 to the next number.
pub fn epsilon<T: Real>() -> f64 {
    if T::SIZE == 8 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// Calls `$check::<S, T>(isa, …)` for every instruction set of this machine and both element types.
macro_rules! on_every_backend {
    ($check:ident $(, $argument:expr)*) => {
        for backend in $crate::simd::Backend::available() {
            $crate::with_isa!(backend, isa => {
                $check::<_, f32>(isa $(, $argument)*);
                $check::<_, f64>(isa $(, $argument)*);
            });
        }
    };
}

pub(crate) use on_every_backend;
