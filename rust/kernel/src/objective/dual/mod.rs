//! The dual form: a cluster's path without weights of its own.
//!
//! The weights after t steps are W_t = W_0 − η Σ_{s<t} A_sᵀ D_s, with A_s the layer's inputs and D_s its deltas at step s.
//! So a product with W_t is one with W_0 and one with the n × tn Gram matrix of the inputs. The derivative of the adapted
//! loss is such a sum too: v_t = −η [Σ_{s>t} A_sᵀ E_s + RA_sᵀ D_s], where E_s is R{D_s}, RA_s is R{A_s}, and at the end of
//! the path E_k = −D_k / η. Nothing as large as the weights is written until the end, when the cluster's gradient is one
//! product of the stacked rows. It takes about a third fewer multiplications, and pays where n·k is well under the widths:
//! [`pays`] compares the costs.
//!
//! Biases are weights of an input that is always 1: their part of a Gram matrix is + 1. Without biases there is none.

mod back;
#[cfg(test)]
mod tests;
mod walk;

use crate::dense::Matrix;
use crate::network::layout::Layout;
use crate::network::workspace::{Batch, Buffer};
use crate::objective::setting::Setting;
use crate::simd::math::Elementary;
use crate::simd::{Isa, Real};
use crate::system::error::Divergence;
use crate::system::error::KernelError;

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
    fn new(rows: usize, stride: usize) -> Result<Self, KernelError> {
        Ok(Self { numbers: Buffer::new("a cluster's values and tangents", rows.saturating_mul(stride))?, stride })
    }

    fn from(&mut self, row: usize) -> Matrix<T> {
        let at = row * self.stride;
        assert!(at <= self.numbers.len(), "a stack has no such row");
        Matrix { at: self.numbers.as_mut_ptr().wrapping_add(at), stride: self.stride }
    }
}

/// What a hidden layer keeps of the path.
struct Layer<T> {
    value: Stack<T>,
    delta: Stack<T>,
    slope: Stack<T>,
    second_derivative: Stack<T>,
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
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new<S: Isa>(setting: &Setting<'_, S, T>, rows: usize) -> Result<Self, KernelError> {
        let layout = setting.network.layout;
        let stacked = (setting.steps + 1) * rows;
        // Registers are read past the last row of a step, into the next or into this padding.
        let plane = stacked.next_multiple_of(T::PAD) + T::PAD;
        let padded = rows.next_multiple_of(T::PAD);
        let layer = |stride: usize| {
            let kept = if layout.activation.keeps_derivatives() { stacked } else { 0 };
            let stack = |rows: usize| Stack::new(rows, stride);
            Ok(Layer {
                value: stack(stacked)?,
                delta: stack(stacked)?,
                slope: stack(kept)?,
                second_derivative: stack(kept)?,
                tangent_value: stack(stacked)?,
                tangent_delta: stack(stacked)?,
            })
        };
        let widest = layout.hidden.iter().map(|l| l.stride).max().unwrap_or(0);
        // A Gram matrix lies either way round: n × stacked or stacked × n.
        let gram = || Stack::new(padded.max(rows), plane);
        let planes = || Stack::new(layout.n_outputs, padded);
        Ok(Self {
            rows,
            layers: layout.hidden.iter().map(|l| layer(l.stride)).collect::<Result<_, KernelError>>()?,
            x: Stack::new(stacked, layout.n_inputs.next_multiple_of(T::PAD))?,
            delta: Stack::new(layout.n_outputs, plane)?,
            tangent_delta: Stack::new(layout.n_outputs, plane)?,
            curvature: (0..=setting.steps).map(|_| planes()).collect::<Result<_, _>>()?,
            outputs: [planes()?, planes()?, planes()?],
            grams: [gram()?, gram()?, gram()?],
            incoming: Stack::new(rows, widest)?,
        })
    }

    /// Largest cluster that this scratch is for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Checks what the unsafe parts rely on.
    fn check<S: Isa>(&self, setting: &Setting<'_, S, T>, batch: &Batch<'_, T>, gradient: &[T]) {
        let (network, layout, start) = (setting.network, setting.network.layout, setting.start);
        let (rows, steps) = (batch.rows, setting.steps + 1);
        assert!(rows > 0 && rows <= self.rows && self.curvature.len() == steps, "the scratch is for other clusters");
        let strides = self.layers.iter().map(|layer| layer.value.stride);
        assert!(strides.eq(layout.hidden.iter().map(|layer| layer.stride)), "the scratch is for another network");
        assert_eq!(
            self.delta.numbers.len(),
            layout.n_outputs * self.delta.stride,
            "the scratch is for another network"
        );
        assert_eq!(gradient.len(), layout.len, "a gradient is as long as the padded parameters");
        assert_eq!(start.theta.len(), layout.len, "parameters are not padded");
        assert_eq!(start.transposed.len(), layout.transposed_len, "transposed weights are missing");
        let padded = rows.next_multiple_of(T::PAD);
        let planes = network.loss.target_width(layout.n_outputs);
        assert!(batch.targets.len() >= (planes - 1) * batch.plane + padded, "targets are short");
        assert!(batch.weights.len() >= padded, "weights are short");
        assert!(batch.x.len() >= (rows - 1) * batch.x_stride + layout.n_inputs, "x is short");
    }

    /// Losses before and after, and v + α/(1−α) ∇L(θ) into `gradient` (padded): the cluster's gradient over 1 − α.
    pub fn evaluate<S: Isa>(
        &mut self,
        setting: &Setting<'_, S, T>,
        batch: Batch<'_, T>,
        alpha: f64,
        gradient: &mut [T],
    ) -> Result<(f64, f64), Divergence> {
        self.check(setting, &batch, gradient);
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
        let mut walk = walk::DualPath { setting, batch, n, dual: self };
        let (mut before, mut after) = (0.0, 0.0);
        for t in 0..=setting.steps {
            // SAFETY: `check` compared every length with what the setting and the rows ask for.
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
                if !setting.inner.first_order {
                    walk.pull(t);
                }
            }
            walk.finish(alpha, gradient);
        }
        Ok((before, after))
    }
}
