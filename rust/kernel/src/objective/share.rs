//! One cluster's share of the objective, and the sum of several.

use crate::dense::vectors;
use crate::dense::vectors::overflowed;
use crate::network::architecture::Architecture;
use crate::network::workspace::{Buffer, From, Sink};
use crate::objective::clusters::Clusters;
use crate::objective::inner::{InnerError, Path};
use crate::objective::rows::{Engine, Side};
use crate::objective::setting::{Evaluation, ExtraOutputs, Objective, Setting};
use crate::objective::sweep::{ClusterReduction, in_order, side_rows};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::{ClusterStatus, Divergence, KernelError};
use crate::system::memory;
use crate::system::threads::Threads;

/// The objective and its gradients, as a sum over clusters.
pub struct ObjectiveSum<'a, S, T> {
    pub setting: Setting<'a, S, T>,
    pub data: &'a Clusters<'a, T>,
    pub objective: &'a Objective,
    pub wanted: ExtraOutputs,
    pub threads: Threads<'a>,
}

/// Losses of a cluster that did not diverge; its gradients are in the path.
#[derive(Clone, Copy)]
struct ClusterLosses {
    before: f64,
    after: f64,
    /// Whether the adjoint holds v + α/(1−α) ∇L(θ).
    is_dual: bool,
}

/// Sums over the clusters of one block, in f64.
pub struct Sums {
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
    fn new(len: usize, rates: bool) -> Result<Self, KernelError> {
        Ok(Self {
            value: 0.0,
            before: 0.0,
            after: 0.0,
            weight: 0.0,
            gradient: Buffer::new("a gradient", len)?,
            rates: Buffer::new("a gradient", if rates { len } else { 0 })?,
            first_fault: None,
            n_diverged: 0,
            status: Vec::new(),
        })
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

impl<S: Isa, T: Elementary> ClusterReduction<S, T> for ObjectiveSum<'_, S, T> {
    type Sums = Sums;

    fn sums(&self) -> Result<Sums, KernelError> {
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
            Ok(losses) => {
                self.add_cluster(cluster, setting, path, losses, sums);
                ClusterStatus { diverged_step: None, loss_before: losses.before, loss_after: losses.after }
            }
            Err(InnerError::Stopped(error)) => return Err(error),
            Err(InnerError::Diverged(fault)) => {
                sums.n_diverged += 1;
                sums.first_fault.get_or_insert((cluster, fault.step, fault.loss));
                ClusterStatus { diverged_step: Some(fault.step), loss_before: f64::NAN, loss_after: fault.loss }
            }
        };
        if self.wanted.status {
            memory::reserve_one("the status of the clusters", &mut sums.status)?;
            sums.status.push((cluster, status));
        }
        Ok(())
    }

    fn merge(&self, total: &mut Sums, part: Sums) {
        total.add(self.setting.network.isa, &part);
        total.status.extend(part.status);
    }
}

impl<S: Isa, T: Elementary> ObjectiveSum<'_, S, T> {
    /// Losses before and after adaptation; leaves the two gradients in the path.
    fn walk<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
    ) -> Result<ClusterLosses, InnerError> {
        self.threads.check().map_err(InnerError::Stopped)?;
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
                Ok(ClusterLosses { before: loss, after: loss, is_dual: false })
            } else {
                Err(diverged(0, loss))
            };
        }
        if let Some(dual) = &mut path.dual
            && let Some(batch) = engine.batch().filter(|batch| batch.rows <= dual.rows())
        {
            let losses = dual.evaluate(setting, batch, alpha, &mut path.adjoint).map_err(InnerError::Diverged)?;
            let finite = vectors::all_finite(setting.network.isa, &path.adjoint);
            let (before, after) = losses;
            return if finite {
                Ok(ClusterLosses { before, after, is_dual: true })
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
        if setting.steps > 0 && alpha < 1.0 && (!setting.inner.first_order || setting.rate_gradient) {
            path.pull_back(setting, engine, &self.threads)?;
        }
        let finite = vectors::all_finite(setting.network.isa, &path.adjoint);
        if finite && before.is_finite() {
            Ok(ClusterLosses { before, after, is_dual: false })
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
        ClusterLosses { before, after, is_dual }: ClusterLosses,
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

    /// The evaluation that the sums amount to.
    pub fn finish(
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
        let flat = |what, padded: &[f64]| {
            let mut flat = memory::zeros(what, architecture.n_parameters())?;
            layout.unpack(padded, &mut flat, |x| T::from_f64(x * scale));
            overflowed(what, &flat)?;
            Ok(flat)
        };
        let value = total.value * scale;
        overflowed("the objective", &[value])?;
        let mut rate_gradient = None;
        if self.wanted.rate_gradient {
            let mut rates = flat("the gradient in the inner steps", &total.rates)?;
            if self.objective.inner.head_only {
                // The other parameters take no step, whatever its size.
                rates[..architecture.head_start()].fill(T::default());
            }
            rate_gradient = Some(rates);
        }
        Ok(Evaluation {
            value,
            gradient: flat("the gradient", &total.gradient)?,
            alpha_gradient: (total.before - total.after) * scale,
            rate_gradient,
            status: in_order(total.status),
            n_skipped: total.n_diverged,
        })
    }
}

fn diverged(step: usize, loss: f64) -> InnerError {
    InnerError::Diverged(Divergence { step, loss })
}
