//! The kernel's padded layout of the parameters, and the way there from the flat one.

use crate::network::activation::Activation;
use crate::network::architecture::{Architecture, Kind, Span, Units};
use crate::simd::Real;

/// One hidden layer in the padded layout; the offsets count elements.
#[derive(Clone, Debug)]
pub struct HiddenLayer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub width: usize,
    /// Distance between rows of W, and of everything that has this layer's width.
    pub stride: usize,
    /// W, inputs × stride.
    pub weights: usize,
    /// b.
    pub bias: usize,
    /// Wᵀ in the transposed block, width × `transposed_stride`; the first layer has none.
    pub transposed: usize,
    /// Distance between rows of Wᵀ: the stride of the layer below.
    pub transposed_stride: usize,
}

/// Offsets of the padded layout for one element type.
///
/// Rows are padded to 64 bytes with zeros, so that every instruction set works in whole registers and tails need no
/// masks. A row length that is a multiple of 512 bytes gets 64 bytes more: rows that are apart by a power of two fall
/// into the same cache sets. The head is kept transposed (outputs × inputs), because its outputs are few: products with
/// it then run along the layer below.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Hidden layers, first to last.
    pub hidden: Vec<HiddenLayer>,
    /// Columns of X.
    pub n_inputs: usize,
    /// Outputs.
    pub n_outputs: usize,
    /// What the head reads: the last hidden width, or the inputs of a linear model.
    pub head_inputs: usize,
    /// Distance between rows of the head's weights.
    pub head_stride: usize,
    /// The head's weights, outputs × `head_stride`.
    pub head_weights: usize,
    /// The head's bias.
    pub head_bias: usize,
    /// Whether the units have biases. Without, their places are there too, and hold zeros: `clear_biases`.
    pub biases: bool,
    /// Padded length of a parameter vector.
    pub len: usize,
    /// Padded length of the transposed hidden weights.
    pub transposed_len: usize,
    /// The function between the layers.
    pub activation: Activation,
}

/// A width padded to whole 64-byte lines, and off the multiples of 512 bytes.
pub fn padded_stride<T: Real>(width: usize) -> usize {
    let stride = width.next_multiple_of(T::PAD);
    if (stride * T::SIZE).is_multiple_of(512) { stride + T::PAD } else { stride }
}

impl Layout {
    /// Lays an architecture out for elements of type `T`.
    pub fn new<T: Real>(architecture: &Architecture) -> Self {
        let mut hidden = Vec::with_capacity(architecture.hidden().len());
        let (mut len, mut transposed_len) = (0, 0);
        let mut inputs = architecture.n_inputs();
        let mut below = padded_stride::<T>(inputs);
        for (l, &width) in architecture.hidden().iter().enumerate() {
            let stride = padded_stride::<T>(width);
            let weights = len;
            // Whole blocks are transposed, so W has as many rows as its padded height.
            let bias = weights + inputs.next_multiple_of(T::PAD) * stride;
            len = bias + stride;
            hidden.push(HiddenLayer {
                inputs,
                width,
                stride,
                weights,
                bias,
                transposed: transposed_len,
                transposed_stride: below,
            });
            if l > 0 {
                transposed_len += width.next_multiple_of(T::PAD) * below;
            }
            (inputs, below) = (width, stride);
        }
        let head_weights = len;
        let head_bias = head_weights + architecture.n_outputs() * below;
        Self {
            hidden,
            n_inputs: architecture.n_inputs(),
            n_outputs: architecture.n_outputs(),
            head_inputs: inputs,
            head_stride: below,
            head_weights,
            head_bias,
            biases: architecture.has_biases(),
            len: head_bias + architecture.n_outputs().next_multiple_of(T::PAD),
            transposed_len,
            activation: architecture.activation(),
        }
    }

    /// Visits every parameter as (flat index, padded index), in runs of neighbours where both advance by one.
    fn for_each_run(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let mut flat = 0;
        for layer in &self.hidden {
            for row in 0..layer.inputs {
                visit(flat, layer.weights + row * layer.stride, layer.width);
                flat += layer.width;
            }
            if self.biases {
                visit(flat, layer.bias, layer.width);
                flat += layer.width;
            }
        }
        if self.n_outputs == 1 {
            visit(flat, self.head_weights, self.head_inputs);
            flat += self.head_inputs;
        }
        for input in (0..self.head_inputs).filter(|_| self.n_outputs > 1) {
            for output in 0..self.n_outputs {
                visit(flat, self.head_weights + output * self.head_stride + input, 1);
                flat += 1;
            }
        }
        if self.biases {
            visit(flat, self.head_bias, self.n_outputs);
        }
    }

    /// Sets the places of biases to zero where the units have none: a gradient, or a step along it, fills them.
    pub fn clear_biases<T: Real>(&self, padded: &mut [T]) {
        if self.biases {
            return;
        }
        for layer in &self.hidden {
            padded[layer.bias..layer.bias + layer.width].fill(T::default());
        }
        padded[self.head_bias..self.head_bias + self.n_outputs].fill(T::default());
    }

    /// Copies a flat vector into a padded one whose padding is zero.
    pub fn pack<T: Real>(&self, flat: &[T], padded: &mut [T]) {
        self.for_each_run(|f, p, n| padded[p..p + n].copy_from_slice(&flat[f..f + n]));
    }

    /// As [`Layout::pack`] for parameters: biases of padded lanes keep the padded activations at zero.
    pub fn pack_parameters<T: Real>(&self, flat: &[T], padded: &mut [T]) {
        self.pack(flat, padded);
        self.hold_padding(padded);
    }

    /// Sets the biases of padded lanes to what keeps the padded activations at zero.
    pub fn hold_padding<T: Real>(&self, padded: &mut [T]) {
        let bias = T::from_f64(self.activation.pad_bias());
        for layer in &self.hidden {
            padded[layer.bias + layer.width..layer.bias + layer.stride].fill(bias);
        }
    }

    /// What an optimizer steps over: weights and biases, the padding with them.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::with_capacity(2 * self.hidden.len() + 2);
        for layer in &self.hidden {
            spans.push(Span { range: layer.weights..layer.bias, kind: Kind::Weights });
            spans.push(Span { range: layer.bias..layer.bias + layer.stride, kind: Kind::Biases });
        }
        spans.push(Span { range: self.head_weights..self.head_bias, kind: Kind::Weights });
        spans.push(Span { range: self.head_bias..self.len, kind: Kind::Biases });
        spans
    }

    /// The weights into each unit.
    pub fn units(&self) -> Vec<Units> {
        let hidden = self.hidden.iter().map(|layer| Units {
            at: layer.weights,
            inputs: layer.inputs,
            units: layer.width,
            input_step: layer.stride,
            unit_step: 1,
        });
        let head = Units {
            at: self.head_weights,
            inputs: self.head_inputs,
            units: self.n_outputs,
            input_step: 1,
            unit_step: self.head_stride,
        };
        hidden.chain([head]).collect()
    }

    /// Copies a padded vector into a flat one.
    pub fn unpack<T: Copy, U>(&self, padded: &[T], flat: &mut [U], mut convert: impl FnMut(T) -> U) {
        self.for_each_run(|f, p, n| {
            flat[f..f + n].iter_mut().zip(&padded[p..p + n]).for_each(|(to, from)| *to = convert(*from));
        });
    }
}

#[cfg(test)]
mod tests;
