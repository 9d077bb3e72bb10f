//! Sums over very many rows: runs of rows in the element type, and the runs in f64.
//!
//! A sum of n numbers, one after the other, is off by at most n·u of the sum of their magnitudes, u = 2⁻²⁴ in f32 (Higham,
//! "Accuracy and stability of numerical algorithms", 2002, section 4.2). Cut into runs of m whose sums are added in f64, it
//! is off by m·u, however many rows there are.

use std::ops::Range;

use crate::dense::vectors::add_scaled;
use crate::network::workspace::{Buffer, PART_ROWS};
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;

/// Rows of a run that goes through the passes in parts: 512 terms a part, and 64 parts.
pub const PARTED_RUN: usize = 64 * PART_ROWS;

/// Rows of a run that is summed in one go.
pub const WHOLE_RUN: usize = 8 * PART_ROWS;

/// Room for the sum of a run and for that of all.
pub struct Fold<T> {
    run_rows: usize,
    run: Buffer<T>,
    total: Buffer<f64>,
}

impl<T: Real> Fold<T> {
    /// For sums of up to `len` numbers over up to `most_rows` rows; none where a run holds them all.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(run_rows: usize, most_rows: usize, len: usize) -> Result<Option<Self>, KernelError> {
        if most_rows <= run_rows {
            return Ok(None);
        }
        let what = "the sums over very many rows";
        Ok(Some(Self { run_rows, run: Buffer::new(what, len)?, total: Buffer::new(what, len)? }))
    }

    /// Takes it out of its place, if so many rows are more than a run; whoever does puts it back.
    pub fn take_for(place: &mut Option<Self>, rows: usize) -> Option<Self> {
        place.take_if(|fold| rows > fold.run_rows)
    }

    /// The sum of `len` numbers over `rows` rows; `sum` writes that of a run.
    ///
    /// # Errors
    /// The first that `sum` gives.
    pub fn sum<S: Isa, E>(
        &mut self,
        isa: S,
        rows: usize,
        len: usize,
        mut sum: impl FnMut(Range<usize>, &mut [T]) -> Result<(), E>,
    ) -> Result<&[T], E> {
        let (run, total) = (&mut self.run[..len], &mut self.total[..len]);
        total.fill(0.0);
        for first in (0..rows).step_by(self.run_rows) {
            sum(first..rows.min(first + self.run_rows), run)?;
            add_scaled(isa, 1.0, run, total);
        }
        run.iter_mut().zip(total.iter()).for_each(|(to, x)| *to = T::from_f64(*x));
        Ok(run)
    }
}
