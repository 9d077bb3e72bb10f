//! One step of a network's particles: noisy gradient descent, or Adam.

use crate::optimizer::Moments;
use crate::simd::{Isa, Pass, Real, run};

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
    let len = theta.len();
    assert!(gradient.len() == len && first.len() == len && second.len() == len);
    let power = i32::try_from(step + 1).unwrap_or(i32::MAX);
    let unbias = [moments.beta1, moments.beta2].map(|beta| 1.0 / (1.0 - beta.powi(power)));
    let work = Adam {
        len,
        theta: theta.as_mut_ptr(),
        gradient: gradient.as_ptr(),
        first: first.as_mut_ptr(),
        second: second.as_mut_ptr(),
        moments,
        unbias,
        rate,
        decay,
    };
    // SAFETY: the lengths were compared; they are multiples of the padding.
    unsafe { run(isa, work) }
}

struct Adam<T> {
    len: usize,
    theta: *mut T,
    gradient: *const T,
    first: *mut T,
    second: *mut T,
    moments: Moments,
    unbias: [f64; 2],
    rate: f64,
    decay: f64,
}

impl<T: Real> Pass for Adam<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let Moments { beta1, beta2, epsilon } = self.moments;
        let [decay, rate, epsilon] = [self.decay, self.rate, epsilon].map(|x| T::constant(s, x));
        let [kept1, kept2, new1, new2] = [beta1, beta2, 1.0 - beta1, 1.0 - beta2].map(|x| T::constant(s, x));
        let [unbias1, unbias2] = self.unbias.map(|x| T::constant(s, x));
        for at in (0..self.len).step_by(T::lanes::<S>()) {
            // SAFETY: the caller compared the lengths, which are whole registers.
            unsafe {
                let theta = T::load(s, self.theta.add(at));
                let g = T::fma(s, decay, theta, T::load(s, self.gradient.add(at)));
                let a = T::fma(s, kept1, T::load(s, self.first.add(at)), T::mul(s, new1, g));
                let b = T::fma(s, kept2, T::load(s, self.second.add(at)), T::mul(s, T::mul(s, new2, g), g));
                T::store(s, self.first.add(at), a);
                T::store(s, self.second.add(at), b);
                let root = T::add(s, T::sqrt(s, T::mul(s, b, unbias2)), epsilon);
                let step = T::div(s, T::mul(s, a, unbias1), root);
                T::store(s, self.theta.add(at), T::nfma(s, rate, step, theta));
            }
        }
    }
}
