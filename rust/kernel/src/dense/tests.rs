//! The products against a triple loop, on every instruction set, with sizes that leave tails everywhere.

use std::cell::RefCell;

use super::*;
use crate::system::pools::pool;
use crate::system::random::Random;
use crate::testing::{GuardedMatrix, epsilon, on_every_backend, padded};

/// Doubles every element of its blocks, and remembers them.
struct Double<T> {
    into: Matrix<T>,
    blocks: RefCell<Vec<Block>>,
}

impl<S: Isa, T: Real> Epilogue<S> for Double<T> {
    unsafe fn apply(&self, _: S, block: Block) {
        for row in block.row..block.row + block.rows {
            for col in block.col..block.col + block.cols {
                // SAFETY: blocks lie inside the matrix, which the test checks by its guard.
                unsafe {
                    let at = self.into.at.add(row * self.into.stride + col);
                    *at = T::from_f64(2.0 * (*at).to_f64());
                }
            }
        }
        self.blocks.borrow_mut().push(block);
    }
}

/// Two random factors of a product.
struct Operands<T> {
    order: Order,
    a: GuardedMatrix<T>,
    b: GuardedMatrix<T>,
    depth: usize,
}

impl<T: Real> Operands<T> {
    fn new(random: &mut Random, order: Order, (rows, cols): (usize, usize), depth: usize) -> Self {
        let (height, width) = if order == Order::Rows { (rows, depth) } else { (depth, rows) };
        Self {
            order,
            a: GuardedMatrix::random(random, height, width),
            b: GuardedMatrix::random(random, depth, cols),
            depth,
        }
    }

    fn factors(&self) -> Factors<T> {
        Factors { a: self.a.matrix(), b: self.b.matrix(), depth: self.depth }
    }

    /// An element of the product, and the sum of its terms' magnitudes.
    fn element(&self, row: usize, col: usize) -> (f64, f64) {
        let a = |i| if self.order == Order::Rows { self.a.get(row, i) } else { self.a.get(i, row) };
        let terms = (0..self.depth).map(|i| a(i) * self.b.get(i, col));
        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
    }
}

/// The sum of both products and the bias, and how far rounding may lead away from it: each of the terms passes at most
/// as many roundings as there are terms, each of half an ε; the loop here has as many.
fn expected<T: Real>(both: &[Option<Operands<T>>; 2], bias: f64, row: usize, col: usize) -> (f64, f64) {
    let parts = both.iter().flatten().map(|o| (o.element(row, col), o.depth));
    let ((sum, size), terms) =
        parts.fold(((bias, bias.abs()), 2), |((sum, size), n), ((s, m), depth)| ((sum + s, size + m), n + depth));
    (sum, terms as f64 * epsilon::<T>() * size)
}

#[track_caller]
fn assert_near(found: f64, (expected, bound): (f64, f64), what: impl Fn() -> String) {
    assert!((found - expected).abs() <= bound, "{found} instead of {expected}, {}", what());
}

/// The bits of a product are those of its panels taken by themselves, of which none is taken by blocks, and those of any
/// number of threads.
fn check_blocks<S: Isa, T: Real>(isa: S) {
    // The second number of rows makes tiles of one height.
    for rows in if cfg!(slow) { [17, 24] } else { [530, 528] } {
        check_blocks_of_rows::<S, T>(isa, rows);
    }
}

