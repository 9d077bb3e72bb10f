//! The inner loop of one cluster: k steps of gradient descent, and the exact way back.
//!
//! θ^{t+1} = θ^t − η ∇L(θ^t), t = 0 … k−1. The way back starts with v = ∇L(θ^k) and takes
//! v ← v − η H(θ^t) v for t = k−1 … 0: k + 1 gradients and k Hessian-vector products, never more.
//!
//! With momentum, m^{t+1} = μ m^t + ∇L(θ^t) and θ^{t+1} = θ^t − η ⊙ m^{t+1}; its adjoint m̄ ← μ m̄ − η ⊙ v takes the
//! direction's place and v ← v + H m̄. Steps of their own for each parameter, or for the head alone, are a vector η.
//!
//! What the way back needs of the path is kept in a ring of slots. When all k steps do not fit the budget, the path is
//! cut into segments: their first points are kept, and each segment is walked again before its way back.

use crate::dense::vectors;
use crate::network::Point;
use crate::network::layout::Layout;
use crate::network::workspace::{Buffer, From, Sink};
use crate::objective::dual::Dual;
use crate::objective::rows::{Engine, Side};
use crate::objective::setting::Setting;
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::{Divergence, KernelError};
use crate::system::memory;
use crate::system::threads::Threads;

/// One point of the path.
struct PathPoint<T> {
    theta: Buffer<T>,
    transposed: Buffer<T>,
}

impl<T: Elementary> PathPoint<T> {
    fn new(layout: &Layout) -> Result<Self, KernelError> {
        Ok(Self {
            theta: Buffer::new("a cluster's parameters and gradients", layout.len)?,
            transposed: Buffer::new("a cluster's parameters and gradients", layout.transposed_len)?,
        })
    }
}

/// Scratch of the inner loop, sized once.
pub struct Path<T> {
    ring: Vec<PathPoint<T>>,
    /// First points of the segments after the first, and their velocities.
    checkpoints: Vec<[Buffer<T>; 2]>,
    /// ∇L at the start, over all rows.
    pub before: Buffer<T>,
    /// ∇L at the end, then the whole derivative of the adapted loss.
    pub adjoint: Buffer<T>,
    /// −Σ m ⊙ v: the derivative in η.
    pub rates: Buffer<T>,
    /// The dual form, where some clusters take it.
    pub dual: Option<Dual<T>>,
    direction: PathPoint<T>,
    gradient: Buffer<T>,
    velocity: Buffer<T>,
    velocities: Vec<Buffer<T>>,
}

/// Why a cluster has no result.
pub enum InnerError {
    /// It diverged.
    Diverged(Divergence),
    /// The caller asked to stop.
    Stopped(KernelError),
}

