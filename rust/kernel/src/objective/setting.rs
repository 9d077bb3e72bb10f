//! What is minimized and what is wanted of it, the inner loop's options, and how much of its path is kept.

use crate::network::architecture::Architecture;
use crate::network::loss::Loss;
use crate::network::{Network, Point};
use crate::objective::rows::Records;
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::{ClusterStatus, KernelError, range};

/// The size of the inner steps.
#[derive(Clone, Debug, PartialEq)]
pub enum StepSize {
    /// One number for all parameters.
    Common(f64),
    /// One number a parameter, in the flat layout.
    PerParameter(Vec<f64>),
}

/// The inner loop's options.
#[derive(Clone, Debug, PartialEq)]
pub struct Inner {
    /// k.
    pub steps: usize,
    /// η.
    pub step_size: StepSize,
    /// μ, 0 for plain descent.
    pub momentum: f64,
    /// Adapt only the last layer.
    pub head_only: bool,
    /// Leave the Hessians out of the way back: gradients along the path count as constants.
    pub first_order: bool,
}

impl Inner {
    /// No steps at all.
    pub const NONE: &Self =
        &Self { steps: 0, step_size: StepSize::Common(0.0), momentum: 0.0, head_only: false, first_order: true };

    /// Whether one number steps all parameters, without momentum.
    pub fn is_plain(&self) -> bool {
        matches!(self.step_size, StepSize::Common(_)) && self.momentum == 0.0 && !self.head_only
    }

    /// η where it is one number, else NaN: paths with steps of their own never read it.
    pub fn common_rate(&self) -> f64 {
        if let StepSize::Common(rate) = self.step_size { rate } else { f64::NAN }
    }

    /// Checks the options for a network of `n_parameters`.
    ///
    /// # Errors
    /// [`KernelError::Range`], [`KernelError::Length`] or [`KernelError::NotFinite`].
    pub fn validate(&self, n_parameters: usize) -> Result<(), KernelError> {
        let positive = |got: f64| {
            let fault = KernelError::Range { what: "inner_lr", got, needed: "finite and above 0" };
            if got > 0.0 && got.is_finite() { Ok(()) } else { Err(fault) }
        };
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(KernelError::Range { what: "inner momentum", got: self.momentum, needed: "in [0, 1)" });
        }
        match &self.step_size {
            StepSize::Common(rate) => positive(*rate),
            StepSize::PerParameter(rates) if rates.len() != n_parameters => {
                Err(KernelError::Length { what: "inner_lr", got: rates.len(), needed: n_parameters })
            }
            StepSize::PerParameter(rates) => rates.iter().copied().try_for_each(positive),
        }
    }
}

/// What is minimized.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The row loss.
    pub loss: Loss,
    /// Weight of the loss before adaptation: 1 is ordinary training, 0 is MAML.
    pub alpha: f64,
    /// The inner loop.
    pub inner: Inner,
    /// Leave clusters out that diverge, instead of failing.
    pub skip_diverged: bool,
}

impl Objective {
    /// Checks the options.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate(&self, architecture: &Architecture) -> Result<(), KernelError> {
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(KernelError::Range { what: "alpha", got: self.alpha, needed: "in [0, 1]" });
        }
        self.inner.validate(architecture.n_parameters())
    }

    /// Checks that the loss can be taken in a matrix over the rows of each cluster.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate_for_precision(&self, n_outputs: usize, wanted: ExtraOutputs) -> Result<(), KernelError> {
        if self.loss != Loss::Squared {
            return Err(KernelError::Missing { what: "the squared loss", needed_by: "a precision" });
        }
        range("alpha", self.alpha, self.alpha == 1.0, "1 with a precision")?;
        range("the number of outputs", n_outputs as f64, n_outputs == 1, "1 with a precision")?;
        let fault = KernelError::Missing {
            what: "clusters without a precision",
            needed_by: "a status or a gradient in the inner steps",
        };
        if wanted.status || wanted.rate_gradient { Err(fault) } else { Ok(()) }
    }
}

/// Outputs beside the value and the gradient, computed only where wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtraOutputs {
    /// The derivative in each parameter's step.
    pub rate_gradient: bool,
    /// Losses before and after adaptation even where the objective does not need them.
    pub status: bool,
}

