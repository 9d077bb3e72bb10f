//! The dual form: a cluster's path without weights of its own.
//!
//! The weights after t steps are W_t = W_0 − η Σ_{s<t} A_sᵀ D_s, with A_s the layer's inputs and D_s its deltas at step s.
//! So a product with W_t is one with W_0 and one with the n × tn Gram matrix of the inputs. The derivative of the adapted
//! loss is such a sum too: v_t = −η [Σ_{s>t} A_sᵀ E_s + RA_sᵀ D_s], where E_s is R{D_s}, RA_s is R{A_s}, and at the end of
//! the path E_k = −D_k / η. Nothing as large as the weights is written until the end, when the cluster's gradient is one
//! product of the stacked rows. It takes about a third fewer multiplications, and pays where n·k is well under the widths:
//! [`pays`] compares the costs.
//!
//! Biases are weights of an input that is always 1: their part of a Gram matrix is + 1.

use crate::activation::{Backward, Forward, LayerTrace, TangentBackward, TangentForward};
use crate::architecture::Layout;
use crate::dense::{Epilogue, Factors, Matrix, Order, Target, Targets, column_sums, sum_of_products, update_sum};
use crate::head::{Dot, add_plane_sums, dots};
use crate::inner::{Divergence, Setting};
use crate::loss::{self, Planes};
use crate::simd::math::Elementary;
use crate::simd::{Isa, Real};
use crate::workspace::{Batch, Buffer};

/// Fewer weights than this, and the calls cost as much as what they save: at 10-32-32-1 the dual form took 1.2 × as long.
const FEWEST_WEIGHTS: usize = 3000;

/// Whether the dual form is expected to be faster for a cluster of `rows` rows.
///
/// Both costs are in multiplications: products run at the machine's rate, Gram matrices of few rows at a third of it, and a
/// pass over the weights costs about as much as eight rows of a product with them. Measured with AVX-512 in f32 on two
/// hidden layers, the dual form took this share of the other's time where it was chosen: 2 rows, k 1: .53 at width 64, .58
/// at 128, .55 at 512; 2 rows, k 3: .70, .49 and .44; 5 rows, k 3: .71 at 128, .54 at 512; 10 rows, k 3: .65 at 512.
pub fn pays(layout: &Layout, rows: usize, steps: usize) -> bool {
    if layout.hidden.is_empty() || steps == 0 {
        return false;
    }
    let hidden: usize = layout.hidden.iter().map(|l| l.inputs * l.stride).sum();
    let weights = hidden + layout.head_stride * layout.n_outputs;
    if weights < FEWEST_WEIGHTS {
        return false;
    }
    let widths: usize = layout.hidden.iter().map(|l| l.stride + layout.head_stride).sum();
    let (n, k) = (rows as f64, steps as f64);
    let primal = weights as f64 * ((9.0 * k + 3.0) * n + 8.0 * (5.0 * k + 4.0));
    let grams = widths as f64 * n * n * k * (3.0 + 2.5 * k);
    let dual = weights as f64 * ((6.0 * k + 4.0) * n + 8.0 * 2.0) + 3.0 * grams;
    dual < 0.8 * primal
}

/// One layer's rows of all steps, stacked: step t has rows t·n to (t + 1)·n.
struct Stack<T> {
    numbers: Buffer<T>,
    stride: usize,
}

impl<T: Real> Stack<T> {
    fn new(rows: usize, stride: usize) -> Self {
        Self { numbers: Buffer::new(rows * stride), stride }
    }

    fn from(&mut self, row: usize) -> Matrix<T> {
        let at = row * self.stride;
        debug_assert!(at <= self.numbers.len());
        Matrix { at: self.numbers.as_mut_ptr().wrapping_add(at), stride: self.stride }
    }
}

/// What a hidden layer keeps of the path.
struct Layer<T> {
    value: Stack<T>,
    delta: Stack<T>,
    slope: Stack<T>,
    bend: Stack<T>,
    tangent_value: Stack<T>,
    tangent_delta: Stack<T>,
}

/// Scratch of the dual form, for clusters of up to `rows` rows.
pub struct Dual<T> {
    rows: usize,
    layers: Vec<Layer<T>>,
    /// The inputs, once a step.
    x: Stack<T>,
    /// Output deltas and their tangents: a row an output, the steps one after the other.
    delta: Stack<T>,
    tangent_delta: Stack<T>,
    /// Curvature of the loss at each step, in planes.
    curvature: Vec<Stack<T>>,
    /// Linear outputs, their deltas, and the same scaled by −η: planes of one step.
    outputs: [Stack<T>; 3],
    grams: [Stack<T>; 3],
    incoming: Stack<T>,
}

