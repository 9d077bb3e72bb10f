//! Over all clusters: blocks of small ones in parallel, then large ones with their rows split.
//!
//! Each block has sums of its own, merged in the blocks' order; the blocks depend on the data alone. So the result has the
//! same bits on any number of threads.

use std::ops::Range;

use crate::network::workspace::{Batch, Buffer};
use crate::objective::clusters::{Clusters, WorkPartition};
use crate::objective::inner::Path;
use crate::objective::rows::{Engine, Prepared, Records, Serial, Split, chunks};
use crate::objective::setting::{Plan, SCRATCH_BYTES, Setting};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::{ClusterStatus, KernelError};
use crate::system::threads::Threads;

/// A sum over clusters: what each one adds, and how the sums of several runs of clusters become one.
pub trait ClusterReduction<S, T>: Sync {
    /// Results of a run of clusters.
    type Sums: Send;
    /// No results yet.
    fn sums(&self) -> Result<Self::Sums, KernelError>;
    /// Visits one cluster; the engine knows its rows.
    fn visit<E: Engine<T>>(
        &self,
        cluster: usize,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        path: &mut Path<T>,
        sums: &mut Self::Sums,
    ) -> Result<(), KernelError>;
    /// Adds the results of a later run.
    fn merge(&self, total: &mut Self::Sums, part: Self::Sums);
}

/// One thread's scratch: a cluster's rows, records and path.
struct ClusterScratch<T> {
    sides: [Option<Prepared<T>>; 2],
    records: Records<T>,
    path: Path<T>,
}

impl<T: Elementary> ClusterScratch<T> {
    fn new<S: Isa>(setting: &Setting<'_, S, T>, most_rows: usize, has_query: bool) -> Result<Self, KernelError> {
        let network = &setting.network;
        let query = has_query.then(|| Prepared::new(network, most_rows)).transpose()?;
        Ok(Self {
            sides: [Some(Prepared::new(network, most_rows)?), query],
            records: Records::new(network, most_rows, setting.plan.slots(), setting.plan.keep_records)?,
            path: Path::new(setting)?,
        })
    }

    fn fill(&mut self, data: &Clusters<'_, T>, n_inputs: usize, cluster: usize) {
        for (side, rows) in self.sides.iter_mut().zip(side_rows(data, cluster)) {
            if let Some(side) = side {
                side.fill(data, n_inputs, rows);
            }
        }
    }
}

/// Support and query rows as batches; the same twice where clusters have no split.
fn batches<'a, T: Elementary>(sides: &'a [Option<Prepared<T>>; 2], data: &Clusters<'a, T>) -> [Batch<'a, T>; 2] {
    let support = sides[0].as_ref().expect("support rows are always there").batch(data);
    [support, sides[1].as_ref().map_or(support, |query| query.batch(data))]
}

/// Support and query rows of a cluster; twice all rows where it has no split.
pub fn side_rows<T: Elementary>(data: &Clusters<'_, T>, cluster: usize) -> [Range<usize>; 2] {
    let rows = data.rows(cluster);
    match data.n_support {
        None => [rows.clone(), rows],
        Some(n) => [rows.start..rows.start + n[cluster], rows.start + n[cluster]..rows.end],
    }
}

/// Visits the listed clusters (all without a list).
pub fn sweep<S: Isa, T: Elementary, V: ClusterReduction<S, T>>(
    reduction: &V,
    setting: &Setting<'_, S, T>,
    data: &Clusters<'_, T>,
    only: Option<&[usize]>,
    partition: &WorkPartition,
    threads: Threads<'_>,
) -> Result<V::Sums, KernelError> {
    let sweep = Sweep { reduction, setting, data, only, partition, threads };
    let mut total = reduction.sums()?;
    for (_, part) in sweep.blocks()? {
        reduction.merge(&mut total, part);
    }
    sweep.split(&mut total)?;
    threads.check()?;
    Ok(total)
}

struct Sweep<'a, S, T, V> {
    reduction: &'a V,
    setting: &'a Setting<'a, S, T>,
    data: &'a Clusters<'a, T>,
    only: Option<&'a [usize]>,
    partition: &'a WorkPartition,
    threads: Threads<'a>,
}

