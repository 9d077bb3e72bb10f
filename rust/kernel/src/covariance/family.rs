//! Outcomes that are not normal: the logarithm of their density in the latent value f, and its derivatives.

use std::str::FromStr;

use crate::system::error::{KernelError, named};

/// The distribution of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// y in [0, 1] with log-density y·f − log(1 + eᶠ): with weights as trials, the share of successes.
    Logistic,
    /// Counts with log-density y·f − eᶠ.
    Poisson,
}

const FAMILIES: &[(&str, Family)] = &[("logistic", Family::Logistic), ("poisson", Family::Poisson)];

impl FromStr for Family {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        named("family", name, FAMILIES)
    }
}

/// The log-density of an outcome, without terms in y alone, its slope, and minus its second derivative and that one's slope.
#[derive(Clone, Copy, Debug, Default)]
pub struct Derivatives {
    pub value: f64,
    pub slope: f64,
    pub curvature: f64,
    pub curvature_slope: f64,
}

impl Family {
    /// At a latent value, for one observation.
    pub fn derivatives(self, y: f64, f: f64) -> Derivatives {
        match self {
            Self::Logistic => {
                let decay = (-f.abs()).exp();
                let (large, small) = (1.0 / (1.0 + decay), decay / (1.0 + decay));
                let (p, q) = if f >= 0.0 { (large, small) } else { (small, large) };
                Derivatives {
                    value: y * f - f.max(0.0) - decay.ln_1p(),
                    // y·q − (1 − y)·p, which loses nothing where p is near y.
                    slope: y * q - (1.0 - y) * p,
                    curvature: p * q,
                    curvature_slope: p * q * (q - p),
                }
            }
            Self::Poisson => {
                let rate = f.exp();
                Derivatives { value: y * f - rate, slope: y - rate, curvature: rate, curvature_slope: rate }
            }
        }
    }

    /// An outcome that it cannot have.
    pub fn check(self, y: &[f64]) -> Result<(), KernelError> {
        let (fits, needed): (fn(f64) -> bool, _) = match self {
            Self::Logistic => (|y| (0.0..=1.0).contains(&y), "from 0 to 1 where the family is logistic"),
            Self::Poisson => (|y| y >= 0.0, "at least 0 where the family is poisson"),
        };
        match y.iter().find(|y| !fits(**y)) {
            Some(&got) => Err(KernelError::Range { what: "y", got, needed }),
            None => Ok(()),
        }
    }
}
