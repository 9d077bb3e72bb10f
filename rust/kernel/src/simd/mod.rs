//! The lowest numeric layer: one register type per instruction set and element type.
//!
//! [`Isa`] says which instruction set runs; it is looked at once ([`Backend::detect`]) and handed down as a token
//! without size, so that every pass is compiled for that set. [`Real`] is the element type with its register
//! operations. Arithmetic comes from `pulp`; what `pulp` lacks is written with intrinsics in `isa.rs` and
//! `transpose.rs`, with the figure that justifies it.

mod isa;
pub mod math;
mod real;
mod transpose;

pub use isa::{Backend, Isa};
pub use real::Real;
pub use transpose::transpose;

/// One pass of straight-line work over raw arrays.
pub trait Pass {
    /// What the pass returns.
    type Output;

    /// Does the work. It is entered through [`run`], inside a function compiled with the instruction set's
    /// features; everything it calls must be `#[inline(always)]` to be compiled with them too.
    ///
    /// # Safety
    /// The pointers that the pass holds must be valid for the extents it names.
    unsafe fn run<S: Isa>(self, isa: S) -> Self::Output;
}

/// Runs a pass with the instruction set's features switched on.
///
/// # Safety
/// As [`Pass::run`].
#[inline(always)]
pub unsafe fn run<S: Isa, P: Pass>(isa: S, pass: P) -> P::Output {
    struct Entered<S, P>(S, P);

    impl<S: Isa, P: Pass> pulp::NullaryFnOnce for Entered<S, P> {
        type Output = P::Output;

        #[inline(always)]
        fn call(self) -> P::Output {
            // SAFETY: made only by the function around it, whose caller gave the same promise.
            unsafe { self.1.run(self.0) }
        }
    }

    isa.enter(Entered(isa, pass))
}
