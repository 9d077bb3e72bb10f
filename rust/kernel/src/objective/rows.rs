//! Gradients over all rows of one cluster: by one thread, or split over several.
//!
//! The inner loop ([`crate::objective::inner`]) asks for gradients and Hessian-vector products at points; an [`Engine`] says how the
//! rows are walked. Rows go through the passes in parts that fit the cache; each part adds onto the sink.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::covariance::precision::PrecisionBlock;
use crate::network::fold::{Fold, PARTED_RUN};
use crate::network::workspace::{Batch, Buffer, From, PART_ROWS, Scratch, Sink, TraceLayout};
use crate::network::{Network, Point, Record};
use crate::objective::clusters::Clusters;
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

/// Which rows of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those that adapt.
    Support,
    /// Those that measure the adapted loss.
    Query,
}

/// Gradients and Hessian-vector products over one cluster's rows.
pub trait Engine<T> {
    /// Mean loss at a point, its gradient into the sink, and its record under `slot`.
    fn gradient(&mut self, side: Side, point: &Point<'_, T>, slot: usize, sink: Option<Sink<'_, T>>) -> f64;
    /// Mean loss at a point.
    fn loss(&mut self, side: Side, point: &Point<'_, T>) -> f64;
    /// The support rows, where one thread walks them all.
    fn batch(&self) -> Option<Batch<'_, T>>;
    /// The support rows' Hessian at the point of `slot`, times a direction, into the sink.
    fn tangent(&mut self, slot: usize, point: &Point<'_, T>, direction: &Point<'_, T>, sink: Sink<'_, T>);
}

/// One cluster's rows as the passes read them.
pub struct Prepared<T> {
    targets: Buffer<T>,
    weights: Buffer<T>,
    /// Padded inputs of a network without hidden layers; else empty.
    x: Buffer<T>,
    x_stride: usize,
    target_width: usize,
    rows: Range<usize>,
}

impl<T: Elementary> Prepared<T> {
    /// Room for clusters of up to `most_rows` rows.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new<S: Isa>(network: &Network<'_, S>, most_rows: usize) -> Result<Self, KernelError> {
        let layout = network.layout;
        let plane = most_rows.next_multiple_of(T::PAD);
        let target_width = network.loss.target_width(layout.n_outputs);
        let is_linear = layout.hidden.is_empty();
        Ok(Self {
            targets: Buffer::new("a cluster's rows", target_width * plane)?,
            weights: Buffer::new("a cluster's rows", plane)?,
            x: Buffer::new("a cluster's rows", if is_linear { most_rows * layout.head_stride } else { 0 })?,
            x_stride: if is_linear { layout.head_stride } else { layout.n_inputs },
            target_width,
            rows: 0..0,
        })
    }

    /// Takes over some rows: targets into planes, weights that sum to one.
    pub fn fill(&mut self, data: &Clusters<'_, T>, n_inputs: usize, rows: Range<usize>) {
        let plane = rows.len().next_multiple_of(T::PAD);
        let width = self.target_width;
        for output in 0..width {
            let to = &mut self.targets[output * plane..(output + 1) * plane];
            let from = data.y[rows.start * width + output..].iter().step_by(width);
            to.iter_mut().zip(from.take(rows.len())).for_each(|(to, &y)| *to = y);
            to[rows.len()..].fill(T::default());
        }
        let scale = 1.0 / data.total_weight(rows.clone());
        match data.weights {
            None => self.weights[..rows.len()].fill(T::from_f64(scale)),
            Some(weights) => {
                let lines = self.weights.iter_mut().zip(&weights[rows.clone()]);
                lines.for_each(|(to, w)| *to = T::from_f64(w.to_f64() * scale));
            }
        }
        self.weights[rows.len()..plane].fill(T::default());
        if !self.x.is_empty() {
            let from = data.x[rows.start * n_inputs..rows.end * n_inputs].chunks_exact(n_inputs);
            for (to, from) in self.x.chunks_exact_mut(self.x_stride).zip(from) {
                to[..n_inputs].copy_from_slice(from);
            }
        }
        self.rows = rows;
    }

    /// The rows taken over.
    pub fn batch<'a>(&'a self, data: &Clusters<'a, T>) -> Batch<'a, T> {
        Batch {
            x: if self.x.is_empty() { &data.x[self.rows.start * self.x_stride..] } else { &self.x },
            x_stride: self.x_stride,
            targets: &self.targets,
            weights: &self.weights,
            plane: self.rows.len().next_multiple_of(T::PAD),
            rows: self.rows.len(),
            first_row: 0,
        }
    }
}

/// Records of a cluster's gradients, a ring of slots; or one record of a part's rows, when they are not kept.
pub struct Records<T> {
    layout: TraceLayout,
    ring: Vec<Buffer<T>>,
    keep: bool,
    scratch: Scratch<T>,
    fold: Option<Fold<T>>,
}

impl<T: Elementary> Records<T> {
    /// `slots` records of `most_rows` rows when kept, else one of a part's rows.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new<S: Isa>(
        network: &Network<'_, S>,
        most_rows: usize,
        slots: usize,
        keep: bool,
    ) -> Result<Self, KernelError> {
        let part = most_rows.min(PART_ROWS);
        let layout = TraceLayout::new::<T>(network.layout, if keep { most_rows } else { part });
        let count = if keep { slots } else { 1 };
        let ring =
            memory::tried("the records of a path", (0..count).map(|_| Buffer::any("a cluster's rows", layout.len)))?;
        let scratch = Scratch::new(network.layout, part, layout.plane)?;
        let fold = Fold::new(PARTED_RUN, most_rows, network.layout.len)?;
        Ok(Self { layout, ring, keep, scratch, fold })
    }

