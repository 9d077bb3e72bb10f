//! Many training runs on one data set in one call.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyList;
use rfp_kernel as kernel;
use rfp_kernel::KernelError;
use rfp_kernel::memory::{list, room, zeros};

use crate::arrays::{Arrays, ClusterData, HasArrays, Scalar, check_columns, matrix};
use crate::errors::to_python;
use crate::interrupt::detached;
use crate::options::{Architecture, Inner, Optimizer};
use crate::with_dtype;

/// What the runs have in common.
struct SharedArguments<'a> {
    architecture: &'a kernel::Architecture,
    loss: kernel::Loss,
    n_steps: usize,
    batch_size: Option<usize>,
    skip_diverged: bool,
    watch: kernel::Watch,
    n_threads: usize,
}

/// What each run has of its own, beside its start.
struct RunArguments {
    alphas: Vec<f64>,
    inners: Vec<kernel::Inner>,
    optimizers: Vec<kernel::Optimizer>,
    seeds: Vec<u64>,
    /// Runs × clusters.
    counts: Vec<f64>,
    held_out: Vec<Vec<usize>>,
}

/// One optimizer for all runs, or one for each.
#[derive(FromPyObject)]
pub enum OneOrEach<'py> {
    One(PyRef<'py, Optimizer>),
    Each(Vec<PyRef<'py, Optimizer>>),
}

impl OneOrEach<'_> {
    fn of_runs(&self, n_runs: usize) -> PyResult<Vec<kernel::Optimizer>> {
        match self {
            Self::One(optimizer) => Ok(vec![optimizer.0; n_runs]),
            Self::Each(optimizers) => {
                check_columns("optimizers", optimizers.len(), n_runs)?;
                Ok(optimizers.iter().map(|optimizer| optimizer.0).collect())
            }
        }
    }
}

/// Train each run for `n_steps` steps on clusters of its own; see the stub.
#[pyfunction]
#[pyo3(signature = (architecture, thetas, data, counts, alphas, inners, loss, optimizer, n_steps, seeds, held_out=None,
                    batch_size=None, every=10, patience=usize::MAX, min_gain=0.0, watched_alpha=None,
                    skip_diverged=false, n_threads=0, keep_looks=false))]
#[allow(clippy::too_many_arguments)]
pub fn refit<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    thetas: &Bound<'py, PyAny>,
    data: &ClusterData,
    counts: PyReadonlyArray2<'py, f64>,
    alphas: PyReadonlyArray1<'py, f64>,
    inners: Vec<PyRef<'py, Inner>>,
    loss: &str,
    optimizer: OneOrEach<'py>,
    n_steps: usize,
    seeds: PyReadonlyArray1<'py, u64>,
    held_out: Option<PyReadonlyArray2<'py, bool>>,
    batch_size: Option<usize>,
    every: usize,
    patience: usize,
    min_gain: f64,
    watched_alpha: Option<f64>,
    skip_diverged: bool,
    n_threads: usize,
    keep_looks: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let common = SharedArguments {
        architecture: &architecture.0,
        loss: loss.parse().map_err(to_python)?,
        n_steps,
        batch_size,
        skip_diverged,
        watch: kernel::Watch { every, patience, min_gain, alpha: watched_alpha, keep: keep_looks },
        n_threads,
    };
    let n_runs = alphas.len();
    let [rows, columns] = [counts.shape()[0], counts.shape()[1]];
    check_columns("counts (rows)", rows, n_runs)?;
    check_columns("counts (columns)", columns, data.n_clusters())?;
    check_columns("inners", inners.len(), n_runs)?;
    check_columns("seeds", seeds.len(), n_runs)?;
    let held_out = match held_out {
        None => vec![Vec::new(); n_runs],
        Some(mask) => {
            check_columns("held_out (rows)", mask.shape()[0], n_runs)?;
            check_columns("held_out (columns)", mask.shape()[1], columns)?;
            let chosen = |row: numpy::ndarray::ArrayView1<'_, bool>| {
                row.iter().enumerate().filter(|&(_, &out)| out).map(|(c, _)| c).collect()
            };
            mask.as_array().rows().into_iter().map(chosen).collect()
        }
    };
    let own = RunArguments {
        alphas: alphas.as_array().to_vec(),
        inners: inners.iter().map(|inner| inner.0.clone()).collect(),
        optimizers: optimizer.of_runs(n_runs)?,
        seeds: seeds.as_array().to_vec(),
        counts: list("the counts of the clusters", counts.as_array().iter().copied()).map_err(to_python)?,
        held_out,
    };
    with_dtype!(thetas, T => run::<T>(py, &common, &own, thetas, data))
}

