//! What is done to a tile of sums while it is in the first cache.
//!
//! Four moments, each an [`Epilogue`]: the forward pass turns z into φ(z) ([`Forward`]), the backward pass multiplies by
//! φ′ ([`Backward`]), and the R-operator's two passes use φ′ and φ″ ([`TangentForward`], [`TangentBackward`]). Where the
//! derivatives are kept, the backward pass replaces φ″ by its product with the incoming delta.

use crate::activation::{Function, Gelu, Identity, Relu, Silu, Softplus, Tanh, with_function};
use crate::architecture::Activation;
use crate::dense::{Block, Epilogue, Matrix};
use crate::simd::math::Elementary;
use crate::simd::{Isa, Pass, run};

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
