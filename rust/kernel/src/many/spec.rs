//! What a model is and how it is trained.

use super::observe::n_layers;
use super::{Recording, Task};
use crate::dense::vectors::finite;
use crate::network::architecture::Architecture;
use crate::network::loss::Loss;
use crate::optimizer::Optimizer;
use crate::simd::Real;
use crate::system::error::{KernelError, range};

/// How long training lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Optimizer steps.
    Steps(u64),
    /// Passes over the rows, ⌈rows / batch⌉ steps each, or over the batches that are given.
    Epochs(u64),
}

impl Length {
    /// Steps in all, for so many an epoch.
    pub fn steps(self, an_epoch: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs) => epochs.saturating_mul(an_epoch),
        }
    }
}

/// Inverted dropout: hidden units, and inputs, are zeroed with a probability, and the others scaled up.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// The probability, one a hidden layer.
    pub rates: Vec<f64>,
    /// The inputs' probability; 0: they are left alone.
    pub inputs: f64,
    /// A mask for each row, or one for the batch.
    pub by_row: bool,
}

/// Batch normalization before the activation, with PyTorch's conventions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// running ← (1 − momentum)·running + momentum·batch.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Labels short of certainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// ε.
    pub epsilon: f64,
    /// ε/K on all classes, or ε/(K − 1) on the others.
    pub uniform: bool,
}

/// Whole batches of images shifted, zeros moving in.
#[derive(Clone, Debug, PartialEq)]
pub struct Shifts {
    /// Height and width.
    pub shape: [usize; 2],
    /// What the two shifts are drawn from.
    pub offsets: Vec<i32>,
    /// The probability that a batch is shifted.
    pub probability: f64,
}

/// When to stop before the end: the parameters with the lowest held-out loss are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Evaluations in a row without a gain.
    pub patience: u64,
    /// Steps between evaluations.
    pub every: u64,
    /// A gain is a fall of the loss by more than this.
    pub min_delta: f64,
}

impl EarlyStopping {
    /// Whether the loss is looked at after so many steps.
    pub fn is_due(&self, step: u64) -> bool {
        step > 0 && step.is_multiple_of(self.every)
    }
}

/// One model.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The network.
    pub architecture: Architecture,
    /// The row loss.
    pub loss: Loss,
    /// The optimizer, with penalties and bounds on norms.
    pub optimizer: Optimizer,
    /// Rows a step; none, or more than there are: all of them.
    pub batch_size: Option<usize>,
    /// Rows of a batch are drawn with replacement, or a new order is gone through each epoch.
    pub replacement: bool,
    /// How long.
    pub length: Length,
    /// Seed of batches, masks and noise.
    pub seed: u64,
    /// Dropout.
    pub dropout: Option<Dropout>,
    /// Batch normalization.
    pub batch_norm: Option<BatchNorm>,
    /// Label smoothing.
    pub smoothing: Option<Smoothing>,
    /// Standard deviation of the noise on the inputs, anew each step.
    pub input_noise: f64,
    /// λ ~ Beta(α, α), rows mixed with those of a random order of the batch.
    pub mixup: Option<f64>,
    /// Shifts of images.
    pub shifts: Option<Shifts>,
    /// Early stopping.
    pub early_stopping: Option<EarlyStopping>,
}

