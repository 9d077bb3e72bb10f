//! The activations' epilogues: what is done to a tile of sums while it is in the first cache.
//!
//! Four moments, each an [`Epilogue`]: the forward pass turns z into φ(z) ([`Forward`]), the backward pass multiplies by
//! φ′ ([`Backward`]), and the R-operator's two passes use φ′ and φ″ ([`TangentForward`], [`TangentBackward`]). For
//! tanh, relu and the identity both derivatives follow from the value; softplus, silu and gelu keep φ′ and φ″ beside it
//! ([`Activation::keeps_derivatives`]), and the backward pass replaces φ″ by its product with the incoming delta.

use crate::architecture::Activation;
use crate::dense::{Block, Epilogue, Matrix};
use crate::simd::math::{Elementary, normal, softplus_and_sigmoid, tanh};
use crate::simd::{Isa, Pass, run};

/// One activation, by registers.
trait Function: Copy {
    /// φ(z), φ′(z), φ″(z); the derivatives are read only where the activation keeps them.
    fn evaluate<S: Isa, T: Elementary>(s: S, z: T::Lanes<S>) -> [T::Lanes<S>; 3];
    /// φ′ from the value a, for those that do not keep it.
    fn slope<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S>;
    /// φ″/φ′ from the value a: times the delta, what the R-operator adds for the curvature.
    fn bend<S: Isa, T: Elementary>(s: S, a: T::Lanes<S>) -> T::Lanes<S>;
    /// As [`Activation::keeps_derivatives`].
    const KEEPS: bool = false;
}

#[derive(Clone, Copy)]
struct Identity;
#[derive(Clone, Copy)]
struct Tanh;
#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct Softplus;
#[derive(Clone, Copy)]
struct Silu;
#[derive(Clone, Copy)]
struct Gelu;

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

/// What one hidden layer keeps of the forward and backward pass, all with the layer's stride.
#[derive(Clone, Copy, Debug)]
pub struct LayerTrace<T> {
    /// φ(z).
    pub value: Matrix<T>,
    /// ∂L/∂z.
    pub delta: Matrix<T>,
    /// φ′(z), where kept.
    pub slope: Matrix<T>,
    /// φ″(z), and after the backward pass φ″(z)·∂L/∂φ, where kept.
    pub bend: Matrix<T>,
}

/// After the forward product: the stored z becomes φ(z).
pub struct Forward<T>(pub Activation, pub LayerTrace<T>);

/// After the backward product: the stored ∂L/∂φ becomes ∂L/∂z.
pub struct Backward<T>(pub Activation, pub LayerTrace<T>);

/// After the R-operator's forward product: the stored R{z} becomes R{φ}, and the curvature's share of R{delta} is kept.
pub struct TangentForward<T> {
    /// The activation.
    pub activation: Activation,
    /// The layer's record.
    pub trace: LayerTrace<T>,
    /// R{z} on the way in, R{φ} on the way out.
    pub value: Matrix<T>,
    /// Set to φ″·∂L/∂φ·R{z}.
    pub delta: Matrix<T>,
}

/// After the R-operator's backward product: the stored R{∂L/∂φ}, times φ′, is added to R{delta}.
pub struct TangentBackward<T> {
    /// The activation.
    pub activation: Activation,
    /// The layer's record.
    pub trace: LayerTrace<T>,
    /// R{∂L/∂φ}.
    pub incoming: Matrix<T>,
    /// R{delta}, added to.
    pub delta: Matrix<T>,
}

/// A loop over the registers of a block: `$at` is the offset in `$m`'s layout.
macro_rules! over_block {
    ($block:expr, $stride:expr, $s:ident: $S:ident, $t:ident, $at:ident => $body:block) => {
        for row in $block.row..$block.row + $block.rows {
            let mut $at = row * $stride + $block.col;
            let end = $at + $block.cols;
            while $at < end {
                $body
                $at += $t::lanes::<$S>();
            }
        }
    };
}

impl<S: Isa, T: Elementary> Epilogue<S> for Forward<T> {
    unsafe fn apply(&self, isa: S, block: Block) {
        struct Work<F, T>(LayerTrace<T>, Block, std::marker::PhantomData<F>);
        impl<F: Function, T: Elementary> Pass for Work<F, T> {
            type Output = ();
            #[inline(always)]
            unsafe fn run<S: Isa>(self, s: S) {
                let Self(trace, block, _) = self;
                over_block!(block, trace.value.stride, s: S, T, at => {
                    // SAFETY: the block lies inside the layer's matrices.
                    unsafe {
                        let [value, slope, bend] = F::evaluate::<S, T>(s, T::load(s, trace.value.at.add(at)));
                        T::store(s, trace.value.at.add(at), value);
                        if F::KEEPS {
                            T::store(s, trace.slope.at.add(at), slope);
                            T::store(s, trace.bend.at.add(at), bend);
                        }
                    }
                });
            }
        }
        // SAFETY: the caller's promise.
        unsafe { with_function!(self.0, F => run(isa, Work::<F, T>(self.1, block, std::marker::PhantomData))) }
    }
}

