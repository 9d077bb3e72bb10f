//! Dropout's masks, and rows multiplied by them.

use super::draws::Draws;
use super::{Dropout, Spec};
use crate::dense::Matrix;
use crate::network::architecture::Layout;
use crate::network::workspace::Buffer;
use crate::simd::{Isa, Pass, Real, run};
use crate::system::error::KernelError;
use crate::system::threads::Threads;

/// Units drawn between two questions: some tenths of a millisecond.
const UNITS: usize = 1 << 18;

/// A step's masks, padded like the layers; a line for the batch or one for each row.
pub struct DropoutMasks<'a, T> {
    draws: Draws,
    dropout: &'a Dropout,
    lines: Vec<Buffer<T>>,
    strides: Vec<(usize, usize)>,
}

impl<'a, T: Real> DropoutMasks<'a, T> {
    /// Room for batches of up to `most_rows` rows.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(spec: &Spec, dropout: &'a Dropout, layout: &Layout, most_rows: usize) -> Result<Self, KernelError> {
        let rows = if dropout.by_row { most_rows } else { 1 };
        let lines = Buffer::several("dropout masks", layout.hidden.iter().map(|layer| rows * layer.stride))?;
        let strides = layout.hidden.iter().map(|layer| (layer.stride, layer.width)).collect();
        Ok(Self { draws: Draws { seed: spec.seed }, dropout, lines, strides })
    }

    /// Draws a step's masks; told to stop, not all of them.
    pub fn draw(&mut self, step: u64, n_rows: usize, threads: Threads<'_>) {
        let mut random = self.draws.masks(step);
        let rows = if self.dropout.by_row { n_rows } else { 1 };
        for ((lines, &(stride, width)), &rate) in self.lines.iter_mut().zip(&self.strides).zip(&self.dropout.rates) {
            let lines_at_once = UNITS.div_ceil(stride);
            for lines in lines[..rows * stride].chunks_mut(lines_at_once * stride) {
                lines.chunks_exact_mut(stride).for_each(|line| random.fill(rate, &mut line[..width]));
                if threads.is_stopped() {
                    return;
                }
            }
        }
    }

    /// A layer's mask: row by row, or one line for all rows.
    pub fn layer(&self, layer: usize) -> Matrix<T> {
        let stride = if self.dropout.by_row { self.strides[layer].0 } else { 0 };
        Matrix::of(self.lines[layer].as_ptr(), stride)
    }
}

/// into = from ⊙ mask; `into` may be `from`.
///
/// # Safety
/// The matrices must hold `rows` rows of `cols` numbers, a multiple of the padding; a mask of stride 0 holds one.
pub unsafe fn multiply<S: Isa, T: Real>(
    isa: S,
    (rows, cols): (usize, usize),
    from: Matrix<T>,
    mask: Matrix<T>,
    into: Matrix<T>,
) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, Multiply { rows, cols, from, mask, into }) }
}

struct Multiply<T> {
    rows: usize,
    cols: usize,
    from: Matrix<T>,
    mask: Matrix<T>,
    into: Matrix<T>,
}

impl<T: Real> Pass for Multiply<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        for row in 0..self.rows {
            for col in (0..self.cols).step_by(T::lanes::<S>()) {
                // SAFETY: inside the matrices.
                unsafe {
                    let from = T::load(s, self.from.index(row, col));
                    let mask = T::load(s, self.mask.index(row, col));
                    T::store(s, self.into.index(row, col), T::mul(s, from, mask));
                }
            }
        }
    }
}