impl Spec {
    /// A network, its loss and its dropout, without any training.
    pub fn untrained(architecture: Architecture, loss: Loss, dropout: Dropout, seed: u64) -> Self {
        Self {
            architecture,
            loss,
            optimizer: Optimizer::default(),
            batch_size: None,
            replacement: false,
            length: Length::Steps(0),
            seed,
            dropout: Some(dropout),
            batch_norm: None,
            smoothing: None,
            input_noise: 0.0,
            mixup: None,
            shifts: None,
            early_stopping: None,
        }
    }

    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`KernelError::Range`] or [`KernelError::Length`].
    pub fn validate(&self) -> Result<(), KernelError> {
        self.optimizer.validate()?;
        if self.batch_size == Some(0) {
            return Err(KernelError::Range { what: "batch_size", got: 0.0, needed: "at least 1" });
        }
        range("input noise", self.input_noise, self.input_noise >= 0.0, "at least 0")?;
        if let Some(alpha) = self.mixup {
            range("mixup alpha", alpha, alpha > 0.0, "finite and above 0")?;
        }
        if let Some(BatchNorm { momentum, epsilon }) = self.batch_norm {
            range("batch norm momentum", momentum, momentum > 0.0 && momentum <= 1.0, "in (0, 1]")?;
            range("batch norm epsilon", epsilon, epsilon > 0.0, "finite and above 0")?;
            if !self.architecture.has_biases() {
                return Err(KernelError::Missing { what: "biases, which it shifts", needed_by: "batch normalization" });
            }
        }
        if let Some(EarlyStopping { patience, every, min_delta }) = self.early_stopping {
            range("patience", patience as f64, patience > 0, "at least 1")?;
            range("every", every as f64, every > 0, "at least 1")?;
            range("min_delta", min_delta, min_delta >= 0.0, "at least 0")?;
        }
        self.validate_dropout()?;
        self.validate_smoothing()?;
        self.validate_shifts()
    }

    fn validate_dropout(&self) -> Result<(), KernelError> {
        let Some(Dropout { rates, inputs, .. }) = &self.dropout else { return Ok(()) };
        let needed = self.architecture.hidden().len();
        if rates.len() != needed {
            return Err(KernelError::Length { what: "dropout rates", got: rates.len(), needed });
        }
        range("the inputs' dropout rate", *inputs, (0.0..1.0).contains(inputs), "in [0, 1)")?;
        rates.iter().try_for_each(|&rate| range("every dropout rate", rate, (0.0..1.0).contains(&rate), "in [0, 1)"))
    }

    fn validate_smoothing(&self) -> Result<(), KernelError> {
        let Some(Smoothing { epsilon, .. }) = self.smoothing else { return Ok(()) };
        let has_labels = matches!(self.loss, Loss::Softmax | Loss::Logistic);
        let needed = "0 for losses without classes";
        range("label smoothing", epsilon, has_labels || epsilon == 0.0, needed)?;
        range("label smoothing", epsilon, (0.0..1.0).contains(&epsilon), "in [0, 1)")?;
        let classes = self.architecture.n_outputs();
        let enough = self.loss != Loss::Softmax || classes > 1;
        range("classes of smoothed labels", classes as f64, enough, "at least 2")
    }

    fn validate_shifts(&self) -> Result<(), KernelError> {
        let Some(Shifts { shape: [height, width], offsets, probability }) = &self.shifts else { return Ok(()) };
        let got = self.architecture.n_inputs();
        match height.checked_mul(*width) {
            Some(needed) if needed == got => {}
            pixels => {
                return Err(KernelError::Length { what: "a row of images", got, needed: pixels.unwrap_or(usize::MAX) });
            }
        }
        range("offsets to draw from", offsets.len() as f64, !offsets.is_empty(), "at least 1")?;
        let limit = height.min(width);
        let far = offsets.iter().find(|offset| offset.unsigned_abs() as usize >= *limit);
        range("every shift", far.map_or(0.0, |&x| x.into()), far.is_none(), "smaller in size than the image")?;
        range("the probability of shifts", *probability, (0.0..=1.0).contains(probability), "in [0, 1]")
    }

    /// Rows of a full batch, and steps of an epoch, for so many rows.
    pub fn epoch(&self, n_rows: usize) -> (usize, u64) {
        let size = self.batch_size.map_or(n_rows, |size| size.min(n_rows));
        (size, n_rows.div_ceil(size.max(1)) as u64)
    }

    /// Steps in all, for so many rows.
    pub fn n_steps(&self, n_rows: usize) -> u64 {
        self.length.steps(self.epoch(n_rows).1)
    }

    /// Whether a batch's gradient is another than that of its rows as they are; penalties aside.
    pub fn changes_batches(&self) -> bool {
        let Self { dropout, batch_norm, smoothing, input_noise, mixup, shifts, .. } = self;
        let passes = dropout.is_some() || batch_norm.is_some();
        passes || smoothing.is_some() || *input_noise > 0.0 || mixup.is_some() || shifts.is_some()
    }

    /// What the batches' targets are: class codes become distributions where they are not certain.
    pub fn training_loss(&self) -> Loss {
        let soft = self.smoothing.is_some() || self.mixup.is_some();
        if self.loss == Loss::Softmax && soft { Loss::CrossEntropy } else { self.loss }
    }
}

