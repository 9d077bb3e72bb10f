//! A trained model, as a Python object.

use numpy::{IntoPyArray, PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use rfp_kernel::many;

use crate::arrays::Scalar;

/// A trained model, and what was recorded of it.
#[pyclass(frozen, get_all)]
pub struct Outcome {
    theta: Py<PyAny>,
    batch_norm: Py<PyAny>,
    loss_curve: Py<PyArray1<f64>>,
    validation_losses: Py<PyArray1<f64>>,
    steps: Py<PyArray1<i64>>,
    train_losses: Py<PyArray1<f64>>,
    train_accuracies: Py<PyArray1<f64>>,
    held_out_losses: Py<PyArray1<f64>>,
    held_out_accuracies: Py<PyArray1<f64>>,
    test_losses: Py<PyArray1<f64>>,
    test_accuracies: Py<PyArray1<f64>>,
    thetas: Py<PyAny>,
    batch_norms: Py<PyAny>,
    gradients: Py<PyAny>,
    applied_gradients: Py<PyAny>,
    bare_gradients: Py<PyAny>,
    weight_norms: Py<PyAny>,
    n_steps: u64,
    best_step: u64,
    status: &'static str,
    diverged_loss: Option<f64>,
}

/// Rows of equal length, one after the other, as a matrix.
fn stacked<T: Scalar>(py: Python<'_>, numbers: Vec<T>, width: usize) -> PyResult<Py<PyAny>> {
    let rows = numbers.len().checked_div(width).unwrap_or(0);
    Ok(numbers.into_pyarray(py).reshape([rows, width])?.into_any().unbind())
}

impl Outcome {
    /// Hands the numbers of a network with so many layers of weights over to NumPy.
    pub fn new<T: Scalar>(py: Python<'_>, n_layers: usize, found: many::Outcome<T>) -> PyResult<Self> {
        let line = |numbers: Vec<f64>| numbers.into_pyarray(py).unbind();
        let recorded = found.recorded;
        // Counts of steps are far below 2⁶³.
        let steps: Vec<i64> = recorded.steps.iter().map(|&step| step as i64).collect();
        let (width, extra) = (found.theta.len(), found.batch_norm.len());
        let (status, diverged_loss) = match found.status {
            many::Status::Finished => ("finished", None),
            many::Status::Stopped => ("stopped", None),
            many::Status::Diverged { loss, .. } => ("diverged", Some(loss)),
        };
        Ok(Self {
            theta: found.theta.into_pyarray(py).into_any().unbind(),
            batch_norm: found.batch_norm.into_pyarray(py).into_any().unbind(),
            loss_curve: line(found.loss_curve),
            validation_losses: line(found.validation_losses),
            steps: steps.into_pyarray(py).unbind(),
            train_losses: line(recorded.train_losses),
            train_accuracies: line(recorded.train_accuracies),
            held_out_losses: line(recorded.held_out_losses),
            held_out_accuracies: line(recorded.held_out_accuracies),
            test_losses: line(recorded.test_losses),
            test_accuracies: line(recorded.test_accuracies),
            thetas: stacked(py, recorded.thetas, width)?,
            batch_norms: stacked(py, recorded.batch_norms, extra)?,
            gradients: stacked(py, recorded.gradients, width)?,
            applied_gradients: stacked(py, recorded.applied_gradients, width)?,
            bare_gradients: stacked(py, recorded.bare_gradients, width)?,
            weight_norms: stacked(py, recorded.weight_norms, n_layers)?,
            n_steps: found.n_steps,
            best_step: found.best_step,
            status,
            diverged_loss,
        })
    }
}
