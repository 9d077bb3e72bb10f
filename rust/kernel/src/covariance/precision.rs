//! Each cluster's precision: the symmetric matrix A_c that the squared loss Σ r_c'A_c r_c is taken in.
//!
//! With A_c = V_c⁻¹ it is generalized least squares (Aitken, 1936): rows whose errors move together count as less than
//! as many rows of their own.

use crate::dense::vectors::with_features;
use crate::simd::{Backend, Isa, Pass, Real, run};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::with_isa;

/// A cluster's V⁻¹ (times a common factor): as it is, or diagonal − factor·factorᵀ where the cluster is large.
#[derive(Clone, Debug, PartialEq)]
pub enum PrecisionBlock<T> {
    /// n × n, symmetric, row-major.
    Dense(Vec<T>),
    /// diag(d) − FFᵀ.
    LowRank {
        /// d, n numbers.
        diagonal: Vec<T>,
        /// F, n × rank, row-major.
        factor: Vec<T>,
        /// Columns of F.
        rank: usize,
    },
}

/// One block a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Precision<T> {
    /// In the clusters' order.
    pub blocks: Vec<PrecisionBlock<T>>,
}

/// Blocks of registers whose sums run beside each other.
const GROUP: usize = 8;
/// The most elements of a register.
const MOST_LANES: usize = 16;
/// Columns of a factor that are summed at once.
const COLUMNS: usize = 64;

impl<T: Real> Precision<T> {
    /// Blocks that are checked.
    ///
    /// # Errors
    /// [`KernelError::Precision`] with the first block that is not finite, not symmetric or of no size.
    pub fn new(blocks: Vec<PrecisionBlock<T>>) -> Result<Self, KernelError> {
        for (cluster, block) in blocks.iter().enumerate() {
            block.check().map_err(|fault| KernelError::Precision { cluster, fault })?;
        }
        Ok(Self { blocks })
    }

    /// Dense blocks from all clusters' matrices, one after the other.
    ///
    /// # Errors
    /// As [`Precision::new`], [`KernelError::Length`] or [`KernelError::Memory`].
    pub fn dense(offsets: &[usize], matrices: &[T]) -> Result<Self, KernelError> {
        let size = |pair: &[usize]| pair[1].saturating_sub(pair[0]).saturating_mul(pair[1].saturating_sub(pair[0]));
        let needed = offsets.windows(2).map(size).fold(0, usize::saturating_add);
        if matrices.len() != needed {
            return Err(KernelError::Length { what: "the clusters' matrices", got: matrices.len(), needed });
        }
        let mut blocks = memory::room("the clusters' matrices", offsets.len().saturating_sub(1))?;
        let mut rest = matrices;
        for pair in offsets.windows(2) {
            let (own, later) = rest.split_at(size(pair));
            blocks.push(PrecisionBlock::Dense(memory::list("the clusters' matrices", own.iter().copied())?));
            rest = later;
        }
        Self::new(blocks)
    }

    /// Rows of a cluster.
    pub fn rows(&self, cluster: usize) -> usize {
        self.blocks[cluster].rows()
    }

    /// A cluster's matrix times a vector. Sums are taken in a fixed order.
    pub fn apply(&self, cluster: usize, x: &[T], out: &mut [T]) {
        with_isa!(Backend::detect(), isa => self.blocks[cluster].apply(isa, x, out));
    }

    /// Checks that there is a block of the right size for each cluster.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Precision`].
    pub fn validate_for(&self, offsets: &[usize]) -> Result<(), KernelError> {
        let (got, needed) = (self.blocks.len(), offsets.len().saturating_sub(1));
        if got != needed {
            return Err(KernelError::Length { what: "the precision (clusters)", got, needed });
        }
        let sizes = offsets.windows(2).map(|pair| pair[1] - pair[0]);
        match self.blocks.iter().zip(sizes).enumerate().find(|(_, (block, rows))| block.rows() != *rows) {
            None => Ok(()),
            Some((cluster, (block, rows))) => {
                let fault = format!("has {} rows, the cluster has {rows}", block.rows());
                Err(KernelError::Precision { cluster, fault })
            }
        }
    }
}

impl<T: Real> PrecisionBlock<T> {
    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.len().isqrt(),
            Self::LowRank { diagonal, .. } => diagonal.len(),
        }
    }

    /// What is wrong, if anything.
    fn check(&self) -> Result<(), String> {
        let all_finite = |what: &str, numbers: &[T]| match numbers.iter().position(|x| !x.to_f64().is_finite()) {
            None => Ok(()),
            Some(i) => Err(format!("has a non-finite value ({}) at index {i} of {what}", numbers[i].to_f64())),
        };
        match self {
            Self::Dense(matrix) => {
                let rows = self.rows();
                if rows == 0 || rows * rows != matrix.len() {
                    return Err(format!("has {} numbers, which are no square matrix", matrix.len()));
                }
                all_finite("the matrix", matrix)?;
                check_symmetric(matrix, rows)
            }
            Self::LowRank { diagonal, factor, rank } => {
                if diagonal.is_empty() || diagonal.len().checked_mul(*rank) != Some(factor.len()) {
                    let (n, found) = (diagonal.len(), factor.len());
                    return Err(format!("has a diagonal of {n} and a factor of {found} numbers for rank {rank}"));
                }
                all_finite("the diagonal", diagonal)?;
                all_finite("the factor", factor)
            }
        }
    }

    /// The matrix times a vector, for one instruction set.
    pub(crate) fn apply<S: Isa>(&self, isa: S, x: &[T], out: &mut [T]) {
        let rows = self.rows();
        assert!(x.len() == rows && out.len() == rows, "a precision is as large as its cluster");
        match self {
            // SAFETY: as many rows and columns as the matrix has were checked.
            Self::Dense(matrix) => unsafe { run(isa, Product { matrix: matrix.as_ptr(), x, out }) },
            Self::LowRank { diagonal, factor, rank } => low_rank(isa, diagonal, (factor, *rank), x, out),
        }
    }
}