fn check_blocks_of_rows<S: Isa, T: Real>(isa: S, rows: usize) {
    let mut random = Random::new(1, "blocks", 0);
    let helpers = pool(3).unwrap();
    let threads = Threads::with_pool(helpers.as_deref());
    let (cols, depth) = (400, 350);
    let panel = S::TILE_REGISTERS * T::lanes::<S>();
    let width = padded::<S, T>(isa, cols);
    for order in [Order::Rows, Order::Columns] {
        let operands = [350, 101].map(|depth| Operands::<T>::new(&mut random, order, (rows, width), depth));
        let factors = [0, 1].map(|i| operands[i].factors());
        let bias = GuardedMatrix::<T>::random(&mut random, 1, width);
        assert!(super::blocked::is_large((rows, cols), &factors) && !super::blocked::is_large((rows, panel), &factors));
        let [mut whole, mut shared, mut parts] =
            [0, 1, 2].map(|_| GuardedMatrix::<T>::new(rows, width, |_, _| f64::NAN));
        let multiply = |processor, first: usize, cols: usize, into: Matrix<T>| {
            let from = |matrix: Matrix<T>| Matrix { at: matrix.at.wrapping_add(first), stride: matrix.stride };
            let factors = factors.map(|factors| Factors { b: from(factors.b), ..factors });
            let bias = bias.ptr().wrapping_add(first);
            // SAFETY: the matrices have the sizes named, the columns padded to registers.
            unsafe { product(processor, order, (rows, cols), &factors, bias, from(into), &NoEpilogue) };
        };
        let steady = Processor::steady(isa);
        multiply(steady, 0, cols, whole.matrix_mut());
        multiply(Processor { isa, threads: &threads }, 0, cols, shared.matrix_mut());
        for first in (0..cols).step_by(panel) {
            multiply(steady, first, panel.min(cols - first), parts.matrix_mut());
        }
        whole.assert_guard_intact();
        shared.assert_guard_intact();
        for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
            let [whole, shared, part] = [&whole, &shared, &parts].map(|of| of.get(row, col));
            let place = || format!("at {row}, {col}, {order:?}, depth {depth}, {}", S::NAME);
            assert!(whole == part && shared == part, "{whole}, {shared} instead of {part} {}", place());
        }
    }
}

/// Tiles of the heights that are named make all the rows, and the registers allow every one of them.
fn check_heights_of<S: Isa, const N: usize>() {
    for rows in 1..=40 {
        let all: Vec<_> = super::tile::heights::<S, N>(rows).into_iter().filter(|&(_, tiles)| tiles > 0).collect();
        assert_eq!(all.iter().map(|(height, tiles)| height * tiles).sum::<usize>(), rows);
        assert!(all.iter().all(|&(height, _)| height > 0 && height * N <= S::ACCUMULATORS), "{rows}, {N}, {}", S::NAME);
    }
}

fn check_heights<S: Isa>(_: S) {
    check_heights_of::<S, 1>();
    check_heights_of::<S, 2>();
    check_heights_of::<S, 3>();
    check_heights_of::<S, 4>();
}

#[test]
fn heights_are_allowed() {
    for backend in crate::simd::Backend::available() {
        crate::with_isa!(backend, isa => check_heights(isa));
    }
}

#[test]
#[cfg_attr(miri, ignore = "large")]
fn blocks_leave_the_bits() {
    on_every_backend!(check_blocks);
}

/// Rows, columns and inner length: all sizes up to 40 in rows and columns, then several panels and blocks of rows.
fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    // Without optimization, every seventh.
    let step = if cfg!(miri) {
        199
    } else if cfg!(slow) {
        7
    } else {
        1
    };
    let small = (0..1600).step_by(step).map(|i| (1 + i % 40, 1 + i / 40, 1 + (i * 7 + i / 40) % 40));
    let large = [(100, 130, 20), (49, 96, 3), (97, 113, 33), (13, 200, 1), (145, 16, 5), (1, 1, 300), (50, 65, 0)];
    small.chain(large)
}

fn check_product<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(1, "product", 0);
    for (i, (rows, cols, depth)) in shapes().enumerate() {
        let width = padded::<S, T>(isa, cols);
        for order in [Order::Rows, Order::Columns] {
            let mut operands = |depth| Operands::<T>::new(&mut random, order, (rows, width), depth);
            let both = [Some(operands(depth)), (i % 2 == 0).then(|| operands(depth + i % 3))];
            let bias = (i % 3 != 0).then(|| GuardedMatrix::<T>::random(&mut random, 1, width));
            let mut into = GuardedMatrix::<T>::new(rows, width, |_, _| f64::NAN);
            let at = into.matrix_mut();
            let epilogue = Double { into: at, blocks: RefCell::default() };
            let (factors, terms) = listed([0, 1].map(|i| both[i].as_ref().map(Operands::factors)));
            let factors = &factors[..terms];
            let bias_at = bias.as_ref().map_or(std::ptr::null(), GuardedMatrix::ptr);
            // SAFETY: the matrices have the sizes named, the columns padded to registers.
            unsafe { product(Processor::steady(isa), order, (rows, cols), factors, bias_at, at, &epilogue) };
            into.assert_guard_intact();
            for row in 0..rows {
                for col in 0..width {
                    let bias = bias.as_ref().map_or(0.0, |b| b.get(0, col));
                    let (sum, bound) = expected(&both, bias, row, col);
                    // Doubled once: stored before the epilogue, and in one block only.
                    assert_near(into.get(row, col), (2.0 * sum, 2.0 * bound), || {
                        format!("{order:?} {rows} × {cols} × {depth} at {row}, {col}, {}", S::NAME)
                    });
                }
            }
            let blocks = epilogue.blocks.into_inner();
            assert!(blocks.iter().all(|b| b.cols % T::lanes::<S>() == 0 && b.row + b.rows <= rows));
            let covered: usize = blocks.iter().map(|b| b.rows * b.cols).sum();
            assert_eq!(covered, rows * width, "blocks cover the product once");
        }
    }
}

