//! First and second derivatives of the mean loss.

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rfp_kernel as kernel;

use crate::arrays::{ClusterData, check_columns, matrix, vector};
use crate::calls::{forward_work, on_clusters, zeros};
use crate::errors::to_python;
use crate::options::Architecture;
use crate::with_dtype;

/// Gradients of the mean loss at many parameters; thetas (T, P).
#[pyfunction]
#[pyo3(signature = (architecture, thetas, data, loss, n_threads=0))]
pub fn gradients<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    thetas: &Bound<'py, PyAny>,
    data: &ClusterData,
    loss: &str,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let loss = loss.parse().map_err(to_python)?;
    with_dtype!(thetas, T => {
        let thetas = matrix::<T>("thetas", thetas)?;
        let shape = [thetas.shape()[0], thetas.shape()[1]];
        check_columns("thetas (columns)", shape[1], architecture.0.n_parameters())?;
        let thetas = thetas.as_slice()?;
        let mut found = zeros::<T>("the gradients", shape)?;
        let work = 3.0 * shape[0] as f64 * forward_work(architecture, data.rows());
        on_clusters(py, data, work, n_threads, |clusters, threads| {
            kernel::gradients(&architecture.0, thetas, clusters, loss, &mut found, threads)
        })?;
        Ok(found.into_pyarray(py).reshape(shape)?.into_any())
    })
}

/// Hessian of the mean loss times v, (P,).
#[pyfunction]
#[pyo3(signature = (architecture, theta, v, data, loss, n_threads=0))]
pub fn hvp<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    v: &Bound<'py, PyAny>,
    data: &ClusterData,
    loss: &str,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let loss = loss.parse().map_err(to_python)?;
    with_dtype!(theta, T => {
        let (theta, v) = (vector::<T>("theta", theta)?, vector::<T>("v", v)?);
        let (theta, v) = (theta.as_slice()?, v.as_slice()?);
        let work = 9.0 * forward_work(architecture, data.rows());
        let product = on_clusters::<T, _>(py, data, work, n_threads, |clusters, threads| {
            kernel::hessian_vector(&architecture.0, theta, v, clusters, loss, threads)
        })?;
        Ok(product.into_pyarray(py).into_any())
    })
}

/// Largest Hessian eigenvalue of each cluster's loss at theta by power iteration, (C,).
#[pyfunction]
#[pyo3(signature = (architecture, theta, data, loss, n_iterations=20, n_threads=0))]
pub fn curvature<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    data: &ClusterData,
    loss: &str,
    n_iterations: usize,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let loss = loss.parse().map_err(to_python)?;
    with_dtype!(theta, T => {
        let theta = vector::<T>("theta", theta)?;
        let theta = theta.as_slice()?;
        let work = 9.0 * n_iterations as f64 * forward_work(architecture, data.rows());
        let values = on_clusters::<T, _>(py, data, work, n_threads, |clusters, threads| {
            kernel::curvature(&architecture.0, theta, clusters, loss, n_iterations, threads)
        })?;
        Ok(values.into_pyarray(py))
    })
}
