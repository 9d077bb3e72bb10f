//! Options as Python objects that are built once and passed to many calls. Optimizers, schedules and regularizers are the
//! values of `rfpcore.optimizers` and `rfpcore.regularize`, read by their fields' names: nothing else says an option again.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyType;
use rfp_kernel as kernel;
use rfp_kernel::memory::{list, zeros};
use rfp_kernel::{KernelError, many};

use crate::arrays::{Scalar, check_columns, vector};
use crate::errors::{guarded, to_python};
use crate::interrupt::detached;
use crate::with_dtype;

/// Widths and activation of a network, and the layout of its flat parameter vector.
#[pyclass(frozen)]
pub struct Architecture(pub kernel::Architecture);

#[pymethods]
impl Architecture {
    #[new]
    #[pyo3(signature = (n_inputs, hidden_layer_sizes, n_outputs, activation, bias=true))]
    fn new(
        n_inputs: usize,
        hidden_layer_sizes: Vec<usize>,
        n_outputs: usize,
        activation: &str,
        bias: bool,
    ) -> PyResult<Self> {
        let activation = activation.parse().map_err(to_python)?;
        let net = kernel::Architecture::new(n_inputs, &hidden_layer_sizes, n_outputs, activation).map_err(to_python)?;
        Ok(Self(if bias { net } else { net.without_biases() }))
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

/// Learning rates between two questions whether to stop: some milliseconds.
const RATES_AT_ONCE: usize = 1 << 16;

/// θ, the first and the second moment.
type Moved<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

#[pymethods]
impl Optimizer {
    #[new]
    #[pyo3(signature = (optimizer, regularization=None))]
    fn new(optimizer: &Bound<'_, PyAny>, regularization: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let terms = regularization.map(|terms| Terms::of(terms, 0)).transpose()?.unwrap_or_default();
        optimizer_of(optimizer, &terms).map(Self)
    }

    /// The learning rates of the steps from `start` to before `stop`.
    fn learning_rates<'py>(&self, py: Python<'py>, start: u64, stop: u64) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let count = usize::try_from(stop.saturating_sub(start)).unwrap_or(usize::MAX);
        let work = 100.0 * count as f64; // a power, or a cosine
        let rates = detached(py, work, 1, |threads| {
            let mut rates = zeros("the learning rates", count)?;
            for (part, first) in rates.chunks_mut(RATES_AT_ONCE).zip((start..).step_by(RATES_AT_ONCE)) {
                threads.check()?;
                part.iter_mut().zip(first..).for_each(|(rate, t)| *rate = self.0.rate(t));
            }
            Ok(rates)
        })?;
        Ok(rates.into_pyarray(py))
    }

    /// θ and the moments after step t, counted from 0; see the stub.
    #[pyo3(signature = (t, gradient, theta, first, second, *, architecture=None))]
    #[expect(clippy::too_many_arguments, reason = "the state of a step is five of them")]
    fn step<'py>(
        &self,
        py: Python<'py>,
        t: u64,
        gradient: &Bound<'py, PyAny>,
        theta: &Bound<'py, PyAny>,
        first: &Bound<'py, PyAny>,
        second: &Bound<'py, PyAny>,
        architecture: Option<PyRef<'py, Architecture>>,
    ) -> PyResult<Moved<'py>> {
        let network = architecture.as_ref().map(|architecture| &architecture.0);
        if network.is_none() && self.0.max_norm.is_some() {
            let (what, needed_by) = ("layers, which a bare vector has not", "MaxNorm");
            return Err(to_python(KernelError::Missing { what, needed_by }));
        }
        with_dtype!(theta, T => {
            let gradient = vector::<T>("gradient", gradient)?;
            let gradient = gradient.as_slice()?;
            if let Some(network) = network {
                check_columns("gradient", gradient.len(), network.n_parameters())?;
            }
            let part = |what, array| owned::<T>(what, array, gradient.len());
            let (mut theta, mut first, mut second) =
                (part("theta", theta)?, part("first", first)?, part("second", second)?);
            guarded(|| {
                self.0.step(network, t, gradient, &mut theta, &mut first, &mut second);
                Ok(())
            })?;
            Ok((
                theta.into_pyarray(py).into_any(),
                first.into_pyarray(py).into_any(),
                second.into_pyarray(py).into_any(),
            ))
        })
    }
}