impl<T: Real> Task<'_, T> {
    /// Steps in all, for so many rows.
    pub(super) fn n_steps(&self, n_rows: usize) -> u64 {
        self.spec.length.steps(self.batches.map_or_else(|| self.spec.epoch(n_rows).1, |given| given.count()))
    }

    /// Rows of the smallest batch, for so many rows.
    fn smallest_batch(&self, n_rows: usize) -> usize {
        if let Some(given) = self.batches {
            return given.sizes().min().unwrap_or(0);
        }
        let (size, steps) = self.spec.epoch(n_rows);
        if self.spec.replacement { size } else { n_rows - size * (steps as usize - 1) }
    }

    /// Bytes of what is recorded if all steps are taken.
    pub(super) fn record_bytes(&self, recording: &Recording) -> usize {
        let spec = self.spec;
        let n_rows = self.train.count();
        let Recording { thetas, gradients, intervals, .. } = *recording;
        let vectors = usize::from(thetas) + usize::from(gradients) + 2 * usize::from(intervals);
        let statistics = if spec.batch_norm.is_some() && recording.thetas {
            spec.architecture.hidden().iter().map(|width| 4 * width).sum()
        } else {
            0
        };
        let numbers = spec.architecture.n_parameters().saturating_mul(vectors).saturating_add(statistics);
        let scores = if recording.losses || recording.metrics { 6 * size_of::<f64>() } else { 0 };
        let norms = if recording.norms { n_layers(&spec.architecture) * size_of::<f64>() } else { 0 };
        let one = numbers.saturating_mul(T::SIZE).saturating_add(scores + norms + size_of::<u64>());
        let count = usize::try_from(recording.count(self.n_steps(n_rows))).unwrap_or(usize::MAX);
        count.saturating_mul(one)
    }

    /// Checks the model and its data.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate(&self, recording: &Recording) -> Result<(), KernelError> {
        let spec = self.spec;
        spec.validate()?;
        let needed = spec.architecture.n_parameters();
        if self.theta.len() != needed {
            return Err(KernelError::Length { what: "theta", got: self.theta.len(), needed });
        }
        finite("theta", self.theta)?;
        let n_rows = self.train.validate(spec)?;
        if let Some(batches) = &self.batches {
            range("rows listed beside batches", 1.0, self.train.rows.is_none(), "0: batches list them")?;
            batches.validate(&self.train)?;
        }
        if let Some(held_out) = &self.held_out {
            held_out.validate(spec)?;
        } else if spec.early_stopping.is_some() {
            return Err(KernelError::Missing { what: "held-out rows", needed_by: "early stopping" });
        }
        if let Some(test) = &self.test {
            test.validate(spec)?;
        }
        if spec.batch_norm.is_some() {
            let smallest = self.smallest_batch(n_rows);
            let needed = "at least 2 rows: a variance needs them";
            range("the smallest batch of batch normalization", smallest as f64, smallest > 1, needed)?;
            let wanted = recording.gradients || recording.intervals;
            range("gradients recorded with batch normalization", 1.0, !wanted, "0: they have no meaning")?;
        }
        Ok(())
    }
}
