//! The Cholesky factor of I + FᵀCF for an arrow C, and solves with it: block by block, then the rest.

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;

use super::cholesky::{self, BadPivot};
use super::design::{Arrow, Coefficients, Design};
use super::padded::{Padded, Sign, add_crossproduct, add_matrix_product};
use super::roots::Roots;

const WHAT: &str = "the factor of a cluster";

impl Arrow {
    /// The same times a number.
    pub fn scaled(&self, scale: f64) -> Result<Self, KernelError> {
        let (mut cross, mut corner) = (Padded::default(), Padded::default());
        cross.copy(WHAT, &self.cross)?.numbers.iter_mut().for_each(|x| *x *= scale);
        corner.copy(WHAT, &self.corner)?.numbers.iter_mut().for_each(|x| *x *= scale);
        let own = memory::list(WHAT, self.own.iter().map(|x| x * scale))?;
        Ok(Self { groups: self.groups, width: self.width, own, cross, corner })
    }

    /// The factor of I + FᵀCF.
    ///
    /// # Errors
    /// [`KernelError::Memory`]; the pivot at fault is the inner error.
    pub fn capacitance(
        &self,
        design: &Design,
        roots: &Roots,
        threads: &Threads<'_>,
    ) -> Result<Result<Self, BadPivot>, KernelError> {
        let (width, rest) = (self.width, self.corner.rows);
        let (mut own, mut cross, mut corner) = (Padded::default(), Padded::default(), Padded::default());
        own.load(WHAT, &self.own, width)?;
        cross.copy(WHAT, &self.cross)?;
        corner.copy(WHAT, &self.corner)?;
        roots.apply_inner(design, true, &mut own)?;
        roots.apply_inner(design, true, &mut cross)?;
        roots.apply_to_columns(design, &mut cross)?;
        roots.apply_rest(design, true, &mut corner)?;
        roots.apply_to_columns(design, &mut corner)?;
        (0..rest).for_each(|i| corner.row_mut(i)[i] += 1.0);
        let mut factor = Self { groups: self.groups, width, own: memory::room(WHAT, self.own.len())?, cross, corner };
        let mut old = memory::room(WHAT, width)?;
        for i in 0..own.rows {
            let row = own.row_mut(i);
            old.clear();
            old.extend_from_slice(row);
            roots.inner_row_times(design, &old, row);
            row[i % width] += 1.0;
        }
        (0..own.rows).for_each(|i| factor.own.extend_from_slice(own.row(i)));
        Ok(factor.eliminate(threads).map(|()| factor))
    }

    fn eliminate(&mut self, threads: &Threads<'_>) -> Result<(), BadPivot> {
        let size = self.width * self.width;
        for (group, own) in self.own.chunks_exact_mut(size.max(1)).enumerate() {
            factor_small(own, self.width).map_err(|bad| BadPivot { row: group * self.width + bad.row, ..bad })?;
        }
        forward_small(&self.own, self.width, &mut self.cross);
        if self.cross.rows > 0 {
            add_crossproduct(Sign::Minus, &self.cross, &self.cross, &mut self.corner, true, threads);
        }
        cholesky::factor(&mut self.corner, threads).map_err(|bad| BadPivot { row: self.cross.rows + bad.row, ..bad })
    }

    /// The logarithm of the determinant that this is the factor of.
    pub fn log_determinant(&self) -> f64 {
        let (width, size) = (self.width, self.width * self.width);
        let own = self.own.chunks_exact(size.max(1));
        let own: f64 = own.map(|own| (0..width).map(|k| own[k * width + k].ln()).sum::<f64>()).sum();
        2.0 * own + cholesky::log_determinant(&self.corner)
    }

    /// X ← U⁻ᵀX.
    pub fn forward(&self, x: &mut Coefficients, threads: &Threads<'_>) {
        forward_small(&self.own, self.width, &mut x.inner);
        if self.cross.rows > 0 {
            add_crossproduct(Sign::Minus, &self.cross, &x.inner, &mut x.rest, false, threads);
        }
        cholesky::forward(&self.corner, &mut x.rest, threads);
    }

    /// X ← U⁻ᵀX for the eliminated groups' own blocks.
    pub fn forward_inner(&self, x: &mut Padded) {
        forward_small(&self.own, self.width, x);
    }

    /// X ← U⁻¹X.
    pub fn backward(&self, x: &mut Coefficients, threads: &Threads<'_>) {
        cholesky::backward(&self.corner, &mut x.rest, threads);
        if self.cross.rows > 0 {
            add_matrix_product(Sign::Minus, &self.cross, &x.rest, &mut x.inner, threads);
        }
        backward_small(&self.own, self.width, &mut x.inner);
    }
}

/// The upper factor of a small matrix, in place.
fn factor_small(a: &mut [f64], n: usize) -> Result<(), BadPivot> {
    for k in 0..n {
        let value = a[k * n + k];
        if !(value > 0.0 && value.is_finite()) {
            return Err(BadPivot { row: k, value });
        }
        let root = value.sqrt();
        a[k * n + k] = root;
        a[k * n + k + 1..(k + 1) * n].iter_mut().for_each(|x| *x /= root);
        for i in k + 1..n {
            let factor = a[k * n + i];
            for j in i..n {
                a[i * n + j] -= factor * a[k * n + j];
            }
        }
    }
    Ok(())
}

/// Each block of `n` rows of X ← U⁻ᵀX with its own small factor.
fn forward_small(factors: &[f64], n: usize, x: &mut Padded) {
    let stride = x.stride;
    for group in 0..x.rows / n.max(1) {
        let u = &factors[group * n * n..][..n * n];
        for k in 0..n {
            let (above, below) = x.split(group * n + k + 1);
            let row = &mut above[(group * n + k) * stride..];
            row.iter_mut().for_each(|x| *x /= u[k * n + k]);
            for i in k + 1..n {
                let to = &mut below[(i - k - 1) * stride..][..stride];
                to.iter_mut().zip(&*row).for_each(|(to, from)| *to -= u[k * n + i] * from);
            }
        }
    }
}

/// As [`forward_small`], with U⁻¹.
fn backward_small(factors: &[f64], n: usize, x: &mut Padded) {
    let stride = x.stride;
    for group in 0..x.rows / n.max(1) {
        let u = &factors[group * n * n..][..n * n];
        for k in (0..n).rev() {
            let (above, below) = x.split(group * n + k);
            let row = &mut below[..stride];
            row.iter_mut().for_each(|x| *x /= u[k * n + k]);
            for i in 0..k {
                let to = &mut above[(group * n + i) * stride..][..stride];
                to.iter_mut().zip(&*row).for_each(|(to, from)| *to -= u[i * n + k] * from);
            }
        }
    }
}
