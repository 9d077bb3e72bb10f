//! Covariances of the rows of clusters.

mod arrays;

use std::sync::Arc;

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use rfp_kernel::covariance as kernel;

use self::arrays::{
    GradientArrays, LaplaceArrays, MomentArrays, NewArrays, NewRows, OutcomeArrays, Term, copied, copied_matrices,
    gradient_arrays,
};
use crate::arrays::{check_columns, indices, matrix, vector};
use crate::interrupt::detached;
use crate::precision::{Precision, TypedPrecision};

/// The structure of all clusters' covariances, checked once.
#[pyclass(frozen)]
pub struct Covariance(Arc<kernel::Covariance>);

#[pymethods]
impl Covariance {
    #[new]
    #[pyo3(signature = (offsets, columns, terms, rbf=None, weights=None, dense_rows=512))]
    fn new(
        py: Python<'_>,
        offsets: PyReadonlyArray1<'_, i64>,
        columns: &Bound<'_, PyAny>,
        terms: Vec<Term<'_>>,
        rbf: Option<&Bound<'_, PyAny>>,
        weights: Option<&Bound<'_, PyAny>>,
        dense_rows: usize,
    ) -> PyResult<Self> {
        let columns = matrix::<f64>("columns", columns)?;
        let rbf = rbf.map(|x| matrix::<f64>("rbf", x)).transpose()?;
        let weights = weights.map(|w| vector::<f64>("weights", w)).transpose()?;
        let offsets = indices("offsets", &offsets)?;
        let rows = offsets.last().copied().unwrap_or(0);
        check_columns("columns (rows)", columns.shape()[0], rows)?;
        if let Some(x) = &rbf {
            check_columns("rbf (rows)", x.shape()[0], rows)?;
        }
        let mut kernel_terms = Vec::new();
        for (columns, inner) in &terms {
            let inner = inner.as_ref().map(|codes| copied("inner codes", codes)).transpose()?;
            kernel_terms.push(kernel::Term { columns: indices("the columns of a term", columns)?, inner });
        }
        let parts = kernel::Parts {
            offsets,
            n_columns: columns.shape()[1],
            columns: columns.as_slice()?,
            terms: kernel_terms,
            rbf: rbf.as_ref().map(|x| Ok::<_, PyErr>((x.as_slice()?, x.shape()[1]))).transpose()?,
            weights: weights.as_ref().map(|w| w.as_slice()).transpose()?,
            dense_rows,
        };
        let work = columns.len() as f64;
        Ok(Self(Arc::new(detached(py, work, 1, |_| kernel::Covariance::new(parts))?)))
    }

    /// How many clusters.
    #[getter]
    fn n_clusters(&self) -> usize {
        self.0.n_clusters()
    }

    /// Rows of all clusters.
    #[getter]
    fn n_rows(&self) -> usize {
        self.0.n_rows()
    }

    /// Builds and factors the covariances at given variances.
    #[pyo3(signature = (noise, matrices, rbf=None, n_threads=0))]
    fn factor(
        &self,
        py: Python<'_>,
        noise: f64,
        matrices: Vec<PyReadonlyArray2<'_, f64>>,
        rbf: Option<(f64, f64)>,
        n_threads: usize,
    ) -> PyResult<Factors> {
        let copied = copied_matrices(&matrices);
        let borrowed: Vec<&[f64]> = copied.iter().map(Vec::as_slice).collect();
        let variances = kernel::Variances { noise, matrices: &borrowed, rbf };
        let made = detached(py, self.0.work(), n_threads, |threads| kernel::Factors::new(&self.0, &variances, threads));
        Ok(Factors { factors: made?, has_rbf: rbf.is_some() })
    }

    /// Laplace's approximation of the likelihood of outcomes that are not normal; see the stub.
    #[pyo3(signature = (eta, y, family, matrices, rbf=None, weights=None, mode=None, n_threads=0))]
    #[allow(clippy::too_many_arguments)]
    fn laplace<'py>(
        &self,
        py: Python<'py>,
        eta: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        family: &str,
        matrices: Vec<PyReadonlyArray2<'py, f64>>,
        rbf: Option<(f64, f64)>,
        weights: Option<&Bound<'py, PyAny>>,
        mode: Option<&Bound<'py, PyAny>>,
        n_threads: usize,
    ) -> PyResult<LaplaceArrays<'py>> {
        let outcomes = OutcomeArrays::new(eta, y, weights, mode)?;
        let outcomes = outcomes.kernel(family)?;
        let copied = copied_matrices(&matrices);
        let borrowed: Vec<&[f64]> = copied.iter().map(Vec::as_slice).collect();
        let work = NEWTON_STEPS * self.0.work();
        let found = detached(py, work, n_threads, |threads| self.0.laplace(&outcomes, &borrowed, rbf, threads))?;
        let (_, matrices, rbf) = gradient_arrays(py, found.gradient, rbf.is_some())?;
        let [log_likelihood, mode, d_eta] = [found.log_likelihood, found.mode, found.d_eta].map(|x| x.into_pyarray(py));
        Ok((log_likelihood, mode, d_eta, (matrices, rbf)))
    }

    /// Mean and variance of the latent effects at new rows; see the stub.
    #[pyo3(signature = (eta, y, family, matrices, rbf, rows, weights=None, mode=None, variance=false, n_threads=0))]
    #[allow(clippy::too_many_arguments)]
    fn laplace_posterior<'py>(
        &self,
        py: Python<'py>,
        eta: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        family: &str,
        matrices: Vec<PyReadonlyArray2<'py, f64>>,
        rbf: Option<(f64, f64)>,
        rows: NewRows<'py>,
        weights: Option<&Bound<'py, PyAny>>,
        mode: Option<&Bound<'py, PyAny>>,
        variance: bool,
        n_threads: usize,
    ) -> PyResult<MomentArrays<'py>> {
        let outcomes = OutcomeArrays::new(eta, y, weights, mode)?;
        let outcomes = outcomes.kernel(family)?;
        let mut new = NewArrays::new(&rows)?;
        let new = new.kernel()?;
        let copied = copied_matrices(&matrices);
        let borrowed: Vec<&[f64]> = copied.iter().map(Vec::as_slice).collect();
        let work = NEWTON_STEPS * self.0.work() + new.columns.len() as f64;
        let (mean, spread) = detached(py, work, n_threads, |threads| {
            self.0.laplace_posterior(&outcomes, (&borrowed, rbf), &new, variance, threads)
        })?;
        Ok((mean.into_pyarray(py), spread.map(|v| v.into_pyarray(py))))
    }
}

