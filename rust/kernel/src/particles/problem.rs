//! The data of an instrumental-variables problem.

use crate::dense::vectors::finite;
use crate::simd::Real;
use crate::system::error::KernelError;

/// Borrowed rows. The first stage follows T = Σ_m c_m·h(x_m), which is h(x) where each row has one x and c = 1; a Bellman
/// equation has two, with c = 1 and −γ.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a, T> {
    /// Points at which the structural network is read, rows × terms × inputs.
    pub x: &'a [T],
    /// c, rows × terms; none: all 1.
    pub coefficients: Option<&'a [T]>,
    /// Instruments, rows × their number.
    pub z: &'a [T],
    /// Outcomes.
    pub y: &'a [T],
    /// Row weights; none: all 1.
    pub weights: Option<&'a [T]>,
    /// Inputs of the structural network.
    pub n_inputs: usize,
    /// Instruments.
    pub n_instruments: usize,
    /// Points a row.
    pub n_terms: usize,
}

impl<T: Real> Problem<'_, T> {
    /// How many rows.
    pub fn n_rows(&self) -> usize {
        self.y.len()
    }

    /// Checks lengths, finiteness and weights.
    ///
    /// # Errors
    /// [`KernelError::Length`], [`KernelError::NotFinite`], [`KernelError::Range`] or [`KernelError::Overflow`].
    pub fn validate(&self) -> Result<(), KernelError> {
        let n = self.n_rows();
        let size = |width: usize| n.checked_mul(width).ok_or(KernelError::Overflow { what: "the data" });
        let points = size(self.n_terms)?;
        let inputs = points.checked_mul(self.n_inputs).ok_or(KernelError::Overflow { what: "the data" })?;
        let parts = [
            ("x", Some(self.x), inputs),
            ("coefficients", self.coefficients, points),
            ("z", Some(self.z), size(self.n_instruments)?),
            ("y", Some(self.y), n),
            ("weights", self.weights, n),
        ];
        for (what, numbers, needed) in parts {
            let Some(numbers) = numbers else { continue };
            if numbers.len() != needed {
                return Err(KernelError::Length { what, got: numbers.len(), needed });
            }
            finite(what, numbers)?;
        }
        for (what, got) in [("rows", n), ("n_terms", self.n_terms)] {
            if got == 0 {
                return Err(KernelError::Range { what, got: 0.0, needed: "at least 1" });
            }
        }
        match self.weights.unwrap_or_default().iter().find(|w| w.to_f64() < 0.0) {
            Some(w) => Err(KernelError::Range { what: "a weight", got: w.to_f64(), needed: "at least 0" }),
            None => Ok(()),
        }
    }
}
