//! One step of a whole parameter vector, by registers.
//!
//! Parameters that are penalised alike are stepped in one go: with penalties on weights and biases alike, all of them.
//! Vectors may have any length; what does not fill a register is done number by number.

use std::ops::Range;

use super::max_norm::limit_norms;
use super::{L1Method, Moments, Optimizer, Rule};
use crate::dense::vectors::{add_scaled, squared_norm, with_features};
use crate::network::architecture::{Architecture, Kind, Span, Units};
use crate::simd::{Backend, Isa, Pass, Real, run};
use crate::with_isa;

/// Parameters that are penalised alike.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    range: Range<usize>,
    coupled: f64,
    decoupled: f64,
    l1: f64,
}

/// An optimizer, ready for parameter vectors of one layout.
#[derive(Clone, Debug)]
pub struct Stepper {
    optimizer: Optimizer,
    parts: Vec<Part>,
    units: Vec<Units>,
}

impl Stepper {
    /// For vectors made of these spans, one after the other, and with these units.
    pub fn new(optimizer: Optimizer, spans: &[Span], units: Vec<Units>) -> Self {
        let penalties = optimizer.penalties;
        let mut parts: Vec<Part> = Vec::with_capacity(spans.len());
        for span in spans {
            let strength = |strength: f64, biases: bool| match span.kind {
                Kind::Weights => strength,
                Kind::Biases if biases => strength,
                _ => 0.0,
            };
            let part = Part {
                range: span.range.clone(),
                coupled: strength(penalties.coupled.strength, penalties.coupled.biases),
                decoupled: strength(penalties.decoupled.strength, penalties.decoupled.biases),
                l1: strength(penalties.l1.strength, penalties.l1.biases),
            };
            match parts.last_mut() {
                Some(last) if Part { range: part.range.clone(), ..last.clone() } == part => {
                    last.range.end = part.range.end;
                }
                _ => parts.push(part),
            }
        }
        Self { optimizer, parts, units: if optimizer.max_norm.is_some() { units } else { Vec::new() } }
    }

    /// [kept, rate] of step t if it is nothing but θ ← kept·θ − rate·gradient, so that whoever finds the gradient can take
    /// the step at once. [`Stepper::bound`] is still to be done after it.
    pub fn as_descent(&self, t: u64) -> Option<[f64; 2]> {
        let Optimizer { rule, clip_norm, .. } = self.optimizer;
        match (&self.parts[..], rule) {
            ([part], Rule::Sgd { momentum: 0.0, .. }) if part.l1 == 0.0 && clip_norm.is_none() => {
                let rate = self.optimizer.rate(t);
                Some([1.0 - rate * (part.coupled + part.decoupled), rate])
            }
            _ => None,
        }
    }

    /// Bounds the units' weights, as the last part of a step.
    pub fn bound<S: Isa, T: Real>(&self, isa: S, theta: &mut [T]) {
        if let Some(limit) = self.optimizer.max_norm {
            self.units.iter().for_each(|units| limit_norms(isa, theta, *units, limit));
        }
    }

    /// Takes step t, counted from 0; `first` and `second` are the optimizer's state, as long as θ where the rule keeps
    /// them.
    ///
    /// # Panics
    /// If a vector is shorter than the spans.
    pub fn step<S: Isa, T: Real>(
        &self,
        isa: S,
        t: u64,
        gradient: &[T],
        theta: &mut [T],
        first: &mut [T],
        second: &mut [T],
    ) {
        let clip = self.clip(isa, gradient);
        let end = self.parts.last().map_or(0, |part| part.range.end);
        let [keeps_first, keeps_second] = self.optimizer.moments();
        assert!(gradient.len() >= end && theta.len() >= end, "vectors are shorter than the layout");
        assert!(!keeps_first || first.len() >= end, "the first moment is missing");
        assert!(!keeps_second || second.len() >= end, "the second moment is missing");
        for part in &self.parts {
            let at = part.range.start;
            let vectors = Vectors {
                len: part.range.len(),
                gradient: gradient[at..].as_ptr(),
                theta: theta[at..].as_mut_ptr(),
                // Not followed by a rule that keeps no moment.
                first: first.as_mut_ptr().wrapping_add(at),
                second: second.as_mut_ptr().wrapping_add(at),
            };
            self.step_part(isa, t, clip, part, vectors);
        }
        self.bound(isa, theta);
    }