impl<S: Isa, T: Elementary, V: ClusterReduction<S, T>> Sweep<'_, S, T, V> {
    fn cluster(&self, position: usize) -> usize {
        self.only.map_or(position, |list| list[position])
    }

    /// Each block's sums, in the blocks' order.
    fn blocks(&self) -> Result<Vec<(usize, V::Sums)>, KernelError> {
        let make = || ClusterScratch::new(self.setting, self.partition.most_rows, self.data.n_support.is_some());
        let order = self.partition.order.iter();
        let mut done =
            self.threads.map(order, make, |scratch, &mut &block| Ok((block, self.block(block, scratch)?)))?;
        done.sort_unstable_by_key(|&(block, _)| block);
        Ok(done)
    }

    fn block(&self, index: usize, scratch: &mut ClusterScratch<T>) -> Result<V::Sums, KernelError> {
        let mut sums = self.reduction.sums()?;
        for position in self.partition.block(index) {
            self.threads.check()?;
            let cluster = self.cluster(position);
            scratch.fill(self.data, self.setting.network.layout.n_inputs, cluster);
            let ClusterScratch { sides, records, path } = scratch;
            let precision = self.data.precision.map(|precision| &precision.blocks[cluster]);
            let (network, sides) = (self.setting.network, batches(sides, self.data));
            let mut engine = Serial { network, sides, precision, records };
            self.reduction.visit(cluster, self.setting, &mut engine, path, &mut sums)?;
        }
        Ok(sums)
    }

    /// Clusters whose rows are split, one after the other, all threads on each.
    fn split(&self, total: &mut V::Sums) -> Result<(), KernelError> {
        let Some(most_rows) = self.partition.split.iter().map(|&p| self.data.rows(self.cluster(p)).len()).max() else {
            return Ok(());
        };
        let network = self.setting.network;
        let setting = Setting { plan: self.split_plan(), ..*self.setting };
        let mut scratch = ClusterScratch::new(&setting, most_rows, self.data.n_support.is_some())?;
        // A smaller cluster may have more chunks, because chunks grow in steps.
        let sides = self.partition.split.iter().flat_map(|&p| side_rows(self.data, self.cluster(p)));
        let most = |a: (usize, usize), b: (usize, usize)| (a.0.max(b.0), a.1.max(b.1));
        let (rows, count) = sides.map(|side| chunks(side.len())).fold((0, 0), most);
        let mut partial =
            Buffer::several("the gradients of parts of large clusters", (0..count).map(|_| network.layout.len))?;
        let mut records = self.threads.workers(count, || Records::new(&network, rows, 1, false))?;
        for &position in &self.partition.split {
            self.threads.check()?;
            let cluster = self.cluster(position);
            scratch.fill(self.data, network.layout.n_inputs, cluster);
            let ClusterScratch { sides, path, .. } = &mut scratch;
            let (records, partial, threads) = (&mut records[..], &mut partial[..], &self.threads);
            let sides = batches(sides, self.data);
            let mut engine = Split { network, sides, chunk_rows: rows, records, partial, threads };
            let mut sums = self.reduction.sums()?;
            self.reduction.visit(cluster, &setting, &mut engine, path, &mut sums)?;
            self.reduction.merge(total, sums);
        }
        Ok(())
    }

    /// Records of a split cluster are found again on the way back: they would not fit.
    fn split_plan(&self) -> Plan {
        if !self.setting.plan.way_back {
            return Plan::FORWARD;
        }
        let steps = self.setting.steps.max(1);
        let layout = self.setting.network.layout;
        let path = steps.saturating_add(1).saturating_mul((layout.len + layout.transposed_len) * T::SIZE);
        Plan { segment: if path > SCRATCH_BYTES { steps.isqrt() } else { steps }, keep_records: false, way_back: true }
    }
}

/// Statuses in the clusters' order: split clusters are visited last.
pub fn in_order(mut status: Vec<(usize, ClusterStatus)>) -> Vec<ClusterStatus> {
    status.sort_by_key(|&(cluster, _)| cluster);
    status.into_iter().map(|(_, status)| status).collect()
}
