//! What is looked at between steps: records, and the held-out loss of early stopping. A model without either has no
//! observer, and pays nothing.

use super::batch_norm::{Folding, Normalization, flatten, fold};
use super::evaluate::{Evaluator, Score};
use super::extended::Extended;
use super::interval::Interval;
use super::outcome::{Recorded, more};
use super::{EarlyStopping, Task};
use crate::dense::vectors::squared_norm;
use crate::network::architecture::{Architecture, Kind};
use crate::network::workspace::Buffer;
use crate::network::{Network, Point};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::training::stopping::Patience;

/// After which steps something is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// After none.
    #[default]
    Never,
    /// Before the first step, after each so many, and after the last.
    Every(u64),
    /// After these numbers of steps, which rise; 0 is before the first.
    At(Vec<u64>),
}

/// What is recorded of every model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// When.
    pub when: When,
    /// Bare losses of the training rows, the held-out rows and the test rows.
    pub losses: bool,
    /// Accuracies of the same.
    pub metrics: bool,
    /// Parameters.
    pub thetas: bool,
    /// Gradients of the bare training loss.
    pub gradients: bool,
    /// Mean gradients of the steps since the last record, as applied and bare.
    pub intervals: bool,
    /// Norms of each layer's weights.
    pub norms: bool,
}

impl Recording {
    /// How often something is recorded in so many steps.
    pub(super) fn count(&self, n_steps: u64) -> u64 {
        match &self.when {
            When::Never => 0,
            // Before the first step, and after the last wherever it falls.
            When::Every(every) => n_steps.div_ceil(*every).saturating_add(1),
            When::At(steps) => steps.iter().filter(|&&step| step <= n_steps).count() as u64,
        }
    }

    /// Whether something may be recorded after more than so many steps.
    fn goes_on(&self, step: u64) -> bool {
        match &self.when {
            When::Never => false,
            When::Every(_) => true,
            When::At(steps) => steps.last().is_some_and(|&last| step < last),
        }
    }

    fn is_due(&self, step: u64, is_last: bool) -> bool {
        match &self.when {
            When::Never => false,
            When::Every(every) => is_last || step.is_multiple_of(*every),
            When::At(steps) => steps.binary_search(&step).is_ok(),
        }
    }
}

/// A model as it stands.
pub struct View<'v, S, T> {
    /// Shape and bare loss.
    pub network: Network<'v, S>,
    /// The layout of θ.
    pub extended: &'v Extended<'v>,
    /// Parameters, extended.
    pub theta: &'v [T],
    /// Transposed hidden weights.
    pub transposed: &'v [T],
    /// Running statistics.
    pub normalization: Option<&'v Normalization<T>>,
}

/// A model's parameters without padding.
#[derive(Debug)]
pub struct Snapshot<T> {
    /// The network's.
    pub theta: Vec<T>,
    /// Scale, shift, mean and variance of each hidden layer.
    pub batch_norm: Vec<T>,
}

impl<T: Elementary> Snapshot<T> {
    /// Room for one.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(architecture: &Architecture) -> Result<Self, KernelError> {
        Ok(Self { theta: memory::zeros("a model's parameters", architecture.n_parameters())?, batch_norm: Vec::new() })
    }

    /// Takes a model's parameters over.
    pub fn take<S: Isa>(&mut self, view: &View<'_, S, T>) {
        view.extended.unpack(view.theta, &mut self.theta);
        if let Some(normalization) = view.normalization {
            flatten(view.extended, view.theta, normalization, &mut self.batch_norm);
        }
    }
}

/// Looks at one model.
pub struct Observer<'a, T> {
    architecture: &'a Architecture,
    recording: &'a Recording,
    epsilon: f64,
    train: Option<Evaluator<'a, T>>,
    held_out: Option<Evaluator<'a, T>>,
    test: Option<Evaluator<'a, T>>,
    stopping: Option<(EarlyStopping, Patience)>,
    /// With normalizations folded in; else empty.
    folded: Buffer<T>,
    gradient: Buffer<T>,
    sum: Vec<f64>,
    interval: Option<Interval<'a, T>>,
    current: Snapshot<T>,
    /// The parameters of the lowest held-out loss, and after how many steps they were those.
    pub best: Option<(u64, Snapshot<T>)>,
    /// Held-out losses of early stopping.
    pub validation_losses: Vec<f64>,
    /// What was recorded.
    pub recorded: Recorded<T>,
}

