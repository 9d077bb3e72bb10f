//! What is random in a step besides its rows, each a stream of (seed, purpose, step). What every row has of its own is
//! drawn in registers.

use super::{Dropout, Shifts, Spec};
use crate::dense::streams::Stream;
use crate::simd::Real;
use crate::system::error::{KernelError, range};
use crate::system::memory;
use crate::system::random::Random;

/// The streams of one model.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// The model's seed.
    pub seed: u64,
}

/// A stream of masks.
pub struct Masks(Random);

impl Masks {
    /// 0 with probability `rate`, else 1/(1 − rate), for each unit. A line starts with bits of its own.
    pub fn fill<T: Real>(&mut self, rate: f64, line: &mut [T]) {
        // 32 bits a unit: the rate is met to 1e-10. A table instead of a branch, which would be guessed wrong.
        let threshold = (rate * 4_294_967_296.0).round() as u64;
        let values = [T::from_f64(1.0 / (1.0 - rate)), T::default()];
        let value = |half: u64| values[usize::from(half < threshold)];
        let (pairs, rest) = line.as_chunks_mut::<2>();
        for pair in pairs {
            let bits = self.0.bits();
            *pair = [value(bits & 0xffff_ffff), value(bits >> 32)];
        }
        for unit in rest {
            *unit = value(self.0.bits() & 0xffff_ffff);
        }
    }
}

/// Where the masks of a layer's rows begin in their stream: far behind those of the layers before.
pub fn first_block(layer: usize) -> u64 {
    (layer as u64) << 40
}

/// All draws of one step, for those who want to repeat it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Positions of the batch in the model's list of rows.
    pub rows: Vec<u32>,
    /// (1 or rows) × width, one a hidden layer: 0 or 1/(1 − rate).
    pub masks: Vec<Vec<f64>>,
    /// (1 or rows) × inputs, where inputs are dropped.
    pub input_mask: Vec<f64>,
    /// Rows × inputs, not yet scaled.
    pub noise: Vec<f64>,
    /// λ, and the row of the batch that each row is mixed with.
    pub mixup: Option<(f64, Vec<u32>)>,
    /// Rows down and columns right.
    pub shift: Option<[i32; 2]>,
}

impl Draws {
    /// A step's masks, one a layer for all rows: to be filled layer after layer.
    pub fn masks(self, step: u64) -> Masks {
        Masks(Random::new(self.seed, "dropout", step))
    }

    /// A step's mask of the inputs, one for all rows.
    pub fn input_mask(self, step: u64) -> Masks {
        Masks(Random::new(self.seed, "input dropout", step))
    }

    /// A step's masks of each row; a layer's begin at `first_block`.
    pub fn row_masks(self, step: u64) -> Stream {
        Stream::new(self.seed, "row dropout", step)
    }

    /// A step's masks of the inputs of each row.
    pub fn input_row_masks(self, step: u64) -> Stream {
        Stream::new(self.seed, "input row dropout", step)
    }

    /// One mask of the inputs for a sample of Monte-Carlo dropout, as [`Draws::sample`].
    ///
    /// # Errors
    /// As [`Draws::sample`].
    pub fn input_sample(self, sample: u64, n_inputs: usize, rate: f64) -> Result<Vec<f64>, KernelError> {
        range("the inputs' dropout rate", rate, (0.0..1.0).contains(&rate), "in [0, 1)")?;
        let mut mask = memory::zeros("a dropout mask", n_inputs)?;
        Masks(Random::new(self.seed, "sampled input dropout", sample)).fill(rate, &mut mask);
        Ok(mask)
    }