/// A vector's numbers, copied; ValueError unless there are so many.
fn owned<T: Scalar>(what: &'static str, array: &Bound<'_, PyAny>, needed: usize) -> PyResult<Vec<T>> {
    let array = vector::<T>(what, array)?;
    let numbers = array.as_slice()?;
    check_columns(what, numbers.len(), needed)?;
    list(what, numbers.iter().copied()).map_err(to_python)
}

/// Says when a value that is to fall no longer does; see the stub.
#[pyclass]
pub struct Patience(kernel::Patience);

#[pymethods]
impl Patience {
    #[new]
    fn new(patience: u64, min_gain: f64) -> Self {
        Self(kernel::Patience::new(patience, min_gain))
    }

    /// Takes a value in: whether it is the lowest so far, and whether patience is over.
    fn look(&mut self, value: f64, time: u64) -> (bool, bool) {
        let kernel::Verdict { is_best, stop } = self.0.look(value, time);
        (is_best, stop)
    }
}

/// A field of a value.
fn field<'py, T: FromPyObjectOwned<'py>>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    value.getattr(name)?.extract().map_err(Into::into)
}

/// The names of a value's class and of those that it is derived from.
fn kinds(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    value.get_type().mro().iter().map(|class| Ok(class.cast::<PyType>()?.name()?.to_string())).collect()
}

/// What a value's kind makes of it: `read` is asked for its class, then for those that it is derived from.
fn of_kind<R>(
    what: &str,
    value: &Bound<'_, PyAny>,
    known: &str,
    mut read: impl FnMut(&str) -> PyResult<Option<R>>,
) -> PyResult<R> {
    for kind in kinds(value)? {
        if let Some(found) = read(&kind)? {
            return Ok(found);
        }
    }
    let (given, kind) = (value.repr()?, value.get_type().name()?);
    Err(PyTypeError::new_err(format!("{what}={given} is a {kind}; {known} is needed")))
}

/// The kernel's optimizer of a value of `rfpcore.optimizers`, with the terms that act on gradients and parameters.
pub fn optimizer_of(optimizer: &Bound<'_, PyAny>, terms: &Terms) -> PyResult<kernel::Optimizer> {
    let mut penalties = terms.penalties;
    let rule = of_kind("optimizer", optimizer, "SGD, Adam or AdamW", |kind| {
        Ok(Some(match kind {
            "SGD" => {
                kernel::Rule::Sgd { momentum: field(optimizer, "momentum")?, nesterov: field(optimizer, "nesterov")? }
            }
            "Adam" => kernel::Rule::Adam(kernel::Moments {
                beta1: field(optimizer, "beta1")?,
                beta2: field(optimizer, "beta2")?,
                epsilon: field(optimizer, "epsilon")?,
            }),
            "AdamW" => {
                // Then it is Adam. Two decoupled decays are refused by `Model`.
                let strength = field(optimizer, "weight_decay")?;
                if strength > 0.0 {
                    penalties.decoupled = kernel::Decay { strength, biases: true };
                }
                return Ok(None);
            }
            _ => return Ok(None),
        }))
    })?;
    let found = kernel::Optimizer {
        rule,
        learning_rate: field(optimizer, "lr")?,
        schedule: schedule_of(&optimizer.getattr("schedule")?)?,
        penalties,
        clip_norm: terms.clip_norm,
        max_norm: terms.max_norm,
    };
    found.validate().map_err(to_python)?;
    Ok(found)
}

