//! The gradient where V is diagonal and low rank: everything from the crossproduct of the design.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky;
use super::design::{Coefficients, Design};
use super::factor::LowRank;
use super::gradient::{Gradient, Outer};
use super::inducing::{Kernel, correlate_with_squares};
use super::padded::{Padded, Sign, add_crossproduct};
use super::roots::Roots;
use super::solve::squared_lengths;
use super::structure::Covariance;

const WHAT: &str = "the gradient of a cluster";

/// ZᵀV⁻¹Z − ZᵀA(ZᵀA)ᵀ where it is needed: the blocks of the eliminated groups summed, and the rest.
struct Blocks {
    inner: Padded,
    rest: Padded,
}

impl Covariance {
    /// Adds ½ tr((V⁻¹ − AAᵀ)∂V) of a cluster.
    pub(super) fn add_low_rank(
        &self,
        cluster: usize,
        roots: &Roots,
        low: &LowRank,
        outer: &Outer<'_>,
        sum: &mut Gradient,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        let design = self.design_of(cluster, low.kernel.as_deref());
        let blocks = low.blocks(design, roots, outer, threads)?;
        for &(offset, term) in &design.inner_terms {
            let q = self.term_width(term);
            sum.add_half_block(term, q, |k, l| blocks.inner.at(offset + k, offset + l));
        }
        for &(offset, term) in &design.rest_terms {
            let q = self.term_width(term);
            sum.add_half_block(term, q, |k, l| blocks.rest.at(offset + k, offset + l));
        }
        let diagonal = low.diagonal(design, roots, outer, threads)?;
        let first = self.rows(cluster).start;
        for (i, m) in diagonal.iter().enumerate() {
            sum.noise += 0.5 * m / self.weight(first + i);
        }
        if let Some(kernel) = &low.kernel {
            let trace: f64 = (design.first_kernel_column..design.rest.cols).map(|k| blocks.rest.at(k, k)).sum();
            self.add_inducing(cluster, roots, (low, kernel), (outer, &diagonal, trace), sum, threads)?;
        }
        threads.check()
    }

    /// The kernel's derivatives, of v(PPᵀ + diag(1 − |pᵢ|²)) with PPᵀ = R(X, Z)R(Z, Z)⁻¹R(Z, X).
    fn add_inducing(
        &self,
        cluster: usize,
        roots: &Roots,
        (low, kernel): (&LowRank, &Kernel),
        (outer, diagonal, trace): (&Outer<'_>, &[f64], f64),
        sum: &mut Gradient,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        let (Some((variance, length)), Some(inputs)) = (roots.rbf, &self.inputs) else { return Ok(()) };
        let p = kernel.columns()?;
        let left = |i: usize| 1.0 - p.row(i).iter().map(|p| p * p).sum::<f64>();
        sum.rbf.0 += 0.5 * (trace + diagonal.iter().enumerate().map(|(i, m)| m * left(i)).sum::<f64>());
        // Y = (M − diag M)PU⁻ᵀ: the derivative in R(X, Z), twice, and −U⁻¹PᵀY that in R(Z, Z).
        let y = low.without_diagonal(kernel, roots, &p, (outer, diagonal), threads)?;
        let mut pairs = Padded::zeros(WHAT, p.cols, p.cols)?;
        add_crossproduct(Sign::Plus, &p, &y, &mut pairs, false, threads);
        let mut transposed = Padded::default();
        transposed.transpose(WHAT, &y)?;
        cholesky::backward(&kernel.u, &mut transposed, threads);
        cholesky::backward(&kernel.u, &mut pairs, threads);
        let mut turned = Padded::default();
        turned.transpose(WHAT, &pairs)?;
        cholesky::backward(&kernel.u, &mut turned, threads);
        threads.check()?;
        let inducing = self.inducing_rows(cluster);
        sum.rbf.1 += variance / length * correlated(&inputs[cluster], inducing, length, &transposed, &turned)?;
        Ok(())
    }
}

/// Σ Y ⊙ R ⊙ S over inducing rows and rows, less half of that over the inducing rows with EᵀY; S are squared distances
/// over ℓ².
fn correlated(x: &Padded, inducing: &[usize], length: f64, y: &Padded, pairs: &Padded) -> Result<f64, KernelError> {
    let (mut squares, mut values) = (memory::zeros(WHAT, x.cols)?, memory::zeros(WHAT, x.cols)?);
    let mut sum = 0.0;
    for (k, &row) in inducing.iter().enumerate() {
        correlate_with_squares(x, x, row, length, &mut squares, &mut values);
        for ((y, square), value) in y.row(k).iter().zip(&squares).zip(&values) {
            sum += y * square * value;
        }
        for (l, &other) in inducing.iter().enumerate() {
            sum -= 0.5 * pairs.at(k, l) * squares[other] * values[other];
        }
    }
    Ok(sum)
}

impl LowRank {
    /// The diagonal of V⁻¹ − AAᵀ.
    fn diagonal(
        &self,
        design: &Design,
        roots: &Roots,
        outer: &Outer<'_>,
        threads: &Threads<'_>,
    ) -> Result<Vec<f64>, KernelError> {
        let (inner, rest) = self.whitened(design, roots, threads)?;
        let mut diagonal = squared_lengths(&inner, &rest, self.tau.len())?;
        for (i, (d, tau)) in diagonal.iter_mut().zip(&self.tau).enumerate() {
            let along: f64 = outer.a.row(i).iter().enumerate().map(|(k, x)| outer.sign(k) * x * x).sum();
            *d = tau - tau * tau * *d - along;
        }
        Ok(diagonal)
    }

