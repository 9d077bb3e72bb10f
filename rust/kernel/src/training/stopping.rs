//! Early stopping: Prechelt, "Early stopping – but when?" (1998). One rule for refits, many models and the estimators' loop.

/// How a value that is to fall went. Times are whatever the caller counts: steps, or looks.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    patience: u64,
    min_gain: f64,
    /// The lowest value.
    least: f64,
    /// The value of the last gain, and its time.
    bar: (f64, u64),
}

/// What a new value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It is the lowest so far.
    pub is_best: bool,
    /// Patience is over.
    pub stop: bool,
}

impl Patience {
    /// Stops once the value has not fallen by more than `min_gain` for so long, from time 0 on.
    pub fn new(patience: u64, min_gain: f64) -> Self {
        Self { patience, min_gain, least: f64::INFINITY, bar: (f64::INFINITY, 0) }
    }

    /// Takes a value in; one that is not finite is no gain. Times must not fall.
    pub fn look(&mut self, value: f64, time: u64) -> Verdict {
        let is_best = value < self.least;
        if is_best {
            self.least = value;
        }
        if value < self.bar.0 - self.min_gain {
            self.bar = (value, time);
        }
        Verdict { is_best, stop: time.saturating_sub(self.bar.1) >= self.patience }
    }
}