    /// One mask a hidden layer for a sample of Monte-Carlo dropout, apart from those of training.
    ///
    /// # Errors
    /// [`KernelError::Range`] for a rate outside [0, 1), or [`KernelError::Memory`].
    pub fn sample(self, sample: u64, widths: &[usize], rates: &[f64]) -> Result<Vec<Vec<f64>>, KernelError> {
        let mut random = Masks(Random::new(self.seed, "sampled dropout", sample));
        let mask = |(&width, &rate): (&usize, &f64)| {
            range("every dropout rate", rate, (0.0..1.0).contains(&rate), "in [0, 1)")?;
            let mut mask = memory::zeros("a dropout mask", width)?;
            random.fill(rate, &mut mask);
            Ok(mask)
        };
        widths.iter().zip(rates).map(mask).collect()
    }

    /// Standard normal noise, in the order of the batch's rows.
    pub fn noise(self, step: u64) -> Stream {
        Stream::new(self.seed, "input noise", step)
    }

    /// λ, and the order that the batch's rows are mixed with, into `order`.
    pub fn mixup(self, step: u64, alpha: f64, order: &mut [u32]) -> f64 {
        let mut random = Random::new(self.seed, "mixup", step);
        order.iter_mut().zip(0..).for_each(|(partner, own)| *partner = own);
        random.shuffle(order);
        random.beta(alpha)
    }

    /// Rows down and columns right, where the batch is shifted.
    pub fn shift(self, step: u64, shifts: &Shifts) -> Option<[i32; 2]> {
        let mut random = Random::new(self.seed, "shifts", step);
        let shifted = random.uniform() < shifts.probability;
        shifted.then(|| [(); 2].map(|()| shifts.offsets[random.below(shifts.offsets.len())]))
    }

    /// All of a step's draws, for a model with so many rows.
    ///
    /// # Errors
    /// As [`RowBatches::new`](super::RowBatches::new).
    pub fn all(spec: &Spec, n_rows: usize, step: u64) -> Result<Drawn, KernelError> {
        let draws = Self { seed: spec.seed };
        let mut batches = super::RowBatches::new(spec, n_rows)?;
        let rows = memory::list("a batch", batches.of_step(step, n_rows).iter().copied())?;
        let hidden = spec.architecture.hidden();
        let mut masks = vec![Vec::new(); if spec.dropout.is_some() { hidden.len() } else { 0 }];
        if let Some(dropout) = &spec.dropout {
            let (mut random, by_row) = (draws.masks(step), draws.row_masks(step));
            for (layer, ((mask, &width), &rate)) in masks.iter_mut().zip(hidden).zip(&dropout.rates).enumerate() {
                let lines = if dropout.by_row { rows.len() } else { 1 };
                *mask = memory::zeros("a dropout mask", lines.saturating_mul(width))?;
                if dropout.by_row {
                    by_row.masks(pulp::Scalar, rate, first_block(layer), mask);
                } else {
                    random.fill(rate, mask);
                }
            }
        }
        let n_inputs = spec.architecture.n_inputs();
        let mut input_mask = Vec::new();
        if let Some(Dropout { inputs, by_row, .. }) = spec.dropout.as_ref().filter(|dropout| dropout.inputs > 0.0) {
            let lines = if *by_row { rows.len() } else { 1 };
            input_mask = memory::zeros("a dropout mask", lines.saturating_mul(n_inputs))?;
            if *by_row {
                draws.input_row_masks(step).masks(pulp::Scalar, *inputs, 0, &mut input_mask);
            } else {
                draws.input_mask(step).fill(*inputs, &mut input_mask);
            }
        }
        let inputs = if spec.input_noise > 0.0 { rows.len().saturating_mul(n_inputs) } else { 0 };
        let mut noise = memory::zeros("input noise", inputs)?;
        draws.noise(step).normals(pulp::Scalar, 0, &mut noise);
        let mut mixup = None;
        if let Some(alpha) = spec.mixup {
            let mut order = memory::zeros("the order that rows are mixed in", rows.len())?;
            mixup = Some((draws.mixup(step, alpha, &mut order), order));
        }
        let shift = spec.shifts.as_ref().and_then(|shifts| draws.shift(step, shifts));
        Ok(Drawn { rows, masks, input_mask, noise, mixup, shift })
    }
}
