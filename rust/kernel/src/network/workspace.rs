//! Scratch memory: aligned buffers, sized once; nothing allocates inside a loop.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::dense::{Matrix, Target, Targets, column_sums};
use crate::network::epilogues::LayerTrace;
use crate::network::layout::Layout;
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::memory;

/// Rows that go through the passes at once: activations of a few hundred rows stay in the second cache.
pub const PART_ROWS: usize = 512;

/// Memory that starts on a 64-byte line. Freed buffers are kept for the next call, whose scratch is most often of the same
/// sizes: fresh pages cost more than a small call's work.
pub struct Buffer<T> {
    at: NonNull<T>,
    len: usize,
}

// SAFETY: a buffer owns its memory and hands it out only by the borrow rules; `Real` types are plain numbers.
unsafe impl<T: Real> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Real> Sync for Buffer<T> {}

impl<T: Real> Buffer<T> {
    /// No numbers.
    pub fn empty() -> Self {
        Self { at: NonNull::dangling(), len: 0 }
    }

    /// `len` zeros, for `what`.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(what: &'static str, len: usize) -> Result<Self, KernelError> {
        Self::with(what, len, true)
    }

    /// `len` numbers for `what`, whatever they are: for scratch that is written before it is read.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn any(what: &'static str, len: usize) -> Result<Self, KernelError> {
        Self::with(what, len, false)
    }

    /// Buffers of zeros for `what`, one for each length.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn several(what: &'static str, lens: impl ExactSizeIterator<Item = usize>) -> Result<Vec<Self>, KernelError> {
        memory::tried(what, lens.map(|len| Self::new(what, len)))
    }

    #[inline]
    fn with(what: &'static str, len: usize, zeroed: bool) -> Result<Self, KernelError> {
        if len == 0 {
            return Ok(Self::empty());
        }
        let bytes = len.saturating_mul(T::SIZE);
        // An error that is made only where it is needed: a small call takes dozens of blocks.
        match memory::take(bytes, zeroed) {
            Some(at) => Ok(Self { at: at.cast(), len }),
            None => Err(KernelError::Memory { what, bytes }),
        }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let bytes = self.len * size_of::<T>();
        if bytes > 0 {
            // SAFETY: taken in `with`, and owned until now.
            unsafe { memory::give(self.at.cast(), bytes) }
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised elements are owned.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised elements are owned.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

/// Where one gradient's record lies for up to `rows` rows: per hidden layer value, delta and, where the activation keeps
/// them, slope and second derivative; for the outputs delta and curvature, planar.
#[derive(Clone, Debug)]
pub struct TraceLayout {
    /// Offsets of value, delta, slope and second derivative of each hidden layer.
    layers: Vec<[usize; 4]>,
    /// Output deltas.
    pub delta: usize,
    /// Output curvature.
    pub curvature: usize,
    /// Distance between planes: the rows, padded.
    pub plane: usize,
    /// Elements in all.
    pub len: usize,
}

impl TraceLayout {
    /// A record of `rows` rows.
    pub fn new<T: Real>(layout: &Layout, rows: usize) -> Self {
        let parts = if layout.activation.keeps_derivatives() { 4 } else { 2 };
        let mut len = 0;
        let layers = layout.hidden.iter().map(|layer| {
            let size = rows * layer.stride;
            let at = std::array::from_fn(|part| len + part.min(parts - 1) * size);
            len += parts * size;
            at
        });
        let layers = layers.collect();
        let plane = rows.next_multiple_of(T::PAD);
        let delta = len;
        let curvature = delta + layout.n_outputs * plane;
        Self { layers, delta, curvature, plane, len: curvature + layout.n_outputs * plane }
    }

    /// A hidden layer's matrices inside a record, from `first_row` on.
    pub fn layer<T: Real>(&self, layout: &Layout, record: *mut T, l: usize, first_row: usize) -> LayerTrace<T> {
        let stride = layout.hidden[l].stride;
        // Pointers only: the passes that use them check the record's length.
        let part = |i: usize| Matrix { at: record.wrapping_add(self.layers[l][i] + first_row * stride), stride };
        LayerTrace { value: part(0), delta: part(1), slope: part(2), second_derivative: part(3) }
    }
}

/// The rows that a pass works on: a cluster, or a part of one.
#[derive(Clone, Copy)]
pub struct Batch<'a, T> {
    /// Inputs, rows × `x_stride`; padded only for a network without hidden layers.
    pub x: &'a [T],
    /// Distance between rows of x.
    pub x_stride: usize,
    /// Targets in planes.
    pub targets: &'a [T],
    /// Row weights that sum to 1 over what the loss is a mean of; 0 in the padding.
    pub weights: &'a [T],
    /// Length of `weights` and distance between target planes: the rows, padded.
    pub plane: usize,
    /// Rows.
    pub rows: usize,
    /// Where these rows start in their record: a multiple of the padding.
    pub first_row: usize,
}

impl<'a, T: Real> Batch<'a, T> {
    /// The rows from `first` to `end`; `first` must be a multiple of the padding.
    pub fn part(self, first: usize, end: usize) -> Self {
        debug_assert!(first.is_multiple_of(T::PAD) && end <= self.rows);
        Self {
            x: &self.x[first * self.x_stride..],
            targets: &self.targets[first..],
            weights: &self.weights[first..],
            rows: end - first,
            first_row: self.first_row + first,
            ..self
        }
    }

    /// The same rows, with a record of their own.
    pub fn with_own_record(self) -> Self {
        Self { first_row: 0, ..self }
    }
}

/// What a written vector starts from.
pub enum From<'a, T> {
    /// Nothing: it is overwritten.
    Zero,
    /// Its own content.
    Itself,
    /// Another vector.
    Other(&'a [T]),
}

/// Parameter vectors that receive a gradient: `to = from + scale·gradient`, up to two at once; see [`Sink::keeping`].
pub struct Sink<'a, T> {
    targets: Targets<T>,
    len: usize,
    borrowed: std::marker::PhantomData<&'a mut [T]>,
}

