//! V⁻¹ of every cluster, for training.

use crate::simd::Real;
use crate::system::error::{KernelError, range};
use crate::system::memory;
use crate::system::threads::Threads;

use super::factor::{ClusterFactor, Factors, LowRank};
use super::gradient::{Scratch, inverse};
use super::padded::{Padded, Sign, add_crossproduct};
use super::precision::{Precision, PrecisionBlock};

const WHAT: &str = "the precision of a cluster";

/// Rows from which on a low rank is worth its own form.
const FEW: usize = 32;

impl Factors {
    /// scale·V⁻¹ of every cluster: of low rank where the factor is and that takes fewer multiplications.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn precision<T: Real>(&self, scale: f64, threads: Threads<'_>) -> Result<Precision<T>, KernelError> {
        range("scale", scale, scale > 0.0, "above 0")?;
        let pieces = threads.map(
            self.covariance.pieces.iter(),
            || Ok(Scratch::default()),
            |scratch, piece| {
                let blocks = (*piece).clone().map(|cluster| self.block(cluster, scale, scratch, &threads));
                memory::tried(WHAT, blocks)
            },
        )?;
        let mut blocks = memory::room(WHAT, self.covariance.n_clusters())?;
        blocks.extend(pieces.into_iter().flatten());
        Ok(Precision { blocks })
    }

    fn block<T: Real>(
        &self,
        cluster: usize,
        scale: f64,
        scratch: &mut Scratch,
        threads: &Threads<'_>,
    ) -> Result<PrecisionBlock<T>, KernelError> {
        threads.check()?;
        match &self.clusters[cluster] {
            ClusterFactor::Dense(u) => inverse(u, &mut scratch.inverse, &mut scratch.m, threads)?,
            ClusterFactor::LowRank(low) => {
                let factor = self.root_of_reduction(cluster, low, threads)?;
                let n = low.tau.len();
                if n > FEW && 2 * factor.rows < n {
                    return low_rank_block(low, &factor, scale);
                }
                scratch.m.reset(WHAT, n, n)?;
                add_crossproduct(Sign::Minus, &factor, &factor, &mut scratch.m, true, threads);
                (0..n).for_each(|i| scratch.m.row_mut(i)[i] += low.tau[i]);
                threads.check()?;
            }
        }
        scratch.m.mirror();
        dense_block(&scratch.m, scale)
    }

    /// G with V⁻¹ = T − GᵀG.
    fn root_of_reduction(&self, cluster: usize, low: &LowRank, threads: &Threads<'_>) -> Result<Padded, KernelError> {
        let design = self.design(cluster, low);
        let (inner, rest) = low.whitened(design, &self.roots, threads)?;
        let (n, first) = (design.n, design.groups * design.width);
        let mut root = Padded::zeros(WHAT, first + rest.rows, n)?;
        for i in 0..n {
            if let Some((group, _)) = design.group(i) {
                for (k, y) in inner.row(i).iter().enumerate() {
                    root.row_mut(group * design.width + k)[i] = low.tau[i] * y;
                }
            }
        }
        for k in 0..rest.rows {
            let to = root.row_mut(first + k).iter_mut();
            to.zip(rest.row(k)).zip(&low.tau).for_each(|((to, y), tau)| *to = tau * y);
        }
        Ok(root)
    }
}

fn dense_block<T: Real>(m: &Padded, scale: f64) -> Result<PrecisionBlock<T>, KernelError> {
    let mut matrix = memory::room(WHAT, m.rows * m.cols)?;
    (0..m.rows).for_each(|i| matrix.extend(m.row(i).iter().map(|x| T::from_f64(scale * x))));
    Ok(PrecisionBlock::Dense(matrix))
}

fn low_rank_block<T: Real>(low: &LowRank, root: &Padded, scale: f64) -> Result<PrecisionBlock<T>, KernelError> {
    let (rank, n) = (root.rows, root.cols);
    let diagonal = memory::list(WHAT, low.tau.iter().map(|tau| T::from_f64(scale * tau)))?;
    let mut factor = memory::room(WHAT, n * rank)?;
    let scale = scale.sqrt();
    for i in 0..n {
        factor.extend((0..rank).map(|k| T::from_f64(scale * root.at(k, i))));
    }
    Ok(PrecisionBlock::LowRank { diagonal, factor, rank })
}