    /// (V⁻¹ − AAᵀ − its diagonal)P, P the kernel's columns.
    fn without_diagonal(
        &self,
        kernel: &Kernel,
        roots: &Roots,
        p: &Padded,
        (outer, diagonal): (&Outer<'_>, &[f64]),
        threads: &Threads<'_>,
    ) -> Result<Padded, KernelError> {
        let (design, first) = (&kernel.design, kernel.design.first_kernel_column);
        // V⁻¹P = T(P − ZN·ZᵀTP), and ZᵀTP are the crossproduct's last columns.
        let mut x = Coefficients { inner: Padded::default(), rest: Padded::default() };
        x.inner.columns_from(WHAT, &self.crossproduct.cross, first)?;
        x.rest.columns_from(WHAT, &self.crossproduct.corner, first)?;
        self.solve_coefficients(design, roots, &mut x, threads)?;
        let mut y = Padded::default();
        y.copy(WHAT, p)?;
        design.add_times(Sign::Minus, &x, &mut y, threads);
        self.scale(&mut y);
        let (mut along, mut signed) = (Padded::zeros(WHAT, outer.a.cols, p.cols)?, Padded::default());
        add_crossproduct(Sign::Plus, outer.a, p, &mut along, false, threads);
        outer.signed_rows(&along, &mut signed)?;
        for (i, m) in diagonal.iter().enumerate() {
            let row = y.row_mut(i);
            row.iter_mut().zip(p.row(i)).for_each(|(y, p)| *y -= m * p);
            for (k, a) in outer.a.row(i).iter().enumerate() {
                row.iter_mut().zip(signed.row(k)).for_each(|(y, along)| *y -= a * along);
            }
        }
        Ok(y)
    }

    /// Blocks of ZᵀV⁻¹Z − ZᵀA(ZᵀA)ᵀ.
    fn blocks(
        &self,
        design: &Design,
        roots: &Roots,
        outer: &Outer<'_>,
        threads: &Threads<'_>,
    ) -> Result<Blocks, KernelError> {
        let c = &self.crossproduct;
        // ZᵀV⁻¹Z = C − TᵀT with T = U⁻ᵀFᵀC; first its columns of the rest.
        let mut t = Coefficients::default();
        t.inner.copy(WHAT, &c.cross)?;
        t.rest.copy(WHAT, &c.corner)?;
        roots.apply(design, true, &mut t)?;
        self.factor.forward(&mut t, threads);
        let mut rest = Padded::default();
        rest.copy(WHAT, &c.corner)?;
        add_crossproduct(Sign::Minus, &t.inner, &t.inner, &mut rest, true, threads);
        add_crossproduct(Sign::Minus, &t.rest, &t.rest, &mut rest, true, threads);
        let along = design.transposed_times(outer.a, threads)?;
        Outer { a: &along.rest, signs: outer.signs }.subtract_from(&mut rest, threads)?;
        rest.mirror();
        let mut inner = Padded::zeros(WHAT, c.width, c.width)?;
        self.add_inner_blocks(design, roots, &mut inner, threads)?;
        for row in 0..along.inner.rows {
            let group = row - row % c.width;
            for l in 0..c.width {
                let products = along.inner.row(row).iter().zip(along.inner.row(group + l)).enumerate();
                let sum: f64 = products.map(|(k, (a, b))| outer.sign(k) * a * b).sum();
                inner.row_mut(row - group)[l] -= sum;
            }
        }
        Ok(Blocks { inner, rest })
    }

    /// The sum over eliminated groups of their blocks of ZᵀV⁻¹Z.
    fn add_inner_blocks(
        &self,
        design: &Design,
        roots: &Roots,
        sum: &mut Padded,
        threads: &Threads<'_>,
    ) -> Result<(), KernelError> {
        let (c, width) = (&self.crossproduct, self.crossproduct.width);
        let mut own = Padded::default();
        own.load(WHAT, &c.own, width)?;
        sum_rows(&own, width, sum);
        // Own rows of T = U⁻ᵀFᵀC, and those of the rest, for all groups side by side.
        roots.apply_inner(design, true, &mut own)?;
        self.factor.forward_inner(&mut own);
        let mut rest = Padded::default();
        rest.transpose(WHAT, &c.cross)?;
        roots.apply_rest(design, true, &mut rest)?;
        for row in 0..own.rows {
            let group = row - row % width;
            for (j, h) in self.factor.cross.row(row).iter().enumerate() {
                let to = &mut rest.row_mut(j)[group..group + width];
                to.iter_mut().zip(own.row(row)).for_each(|(to, y)| *to -= h * y);
            }
        }
        cholesky::forward(&self.factor.corner, &mut rest, threads);
        for row in 0..own.rows {
            for k in 0..width {
                let factor = own.at(row, k);
                sum.row_mut(k).iter_mut().zip(own.row(row)).for_each(|(sum, y)| *sum -= factor * y);
            }
        }
        for j in 0..rest.rows {
            for block in rest.row(j).chunks_exact(width.max(1)) {
                for (k, factor) in block.iter().enumerate() {
                    sum.row_mut(k).iter_mut().zip(block).for_each(|(sum, y)| *sum -= factor * y);
                }
            }
        }
        Ok(())
    }
}

/// Adds the blocks of `width` rows of a matrix.
fn sum_rows(blocks: &Padded, width: usize, sum: &mut Padded) {
    for row in 0..blocks.rows {
        sum.row_mut(row % width).iter_mut().zip(blocks.row(row)).for_each(|(sum, x)| *sum += x);
    }
}
