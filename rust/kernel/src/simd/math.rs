//! Vector functions. NaN goes in, NaN comes out; the bounds in ulps are tested over the whole range.

use super::{Isa, Real};

/// The constants that depend on the element type.
pub trait Elementary: Real {
    /// ln 2 in two parts, the first with so few bits that its product with an exponent is exact.
    const LN2: [f64; 2];
    /// eˣ is 0 below the first and ∞ above the second.
    const EXP_RANGE: [f64; 2];
    /// tanh is taken as constant beyond: ±1 to rounding.
    const TANH_RANGE: f64;
    /// tanh x = x·p(x²)/q(x²), lowest powers first, where that is cheaper than e²ˣ; else empty. Minimax in the relative
    /// error, by Lawson's iteration of weighted least squares: 6e-9 on the range.
    const TANH: [&'static [f64]; 2];
    /// 1.5·2^(mantissa bits): adding and subtracting it rounds to a whole number.
    const ROUND: f64;
    /// Highest power in the Taylor series of eʳ, |r| ≤ ln 2 / 2.
    const EXP_DEGREE: usize;
    /// Terms in the series of atanh(s)/s, s ≤ 1/3.
    const ATANH_TERMS: usize;
    /// (1 + 2y)·erfcx(y) in t = (y − 3)/(y + 3), highest power first; Chebyshev interpolation, after Shepherd &
    /// Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞", Math. Comp. 36 (1981).
    const ERFCX: &'static [f64];
}

impl Elementary for f32 {
    const LN2: [f64; 2] = [0.693359375, -2.121_944_400_546_906e-4];
    const EXP_RANGE: [f64; 2] = [-104.0, 88.722839];
    const TANH_RANGE: f64 = 7.95;
    const TANH: [&'static [f64]; 2] = [
        &[0.9999999940781693, 0.1344760409827073, 0.003575346804226455, 2.1959727819407503e-05, 1.533004488851333e-08],
        &[1.0, 0.4678093180011979, 0.026178541335856766, 0.0003417552946107544, 8.561013831774727e-07],
    ];
    const ROUND: f64 = 12_582_912.0;
    const EXP_DEGREE: usize = 7;
    const ATANH_TERMS: usize = 8;
    const ERFCX: &'static [f64] = &[
        3.891751557197811e-06,
        7.720413938052222e-05,
        -0.00010422117710741312,
        -0.0007261608011693134,
        0.0018882157008084247,
        0.0024988226113873105,
        -0.023770388711381683,
        0.06831669729438275,
        -0.1192736784315029,
        0.1296440910249622,
        -0.04756229382771763,
        -0.13562106822069417,
        1.2530080582697296,
    ];
}

impl Elementary for f64 {
    const LN2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const EXP_RANGE: [f64; 2] = [-746.0, 709.782712893384];
    const TANH_RANGE: f64 = 20.0;
    const TANH: [&'static [f64]; 2] = [&[], &[]];
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const EXP_DEGREE: usize = 13;
    const ATANH_TERMS: usize = 17;
    const ERFCX: &'static [f64] = &[
        -2.520884655917483e-11,
        8.373239801913141e-10,
        1.1435382719944763e-09,
        -8.205287217548629e-09,
        -1.3744637271615172e-08,
        4.103167472287588e-08,
        1.0252159854733901e-07,
        -1.404277272767187e-07,
        -6.172971639709346e-07,
        3.5571413335394844e-07,
        3.472843014595156e-06,
        -7.30798594069572e-07,
        -2.010075903780886e-05,
        4.949184182276066e-06,
        0.00012509940933306624,
        -0.00010515971612176149,
        -0.0007798322831260387,
        0.0018886903443894542,
        0.0025293918173706497,
        -0.023770514917107986,
        0.06830802734389313,
        -0.11927366341538978,
        0.12964515870276316,
        -0.04756229435344912,
        -0.1356211061245812,
        1.2530080582697296,
    ];
}

/// 1/n!, to the degree that f64 needs.
const INVERSE_FACTORIAL: [f64; 14] = {
    let mut table = [1.0; 14];
    let mut n = 1;
    while n < 14 {
        table[n] = table[n - 1] / n as f64;
        n += 1;
    }
    table
};