fn run<'py, T: Scalar>(
    py: Python<'py>,
    common: &SharedArguments<'_>,
    own: &RunArguments,
    thetas: &Bound<'py, PyAny>,
    data: &ClusterData,
) -> PyResult<Bound<'py, PyAny>>
where
    ClusterData: HasArrays<T>,
{
    let thetas = matrix::<T>("thetas", thetas)?;
    check_columns("thetas (rows)", thetas.shape()[0], own.alphas.len())?;
    check_columns("thetas (columns)", thetas.shape()[1], common.architecture.n_parameters())?;
    let arrays: &Arrays<T> = data.arrays()?;
    let lent = arrays.lend(py)?;
    let clusters = arrays.clusters(&lent)?;
    let starts = thetas.as_slice()?.chunks_exact(common.architecture.n_parameters());
    let counts = own.counts.chunks_exact(data.n_clusters());
    let runs = starts.zip(counts).enumerate().map(|(i, (theta, counts))| {
        let (alpha, inner) = (own.alphas[i], own.inners[i].clone());
        let objective = kernel::Objective { loss: common.loss, alpha, inner, skip_diverged: common.skip_diverged };
        let (net, optimizer, seed) = (common.architecture.clone(), own.optimizers[i], own.seeds[i]);
        let trainer = kernel::Trainer::new(
            net,
            list("parameters", theta.iter().copied())?,
            objective,
            optimizer,
            common.batch_size,
            seed,
        )?;
        Ok(kernel::Refit { trainer, counts, held_out: &own.held_out[i] })
    });
    let runs = runs.collect::<Result<Vec<_>, KernelError>>().map_err(to_python)?;
    let a_step = |inner: &kernel::Inner| kernel::work(common.architecture, data.rows(), inner);
    let work = own.inners.iter().map(a_step).sum::<f64>() * common.n_steps as f64;
    let done = detached(py, work, common.n_threads, |threads| {
        kernel::refit(&runs, &clusters, common.n_steps, &common.watch, threads)
    })?;
    to_arrays(py, done)
}

/// The parameters at every look, (R, looks, P); NaN after a run's last. None where no run kept any.
fn kept_looks<'py, T: Scalar>(
    py: Python<'py>,
    done: &[kernel::Refitted<T>],
    n_parameters: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let most = done.iter().map(|run| run.looks.len()).max().unwrap_or(0);
    if most == 0 {
        return Ok(None);
    }
    let size = most.saturating_mul(n_parameters);
    let what = "the parameters at every look";
    let mut thetas: Vec<T> = zeros(what, done.len().saturating_mul(size)).map_err(to_python)?;
    for (into, run) in thetas.chunks_exact_mut(size).zip(done) {
        let (kept, missing) = into.split_at_mut(run.looks.len() * n_parameters);
        kept.chunks_exact_mut(n_parameters).zip(&run.looks).for_each(|(to, theta)| to.copy_from_slice(theta));
        missing.fill(T::from_f64(f64::NAN));
    }
    Ok(Some(thetas.into_pyarray(py).reshape([done.len(), most, n_parameters])?.into_any()))
}

/// (thetas, steps taken, steps to the best, skipped, held-out values padded with NaN, faults, kept looks).
fn to_arrays<T: Scalar>(py: Python<'_>, done: Vec<kernel::Refitted<T>>) -> PyResult<Bound<'_, PyAny>> {
    let n_runs = done.len();
    let looks = done.iter().map(|run| run.held_out.len()).max().unwrap_or(0);
    let n_parameters = done.first().map_or(0, |run| run.theta.len());
    let mut values: Vec<f64> = zeros("the looks of all runs", n_runs.saturating_mul(looks)).map_err(to_python)?;
    values.fill(f64::NAN);
    for (row, run) in values.chunks_exact_mut(looks.max(1)).zip(&done) {
        row[..run.held_out.len()].copy_from_slice(&run.held_out);
    }
    let steps: Vec<u64> = done.iter().map(|run| run.n_steps).collect();
    let best: Vec<u64> = done.iter().map(|run| run.best_step).collect();
    let skipped: Vec<u64> = done.iter().map(|run| run.n_skipped).collect();
    let fault = |run: &kernel::Refitted<T>| run.fault.clone().map(|error| to_python(error).into_value(py));
    let faults = PyList::new(py, done.iter().map(fault))?;
    let looked_at = kept_looks(py, &done, n_parameters)?;
    let mut thetas: Vec<T> =
        room("the parameters of all runs", n_runs.saturating_mul(n_parameters)).map_err(to_python)?;
    done.into_iter().for_each(|run| thetas.extend_from_slice(&run.theta));
    let result = (
        thetas.into_pyarray(py).reshape([n_runs, n_parameters])?,
        steps.into_pyarray(py),
        best.into_pyarray(py),
        skipped.into_pyarray(py),
        values.into_pyarray(py).reshape([n_runs, looks])?,
        faults,
        looked_at,
    );
    Ok(result.into_pyobject(py)?.into_any())
}
