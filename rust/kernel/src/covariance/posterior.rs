//! What the residuals of a cluster say about its effects at new rows.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky;
use super::design::{Coefficients, Design};
use super::factor::{ClusterFactor, Factors, LowRank};
use super::inducing::correlate;
use super::new_rows::NewRows;
use super::padded::{Padded, Sign};
use super::roots::Roots;
use super::side::Side;
use super::solve::squared_lengths;
use super::structure::Covariance;

const WHAT: &str = "the posterior at new rows";

impl Covariance {
    /// What a design of new rows leaves of their prior variance: new inner groups, and what the kernel's columns miss.
    pub(super) fn spare_variance(
        &self,
        cluster: usize,
        roots: &Roots,
        design: &Design,
        side: &Side<'_>,
    ) -> Result<Vec<f64>, KernelError> {
        let mut spare = memory::zeros(WHAT, side.n)?;
        if let (Some((variance, _)), Some(_)) = (roots.rbf, side.inputs) {
            for (i, spare) in spare.iter_mut().enumerate() {
                let p = &design.rest.row(i)[design.first_kernel_column..];
                *spare = (variance * (1.0 - p.iter().map(|p| p * p).sum::<f64>())).max(0.0);
            }
        }
        let mut rooted = Padded::default();
        for (term, effect) in self.effects.iter().enumerate() {
            let Some(inner) = effect.inner else { continue };
            let known = self.inners[inner].count(cluster);
            self.rooted(term, side, roots, &mut rooted)?;
            for i in (0..side.n).filter(|&i| side.numbers[inner][i] as usize >= known) {
                spare[i] += (0..rooted.rows).map(|k| rooted.at(k, i) * rooted.at(k, i)).sum::<f64>();
            }
        }
        Ok(spare)
    }
}

/// Means and variances at new rows; no variances where they were not asked for.
pub type Moments = (Vec<f64>, Option<Vec<f64>>);

/// New rows that are worked on at once: what grows with them and the cluster's rows stays small.
const CHUNK: usize = 1024;

/// The moments of all clusters that have new rows, in their order: what a cluster says is found once, then used for some
/// rows at a time.
pub(super) fn gathered<P>(
    covariance: &Covariance,
    new: &NewRows<'_>,
    variance: bool,
    threads: &Threads<'_>,
    said: impl Fn(usize) -> Result<P, KernelError> + Sync,
    moments: impl Fn(usize, &P, &Side<'_>) -> Result<(Vec<f64>, Vec<f64>), KernelError> + Sync,
) -> Result<Moments, KernelError> {
    let pieces = threads.map(
        covariance.pieces.iter(),
        || Ok(()),
        |(), piece| {
            let rows = new.offsets[piece.end] - new.offsets[piece.start];
            let mut means = memory::room(WHAT, rows)?;
            let mut variances = memory::room(WHAT, if variance { rows } else { 0 })?;
            for cluster in (*piece).clone().filter(|&cluster| new.offsets[cluster] < new.offsets[cluster + 1]) {
                let found = said(cluster)?;
                let end = new.offsets[cluster + 1];
                for first in (new.offsets[cluster]..end).step_by(CHUNK) {
                    threads.check()?;
                    let fresh = covariance.fresh(new, cluster, first..end.min(first + CHUNK))?;
                    let (mean, spread) = moments(cluster, &found, &fresh.side(new, covariance.n_columns)?)?;
                    means.extend(mean);
                    variances.extend(spread);
                }
            }
            Ok((means, variances))
        },
    )?;
    let n_rows = new.offsets[covariance.n_clusters()];
    let mut means = memory::room(WHAT, n_rows)?;
    let mut variances = memory::room(WHAT, if variance { n_rows } else { 0 })?;
    for (mean, spread) in pieces {
        means.extend(mean);
        variances.extend(spread);
    }
    Ok((means, variance.then_some(variances)))
}

/// What a cluster's residuals say: V⁻¹r, or the mean of the design's coefficients.
enum Said {
    Solved(Padded),
    Coefficients(Coefficients),
}

impl Factors {
    /// Mean, and variance if asked for, of the effects (without noise) at new rows, given residuals.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn posterior(
        &self,
        residual: &[f64],
        new: &NewRows<'_>,
        variance: bool,
        threads: Threads<'_>,
    ) -> Result<Moments, KernelError> {
        self.check_rows("residual", residual, 1)?;
        let covariance = &*self.covariance;
        covariance.check_new(new)?;
        let moments = |cluster: usize, said: &Said, side: &Side<'_>| match (&self.clusters[cluster], said) {
            (ClusterFactor::Dense(u), Said::Solved(solved)) => {
                self.dense_moments(cluster, u, solved, side, variance, &threads)
            }
            (ClusterFactor::LowRank(low), Said::Coefficients(x)) => {
                covariance.moments_of(&self.roots, (cluster, low), x, side, variance, &threads)
            }
            (ClusterFactor::Dense(_) | ClusterFactor::LowRank(_), _) => Ok((Vec::new(), Vec::new())),
        };
        gathered(covariance, new, variance, &threads, |cluster| self.said(cluster, residual, &threads), moments)
    }

    fn said(&self, cluster: usize, residual: &[f64], threads: &Threads<'_>) -> Result<Said, KernelError> {
        let mut r = Padded::default();
        r.load(WHAT, &residual[self.covariance.rows(cluster)], 1)?;
        match &self.clusters[cluster] {
            ClusterFactor::Dense(_) => {
                self.solve_cluster(cluster, &mut r, threads)?;
                Ok(Said::Solved(r))
            }
            ClusterFactor::LowRank(low) => {
                low.scale(&mut r);
                Ok(Said::Coefficients(low.coefficients(self.design(cluster, low), &self.roots, &r, threads)?))
            }
        }
    }

    /// K(new, rows)V⁻¹r and k(new, new) − |U⁻ᵀK(rows, new)|²; no variances where they are not asked for.
    fn dense_moments(
        &self,
        cluster: usize,
        u: &Padded,
        solved: &Padded,
        side: &Side<'_>,
        variance: bool,
        threads: &Threads<'_>,
    ) -> Result<(Vec<f64>, Vec<f64>), KernelError> {
        let mut cross = Padded::zeros(WHAT, u.rows, side.n)?;
        self.covariance.add_effects(&self.roots, &self.covariance.side(cluster)?, side, &mut cross, false, threads)?;
        let mut mean = memory::zeros(WHAT, side.n)?;
        for i in 0..u.rows {
            let weight = solved.at(i, 0);
            mean.iter_mut().zip(cross.row(i)).for_each(|(sum, k)| *sum += weight * k);
        }
        if !variance {
            return Ok((mean, Vec::new()));
        }
        cholesky::forward(u, &mut cross, threads);
        threads.check()?;
        let mut variances = self.covariance.prior_variance(&self.roots, side)?;
        for i in 0..u.rows {
            variances.iter_mut().zip(cross.row(i)).for_each(|(sum, t)| *sum -= t * t);
        }
        // Rounding may take it below 0.
        variances.iter_mut().for_each(|v| *v = v.max(0.0));
        Ok((mean, variances))
    }
}

