//! Small dense products: what the passes call. The tile is in `tile.rs`, the vectors it updates in `target.rs`.
//!
//! Every product of the passes is `C = A·B` or, for a Hessian-vector product, `C = A₁·B₁ + A₂·B₂` in one tile of double
//! inner length. C and B are read and written along their rows in whole registers; A is read one number at a time and
//! may be stored either way round. A tile keeps up to [`Isa::ACCUMULATORS`] registers of C while it walks the inner
//! length, and hands them to a [`Finish`](tile::Finish): the store that an [`Epilogue`] then turns into activations or deltas
//! while it is in the first cache, an epilogue that takes the registers, or the update of a parameter vector. Products whose
//! operands leave the second cache go by blocks (`blocked.rs`).

mod blocked;
pub mod streams;
pub mod target;
pub mod tile;
pub mod vectors;

pub use crate::dense::target::{Target, Targets, offset_targets};

use crate::dense::target::Update;
use crate::dense::tile::{ColumnSums, Store, tiled};
use crate::simd::{Isa, Real, run};
use crate::system::threads::Threads;

/// A row-major matrix in scratch memory: where it starts and how far its rows are apart.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<T> {
    /// Its first element.
    pub at: *mut T,
    /// Distance between rows.
    pub stride: usize,
}

impl<T> Matrix<T> {
    /// A matrix that is only read.
    pub fn of(at: *const T, stride: usize) -> Self {
        Self { at: at.cast_mut(), stride }
    }

    /// The matrix from `row` on.
    ///
    /// # Safety
    /// The row must exist.
    #[inline(always)]
    pub unsafe fn skip_rows(self, row: usize) -> Self {
        // SAFETY: the caller's promise.
        Self { at: unsafe { self.at.add(row * self.stride) }, stride: self.stride }
    }

    #[inline(always)]
    pub(crate) unsafe fn index(self, row: usize, col: usize) -> *mut T {
        // SAFETY: the caller asks for an element of the padded matrix.
        unsafe { self.at.add(row * self.stride + col) }
    }
}

/// What multiplies, and who takes part in it and is asked whether to go on. A long product that is told to stop ends with
/// some of its numbers unwritten: whoever asked for it asks the threads too, and gives no result.
#[derive(Clone, Copy)]
pub struct Processor<'a, S> {
    /// The instruction set.
    pub isa: S,
    /// Who may say stop, and takes part in long products; by reference, since small products are many.
    pub threads: &'a Threads<'a>,
}

/// Multiplications of some milliseconds: shorter work does not ask on its way.
const LONG: usize = 1 << 26;

/// Multiplications of some hundred microseconds: shorter products are not shared, since to wake a thread takes tens of them.
const SHARED: usize = 1 << 24;

impl<'a, S: Isa> Processor<'a, S> {
    /// One that nothing stops.
    #[cfg(test)]
    pub fn steady(isa: S) -> Self {
        const SERIAL: &Threads<'static> = &Threads::serial();
        Self { isa, threads: SERIAL }
    }

    /// Who takes part in so many multiplications, if they are many and there is more than one thread.
    #[inline(always)]
    pub fn shared(&self, multiplications: usize) -> Option<&'a Threads<'a>> {
        (multiplications >= SHARED && self.threads.count() > 1).then_some(self.threads)
    }

    /// Who is asked on the way of so many multiplications, if they are many.
    #[inline(always)]
    pub fn asked(&self, multiplications: usize) -> Option<&'a Threads<'a>> {
        (multiplications >= LONG).then_some(self.threads)
    }
}

/// How A is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// C's rows are A's rows.
    Rows,
    /// C's rows are A's columns: the product is `Aᵀ·B`.
    Columns,
}

/// One product's operands and inner length.
#[derive(Clone, Copy, Debug)]
pub struct Factors<T> {
    /// Read one number at a time.
    pub a: Matrix<T>,
    /// Read in registers along its rows.
    pub b: Matrix<T>,
    /// Inner length.
    pub depth: usize,
}

/// What happens to a tile of stored sums: `rows` × `cols` elements from (`row`, `col`) on, the columns whole registers.
pub trait Epilogue<S: Isa> {
    /// # Safety
    /// The block must lie inside the matrices that the epilogue holds.
    unsafe fn apply(&self, isa: S, block: Block);
}

/// Leaves the sums as they are.
pub struct NoEpilogue;

impl<S: Isa> Epilogue<S> for NoEpilogue {
    unsafe fn apply(&self, _: S, _: Block) {}
}

/// A block of a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// First row.
    pub row: usize,
    /// First column.
    pub col: usize,
    /// Rows.
    pub rows: usize,
    /// Columns, a multiple of the register length.
    pub cols: usize,
}

/// C = Σ A·B + bias, stored, then passed through an epilogue.
///
/// # Safety
/// `rows` × `cols` (padded to registers) of C, and what the factors name, must be valid; C must not overlap the factors.
pub unsafe fn product<S: Isa, T: Real>(
    processor: Processor<'_, S>,
    order: Order,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    bias: *const T,
    into: Matrix<T>,
    epilogue: &dyn Epilogue<S>,
) {
    let finish = Store { bias, into, epilogue };
    // SAFETY: the caller's promise.
    unsafe { tiled(processor, order, (rows, cols), factors, finish) }
}

/// One or two factors as an array and its length.
pub fn listed<T: Copy>([first, second]: [Option<Factors<T>>; 2]) -> ([Factors<T>; 2], usize) {
    let none = Factors { a: Matrix::of(std::ptr::null(), 0), b: Matrix::of(std::ptr::null(), 0), depth: 0 };
    let first = first.unwrap_or(none);
    ([first, second.unwrap_or(first)], 1 + usize::from(second.is_some()))
}

/// Adds A₁·B₁ + A₂·B₂ into the targets, whose rows are `stride` apart.
///
/// # Safety
/// As [`product`].
pub unsafe fn update<S: Isa, T: Real>(
    processor: Processor<'_, S>,
    order: Order,
    (rows, cols): (usize, usize),
    factors: [Option<Factors<T>>; 2],
    targets: Targets<T>,
    stride: usize,
) {
    let (factors, terms) = listed(factors);
    // SAFETY: the caller's promise.
    unsafe { update_sum(processor, order, (rows, cols), &factors[..terms], targets, stride) }
}

/// As [`update`], of any number of factors.
///
/// # Safety
/// As [`product`].
pub unsafe fn update_sum<S: Isa, T: Real>(
    processor: Processor<'_, S>,
    order: Order,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    targets: Targets<T>,
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { tiled(processor, order, (rows, cols), factors, Update { targets, stride }) }
}

/// Adds the column sums of a matrix into the targets.
///
/// # Safety
/// `rows` × `cols` (padded to registers) must be readable, and as many columns of the targets writable.
pub unsafe fn column_sums<S: Isa, T: Real>(isa: S, (rows, cols): (usize, usize), of: Matrix<T>, targets: Targets<T>) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, ColumnSums { rows, cols, of, finish: Update { targets, stride: 0 } }) }
}

#[cfg(test)]
mod tests;
