//! Small dense products: one register tile, four shapes.
//!
//! Every product of the passes is `C = A·B` or, for a Hessian-vector product, `C = A₁·B₁ + A₂·B₂` in one tile of double
//! inner length. C and B are read and written along their rows in whole registers; A is read one number at a time and
//! may be stored either way round. A tile keeps up to [`Isa::ACCUMULATORS`] registers of C while it walks the inner
//! length, and hands them to a [`Finish`]: the store that an [`Epilogue`] then turns into activations or deltas while it
//! is in the first cache, or the update of a parameter vector.

use crate::simd::{Isa, Pass, Real, run};

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
    unsafe fn index(self, row: usize, col: usize) -> *mut T {
        // SAFETY: the caller asks for an element of the padded matrix.
        unsafe { self.at.add(row * self.stride + col) }
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

/// C = A₁·B₁ + A₂·B₂ + bias, stored, then passed through an epilogue.
///
/// # Safety
/// `rows` × `cols` (padded to registers) of C, and what the factors name, must be valid; C must not overlap the factors.
pub unsafe fn product<S: Isa, T: Real>(
    isa: S,
    order: Order,
    (rows, cols): (usize, usize),
    factors: [Option<Factors<T>>; 2],
    bias: *const T,
    into: Matrix<T>,
    epilogue: &dyn Epilogue<S>,
) {
    let (factors, terms) = listed(factors);
    // SAFETY: the caller's promise.
    unsafe { sum_of_products(isa, order, (rows, cols), &factors[..terms], bias, into, epilogue) }
}

/// As [`product`], of any number of factors.
///
/// # Safety
/// As [`product`].
pub unsafe fn sum_of_products<S: Isa, T: Real>(
    isa: S,
    order: Order,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    bias: *const T,
    into: Matrix<T>,
    epilogue: &dyn Epilogue<S>,
) {
    let finish = Store { bias, into, epilogue };
    // SAFETY: the caller's promise.
    unsafe { tiled(isa, order, (rows, cols), factors, finish) }
}

/// One or two factors as an array and its length.
fn listed<T: Copy>([first, second]: [Option<Factors<T>>; 2]) -> ([Factors<T>; 2], usize) {
    let none = Factors { a: Matrix::of(std::ptr::null(), 0), b: Matrix::of(std::ptr::null(), 0), depth: 0 };
    let first = first.unwrap_or(none);
    ([first, second.unwrap_or(first)], 1 + usize::from(second.is_some()))
}

/// A parameter vector to be written: `to = from + scale·sum`, with a missing `from` read as zero.
#[derive(Clone, Copy, Debug)]
pub struct Target<T> {
    /// What is added to; null for nothing. May be `to` itself.
    pub from: *const T,
    /// What is written.
    pub to: *mut T,
    /// The factor of the new sum.
    pub scale: T,
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
            Self { from, to: self.to.add(offset), scale: self.scale }
        }
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
                        T::fma(s, scale, sum, T::load(s, self.from.add(offset(i, j))))
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

/// Adds A₁·B₁ + A₂·B₂ into the targets, whose rows are `stride` apart.
///
/// # Safety
/// As [`product`].
pub unsafe fn update<S: Isa, T: Real>(
    isa: S,
    order: Order,
    (rows, cols): (usize, usize),
    factors: [Option<Factors<T>>; 2],
    targets: Targets<T>,
    stride: usize,
) {
    let (factors, terms) = listed(factors);
    // SAFETY: the caller's promise.
    unsafe { update_sum(isa, order, (rows, cols), &factors[..terms], targets, stride) }
}

/// As [`update`], of any number of factors.
///
/// # Safety
/// As [`product`].
pub unsafe fn update_sum<S: Isa, T: Real>(
    isa: S,
    order: Order,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    targets: Targets<T>,
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { tiled(isa, order, (rows, cols), factors, Update { targets, stride }) }
}

/// Adds the column sums of a matrix into the targets.
///
/// # Safety
/// `rows` × `cols` (padded to registers) must be readable, and as many columns of the targets writable.
pub unsafe fn column_sums<S: Isa, T: Real>(isa: S, (rows, cols): (usize, usize), of: Matrix<T>, targets: Targets<T>) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, ColumnSums { rows, cols, of, finish: Update { targets, stride: 0 } }) }
}

