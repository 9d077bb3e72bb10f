//! Derivatives of the network's outputs.

use numpy::{IntoPyArray, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rfp_kernel as kernel;

use crate::arrays::{check_columns, matrix, vector};
use crate::calls::{forward_work, zeros};
use crate::interrupt::detached;
use crate::options::Architecture;
use crate::with_dtype;

/// Derivative of the outputs along v, (N, `n_outputs`).
#[pyfunction]
#[pyo3(signature = (architecture, theta, v, x, n_threads=0))]
pub fn jvp<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    v: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    with_dtype!(theta, T => {
        let (theta, v, x) = (vector::<T>("theta", theta)?, vector::<T>("v", v)?, matrix::<T>("x", x)?);
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let shape = [x.shape()[0], architecture.0.n_outputs()];
        let (theta, v, x) = (theta.as_slice()?, v.as_slice()?, x.as_slice()?);
        let mut outputs = zeros::<T>("the derivatives", shape)?;
        detached(py, 3.0 * forward_work(architecture, shape[0]), n_threads, |threads| {
            kernel::jvp(&architecture.0, theta, v, x, &mut outputs, threads)
        })?;
        Ok(outputs.into_pyarray(py).reshape(shape)?.into_any())
    })
}

/// Gradient of the sum of w times the outputs, (P,); w (N, `n_outputs`).
#[pyfunction]
#[pyo3(signature = (architecture, theta, w, x, n_threads=0))]
pub fn vjp<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    w: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    with_dtype!(theta, T => {
        let (theta, w, x) = (vector::<T>("theta", theta)?, matrix::<T>("w", w)?, matrix::<T>("x", x)?);
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let work = 3.0 * forward_work(architecture, x.shape()[0]);
        let (theta, w, x) = (theta.as_slice()?, w.as_slice()?, x.as_slice()?);
        let gradient =
            detached(py, work, n_threads, |threads| kernel::vjp(&architecture.0, theta, w, x, threads))?;
        Ok(gradient.into_pyarray(py).into_any())
    })
}

/// Hessian of the sum of w times the outputs, times v, (P,); w (N, `n_outputs`).
#[pyfunction]
#[pyo3(signature = (architecture, theta, v, w, x, n_threads=0))]
pub fn output_hvp<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    v: &Bound<'py, PyAny>,
    w: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    with_dtype!(theta, T => {
        let (theta, v) = (vector::<T>("theta", theta)?, vector::<T>("v", v)?);
        let (w, x) = (matrix::<T>("w", w)?, matrix::<T>("x", x)?);
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let work = 9.0 * forward_work(architecture, x.shape()[0]);
        let (theta, v, w, x) = (theta.as_slice()?, v.as_slice()?, w.as_slice()?, x.as_slice()?);
        let product = detached(py, work, n_threads, |threads| {
            kernel::output_hessian_vector(&architecture.0, theta, v, w, x, threads)
        })?;
        Ok(product.into_pyarray(py).into_any())
    })
}
