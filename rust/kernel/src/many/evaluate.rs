//! The bare loss of rows, what share of them is classified right, and the loss's gradient.

use super::gather::Gather;
use super::plain::PlainPasses;
use super::{Selection, Spec};
use crate::network::layout::Layout;
use crate::network::loss::Loss;
use crate::network::workspace::PART_ROWS;
use crate::network::workspace::{From, Sink};
use crate::network::{Network, Point};
use crate::simd::math::Elementary;
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::threads::Threads;

/// A loss and an accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Weighted mean loss.
    pub loss: f64,
    /// Weighted share of rows that are right; NaN where there are no classes.
    pub accuracy: f64,
}

/// Rows to be evaluated on, and room to do it.
pub struct Evaluator<'a, T> {
    selection: Selection<'a, T>,
    classes: Classes,
    rows: Vec<u32>,
    scale: f64,
    gather: Gather<'a, T>,
    plain: PlainPasses<T>,
}

impl<'a, T: Elementary> Evaluator<'a, T> {
    /// Of a model's rows.
    ///
    /// # Errors
    /// [`KernelError::Memory`].
    pub fn new(spec: &'a Spec, layout: &Layout, selection: Selection<'a, T>) -> Result<Self, KernelError> {
        let (rows, scale) = selection.chosen()?;
        let most = rows.len().min(PART_ROWS);
        let (gather, plain) = (Gather::bare(spec, layout, most)?, PlainPasses::new(layout, most)?);
        let classes = Classes::of(spec, &selection, &rows);
        Ok(Self { selection, classes, rows, scale, gather, plain })
    }

    /// Loss and accuracy at a point, and the gradient of the loss if it is wanted.
    ///
    /// # Errors
    /// [`KernelError::Interrupted`].
    pub fn score<S: Isa>(
        &mut self,
        network: &Network<'_, S>,
        point: &Point<'_, T>,
        mut gradient: Option<(&mut [T], &mut [f64])>,
        threads: Threads<'_>,
    ) -> Result<Score, KernelError> {
        let mut score = Score { loss: 0.0, accuracy: 0.0 };
        let n_rows = self.rows.len() as f64;
        if let Some((_, sum)) = &mut gradient {
            sum.fill(0.0);
        }
        for part in self.rows.chunks(PART_ROWS) {
            threads.check()?;
            let share = part.len() as f64 / n_rows;
            self.gather.fill(&self.selection, part.iter().copied(), self.scale);
            let batch = self.gather.batch();
            let sink = gradient.as_mut().map(|(part, _)| Sink::new(From::Zero, part, T::from_f64(1.0)));
            score.loss += share * self.plain.gradient(network, batch, point, sink, threads)?;
            if let Some((part, sum)) = &mut gradient {
                crate::dense::vectors::add_scaled(network.isa, share, part, sum);
            }
            let right = (0..batch.rows).filter(|&row| self.is_right(network, row, batch.plane, batch.targets));
            score.accuracy += share * right.map(|row| batch.weights[row].to_f64()).sum::<f64>();
        }
        if self.classes == Classes::None {
            score.accuracy = f64::NAN;
        }
        Ok(score)
    }

    /// Whether a row's class is the most likely one; with the logistic loss, whether all its outputs are right.
    fn is_right<S: Isa>(&self, network: &Network<'_, S>, row: usize, plane: usize, targets: &[T]) -> bool {
        let outputs = network.layout.n_outputs;
        let output = |k: usize| self.plain.output(k, row);
        // The first of equal ones, as NumPy's argmax.
        let top = || (1..outputs).fold(0, |top, k| if output(k) > output(top) { k } else { top });
        match self.classes {
            Classes::Codes => targets[row].to_f64() == top() as f64,
            Classes::OneHot => targets[top() * plane + row].to_f64() == 1.0,
            Classes::Binary => (0..outputs).all(|k| (output(k) > 0.0) == (targets[k * plane + row].to_f64() > 0.5)),
            Classes::None => false,
        }
    }
}

/// How targets say a row's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Classes {
    /// By its number.
    Codes,
    /// By a 1 in its column, and zeros in the others.
    OneHot,
    /// One of two for each output: above ½ or not.
    Binary,
    /// They do not.
    None,
}

impl Classes {
    fn of<T: Real>(spec: &Spec, selection: &Selection<'_, T>, rows: &[u32]) -> Self {
        let width = spec.architecture.n_outputs();
        match spec.loss {
            Loss::Softmax => Self::Codes,
            Loss::Logistic => Self::Binary,
            Loss::Squared | Loss::CrossEntropy if width > 1 => {
                let target = |row: u32| &selection.of.y[row as usize * width..(row as usize + 1) * width];
                if rows.iter().all(|&row| is_one_hot(target(row))) { Self::OneHot } else { Self::None }
            }
            _ => Self::None,
        }
    }
}

fn is_one_hot<T: Real>(target: &[T]) -> bool {
    let ones = target.iter().filter(|y| y.to_f64() == 1.0).count();
    ones == 1 && target.iter().filter(|y| y.to_f64() == 0.0).count() + 1 == target.len()
}
