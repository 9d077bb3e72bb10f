//! The backward pass: deltas from the outputs down, and the gradient into its targets.

use crate::dense::{Factors, Matrix, Order, column_sums, offset_targets, update};
use crate::network::epilogues::{Backward, activated};
use crate::network::head::add_plane_sums;
use crate::network::workspace::{Batch, Scratch, Sink};
use crate::network::{Network, Point, Record};
use crate::simd::Isa;
use crate::simd::math::Elementary;

impl<S: Isa> Network<'_, S> {
    /// Deltas of every hidden layer into the record that [`Network::forward`] filled, and the gradient into the sink.
    /// Without a sink only the deltas are found: what a Hessian-vector product needs of a pass that was not kept.
    pub fn backward<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &Scratch<T>,
        sink: Option<&Sink<'_, T>>,
    ) {
        self.check(batch, point, record, scratch);
        let layout = self.layout;
        let targets = sink.map(|sink| sink.targets(layout.len));
        let numbers = record.numbers.as_mut_ptr();
        let rows = batch.rows;
        let deltas =
            Matrix { at: numbers.wrapping_add(record.layout.delta + batch.first_row), stride: record.layout.plane };
        let top = layout.hidden.len();
        // SAFETY: `check` and `Sink::targets` compared every length with what the layout reads and writes.
        unsafe {
            if let Some(above) = top.checked_sub(1) {
                let trace = record.layout.layer(layout, numbers, above, batch.first_row);
                let b = Matrix::of(point.theta.as_ptr().add(layout.head_weights), layout.head_stride);
                let factors = [Factors { a: deltas, b, depth: layout.n_outputs }];
                let shape = (rows, layout.head_inputs);
                let epilogue = Backward(layout.activation, trace);
                activated(self.processor(), Order::Columns, shape, &factors, std::ptr::null(), epilogue);
            }
            if let Some(targets) = &targets {
                let b = self.input(top, batch, record.layout, numbers);
                let factors = [Some(Factors { a: deltas, b, depth: rows }), None];
                let shape = (layout.n_outputs, layout.head_inputs);
                let weights = offset_targets(targets, layout.head_weights);
                update(self.processor(), Order::Rows, shape, factors, weights, layout.head_stride);
                add_plane_sums(self.isa, (layout.n_outputs, rows), deltas, offset_targets(targets, layout.head_bias));
            }
            for (l, layer) in layout.hidden.iter().enumerate().rev() {
                let trace = record.layout.layer(layout, numbers, l, batch.first_row);
                if let Some(targets) = &targets {
                    let a = self.input(l, batch, record.layout, numbers);
                    let factors = [Some(Factors { a, b: trace.delta, depth: rows }), None];
                    let weights = offset_targets(targets, layer.weights);
                    update(
                        self.processor(),
                        Order::Columns,
                        (layer.inputs, layer.width),
                        factors,
                        weights,
                        layer.stride,
                    );
                    let bias = offset_targets(targets, layer.bias);
                    column_sums(self.isa, (rows, layer.width), trace.delta, bias);
                }
                if let Some(below) = l.checked_sub(1) {
                    let b = Matrix::of(point.transposed.as_ptr().add(layer.transposed), layer.transposed_stride);
                    let factors = [Factors { a: trace.delta, b, depth: layer.width }];
                    let lower = record.layout.layer(layout, numbers, below, batch.first_row);
                    let epilogue = Backward(layout.activation, lower);
                    let shape = (rows, layer.inputs);
                    activated(self.processor(), Order::Rows, shape, &factors, std::ptr::null(), epilogue);
                }
            }
        }
    }
}
