//! The outer loop: mini-batches of whole clusters, one optimizer step each.

pub mod refits;
pub mod stopping;

use crate::network::architecture::Architecture;
use crate::objective::clusters::Clusters;
use crate::objective::evaluate;
use crate::objective::setting::{ExtraOutputs, Objective};
use crate::optimizer::{Optimizer, Stepper};
use crate::simd::Backend;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::random::Random;
use crate::system::threads::Threads;
use crate::with_isa;

/// An outer loop that can be advanced in chunks; the result does not depend on the chunks.
#[derive(Clone, Debug)]
pub struct Trainer<T> {
    /// The network.
    pub architecture: Architecture,
    /// What is minimized; its inner step may be changed between chunks.
    pub objective: Objective,
    /// How.
    pub optimizer: Optimizer,
    /// Clusters a step; none: all of them.
    pub batch_size: Option<usize>,
    /// Seed of the mini-batches.
    pub seed: u64,
    state: State<T>,
}

/// What changes from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct State<T> {
    /// Steps taken.
    pub n_steps: u64,
    /// Clusters left out so far because they diverged, counted once a step.
    pub n_skipped: u64,
    /// Flat parameters.
    pub theta: Vec<T>,
    /// First moment, or velocity.
    pub first: Vec<T>,
    /// Second moment.
    pub second: Vec<T>,
}

impl<T: Elementary> Trainer<T> {
    /// A loop that starts at `theta`.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault of the options.
    pub fn new(
        architecture: Architecture,
        theta: Vec<T>,
        objective: Objective,
        optimizer: Optimizer,
        batch_size: Option<usize>,
        seed: u64,
    ) -> Result<Self, KernelError> {
        objective.validate(&architecture)?;
        optimizer.validate()?;
        if batch_size == Some(0) {
            return Err(KernelError::Range { what: "batch_size", got: 0.0, needed: "at least 1" });
        }
        let [first, second] = [memory::zeros("a moment", theta.len())?, memory::zeros("a moment", theta.len())?];
        let state = State { n_steps: 0, n_skipped: 0, theta, first, second };
        let empty = State { n_steps: 0, n_skipped: 0, theta: Vec::new(), first: Vec::new(), second: Vec::new() };
        let mut trainer = Self { architecture, objective, optimizer, batch_size, seed, state: empty };
        trainer.restore(state)?;
        Ok(trainer)
    }

    /// Another loop that stands where this one does.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn copied(&self) -> Result<Self, KernelError> {
        let State { n_steps, n_skipped, theta, first, second } = &self.state;
        let copy = |vector: &Vec<T>| memory::list("a training run's parameters", vector.iter().copied());
        let (theta, first, second) = (copy(theta)?, copy(first)?, copy(second)?);
        let state = State { n_steps: *n_steps, n_skipped: *n_skipped, theta, first, second };
        let (architecture, objective) = (self.architecture.clone(), self.objective.clone());
        Ok(Self { architecture, objective, state, ..*self })
    }

    /// Where the loop stands.
    pub fn state(&self) -> &State<T> {
        &self.state
    }

    /// Goes on from another state.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::NotFinite`].
    pub fn restore(&mut self, state: State<T>) -> Result<(), KernelError> {
        let needed = self.architecture.n_parameters();
        for (what, vector) in
            [("theta", &state.theta), ("first moment", &state.first), ("second moment", &state.second)]
        {
            if vector.len() != needed {
                return Err(KernelError::Length { what, got: vector.len(), needed });
            }
            crate::dense::vectors::finite(what, vector)?;
        }
        self.state = state;
        Ok(())
    }

    /// Takes `n_steps` steps; returns the objective at the start of each.
    ///
    /// # Errors
    /// As [`evaluate`]; the loop then stands at the last step that was completed.
    pub fn advance(
        &mut self,
        data: &Clusters<'_, T>,
        n_steps: usize,
        threads: Threads<'_>,
    ) -> Result<Vec<f64>, KernelError> {
        self.advance_among(data, None, n_steps, threads)
    }

    /// As [`Trainer::advance`], on the listed clusters only: the same bits as on data that hold no others.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn advance_among(
        &mut self,
        data: &Clusters<'_, T>,
        among: Option<&[usize]>,
        n_steps: usize,
        threads: Threads<'_>,
    ) -> Result<Vec<f64>, KernelError> {
        let mut values = memory::room("the objective of every step", n_steps)?;
        let mut batches = ClusterBatches::new(self.batch_size, self.seed, among);
        let (spans, units) = self.architecture.spans();
        let stepper = Stepper::new(self.optimizer, &spans, units);
        for _ in 0..n_steps {
            let Self { architecture, objective, state, .. } = self;
            let only = batches.of_step(data.n_clusters(), state.n_steps)?;
            let result = evaluate(architecture, &state.theta, data, only, objective, ExtraOutputs::default(), threads)?;
            let (theta, first, second) = (&mut state.theta, &mut state.first, &mut state.second);
            with_isa!(Backend::detect(), isa => {
                stepper.step(isa, state.n_steps, &result.gradient, theta, first, second);
            });
            state.n_steps += 1;
            state.n_skipped += result.n_skipped as u64;
            values.push(result.value);
        }
        Ok(values)
    }
}

/// Mini-batches without replacement, a new order each epoch; a function of the seed and the step alone.
struct ClusterBatches<'a> {
    size: Option<usize>,
    seed: u64,
    among: Option<&'a [usize]>,
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl<'a> ClusterBatches<'a> {
    fn new(size: Option<usize>, seed: u64, among: Option<&'a [usize]>) -> Self {
        Self { size, seed, among, epoch: None, order: Vec::new() }
    }

    /// Clusters of a step; none: all.
    fn of_step(&mut self, n_clusters: usize, step: u64) -> Result<Option<&[usize]>, KernelError> {
        let n_clusters = self.among.map_or(n_clusters, <[usize]>::len);
        let Some(size) = self.size.filter(|&size| size < n_clusters) else { return Ok(self.among) };
        let a_epoch = n_clusters.div_ceil(size) as u64;
        let (epoch, index) = (step / a_epoch, (step % a_epoch) as usize);
        if self.epoch != Some(epoch) {
            self.order.clear();
            memory::reserve("the order of the clusters", &mut self.order, n_clusters)?;
            self.order.extend(0..n_clusters);
            Random::new(self.seed, "batches", epoch).shuffle(&mut self.order);
            if let Some(among) = self.among {
                self.order.iter_mut().for_each(|position| *position = among[*position]);
            }
            self.epoch = Some(epoch);
        }
        Ok(Some(&self.order[index * size..((index + 1) * size).min(n_clusters)]))
    }
}
