//! The way back from θ^k, and the gradient from the stacked rows.

use super::Dual;
use super::walk::DualPath;
use crate::dense::{Factors, Matrix, Order, Target, Targets, column_sums, update_sum};
use crate::network::epilogues::{TangentBackward, TangentForward, activated};
use crate::network::head::{Dot, add_plane_sums, dots};
use crate::network::loss;
use crate::simd::Isa;
use crate::simd::math::Elementary;

impl<S: Isa, T: Elementary> DualPath<'_, '_, S, T> {
    /// E_k = −D_k / η, and nothing yet for the other steps.
    pub(super) unsafe fn start_way_back(&mut self) {
        let (n, k) = (self.n, self.setting.steps);
        let scale = |x: T| T::from_f64(-x.to_f64() / self.setting.rate);
        for layer in &mut self.dual.layers {
            let at = k * n * layer.delta.stride;
            let end = at + n * layer.delta.stride;
            layer.tangent_delta.numbers[..at].fill(T::default());
            layer.tangent_value.numbers[..at].fill(T::default());
            let lines = layer.tangent_delta.numbers[at..end].iter_mut().zip(&layer.delta.numbers[at..end]);
            lines.for_each(|(to, &x)| *to = scale(x));
        }
        let (delta, tangent) = (&self.dual.delta, &mut self.dual.tangent_delta);
        for (from, to) in delta.numbers.chunks_exact(delta.stride).zip(tangent.numbers.chunks_exact_mut(delta.stride)) {
            to[k * n..(k + 1) * n].iter_mut().zip(&from[k * n..(k + 1) * n]).for_each(|(to, &x)| *to = scale(x));
        }
    }

    /// The Hessian's part of step t: its E and RA.
    pub(super) unsafe fn pull(&mut self, t: usize) {
        // SAFETY: as the caller's.
        unsafe {
            self.pull_forward(t);
            self.pull_backward(t);
        }
    }

    /// Rows of the steps before t, of those after it, and of those between it and the last.
    pub(super) fn spans(&self, t: usize) -> [usize; 3] {
        [t * self.n, (self.setting.steps - t) * self.n, (self.setting.steps - 1 - t) * self.n]
    }

    pub(super) unsafe fn pull_forward(&mut self, t: usize) {
        let network = self.setting.network;
        let (layout, isa) = (network.layout, network.isa);
        let theta = self.setting.start.theta.as_ptr();
        // SAFETY: as the caller's.
        unsafe {
            for (l, layer) in layout.hidden.iter().enumerate() {
                let grams = self.tangent_grams(l, t);
                let [past, after, between] = self.spans(t);
                let mut factors = [Factors { a: grams[0], b: self.tangent_delta(l, t + 1), depth: after }; 4];
                let mut terms = 1;
                if l > 0 {
                    let tangent = self.tangent_input(l, t);
                    let b = Matrix::of(theta.add(layer.weights), layer.stride);
                    factors[1] = Factors { a: tangent, b, depth: layer.inputs };
                    factors[2] = Factors { a: grams[1], b: self.delta(l, t + 1), depth: between };
                    factors[3] = Factors { a: grams[2], b: self.delta(l, 0), depth: past };
                    terms = 4;
                }
                let trace = self.trace(l, t);
                let (value, delta) = (self.tangent_input(l + 1, t), self.tangent_delta(l, t));
                let epilogue = TangentForward { activation: layout.activation, trace, value, delta };
                let shape = (self.n, layer.width);
                activated(network.processor(), Order::Rows, shape, &factors[..terms], std::ptr::null(), epilogue);
            }
            let top = self.top();
            let grams = self.tangent_grams(top, t);
            let [past, after, between] = self.spans(t);
            let column = (t + 1) * self.n;
            let weights = Matrix::of(theta.add(layout.head_weights), layout.head_stride);
            let pairs = [
                (Dot { rows: self.tangent_input(top, t), weights }, layout.head_inputs),
                (Dot { rows: grams[0], weights: Self::head_at(&mut self.dual.tangent_delta, column) }, after),
                (Dot { rows: grams[1], weights: Self::head_at(&mut self.dual.delta, column) }, between),
                (Dot { rows: grams[2], weights: Self::head_at(&mut self.dual.delta, 0) }, past),
            ];
            let into = self.dual.outputs[0].from(0);
            dots(network.processor(), (self.n, layout.n_outputs), &pairs, None, 1.0, into);
            let planes = self.planes(t);
            loss::tangent(isa, network.loss, planes, into.at, planes.delta);
            self.keep_outputs(t, true);
        }
    }

