//! Calls of the trainer.

use numpy::{IntoPyArray, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rfp_kernel as kernel;
use rfp_kernel::many;

use super::{Model, Outcome};
use crate::arrays::{Scalar, check_columns, matrix, vector};
use crate::interrupt::streamed;
use crate::options::Architecture;
use crate::with_dtype;

/// Inputs and targets.
type Table<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);
/// Every so many steps, or a list of steps; and what: losses, metrics, parameters, gradients.
type RecordOptions = (Option<u64>, Option<Vec<u64>>, [bool; 4]);

fn recording((every, steps, [losses, metrics, thetas, gradients]): RecordOptions) -> PyResult<many::Recording> {
    let when = match (every, steps) {
        (Some(0), _) => return Err(PyValueError::new_err("every must be at least 1, got 0")),
        (Some(every), _) => many::When::Every(every),
        (None, Some(steps)) => many::When::At(steps),
        (None, None) => many::When::Never,
    };
    Ok(many::Recording { when, losses, metrics, thetas, gradients })
}

/// The arrays of a call, borrowed from NumPy for as long as it lasts.
struct Borrowed<'py, T: Scalar> {
    thetas: Vec<PyReadonlyArray1<'py, T>>,
    tables: Vec<[PyReadonlyArray2<'py, T>; 2]>,
    rows: Vec<Option<PyReadonlyArray1<'py, i64>>>,
    weights: Option<PyReadonlyArray2<'py, T>>,
}

impl<'py, T: Scalar> Borrowed<'py, T> {
    fn new(
        thetas: &[Bound<'py, PyAny>],
        tables: &[&Table<'py>],
        rows: Vec<Option<PyReadonlyArray1<'py, i64>>>,
        weights: Option<&Bound<'py, PyAny>>,
        n_models: usize,
    ) -> PyResult<Self> {
        let tables = tables.iter().map(|(x, y)| {
            let (x, y) = (matrix("x", x)?, matrix("y", y)?);
            check_columns("y (rows)", y.shape()[0], x.shape()[0])?;
            Ok([x, y])
        });
        let weights: Option<PyReadonlyArray2<'py, T>> = weights.map(|w| matrix("row weights", w)).transpose()?;
        check_columns("thetas", thetas.len(), n_models)?;
        if let Some(weights) = weights.as_ref().filter(|w| w.shape()[0] != 1) {
            check_columns("row weights (models)", weights.shape()[0], n_models)?;
        }
        if rows.len() != 1 {
            check_columns("rows", rows.len(), n_models)?;
        }
        Ok(Self {
            thetas: thetas.iter().map(|theta| vector("theta", theta)).collect::<PyResult<_>>()?,
            tables: tables.collect::<PyResult<_>>()?,
            rows,
            weights,
        })
    }

    fn table(&self, table: usize) -> PyResult<many::Rows<'_, T>> {
        let [x, y] = &self.tables[table];
        Ok(many::Rows { x: x.as_slice()?, y: y.as_slice()?, n_rows: x.shape()[0] })
    }

    fn task<'a>(&'a self, index: usize, model: &'a Model) -> PyResult<many::Task<'a, T>> {
        let own = |count: usize| if count == 1 { 0 } else { index };
        let rows = match &self.rows[own(self.rows.len())] {
            Some(rows) => Some(rows.as_slice()?),
            None => None,
        };
        let weights = match &self.weights {
            Some(weights) => {
                let (line, width) = (own(weights.shape()[0]), weights.shape()[1]);
                Some(&weights.as_slice()?[line * width..(line + 1) * width])
            }
            None => None,
        };
        let train = many::Selection { of: self.table(0)?, rows, weights };
        let held_out = match self.tables.len() {
            1 => None,
            _ => Some(many::Selection { of: self.table(1)?, rows: None, weights: None }),
        };
        Ok(many::Task { spec: &model.0, theta: self.thetas[index].as_slice()?, train, held_out })
    }
}

/// Trains every model; `on_finished` is called with each one's index and outcome as it is done. The outcomes, in order.
#[pyfunction]
#[pyo3(signature = (models, thetas, data, rows, weights=None, held_out=None, record=(None, None, [false; 4]),
                    on_finished=None, n_threads=0))]
