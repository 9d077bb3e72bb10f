//! Many training runs on one data set, each on clusters of its own: jackknife, bootstrap, cross-validation.
//!
//! No data are copied: a run names the clusters it trains on and how often each counts. Runs share nothing but the data,
//! and each is worked on by one thread, so that a run gives the same bits alone, among others, and on any number of
//! threads.

use crate::objective::clusters::Clusters;
use crate::objective::evaluate;
use crate::objective::setting::{ExtraOutputs, Objective};
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::training::Trainer;
use crate::training::stopping::Patience;

/// One training run.
#[derive(Clone, Debug)]
pub struct Refit<'a, T> {
    /// Where it starts, what it minimizes, and how; its mini-batches.
    pub trainer: Trainer<T>,
    /// How often each cluster counts; 0 leaves it out.
    pub counts: &'a [f64],
    /// Clusters that are looked at and not trained on.
    pub held_out: &'a [usize],
}

/// How held-out clusters are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// Outer steps between two looks; there is one more after the last step.
    pub every: usize,
    /// A run ends after so many steps without a gain of more than `min_gain`.
    pub patience: usize,
    /// The gain that counts.
    pub min_gain: f64,
    /// α of the objective that is looked at; none: each run's own. 1 is the loss of the population's parameters.
    pub alpha: Option<f64>,
    /// Keep the parameters at every look, with or without held-out clusters.
    pub keep: bool,
}

/// What a run led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Refitted<T> {
    /// The parameters: the last, or with held-out clusters the best seen.
    pub theta: Vec<T>,
    /// Steps taken.
    pub n_steps: u64,
    /// Steps after which `theta` was taken.
    pub best_step: u64,
    /// Clusters left out because they diverged, counted once a step.
    pub n_skipped: u64,
    /// The objective on the held-out clusters at each look; infinite where one of them diverged.
    pub held_out: Vec<f64>,
    /// The parameters at each look, where they are kept.
    pub looks: Vec<Vec<T>>,
    /// Why the run ended early, if clusters diverged and were not to be skipped.
    pub fault: Option<KernelError>,
}

impl Watch {
    /// Checks the options.
    ///
    /// # Errors
    /// [`KernelError::Range`].
    pub fn validate(&self) -> Result<(), KernelError> {
        for (what, got) in [("every", self.every), ("patience", self.patience)] {
            if got == 0 {
                return Err(KernelError::Range { what, got: 0.0, needed: "at least 1" });
            }
        }
        if !(self.min_gain >= 0.0 && self.min_gain.is_finite()) {
            return Err(KernelError::Range { what: "min_gain", got: self.min_gain, needed: "finite and at least 0" });
        }
        match self.alpha {
            Some(got) if !(0.0..=1.0).contains(&got) => {
                Err(KernelError::Range { what: "the watched alpha", got, needed: "in [0, 1]" })
            }
            _ => Ok(()),
        }
    }
}

impl<T: Elementary> Refit<'_, T> {
    fn validate(&self, n_clusters: usize) -> Result<(), KernelError> {
        let range = |what, got, needed| Err(KernelError::Range { what, got, needed });
        if self.counts.len() != n_clusters {
            return Err(KernelError::Length { what: "counts", got: self.counts.len(), needed: n_clusters });
        }
        if let Some(&got) = self.counts.iter().find(|&&n| !(n >= 0.0 && n.is_finite())) {
            return range("every count", got, "finite and at least 0");
        }
        if !self.counts.iter().any(|&n| n > 0.0) {
            return range("the sum of counts", 0.0, "above 0");
        }
        match self.held_out.iter().find(|&&c| c >= n_clusters || self.counts[c] > 0.0) {
            Some(&c) if c >= n_clusters => range("every held-out cluster", c as f64, "below the number of clusters"),
            Some(&c) => range("every held-out cluster's count", self.counts[c], "0"),
            None => Ok(()),
        }
    }
}

