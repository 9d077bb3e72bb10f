//! Masks of Monte-Carlo dropout, and the gradient that training with dropout sees on average.

use numpy::IntoPyArray;
use pyo3::prelude::*;
use rfp_kernel::many;

use crate::arrays::{ClusterData, check_columns, vector};
use crate::calls::{forward_work, on_clusters};
use crate::errors::{guarded, to_python};
use crate::options::Architecture;
use crate::with_dtype;

/// Draw `sample` of one mask a hidden layer, for Monte-Carlo dropout: 0 or 1/(1 − rate), layer after layer.
#[pyfunction]
pub fn dropout_mask<'py>(
    py: Python<'py>,
    widths: Vec<usize>,
    rates: Vec<f64>,
    seed: u64,
    sample: u64,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    check_columns("dropout rates", rates.len(), widths.len())?;
    let masks = py.detach(|| guarded(|| many::Draws { seed }.sample(sample, &widths, &rates)))?;
    Ok(masks.into_iter().map(|mask| mask.into_pyarray(py).into_any()).collect())
}

/// Draw `sample` of a mask of the inputs, for Monte-Carlo dropout.
#[pyfunction]
pub fn input_mask(py: Python<'_>, n_inputs: usize, rate: f64, seed: u64, sample: u64) -> PyResult<Bound<'_, PyAny>> {
    let mask = py.detach(|| guarded(|| many::Draws { seed }.input_sample(sample, n_inputs, rate)))?;
    Ok(mask.into_pyarray(py).into_any())
}

/// Mean over draws of row masks of the gradient of the mean loss, (P,), and its standard error, (P,).
#[pyfunction]
#[pyo3(signature = (architecture, theta, data, loss, rates, inputs, n_draws, seed, n_threads=0))]
#[allow(clippy::too_many_arguments)]
pub fn dropout_gradient<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    data: &ClusterData,
    loss: &str,
    rates: Vec<f64>,
    inputs: f64,
    n_draws: u64,
    seed: u64,
    n_threads: usize,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let loss = loss.parse().map_err(to_python)?;
    let dropout = many::Dropout { rates, inputs, by_row: true };
    let spec = many::Spec::untrained(architecture.0.clone(), loss, dropout, seed);
    with_dtype!(theta, T => {
        let theta = vector::<T>("theta", theta)?;
        let theta = theta.as_slice()?;
        let work = 3.0 * n_draws as f64 * forward_work(architecture, data.rows());
        let [mean, error] = on_clusters::<T, _>(py, data, work, n_threads, |clusters, threads| {
            many::dropout_gradient(&spec, theta, clusters, n_draws, threads)
        })?;
        Ok((mean.into_pyarray(py).into_any(), error.into_pyarray(py).into_any()))
    })
}
