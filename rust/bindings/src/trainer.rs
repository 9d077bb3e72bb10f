//! The outer loop as a Python object.

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rfp_kernel as kernel;
use rfp_kernel::memory::list;

use crate::arrays::{ClusterData, HasArrays, Scalar, is_f32, vector};
use crate::calls::on_clusters;
use crate::errors::to_python;
use crate::objective::objective_of;
use crate::options::{Architecture, Inner, Optimizer};

/// The outer loop: minimizes `R_k`, mini-batches of whole clusters a step.
#[pyclass]
pub struct Trainer {
    inner: TypedTrainer,
    n_threads: usize,
}

enum TypedTrainer {
    F32(kernel::Trainer<f32>),
    F64(kernel::Trainer<f64>),
}

/// Runs `$body` with `$trainer` bound to the trainer of either dtype.
macro_rules! with_trainer {
    ($typed:expr, $trainer:ident => $body:expr) => {
        match $typed {
            TypedTrainer::F32($trainer) => $body,
            TypedTrainer::F64($trainer) => $body,
        }
    };
}

fn advance<T: Scalar>(
    py: Python<'_>,
    trainer: &mut kernel::Trainer<T>,
    data: &ClusterData,
    n_steps: usize,
    n_threads: usize,
) -> PyResult<Vec<f64>>
where
    ClusterData: HasArrays<T>,
{
    let n_clusters = data.n_clusters() as f64;
    let share = trainer.batch_size.map_or(1.0, |size| (size as f64 / n_clusters).min(1.0));
    let a_step = share * kernel::work(&trainer.architecture, data.rows(), &trainer.objective.inner);
    let serial = a_step < kernel::SERIAL_WORK;
    on_clusters(py, data, a_step * n_steps as f64, n_threads, |clusters, threads| {
        trainer.advance(clusters, n_steps, if serial { threads.alone() } else { threads })
    })
}

/// A trainer at these parameters, from the arguments of [`kernel::Trainer::new`].
fn start<T: Scalar>(
    theta: &Bound<'_, PyAny>,
    (architecture, objective, optimizer, batch_size, seed): (
        &kernel::Architecture,
        kernel::Objective,
        kernel::Optimizer,
        Option<usize>,
        u64,
    ),
) -> PyResult<kernel::Trainer<T>> {
    let theta = owned::<T>("theta", theta)?;
    kernel::Trainer::new(architecture.clone(), theta, objective, optimizer, batch_size, seed).map_err(to_python)
}

/// A vector's numbers, copied.
fn owned<T: Scalar>(what: &'static str, array: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    let array = vector::<T>(what, array)?;
    list(what, array.as_slice()?.iter().copied()).map_err(to_python)
}

fn restored<T: Scalar>(state: &Bound<'_, PyTuple>, n_skipped: u64) -> PyResult<kernel::State<T>> {
    let part = |i: usize| -> PyResult<Vec<T>> { owned::<T>("state", &state.get_item(i)?) };
    Ok(kernel::State {
        n_steps: state.get_item(0)?.extract()?,
        n_skipped,
        theta: part(1)?,
        first: part(2)?,
        second: part(3)?,
    })
}

#[pymethods]
impl Trainer {
    #[new]
    #[pyo3(signature = (architecture, theta, alpha, inner, loss, optimizer, batch_size=None, seed=0, skip_diverged=false,
                        n_threads=0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        architecture: &Architecture,
        theta: &Bound<'_, PyAny>,
        alpha: f64,
        inner: &Inner,
        loss: &str,
        optimizer: &Optimizer,
        batch_size: Option<usize>,
        seed: u64,
        skip_diverged: bool,
        n_threads: usize,
    ) -> PyResult<Self> {
        let objective = objective_of(alpha, inner, loss, skip_diverged)?;
        let how = (&architecture.0, objective, optimizer.0, batch_size, seed);
        let inner =
            if is_f32(theta)? { TypedTrainer::F32(start(theta, how)?) } else { TypedTrainer::F64(start(theta, how)?) };
        Ok(Self { inner, n_threads })
    }

    /// Take `n_steps` outer steps; the objective at the start of each, (`n_steps`,).
    fn advance<'py>(
        &mut self,
        py: Python<'py>,
        data: &ClusterData,
        n_steps: usize,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let n_threads = self.n_threads;
        let values = with_trainer!(&mut self.inner, trainer => advance(py, trainer, data, n_steps, n_threads))?;
        Ok(values.into_pyarray(py))
    }

    /// A copy of the parameters.
    #[getter]
    fn theta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        with_trainer!(&self.inner, trainer => {
            Ok(list("theta", trainer.state().theta.iter().copied()).map_err(to_python)?.into_pyarray(py).into_any())
        })
    }

    /// Steps taken.
    #[getter]
    fn n_steps(&self) -> u64 {
        with_trainer!(&self.inner, trainer => trainer.state().n_steps)
    }

    /// Clusters left out so far because they diverged, counted once a step.
    #[getter]
    fn n_skipped(&self) -> u64 {
        with_trainer!(&self.inner, trainer => trainer.state().n_skipped)
    }

    /// Changes the inner loop from the next step on.
    fn set_inner(&mut self, inner: &Inner) -> PyResult<()> {
        with_trainer!(&mut self.inner, trainer => {
            inner.0.validate(trainer.architecture.n_parameters()).map_err(to_python)?;
            trainer.objective.inner = inner.0.clone();
        });
        Ok(())
    }

    /// (steps taken, theta, first moment or velocity, second moment).
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        with_trainer!(&self.inner, trainer => {
            let state = trainer.state();
            let part = |vector: &[_]| list("a copy of the state", vector.iter().copied()).map_err(to_python);
            let (theta, first, second) = (part(&state.theta)?, part(&state.first)?, part(&state.second)?);
            let (theta, first, second) = (theta.into_pyarray(py), first.into_pyarray(py), second.into_pyarray(py));
            (state.n_steps, theta, first, second).into_pyobject(py)
        })
    }

    /// Goes on from a state of the same dtype.
    fn restore(&mut self, state: &Bound<'_, PyTuple>) -> PyResult<()> {
        with_trainer!(&mut self.inner, trainer => {
            let state = restored(state, trainer.state().n_skipped)?;
            trainer.restore(state).map_err(to_python)
        })
    }
}