#[test]
fn products_with_bias_and_epilogue() {
    on_every_backend!(check_product);
}

/// What a target starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Initial {
    Zero,
    Itself,
    Other,
}

/// A parameter vector to write, with what it starts from.
struct Written<T> {
    start: Initial,
    scale: f64,
    to: GuardedMatrix<T>,
    before: GuardedMatrix<T>,
    other: GuardedMatrix<T>,
}

impl<T: Real> Written<T> {
    fn new(random: &mut Random, start: Initial, (rows, cols): (usize, usize)) -> Self {
        // What is overwritten is NaN before: nothing of it may be left.
        let is_kept = start == Initial::Itself;
        let before = GuardedMatrix::new(rows, cols, |_, _| if is_kept { random.normal() } else { f64::NAN });
        let to = GuardedMatrix::new(rows, cols, |row, col| before.get(row, col));
        let other = GuardedMatrix::random(random, rows, cols);
        let scale = T::from_f64(random.normal()).to_f64();
        Self { start, scale, to, before, other }
    }

    fn target(&mut self) -> Target<T> {
        let to = self.to.ptr_mut();
        let from = match self.start {
            Initial::Zero => std::ptr::null(),
            Initial::Itself => to.cast_const(),
            Initial::Other => self.other.ptr(),
        };
        Target { from, to, scale: T::from_f64(self.scale), keep: None }
    }

    fn from(&self, row: usize, col: usize) -> f64 {
        match self.start {
            Initial::Zero => 0.0,
            Initial::Itself => self.before.get(row, col),
            Initial::Other => self.other.get(row, col),
        }
    }

    /// from + scale·sum at every element.
    #[track_caller]
    fn assert_is(&self, sum: impl Fn(usize, usize) -> (f64, f64), what: &str) {
        self.to.assert_guard_intact();
        for row in 0..self.to.rows {
            for col in 0..self.to.cols {
                let (from, (sum, bound)) = (self.from(row, col), sum(row, col));
                let expected = from + self.scale * sum;
                let rounding = 2.0 * epsilon::<T>() * (from.abs() + (self.scale * sum).abs());
                assert_near(self.to.get(row, col), (expected, self.scale.abs() * bound + rounding), || {
                    format!("{what} from {:?}, at {row}, {col}", self.start)
                });
            }
        }
    }
}

const STARTS: [[Option<Initial>; 2]; 6] = [
    [Some(Initial::Zero), None],
    [Some(Initial::Itself), None],
    [Some(Initial::Other), None],
    [Some(Initial::Other), Some(Initial::Zero)],
    [Some(Initial::Itself), Some(Initial::Itself)],
    [None, Some(Initial::Other)],
];

fn check_update<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(2, "update", 0);
    for (i, (rows, cols, depth)) in shapes().enumerate() {
        let width = padded::<S, T>(isa, cols);
        for order in [Order::Rows, Order::Columns] {
            let mut operands = |depth| Operands::<T>::new(&mut random, order, (rows, width), depth);
            let both = [Some(operands(depth)), (i % 2 == 0).then(|| operands(depth))];
            let factors = [0, 1].map(|i| both[i].as_ref().map(Operands::factors));
            let mut written = STARTS[i % STARTS.len()].map(|s| s.map(|s| Written::new(&mut random, s, (rows, width))));
            let targets = written.each_mut().map(|w| w.as_mut().map(Written::target));
            let stride = written.iter().flatten().next().unwrap().to.stride();
            // SAFETY: the matrices have the sizes named, the columns padded to registers.
            unsafe { update::<S, T>(Processor::steady(isa), order, (rows, cols), factors, targets, stride) };
            let what = format!("{order:?} {rows} × {cols} × {depth}, {}", S::NAME);
            written.iter().flatten().for_each(|w| w.assert_is(|row, col| expected(&both, 0.0, row, col), &what));
        }
    }
}