    /// Numbers that such records take.
    pub fn size<S: Isa>(network: &Network<'_, S>, most_rows: usize, slots: usize, keep: bool) -> usize {
        let rows = if keep { most_rows } else { most_rows.min(PART_ROWS) };
        TraceLayout::new::<T>(network.layout, rows).len.saturating_mul(if keep { slots } else { 1 })
    }

    fn record(&mut self, slot: usize) -> (Record<'_, T>, &mut Scratch<T>) {
        let slot = if self.keep { slot } else { 0 };
        (Record { layout: &self.layout, numbers: &mut self.ring[slot] }, &mut self.scratch)
    }
}

/// The passes over a batch in parts that fit the cache, by one thread.
struct PartPasses<'a, S, T> {
    network: Network<'a, S>,
    records: &'a mut Records<T>,
}

impl<'a, S: Isa, T: Elementary> PartPasses<'a, S, T> {
    fn parts<'b>(&self, batch: Batch<'b, T>) -> impl Iterator<Item = Batch<'b, T>> + use<'a, 'b, S, T> {
        let keep = self.records.keep;
        let threads = self.network.threads;
        // Whoever waits for the sum asks the threads too.
        (0..batch.rows).step_by(PART_ROWS).take_while(move |&first| first == 0 || !threads.is_stopped()).map(
            move |first| {
                let part = batch.part(first, (first + PART_ROWS).min(batch.rows));
                if keep { part } else { part.with_own_record() }
            },
        )
    }

    /// Calls `work` on the parts, each of which adds onto the sink, and sums what it returns. Parts of very many rows go by
    /// runs.
    fn each_part(
        &mut self,
        batch: Batch<'_, T>,
        sink: Option<Sink<'_, T>>,
        mut work: impl FnMut(&mut Records<T>, &Batch<'_, T>, Option<&Sink<'_, T>>) -> f64,
    ) -> f64 {
        let Some(mut sink) = sink else { return self.each_part_of_run(batch, None, &mut work) };
        let Some(mut fold) = Fold::take_for(&mut self.records.fold, batch.rows) else {
            return self.each_part_of_run(batch, Some(sink), &mut work);
        };
        let (network, mut total) = (self.network, 0.0);
        let sum = fold.sum(network.isa, batch.rows, network.layout.len, |rows, run| {
            let sink = Sink::new(From::Zero, run, T::from_f64(1.0));
            total += self.each_part_of_run(batch.part(rows.start, rows.end), Some(sink), &mut work);
            // Told to stop, nobody wants the sum any more.
            if network.threads.is_stopped() { Err(()) } else { Ok(()) }
        });
        if let Ok(sum) = sum {
            sink.add(network.isa, sum);
        }
        self.records.fold = Some(fold);
        total
    }

    fn each_part_of_run(
        &mut self,
        run: Batch<'_, T>,
        mut sink: Option<Sink<'_, T>>,
        work: &mut impl FnMut(&mut Records<T>, &Batch<'_, T>, Option<&Sink<'_, T>>) -> f64,
    ) -> f64 {
        let mut sum = 0.0;
        for part in self.parts(run) {
            sum += work(self.records, &part, sink.as_ref());
            sink.iter_mut().for_each(Sink::onto_itself);
        }
        sum
    }

    fn gradient(&mut self, batch: Batch<'_, T>, point: &Point<'_, T>, slot: usize, sink: Option<Sink<'_, T>>) -> f64 {
        let network = self.network;
        self.each_part(batch, sink, |records, part, sink| {
            let (mut record, scratch) = records.record(slot);
            let loss = network.forward(part, point, &mut record, scratch);
            network.backward(part, point, &mut record, scratch, sink);
            loss
        })
    }

    /// As [`Self::gradient`] in a matrix over all rows: every residual is known before the first way back.
    fn whitened_gradient(
        &mut self,
        (batch, block): (Batch<'_, T>, &PrecisionBlock<T>),
        point: &Point<'_, T>,
        slot: usize,
        sink: Option<Sink<'_, T>>,
    ) -> f64 {
        let network = self.network;
        for part in self.parts(batch) {
            let (mut record, scratch) = self.records.record(slot);
            network.values(&part, point, &mut record, scratch);
        }
        let (mut record, scratch) = self.records.record(slot);
        network.whiten(&batch, block, &mut record, scratch);
        self.each_part(batch, sink, |records, part, sink| {
            let (mut record, scratch) = records.record(slot);
            let loss = network.whitened(part, &mut record, scratch);
            network.backward(part, point, &mut record, scratch, sink);
            loss
        })
    }

    fn loss(&mut self, batch: Batch<'_, T>, point: &Point<'_, T>) -> f64 {
        // Slot 0 may be in use only while its own path is walked, and losses are asked for at the path's end.
        let mut loss = 0.0;
        for part in self.parts(batch) {
            let network = self.network;
            let (mut record, scratch) = self.records.record(0);
            loss += network.forward(&part, point, &mut record, scratch);
        }
        loss
    }

    fn tangent(&mut self, batch: Batch<'_, T>, slot: usize, [point, direction]: [&Point<'_, T>; 2], sink: Sink<'_, T>) {
        let network = self.network;
        self.each_part(batch, Some(sink), |records, part, sink| {
            let keep = records.keep;
            let (mut record, scratch) = records.record(slot);
            if !keep {
                network.forward(part, point, &mut record, scratch);
                network.backward(part, point, &mut record, scratch, None);
            }
            if let Some(sink) = sink {
                network.tangent(part, point, direction, &mut record, scratch, sink);
            }
            0.0
        });
    }
}

