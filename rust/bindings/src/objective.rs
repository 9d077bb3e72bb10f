//! `R_k` and its gradients, and what the inner steps lead to.

use numpy::{IntoPyArray, PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use rfp_kernel as kernel;
use rfp_kernel::ClusterStatus;
use rfp_kernel::memory::list;

use crate::arrays::{ClusterData, HasArrays, Scalar, vector};
use crate::calls::{on_clusters, zeros};
use crate::errors::to_python;
use crate::options::{Architecture, Inner};
use crate::with_dtype;

/// Options of an objective.
pub fn objective_of(alpha: f64, inner: &Inner, loss: &str, skip_diverged: bool) -> PyResult<kernel::Objective> {
    let loss = loss.parse().map_err(to_python)?;
    Ok(kernel::Objective { loss, alpha, inner: inner.0.clone(), skip_diverged })
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
    ClusterData: HasArrays<T>,
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
        ClusterData: HasArrays<T>,
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
