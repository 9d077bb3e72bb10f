//! What pulls parameters towards zero.

use crate::system::error::{KernelError, range};

/// A strength of decay, and whether it holds for biases too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decay {
    /// λ.
    pub strength: f64,
    /// Whether biases decay.
    pub biases: bool,
}

/// How an L1 penalty acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L1Method {
    /// λ·sign θ is added to the gradient.
    #[default]
    Subgradient,
    /// θ ← θ − lr·λ·sign θ, beside the step.
    Decoupled,
    /// After the step, θ moves by lr·λ towards zero and stops there: the proximal step of the penalty.
    Proximal,
}

/// λ Σ|θ|, or smoothed: θ²/2δ within δ and |θ| − δ/2 beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct L1 {
    /// λ.
    pub strength: f64,
    /// Whether biases are penalised.
    pub biases: bool,
    /// How it acts.
    pub method: L1Method,
    /// δ; 0 for none, and none with the proximal step.
    pub smoothing: f64,
}

impl L1 {
    /// 1/δ of a smoothed penalty, a number of either type, else 0.
    pub fn steepness(&self) -> f64 {
        if self.smoothing > 0.0 { (1.0 / self.smoothing).min(1e38) } else { 0.0 }
    }
}

/// All penalties of an optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalties {
    /// λθ, added to the gradient: the penalty λ/2·|θ|².
    pub coupled: Decay,
    /// θ ← (1 − lr·λ)·θ, beside the step.
    pub decoupled: Decay,
    /// λ Σ|θ|.
    pub l1: L1,
}

impl Penalties {
    /// Checks the strengths.
    ///
    /// # Errors
    /// [`KernelError::Range`].
    pub fn validate(&self) -> Result<(), KernelError> {
        let l1 = self.l1;
        let strengths = [("l2", self.coupled.strength), ("decoupled l2", self.decoupled.strength), ("l1", l1.strength)];
        for (what, got) in strengths {
            range(what, got, got >= 0.0, "at least 0")?;
        }
        let fits = l1.smoothing == 0.0 || (l1.smoothing > 0.0 && l1.method != L1Method::Proximal);
        range("l1 smoothing", l1.smoothing, fits, "at least 0, and 0 with the proximal step")
    }
}
