//! The R-operator: a Hessian-vector product by differentiating the gradient along a direction.
//!
//! Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994): R{·} is the derivative of a
//! quantity along the direction, so R{gradient} is the Hessian times the direction. It takes a forward and a backward
//! pass on a record that is already there; each product has a term with the direction and one with the tangent.

use crate::dense::{Factors, Matrix, Order, column_sums, listed, offset_targets, update};
use crate::network::epilogues::{TangentBackward, TangentForward, activated};
use crate::network::head::{Dot, add_plane_sums, outputs};
use crate::network::loss;
use crate::network::workspace::{Batch, Scratch, Sink};
use crate::network::{Network, Point, Record};
use crate::simd::Isa;
use crate::simd::math::Elementary;

/// R{φ} and R{delta} of a hidden layer, in scratch.
struct LayerTangent<T> {
    value: Matrix<T>,
    delta: Matrix<T>,
}

impl<S: Isa> Network<'_, S> {
    /// The rows' Hessian times `direction` into the sink, from the record of [`Network::backward`] at `point`.
    pub fn tangent<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        direction: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
        sink: &Sink<'_, T>,
    ) {
        self.check(batch, point, record, scratch);
        self.check(batch, direction, record, scratch);
        // SAFETY: `check` and `Sink::targets` compared every length with what the layout reads and writes.
        unsafe {
            self.tangent_forward(batch, point, direction, record, scratch);
            let [outputs, deltas] = self.output_tangents(batch, record.layout.plane, scratch);
            let planes = self.planes(batch, record.layout, record.numbers.as_mut_ptr(), scratch.outputs.as_ptr());
            loss::tangent(self.isa, self.loss, planes, outputs.at, deltas.at);
            self.tangent_backward(batch, point, direction, record, scratch, sink);
        }
    }

    /// The outputs' derivative along `direction` into the first of the scratch's `tangent_outputs`; targets and weights
    /// are not read.
    pub fn value_tangents<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        direction: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        self.values(batch, point, record, scratch);
        self.check_values(batch, direction, record, scratch);
        // SAFETY: `check_values` compared every length with what the layout reads and writes.
        unsafe { self.tangent_forward(batch, point, direction, record, scratch) }
    }

    fn layer_tangent<T: Elementary>(&self, l: usize, scratch: &mut Scratch<T>) -> LayerTangent<T> {
        let rows = scratch.rows;
        let below: usize = self.layout.hidden[..l].iter().map(|layer| layer.stride * rows).sum();
        let all: usize = self.layout.hidden.iter().map(|layer| layer.stride * rows).sum();
        let stride = self.layout.hidden[l].stride;
        let at = scratch.tangent.as_mut_ptr();
        let part = |offset: usize| Matrix { at: at.wrapping_add(offset), stride };
        LayerTangent { value: part(below), delta: part(all + below) }
    }

    fn incoming<T: Elementary>(&self, stride: usize, scratch: &mut Scratch<T>) -> Matrix<T> {
        let all: usize = self.layout.hidden.iter().map(|layer| 2 * layer.stride * scratch.rows).sum();
        Matrix { at: scratch.tangent.as_mut_ptr().wrapping_add(all), stride }
    }

    /// R{f} and R{output delta} in planes like the record's.
    fn output_tangents<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        plane: usize,
        scratch: &mut Scratch<T>,
    ) -> [Matrix<T>; 2] {
        let at = scratch.tangent_outputs.as_mut_ptr().wrapping_add(batch.first_row);
        [0, self.layout.n_outputs * plane].map(|offset| Matrix { at: at.wrapping_add(offset), stride: plane })
    }

    unsafe fn tangent_forward<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        direction: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        let layout = self.layout;
        let (theta, along) = (point.theta.as_ptr(), direction.theta.as_ptr());
        let numbers = record.numbers.as_mut_ptr();
        // SAFETY: the caller checked the lengths.
        unsafe {
            for (l, layer) in layout.hidden.iter().enumerate() {
                let trace = record.layout.layer(layout, numbers, l, batch.first_row);
                let tangent = self.layer_tangent(l, scratch);
                let weights = |vector: *const T| Matrix::of(vector.add(layer.weights), layer.stride);
                let depth = layer.inputs;
                let a = self.input(l, batch, record.layout, numbers);
                let from_direction = Factors { a, b: weights(along), depth };
                let from_tangent = l.checked_sub(1).map(|below| Factors {
                    a: self.layer_tangent(below, scratch).value,
                    b: weights(theta),
                    depth,
                });
                let epilogue =
                    TangentForward { activation: layout.activation, trace, value: tangent.value, delta: tangent.delta };
                let (factors, terms) = listed([Some(from_direction), from_tangent]);
                let shape = (batch.rows, layer.width);
                activated(self.processor(), Order::Rows, shape, &factors[..terms], along.add(layer.bias), epilogue);
            }
            let top = layout.hidden.len();
            let weights = |vector: *const T| Matrix::of(vector.add(layout.head_weights), layout.head_stride);
            let rows = self.input(top, batch, record.layout, numbers);
            let from_direction = Dot { rows, weights: weights(along) };
            let from_tangent = top
                .checked_sub(1)
                .map(|below| Dot { rows: self.layer_tangent(below, scratch).value, weights: weights(theta) });
            let [into, _] = self.output_tangents(batch, record.layout.plane, scratch);
            let shape = (batch.rows, layout.n_outputs, layout.head_inputs);
            let bias = along.add(layout.head_bias);
            outputs(self.processor(), shape, (from_direction, from_tangent), bias, into);
        }
    }

    unsafe fn tangent_backward<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        direction: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
        sink: &Sink<'_, T>,
    ) {
        let layout = self.layout;
        let targets = sink.targets(layout.len);
        let numbers = record.numbers.as_mut_ptr();
        let rows = batch.rows;
        let plane = record.layout.plane;
        let deltas = Matrix { at: numbers.wrapping_add(record.layout.delta + batch.first_row), stride: plane };
        let [_, tangent_deltas] = self.output_tangents(batch, plane, scratch);
        let top = layout.hidden.len();
        // SAFETY: the caller checked the lengths.
        unsafe {
            let head = |vector: &[T]| Matrix::of(vector.as_ptr().add(layout.head_weights), layout.head_stride);
            if let Some(last) = top.checked_sub(1) {
                let depth = layout.n_outputs;
                let factors = [
                    Factors { a: tangent_deltas, b: head(point.theta), depth },
                    Factors { a: deltas, b: head(direction.theta), depth },
                ];
                self.onto_delta(Order::Columns, factors, last, batch, record, scratch);
            }
            // The direction may be among the targets: the head's part is read for the last time above.
            let depth = rows;
            let from_tangent = top.checked_sub(1).map(|below| Factors {
                a: deltas,
                b: self.layer_tangent(below, scratch).value,
                depth,
            });
            let b = self.input(top, batch, record.layout, numbers);
            let factors = [Some(Factors { a: tangent_deltas, b, depth }), from_tangent];
            let weights = offset_targets(&targets, layout.head_weights);
            update(
                self.processor(),
                Order::Rows,
                (layout.n_outputs, layout.head_inputs),
                factors,
                weights,
                layout.head_stride,
            );
            add_plane_sums(
                self.isa,
                (layout.n_outputs, rows),
                tangent_deltas,
                offset_targets(&targets, layout.head_bias),
            );

            for (l, layer) in layout.hidden.iter().enumerate().rev() {
                let trace = record.layout.layer(layout, numbers, l, batch.first_row);
                let delta = self.layer_tangent(l, scratch).delta;
                let a = self.input(l, batch, record.layout, numbers);
                let from_tangent = l.checked_sub(1).map(|below| Factors {
                    a: self.layer_tangent(below, scratch).value,
                    b: trace.delta,
                    depth: rows,
                });
                let factors = [Some(Factors { a, b: delta, depth: rows }), from_tangent];
                let weights = offset_targets(&targets, layer.weights);
                update(self.processor(), Order::Columns, (layer.inputs, layer.width), factors, weights, layer.stride);
                column_sums(self.isa, (rows, layer.width), delta, offset_targets(&targets, layer.bias));
                if let Some(below) = l.checked_sub(1) {
                    let transposed = |of: &Point<'_, T>| {
                        Matrix::of(of.transposed.as_ptr().add(layer.transposed), layer.transposed_stride)
                    };
                    let depth = layer.width;
                    let factors = [
                        Factors { a: delta, b: transposed(point), depth },
                        Factors { a: trace.delta, b: transposed(direction), depth },
                    ];
                    self.onto_delta(Order::Rows, factors, below, batch, record, scratch);
                }
            }
        }
    }

    /// Adds a product, times φ′, to layer `l`'s R{delta}.
    unsafe fn onto_delta<T: Elementary>(
        &self,
        order: Order,
        factors: [Factors<T>; 2],
        l: usize,
        batch: &Batch<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        let layer = &self.layout.hidden[l];
        let incoming = self.incoming(layer.stride, scratch);
        let epilogue = TangentBackward {
            activation: self.layout.activation,
            trace: record.layout.layer(self.layout, record.numbers.as_mut_ptr(), l, batch.first_row),
            incoming,
            delta: self.layer_tangent(l, scratch).delta,
        };
        // SAFETY: the caller checked the lengths; the scratch has room for the widest product.
        unsafe { activated(self.processor(), order, (batch.rows, layer.width), &factors, std::ptr::null(), epilogue) }
    }
}
