//! A kernel of low rank for clusters with many rows.
//!
//! With inducing rows Z of the cluster, P = K(X, Z)U⁻¹ and UᵀU = K(Z, Z): the kernel is v(PPᵀ + diag(1 − |pᵢ|²)), exact on
//! the diagonal (Snelson & Ghahramani, "Sparse Gaussian processes using pseudo-inputs", NeurIPS 2006; the fully
//! independent training conditional of Quiñonero-Candela & Rasmussen, JMLR 2005).

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky;
use super::design::Design;
use super::padded::Padded;
use super::rbf;
use super::roots::Roots;
use super::structure::{Covariance, Form};

const WHAT: &str = "the kernel of a cluster";

/// Inducing rows of a cluster at most.
const MOST: usize = 128;

/// Added to the diagonal of the inducing rows' correlations, part of the approximation: rows may be nearly equal.
const JITTER: f64 = 1e-8;

/// A cluster's kernel of low rank.
pub(super) struct Kernel {
    /// The effects' columns and behind them P.
    pub design: Design,
    /// v(1 − |pᵢ|²), the variance that P leaves.
    pub spare: Vec<f64>,
    /// The factor of the inducing rows' correlations.
    pub u: Padded,
}

impl Covariance {
    /// Inducing rows: first the one nearest to the mean, then always the one farthest from those chosen, until no row is
    /// apart from them.
    pub(super) fn inducing(&self, cluster: usize) -> Result<Vec<usize>, KernelError> {
        let Some(inputs) = &self.inputs else { return Ok(Vec::new()) };
        let x = &inputs[cluster];
        let n = x.cols;
        let mut squares = memory::zeros(WHAT, n)?;
        let mut unused = memory::zeros(WHAT, n)?;
        let mean = |input: usize| x.row(input).iter().sum::<f64>() / n as f64;
        rbf::row(x, 0, mean, self.spread(cluster), &mut squares, &mut unused);
        let first = (0..n).fold(0, |best, i| if squares[i] < squares[best] { i } else { best });
        let mut nearest = memory::room(WHAT, n)?;
        nearest.resize(n, f64::INFINITY);
        let mut chosen = memory::room(WHAT, MOST)?;
        let mut next = first;
        while chosen.len() < MOST {
            chosen.push(next);
            rbf::row(x, 0, |input| x.at(input, next), self.spread(cluster), &mut squares, &mut unused);
            nearest.iter_mut().zip(&squares).for_each(|(near, s)| *near = s.min(*near));
            next = (0..n).fold(0, |best, i| if nearest[i] > nearest[best] { i } else { best });
            if nearest[next] <= 0.0 {
                break;
            }
        }
        Ok(chosen)
    }

    /// The inducing rows of a cluster with many rows.
    pub(super) fn inducing_rows(&self, cluster: usize) -> &[usize] {
        match &self.forms[cluster] {
            Form::Inducing(rows) => rows,
            Form::Dense | Form::LowRank(_) => &[],
        }
    }

    /// A length that brings squared distances to a middling size: they must neither overflow nor be cut off.
    fn spread(&self, cluster: usize) -> f64 {
        let range = |row: &[f64]| row.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let inputs = self.inputs.iter().map(|inputs| &inputs[cluster]);
        let most = inputs.flat_map(|x| (0..x.rows).map(move |i| range(x.row(i)))).fold(0.0, f64::max);
        if most > 0.0 { most } else { 1.0 }
    }
}

impl Kernel {
    /// P, rows × inducing rows.
    pub fn columns(&self) -> Result<Padded, KernelError> {
        let mut columns = Padded::default();
        columns.columns_from(WHAT, &self.design.rest, self.design.first_kernel_column)?;
        Ok(columns)
    }

    pub fn new(
        covariance: &Covariance,
        cluster: usize,
        inducing: &[usize],
        roots: &Roots,
        threads: &Threads<'_>,
    ) -> Result<Self, KernelError> {
        let side = covariance.side(cluster)?;
        let mut with = Design::new(covariance, cluster, &side, inducing.len())?;
        let (variance, length) = roots.rbf.unwrap_or((0.0, 1.0));
        let Some(x) = side.inputs else {
            return Err(KernelError::Missing { what: "the kernel's inputs", needed_by: "a kernel" });
        };
        let mut correlations = Padded::zeros(WHAT, inducing.len(), x.cols)?;
        correlate(x, x, inducing, length, &mut correlations)?;
        let mut u = Padded::zeros(WHAT, inducing.len(), inducing.len())?;
        for k in 0..inducing.len() {
            for (l, &row) in inducing.iter().enumerate() {
                u.row_mut(k)[l] = correlations.at(k, row);
            }
            u.row_mut(k)[k] += JITTER;
        }
        let indefinite =
            |bad: cholesky::BadPivot| KernelError::NotDefinite { cluster, n_rows: inducing.len(), pivot: bad.value };
        cholesky::factor(&mut u, threads).map_err(indefinite)?;
        cholesky::forward(&u, &mut correlations, threads);
        with.put_kernel(&correlations);
        let spare = (0..x.cols).map(|i| variance * (1.0 - squared_norm(&with.rest.row(i)[with.first_kernel_column..])));
        // Rounding may take it below 0.
        let spare = memory::list(WHAT, spare.map(|s| s.max(0.0)))?;
        Ok(Self { design: with, spare, u })
    }
}

impl Design {
    /// Puts Pᵀ behind the other columns.
    pub(super) fn put_kernel(&mut self, transposed: &Padded) {
        for i in 0..self.n {
            let first = self.first_kernel_column;
            let row = &mut self.rest.row_mut(i)[first..];
            for (k, to) in row.iter_mut().enumerate() {
                *to = transposed.at(k, i);
            }
        }
    }
}

/// Correlations of inducing rows, of `from`, with the rows `to`.
pub(super) fn correlate(
    from: &Padded,
    to: &Padded,
    inducing: &[usize],
    length: f64,
    into: &mut Padded,
) -> Result<(), KernelError> {
    let mut squares = memory::zeros(WHAT, to.cols)?;
    for (k, &row) in inducing.iter().enumerate() {
        correlate_with_squares(from, to, row, length, &mut squares, into.row_mut(k));
    }
    Ok(())
}

/// Correlations of one row of `from` with the rows `to`, and the squared distances over ℓ².
pub(super) fn correlate_with_squares(
    from: &Padded,
    to: &Padded,
    row: usize,
    length: f64,
    squares: &mut [f64],
    values: &mut [f64],
) {
    rbf::row(to, 0, |input| from.at(input, row), length, squares, values);
}

fn squared_norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}
