//! Joint draws of the effects at new rows, given residuals.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::random::Random;
use crate::system::threads::Threads;

use super::cholesky;
use super::design::Coefficients;
use super::factor::{ClusterFactor, Factors, LowRank};
use super::new_rows::NewRows;
use super::padded::{Padded, Sign, add_crossproduct};
use super::side::Side;

const WHAT: &str = "the draws";

/// What is added to the diagonal of a posterior covariance, in parts of its largest prior variance: the first with which it
/// has a factor.
const JITTERS: [f64; 4] = [1e-12, 1e-10, 1e-8, 1e-6];

impl Factors {
    /// Draws of all effects together, without noise, at new rows: `n_draws` × rows. A cluster's draws depend on the seed and
    /// its index, and the first ones not on how many there are.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn draws(
        &self,
        residual: &[f64],
        new: &NewRows<'_>,
        (n_draws, seed): (usize, u64),
        threads: Threads<'_>,
    ) -> Result<Vec<f64>, KernelError> {
        self.check_rows("residual", residual, 1)?;
        self.covariance.check_new(new)?;
        let n_rows = new.offsets[self.covariance.n_clusters()];
        let len = n_draws.checked_mul(n_rows).ok_or(KernelError::Overflow { what: WHAT })?;
        let mut all = memory::zeros(WHAT, len)?;
        let clusters = threads.map(
            0..self.covariance.n_clusters(),
            || Ok(Padded::default()),
            |solved, cluster| self.draw_cluster(*cluster, residual, new, (n_draws, seed), solved, &threads),
        )?;
        for (cluster, drawn) in clusters.iter().enumerate() {
            let first = new.offsets[cluster];
            for i in 0..drawn.rows {
                drawn.row(i).iter().enumerate().for_each(|(draw, x)| all[draw * n_rows + first + i] = *x);
            }
        }
        Ok(all)
    }

    fn draw_cluster(
        &self,
        cluster: usize,
        residual: &[f64],
        new: &NewRows<'_>,
        (n_draws, seed): (usize, u64),
        solved: &mut Padded,
        threads: &Threads<'_>,
    ) -> Result<Padded, KernelError> {
        if new.offsets[cluster] == new.offsets[cluster + 1] {
            return Ok(Padded::default());
        }
        threads.check()?;
        solved.load(WHAT, &residual[self.covariance.rows(cluster)], 1)?;
        let fresh = self.covariance.fresh(new, cluster, new.offsets[cluster]..new.offsets[cluster + 1])?;
        let side = fresh.side(new, self.covariance.n_columns)?;
        let mut random = Normals::new(seed, cluster, n_draws)?;
        match &self.clusters[cluster] {
            ClusterFactor::Dense(u) => self.dense_draws(cluster, u, solved, &side, &mut random, threads),
            ClusterFactor::LowRank(low) => self.low_rank_draws(cluster, low, solved, &side, &mut random, threads),
        }
    }

    fn dense_draws(
        &self,
        cluster: usize,
        u: &Padded,
        residual: &mut Padded,
        side: &Side<'_>,
        random: &mut Normals,
        threads: &Threads<'_>,
    ) -> Result<Padded, KernelError> {
        let own = self.covariance.side(cluster)?;
        self.solve_cluster(cluster, residual, threads)?;
        let mut cross = Padded::zeros(WHAT, own.n, side.n)?;
        self.covariance.add_effects(&self.roots, &own, side, &mut cross, false, threads)?;
        let mut mean = Padded::zeros(WHAT, side.n, 1)?;
        add_crossproduct(Sign::Plus, &cross, residual, &mut mean, false, threads);
        cholesky::forward(u, &mut cross, threads);
        let mut posterior = Padded::zeros(WHAT, side.n, side.n)?;
        self.covariance.add_effects(&self.roots, side, side, &mut posterior, true, threads)?;
        let largest = (0..side.n).map(|i| posterior.at(i, i)).fold(0.0, f64::max);
        add_crossproduct(Sign::Minus, &cross, &cross, &mut posterior, true, threads);
        threads.check()?;
        let root = self.root_of(cluster, &posterior, largest, threads)?;
        let mut drawn = Padded::zeros(WHAT, side.n, random.n_draws())?;
        for i in 0..side.n {
            drawn.row_mut(i).fill(mean.at(i, 0));
        }
        let normals = random.matrix(side.n)?;
        add_crossproduct(Sign::Plus, &root, &normals, &mut drawn, false, threads);
        threads.check()?;
        Ok(drawn)
    }

    /// An upper factor of a covariance that may be singular, with zeros below the diagonal.
    fn root_of(
        &self,
        cluster: usize,
        matrix: &Padded,
        largest: f64,
        threads: &Threads<'_>,
    ) -> Result<Padded, KernelError> {
        let mut root = Padded::default();
        if largest <= 0.0 {
            root.reset(WHAT, matrix.rows, matrix.cols)?;
            return Ok(root);
        }
        let mut pivot = 0.0;
        for jitter in JITTERS {
            root.copy(WHAT, matrix)?;
            (0..matrix.rows).for_each(|i| root.row_mut(i)[i] += jitter * largest);
            match cholesky::factor(&mut root, threads) {
                Ok(()) => {
                    (0..root.rows).for_each(|i| root.row_mut(i)[..i].fill(0.0));
                    return Ok(root);
                }
                Err(bad) => pivot = bad.value,
            }
        }
        Err(KernelError::NotDefinite { cluster, n_rows: matrix.rows, pivot })
    }

    /// The mean of the design's coefficients and FU⁻¹ times normals, and what the design leaves of the prior.
    fn low_rank_draws(
        &self,
        cluster: usize,
        low: &LowRank,
        residual: &mut Padded,
        side: &Side<'_>,
        random: &mut Normals,
        threads: &Threads<'_>,
    ) -> Result<Padded, KernelError> {
        low.scale(residual);
        let old = self.design(cluster, low);
        let mean = low.coefficients(old, &self.roots, residual, threads)?;
        let normals = random.matrix(mean.inner.rows + mean.rest.rows)?;
        let mut x = Coefficients::zeros(old, random.n_draws())?;
        let (inner, rest) = normals.numbers.split_at(mean.inner.rows * normals.stride);
        x.inner.numbers.copy_from_slice(inner);
        x.rest.numbers.copy_from_slice(rest);
        low.factor.backward(&mut x, threads);
        self.roots.apply(old, false, &mut x)?;
        for (x, mean) in [(&mut x.inner, &mean.inner), (&mut x.rest, &mean.rest)] {
            for i in 0..x.rows {
                let mean = mean.at(i, 0);
                x.row_mut(i).iter_mut().for_each(|x| *x += mean);
            }
        }
        let design = self.covariance.new_design(&self.roots, (cluster, low), side, threads)?;
        let mut drawn = Padded::zeros(WHAT, side.n, random.n_draws())?;
        design.add_times(Sign::Plus, &x, &mut drawn, threads);
        self.add_spare(cluster, low, (&design.rest, design.first_kernel_column), side, random, &mut drawn)?;
        threads.check()?;
        Ok(drawn)
    }

    /// What the kernel's columns miss, row by row, and new inner groups.
    fn add_spare(
        &self,
        cluster: usize,
        low: &LowRank,
        (rest, first): (&Padded, usize),
        side: &Side<'_>,
        random: &mut Normals,
        drawn: &mut Padded,
    ) -> Result<(), KernelError> {
        if let (Some((variance, _)), Some(_)) = (self.roots.rbf, &low.kernel) {
            let normals = random.matrix(side.n)?;
            for i in 0..side.n {
                let left = 1.0 - rest.row(i)[first..].iter().map(|p| p * p).sum::<f64>();
                let deviation = (variance * left).max(0.0).sqrt();
                drawn.row_mut(i).iter_mut().zip(normals.row(i)).for_each(|(to, x)| *to += deviation * x);
            }
        }
        let mut rooted = Padded::default();
        for (term, effect) in self.covariance.effects.iter().enumerate() {
            let Some(inner) = effect.inner else { continue };
            let (known, numbers) = (self.covariance.inners[inner].count(cluster), side.numbers[inner]);
            let new = numbers.iter().map(|n| (*n as usize + 1).saturating_sub(known)).max().unwrap_or(0);
            self.covariance.rooted(term, side, &self.roots, &mut rooted)?;
            let normals = random.matrix(new * rooted.rows)?;
            for (i, number) in numbers.iter().enumerate() {
                let Some(group) = (*number as usize).checked_sub(known) else { continue };
                for k in 0..rooted.rows {
                    let (z, from) = (rooted.at(k, i), normals.row(group * rooted.rows + k));
                    drawn.row_mut(i).iter_mut().zip(from).for_each(|(to, x)| *to += z * x);
                }
            }
        }
        Ok(())
    }
}

/// Standard normals of a cluster: a stream for each draw.
struct Normals(Vec<Random>);

impl Normals {
    fn new(seed: u64, cluster: usize, n_draws: usize) -> Result<Self, KernelError> {
        let seed = Random::new(seed, "draws of a cluster's effects", cluster as u64).bits();
        Ok(Self(memory::list(WHAT, (0..n_draws).map(|draw| Random::new(seed, "a draw", draw as u64)))?))
    }

    fn n_draws(&self) -> usize {
        self.0.len()
    }

    /// Rows × draws.
    fn matrix(&mut self, rows: usize) -> Result<Padded, KernelError> {
        let mut normals = Padded::zeros(WHAT, rows, self.0.len())?;
        for i in 0..rows {
            normals.row_mut(i).iter_mut().zip(&mut self.0).for_each(|(to, random)| *to = random.normal());
        }
        Ok(normals)
    }
}
