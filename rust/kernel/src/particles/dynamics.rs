//! The two loops of F²BMLD: T noisy steps of the first stage z and its twin z̃, then one of the structural network.
//!
//! With T = the structural network's value of a row (`problem.rs`), the Wasserstein gradients are expectations of
//!
//! - z: (h_z − T) ∇Ψ + ζ₁z,
//! - z̃: [λ(h_z̃ − T) + (h_z̃ − y)] ∇Ψ + λζ₁z̃,
//! - x: λ(h_z − h_z̃) ∇T + ζ₂x, by the envelope theorem (proposition 1): the quadratic terms in T cancel.

use crate::dense::streams::Stream;
use crate::network::workspace::Buffer;
use crate::optimizer::{Decay, Optimizer, Penalties, Rule};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::batch::{ParticleBatch, batch_rows};
use super::network::{ParticleNetwork, ParticleTrace};
use super::problem::Problem;
use super::run::{LossRecord, Options, Run, Solver, Trajectory};
use super::state::ParticleState;
use super::step::langevin;

/// After so many halvings a run ends where it was last finite.
const MOST_HALVINGS: u32 = 20;

/// The structural network, the first stage and its twin, as indices.
const X: usize = 0;
const Z: usize = 1;
const TWIN: usize = 2;
/// What the noise of each is drawn for.
const NOISE: [&str; 3] = ["noise x", "noise z", "noise twin"];

/// The dynamics of one run: the particles of the three networks, and the steps that move them.
pub(super) struct Dynamics<'a, S, T> {
    isa: S,
    problem: &'a Problem<'a, T>,
    run: &'a Run<'a, T>,
    options: &'a Options,
    nets: [ParticleNetwork<'a, S>; 3],
    state: ParticleState<T>,
    /// Halved each time the run diverges.
    scale: f64,
    mean_weight: f64,
    batch: ParticleBatch<T>,
    trace: ParticleTrace<T>,
    gradient: Buffer<T>,
    flat_noise: Buffer<T>,
    noise: Buffer<T>,
    /// h at every point, T of every row, h_z and h_z̃.
    points: Buffer<T>,
    target: Buffer<T>,
    fitted: [Buffer<T>; 2],
}

impl<'a, S: Isa, T: Elementary> Dynamics<'a, S, T> {
    pub(super) fn new(
        isa: S,
        problem: &'a Problem<'a, T>,
        run: &'a Run<'a, T>,
        options: &'a Options,
        threads: Threads<'a>,
    ) -> Result<Self, KernelError> {
        let shapes = [options.structural, options.instrumental, options.instrumental];
        let rows = options.batch_size.unwrap_or(run.rows.len());
        let longest = shapes.iter().map(|s| s.padded_len::<T>()).max().unwrap_or(0);
        let weight = |&row: &usize| problem.weights.map_or(1.0, |w| w[row].to_f64());
        let mut state = ParticleState::new(shapes.each_ref(), matches!(options.solver, Solver::Adam(_)))?;
        for ((net, shape), start) in state.nets.iter_mut().zip(&shapes).zip(run.start) {
            net.reset(shape, start);
        }
        let mut dynamics = Self {
            isa,
            problem,
            run,
            options,
            nets: shapes.map(|shape| ParticleNetwork { isa, shape, threads: threads.alone() }),
            state,
            scale: 1.0,
            mean_weight: run.rows.iter().map(weight).sum::<f64>() / run.rows.len() as f64,
            batch: ParticleBatch::new(problem, rows)?,
            trace: ParticleTrace::new(&shapes, rows.saturating_mul(problem.n_terms))?,
            gradient: Buffer::new("a step of the particles", longest)?,
            flat_noise: Buffer::new("a step of the particles", longest)?,
            noise: Buffer::new("a step of the particles", longest)?,
            points: Buffer::new("a step of the particles", rows.saturating_mul(problem.n_terms))?,
            target: Buffer::new("a step of the particles", rows)?,
            fitted: [Buffer::new("a step of the particles", rows)?, Buffer::new("a step of the particles", rows)?],
        };
        if options.batch_size.is_none() {
            dynamics.gather_all();
        }
        Ok(dynamics)
    }

