//! Ragged clusters: rows sorted by cluster, and how they are cut into work.

use std::ops::Range;

use crate::covariance::precision::Precision;
use crate::dense::vectors::finite;
use crate::network::architecture::Architecture;
use crate::network::loss::Loss;
use crate::simd::Real;
use crate::system::error::{KernelError, range};
use crate::system::memory;

/// Borrowed data whose rows are sorted by cluster: rows `offsets[c]..offsets[c + 1]` are cluster c.
#[derive(Clone, Copy, Debug)]
pub struct Clusters<'a, T> {
    /// Inputs, rows × `n_inputs`.
    pub x: &'a [T],
    /// Targets, rows × the loss's target width.
    pub y: &'a [T],
    /// Rows before each cluster, and the number of rows.
    pub offsets: &'a [usize],
    /// Row weights; none: all 1.
    pub weights: Option<&'a [T]>,
    /// How many of each cluster's first rows adapt; the others measure the adapted loss. None: all do both.
    pub n_support: Option<&'a [usize]>,
    /// How much each cluster counts; none: by its number of rows.
    pub cluster_weights: Option<&'a [f64]>,
    /// The squared loss is r'Ar / n_c with a matrix a cluster; none: the identity. Such clusters are not split over threads.
    pub precision: Option<&'a Precision<T>>,
}

fn length(what: &'static str, got: usize, needed: usize) -> Result<(), KernelError> {
    if got == needed { Ok(()) } else { Err(KernelError::Length { what, got, needed }) }
}

/// Weights times a power of two, which changes nothing but their size: so that no sum of them overflows and none of their
/// inverses does. Those of ordinary size stay as they are.
pub fn balanced<T: Real>(weights: &mut [T]) {
    let largest = weights.iter().map(|w| w.to_f64()).filter(|w| w.is_finite()).fold(0.0, f64::max);
    if largest == 0.0 || (1e-100..1e100).contains(&largest) {
        return;
    }
    // Twice half the power, because the whole one may not be a number.
    let half = (-largest.log2() / 2.0).round().exp2();
    weights.iter_mut().for_each(|w| *w = T::from_f64(w.to_f64() * half * half));
}

