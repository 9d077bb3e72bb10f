//! The objective R_k, its exact gradient, and the adapted parameters, over all clusters.
//!
//! R_k(θ) = (1/N) Σ_c n_c [ α L_c(θ) + (1−α) L_c(θ_c^k(θ)) ]  — Power & Ghosh, "Regularizing the Forward Pass" (2025),
//! equation 1. ∇L_c(θ_c^0) of the inner loop is the pre-adaptation gradient, so it is not computed again.

use crate::architecture::{Architecture, Layout};
use crate::clusters::{Clusters, Schedule, finite};
use crate::dual;
use crate::error::{ClusterStatus, KernelError};
use crate::inner::{Divergence, Halt, Inner, Path, Plan, Setting, StepSize};
use crate::loss::Loss;
use crate::passes::Network;
use crate::rows::{Engine, Side};
use crate::simd::math::Elementary;
use crate::simd::{Backend, Isa};
use crate::start::Start;
use crate::sweep::{Visitor, side_rows, sweep};
use crate::threads::Threads;
use crate::vectors;
use crate::with_isa;
use crate::workspace::{Buffer, From, Sink};

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
}

/// What is wanted beside the value and the gradient.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
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

/// No cluster of more rows is looked at for the dual form.
const DUAL_ROWS: usize = 64;

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
    wanted: Wanted,
    threads: Threads<'_>,
) -> Result<Evaluation<T>, KernelError> {
    objective.validate(architecture)?;
    check_point(architecture, theta, data, objective.loss)?;
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        let network = Network { isa, layout: &layout, loss: objective.loss };
        let start = Start::new(&network, theta);
        let inner = &objective.inner;
        let rates = padded_rates(&layout, architecture, inner, wanted.rate_gradient);
        let adapts = objective.alpha < 1.0 || wanted.status || wanted.rate_gradient;
        let way_back = objective.alpha < 1.0 && (!inner.first_order || wanted.rate_gradient);
        let schedule = Schedule::of(data, only, layout.len);
        let steps = if adapts { inner.steps } else { 0 };
        let can_be_dual = rates.is_none() && objective.alpha < 1.0 && data.n_support.is_none() && !wanted.status;
        let is_dual = |&rows: &usize| dual::pays(&layout, rows, steps);
        let dual_rows = if can_be_dual { (1..=schedule.most_rows.min(DUAL_ROWS)).rev().find(is_dual).unwrap_or(0) } else { 0 };
        let setting = Setting {
            network,
            start: start.point(),
            steps,
            rate: inner.common_rate(),
            rates: rates.as_deref(),
            momentum: inner.momentum,
            plan: Plan::choose::<_, T>(&network, schedule.most_rows.max(1), steps, way_back),
            rate_gradient: wanted.rate_gradient,
            first_order: inner.first_order,
            dual_rows,
        };
        let call = Call { setting, data, objective, wanted, threads };
        let total = sweep(&call, &call.setting, data, only, &schedule, threads)?;
        let n_clusters = only.map_or(data.n_clusters(), <[usize]>::len);
        call.finish(architecture, n_clusters, total)
    })
}

pub(crate) fn check_point<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    data: &Clusters<'_, T>,
    loss: Loss,
) -> Result<(), KernelError> {
    let (got, needed) = (theta.len(), architecture.n_parameters());
    if got != needed {
        return Err(KernelError::Length { what: "theta", got, needed });
    }
    finite("theta", theta)?;
    data.validate_for(architecture, loss)
}

/// η in the padded layout, where one number with plain descent does not do.
pub(crate) fn padded_rates<T: Elementary>(
    layout: &Layout,
    architecture: &Architecture,
    inner: &Inner,
    wanted: bool,
) -> Option<Buffer<T>> {
    let is_plain =
        matches!(inner.step_size, StepSize::Common(_)) && inner.momentum == 0.0 && !inner.head_only && !wanted;
    if is_plain {
        return None;
    }
    let adapted = if inner.head_only { architecture.head_start() } else { 0 };
    let rate = |i: usize| match &inner.step_size {
        _ if i < adapted => 0.0,
        StepSize::Common(rate) => *rate,
        StepSize::PerParameter(rates) => rates[i],
    };
    let flat: Vec<T> = (0..architecture.n_parameters()).map(|i| T::from_f64(rate(i))).collect();
    let mut padded = Buffer::new(layout.len);
    layout.pack(&flat, &mut padded);
    Some(padded)
}

