//! What outcomes that are not normal say about effects at new rows.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky;
use super::laplace::Outcomes;
use super::latent::{Latent, Place, scale_rows};
use super::mode::Mode;
use super::new_rows::NewRows;
use super::padded::{Padded, Sign, add_crossproduct};
use super::posterior::{Moments, gathered};
use super::side::Side;
use super::structure::Covariance;

const WHAT: &str = "the posterior at new rows";

impl Covariance {
    /// Mean, and variance if asked for, of the latent effects at new rows: Rasmussen & Williams (2006), algorithm 3.2.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn laplace_posterior(
        &self,
        outcomes: &Outcomes<'_>,
        (matrices, rbf): (&[&[f64]], Option<(f64, f64)>),
        new: &NewRows<'_>,
        variance: bool,
        threads: Threads<'_>,
    ) -> Result<Moments, KernelError> {
        let roots = self.check_outcomes(outcomes, matrices, rbf)?;
        self.check_new(new)?;
        let place = |cluster| Place { covariance: self, roots: &roots, cluster, threads: &threads };
        let said = |cluster| self.mode(&place(cluster), outcomes);
        let moments = |cluster, mode: &Mode, side: &Side<'_>| match &mode.latent {
            Latent::Dense { .. } => mode.dense_moments(&place(cluster), side, variance),
            Latent::LowRank { .. } => mode.low_rank_moments(&place(cluster), side, variance),
        };
        gathered(self, new, variance, &threads, said, moments)
    }
}

impl Mode {
    fn dense_moments(
        &self,
        place: &Place<'_>,
        side: &Side<'_>,
        variance: bool,
    ) -> Result<(Vec<f64>, Vec<f64>), KernelError> {
        let Place { covariance, roots, cluster, threads } = *place;
        let Latent::Dense { u, root, .. } = &self.latent else { return Ok((Vec::new(), Vec::new())) };
        let mut cross = Padded::zeros(WHAT, u.rows, side.n)?;
        covariance.add_effects(roots, &covariance.side(cluster)?, side, &mut cross, false, threads)?;
        let mut mean = Padded::zeros(WHAT, side.n, 1)?;
        add_crossproduct(Sign::Plus, &cross, &self.state.a, &mut mean, false, threads);
        let mean = memory::list(WHAT, (0..side.n).map(|i| mean.at(i, 0)))?;
        if !variance {
            return Ok((mean, Vec::new()));
        }
        scale_rows(&mut cross, root);
        cholesky::forward(u, &mut cross, threads);
        threads.check()?;
        let mut variances = covariance.prior_variance(roots, side)?;
        for i in 0..u.rows {
            variances.iter_mut().zip(cross.row(i)).for_each(|(sum, t)| *sum -= t * t);
        }
        // Rounding may take it below 0.
        variances.iter_mut().for_each(|v| *v = v.max(0.0));
        Ok((mean, variances))
    }

    fn low_rank_moments(
        &self,
        place: &Place<'_>,
        side: &Side<'_>,
        variance: bool,
    ) -> Result<(Vec<f64>, Vec<f64>), KernelError> {
        let Place { covariance, roots, cluster, threads } = *place;
        let Latent::LowRank { low, .. } = &self.latent else { return Ok((Vec::new(), Vec::new())) };
        let mut coefficients = self.state.v.copied()?;
        roots.apply(self.latent.design(place), false, &mut coefficients)?;
        covariance.moments_of(roots, (cluster, low), &coefficients, side, variance, threads)
    }
}
