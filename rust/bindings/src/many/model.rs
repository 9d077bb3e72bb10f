//! What a model is, as a Python object.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rfp_kernel::many;

use crate::errors::to_python;
use crate::options::{Architecture, Optimizer};

/// One model: network, loss, optimizer, batches and regularizers.
#[pyclass(frozen)]
pub struct Model(pub many::Spec);

/// Height and width, offsets, probability.
type ShiftOptions = ([usize; 2], Vec<i32>, f64);

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (architecture, loss, optimizer, *, batch_size=None, replacement=false, n_steps=None, n_epochs=None,
                        seed=0, dropout=None, dropout_by_row=false, batch_norm=None, smoothing=None, input_noise=0.0,
                        mixup=None, shifts=None, early_stopping=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        architecture: &Architecture,
        loss: &str,
        optimizer: &Optimizer,
        batch_size: Option<usize>,
        replacement: bool,
        n_steps: Option<u64>,
        n_epochs: Option<u64>,
        seed: u64,
        dropout: Option<Vec<f64>>,
        dropout_by_row: bool,
        batch_norm: Option<(f64, f64)>,
        smoothing: Option<(f64, bool)>,
        input_noise: f64,
        mixup: Option<f64>,
        shifts: Option<ShiftOptions>,
        early_stopping: Option<(u64, u64, f64)>,
    ) -> PyResult<Self> {
        let length = match (n_steps, n_epochs) {
            (Some(steps), None) => many::Length::Steps(steps),
            (None, Some(epochs)) => many::Length::Epochs(epochs),
            _ => return Err(PyValueError::new_err("exactly one of n_steps and n_epochs is needed")),
        };
        let spec = many::Spec {
            architecture: architecture.0.clone(),
            loss: loss.parse().map_err(to_python)?,
            optimizer: optimizer.0,
            batch_size,
            replacement,
            length,
            seed,
            dropout: dropout.map(|rates| many::Dropout { rates, by_row: dropout_by_row }),
            batch_norm: batch_norm.map(|(momentum, epsilon)| many::BatchNorm { momentum, epsilon }),
            smoothing: smoothing.map(|(epsilon, uniform)| many::Smoothing { epsilon, uniform }),
            input_noise,
            mixup,
            shifts: shifts.map(|(shape, offsets, probability)| many::Shifts { shape, offsets, probability }),
            early_stopping: early_stopping.map(|(patience, every, min_delta)| many::EarlyStopping {
                patience,
                every,
                min_delta,
            }),
        };
        spec.validate().map_err(to_python)?;
        Ok(Self(spec))
    }

    /// Steps in all, for so many rows.
    fn steps_for(&self, n_rows: usize) -> u64 {
        self.0.n_steps(n_rows)
    }
}
