//! A batch's rows, gathered from where they lie and changed on the way.

use super::draws::Draws;
use super::{Selection, Shifts, Smoothing, Spec};
use crate::dense::streams::{LINES, Stream};
use crate::dense::vectors::with_features;
use crate::network::layout::Layout;
use crate::network::loss::Loss;
use crate::network::workspace::{Batch, Buffer};
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::memory;

/// Room for a batch, and what becomes of its rows.
pub struct Gather<'a, T> {
    spec: &'a Spec,
    n_inputs: usize,
    stride: usize,
    labels: Labels,
    x: Buffer<T>,
    targets: Buffer<T>,
    weights: Buffer<T>,
    /// Rows that the batch is mixed with.
    partners: Vec<u32>,
    /// What is mixed, as it was before.
    spare: Buffer<T>,
    /// The noise of some rows.
    noise: Vec<T>,
    rows: usize,
}

/// What a row's target becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Labels {
    /// Itself.
    Same,
    /// `scale`·y + `offset`: smoothed labels of the logistic loss.
    Affine { scale: f64, offset: f64 },
    /// A class code's distribution: `on` for the class and `off` for the others.
    Distribution { on: f64, off: f64 },
}

impl Labels {
    fn of(spec: &Spec) -> Self {
        let classes = if spec.loss == Loss::Softmax { spec.architecture.n_outputs() as f64 } else { 2.0 };
        let Smoothing { epsilon, uniform } = spec.smoothing.unwrap_or(Smoothing { epsilon: 0.0, uniform: false });
        let off = epsilon / if uniform { classes } else { (classes - 1.0).max(1.0) };
        let on = if uniform { 1.0 - epsilon + off } else { 1.0 - epsilon };
        match (spec.loss, spec.training_loss(), spec.smoothing) {
            (Loss::Softmax, Loss::CrossEntropy, _) => Self::Distribution { on, off },
            (Loss::Logistic, _, Some(_)) => Self::Affine { scale: on - off, offset: off },
            _ => Self::Same,
        }
    }
}

