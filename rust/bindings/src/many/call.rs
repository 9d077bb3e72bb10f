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
use crate::arrays::{Scalar, check_columns, matrix, vector};
use crate::errors::{guarded, to_python};
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

/// The lists of rows that there are, and which of them each model has.
type Lists = (Vec<Vec<i64>>, Vec<Option<usize>>);

/// The numbers of a call, copied: Python runs while the models are trained, and may change what it gave.
struct Owned<T> {
    thetas: Vec<Vec<T>>,
    tables: Vec<OwnedTable<T>>,
    /// Different lists of rows, and the one of each model; none: all rows.
    lists: Vec<Vec<i64>>,
    rows: Vec<Option<usize>>,
    weights: Option<OwnedTable<T>>,
}

/// A matrix, or two of as many rows.
struct OwnedTable<T> {
    x: Vec<T>,
    y: Vec<T>,
    n_rows: usize,
    n_columns: usize,
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

impl<T: Scalar> Owned<T> {
    fn new(
        thetas: &[Bound<'_, PyAny>],
        tables: &[&Table<'_>],
        rows: &[Option<PyReadonlyArray1<'_, i64>>],
        weights: Option<&Bound<'_, PyAny>>,
        n_models: usize,
    ) -> PyResult<Self> {
        let weights = weights.map(|w| OwnedTable::<T>::new(w, None, "row weights")).transpose()?;
        check_columns("thetas", thetas.len(), n_models)?;
        if let Some(weights) = weights.as_ref().filter(|w| w.n_rows != 1) {
            check_columns("row weights (models)", weights.n_rows, n_models)?;
        }
        if rows.len() != 1 {
            check_columns("rows", rows.len(), n_models)?;
        }
        let own_theta = |theta: &Bound<'_, PyAny>| copied("a copy of theta", vector::<T>("theta", theta)?.as_slice()?);
        let (lists, rows) = Self::lists(rows)?;
        Ok(Self {
            thetas: thetas.iter().map(own_theta).collect::<PyResult<_>>()?,
            tables: tables.iter().map(|(x, y)| OwnedTable::new(x, Some(y), "x")).collect::<PyResult<_>>()?,
            lists,
            rows,
            weights,
        })
    }

    /// Every list of rows once: many models may share one.
    fn lists(rows: &[Option<PyReadonlyArray1<'_, i64>>]) -> PyResult<Lists> {
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

    fn table(&self, table: usize) -> many::Rows<'_, T> {
        let OwnedTable { x, y, n_rows, .. } = &self.tables[table];
        many::Rows { x, y, n_rows: *n_rows }
    }

    fn task<'a>(&'a self, index: usize, model: &'a Model) -> many::Task<'a, T> {
        let own = |count: usize| if count == 1 { 0 } else { index };
        let weights = self.weights.as_ref().map(|weights| {
            let (line, width) = (own(weights.n_rows), weights.n_columns);
            &weights.x[line * width..(line + 1) * width]
        });
        let rows = self.rows[own(self.rows.len())].map(|list| &self.lists[list][..]);
        let train = many::Selection { of: self.table(0), rows, weights };
        let held_out =
            (self.tables.len() > 1).then(|| many::Selection { of: self.table(1), rows: None, weights: None });
        many::Task { spec: &model.0, theta: &self.thetas[index], train, held_out }
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
        let owned = Owned::<T>::new(&thetas, &tables, &rows, weights.as_ref(), models.len())?;
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
    let drawn = py.detach(|| guarded(|| many::Draws::all(&model.0, n_rows, step)))?;
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
    let masks = py.detach(|| guarded(|| many::Draws { seed }.sample(sample, &widths, &rates)))?;
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
        let folding = many::Folding { architecture, batch_norm: batch_norm.as_slice()?, epsilon };
        let theta = theta.as_slice()?;
        Ok(guarded(|| many::folded(folding, theta))?.into_pyarray(py).into_any())
    }
    with_dtype!(theta, T => typed::<T>(py, &architecture.0, (theta, batch_norm), epsilon))
}
