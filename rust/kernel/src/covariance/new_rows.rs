//! New rows of clusters, for posteriors.

use std::ops::Range;

use crate::dense::vectors::finite;
use crate::system::error::KernelError;
use crate::system::memory;

use super::padded::Padded;
use super::side::Side;
use super::structure::Covariance;

const WHAT: &str = "the posterior at new rows";

/// New rows of the same clusters.
pub struct NewRows<'a> {
    /// Where each cluster's start; a cluster may have none.
    pub offsets: &'a [usize],
    /// Columns of all effects, rows × all.
    pub columns: &'a [f64],
    /// For each term with inner groups their codes.
    pub inners: Vec<Option<Vec<i64>>>,
    /// Inputs of the kernel, rows × inputs.
    pub rbf: Option<&'a [f64]>,
}

/// New rows of one cluster.
pub(super) struct Fresh {
    rows: Range<usize>,
    numbers: Vec<Vec<u32>>,
    inputs: Option<Padded>,
}

impl Fresh {
    pub fn side<'a>(&'a self, new: &NewRows<'a>, width: usize) -> Result<Side<'a>, KernelError> {
        Ok(Side {
            n: self.rows.len(),
            columns: &new.columns[self.rows.start * width..self.rows.end * width],
            numbers: memory::list(WHAT, self.numbers.iter().map(Vec::as_slice))?,
            inputs: self.inputs.as_ref(),
        })
    }
}

impl Covariance {
    /// Checks new rows.
    pub(super) fn check_new(&self, new: &NewRows<'_>) -> Result<(), KernelError> {
        let (got, needed) = (new.offsets.len(), self.n_clusters() + 1);
        if got != needed {
            return Err(KernelError::Length { what: "offsets of new rows", got, needed });
        }
        let rows = new.offsets[needed - 1];
        if new.offsets[0] != 0 {
            return Err(KernelError::Offsets { index: 0, got: new.offsets[0], rows });
        }
        if let Some(i) = (1..needed).find(|&i| new.offsets[i] < new.offsets[i - 1]) {
            return Err(KernelError::Offsets { index: i, got: new.offsets[i], rows });
        }
        let length = |what: &'static str, got: usize, needed: usize| {
            if got == needed { Ok(()) } else { Err(KernelError::Length { what, got, needed }) }
        };
        length("columns of new rows", new.columns.len(), rows.saturating_mul(self.n_columns))?;
        finite("columns of new rows", new.columns)?;
        length("rbf of new rows", new.rbf.map_or(0, <[f64]>::len), rows.saturating_mul(self.n_inputs))?;
        finite("rbf of new rows", new.rbf.unwrap_or(&[]))?;
        length("inners of new rows", new.inners.len(), self.n_terms())?;
        for (effect, codes) in self.effects.iter().zip(&new.inners) {
            match (effect.inner, codes) {
                (Some(_), None) => {
                    return Err(KernelError::Missing {
                        what: "its codes at new rows",
                        needed_by: "a term with inner groups",
                    });
                }
                (Some(_), Some(codes)) => length("inner codes of new rows", codes.len(), rows)?,
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Some of a cluster's new rows with their inner groups numbered.
    pub(super) fn fresh(&self, new: &NewRows<'_>, cluster: usize, rows: Range<usize>) -> Result<Fresh, KernelError> {
        let numbered = |index: usize| {
            let term = self.effects.iter().position(|effect| effect.inner == Some(index));
            let codes = term.and_then(|term| new.inners[term].as_ref()).map_or(&[][..], |codes| &codes[rows.clone()]);
            Ok(self.inners[index].numbered(cluster, codes)?.0)
        };
        let numbers = memory::tried(WHAT, (0..self.inners.len()).map(numbered))?;
        let inputs = match (new.rbf, &self.inputs) {
            (Some(x), Some(_)) => {
                let mut inputs = Padded::zeros(WHAT, self.n_inputs, rows.len())?;
                for (i, row) in rows.clone().enumerate() {
                    (0..self.n_inputs).for_each(|input| inputs.row_mut(input)[i] = x[row * self.n_inputs + input]);
                }
                Some(inputs)
            }
            _ => None,
        };
        Ok(Fresh { rows, numbers, inputs })
    }
}