/// Newton steps to a mode, about: what the work of a call is reckoned with.
const NEWTON_STEPS: f64 = 6.0;

/// The covariances at given variances, factored.
#[pyclass(frozen)]
pub struct Factors {
    factors: kernel::Factors,
    has_rbf: bool,
}

impl Factors {
    /// Multiplications of a pass over the clusters, about.
    fn work(&self) -> f64 {
        self.factors.covariance().work()
    }
}

#[pymethods]
impl Factors {
    /// log |V| of each cluster, (C,).
    #[getter]
    fn log_determinant<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.factors.log_determinant)
    }

    /// V⁻¹B, (N, p).
    #[pyo3(signature = (B, n_threads=0))]
    #[allow(non_snake_case)]
    fn solve<'py>(
        &self,
        py: Python<'py>,
        B: &Bound<'py, PyAny>,
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let b = matrix::<f64>("B", B)?;
        let shape = [b.shape()[0], b.shape()[1]];
        check_columns("B (rows)", shape[0], self.factors.covariance().n_rows())?;
        let numbers = b.as_slice()?;
        let solved = detached(py, self.work(), n_threads, |threads| self.factors.solve(numbers, shape[1], threads))?;
        solved.into_pyarray(py).reshape(shape)
    }

    /// ½ Σ tr((V⁻¹ − AAᵀ)∂V) in the noise, each matrix, and the kernel's two numbers.
    #[pyo3(signature = (A, n_threads=0))]
    #[allow(non_snake_case)]
    fn gradient<'py>(&self, py: Python<'py>, A: &Bound<'py, PyAny>, n_threads: usize) -> PyResult<GradientArrays<'py>> {
        let a = matrix::<f64>("A", A)?;
        let cols = a.shape()[1];
        check_columns("A (rows)", a.shape()[0], self.factors.covariance().n_rows())?;
        let numbers = a.as_slice()?;
        let work = 3.0 * self.work();
        let gradient = detached(py, work, n_threads, |threads| self.factors.gradient(numbers, cols, threads))?;
        gradient_arrays(py, gradient, self.has_rbf)
    }

    /// scale·V⁻¹ of every cluster, as training takes it.
    #[pyo3(signature = (float32, scale=1.0, n_threads=0))]
    fn precision(&self, py: Python<'_>, float32: bool, scale: f64, n_threads: usize) -> PyResult<Precision> {
        let work = 3.0 * self.work();
        Ok(Precision(if float32 {
            let made = detached(py, work, n_threads, |threads| self.factors.precision::<f32>(scale, threads))?;
            TypedPrecision::F32(Arc::new(made))
        } else {
            let made = detached(py, work, n_threads, |threads| self.factors.precision::<f64>(scale, threads))?;
            TypedPrecision::F64(Arc::new(made))
        }))
    }

    /// Mean and variance of the effects at new rows of the same clusters.
    #[pyo3(signature = (residual, rows, variance=false, n_threads=0))]
    #[allow(clippy::too_many_arguments)]
    fn posterior<'py>(
        &self,
        py: Python<'py>,
        residual: &Bound<'py, PyAny>,
        rows: NewRows<'py>,
        variance: bool,
        n_threads: usize,
    ) -> PyResult<MomentArrays<'py>> {
        let residual = vector::<f64>("residual", residual)?;
        let residual = residual.as_slice()?;
        let mut new = NewArrays::new(&rows)?;
        let new = new.kernel()?;
        let work = self.work() + new.columns.len() as f64;
        let (mean, spread) =
            detached(py, work, n_threads, |threads| self.factors.posterior(residual, &new, variance, threads))?;
        Ok((mean.into_pyarray(py), spread.map(|v| v.into_pyarray(py))))
    }

    /// Joint draws of the effects at new rows, (n_draws, M).
    #[pyo3(signature = (residual, rows, n_draws, seed, n_threads=0))]
    #[allow(clippy::too_many_arguments)]
    fn draws<'py>(
        &self,
        py: Python<'py>,
        residual: &Bound<'py, PyAny>,
        rows: NewRows<'py>,
        n_draws: usize,
        seed: u64,
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let residual = vector::<f64>("residual", residual)?;
        let residual = residual.as_slice()?;
        let mut new = NewArrays::new(&rows)?;
        let new = new.kernel()?;
        let shape = [n_draws, new.offsets.last().copied().unwrap_or(0)];
        let work = self.work() + new.columns.len() as f64 * n_draws as f64;
        let drawn =
            detached(py, work, n_threads, |threads| self.factors.draws(residual, &new, (n_draws, seed), threads))?;
        drawn.into_pyarray(py).reshape(shape)
    }
}