/// x limited to [low, high]; NaN stays.
#[inline(always)]
fn clamp<S: Isa, T: Real>(s: S, x: T::Lanes<S>, low: f64, high: f64) -> T::Lanes<S> {
    let (low, high) = (T::constant(s, low), T::constant(s, high));
    let x = T::select(s, T::less(s, x, low), low, x);
    T::select(s, T::less(s, high, x), high, x)
}

/// x = n·ln 2 + r with whole n and |r| ≤ ln 2 / 2: returns n and eʳ − 1.
#[inline(always)]
fn reduce<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> (T::Lanes<S>, T::Lanes<S>) {
    let round = T::constant(s, T::ROUND);
    let n = T::sub(s, T::fma(s, x, T::constant(s, std::f64::consts::LOG2_E), round), round);
    let r = T::fma(s, n, T::constant(s, -T::LN2[0]), x);
    let r = T::fma(s, n, T::constant(s, -T::LN2[1]), r);
    let mut p = T::constant(s, INVERSE_FACTORIAL[T::EXP_DEGREE]);
    for i in (2..T::EXP_DEGREE).rev() {
        p = T::fma(s, p, r, T::constant(s, INVERSE_FACTORIAL[i]));
    }
    (n, T::fma(s, T::mul(s, p, r), r, r))
}

/// eˣ, within 2 ulp; subnormal results too.
#[inline(always)]
pub fn exp<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> T::Lanes<S> {
    let [low, high] = T::EXP_RANGE;
    let infinite = T::less(s, T::constant(s, high), x);
    let (n, p) = reduce::<S, T>(s, clamp::<S, T>(s, x, low, high));
    // Two factors, because 2ⁿ alone can leave the range of normal numbers where eˣ does not.
    let round = T::constant(s, T::ROUND);
    let half = T::sub(s, T::fma(s, n, T::constant(s, 0.5), round), round);
    let scale = T::pow2(s, half);
    let e = T::mul(s, T::fma(s, p, scale, scale), T::pow2(s, T::sub(s, n, half)));
    T::select(s, infinite, T::constant(s, f64::INFINITY), e)
}

/// eˣ − 1 for x ≤ 0, within 3 ulp.
#[inline(always)]
pub fn exp_minus_one<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> T::Lanes<S> {
    // Below this it is −1 to the last bit of either type, and 2ⁿ is still a normal number.
    let (n, p) = reduce::<S, T>(s, clamp::<S, T>(s, x, -80.0, 0.0));
    let scale = T::pow2(s, n);
    T::fma(s, p, scale, T::sub(s, scale, T::constant(s, 1.0)))
}

/// tanh x: in f32 a rational function, within 6.1 ulp (5.2 where products and sums are fused; 0.13 ns an element, where e²ˣ
/// takes 0.20); in f64 t / (t + 2) with t = e²ˣ − 1, within 3 ulp.
#[inline(always)]
pub fn tanh<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> T::Lanes<S> {
    let x = clamp::<S, T>(s, x, -T::TANH_RANGE, T::TANH_RANGE);
    let [p, q] = T::TANH;
    if !p.is_empty() {
        let x2 = T::mul(s, x, x);
        return T::div(s, T::mul(s, x, polynomial::<S, T>(s, p, x2)), polynomial::<S, T>(s, q, x2));
    }
    let (n, p) = reduce::<S, T>(s, T::add(s, x, x));
    let scale = T::pow2(s, n);
    let t = T::fma(s, scale, p, T::sub(s, scale, T::constant(s, 1.0)));
    T::div(s, t, T::add(s, t, T::constant(s, 2.0)))
}

