//! Adapted parameters of every cluster.

use std::sync::Mutex;

use crate::network::Network;
use crate::network::architecture::Architecture;
use crate::network::layout::Layout;
use crate::network::loss::Loss;
use crate::network::start::Start;
use crate::network::workspace::Buffer;
use crate::objective::clusters::{Clusters, WorkPartition};
use crate::objective::inner::{InnerError, Path};
use crate::objective::rows::{Engine, Side};
use crate::objective::setting::{Inner, Setting};
use crate::objective::sweep::{ClusterReduction, in_order, sweep};
use crate::objective::{check_point, padded_rates};
use crate::simd::math::Elementary;
use crate::simd::{Backend, Isa};
use crate::system::error::{ClusterStatus, KernelError};
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

/// θ_c^k of every cluster into clusters × parameters, and what happened to each. A cluster that diverges keeps the
/// unadapted θ.
///
/// # Errors
/// Misuse, or [`KernelError::Interrupted`].
pub fn adapt<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    data: &Clusters<'_, T>,
    inner: &Inner,
    loss: Loss,
    into: &mut [T],
    threads: Threads<'_>,
) -> Result<Vec<ClusterStatus>, KernelError> {
    inner.validate(architecture.n_parameters())?;
    check_point(architecture, theta, data, loss)?;
    let needed = data.n_clusters().saturating_mul(architecture.n_parameters());
    if into.len() != needed {
        return Err(KernelError::Length { what: "adapted parameters", got: into.len(), needed });
    }
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        let network = Network { isa, layout: &layout, loss, threads: threads.alone() };
        let start = Start::new(&network, theta)?;
        let rates: Option<Buffer<T>> = padded_rates(&layout, architecture, inner, false)?;
        let setting = Setting { rates: rates.as_deref(), ..Setting::forward(network, start.point(), inner) };
        let slots = into.chunks_exact_mut(architecture.n_parameters()).map(Mutex::new);
        let into = memory::list("the list of the clusters", slots)?;
        let reduction = Adaptation { theta, into, threads };
        let partition = WorkPartition::of(data, None, layout.len);
        sweep(&reduction, &setting, data, None, &partition, threads).map(in_order)
    })
}

/// Each cluster's inner loop; its end goes into the cluster's own row.
struct Adaptation<'a, T> {
    theta: &'a [T],
    into: Vec<Mutex<&'a mut [T]>>,
    threads: Threads<'a>,
}

impl<S: Isa, T: Elementary> ClusterReduction<S, T> for Adaptation<'_, T> {
    type Sums = Vec<(usize, ClusterStatus)>;

    fn sums(&self) -> Result<Self::Sums, KernelError> {
        Ok(Vec::new())
    }

    fn visit<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        sums: &mut Self::Sums,
    ) -> Result<(), KernelError> {
        let mut into = self.into[cluster].lock().expect("a cluster is visited once");
        let before = engine.loss(Side::Query, &setting.start);
        let walked = path
            .adapt(setting, engine, &self.threads, false)
            .map(|_| engine.loss(Side::Query, &path.point(setting, setting.steps)));
        let status = |diverged_step, loss_after| ClusterStatus { diverged_step, loss_before: before, loss_after };
        let status = match walked {
            Err(InnerError::Stopped(error)) => return Err(error),
            Err(InnerError::Diverged(fault)) => status(Some(fault.step), fault.loss),
            Ok(after) if !after.is_finite() => status(Some(setting.steps), after),
            Ok(after) => status(None, after),
        };
        if status.diverged_step.is_none() {
            setting.network.layout.unpack(path.point(setting, setting.steps).theta, &mut into, |x| x);
        } else {
            into.copy_from_slice(self.theta);
        }
        memory::reserve_one("the status of the clusters", sums)?;
        sums.push((cluster, status));
        Ok(())
    }

    fn merge(&self, total: &mut Self::Sums, part: Self::Sums) {
        total.extend(part);
    }
}