impl<'a, T: Real> Clusters<'a, T> {
    /// How many clusters.
    pub fn n_clusters(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// How many rows.
    pub fn n_rows(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// A cluster's rows.
    pub fn rows(&self, cluster: usize) -> Range<usize> {
        self.offsets[cluster]..self.offsets[cluster + 1]
    }

    /// How much a cluster counts.
    pub fn cluster_weight(&self, cluster: usize) -> f64 {
        self.cluster_weights.map_or_else(|| self.rows(cluster).len() as f64, |w| w[cluster])
    }

    /// Checks everything that does not depend on the network: done once for data that is used often.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate(&self) -> Result<(), KernelError> {
        self.validate_offsets()?;
        finite("x", self.x)?;
        finite("y", self.y)?;
        let n_clusters = self.n_clusters();
        if let Some(weights) = self.weights {
            length("weights", weights.len(), self.n_rows())?;
            finite("weights", weights)?;
            if let Some(w) = weights.iter().find(|w| w.to_f64() < 0.0) {
                return Err(KernelError::Range { what: "every weight", got: w.to_f64(), needed: "at least 0" });
            }
        }
        if let Some(n_support) = self.n_support {
            length("n_support", n_support.len(), n_clusters)?;
        }
        if let Some(weights) = self.cluster_weights {
            length("cluster_weights", weights.len(), n_clusters)?;
            finite("cluster_weights", weights)?;
            if let Some(&got) = weights.iter().find(|&&w| w < 0.0) {
                return Err(KernelError::Range { what: "every cluster weight", got, needed: "at least 0" });
            }
        }
        if let Some(precision) = self.precision {
            precision.validate_for(self.offsets)?;
            self.validate_for_precision()?;
        }
        (0..n_clusters).try_for_each(|cluster| self.validate_cluster(cluster))
    }

    fn validate_for_precision(&self) -> Result<(), KernelError> {
        let missing = |what| Err(KernelError::Missing { what, needed_by: "a precision" });
        if self.weights.is_some() {
            return missing("rows without weights");
        }
        if self.n_support.is_some() { missing("clusters without a query split") } else { Ok(()) }
    }

    /// An error where there is a precision, which `needed_by` cannot do with.
    ///
    /// # Errors
    /// [`KernelError::Missing`].
    pub fn without_precision(&self, needed_by: &'static str) -> Result<(), KernelError> {
        let what = "clusters without a precision";
        if self.precision.is_some() { Err(KernelError::Missing { what, needed_by }) } else { Ok(()) }
    }

    fn validate_offsets(&self) -> Result<(), KernelError> {
        let rows = self.n_rows();
        let first = self.offsets.first().copied().unwrap_or(1);
        if first != 0 || self.offsets.len() < 2 {
            return Err(KernelError::Offsets { index: 0, got: first, rows });
        }
        match self.offsets.windows(2).position(|pair| pair[0] >= pair[1]) {
            Some(i) => Err(KernelError::Offsets { index: i + 1, got: self.offsets[i + 1], rows }),
            None => Ok(()),
        }
    }

    fn validate_cluster(&self, cluster: usize) -> Result<(), KernelError> {
        let rows = self.rows(cluster);
        let missing = |what| Err(KernelError::EmptyCluster { cluster, what });
        let parts = match self.n_support {
            None => [rows.clone(), rows],
            Some(n) if n[cluster] == 0 => return missing("support rows"),
            Some(n) if n[cluster] >= rows.len() => return missing("query rows"),
            Some(n) => [rows.start..rows.start + n[cluster], rows.start + n[cluster]..rows.end],
        };
        if parts.into_iter().any(|part| self.total_weight(part) <= 0.0) {
            return missing("weight");
        }
        Ok(())
    }

    /// Checks what depends on the network and the loss.
    ///
    /// # Errors
    /// [`KernelError::Length`].
    pub fn validate_for(&self, architecture: &Architecture, loss: Loss) -> Result<(), KernelError> {
        let rows = self.n_rows();
        let size = |width: usize| rows.checked_mul(width).ok_or(KernelError::Overflow { what: "the data" });
        length("x", self.x.len(), size(architecture.n_inputs())?)?;
        length("y", self.y.len(), size(loss.target_width(architecture.n_outputs()))?)
    }

    /// Each row's share in the mean loss Σ n_c L_c / N.
    ///
    /// # Errors
    /// [`KernelError::Range`] where the clusters' weights sum to nothing, or [`KernelError::Memory`].
    pub fn row_shares(&self) -> Result<Vec<T>, KernelError> {
        let total: f64 = (0..self.n_clusters()).map(|c| self.cluster_weight(c)).sum();
        range("the sum of cluster weights", total, total > 0.0, "above 0")?;
        let mut shares = memory::room("the shares of the rows", self.n_rows())?;
        for cluster in 0..self.n_clusters() {
            let rows = self.rows(cluster);
            let scale = self.cluster_weight(cluster) / total / self.total_weight(rows.clone());
            shares.extend(rows.map(|row| T::from_f64(scale * self.weights.map_or(1.0, |w| w[row].to_f64()))));
        }
        Ok(shares)
    }

    /// The sum of some rows' weights.
    pub fn total_weight(&self, rows: Range<usize>) -> f64 {
        match self.weights {
            None => rows.len() as f64,
            Some(weights) => weights[rows].iter().map(|w| w.to_f64()).sum(),
        }
    }
}

/// A cluster of at least this many rows is split by rows when it is also a large share of the work.
const SPLIT_ROWS: usize = 1024;
/// A cluster larger than this share of all rows would leave threads idle at the end.
const SPLIT_SHARE: usize = 16;
/// Blocks of clusters: enough that two to sixteen threads end nearly together.
const MOST_BLOCKS: usize = 32;
/// Memory for the blocks' gradients, in numbers; very large networks get fewer blocks.
const BLOCK_NUMBERS: usize = 8 << 20;
/// What a cluster costs beside its rows, in rows: vectors of parameters are stepped and transposed.
const CLUSTER_COST: usize = 8;

/// How the clusters are cut into work. It depends on the data alone, so that results have the same bits on any number of
/// threads.
#[derive(Clone, Debug, Default)]
pub struct WorkPartition {
    /// Runs of clusters of about equal cost; positions in the list of clusters.
    pub blocks: Vec<Range<usize>>,
    /// The blocks in the order in which they are taken: a costly one at the end would leave threads idle.
    pub order: Vec<usize>,
    /// Positions of clusters whose rows are split over the threads.
    pub split: Vec<usize>,
    /// Rows of the largest cluster in a block.
    pub most_rows: usize,
    /// Whether a position is in `split`, for the blocks to pass over; empty if none is.
    is_split: Vec<bool>,
}

impl WorkPartition {
    /// Cuts the listed clusters (all without a list), for vectors of `n_numbers` parameters. With a precision none is split.
    pub fn of<T: Real>(data: &Clusters<'_, T>, only: Option<&[usize]>, n_numbers: usize) -> Self {
        let count = only.map_or(data.n_clusters(), <[usize]>::len);
        let size = |position: usize| data.rows(only.map_or(position, |list| list[position])).len();
        let split_rows = if data.precision.is_some() { usize::MAX } else { SPLIT_ROWS };
        Self::new((0..count).map(size), n_numbers, split_rows)
    }

