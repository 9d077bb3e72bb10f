//! The objective R_k, its exact gradient, and the adapted parameters, over all clusters.
//!
//! R_k(θ) = (1/N) Σ_c n_c [ α L_c(θ) + (1−α) L_c(θ_c^k(θ)) ]  — Power & Ghosh, "Regularizing the Forward Pass" (2025),
//! equation 1. ∇L_c(θ_c^0) of the inner loop is the pre-adaptation gradient, so it is not computed again.

pub mod adapt;
pub mod clusters;
pub mod dual;
pub mod gradients;
pub mod hessian;
pub mod inner;
pub mod outputs;
pub mod rows;
pub mod setting;
pub mod share;
pub mod sweep;

use crate::dense::vectors::finite;
use crate::network::Network;
use crate::network::architecture::Architecture;
use crate::network::layout::Layout;
use crate::network::loss::Loss;
use crate::network::start::Start;
use crate::network::workspace::Buffer;
use crate::objective::clusters::{Clusters, WorkPartition};
use crate::objective::setting::{Evaluation, ExtraOutputs, Inner, Objective, Plan, Setting, StepSize};
use crate::objective::share::ObjectiveSum;
use crate::objective::sweep::sweep;
use crate::simd::Backend;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

/// No cluster of more rows is looked at for the dual form.
const DUAL_ROWS: usize = 64;

/// With smaller steps the dual form, which divides by them, could leave the range of its numbers.
const LEAST_DUAL_RATE: f64 = 1e-20;

/// Below this many multiplications a call stays on the calling thread: waking another takes about as long as 2 million.
pub const SERIAL_WORK: f64 = 4e6;

/// Multiplications of one outer gradient, about.
pub fn work(architecture: &Architecture, n_rows: usize, inner: &Inner) -> f64 {
    let k = inner.steps as f64;
    let passes = 3.0 * (k + 1.0) + if inner.first_order { 0.0 } else { 6.0 * k };
    architecture.n_parameters() as f64 * n_rows as f64 * passes
}

/// Evaluates R_k at flat `theta` over the listed clusters (all of them without a list).
///
/// # Errors
/// Misuse, [`KernelError::Diverged`] unless such clusters are skipped, or [`KernelError::Interrupted`].
pub fn evaluate<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    data: &Clusters<'_, T>,
    only: Option<&[usize]>,
    objective: &Objective,
    wanted: ExtraOutputs,
    threads: Threads<'_>,
) -> Result<Evaluation<T>, KernelError> {
    objective.validate(architecture)?;
    check_parameters(architecture, theta)?;
    data.validate_for(architecture, objective.loss)?;
    if data.precision.is_some() {
        objective.validate_for_precision(architecture.n_outputs(), wanted)?;
    }
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        let network = Network { isa, layout: &layout, loss: objective.loss, threads: threads.alone() };
        let start = Start::new(&network, theta)?;
        let inner = &objective.inner;
        let rates = padded_rates(&layout, architecture, inner, wanted.rate_gradient)?;
        let adapts = objective.alpha < 1.0 || wanted.status || wanted.rate_gradient;
        let way_back = objective.alpha < 1.0 && (!inner.first_order || wanted.rate_gradient);
        let partition = WorkPartition::of(data, only, layout.len);
        let steps = if adapts { inner.steps } else { 0 };
        let is_plain = inner.is_plain() && !wanted.rate_gradient && inner.common_rate() >= LEAST_DUAL_RATE;
        let can_be_dual = is_plain && objective.alpha < 1.0 && data.n_support.is_none() && !wanted.status;
        let is_dual = |&rows: &usize| dual::pays(&layout, rows, steps);
        let dual_rows = if can_be_dual { (1..=partition.most_rows.min(DUAL_ROWS)).rev().find(is_dual).unwrap_or(0) } else { 0 };
        let plan = match data.precision {
            None => Plan::choose::<_, T>(&network, partition.most_rows.max(1), steps, way_back),
            Some(_) => Plan::WHOLE,
        };
        let setting = Setting {
            steps,
            rates: rates.as_deref(),
            plan,
            rate_gradient: wanted.rate_gradient,
            dual_rows,
            ..Setting::forward(network, start.point(), inner)
        };
        let call = ObjectiveSum { setting, data, objective, wanted, threads };
        let total = sweep(&call, &call.setting, data, only, &partition, threads)?;
        let n_clusters = only.map_or(data.n_clusters(), <[usize]>::len);
        call.finish(architecture, n_clusters, total)
    })
}

/// Checks a point, and data for derivatives that do not know of precisions.
pub(crate) fn check_point<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    data: &Clusters<'_, T>,
    loss: Loss,
) -> Result<(), KernelError> {
    check_parameters(architecture, theta)?;
    data.without_precision("an adaptation or a second derivative")?;
    data.validate_for(architecture, loss)
}

fn check_parameters<T: Elementary>(architecture: &Architecture, theta: &[T]) -> Result<(), KernelError> {
    let (got, needed) = (theta.len(), architecture.n_parameters());
    if got != needed {
        return Err(KernelError::Length { what: "theta", got, needed });
    }
    finite("theta", theta)
}

/// η in the padded layout, where one number with plain descent does not do. The places of biases that are not there take
/// no step, whatever their gradient.
pub(crate) fn padded_rates<T: Elementary>(
    layout: &Layout,
    architecture: &Architecture,
    inner: &Inner,
    wanted: bool,
) -> Result<Option<Buffer<T>>, KernelError> {
    if inner.is_plain() && !wanted && layout.biases {
        return Ok(None);
    }
    let adapted = if inner.head_only { architecture.head_start() } else { 0 };
    let rate = |i: usize| match &inner.step_size {
        _ if i < adapted => 0.0,
        StepSize::Common(rate) => *rate,
        StepSize::PerParameter(rates) => rates[i],
    };
    let numbers = (0..architecture.n_parameters()).map(|i| T::from_f64(rate(i)));
    let flat: Vec<T> = memory::list("the inner steps", numbers)?;
    let mut padded = Buffer::new("the inner steps, one a parameter", layout.len)?;
    layout.pack(&flat, &mut padded);
    Ok(Some(padded))
}
