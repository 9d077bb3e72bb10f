//! How the learning rate changes.

use crate::system::error::{KernelError, range};

/// The learning rate's factor after t steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// 1.
    Constant,
    /// (1 + cos(π·min(t/T, 1))) / 2.
    Cosine {
        /// T.
        steps: f64,
    },
    /// f^⌊t/T⌋.
    Step {
        /// T.
        every: f64,
        /// f.
        factor: f64,
    },
    /// 1 / (1 + t/τ)^a.
    Power {
        /// τ.
        steps: f64,
        /// a.
        power: f64,
    },
}

impl Schedule {
    /// Checks the constants.
    ///
    /// # Errors
    /// [`KernelError::Range`].
    pub fn validate(&self) -> Result<(), KernelError> {
        let length = |steps: f64| range("the schedule's length", steps, steps > 0.0, "finite and above 0");
        match *self {
            Self::Constant => Ok(()),
            Self::Cosine { steps } => length(steps),
            Self::Step { every, factor } => {
                length(every)?;
                range("the schedule's factor", factor, factor > 0.0, "finite and above 0")
            }
            Self::Power { steps, power } => {
                length(steps)?;
                range("power", power, power >= 0.0, "at least 0")
            }
        }
    }

    /// The factor of step t, counted from 0.
    pub fn factor(&self, t: u64) -> f64 {
        let t = t as f64;
        match *self {
            Self::Constant => 1.0,
            Self::Cosine { steps } => (1.0 + (std::f64::consts::PI * (t / steps).min(1.0)).cos()) / 2.0,
            Self::Step { every, factor } => factor.powf((t / every).floor()),
            Self::Power { steps, power } => (1.0 + t / steps).powf(-power),
        }
    }
}