    /// Cuts clusters of the given sizes, for vectors of `n_numbers` parameters; none of fewer than `split_rows` is split.
    fn new(sizes: impl ExactSizeIterator<Item = usize> + Clone, n_numbers: usize, split_rows: usize) -> Self {
        let total: usize = sizes.clone().sum();
        let is_large = |rows: usize| rows >= split_rows && rows.saturating_mul(SPLIT_SHARE) > total;
        let split: Vec<usize> = sizes.clone().enumerate().filter(|&(_, n)| is_large(n)).map(|(i, _)| i).collect();
        let mut is_split = vec![false; if split.is_empty() { 0 } else { sizes.len() }];
        split.iter().for_each(|&i| is_split[i] = true);

        let cost = |rows: usize| if is_large(rows) { 0 } else { rows + CLUSTER_COST };
        let all: usize = sizes.clone().map(cost).sum();
        let most = (BLOCK_NUMBERS / n_numbers.max(1)).clamp(4, MOST_BLOCKS);
        // A block's sums are added once more in the end: with few clusters, two share them.
        let n_blocks = most.min((sizes.len() - split.len()).div_ceil(2).max(16)).min(sizes.len() - split.len());
        let mut blocks = Vec::with_capacity(n_blocks);
        let mut costs = Vec::with_capacity(n_blocks);
        let (mut start, mut spent, mut before, mut most_rows) = (0, 0, 0, 0);
        for (i, rows) in sizes.clone().enumerate() {
            spent += cost(rows);
            most_rows = most_rows.max(if is_large(rows) { 0 } else { rows });
            // The block ends where its share of the cost is reached.
            if n_blocks > 0 && spent * n_blocks >= all * (blocks.len() + 1) && start <= i && spent > 0 {
                blocks.push(start..i + 1);
                costs.push(spent - before);
                (start, before) = (i + 1, spent);
            }
        }
        if start < sizes.len() && split.len() < sizes.len() {
            blocks.push(start..sizes.len());
            costs.push(spent - before);
        }
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|&block| std::cmp::Reverse(costs[block]));
        Self { blocks, order, split, most_rows, is_split }
    }

    /// Positions of a block that are not split.
    pub fn block(&self, block: usize) -> impl Iterator<Item = usize> + '_ {
        self.blocks[block].clone().filter(|&i| !self.is_split.get(i).copied().unwrap_or(false))
    }
}

#[cfg(test)]
mod tests;
