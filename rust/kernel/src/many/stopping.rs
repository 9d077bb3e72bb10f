//! Early stopping: Prechelt, "Early stopping – but when?" (1998).

use super::EarlyStopping;

/// How the held-out loss went.
#[derive(Debug)]
pub struct Patience {
    rule: EarlyStopping,
    /// The lowest loss.
    best: f64,
    /// The loss of the last gain.
    bar: f64,
    without_gain: u64,
}

/// What a new loss means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It is the lowest so far.
    pub is_best: bool,
    /// Patience is over.
    pub stop: bool,
}

impl Patience {
    /// Nothing seen yet.
    pub fn new(rule: EarlyStopping) -> Self {
        Self { rule, best: f64::INFINITY, bar: f64::INFINITY, without_gain: 0 }
    }

    /// Whether the loss is looked at after so many steps.
    pub fn is_due(&self, step: u64) -> bool {
        step > 0 && step.is_multiple_of(self.rule.every)
    }

    /// Takes a loss in; one that is not finite is no gain.
    pub fn look(&mut self, loss: f64) -> Verdict {
        let is_best = loss < self.best;
        if is_best {
            self.best = loss;
        }
        if loss < self.bar - self.rule.min_delta {
            self.bar = loss;
            self.without_gain = 0;
        } else {
            self.without_gain += 1;
        }
        Verdict { is_best, stop: self.without_gain >= self.rule.patience }
    }
}
