//! The register tile.
//!
//! A tile keeps up to [`Isa::ACCUMULATORS`] registers of C while it walks the inner length (`accumulate`, the heart), and
//! hands them to a [`Finish`]: the store that an epilogue then works on, or the update of a parameter vector.

use crate::dense::blocked;
use crate::dense::target::Update;
use crate::dense::{Block, Epilogue, Factors, Matrix, Order, Processor};
use crate::simd::{Isa, Pass, Real, run};
use crate::system::threads::Threads;

/// Where the sums of a tile start, and where they go.
pub trait Finish<S: Isa, T: Real>: Copy {
    /// After the rows of a block of tiles.
    unsafe fn stored(self, _: S, _: Block) {}
    /// What the sums of a register of columns start from.
    unsafe fn start(self, isa: S, col: usize) -> T::Lanes<S>;
    /// Takes a finished tile.
    unsafe fn finish<const M: usize, const N: usize>(
        self,
        isa: S,
        row: usize,
        col: usize,
        sums: &[[T::Lanes<S>; N]; M],
    );
}

/// Stores the sums, then passes them through an epilogue.
#[derive(Clone, Copy)]
pub struct Store<'a, S, T> {
    /// What the sums start from; null for nothing.
    pub bias: *const T,
    /// C.
    pub into: Matrix<T>,
    /// What is done then.
    pub epilogue: &'a dyn Epilogue<S>,
}

impl<S: Isa, T: Real> Finish<S, T> for Store<'_, S, T> {
    #[inline(always)]
    unsafe fn stored(self, isa: S, block: Block) {
        // SAFETY: the caller's block is inside the product.
        unsafe { self.epilogue.apply(isa, block) }
    }

    #[inline(always)]
    unsafe fn start(self, s: S, col: usize) -> T::Lanes<S> {
        // SAFETY: the bias is as long as the padded columns.
        unsafe { bias_or_zero(s, self.bias, col) }
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

/// A register of a bias, null for none.
///
/// # Safety
/// The bias must be as long as the padded columns.
#[inline(always)]
pub unsafe fn bias_or_zero<S: Isa, T: Real>(s: S, bias: *const T, col: usize) -> T::Lanes<S> {
    // SAFETY: the caller's promise.
    if bias.is_null() { T::constant(s, 0.0) } else { unsafe { T::load(s, bias.add(col)) } }
}

/// A product by tiles.
///
/// # Safety
/// As [`product`](crate::dense::product).
pub unsafe fn tiled<S: Isa, T: Real, F: Finish<S, T>>(
    processor: Processor<'_, S>,
    order: Order,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    finish: F,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match order {
            Order::Rows => tiled_as::<S, T, F, false>(processor, (rows, cols), factors, finish),
            Order::Columns => tiled_as::<S, T, F, true>(processor, (rows, cols), factors, finish),
        }
    }
}

/// As [`tiled`], in an order known to the compiler: C's rows are A's columns or not.
///
/// # Safety
/// As [`product`](crate::dense::product).
pub unsafe fn tiled_as<S: Isa, T: Real, F: Finish<S, T>, const COLUMNS: bool>(
    processor: Processor<'_, S>,
    (rows, cols): (usize, usize),
    factors: &[Factors<T>],
    finish: F,
) {
    // Of the first factors, which are as long as the others or longer: small products must not pay for the question.
    let depth = factors.first().map_or(0, |factors| factors.depth);
    let multiplications = rows.wrapping_mul(cols).wrapping_mul(depth);
    let product = Tiled::<S, T, F, COLUMNS> { rows, first: 0, cols, factors, finish, isa: processor.isa, asked: None };
    // SAFETY: the caller's promise.
    unsafe {
        if multiplications < blocked::FEWEST {
            run(processor.isa, product);
        } else {
            product.large(processor, multiplications);
        }
    }
}

/// Rows of a panel that are stored before their epilogue: with 64 columns of f32 they take a quarter of the first cache,
/// and an epilogue's call costs a few percent of a tile.
const EPILOGUE_ROWS: usize = 48;

