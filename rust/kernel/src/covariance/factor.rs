//! All clusters' covariances for given variances, factored.

use std::sync::Arc;

use crate::system::error::{KernelError, range};
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky::{self, BadPivot};
use super::design::{Arrow, Design};
use super::inducing::Kernel;
use super::padded::Padded;
use super::roots::Roots;
use super::structure::{Covariance, Form};

/// The variances of a call.
#[derive(Clone, Copy, Debug)]
pub struct Variances<'a> {
    /// s², of the noise of a row of weight 1.
    pub noise: f64,
    /// D of each term, q × q.
    pub matrices: &'a [&'a [f64]],
    /// Variance and length scale of the kernel.
    pub rbf: Option<(f64, f64)>,
}

/// One cluster's covariance, factored.
pub(super) enum ClusterFactor {
    /// U of V = UᵀU.
    Dense(Padded),
    /// Diagonal and low rank.
    LowRank(Box<LowRank>),
}

/// V⁻¹ = T − TZF(I + FᵀZᵀTZF)⁻¹FᵀZᵀT with T = Λ⁻¹ (Woodbury).
pub(super) struct LowRank {
    /// The diagonal of Λ⁻¹.
    pub tau: Vec<f64>,
    /// ZᵀTZ.
    pub crossproduct: Arrow,
    /// The factor of I + FᵀZᵀTZF.
    pub factor: Arrow,
    /// What a kernel adds.
    pub kernel: Option<Box<Kernel>>,
}

/// The covariances of all clusters at given variances.
pub struct Factors {
    pub(super) covariance: Arc<Covariance>,
    pub(super) roots: Roots,
    pub(super) clusters: Vec<ClusterFactor>,
    /// log |V| of each cluster.
    pub log_determinant: Vec<f64>,
}

impl Factors {
    /// Builds and factors every cluster's covariance.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn new(
        covariance: &Arc<Covariance>,
        variances: &Variances<'_>,
        threads: Threads<'_>,
    ) -> Result<Self, KernelError> {
        let noise = variances.noise;
        range("the noise variance", noise, noise > 0.0, "above 0")?;
        let roots = Roots::new(covariance, variances.matrices, variances.rbf)?;
        let one = |cluster| covariance.factor_cluster(cluster, &roots, noise, &threads);
        let done = threads.map(
            covariance.pieces.iter(),
            || Ok(()),
            |(), piece| {
                let mut done = memory::room("the factors of clusters", piece.len())?;
                for cluster in (*piece).clone() {
                    done.push(one(cluster)?);
                }
                Ok(done)
            },
        )?;
        let mut clusters = memory::room("the factors of clusters", covariance.n_clusters())?;
        let mut log_determinant = memory::room("the determinants of clusters", covariance.n_clusters())?;
        for (factor, log) in done.into_iter().flatten() {
            clusters.push(factor);
            log_determinant.push(log);
        }
        Ok(Self { covariance: Arc::clone(covariance), roots, clusters, log_determinant })
    }

    /// The structure that it is of.
    pub fn covariance(&self) -> &Covariance {
        &self.covariance
    }

    /// The design of a cluster of low rank.
    pub(super) fn design<'a>(&'a self, cluster: usize, low: &'a LowRank) -> &'a Design {
        self.covariance.design_of(cluster, low.kernel.as_deref())
    }
}

impl Covariance {
    /// A cluster's design: the one with a kernel's columns where it has them.
    pub(super) fn design_of<'a>(&'a self, cluster: usize, kernel: Option<&'a Kernel>) -> &'a Design {
        static NONE: Design = Design::EMPTY;
        match (kernel, &self.forms[cluster]) {
            (Some(kernel), _) => &kernel.design,
            (None, Form::LowRank(parts)) => &parts.0,
            // There is none without a kernel.
            (None, Form::Dense | Form::Inducing(_)) => &NONE,
        }
    }

    fn factor_cluster(
        &self,
        cluster: usize,
        roots: &Roots,
        noise: f64,
        threads: &Threads<'_>,
    ) -> Result<(ClusterFactor, f64), KernelError> {
        threads.check()?;
        let rows = self.rows(cluster);
        let indefinite = |bad: BadPivot| KernelError::NotDefinite { cluster, n_rows: rows.len(), pivot: bad.value };
        let diagonal = |row: usize| noise / self.weight(row);
        match &self.forms[cluster] {
            Form::Dense => {
                let mut v = self.effects_matrix(cluster, roots, threads)?;
                for (i, row) in rows.clone().enumerate() {
                    v.row_mut(i)[i] += diagonal(row);
                }
                cholesky::factor(&mut v, threads).map_err(indefinite)?;
                let log = cholesky::log_determinant(&v);
                Ok((ClusterFactor::Dense(v), log))
            }
            Form::LowRank(parts) => {
                let (design, crossproduct) = &**parts;
                let tau = memory::list("the noise of a cluster", rows.clone().map(|row| 1.0 / diagonal(row)))?;
                let crossproduct = crossproduct.scaled(1.0 / noise)?;
                let factor = crossproduct.capacitance(design, roots, threads)?.map_err(indefinite)?;
                Ok(LowRank { tau, crossproduct, factor, kernel: None }.with_log_determinant())
            }
            Form::Inducing(inducing) => {
                let kernel = Kernel::new(self, cluster, inducing, roots, threads)?;
                let spare = |(i, row): (usize, usize)| 1.0 / (diagonal(row) + kernel.spare[i]);
                let tau = memory::list("the noise of a cluster", rows.clone().enumerate().map(spare))?;
                let crossproduct = kernel.design.crossproduct(&tau)?;
                let factor = crossproduct.capacitance(&kernel.design, roots, threads)?.map_err(indefinite)?;
                Ok(LowRank { tau, crossproduct, factor, kernel: Some(Box::new(kernel)) }.with_log_determinant())
            }
        }
    }

    /// All effects' covariance of a cluster's rows, without noise; its upper triangle.
    pub(super) fn effects_matrix(
        &self,
        cluster: usize,
        roots: &Roots,
        threads: &Threads<'_>,
    ) -> Result<Padded, KernelError> {
        let side = self.side(cluster)?;
        let mut v = Padded::zeros("the covariance of a cluster", side.n, side.n)?;
        self.add_effects(roots, &side, &side, &mut v, true, threads)?;
        Ok(v)
    }
}

impl LowRank {
    /// Itself, and log |V| = log |Λ| + log |I + FᵀZᵀTZF|.
    fn with_log_determinant(self) -> (ClusterFactor, f64) {
        let noise: f64 = self.tau.iter().map(|tau| tau.ln()).sum();
        let log = self.factor.log_determinant() - noise;
        (ClusterFactor::LowRank(Box::new(self)), log)
    }
}
