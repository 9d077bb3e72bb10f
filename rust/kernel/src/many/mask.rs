//! Dropout's masks, and rows multiplied by them.

use super::draws::{Draws, first_block};
use super::{Dropout, Spec};
use crate::dense::Matrix;
use crate::dense::streams::LINES;
use crate::dense::vectors::with_features;
use crate::network::layout::{Layout, padded_stride};
use crate::network::workspace::{Batch, Buffer};
use crate::simd::{Isa, Pass, Real, run};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

/// A step's masks, padded like the layers; a line for the batch or one for each row.
pub struct DropoutMasks<'a, T> {
    draws: Draws,
    dropout: &'a Dropout,
    lines: Vec<Buffer<T>>,
    strides: Vec<(usize, usize)>,
    /// Some rows' masks of a layer, without padding.
    some: Vec<T>,
    inputs: Option<MaskedInputs<T>>,
}

/// A batch's inputs times a mask of them, padded like a layer.
struct MaskedInputs<T> {
    n_inputs: usize,
    stride: usize,
    mask: Vec<T>,
    rows: Buffer<T>,
}

impl<T: Real> MaskedInputs<T> {
    fn new(n_inputs: usize, lines: usize, most_rows: usize) -> Result<Self, KernelError> {
        let stride = padded_stride::<T>(n_inputs);
        let mask = memory::zeros("dropout masks", lines.saturating_mul(n_inputs))?;
        Ok(Self { n_inputs, stride, mask, rows: Buffer::new("a mini-batch's rows", most_rows * stride)? })
    }

    /// Draws a mask for each row, or one for all, and multiplies; told to stop, not all of them.
    fn draw<S: Isa>(
        &mut self,
        isa: S,
        (draws, step): (Draws, u64),
        &Dropout { inputs: rate, by_row, .. }: &Dropout,
        batch: &Batch<'_, T>,
        threads: Threads<'_>,
    ) {
        let (n, stride) = (self.n_inputs, self.stride);
        let apart = if by_row { n } else { 0 };
        if !by_row {
            draws.input_mask(step).fill(rate, &mut self.mask);
        }
        let into = self.rows[..batch.rows * stride].chunks_mut(LINES * stride);
        for (first, (from, into)) in (0..).step_by(n).zip(batch.x.chunks(LINES * batch.x_stride).zip(into)) {
            if by_row {
                let mask = &mut self.mask[..into.len() / stride * n];
                draws.input_row_masks(step).masks(isa, rate, first, mask);
            }
            with_features(
                isa,
                #[inline(always)]
                || {
                    let rows = from.chunks(batch.x_stride).zip(into.chunks_exact_mut(stride));
                    for (row, (from, into)) in rows.enumerate() {
                        let mask = &self.mask[row * apart..row * apart + n];
                        for ((into, from), mask) in into.iter_mut().zip(&from[..n]).zip(mask) {
                            *into = T::from_f64(from.to_f64() * mask.to_f64());
                        }
                    }
                },
            );
            if threads.is_stopped() {
                return;
            }
        }
    }
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
        let inputs = (dropout.inputs > 0.0).then(|| MaskedInputs::new(layout.n_inputs, rows.min(LINES), most_rows));
        let widest = layout.hidden.iter().map(|layer| layer.width).max().unwrap_or(0);
        let some = memory::zeros("dropout masks", if dropout.by_row { LINES.min(rows) * widest } else { 0 })?;
        let inputs = inputs.transpose()?;
        Ok(Self { draws: Draws { seed: spec.seed }, dropout, lines, strides, some, inputs })
    }

    /// Draws a step's masks; told to stop, not all of them.
    pub fn draw<S: Isa>(&mut self, isa: S, step: u64, batch: &Batch<'_, T>, threads: Threads<'_>) {
        if let Some(inputs) = &mut self.inputs {
            inputs.draw(isa, (self.draws, step), self.dropout, batch, threads);
        }
        if self.dropout.by_row {
            self.draw_rows(isa, step, batch.rows, threads);
            return;
        }
        let mut random = self.draws.masks(step);
        for ((line, &(_, width)), &rate) in self.lines.iter_mut().zip(&self.strides).zip(&self.dropout.rates) {
            random.fill(rate, &mut line[..width]);
        }
    }

    fn draw_rows<S: Isa>(&mut self, isa: S, step: u64, rows: usize, threads: Threads<'_>) {
        let stream = self.draws.row_masks(step);
        let layers = self.lines.iter_mut().zip(&self.strides).zip(&self.dropout.rates);
        for (layer, ((lines, &(stride, width)), &rate)) in layers.enumerate() {
            let pieces = lines[..rows * stride].chunks_mut(LINES * stride);
            for (first, lines) in (first_block(layer)..).step_by(width).zip(pieces) {
                let some = &mut self.some[..lines.len() / stride * width];
                stream.masks(isa, rate, first, some);
                for (line, mask) in lines.chunks_exact_mut(stride).zip(some.chunks_exact(width)) {
                    line[..width].copy_from_slice(mask);
                }
                if threads.is_stopped() {
                    return;
                }
            }
        }
    }

    /// The batch's inputs times their mask, where they have one.
    pub fn inputs(&self) -> Option<Matrix<T>> {
        self.inputs.as_ref().map(|inputs| Matrix::of(inputs.rows.as_ptr(), inputs.stride))
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
