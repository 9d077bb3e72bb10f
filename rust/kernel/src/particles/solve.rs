//! Many runs at once, each on one thread, and what they leave behind. The loops are in `dynamics.rs`.

use crate::simd::Backend;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::threads::Threads;
use crate::with_isa;

use super::dynamics::Dynamics;
use super::problem::Problem;
use super::run::{Options, Run, Trajectory};

/// Solves many runs, each on one thread.
///
/// # Errors
/// [`KernelError`] with the first fault, or [`KernelError::Interrupted`].
pub fn solve<T: Elementary>(
    problem: &Problem<'_, T>,
    runs: &[Run<'_, T>],
    options: &Options,
    threads: Threads<'_>,
) -> Result<Vec<Trajectory<T>>, KernelError> {
    options.validate(problem)?;
    runs.iter().try_for_each(|run| run.validate(problem, options))?;
    threads.map(runs.iter(), || Ok(()), |(), run| {
        with_isa!(Backend::detect(), isa => Dynamics::new(isa, problem, run, options, threads).and_then(Dynamics::path))
    })
}
