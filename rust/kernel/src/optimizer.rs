//! Outer optimizers and schedules, with PyTorch's conventions.

use crate::error::KernelError;
use crate::simd::Real;

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// b ← μ b + g; θ ← θ − lr·b, or lr·(g + μ b) with Nesterov's momentum.
    Sgd {
        /// μ.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
    },
    /// Kingma & Ba, "Adam" (2015).
    Adam(Moments),
    /// Loshchilov & Hutter, "Decoupled weight decay regularization" (2019).
    AdamW(Moments),
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
    /// 1 / (1 + t/τ)^a.
    Power {
        /// τ.
        steps: f64,
        /// a.
        power: f64,
    },
}

/// An outer optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// The rule.
    pub rule: Rule,
    /// lr at the start.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// λ: added to the gradient as λθ, or taken from θ apart from the gradient by AdamW.
    pub weight_decay: f64,
    /// The gradient is scaled down to this norm.
    pub clip_norm: Option<f64>,
}

fn range(what: &'static str, got: f64, fits: bool, needed: &'static str) -> Result<(), KernelError> {
    if fits && got.is_finite() { Ok(()) } else { Err(KernelError::Range { what, got, needed }) }
}

impl Optimizer {
    /// Checks every constant.
    ///
    /// # Errors
    /// [`KernelError::Range`].
    pub fn validate(&self) -> Result<(), KernelError> {
        let lr = self.learning_rate;
        range("learning_rate", lr, lr > 0.0, "finite and above 0")?;
        range("weight_decay", self.weight_decay, self.weight_decay >= 0.0, "at least 0")?;
        if let Some(clip) = self.clip_norm {
            range("clip_norm", clip, clip > 0.0, "finite and above 0")?;
        }
        match self.rule {
            Rule::Sgd { momentum, .. } => range("momentum", momentum, (0.0..1.0).contains(&momentum), "in [0, 1)")?,
            Rule::Adam(m) | Rule::AdamW(m) => {
                range("beta1", m.beta1, (0.0..1.0).contains(&m.beta1), "in [0, 1)")?;
                range("beta2", m.beta2, (0.0..1.0).contains(&m.beta2), "in [0, 1)")?;
                range("epsilon", m.epsilon, m.epsilon > 0.0, "finite and above 0")?;
            }
        }
        match self.schedule {
            Schedule::Constant => Ok(()),
            Schedule::Cosine { steps } => range("decay_steps", steps, steps > 0.0, "finite and above 0"),
            Schedule::Power { steps, power } => {
                range("decay_steps", steps, steps > 0.0, "finite and above 0")?;
                range("power", power, power >= 0.0, "at least 0")
            }
        }
    }

    /// The learning rate of step t, counted from 0.
    pub fn rate(&self, t: u64) -> f64 {
        let t = t as f64;
        let factor = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine { steps } => (1.0 + (std::f64::consts::PI * (t / steps).min(1.0)).cos()) / 2.0,
            Schedule::Power { steps, power } => (1.0 + t / steps).powf(-power),
        };
        self.learning_rate * factor
    }

    /// Takes step t, counted from 0; `first` and `second` are the optimizer's state, as long as θ.
    pub fn step<T: Real>(&self, t: u64, gradient: &[T], theta: &mut [T], first: &mut [T], second: &mut [T]) {
        let rate = self.rate(t);
        let clip = self.clip(gradient);
        let (coupled, kept) = match self.rule {
            Rule::AdamW(_) => (0.0, 1.0 - rate * self.weight_decay),
            _ => (self.weight_decay, 1.0),
        };
        let lines = gradient.iter().zip(theta).zip(first).zip(second);
        match self.rule {
            Rule::Sgd { momentum, nesterov } => {
                for (((g, theta), first), _) in lines {
                    let g = clip * g.to_f64() + coupled * theta.to_f64();
                    let b = momentum * first.to_f64() + g;
                    let step = if nesterov { g + momentum * b } else { b };
                    *first = T::from_f64(b);
                    *theta = T::from_f64(theta.to_f64() - rate * step);
                }
            }
            Rule::Adam(m) | Rule::AdamW(m) => {
                let power = i32::try_from(t + 1).unwrap_or(i32::MAX);
                let (unbias1, unbias2) = (1.0 - m.beta1.powi(power), 1.0 - m.beta2.powi(power));
                for (((g, theta), first), second) in lines {
                    let g = clip * g.to_f64() + coupled * theta.to_f64();
                    let a = m.beta1 * first.to_f64() + (1.0 - m.beta1) * g;
                    let b = m.beta2 * second.to_f64() + (1.0 - m.beta2) * g * g;
                    *first = T::from_f64(a);
                    *second = T::from_f64(b);
                    let step = (a / unbias1) / ((b / unbias2).sqrt() + m.epsilon);
                    *theta = T::from_f64(kept * theta.to_f64() - rate * step);
                }
            }
        }
    }

    fn clip<T: Real>(&self, gradient: &[T]) -> f64 {
        let Some(limit) = self.clip_norm else { return 1.0 };
        let norm = gradient.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>().sqrt();
        if norm > limit { limit / norm } else { 1.0 }
    }
}
