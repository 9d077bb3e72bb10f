//! Gradients with dropout, batch normalization or both: layer by layer, on the kernel's products.
//!
//! A hidden layer is z = W·input + b, normalized, then φ, then times the mask. All rows of a batch go through at once,
//! because a normalization needs them.

use std::ops::Range;

use super::Spec;
use super::batch_norm::Normalization;
use super::extended::Extended;
use super::mask::{DropoutMasks, multiply};
use crate::dense::{Block, Epilogue, Factors, Matrix, NoEpilogue, Order, column_sums, offset_targets, product, update};
use crate::network::epilogues::{Backward, Forward, LayerTrace, activated};
use crate::network::fold::{Fold, WHOLE_RUN};
use crate::network::head::{Dot, add_plane_sums, outputs};
use crate::network::layout::HiddenLayer;
use crate::network::loss;
use crate::network::workspace::{Batch, Buffer, From, Scratch, Sink, TraceLayout};
use crate::network::{Network, Point, Record};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;

/// Scratch and state of such passes, for batches of up to a number of rows.
pub struct Layers<'a, T> {
    trace: TraceLayout,
    record: Buffer<T>,
    scratch: Scratch<T>,
    masks: Option<Box<DropoutMasks<'a, T>>>,
    /// φ times the mask, of each hidden layer: what the next one reads.
    masked: Vec<Buffer<T>>,
    /// What batch normalization keeps.
    pub normalization: Option<Normalization<T>>,
    fold: Option<Fold<T>>,
}

/// What one pass works on.
struct LayerPass<'p, 'n, S, T> {
    network: &'p Network<'n, S>,
    extended: &'p Extended<'n>,
    batch: Batch<'p, T>,
    /// Parameters, extended.
    theta: &'p [T],
    transposed: &'p [T],
}

/// Numbers that are worked on between two questions: about a millisecond.
const AT_ONCE: usize = 1 << 20;

impl<S: Isa, T: Elementary> LayerPass<'_, '_, S, T> {
    /// Calls `work` on all rows of `cols` numbers, from a first one on and so many at a time, until it is told to stop.
    fn in_parts(&self, cols: usize, mut work: impl FnMut(usize, usize)) {
        let at_once = AT_ONCE.div_ceil(cols);
        for first in (0..self.batch.rows).step_by(at_once) {
            if first > 0 && self.network.threads.is_stopped() {
                return;
            }
            work(first, at_once.min(self.batch.rows - first));
        }
    }

    /// As [`multiply`], of all rows.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn multiply(&self, cols: usize, from: Matrix<T>, mask: Matrix<T>, into: Matrix<T>) {
        self.in_parts(cols, |first, rows| {
            // SAFETY: the caller's promise, for rows among the batch's.
            unsafe {
                let [from, mask, into] = [from, mask, into].map(|matrix| matrix.skip_rows(first));
                multiply(self.network.isa, (rows, cols), from, mask, into);
            }
        });
    }
}

