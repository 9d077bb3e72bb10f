//! Outcomes, rows, matrices and gradients between NumPy and the kernel's covariances.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use rfp_kernel::covariance as kernel;
use rfp_kernel::memory::list;

use crate::arrays::{indices, matrix, vector};
use crate::errors::to_python;

/// A random effect: its columns, and inner groups if it has them.
pub type Term<'py> = (PyReadonlyArray1<'py, i64>, Option<PyReadonlyArray1<'py, i64>>);
/// Derivatives in the noise, the matrices, and the kernel's variance and length scale.
pub type GradientArrays<'py> = (f64, Vec<Bound<'py, PyArray2<f64>>>, Option<(f64, f64)>);
/// log q (C,), the mode (N,), the derivative in eta (N,), and those in the variances.
pub type LaplaceArrays<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    (Vec<Bound<'py, PyArray2<f64>>>, Option<(f64, f64)>),
);
/// Means, and variances where they were asked for.
pub type MomentArrays<'py> = (Bound<'py, PyArray1<f64>>, Option<Bound<'py, PyArray1<f64>>>);
/// New rows: offsets, columns, each term's inner groups if it has them, and what the smooth functions take.
pub type NewRows<'py> =
    (PyReadonlyArray1<'py, i64>, Bound<'py, PyAny>, Vec<Option<PyReadonlyArray1<'py, i64>>>, Option<Bound<'py, PyAny>>);

/// Numbers of a list, copied.
pub fn copied(what: &'static str, array: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<i64>> {
    list(what, array.as_array().iter().copied()).map_err(to_python)
}

/// The numbers of small matrices, whatever their order in memory.
pub fn copied_matrices(matrices: &[PyReadonlyArray2<'_, f64>]) -> Vec<Vec<f64>> {
    matrices.iter().map(|d| d.as_array().iter().copied().collect()).collect()
}

/// Outcomes as NumPy holds them.
pub struct OutcomeArrays<'py> {
    eta: PyReadonlyArray1<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    mode: Option<PyReadonlyArray1<'py, f64>>,
}

impl<'py> OutcomeArrays<'py> {
    pub fn new(
        eta: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        weights: Option<&Bound<'py, PyAny>>,
        mode: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            eta: vector("eta", eta)?,
            y: vector("y", y)?,
            weights: weights.map(|w| vector("weights", w)).transpose()?,
            mode: mode.map(|u| vector("mode", u)).transpose()?,
        })
    }

    pub fn kernel(&self, family: &str) -> PyResult<kernel::Outcomes<'_>> {
        Ok(kernel::Outcomes {
            eta: self.eta.as_slice()?,
            y: self.y.as_slice()?,
            weights: self.weights.as_ref().map(|w| w.as_slice()).transpose()?,
            mode: self.mode.as_ref().map(|u| u.as_slice()).transpose()?,
            family: family.parse().map_err(to_python)?,
        })
    }
}

/// New rows as NumPy holds them.
pub struct NewArrays<'py> {
    offsets: Vec<usize>,
    columns: PyReadonlyArray2<'py, f64>,
    inners: Vec<Option<Vec<i64>>>,
    rbf: Option<PyReadonlyArray2<'py, f64>>,
}

impl<'py> NewArrays<'py> {
    pub fn new((offsets, columns, inners, rbf): &NewRows<'py>) -> PyResult<Self> {
        let convert = |codes: &Option<PyReadonlyArray1<'py, i64>>| {
            codes.as_ref().map(|codes| copied("inner codes of new rows", codes)).transpose()
        };
        Ok(Self {
            offsets: indices("offsets of new rows", offsets)?,
            columns: matrix::<f64>("columns of new rows", columns)?,
            inners: inners.iter().map(convert).collect::<PyResult<_>>()?,
            rbf: rbf.as_ref().map(|x| matrix::<f64>("rbf of new rows", x)).transpose()?,
        })
    }

    pub fn kernel(&mut self) -> PyResult<kernel::NewRows<'_>> {
        Ok(kernel::NewRows {
            offsets: &self.offsets,
            columns: self.columns.as_slice()?,
            inners: std::mem::take(&mut self.inners),
            rbf: self.rbf.as_ref().map(|x| x.as_slice()).transpose()?,
        })
    }
}

/// Derivatives as NumPy's arrays; those of the smooth functions where there are any.
pub fn gradient_arrays<'py>(
    py: Python<'py>,
    gradient: kernel::Gradient,
    has_rbf: bool,
) -> PyResult<GradientArrays<'py>> {
    let square = |matrix: Vec<f64>| {
        let q = matrix.len().isqrt();
        matrix.into_pyarray(py).reshape([q, q])
    };
    let matrices = gradient.matrices.into_iter().map(square).collect::<PyResult<_>>()?;
    Ok((gradient.noise, matrices, has_rbf.then_some(gradient.rbf)))
}