/// R_k and its derivatives.
#[derive(Clone, Debug)]
pub struct Evaluation<T> {
    /// R_k.
    pub value: f64,
    /// ∇R_k, flat.
    pub gradient: Vec<T>,
    /// ∂R_k/∂α, when the status was wanted.
    pub alpha_gradient: f64,
    /// ∂R_k/∂η of each parameter's step, when wanted.
    pub rate_gradient: Option<Vec<T>>,
    /// What happened to each cluster, when wanted.
    pub status: Vec<ClusterStatus>,
    /// Clusters left out.
    pub n_skipped: usize,
}

/// Everything that the inner loops of one call share.
#[derive(Clone, Copy)]
pub struct Setting<'a, S, T> {
    /// The network.
    pub network: Network<'a, S>,
    /// Where every cluster starts.
    pub start: Point<'a, T>,
    /// The inner loop's options.
    pub inner: &'a Inner,
    /// k, or 0 where nothing depends on the inner loop.
    pub steps: usize,
    /// η, when it is common to all parameters.
    pub rate: f64,
    /// Padded η; present when steps differ, with momentum, without biases, or when the gradient in η is wanted.
    pub rates: Option<&'a [T]>,
    /// How the path is kept.
    pub plan: Plan,
    /// Whether the derivative in η is wanted.
    pub rate_gradient: bool,
    /// Clusters of up to so many rows take the dual form.
    pub dual_rows: usize,
}

/// What is kept of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Steps between the points that are kept; k when the whole path is.
    pub segment: usize,
    /// Whether activations are kept too, or found again on the way back.
    pub keep_records: bool,
    /// Whether there is a way back, so that segments' first points are kept.
    pub way_back: bool,
}

/// Scratch memory for one thread's paths, in bytes, beyond which segments and records are given up.
pub const SCRATCH_BYTES: usize = 24 << 20;

impl Plan {
    /// For paths that are not walked back: two points in turn, and no checkpoints.
    pub const FORWARD: Self = Self { segment: 1, keep_records: false, way_back: false };

    /// One record of all rows and no steps: a loss over whole clusters.
    pub const WHOLE: Self = Self { segment: 1, keep_records: true, way_back: false };

    /// The richest plan within the budget. Finding records again costs two thirds of a gradient a step; walking segments
    /// again, one gradient a step.
    pub fn choose<S: Isa, T: Elementary>(
        network: &Network<'_, S>,
        most_rows: usize,
        steps: usize,
        way_back: bool,
    ) -> Self {
        if !way_back || steps == 0 {
            return Self::FORWARD;
        }
        let point = network.layout.len + network.layout.transposed_len;
        let cost = |plan: Self| {
            let slots = plan.segment + 1;
            let checkpoints = steps.div_ceil(plan.segment) - 1;
            let kept = slots.saturating_mul(point).saturating_add(checkpoints.saturating_mul(network.layout.len));
            kept.saturating_add(Records::<T>::size(network, most_rows, slots, plan.keep_records))
        };
        let root = steps.isqrt().max(1);
        let plans = [(steps, true), (steps, false), (root, true), (root, false)];
        let plans = plans.map(|(segment, keep_records)| Self { segment, keep_records, way_back });
        let fits = |plan: &Self| cost(*plan).saturating_mul(T::SIZE) <= SCRATCH_BYTES;
        // Beyond every plan's budget the one that grows slowest is taken.
        plans.into_iter().find(fits).unwrap_or(plans[3])
    }

    /// Slots in the ring: a segment, and the point after it.
    pub fn slots(self) -> usize {
        self.segment + 1
    }
}

impl<'a, S: Isa, T: Elementary> Setting<'a, S, T> {
    /// Paths of these options from here, plain and without a way back.
    pub fn forward(network: Network<'a, S>, start: Point<'a, T>, inner: &'a Inner) -> Self {
        Self {
            network,
            start,
            inner,
            steps: inner.steps,
            rate: inner.common_rate(),
            rates: None,
            plan: Plan::FORWARD,
            rate_gradient: false,
            dual_rows: 0,
        }
    }

    /// Whether one number steps the whole padded vector, without momentum.
    pub fn is_plain(&self) -> bool {
        self.rates.is_none()
    }
}
