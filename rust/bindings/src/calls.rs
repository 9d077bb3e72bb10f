//! The kernel's functions.

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rfp_kernel as kernel;
use rfp_kernel::ClusterStatus;
use rfp_kernel::memory::list;

use crate::arrays::{Arrays, ClusterData, Holds, Scalar, check_columns, indices, matrix, vector};
use crate::errors::to_python;
use crate::interrupt::detached;
use crate::options::{Architecture, Inner};
use crate::with_dtype;

/// Multiplications of a forward pass.
pub fn forward_work(architecture: &Architecture, rows: usize) -> f64 {
    architecture.0.n_parameters() as f64 * rows as f64
}

/// Linear outputs, (N, `n_outputs`).
#[pyfunction]
#[pyo3(signature = (architecture, theta, x, n_threads=0))]
pub fn predict<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    fn typed<'py, T: Scalar>(
        py: Python<'py>,
        architecture: &Architecture,
        (theta, x): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (theta, x) = (vector::<T>("theta", theta)?, matrix::<T>("x", x)?);
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let (rows, columns) = (x.shape()[0], architecture.0.n_outputs());
        let (theta, x) = (theta.as_slice()?, x.as_slice()?);
        let mut outputs = zeros::<T>("the outputs", [rows, columns])?;
        detached(py, forward_work(architecture, rows), n_threads, |threads| {
            kernel::predict(&architecture.0, theta, x, &mut outputs, threads)
        })?;
        Ok(outputs.into_pyarray(py).reshape([rows, columns])?.into_any())
    }
    with_dtype!(theta, T => typed::<T>(py, architecture, (theta, x), n_threads))
}

/// Linear outputs where the rows of cluster c use `thetas[c]`; thetas (C, P).
#[pyfunction]
#[pyo3(signature = (architecture, thetas, x, offsets, n_threads=0))]
pub fn predict_each<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    thetas: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    offsets: PyReadonlyArray1<'py, i64>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    fn typed<'py, T: Scalar>(
        py: Python<'py>,
        architecture: &Architecture,
        (thetas, x): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
        offsets: &[usize],
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (thetas, x) = (matrix::<T>("thetas", thetas)?, matrix::<T>("x", x)?);
        check_columns("thetas (columns)", thetas.shape()[1], architecture.0.n_parameters())?;
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let (rows, columns) = (x.shape()[0], architecture.0.n_outputs());
        let (thetas, x) = (thetas.as_slice()?, x.as_slice()?);
        let mut outputs = zeros::<T>("the outputs", [rows, columns])?;
        detached(py, forward_work(architecture, rows), n_threads, |threads| {
            kernel::predict_each(&architecture.0, thetas, x, offsets, &mut outputs, threads)
        })?;
        Ok(outputs.into_pyarray(py).reshape([rows, columns])?.into_any())
    }
    let offsets = indices("offsets", &offsets)?;
    with_dtype!(thetas, T => typed::<T>(py, architecture, (thetas, x), &offsets, n_threads))
}

/// Options of an objective.
pub fn objective_of(alpha: f64, inner: &Inner, loss: &str, skip_diverged: bool) -> PyResult<kernel::Objective> {
    let loss = loss.parse().map_err(to_python)?;
    Ok(kernel::Objective { loss, alpha, inner: inner.0.clone(), skip_diverged })
}

/// Calls the kernel on data that Python lends; `work` as for [`detached`].
pub fn on_clusters<T: Scalar, O: Send>(
    py: Python<'_>,
    data: &ClusterData,
    work: f64,
    n_threads: usize,
    call: impl FnOnce(&kernel::Clusters<'_, T>, kernel::Threads<'_>) -> Result<O, kernel::KernelError> + Send,
) -> PyResult<O>
where
    ClusterData: Holds<T>,
{
    let arrays: &Arrays<T> = data.arrays()?;
    let lent = arrays.lend(py)?;
    let clusters = arrays.clusters(&lent)?;
    detached(py, work, n_threads, |threads| call(&clusters, threads))
}

fn evaluate<T: Scalar>(
    py: Python<'_>,
    architecture: &Architecture,
    theta: &Bound<'_, PyAny>,
    data: &ClusterData,
    objective: &kernel::Objective,
    wanted: kernel::ExtraOutputs,
    n_threads: usize,
) -> PyResult<kernel::Evaluation<T>>
where
    ClusterData: Holds<T>,
{
    let theta = vector::<T>("theta", theta)?;
    let theta = theta.as_slice()?;
    let work = kernel::work(&architecture.0, data.rows(), &objective.inner);
    on_clusters(py, data, work, n_threads, |clusters, threads| {
        kernel::evaluate(&architecture.0, theta, clusters, None, objective, wanted, threads)
    })
}

