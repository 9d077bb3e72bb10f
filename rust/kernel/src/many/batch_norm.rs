//! Batch normalization: Ioffe & Szegedy, "Batch normalization" (2015), algorithms 1 and 2, with PyTorch's conventions.

use super::extended::Extended;
use crate::dense::vectors::overflowed;
use crate::dense::{Matrix, Processor};
use crate::network::architecture::Architecture;
use crate::network::fold::WHOLE_RUN;
use crate::network::layout::Layout;
use crate::network::workspace::Buffer;
use crate::simd::{Isa, Pass, Real, run};
use crate::system::error::{KernelError, range};
use crate::system::memory;
use crate::system::threads::Threads;

/// What is kept of the batches of one model: running statistics, and what the way back needs.
pub struct Normalization<T> {
    momentum: f64,
    /// ε.
    pub epsilon: f64,
    /// Running mean of each hidden layer.
    pub means: Vec<Buffer<T>>,
    /// Running variance of each hidden layer.
    pub variances: Vec<Buffer<T>>,
    /// 1/σ of the last batch.
    inverse: Vec<Buffer<T>>,
    /// (z − mean)/σ of the last batch, rows × stride.
    normal: Vec<Buffer<T>>,
}

impl<T: Real> Normalization<T> {
    /// Mean 0 and variance 1, for batches of up to `most_rows` rows.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(spec: super::BatchNorm, layout: &Layout, most_rows: usize) -> Result<Self, KernelError> {
        let lines = |rows: usize| {
            Buffer::several(
                "the means and variances of the hidden layers",
                layout.hidden.iter().map(|layer| rows * layer.stride),
            )
        };
        let mut variances: Vec<Buffer<T>> = lines(1)?;
        variances.iter_mut().for_each(|line| line.fill(T::from_f64(1.0)));
        Ok(Self {
            momentum: spec.momentum,
            epsilon: spec.epsilon,
            means: lines(1)?,
            variances,
            inverse: lines(1)?,
            normal: lines(most_rows)?,
        })
    }

    /// z, in place, becomes scale·(z − mean)/σ + shift; the running statistics take the batch's up. Told to stop, not all of
    /// its columns.
    ///
    /// # Safety
    /// z must hold `rows` rows of the layer's padded width `cols`, at most as many as there is room for.
    pub unsafe fn forward<S: Isa>(
        &mut self,
        processor: Processor<'_, S>,
        (layer, rows, cols): (usize, usize, usize),
        z: Matrix<T>,
        [scale, shift]: [&[T]; 2],
    ) {
        let lines = [&mut self.means[layer], &mut self.variances[layer], &mut self.inverse[layer]];
        let normal = &mut self.normal[layer];
        assert!(lines.iter().all(|line| line.len() >= cols) && scale.len() >= cols && shift.len() >= cols);
        assert!(normal.len() >= rows * z.stride, "more rows than there is room for");
        let [mean, variance, inverse] = lines.map(|line| line.as_mut_ptr());
        let pass = NormalizeForward {
            shape: (rows, cols),
            z,
            normal: Matrix { at: normal.as_mut_ptr(), stride: z.stride },
            scale: scale.as_ptr(),
            shift: shift.as_ptr(),
            running: [mean, variance],
            inverse,
            momentum: self.momentum,
            epsilon: self.epsilon,
            asked: processor.asked(rows.saturating_mul(cols).saturating_mul(SWEEPS)),
        };
        // SAFETY: the lines were checked, z is the caller's promise.
        unsafe { run(processor.isa, pass) }
    }

    /// ∂L/∂output, in place, becomes ∂L/∂z; the gradients of scale and shift are written.
    ///
    /// # Safety
    /// As [`Normalization::forward`], for the same rows.
    pub unsafe fn backward<S: Isa>(
        &self,
        processor: Processor<'_, S>,
        (layer, rows, cols): (usize, usize, usize),
        delta: Matrix<T>,
        scale: &[T],
        into: &mut [T],
    ) {
        let stride = delta.stride;
        assert!(scale.len() >= cols && into.len() >= stride + cols, "scale and shift are missing");
        let pass = NormalizeBackward {
            shape: (rows, cols),
            delta,
            normal: Matrix::of(self.normal[layer].as_ptr(), stride),
            scale: scale.as_ptr(),
            inverse: self.inverse[layer].as_ptr(),
            into: [into.as_mut_ptr(), into[stride..].as_mut_ptr()],
            asked: processor.asked(rows.saturating_mul(cols).saturating_mul(SWEEPS)),
        };
        // SAFETY: the lines were checked, delta is the caller's promise.
        unsafe { run(processor.isa, pass) }
    }
}

