//! Many independent models, each trained on mini-batches of rows by one thread.
//!
//! [`fit_many`] takes models from a shared counter, so that threads stay busy to the end. A model's result is a function of
//! its [`Spec`], its rows and its seed alone: whatever is random comes from a stream of (seed, purpose, step), and one
//! thread does each of a model's sums. `training.rs` is the place to start reading; `spec.rs` says what a model is,
//! `rows.rs` and `batches.rs` which rows a step sees, `gather.rs` and `draws.rs` what is done to them, `plain.rs` and
//! `layers.rs` hold the two kinds of passes, `observe.rs` and `interval.rs` what is looked at on the way.
//! `dropout_gradient.rs` takes no steps: it is what they see on average.

mod batch_norm;
mod batches;
mod draws;
mod dropout_gradient;
mod evaluate;
mod extended;
mod gather;
mod interval;
mod layers;
mod mask;
mod observe;
mod outcome;
mod plain;
mod rows;
mod spec;
mod training;

pub use batch_norm::{Folding, folded};
pub use batches::{Batches, RowBatches};
pub use draws::{Drawn, Draws};
pub use dropout_gradient::dropout_gradient;
pub use observe::{Recording, When};
pub use outcome::{Outcome, Recorded, Status};
pub use rows::{Rows, Selection};
pub use spec::{BatchNorm, Dropout, EarlyStopping, Length, Shifts, Smoothing, Spec};

use crate::simd::Backend;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

/// One model: what it is, where it starts, and the rows it sees.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a, T> {
    /// How it is trained.
    pub spec: &'a Spec,
    /// Flat parameters to start from.
    pub theta: &'a [T],
    /// The rows it is trained on.
    pub train: Selection<'a, T>,
    /// The rows of each step, instead of those that the specification draws.
    pub batches: Option<Batches<'a>>,
    /// Rows that only measure: for records and early stopping.
    pub held_out: Option<Selection<'a, T>>,
    /// Rows for records alone.
    pub test: Option<Selection<'a, T>>,
}

/// Trains every model; `deliver` receives each one's index and outcome as it is done, on the thread that did it.
///
/// # Errors
/// [`KernelError::Model`] with the first fault of the first model at fault, before any work;
/// [`KernelError::Memory`], for all records together before any work; [`KernelError::Interrupted`], after which models that were done have been delivered.
pub fn fit_many<T: Elementary>(
    tasks: &[Task<'_, T>],
    recording: &Recording,
    threads: Threads<'_>,
    deliver: impl Fn(usize, Outcome<T>) + Sync,
) -> Result<(), KernelError> {
    for (index, task) in tasks.iter().enumerate() {
        task.validate(recording).map_err(|fault| KernelError::Model { index, fault: Box::new(fault) })?;
    }
    let records = tasks.iter().map(|task| task.record_bytes(recording)).fold(0, usize::saturating_add);
    memory::could_have("what is to be recorded of all models", records)?;
    // A model that is alone shares its long products with the other threads.
    let inside = if tasks.len() == 1 { threads } else { threads.alone() };
    threads.map(
        tasks.iter().enumerate(),
        || Ok(()),
        |(), (index, task)| {
            let outcome = with_isa!(Backend::detect(), isa => training::train(isa, task, recording, inside))?;
            deliver(*index, outcome);
            Ok(())
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