impl<'a, T: Elementary> Observer<'a, T> {
    /// For a model, if there is anything to look at.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(
        task: &Task<'a, T>,
        extended: &Extended<'_>,
        recording: &'a Recording,
    ) -> Result<Option<Self>, KernelError> {
        let spec = task.spec;
        let records = recording.when != When::Never;
        if !records && spec.early_stopping.is_none() {
            return Ok(None);
        }
        let layout = extended.layout;
        let scores = records && (recording.losses || recording.metrics);
        let gradients = records && recording.gradients;
        let train = (scores || gradients).then(|| Evaluator::new(spec, layout, task.train)).transpose()?;
        let held_out = task.held_out.filter(|_| scores || spec.early_stopping.is_some());
        let count = recording.count(task.n_steps(task.train.count()));
        let held_out = held_out.map(|held_out| Evaluator::new(spec, layout, held_out)).transpose()?;
        let test = task.test.filter(|_| scores).map(|test| Evaluator::new(spec, layout, test)).transpose()?;
        Ok(Some(Self {
            architecture: &spec.architecture,
            recording,
            epsilon: spec.batch_norm.map_or(0.0, |norm| norm.epsilon),
            train,
            held_out,
            test,
            stopping: spec.early_stopping.map(|rule| (rule, Patience::new(rule.patience, rule.min_delta))),
            folded: Buffer::new("what is recorded of a model", if spec.batch_norm.is_some() { layout.len } else { 0 })?,
            gradient: Buffer::new("what is recorded of a model", if gradients { layout.len } else { 0 })?,
            sum: memory::zeros("a recorded gradient", if gradients { layout.len } else { 0 })?,
            interval: (records && recording.intervals).then(|| Interval::new(task, layout)).transpose()?,
            current: Snapshot::new(&spec.architecture)?,
            best: None,
            validation_losses: Vec::new(),
            recorded: Recorded::with_room(recording, count, spec.architecture.n_parameters())?,
        }))
    }

    /// Where the gradients of the step after so many are to be added, if they will be recorded.
    pub fn interval(&mut self, step: u64) -> Option<&mut Interval<'a, T>> {
        self.interval.as_mut().filter(|_| self.recording.goes_on(step))
    }

    /// Looks at a model after so many steps; whether training should stop.
    ///
    /// # Errors
    /// [`KernelError::Interrupted`].
    pub fn look<S: Isa>(
        &mut self,
        view: &View<'_, S, T>,
        step: u64,
        is_last: bool,
        threads: Threads<'_>,
    ) -> Result<bool, KernelError> {
        let validates = self.stopping.is_some_and(|(rule, _)| rule.is_due(step) || is_last);
        let records = self.recording.is_due(step, is_last);
        if !validates && !records && !matches!(self.recording.when, When::Every(_)) {
            return Ok(false);
        }
        let mut held_out = None;
        let mut stop = false;
        if validates {
            let score = self.score_held_out(view, threads)?;
            held_out = score;
            stop = self.validate(view, step, score.map_or(f64::NAN, |score| score.loss))?;
        }
        if records || (stop && self.recording.is_due(step, true)) {
            self.record(view, step, held_out, threads)?;
        }
        Ok(stop)
    }

    /// The model, with normalizations folded in, as the passes read it.
    fn fold<S: Isa>(&mut self, view: &View<'_, S, T>) {
        if view.normalization.is_some() {
            self.current.take(view);
            let Snapshot { theta, batch_norm } = &mut self.current;
            fold(Folding { architecture: self.architecture, batch_norm, epsilon: self.epsilon }, theta);
            view.extended.layout.pack_parameters(theta, &mut self.folded);
        }
    }

    fn score_held_out<S: Isa>(
        &mut self,
        view: &View<'_, S, T>,
        threads: Threads<'_>,
    ) -> Result<Option<Score>, KernelError> {
        self.fold(view);
        let point = point(view, &self.folded);
        let Some(held_out) = &mut self.held_out else { return Ok(None) };
        held_out.score(&view.network, &point, None, threads).map(Some)
    }

    fn validate<S: Isa>(&mut self, view: &View<'_, S, T>, step: u64, loss: f64) -> Result<bool, KernelError> {
        let Some((_, patience)) = &mut self.stopping else { return Ok(false) };
        memory::reserve_one("held-out losses", &mut self.validation_losses)?;
        self.validation_losses.push(loss);
        let verdict = patience.look(loss, self.validation_losses.len() as u64);
        if verdict.is_best {
            let mut best = match self.best.take() {
                Some((_, best)) => best,
                None => Snapshot::new(self.architecture)?,
            };
            best.take(view);
            self.best = Some((step, best));
        }
        Ok(verdict.stop)
    }

    fn record<S: Isa>(
        &mut self,
        view: &View<'_, S, T>,
        step: u64,
        held_out: Option<Score>,
        threads: Threads<'_>,
    ) -> Result<(), KernelError> {
        self.recorded.reserve()?;
        self.recorded.steps.push(step);
        if self.recording.thetas {
            let Recorded { thetas, batch_norms, .. } = &mut self.recorded;
            view.extended.unpack(view.theta, more("recorded parameters", thetas, self.architecture.n_parameters())?);
            if view.normalization.is_some() {
                self.current.take(view);
                let batch_norm = &self.current.batch_norm;
                more("recorded statistics", batch_norms, batch_norm.len())?.copy_from_slice(batch_norm);
            }
        }
        if self.recording.losses || self.recording.metrics {
            let held_out = if held_out.is_some() { held_out } else { self.score_held_out(view, threads)? };
            if let Some(Score { loss, accuracy }) = held_out {
                self.recorded.held_out_losses.push(loss);
                self.recorded.held_out_accuracies.push(accuracy);
            }
        }
        if let Some(interval) = &mut self.interval {
            interval.record(view.extended.layout, self.architecture.n_parameters(), &mut self.recorded)?;
        }
        self.fold(view);
        if self.recording.norms {
            if view.normalization.is_none() {
                self.current.take(view);
            }
            let into = &mut self.recorded.weight_norms;
            weight_norms(
                view.network.isa,
                self.architecture,
                &self.current.theta,
                more("recorded norms", into, n_layers(self.architecture))?,
            );
        }
        let point = point(view, &self.folded);
        if let Some(test) = &mut self.test {
            let Score { loss, accuracy } = test.score(&view.network, &point, None, threads)?;
            self.recorded.test_losses.push(loss);
            self.recorded.test_accuracies.push(accuracy);
        }
        let Some(train) = &mut self.train else { return Ok(()) };
        let gradients = self.recording.gradients;
        let gradient = gradients.then_some((&mut self.gradient[..], &mut self.sum[..]));
        let Score { loss, accuracy } = train.score(&view.network, &point, gradient, threads)?;
        if self.recording.losses || self.recording.metrics {
            self.recorded.train_losses.push(loss);
            self.recorded.train_accuracies.push(accuracy);
        }
        if gradients {
            let into = more("recorded gradients", &mut self.recorded.gradients, self.architecture.n_parameters())?;
            view.extended.layout.unpack(&self.sum, into, T::from_f64);
        }
        Ok(())
    }
}

/// Layers with weights.
pub(super) fn n_layers(architecture: &Architecture) -> usize {
    architecture.hidden().len() + 1
}

/// The Frobenius norm of each layer's weights, of flat parameters.
fn weight_norms<S: Isa, T: Elementary>(isa: S, architecture: &Architecture, theta: &[T], norms: &mut [f64]) {
    let (spans, _) = architecture.spans();
    for (norm, span) in norms.iter_mut().zip(spans.iter().filter(|span| span.kind == Kind::Weights)) {
        *norm = squared_norm(isa, &theta[span.range.clone()]).sqrt();
    }
}

fn point<'p, S: Isa, T>(view: &'p View<'_, S, T>, folded: &'p Buffer<T>) -> Point<'p, T>
where
    T: Elementary,
{
    // A forward pass does not read the transposed weights, and gradients are not recorded with normalizations.
    let theta = if folded.is_empty() { &view.theta[..view.extended.layout.len] } else { &folded[..] };
    Point { theta, transposed: view.transposed }
}
