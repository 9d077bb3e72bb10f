//! Errors in ulps over the whole range, on every instruction set; the bounds are those that the functions state.

use super::*;
use crate::simd::{Pass, run};
use crate::system::random::Random;
use crate::testing::{epsilon, on_every_backend};

#[path = "oracle.rs"]
mod oracle;
use oracle::{Scaled, Twofold};

/// Which function, so that one pass serves all.
#[derive(Clone, Copy, Debug)]
enum MathFunction {
    Exp,
    ExpMinusOne,
    Tanh,
    Sigmoid,
    Softplus,
    Distribution,
    Density,
    /// With the largest argument.
    LnFromOne(f64),
}

struct Map<'a, T>(MathFunction, &'a [T], &'a mut [T]);

impl<T: Elementary> Pass for Map<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let Self(function, from, to) = self;
        assert!(from.len() == to.len() && from.len().is_multiple_of(T::lanes::<S>()));
        for at in (0..from.len()).step_by(T::lanes::<S>()) {
            // SAFETY: whole registers, inside both slices.
            unsafe {
                let x = T::load(s, from.as_ptr().add(at));
                let y = match function {
                    MathFunction::Exp => exp::<S, T>(s, x),
                    MathFunction::ExpMinusOne => exp_minus_one::<S, T>(s, x),
                    MathFunction::Tanh => tanh::<S, T>(s, x),
                    MathFunction::Sigmoid => sigmoid::<S, T>(s, x),
                    MathFunction::Softplus => softplus_and_sigmoid::<S, T>(s, x).0,
                    MathFunction::Distribution => normal::<S, T>(s, x).0,
                    MathFunction::Density => normal::<S, T>(s, x).1,
                    MathFunction::LnFromOne(most) => ln_from_one::<S, T>(s, x, most),
                };
                T::store(s, to.as_mut_ptr().add(at), y);
            }
        }
    }
}

fn map<S: Isa, T: Elementary>(isa: S, function: MathFunction, from: &[T]) -> Vec<T> {
    // The last number fills the last register.
    let mut padded = from.to_vec();
    padded.resize(from.len().next_multiple_of(T::PAD), *from.last().expect("there are numbers"));
    let mut to = vec![T::default(); padded.len()];
    // SAFETY: safe code but for the loads and stores, which are inside the slices.
    unsafe { run(isa, Map(function, &padded, &mut to)) };
    to.truncate(from.len());
    to
}

/// Bits after the leading one, smallest exponent of normal numbers, and largest.
fn format<T: Real>() -> [i32; 3] {
    if T::SIZE == 8 { [52, -1022, 1023] } else { [23, -126, 127] }
}

/// The next number away from zero.
fn next<T: Real>(x: f64) -> f64 {
    if T::SIZE == 8 { f64::from_bits(x.to_bits() + 1) } else { f64::from(f32::from_bits((x as f32).to_bits() + 1)) }
}

/// Arguments over the whole range: both signs of evenly spaced logarithms from the smallest subnormal number to the
/// largest, evenly spaced numbers where the functions bend, and neighbours of the places where formulas change.
fn arguments<T: Elementary>() -> Vec<T> {
    let n = if cfg!(slow) { 1_000 } else { 20_000 };
    let [digits, lowest, highest] = format::<T>();
    let span = f64::from(highest - lowest + digits);
    let mut random = Random::new(0, "arguments", 0);
    let mut all = vec![0.0, -0.0];
    // Where f32 errs most, found once by going through all its numbers: exp and tanh, with fused products and without,
    // sigmoid, softplus.
    all.extend([-5.891_182_899_475_098, 26.688_901_901_245_117, 5.916_077_136_993_408, 7.017_312_049_865_723]);
    all.extend([-4.157_293_796_539_307, -2.020_956_277_847_29]);
    for i in 0..n {
        let power = f64::from(lowest - digits) + span * f64::from(i) / f64::from(n);
        // In two factors: the smallest and the largest powers are outside exp2's range together with the digits.
        let size = (power / 2.0).exp2() * (1.0 + random.uniform()) * (power / 2.0).exp2();
        all.extend([size, -size]);
    }
    for width in [1.0, 10.0, 40.0, T::EXP_RANGE[1] * 1.1] {
        all.extend((0..n).map(|_| width * (2.0 * random.uniform() - 1.0)));
    }
    let [low, high] = T::EXP_RANGE;
    let smallest_normal = f64::from(lowest) * std::f64::consts::LN_2;
    for place in [low, high, smallest_normal, T::TANH_RANGE, T::TANH_RANGE / 2.0, 0.5, 1.0, 3.0, 1e-4] {
        for sign in [1.0, -1.0] {
            // Both sides of it, nearly: from a thousand numbers below.
            let mut x = T::from_f64(place.abs() * (1.0 - 1000.0 * epsilon::<T>())).to_f64();
            for _ in 0..2000 {
                all.push(sign * x);
                x = next::<T>(x);
            }
        }
    }
    let all = all.into_iter().map(T::from_f64).filter(|x| x.to_f64().is_finite());
    all.collect()
}

