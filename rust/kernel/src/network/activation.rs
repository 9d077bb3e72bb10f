//! The activations: their names, and by registers their values and derivatives.
//!
//! For tanh, relu, elu and the identity both derivatives follow from the value; softplus, silu and gelu keep φ′ and φ″ beside
//! it ([`Activation::keeps_derivatives`]). What is done with them is in `epilogues.rs`.

use std::str::FromStr;

use crate::simd::Isa;
use crate::simd::math::{Elementary, exp_minus_one, normal, softplus_and_sigmoid, tanh};
use crate::system::error::{KernelError, named};

/// The function between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// z
    Identity,
    /// tanh z
    Tanh,
    /// max(z, 0), with slope 0 at 0
    Relu,
    /// log(1 + eᶻ)
    Softplus,
    /// z·σ(z)
    Silu,
    /// z·Φ(z), exact (not the tanh approximation)
    Gelu,
    /// z for z ≥ 0, eᶻ − 1 below (Clevert, Unterthiner and Hochreiter, 2016, with their α = 1)
    Elu,
}

/// The activations by name.
pub const ACTIVATIONS: [(&str, Activation); 7] = [
    ("identity", Activation::Identity),
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
    ("softplus", Activation::Softplus),
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("elu", Activation::Elu),
];

/// Calls `$body` with `$f` bound to the function of an activation.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            $crate::network::activation::Activation::Identity => {
                type $f = $crate::network::activation::Identity;
                $body
            }
            $crate::network::activation::Activation::Tanh => {
                type $f = $crate::network::activation::Tanh;
                $body
            }
            $crate::network::activation::Activation::Relu => {
                type $f = $crate::network::activation::Relu;
                $body
            }
            $crate::network::activation::Activation::Softplus => {
                type $f = $crate::network::activation::Softplus;
                $body
            }
            $crate::network::activation::Activation::Silu => {
                type $f = $crate::network::activation::Silu;
                $body
            }
            $crate::network::activation::Activation::Gelu => {
                type $f = $crate::network::activation::Gelu;
                $body
            }
            $crate::network::activation::Activation::Elu => {
                type $f = $crate::network::activation::Elu;
                $body
            }
        }
    };
}

pub(crate) use with_function;

impl FromStr for Activation {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        named("activation", name, &ACTIVATIONS)
    }
}

impl Activation {
    /// Whether slope and curvature must be kept beside the value; for the others they follow from the value.
    pub fn keeps_derivatives(self) -> bool {
        with_function!(self, F => F::KEEPS)
    }

    /// A pre-activation at which the function vanishes: what padded lanes are biased to.
    pub fn pad_bias(self) -> f64 {
        if self == Self::Softplus { -1e4 } else { 0.0 }
    }
}

/// One activation, by registers.
pub trait Function: Copy {
    /// φ(z), φ′(z), φ″(z); the derivatives are read only where the activation keeps them.
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3];
    /// φ′ from the value a, for those that do not keep it.
    fn slope<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S>;
    /// φ″/φ′ from the value a: times the delta, what the R-operator adds for the curvature.
    fn derivative_ratio<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S>;
    /// Whether φ′ and φ″ have to be kept: they do not follow from φ alone.
    const KEEPS: bool = false;
}

/// z
#[derive(Clone, Copy)]
pub struct Identity;
#[derive(Clone, Copy)]
pub struct Tanh;
#[derive(Clone, Copy)]
pub struct Relu;
#[derive(Clone, Copy)]
pub struct Softplus;
#[derive(Clone, Copy)]
pub struct Silu;
#[derive(Clone, Copy)]
pub struct Gelu;
#[derive(Clone, Copy)]
pub struct Elu;

impl Function for Identity {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(_: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        [z; 3]
    }
    #[inline(always)]
    fn slope<S: Isa, T: Elementary>(s: S, _: T::Lanes<S>) -> T::Lanes<S> {
        T::constant(s, 1.0)
    }
    #[inline(always)]
    fn derivative_ratio<S: Isa, T: Elementary>(s: S, _: T::Lanes<S>) -> T::Lanes<S> {
        T::constant(s, 0.0)
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        [tanh::<S, T>(s, z); 3]
    }
    #[inline(always)]
    fn slope<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
        T::nfma(s, a, a, T::constant(s, 1.0))
    }
    #[inline(always)]
    fn derivative_ratio<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
        T::mul(s, a, T::constant(s, -2.0))
    }
}

impl Function for Relu {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        // A comparison rather than a maximum, so that NaN stays NaN.
        let zero = T::constant(s, 0.0);
        [T::select(s, T::less(s, z, zero), zero, z); 3]
    }
    #[inline(always)]
    fn slope<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
        let zero = T::constant(s, 0.0);
        T::select(s, T::less(s, zero, a), T::constant(s, 1.0), zero)
    }
    #[inline(always)]
    fn derivative_ratio<S: Isa, T: Elementary>(s: S, _: T::Lanes<S>) -> T::Lanes<S> {
        T::constant(s, 0.0)
    }
}

impl Function for Elu {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        let negative = T::less(s, z, T::constant(s, 0.0));
        [T::select(s, negative, exp_minus_one::<S, T>(s, z), z); 3]
    }
    #[inline(always)]
    fn slope<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
        let one = T::constant(s, 1.0);
        T::select(s, T::less(s, a, T::constant(s, 0.0)), T::add(s, a, one), one)
    }
    #[inline(always)]
    fn derivative_ratio<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
        // Below 0 both derivatives are eᶻ.
        let zero = T::constant(s, 0.0);
        T::select(s, T::less(s, a, zero), T::constant(s, 1.0), zero)
    }
}

/// Derivatives from the value, which activations that keep theirs are never asked for.
macro_rules! kept {
    () => {
        const KEEPS: bool = true;
        #[inline(always)]
        fn slope<S: Isa, T: Elementary>(_: S, a: T::Lanes<S>) -> T::Lanes<S> {
            a
        }
        #[inline(always)]
        fn derivative_ratio<S: Isa, T: Elementary>(_: S, a: T::Lanes<S>) -> T::Lanes<S> {
            a
        }
    };
}

impl Function for Softplus {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        let (value, slope) = softplus_and_sigmoid::<S, T>(s, z);
        [value, slope, T::nfma(s, slope, slope, slope)]
    }
    kept!();
}

impl Function for Silu {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        // φ = zσ, φ′ = σ + φ(1 − σ), φ″ = σ(1 − σ)(2 + z(1 − 2σ))
        let (_, sigma) = softplus_and_sigmoid::<S, T>(s, z);
        let value = T::mul(s, z, sigma);
        let slope = T::fma(s, value, T::sub(s, T::constant(s, 1.0), sigma), sigma);
        let spread = T::nfma(s, sigma, sigma, sigma);
        let lean = T::fma(s, z, T::nfma(s, T::constant(s, 2.0), sigma, T::constant(s, 1.0)), T::constant(s, 2.0));
        [value, slope, T::mul(s, spread, lean)]
    }
    kept!();
}

impl Function for Gelu {
    #[inline(always)]
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3] {
        // φ = zΦ, φ′ = Φ + zϕ, φ″ = (2 − z²)ϕ
        let (distribution, density) = normal::<S, T>(s, z);
        let slope = T::fma(s, z, density, distribution);
        let second_derivative = T::mul(s, density, T::nfma(s, z, z, T::constant(s, 2.0)));
        [T::mul(s, z, distribution), slope, second_derivative]
    }
    kept!();
}
