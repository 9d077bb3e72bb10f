//! The gradient that training with dropout sees on average at given parameters, and how sure a mean over draws of it is.

use std::ops::Range;

use super::extended::Extended;
use super::gather::Gather;
use super::layers::Layers;
use super::{Rows, Selection, Spec};
use crate::dense::vectors::{add_scaled, finite, overflowed};
use crate::network::Network;
use crate::network::layout::Layout;
use crate::network::workspace::{Buffer, PART_ROWS};
use crate::objective::clusters::Clusters;
use crate::simd::math::Elementary;
use crate::simd::{Backend, Isa};
use crate::system::error::{KernelError, range};
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

/// Runs of draws that are summed by themselves: fixed, so that the result does not depend on the threads.
const MOST_RUNS: usize = 32;

/// Mean over `n_draws` draws of `spec`'s masks of the gradient of Σ n_c L_c / N at flat `theta`, and its standard error.
///
/// Draw d takes the masks of step d·p + i for the i-th of the p parts of the rows that count.
///
/// # Errors
/// Misuse, [`KernelError::Overflowed`], [`KernelError::Memory`] or [`KernelError::Interrupted`].
pub fn dropout_gradient<T: Elementary>(
    spec: &Spec,
    theta: &[T],
    data: &Clusters<'_, T>,
    n_draws: u64,
    threads: Threads<'_>,
) -> Result<[Vec<T>; 2], KernelError> {
    spec.validate()?;
    range("n_draws", n_draws as f64, n_draws > 1, "at least 2")?;
    let (got, needed) = (theta.len(), spec.architecture.n_parameters());
    if got != needed {
        return Err(KernelError::Length { what: "theta", got, needed });
    }
    finite("theta", theta)?;
    data.without_precision("a mean over masks")?;
    let shares = data.row_shares()?;
    let of = Rows { x: data.x, y: data.y, n_rows: data.n_rows() };
    let selection = Selection { of, rows: None, weights: Some(&shares) };
    selection.validate(spec)?;
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(&spec.architecture);
        let point = DrawnPoint::new(isa, spec, &layout, theta, selection, threads)?;
        let most = n_draws.min(MOST_RUNS as u64);
        let runs = (0..most as usize).map(|run| run as u64 * n_draws / most..(run as u64 + 1) * n_draws / most);
        let mut runs = threads.map(runs, || point.scratch(), |scratch, run| point.run(scratch, run.clone()))?.into_iter();
        let mut all = runs.next().ok_or(KernelError::Interrupted)?;
        runs.for_each(|run| all.merge(&run));
        all.finish(&layout, needed)
    })
}

/// Mean and sum of squared deviations of vectors: Welford's update, and the merge of Chan, Golub and LeVeque, "Updating
/// formulae and a pairwise algorithm for computing sample variances" (1979).
struct Moments {
    count: f64,
    mean: Buffer<f64>,
    squares: Buffer<f64>,
}

impl Moments {
    fn new(len: usize) -> Result<Self, KernelError> {
        let room = || Buffer::new("the moments of the gradients", len);
        Ok(Self { count: 0.0, mean: room()?, squares: room()? })
    }

    fn add(&mut self, vector: &[f64]) {
        self.count += 1.0;
        for ((mean, squares), x) in self.mean.iter_mut().zip(&mut *self.squares).zip(vector) {
            let from = x - *mean;
            *mean += from / self.count;
            *squares += from * (x - *mean);
        }
    }

    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let (share, weight) = (other.count / count, self.count * other.count / count);
        let own = self.mean.iter_mut().zip(&mut *self.squares);
        for ((mean, squares), (x, more)) in own.zip(other.mean.iter().zip(&*other.squares)) {
            let from = x - *mean;
            *mean += share * from;
            *squares += more + weight * from * from;
        }
        self.count = count;
    }

    /// The flat mean, and its standard error.
    fn finish<T: Elementary>(&self, layout: &Layout, n: usize) -> Result<[Vec<T>; 2], KernelError> {
        let flat = |what, padded: &[f64], of: &dyn Fn(f64) -> f64| {
            let mut flat = memory::zeros(what, n)?;
            layout.unpack(padded, &mut flat, |x| T::from_f64(of(x)));
            overflowed(what, &flat)?;
            Ok(flat)
        };
        let scale = 1.0 / (self.count * (self.count - 1.0));
        let mean = flat("the gradient", &self.mean, &|x| x)?;
        Ok([mean, flat("the gradient's standard error", &self.squares, &|x| (x * scale).sqrt())?])
    }
}

/// What all draws share: the network at its point, and the rows.
struct DrawnPoint<'a, S, T> {
    spec: &'a Spec,
    network: Network<'a, S>,
    extended: Extended<'a>,
    theta: Buffer<T>,
    transposed: Buffer<T>,
    selection: Selection<'a, T>,
    rows: Vec<u32>,
    scale: f64,
}

/// A thread's scratch.
struct DrawScratch<'a, T> {
    gather: Gather<'a, T>,
    layers: Layers<'a, T>,
    part: Buffer<T>,
    gradient: Buffer<f64>,
}

impl<'a, S: Isa, T: Elementary> DrawnPoint<'a, S, T> {
    fn new(
        isa: S,
        spec: &'a Spec,
        layout: &'a Layout,
        theta: &[T],
        selection: Selection<'a, T>,
        threads: Threads<'a>,
    ) -> Result<Self, KernelError> {
        let network = Network { isa, layout, loss: spec.loss, threads: threads.alone() };
        let extended = Extended::new(layout, false);
        let (rows, scale) = selection.chosen()?;
        let theta = extended.start(theta)?;
        let mut transposed = Buffer::new("copies of the parameters", layout.transposed_len)?;
        network.transpose(&theta, &mut transposed);
        Ok(Self { spec, network, extended, theta, transposed, selection, rows, scale })
    }

    fn scratch(&self) -> Result<DrawScratch<'_, T>, KernelError> {
        let (layout, most) = (self.extended.layout, self.rows.len().min(PART_ROWS));
        let missing = KernelError::Missing { what: "dropout", needed_by: "a dropout gradient" };
        Ok(DrawScratch {
            gather: Gather::bare(self.spec, layout, most)?,
            layers: Layers::new(self.spec, &self.extended, most)?.ok_or(missing)?,
            part: Buffer::new("a gradient", layout.len)?,
            gradient: Buffer::new("a gradient", layout.len)?,
        })
    }

    /// The moments of a run of draws.
    fn run(&self, scratch: &mut DrawScratch<'_, T>, draws: Range<u64>) -> Result<Moments, KernelError> {
        let mut moments = Moments::new(self.extended.layout.len)?;
        for draw in draws {
            self.draw(scratch, draw)?;
            moments.add(&scratch.gradient);
        }
        Ok(moments)
    }

    /// One draw's gradient, of all rows.
    fn draw(&self, own: &mut DrawScratch<'_, T>, draw: u64) -> Result<(), KernelError> {
        let parts = self.rows.chunks(PART_ROWS);
        let first = draw * parts.len() as u64;
        own.gradient.fill(0.0);
        for (step, part) in (first..).zip(parts) {
            self.network.threads.check()?;
            own.gather.fill(&self.selection, part.iter().copied(), self.scale);
            let point = (&self.theta[..], &self.transposed[..]);
            own.layers.gradient(&self.network, &self.extended, (step, own.gather.batch()), point, &mut own.part);
            let share = part.len() as f64 / self.rows.len() as f64;
            add_scaled(self.network.isa, share, &own.part, &mut own.gradient);
        }
        // A pass that was told to stop leaves anything behind.
        self.network.threads.check()
    }
}
