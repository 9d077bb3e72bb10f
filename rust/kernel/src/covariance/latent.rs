//! A cluster's prior covariance K of effects, and (K + W⁻¹)⁻¹ for weights W that may be 0: neither K nor W is inverted.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky::{self, BadPivot};
use super::design::{Arrow, Coefficients, Design};
use super::factor::LowRank;
use super::inducing::Kernel;
use super::padded::{Padded, Sign, add_crossproduct};
use super::roots::Roots;
use super::solve::squared_lengths;
use super::structure::{Covariance, Form};

const WHAT: &str = "the latent effects of a cluster";

/// K, and what belongs to the weights set last.
pub(super) enum Latent {
    /// K as it is; the factor of B = I + W½KW½, and W½.
    Dense { k: Padded, u: Padded, root: Vec<f64> },
    /// K = ZDZᵀ + diag(spare); Λ⁻¹ = W/(1 + W·spare).
    LowRank { low: Box<LowRank>, spare: Vec<f64>, weights: Vec<f64> },
}

impl Covariance {
    /// A cluster's prior covariance.
    pub(super) fn latent(&self, cluster: usize, roots: &Roots, threads: &Threads<'_>) -> Result<Latent, KernelError> {
        let n = self.rows(cluster).len();
        let kernel = match &self.forms[cluster] {
            Form::Dense => {
                let mut k = self.effects_matrix(cluster, roots, threads)?;
                k.mirror();
                return Ok(Latent::Dense { k, u: Padded::default(), root: Vec::new() });
            }
            Form::LowRank(_) => None,
            Form::Inducing(inducing) => Some(Box::new(Kernel::new(self, cluster, inducing, roots, threads)?)),
        };
        let spare = match &kernel {
            Some(kernel) => memory::list(WHAT, kernel.spare.iter().copied())?,
            None => memory::zeros(WHAT, n)?,
        };
        let (crossproduct, factor) = (Arrow::default(), Arrow::default());
        let low = Box::new(LowRank { tau: memory::zeros(WHAT, n)?, crossproduct, factor, kernel });
        Ok(Latent::LowRank { low, spare, weights: memory::zeros(WHAT, n)? })
    }
}

/// Latent effects u = Ka; for K of low rank u = ZFv + spare·a.
#[derive(Default)]
pub(super) struct State {
    pub a: Padded,
    pub v: Coefficients,
    pub u: Padded,
}

impl State {
    /// self + length·(to − self)
    pub fn towards(&self, to: &Self, length: f64) -> Result<Self, KernelError> {
        let between = |from: &Padded, to: &Padded| {
            let mut new = Padded::default();
            new.copy(WHAT, from)?;
            new.numbers.iter_mut().zip(&to.numbers).for_each(|(x, to)| *x += length * (to - *x));
            Ok(new)
        };
        let v = Coefficients { inner: between(&self.v.inner, &to.v.inner)?, rest: between(&self.v.rest, &to.v.rest)? };
        Ok(Self { a: between(&self.a, &to.a)?, v, u: between(&self.u, &to.u)? })
    }
}

/// A cluster of a call.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub covariance: &'a Covariance,
    pub roots: &'a Roots,
    pub cluster: usize,
    pub threads: &'a Threads<'a>,
}

impl Place<'_> {
    /// A matrix that should have a factor.
    fn indefinite(&self, bad: BadPivot) -> KernelError {
        let n_rows = self.covariance.rows(self.cluster).len();
        KernelError::NotDefinite { cluster: self.cluster, n_rows, pivot: bad.value }
    }
}

impl Latent {
    /// No effects.
    pub fn nothing(&self, place: &Place<'_>) -> Result<State, KernelError> {
        let v = match self {
            Self::Dense { .. } => Coefficients::default(),
            Self::LowRank { .. } => Coefficients::zeros(self.design(place), 1)?,
        };
        Ok(State { a: Padded::zeros(WHAT, self.rows(), 1)?, v, u: Padded::zeros(WHAT, self.rows(), 1)? })
    }

    /// The design of a form of low rank.
    pub fn design<'a>(&'a self, place: &Place<'a>) -> &'a Design {
        let kernel = match self {
            Self::Dense { .. } => None,
            Self::LowRank { low, .. } => low.kernel.as_deref(),
        };
        place.covariance.design_of(place.cluster, kernel)
    }

    /// Sets W; returns log |I + KW|.
    pub fn set_weights(&mut self, place: &Place<'_>, w: &[f64]) -> Result<f64, KernelError> {
        match self {
            Self::Dense { k, u, root } => {
                *root = memory::list(WHAT, w.iter().map(|w| w.sqrt()))?;
                u.copy(WHAT, k)?;
                for i in 0..u.rows {
                    let scale = root[i];
                    u.row_mut(i).iter_mut().zip(&*root).for_each(|(x, root)| *x *= scale * root);
                    u.row_mut(i)[i] += 1.0;
                }
                cholesky::factor(u, place.threads).map_err(|bad| place.indefinite(bad))?;
                place.threads.check()?;
                Ok(cholesky::log_determinant(u))
            }
            Self::LowRank { low, spare, weights } => {
                let mut log = 0.0;
                for (i, w) in w.iter().enumerate() {
                    weights[i] = *w;
                    low.tau[i] = w / (1.0 + w * spare[i]);
                    log += (w * spare[i]).ln_1p();
                }
                let design = place.covariance.design_of(place.cluster, low.kernel.as_deref());
                let crossproduct = design.crossproduct(&low.tau)?;
                let factor = crossproduct.capacitance(design, place.roots, place.threads)?;
                (low.factor, low.crossproduct) = (factor.map_err(|bad| place.indefinite(bad))?, crossproduct);
                Ok(log + low.factor.log_determinant())
            }
        }
    }