/// What a number of a batch costs here, in multiplications of a product: it goes through memory several times.
const SWEEPS: usize = 8;

/// Whether those who may stop a pass said so.
#[inline(always)]
fn is_stopped(asked: Option<&Threads<'_>>) -> bool {
    asked.is_some_and(|threads| threads.is_stopped())
}

/// Sums over rows, in runs: `add` adds a row to the sums of its run. Runs are added up with what each addition loses (Kahan,
/// "Further remarks on reducing truncation errors", 1965), so that a sum is as near as one of a run, however many there are.
#[inline(always)]
fn over_rows<S: Isa, T: Real, const N: usize>(
    s: S,
    rows: usize,
    mut add: impl FnMut(usize, [T::Lanes<S>; N]) -> [T::Lanes<S>; N],
) -> [T::Lanes<S>; N] {
    let zeros = [T::constant(s, 0.0); N];
    let (mut totals, mut lost) = (zeros, zeros);
    for first in (0..rows).step_by(WHOLE_RUN) {
        let mut sums = zeros;
        for row in first..rows.min(first + WHOLE_RUN) {
            sums = add(row, sums);
        }
        for i in 0..N {
            let term = T::sub(s, sums[i], lost[i]);
            let total = T::add(s, totals[i], term);
            lost[i] = T::sub(s, T::sub(s, total, totals[i]), term);
            totals[i] = total;
        }
    }
    totals
}

struct NormalizeForward<'a, T> {
    shape: (usize, usize),
    z: Matrix<T>,
    normal: Matrix<T>,
    scale: *const T,
    shift: *const T,
    running: [*mut T; 2],
    inverse: *mut T,
    momentum: f64,
    epsilon: f64,
    /// Who may stop it, after each register of columns.
    asked: Option<&'a Threads<'a>>,
}

impl<T: Real> Pass for NormalizeForward<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let (rows, cols) = self.shape;
        let n = rows as f64;
        for col in (0..cols).step_by(T::lanes::<S>()) {
            if is_stopped(self.asked) {
                return;
            }
            // SAFETY: inside the matrices and lines.
            unsafe {
                let [sum] = over_rows::<S, T, 1>(
                    s,
                    rows,
                    #[inline(always)]
                    |row, [sum]| [T::add(s, sum, T::load(s, self.z.index(row, col)))],
                );
                let mean = T::mul(s, sum, T::constant(s, 1.0 / n));
                let [squares] = over_rows::<S, T, 1>(
                    s,
                    rows,
                    #[inline(always)]
                    |row, [squares]| {
                        let apart = T::sub(s, T::load(s, self.z.index(row, col)), mean);
                        T::store(s, self.normal.index(row, col), apart);
                        [T::fma(s, apart, apart, squares)]
                    },
                );
                let variance = T::mul(s, squares, T::constant(s, 1.0 / n));
                let sigma = T::sqrt(s, T::add(s, variance, T::constant(s, self.epsilon)));
                let inverse = T::div(s, T::constant(s, 1.0), sigma);
                T::store(s, self.inverse.add(col), inverse);
                let (scale, shift) = (T::load(s, self.scale.add(col)), T::load(s, self.shift.add(col)));
                for row in 0..rows {
                    let normal = T::mul(s, T::load(s, self.normal.index(row, col)), inverse);
                    T::store(s, self.normal.index(row, col), normal);
                    T::store(s, self.z.index(row, col), T::fma(s, scale, normal, shift));
                }
                let unbiased = T::mul(s, squares, T::constant(s, 1.0 / (n - 1.0)));
                for (running, new) in self.running.into_iter().zip([mean, unbiased]) {
                    let kept = T::mul(s, T::constant(s, 1.0 - self.momentum), T::load(s, running.add(col)));
                    T::store(s, running.add(col), T::fma(s, T::constant(s, self.momentum), new, kept));
                }
            }
        }
    }
}

struct NormalizeBackward<'a, T> {
    shape: (usize, usize),
    delta: Matrix<T>,
    normal: Matrix<T>,
    scale: *const T,
    inverse: *const T,
    into: [*mut T; 2],
    /// Who may stop it, after each register of columns.
    asked: Option<&'a Threads<'a>>,
}

