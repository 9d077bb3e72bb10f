//! Gradients without dropout and batch normalization, by the kernel's own passes.

use crate::network::fold::{Fold, PARTED_RUN};
use crate::network::layout::Layout;
use crate::network::workspace::PART_ROWS;
use crate::network::workspace::{Batch, Buffer, From, Scratch, Sink, TraceLayout};
use crate::network::{Network, Point, Record};
use crate::simd::Isa;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::threads::Threads;

/// Scratch for batches of any size, whose rows go through the kernel's own passes in parts that fit the cache.
pub struct PlainPasses<T> {
    trace: TraceLayout,
    record: Buffer<T>,
    scratch: Scratch<T>,
    fold: Option<Fold<T>>,
}

impl<T: Elementary> PlainPasses<T> {
    /// For batches of up to `most_rows` rows.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(layout: &Layout, most_rows: usize) -> Result<Self, KernelError> {
        let part = most_rows.min(PART_ROWS);
        let trace = TraceLayout::new::<T>(layout, part);
        Ok(Self {
            record: Buffer::any("the values of the hidden layers", trace.len)?,
            scratch: Scratch::new(layout, part, trace.plane)?,
            trace,
            fold: Fold::new(PARTED_RUN, most_rows, layout.len)?,
        })
    }

    /// Mean loss of a batch at a point, and its gradient into the sink, where there is one.
    ///
    /// # Errors
    /// [`KernelError::Interrupted`], between parts.
    pub fn gradient<S: Isa>(
        &mut self,
        network: &Network<'_, S>,
        batch: Batch<'_, T>,
        point: &Point<'_, T>,
        sink: Option<Sink<'_, T>>,
        threads: Threads<'_>,
    ) -> Result<f64, KernelError> {
        let Some(mut sink) = sink else { return self.of_run(network, batch, point, None, threads) };
        let Some(mut fold) = Fold::take_for(&mut self.fold, batch.rows) else {
            return self.of_run(network, batch, point, Some(sink), threads);
        };
        let mut loss = 0.0;
        let sum = fold.sum(network.isa, batch.rows, network.layout.len, |rows, run| {
            let sink = Sink::new(From::Zero, run, T::from_f64(1.0));
            loss += self.of_run(network, batch.part(rows.start, rows.end), point, Some(sink), threads)?;
            Ok(())
        });
        let sum = sum.map(|sum| sink.add(network.isa, sum));
        self.fold = Some(fold);
        sum.map(|()| loss)
    }

    fn of_run<S: Isa>(
        &mut self,
        network: &Network<'_, S>,
        batch: Batch<'_, T>,
        point: &Point<'_, T>,
        mut sink: Option<Sink<'_, T>>,
        threads: Threads<'_>,
    ) -> Result<f64, KernelError> {
        let mut loss = 0.0;
        for first in (0..batch.rows).step_by(PART_ROWS) {
            if first > 0 {
                threads.check()?;
            }
            let part = batch.part(first, (first + PART_ROWS).min(batch.rows)).with_own_record();
            let mut record = Record { layout: &self.trace, numbers: &mut self.record };
            loss += network.forward(&part, point, &mut record, &mut self.scratch);
            if let Some(sink) = &mut sink {
                network.backward(&part, point, &mut record, &self.scratch, Some(sink));
                sink.onto_itself();
            }
        }
        Ok(loss)
    }

    /// Output `output` of row `row` of the last part.
    pub fn output(&self, output: usize, row: usize) -> f64 {
        self.scratch.outputs[output * self.trace.plane + row].to_f64()
    }
}