    /// a = (I + WK)⁻¹b with u = Ka. For K of low rank that is κb − TZFv, v = (I + FᵀZᵀTZF)⁻¹FᵀZᵀκb and
    /// κ = 1/(1 + W·spare): nothing large is subtracted, as it is in b − W½B⁻¹W½Kb.
    pub fn shrunk(&self, place: &Place<'_>, b: Padded) -> Result<State, KernelError> {
        let threads = place.threads;
        let (mut a, mut v, mut u) = (b, Coefficients::default(), Padded::zeros(WHAT, self.rows(), 1)?);
        match self {
            Self::Dense { k, u: factor, root } => {
                let mut turned = Padded::zeros(WHAT, k.rows, 1)?;
                add_crossproduct(Sign::Plus, k, &a, &mut turned, false, threads);
                scale_rows(&mut turned, root);
                cholesky::forward(factor, &mut turned, threads);
                cholesky::backward(factor, &mut turned, threads);
                scale_rows(&mut turned, root);
                a.numbers.iter_mut().zip(&turned.numbers).for_each(|(a, turned)| *a -= turned);
                add_crossproduct(Sign::Plus, k, &a, &mut u, false, threads);
            }
            Self::LowRank { low, spare, weights } => {
                let design = self.design(place);
                for (i, (spare, w)) in spare.iter().zip(weights).enumerate() {
                    a.row_mut(i)[0] /= 1.0 + w * spare;
                }
                v = design.transposed_times(&a, threads)?;
                place.roots.apply(design, true, &mut v)?;
                low.factor.forward(&mut v, threads);
                low.factor.backward(&mut v, threads);
                let mut x = v.copied()?;
                place.roots.apply(design, false, &mut x)?;
                design.add_times(Sign::Plus, &x, &mut u, threads);
                for (i, spare) in spare.iter().enumerate() {
                    a.row_mut(i)[0] -= low.tau[i] * u.at(i, 0);
                    u.row_mut(i)[0] += spare * a.at(i, 0);
                }
            }
        }
        Ok(State { a, v, u })
    }

    /// Rows of the cluster.
    fn rows(&self) -> usize {
        match self {
            Self::Dense { k, .. } => k.rows,
            Self::LowRank { spare, .. } => spare.len(),
        }
    }

    /// uᵀK⁻¹u.
    pub fn prior(&self, state: &State) -> f64 {
        match self {
            Self::Dense { .. } => state.a.numbers.iter().zip(&state.u.numbers).map(|(a, u)| a * u).sum(),
            Self::LowRank { spare, .. } => {
                let coefficients: f64 = state.v.inner.numbers.iter().chain(&state.v.rest.numbers).map(|v| v * v).sum();
                let left = spare.iter().enumerate().map(|(i, spare)| spare * state.a.at(i, 0).powi(2));
                coefficients + left.sum::<f64>()
            }
        }
    }

    /// The diagonal of (K⁻¹ + W)⁻¹ = K − K(K + W⁻¹)⁻¹K.
    pub fn variances(&self, place: &Place<'_>) -> Result<Vec<f64>, KernelError> {
        match self {
            Self::Dense { k, u, root } => {
                let mut variances = memory::list(WHAT, (0..k.rows).map(|i| k.at(i, i)))?;
                let mut whitened = Padded::default();
                whitened.copy(WHAT, k)?;
                scale_rows(&mut whitened, root);
                cholesky::forward(u, &mut whitened, place.threads);
                for i in 0..k.rows {
                    variances.iter_mut().zip(whitened.row(i)).for_each(|(sum, t)| *sum -= t * t);
                }
                Ok(variances)
            }
            Self::LowRank { low, spare, weights } => {
                let (inner, rest) = low.whitened(self.design(place), place.roots, place.threads)?;
                let mut variances = squared_lengths(&inner, &rest, spare.len())?;
                for ((v, spare), w) in variances.iter_mut().zip(spare).zip(weights) {
                    let kept = 1.0 / (1.0 + w * spare);
                    *v = kept * (spare + kept * *v);
                }
                Ok(variances)
            }
        }
    }
}

/// B ← diag(scale)·B.
pub(super) fn scale_rows(b: &mut Padded, scale: &[f64]) {
    let stride = b.stride.max(1);
    for (row, scale) in b.numbers.chunks_exact_mut(stride).zip(scale) {
        row.iter_mut().for_each(|x| *x *= scale);
    }
}
