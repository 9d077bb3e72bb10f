//! The shape of a particle network and the two layouts of its parameters.

use crate::network::activation::Activation;
use crate::simd::Real;
use crate::system::error::KernelError;

/// h(x) = (1/N) Σᵢ Ψ(x, θᵢ) with Ψ = w₂·a(w₁ᵀx + b), or R·tanh(w₂·a(w₁ᵀx + b)/R) where the outputs are clipped.
///
/// The flat layout is a matrix of d + 2 rows and N columns, a particle a column: w₁, then b, then w₂.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Particles {
    /// d.
    pub n_inputs: usize,
    /// N.
    pub n_particles: usize,
    /// a: tanh or relu.
    pub activation: Activation,
    /// R, the bound of a particle's output; none for no bound.
    pub clip: Option<f64>,
}

impl Particles {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`KernelError::Range`], [`KernelError::Name`] or [`KernelError::Overflow`].
    pub fn validate(&self) -> Result<(), KernelError> {
        for (what, got) in [("n_inputs", self.n_inputs), ("n_particles", self.n_particles)] {
            if got == 0 {
                return Err(KernelError::Range { what, got: 0.0, needed: "at least 1" });
            }
        }
        let rows = self.n_inputs.checked_add(2);
        let padded = self.n_particles.checked_next_multiple_of(16);
        if rows.zip(padded).and_then(|(rows, width)| rows.checked_mul(width)?.checked_mul(8)).is_none() {
            return Err(KernelError::Overflow { what: "the number of parameters" });
        }
        if !matches!(self.activation, Activation::Tanh | Activation::Relu) {
            let got = format!("{:?}", self.activation).to_lowercase();
            return Err(KernelError::Name { what: "activation of particles", got, known: "tanh, relu".to_owned() });
        }
        match self.clip {
            Some(got) if !(got > 0.0 && got.is_finite()) => {
                Err(KernelError::Range { what: "clip", got, needed: "finite and above 0" })
            }
            _ => Ok(()),
        }
    }

    /// Length of the flat parameters.
    pub fn n_parameters(&self) -> usize {
        (self.n_inputs + 2) * self.n_particles
    }

    /// Distance between rows of the padded parameters.
    pub(super) fn stride<T: Real>(&self) -> usize {
        self.n_particles.next_multiple_of(T::PAD)
    }

    /// Length of the padded parameters.
    pub(super) fn padded_len<T: Real>(&self) -> usize {
        (self.n_inputs + 2) * self.stride::<T>()
    }

    /// Flat into padded parameters; the padding must be zero, and stays so: a particle of zeros puts out zero, has a
    /// zero gradient and gets no noise.
    pub(super) fn pack<T: Real>(&self, flat: &[T], padded: &mut [T]) {
        for (from, to) in flat.chunks_exact(self.n_particles).zip(padded.chunks_exact_mut(self.stride::<T>())) {
            to[..from.len()].copy_from_slice(from);
        }
    }

    /// Padded into flat parameters, appended.
    pub(super) fn unpack<T: Real>(&self, padded: &[T], flat: &mut Vec<T>) {
        padded.chunks_exact(self.stride::<T>()).for_each(|row| flat.extend_from_slice(&row[..self.n_particles]));
    }
}
