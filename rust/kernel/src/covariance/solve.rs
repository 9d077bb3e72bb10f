//! V⁻¹ applied: to vectors, and as blocks for training.

use crate::dense::vectors::finite;
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky;
use super::design::{Coefficients, Design};
use super::factor::{ClusterFactor, Factors, LowRank};
use super::padded::{Padded, Sign};
use super::roots::Roots;

const WHAT: &str = "a solve";

impl Factors {
    /// V⁻¹B for `cols` columns, rows × cols.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn solve(&self, b: &[f64], cols: usize, threads: Threads<'_>) -> Result<Vec<f64>, KernelError> {
        self.check_rows("B", b, cols)?;
        let pieces = threads.map(
            self.covariance.pieces.iter(),
            || Ok(Padded::default()),
            |scratch, piece| {
                let rows = self.covariance.offsets[piece.start]..self.covariance.offsets[piece.end];
                let mut solved = memory::room(WHAT, rows.len() * cols)?;
                for cluster in (*piece).clone() {
                    let rows = self.covariance.rows(cluster);
                    scratch.load(WHAT, &b[rows.start * cols..rows.end * cols], cols)?;
                    self.solve_cluster(cluster, scratch, &threads)?;
                    (0..scratch.rows).for_each(|i| solved.extend_from_slice(scratch.row(i)));
                }
                Ok(solved)
            },
        )?;
        let mut all = memory::room(WHAT, b.len())?;
        pieces.iter().for_each(|piece| all.extend_from_slice(piece));
        Ok(all)
    }

    pub(super) fn check_rows(&self, what: &'static str, b: &[f64], cols: usize) -> Result<(), KernelError> {
        let needed = self.covariance.n_rows().saturating_mul(cols);
        if b.len() != needed {
            return Err(KernelError::Length { what, got: b.len(), needed });
        }
        finite(what, b)
    }

    /// B ← V⁻¹B for a cluster's rows.
    pub(super) fn solve_cluster(
        &self,
        cluster: usize,
        b: &mut Padded,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        match &self.clusters[cluster] {
            ClusterFactor::Dense(u) => {
                cholesky::forward(u, b, threads);
                cholesky::backward(u, b, threads);
            }
            ClusterFactor::LowRank(low) => low.solve(self.design(cluster, low), &self.roots, b, threads)?,
        }
        threads.check()
    }
}

impl LowRank {
    /// B ← T(B − ZF(I + FᵀZᵀTZF)⁻¹FᵀZᵀTB).
    pub(super) fn solve(
        &self,
        design: &Design,
        roots: &Roots,
        b: &mut Padded,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        // T scales from both sides: (T − TZ…ZᵀT)B with TB kept.
        self.scale(b);
        let x = self.coefficients(design, roots, b, threads)?;
        let mut fitted = Padded::zeros(WHAT, b.rows, b.cols)?;
        design.add_times(Sign::Plus, &x, &mut fitted, threads);
        self.scale(&mut fitted);
        b.numbers.iter_mut().zip(&fitted.numbers).for_each(|(b, fitted)| *b -= fitted);
        Ok(())
    }

    /// B ← TB.
    pub(super) fn scale(&self, b: &mut Padded) {
        let stride = b.stride.max(1);
        for (row, tau) in b.numbers.chunks_exact_mut(stride).zip(&self.tau) {
            row.iter_mut().for_each(|x| *x *= tau);
        }
    }

    /// F(I + FᵀZᵀTZF)⁻¹FᵀZᵀB, where B has been scaled by T: the posterior mean of the design's coefficients.
    pub(super) fn coefficients(
        &self,
        design: &Design,
        roots: &Roots,
        scaled: &Padded,
        threads: &Threads<'_>,
    ) -> Result<Coefficients, KernelError> {
        let mut x = design.transposed_times(scaled, threads)?;
        self.solve_coefficients(design, roots, &mut x, threads)?;
        Ok(x)
    }

    /// X ← F(I + FᵀZᵀTZF)⁻¹FᵀX.
    pub(super) fn solve_coefficients(
        &self,
        design: &Design,
        roots: &Roots,
        x: &mut Coefficients,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        roots.apply(design, true, x)?;
        self.factor.forward(x, threads);
        self.factor.backward(x, threads);
        roots.apply(design, false, x)
    }

    /// U⁻ᵀFᵀz of some rows' z: those of the eliminated groups, rows × width, and of the rest, rest × rows. Their squared
    /// lengths are zᵀNz, N the posterior's part of the coefficients' variance.
    pub(super) fn whitened(
        &self,
        design: &Design,
        roots: &Roots,
        threads: &Threads<'_>,
    ) -> Result<(Padded, Padded), KernelError> {
        let (width, n) = (design.width, design.n);
        let mut inner = Padded::zeros(WHAT, n, width)?;
        let mut rest = Padded::default();
        rest.transpose(WHAT, &design.rest)?;
        roots.apply_rest(design, true, &mut rest)?;
        for i in 0..n {
            let Some((group, z)) = design.group(i) else { continue };
            let y = inner.row_mut(i);
            roots.inner_row_times(design, z, y);
            let own = &self.factor.own[group * width * width..][..width * width];
            for k in 0..width {
                y[k] /= own[k * width + k];
                for l in k + 1..width {
                    y[l] -= own[k * width + l] * y[k];
                }
            }
            for (k, y) in y.iter().enumerate() {
                let cross = self.factor.cross.row(group * width + k);
                for (j, h) in cross.iter().enumerate() {
                    rest.row_mut(j)[i] -= h * y;
                }
            }
        }
        cholesky::forward(&self.factor.corner, &mut rest, threads);
        Ok((inner, rest))
    }
}

/// Squared lengths of [`LowRank::whitened`] rows.
pub(super) fn squared_lengths(inner: &Padded, rest: &Padded, n: usize) -> Result<Vec<f64>, KernelError> {
    let mut sums = memory::list(WHAT, (0..n).map(|i| inner.row(i).iter().map(|x| x * x).sum::<f64>()))?;
    for k in 0..rest.rows {
        sums.iter_mut().zip(rest.row(k)).for_each(|(sum, x)| *sum += x * x);
    }
    Ok(sums)
}
