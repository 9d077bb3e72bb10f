//! One network at one point: what the three passes share.
//!
//! The passes take slices and check their lengths once; inside they work on raw rows. `forward.rs`, `backward.rs` and
//! `tangent.rs` hold one pass each.

pub mod activation;
pub mod architecture;
pub mod backward;
pub mod epilogues;
pub mod fold;
pub mod forward;
pub mod head;
pub mod layout;
pub mod loss;
pub mod predict;
pub mod start;
pub mod tangent;
pub mod whiten;
pub mod workspace;

use crate::dense::{Matrix, Processor};
use crate::network::layout::Layout;
use crate::network::loss::{Loss, Planes};
use crate::network::workspace::{Batch, Scratch, TraceLayout};
use crate::simd::{Isa, Real, transpose};
use crate::system::threads::Threads;

/// Numbers that are transposed between two questions: some milliseconds.
const AT_ONCE: usize = 1 << 20;

/// A network's shape and loss, for one instruction set.
#[derive(Clone, Copy)]
pub struct Network<'a, S> {
    /// The instruction set.
    pub isa: S,
    /// Padded offsets.
    pub layout: &'a Layout,
    /// The row loss.
    pub loss: Loss,
    /// Who may stop its passes on their way, and takes part in their long products. What they leave when they are stopped is
    /// not to be used.
    pub threads: Threads<'a>,
}

/// Parameters, or a direction in their space, with the hidden weights transposed too.
#[derive(Clone, Copy)]
pub struct Point<'a, T> {
    /// Padded vector.
    pub theta: &'a [T],
    /// Transposed hidden weights; not read by the forward pass.
    pub transposed: &'a [T],
}

/// One gradient's record and its layout.
pub struct Record<'a, T> {
    /// Where things are.
    pub layout: &'a TraceLayout,
    /// The numbers.
    pub numbers: &'a mut [T],
}

impl<S: Isa> Network<'_, S> {
    /// What its products are computed by.
    #[inline(always)]
    pub(crate) fn processor(&self) -> Processor<'_, S> {
        Processor { isa: self.isa, threads: &self.threads }
    }

    /// Fills the transposed hidden weights of a padded vector; told to stop, not all of them.
    pub fn transpose<T: Real>(&self, theta: &[T], transposed: &mut [T]) {
        assert!(theta.len() == self.layout.len && transposed.len() == self.layout.transposed_len);
        for layer in self.layout.hidden.iter().skip(1) {
            // Whole blocks of rows at a time, between which a long one asks.
            let is_long = layer.inputs.saturating_mul(layer.width) > AT_ONCE;
            let at_once = if is_long { AT_ONCE.div_ceil(layer.width).next_multiple_of(T::PAD) } else { layer.inputs };
            for first in (0..layer.inputs).step_by(at_once) {
                if first > 0 && self.threads.is_stopped() {
                    return;
                }
                // SAFETY: the layout reserves whole blocks at both places, and the lengths were checked.
                unsafe {
                    let from = (theta.as_ptr().add(layer.weights + first * layer.stride), layer.stride);
                    let to = (transposed.as_mut_ptr().add(layer.transposed + first), layer.transposed_stride);
                    transpose(self.isa, (at_once.min(layer.inputs - first), layer.width), from, to);
                }
            }
        }
    }

    /// Checks what the unsafe parts of the passes rely on.
    pub(crate) fn check<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        record: &Record<'_, T>,
        scratch: &Scratch<T>,
    ) {
        self.check_values(batch, point, record, scratch);
        let padded = batch.rows.next_multiple_of(T::PAD);
        let target_planes = self.loss.target_width(self.layout.n_outputs);
        assert!(batch.targets.len() >= (target_planes - 1) * batch.plane + padded, "targets are short");
        assert!(batch.weights.len() >= padded, "weights are short");
        assert_eq!(point.transposed.len(), self.layout.transposed_len, "transposed weights are missing");
    }

    /// The part of [`Network::check`] that the values alone need.
    pub(crate) fn check_values<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        point: &Point<'_, T>,
        record: &Record<'_, T>,
        scratch: &Scratch<T>,
    ) {
        let padded = batch.rows.next_multiple_of(T::PAD);
        let layout = self.layout;
        assert!(batch.rows > 0 && batch.rows <= scratch.rows, "rows exceed the scratch");
        assert!(scratch.outputs.len() >= record.layout.plane * layout.n_outputs, "scratch planes are short");
        // Without hidden layers the head reads whole padded rows.
        let width = if layout.hidden.is_empty() { layout.head_stride } else { layout.n_inputs };
        assert!(batch.x.len() >= (batch.rows - 1) * batch.x_stride + width, "x is short");
        assert!(batch.first_row.is_multiple_of(T::PAD), "a part starts at a multiple of the padding");
        assert_eq!(point.theta.len(), layout.len, "parameters are not padded");
        let planes = batch.first_row + padded;
        assert!(record.numbers.len() >= record.layout.len && planes <= record.layout.plane, "record is short");
    }

    /// What layer `l` reads: the rows of x, or the values of the layer below.
    pub(crate) fn input<T: Real>(
        &self,
        l: usize,
        batch: &Batch<'_, T>,
        layout: &TraceLayout,
        record: *mut T,
    ) -> Matrix<T> {
        match l.checked_sub(1) {
            None => Matrix::of(batch.x.as_ptr(), batch.x_stride),
            Some(below) => layout.layer(self.layout, record, below, batch.first_row).value,
        }
    }

    /// The planes of the loss.
    pub(crate) fn planes<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        layout: &TraceLayout,
        record: *mut T,
        outputs: *const T,
    ) -> Planes<T> {
        Planes {
            rows: batch.rows,
            outputs: self.layout.n_outputs,
            plane: layout.plane,
            outputs_at: outputs.wrapping_add(batch.first_row),
            targets: batch.targets.as_ptr(),
            target_plane: batch.plane,
            weights: batch.weights.as_ptr(),
            delta: record.wrapping_add(layout.delta + batch.first_row),
            curvature: record.wrapping_add(layout.curvature + batch.first_row),
        }
    }
}
