//! The vector functions' true values, in numbers of twice f64's precision.
//!
//! A `libm` in f64 errs by up to an ulp itself, as much as what is measured here. These values err by less than 2⁻⁹⁰.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// high + low, with |low| at most half an ulp of high (Dekker, "A floating-point technique for extending the available
/// precision", 1971).
#[derive(Clone, Copy, Debug)]
pub struct Twofold {
    pub high: f64,
    pub low: f64,
}

impl From<f64> for Twofold {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

/// a + b, exactly.
fn two_sum(a: f64, b: f64) -> Twofold {
    let high = a + b;
    let shadow = high - a;
    Twofold { high, low: (a - (high - shadow)) + (b - shadow) }
}

impl Add for Twofold {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        let sum = two_sum(self.high, o.high);
        let low = two_sum(self.low, o.low);
        let sum = two_sum(sum.high, sum.low + low.high);
        two_sum(sum.high, sum.low + low.low)
    }
}

impl Neg for Twofold {
    type Output = Self;
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Sub for Twofold {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        self + -o
    }
}

impl Mul for Twofold {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        let high = self.high * o.high;
        let low = self.high.mul_add(o.high, -high);
        two_sum(high, low + (self.high * o.low + self.low * o.high))
    }
}

impl Div for Twofold {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        let first = self.high / o.high;
        let rest = self - o * first.into();
        let second = rest.high / o.high;
        let rest = rest - o * second.into();
        two_sum(first, second) + (rest.high / o.high).into()
    }
}

/// ln 2 to 107 bits.
const LN2: Twofold = Twofold { high: std::f64::consts::LN_2, low: 2.319_046_813_846_299_6e-17 };

/// eʳ − 1 by its series, for |r| < 0.4, to full relative precision.
fn small_expm1(r: Twofold) -> Twofold {
    let mut sum = Twofold::from(0.0);
    for n in (1..=28).rev() {
        sum = (sum + 1.0.into()) * r / f64::from(n).into();
    }
    sum
}

/// A value times a power of two, for values beyond f64's range.
#[derive(Clone, Copy, Debug)]
pub struct Scaled {
    pub value: Twofold,
    pub exponent: i32,
}

impl From<Twofold> for Scaled {
    fn from(value: Twofold) -> Self {
        Self { value, exponent: 0 }
    }
}

/// eˣ
pub fn exp(x: f64) -> Scaled {
    // Far beyond every format.
    let x = x.clamp(-800.0, 800.0);
    let n = (x / std::f64::consts::LN_2).round();
    let r = Twofold::from(x) - LN2 * n.into();
    Scaled { value: small_expm1(r) + 1.0.into(), exponent: n as i32 }
}

/// eˣ as one number, for |x| < 700.
fn plain_exp(x: f64) -> Twofold {
    let Scaled { value, exponent } = exp(x);
    let power = libm::scalbn(1.0, exponent);
    Twofold { high: value.high * power, low: value.low * power }
}

fn expm1(x: f64) -> Twofold {
    if x.abs() < 0.4 { small_expm1(x.into()) } else { plain_exp(x) - 1.0.into() }
}

/// tanh x
pub fn tanh(x: f64) -> Scaled {
    if x.abs() > 40.0 {
        // 1 − 2e⁻⁸⁰
        return Twofold::from(x.signum()).into();
    }
    let e = expm1(2.0 * x);
    (e / (e + 2.0.into())).into()
}

/// 1 / (1 + e⁻ˣ)
pub fn sigmoid(x: f64) -> Scaled {
    match x {
        // eˣ / (1 + eˣ), where eˣ is below 2⁻¹¹⁵.
        ..-80.0 => exp(x),
        80.0.. => Twofold::from(1.0).into(),
        _ => (Twofold::from(1.0) / (plain_exp(-x) + 1.0.into())).into(),
    }
}

/// log(1 + eˣ)
pub fn softplus(x: f64) -> Scaled {
    match x {
        ..-80.0 => exp(x),
        80.0.. => Twofold::from(x).into(),
        _ => {
            let e = plain_exp(x);
            // One step of Newton's towards e^y = 1 + e squares the first value's error.
            let y = libm::log1p(e.high);
            (Twofold::from(y) + (e - expm1(y)) / plain_exp(y)).into()
        }
    }
}
