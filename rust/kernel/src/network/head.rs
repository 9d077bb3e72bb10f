//! The linear outputs: dot products along the last hidden layer, a few outputs at a time.

use crate::dense::{Matrix, Processor, Targets};
use crate::simd::{Isa, Pass, Real, run};
use crate::system::threads::Threads;

/// One pair of operands: rows of activations and the head's weights, a row an output.
#[derive(Clone, Copy, Debug)]
pub struct Dot<T> {
    /// Rows × padded width.
    pub rows: Matrix<T>,
    /// Outputs × padded width.
    pub weights: Matrix<T>,
}

/// into\[output, row\] = bias\[output\] + Σ over one or two pairs of rows\[row\]·weights\[output\]; the padding of each plane is
/// set to zero.
///
/// # Safety
/// The matrices must hold `n_rows` and `n_outputs` rows of `width` (padded) elements, and `into` `n_outputs` planes.
pub unsafe fn outputs<S: Isa, T: Real>(
    processor: Processor<'_, S>,
    (n_rows, n_outputs, width): (usize, usize, usize),
    (first, second): (Dot<T>, Option<Dot<T>>),
    bias: *const T,
    into: Matrix<T>,
) {
    let pairs = [(first, width), (second.unwrap_or(first), width)];
    let count = 1 + usize::from(second.is_some());
    // SAFETY: the caller's promise, for the pairs that are there.
    unsafe { dots(processor, (n_rows, n_outputs), &pairs[..count], Some(bias), 1.0, into) }
}

/// As [`outputs`] for any number of pairs, each with its width, times a factor: also the Gram matrix of two sets of rows.
///
/// # Safety
/// As [`outputs`].
pub unsafe fn dots<S: Isa, T: Real>(
    processor: Processor<'_, S>,
    (n_rows, n_outputs): (usize, usize),
    pairs: &[(Dot<T>, usize)],
    bias: Option<*const T>,
    scale: f64,
    into: Matrix<T>,
) {
    // Of the first pair, as in a product by tiles.
    let depth = pairs.first().map_or(0, |&(_, width)| width);
    let asked = processor.asked(n_rows.wrapping_mul(n_outputs).wrapping_mul(depth));
    // SAFETY: the caller's promise.
    unsafe { run(processor.isa, Outputs { n_rows, n_outputs, pairs, bias, scale, into, asked }) }
}

/// Rows at once: their sums' latencies overlap.
const ROWS: usize = 4;

struct Outputs<'a, T> {
    n_rows: usize,
    n_outputs: usize,
    pairs: &'a [(Dot<T>, usize)],
    bias: Option<*const T>,
    scale: f64,
    into: Matrix<T>,
    /// Who may stop it, after each group of outputs.
    asked: Option<&'a Threads<'a>>,
}

impl<T: Real> Pass for Outputs<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let mut output = 0;
        while output < self.n_outputs && !self.asked.is_some_and(|threads| threads.is_stopped()) {
            // SAFETY: the group lies inside the outputs.
            output += unsafe {
                match self.n_outputs - output {
                    1 => self.group::<S, 1>(s, output),
                    2 => self.group::<S, 2>(s, output),
                    3 => self.group::<S, 3>(s, output),
                    _ => self.group::<S, 4>(s, output),
                }
            };
        }
    }
}

impl<T: Real> Outputs<'_, T> {
    #[inline(always)]
    unsafe fn group<S: Isa, const G: usize>(&self, s: S, first: usize) -> usize {
        // SAFETY: the caller's group lies inside the outputs, rows and columns inside the padded matrices.
        unsafe {
            let whole = self.n_rows - self.n_rows % ROWS;
            for row in (0..whole).step_by(ROWS) {
                self.rows::<S, G, ROWS>(s, first, row);
            }
            for row in whole..self.n_rows {
                self.rows::<S, G, 1>(s, first, row);
            }
            let pad = self.n_rows.next_multiple_of(T::PAD) - self.n_rows;
            for g in 0..G {
                self.into.skip_rows(first + g).at.add(self.n_rows).write_bytes(0, pad);
            }
            G
        }
    }

    /// A few rows' dot products with a few outputs' weights, each loaded once.
    #[inline(always)]
    unsafe fn rows<S: Isa, const G: usize, const R: usize>(&self, s: S, first: usize, row: usize) {
        // SAFETY: as the caller's.
        unsafe {
            let mut sums = [[T::constant(s, 0.0); G]; R];
            for (pair, width) in self.pairs {
                let (x, w) = (pair.rows.skip_rows(row), pair.weights.skip_rows(first));
                for col in (0..*width).step_by(T::lanes::<S>()) {
                    let w: [_; G] = std::array::from_fn(|g| T::load(s, w.at.add(g * w.stride + col)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = T::load(s, x.at.add(r * x.stride + col));
                        for (sum, &w) in sums.iter_mut().zip(&w) {
                            *sum = T::fma(s, x, w, *sum);
                        }
                    }
                }
            }
            for g in 0..G {
                let bias = self.bias.map_or(0.0, |bias| (*bias.add(first + g)).to_f64());
                let plane = self.into.skip_rows(first + g).at.add(row);
                for (r, sums) in sums.iter().enumerate() {
                    *plane.add(r) = T::from_f64(self.scale * (T::sum(s, sums[g]).to_f64() + bias));
                }
            }
        }
    }
}

/// Adds the sum of each plane into the targets, one number a plane: the gradient of the head's bias.
///
/// # Safety
/// The planes must hold `n_rows` numbers each, and the targets one number a plane.
pub unsafe fn add_plane_sums<S: Isa, T: Real>(
    isa: S,
    (planes, n_rows): (usize, usize),
    of: Matrix<T>,
    targets: Targets<T>,
) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, PlaneSums { planes, n_rows, of, targets }) }
}

struct PlaneSums<T> {
    planes: usize,
    n_rows: usize,
    of: Matrix<T>,
    targets: Targets<T>,
}

impl<T: Real> Pass for PlaneSums<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        for plane in 0..self.planes {
            // SAFETY: inside the planes and the targets.
            unsafe {
                let line = self.of.skip_rows(plane).at;
                let whole = self.n_rows - self.n_rows % T::lanes::<S>();
                let mut sum = T::constant(s, 0.0);
                for row in (0..whole).step_by(T::lanes::<S>()) {
                    sum = T::add(s, sum, T::load(s, line.add(row)));
                }
                let mut total = T::sum(s, sum).to_f64();
                for row in whole..self.n_rows {
                    total += (*line.add(row)).to_f64();
                }
                for target in self.targets.iter().flatten() {
                    *target.to.add(plane) = T::from_f64(target.kept(plane) + target.scale.to_f64() * total);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