    /// Inputs at t with inputs after it, with their tangents after it, and tangents at t with inputs before it.
    pub(super) unsafe fn tangent_grams(&mut self, l: usize, t: usize) -> [Matrix<T>; 3] {
        let width = self.input_width(l);
        let [past, after, between] = self.spans(t);
        let (now, later) = (self.input(l, t), self.input(l, t + 1));
        // SAFETY: as the caller's.
        unsafe {
            let first = self.gram(0, now, later, (after, width), true);
            if l == 0 {
                return [first; 3];
            }
            let (tangent_now, tangent_later) = (self.tangent_input(l, t), self.tangent_input(l, t + 1));
            let second = self.gram(1, now, tangent_later, (between, width), false);
            let start = self.input(l, 0);
            [first, second, self.gram(2, tangent_now, start, (past, width), false)]
        }
    }

    pub(super) unsafe fn pull_backward(&mut self, t: usize) {
        let network = self.setting.network;
        let layout = network.layout;
        let [past, after, between] = self.spans(t);
        let column = (t + 1) * self.n;
        // SAFETY: as the caller's.
        unsafe {
            let last = self.top() - 1;
            let weights = Matrix::of(self.setting.start.theta.as_ptr().add(layout.head_weights), layout.head_stride);
            // The scaled planes hold −η R{delta}; the deltas' own are scaled in the Gram matrices' other factor.
            let tangents = self.dual.outputs[1].from(0);
            let scaled_tangents = self.dual.outputs[2].from(0);
            let before = Self::head_at(&mut self.dual.delta, 0);
            let first = self.head_gram(0, scaled_tangents, before, past);
            let scaled = self.scaled_delta(t);
            let later = Self::head_at(&mut self.dual.tangent_delta, column);
            let second = self.head_gram(1, scaled, later, after);
            let between_deltas = Self::head_at(&mut self.dual.delta, column);
            let third = self.head_gram(2, scaled, between_deltas, between);
            let factors = [
                Factors { a: tangents, b: weights, depth: layout.n_outputs },
                Factors { a: first, b: self.input(last + 1, 0), depth: past },
                Factors { a: second, b: self.input(last + 1, t + 1), depth: after },
                Factors { a: third, b: self.tangent_input(last + 1, t + 1), depth: between },
            ];
            self.onto_tangent_delta(Order::Columns, last, t, &factors);
            for l in (1..layout.hidden.len()).rev() {
                let layer = &layout.hidden[l];
                let transposed = self.setting.start.transposed.as_ptr().add(layer.transposed);
                let (delta, tangent) = (self.delta(l, t), self.tangent_delta(l, t));
                let (start, later, between_deltas) =
                    (self.delta(l, 0), self.tangent_delta(l, t + 1), self.delta(l, t + 1));
                let first = self.gram(0, tangent, start, (past, layer.width), false);
                let second = self.gram(1, delta, later, (after, layer.width), false);
                let third = self.gram(2, delta, between_deltas, (between, layer.width), false);
                let factors = [
                    Factors { a: tangent, b: Matrix::of(transposed, layer.transposed_stride), depth: layer.width },
                    Factors { a: first, b: self.input(l, 0), depth: past },
                    Factors { a: second, b: self.input(l, t + 1), depth: after },
                    Factors { a: third, b: self.tangent_input(l, t + 1), depth: between },
                ];
                self.onto_tangent_delta(Order::Rows, l - 1, t, &factors);
            }
        }
    }