    /// Both loops, with records and safeguards.
    pub(super) fn path(mut self) -> Result<Trajectory<T>, KernelError> {
        let threads = self.nets[X].threads;
        let shapes = self.nets.map(|net| net.shape);
        let mut safe = ParticleState::new(shapes.each_ref(), matches!(self.options.solver, Solver::Adam(_)))?;
        safe.copy(&self.state);
        let mut path = Trajectory {
            records: Vec::new(),
            structural: Vec::new(),
            instrumental: [const { Vec::new() }; 2],
            halvings: 0,
        };
        while self.state.steps < self.options.outer_steps && path.halvings <= MOST_HALVINGS {
            threads.check()?;
            self.outer_step();
            let steps = self.state.steps;
            if !steps.is_multiple_of(self.options.record_every) && steps != self.options.outer_steps {
                continue;
            }
            let record = self.record();
            let losses = [record.first_stage, record.twin_first_stage, record.second_stage, record.twin_second_stage];
            if losses.iter().all(|loss| loss.is_finite()) && self.state.is_finite(self.isa) {
                memory::reserve_one("the records of a run", &mut path.records)?;
                path.records.push(record);
                let more = shapes[X].n_parameters();
                memory::reserve_doubling("the recorded particles of a run", &mut path.structural, more)?;
                shapes[X].unpack(&self.state.nets[X].theta, &mut path.structural);
                safe.copy(&self.state);
            } else {
                self.state.copy(&safe);
                self.scale /= 2.0;
                path.halvings += 1;
            }
        }
        for (net, to) in [Z, TWIN].into_iter().zip(&mut path.instrumental) {
            memory::reserve("the particles of a run", to, shapes[net].n_parameters())?;
            shapes[net].unpack(&safe.nets[net].theta, to);
        }
        Ok(path)
    }

    /// The inner loop and one step of the structural network.
    fn outer_step(&mut self) {
        let Options { inner_steps, warm, shared, batch_size, .. } = *self.options;
        if !warm {
            for net in [Z, TWIN] {
                self.state.nets[net].reset(&self.nets[net].shape, self.run.start[net]);
            }
        }
        if batch_size.is_none() {
            self.follow_structural();
        }
        for t in 0..inner_steps {
            if self.nets[X].threads.is_stopped() {
                return;
            }
            let index = (self.state.steps * inner_steps + t) as u64;
            self.draw("rows", index);
            self.inner_step(Z, NOISE[Z], index);
            if !shared {
                self.draw("rows twin", index);
            }
            self.inner_step(TWIN, NOISE[if shared { Z } else { TWIN }], index);
        }
        self.structural_step();
        self.state.steps += 1;
    }

    /// A new mini-batch and its T; nothing where all rows are taken, whose T changes with the structural network alone.
    fn draw(&mut self, purpose: &str, index: u64) {
        if self.gather_batch(purpose, index) {
            self.follow_structural();
        }
    }

    fn gather_batch(&mut self, purpose: &str, index: u64) -> bool {
        let Some(size) = self.options.batch_size else { return false };
        let list = &self.run.rows;
        let rows = batch_rows(self.run.seed, purpose, index, list.len(), size).map(|i| list[i]);
        self.batch.gather(self.problem, rows, 1.0 / (size as f64 * self.mean_weight));
        true
    }

    fn gather_all(&mut self) {
        let scale = 1.0 / (self.run.rows.len() as f64 * self.mean_weight);
        self.batch.gather(self.problem, self.run.rows.iter().copied(), scale);
    }

    /// T of the batch.
    fn follow_structural(&mut self) {
        let points = &mut self.points[..self.batch.rows() * self.problem.n_terms];
        self.nets[X].all_outputs(&self.state.nets[X].theta, self.batch.x(), &mut self.trace, points);
        self.batch.combine(points, &mut self.target);
    }

    /// One step of z or z̃ on the batch.
    fn inner_step(&mut self, which: usize, noise: &str, index: u64) {
        let rates = self.run.rates;
        let (batch, target) = (&self.batch, &self.target);
        let lambda = rates.lambda;
        let residual = |row: usize, h: f64| {
            let first = h - target[row].to_f64();
            let pull = if which == Z { first } else { lambda * first + (h - batch.y(row)) };
            pull * batch.weight(row)
        };
        let (net, theta) = (&self.nets[which], &self.state.nets[which].theta);
        net.all_gradients(theta, batch.z(), residual, &mut self.trace, &mut self.gradient[..theta.len()]);
        let factor = if which == Z { 1.0 } else { lambda };
        let rate = if which == Z { rates.alpha } else { rates.beta };
        self.move_particles(which, (rate, factor * rates.zeta1, factor * rates.sigma1), noise, index);
    }

