//! The mode of a cluster's latent effects: Rasmussen & Williams (2006), algorithm 3.1, with steps halved where they lead
//! down.

use crate::system::error::KernelError;
use crate::system::memory;

use super::family::Derivatives;
use super::laplace::Outcomes;
use super::latent::{Latent, Place, State};
use super::padded::Padded;
use super::structure::Covariance;

const WHAT: &str = "the latent effects of a cluster";

/// Newton steps at most; ten are many.
const MOST_STEPS: usize = 100;
/// Halvings of a step at most.
const MOST_HALVINGS: usize = 40;
/// The mode is found where a step changes it by less, relative to its size: the step after would change its square.
const SMALL: f64 = 1e-9;

/// A cluster at its mode.
pub(super) struct Mode {
    pub latent: Latent,
    /// û = Ka; a is ∇log p there.
    pub state: State,
    /// ∂W/∂f.
    pub curvature_slope: Vec<f64>,
    /// log q, without terms in y alone.
    pub log_likelihood: f64,
}

impl Covariance {
    /// Finds a cluster's mode by Newton's method, steps halved where they lead down.
    pub(super) fn mode(&self, place: &Place<'_>, outcomes: &Outcomes<'_>) -> Result<Mode, KernelError> {
        let mut search = Search::new(place, outcomes)?;
        if let Some(mode) = outcomes.mode {
            search.try_start(&mode[self.rows(place.cluster)])?;
        }
        for _ in 0..MOST_STEPS {
            place.threads.check()?;
            if search.step()? {
                return search.finish();
            }
        }
        Err(KernelError::NoMode { cluster: place.cluster, steps: MOST_STEPS })
    }
}

/// A search for a cluster's mode.
struct Search<'a> {
    place: &'a Place<'a>,
    outcomes: &'a Outcomes<'a>,
    latent: Latent,
    state: State,
    /// What the outcomes say there.
    rows: Vec<Derivatives>,
    /// log p(y | η + u) − ½uᵀK⁻¹u
    value: f64,
}

impl<'a> Search<'a> {
    fn new(place: &'a Place<'a>, outcomes: &'a Outcomes<'a>) -> Result<Self, KernelError> {
        let latent = place.covariance.latent(place.cluster, place.roots, place.threads)?;
        let state = latent.nothing(place)?;
        let mut search = Self { place, outcomes, latent, state, rows: Vec::new(), value: f64::NEG_INFINITY };
        search.rows = search.derivatives(&search.state.u)?;
        search.value = search.value_at(&search.rows, &search.state);
        if search.value.is_finite() {
            return Ok(search);
        }
        let value = search.value;
        Err(KernelError::Overflowed { what: "the log-likelihood at eta of a cluster", index: place.cluster, value })
    }

    /// What the outcomes say at u.
    fn derivatives(&self, u: &Padded) -> Result<Vec<Derivatives>, KernelError> {
        let rows = self.place.covariance.rows(self.place.cluster);
        let of_row = |(i, row): (usize, usize)| {
            let weight = self.outcomes.weights.map_or(1.0, |weights| weights[row]);
            if weight == 0.0 {
                return Derivatives::default();
            }
            let d = self.outcomes.family.derivatives(self.outcomes.y[row], self.outcomes.eta[row] + u.at(i, 0));
            Derivatives {
                value: weight * d.value,
                slope: weight * d.slope,
                curvature: weight * d.curvature,
                curvature_slope: weight * d.curvature_slope,
            }
        };
        memory::list(WHAT, rows.enumerate().map(of_row))
    }

    fn value_at(&self, rows: &[Derivatives], state: &State) -> f64 {
        rows.iter().map(|row| row.value).sum::<f64>() - 0.5 * self.latent.prior(state)
    }

    /// One Newton step from u, where the outcomes say `rows`: a = (I + WK)⁻¹(Wu + g).
    fn newton(&mut self, u: &Padded, rows: &[Derivatives]) -> Result<State, KernelError> {
        let weights = memory::list(WHAT, rows.iter().map(|row| row.curvature))?;
        self.latent.set_weights(self.place, &weights)?;
        let mut b = Padded::zeros(WHAT, u.rows, 1)?;
        for (i, row) in rows.iter().enumerate() {
            b.row_mut(i)[0] = row.curvature * u.at(i, 0) + row.slope;
        }
        self.latent.shrunk(self.place, b)
    }

    /// Starts one step behind a given mode, if that is better than nothing.
    fn try_start(&mut self, mode: &[f64]) -> Result<(), KernelError> {
        let mut u = Padded::default();
        u.load(WHAT, mode, 1)?;
        let rows = self.derivatives(&u)?;
        if !rows.iter().all(|row| row.curvature.is_finite() && row.slope.is_finite()) {
            return Ok(());
        }
        // A start may be so far off that its own step has no factor.
        let Ok(state) = self.newton(&u, &rows) else { return Ok(()) };
        let rows = self.derivatives(&state.u)?;
        let value = self.value_at(&rows, &state);
        if value >= self.value {
            (self.state, self.rows, self.value) = (state, rows, value);
        }
        Ok(())
    }

    /// One step; says whether it was small.
    fn step(&mut self) -> Result<bool, KernelError> {
        let (state, rows) = (std::mem::take(&mut self.state), std::mem::take(&mut self.rows));
        let target = self.newton(&state.u, &rows)?;
        let change = largest(target.u.numbers.iter().zip(&state.u.numbers).map(|(new, old)| new - old));
        let change = change / (1.0 + largest(target.u.numbers.iter().copied()));
        let mut length = 1.0;
        for _ in 0..=MOST_HALVINGS {
            let new = state.towards(&target, length)?;
            let rows = self.derivatives(&new.u)?;
            let value = self.value_at(&rows, &new);
            // Near the mode the value no longer changes but for rounding.
            if value >= self.value - 1e-10 * (1.0 + self.value.abs()) {
                // Large effects may leave no more digits than that: then the value stands still.
                let stands = (value - self.value).abs() <= 4.0 * f64::EPSILON * (1.0 + value.abs());
                (self.state, self.rows, self.value) = (new, rows, value);
                return Ok(change <= SMALL || (stands && change <= 1e2 * SMALL));
            }
            length *= 0.5;
        }
        Err(KernelError::NoMode { cluster: self.place.cluster, steps: MOST_STEPS })
    }

    fn finish(mut self) -> Result<Mode, KernelError> {
        let weights = memory::list(WHAT, self.rows.iter().map(|row| row.curvature))?;
        let log = self.latent.set_weights(self.place, &weights)?;
        self.place.threads.check()?;
        Ok(Mode {
            curvature_slope: memory::list(WHAT, self.rows.iter().map(|row| row.curvature_slope))?,
            log_likelihood: self.value - 0.5 * log,
            latent: self.latent,
            state: self.state,
        })
    }
}

/// The largest magnitude; NaN counts as more than any.
fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |most, x| if x.abs() <= most { most } else { x.abs() })
}
