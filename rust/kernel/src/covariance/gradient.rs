//! The gradient of the likelihood in the variances: ½ Σ tr((V⁻¹ − AAᵀ)∂V).

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky;
use super::factor::{ClusterFactor, Factors};
use super::padded::{Padded, Sign, add_crossproduct};
use super::rbf;
use super::roots::Roots;
use super::structure::Covariance;

const WHAT: &str = "the gradient of a cluster";

/// Derivatives in the variances.
#[derive(Clone, Debug)]
pub struct Gradient {
    /// In s².
    pub noise: f64,
    /// In each term's matrix, q × q, as if its elements were free.
    pub matrices: Vec<Vec<f64>>,
    /// In the kernel's variance and length scale.
    pub rbf: (f64, f64),
}

impl Gradient {
    pub(super) fn zeros(covariance: &Covariance) -> Result<Self, KernelError> {
        let zeros = |term: usize| memory::zeros(WHAT, covariance.term_width(term).pow(2));
        let matrices = memory::tried(WHAT, (0..covariance.n_terms()).map(zeros))?;
        Ok(Self { noise: 0.0, matrices, rbf: (0.0, 0.0) })
    }

    pub(super) fn negate(&mut self) {
        self.noise = -self.noise;
        self.rbf = (-self.rbf.0, -self.rbf.1);
        self.matrices.iter_mut().flatten().for_each(|x| *x = -*x);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.noise += other.noise;
        self.rbf.0 += other.rbf.0;
        self.rbf.1 += other.rbf.1;
        for (to, from) in self.matrices.iter_mut().zip(&other.matrices) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }
}

/// AAᵀ, or A diag(signs) Aᵀ.
pub(super) struct Outer<'a> {
    /// A, rows × any number.
    pub a: &'a Padded,
    /// A factor for each column; 1 for those behind.
    pub signs: &'a [f64],
}

impl<'a> Outer<'a> {
    /// AAᵀ.
    pub fn plain(a: &'a Padded) -> Self {
        Self { a, signs: &[] }
    }

    /// A column's factor.
    pub fn sign(&self, column: usize) -> f64 {
        self.signs.get(column).copied().unwrap_or(1.0)
    }

    /// m − A diag(signs) Aᵀ, its upper triangle.
    pub fn subtract_from(&self, m: &mut Padded, threads: &Threads<'_>) -> Result<(), KernelError> {
        let (mut plain, mut signed) = (Padded::default(), Padded::default());
        plain.transpose(WHAT, self.a)?;
        self.signed_rows(&plain, &mut signed)?;
        add_crossproduct(Sign::Minus, &plain, &signed, m, true, threads);
        threads.check()
    }

    /// The rows of a matrix, one for each column of A, times their factors.
    pub fn signed_rows(&self, rows: &Padded, into: &mut Padded) -> Result<(), KernelError> {
        into.copy(WHAT, rows)?;
        for column in 0..rows.rows {
            let sign = self.sign(column);
            into.row_mut(column).iter_mut().for_each(|x| *x *= sign);
        }
        Ok(())
    }
}

/// A thread's scratch.
#[derive(Default)]
pub(super) struct Scratch {
    pub a: Padded,
    pub inverse: Padded,
    pub m: Padded,
}

impl Factors {
    /// ½ Σ tr((V⁻¹ − AAᵀ)∂V) for A of `cols` columns, rows × cols.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn gradient(&self, a: &[f64], cols: usize, threads: Threads<'_>) -> Result<Gradient, KernelError> {
        self.check_rows("A", a, cols)?;
        let pieces = threads.map(
            self.covariance.pieces.iter(),
            || Ok(Scratch::default()),
            |scratch, piece| {
                let mut sum = Gradient::zeros(&self.covariance)?;
                for cluster in (*piece).clone() {
                    threads.check()?;
                    let rows = self.covariance.rows(cluster);
                    scratch.a.load(WHAT, &a[rows.start * cols..rows.end * cols], cols)?;
                    match &self.clusters[cluster] {
                        ClusterFactor::Dense(u) => self.add_dense(cluster, u, scratch, &mut sum, &threads)?,
                        ClusterFactor::LowRank(low) => self.covariance.add_low_rank(
                            cluster,
                            &self.roots,
                            low,
                            &Outer::plain(&scratch.a),
                            &mut sum,
                            &threads,
                        )?,
                    }
                }
                Ok(sum)
            },
        )?;
        let mut sum = Gradient::zeros(&self.covariance)?;
        pieces.iter().for_each(|piece| sum.add(piece));
        Ok(sum)
    }

    fn add_dense(
        &self,
        cluster: usize,
        u: &Padded,
        scratch: &mut Scratch,
        sum: &mut Gradient,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        inverse(u, &mut scratch.inverse, &mut scratch.m, threads)?;
        Outer::plain(&scratch.a).subtract_from(&mut scratch.m, threads)?;
        scratch.m.mirror();
        let first = self.covariance.rows(cluster).start;
        for i in 0..u.rows {
            sum.noise += 0.5 * scratch.m.at(i, i) / self.covariance.weight(first + i);
        }
        self.covariance.add_matrix_gradients(cluster, &scratch.m, sum, threads)?;
        self.covariance.add_kernel_gradient(cluster, &self.roots, &scratch.m, sum)
    }
}