/// All rows by the calling thread.
pub struct Serial<'a, S, T> {
    /// The network.
    pub network: Network<'a, S>,
    /// Support and query rows; the same where the cluster has no split.
    pub sides: [Batch<'a, T>; 2],
    /// The matrix that the squared loss is taken in; then records are kept.
    pub precision: Option<&'a PrecisionBlock<T>>,
    /// Where gradients are kept.
    pub records: &'a mut Records<T>,
}

impl<S: Isa, T: Elementary> Engine<T> for Serial<'_, S, T> {
    fn batch(&self) -> Option<Batch<'_, T>> {
        Some(self.sides[Side::Support as usize])
    }

    fn gradient(&mut self, side: Side, point: &Point<'_, T>, slot: usize, sink: Option<Sink<'_, T>>) -> f64 {
        let batch = self.sides[side as usize];
        let mut passes = PartPasses { network: self.network, records: self.records };
        match self.precision {
            None => passes.gradient(batch, point, slot, sink),
            Some(block) => passes.whitened_gradient((batch, block), point, slot, sink),
        }
    }

    fn loss(&mut self, side: Side, point: &Point<'_, T>) -> f64 {
        let batch = self.sides[side as usize];
        PartPasses { network: self.network, records: self.records }.loss(batch, point)
    }

    fn tangent(&mut self, slot: usize, point: &Point<'_, T>, direction: &Point<'_, T>, sink: Sink<'_, T>) {
        let batch = self.sides[Side::Support as usize];
        PartPasses { network: self.network, records: self.records }.tangent(batch, slot, [point, direction], sink);
    }
}