impl<T: Elementary> Dual<T> {
    /// Scratch for paths of a setting.
    pub fn new<S: Isa>(setting: &Setting<'_, S, T>, rows: usize) -> Self {
        let layout = setting.network.layout;
        let stacked = (setting.steps + 1) * rows;
        // Registers are read past the last row of a step, into the next or into this padding.
        let plane = stacked.next_multiple_of(T::PAD) + T::PAD;
        let padded = rows.next_multiple_of(T::PAD);
        let layer = |stride: usize| {
            let kept = if layout.activation.keeps_derivatives() { stacked } else { 0 };
            let stack = |rows: usize| Stack::new(rows, stride);
            Layer {
                value: stack(stacked),
                delta: stack(stacked),
                slope: stack(kept),
                bend: stack(kept),
                tangent_value: stack(stacked),
                tangent_delta: stack(stacked),
            }
        };
        let widest = layout.hidden.iter().map(|l| l.stride).max().unwrap_or(0);
        // A Gram matrix lies either way round: n × stacked or stacked × n.
        let gram = |_| Stack { numbers: Buffer::new(plane * padded.max(rows)), stride: plane };
        Self {
            rows,
            layers: layout.hidden.iter().map(|l| layer(l.stride)).collect(),
            x: Stack::new(stacked, layout.n_inputs.next_multiple_of(T::PAD)),
            delta: Stack::new(layout.n_outputs, plane),
            tangent_delta: Stack::new(layout.n_outputs, plane),
            curvature: (0..=setting.steps).map(|_| Stack::new(layout.n_outputs, padded)).collect(),
            outputs: std::array::from_fn(|_| Stack::new(layout.n_outputs, padded)),
            grams: std::array::from_fn(gram),
            incoming: Stack::new(rows, widest),
        }
    }

    /// Largest cluster that this scratch is for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Losses before and after, and v + α/(1−α) ∇L(θ) into `gradient` (padded): the cluster's gradient over 1 − α.
    pub fn evaluate<S: Isa>(
        &mut self,
        setting: &Setting<'_, S, T>,
        batch: Batch<'_, T>,
        alpha: f64,
        gradient: &mut [T],
    ) -> Result<(f64, f64), Divergence> {
        assert!(
            batch.rows <= self.rows && gradient.len() == setting.network.layout.len,
            "the scratch is for other clusters"
        );
        let n = batch.rows;
        for (to, from) in
            self.x.numbers.chunks_exact_mut(self.x.stride).zip((0..(setting.steps + 1) * n).map(|i| i % n))
        {
            to[..setting.network.layout.n_inputs]
                .copy_from_slice(&batch.x[from * batch.x_stride..][..setting.network.layout.n_inputs]);
        }
        // Entries of other clusters may be NaN, and are read, times zero, past the rows of this one.
        self.delta.numbers.fill(T::default());
        self.tangent_delta.numbers.fill(T::default());
        let mut walk = Walk { setting, batch, n, dual: self };
        let (mut before, mut after) = (0.0, 0.0);
        for t in 0..=setting.steps {
            // SAFETY: the scratch is as large as its setting and rows ask for.
            after = unsafe { walk.step(t) };
            if t == 0 {
                before = after;
            }
            if !after.is_finite() {
                return Err(Divergence { step: t, loss: after });
            }
        }
        // SAFETY: as above.
        unsafe {
            walk.start_way_back();
            for t in (0..setting.steps).rev() {
                if !setting.first_order {
                    walk.pull(t);
                }
            }
            walk.finish(alpha, gradient);
        }
        Ok((before, after))
    }
}

/// One cluster's path.
struct Walk<'a, 'b, S, T> {
    setting: &'a Setting<'b, S, T>,
    batch: Batch<'a, T>,
    n: usize,
    dual: &'a mut Dual<T>,
}

impl<S: Isa, T: Elementary> Walk<'_, '_, S, T> {
    fn layout(&self) -> &Layout {
        self.setting.network.layout
    }

    fn top(&self) -> usize {
        self.layout().hidden.len()
    }

    /// What layer `l` reads at step t and after: the data, or the values of the layer below.
    fn input(&mut self, l: usize, t: usize) -> Matrix<T> {
        let row = t * self.n;
        if l == 0 { self.dual.x.from(row) } else { self.dual.layers[l - 1].value.from(row) }
    }