/// (UᵀU)⁻¹, its upper triangle; `work` is scratch.
pub(super) fn inverse(
    u: &Padded,
    work: &mut Padded,
    into: &mut Padded,
    threads: &Threads<'_>,
) -> Result<(), KernelError> {
    work.reset(WHAT, u.rows, u.rows)?;
    cholesky::inverse(u, work, threads);
    into.reset(WHAT, u.rows, u.rows)?;
    add_crossproduct(Sign::Plus, work, work, into, true, threads);
    threads.check()
}

impl Covariance {
    /// Adds ½ZᵀMZ of each term, for a symmetric matrix of a cluster.
    pub(super) fn add_matrix_gradients(
        &self,
        cluster: usize,
        m: &Padded,
        sum: &mut Gradient,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        let side = self.side(cluster)?;
        let (mut z, mut mz, mut product) = (Padded::default(), Padded::default(), Padded::default());
        for (term, effect) in self.effects.iter().enumerate() {
            let q = effect.columns.len();
            z.reset(WHAT, side.n, q)?;
            for i in 0..side.n {
                let row = &side.columns[i * self.n_columns..][..self.n_columns];
                z.row_mut(i).iter_mut().zip(&effect.columns).for_each(|(to, &column)| *to = row[column]);
            }
            mz.reset(WHAT, side.n, q)?;
            match effect.inner {
                None => add_crossproduct(Sign::Plus, m, &z, &mut mz, false, threads),
                Some(inner) => add_within(m, &z, side.numbers[inner], &mut mz),
            }
            product.reset(WHAT, q, q)?;
            add_crossproduct(Sign::Plus, &z, &mz, &mut product, false, threads);
            sum.add_half_block(term, q, |k, l| product.at(k, l));
        }
        threads.check()
    }

    /// Adds the kernel's derivatives for a symmetric matrix of a cluster.
    pub(super) fn add_kernel_gradient(
        &self,
        cluster: usize,
        roots: &Roots,
        m: &Padded,
        sum: &mut Gradient,
    ) -> Result<(), KernelError> {
        let (Some((variance, length)), Some(inputs)) = (roots.rbf, &self.inputs) else { return Ok(()) };
        let x = &inputs[cluster];
        let mut squares = memory::zeros(WHAT, x.cols)?;
        let mut values = memory::zeros(WHAT, x.cols)?;
        let (mut in_variance, mut in_length) = (0.0, 0.0);
        for i in 0..x.cols {
            let (squares, values) = (&mut squares[i + 1..], &mut values[i + 1..]);
            rbf::row(x, i + 1, |input| x.at(input, i), length, squares, values);
            in_variance += 0.5 * m.at(i, i);
            for ((m, square), k) in m.row(i)[i + 1..].iter().zip(squares).zip(values) {
                let product = m * *k;
                in_variance += product;
                in_length += product * *square;
            }
        }
        sum.rbf.0 += in_variance;
        sum.rbf.1 += in_length * variance / length;
        Ok(())
    }
}

impl Gradient {
    /// Adds half of a block, made symmetric.
    pub(super) fn add_half_block(&mut self, term: usize, q: usize, entry: impl Fn(usize, usize) -> f64) {
        for k in 0..q {
            for l in 0..q {
                self.matrices[term][k * q + l] += 0.25 * (entry(k, l) + entry(l, k));
            }
        }
    }
}

/// MZ where rows of one inner group alone meet.
fn add_within(m: &Padded, z: &Padded, numbers: &[u32], into: &mut Padded) {
    for i in 0..m.rows {
        for j in (0..m.rows).filter(|&j| numbers[j] == numbers[i]) {
            let factor = m.at(i, j);
            into.row_mut(i).iter_mut().zip(z.row(j)).for_each(|(to, z)| *to += factor * z);
        }
    }
}