/// `R_k` and its exact gradient.
#[pyfunction]
#[pyo3(signature = (architecture, theta, data, alpha, inner, loss, skip_diverged=false, n_threads=0))]
#[allow(clippy::too_many_arguments)]
pub fn value_and_grad<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    data: &ClusterData,
    alpha: f64,
    inner: &Inner,
    loss: &str,
    skip_diverged: bool,
    n_threads: usize,
) -> PyResult<(f64, Bound<'py, PyAny>)> {
    let objective = objective_of(alpha, inner, loss, skip_diverged)?;
    with_dtype!(theta, T => {
        let found = evaluate::<T>(py, architecture, theta, data, &objective, kernel::ExtraOutputs::default(), n_threads)?;
        Ok((found.value, found.gradient.into_pyarray(py).into_any()))
    })
}

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

/// `R_k`, its gradients, and what happened to each cluster.
#[pyclass(frozen, get_all)]
pub struct Objective {
    value: f64,
    gradient: Py<PyAny>,
    alpha_gradient: f64,
    inner_lr_gradient: Option<Py<PyAny>>,
    loss_before: Py<PyArray1<f64>>,
    loss_after: Py<PyArray1<f64>>,
    diverged_step: Py<PyArray1<i32>>,
}

/// Steps (−1 where a cluster did not diverge), losses before and losses after.
type StatusArrays<'py> = (Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

fn status_arrays<'py>(py: Python<'py>, status: &[ClusterStatus]) -> PyResult<StatusArrays<'py>> {
    let step = |s: &ClusterStatus| s.diverged_step.map_or(-1, |step| i32::try_from(step).unwrap_or(i32::MAX));
    let what = "the status of the clusters";
    let steps = list(what, status.iter().map(step)).map_err(to_python)?;
    let before = list(what, status.iter().map(|s| s.loss_before)).map_err(to_python)?;
    let after = list(what, status.iter().map(|s| s.loss_after)).map_err(to_python)?;
    Ok((steps.into_pyarray(py), before.into_pyarray(py), after.into_pyarray(py)))
}

/// `R_k` with everything that can be known of it.
#[pyfunction]
#[pyo3(signature = (architecture, theta, data, alpha, inner, loss, skip_diverged=false, inner_lr_gradient=false, n_threads=0))]
#[allow(clippy::too_many_arguments)]
pub fn objective<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    data: &ClusterData,
    alpha: f64,
    inner: &Inner,
    loss: &str,
    skip_diverged: bool,
    inner_lr_gradient: bool,
    n_threads: usize,
) -> PyResult<Objective> {
    let objective = objective_of(alpha, inner, loss, skip_diverged)?;
    let wanted = kernel::ExtraOutputs { rate_gradient: inner_lr_gradient, status: true };
    with_dtype!(theta, T => {
        let found = evaluate::<T>(py, architecture, theta, data, &objective, wanted, n_threads)?;
        let (steps, before, after) = status_arrays(py, &found.status)?;
        Ok(Objective {
            value: found.value,
            gradient: found.gradient.into_pyarray(py).into_any().unbind(),
            alpha_gradient: found.alpha_gradient,
            inner_lr_gradient: found.rate_gradient.map(|g| g.into_pyarray(py).into_any().unbind()),
            loss_before: before.unbind(),
            loss_after: after.unbind(),
            diverged_step: steps.unbind(),
        })
    })
}

/// Zeros, or MemoryError where the machine has no room for them.
pub fn zeros<T: Scalar>(what: &'static str, [rows, columns]: [usize; 2]) -> PyResult<Vec<T>> {
    kernel::memory::zeros(what, rows.saturating_mul(columns)).map_err(to_python)
}

/// Adapted parameters, with the statuses' arrays.
type Adapted<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// (thetas (C, P), `diverged_step` (C,), `loss_before` (C,), `loss_after` (C,)).
#[pyfunction]
#[pyo3(signature = (architecture, theta, data, inner, loss, n_threads=0))]
pub fn adapt<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    data: &ClusterData,
    inner: &Inner,
    loss: &str,
    n_threads: usize,
) -> PyResult<Adapted<'py>> {
    fn typed<'py, T: Scalar>(
        py: Python<'py>,
        architecture: &Architecture,
        theta: &Bound<'py, PyAny>,
        data: &ClusterData,
        (inner, loss): (&Inner, kernel::Loss),
        n_threads: usize,
    ) -> PyResult<Adapted<'py>>
    where
        ClusterData: Holds<T>,
    {
        let theta = vector::<T>("theta", theta)?;
        let theta = theta.as_slice()?;
        let shape = [data.n_clusters(), architecture.0.n_parameters()];
        let mut thetas = zeros::<T>("adapted parameters", shape)?;
        let work = kernel::work(&architecture.0, data.rows(), &inner.0);
        let status = on_clusters(py, data, work, n_threads, |clusters, threads| {
            kernel::adapt(&architecture.0, theta, clusters, &inner.0, loss, &mut thetas, threads)
        })?;
        let (steps, before, after) = status_arrays(py, &status)?;
        Ok((thetas.into_pyarray(py).reshape(shape)?.into_any(), steps, before, after))
    }
    let loss = loss.parse().map_err(to_python)?;
    with_dtype!(theta, T => typed::<T>(py, architecture, theta, data, (inner, loss), n_threads))
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

/// The instruction set in use.
#[pyfunction]
pub fn isa() -> &'static str {
    kernel::simd::Backend::detect().name()
}
