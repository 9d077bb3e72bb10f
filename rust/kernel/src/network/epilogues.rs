//! What is done to a tile of sums before it leaves the registers, or while it is in the first cache.
//!
//! Four moments: the forward pass turns z into φ(z) ([`Forward`]), the backward pass multiplies by φ′ ([`Backward`]), and
//! the R-operator's two passes use φ′ and φ″ ([`TangentForward`], [`TangentBackward`]). Each says what happens to one
//! register of sums ([`OneRegister`]). [`activated`] multiplies and hands the sums over: from the registers they were
//! summed in for the activations that most networks have ([`InRegisters`]), else stored first ([`EachRegister`]), since a
//! tile compiled for each activation would make the library many times as large. Where the derivatives are kept, the
//! backward pass replaces φ″ by its product with the incoming delta.

use std::marker::PhantomData;

use crate::dense::tile::{Finish, bias_or_zero, tiled_as};
use crate::dense::{Block, Epilogue, Factors, Matrix, Order, Processor, product};
use crate::network::activation::{Activation, Function, Relu, Tanh, with_function};
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
pub trait OneRegister<T: Elementary>: Copy {
    /// Which function it belongs to, and where sums are stored that do not come in registers: the matrix whose distance
    /// between rows every matrix has that it touches.
    fn of(self) -> (Activation, Matrix<T>);
    /// Takes a register of sums whose place in the matrices is `at`.
    ///
    /// # Safety
    /// The register at offset `at` must lie inside the layer's matrices.
    unsafe fn take<S: Isa, F: Function>(self, s: S, at: usize, sums: T::Lanes<S>);
}

/// C = Σ A·B + bias through an epilogue.
///
/// # Safety
/// As [`product`], with the epilogue's matrices in place of C.
pub unsafe fn activated<S, T, E>(
    processor: Processor<'_, S>,
    order: Order,
    shape: (usize, usize),
    factors: &[Factors<T>],
    bias: *const T,
    epilogue: E,
) where
    S: Isa,
    T: Elementary,
    E: OneRegister<T> + Epilogue<S>,
{
    let (activation, sums) = epilogue.of();
    // SAFETY: the caller's promise.
    unsafe {
        if order == Order::Columns
            && let Some((factors, terms)) = single_columns(factors)
        {
            return activated(processor, Order::Rows, shape, &factors[..terms], bias, epilogue);
        }
        if const { finishes_in_registers::<S, T>() } {
            match (activation, order) {
                (Activation::Tanh, Order::Rows) => {
                    let finish = InRegisters::<Tanh, T, E>(epilogue, bias, PhantomData);
                    return tiled_as::<S, T, _, false>(processor, shape, factors, finish);
                }
                (Activation::Relu, Order::Rows) => {
                    let finish = InRegisters::<Relu, T, E>(epilogue, bias, PhantomData);
                    return tiled_as::<S, T, _, false>(processor, shape, factors, finish);
                }
                (
                    Activation::Identity | Activation::Softplus | Activation::Silu | Activation::Gelu | Activation::Elu,
                    Order::Rows,
                )
                | (_, Order::Columns) => {}
            }
        }
        product(processor, order, shape, factors, bias, sums, &epilogue);
    }
}

/// Factors of inner length 1, read by rows: a line of A, as the deltas of one output, is a column whose rows are 1 apart.
fn single_columns<T: Copy>(factors: &[Factors<T>]) -> Option<([Factors<T>; 4], usize)> {
    let mut by_rows = [*factors.first()?; 4];
    if factors.len() > by_rows.len() || factors.iter().any(|factors| factors.depth != 1) {
        return None;
    }
    for (to, &factors) in by_rows.iter_mut().zip(factors) {
        *to = Factors { a: Matrix { at: factors.a.at, stride: 1 }, ..factors };
    }
    Some((by_rows, factors.len()))
}

/// Where a tile for each epilogue is worth its compilation, which takes minutes for all of them: not for one number at a
/// time, and not for the element type that is used where speed is not what counts. Nor where A is read across its rows,
/// as by the head's few outputs.
const fn finishes_in_registers<S: Isa, T: Elementary>() -> bool {
    size_of::<T::Lanes<S>>() > T::SIZE && T::SIZE == 4
}