/// One evaluation over some clusters.
struct Call<'a, S, T> {
    setting: Setting<'a, S, T>,
    data: &'a Clusters<'a, T>,
    objective: &'a Objective,
    wanted: Wanted,
    threads: Threads<'a>,
}

/// Losses of a cluster that did not diverge; its gradients are in the path.
#[derive(Clone, Copy)]
struct Walked {
    before: f64,
    after: f64,
    /// Whether the adjoint holds v + α/(1−α) ∇L(θ).
    is_dual: bool,
}

/// Sums over the clusters of one block, in f64.
struct Sums {
    value: f64,
    before: f64,
    after: f64,
    weight: f64,
    gradient: Buffer<f64>,
    rates: Buffer<f64>,
    first_fault: Option<(usize, usize, f64)>,
    n_diverged: usize,
    status: Vec<(usize, ClusterStatus)>,
}

impl Sums {
    fn new(len: usize, rates: bool) -> Self {
        Self {
            value: 0.0,
            before: 0.0,
            after: 0.0,
            weight: 0.0,
            gradient: Buffer::new(len),
            rates: Buffer::new(if rates { len } else { 0 }),
            first_fault: None,
            n_diverged: 0,
            status: Vec::new(),
        }
    }

    fn add<S: Isa>(&mut self, isa: S, other: &Self) {
        self.value += other.value;
        self.before += other.before;
        self.after += other.after;
        self.weight += other.weight;
        vectors::add(isa, &other.gradient, &mut self.gradient);
        vectors::add(isa, &other.rates, &mut self.rates);
        self.n_diverged += other.n_diverged;
        self.first_fault = match (self.first_fault, other.first_fault) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
    }
}

impl<S: Isa, T: Elementary> Visitor<S, T> for Call<'_, S, T> {
    type Sums = Sums;

    fn sums(&self) -> Sums {
        Sums::new(self.setting.network.layout.len, self.wanted.rate_gradient)
    }

    /// Adds one cluster's share of the objective and its gradients, or notes that it diverged.
    fn visit<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        sums: &mut Sums,
    ) -> Result<(), KernelError> {
        let result = self.walk(cluster, setting, engine, path);
        let status = match result {
            Ok(walked) => {
                self.add_cluster(cluster, setting, path, walked, sums);
                ClusterStatus { diverged_step: None, loss_before: walked.before, loss_after: walked.after }
            }
            Err(Halt::Stopped(error)) => return Err(error),
            Err(Halt::Diverged(fault)) => {
                sums.n_diverged += 1;
                sums.first_fault.get_or_insert((cluster, fault.step, fault.loss));
                ClusterStatus { diverged_step: Some(fault.step), loss_before: f64::NAN, loss_after: fault.loss }
            }
        };
        if self.wanted.status {
            sums.status.push((cluster, status));
        }
        Ok(())
    }

    fn merge(&self, total: &mut Sums, part: Sums) {
        total.add(self.setting.network.isa, &part);
        total.status.extend(part.status);
    }
}