/// Distance to the true value in ulps of the latter. Beyond the largest number, ∞ stands for the power of two after it.
fn ulps<T: Real>(found: f64, truth: Scaled) -> f64 {
    let [digits, lowest, highest] = format::<T>();
    let Scaled { value, exponent } = truth;
    if value.high == 0.0 {
        return if found == 0.0 { 0.0 } else { f64::INFINITY };
    }
    let leading = libm::ilogb(value.high);
    if leading + exponent > highest {
        return if found == f64::INFINITY { 0.0 } else { f64::INFINITY };
    }
    // Everything relative to 2^exponent, which is exact.
    let found = if found.is_infinite() {
        libm::scalbn(found.signum(), highest + 1 - exponent)
    } else {
        libm::scalbn(found, -exponent)
    };
    let ulp = libm::scalbn(1.0, (leading + exponent).max(lowest) - digits - exponent);
    (((found - value.high) - value.low) / ulp).abs()
}

/// The largest error of a function, and where.
fn worst<S: Isa, T: Elementary>(isa: S, function: MathFunction, from: &[T], truth: &[Scaled]) -> (f64, f64) {
    let found = map(isa, function, from);
    let errors = found.iter().zip(truth).map(|(found, &truth)| ulps::<T>(found.to_f64(), truth));
    let worse = |a: (f64, f64), b: (f64, f64)| if b.0 > a.0 || b.0.is_nan() { b } else { a };
    errors.zip(from).map(|(error, x)| (error, x.to_f64())).fold((0.0, 0.0), worse)
}

/// A function, its true value, and the stated bound in ulps.
type Stated = (MathFunction, fn(f64) -> Scaled, f64);

fn check_on<T: Elementary>(bounds: [Stated; 4]) {
    let from = arguments::<T>();
    for (function, oracle, bound) in bounds {
        let truth: Vec<_> = from.iter().map(|x| oracle(x.to_f64())).collect();
        for backend in crate::simd::Backend::available() {
            let (error, x) = crate::with_isa!(backend, isa => worst(isa, function, &from, &truth));
            let what = format!("{function:?} on {} in {} bytes", backend.name(), T::SIZE);
            println!("{what}: {error:.3} ulp at {x:e}");
            assert!(error <= bound, "{what}: {error} ulp at {x:e}, {bound} are stated");
        }
    }
}

#[test]
fn errors_in_single_precision() {
    check_on::<f32>([
        (MathFunction::Exp, oracle::exp, 2.0),
        (MathFunction::Tanh, oracle::tanh, 6.1),
        (MathFunction::Sigmoid, oracle::sigmoid, 4.0),
        (MathFunction::Softplus, oracle::softplus, 4.0),
    ]);
}

#[test]
fn errors_in_double_precision() {
    check_on::<f64>([
        (MathFunction::Exp, oracle::exp, 2.0),
        (MathFunction::Tanh, oracle::tanh, 3.0),
        (MathFunction::Sigmoid, oracle::sigmoid, 4.0),
        (MathFunction::Softplus, oracle::softplus, 4.0),
    ]);
}