/// Chunks that a large cluster's rows are cut into: fixed, so that the sums do not depend on the threads.
const MOST_CHUNKS: usize = 32;

/// Rows in chunks over several threads; each chunk's gradient is summed by itself, then the chunks in order.
pub struct Split<'a, S, T> {
    /// The network.
    pub network: Network<'a, S>,
    /// Support and query rows.
    pub sides: [Batch<'a, T>; 2],
    /// Rows of the largest chunk of any cluster.
    pub chunk_rows: usize,
    /// A record a thread.
    pub records: &'a mut [Option<Records<T>>],
    /// A gradient a chunk.
    pub partial: &'a mut [Buffer<T>],
    /// Who works.
    pub threads: &'a Threads<'a>,
}

/// Rows of a chunk and number of chunks.
pub fn chunks(rows: usize) -> (usize, usize) {
    let size = rows.div_ceil(MOST_CHUNKS).next_multiple_of(64).max(256);
    (size, rows.div_ceil(size))
}

impl<S: Isa, T: Elementary> Split<'_, S, T> {
    /// Runs `work` on every chunk, then adds the chunks' gradients into the sink; returns the sum of the losses.
    fn each_chunk(
        &mut self,
        batch: Batch<'_, T>,
        sink: Option<Sink<'_, T>>,
        work: impl Fn(&mut PartPasses<'_, S, T>, Batch<'_, T>, &mut Buffer<T>) -> f64 + Sync,
    ) -> f64 {
        let (size, count) = chunks(batch.rows);
        let (network, chunk_rows) = (self.network, self.chunk_rows);
        let chunks = self.partial[..count].iter_mut().enumerate();
        let chunks: Vec<_> = chunks.map(|(chunk, partial)| Mutex::new((chunk, partial, 0.0))).collect();
        let make = || Records::new(&network, chunk_rows, 1, false);
        self.threads.share(self.records, make, &chunks, |records, (chunk, partial, loss)| {
            let part = batch.part(*chunk * size, ((*chunk + 1) * size).min(batch.rows)).with_own_record();
            *loss = work(&mut PartPasses { network, records }, part, partial);
        });
        let losses = chunks.into_iter().map(|chunk| chunk.into_inner().unwrap_or_else(PoisonError::into_inner).2).sum();
        // Told to stop, nobody wants the sum any more.
        if let Some(mut sink) = sink
            && !self.threads.is_stopped()
        {
            for partial in &self.partial[..count] {
                sink.add(self.network.isa, partial);
                sink.onto_itself();
            }
        }
        losses
    }
}

impl<S: Isa, T: Elementary> Engine<T> for Split<'_, S, T> {
    fn batch(&self) -> Option<Batch<'_, T>> {
        None
    }

    fn gradient(&mut self, side: Side, point: &Point<'_, T>, _: usize, sink: Option<Sink<'_, T>>) -> f64 {
        let wanted = sink.is_some();
        self.each_chunk(self.sides[side as usize], sink, |passes, part, partial| {
            passes.gradient(part, point, 0, wanted.then(|| Sink::new(From::Zero, partial, T::from_f64(1.0))))
        })
    }

    fn loss(&mut self, side: Side, point: &Point<'_, T>) -> f64 {
        self.each_chunk(self.sides[side as usize], None, |passes, part, _| passes.loss(part, point))
    }

    fn tangent(&mut self, _: usize, point: &Point<'_, T>, direction: &Point<'_, T>, sink: Sink<'_, T>) {
        self.each_chunk(self.sides[Side::Support as usize], Some(sink), |passes, part, partial| {
            passes.tangent(part, 0, [point, direction], Sink::new(From::Zero, partial, T::from_f64(1.0)));
            0.0
        });
    }
}