    /// Adds the gradient as a step at `theta` applies it: scaled down, with every penalty that has a gradient, and before
    /// momentum or moments. A proximal step and a bound on norms have none.
    pub fn add_applied<S: Isa, T: Real>(&self, isa: S, gradient: &[T], theta: &[T], sum: &mut [f64]) {
        let clip = self.clip(isa, gradient);
        let l1 = self.optimizer.penalties.l1;
        for part in &self.parts {
            let (gradient, theta) = (&gradient[part.range.clone()], &theta[part.range.clone()]);
            let sum = &mut sum[part.range.clone()];
            add_scaled(isa, clip, gradient, sum);
            if part.coupled + part.decoupled > 0.0 {
                add_scaled(isa, part.coupled + part.decoupled, theta, sum);
            }
            if part.l1 > 0.0 && l1.method != L1Method::Proximal {
                add_slopes(isa, (part.l1, l1.steepness()), theta, sum);
            }
        }
    }

    fn step_part<S: Isa, T: Real>(&self, isa: S, t: u64, clip: f64, part: &Part, vectors: Vectors<T>) {
        let rate = self.optimizer.rate(t);
        let l1 = self.optimizer.penalties.l1;
        let by = |method: L1Method| if l1.method == method { part.l1 } else { 0.0 };
        let common = StepNumbers {
            clip,
            coupled: part.coupled,
            rate,
            kept: 1.0 - rate * part.decoupled,
            pull: by(L1Method::Subgradient),
            drift: rate * by(L1Method::Decoupled),
            threshold: rate * by(L1Method::Proximal),
            steepness: l1.steepness(),
        };
        let has_l1 = part.l1 > 0.0;
        match self.optimizer.rule {
            Rule::Sgd { momentum: 0.0, .. } => enter(isa, GradientDescent, common, has_l1, vectors),
            Rule::Sgd { momentum, nesterov: false } => enter(isa, Momentum { momentum }, common, has_l1, vectors),
            Rule::Sgd { momentum, nesterov: true } => enter(isa, Nesterov { momentum }, common, has_l1, vectors),
            Rule::Adam(m) => {
                let adam = Adam::of_step(m, t);
                enter(isa, adam, common, has_l1, vectors);
            }
        }
    }

    fn clip<S: Isa, T: Real>(&self, isa: S, gradient: &[T]) -> f64 {
        let Some(limit) = self.optimizer.clip_norm else { return 1.0 };
        let norm = squared_norm(isa, gradient).sqrt();
        if norm > limit { limit / norm } else { 1.0 }
    }
}

impl Optimizer {
    /// Takes step t, counted from 0, of a network's flat parameters, or without one of parameters that are all weights;
    /// `first` and `second` as in `Stepper::step`.
    pub fn step<T: Real>(
        &self,
        network: Option<&Architecture>,
        t: u64,
        gradient: &[T],
        theta: &mut [T],
        first: &mut [T],
        second: &mut [T],
    ) {
        let all = || (vec![Span { range: 0..theta.len(), kind: Kind::Weights }], Vec::new());
        let (spans, units) = network.map_or_else(all, Architecture::spans);
        let stepper = Stepper::new(*self, &spans, units);
        with_isa!(Backend::detect(), isa => stepper.step(isa, t, gradient, theta, first, second));
    }
}