/// Symmetric up to half of the type's digits: inverses that others computed are no more than that.
fn check_symmetric<T: Real>(matrix: &[T], rows: usize) -> Result<(), String> {
    let largest = matrix.iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
    let allowed = largest * if T::SIZE == 8 { f64::EPSILON.sqrt() } else { f64::from(f32::EPSILON.sqrt()) };
    for i in 0..rows {
        for j in 0..i {
            let [lower, upper] = [matrix[i * rows + j].to_f64(), matrix[j * rows + i].to_f64()];
            if (lower - upper).abs() > allowed {
                return Err(format!("is not symmetric: element ({i}, {j}) is {lower}, ({j}, {i}) is {upper}"));
            }
        }
    }
    Ok(())
}

/// A symmetric matrix times a vector, as a combination of its rows: each element of the result is summed in the order of
/// the rows, so that registers are whole but for matrices smaller than one.
struct Product<'a, T> {
    matrix: *const T,
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Pass for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let (n, lanes) = (self.x.len(), T::lanes::<S>());
        // SAFETY: columns inside the matrix, which has n rows of n elements.
        unsafe {
            if n < lanes {
                return self.small(s);
            }
            let mut column = 0;
            while column < n {
                column += match (n - column).div_ceil(lanes) {
                    1 => self.columns::<S, 1>(s, column),
                    2 => self.columns::<S, 2>(s, column),
                    3..GROUP => self.columns::<S, 3>(s, column),
                    _ => self.columns::<S, GROUP>(s, column),
                };
            }
        }
    }
}

impl<T: Real> Product<'_, T> {
    /// So many registers of columns. The last may begin earlier and write again what is there already.
    #[inline(always)]
    unsafe fn columns<S: Isa, const G: usize>(&self, s: S, first: usize) -> usize {
        let (n, lanes) = (self.x.len(), T::lanes::<S>());
        let at: [usize; G] = std::array::from_fn(|g| (first + g * lanes).min(n - lanes));
        let mut sums = [T::constant(s, 0.0); G];
        for (i, &x) in self.x.iter().enumerate() {
            let x = T::splat(s, x);
            for (sum, at) in sums.iter_mut().zip(at) {
                // SAFETY: a whole register inside the row.
                *sum = T::fma(s, x, unsafe { T::load(s, self.matrix.add(i * n + at)) }, *sum);
            }
        }
        for (sum, at) in sums.into_iter().zip(at) {
            // SAFETY: a whole register inside the result, which this pass alone writes.
            unsafe { T::store(s, self.out.as_ptr().cast_mut().add(at), sum) };
        }
        G * lanes
    }

    /// A matrix with rows shorter than a register: what is read beyond a row is the next ones', and not kept.
    #[inline(always)]
    unsafe fn small<S: Isa>(self, s: S) {
        let (n, lanes) = (self.x.len(), T::lanes::<S>());
        let mut line = [T::default(); MOST_LANES];
        let mut sum = T::constant(s, 0.0);
        for (i, &x) in self.x.iter().enumerate() {
            // SAFETY: a register inside the matrix, or inside the line that the end of the matrix is copied to.
            let row = unsafe {
                if i * n + lanes <= n * n {
                    T::load(s, self.matrix.add(i * n))
                } else {
                    std::ptr::copy_nonoverlapping(self.matrix.add(i * n), line.as_mut_ptr(), n);
                    T::load(s, line.as_ptr())
                }
            };
            sum = T::fma(s, T::splat(s, x), row, sum);
        }
        // SAFETY: no register has more elements than the line.
        unsafe { T::store(s, line.as_mut_ptr(), sum) };
        self.out.copy_from_slice(&line[..n]);
    }
}

/// diag(d)·x − F(F'x), in f64: what is left after the subtraction may be a small part of either term.
fn low_rank<S: Isa, T: Real>(isa: S, diagonal: &[T], (factor, rank): (&[T], usize), x: &[T], out: &mut [T]) {
    with_features(
        isa,
        #[inline(always)]
        || {
            let lines = diagonal.iter().zip(x).zip(out.iter_mut());
            lines.for_each(|((d, x), to)| *to = T::from_f64(d.to_f64() * x.to_f64()));
            for first in (0..rank).step_by(COLUMNS) {
                let width = COLUMNS.min(rank - first);
                let mut inner = [0.0_f64; COLUMNS];
                for (row, x) in factor.chunks_exact(rank).zip(x) {
                    let x = x.to_f64();
                    inner.iter_mut().zip(&row[first..first + width]).for_each(|(sum, f)| *sum += x * f.to_f64());
                }
                for (row, to) in factor.chunks_exact(rank).zip(out.iter_mut()) {
                    *to = T::from_f64(to.to_f64() - dot(&inner[..width], &row[first..first + width]));
                }
            }
        },
    );
}

/// Σ a·b, in a fixed order: eight sums beside each other, which one alone would wait for.
#[inline(always)]
fn dot<T: Real>(a: &[f64], b: &[T]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        lanes.iter_mut().zip(a).zip(b).for_each(|((lane, a), b)| *lane += a * b.to_f64());
    }
    lanes.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b.to_f64()).sum::<f64>()
}

#[cfg(test)]
mod tests;
