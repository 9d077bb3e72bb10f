//! Which columns vary between clusters and inner groups: checked once, for any variances.

use std::ops::Range;

use crate::dense::vectors::finite;
use crate::system::error::KernelError;
use crate::system::memory;

use super::design::{Arrow, Design};
use super::inner::Inner;
use super::padded::Padded;

/// One random effect: the columns of its vector, and the inner groups that have one each.
#[derive(Clone, Debug)]
pub struct Term {
    /// Columns.
    pub columns: Vec<usize>,
    /// A code a row: rows of one cluster with one code share an effect. None where all rows of a cluster do.
    pub inner: Option<Vec<i64>>,
}

/// What a structure is made of.
pub struct Parts<'a> {
    /// Where clusters start, and the number of rows.
    pub offsets: Vec<usize>,
    /// Columns of all effects, rows × `n_columns`.
    pub columns: &'a [f64],
    /// How many.
    pub n_columns: usize,
    /// The effects.
    pub terms: Vec<Term>,
    /// Inputs of the kernel, rows × their number.
    pub rbf: Option<(&'a [f64], usize)>,
    /// Row i has noise of variance s²/weight.
    pub weights: Option<&'a [f64]>,
    /// The most rows of a cluster whose matrix is made where there is a kernel.
    pub dense_rows: usize,
}

/// A term, its inner groups an index.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub columns: Vec<usize>,
    pub inner: Option<usize>,
}

/// How a cluster's matrix is treated.
pub(super) enum Form {
    /// As it is.
    Dense,
    /// Diagonal and low rank; the design's crossproduct is there once.
    LowRank(Box<(Design, Arrow)>),
    /// As that, with a kernel of low rank over inducing rows of the cluster.
    Inducing(Vec<usize>),
}

/// The structure of all clusters' covariances.
pub struct Covariance {
    pub(super) offsets: Vec<usize>,
    pub(super) columns: Vec<f64>,
    pub(super) n_columns: usize,
    pub(super) effects: Vec<Effect>,
    pub(super) inners: Vec<Inner>,
    /// The inner groups that are eliminated first.
    pub(super) block: Option<usize>,
    /// Each cluster's inputs, inputs × rows.
    pub(super) inputs: Option<Vec<Padded>>,
    pub(super) n_inputs: usize,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) forms: Vec<Form>,
    pub(super) dense_rows: usize,
    /// Runs of clusters that are one piece of work.
    pub(super) pieces: Vec<Range<usize>>,
}

impl Covariance {
    /// Checks a structure.
    ///
    /// # Errors
    /// [`KernelError`] with the first fault.
    pub fn new(parts: Parts<'_>) -> Result<Self, KernelError> {
        check(&parts)?;
        let (effects, inners) = effects_of(&parts)?;
        let n_clusters = parts.offsets.len() - 1;
        let total = |inner: &Inner| inner.labels.len();
        let block = (0..inners.len()).max_by_key(|&i| (total(&inners[i]), usize::MAX - i));
        let mut covariance = Self {
            columns: memory::list("the columns", parts.columns.iter().copied())?,
            n_columns: parts.n_columns,
            effects,
            inners,
            block,
            inputs: None,
            n_inputs: parts.rbf.map_or(0, |(_, d)| d),
            weights: parts.weights.map(|w| memory::list("the weights", w.iter().copied())).transpose()?,
            forms: memory::room("the forms of clusters", n_clusters)?,
            dense_rows: parts.dense_rows,
            pieces: Vec::new(),
            offsets: parts.offsets,
        };
        covariance.inputs = parts.rbf.map(|(x, d)| covariance.inputs_of(x, d)).transpose()?;
        for cluster in 0..n_clusters {
            let form = covariance.form_of(cluster)?;
            covariance.forms.push(form);
        }
        covariance.pieces = covariance.pieces_of_work()?;
        Ok(covariance)
    }

