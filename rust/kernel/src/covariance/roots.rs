//! The variances of a call: checked, each matrix with its square root.

use crate::dense::vectors::finite;
use crate::system::error::{KernelError, range};
use crate::system::memory;

use super::design::{Coefficients, Design};
use super::padded::Padded;
use super::semidefinite::square_root;
use super::structure::Covariance;

/// The effects' variances.
#[derive(Debug)]
pub struct Roots {
    /// The width q of each term and F with FFᵀ = D, q × q.
    terms: Vec<(usize, Vec<f64>)>,
    /// Variance and length scale of the kernel.
    pub rbf: Option<(f64, f64)>,
}

impl Roots {
    /// Checks the variances of a structure.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn new(covariance: &Covariance, matrices: &[&[f64]], rbf: Option<(f64, f64)>) -> Result<Self, KernelError> {
        let (got, needed) = (matrices.len(), covariance.n_terms());
        if got != needed {
            return Err(KernelError::Length { what: "matrices", got, needed });
        }
        match (rbf, covariance.inputs.is_some()) {
            (None, true) => return Err(KernelError::Missing { what: "rbf=(variance, length)", needed_by: "a kernel" }),
            (Some(_), false) => {
                return Err(KernelError::Missing { what: "the kernel's inputs", needed_by: "rbf=(variance, length)" });
            }
            (Some((variance, length)), true) => {
                range("the variance of rbf", variance, variance >= 0.0, "at least 0")?;
                range("the length of rbf", length, length > 0.0, "above 0")?;
            }
            (None, false) => {}
        }
        let root = |term: usize| {
            let (d, q) = (matrices[term], covariance.term_width(term));
            if d.len() != q * q {
                return Err(KernelError::Length { what: "the matrix of a term", got: d.len(), needed: q * q });
            }
            finite("matrices", d)?;
            Ok((q, square_root(term, d, q)?))
        };
        Ok(Self { terms: memory::tried("matrices", (0..got).map(root))?, rbf })
    }

    /// The square root of a term's matrix.
    pub fn of_term(&self, term: usize) -> &[f64] {
        &self.terms[term].1
    }

    /// X ← FᵀX, or FX, for coefficients of a design.
    pub fn apply(&self, design: &Design, transposed: bool, x: &mut Coefficients) -> Result<(), KernelError> {
        self.apply_inner(design, transposed, &mut x.inner)?;
        self.apply_rest(design, transposed, &mut x.rest)
    }

    /// Those of the eliminated groups.
    pub fn apply_inner(&self, design: &Design, transposed: bool, x: &mut Padded) -> Result<(), KernelError> {
        for &(offset, term) in &design.inner_terms {
            for first in (0..x.rows).step_by(design.width.max(1)) {
                self.mix(term, transposed, first + offset, x)?;
            }
        }
        Ok(())
    }

    /// The others.
    pub fn apply_rest(&self, design: &Design, transposed: bool, x: &mut Padded) -> Result<(), KernelError> {
        for &(offset, term) in &design.rest_terms {
            self.mix(term, transposed, offset, x)?;
        }
        let scale = self.kernel_scale();
        let kernel = (design.first_kernel_column * x.stride).min(x.numbers.len());
        x.numbers[kernel..].iter_mut().for_each(|x| *x *= scale);
        Ok(())
    }

    /// X ← XF for columns that are those of a design's rest.
    pub fn apply_to_columns(&self, design: &Design, x: &mut Padded) -> Result<(), KernelError> {
        let scale = self.kernel_scale();
        let mut old = memory::room("a row of coefficients", design.rest.cols)?;
        for i in 0..x.rows {
            let row = x.row_mut(i);
            old.clear();
            old.extend_from_slice(row);
            for &(offset, term) in &design.rest_terms {
                let (q, root) = &self.terms[term];
                for k in 0..*q {
                    row[offset + k] = (0..*q).map(|l| old[offset + l] * root[l * q + k]).sum();
                }
            }
            row[design.first_kernel_column..].iter_mut().for_each(|x| *x *= scale);
        }
        Ok(())
    }

    /// A row over the columns of one eliminated group, times F.
    pub fn inner_row_times(&self, design: &Design, old: &[f64], row: &mut [f64]) {
        for &(offset, term) in &design.inner_terms {
            let (q, root) = &self.terms[term];
            for k in 0..*q {
                row[offset + k] = (0..*q).map(|l| old[offset + l] * root[l * q + k]).sum();
            }
        }
    }

    fn kernel_scale(&self) -> f64 {
        self.rbf.map_or(0.0, |(variance, _)| variance.sqrt())
    }

    /// q rows from `first` on ← Fᵀ or F times them.
    fn mix(&self, term: usize, transposed: bool, first: usize, x: &mut Padded) -> Result<(), KernelError> {
        let (q, root) = &self.terms[term];
        let (q, stride) = (*q, x.stride);
        let rows = &mut x.numbers[first * stride..][..q * stride];
        let old = memory::list("a row of coefficients", rows.iter().copied())?;
        for k in 0..q {
            let to = &mut rows[k * stride..][..stride];
            to.fill(0.0);
            for l in 0..q {
                let factor = if transposed { root[l * q + k] } else { root[k * q + l] };
                to.iter_mut().zip(&old[l * stride..][..stride]).for_each(|(to, from)| *to += factor * from);
            }
        }
        Ok(())
    }
}