impl<S: Isa, T: Elementary> Call<'_, S, T> {
    /// Losses before and after adaptation; leaves the two gradients in the path.
    fn walk<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
    ) -> Result<Walked, Halt> {
        self.threads.check().map_err(Halt::Stopped)?;
        let alpha = self.objective.alpha;
        let one = T::from_f64(1.0);
        let adapts = alpha < 1.0 || self.wanted.status || self.wanted.rate_gradient;
        if !adapts {
            // Ordinary training: one gradient, of all rows.
            let sink = Sink::new(From::Zero, &mut path.before, one);
            let mut loss = engine.gradient(Side::Support, &setting.start, 0, Some(sink));
            if self.data.n_support.is_some() {
                loss = self.add_query_before(cluster, setting, engine, path, loss);
            }
            let finite = loss.is_finite() && vectors::all_finite(setting.network.isa, &path.before);
            return if finite {
                Ok(Walked { before: loss, after: loss, is_dual: false })
            } else {
                Err(diverged(0, loss))
            };
        }
        if let Some(dual) = &mut path.dual
            && let Some(batch) = engine.batch().filter(|batch| batch.rows <= dual.rows())
        {
            let losses = dual.evaluate(setting, batch, alpha, &mut path.adjoint).map_err(Halt::Diverged)?;
            let finite = vectors::all_finite(setting.network.isa, &path.adjoint);
            let (before, after) = losses;
            return if finite {
                Ok(Walked { before, after, is_dual: true })
            } else {
                Err(diverged(setting.steps, after))
            };
        }
        let split = self.data.n_support.is_some();
        let mut before = path.adapt(setting, engine, &self.threads, alpha > 0.0 && setting.steps > 0)?;
        if setting.steps == 0 {
            let sink = Sink::new(From::Zero, &mut path.before, one);
            before = engine.gradient(Side::Support, &setting.start, 0, Some(sink));
        }
        if split && (alpha > 0.0 || self.wanted.status) {
            // The slot of the last point is free until it is measured.
            before = self.add_query_before(cluster, setting, engine, path, before);
        }
        let after = path.measure(setting, engine)?;
        if setting.steps > 0 && alpha < 1.0 && (!setting.first_order || setting.rate_gradient) {
            path.pull_back(setting, engine, &self.threads)?;
        }
        let finite = vectors::all_finite(setting.network.isa, &path.adjoint);
        if finite && before.is_finite() {
            Ok(Walked { before, after, is_dual: false })
        } else {
            Err(diverged(setting.steps, after))
        }
    }

    /// The loss before adaptation is a mean over all rows: adds the query rows' share to `before`.
    fn add_query_before<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        support_loss: f64,
    ) -> f64 {
        let [support, query] = side_rows(self.data, cluster).map(|rows| self.data.total_weight(rows));
        let share = query / (support + query);
        path.before.iter_mut().for_each(|g| *g = T::from_f64(g.to_f64() * (1.0 - share)));
        let slot = setting.steps % setting.plan.slots();
        let sink = Sink::new(From::Itself, &mut path.before, T::from_f64(share));
        let query_loss = engine.gradient(Side::Query, &setting.start, slot, Some(sink));
        (1.0 - share) * support_loss + share * query_loss
    }

    fn add_cluster(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        path: &Path<T>,
        Walked { before, after, is_dual }: Walked,
        sums: &mut Sums,
    ) {
        let (isa, alpha, weight) = (setting.network.isa, self.objective.alpha, self.data.cluster_weight(cluster));
        sums.value += weight * (alpha * before + (1.0 - alpha) * after);
        sums.before += weight * before;
        sums.after += weight * after;
        sums.weight += weight;
        let [a, b] = [weight * alpha, weight * (1.0 - alpha)];
        match (alpha > 0.0 && !is_dual, alpha < 1.0) {
            (true, true) => vectors::add_two_scaled(isa, (a, &path.before), (b, &path.adjoint), &mut sums.gradient),
            (true, false) => vectors::add_scaled(isa, a, &path.before, &mut sums.gradient),
            _ => vectors::add_scaled(isa, b, &path.adjoint, &mut sums.gradient),
        }
        if self.wanted.rate_gradient {
            vectors::add_scaled(isa, b, &path.rates, &mut sums.rates);
        }
    }

    fn finish(
        &self,
        architecture: &Architecture,
        n_clusters: usize,
        total: Sums,
    ) -> Result<Evaluation<T>, KernelError> {
        if let Some((cluster, step, loss)) = total.first_fault
            && (!self.objective.skip_diverged || total.n_diverged == n_clusters)
        {
            return Err(KernelError::Diverged { cluster, step, loss, n_diverged: total.n_diverged, n_clusters });
        }
        if total.weight <= 0.0 {
            return Err(KernelError::Range {
                what: "the sum of cluster weights",
                got: total.weight,
                needed: "above 0",
            });
        }
        let layout = self.setting.network.layout;
        let scale = 1.0 / total.weight;
        let flat = |padded: &[f64]| {
            let mut flat = vec![T::default(); architecture.n_parameters()];
            layout.unpack(padded, &mut flat, |x| T::from_f64(x * scale));
            flat
        };
        let rate_gradient = self.wanted.rate_gradient.then(|| {
            let mut rates = flat(&total.rates);
            if self.objective.inner.head_only {
                // The other parameters take no step, whatever its size.
                rates[..architecture.head_start()].fill(T::default());
            }
            rates
        });
        Ok(Evaluation {
            value: total.value * scale,
            gradient: flat(&total.gradient),
            alpha_gradient: (total.before - total.after) * scale,
            rate_gradient,
            status: in_order(total.status),
            n_skipped: total.n_diverged,
        })
    }
}

fn diverged(step: usize, loss: f64) -> Halt {
    Halt::Diverged(Divergence { step, loss })
}

/// Statuses in the clusters' order: split clusters are visited last.
pub(crate) fn in_order(mut status: Vec<(usize, ClusterStatus)>) -> Vec<ClusterStatus> {
    status.sort_by_key(|&(cluster, _)| cluster);
    status.into_iter().map(|(_, status)| status).collect()
}