    /// How many clusters.
    pub fn n_clusters(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Rows of all clusters.
    pub fn n_rows(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Effects.
    pub fn n_terms(&self) -> usize {
        self.effects.len()
    }

    /// Columns of an effect.
    pub fn term_width(&self, term: usize) -> usize {
        self.effects[term].columns.len()
    }

    /// Inputs of the kernel; 0 where there is none.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    /// Columns of all effects.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// About how many multiplications a factorization takes.
    pub fn work(&self) -> f64 {
        (0..self.n_clusters()).map(|cluster| self.cluster_work(cluster)).sum()
    }

    pub(super) fn rows(&self, cluster: usize) -> Range<usize> {
        self.offsets[cluster]..self.offsets[cluster + 1]
    }

    /// Precision of a row's noise where s² = 1.
    pub(super) fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    fn inputs_of(&self, x: &[f64], d: usize) -> Result<Vec<Padded>, KernelError> {
        let transposed = |cluster: usize| {
            let rows = self.rows(cluster);
            let mut inputs = Padded::zeros("the inputs of the kernel", d, rows.len())?;
            for (i, row) in rows.enumerate() {
                (0..d).for_each(|input| inputs.row_mut(input)[i] = x[row * d + input]);
            }
            Ok(inputs)
        };
        memory::tried("the inputs of the kernel", (0..self.n_clusters()).map(transposed))
    }

    /// The cheapest form of a cluster.
    fn form_of(&self, cluster: usize) -> Result<Form, KernelError> {
        let n = self.rows(cluster).len();
        if self.inputs.is_some() {
            if n <= self.dense_rows {
                return Ok(Form::Dense);
            }
            return Ok(Form::Inducing(self.inducing(cluster)?));
        }
        if !self.is_low_rank_cheaper(cluster) {
            return Ok(Form::Dense);
        }
        let design = Design::of_cluster(self, cluster)?;
        let weights = memory::list("the weights", self.rows(cluster).map(|row| self.weight(row)))?;
        let crossproduct = design.crossproduct(&weights)?;
        Ok(Form::LowRank(Box::new((design, crossproduct))))
    }

    /// Compares multiplications.
    fn is_low_rank_cheaper(&self, cluster: usize) -> bool {
        let n = self.rows(cluster).len() as f64;
        let (groups, width, rest) = self.widths(cluster);
        let (groups, width, rest) = (groups as f64, width as f64, rest as f64);
        let low = 2.0 * (groups * width * (width + rest).powi(2) + rest.powi(3)) + groups * width * rest * rest;
        low < n.powi(3)
    }

    /// Eliminated groups, columns of each, and other columns of a cluster's design.
    pub(super) fn widths(&self, cluster: usize) -> (usize, usize, usize) {
        let (mut width, mut rest) = (0, 0);
        for effect in &self.effects {
            match effect.inner {
                None => rest += effect.columns.len(),
                Some(inner) if Some(inner) == self.block => width += effect.columns.len(),
                Some(inner) => rest += effect.columns.len() * self.inners[inner].count(cluster),
            }
        }
        (self.block.map_or(0, |inner| self.inners[inner].count(cluster)), width, rest)
    }

    fn cluster_work(&self, cluster: usize) -> f64 {
        let n = self.rows(cluster).len() as f64;
        match &self.forms[cluster] {
            Form::Dense => n * n * (n + 20.0),
            Form::LowRank(parts) => n * (parts.0.width + parts.0.rest.cols) as f64 + parts.0.work(),
            Form::Inducing(inducing) => {
                let (groups, width, rest) = self.widths(cluster);
                let rank = (rest + inducing.len()) as f64;
                n * rank * rank + (groups * width) as f64 * (width as f64 + rank).powi(2)
            }
        }
    }

    fn pieces_of_work(&self) -> Result<Vec<Range<usize>>, KernelError> {
        /// Multiplications of a piece: many times what handing it out takes.
        const PIECE: f64 = 1e5;
        let (mut pieces, mut first, mut work) = (Vec::new(), 0, 0.0);
        for cluster in 0..self.n_clusters() {
            work += self.cluster_work(cluster) + 100.0;
            if work >= PIECE || cluster + 1 == self.n_clusters() {
                memory::reserve_one("pieces of work", &mut pieces)?;
                pieces.push(first..cluster + 1);
                (first, work) = (cluster + 1, 0.0);
            }
        }
        Ok(pieces)
    }
}

fn check(parts: &Parts<'_>) -> Result<(), KernelError> {
    let n_rows = parts.offsets.last().copied().unwrap_or(0);
    let falls = |i: &usize| parts.offsets[*i] >= parts.offsets[*i + 1];
    if parts.offsets.len() < 2 || parts.offsets[0] != 0 {
        return Err(KernelError::Offsets { index: 0, got: parts.offsets.first().copied().unwrap_or(0), rows: n_rows });
    }
    if let Some(i) = (0..parts.offsets.len() - 1).find(falls) {
        return Err(KernelError::Offsets { index: i + 1, got: parts.offsets[i + 1], rows: n_rows });
    }
    let length = |what: &'static str, got: usize, needed: usize| {
        if got == needed { Ok(()) } else { Err(KernelError::Length { what, got, needed }) }
    };
    length("columns", parts.columns.len(), n_rows.saturating_mul(parts.n_columns))?;
    finite("columns", parts.columns)?;
    if let Some((x, d)) = parts.rbf {
        length("rbf", x.len(), n_rows.saturating_mul(d))?;
        finite("rbf", x)?;
    }
    if let Some(weights) = parts.weights {
        length("weights", weights.len(), n_rows)?;
        finite("weights", weights)?;
        if let Some(&got) = weights.iter().find(|w| **w <= 0.0) {
            return Err(KernelError::Range { what: "weights", got, needed: "above 0" });
        }
    }
    for term in &parts.terms {
        if let Some(&column) = term.columns.iter().find(|c| **c >= parts.n_columns) {
            let most = parts.n_columns.saturating_sub(1);
            return Err(KernelError::Limit { what: "the column of a term", got: column.to_string(), most });
        }
        if let Some(inner) = &term.inner {
            length("the inner codes of a term", inner.len(), n_rows)?;
        }
    }
    Ok(())
}

/// The terms, with equal inner codes held once.
fn effects_of(parts: &Parts<'_>) -> Result<(Vec<Effect>, Vec<Inner>), KernelError> {
    let mut seen: Vec<(&Vec<i64>, usize)> = Vec::new();
    let mut inners = Vec::new();
    let mut effects = memory::room("the terms", parts.terms.len())?;
    for term in &parts.terms {
        let inner = match &term.inner {
            None => None,
            Some(codes) => Some(match seen.iter().find(|(known, _)| *known == codes) {
                Some(&(_, index)) => index,
                None => {
                    inners.push(Inner::new(codes, &parts.offsets)?);
                    seen.push((codes, inners.len() - 1));
                    inners.len() - 1
                }
            }),
        };
        effects.push(Effect { columns: term.columns.clone(), inner });
    }
    Ok((effects, inners))
}