impl<'a, T: Real> Sink<'a, T> {
    /// One vector.
    pub fn new(from: From<'a, T>, to: &'a mut [T], scale: T) -> Self {
        let len = to.len();
        Self { targets: [Some(target(from, to, scale)), None], len, borrowed: std::marker::PhantomData }
    }

    /// A second vector of the same length.
    pub fn and(mut self, from: From<'a, T>, to: &'a mut [T], scale: T) -> Self {
        assert_eq!(self.len, to.len(), "vectors of one gradient are of one length");
        self.targets[1] = Some(target(from, to, scale));
        self
    }

    /// What is added to counts `keep` times: a step of descent with weight decay.
    pub fn keeping(mut self, keep: T) -> Self {
        self.targets.iter_mut().flatten().for_each(|target| target.keep = Some(keep));
        self
    }

    /// The same vectors, added to: for the rows after the first part.
    pub fn onto_itself(&mut self) {
        for target in self.targets.iter_mut().flatten() {
            target.from = target.to;
            target.keep = None;
        }
    }

    /// Adds a finished gradient.
    pub fn add<S: Isa>(&mut self, isa: S, gradient: &[T]) {
        assert_eq!(self.len, gradient.len(), "a gradient is as long as the padded parameters");
        // SAFETY: one row as long as the targets, which are padded to whole registers.
        unsafe { column_sums(isa, (1, self.len), Matrix::of(gradient.as_ptr(), 0), self.targets) }
    }

    pub(crate) fn targets(&self, needed: usize) -> Targets<T> {
        assert_eq!(self.len, needed, "a gradient is as long as the padded parameters");
        self.targets
    }
}

fn target<T: Real>(from: From<'_, T>, to: &mut [T], scale: T) -> Target<T> {
    let from = match from {
        From::Zero => std::ptr::null(),
        From::Itself => to.as_ptr(),
        From::Other(other) => {
            assert_eq!(other.len(), to.len(), "a sum's parts are of one length");
            other.as_ptr()
        }
    };
    Target { from, to: to.as_mut_ptr(), scale, keep: None }
}

/// What the passes need besides a record, for up to `rows` rows at a time.
pub struct Scratch<T> {
    /// Linear outputs, in planes like the record's.
    pub outputs: Buffer<T>,
    /// R{φ} of each hidden layer, then R{delta}, then one incoming product.
    pub tangent: Buffer<T>,
    /// R{f} and then R{output delta}, in planes like the record's.
    pub tangent_outputs: Buffer<T>,
    /// Rows it is sized for.
    pub rows: usize,
}

impl<T: Real> Scratch<T> {
    /// Scratch for `rows` rows at a time, beside a record with planes of length `plane`.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(layout: &Layout, rows: usize, plane: usize) -> Result<Self, KernelError> {
        let planes = layout.n_outputs * plane;
        let widths: usize = layout.hidden.iter().map(|l| l.stride).sum();
        let widest = layout.hidden.iter().map(|l| l.stride).max().unwrap_or(0);
        Ok(Self {
            outputs: Buffer::any("the outputs and tangents of a block of rows", planes)?,
            tangent: Buffer::any("the outputs and tangents of a block of rows", rows * (2 * widths + widest))?,
            tangent_outputs: Buffer::any("the outputs and tangents of a block of rows", 2 * planes)?,
            rows,
        })
    }
}

#[cfg(test)]
mod tests;
