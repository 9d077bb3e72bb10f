//! Calls of the trainer.

use std::collections::HashMap;

use numpy::{IntoPyArray, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rfp_kernel as kernel;
use rfp_kernel::many;
use rfp_kernel::memory::list;

use super::{Model, Outcome};
use crate::arrays::{Scalar, check_columns, indices, matrix, vector};
use crate::errors::{guarded, to_python};
use crate::interrupt::streamed;
use crate::options::Architecture;
use crate::with_dtype;

/// Inputs and targets.
type Table<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);
/// Lists of rows of a table, for all models alike or one for each; none: all of them.
type RowLists<'py> = Vec<Option<PyReadonlyArray1<'py, i64>>>;
/// A table, and the rows of it that measure.
type Measured<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, RowLists<'py>);
/// Every so many steps, or a list of steps; and what: losses, metrics, parameters, gradients, means of intervals, norms.
type RecordOptions = (Option<u64>, Option<Vec<u64>>, [bool; 6]);
/// Row numbers, batch after batch, and where each batch begins.
type GivenBatches<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>);

fn recording(
    (every, steps, [losses, metrics, thetas, gradients, intervals, norms]): RecordOptions,
) -> PyResult<many::Recording> {
    let when = match (every, steps) {
        (Some(0), _) => return Err(PyValueError::new_err("every must be at least 1, got 0")),
        (Some(every), _) => many::When::Every(every),
        (None, Some(steps)) => many::When::At(steps),
        (None, None) => many::When::Never,
    };
    Ok(many::Recording { when, losses, metrics, thetas, gradients, intervals, norms })
}

/// The lists of rows that there are, and which of them each model has.
type Lists = (Vec<Vec<i64>>, Vec<Option<usize>>);

/// The numbers of a call, copied: Python runs while the models are trained, and may change what it gave.
struct Owned<T> {
    thetas: Vec<Vec<T>>,
    train: OwnedRows<T>,
    held_out: Option<OwnedRows<T>>,
    test: Option<OwnedRows<T>>,
    weights: Option<OwnedTable<T>>,
    /// Rows and offsets, of all models alike or of each; empty: drawn.
    batches: Vec<(Vec<i64>, Vec<usize>)>,
}

/// A matrix, or two of as many rows.
struct OwnedTable<T> {
    x: Vec<T>,
    y: Vec<T>,
    n_rows: usize,
    n_columns: usize,
}

/// A table, different lists of its rows, and the one of each model; none: all rows.
struct OwnedRows<T> {
    table: OwnedTable<T>,
    lists: Vec<Vec<i64>>,
    rows: Vec<Option<usize>>,
}

fn copied<T: Copy>(what: &'static str, numbers: &[T]) -> PyResult<Vec<T>> {
    list(what, numbers.iter().copied()).map_err(to_python)
}

impl<T: Scalar> OwnedTable<T> {
    fn new(x: &Bound<'_, PyAny>, y: Option<&Bound<'_, PyAny>>, what: &'static str) -> PyResult<Self> {
        let x = matrix::<T>(what, x)?;
        let [n_rows, n_columns] = [x.shape()[0], x.shape()[1]];
        let mut targets = Vec::new();
        if let Some(y) = y {
            let y = matrix::<T>("y", y)?;
            check_columns("y (rows)", y.shape()[0], n_rows)?;
            targets = copied("a copy of y", y.as_slice()?)?;
        }
        Ok(Self { x: copied("a copy of the data", x.as_slice()?)?, y: targets, n_rows, n_columns })
    }
}

impl<T: Scalar> OwnedRows<T> {
    fn new((x, y): (&Bound<'_, PyAny>, &Bound<'_, PyAny>), rows: &RowLists<'_>, n_models: usize) -> PyResult<Self> {
        if rows.len() != 1 {
            check_columns("rows", rows.len(), n_models)?;
        }
        let (lists, rows) = lists(rows)?;
        Ok(Self { table: OwnedTable::new(x, Some(y), "x")?, lists, rows })
    }

    fn measured(measured: Option<&Measured<'_>>, n_models: usize) -> PyResult<Option<Self>> {
        measured.map(|(x, y, rows)| Self::new((x, y), rows, n_models)).transpose()
    }

    /// A model's rows.
    fn of_model(&self, index: usize) -> many::Selection<'_, T> {
        let OwnedTable { x, y, n_rows, .. } = &self.table;
        let rows = self.rows[own(self.rows.len(), index)].map(|list| &self.lists[list][..]);
        many::Selection { of: many::Rows { x, y, n_rows: *n_rows }, rows, weights: None }
    }
}

/// Every list of rows once: many models may share one.
fn lists(rows: &RowLists<'_>) -> PyResult<Lists> {
    let (mut lists, mut found) = (Vec::new(), HashMap::new());
    let mut of_model = |rows: &PyReadonlyArray1<'_, i64>| -> PyResult<usize> {
        let rows = rows.as_slice()?;
        if let Some(&index) = found.get(&rows.as_ptr_range()) {
            return Ok(index);
        }
        lists.push(copied("a copy of rows", rows)?);
        found.insert(rows.as_ptr_range(), lists.len() - 1);
        Ok(lists.len() - 1)
    };
    let of_models = rows.iter().map(|rows| rows.as_ref().map(&mut of_model).transpose());
    let of_models = of_models.collect::<PyResult<_>>()?;
    Ok((lists, of_models))
}

/// A model's place among `count` things, of which there is one for all models or one for each.
fn own(count: usize, index: usize) -> usize {
    if count == 1 { 0 } else { index }
}