impl Covariance {
    /// Zβ with β the mean of the design's coefficients, and zᵀNz with N their variance.
    pub(super) fn moments_of(
        &self,
        roots: &Roots,
        (cluster, low): (usize, &LowRank),
        coefficients: &Coefficients,
        side: &Side<'_>,
        variance: bool,
        threads: &Threads<'_>,
    ) -> Result<(Vec<f64>, Vec<f64>), KernelError> {
        let design = self.new_design(roots, (cluster, low), side, threads)?;
        let mut mean = Padded::zeros(WHAT, side.n, 1)?;
        design.add_times(Sign::Plus, coefficients, &mut mean, threads);
        let mean = memory::list(WHAT, (0..side.n).map(|i| mean.at(i, 0)))?;
        if !variance {
            return Ok((mean, Vec::new()));
        }
        let (inner, rest) = low.whitened(&design, roots, threads)?;
        let mut variances = squared_lengths(&inner, &rest, side.n)?;
        let spare = self.spare_variance(cluster, roots, &design, side)?;
        variances.iter_mut().zip(spare).for_each(|(sum, spare)| *sum += spare);
        threads.check()?;
        Ok((mean, variances))
    }

    /// The design of new rows, with the kernel's columns.
    pub(super) fn new_design(
        &self,
        roots: &Roots,
        (cluster, low): (usize, &LowRank),
        side: &Side<'_>,
        threads: &Threads<'_>,
    ) -> Result<Design, KernelError> {
        let inducing = self.inducing_rows(cluster);
        let mut design = Design::new(self, cluster, side, inducing.len())?;
        if let (Some(kernel), Some(inputs), Some(to)) = (&low.kernel, &self.inputs, side.inputs) {
            let length = roots.rbf.map_or(1.0, |(_, length)| length);
            let mut columns = Padded::zeros(WHAT, inducing.len(), side.n)?;
            correlate(&inputs[cluster], to, inducing, length, &mut columns)?;
            cholesky::forward(&kernel.u, &mut columns, threads);
            design.put_kernel(&columns);
        }
        Ok(design)
    }
}
