//! Mean gradients of the steps between two records: as the optimizer applies them, and of the bare loss on the same rows at
//! the same parameters. Their difference is what training adds to the loss.

use super::batches::RowBatches;
use super::gather::Gather;
use super::observe::View;
use super::outcome::{Recorded, more};
use super::plain::PlainPasses;
use super::{Selection, Task};
use crate::dense::vectors::add_scaled;
use crate::network::Point;
use crate::network::layout::Layout;
use crate::network::workspace::{Buffer, From, Sink};
use crate::optimizer::Stepper;
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

/// Sums over the steps since the last record.
pub struct Interval<'a, T> {
    n_steps: u64,
    bare: Vec<f64>,
    /// None where it is the same.
    applied: Option<Vec<f64>>,
    /// A batch's gradient, beside a step that is taken at once; then its bare one.
    pub gradient: Buffer<T>,
    second_pass: Option<BarePass<'a, T>>,
}

/// The batches again, of rows as they are, where their own gradients are not those of the bare loss.
struct BarePass<'a, T> {
    train: Selection<'a, T>,
    rows: Vec<u32>,
    scale: f64,
    batches: RowBatches,
    gather: Gather<'a, T>,
    plain: PlainPasses<T>,
}

impl<'a, T: Elementary> BarePass<'a, T> {
    fn new(task: &Task<'a, T>, layout: &Layout) -> Result<Self, KernelError> {
        let (rows, scale) = task.train.chosen()?;
        let batches = RowBatches::of_task(task, &rows)?;
        let (gather, plain) =
            (Gather::bare(task.spec, layout, batches.size())?, PlainPasses::new(layout, batches.size())?);
        Ok(Self { train: task.train, rows, scale, batches, gather, plain })
    }

    /// The gradient of step t's batch.
    fn gradient<S: Isa>(
        &mut self,
        view: &View<'_, S, T>,
        t: u64,
        into: &mut [T],
        threads: Threads<'_>,
    ) -> Result<(), KernelError> {
        let rows = &self.rows;
        let positions = self.batches.of_step(t, rows.len());
        self.gather.fill(&self.train, positions.iter().map(|&p| rows[p as usize]), self.scale);
        let point = Point { theta: view.theta, transposed: view.transposed };
        let sink = Sink::new(From::Zero, into, T::from_f64(1.0));
        self.plain.gradient(&view.network, self.gather.batch(), &point, Some(sink), threads)?;
        Ok(())
    }
}

impl<'a, T: Elementary> Interval<'a, T> {
    /// For a model without batch normalization.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(task: &Task<'a, T>, layout: &Layout) -> Result<Self, KernelError> {
        let spec = task.spec;
        let differs = spec.changes_batches() || spec.optimizer.changes_gradient();
        let what = "the mean gradients of an interval";
        Ok(Self {
            n_steps: 0,
            bare: memory::zeros(what, layout.len)?,
            applied: differs.then(|| memory::zeros(what, layout.len)).transpose()?,
            gradient: Buffer::new(what, layout.len)?,
            second_pass: spec.changes_batches().then(|| BarePass::new(task, layout)).transpose()?,
        })
    }

    /// Takes in the gradients of step t, which is about to be taken; without a `gradient` it is this one's own.
    ///
    /// # Errors
    /// [`KernelError::Interrupted`].
    pub fn add<S: Isa>(
        &mut self,
        view: &View<'_, S, T>,
        stepper: &Stepper,
        t: u64,
        gradient: Option<&[T]>,
        threads: Threads<'_>,
    ) -> Result<(), KernelError> {
        let isa = view.network.isa;
        let batches = gradient.unwrap_or(&self.gradient);
        if let Some(applied) = &mut self.applied {
            stepper.add_applied(isa, batches, view.theta, applied);
        }
        if let Some(second_pass) = &mut self.second_pass {
            second_pass.gradient(view, t, &mut self.gradient, threads)?;
            add_scaled(isa, 1.0, &self.gradient, &mut self.bare);
        } else {
            add_scaled(isa, 1.0, batches, &mut self.bare);
        }
        self.n_steps += 1;
        Ok(())
    }

    /// Writes the means of `n` parameters down, zeros for no step, and begins anew.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn record(&mut self, layout: &Layout, n: usize, recorded: &mut Recorded<T>) -> Result<(), KernelError> {
        let share = if self.n_steps == 0 { 0.0 } else { 1.0 / self.n_steps as f64 };
        let Recorded { applied_gradients, bare_gradients, .. } = recorded;
        let applied = self.applied.as_ref().unwrap_or(&self.bare);
        for (sum, into) in [(applied, applied_gradients), (&self.bare, bare_gradients)] {
            layout.unpack(sum, more("recorded gradients", into, n)?, |total| T::from_f64(share * total));
        }
        self.applied.iter_mut().chain([&mut self.bare]).for_each(|sum| sum.fill(0.0));
        self.n_steps = 0;
        Ok(())
    }
}