fn schedule_of(schedule: &Bound<'_, PyAny>) -> PyResult<kernel::Schedule> {
    of_kind("schedule", schedule, "Constant, Cosine, Step or PowerLaw", |kind| {
        Ok(Some(match kind {
            "Constant" => kernel::Schedule::Constant,
            "Cosine" => kernel::Schedule::Cosine { steps: field(schedule, "steps")? },
            "Step" => kernel::Schedule::Step { every: field(schedule, "every")?, factor: field(schedule, "factor")? },
            "PowerLaw" => kernel::Schedule::Power { steps: field(schedule, "tau")?, power: field(schedule, "power")? },
            _ => return Ok(None),
        }))
    })
}

/// What the terms of a regularization set.
#[derive(Default)]
pub struct Terms {
    penalties: kernel::Penalties,
    clip_norm: Option<f64>,
    max_norm: Option<f64>,
    pub dropout: Option<many::Dropout>,
    pub batch_norm: Option<many::BatchNorm>,
    pub smoothing: Option<many::Smoothing>,
    pub input_noise: f64,
    pub mixup: Option<f64>,
    pub shifts: Option<many::Shifts>,
    pub early_stopping: Option<many::EarlyStopping>,
}

impl Terms {
    /// The terms of an iterable, for a network of so many hidden layers.
    pub fn of(terms: &Bound<'_, PyAny>, n_hidden: usize) -> PyResult<Self> {
        let mut all = Self::default();
        for term in terms.try_iter()? {
            let term = term?;
            of_kind("regularization", &term, "a term of rfpcore.regularize", |kind| all.take(&term, kind, n_hidden))?;
        }
        Ok(all)
    }

    /// Takes a term in, if its kind is known.
    fn take(&mut self, term: &Bound<'_, PyAny>, kind: &str, n_hidden: usize) -> PyResult<Option<()>> {
        match kind {
            "L2" => {
                let decay = kernel::Decay { strength: field(term, "strength")?, biases: field(term, "biases")? };
                let decoupled = field(term, "decoupled")?;
                *(if decoupled { &mut self.penalties.decoupled } else { &mut self.penalties.coupled }) = decay;
            }
            "L1" => {
                self.penalties.l1 = kernel::L1 {
                    strength: field(term, "strength")?,
                    biases: field(term, "biases")?,
                    method: l1_method(&field::<String>(term, "method")?)?,
                    smoothing: field(term, "smoothing")?,
                }
            }
            "ClipNorm" => self.clip_norm = Some(field(term, "limit")?),
            "MaxNorm" => self.max_norm = Some(field(term, "limit")?),
            "Dropout" => {
                let rates = term.call_method1("rates", (n_hidden,))?.extract()?;
                let (inputs, by_row) = (field(term, "inputs")?, field::<String>(term, "mask")? == "row");
                self.dropout = Some(many::Dropout { rates, inputs, by_row });
            }
            "BatchNorm" => {
                let (momentum, epsilon) = (field(term, "momentum")?, field(term, "epsilon")?);
                self.batch_norm = Some(many::BatchNorm { momentum, epsilon });
            }
            "LabelSmoothing" => {
                let uniform = field::<String>(term, "form")? == "uniform";
                self.smoothing = Some(many::Smoothing { epsilon: field(term, "epsilon")?, uniform });
            }
            "InputNoise" => self.input_noise = field(term, "scale")?,
            "Mixup" => self.mixup = Some(field(term, "alpha")?),
            "Shifts" => {
                self.shifts = Some(many::Shifts {
                    shape: field(term, "image_shape")?,
                    offsets: field(term, "offsets")?,
                    probability: field(term, "probability")?,
                });
            }
            "EarlyStopping" => {
                self.early_stopping = Some(many::EarlyStopping {
                    patience: field(term, "patience")?,
                    every: field(term, "every")?,
                    min_delta: field(term, "min_delta")?,
                });
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }
}

fn l1_method(name: &str) -> PyResult<kernel::L1Method> {
    match name {
        "subgradient" => Ok(kernel::L1Method::Subgradient),
        "decoupled" => Ok(kernel::L1Method::Decoupled),
        "proximal" => Ok(kernel::L1Method::Proximal),
        _ => Err(to_python(KernelError::Name {
            what: "L1 method",
            got: name.to_owned(),
            known: "subgradient, decoupled, proximal".to_owned(),
        })),
    }
}