/// Trains every run for `n_steps` outer steps, or fewer where held-out clusters say so.
///
/// # Errors
/// Misuse, or [`KernelError::Interrupted`]. Clusters that diverge end their own run only: see [`Refitted::fault`].
pub fn refit<T: Elementary>(
    runs: &[Refit<'_, T>],
    data: &Clusters<'_, T>,
    n_steps: usize,
    watch: &Watch,
    threads: Threads<'_>,
) -> Result<Vec<Refitted<T>>, KernelError> {
    watch.validate()?;
    runs.iter().try_for_each(|run| run.validate(data.n_clusters()))?;
    // A single run has all threads to itself: the bits are the same.
    let within = if runs.len() == 1 { threads } else { threads.alone() };
    threads.map(runs.iter(), || Ok(()), |(), run| train(run, data, n_steps, watch, within))
}

fn train<T: Elementary>(
    run: &Refit<'_, T>,
    data: &Clusters<'_, T>,
    n_steps: usize,
    watch: &Watch,
    threads: Threads<'_>,
) -> Result<Refitted<T>, KernelError> {
    let Refit { counts, held_out, .. } = *run;
    let mut trainer = run.trainer.copied()?;
    let products = counts.iter().enumerate().map(|(c, n)| n * data.cluster_weight(c));
    let weights: Vec<f64> = memory::list("the clusters' weights", products)?;
    let weighed = Clusters { cluster_weights: Some(&weights), ..*data };
    let mut among = memory::room("a list of clusters", counts.len())?;
    among.extend((0..counts.len()).filter(|&c| counts[c] > 0.0));
    let mut held_out_losses = HeldOutLosses {
        values: Vec::new(),
        best: None,
        patience: Patience::new(watch.patience as u64, watch.min_gain),
    };
    let (mut fault, mut looks) = (None, Vec::new());
    let looked_at = watch.keep || !held_out.is_empty();
    let end = trainer.state().n_steps + n_steps as u64;
    while trainer.state().n_steps < end {
        let piece = if looked_at { watch.every } else { n_steps };
        let piece = piece.min((end - trainer.state().n_steps) as usize);
        match trainer.advance_among(&weighed, Some(&among), piece, threads) {
            Ok(_) => {}
            Err(error @ KernelError::Diverged { .. }) => {
                fault = Some(error);
                break;
            }
            Err(error) => return Err(error),
        }
        if watch.keep {
            memory::reserve_one("the parameters at each look", &mut looks)?;
            looks.push(memory::list("parameters", trainer.state().theta.iter().copied())?);
        }
        if !held_out.is_empty() && held_out_losses.look(&trainer, data, held_out, watch, threads)? {
            break;
        }
    }
    let state = trainer.state();
    let (theta, best_step) = match held_out_losses.best {
        Some(best) => best,
        None => (memory::list("parameters", state.theta.iter().copied())?, state.n_steps),
    };
    let (n_steps, n_skipped, held_out) = (state.n_steps, state.n_skipped, held_out_losses.values);
    Ok(Refitted { theta, n_steps, best_step, n_skipped, held_out, looks, fault })
}

/// The held-out clusters' losses so far, and the parameters with the lowest.
struct HeldOutLosses<T> {
    values: Vec<f64>,
    best: Option<(Vec<T>, u64)>,
    patience: Patience,
}

impl<T: Elementary> HeldOutLosses<T> {
    /// Looks once; whether to stop.
    fn look(
        &mut self,
        trainer: &Trainer<T>,
        data: &Clusters<'_, T>,
        held_out: &[usize],
        watch: &Watch,
        threads: Threads<'_>,
    ) -> Result<bool, KernelError> {
        let state = trainer.state();
        let alpha = watch.alpha.unwrap_or(trainer.objective.alpha);
        let objective = Objective { alpha, skip_diverged: true, ..trainer.objective.clone() };
        // Only the status tells of clusters that would diverge on their way.
        let wanted = ExtraOutputs { status: alpha < 1.0, ..ExtraOutputs::default() };
        let found = evaluate(&trainer.architecture, &state.theta, data, Some(held_out), &objective, wanted, threads);
        let value = match found {
            Ok(found) if found.n_skipped == 0 => found.value,
            Ok(_) | Err(KernelError::Diverged { .. }) => f64::INFINITY,
            Err(error) => return Err(error),
        };
        memory::reserve_one("the looks at held-out clusters", &mut self.values)?;
        self.values.push(value);
        let verdict = self.patience.look(value, state.n_steps);
        if verdict.is_best || self.best.is_none() {
            self.best = Some((memory::list("parameters", state.theta.iter().copied())?, state.n_steps));
        }
        Ok(verdict.stop)
    }
}
