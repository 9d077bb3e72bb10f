//! Widths, activations and the two parameter layouts: the user's flat one and the kernel's padded one.

use std::ops::Range;

use crate::network::activation::Activation;
use crate::simd::Real;
use crate::system::error::KernelError;

/// No deeper network can be trained by plain descent, and each layer costs memory of its own.
pub const MOST_LAYERS: usize = 1000;

/// A multilayer perceptron: inputs, hidden widths, linear outputs.
///
/// The flat layout is, per layer, W (in × out, row-major), then b.
///
/// ```
/// use rfp_kernel::{Activation, Architecture};
/// let net = Architecture::new(2, &[3], 1, Activation::Tanh)?;
/// assert_eq!(net.n_parameters(), 2 * 3 + 3 + 3 * 1 + 1);
/// # Ok::<(), rfp_kernel::KernelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    n_inputs: usize,
    hidden: Vec<usize>,
    n_outputs: usize,
    activation: Activation,
    biases: bool,
    n_parameters: usize,
}

impl Architecture {
    /// Checks the widths.
    ///
    /// # Errors
    /// [`KernelError::Limit`] for more than [`MOST_LAYERS`], [`KernelError::Range`] for a width of zero,
    /// [`KernelError::Overflow`] when the parameters cannot be counted.
    pub fn new(
        n_inputs: usize,
        hidden: &[usize],
        n_outputs: usize,
        activation: Activation,
    ) -> Result<Self, KernelError> {
        if hidden.len() > MOST_LAYERS {
            let got = hidden.len().to_string();
            return Err(KernelError::Limit { what: "the number of hidden layers", got, most: MOST_LAYERS });
        }
        let overflow = KernelError::Overflow { what: "the number of parameters" };
        let mut n_parameters = 0_usize;
        let mut from = n_inputs;
        for &to in hidden.iter().chain([&n_outputs]) {
            if from == 0 || to == 0 {
                return Err(KernelError::Range { what: "every width", got: 0.0, needed: "at least 1" });
            }
            let size = from.checked_add(1).and_then(|rows| rows.checked_mul(to));
            n_parameters = size.and_then(|s| s.checked_add(n_parameters)).ok_or(overflow.clone())?;
            from = to;
        }
        // Padding and a scratch of several copies must stay countable too.
        if n_parameters > isize::MAX as usize / 4096 {
            return Err(overflow);
        }
        Ok(Self { n_inputs, hidden: hidden.to_vec(), n_outputs, activation, biases: true, n_parameters })
    }

    /// The same without biases: the flat layout is each layer's W.
    ///
    /// ```
    /// use rfp_kernel::{Activation, Architecture};
    /// let net = Architecture::new(2, &[3], 1, Activation::Tanh)?.without_biases();
    /// assert_eq!(net.n_parameters(), 2 * 3 + 3 * 1);
    /// # Ok::<(), rfp_kernel::KernelError>(())
    /// ```
    pub fn without_biases(mut self) -> Self {
        if self.biases {
            self.n_parameters -= self.hidden.iter().sum::<usize>() + self.n_outputs;
        }
        self.biases = false;
        self
    }

    /// Columns of X.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }
    /// Widths of the hidden layers.
    pub fn hidden(&self) -> &[usize] {
        &self.hidden
    }
    /// Linear outputs.
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }
    /// The function between the layers.
    pub fn activation(&self) -> Activation {
        self.activation
    }
    /// Whether the units have biases.
    pub fn has_biases(&self) -> bool {
        self.biases
    }
    /// Length of the flat parameter vector.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }
    /// What an optimizer of flat parameters steps over, and the weights into each unit.
    pub fn spans(&self) -> (Vec<Span>, Vec<Units>) {
        let (mut spans, mut units) = (Vec::new(), Vec::new());
        let (mut at, mut inputs) = (0, self.n_inputs);
        for &width in self.hidden.iter().chain([&self.n_outputs]) {
            let bias = at + inputs * width;
            spans.push(Span { range: at..bias, kind: Kind::Weights });
            let end = if self.biases { bias + width } else { bias };
            spans.push(Span { range: bias..end, kind: Kind::Biases });
            units.push(Units { at, inputs, units: width, input_step: width, unit_step: 1 });
            (at, inputs) = (end, width);
        }
        (spans, units)
    }
    /// Parameters before the last layer: the first index of the head.
    pub fn head_start(&self) -> usize {
        self.n_parameters - (self.head_inputs() + usize::from(self.biases)) * self.n_outputs
    }
    fn head_inputs(&self) -> usize {
        self.hidden.last().copied().unwrap_or(self.n_inputs)
    }
}

/// What a run of parameters is, for the penalties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights.
    Weights,
    /// Biases.
    Biases,
    /// Parameters that are never penalised: scale and shift of a normalization.
    Free,
}

/// A run of parameters of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it lies.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// Where the weights into a layer's units lie: those of unit j from input i at `at + i·input_step + j·unit_step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// The first weight.
    pub at: usize,
    /// Weights into each unit.
    pub inputs: usize,
    /// Units.
    pub units: usize,
    /// Distance between a unit's weights.
    pub input_step: usize,
    /// Distance between units.
    pub unit_step: usize,
}

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
        let mut hidden = Vec::with_capacity(architecture.hidden.len());
        let (mut len, mut transposed_len) = (0, 0);
        let mut inputs = architecture.n_inputs;
        let mut below = padded_stride::<T>(inputs);
        for (l, &width) in architecture.hidden.iter().enumerate() {
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
        let head_bias = head_weights + architecture.n_outputs * below;
        Self {
            hidden,
            n_inputs: architecture.n_inputs,
            n_outputs: architecture.n_outputs,
            head_inputs: inputs,
            head_stride: below,
            head_weights,
            head_bias,
            biases: architecture.biases,
            len: head_bias + architecture.n_outputs.next_multiple_of(T::PAD),
            transposed_len,
            activation: architecture.activation,
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