#[allow(clippy::too_many_arguments)]
pub fn fit_many<'py>(
    py: Python<'py>,
    models: Vec<PyRef<'py, Model>>,
    thetas: Vec<Bound<'py, PyAny>>,
    data: Table<'py>,
    rows: Vec<Option<PyReadonlyArray1<'py, i64>>>,
    weights: Option<Bound<'py, PyAny>>,
    held_out: Option<Table<'py>>,
    record: RecordOptions,
    on_finished: Option<Py<PyAny>>,
    n_threads: usize,
) -> PyResult<Vec<Option<Py<Outcome>>>> {
    let recording = recording(record)?;
    let tables: Vec<_> = [Some(&data), held_out.as_ref()].into_iter().flatten().collect();
    with_dtype!(&data.0, T => {
        let borrowed = Borrowed::<T>::new(&thetas, &tables, rows, weights.as_ref(), models.len())?;
        let tasks = models.iter().enumerate().map(|(index, model)| borrowed.task(index, model));
        train(py, &tasks.collect::<PyResult<Vec<_>>>()?, &recording, on_finished.as_ref(), n_threads)
    })
}

fn train<T: Scalar>(
    py: Python<'_>,
    tasks: &[many::Task<'_, T>],
    recording: &many::Recording,
    on_finished: Option<&Py<PyAny>>,
    n_threads: usize,
) -> PyResult<Vec<Option<Py<Outcome>>>> {
    let mut outcomes: Vec<Option<Py<Outcome>>> = tasks.iter().map(|_| None).collect();
    let found = &mut outcomes;
    streamed(
        py,
        n_threads,
        |threads, parts| many::fit_many(tasks, recording, threads, |index, outcome| parts.send((index, outcome))),
        move |py, (index, outcome): (usize, many::Outcome<T>)| {
            let outcome = Py::new(py, Outcome::new(py, outcome)?)?;
            if let Some(on_finished) = on_finished {
                on_finished.call1(py, (index, outcome.clone_ref(py)))?;
            }
            found[index] = Some(outcome);
            Ok(())
        },
    )?;
    Ok(outcomes)
}

/// What a model with `n_rows` rows draws at a step: "rows", "masks" (one a hidden layer), "noise" (rows × inputs, before
/// it is scaled), "mixup" (λ and partners) and "shift" (down, right); empty or None for what it has not.
#[pyfunction]
pub fn draws<'py>(py: Python<'py>, model: &Model, n_rows: usize, step: u64) -> PyResult<Bound<'py, PyDict>> {
    let drawn = many::Draws::all(&model.0, n_rows, step);
    let found = PyDict::new(py);
    found.set_item("rows", drawn.rows.into_pyarray(py))?;
    let masks: Vec<_> = drawn.masks.into_iter().map(|mask| mask.into_pyarray(py)).collect();
    found.set_item("masks", masks)?;
    found.set_item("noise", drawn.noise.into_pyarray(py))?;
    found.set_item("mixup", drawn.mixup.map(|(share, partners)| (share, partners.into_pyarray(py))))?;
    found.set_item("shift", drawn.shift)?;
    Ok(found)
}

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
    let masks = many::Draws { seed }.sample(sample, &widths, &rates);
    Ok(masks.into_iter().map(|mask| mask.into_pyarray(py).into_any()).collect())
}

/// Flat parameters of the network that a batch-normalized one is at prediction.
#[pyfunction]
pub fn fold_batch_norm<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    batch_norm: &Bound<'py, PyAny>,
    epsilon: f64,
) -> PyResult<Bound<'py, PyAny>> {
    fn typed<'py, T: Scalar>(
        py: Python<'py>,
        architecture: &kernel::Architecture,
        (theta, batch_norm): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
        epsilon: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (theta, batch_norm) = (vector::<T>("theta", theta)?, vector::<T>("batch_norm", batch_norm)?);
        check_columns("theta", theta.shape()[0], architecture.n_parameters())?;
        check_columns("batch_norm", batch_norm.shape()[0], 4 * architecture.hidden().iter().sum::<usize>())?;
        let mut folded = theta.as_slice()?.to_vec();
        many::fold(many::Folding { architecture, batch_norm: batch_norm.as_slice()?, epsilon }, &mut folded);
        Ok(folded.into_pyarray(py).into_any())
    }
    with_dtype!(theta, T => typed::<T>(py, &architecture.0, (theta, batch_norm), epsilon))
}
