//! Products whose operands leave the second cache: by blocks of rows and of the inner length.
//!
//! A panel of B that is longer than the first cache comes from the second or the third for every tile, and its rows lie a
//! page apart: each costs a look into the table of pages. So a block of it is copied side by side, stays in the first cache
//! while the tiles of a block of rows walk it, and their sums wait between two blocks (Goto and van de Geijn, "Anatomy of
//! high-performance matrix multiplication", ACM TOMS 34, 2008). A sum's terms come in the same order as in a product that
//! is not blocked: the bits are the same.

use std::mem::MaybeUninit;

use crate::dense::tile::{Finish, Tiled, accumulate, heights, with_height};
use crate::dense::{Block, Factors, Matrix};
use crate::simd::{Isa, Pass, Real, run};

/// Inner length of a block: with the widest panel half of a first cache of 48 KiB.
const DEPTH: usize = 96;

/// Rows of a block, at most.
const ROWS: usize = 512;

/// Bytes of a row of the widest panel, of any instruction set and element type.
const PANEL_BYTES: usize = 256;

/// Bytes of B from which on blocks gain: about half the smallest second cache.
const LARGE: usize = 1 << 19;

/// A product of fewer multiplications is never taken by blocks, whatever its sizes: what `is_large` asks for is more, and
/// one comparison is what a small product can spare.
pub const FEWEST: usize = 1 << 19;

/// Memory of a product, on the stack of its thread.
#[repr(align(64))]
struct Room<const BYTES: usize>(MaybeUninit<[u8; BYTES]>);

impl<const BYTES: usize> Room<BYTES> {
    fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    fn matrix<T>(&mut self, stride: usize) -> Matrix<T> {
        Matrix { at: self.0.as_mut_ptr().cast(), stride }
    }
}

/// Whether a product is better taken by blocks.
///
/// With few rows a block is copied for nothing, and an inner length of one block gains nothing by it.
pub fn is_large<T: Real>((rows, cols): (usize, usize), factors: &[Factors<T>]) -> bool {
    let depth = factors.iter().map(|factors| factors.depth).max().unwrap_or(0);
    rows >= 12 && depth > DEPTH && depth.saturating_mul(cols).saturating_mul(T::SIZE) >= LARGE
}

/// The panels of the widest tiles from the product's first column on; returns the first column after them.
///
/// # Safety
/// As a product by tiles.
pub unsafe fn panels<S: Isa, T: Real, F: Finish<S, T>, const COLUMNS: bool>(
    product: &Tiled<'_, S, T, F, COLUMNS>,
) -> usize {
    let width = S::TILE_REGISTERS * T::lanes::<S>();
    let end = product.cols - (product.cols - product.first) % width;
    for col in (product.first..end).step_by(width) {
        // SAFETY: the panel lies inside the columns.
        unsafe { panel(product, col) }
    }
    end
}

// Never inlined: every product would have this stack.
#[inline(never)]
unsafe fn panel<S: Isa, T: Real, F: Finish<S, T>, const COLUMNS: bool>(
    product: &Tiled<'_, S, T, F, COLUMNS>,
    col: usize,
) {
    let width = S::TILE_REGISTERS * T::lanes::<S>();
    let (mut b, mut sums) = (Room::<{ DEPTH * PANEL_BYTES }>::new(), Room::<{ ROWS * PANEL_BYTES }>::new());
    let (b, sums) = (b.matrix::<T>(width), sums.matrix::<T>(width));
    let (isa, blocks) = (product.isa, product.rows.div_ceil(ROWS));
    for block in 0..blocks {
        let (row, end) = (block * product.rows / blocks, (block + 1) * product.rows / blocks);
        let block = Block { row, col, rows: end - row, cols: width };
        // SAFETY: the block lies inside the product, and fits the room.
        unsafe {
            run(isa, Start(Ends { isa, finish: product.finish, block, sums }));
            for factors in product.factors {
                for from in (0..factors.depth).step_by(DEPTH) {
                    let depth = DEPTH.min(factors.depth - from);
                    let across = factors.b.skip_rows(from);
                    let across = Matrix { at: across.at.add(col), stride: across.stride };
                    run(isa, CopyRows { from: across, to: b, rows: depth, width });
                    let (step, apart) = if COLUMNS { (factors.a.stride, 1) } else { (1, factors.a.stride) };
                    let a = Matrix { at: factors.a.at.add(row * apart + from * step), stride: factors.a.stride };
                    let (factors, rows) = (Factors { a, b, depth }, end - row);
                    match S::TILE_REGISTERS {
                        4 => run(isa, AddBlock::<T, 4, COLUMNS> { rows, factors, sums }),
                        _ => run(isa, AddBlock::<T, 2, COLUMNS> { rows, factors, sums }),
                    }
                }
            }
            if product.is_stopped() {
                return;
            }
            run(isa, End(Ends { isa, finish: product.finish, block, sums }));
            product.finish.stored(isa, block);
        }
    }
}

