//! The way to θ^k: forward and backward passes with W_t in its dual form.

use super::{Dual, Stack};
use crate::dense::{Factors, Matrix, NoEpilogue, Order, product};
use crate::network::epilogues::{Backward, Forward, LayerTrace, activated};
use crate::network::head::{Dot, dots};
use crate::network::layout::Layout;
use crate::network::loss::{self, Planes};
use crate::network::workspace::Batch;
use crate::objective::setting::Setting;
use crate::simd::Isa;
use crate::simd::math::Elementary;

/// One cluster's path from θ to θ^k in the dual form.
pub(super) struct DualPath<'a, 'b, S, T> {
    pub(super) setting: &'a Setting<'b, S, T>,
    pub(super) batch: Batch<'a, T>,
    pub(super) n: usize,
    pub(super) dual: &'a mut Dual<T>,
}

impl<S: Isa, T: Elementary> DualPath<'_, '_, S, T> {
    pub(super) fn layout(&self) -> &Layout {
        self.setting.network.layout
    }

    pub(super) fn top(&self) -> usize {
        self.layout().hidden.len()
    }

    /// What layer `l` reads at step t and after: the data, or the values of the layer below.
    pub(super) fn input(&mut self, l: usize, t: usize) -> Matrix<T> {
        let row = t * self.n;
        if l == 0 { self.dual.x.from(row) } else { self.dual.layers[l - 1].value.from(row) }
    }

    pub(super) fn input_width(&self, l: usize) -> usize {
        self.layout().hidden.get(l).map_or(self.layout().head_inputs, |layer| layer.inputs)
    }

    pub(super) fn trace(&mut self, l: usize, t: usize) -> LayerTrace<T> {
        let (row, keeps) = (t * self.n, self.layout().activation.keeps_derivatives());
        let layer = &mut self.dual.layers[l];
        let kept = if keeps { row } else { 0 };
        let (value, delta) = (layer.value.from(row), layer.delta.from(row));
        LayerTrace {
            value,
            delta,
            slope: layer.slope.from(kept),
            second_derivative: layer.second_derivative.from(kept),
        }
    }

    /// Deltas of a layer from step t on; those of the head are a row an output.
    pub(super) fn delta(&mut self, l: usize, t: usize) -> Matrix<T> {
        self.dual.layers[l].delta.from(t * self.n)
    }

    pub(super) fn tangent_delta(&mut self, l: usize, t: usize) -> Matrix<T> {
        self.dual.layers[l].tangent_delta.from(t * self.n)
    }

    pub(super) fn tangent_input(&mut self, l: usize, t: usize) -> Matrix<T> {
        self.dual.layers[l - 1].tangent_value.from(t * self.n)
    }

    pub(super) fn head_at(stack: &mut Stack<T>, column: usize) -> Matrix<T> {
        Matrix { at: stack.numbers.as_mut_ptr().wrapping_add(column), stride: stack.stride }
    }

    /// −η (left·rightᵀ + 1 where `shift` is asked for and there are biases), n × `depth`, in the numbered scratch.
    pub(super) unsafe fn gram(
        &mut self,
        index: usize,
        left: Matrix<T>,
        right: Matrix<T>,
        (depth, width): (usize, usize),
        shift: bool,
    ) -> Matrix<T> {
        let into = self.dual.grams[index].from(0);
        let ones = [T::from_f64(1.0); 64];
        let rate = -self.setting.rate;
        for first in (0..self.n).step_by(64) {
            let count = (self.n - first).min(64);
            // SAFETY: the caller's matrices have n and `depth` rows of `width`, padded.
            unsafe {
                let pair = Dot { rows: right, weights: left.skip_rows(first) };
                let bias = (shift && self.layout().biases).then_some(ones.as_ptr());
                dots(
                    self.setting.network.processor(),
                    (depth, count),
                    &[(pair, width)],
                    bias,
                    rate,
                    into.skip_rows(first),
                );
            }
        }
        into
    }

    /// The head's −η (left·rightᵀ) the other way round, `depth` × n: deltas of the head lie across.
    pub(super) unsafe fn head_gram(
        &mut self,
        index: usize,
        left: Matrix<T>,
        right: Matrix<T>,
        depth: usize,
    ) -> Matrix<T> {
        let stride = self.n.next_multiple_of(T::PAD);
        let into = Matrix { at: self.dual.grams[index].numbers.as_mut_ptr(), stride };
        let factors = [Factors { a: right, b: left, depth: self.layout().n_outputs }];
        // SAFETY: as the caller's.
        unsafe {
            product(
                self.setting.network.processor(),
                Order::Columns,
                (depth, self.n),
                &factors,
                std::ptr::null(),
                into,
                &NoEpilogue,
            );
        }
        into
    }

    /// Forward and backward at θ^t; returns the loss.
    pub(super) unsafe fn step(&mut self, t: usize) -> f64 {
        // SAFETY: as the caller's.
        unsafe {
            let loss = self.forward(t);
            self.backward(t);
            loss
        }
    }

