//! Many runs at once, each on one thread, and what they leave behind. The loops are in `worker.rs`.

use crate::simd::Backend;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::threads::Threads;
use crate::with_isa;

use super::problem::Problem;
use super::run::{Options, Run};
use super::worker::Worker;

/// The losses after some outer steps, over all rows of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Outer steps taken.
    pub step: usize,
    /// F₁(x, z): with the twin's, the bilevel gap F₁(x, z̃) − F₁(x, z).
    pub first_stage: f64,
    /// F₁(x, z̃).
    pub twin_first_stage: f64,
    /// F₂(x, z).
    pub second_stage: f64,
    /// F₂(x, z̃).
    pub twin_second_stage: f64,
}

/// What a run has left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Path<T> {
    /// The records, the latest last.
    pub records: Vec<Record>,
    /// The structural network's particles at each record, in the flat layout.
    pub structural: Vec<T>,
    /// The first stage's and its twin's particles at the last record.
    pub instrumental: [Vec<T>; 2],
    /// How often the steps were halved because numbers stopped being finite.
    pub halvings: u32,
}

/// Solves many runs, each on one thread.
///
/// # Errors
/// [`KernelError`] with the first fault, or [`KernelError::Interrupted`].
pub fn solve<T: Elementary>(
    problem: &Problem<'_, T>,
    runs: &[Run<'_, T>],
    options: &Options,
    threads: Threads<'_>,
) -> Result<Vec<Path<T>>, KernelError> {
    options.validate(problem)?;
    runs.iter().try_for_each(|run| run.validate(problem, options))?;
    threads.map(runs.len(), |index| {
        with_isa!(Backend::detect(), isa => {
            Worker::new(isa, problem, &runs[index], options, threads).and_then(Worker::path)
        })
    })
}
