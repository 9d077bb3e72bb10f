//! The forward pass: activations kept, then the linear outputs and their loss.

use crate::dense::{Factors, Matrix, Order};
use crate::network::epilogues::{Forward, activated};
use crate::network::head::{Dot, outputs};
use crate::network::layout::Layout;
use crate::network::loss;
use crate::network::workspace::{Batch, Scratch};
use crate::network::{Network, Point, Record};
use crate::simd::Isa;
use crate::simd::math::Elementary;

impl<S: Isa> Network<'_, S> {
    /// Weighted loss of the rows; the record keeps every hidden value and the outputs' deltas and curvature.
    pub fn forward<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) -> f64 {
        self.check(batch, point, record, scratch);
        self.values(batch, point, record, scratch);
        let planes = self.planes(batch, record.layout, record.numbers.as_mut_ptr(), scratch.outputs.as_ptr());
        // SAFETY: `check` compared the planes' lengths with the rows.
        unsafe { loss::gradient(self.isa, self.loss, planes) }
    }

    /// Every hidden value into the record, the linear outputs into the scratch; targets and weights are not read.
    pub fn values<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        self.check_values(batch, point, record, scratch);
        let theta = point.theta.as_ptr();
        let numbers = record.numbers.as_mut_ptr();
        let layout: &Layout = self.layout;
        // SAFETY: `check_values` compared every length with what the layout reads and writes.
        unsafe {
            for (l, layer) in layout.hidden.iter().enumerate() {
                let trace = record.layout.layer(layout, numbers, l, batch.first_row);
                let a = self.input(l, batch, record.layout, numbers);
                let b = Matrix::of(theta.add(layer.weights), layer.stride);
                let factors = [Factors { a, b, depth: layer.inputs }];
                let epilogue = Forward(layout.activation, trace);
                let shape = (batch.rows, layer.width);
                activated(self.processor(), Order::Rows, shape, &factors, theta.add(layer.bias), epilogue);
            }
            let rows = self.input(layout.hidden.len(), batch, record.layout, numbers);
            let weights = Matrix::of(theta.add(layout.head_weights), layout.head_stride);
            let into = Matrix { at: scratch.outputs.as_mut_ptr().add(batch.first_row), stride: record.layout.plane };
            let shape = (batch.rows, layout.n_outputs, layout.head_inputs);
            let bias = theta.add(layout.head_bias);
            outputs(self.processor(), shape, (Dot { rows, weights }, None), bias, into);
        }
    }
}