/// eˣ − 1 below 0, against `libm`, which errs by less than an ulp of double precision.
fn check_exp_minus_one<S: Isa, T: Elementary>(isa: S) {
    let from: Vec<T> = arguments::<T>().into_iter().filter(|x| x.to_f64() <= 0.0).collect();
    for (x, found) in from.iter().zip(map(isa, MathFunction::ExpMinusOne, &from)) {
        let truth = libm::expm1(x.to_f64());
        let error = (found.to_f64() - truth).abs() / epsilon::<T>();
        assert!(error <= 2.0 * truth.abs(), "{error} at {:e} on {} in {} bytes", x.to_f64(), S::NAME, T::SIZE);
    }
}

#[test]
fn exp_minus_one_of_negative_numbers() {
    for backend in crate::simd::Backend::available() {
        crate::with_isa!(backend, isa => {
            check_exp_minus_one::<_, f32>(isa);
            check_exp_minus_one::<_, f64>(isa);
        });
    }
}

/// Absolute errors of the normal distribution and density, in units of the last place of 1. `libm::erfc` errs by less
/// than an ulp; the smaller tail is used on either side, so that this is less than a quarter of such a unit.
fn check_normal<S: Isa, T: Elementary>(isa: S, from: &[f64], unit: f64) {
    let arguments: Vec<T> = from.iter().map(|&x| T::from_f64(x)).collect();
    let (distribution, density) =
        (map(isa, MathFunction::Distribution, &arguments), map(isa, MathFunction::Density, &arguments));
    let mut largest = [0.0_f64; 2];
    for (x, (distribution, density)) in arguments.iter().zip(distribution.into_iter().zip(density)) {
        let x = x.to_f64();
        let tail = 0.5 * libm::erfc(x.abs() * std::f64::consts::FRAC_1_SQRT_2);
        let found = distribution.to_f64();
        let error = if x < 0.0 { found - tail } else { (found - 1.0) + tail };
        let expected = libm::exp(-0.5 * x * x) * 0.398_942_280_401_432_7;
        let errors = [error, density.to_f64() - expected].map(|e| e.abs() / unit);
        assert!(errors.iter().all(|&e| e <= 2.0), "{errors:?} units at {x}, {} in {} bytes", S::NAME, T::SIZE);
        assert!((0.0..=1.0).contains(&found), "{found} at {x}");
        largest = std::array::from_fn(|i| largest[i].max(errors[i]));
    }
    println!("normal distribution and density on {} in {} bytes: {largest:.3?} units", S::NAME, T::SIZE);
}

#[test]
fn normal_distribution_and_density() {
    let [single, double] = [arguments::<f32>().iter().map(|x| x.to_f64()).collect(), arguments::<f64>()];
    let single: Vec<f64> = single;
    for backend in crate::simd::Backend::available() {
        crate::with_isa!(backend, isa => {
            check_normal::<_, f32>(isa, &single, f64::from(f32::EPSILON));
            check_normal::<_, f64>(isa, &double, f64::EPSILON);
        });
    }
}

/// Limits, signs of zeros, and NaN, which goes through.
fn check_specials<S: Isa, T: Elementary>(isa: S) {
    let infinity = f64::INFINITY;
    let table = [
        (MathFunction::Exp, [1.0, 1.0, infinity, 0.0]),
        (MathFunction::Tanh, [0.0, 0.0, 1.0, -1.0]),
        (MathFunction::Sigmoid, [0.5, 0.5, 1.0, 0.0]),
        (MathFunction::Softplus, [std::f64::consts::LN_2, std::f64::consts::LN_2, infinity, 0.0]),
        (MathFunction::Distribution, [0.5, 0.5, 1.0, 0.0]),
        (MathFunction::Density, [0.398_942_280_401_432_7, 0.398_942_280_401_432_7, 0.0, 0.0]),
    ];
    let from = [0.0, -0.0, infinity, -infinity, f64::NAN].map(T::from_f64);
    // A register holds a NaN and its neighbours: one does not spoil the others.
    for (function, expected) in table {
        let found = map(isa, function, &from);
        for (found, expected) in found.iter().zip(expected) {
            let (found, expected) = (found.to_f64(), T::from_f64(expected).to_f64());
            // tanh saturates by rounding, within its bound; Φ(0) is reached within the bound of Φ.
            let near = (found - expected).abs() <= 2.5 * epsilon::<T>() * expected.abs();
            assert!(found == expected || near, "{function:?}: {found} instead of {expected}, {}", S::NAME);
        }
        assert!(found[4].to_f64().is_nan(), "{function:?} of NaN, {}", S::NAME);
    }
}