/// The whole product: panels of columns, and in each the rows in tiles of nearly equal height.
#[derive(Clone, Copy)]
pub(super) struct Tiled<'a, S, T, F, const COLUMNS: bool> {
    pub(super) rows: usize,
    /// The first column that is still to be done.
    pub(super) first: usize,
    pub(super) cols: usize,
    pub(super) factors: &'a [Factors<T>],
    pub(super) finish: F,
    pub(super) isa: S,
    /// Who may stop it, after each block.
    asked: Option<&'a Threads<'a>>,
}

/// No tile is higher: with one register a row, more rows gain nothing over the latency of the sums.
const MAX_ROWS: usize = 12;

/// Rows in tiles of nearly equal height: a height and how many tiles have it, twice. There may be none of the first, which
/// is then too high for any.
#[inline(always)]
pub(super) fn heights<S: Isa, const N: usize>(rows: usize) -> [(usize, usize); 2] {
    let tiles = rows.div_ceil((S::ACCUMULATORS / N).min(MAX_ROWS)).max(1);
    let (height, higher) = (rows / tiles, rows % tiles);
    [(height + 1, higher), (height, tiles - higher)]
}

/// Runs `$body` with `$m` a constant equal to `$height`, one that [`heights`] gave for tiles of `$n` registers a row.
macro_rules! with_height {
    ($isa:ty, $height:expr, $m:ident, $n:ident => $body:expr) => {
        with_height!(@ $isa, $height, $m, $n, $body, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@ $isa:ty, $height:expr, $m:ident, $n:ident, $body:expr, $($rows:literal)*) => {
        match $height {
            $($rows if $rows * $n <= <$isa>::ACCUMULATORS => {
                const $m: usize = $rows;
                $body
            })*
            _ => unreachable!("a tile is never higher than its registers allow"),
        }
    };
}

pub(super) use with_height;

impl<S0: Isa, T: Real, F: Finish<S0, T>, const COLUMNS: bool> Pass for Tiled<'_, S0, T, F, COLUMNS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, _: S) {
        let mut registers = (self.cols - self.first).div_ceil(T::lanes::<S0>());
        let mut col = self.first;
        while registers > 0 && self.rows > 0 && !self.is_stopped() {
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

/// A product that several threads work on.
struct Shared<P>(P);

// SAFETY: a thread writes columns that no other reads or writes, in C and in what the finish holds beside it, and what all
// read nobody writes; the pointers are valid until every thread is done.
unsafe impl<P> Sync for Shared<P> {}

impl<P: Copy> Shared<P> {
    fn get(&self) -> P {
        self.0
    }
}

impl<'a, S: Isa, T: Real, F: Finish<S, T>, const COLUMNS: bool> Tiled<'a, S, T, F, COLUMNS> {
    /// The product where it may be worth blocks, a question on its way or other threads, which take the widest panels in
    /// turn. A sum's terms and their order are the same in any case.
    #[cold]
    #[inline(never)]
    unsafe fn large(mut self, processor: Processor<'a, S>, multiplications: usize) {
        self.asked = processor.asked(multiplications);
        let blocked = blocked::is_large((self.rows, self.cols), self.factors);
        let Some(threads) = processor.shared(multiplications) else {
            // SAFETY: the caller's promise.
            return unsafe { self.columns(blocked, 0, self.cols) };
        };
        let width = S::TILE_REGISTERS * T::lanes::<S>();
        let shared = Shared(self);
        threads.numbers(self.cols.div_ceil(width), |panel| {
            let (product, first) = (shared.get(), panel * width);
            // SAFETY: the caller's promise, for some of the columns.
            unsafe { product.columns(blocked, first, product.cols.min(first + width)) }
        });
    }

    /// Some of the columns, from a whole panel's first one on.
    #[inline(never)]
    unsafe fn columns(mut self, blocked: bool, first: usize, end: usize) {
        (self.first, self.cols) = (first, end);
        // SAFETY: the caller's promise.
        unsafe {
            if blocked {
                self.first = blocked::panels(&self);
            }
            run(self.isa, self);
        }
    }

    #[inline(always)]
    pub(super) fn is_stopped(&self) -> bool {
        self.asked.is_some_and(|threads| threads.is_stopped())
    }

    #[inline(always)]
    unsafe fn panel<const N: usize>(&self, col: usize) {
        let mut row = 0;
        for (height, mut tiles) in heights::<S, N>(self.rows) {
            while tiles > 0 {
                let (first, taken) = (row, tiles.min(EPILOGUE_ROWS / height));
                // SAFETY: the tiles lie inside the matrix, and are then stored.
                unsafe {
                    with_height!(S, height, M, N => for _ in 0..taken {
                        self.tile::<M, N>(row, col);
                        row += M;
                    });
                    let block = Block { row: first, col, rows: row - first, cols: N * T::lanes::<S>() };
                    self.finish.stored(self.isa, block);
                }
                if self.is_stopped() {
                    return;
                }
                tiles -= taken;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<const M: usize, const N: usize>(&self, row: usize, col: usize) {
        // SAFETY: the tile lies inside the matrices.
        unsafe {
            // One by one: rows that are copies of one array would go through the stack.
            let start = |j| self.finish.start(self.isa, col + j * T::lanes::<S>());
            let mut sums = std::array::from_fn::<_, M, _>(|_| std::array::from_fn::<_, N, _>(start));
            for factors in self.factors {
                accumulate::<S, T, M, N, COLUMNS>(self.isa, &mut sums, factors, row, col);
            }
            // A copy: a finish that walks its sums in a loop has them in memory, and the heart's must not be there too.
            let finished = sums;
            self.finish.finish(self.isa, row, col, &finished);
        }
    }
}

/// The heart: adds the products of every inner index to M × N sums.
#[inline(always)]
pub(super) unsafe fn accumulate<S: Isa, T: Real, const M: usize, const N: usize, const COLUMNS: bool>(
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
        let mut b = Matrix { at: factors.b.at.add(col), stride: factors.b.stride };
        // Two indices a turn share the arithmetic of A's addresses, a third of a turn where tiles are high: 6 % of a
        // product of 32 columns. Where two lines of B find room beside the sums.
        if const { S::ACCUMULATORS + 2 * N + 2 <= S::REGISTER_COUNT } {
            for _ in 0..factors.depth / 2 {
                add_terms::<S, T, M, N, 2>(s, sums, a, (apart, step), b);
                a = a.wrapping_add(2 * step);
                b.at = b.at.wrapping_add(2 * b.stride);
            }
            if factors.depth % 2 == 1 {
                add_terms::<S, T, M, N, 1>(s, sums, a, (apart, step), b);
            }
            return;
        }
        for _ in 0..factors.depth {
            add_terms::<S, T, M, N, 1>(s, sums, a, (apart, step), b);
            a = a.wrapping_add(step);
            b.at = b.at.wrapping_add(b.stride);
        }
    }
}

/// One register of A's number times N registers of B, for each of M rows, at K inner indices.
#[inline(always)]
unsafe fn add_terms<S: Isa, T: Real, const M: usize, const N: usize, const K: usize>(
    s: S,
    sums: &mut [[T::Lanes<S>; N]; M],
    a: *const T,
    (apart, step): (usize, usize),
    b: Matrix<T>,
) {
    // SAFETY: as the caller's.
    unsafe {
        let line = |k| std::array::from_fn(|j| T::load(s, b.index(k, j * T::lanes::<S>())));
        let lines: [[T::Lanes<S>; N]; K] = std::array::from_fn(line);
        for (i, sum) in sums.iter_mut().enumerate() {
            for (k, line) in lines.iter().enumerate() {
                let x = T::splat(s, *a.add(i * apart + k * step));
                for j in 0..N {
                    sum[j] = T::fma(s, x, line[j], sum[j]);
                }
            }
        }
    }
}

/// Sums down the columns, into targets.
pub struct ColumnSums<T> {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// What is summed.
    pub of: Matrix<T>,
    /// Where the sums go.
    pub finish: Update<T>,
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
