//! Widths, activations and the user's flat layout of the parameters.

use std::ops::Range;

use crate::network::activation::Activation;
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