#[test]
fn specials() {
    on_every_backend!(check_specials);
}

/// What the passes rely on: no value leaves its range, whatever the rounding.
fn check_ranges<S: Isa, T: Elementary>(isa: S) {
    let from = arguments::<T>();
    let within = |function, low: f64, high: f64| {
        let found = map(isa, function, &from);
        let bad = found.iter().zip(&from).find(|(y, _)| !(low..=high).contains(&y.to_f64()));
        assert!(bad.is_none(), "{function:?} leaves its range: {bad:?}, {}", S::NAME);
    };
    within(MathFunction::Exp, 0.0, f64::INFINITY);
    // 1 − tanh² must not be negative.
    within(MathFunction::Tanh, -1.0, 1.0);
    within(MathFunction::Sigmoid, 0.0, 1.0);
    within(MathFunction::Softplus, 0.0, f64::INFINITY);
}

#[test]
fn ranges() {
    on_every_backend!(check_ranges);
}

/// The oracle against numbers computed with 300 bits.
#[test]
fn the_oracle_itself() {
    let table: [(Scaled, [f64; 2]); 7] = [
        (oracle::exp(1.0), [std::f64::consts::E, 1.4456468917292502e-16]),
        (oracle::tanh(0.5), [0.46211715726000974, 2.1916603238260928e-17]),
        (oracle::tanh(1e-5), [9.999999999666668e-06, -4.5758701526937e-22]),
        (oracle::sigmoid(1.0), [0.7310585786300049, -1.679727399649845e-17]),
        (oracle::sigmoid(-79.5), [2.9756968735933825e-35, 2.4565401670785625e-51]),
        (oracle::softplus(-1.0), [0.3132616875182228, 2.515869523777819e-17]),
        (oracle::softplus(-30.0), [9.357622968839737e-14, -6.166501881941325e-31]),
    ];
    for (Scaled { value, exponent }, [high, low]) in table {
        let power = libm::scalbn(1.0, exponent);
        let difference = Twofold { high: value.high * power, low: value.low * power } - Twofold { high, low };
        assert!(difference.high.abs() <= 2.0_f64.powi(-90) * high, "{difference:?}");
    }
    // Among the subnormal numbers: e⁻⁷⁴⁵ is half the smallest one and a seventh more.
    let Scaled { value, exponent } = oracle::exp(-745.0);
    assert_eq!(exponent, -1075);
    let difference = value - Twofold { high: 1.1425002949421084, low: -3.168228304494958e-17 };
    assert!(difference.high.abs() <= 2.0_f64.powi(-90), "{difference:?}");
    assert_eq!(ulps::<f64>(f64::from_bits(1), oracle::exp(-745.0)).round(), 0.0);
}

fn check_ln<S: Isa, T: Elementary>(isa: S) {
    for most in [1.0, 2.0, 3.0, 10.0, 1000.0, 1e6] {
        let from: Vec<T> = (0..=5000).map(|i| T::from_f64(1.0 + (most - 1.0) * f64::from(i) / 5000.0)).collect();
        let bound = 3.0 * f64::max(most.log2(), 1.0) * epsilon::<T>();
        for (x, found) in from.iter().zip(map(isa, MathFunction::LnFromOne(most), &from)) {
            let apart = (found.to_f64() - x.to_f64().ln()).abs();
            assert!(apart <= bound, "log {x:?} up to {most}: {apart:e}, {bound:e} are stated");
        }
        let nan = map(isa, MathFunction::LnFromOne(most), &[T::from_f64(f64::NAN)]);
        assert!(nan[0].to_f64().is_nan());
    }
}

#[test]
fn logarithms_from_one() {
    on_every_backend!(check_ln);
}
