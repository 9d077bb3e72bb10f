//! A flat vector in the padded layout, with its transposed weights.

use crate::network::workspace::Buffer;
use crate::network::{Network, Point};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;

/// θ, or a direction, as the passes read it: shared by all clusters at t = 0.
pub struct Start<T> {
    theta: Buffer<T>,
    transposed: Buffer<T>,
}

impl<T: Elementary> Start<T> {
    /// Parameters.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new<S: Isa>(network: &Network<'_, S>, flat: &[T]) -> Result<Self, KernelError> {
        let mut start = Self::room(network)?;
        start.pack(network, flat);
        Ok(start)
    }

    /// Room for parameters.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn room<S: Isa>(network: &Network<'_, S>) -> Result<Self, KernelError> {
        Ok(Self {
            theta: Buffer::new("copies of the parameters", network.layout.len)?,
            transposed: Buffer::new("copies of the parameters", network.layout.transposed_len)?,
        })
    }

    /// Takes parameters.
    pub fn pack<S: Isa>(&mut self, network: &Network<'_, S>, flat: &[T]) {
        network.layout.pack_parameters(flat, &mut self.theta);
        network.transpose(&self.theta, &mut self.transposed);
    }

    /// A direction, whose padding is zero.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn of_direction<S: Isa>(network: &Network<'_, S>, flat: &[T]) -> Result<Self, KernelError> {
        let mut start = Self::room(network)?;
        network.layout.pack(flat, &mut start.theta);
        network.transpose(&start.theta, &mut start.transposed);
        Ok(start)
    }

    /// To be read.
    pub fn point(&self) -> Point<'_, T> {
        Point { theta: &self.theta, transposed: &self.transposed }
    }
}
