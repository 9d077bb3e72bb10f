//! What is asked for: the options that all runs share, and those of each.

use crate::optimizer::Moments;
use crate::simd::Real;
use crate::system::error::{KernelError, range};

use super::problem::Problem;
use super::shape::Particles;

/// How a gradient moves the particles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    /// Noisy gradient descent.
    Langevin,
    /// Adam, without noise.
    Adam(Moments),
}

/// What all runs share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The structural network.
    pub structural: Particles,
    /// The first stage and its twin.
    pub instrumental: Particles,
    /// How particles move.
    pub solver: Solver,
    /// T, steps of both inner networks before each outer step.
    pub inner_steps: usize,
    /// S.
    pub outer_steps: usize,
    /// Rows a step, drawn with replacement; none: all rows.
    pub batch_size: Option<usize>,
    /// Whether the inner networks start where they ended, and not where they first started.
    pub warm: bool,
    /// Whether both inner networks see the same noise and rows.
    pub shared: bool,
    /// Outer steps between records.
    pub record_every: usize,
}

/// λ, steps, penalties and temperatures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// λ.
    pub lambda: f64,
    /// α: step of the first stage.
    pub alpha: f64,
    /// β: step of its twin.
    pub beta: f64,
    /// γ: step of the structural network.
    pub gamma: f64,
    /// ζ₁: penalty of the inner networks.
    pub zeta1: f64,
    /// ζ₂: penalty of the structural network.
    pub zeta2: f64,
    /// σ₁: temperature of the inner networks.
    pub sigma1: f64,
    /// σ₂: temperature of the structural network.
    pub sigma2: f64,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run<'a, T> {
    /// Its numbers.
    pub rates: Rates,
    /// Of its noise and mini-batches.
    pub seed: u64,
    /// Its rows; a row may come several times, as in a bootstrap.
    pub rows: Vec<usize>,
    /// Where the structural network, the first stage and its twin start, in the flat layout.
    pub start: [&'a [T]; 3],
}

impl Options {
    /// Checks everything but the runs.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate<T: Real>(&self, problem: &Problem<'_, T>) -> Result<(), KernelError> {
        problem.validate()?;
        self.structural.validate()?;
        self.instrumental.validate()?;
        let widths = [
            ("inputs of the structural network", self.structural.n_inputs, problem.n_inputs),
            ("inputs of the instrumental networks", self.instrumental.n_inputs, problem.n_instruments),
        ];
        if let Some((what, got, needed)) = widths.into_iter().find(|(_, got, needed)| got != needed) {
            return Err(KernelError::Length { what, got, needed });
        }
        let counts = [
            ("inner_steps", self.inner_steps),
            ("outer_steps", self.outer_steps),
            ("record_every", self.record_every),
            ("batch_size", self.batch_size.unwrap_or(1)),
        ];
        counts.into_iter().try_for_each(|(what, got)| range(what, got as f64, got > 0, "at least 1"))?;
        match self.solver {
            Solver::Langevin => Ok(()),
            Solver::Adam(moments) => moments.validate(),
        }
    }
}

impl<T: Real> Run<'_, T> {
    /// Checks a run against the options.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate(&self, problem: &Problem<'_, T>, options: &Options) -> Result<(), KernelError> {
        let r = &self.rates;
        for (what, got) in [("lambda", r.lambda), ("alpha", r.alpha), ("beta", r.beta), ("gamma", r.gamma)] {
            range(what, got, got > 0.0, "finite and above 0")?;
        }
        for (what, got) in [("zeta1", r.zeta1), ("zeta2", r.zeta2), ("sigma1", r.sigma1), ("sigma2", r.sigma2)] {
            range(what, got, got >= 0.0, "finite and at least 0")?;
        }
        let n = problem.n_rows();
        if let Some(&row) = self.rows.iter().find(|&&row| row >= n) {
            return Err(KernelError::Range { what: "a row", got: row as f64, needed: "below the number of rows" });
        }
        let weight = |row: &usize| problem.weights.map_or(1.0, |w| w[*row].to_f64());
        let total: f64 = self.rows.iter().map(weight).sum();
        range("the weight of a run's rows", total, total > 0.0, "above 0")?;
        let shapes = [&options.structural, &options.instrumental, &options.instrumental];
        for (start, shape) in self.start.iter().zip(shapes) {
            if start.len() != shape.n_parameters() {
                let needed = shape.n_parameters();
                return Err(KernelError::Length { what: "start", got: start.len(), needed });
            }
            crate::dense::vectors::finite("start", start)?;
        }
        Ok(())
    }
}

/// The losses after some outer steps, over all rows of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossRecord {
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

/// The recorded points of one run, and its losses there.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory<T> {
    /// The records, the latest last.
    pub records: Vec<LossRecord>,
    /// The structural network's particles at each record, in the flat layout.
    pub structural: Vec<T>,
    /// The first stage's and its twin's particles at the last record.
    pub instrumental: [Vec<T>; 2],
    /// How often the steps were halved because numbers stopped being finite.
    pub halvings: u32,
}