impl<S: Isa, T: Elementary> Epilogue<S> for Backward<T> {
    unsafe fn apply(&self, isa: S, block: Block) {
        struct Work<F, T>(LayerTrace<T>, Block, std::marker::PhantomData<F>);
        impl<F: Function, T: Elementary> Pass for Work<F, T> {
            type Output = ();
            #[inline(always)]
            unsafe fn run<S: Isa>(self, s: S) {
                let Self(trace, block, _) = self;
                over_block!(block, trace.delta.stride, s: S, T, at => {
                    // SAFETY: the block lies inside the layer's matrices.
                    unsafe {
                        let incoming = T::load(s, trace.delta.at.add(at));
                        let slope = slope_at::<S, T, F>(s, trace, at);
                        if F::KEEPS {
                            let bend = trace.bend.at.add(at);
                            T::store(s, bend, T::mul(s, incoming, T::load(s, bend)));
                        }
                        T::store(s, trace.delta.at.add(at), T::mul(s, incoming, slope));
                    }
                });
            }
        }
        // SAFETY: the caller's promise.
        unsafe { with_function!(self.0, F => run(isa, Work::<F, T>(self.1, block, std::marker::PhantomData))) }
    }
}

impl<S: Isa, T: Elementary> Epilogue<S> for TangentForward<T> {
    unsafe fn apply(&self, isa: S, block: Block) {
        struct Work<F, T>(LayerTrace<T>, Matrix<T>, Matrix<T>, Block, std::marker::PhantomData<F>);
        impl<F: Function, T: Elementary> Pass for Work<F, T> {
            type Output = ();
            #[inline(always)]
            unsafe fn run<S: Isa>(self, s: S) {
                let Self(trace, value, delta, block, _) = self;
                over_block!(block, value.stride, s: S, T, at => {
                    // SAFETY: the block lies inside the layer's matrices.
                    unsafe {
                        let rz = T::load(s, value.at.add(at));
                        let bend = if F::KEEPS {
                            T::load(s, trace.bend.at.add(at))
                        } else {
                            let ratio = F::bend::<S, T>(s, T::load(s, trace.value.at.add(at)));
                            T::mul(s, ratio, T::load(s, trace.delta.at.add(at)))
                        };
                        T::store(s, value.at.add(at), T::mul(s, rz, slope_at::<S, T, F>(s, trace, at)));
                        T::store(s, delta.at.add(at), T::mul(s, rz, bend));
                    }
                });
            }
        }
        let (value, delta) = (self.value, self.delta);
        // SAFETY: the caller's promise.
        unsafe {
            with_function!(self.activation, F => run(isa, Work::<F, T>(self.trace, value, delta, block, std::marker::PhantomData)))
        }
    }
}

impl<S: Isa, T: Elementary> Epilogue<S> for TangentBackward<T> {
    unsafe fn apply(&self, isa: S, block: Block) {
        struct Work<F, T>(LayerTrace<T>, Matrix<T>, Matrix<T>, Block, std::marker::PhantomData<F>);
        impl<F: Function, T: Elementary> Pass for Work<F, T> {
            type Output = ();
            #[inline(always)]
            unsafe fn run<S: Isa>(self, s: S) {
                let Self(trace, incoming, delta, block, _) = self;
                over_block!(block, delta.stride, s: S, T, at => {
                    // SAFETY: the block lies inside the layer's matrices.
                    unsafe {
                        let slope = slope_at::<S, T, F>(s, trace, at);
                        let to = delta.at.add(at);
                        T::store(s, to, T::fma(s, T::load(s, incoming.at.add(at)), slope, T::load(s, to)));
                    }
                });
            }
        }
        let (incoming, delta) = (self.incoming, self.delta);
        // SAFETY: the caller's promise.
        unsafe {
            with_function!(self.activation, F => run(isa, Work::<F, T>(self.trace, incoming, delta, block, std::marker::PhantomData)))
        }
    }
}

/// φ′ where it was kept, or from the value.
#[inline(always)]
unsafe fn slope_at<S: Isa, T: Elementary, F: Function>(s: S, trace: LayerTrace<T>, at: usize) -> T::Lanes<S> {
    // SAFETY: the caller's offset lies inside the layer's matrices.
    unsafe {
        if F::KEEPS {
            T::load(s, trace.slope.at.add(at))
        } else {
            F::slope::<S, T>(s, T::load(s, trace.value.at.add(at)))
        }
    }
}
