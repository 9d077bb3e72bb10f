//! One model's training: gather a batch, find its gradient, take a step.

use super::batches::RowBatches;
use super::extended::Extended;
use super::gather::Gather;
use super::interval::Interval;
use super::layers::Layers;
use super::observe::{Observer, Recording, Snapshot, View};
use super::outcome::{Outcome, Recorded, Status};
use super::plain::PlainPasses;
use super::{Spec, Task};
use crate::dense::vectors::all_finite;
use crate::network::layout::Layout;
use crate::network::workspace::{Buffer, From, Sink};
use crate::network::{Network, Point};
use crate::optimizer::Stepper;
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

/// Parameters whose update takes milliseconds.
const LARGE: usize = 1 << 20;

/// Trains one model on the calling thread; `threads` say when to stop, and take part in long products.
///
/// # Errors
/// [`KernelError::Interrupted`].
pub fn train<S: Isa, T: Elementary>(
    isa: S,
    task: &Task<'_, T>,
    recording: &Recording,
    threads: Threads<'_>,
) -> Result<Outcome<T>, KernelError> {
    let layout = Layout::new::<T>(&task.spec.architecture);
    let extended = Extended::new(&layout, task.spec.batch_norm.is_some());
    let mut model = ModelTrainer::new(isa, *task, &extended, threads)?;
    let mut observer = Observer::new(task, &extended, recording)?;
    let mut curve = Curve::new(model.batches.steps(), model.n_steps)?;
    let mut t = 0;
    let status = loop {
        threads.check()?;
        let is_last = t == model.n_steps;
        if let Some(observer) = &mut observer
            && observer.look(&model.view(), t, is_last, threads)?
        {
            break Status::Stopped;
        }
        if is_last {
            let is_finite = all_finite(isa, &model.theta);
            break if is_finite { Status::Finished } else { Status::Diverged { step: t, loss: f64::NAN } };
        }
        let interval = observer.as_mut().and_then(|observer| observer.interval(t));
        let loss = model.step(t, interval, threads)?;
        if !loss.is_finite() {
            // A pass that was told to stop leaves anything behind.
            threads.check()?;
            break Status::Diverged { step: t, loss };
        }
        curve.add(loss)?;
        t += 1;
    };
    outcome(&model, observer, curve.done()?, t, status)
}

/// What training gave; with early stopping the best parameters, unless nothing was ever evaluated.
fn outcome<S: Isa, T: Elementary>(
    model: &ModelTrainer<'_, S, T>,
    observer: Option<Observer<'_, T>>,
    loss_curve: Vec<f64>,
    n_steps: u64,
    status: Status,
) -> Result<Outcome<T>, KernelError> {
    let mut last = Snapshot::new(&model.spec.architecture)?;
    last.take(&model.view());
    let (best, validation_losses, recorded) = match observer {
        Some(observer) => (observer.best, observer.validation_losses, observer.recorded),
        None => (None, Vec::new(), Recorded::default()),
    };
    let (best_step, Snapshot { theta, batch_norm }) = best.unwrap_or((n_steps, last));
    Ok(Outcome { theta, batch_norm, loss_curve, validation_losses, recorded, n_steps, best_step, status })
}

/// The batches' losses, averaged over epochs.
struct Curve {
    steps: u64,
    sum: f64,
    count: u64,
    means: Vec<f64>,
}

impl Curve {
    fn new(steps: u64, n_steps: u64) -> Result<Self, KernelError> {
        // Enough for all epochs, unless they are more than are likely to be taken.
        let epochs = usize::try_from(n_steps.div_ceil(steps)).unwrap_or(usize::MAX);
        Ok(Self { steps, sum: 0.0, count: 0, means: memory::room("a loss curve", epochs.min(1 << 16))? })
    }

    fn add(&mut self, loss: f64) -> Result<(), KernelError> {
        self.sum += loss;
        self.count += 1;
        if self.count == self.steps { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), KernelError> {
        memory::reserve_one("a loss curve", &mut self.means)?;
        self.means.push(self.sum / self.count as f64);
        (self.sum, self.count) = (0.0, 0);
        Ok(())
    }

    fn done(mut self) -> Result<Vec<f64>, KernelError> {
        if self.count > 0 {
            self.close()?;
        }
        Ok(self.means)
    }
}

/// The two kinds of passes.
enum Passes<'a, T> {
    Plain(PlainPasses<T>),
    Layers(Layers<'a, T>),
}

/// A model in training, and all that its steps need.
struct ModelTrainer<'a, S, T> {
    spec: &'a Spec,
    task: Task<'a, T>,
    network: Network<'a, S>,
    extended: &'a Extended<'a>,
    stepper: Stepper,
    batches: RowBatches,
    gather: Gather<'a, T>,
    passes: Passes<'a, T>,
    rows: Vec<u32>,
    scale: f64,
    n_steps: u64,
    /// Whether all steps see the same rows, gathered once.
    fixed: bool,
    theta: Buffer<T>,
    transposed: Buffer<T>,
    gradient: Buffer<T>,
    moments: [Buffer<T>; 2],
}