    fn input_width(&self, l: usize) -> usize {
        self.layout().hidden.get(l).map_or(self.layout().head_inputs, |layer| layer.inputs)
    }

    fn trace(&mut self, l: usize, t: usize) -> LayerTrace<T> {
        let (row, keeps) = (t * self.n, self.layout().activation.keeps_derivatives());
        let layer = &mut self.dual.layers[l];
        let kept = if keeps { row } else { 0 };
        let (value, delta) = (layer.value.from(row), layer.delta.from(row));
        LayerTrace { value, delta, slope: layer.slope.from(kept), bend: layer.bend.from(kept) }
    }

    /// Deltas of a layer from step t on; those of the head are a row an output.
    fn delta(&mut self, l: usize, t: usize) -> Matrix<T> {
        self.dual.layers[l].delta.from(t * self.n)
    }

    fn tangent_delta(&mut self, l: usize, t: usize) -> Matrix<T> {
        self.dual.layers[l].tangent_delta.from(t * self.n)
    }

    fn tangent_input(&mut self, l: usize, t: usize) -> Matrix<T> {
        self.dual.layers[l - 1].tangent_value.from(t * self.n)
    }

    fn head_at(stack: &mut Stack<T>, column: usize) -> Matrix<T> {
        Matrix { at: stack.numbers.as_mut_ptr().wrapping_add(column), stride: stack.stride }
    }

