//! Which rows a step sees: a function of the seed and the step alone, unless it is given.

use super::{Selection, Spec, Task};
use crate::simd::Real;
use crate::system::error::{KernelError, range};
use crate::system::memory;
use crate::system::random::Random;

/// Batches that are given: gone through in order, and again from the first.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a> {
    /// Indices of rows, batch after batch; a repeated one counts as often.
    pub rows: &'a [i64],
    /// Batch b is `rows[offsets[b]..offsets[b + 1]]`.
    pub offsets: &'a [usize],
}

impl Batches<'_> {
    /// How many.
    pub fn count(&self) -> u64 {
        self.sizes().len() as u64
    }

    /// Rows of each.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// Checks offsets and indices; rows of weight 0 are in no batch.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate<T: Real>(&self, of: &Selection<'_, T>) -> Result<(), KernelError> {
        let (rows, n_rows) = (self.rows.len(), of.of.n_rows);
        let bad = self.offsets.windows(2).position(|pair| pair[0] >= pair[1]);
        if let Some(index) = bad.map(|before| before + 1) {
            return Err(KernelError::Offsets { index, got: self.offsets[index], rows });
        }
        let ends = [self.offsets.first(), self.offsets.last()];
        if ends != [Some(&0), Some(&rows)] || rows == 0 {
            return Err(KernelError::Offsets { index: 0, got: self.offsets.first().copied().unwrap_or(0), rows });
        }
        for &index in self.rows {
            let row = usize::try_from(index).ok().filter(|&row| row < n_rows);
            let row = row.ok_or(KernelError::Row { index, n_rows })?;
            let weight = of.weights.map_or(1.0, |weights| weights[row].to_f64());
            range("the weight of every row in a batch", weight, weight > 0.0, "above 0")?;
        }
        Ok(())
    }
}

/// The mini-batches of one model: positions in its list of rows.
pub struct RowBatches {
    seed: u64,
    size: usize,
    steps: u64,
    replacement: bool,
    order: Vec<u32>,
    epoch: Option<u64>,
    /// Where given batches begin in `order`, and where the last ends.
    offsets: Option<Vec<usize>>,
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
        Ok(Self { seed: spec.seed, size, steps, replacement, order, epoch: None, offsets: None })
    }

    /// Of a model with these rows, in rising order where its batches are given.
    ///
    /// # Errors
    /// As [`RowBatches::new`].
    pub(super) fn of_task<T: Real>(task: &Task<'_, T>, rows: &[u32]) -> Result<Self, KernelError> {
        let Some(given) = task.batches else { return Self::new(task.spec, rows.len()) };
        let what = "the order of the rows";
        // Rows were checked to be among the model's, so that each is found.
        let position = |&row: &i64| rows.partition_point(|&own| i64::from(own) < row) as u32;
        Ok(Self {
            seed: task.spec.seed,
            size: given.sizes().max().unwrap_or(0),
            steps: given.count(),
            replacement: false,
            order: memory::list(what, given.rows.iter().map(position))?,
            epoch: None,
            offsets: Some(memory::list(what, given.offsets.iter().copied())?),
        })
    }

    /// Whether every step sees the same rows in the same order.
    pub fn is_fixed(&self) -> bool {
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
        if self.is_fixed() {
            return &self.order;
        }
        if let Some(offsets) = &self.offsets {
            let batch = (step % self.steps) as usize;
            return &self.order[offsets[batch]..offsets[batch + 1]];
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
