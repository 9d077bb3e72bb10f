//! What a model is, as a Python object.

use pyo3::prelude::*;
use rfp_kernel::many;

use crate::errors::to_python;
use crate::options::{Architecture, Terms, optimizer_of};

/// One model: network, loss, optimizer, batches and regularizers.
#[pyclass(frozen)]
pub struct Model(pub many::Spec);

/// A `rfpcore.many.Model`, by its fields.
#[derive(FromPyObject)]
struct ModelFields<'py> {
    loss: String,
    optimizer: Bound<'py, PyAny>,
    regularization: Bound<'py, PyAny>,
    batch_size: Option<usize>,
    replacement: bool,
    n_steps: Option<u64>,
    #[pyo3(attribute("_epochs"))]
    epochs: u64,
    seed: u64,
}

#[pymethods]
impl Model {
    #[new]
    fn new(architecture: &Architecture, model: ModelFields<'_>) -> PyResult<Self> {
        let terms = Terms::of(&model.regularization, architecture.0.hidden().len())?;
        let spec = many::Spec {
            architecture: architecture.0.clone(),
            loss: model.loss.parse().map_err(to_python)?,
            optimizer: optimizer_of(&model.optimizer, &terms)?,
            batch_size: model.batch_size,
            replacement: model.replacement,
            length: model.n_steps.map_or(many::Length::Epochs(model.epochs), many::Length::Steps),
            seed: model.seed,
            dropout: terms.dropout,
            batch_norm: terms.batch_norm,
            smoothing: terms.smoothing,
            input_noise: terms.input_noise,
            mixup: terms.mixup,
            shifts: terms.shifts,
            early_stopping: terms.early_stopping,
        };
        spec.validate().map_err(to_python)?;
        Ok(Self(spec))
    }

    /// Steps in all, for so many rows.
    fn steps_for(&self, n_rows: usize) -> u64 {
        self.0.n_steps(n_rows)
    }
}