impl<T: Elementary> Path<T> {
    /// Scratch for the paths of a setting.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new<S: Isa>(setting: &Setting<'_, S, T>) -> Result<Self, KernelError> {
        let layout = setting.network.layout;
        let vector =
            |wanted: bool| Buffer::new("a cluster's parameters and gradients", if wanted { layout.len } else { 0 });
        let slot = || PathPoint::new(layout);
        let general = !setting.is_plain();
        let segments = setting.steps.div_ceil(setting.plan.segment);
        let checkpoints = if setting.plan.way_back { segments.saturating_sub(1) } else { 0 };
        let velocities = if setting.rate_gradient { setting.plan.slots() } else { 0 };
        let dual = (setting.dual_rows > 0).then(|| Dual::new(setting, setting.dual_rows));
        Ok(Self {
            ring: memory::tried("the points of a path", (0..setting.plan.slots()).map(|_| slot()))?,
            checkpoints: memory::tried(
                "the checkpoints of a path",
                (0..checkpoints).map(|_| Ok([vector(true)?, vector(general)?])),
            )?,
            before: vector(true)?,
            adjoint: vector(true)?,
            rates: vector(setting.rate_gradient)?,
            dual: dual.transpose()?,
            direction: slot()?,
            gradient: vector(general)?,
            velocity: vector(general)?,
            velocities: Buffer::several("a cluster's parameters and gradients", (0..velocities).map(|_| layout.len))?,
        })
    }

    fn slot(&self, t: usize) -> usize {
        t % self.ring.len()
    }

    /// θ^t: the shared start, or the ring's.
    pub fn point<'a, S>(&'a self, setting: &Setting<'a, S, T>, t: usize) -> Point<'a, T> {
        if t == 0 {
            return setting.start;
        }
        let slot = &self.ring[self.slot(t)];
        Point { theta: &slot.theta, transposed: &slot.transposed }
    }

    /// Walks to θ^k; returns the support loss at θ. `want_before`: keep the first gradient in `before`.
    pub fn adapt<S: Isa, E: Engine<T>>(
        &mut self,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        threads: &Threads<'_>,
        want_before: bool,
    ) -> Result<f64, InnerError> {
        self.velocity.fill(T::default());
        let mut first = f64::NAN;
        for t in 0..setting.steps {
            threads.check().map_err(InnerError::Stopped)?;
            if setting.plan.way_back && t > 0 && t % setting.plan.segment == 0 {
                self.keep_checkpoint(setting, t);
            }
            let loss = self.step(setting, engine, t, want_before && t == 0);
            if t == 0 {
                first = loss;
            }
            if !loss.is_finite() {
                return Err(InnerError::Diverged(Divergence { step: t, loss }));
            }
        }
        Ok(first)
    }

    fn keep_checkpoint<S>(&mut self, setting: &Setting<'_, S, T>, t: usize) {
        let [theta, velocity] = &mut self.checkpoints[t / setting.plan.segment - 1];
        theta.copy_from_slice(&self.ring[t % self.ring.len()].theta);
        velocity.copy_from_slice(&self.velocity);
    }

    /// θ^{t+1} from θ^t, with the record under θ^t's slot; the gradient into `before` too when wanted.
    fn step<S: Isa, E: Engine<T>>(&mut self, setting: &Setting<'_, S, T>, engine: &mut E, t: usize, keep: bool) -> f64 {
        let (now, next) = (self.slot(t), self.slot(t + 1));
        let one = T::from_f64(1.0);
        let loss;
        if setting.is_plain() {
            let (point, after) = now_and_next(&mut self.ring, setting.start, t, now, next);
            let mut sink = Sink::new(From::Other(point.theta), &mut after.theta, T::from_f64(-setting.rate));
            if keep {
                sink = sink.and(From::Zero, &mut self.before, one);
            }
            loss = engine.gradient(Side::Support, &point, now, Some(sink));
        } else {
            let (point, after) = now_and_next(&mut self.ring, setting.start, t, now, next);
            loss = engine.gradient(Side::Support, &point, now, Some(Sink::new(From::Zero, &mut self.gradient, one)));
            if keep {
                self.before.copy_from_slice(&self.gradient);
            }
            let rates = setting.rates.expect("a path that is not plain has steps of its own");
            let isa = setting.network.isa;
            let velocity = &mut self.velocity;
            vectors::momentum_step(
                isa,
                setting.inner.momentum,
                rates,
                &self.gradient,
                velocity,
                point.theta,
                &mut after.theta,
            );
            if let Some(kept) = self.velocities.get_mut(now) {
                kept.copy_from_slice(velocity);
            }
        }
        let after = &mut self.ring[next];
        setting.network.transpose(&after.theta, &mut after.transposed);
        loss
    }

    /// ∇L over the query rows at θ^k, into `adjoint`.
    pub fn measure<S: Isa, E: Engine<T>>(
        &mut self,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
    ) -> Result<f64, InnerError> {
        let k = setting.steps;
        let slot = self.slot(k);
        let mut adjoint = std::mem::replace(&mut self.adjoint, Buffer::empty());
        let sink = Sink::new(From::Zero, &mut adjoint, T::from_f64(1.0));
        let loss = engine.gradient(Side::Query, &self.point(setting, k), slot, Some(sink));
        self.adjoint = adjoint;
        if loss.is_finite() { Ok(loss) } else { Err(InnerError::Diverged(Divergence { step: k, loss })) }
    }

    /// Pulls `adjoint` back from θ^k to θ, and fills `rates` when wanted.
    pub fn pull_back<S: Isa, E: Engine<T>>(
        &mut self,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        threads: &Threads<'_>,
    ) -> Result<(), InnerError> {
        let segment = setting.plan.segment;
        if setting.rates.is_some() {
            // The momentum's adjoint lives in the direction, and starts at nothing.
            self.direction.theta.fill(T::default());
            self.rates.fill(T::default());
        }
        let last = setting.steps.div_ceil(segment).saturating_sub(1);
        for index in (0..=last).rev() {
            let range = index * segment..((index + 1) * segment).min(setting.steps);
            if index < last {
                self.walk_again(setting, engine, threads, range.clone())?;
            }
            for t in range.rev() {
                threads.check().map_err(InnerError::Stopped)?;
                self.pull_step(setting, engine, t);
            }
        }
        Ok(())
    }

    /// A segment's points and records once more, from its checkpoint.
    fn walk_again<S: Isa, E: Engine<T>>(
        &mut self,
        setting: &Setting<'_, S, T>,
        engine: &mut E,
        threads: &Threads<'_>,
        range: std::ops::Range<usize>,
    ) -> Result<(), InnerError> {
        self.velocity.fill(T::default());
        if let Some(index) = (range.start / setting.plan.segment).checked_sub(1) {
            let slot = range.start % self.ring.len();
            let [theta, velocity] = &self.checkpoints[index];
            let at = &mut self.ring[slot];
            at.theta.copy_from_slice(theta);
            self.velocity.copy_from_slice(velocity);
            setting.network.transpose(&at.theta, &mut at.transposed);
        }
        for t in range {
            threads.check().map_err(InnerError::Stopped)?;
            self.step(setting, engine, t, false);
        }
        Ok(())
    }

    fn pull_step<S: Isa, E: Engine<T>>(&mut self, setting: &Setting<'_, S, T>, engine: &mut E, t: usize) {
        let isa = setting.network.isa;
        let slot = self.slot(t);
        let mut adjoint = std::mem::replace(&mut self.adjoint, Buffer::empty());
        let scale = match setting.rates {
            None => {
                // v becomes the direction, and the new v starts from it.
                std::mem::swap(&mut self.direction.theta, &mut adjoint);
                -setting.rate
            }
            Some(rates) => {
                if setting.rate_gradient {
                    vectors::subtract_product(isa, &self.velocities[slot], &adjoint, &mut self.rates);
                }
                vectors::momentum_adjoint(isa, setting.inner.momentum, rates, &adjoint, &mut self.direction.theta);
                1.0
            }
        };
        if setting.inner.first_order {
            self.adjoint = adjoint;
            return;
        }
        setting.network.transpose(&self.direction.theta, &mut self.direction.transposed);
        let direction = Point { theta: &self.direction.theta, transposed: &self.direction.transposed };
        let from = if setting.rates.is_none() { From::Other(direction.theta) } else { From::Itself };
        let sink = Sink::new(from, &mut adjoint, T::from_f64(scale));
        engine.tangent(slot, &self.point(setting, t), &direction, sink);
        self.adjoint = adjoint;
    }
}

/// θ^t to read and θ^{t+1}'s slot to write.
fn now_and_next<'a, T>(
    ring: &'a mut [PathPoint<T>],
    start: Point<'a, T>,
    t: usize,
    now: usize,
    next: usize,
) -> (Point<'a, T>, &'a mut PathPoint<T>) {
    if t == 0 {
        return (start, &mut ring[next]);
    }
    let [now, next] = ring.get_disjoint_mut([now, next]).expect("a ring has a slot more than a segment");
    (Point { theta: &now.theta, transposed: &now.transposed }, next)
}

#[cfg(test)]
mod tests;