impl<T: Scalar> Owned<T> {
    fn new(
        thetas: &[Bound<'_, PyAny>],
        (data, rows): (&Table<'_>, &RowLists<'_>),
        [held_out, test]: [Option<&Measured<'_>>; 2],
        weights: Option<&Bound<'_, PyAny>>,
        batches: &[GivenBatches<'_>],
        n_models: usize,
    ) -> PyResult<Self> {
        let weights = weights.map(|w| OwnedTable::<T>::new(w, None, "row weights")).transpose()?;
        check_columns("thetas", thetas.len(), n_models)?;
        if let Some(weights) = weights.as_ref().filter(|w| w.n_rows != 1) {
            check_columns("row weights (models)", weights.n_rows, n_models)?;
        }
        if batches.len() > 1 {
            check_columns("batches", batches.len(), n_models)?;
        }
        let own_batches = |(rows, offsets): &GivenBatches<'_>| {
            Ok((copied("a copy of the batches", rows.as_slice()?)?, indices("offsets", offsets)?))
        };
        let own_theta = |theta: &Bound<'_, PyAny>| copied("a copy of theta", vector::<T>("theta", theta)?.as_slice()?);
        Ok(Self {
            thetas: thetas.iter().map(own_theta).collect::<PyResult<_>>()?,
            train: OwnedRows::new((&data.0, &data.1), rows, n_models)?,
            held_out: OwnedRows::measured(held_out, n_models)?,
            test: OwnedRows::measured(test, n_models)?,
            weights,
            batches: batches.iter().map(own_batches).collect::<PyResult<_>>()?,
        })
    }

    fn task<'a>(&'a self, index: usize, model: &'a Model) -> many::Task<'a, T> {
        let weights = self.weights.as_ref().map(|weights| {
            let (line, width) = (own(weights.n_rows, index), weights.n_columns);
            &weights.x[line * width..(line + 1) * width]
        });
        let batches = (!self.batches.is_empty()).then(|| {
            let (rows, offsets) = &self.batches[own(self.batches.len(), index)];
            many::Batches { rows, offsets }
        });
        many::Task {
            spec: &model.0,
            theta: &self.thetas[index],
            train: many::Selection { weights, ..self.train.of_model(index) },
            batches,
            held_out: self.held_out.as_ref().map(|rows| rows.of_model(index)),
            test: self.test.as_ref().map(|rows| rows.of_model(index)),
        }
    }
}

/// Trains every model; `on_finished` is called with each one's index and outcome as it is done. The outcomes, in order.
#[pyfunction]
#[pyo3(signature = (models, thetas, data, rows, weights=None, held_out=None, record=(None, None, [false; 6]),
                    on_finished=None, n_threads=0, batches=Vec::new(), test=None))]
#[allow(clippy::too_many_arguments)]
pub fn fit_many<'py>(
    py: Python<'py>,
    models: Vec<PyRef<'py, Model>>,
    thetas: Vec<Bound<'py, PyAny>>,
    data: Table<'py>,
    rows: RowLists<'py>,
    weights: Option<Bound<'py, PyAny>>,
    held_out: Option<Measured<'py>>,
    record: RecordOptions,
    on_finished: Option<Py<PyAny>>,
    n_threads: usize,
    batches: Vec<GivenBatches<'py>>,
    test: Option<Measured<'py>>,
) -> PyResult<Vec<Option<Py<Outcome>>>> {
    let recording = recording(record)?;
    let measured = [held_out.as_ref(), test.as_ref()];
    with_dtype!(&data.0, T => {
        let weights = weights.as_ref();
        let owned = Owned::<T>::new(&thetas, (&data, &rows), measured, weights, &batches, models.len())?;
        let tasks: Vec<_> = models.iter().enumerate().map(|(index, model)| owned.task(index, model)).collect();
        train(py, &tasks, &recording, on_finished.as_ref(), n_threads)
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
            let outcome = Py::new(py, Outcome::new(py, tasks[index].spec.architecture.hidden().len() + 1, outcome)?)?;
            if let Some(on_finished) = on_finished {
                on_finished.call1(py, (index, outcome.clone_ref(py)))?;
            }
            found[index] = Some(outcome);
            Ok(())
        },
    )?;
    Ok(outcomes)
}

/// What a model with `n_rows` rows draws at a step: "rows", "masks" (one a hidden layer), "input_mask", "noise" (rows ×
/// inputs, before it is scaled), "mixup" (λ and partners) and "shift" (down, right); empty or None for what it has not.
#[pyfunction]
pub fn draws<'py>(py: Python<'py>, model: &Model, n_rows: usize, step: u64) -> PyResult<Bound<'py, PyDict>> {
    let drawn = py.detach(|| guarded(|| many::Draws::all(&model.0, n_rows, step)))?;
    let found = PyDict::new(py);
    found.set_item("rows", drawn.rows.into_pyarray(py))?;
    let masks: Vec<_> = drawn.masks.into_iter().map(|mask| mask.into_pyarray(py)).collect();
    found.set_item("masks", masks)?;
    found.set_item("input_mask", drawn.input_mask.into_pyarray(py))?;
    found.set_item("noise", drawn.noise.into_pyarray(py))?;
    found.set_item("mixup", drawn.mixup.map(|(share, partners)| (share, partners.into_pyarray(py))))?;
    found.set_item("shift", drawn.shift)?;
    Ok(found)
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
        let folding = many::Folding { architecture, batch_norm: batch_norm.as_slice()?, epsilon };
        let theta = theta.as_slice()?;
        Ok(guarded(|| many::folded(folding, theta))?.into_pyarray(py).into_any())
    }
    with_dtype!(theta, T => typed::<T>(py, &architecture.0, (theta, batch_norm), epsilon))
}
