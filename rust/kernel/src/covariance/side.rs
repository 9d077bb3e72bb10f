//! Rows of one cluster, those that it is made of or new ones, and the covariances between two such lists.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::padded::{Padded, Sign, add_crossproduct};
use super::rbf;
use super::roots::Roots;
use super::structure::Covariance;

/// Rows of one cluster.
#[derive(Clone)]
pub struct Side<'a> {
    /// How many.
    pub n: usize,
    /// Columns of all effects, n × all.
    pub columns: &'a [f64],
    /// The numbers of their inner groups, a list for each kind.
    pub numbers: Vec<&'a [u32]>,
    /// Inputs of the kernel, inputs × n.
    pub inputs: Option<&'a Padded>,
}

impl Covariance {
    /// The rows that a cluster is made of.
    pub(super) fn side(&self, cluster: usize) -> Result<Side<'_>, KernelError> {
        let rows = self.rows(cluster);
        let mut numbers = memory::room("inner groups", self.inners.len())?;
        numbers.extend(self.inners.iter().map(|inner| &inner.numbers[rows.clone()]));
        Ok(Side {
            n: rows.len(),
            columns: &self.columns[rows.start * self.n_columns..rows.end * self.n_columns],
            numbers,
            inputs: self.inputs.as_ref().map(|inputs| &inputs[cluster]),
        })
    }

    /// The effect's columns times the root of its matrix, transposed.
    pub(super) fn rooted(
        &self,
        term: usize,
        side: &Side<'_>,
        roots: &Roots,
        into: &mut Padded,
    ) -> Result<(), KernelError> {
        let (effect, q) = (&self.effects[term], self.term_width(term));
        into.reset("the effects of a cluster", q, side.n)?;
        for i in 0..side.n {
            let row = &side.columns[i * self.n_columns..][..self.n_columns];
            for k in 0..q {
                let sum: f64 =
                    effect.columns.iter().enumerate().map(|(l, &c)| row[c] * roots.of_term(term)[l * q + k]).sum();
                into.row_mut(k)[i] = sum;
            }
        }
        Ok(())
    }

    /// Adds to `into`, left rows × right rows, the covariances of all effects and of the kernel, without noise. With `upper`
    /// both are one list and only what is on or above the diagonal is needed.
    pub(super) fn add_effects(
        &self,
        roots: &Roots,
        left: &Side<'_>,
        right: &Side<'_>,
        into: &mut Padded,
        upper: bool,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        let (mut a, mut b) = (Padded::default(), Padded::default());
        for (term, effect) in self.effects.iter().enumerate() {
            self.rooted(term, left, roots, &mut a)?;
            self.rooted(term, right, roots, &mut b)?;
            match effect.inner {
                None => add_crossproduct(Sign::Plus, &a, &b, into, upper, threads),
                Some(inner) => add_within(&a, &b, (left.numbers[inner], right.numbers[inner]), into, upper),
            }
        }
        if let (Some((variance, length)), Some(x), Some(to)) = (roots.rbf, left.inputs, right.inputs) {
            add_kernel(variance, length, x, to, into, upper)?;
        }
        threads.check()
    }

    /// The prior variance of each row's effects.
    pub(super) fn prior_variance(&self, roots: &Roots, side: &Side<'_>) -> Result<Vec<f64>, KernelError> {
        let kernel = if side.inputs.is_some() { roots.rbf.map_or(0.0, |(variance, _)| variance) } else { 0.0 };
        let mut variances = memory::room("the prior variances", side.n)?;
        variances.resize(side.n, kernel);
        let mut rooted = Padded::default();
        for term in 0..self.effects.len() {
            self.rooted(term, side, roots, &mut rooted)?;
            for k in 0..rooted.rows {
                variances.iter_mut().zip(rooted.row(k)).for_each(|(sum, x)| *sum += x * x);
            }
        }
        Ok(variances)
    }
}

/// Rows of one inner group alone covary.
fn add_within(a: &Padded, b: &Padded, (left, right): (&[u32], &[u32]), into: &mut Padded, upper: bool) {
    for (i, number) in left.iter().enumerate() {
        let from = if upper { i } else { 0 };
        let row = into.row_mut(i);
        for j in (from..right.len()).filter(|&j| right[j] == *number) {
            row[j] += (0..a.rows).map(|k| a.at(k, i) * b.at(k, j)).sum::<f64>();
        }
    }
}

fn add_kernel(
    variance: f64,
    length: f64,
    x: &Padded,
    to: &Padded,
    into: &mut Padded,
    upper: bool,
) -> Result<(), KernelError> {
    let mut squares = memory::zeros("a row of the kernel", to.cols)?;
    let mut values = memory::zeros("a row of the kernel", to.cols)?;
    for i in 0..x.cols {
        let from = if upper { i } else { 0 };
        let (squares, values) = (&mut squares[from..], &mut values[from..]);
        rbf::row(to, from, |input| x.at(input, i), length, squares, values);
        let row = &mut into.row_mut(i)[from..];
        row.iter_mut().zip(values).for_each(|(sum, k)| *sum += variance * *k);
    }
    Ok(())
}
