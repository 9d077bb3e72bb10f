//! A model's parameters with those of batch normalization behind them, in one padded vector.

use std::ops::Range;

use crate::network::architecture::{Kind, Span};
use crate::network::layout::Layout;
use crate::network::workspace::Buffer;
use crate::simd::Real;
use crate::system::error::KernelError;

/// The padded layout of a model's trained parameters: the network's, then scale and shift of each hidden layer where
/// batches are normalized.
pub struct Extended<'a> {
    /// The network's part.
    pub layout: &'a Layout,
    /// Where each hidden layer's scale begins; its shift is a stride further on. Empty without batch normalization.
    pub scales: Vec<usize>,
    /// Numbers in all.
    pub len: usize,
}

impl<'a> Extended<'a> {
    /// With or without batch normalization.
    pub fn new(layout: &'a Layout, normalized: bool) -> Self {
        let mut len = layout.len;
        let mut scales = Vec::new();
        for layer in layout.hidden.iter().filter(|_| normalized) {
            scales.push(len);
            len += 2 * layer.stride;
        }
        Self { layout, scales, len }
    }

    /// What the optimizer steps over.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = self.layout.spans();
        if self.len > self.layout.len {
            spans.push(Span { range: self.layout.len..self.len, kind: Kind::Free });
        }
        spans
    }

    /// A starting point: scales 1, shifts 0.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn start<T: Real>(&self, flat: &[T]) -> Result<Buffer<T>, KernelError> {
        let mut theta = Buffer::new("a model's parameters", self.len)?;
        self.layout.pack_parameters(flat, &mut theta[..self.layout.len]);
        for (&at, layer) in self.scales.iter().zip(&self.layout.hidden) {
            theta[at..at + layer.width].fill(T::from_f64(1.0));
        }
        self.hold_padding(&mut theta);
        Ok(theta)
    }

    /// Sets the biases of padded lanes to what keeps their activations at zero, and those that are not there to zero: a
    /// penalty or a step may have moved them.
    pub fn hold_padding<T: Real>(&self, theta: &mut [T]) {
        self.layout.hold_padding(&mut theta[..self.layout.len]);
        self.layout.clear_biases(&mut theta[..self.layout.len]);
        let bias = T::from_f64(self.layout.activation.pad_bias());
        for (&at, layer) in self.scales.iter().zip(&self.layout.hidden) {
            theta[at + layer.stride + layer.width..at + 2 * layer.stride].fill(bias);
        }
    }

    /// Where a layer's scale and shift lie.
    pub fn scale_and_shift(&self, layer: usize) -> [Range<usize>; 2] {
        let (at, stride) = (self.scales[layer], self.layout.hidden[layer].stride);
        [at..at + stride, at + stride..at + 2 * stride]
    }

    /// The network's flat parameters, into `flat`.
    pub fn unpack<T: Real>(&self, theta: &[T], flat: &mut [T]) {
        self.layout.unpack(&theta[..self.layout.len], flat, |x| x);
    }
}
