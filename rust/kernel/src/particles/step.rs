//! One step of a network's particles by noisy gradient descent.

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
