//! Where a run stands: three networks' particles, and what their optimizers remember.

use crate::dense::vectors::all_finite;
use crate::network::workspace::Buffer;
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;

use super::shape::Particles;

/// One network's particles in the padded layout.
pub(super) struct NetworkState<T> {
    pub(super) theta: Buffer<T>,
    pub(super) first: Buffer<T>,
    pub(super) second: Buffer<T>,
    /// Steps since the moments were last cleared.
    pub(super) steps: u64,
}

impl<T: Real> NetworkState<T> {
    /// Room for a network, with moments where they are wanted.
    pub(super) fn new(shape: &Particles, moments: bool) -> Result<Self, KernelError> {
        let len = shape.padded_len::<T>();
        let kept = if moments { len } else { 0 };
        Ok(Self {
            theta: Buffer::new("the particles and their moments", len)?,
            first: Buffer::new("the particles and their moments", kept)?,
            second: Buffer::new("the particles and their moments", kept)?,
            steps: 0,
        })
    }

    /// Starts anew.
    pub(super) fn reset(&mut self, shape: &Particles, start: &[T]) {
        shape.pack(start, &mut self.theta);
        self.first.fill(T::default());
        self.second.fill(T::default());
        self.steps = 0;
    }

    fn copy(&mut self, other: &Self) {
        self.theta.copy_from_slice(&other.theta);
        self.first.copy_from_slice(&other.first);
        self.second.copy_from_slice(&other.second);
        self.steps = other.steps;
    }

    /// Mean over the particles of |θᵢ|².
    pub(super) fn mean_square(&self, shape: &Particles) -> f64 {
        self.theta.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>() / shape.n_particles as f64
    }
}

/// The structural network, the first stage and its twin.
pub(super) struct ParticleState<T> {
    pub(super) nets: [NetworkState<T>; 3],
    /// Outer steps taken.
    pub(super) steps: usize,
}

impl<T: Real> ParticleState<T> {
    pub(super) fn new(shapes: [&Particles; 3], moments: bool) -> Result<Self, KernelError> {
        let [x, z, twin] = shapes.map(|shape| NetworkState::new(shape, moments));
        Ok(Self { nets: [x?, z?, twin?], steps: 0 })
    }

    pub(super) fn copy(&mut self, other: &Self) {
        self.nets.iter_mut().zip(&other.nets).for_each(|(to, from)| to.copy(from));
        self.steps = other.steps;
    }

    pub(super) fn is_finite<S: Isa>(&self, isa: S) -> bool {
        self.nets.iter().all(|net| all_finite(isa, &net.theta))
    }
}
