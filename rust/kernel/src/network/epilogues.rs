//! What is done to a tile of sums while it is in the first cache.
//!
//! Four moments: the forward pass turns z into φ(z) ([`Forward`]), the backward pass multiplies by φ′ ([`Backward`]), and
//! the R-operator's two passes use φ′ and φ″ ([`TangentForward`], [`TangentBackward`]). Each says what happens to one
//! register ([`OneRegister`]); [`EachRegister`] is the loop that all share. Where the derivatives are kept, the backward pass
//! replaces φ″ by its product with the incoming delta.

use std::marker::PhantomData;

use crate::dense::{Block, Epilogue, Matrix};
use crate::network::activation::{Activation, Function, with_function};
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
    pub second_derivative: Matrix<T>,
}

impl<T: Elementary> LayerTrace<T> {
    /// φ′ where it was kept, or from the value.
    #[inline(always)]
    unsafe fn slope_at<S: Isa, F: Function>(self, s: S, at: usize) -> T::Lanes<S> {
        // SAFETY: the caller's offset lies inside the layer's matrices.
        unsafe {
            if F::KEEPS {
                T::load(s, self.slope.at.add(at))
            } else {
                F::slope::<S, T>(s, T::load(s, self.value.at.add(at)))
            }
        }
    }

    /// φ″·∂L/∂φ where it was kept, or from value and delta.
    #[inline(always)]
    unsafe fn second_derivative_at<S: Isa, F: Function>(self, s: S, at: usize) -> T::Lanes<S> {
        // SAFETY: the caller's offset lies inside the layer's matrices.
        unsafe {
            if F::KEEPS {
                return T::load(s, self.second_derivative.at.add(at));
            }
            let ratio = F::derivative_ratio::<S, T>(s, T::load(s, self.value.at.add(at)));
            T::mul(s, ratio, T::load(s, self.delta.at.add(at)))
        }
    }
}

/// What an epilogue does to one register of its matrices.
trait OneRegister<T: Elementary>: Copy {
    /// Which function it belongs to, and the distance between rows of every matrix it touches.
    fn of(self) -> (Activation, usize);
    /// # Safety
    /// The register at offset `at` must lie inside the layer's matrices.
    unsafe fn at<S: Isa, F: Function>(self, s: S, at: usize);
}

/// The registers of a block, row by row.
struct EachRegister<F, T, E>(E, Block, PhantomData<(F, T)>);

impl<F: Function, T: Elementary, E: OneRegister<T>> Pass for EachRegister<F, T, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let Self(epilogue, block, _) = self;
        let (_, stride) = epilogue.of();
        for row in block.row..block.row + block.rows {
            let first = row * stride + block.col;
            for at in (first..first + block.cols).step_by(T::lanes::<S>()) {
                // SAFETY: the block lies inside the layer's matrices.
                unsafe { epilogue.at::<S, F>(s, at) };
            }
        }
    }
}

/// Makes an epilogue of what is done to one register.
macro_rules! epilogue {
    ($name:ident) => {
        impl<S: Isa, T: Elementary> Epilogue<S> for $name<T> {
            unsafe fn apply(&self, isa: S, block: Block) {
                // SAFETY: the caller's promise.
                unsafe { with_function!(self.of().0, F => run(isa, EachRegister::<F, T, _>(*self, block, PhantomData))) }
            }
        }
    };
}

/// After the forward product: the stored z becomes φ(z).
#[derive(Clone, Copy)]
pub struct Forward<T>(pub Activation, pub LayerTrace<T>);

impl<T: Elementary> OneRegister<T> for Forward<T> {
    #[inline(always)]
    fn of(self) -> (Activation, usize) {
        (self.0, self.1.value.stride)
    }

    #[inline(always)]
    unsafe fn at<S: Isa, F: Function>(self, s: S, at: usize) {
        let trace = self.1;
        // SAFETY: the caller's promise.
        unsafe {
            let [value, slope, second_derivative] = F::evaluate::<S, T>(s, T::load(s, trace.value.at.add(at)));
            T::store(s, trace.value.at.add(at), value);
            if F::KEEPS {
                T::store(s, trace.slope.at.add(at), slope);
                T::store(s, trace.second_derivative.at.add(at), second_derivative);
            }
        }
    }
}
epilogue!(Forward);

/// After the backward product: the stored ∂L/∂φ becomes ∂L/∂z.
#[derive(Clone, Copy)]
pub struct Backward<T>(pub Activation, pub LayerTrace<T>);

impl<T: Elementary> OneRegister<T> for Backward<T> {
    #[inline(always)]
    fn of(self) -> (Activation, usize) {
        (self.0, self.1.delta.stride)
    }

    #[inline(always)]
    unsafe fn at<S: Isa, F: Function>(self, s: S, at: usize) {
        let trace = self.1;
        // SAFETY: the caller's promise.
        unsafe {
            let incoming = T::load(s, trace.delta.at.add(at));
            let slope = trace.slope_at::<S, F>(s, at);
            if F::KEEPS {
                let second_derivative = trace.second_derivative.at.add(at);
                T::store(s, second_derivative, T::mul(s, incoming, T::load(s, second_derivative)));
            }
            T::store(s, trace.delta.at.add(at), T::mul(s, incoming, slope));
        }
    }
}
epilogue!(Backward);

/// After the R-operator's forward product: the stored R{z} becomes R{φ}, and the curvature's share of R{delta} is kept.
#[derive(Clone, Copy)]
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

impl<T: Elementary> OneRegister<T> for TangentForward<T> {
    #[inline(always)]
    fn of(self) -> (Activation, usize) {
        (self.activation, self.value.stride)
    }

    #[inline(always)]
    unsafe fn at<S: Isa, F: Function>(self, s: S, at: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let rz = T::load(s, self.value.at.add(at));
            let (slope, second_derivative) =
                (self.trace.slope_at::<S, F>(s, at), self.trace.second_derivative_at::<S, F>(s, at));
            T::store(s, self.value.at.add(at), T::mul(s, rz, slope));
            T::store(s, self.delta.at.add(at), T::mul(s, rz, second_derivative));
        }
    }
}
epilogue!(TangentForward);

/// After the R-operator's backward product: the stored R{∂L/∂φ}, times φ′, is added to R{delta}.
#[derive(Clone, Copy)]
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

impl<T: Elementary> OneRegister<T> for TangentBackward<T> {
    #[inline(always)]
    fn of(self) -> (Activation, usize) {
        (self.activation, self.delta.stride)
    }

    #[inline(always)]
    unsafe fn at<S: Isa, F: Function>(self, s: S, at: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let slope = self.trace.slope_at::<S, F>(s, at);
            let to = self.delta.at.add(at);
            T::store(s, to, T::fma(s, T::load(s, self.incoming.at.add(at)), slope, T::load(s, to)));
        }
    }
}
epilogue!(TangentBackward);