impl<T: Real> Pass for NormalizeBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let (rows, cols) = self.shape;
        let share = T::constant(s, 1.0 / rows as f64);
        for col in (0..cols).step_by(T::lanes::<S>()) {
            if is_stopped(self.asked) {
                return;
            }
            // SAFETY: inside the matrices and lines.
            unsafe {
                let [sum, lean] = over_rows::<S, T, 2>(
                    s,
                    rows,
                    #[inline(always)]
                    |row, [sum, lean]| {
                        let delta = T::load(s, self.delta.index(row, col));
                        let normal = T::load(s, self.normal.index(row, col));
                        [T::add(s, sum, delta), T::fma(s, delta, normal, lean)]
                    },
                );
                T::store(s, self.into[0].add(col), lean);
                T::store(s, self.into[1].add(col), sum);
                let factor = T::mul(s, T::load(s, self.scale.add(col)), T::load(s, self.inverse.add(col)));
                let (sum, lean) = (T::mul(s, sum, share), T::mul(s, lean, share));
                for row in 0..rows {
                    let at = self.delta.index(row, col);
                    let apart = T::sub(s, T::load(s, at), sum);
                    let rest = T::nfma(s, T::load(s, self.normal.index(row, col)), lean, apart);
                    T::store(s, at, T::mul(s, factor, rest));
                }
            }
        }
    }
}

/// A network whose normalizations, with the running statistics, are part of its weights and biases.
#[derive(Clone, Copy, Debug)]
pub struct Folding<'a, T> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Scale, shift, mean and variance of each hidden layer, one after the other.
    pub batch_norm: &'a [T],
    /// ε.
    pub epsilon: f64,
}

/// The flat parameters of the network that a normalized one is at prediction.
///
/// # Errors
/// [`KernelError::Length`], [`KernelError::Range`] for an ε or a variance below 0, [`KernelError::Overflowed`] or
/// [`KernelError::Memory`].
pub fn folded<T: Real>(folding: Folding<'_, T>, theta: &[T]) -> Result<Vec<T>, KernelError> {
    let Folding { architecture, batch_norm, epsilon } = folding;
    let widths: usize = architecture.hidden().iter().sum();
    for (what, got, needed) in
        [("theta", theta.len(), architecture.n_parameters()), ("batch_norm", batch_norm.len(), 4 * widths)]
    {
        if got != needed {
            return Err(KernelError::Length { what, got, needed });
        }
    }
    range("batch norm epsilon", epsilon, epsilon >= 0.0, "finite and at least 0")?;
    let mut rest = batch_norm;
    for &width in architecture.hidden() {
        let (own, others) = rest.split_at(4 * width);
        rest = others;
        if let Some(variance) = own[3 * width..].iter().map(|v| v.to_f64()).find(|v| *v < 0.0 || v.is_nan()) {
            return Err(KernelError::Range { what: "every variance", got: variance, needed: "at least 0" });
        }
    }
    let mut flat = memory::list("the folded parameters", theta.iter().copied())?;
    fold(folding, &mut flat);
    overflowed("a folded parameter", &flat)?;
    Ok(flat)
}

/// Folds the normalizations into flat parameters: W ← W·scale/σ, b ← (b − mean)·scale/σ + shift.
///
/// # Panics
/// If the lengths are not those of the architecture.
pub fn fold<T: Real>(folding: Folding<'_, T>, theta: &mut [T]) {
    let architecture = folding.architecture;
    assert_eq!(theta.len(), architecture.n_parameters());
    let mut rest = folding.batch_norm;
    let (mut inputs, mut at) = (architecture.n_inputs(), 0);
    for &width in architecture.hidden() {
        let (own, others) = rest.split_at(4 * width);
        rest = others;
        let weights = &mut theta[at..at + (inputs + 1) * width];
        for unit in 0..width {
            let [scale, shift, mean, variance] = [0, 1, 2, 3].map(|part| own[part * width + unit].to_f64());
            let factor = scale / (variance + folding.epsilon).sqrt();
            for input in 0..inputs {
                let w = &mut weights[input * width + unit];
                *w = T::from_f64(w.to_f64() * factor);
            }
            let b = &mut weights[inputs * width + unit];
            *b = T::from_f64((b.to_f64() - mean) * factor + shift);
        }
        at += weights.len();
        inputs = width;
    }
    assert!(rest.is_empty(), "statistics of more layers than there are");
}

/// Scale, shift, mean and variance of each hidden layer, one after the other and without padding, into `flat`.
pub fn flatten<T: Real>(extended: &Extended<'_>, theta: &[T], normalization: &Normalization<T>, flat: &mut Vec<T>) {
    flat.clear();
    for (l, layer) in extended.layout.hidden.iter().enumerate() {
        let [scale, shift] = extended.scale_and_shift(l).map(|range| &theta[range]);
        for line in [scale, shift, &normalization.means[l], &normalization.variances[l]] {
            flat.extend_from_slice(&line[..layer.width]);
        }
    }
}