/// Sums that start from a bias, null for none, and go to an epilogue before they are stored.
struct InRegisters<F, T, E>(E, *const T, PhantomData<F>);

impl<F, T, E: Copy> Clone for InRegisters<F, T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F, T, E: Copy> Copy for InRegisters<F, T, E> {}

impl<S: Isa, F: Function, T: Elementary, E: OneRegister<T>> Finish<S, T> for InRegisters<F, T, E> {
    #[inline(always)]
    unsafe fn start(self, s: S, col: usize) -> T::Lanes<S> {
        // SAFETY: the bias is as long as the padded columns.
        unsafe { bias_or_zero(s, self.1, col) }
    }

    #[inline(always)]
    unsafe fn finish<const M: usize, const N: usize>(self, s: S, row: usize, col: usize, sums: &[[T::Lanes<S>; N]; M]) {
        let (_, matrix) = self.0.of();
        for (i, line) in sums.iter().enumerate() {
            for (j, &sum) in line.iter().enumerate() {
                let at = (row + i) * matrix.stride + col + j * T::lanes::<S>();
                // SAFETY: the tile lies inside the padded matrices.
                unsafe { self.0.take::<S, F>(s, at, sum) };
            }
        }
    }
}

/// The registers of a block, row by row.
struct EachRegister<F, T, E>(E, Block, PhantomData<(F, T)>);

impl<F: Function, T: Elementary, E: OneRegister<T>> Pass for EachRegister<F, T, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let Self(epilogue, block, _) = self;
        let (_, sums) = epilogue.of();
        for row in block.row..block.row + block.rows {
            let first = row * sums.stride + block.col;
            for at in (first..first + block.cols).step_by(T::lanes::<S>()) {
                // SAFETY: the block lies inside the layer's matrices.
                unsafe { epilogue.take::<S, F>(s, at, T::load(s, sums.at.add(at))) };
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
    fn of(self) -> (Activation, Matrix<T>) {
        (self.0, self.1.value)
    }

    #[inline(always)]
    unsafe fn take<S: Isa, F: Function>(self, s: S, at: usize, sums: T::Lanes<S>) {
        let trace = self.1;
        // SAFETY: the caller's promise.
        unsafe {
            let [value, slope, second_derivative] = F::evaluate::<S, T>(s, sums);
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
    fn of(self) -> (Activation, Matrix<T>) {
        (self.0, self.1.delta)
    }

    #[inline(always)]
    unsafe fn take<S: Isa, F: Function>(self, s: S, at: usize, sums: T::Lanes<S>) {
        let trace = self.1;
        // SAFETY: the caller's promise.
        unsafe {
            let slope = trace.slope_at::<S, F>(s, at);
            if F::KEEPS {
                let second_derivative = trace.second_derivative.at.add(at);
                T::store(s, second_derivative, T::mul(s, sums, T::load(s, second_derivative)));
            }
            T::store(s, trace.delta.at.add(at), T::mul(s, sums, slope));
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
    fn of(self) -> (Activation, Matrix<T>) {
        (self.activation, self.value)
    }

    #[inline(always)]
    unsafe fn take<S: Isa, F: Function>(self, s: S, at: usize, sums: T::Lanes<S>) {
        // SAFETY: the caller's promise.
        unsafe {
            let (slope, second_derivative) =
                (self.trace.slope_at::<S, F>(s, at), self.trace.second_derivative_at::<S, F>(s, at));
            T::store(s, self.value.at.add(at), T::mul(s, sums, slope));
            T::store(s, self.delta.at.add(at), T::mul(s, sums, second_derivative));
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
    fn of(self) -> (Activation, Matrix<T>) {
        (self.activation, self.incoming)
    }

    #[inline(always)]
    unsafe fn take<S: Isa, F: Function>(self, s: S, at: usize, sums: T::Lanes<S>) {
        // SAFETY: the caller's promise.
        unsafe {
            let slope = self.trace.slope_at::<S, F>(s, at);
            let to = self.delta.at.add(at);
            T::store(s, to, T::fma(s, sums, slope, T::load(s, to)));
        }
    }
}
epilogue!(TangentBackward);