    /// −η times the output deltas of step t, in the scaled planes.
    pub(super) fn scaled_delta(&mut self, t: usize) -> Matrix<T> {
        let (n, rate, column) = (self.n, self.setting.rate, t * self.n);
        let Dual { outputs: [_, _, scaled], delta, .. } = &mut *self.dual;
        let stride = scaled.stride;
        for (to, from) in scaled.numbers.chunks_exact_mut(stride).zip(delta.numbers.chunks_exact(delta.stride)) {
            to.iter_mut().zip(&from[column..column + n]).for_each(|(to, x)| *to = T::from_f64(-rate * x.to_f64()));
        }
        scaled.from(0)
    }

    pub(super) unsafe fn onto_tangent_delta(&mut self, order: Order, l: usize, t: usize, factors: &[Factors<T>]) {
        let layer = &self.layout().hidden[l];
        let (width, stride) = (layer.width, layer.stride);
        let incoming = Matrix { at: self.dual.incoming.numbers.as_mut_ptr(), stride };
        let (trace, delta) = (self.trace(l, t), self.tangent_delta(l, t));
        let epilogue = TangentBackward { activation: self.layout().activation, trace, incoming, delta };
        // SAFETY: as the caller's.
        unsafe {
            activated(self.setting.network.processor(), order, (self.n, width), factors, std::ptr::null(), epilogue);
        }
    }

    /// v_0 + α/(1−α) ∇L(θ), where ∇L(θ) = A_0ᵀD_0 joins v_0's first step: it adds −α/(η (1−α)) D_0 to E_0.
    pub(super) unsafe fn finish(&mut self, alpha: f64, gradient: &mut [T]) {
        let network = self.setting.network;
        let (layout, isa, n, k) = (network.layout, network.isa, self.n, self.setting.steps);
        let share = -alpha / (self.setting.rate * (1.0 - alpha));
        let add = |to: &mut T, from: &T| *to = T::from_f64(to.to_f64() + share * from.to_f64());
        for layer in &mut self.dual.layers {
            let first = n * layer.delta.stride;
            layer.tangent_delta.numbers[..first]
                .iter_mut()
                .zip(&layer.delta.numbers[..first])
                .for_each(|(a, b)| add(a, b));
        }
        let (delta, tangent) = (&self.dual.delta, &mut self.dual.tangent_delta);
        for (from, to) in delta.numbers.chunks_exact(delta.stride).zip(tangent.numbers.chunks_exact_mut(delta.stride)) {
            to[..n].iter_mut().zip(&from[..n]).for_each(|(a, b)| add(a, b));
        }
        let scale = T::from_f64(-self.setting.rate);
        let base = gradient.as_mut_ptr();
        let (all, steps) = ((k + 1) * n, k * n);
        let with_tangents = usize::from(!self.setting.inner.first_order);
        // SAFETY: as the caller's; the gradient is as long as the layout.
        unsafe {
            let to = |offset: usize| -> Targets<T> {
                [Some(Target { from: std::ptr::null(), to: base.add(offset), scale, keep: None }), None]
            };
            for (l, layer) in layout.hidden.iter().enumerate() {
                let mut factors = [Factors { a: self.input(l, 0), b: self.tangent_delta(l, 0), depth: all }; 2];
                let terms = if l > 0 { 1 + with_tangents } else { 1 };
                if l > 0 {
                    factors[1] = Factors { a: self.tangent_input(l, 0), b: self.delta(l, 0), depth: steps };
                }
                let shape = (layer.inputs, layer.width);
                update_sum(
                    network.processor(),
                    Order::Columns,
                    shape,
                    &factors[..terms],
                    to(layer.weights),
                    layer.stride,
                );
                column_sums(isa, (all, layer.width), self.tangent_delta(l, 0), to(layer.bias));
            }
            let top = self.top();
            let tangents = Self::head_at(&mut self.dual.tangent_delta, 0);
            let deltas = Self::head_at(&mut self.dual.delta, 0);
            let factors = [
                Factors { a: tangents, b: self.input(top, 0), depth: all },
                Factors { a: deltas, b: self.tangent_input(top, 0), depth: steps },
            ];
            let shape = (layout.n_outputs, layout.head_inputs);
            let terms = &factors[..1 + with_tangents];
            update_sum(network.processor(), Order::Rows, shape, terms, to(layout.head_weights), layout.head_stride);
            add_plane_sums(isa, (layout.n_outputs, all), tangents, to(layout.head_bias));
        }
    }
}
