//! A flat vector in the padded layout, with its transposed weights.

use crate::passes::{Network, Point};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::workspace::Buffer;

/// θ, or a direction, as the passes read it: shared by all clusters at t = 0.
pub struct Start<T> {
    theta: Buffer<T>,
    transposed: Buffer<T>,
}

impl<T: Elementary> Start<T> {
    /// Parameters.
    pub fn new<S: Isa>(network: &Network<'_, S>, flat: &[T]) -> Self {
        let mut start = Self::of_direction(network, flat);
        network.layout.pack_parameters(flat, &mut start.theta);
        start
    }

    /// A direction, whose padding is zero.
    pub fn of_direction<S: Isa>(network: &Network<'_, S>, flat: &[T]) -> Self {
        let mut start =
            Self { theta: Buffer::new(network.layout.len), transposed: Buffer::new(network.layout.transposed_len) };
        network.layout.pack(flat, &mut start.theta);
        network.transpose(&start.theta, &mut start.transposed);
        start
    }

    /// To be read.
    pub fn point(&self) -> Point<'_, T> {
        Point { theta: &self.theta, transposed: &self.transposed }
    }
}