/// The numbers of one step of one part, the same for all rules.
#[derive(Clone, Copy)]
struct StepNumbers {
    clip: f64,
    coupled: f64,
    rate: f64,
    /// What decoupled decay leaves of θ.
    kept: f64,
    pull: f64,
    drift: f64,
    threshold: f64,
    /// 1/δ of a smoothed penalty, else 0.
    steepness: f64,
}

#[derive(Clone, Copy)]
struct Vectors<T> {
    len: usize,
    gradient: *const T,
    theta: *mut T,
    first: *mut T,
    second: *mut T,
}

/// From a gradient, penalties included, to the direction that is taken `lr` times.
trait Direction: Copy {
    /// # Safety
    /// The moments that the rule keeps must be valid at `at` for a register.
    unsafe fn direction<S: Isa, T: Real>(self, s: S, g: T::Lanes<S>, moments: [*mut T; 2]) -> T::Lanes<S>;
}

/// The gradient itself.
#[derive(Clone, Copy)]
struct GradientDescent;

impl Direction for GradientDescent {
    #[inline(always)]
    unsafe fn direction<S: Isa, T: Real>(self, _: S, g: T::Lanes<S>, _: [*mut T; 2]) -> T::Lanes<S> {
        g
    }
}

#[derive(Clone, Copy)]
struct Momentum {
    momentum: f64,
}

impl Direction for Momentum {
    #[inline(always)]
    unsafe fn direction<S: Isa, T: Real>(self, s: S, g: T::Lanes<S>, [first, _]: [*mut T; 2]) -> T::Lanes<S> {
        // SAFETY: the caller's promise.
        unsafe {
            let b = T::fma(s, T::constant(s, self.momentum), T::load(s, first), g);
            T::store(s, first, b);
            b
        }
    }
}

#[derive(Clone, Copy)]
struct Nesterov {
    momentum: f64,
}

impl Direction for Nesterov {
    #[inline(always)]
    unsafe fn direction<S: Isa, T: Real>(self, s: S, g: T::Lanes<S>, moments: [*mut T; 2]) -> T::Lanes<S> {
        // SAFETY: the caller's promise.
        let b = unsafe { Momentum { momentum: self.momentum }.direction::<S, T>(s, g, moments) };
        T::fma(s, T::constant(s, self.momentum), b, g)
    }
}

#[derive(Clone, Copy)]
struct Adam {
    betas: [f64; 2],
    unbias: f64,
    unbias_root: f64,
    epsilon: f64,
}

impl Adam {
    /// Step t, counted from 0. Not inlined: powers may be taken ahead of a branch, and plain descent would pay for them.
    #[inline(never)]
    fn of_step(Moments { beta1, beta2, epsilon }: Moments, t: u64) -> Self {
        let power = i32::try_from(t.saturating_add(1)).unwrap_or(i32::MAX);
        Self {
            betas: [beta1, beta2],
            unbias: 1.0 / (1.0 - beta1.powi(power)),
            unbias_root: (1.0 - beta2.powi(power)).sqrt().recip(),
            epsilon,
        }
    }
}

impl Direction for Adam {
    #[inline(always)]
    unsafe fn direction<S: Isa, T: Real>(self, s: S, g: T::Lanes<S>, [first, second]: [*mut T; 2]) -> T::Lanes<S> {
        let [beta1, beta2] = self.betas;
        let fresh = T::mul(s, T::constant(s, 1.0 - beta1), g);
        let fresh_square = T::mul(s, T::mul(s, T::constant(s, 1.0 - beta2), g), g);
        // SAFETY: the caller's promise.
        unsafe {
            let a = T::fma(s, T::constant(s, beta1), T::load(s, first), fresh);
            let b = T::fma(s, T::constant(s, beta2), T::load(s, second), fresh_square);
            T::store(s, first, a);
            T::store(s, second, b);
            let scale = T::fma(s, T::sqrt(s, b), T::constant(s, self.unbias_root), T::constant(s, self.epsilon));
            T::div(s, T::mul(s, a, T::constant(s, self.unbias)), scale)
        }
    }
}

