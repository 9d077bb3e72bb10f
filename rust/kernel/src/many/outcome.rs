//! What training a model gives.

use super::Recording;
use crate::simd::Real;
use crate::system::error::KernelError;
use crate::system::memory;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    /// All steps were taken.
    Finished,
    /// The held-out loss fell no longer.
    Stopped,
    /// The loss, or a parameter after the last step, was not finite.
    Diverged {
        /// Steps taken before.
        step: u64,
        /// The batch's loss.
        loss: f64,
    },
}

/// A trained model.
#[derive(Clone, Debug)]
pub struct Outcome<T> {
    /// Flat parameters: with early stopping those of the lowest held-out loss, else the last.
    pub theta: Vec<T>,
    /// Scale, shift, running mean and variance of each hidden layer; empty without batch normalization.
    pub batch_norm: Vec<T>,
    /// Mean over each epoch's steps of the batches' losses, as they were minimized, without penalties.
    pub loss_curve: Vec<f64>,
    /// Held-out losses of early stopping: after each `every` steps, and after the last.
    pub validation_losses: Vec<f64>,
    /// What was recorded.
    pub recorded: Recorded<T>,
    /// Steps taken.
    pub n_steps: u64,
    /// Steps after which the parameters are those of `theta`.
    pub best_step: u64,
    /// How it ended.
    pub status: Status,
}

/// What was recorded, one entry a recorded step; what was not asked for is empty.
#[derive(Clone, Debug, Default)]
pub struct Recorded<T> {
    /// Steps taken before.
    pub steps: Vec<u64>,
    /// Mean loss of the model's rows, bare: without smoothing, masks, noise or penalties.
    pub train_losses: Vec<f64>,
    /// Share of the model's rows whose class is right; NaN where there are no classes.
    pub train_accuracies: Vec<f64>,
    /// As `train_losses`, of the held-out rows.
    pub held_out_losses: Vec<f64>,
    /// As `train_accuracies`, of the held-out rows.
    pub held_out_accuracies: Vec<f64>,
    /// As `train_losses`, of the test rows.
    pub test_losses: Vec<f64>,
    /// As `train_accuracies`, of the test rows.
    pub test_accuracies: Vec<f64>,
    /// Flat parameters, one after the other.
    pub thetas: Vec<T>,
    /// Scale, shift, mean and variance, one after the other.
    pub batch_norms: Vec<T>,
    /// Gradients of the bare training loss, one after the other.
    pub gradients: Vec<T>,
    /// Means over the steps since the last recorded one of the gradients as they were applied: with masks, noise, mixed
    /// rows and smoothed labels, scaled down, with every penalty that has a gradient, before momentum or moments.
    pub applied_gradients: Vec<T>,
    /// As `applied_gradients`, of the bare loss of the same batches at the same parameters.
    pub bare_gradients: Vec<T>,
    /// The Frobenius norm of each layer's weights, with normalizations folded in, one line after the other.
    pub weight_norms: Vec<f64>,
}

/// Bytes of one kind of record that are reserved at once. Memory that is not written yet costs nothing, and growing into
/// it what copying does.
const AT_ONCE: usize = 1 << 30;

/// Zeros at the end of a list of records, to be written over.
///
/// # Errors
/// [`KernelError::Memory`].
pub fn more<'l, T: Real>(what: &'static str, list: &'l mut Vec<T>, n: usize) -> Result<&'l mut [T], KernelError> {
    let at = list.len();
    memory::reserve_doubling(what, list, n)?;
    list.resize(at + n, T::default());
    Ok(&mut list[at..])
}

impl<T> Recorded<T> {
    /// With room for the vectors of so many records of so many parameters, as far as they are recorded.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub(super) fn with_room(recording: &Recording, count: u64, n_parameters: usize) -> Result<Self, KernelError> {
        let most = AT_ONCE / n_parameters.saturating_mul(size_of::<T>()).max(1);
        let len = usize::try_from(count).unwrap_or(usize::MAX).min(most) * n_parameters;
        let room = |wanted: bool| memory::room_for_results("what is recorded of a model", if wanted { len } else { 0 });
        Ok(Self {
            steps: Vec::new(),
            train_losses: Vec::new(),
            train_accuracies: Vec::new(),
            held_out_losses: Vec::new(),
            held_out_accuracies: Vec::new(),
            test_losses: Vec::new(),
            test_accuracies: Vec::new(),
            thetas: room(recording.thetas)?,
            batch_norms: Vec::new(),
            gradients: room(recording.gradients)?,
            applied_gradients: room(recording.intervals)?,
            bare_gradients: room(recording.intervals)?,
            weight_norms: Vec::new(),
        })
    }

    /// Room for the numbers of one more step.
    pub(super) fn reserve(&mut self) -> Result<(), KernelError> {
        memory::reserve_one("recorded steps", &mut self.steps)?;
        let Self { train_losses, train_accuracies, held_out_losses, held_out_accuracies, .. } = self;
        let Self { test_losses, test_accuracies, .. } = self;
        [train_losses, train_accuracies, held_out_losses, held_out_accuracies, test_losses, test_accuracies]
            .into_iter()
            .try_for_each(|list| memory::reserve_one("recorded losses", list))
    }
}
