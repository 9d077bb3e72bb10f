//! Which rows a model sees.

use super::Spec;
use crate::simd::Real;
use crate::system::error::KernelError;
use crate::system::memory;

/// Rows that any number of models read.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    /// Inputs, rows × inputs.
    pub x: &'a [T],
    /// Targets, rows × the loss's target width.
    pub y: &'a [T],
    /// How many.
    pub n_rows: usize,
}

/// Some of the rows, by index, with weights; nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a, T> {
    /// All rows.
    pub of: Rows<'a, T>,
    /// Indices, repeated ones count as often; none: every row once.
    pub rows: Option<&'a [i64]>,
    /// A weight for each of all rows, by its index; none: 1. Rows of weight 0 are left out.
    pub weights: Option<&'a [T]>,
}

impl<T: Real> Selection<'_, T> {
    /// Checks sizes, indices and weights; the number of rows that are left.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn validate(&self, spec: &Spec) -> Result<usize, KernelError> {
        let n_rows = self.of.n_rows;
        let length = |what, got: usize, width: usize| {
            let needed = n_rows.checked_mul(width).ok_or(KernelError::Overflow { what: "the data" })?;
            if got == needed { Ok(()) } else { Err(KernelError::Length { what, got, needed }) }
        };
        length("x", self.of.x.len(), spec.architecture.n_inputs())?;
        length("y", self.of.y.len(), spec.loss.target_width(spec.architecture.n_outputs()))?;
        if u32::try_from(n_rows).is_err() {
            return Err(KernelError::Overflow { what: "the number of rows" });
        }
        if let Some(weights) = self.weights {
            length("row weights", weights.len(), 1)?;
            if let Some(w) = weights.iter().find(|w| !(w.to_f64() >= 0.0 && w.to_f64().is_finite())) {
                return Err(KernelError::Range {
                    what: "every row weight",
                    got: w.to_f64(),
                    needed: "finite, at least 0",
                });
            }
        }
        let bad = |index: &&i64| usize::try_from(**index).map_or(true, |index| index >= n_rows);
        if let Some(&index) = self.rows.and_then(|rows| rows.iter().find(bad)) {
            return Err(KernelError::Row { index, n_rows });
        }
        let total: f64 = self.weights.map_or(1.0, |w| self.indices().map(|row| w[row].to_f64()).sum());
        match self.indices().count() {
            0 => Err(KernelError::Missing { what: "a row with a positive weight", needed_by: "every model" }),
            _ if !(total.is_finite() && (1.0 / total).is_finite()) => {
                Err(KernelError::Range { what: "the sum of row weights", got: total, needed: "finite, as its inverse" })
            }
            count => Ok(count),
        }
    }

    /// How many rows count.
    pub fn count(&self) -> usize {
        self.indices().count()
    }

    /// The rows that count.
    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let all = if self.rows.is_none() { 0..self.of.n_rows } else { 0..0 };
        let listed = self.rows.unwrap_or(&[]).iter().map(|&row| row as usize);
        all.chain(listed).filter(|&row| self.weights.is_none_or(|w| w[row].to_f64() > 0.0))
    }

    /// The rows that count, and one over the mean of their weights.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn chosen(&self) -> Result<(Vec<u32>, f64), KernelError> {
        let mut rows: Vec<u32> = memory::room("a model's list of rows", self.indices().count())?;
        // Row numbers were checked to fit.
        rows.extend(self.indices().map(|row| row as u32));
        let total: f64 = self.weights.map_or(rows.len() as f64, |w| rows.iter().map(|&r| w[r as usize].to_f64()).sum());
        let scale = rows.len() as f64 / total;
        Ok((rows, scale))
    }
}