impl<'a, T: Real> Gather<'a, T> {
    /// Room for batches of up to `most_rows` rows of a model, as training sees them.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(spec: &'a Spec, layout: &Layout, most_rows: usize) -> Result<Self, KernelError> {
        Self::with(spec, layout, most_rows, Labels::of(spec), spec.training_loss())
    }

    /// As [`Gather::new`] for rows as they are.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn bare(spec: &'a Spec, layout: &Layout, most_rows: usize) -> Result<Self, KernelError> {
        Self::with(spec, layout, most_rows, Labels::Same, spec.loss)
    }

    fn with(
        spec: &'a Spec,
        layout: &Layout,
        most_rows: usize,
        labels: Labels,
        loss: Loss,
    ) -> Result<Self, KernelError> {
        let plane = most_rows.next_multiple_of(T::PAD);
        // Without hidden layers the head reads whole padded rows.
        let stride = if layout.hidden.is_empty() { layout.head_stride } else { layout.n_inputs };
        Ok(Self {
            spec,
            n_inputs: layout.n_inputs,
            stride,
            labels,
            x: Buffer::new("a mini-batch's rows", most_rows * stride)?,
            targets: Buffer::new("a mini-batch's rows", loss.target_width(layout.n_outputs) * plane)?,
            weights: Buffer::new("a mini-batch's rows", plane)?,
            partners: memory::room("the order that rows are mixed in", most_rows)?,
            noise: memory::zeros("input noise", if spec.input_noise > 0.0 { LINES * layout.n_inputs } else { 0 })?,
            spare: Buffer::new("a mini-batch's rows", if spec.mixup.is_some() { most_rows * stride } else { 0 })?,
            rows: 0,
        })
    }

    /// The rows of a list at some positions, each of weight w·`scale`/rows, as they are.
    pub fn fill(&mut self, from: &Selection<'_, T>, rows: impl ExactSizeIterator<Item = u32> + Clone, scale: f64) {
        let count = rows.len();
        self.rows = count;
        let plane = count.next_multiple_of(T::PAD);
        let share = scale / count as f64;
        for (to, row) in rows.clone().enumerate() {
            let row = row as usize;
            let x = &from.of.x[row * self.n_inputs..(row + 1) * self.n_inputs];
            copy(x, &mut self.x[to * self.stride..to * self.stride + self.n_inputs]);
        }
        match from.weights {
            None => self.weights[..count].fill(T::from_f64(share)),
            Some(weights) => {
                for (to, row) in self.weights.iter_mut().zip(rows.clone()) {
                    *to = T::from_f64(share * weights[row as usize].to_f64());
                }
            }
        }
        self.weights[count..plane].fill(T::default());
        self.fill_targets(from, rows, plane);
    }

    fn fill_targets(&mut self, from: &Selection<'_, T>, rows: impl ExactSizeIterator<Item = u32>, plane: usize) {
        let count = rows.len();
        let planes = self.targets.len() / self.weights.len();
        let width = if let Labels::Distribution { .. } = self.labels { 1 } else { planes };
        if let Labels::Distribution { off, .. } = self.labels {
            self.targets[..planes * plane].fill(T::from_f64(off));
        }
        if self.labels == Labels::Same && planes == 1 {
            self.targets.iter_mut().zip(rows).for_each(|(to, row)| *to = from.of.y[row as usize]);
            self.targets[count..plane].fill(T::default());
            return;
        }
        for (to, row) in rows.enumerate() {
            for (output, &y) in from.of.y[row as usize * width..(row as usize + 1) * width].iter().enumerate() {
                match self.labels {
                    Labels::Same => self.targets[output * plane + to] = y,
                    Labels::Affine { scale, offset } => {
                        self.targets[output * plane + to] = T::from_f64(scale * y.to_f64() + offset);
                    }
                    // Codes were checked to be classes.
                    Labels::Distribution { on, .. } => {
                        self.targets[y.to_f64() as usize * plane + to] = T::from_f64(on);
                    }
                }
            }
        }
        for target in self.targets[..planes * plane].chunks_exact_mut(plane) {
            target[count..].fill(T::default());
        }
    }

    /// Shifts, mixes and disturbs the rows that [`Gather::fill`] gathered, as training does at a step.
    pub fn augment<S: Isa>(&mut self, isa: S, step: u64) {
        let spec = self.spec;
        let draws = Draws { seed: spec.seed };
        if let Some(shifts) = &spec.shifts
            && let Some(by) = draws.shift(step, shifts)
        {
            let lines = self.x.chunks_exact_mut(self.stride).take(self.rows);
            lines.for_each(|line| shift(&mut line[..self.n_inputs], shifts, by));
        }
        if let Some(alpha) = spec.mixup {
            self.partners.resize(self.rows, 0);
            let share = draws.mixup(step, alpha, &mut self.partners);
            self.mix(share);
        }
        if spec.input_noise > 0.0 {
            self.disturb(isa, draws.noise(step));
        }
    }

    /// row ← row + scale·normals.
    fn disturb<S: Isa>(&mut self, isa: S, stream: Stream) {
        let (n, stride, scale) = (self.n_inputs, self.stride, self.spec.input_noise);
        let pieces = self.x[..self.rows * stride].chunks_mut(LINES * stride);
        for (first, lines) in (0..).step_by(n).zip(pieces) {
            let noise = &mut self.noise[..lines.len() / stride * n];
            stream.normals(isa, first, noise);
            with_features(
                isa,
                #[inline(always)]
                || {
                    for (line, noise) in lines.chunks_exact_mut(stride).zip(noise.chunks_exact(n)) {
                        for (x, noise) in line.iter_mut().zip(noise) {
                            *x = T::from_f64(x.to_f64() + scale * noise.to_f64());
                        }
                    }
                },
            );
        }
    }

    /// row ← share·row + (1 − share)·partner, for inputs, targets and weights.
    fn mix(&mut self, share: f64) {
        let plane = self.rows.next_multiple_of(T::PAD);
        let planes = self.targets.len() / self.weights.len();
        let Self { partners, spare, .. } = self;
        mix_lines(&mut self.x[..partners.len() * self.stride], self.stride, partners, share, spare);
        for targets in self.targets[..planes * plane].chunks_exact_mut(plane) {
            mix_lines(&mut targets[..partners.len()], 1, partners, share, spare);
        }
        mix_lines(&mut self.weights[..partners.len()], 1, partners, share, spare);
    }

    /// The gathered rows.
    pub fn batch(&self) -> Batch<'_, T> {
        Batch {
            x: &self.x,
            x_stride: self.stride,
            targets: &self.targets,
            weights: &self.weights,
            plane: self.rows.next_multiple_of(T::PAD),
            rows: self.rows,
            first_row: 0,
        }
    }
}

/// Copies a row. A call costs more than copying a few numbers.
#[inline(always)]
fn copy<T: Real>(from: &[T], to: &mut [T]) {
    if from.len() < 8 {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    } else {
        to.copy_from_slice(from);
    }
}

/// line ← share·line + (1 − share)·partner's line, for lines of a given length.
fn mix_lines<T: Real>(lines: &mut [T], length: usize, partners: &[u32], share: f64, spare: &mut [T]) {
    let before = &mut spare[..lines.len()];
    before.copy_from_slice(lines);
    for (line, &partner) in lines.chunks_exact_mut(length).zip(partners) {
        let other = &before[partner as usize * length..(partner as usize + 1) * length];
        for (to, other) in line.iter_mut().zip(other) {
            *to = T::from_f64(share * to.to_f64() + (1.0 - share) * other.to_f64());
        }
    }
}

/// Moves an image by some rows down and columns right; zeros move in.
fn shift<T: Real>(image: &mut [T], shifts: &Shifts, [down, right]: [i32; 2]) {
    let [height, width] = shifts.shape;
    // Shifts were checked to be smaller than the image. Rows are taken from the side they move to, so that none is
    // overwritten before it is read.
    let (dy, dx) = (down.unsigned_abs() as usize, right.unsigned_abs() as usize);
    for step in 0..height {
        let row = if down > 0 { height - 1 - step } else { step };
        let from = if down > 0 { row.checked_sub(dy) } else { Some(row + dy).filter(|&from| from < height) };
        let start = row * width;
        match from {
            None => image[start..start + width].fill(T::default()),
            Some(from) if right >= 0 => {
                image.copy_within(from * width..(from + 1) * width - dx, start + dx);
                image[start..start + dx].fill(T::default());
            }
            Some(from) => {
                image.copy_within(from * width + dx..(from + 1) * width, start);
                image[start + width - dx..start + width].fill(T::default());
            }
        }
    }
}
