//! The effects of a cluster as columns Z: V = Λ + ZDZᵀ, and what a crossproduct of such columns looks like.
//!
//! Inner groups of one kind share no rows: their part of ZᵀZ is block diagonal and is eliminated block by block, whatever
//! their number. All other columns, those of effects of the whole cluster, of other kinds of inner groups and of a kernel
//! of low rank, are the rest.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::padded::{Padded, Sign, add_crossproduct, add_matrix_product};
use super::side::Side;
use super::structure::Covariance;

const WHAT: &str = "the design of a cluster";

/// Columns of the effects at some rows.
#[derive(Debug, Default)]
pub struct Design {
    /// Rows.
    pub n: usize,
    /// The eliminated group of each row; empty where there is none, and at least `groups` where it is a new one.
    pub numbers: Vec<u32>,
    /// Eliminated groups.
    pub groups: usize,
    /// Columns of each.
    pub width: usize,
    /// Their values, n × width.
    pub inner: Vec<f64>,
    /// Where a term starts among them.
    pub inner_terms: Vec<(usize, usize)>,
    /// All other columns.
    pub rest: Padded,
    /// Where a term starts among them; once for each inner group.
    pub rest_terms: Vec<(usize, usize)>,
    /// Where the columns of a kernel start in the rest.
    pub first_kernel_column: usize,
}

impl Design {
    /// No rows.
    pub const EMPTY: Self = Self {
        n: 0,
        numbers: Vec::new(),
        groups: 0,
        width: 0,
        inner: Vec::new(),
        inner_terms: Vec::new(),
        rest: Padded { rows: 0, cols: 0, stride: 0, numbers: Vec::new() },
        rest_terms: Vec::new(),
        first_kernel_column: 0,
    };

    /// The design of a cluster's own rows.
    pub(super) fn of_cluster(covariance: &Covariance, cluster: usize) -> Result<Self, KernelError> {
        Self::new(covariance, cluster, &covariance.side(cluster)?, 0)
    }

    /// The design of rows of a cluster, with room for so many columns of a kernel.
    pub(super) fn new(
        covariance: &Covariance,
        cluster: usize,
        side: &Side<'_>,
        kernel_columns: usize,
    ) -> Result<Self, KernelError> {
        let (groups, width, first_kernel_column) = covariance.widths(cluster);
        let groups = if width > 0 { groups } else { 0 };
        let mut design = Self {
            n: side.n,
            groups,
            width,
            inner: memory::zeros(WHAT, side.n * width)?,
            rest: Padded::zeros(WHAT, side.n, first_kernel_column + kernel_columns)?,
            first_kernel_column,
            ..Self::default()
        };
        if let (Some(block), true) = (covariance.block, width > 0) {
            design.numbers = memory::list(WHAT, side.numbers[block].iter().copied())?;
        }
        let (mut inner_offset, mut offset) = (0, 0);
        for (term, effect) in covariance.effects.iter().enumerate() {
            let q = effect.columns.len();
            if effect.inner.is_some() && effect.inner == covariance.block {
                design.fill_inner(covariance, term, side, inner_offset)?;
                inner_offset += q;
                continue;
            }
            let count = effect.inner.map_or(1, |inner| covariance.inners[inner].count(cluster));
            design.fill_rest(covariance, term, side, (offset, count))?;
            offset += q * count;
        }
        Ok(design)
    }

    fn fill_inner(
        &mut self,
        covariance: &Covariance,
        term: usize,
        side: &Side<'_>,
        offset: usize,
    ) -> Result<(), KernelError> {
        memory::reserve_one(WHAT, &mut self.inner_terms)?;
        self.inner_terms.push((offset, term));
        for i in 0..side.n {
            for (k, &column) in covariance.effects[term].columns.iter().enumerate() {
                self.inner[i * self.width + offset + k] = side.columns[i * covariance.n_columns + column];
            }
        }
        Ok(())
    }

    fn fill_rest(
        &mut self,
        covariance: &Covariance,
        term: usize,
        side: &Side<'_>,
        (offset, count): (usize, usize),
    ) -> Result<(), KernelError> {
        let effect = &covariance.effects[term];
        let q = effect.columns.len();
        memory::reserve_doubling(WHAT, &mut self.rest_terms, count)?;
        self.rest_terms.extend((0..count).map(|group| (offset + group * q, term)));
        for i in 0..side.n {
            let group = effect.inner.map_or(0, |inner| side.numbers[inner][i] as usize);
            if group >= count {
                continue;
            }
            for (k, &column) in effect.columns.iter().enumerate() {
                self.rest.row_mut(i)[offset + group * q + k] = side.columns[i * covariance.n_columns + column];
            }
        }
        Ok(())
    }

