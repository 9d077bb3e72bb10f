//! Passes over whole parameter vectors: plain loops, entered with the instruction set's features so that the compiler
//! makes them full-width. Sums and products are taken in f64, which costs nothing beside the memory traffic.

use crate::simd::{Isa, Pass, Real, run};
use crate::system::error::KernelError;

/// A closure as a pass.
struct Closure<F>(F);

impl<O, F: FnOnce() -> O> Pass for Closure<F> {
    type Output = O;

    #[inline(always)]
    unsafe fn run<S: Isa>(self, _: S) -> O {
        (self.0)()
    }
}

/// Runs a closure of safe code with the instruction set's features.
#[inline(always)]
pub fn with_features<S: Isa, O>(isa: S, work: impl FnOnce() -> O) -> O {
    // SAFETY: the closure holds no pointers.
    unsafe { run(isa, Closure(work)) }
}

/// One inner step with momentum: m ← μ·m + g; next = θ − η ⊙ m.
pub fn momentum_step<S: Isa, T: Real>(
    isa: S,
    momentum: f64,
    rates: &[T],
    gradient: &[T],
    velocity: &mut [T],
    theta: &[T],
    next: &mut [T],
) {
    with_features(
        isa,
        #[inline(always)]
        || {
            let lines = rates.iter().zip(gradient).zip(velocity).zip(theta).zip(next);
            for ((((rate, g), m), theta), next) in lines {
                let new = momentum * m.to_f64() + g.to_f64();
                *m = T::from_f64(new);
                *next = T::from_f64(theta.to_f64() - rate.to_f64() * new);
            }
        },
    );
}

/// The adjoint of [`momentum_step`] in m: m̄ ← μ·m̄ − η ⊙ v.
pub fn momentum_adjoint<S: Isa, T: Real>(isa: S, momentum: f64, rates: &[T], v: &[T], adjoint: &mut [T]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for ((rate, v), m) in rates.iter().zip(v).zip(adjoint) {
                *m = T::from_f64(momentum * m.to_f64() - rate.to_f64() * v.to_f64());
            }
        },
    );
}

/// The derivative in the step sizes: into −= m ⊙ v.
pub fn subtract_product<S: Isa, T: Real>(isa: S, m: &[T], v: &[T], into: &mut [T]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for ((m, v), to) in m.iter().zip(v).zip(into) {
                *to = T::from_f64(to.to_f64() - m.to_f64() * v.to_f64());
            }
        },
    );
}

/// sum += scale·x.
pub fn add_scaled<S: Isa, T: Real>(isa: S, scale: f64, x: &[T], sum: &mut [f64]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for (x, sum) in x.iter().zip(sum) {
                *sum += scale * x.to_f64();
            }
        },
    );
}

/// sum += a·x + b·y: what one cluster adds to the objective's gradient.
pub fn add_two_scaled<S: Isa, T: Real>(isa: S, (a, x): (f64, &[T]), (b, y): (f64, &[T]), sum: &mut [f64]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for ((x, y), sum) in x.iter().zip(y).zip(sum) {
                *sum += a * x.to_f64() + b * y.to_f64();
            }
        },
    );
}

/// sum += x.
pub fn add<S: Isa>(isa: S, x: &[f64], sum: &mut [f64]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for (x, sum) in x.iter().zip(sum) {
                *sum += x;
            }
        },
    );
}

/// Whether every number is finite: 0·x is 0 for those and NaN for the others.
pub fn all_finite<S: Isa, T: Real>(isa: S, x: &[T]) -> bool {
    with_features(
        isa,
        #[inline(always)]
        || {
            let mut lanes = [0.0_f64; 16];
            let (whole, rest) = x.as_chunks::<16>();
            for chunk in whole {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += 0.0 * x.to_f64();
                }
            }
            lanes.iter().sum::<f64>() + rest.iter().map(|x| 0.0 * x.to_f64()).sum::<f64>() == 0.0
        },
    )
}

/// Σ x², in a fixed order.
pub fn squared_norm<S: Isa, T: Real>(isa: S, x: &[T]) -> f64 {
    with_features(
        isa,
        #[inline(always)]
        || {
            let mut lanes = [0.0_f64; 16];
            let (whole, rest) = x.as_chunks::<16>();
            for chunk in whole {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += x.to_f64() * x.to_f64();
                }
            }
            lanes.iter().sum::<f64>() + rest.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>()
        },
    )
}

/// The first number that is not finite, as an error.
pub fn finite<T: Real>(what: &'static str, numbers: &[T]) -> Result<(), KernelError> {
    let all: f64 = numbers.iter().map(|x| 0.0 * x.to_f64()).sum();
    if all == 0.0 {
        return Ok(());
    }
    let bad = numbers.iter().enumerate().find(|(_, x)| !x.to_f64().is_finite());
    bad.map_or(Ok(()), |(index, x)| Err(KernelError::NotFinite { what, index, value: x.to_f64() }))
}

/// Results that stopped being finite, as an error.
pub fn overflowed<T: Real>(what: &'static str, numbers: &[T]) -> Result<(), KernelError> {
    finite(what, numbers).map_err(|error| match error {
        KernelError::NotFinite { what, index, value } => KernelError::Overflowed { what, index, value },
        other => other,
    })
}
