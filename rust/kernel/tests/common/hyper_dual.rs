//! Numbers that carry their own first and second derivatives.
//!
//! A hyper-dual number is a + b·ε₁ + Σ cᵢ·ε₂ᵢ + Σ dᵢ·ε₁ε₂ᵢ with ε² = 0 (Fike & Alonso, "The development of hyper-dual
//! numbers for exact second-derivative calculations", 2011). With ε₁ along a direction v and ε₂ᵢ along coordinate i,
//! cᵢ is the gradient and dᵢ the Hessian times v, both exact to rounding: no step size, no formula of the kernel's.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// Coordinates that one pass differentiates in.
pub const LANES: usize = 8;

/// What the naive network is written in: plain numbers for values, hyper-dual ones for derivatives.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    fn constant(x: f64) -> Self;
    fn value(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    /// The standard normal distribution function.
    fn normal_cdf(self) -> Self;
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

impl Number for f64 {
    fn constant(x: f64) -> Self {
        x
    }
    fn value(self) -> f64 {
        self
    }
    fn exp(self) -> Self {
        libm::exp(self)
    }
    fn ln(self) -> Self {
        libm::log(self)
    }
    fn tanh(self) -> Self {
        libm::tanh(self)
    }
    fn normal_cdf(self) -> Self {
        normal_cdf(self)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct HyperDual {
    /// a
    pub value: f64,
    /// b
    pub along: f64,
    /// cᵢ
    pub each: [f64; LANES],
    /// dᵢ
    pub mixed: [f64; LANES],
}

impl HyperDual {
    /// f(self), from f and its two derivatives there.
    fn chain(self, [f, first, second]: [f64; 3]) -> Self {
        Self {
            value: f,
            along: first * self.along,
            each: self.each.map(|c| first * c),
            mixed: std::array::from_fn(|i| first * self.mixed[i] + second * self.along * self.each[i]),
        }
    }

    fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            value: f(self.value, other.value),
            along: f(self.along, other.along),
            each: std::array::from_fn(|i| f(self.each[i], other.each[i])),
            mixed: std::array::from_fn(|i| f(self.mixed[i], other.mixed[i])),
        }
    }
}

impl Add for HyperDual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for HyperDual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl Neg for HyperDual {
    type Output = Self;
    fn neg(self) -> Self {
        self.chain([-self.value, -1.0, 0.0])
    }
}

impl Mul for HyperDual {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        Self {
            value: self.value * o.value,
            along: self.value * o.along + self.along * o.value,
            each: std::array::from_fn(|i| self.value * o.each[i] + self.each[i] * o.value),
            mixed: std::array::from_fn(|i| {
                self.value * o.mixed[i] + self.mixed[i] * o.value + self.along * o.each[i] + self.each[i] * o.along
            }),
        }
    }
}

impl Div for HyperDual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let r = 1.0 / other.value;
        self * other.chain([r, -r * r, 2.0 * r * r * r])
    }
}

impl Number for HyperDual {
    fn constant(x: f64) -> Self {
        Self { value: x, along: 0.0, each: [0.0; LANES], mixed: [0.0; LANES] }
    }
    fn value(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let e = libm::exp(self.value);
        self.chain([e; 3])
    }
    fn ln(self) -> Self {
        let r = 1.0 / self.value;
        self.chain([libm::log(self.value), r, -r * r])
    }
    fn tanh(self) -> Self {
        let t = libm::tanh(self.value);
        let slope = 1.0 - t * t;
        self.chain([t, slope, -2.0 * t * slope])
    }
    fn normal_cdf(self) -> Self {
        let x = self.value;
        let density = libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt();
        self.chain([normal_cdf(x), density, -x * density])
    }
}

/// The numbers at `at` that move along `direction` with ε₁, and coordinates `first..first + LANES` of them with ε₂.
pub fn seeded(at: &[f64], direction: Option<&[f64]>, first: usize) -> Vec<HyperDual> {
    let mut numbers: Vec<_> = at.iter().map(|&x| HyperDual::constant(x)).collect();
    if let Some(direction) = direction {
        numbers.iter_mut().zip(direction).for_each(|(x, &d)| x.along = d);
    }
    for (lane, x) in numbers[first..].iter_mut().take(LANES).enumerate() {
        x.each[lane] = 1.0;
    }
    numbers
}
