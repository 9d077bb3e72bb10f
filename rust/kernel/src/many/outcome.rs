//! What training a model gives.

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
    /// Share of the model's rows whose class is right; NaN for losses without classes.
    pub train_accuracies: Vec<f64>,
    /// As `train_losses`, of the held-out rows.
    pub held_out_losses: Vec<f64>,
    /// As `train_accuracies`, of the held-out rows.
    pub held_out_accuracies: Vec<f64>,
    /// Flat parameters, one after the other.
    pub thetas: Vec<T>,
    /// Scale, shift, mean and variance, one after the other.
    pub batch_norms: Vec<T>,
    /// Gradients of the bare training loss, one after the other.
    pub gradients: Vec<T>,
}

impl<T> Recorded<T> {
    /// Room for the numbers of one more step.
    pub(super) fn reserve(&mut self) -> Result<(), KernelError> {
        memory::reserve_one("recorded steps", &mut self.steps)?;
        let Self { train_losses, train_accuracies, held_out_losses, held_out_accuracies, .. } = self;
        [train_losses, train_accuracies, held_out_losses, held_out_accuracies]
            .into_iter()
            .try_for_each(|list| memory::reserve_one("recorded losses", list))
    }
}