/// A block's sums, and where they start and go.
struct Ends<S, T, F> {
    isa: S,
    finish: F,
    block: Block,
    sums: Matrix<T>,
}

/// Sets what they start from.
struct Start<S, T, F>(Ends<S, T, F>);

impl<S0: Isa, T: Real, F: Finish<S0, T>> Pass for Start<S0, T, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, _: S) {
        let Ends { isa, finish, block, sums } = self.0;
        for col in (0..block.cols).step_by(T::lanes::<S0>()) {
            for row in 0..block.rows {
                // SAFETY: the block lies inside the product, and its sums fit the room.
                unsafe { T::store(isa, sums.index(row, col), finish.start(isa, block.col + col)) };
            }
        }
    }
}

/// Hands them over, a register at a time.
struct End<S, T, F>(Ends<S, T, F>);

impl<S0: Isa, T: Real, F: Finish<S0, T>> Pass for End<S0, T, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, _: S) {
        let Ends { isa, finish, block, sums } = self.0;
        for row in 0..block.rows {
            for col in (0..block.cols).step_by(T::lanes::<S0>()) {
                // SAFETY: as at the start.
                unsafe {
                    let register = T::load(isa, sums.index(row, col));
                    finish.finish(isa, block.row + row, block.col + col, &[[register]]);
                }
            }
        }
    }
}

/// Copies rows side by side; their length is whole registers.
struct CopyRows<T> {
    from: Matrix<T>,
    to: Matrix<T>,
    rows: usize,
    width: usize,
}

impl<T: Real> Pass for CopyRows<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        for row in 0..self.rows {
            for col in (0..self.width).step_by(T::lanes::<S>()) {
                // SAFETY: both matrices have these rows.
                unsafe { T::store(s, self.to.index(row, col), T::load(s, self.from.index(row, col))) };
            }
        }
    }
}

/// Adds A·B to sums.
struct AddBlock<T, const N: usize, const COLUMNS: bool> {
    rows: usize,
    factors: Factors<T>,
    sums: Matrix<T>,
}

impl<T: Real, const N: usize, const COLUMNS: bool> Pass for AddBlock<T, N, COLUMNS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let mut row = 0;
        for (height, tiles) in heights::<S, N>(self.rows) {
            for _ in 0..tiles {
                // SAFETY: as the caller's.
                unsafe { with_height!(S, height, M, N => self.tile::<S, M>(s, row)) };
                row += height;
            }
        }
    }
}

impl<T: Real, const N: usize, const COLUMNS: bool> AddBlock<T, N, COLUMNS> {
    #[inline(always)]
    unsafe fn tile<S: Isa, const M: usize>(&self, s: S, row: usize) {
        // SAFETY: the tile lies inside the block.
        unsafe {
            let at = |i: usize, j: usize| self.sums.index(row + i, j * T::lanes::<S>());
            let mut sums: [[T::Lanes<S>; N]; M] =
                std::array::from_fn(|i| std::array::from_fn(|j| T::load(s, at(i, j).cast_const())));
            accumulate::<S, T, M, N, COLUMNS>(s, &mut sums, &self.factors, row, 0);
            for (i, line) in sums.iter().enumerate() {
                for (j, &x) in line.iter().enumerate() {
                    T::store(s, at(i, j), x);
                }
            }
        }
    }
}
