//! One step of a network's particles: noisy gradient descent, or Adam.

use crate::optimizer::Moments;
use crate::simd::{Isa, Pass, Real, run};
use crate::vectors::with_features;

/// θ ← θ − rate·(g + decay·θ) + spread·ξ, without ξ where there is none.
pub(super) fn langevin<S: Isa, T: Real>(
    isa: S,
    theta: &mut [T],
    gradient: &[T],
    noise: Option<&[T]>,
    (rate, decay, spread): (f64, f64, f64),
) {
    assert!(gradient.len() == theta.len() && noise.is_none_or(|noise| noise.len() == theta.len()));
    let numbers = [1.0 - rate * decay, -rate, spread].map(T::from_f64);
    let noise = noise.map_or(std::ptr::null(), <[T]>::as_ptr);
    let work = Langevin { len: theta.len(), theta: theta.as_mut_ptr(), gradient: gradient.as_ptr(), noise, numbers };
    // SAFETY: the lengths were compared; they are multiples of the padding.
    unsafe { run(isa, work) }
}

struct Langevin<T> {
    len: usize,
    theta: *mut T,
    gradient: *const T,
    noise: *const T,
    numbers: [T; 3],
}

impl<T: Real> Pass for Langevin<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let [keep, step, spread] = self.numbers.map(|x| T::splat(s, x));
        for at in (0..self.len).step_by(T::lanes::<S>()) {
            // SAFETY: the caller compared the lengths, which are whole registers.
            unsafe {
                let mut new = T::mul(s, T::load(s, self.theta.add(at)), keep);
                new = T::fma(s, T::load(s, self.gradient.add(at)), step, new);
                if !self.noise.is_null() {
                    new = T::fma(s, T::load(s, self.noise.add(at)), spread, new);
                }
                T::store(s, self.theta.add(at), new);
            }
        }
    }
}

/// Adam on g + decay·θ, its step counted from 0: Kingma & Ba (2015), with PyTorch's conventions.
pub(super) fn adam<S: Isa, T: Real>(
    isa: S,
    theta: &mut [T],
    gradient: &[T],
    (first, second): (&mut [T], &mut [T]),
    moments: Moments,
    (rate, decay, step): (f64, f64, u64),
) {
    let power = i32::try_from(step + 1).unwrap_or(i32::MAX);
    let inverse1 = 1.0 / (1.0 - moments.beta1.powi(power));
    let inverse2 = 1.0 / (1.0 - moments.beta2.powi(power));
    with_features(
        isa,
        #[inline(always)]
        || {
            for (((theta, g), first), second) in theta.iter_mut().zip(gradient).zip(first).zip(second) {
                let g = g.to_f64() + decay * theta.to_f64();
                let a = moments.beta1 * first.to_f64() + (1.0 - moments.beta1) * g;
                let b = moments.beta2 * second.to_f64() + (1.0 - moments.beta2) * g * g;
                *first = T::from_f64(a);
                *second = T::from_f64(b);
                let step = a * inverse1 / ((b * inverse2).sqrt() + moments.epsilon);
                *theta = T::from_f64(theta.to_f64() - rate * step);
            }
        },
    );
}
