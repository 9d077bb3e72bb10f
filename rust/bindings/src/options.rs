//! Options as Python objects that are built once and passed to many calls.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rfp_kernel as kernel;
use rfp_kernel::KernelError;

use crate::errors::to_python;

/// Widths and activation of a network, and the layout of its flat parameter vector.
#[pyclass(frozen)]
pub struct Architecture(pub kernel::Architecture);

#[pymethods]
impl Architecture {
    #[new]
    fn new(n_inputs: usize, hidden_layer_sizes: Vec<usize>, n_outputs: usize, activation: &str) -> PyResult<Self> {
        let activation = activation.parse().map_err(to_python)?;
        kernel::Architecture::new(n_inputs, &hidden_layer_sizes, n_outputs, activation).map(Self).map_err(to_python)
    }

    /// Length of the flat parameter vector.
    #[getter]
    fn n_parameters(&self) -> usize {
        self.0.n_parameters()
    }
}

/// The inner loop: `steps` of gradient descent with step `lr` (a number, or (P,) float64).
#[pyclass(frozen)]
pub struct Inner(pub kernel::Inner);

#[pymethods]
impl Inner {
    #[new]
    #[pyo3(signature = (steps, lr, momentum=0.0, head_only=false, first_order=false))]
    fn new(steps: usize, lr: &Bound<'_, PyAny>, momentum: f64, head_only: bool, first_order: bool) -> PyResult<Self> {
        let step_size = if let Ok(rate) = lr.extract::<f64>() {
            kernel::StepSize::Common(rate)
        } else if let Ok(rates) = lr.extract::<PyReadonlyArray1<'_, f64>>() {
            kernel::StepSize::PerParameter(rates.as_array().to_vec())
        } else {
            return Err(PyTypeError::new_err("lr must be a number or a float64 array of one number a parameter"));
        };
        Ok(Self(kernel::Inner { steps, step_size, momentum, head_only, first_order }))
    }
}

/// An optimizer, with the penalties and bounds that act on gradients and parameters.
#[pyclass(frozen)]
pub struct Optimizer(pub kernel::Optimizer);

#[pymethods]
impl Optimizer {
    #[new]
    #[pyo3(signature = (name, learning_rate, momentum=0.0, nesterov=false, beta1=0.9, beta2=0.999, epsilon=1e-8,
                        clip_norm=None, schedule="constant", decay_steps=1.0, power=0.5, factor=1.0, max_norm=None,
                        l2=(0.0, true), decoupled_l2=(0.0, true), l1=(0.0, true), l1_method="subgradient",
                        l1_smoothing=0.0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        name: &str,
        learning_rate: f64,
        momentum: f64,
        nesterov: bool,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        clip_norm: Option<f64>,
        schedule: &str,
        decay_steps: f64,
        power: f64,
        factor: f64,
        max_norm: Option<f64>,
        l2: (f64, bool),
        decoupled_l2: (f64, bool),
        l1: (f64, bool),
        l1_method: &str,
        l1_smoothing: f64,
    ) -> PyResult<Self> {
        let rule = match name {
            "sgd" => kernel::Rule::Sgd { momentum, nesterov },
            "adam" => kernel::Rule::Adam(kernel::Moments { beta1, beta2, epsilon }),
            _ => return Err(unknown("optimizer", name, "sgd, adam")),
        };
        let schedule = match schedule {
            "constant" => kernel::Schedule::Constant,
            "cosine" => kernel::Schedule::Cosine { steps: decay_steps },
            "step" => kernel::Schedule::Step { every: decay_steps, factor },
            "power" => kernel::Schedule::Power { steps: decay_steps, power },
            _ => return Err(unknown("schedule", schedule, "constant, cosine, step, power")),
        };
        let method = match l1_method {
            "subgradient" => kernel::L1Method::Subgradient,
            "decoupled" => kernel::L1Method::Decoupled,
            "proximal" => kernel::L1Method::Proximal,
            _ => return Err(unknown("L1 method", l1_method, "subgradient, decoupled, proximal")),
        };
        let decay = |(strength, biases)| kernel::Decay { strength, biases };
        let penalties = kernel::Penalties {
            coupled: decay(l2),
            decoupled: decay(decoupled_l2),
            l1: kernel::L1 { strength: l1.0, biases: l1.1, method, smoothing: l1_smoothing },
        };
        let optimizer = kernel::Optimizer { rule, learning_rate, schedule, penalties, clip_norm, max_norm };
        optimizer.validate().map_err(to_python)?;
        Ok(Self(optimizer))
    }
}

fn unknown(what: &'static str, got: &str, known: &'static str) -> PyErr {
    to_python(KernelError::Name { what, got: got.to_owned(), known: known.to_owned() })
}