    /// −η (left·rightᵀ + shift), n × `depth`, in the numbered scratch.
    unsafe fn gram(
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
                let bias = shift.then_some(ones.as_ptr());
                dots(self.setting.network.isa, (depth, count), &[(pair, width)], bias, rate, into.skip_rows(first));
            }
        }
        into
    }

    /// The head's −η (left·rightᵀ) the other way round, `depth` × n: deltas of the head lie across.
    unsafe fn head_gram(&mut self, index: usize, left: Matrix<T>, right: Matrix<T>, depth: usize) -> Matrix<T> {
        let stride = self.n.next_multiple_of(T::PAD);
        let into = Matrix { at: self.dual.grams[index].numbers.as_mut_ptr(), stride };
        let factors = [Factors { a: right, b: left, depth: self.layout().n_outputs }];
        // SAFETY: as the caller's.
        unsafe {
            sum_of_products(
                self.setting.network.isa,
                Order::Columns,
                (depth, self.n),
                &factors,
                std::ptr::null(),
                into,
                &AsIs,
            );
        }
        into
    }

    /// Forward and backward at θ^t; returns the loss.
    unsafe fn step(&mut self, t: usize) -> f64 {
        // SAFETY: as the caller's.
        unsafe {
            let loss = self.forward(t);
            self.backward(t);
            loss
        }
    }

    unsafe fn forward(&mut self, t: usize) -> f64 {
        let network = self.setting.network;
        let (layout, isa, past) = (network.layout, network.isa, t * self.n);
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
                sum_of_products(isa, Order::Rows, shape, terms, theta.add(layer.bias), trace.value, &epilogue);
            }
            self.outputs(t)
        }
    }

    /// Linear outputs at step t, their loss, and the output deltas.
    unsafe fn outputs(&mut self, t: usize) -> f64 {
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
            dots(isa, (self.n, layout.n_outputs), pairs, Some(theta.add(layout.head_bias)), 1.0, into);
            let planes = self.planes(t);
            let loss = loss::gradient(isa, network.loss, planes);
            self.keep_outputs(t, false);
            loss
        }
    }

    fn planes(&mut self, t: usize) -> Planes<T> {
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
    fn keep_outputs(&mut self, t: usize, tangent: bool) {
        let (n, rate, column) = (self.n, self.setting.rate, t * self.n);
        let Dual { outputs: [_, deltas, scaled], delta, tangent_delta, .. } = &mut *self.dual;
        let kept = if tangent { tangent_delta } else { delta };
        let lines = deltas.numbers.chunks_exact(deltas.stride).zip(scaled.numbers.chunks_exact_mut(deltas.stride));
        for ((from, scaled), to) in lines.zip(kept.numbers.chunks_exact_mut(kept.stride)) {
            to[column..column + n].copy_from_slice(&from[..n]);
            scaled.iter_mut().zip(from).for_each(|(to, x)| *to = T::from_f64(-rate * x.to_f64()));
        }
    }

    unsafe fn backward(&mut self, t: usize) {
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
    unsafe fn onto_delta(&mut self, order: Order, l: usize, t: usize, factors: &[Factors<T>]) {
        let trace = self.trace(l, t);
        let shape = (self.n, self.layout().hidden[l].width);
        let epilogue = Backward(self.layout().activation, trace);
        // SAFETY: as the caller's.
        unsafe {
            sum_of_products(self.setting.network.isa, order, shape, factors, std::ptr::null(), trace.delta, &epilogue);
        }
    }

    /// E_k = −D_k / η, and nothing yet for the other steps.
    unsafe fn start_way_back(&mut self) {
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
    unsafe fn pull(&mut self, t: usize) {
        // SAFETY: as the caller's.
        unsafe {
            self.pull_forward(t);
            self.pull_backward(t);
        }
    }

    /// Rows of the steps before t, of those after it, and of those between it and the last.
    fn spans(&self, t: usize) -> [usize; 3] {
        [t * self.n, (self.setting.steps - t) * self.n, (self.setting.steps - 1 - t) * self.n]
    }

    unsafe fn pull_forward(&mut self, t: usize) {
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
                sum_of_products(isa, Order::Rows, shape, &factors[..terms], std::ptr::null(), value, &epilogue);
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
            dots(isa, (self.n, layout.n_outputs), &pairs, None, 1.0, into);
            let planes = self.planes(t);
            loss::tangent(isa, network.loss, planes, into.at, planes.delta);
            self.keep_outputs(t, true);
        }
    }

    /// Inputs at t with inputs after it, with their tangents after it, and tangents at t with inputs before it.
    unsafe fn tangent_grams(&mut self, l: usize, t: usize) -> [Matrix<T>; 3] {
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

    unsafe fn pull_backward(&mut self, t: usize) {
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
    fn scaled_delta(&mut self, t: usize) -> Matrix<T> {
        let (n, rate, column) = (self.n, self.setting.rate, t * self.n);
        let Dual { outputs: [_, _, scaled], delta, .. } = &mut *self.dual;
        let stride = scaled.stride;
        for (to, from) in scaled.numbers.chunks_exact_mut(stride).zip(delta.numbers.chunks_exact(delta.stride)) {
            to.iter_mut().zip(&from[column..column + n]).for_each(|(to, x)| *to = T::from_f64(-rate * x.to_f64()));
        }
        scaled.from(0)
    }

    unsafe fn onto_tangent_delta(&mut self, order: Order, l: usize, t: usize, factors: &[Factors<T>]) {
        let layer = &self.layout().hidden[l];
        let (width, stride) = (layer.width, layer.stride);
        let incoming = Matrix { at: self.dual.incoming.numbers.as_mut_ptr(), stride };
        let (trace, delta) = (self.trace(l, t), self.tangent_delta(l, t));
        let epilogue = TangentBackward { activation: self.layout().activation, trace, incoming, delta };
        // SAFETY: as the caller's.
        unsafe {
            sum_of_products(
                self.setting.network.isa,
                order,
                (self.n, width),
                factors,
                std::ptr::null(),
                incoming,
                &epilogue,
            );
        }
    }

    /// v_0 + α/(1−α) ∇L(θ), where ∇L(θ) = A_0ᵀD_0 joins v_0's first step: it adds −α/(η (1−α)) D_0 to E_0.
    unsafe fn finish(&mut self, alpha: f64, gradient: &mut [T]) {
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
        let with_tangents = usize::from(!self.setting.first_order);
        // SAFETY: as the caller's; the gradient is as long as the layout.
        unsafe {
            let to = |offset: usize| -> Targets<T> {
                [Some(Target { from: std::ptr::null(), to: base.add(offset), scale }), None]
            };
            for (l, layer) in layout.hidden.iter().enumerate() {
                let mut factors = [Factors { a: self.input(l, 0), b: self.tangent_delta(l, 0), depth: all }; 2];
                let terms = if l > 0 { 1 + with_tangents } else { 1 };
                if l > 0 {
                    factors[1] = Factors { a: self.tangent_input(l, 0), b: self.delta(l, 0), depth: steps };
                }
                let shape = (layer.inputs, layer.width);
                update_sum(isa, Order::Columns, shape, &factors[..terms], to(layer.weights), layer.stride);
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
            update_sum(isa, Order::Rows, shape, terms, to(layout.head_weights), layout.head_stride);
            add_plane_sums(isa, (layout.n_outputs, all), tangents, to(layout.head_bias));
        }
    }
}

/// An epilogue that leaves the sums as they are.
struct AsIs;

impl<S: Isa> Epilogue<S> for AsIs {
    unsafe fn apply(&self, _: S, _: crate::dense::Block) {}
}