impl<'a, T: Elementary> Layers<'a, T> {
    /// For a model, if it has dropout or batch normalization.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(spec: &'a Spec, extended: &Extended<'_>, most_rows: usize) -> Result<Option<Self>, KernelError> {
        if spec.dropout.is_none() && spec.batch_norm.is_none() {
            return Ok(None);
        }
        let layout = extended.layout;
        let trace = TraceLayout::new::<T>(layout, most_rows);
        let rows = if spec.dropout.is_some() { most_rows } else { 0 };
        let masks =
            spec.dropout.as_ref().map(|dropout| DropoutMasks::new(spec, dropout, layout, most_rows).map(Box::new));
        let normalization = spec.batch_norm.map(|norm| Normalization::new(norm, layout, most_rows));
        Ok(Some(Self {
            record: Buffer::new("the values of the hidden layers", trace.len)?,
            scratch: Scratch::new(layout, most_rows, trace.plane)?,
            trace,
            masks: masks.transpose()?,
            masked: Buffer::several(
                "the values of the hidden layers",
                layout.hidden.iter().map(|layer| rows * layer.stride),
            )?,
            normalization: normalization.transpose()?,
            fold: Fold::new(WHOLE_RUN, most_rows, layout.len)?,
        }))
    }

    /// Mean loss of step t's batch at a point, and its gradient.
    pub fn gradient<S: Isa>(
        &mut self,
        network: &Network<'_, S>,
        extended: &Extended<'_>,
        (t, batch): (u64, Batch<'_, T>),
        (theta, transposed): (&[T], &[T]),
        into: &mut [T],
    ) -> f64 {
        assert!(theta.len() == extended.len && into.len() == extended.len, "parameters are not those of the layout");
        if let Some(masks) = &mut self.masks {
            masks.draw(network.isa, t, &batch, network.threads);
        }
        let step = LayerPass { network, extended, batch, theta, transposed };
        let point = Point { theta: &theta[..extended.layout.len], transposed };
        let record = Record { layout: &self.trace, numbers: &mut self.record };
        network.check(&batch, &point, &record, &self.scratch);
        // SAFETY: `check` compared every length with what the layout reads and writes; masks, masked values and
        // normalizations were sized from the same layout for at least as many rows as the record.
        unsafe {
            let loss = self.forward(&step);
            if !network.threads.is_stopped() {
                self.backward(&step, into);
            }
            loss
        }
    }

    fn layer<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, l: usize) -> LayerTrace<T> {
        self.trace.layer(step.extended.layout, self.record.as_mut_ptr(), l, 0)
    }

    /// What layer `l`, or with the number of hidden layers the head, reads.
    fn input<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, l: usize) -> Matrix<T> {
        match l.checked_sub(1) {
            None => {
                let masked = self.masks.as_ref().and_then(|masks| masks.inputs());
                masked.unwrap_or(Matrix::of(step.batch.x.as_ptr(), step.batch.x_stride))
            }
            Some(below) if self.masks.is_some() => {
                Matrix::of(self.masked[below].as_ptr(), step.extended.layout.hidden[below].stride)
            }
            Some(below) => self.layer(step, below).value,
        }
    }

    unsafe fn forward<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>) -> f64 {
        let (layout, rows, isa) = (step.extended.layout, step.batch.rows, step.network.isa);
        // SAFETY: the caller's promise.
        unsafe {
            for (l, layer) in layout.hidden.iter().enumerate() {
                if step.network.threads.is_stopped() {
                    return f64::NAN;
                }
                self.hidden_forward(step, l, layer);
            }
            let top = layout.hidden.len();
            let weights = Matrix::of(step.theta.as_ptr().add(layout.head_weights), layout.head_stride);
            let dot = Dot { rows: self.input(step, top), weights };
            let into = Matrix { at: self.scratch.outputs.as_mut_ptr(), stride: self.trace.plane };
            let bias = step.theta.as_ptr().add(layout.head_bias);
            let shape = (rows, layout.n_outputs, layout.head_inputs);
            outputs(step.network.processor(), shape, (dot, None), bias, into);
            let numbers = self.record.as_mut_ptr();
            let mut loss = 0.0;
            for first in (0..rows).step_by(WHOLE_RUN) {
                let run = step.batch.part(first, rows.min(first + WHOLE_RUN));
                let planes = step.network.planes(&run, &self.trace, numbers, self.scratch.outputs.as_ptr());
                loss += loss::gradient(isa, step.network.loss, planes);
            }
            loss
        }
    }

    unsafe fn hidden_forward<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, l: usize, layer: &HiddenLayer) {
        let (rows, isa) = (step.batch.rows, step.network.isa);
        let trace = self.layer(step, l);
        let activate = Forward(step.extended.layout.activation, trace);
        // SAFETY: the caller's promise.
        unsafe {
            let b = Matrix::of(step.theta.as_ptr().add(layer.weights), layer.stride);
            let factors = [Factors { a: self.input(step, l), b, depth: layer.inputs }];
            let bias = step.theta.as_ptr().add(layer.bias);
            let (processor, shape) = (step.network.processor(), (rows, layer.width));
            if self.normalization.is_some() {
                product(processor, Order::Rows, shape, &factors, bias, trace.value, &NoEpilogue);
            } else {
                activated(processor, Order::Rows, shape, &factors, bias, activate);
            }
            let cols = layer.width.next_multiple_of(T::PAD);
            if let Some(normalization) = &mut self.normalization {
                let lines = step.extended.scale_and_shift(l).map(|range| &step.theta[range]);
                normalization.forward(step.network.processor(), (l, rows, cols), trace.value, lines);
                step.in_parts(cols, |row, rows| activate.apply(isa, Block { row, col: 0, rows, cols }));
            }
            if let Some(masks) = &self.masks {
                let into = Matrix { at: self.masked[l].as_mut_ptr(), stride: layer.stride };
                step.multiply(cols, trace.value, masks.layer(l), into);
            }
        }
    }

    unsafe fn backward<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, into: &mut [T]) {
        let rows = step.batch.rows;
        let (own, scales) = into.split_at_mut(step.extended.layout.len);
        // SAFETY: the caller's promise.
        unsafe {
            self.deltas(step, scales);
            let Some(mut fold) = Fold::take_for(&mut self.fold, rows) else { return self.sums(step, 0..rows, own) };
            let sum = fold.sum(step.network.isa, rows, own.len(), |rows, run| {
                self.sums(step, rows, run);
                // What is left by a pass that was told to stop is not used.
                if step.network.threads.is_stopped() { Err(()) } else { Ok(()) }
            });
            if let Ok(sum) = sum {
                own.copy_from_slice(sum);
            }
            self.fold = Some(fold);
        }
    }

    /// Deltas of every hidden layer, and the gradients of the normalizations.
    unsafe fn deltas<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, scales: &mut [T]) {
        let (layout, rows, processor) = (step.extended.layout, step.batch.rows, step.network.processor());
        let Some(top) = layout.hidden.len().checked_sub(1) else { return };
        // SAFETY: the caller's promise.
        unsafe {
            let a = self.output_deltas();
            let b = Matrix::of(step.theta.as_ptr().add(layout.head_weights), layout.head_stride);
            let factors = [Factors { a, b, depth: layout.n_outputs }];
            let trace = self.layer(step, top);
            let epilogue = Backward(layout.activation, trace);
            let shape = (rows, layout.head_inputs);
            activated(processor, Order::Columns, shape, &factors, std::ptr::null(), epilogue);
            self.hidden_backward(step, top, scales);
            for (l, layer) in layout.hidden.iter().enumerate().skip(1).rev() {
                let a = self.layer(step, l).delta;
                let b = Matrix::of(step.transposed.as_ptr().add(layer.transposed), layer.transposed_stride);
                let factors = [Factors { a, b, depth: layer.width }];
                let lower = self.layer(step, l - 1);
                let epilogue = Backward(layout.activation, lower);
                let shape = (rows, layer.inputs);
                activated(processor, Order::Rows, shape, &factors, std::ptr::null(), epilogue);
                self.hidden_backward(step, l - 1, scales);
            }
        }
    }

    /// The gradient of some rows, from the deltas.
    unsafe fn sums<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, rows: Range<usize>, into: &mut [T]) {
        let (layout, processor) = (step.extended.layout, step.network.processor());
        let (first, depth) = (rows.start, rows.len());
        let targets = Sink::new(From::Zero, into, T::from_f64(1.0)).targets(layout.len);
        let top = layout.hidden.len();
        // SAFETY: the caller's promise; the rows are among the batch's.
        unsafe {
            let all = self.output_deltas();
            let deltas = Matrix { at: all.at.add(first), ..all };
            let factors = [Some(Factors { a: deltas, b: self.input(step, top).skip_rows(first), depth }), None];
            let shape = (layout.n_outputs, layout.head_inputs);
            let weights = offset_targets(&targets, layout.head_weights);
            update(processor, Order::Rows, shape, factors, weights, layout.head_stride);
            let bias = offset_targets(&targets, layout.head_bias);
            add_plane_sums(processor.isa, (layout.n_outputs, depth), deltas, bias);
            for (l, layer) in layout.hidden.iter().enumerate() {
                let (a, b) = (self.input(step, l).skip_rows(first), self.layer(step, l).delta.skip_rows(first));
                let factors = [Some(Factors { a, b, depth }), None];
                let weights = offset_targets(&targets, layer.weights);
                update(processor, Order::Columns, (layer.inputs, layer.width), factors, weights, layer.stride);
                column_sums(processor.isa, (depth, layer.width), b, offset_targets(&targets, layer.bias));
            }
        }
    }

    /// ∂L/∂f, in planes.
    fn output_deltas(&mut self) -> Matrix<T> {
        Matrix { at: self.record.as_mut_ptr().wrapping_add(self.trace.delta), stride: self.trace.plane }
    }

    /// From ∂L/∂(masked value)·φ′ to ∂L/∂z of a layer.
    unsafe fn hidden_backward<S: Isa>(&mut self, step: &LayerPass<'_, '_, S, T>, l: usize, scales: &mut [T]) {
        let rows = step.batch.rows;
        let layer = &step.extended.layout.hidden[l];
        let cols = layer.width.next_multiple_of(T::PAD);
        let trace = self.layer(step, l);
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(masks) = &self.masks {
                step.multiply(cols, trace.delta, masks.layer(l), trace.delta);
            }
            if let Some(normalization) = &self.normalization {
                let [scale, _] = step.extended.scale_and_shift(l).map(|range| &step.theta[range]);
                let at = step.extended.scales[l] - step.extended.layout.len;
                let into = &mut scales[at..at + 2 * layer.stride];
                normalization.backward(step.network.processor(), (l, rows, cols), trace.delta, scale, into);
            }
        }
    }
}