impl<'a, S: Isa, T: Elementary> ModelTrainer<'a, S, T> {
    fn new(isa: S, task: Task<'a, T>, extended: &'a Extended<'a>, threads: Threads<'a>) -> Result<Self, KernelError> {
        let (spec, layout) = (task.spec, extended.layout);
        let (rows, scale) = task.train.chosen()?;
        let mut batches = RowBatches::of_task(&task, &rows)?;
        let size = batches.size();
        let passes = match Layers::new(spec, extended, size)? {
            Some(layers) => Passes::Layers(layers),
            None => Passes::Plain(PlainPasses::new(layout, size)?),
        };
        let augmented = spec.mixup.is_some() || spec.shifts.is_some() || spec.input_noise > 0.0;
        let mut gather = Gather::new(spec, layout, size)?;
        let [first, second] = spec
            .optimizer
            .moments()
            .map(|kept| Buffer::new("a model's gradient and moments", if kept { extended.len } else { 0 }));
        let fixed = batches.is_fixed() && !augmented;
        if fixed {
            let positions = batches.of_step(0, rows.len());
            gather.fill(&task.train, positions.iter().map(|&p| rows[p as usize]), scale);
        }
        let mut model = Self {
            spec,
            task,
            network: Network { isa, layout, loss: spec.training_loss(), threads },
            extended,
            stepper: Stepper::new(spec.optimizer, &extended.spans(), layout.units()),
            n_steps: task.n_steps(rows.len()),
            batches,
            gather,
            passes,
            rows,
            scale,
            fixed,
            theta: extended.start(task.theta)?,
            transposed: Buffer::new("a model's gradient and moments", layout.transposed_len)?,
            gradient: Buffer::new("a model's gradient and moments", extended.len)?,
            moments: [first?, second?],
        };
        model.network.transpose(&model.theta[..layout.len], &mut model.transposed);
        Ok(model)
    }

    fn view(&self) -> View<'_, S, T> {
        View {
            network: Network { loss: self.spec.loss, ..self.network },
            extended: self.extended,
            theta: &self.theta,
            transposed: &self.transposed,
            normalization: match &self.passes {
                Passes::Plain(_) => None,
                Passes::Layers(layers) => layers.normalization.as_ref(),
            },
        }
    }

    /// Takes step t; the batch's loss before it. A loss that is not finite leaves the parameters as they are.
    fn step(
        &mut self,
        t: u64,
        mut interval: Option<&mut Interval<'_, T>>,
        threads: Threads<'_>,
    ) -> Result<f64, KernelError> {
        if !self.fixed {
            let rows = &self.rows;
            let positions = self.batches.of_step(t, rows.len());
            self.gather.fill(&self.task.train, positions.iter().map(|&p| rows[p as usize]), self.scale);
            self.gather.augment(self.network.isa, t);
        }
        let descent = if let Passes::Plain(_) = self.passes { self.stepper.as_descent(t) } else { None };
        let beside = interval.as_mut().map(|interval| &mut interval.gradient[..]);
        let loss = self.pass(t, descent, beside, threads)?;
        if self.extended.len >= LARGE {
            threads.check()?;
        }
        if loss.is_finite() {
            if descent.is_none() {
                // The gradient's norm is that of the parameters that are there.
                self.extended.layout.clear_biases(&mut self.gradient[..self.extended.layout.len]);
            }
            if let Some(interval) = interval {
                let gradient = descent.is_none().then_some(&self.gradient[..]);
                interval.add(&self.view(), &self.stepper, t, gradient, threads)?;
            }
            let isa = self.network.isa;
            if descent.is_some() {
                // What the pass wrote is the new θ; the old one's memory takes the next.
                std::mem::swap(&mut self.theta, &mut self.gradient);
                self.stepper.bound(isa, &mut self.theta);
            } else {
                let [first, second] = &mut self.moments;
                self.stepper.step(isa, t, &self.gradient, &mut self.theta, first, second);
            }
            self.extended.hold_padding(&mut self.theta);
            self.network.transpose(&self.theta[..self.extended.layout.len], &mut self.transposed);
        }
        Ok(loss)
    }

    /// The batch's loss, and its gradient into `gradient`; or with [kept, rate] kept·θ − rate·gradient at once, so that the
    /// parameters go through memory only once. The gradient then goes to `beside`, where it is given.
    fn pass(
        &mut self,
        t: u64,
        descent: Option<[f64; 2]>,
        beside: Option<&mut [T]>,
        threads: Threads<'_>,
    ) -> Result<f64, KernelError> {
        let (batch, into) = (self.gather.batch(), &mut self.gradient);
        match &mut self.passes {
            Passes::Plain(plain) => {
                let point = Point { theta: &self.theta, transposed: &self.transposed };
                let sink = match descent {
                    Some([kept, rate]) => {
                        let step = Sink::new(From::Other(&self.theta), into, T::from_f64(-rate));
                        let step = step.keeping(T::from_f64(kept));
                        match beside {
                            Some(beside) => step.and(From::Zero, beside, T::from_f64(1.0)),
                            None => step,
                        }
                    }
                    None => Sink::new(From::Zero, into, T::from_f64(1.0)),
                };
                plain.gradient(&self.network, batch, &point, Some(sink), threads)
            }
            Passes::Layers(layers) => {
                let parameters = (&self.theta[..], &self.transposed[..]);
                Ok(layers.gradient(&self.network, self.extended, (t, batch), parameters, into))
            }
        }
    }
}
