//! Which rows a step sees: a function of the seed and the step alone.

use super::Spec;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::random::Random;

/// The mini-batches of one model: positions in its list of rows.
pub struct RowBatches {
    seed: u64,
    size: usize,
    steps: u64,
    replacement: bool,
    order: Vec<u32>,
    epoch: Option<u64>,
}

impl RowBatches {
    /// For a model with so many rows.
    ///
    /// # Errors
    /// [`KernelError::Range`] for no rows, [`KernelError::Limit`] for more than 32 bits count, or [`KernelError::Memory`].
    pub fn new(spec: &Spec, n_rows: usize) -> Result<Self, KernelError> {
        if n_rows == 0 {
            return Err(KernelError::Range { what: "the number of rows", got: 0.0, needed: "at least 1" });
        }
        let most = u32::MAX as usize;
        let count = u32::try_from(n_rows);
        let count =
            count.map_err(|_| KernelError::Limit { what: "the number of rows", got: n_rows.to_string(), most })?;
        let (size, steps) = spec.epoch(n_rows);
        let replacement = spec.replacement && spec.batch_size.is_some();
        // With replacement, `order` holds one batch, else an epoch.
        // A batch is no larger than the rows.
        let mut order = memory::room("the order of the rows", if replacement { size } else { n_rows })?;
        order.extend(0..if replacement { size as u32 } else { count });
        Ok(Self { seed: spec.seed, size, steps, replacement, order, epoch: None })
    }

    /// Whether every step sees all rows, in their own order.
    pub fn is_whole(&self) -> bool {
        !self.replacement && self.steps == 1
    }

    /// Rows of the largest batch.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Steps of an epoch.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Positions of a step's rows. Without replacement the last batch of an epoch has the rows that are left.
    pub fn of_step(&mut self, step: u64, n_rows: usize) -> &[u32] {
        if self.is_whole() {
            return &self.order;
        }
        if self.replacement {
            let mut random = Random::new(self.seed, "batches", step);
            // Below the number of rows, which fits.
            self.order.iter_mut().for_each(|position| *position = random.below(n_rows) as u32);
            return &self.order;
        }
        let (epoch, index) = (step / self.steps, (step % self.steps) as usize);
        if self.epoch != Some(epoch) {
            self.order.iter_mut().zip(0..).for_each(|(position, own)| *position = own);
            Random::new(self.seed, "batches", epoch).shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        &self.order[index * self.size..((index + 1) * self.size).min(n_rows)]
    }
}