/// Where the sums of a tile start, and where they go.
trait Finish<S: Isa, T: Real>: Copy {
    /// After the rows of a block of tiles.
    unsafe fn stored(self, _: S, _: Block) {}
    unsafe fn start<const N: usize>(self, isa: S, col: usize) -> [T::Lanes<S>; N];
    unsafe fn finish<const M: usize, const N: usize>(
        self,
        isa: S,
        row: usize,
        col: usize,
        sums: &[[T::Lanes<S>; N]; M],
    );
}

#[derive(Clone, Copy)]
struct Store<'a, S, T> {
    bias: *const T,
    into: Matrix<T>,
    epilogue: &'a dyn Epilogue<S>,
}

impl<S: Isa, T: Real> Finish<S, T> for Store<'_, S, T> {
    #[inline(always)]
    unsafe fn stored(self, isa: S, block: Block) {
        // SAFETY: the caller's block is inside the product.
        unsafe { self.epilogue.apply(isa, block) }
    }

    #[inline(always)]
    unsafe fn start<const N: usize>(self, s: S, col: usize) -> [T::Lanes<S>; N] {
        if self.bias.is_null() {
            return [T::constant(s, 0.0); N];
        }
        // SAFETY: the bias is as long as the padded columns.
        std::array::from_fn(|j| unsafe { T::load(s, self.bias.add(col + j * T::lanes::<S>())) })
    }

    #[inline(always)]
    unsafe fn finish<const M: usize, const N: usize>(self, s: S, row: usize, col: usize, sums: &[[T::Lanes<S>; N]; M]) {
        // SAFETY: the tile lies inside the padded matrix.
        unsafe {
            for (i, line) in sums.iter().enumerate() {
                let to = self.into.index(row + i, col);
                for (j, &x) in line.iter().enumerate() {
                    T::store(s, to.add(j * T::lanes::<S>()), x);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Update<T> {
    targets: Targets<T>,
    stride: usize,
}

impl<S: Isa, T: Real> Finish<S, T> for Update<T> {
    #[inline(always)]
    unsafe fn start<const N: usize>(self, s: S, _: usize) -> [T::Lanes<S>; N] {
        [T::constant(s, 0.0); N]
    }

    #[inline(always)]
    unsafe fn finish<const M: usize, const N: usize>(self, s: S, row: usize, col: usize, sums: &[[T::Lanes<S>; N]; M]) {
        for target in self.targets.iter().flatten() {
            // SAFETY: the tile lies inside the padded vectors.
            unsafe { target.write(s, (row * self.stride + col, self.stride), sums) };
        }
    }
}

unsafe fn tiled<S: Isa, T: Real, F: Finish<S, T>>(
    isa: S,
    order: Order,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    finish: F,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match order {
            Order::Rows => run(isa, Tiled::<S, T, F, false> { rows, cols, factors, finish, isa }),
            Order::Columns => run(isa, Tiled::<S, T, F, true> { rows, cols, factors, finish, isa }),
        }
    }
}

/// Rows of a panel that are stored before their epilogue: with 64 columns of f32 they take a quarter of the first cache,
/// and an epilogue's call costs a few percent of a tile.
const EPILOGUE_ROWS: usize = 48;

/// The whole product: panels of columns, and in each the rows in tiles of nearly equal height.
struct Tiled<'a, S, T, F, const COLUMNS: bool> {
    rows: usize,
    cols: usize,
    factors: &'a [Factors<T>],
    finish: F,
    isa: S,
}

/// No tile is higher: with one register a row, more rows gain nothing over the latency of the sums.
const MAX_ROWS: usize = 12;

impl<S0: Isa, T: Real, F: Finish<S0, T>, const COLUMNS: bool> Pass for Tiled<'_, S0, T, F, COLUMNS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, _: S) {
        let mut registers = self.cols.div_ceil(T::lanes::<S0>());
        let mut col = 0;
        while registers > 0 && self.rows > 0 {
            let taken = panel_width::<S0>(registers);
            // SAFETY: the panel lies inside the padded columns.
            unsafe {
                match taken {
                    4 => self.panel::<4>(col),
                    3 => self.panel::<3>(col),
                    2 => self.panel::<2>(col),
                    _ => self.panel::<1>(col),
                }
            }
            registers -= taken;
            col += taken * T::lanes::<S0>();
        }
    }
}

/// Registers in the next panel. Where the widest does not divide what is left, a 3 and a 2 beat a 4 and a 1.
fn panel_width<S: Isa>(left: usize) -> usize {
    match (S::TILE_REGISTERS, left) {
        (4, 4 | 7 | 8..) => 4,
        (4, 3 | 5 | 6) => 3,
        (_, 2..) => 2,
        _ => 1,
    }
}