/// Horner's rule, lowest power first in the table.
#[inline(always)]
fn polynomial<S: Isa, T: Elementary>(s: S, coefficients: &[f64], x: T::Lanes<S>) -> T::Lanes<S> {
    let (last, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
    let mut sum = T::constant(s, *last);
    for &c in rest.iter().rev() {
        sum = T::fma(s, sum, x, T::constant(s, c));
    }
    sum
}

/// e^(−|x|) and whether x is negative: what sigmoid and softplus share.
#[inline(always)]
fn decay<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> (T::Lanes<S>, T::Mask<S>) {
    (exp::<S, T>(s, T::neg(s, T::abs(s, x))), T::less(s, x, T::constant(s, 0.0)))
}

/// 1 / (1 + e⁻ˣ), within 4 ulp.
#[inline(always)]
pub fn sigmoid<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> T::Lanes<S> {
    softplus_and_sigmoid::<S, T>(s, x).1
}

/// log(1 + eˣ), within 4 ulp, and its derivative, the sigmoid.
#[inline(always)]
pub fn softplus_and_sigmoid<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> (T::Lanes<S>, T::Lanes<S>) {
    let one = T::constant(s, 1.0);
    let (e, negative) = decay::<S, T>(s, x);
    let sigmoid = T::div(s, T::select(s, negative, e, one), T::add(s, one, e));
    // log(1 + e) = 2 atanh(e / (2 + e))
    let a = T::div(s, e, T::add(s, e, T::constant(s, 2.0)));
    let p = double_atanh_ratio::<S, T>(s, a);
    let positive = T::select(s, negative, T::constant(s, 0.0), x);
    (T::fma(s, p, a, positive), sigmoid)
}

/// 2 atanh(a)/a for |a| ≤ 1/3.
#[inline(always)]
fn double_atanh_ratio<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
    let a2 = T::mul(s, a, a);
    let mut p = T::constant(s, 2.0 / (2 * T::ATANH_TERMS - 1) as f64);
    for i in (0..T::ATANH_TERMS - 1).rev() {
        p = T::fma(s, p, a2, T::constant(s, 2.0 / (2 * i + 1) as f64));
    }
    p
}

/// log x for x from 1 to `most`; the absolute error is within 3·log₂(most) units of the last place of 1, at least 3.
/// Roots bring x to at most 2, where log x = 2 atanh((x − 1)/(x + 1)).
#[inline(always)]
pub fn ln_from_one<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>, most: f64) -> T::Lanes<S> {
    let (mut x, mut most, mut power) = (x, most, 1.0);
    while most > 2.0 {
        x = T::sqrt(s, x);
        most = most.sqrt();
        power *= 2.0;
    }
    let one = T::constant(s, 1.0);
    let a = T::div(s, T::sub(s, x, one), T::add(s, x, one));
    T::mul(s, T::mul(s, double_atanh_ratio::<S, T>(s, a), a), T::constant(s, power))
}

/// The standard normal distribution function and density; absolute error within 2 units of the last place of 1.
#[inline(always)]
pub fn normal<S: Isa, T: Elementary>(s: S, x: T::Lanes<S>) -> (T::Lanes<S>, T::Lanes<S>) {
    let one = T::constant(s, 1.0);
    let y = T::mul(s, T::abs(s, x), T::constant(s, std::f64::consts::FRAC_1_SQRT_2));
    let e = exp::<S, T>(s, T::mul(s, T::mul(s, x, x), T::constant(s, -0.5)));
    // Where y is so large that t rounds to 1, e is 0; limiting y keeps ∞/∞ out.
    let y = clamp::<S, T>(s, y, 0.0, 1e6);
    let three = T::constant(s, 3.0);
    let t = T::div(s, T::sub(s, y, three), T::add(s, y, three));
    let mut p = T::constant(s, T::ERFCX[0]);
    for &c in &T::ERFCX[1..] {
        p = T::fma(s, p, t, T::constant(s, c));
    }
    // Φ(−|x|) = e^(−x²/2)·erfcx(|x|/√2) / 2
    let tail = T::div(s, T::mul(s, e, p), T::fma(s, y, T::constant(s, 4.0), T::constant(s, 2.0)));
    let distribution = T::select(s, T::less(s, x, T::constant(s, 0.0)), tail, T::sub(s, one, tail));
    (distribution, T::mul(s, e, T::constant(s, 0.398_942_280_401_432_7)))
}

#[cfg(test)]
mod tests;
