//! Optimizers with PyTorch's conventions: how a gradient becomes a step. The schedules are in `schedule.rs`, the penalties
//! in `penalties.rs`, the step itself in `step.rs`, the bound on a unit's weights in `max_norm.rs`.

mod max_norm;
mod penalties;
mod schedule;
mod step;

pub use penalties::{Decay, L1, L1Method, Penalties};
pub use schedule::Schedule;
pub use step::Stepper;

use crate::system::error::{KernelError, range};

/// The rule by which a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// b ← μ b + g; θ ← θ − lr·b, or lr·(g + μ b) with Nesterov's momentum.
    Sgd {
        /// μ.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
    },
    /// Kingma & Ba, "Adam" (2015). With decoupled decay it is Loshchilov & Hutter's AdamW (2019).
    Adam(Moments),
}

/// Adam's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Moments {
    /// Checks the constants.
    ///
    /// # Errors
    /// [`KernelError::Range`].
    pub fn validate(&self) -> Result<(), KernelError> {
        for (what, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            range(what, beta, (0.0..1.0).contains(&beta), "in [0, 1)")?;
        }
        range("epsilon", self.epsilon, self.epsilon > 0.0, "finite and above 0")
    }
}

/// An optimizer, with the regularizers that act on gradients and parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// The rule.
    pub rule: Rule,
    /// lr at the start.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// What pulls the parameters towards zero. Coupled penalties are added to the gradient after it was clipped.
    pub penalties: Penalties,
    /// The loss's gradient is scaled down to this norm.
    pub clip_norm: Option<f64>,
    /// After a step, the weights into each unit are scaled down to this norm.
    pub max_norm: Option<f64>,
}

impl Default for Optimizer {
    /// Plain descent with a step of 0.1, without any regularizer.
    fn default() -> Self {
        Self {
            rule: Rule::Sgd { momentum: 0.0, nesterov: false },
            learning_rate: 0.1,
            schedule: Schedule::Constant,
            penalties: Penalties::default(),
            clip_norm: None,
            max_norm: None,
        }
    }
}

impl Optimizer {
    /// Checks every constant.
    ///
    /// # Errors
    /// [`KernelError::Range`].
    pub fn validate(&self) -> Result<(), KernelError> {
        let lr = self.learning_rate;
        range("learning_rate", lr, lr > 0.0, "finite and above 0")?;
        self.penalties.validate()?;
        for (what, limit) in [("clip_norm", self.clip_norm), ("max_norm", self.max_norm)] {
            if let Some(limit) = limit {
                range(what, limit, limit > 0.0, "finite and above 0")?;
            }
        }
        match self.rule {
            Rule::Sgd { momentum, .. } => range("momentum", momentum, (0.0..1.0).contains(&momentum), "in [0, 1)")?,
            Rule::Adam(moments) => moments.validate()?,
        }
        self.schedule.validate()
    }

    /// The learning rate of step t, counted from 0.
    pub fn rate(&self, t: u64) -> f64 {
        self.learning_rate * self.schedule.factor(t)
    }

    /// Whether a gradient is scaled, or a penalty's added, before the rule makes a step of it.
    pub fn changes_gradient(&self) -> bool {
        let Penalties { coupled, decoupled, l1 } = self.penalties;
        self.clip_norm.is_some() || [coupled.strength, decoupled.strength, l1.strength].iter().any(|&x| x > 0.0)
    }

    /// Whether the rule keeps a first and a second moment.
    pub fn moments(&self) -> [bool; 2] {
        match self.rule {
            Rule::Sgd { momentum, .. } => [momentum != 0.0, false],
            Rule::Adam(_) => [true, true],
        }
    }
}

#[cfg(test)]
mod tests;