    /// One step of the structural network.
    fn structural_step(&mut self) {
        let index = self.state.steps as u64;
        self.gather_batch("rows outer", index);
        let (rates, terms) = (self.run.rates, self.problem.n_terms);
        self.fit_instruments();
        let (batch, [first, twin]) = (&self.batch, &self.fitted);
        let residual = |point: usize, _: f64| {
            let row = point / terms;
            let gap = first[row].to_f64() - twin[row].to_f64();
            rates.lambda * batch.coefficient(point) * gap * batch.weight(row)
        };
        let (net, theta) = (&self.nets[X], &self.state.nets[X].theta);
        net.all_gradients(theta, batch.x(), residual, &mut self.trace, &mut self.gradient[..theta.len()]);
        self.move_particles(X, (rates.gamma, rates.zeta2, rates.sigma2), NOISE[X], index);
    }

    /// h_z and h_z̃ of the batch.
    fn fit_instruments(&mut self) {
        let rows = self.batch.rows();
        for (net, into) in [Z, TWIN].into_iter().zip(&mut self.fitted) {
            let theta = &self.state.nets[net].theta;
            self.nets[net].all_outputs(theta, self.batch.z(), &mut self.trace, &mut into[..rows]);
        }
    }

    /// Moves a network's particles by the gradient that was found, with this step, penalty and temperature.
    fn move_particles(&mut self, which: usize, (rate, zeta, sigma): (f64, f64, f64), noise: &str, index: u64) {
        let rate = rate * self.scale;
        let shape = self.nets[which].shape;
        let net = &mut self.state.nets[which];
        let gradient = &self.gradient[..net.theta.len()];
        match self.options.solver {
            Solver::Langevin => {
                let drawn = if sigma > 0.0 {
                    let flat = &mut self.flat_noise[..shape.n_parameters()];
                    Stream::new(self.run.seed, noise, index).normals(self.isa, 0, flat);
                    let padded = &mut self.noise[..net.theta.len()];
                    padded.fill(T::default());
                    shape.pack(flat, padded);
                    Some(&*padded)
                } else {
                    None
                };
                langevin(self.isa, &mut net.theta, gradient, drawn, (rate, zeta, (2.0 * rate * sigma).sqrt()));
            }
            Solver::Adam(moments) => {
                let coupled = Decay { strength: zeta, biases: true };
                let penalties = Penalties { coupled, ..Penalties::default() };
                let rule = Rule::Adam(moments);
                let optimizer = Optimizer { rule, learning_rate: rate, penalties, ..Optimizer::default() };
                optimizer.step(None, net.steps, gradient, &mut net.theta, &mut net.first, &mut net.second);
                net.steps += 1;
            }
        }
    }

    /// The losses over all rows, a batch's room at a time.
    fn record(&mut self) -> LossRecord {
        let rows = &self.run.rows;
        let scale = 1.0 / (rows.len() as f64 * self.mean_weight);
        let mut sums = [0.0; 4];
        for part in rows.chunks(self.batch.capacity()) {
            self.batch.gather(self.problem, part.iter().copied(), scale);
            self.follow_structural();
            self.fit_instruments();
            for row in 0..part.len() {
                let (t, y, w) = (self.target[row].to_f64(), self.batch.y(row), self.batch.weight(row));
                let [z, twin] = self.fitted.each_ref().map(|h| h[row].to_f64());
                let squares = [z - t, twin - t, z - y, twin - y].map(|e| 0.5 * w * e * e);
                sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
            }
        }
        let Self { run, nets, state, .. } = self;
        let penalty = |net: usize, zeta: f64| 0.5 * zeta * state.nets[net].mean_square(&nets[net].shape);
        let (zeta1, zeta2) = (run.rates.zeta1, run.rates.zeta2);
        LossRecord {
            step: state.steps,
            first_stage: sums[0] + penalty(Z, zeta1),
            twin_first_stage: sums[1] + penalty(TWIN, zeta1),
            second_stage: sums[2] + penalty(X, zeta2),
            twin_second_stage: sums[3] + penalty(X, zeta2),
        }
    }
}