    pub(super) unsafe fn forward(&mut self, t: usize) -> f64 {
        let network = self.setting.network;
        let (layout, past) = (network.layout, t * self.n);
        let theta = self.setting.start.theta.as_ptr();
        // SAFETY: the caller's scratch is large enough; the layout's offsets are inside θ.
        unsafe {
            for (l, layer) in layout.hidden.iter().enumerate() {
                let a = self.input(l, t);
                let mut factors =
                    [Factors { a, b: Matrix::of(theta.add(layer.weights), layer.stride), depth: layer.inputs }; 2];
                if t > 0 {
                    let all = self.input(l, 0);
                    let gram = self.gram(0, a, all, (past, layer.inputs), true);
                    factors[1] = Factors { a: gram, b: self.delta(l, 0), depth: past };
                }
                let trace = self.trace(l, t);
                let shape = (self.n, layer.width);
                let terms = &factors[..1 + usize::from(t > 0)];
                let epilogue = Forward(layout.activation, trace);
                activated(network.processor(), Order::Rows, shape, terms, theta.add(layer.bias), epilogue);
            }
            self.outputs(t)
        }
    }

    /// Linear outputs at step t, their loss, and the output deltas.
    pub(super) unsafe fn outputs(&mut self, t: usize) -> f64 {
        let network = self.setting.network;
        let (layout, isa, past, top) = (network.layout, network.isa, t * self.n, self.top());
        let theta = self.setting.start.theta.as_ptr();
        let a = self.input(top, t);
        // SAFETY: as the caller's.
        unsafe {
            let weights = Matrix::of(theta.add(layout.head_weights), layout.head_stride);
            let mut pairs = [(Dot { rows: a, weights }, layout.head_inputs); 2];
            if t > 0 {
                let all = self.input(top, 0);
                let gram = self.gram(0, a, all, (past, layout.head_inputs), true);
                pairs[1] = (Dot { rows: gram, weights: Self::head_at(&mut self.dual.delta, 0) }, past);
            }
            let into = self.dual.outputs[0].from(0);
            let pairs = &pairs[..1 + usize::from(t > 0)];
            dots(network.processor(), (self.n, layout.n_outputs), pairs, Some(theta.add(layout.head_bias)), 1.0, into);
            let planes = self.planes(t);
            let loss = loss::gradient(isa, network.loss, planes);
            self.keep_outputs(t, false);
            loss
        }
    }

    pub(super) fn planes(&mut self, t: usize) -> Planes<T> {
        let padded = self.dual.outputs[0].stride;
        Planes {
            rows: self.n,
            outputs: self.layout().n_outputs,
            plane: padded,
            outputs_at: self.dual.outputs[0].numbers.as_ptr(),
            targets: self.batch.targets.as_ptr(),
            target_plane: self.batch.plane,
            weights: self.batch.weights.as_ptr(),
            delta: self.dual.outputs[1].numbers.as_mut_ptr(),
            curvature: self.dual.curvature[t].numbers.as_mut_ptr(),
        }
    }

    /// Copies the output deltas (or their tangents) of step t behind those of the other steps, and scales them by −η.
    pub(super) fn keep_outputs(&mut self, t: usize, tangent: bool) {
        let (n, rate, column) = (self.n, self.setting.rate, t * self.n);
        let Dual { outputs: [_, deltas, scaled], delta, tangent_delta, .. } = &mut *self.dual;
        let kept = if tangent { tangent_delta } else { delta };
        let lines = deltas.numbers.chunks_exact(deltas.stride).zip(scaled.numbers.chunks_exact_mut(deltas.stride));
        for ((from, scaled), to) in lines.zip(kept.numbers.chunks_exact_mut(kept.stride)) {
            to[column..column + n].copy_from_slice(&from[..n]);
            scaled.iter_mut().zip(from).for_each(|(to, x)| *to = T::from_f64(-rate * x.to_f64()));
        }
    }

    pub(super) unsafe fn backward(&mut self, t: usize) {
        let network = self.setting.network;
        let (layout, past) = (network.layout, t * self.n);
        let terms = 1 + usize::from(t > 0);
        // SAFETY: as the caller's.
        unsafe {
            let last = self.top() - 1;
            let weights = Matrix::of(self.setting.start.theta.as_ptr().add(layout.head_weights), layout.head_stride);
            let mut factors = [Factors { a: self.dual.outputs[1].from(0), b: weights, depth: layout.n_outputs }; 2];
            if t > 0 {
                let (scaled, all) = (self.dual.outputs[2].from(0), Self::head_at(&mut self.dual.delta, 0));
                let gram = self.head_gram(0, scaled, all, past);
                factors[1] = Factors { a: gram, b: self.input(last + 1, 0), depth: past };
            }
            self.onto_delta(Order::Columns, last, t, &factors[..terms]);
            for l in (1..layout.hidden.len()).rev() {
                let layer = &layout.hidden[l];
                let transposed = self.setting.start.transposed.as_ptr().add(layer.transposed);
                let delta = self.delta(l, t);
                let b = Matrix::of(transposed, layer.transposed_stride);
                let mut factors = [Factors { a: delta, b, depth: layer.width }; 2];
                if t > 0 {
                    let all = self.delta(l, 0);
                    let gram = self.gram(0, delta, all, (past, layer.width), false);
                    factors[1] = Factors { a: gram, b: self.input(l, 0), depth: past };
                }
                self.onto_delta(Order::Rows, l - 1, t, &factors[..terms]);
            }
        }
    }

    /// Layer `l`'s delta at step t from its product, by the backward epilogue.
    pub(super) unsafe fn onto_delta(&mut self, order: Order, l: usize, t: usize, factors: &[Factors<T>]) {
        let trace = self.trace(l, t);
        let shape = (self.n, self.layout().hidden[l].width);
        let epilogue = Backward(self.layout().activation, trace);
        // SAFETY: as the caller's.
        unsafe {
            activated(self.setting.network.processor(), order, shape, factors, std::ptr::null(), epilogue);
        }
    }
}