impl<S: Isa, T: Real, F: Finish<S, T>, const COLUMNS: bool> Tiled<'_, S, T, F, COLUMNS> {
    #[inline(always)]
    unsafe fn panel<const N: usize>(&self, col: usize) {
        let highest = (S::ACCUMULATORS / N).min(MAX_ROWS);
        let tiles = self.rows.div_ceil(highest);
        let (height, higher) = (self.rows / tiles, self.rows % tiles);
        let (mut row, mut done) = (0, 0);
        for tile in 0..tiles {
            let rows = height + usize::from(tile < higher);
            // SAFETY: the tile lies inside the matrix.
            unsafe { self.tile_of_height::<N>(rows, row, col) };
            row += rows;
            if row - done >= EPILOGUE_ROWS || row == self.rows {
                let block = Block { row: done, col, rows: row - done, cols: N * T::lanes::<S>() };
                // SAFETY: these rows of the panel are stored.
                unsafe { self.finish.stored(self.isa, block) };
                done = row;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile_of_height<const N: usize>(&self, rows: usize, row: usize, col: usize) {
        macro_rules! heights {
            ($($m:literal)*) => {
                match rows {
                    // SAFETY: as the caller's.
                    $($m if $m * N <= S::ACCUMULATORS => unsafe { self.tile::<$m, N>(row, col) },)*
                    _ => unreachable!("a tile is never higher than its registers allow"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12);
    }

    #[inline(always)]
    unsafe fn tile<const M: usize, const N: usize>(&self, row: usize, col: usize) {
        // SAFETY: the tile lies inside the matrices.
        unsafe {
            let mut sums = [self.finish.start::<N>(self.isa, col); M];
            for factors in self.factors {
                Self::accumulate(self.isa, &mut sums, factors, row, col);
            }
            self.finish.finish(self.isa, row, col, &sums);
        }
    }

    /// The heart: one register of A's number times N registers of B, for each of M rows, at every inner index.
    #[inline(always)]
    unsafe fn accumulate<const M: usize, const N: usize>(
        s: S,
        sums: &mut [[T::Lanes<S>; N]; M],
        factors: &Factors<T>,
        row: usize,
        col: usize,
    ) {
        // SAFETY: the caller's tile lies inside the matrices; the last pointers are made but not read.
        unsafe {
            let (step, apart) = if COLUMNS { (factors.a.stride, 1) } else { (1, factors.a.stride) };
            let mut a = factors.a.at.add(row * apart).cast_const();
            let mut b = factors.b.at.add(col).cast_const();
            for _ in 0..factors.depth {
                let line: [T::Lanes<S>; N] = std::array::from_fn(|j| T::load(s, b.add(j * T::lanes::<S>())));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let x = T::splat(s, *a.add(i * apart));
                    for j in 0..N {
                        sum[j] = T::fma(s, x, line[j], sum[j]);
                    }
                }
                a = a.wrapping_add(step);
                b = b.wrapping_add(factors.b.stride);
            }
        }
    }
}

struct ColumnSums<T> {
    rows: usize,
    cols: usize,
    of: Matrix<T>,
    finish: Update<T>,
}

impl<T: Real> Pass for ColumnSums<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let mut col = 0;
        while col < self.cols {
            // SAFETY: panels lie inside the padded columns.
            col += unsafe {
                if self.cols - col > 3 * T::lanes::<S>() {
                    self.panel::<S, 4>(s, col)
                } else {
                    self.panel::<S, 1>(s, col)
                }
            };
        }
    }
}

impl<T: Real> ColumnSums<T> {
    #[inline(always)]
    unsafe fn panel<S: Isa, const N: usize>(&self, s: S, col: usize) -> usize {
        let mut sums = [[T::constant(s, 0.0); N]; 1];
        for i in 0..self.rows {
            for (j, sum) in sums[0].iter_mut().enumerate() {
                // SAFETY: inside the padded matrix.
                *sum = T::add(s, *sum, unsafe { T::load(s, self.of.index(i, col + j * T::lanes::<S>())) });
            }
        }
        // SAFETY: inside the targets.
        unsafe { self.finish.finish(s, 0, col, &sums) };
        N * T::lanes::<S>()
    }
}

#[cfg(test)]
mod tests;