#[test]
fn updates_of_one_or_two_targets() {
    on_every_backend!(check_update);
}

fn check_column_sums<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(3, "column sums", 0);
    for (i, (rows, cols, _)) in shapes().enumerate() {
        let width = padded::<S, T>(isa, cols);
        let of = GuardedMatrix::<T>::random(&mut random, rows, width);
        let mut written = STARTS[i % STARTS.len()].map(|s| s.map(|s| Written::new(&mut random, s, (1, width))));
        let targets = written.each_mut().map(|w| w.as_mut().map(Written::target));
        // SAFETY: the matrix and the targets have the sizes named, the columns padded to registers.
        unsafe { column_sums(isa, (rows, cols), of.matrix(), targets) };
        let sum = |_, col| {
            let sum = |f: &dyn Fn(f64) -> f64| (0..rows).map(|row| f(of.get(row, col))).sum::<f64>();
            (sum(&|x| x), rows as f64 * epsilon::<T>() * sum(&f64::abs))
        };
        written.iter().flatten().for_each(|w| w.assert_is(sum, &format!("{rows} × {cols}, {}", S::NAME)));
    }
}

#[test]
fn sums_of_columns() {
    on_every_backend!(check_column_sums);
}

/// Targets that begin inside their vectors, and null sources, which stay null.
#[test]
fn targets_further_on() {
    let (from, mut to) = ([1.0, 2.0, 3.0], [0.0; 3]);
    let first = Target { from: from.as_ptr(), to: to.as_mut_ptr(), scale: 1.0, keep: None };
    let second = Target { from: std::ptr::null(), ..first };
    // SAFETY: the vectors have three elements.
    let [first, second] = unsafe { offset_targets(&[Some(first), Some(second)], 2) }.map(Option::unwrap);
    assert_eq!([first.from, first.to.cast_const()], [&raw const from[2], &raw const to[2]]);
    assert!(second.from.is_null());
    assert_eq!(second.to.cast_const(), &raw const to[2]);
}

/// A NaN reaches exactly the elements that depend on it, also through a zero.
fn check_nan<S: Isa, T: Real>(isa: S) {
    let (rows, cols, depth) = (14, 37, 5);
    let width = padded::<S, T>(isa, cols);
    let b = |row: usize, col: usize| if (row, col) == (3, 20) { f64::NAN } else { 1.0 };
    for order in [Order::Rows, Order::Columns] {
        // Zero everywhere but for a NaN at (9, 2) of A, as the product sees it.
        let a = |row: usize, i: usize| if (row, i) == (9, 2) { f64::NAN } else { 0.0 };
        let a = match order {
            Order::Rows => GuardedMatrix::<T>::new(rows, depth, a),
            Order::Columns => GuardedMatrix::new(depth, rows, |i, row| a(row, i)),
        };
        let b = GuardedMatrix::<T>::new(depth, width, b);
        let mut into = GuardedMatrix::<T>::new(rows, width, |_, _| 0.0);
        let factors = [Factors { a: a.matrix(), b: b.matrix(), depth }];
        // SAFETY: the matrices have the sizes named, the columns padded to registers.
        unsafe {
            product(
                Processor::steady(isa),
                order,
                (rows, cols),
                &factors,
                std::ptr::null(),
                into.matrix_mut(),
                &NoEpilogue,
            )
        };
        for row in 0..rows {
            for col in 0..width {
                let is_nan = row == 9 || col == 20;
                assert_eq!(into.get(row, col).is_nan(), is_nan, "{order:?} at {row}, {col}, {}", S::NAME);
            }
        }
    }
}

#[test]
fn nan_reaches_what_depends_on_it() {
    on_every_backend!(check_nan);
}