fn enter<S: Isa, T: Real, D: Direction>(isa: S, rule: D, common: StepNumbers, has_l1: bool, vectors: Vectors<T>) {
    // SAFETY: the caller checked the vectors' lengths.
    unsafe {
        if has_l1 {
            run(isa, ParameterStep::<T, D, true> { rule, common, vectors });
        } else {
            run(isa, ParameterStep::<T, D, false> { rule, common, vectors });
        }
    }
}

/// One step of all parameters of a part, register by register.
struct ParameterStep<T, D, const L1: bool> {
    rule: D,
    common: StepNumbers,
    vectors: Vectors<T>,
}

impl<T: Real, D: Direction, const L1: bool> Pass for ParameterStep<T, D, L1> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let len = self.vectors.len;
        let whole = len - len % T::lanes::<S>();
        // SAFETY: every register and every number after the last whole one lies inside the vectors.
        unsafe {
            for at in (0..whole).step_by(T::lanes::<S>()) {
                self.at(s, at);
            }
            for at in whole..len {
                self.at(pulp::Scalar, at);
            }
        }
    }
}

impl<T: Real, D: Direction, const L1: bool> ParameterStep<T, D, L1> {
    #[inline(always)]
    unsafe fn at<S: Isa>(&self, s: S, at: usize) {
        let (c, v) = (self.common, self.vectors);
        // SAFETY: the caller's register lies inside the vectors.
        unsafe {
            let theta = T::load(s, v.theta.add(at));
            let g = T::mul(s, T::constant(s, c.clip), T::load(s, v.gradient.add(at)));
            let mut g = T::fma(s, T::constant(s, c.coupled), theta, g);
            let slope = if L1 { sign::<S, T>(s, theta, c.steepness) } else { theta };
            if L1 {
                g = T::fma(s, T::constant(s, c.pull), slope, g);
            }
            let moments = [v.first.wrapping_add(at), v.second.wrapping_add(at)];
            let direction = self.rule.direction::<S, T>(s, g, moments);
            let kept = T::mul(s, T::constant(s, c.kept), theta);
            let mut new = T::nfma(s, T::constant(s, c.rate), direction, kept);
            if L1 {
                new = T::nfma(s, T::constant(s, c.drift), slope, new);
                new = T::sub(s, new, clamp::<S, T>(s, new, c.threshold));
            }
            T::store(s, v.theta.add(at), new);
        }
    }
}

/// sum += strength · the slope of |θ|, as [`sign`] has it.
fn add_slopes<S: Isa, T: Real>(isa: S, (strength, steepness): (f64, f64), theta: &[T], sum: &mut [f64]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for (theta, sum) in theta.iter().zip(sum) {
                let theta = theta.to_f64();
                let sign = f64::from(u8::from(theta > 0.0)) - f64::from(u8::from(theta < 0.0));
                *sum += strength * if steepness > 0.0 { (theta * steepness).clamp(-1.0, 1.0) } else { sign };
            }
        },
    );
}

/// θ limited to [−limit, limit]: what a soft threshold takes away.
#[inline(always)]
fn clamp<S: Isa, T: Real>(s: S, theta: T::Lanes<S>, limit: f64) -> T::Lanes<S> {
    let limit = T::constant(s, limit);
    T::min(s, T::max(s, theta, T::neg(s, limit)), limit)
}

/// The slope of |θ|, 0 at 0; with steepness 1/δ that of the smoothed penalty.
#[inline(always)]
fn sign<S: Isa, T: Real>(s: S, theta: T::Lanes<S>, steepness: f64) -> T::Lanes<S> {
    if steepness > 0.0 {
        return clamp::<S, T>(s, T::mul(s, theta, T::constant(s, steepness)), 1.0);
    }
    let (zero, one) = (T::constant(s, 0.0), T::constant(s, 1.0));
    let negative = T::select(s, T::less(s, theta, zero), T::neg(s, one), zero);
    T::select(s, T::less(s, zero, theta), one, negative)
}