    /// Multiplications of a factorization, about.
    pub(super) fn work(&self) -> f64 {
        let (groups, width, rest) = (self.groups as f64, self.width as f64, self.rest.cols as f64);
        groups * width * (width + rest) * (width + rest) + rest * rest * rest
    }

    /// The eliminated group of a row, and the row's values there; none where it has none or a new one.
    #[inline(always)]
    pub fn group(&self, i: usize) -> Option<(usize, &[f64])> {
        let group = *self.numbers.get(i)? as usize;
        (group < self.groups).then(|| (group, &self.inner[i * self.width..][..self.width]))
    }

    /// ZᵀΛ⁻¹Z; `tau` is the diagonal of Λ⁻¹.
    pub fn crossproduct(&self, tau: &[f64]) -> Result<Arrow, KernelError> {
        let (width, rest) = (self.width, &self.rest);
        let mut arrow = Arrow {
            width,
            groups: self.groups,
            own: memory::zeros(WHAT, self.groups * width * width)?,
            cross: Padded::zeros(WHAT, self.groups * width, rest.cols)?,
            corner: Padded::zeros(WHAT, rest.cols, rest.cols)?,
        };
        let mut scaled = Padded::default();
        scaled.copy(WHAT, rest)?;
        for (row, tau) in scaled.numbers.chunks_exact_mut(rest.stride.max(1)).zip(tau) {
            row.iter_mut().for_each(|x| *x *= tau);
        }
        for (i, tau) in tau.iter().enumerate() {
            let Some((group, z)) = self.group(i) else { continue };
            for (k, z_k) in z.iter().enumerate() {
                let own = &mut arrow.own[(group * width + k) * width..][..width];
                own.iter_mut().zip(z).for_each(|(sum, z)| *sum += tau * z_k * z);
                let cross = arrow.cross.row_mut(group * width + k);
                cross.iter_mut().zip(scaled.row(i)).for_each(|(sum, x)| *sum += z_k * x);
            }
        }
        add_crossproduct(Sign::Plus, rest, &scaled, &mut arrow.corner, true, &Threads::serial());
        arrow.corner.mirror();
        Ok(arrow)
    }

    /// ZᵀB.
    pub fn transposed_times(&self, b: &Padded, threads: &Threads<'_>) -> Result<Coefficients, KernelError> {
        let mut x = Coefficients::zeros(self, b.cols)?;
        for i in 0..self.n {
            let Some((group, z)) = self.group(i) else { continue };
            for (k, z) in z.iter().enumerate() {
                let to = x.inner.row_mut(group * self.width + k);
                to.iter_mut().zip(b.row(i)).for_each(|(sum, b)| *sum += z * b);
            }
        }
        add_crossproduct(Sign::Plus, &self.rest, b, &mut x.rest, false, threads);
        Ok(x)
    }

    /// into ± ZX.
    pub fn add_times(&self, sign: Sign, x: &Coefficients, into: &mut Padded, threads: &Threads<'_>) {
        let factor = if sign == Sign::Plus { 1.0 } else { -1.0 };
        for i in 0..self.n {
            let Some((group, z)) = self.group(i) else { continue };
            for (k, z) in z.iter().enumerate() {
                let from = x.inner.row(group * self.width + k);
                into.row_mut(i).iter_mut().zip(from).for_each(|(sum, x)| *sum += factor * z * x);
            }
        }
        add_matrix_product(sign, &self.rest, &x.rest, into, threads);
    }
}

/// A number, or several, a column of a design.
#[derive(Debug, Default)]
pub struct Coefficients {
    /// Of the eliminated groups, groups · width rows.
    pub inner: Padded,
    /// Of the rest.
    pub rest: Padded,
}

impl Coefficients {
    /// The same once more.
    pub fn copied(&self) -> Result<Self, KernelError> {
        let mut copied = Self::default();
        copied.inner.copy(WHAT, &self.inner)?;
        copied.rest.copy(WHAT, &self.rest)?;
        Ok(copied)
    }

    /// Zeros for a design, `cols` of each.
    pub fn zeros(design: &Design, cols: usize) -> Result<Self, KernelError> {
        Ok(Self {
            inner: Padded::zeros(WHAT, design.groups * design.width, cols)?,
            rest: Padded::zeros(WHAT, design.rest.cols, cols)?,
        })
    }
}

/// A symmetric matrix over the columns of a design, or its Cholesky factor: blocks of the eliminated groups, what they have
/// with the rest, and the rest.
#[derive(Debug, Default)]
pub struct Arrow {
    /// Groups.
    pub groups: usize,
    /// Columns of each.
    pub width: usize,
    /// width × width a group.
    pub own: Vec<f64>,
    /// groups · width × rest.
    pub cross: Padded,
    /// rest × rest.
    pub corner: Padded,
}
