//! Laplace's approximation of the likelihood of outcomes that are not normal: Rasmussen & Williams, "Gaussian Processes for
//! Machine Learning" (2006), algorithms 3.1 and 5.1, cluster by cluster.
//!
//! With f = η + u and u ~ N(0, K), û the mode, W = −∇²log p and g = ∇log p there: log q = log p(y | f) − ½gᵀû − ½log |I + KW|.
//! With Σ = (K⁻¹ + W)⁻¹, R = (K + W⁻¹)⁻¹, t = −½diag(Σ)·∂W/∂f and s = t − RKt = (I + WK)⁻¹t the total derivatives, the mode's
//! dependence included, are g + s in η and −½tr((R − (g + s)(g + s)ᵀ + ssᵀ)∂K) in K.

use crate::dense::vectors::finite;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::family::Family;
use super::gradient::{Gradient, Outer, inverse};
use super::latent::{Latent, Place, scale_rows};
use super::mode::Mode;
use super::padded::Padded;
use super::roots::Roots;
use super::structure::Covariance;

const WHAT: &str = "the latent effects of a cluster";

/// Outcomes and what is known of them.
#[derive(Clone, Copy)]
pub struct Outcomes<'a> {
    /// The fixed part of the latent value, a row.
    pub eta: &'a [f64],
    /// Outcomes.
    pub y: &'a [f64],
    /// How often each row counts.
    pub weights: Option<&'a [f64]>,
    /// Where to look for the mode first.
    pub mode: Option<&'a [f64]>,
    /// Their distribution.
    pub family: Family,
}

/// The approximation of all clusters.
#[derive(Debug)]
pub struct Laplace {
    /// log q of each cluster, without terms in y alone.
    pub log_likelihood: Vec<f64>,
    /// û, a row.
    pub mode: Vec<f64>,
    /// The derivative of the sum of log q in η.
    pub d_eta: Vec<f64>,
    /// That in the variances; that in the noise is 0.
    pub gradient: Gradient,
}

impl Covariance {
    /// Laplace's approximation of every cluster's likelihood, and its derivatives.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn laplace(
        &self,
        outcomes: &Outcomes<'_>,
        matrices: &[&[f64]],
        rbf: Option<(f64, f64)>,
        threads: Threads<'_>,
    ) -> Result<Laplace, KernelError> {
        let roots = self.check_outcomes(outcomes, matrices, rbf)?;
        let pieces = threads.map(
            self.pieces.iter(),
            || Ok(()),
            |(), piece| {
                let mut part = self.nothing(piece.len(), self.offsets[piece.end] - self.offsets[piece.start])?;
                for cluster in (*piece).clone() {
                    let place = Place { covariance: self, roots: &roots, cluster, threads: &threads };
                    part.add_cluster(&place, self.mode(&place, outcomes)?)?;
                }
                Ok(part)
            },
        )?;
        let mut whole = self.nothing(self.n_clusters(), self.n_rows())?;
        for part in pieces {
            whole.log_likelihood.extend(part.log_likelihood);
            whole.mode.extend(part.mode);
            whole.d_eta.extend(part.d_eta);
            whole.gradient.add(&part.gradient);
        }
        Ok(whole)
    }

    fn nothing(&self, n_clusters: usize, n_rows: usize) -> Result<Laplace, KernelError> {
        Ok(Laplace {
            log_likelihood: memory::room(WHAT, n_clusters)?,
            mode: memory::room(WHAT, n_rows)?,
            d_eta: memory::room(WHAT, n_rows)?,
            gradient: Gradient::zeros(self)?,
        })
    }

    /// Checks outcomes, and the variances too.
    pub(super) fn check_outcomes(
        &self,
        outcomes: &Outcomes<'_>,
        matrices: &[&[f64]],
        rbf: Option<(f64, f64)>,
    ) -> Result<Roots, KernelError> {
        let lists = [
            ("eta", Some(outcomes.eta)),
            ("y", Some(outcomes.y)),
            ("weights", outcomes.weights),
            ("mode", outcomes.mode),
        ];
        for (what, numbers) in lists {
            let Some(numbers) = numbers else { continue };
            if numbers.len() != self.n_rows() {
                return Err(KernelError::Length { what, got: numbers.len(), needed: self.n_rows() });
            }
            finite(what, numbers)?;
        }
        outcomes.family.check(outcomes.y)?;
        if let Some(&got) = outcomes.weights.unwrap_or(&[]).iter().find(|w| **w < 0.0) {
            return Err(KernelError::Range { what: "weights", got, needed: "at least 0" });
        }
        Roots::new(self, matrices, rbf)
    }
}

impl Laplace {
    fn add_cluster(&mut self, place: &Place<'_>, mode: Mode) -> Result<(), KernelError> {
        let n = mode.curvature_slope.len();
        let variances = mode.latent.variances(place)?;
        let mut t = Padded::zeros(WHAT, n, 1)?;
        for (i, (variance, slope)) in variances.iter().zip(&mode.curvature_slope).enumerate() {
            t.row_mut(i)[0] = -0.5 * variance * slope;
        }
        let s = mode.latent.shrunk(place, t)?.a;
        // Columns g + s and s.
        let mut a = Padded::zeros(WHAT, n, 2)?;
        for i in 0..n {
            a.row_mut(i).copy_from_slice(&[mode.state.a.at(i, 0) + s.at(i, 0), s.at(i, 0)]);
        }
        self.log_likelihood.push(mode.log_likelihood);
        self.mode.extend((0..n).map(|i| mode.state.u.at(i, 0)));
        self.d_eta.extend((0..n).map(|i| a.at(i, 0)));
        let mut gradient = Gradient::zeros(place.covariance)?;
        mode.add_gradient(place, &Outer { a: &a, signs: &[1.0, -1.0] }, &mut gradient)?;
        gradient.negate();
        self.gradient.add(&gradient);
        place.threads.check()
    }
}

impl Mode {
    /// Adds ½tr((R − A diag(signs) Aᵀ)∂K).
    fn add_gradient(&self, place: &Place<'_>, outer: &Outer<'_>, sum: &mut Gradient) -> Result<(), KernelError> {
        let Place { covariance, roots, cluster, threads } = *place;
        match &self.latent {
            Latent::Dense { u, root, .. } => {
                let (mut work, mut m) = (Padded::default(), Padded::default());
                inverse(u, &mut work, &mut m, threads)?;
                scale_rows(&mut m, root);
                for i in 0..m.rows {
                    m.row_mut(i).iter_mut().zip(root).for_each(|(x, root)| *x *= root);
                }
                outer.subtract_from(&mut m, threads)?;
                m.mirror();
                covariance.add_matrix_gradients(cluster, &m, sum, threads)?;
                covariance.add_kernel_gradient(cluster, roots, &m, sum)
            }
            Latent::LowRank { low, .. } => {
                covariance.add_low_rank(cluster, roots, low, outer, sum, threads)?;
                // There is no noise.
                sum.noise = 0.0;
                Ok(())
            }
        }
    }
}
