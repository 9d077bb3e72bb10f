//! The activations, by registers: value and derivatives.
//!
//! For tanh, relu and the identity both derivatives follow from the value; softplus, silu and gelu keep φ′ and φ″ beside
//! it ([`Activation::keeps_derivatives`](crate::Activation)). What is done with them is in `epilogues.rs`.

use crate::simd::Isa;
use crate::simd::math::{Elementary, normal, softplus_and_sigmoid, tanh};

/// One activation, by registers.
pub trait Function: Copy {
    /// φ(z), φ′(z), φ″(z); the derivatives are read only where the activation keeps them.
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3];
    /// φ′ from the value a, for those that do not keep it.
    fn slope<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S>;
    /// φ″/φ′ from the value a: times the delta, what the R-operator adds for the curvature.
    fn bend<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S>;
    /// As [`Activation::keeps_derivatives`].
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
    fn bend<S: Isa, T: Elementary>(s: S, _: T::Lanes<S>) -> T::Lanes<S> {
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
    fn bend<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S> {
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
    fn bend<S: Isa, T: Elementary>(s: S, _: T::Lanes<S>) -> T::Lanes<S> {
        T::constant(s, 0.0)
    }
}

/// The slope and bend of those that keep their derivatives are never asked for.
macro_rules! kept {
    () => {
        const KEEPS: bool = true;
        #[inline(always)]
        fn slope<S: Isa, T: Elementary>(_: S, a: T::Lanes<S>) -> T::Lanes<S> {
            a
        }
        #[inline(always)]
        fn bend<S: Isa, T: Elementary>(_: S, a: T::Lanes<S>) -> T::Lanes<S> {
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
        let bend = T::mul(s, density, T::nfma(s, z, z, T::constant(s, 2.0)));
        [T::mul(s, z, distribution), slope, bend]
    }
    kept!();
}

/// Calls `$body` with `$f` bound to the function of an activation.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            Activation::Identity => {
                type $f = Identity;
                $body
            }
            Activation::Tanh => {
                type $f = Tanh;
                $body
            }
            Activation::Relu => {
                type $f = Relu;
                $body
            }
            Activation::Softplus => {
                type $f = Softplus;
                $body
            }
            Activation::Silu => {
                type $f = Silu;
                $body
            }
            Activation::Gelu => {
                type $f = Gelu;
                $body
            }
        }
    };
}

pub(crate) use with_function;
