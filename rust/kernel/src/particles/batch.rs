//! The rows of a step, gathered.

use crate::network::workspace::Buffer;
use crate::simd::Real;
use crate::system::error::KernelError;
use crate::system::random::Random;

use super::problem::Problem;

/// Room for so many rows of a problem, with the rows that were last gathered.
pub(super) struct ParticleBatch<T> {
    rows: usize,
    terms: usize,
    x: Buffer<T>,
    coefficients: Buffer<T>,
    z: Buffer<T>,
    y: Buffer<T>,
    weights: Buffer<T>,
}

impl<T: Real> ParticleBatch<T> {
    pub(super) fn new(problem: &Problem<'_, T>, rows: usize) -> Result<Self, KernelError> {
        let points = rows.saturating_mul(problem.n_terms);
        Ok(Self {
            rows: 0,
            terms: problem.n_terms,
            x: Buffer::new("a mini-batch's rows", points.saturating_mul(problem.n_inputs))?,
            coefficients: Buffer::new("a mini-batch's rows", points)?,
            z: Buffer::new("a mini-batch's rows", rows.saturating_mul(problem.n_instruments))?,
            y: Buffer::new("a mini-batch's rows", rows)?,
            weights: Buffer::new("a mini-batch's rows", rows)?,
        })
    }

    /// How many rows it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.y.len()
    }

    /// Takes these rows, their weights times `scale`.
    pub(super) fn gather(&mut self, problem: &Problem<'_, T>, rows: impl Iterator<Item = usize>, scale: f64) {
        let (wx, wz, terms) = (problem.n_terms * problem.n_inputs, problem.n_instruments, problem.n_terms);
        self.rows = 0;
        for row in rows {
            let i = self.rows;
            self.x[i * wx..(i + 1) * wx].copy_from_slice(&problem.x[row * wx..(row + 1) * wx]);
            self.z[i * wz..(i + 1) * wz].copy_from_slice(&problem.z[row * wz..(row + 1) * wz]);
            self.y[i] = problem.y[row];
            if let Some(c) = problem.coefficients {
                self.coefficients[i * terms..(i + 1) * terms].copy_from_slice(&c[row * terms..(row + 1) * terms]);
            }
            let weight = problem.weights.map_or(1.0, |w| w[row].to_f64());
            self.weights[i] = T::from_f64(scale * weight);
            self.rows += 1;
        }
        if problem.coefficients.is_none() {
            self.coefficients[..self.rows * terms].fill(T::from_f64(1.0));
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The points of all rows.
    pub(super) fn x(&self) -> &[T] {
        &self.x[..self.x.len() / self.capacity() * self.rows]
    }

    pub(super) fn z(&self) -> &[T] {
        &self.z[..self.z.len() / self.capacity() * self.rows]
    }

    pub(super) fn y(&self, row: usize) -> f64 {
        self.y[row].to_f64()
    }

    pub(super) fn weight(&self, row: usize) -> f64 {
        self.weights[row].to_f64()
    }

    /// c of a point.
    pub(super) fn coefficient(&self, point: usize) -> f64 {
        self.coefficients[point].to_f64()
    }

    /// T = Σ_m c_m·h_m of every row, from h of every point.
    pub(super) fn combine(&self, h: &[T], into: &mut [T]) {
        for (row, (h, to)) in h.chunks_exact(self.terms).zip(into).enumerate() {
            let terms = h.iter().enumerate().map(|(m, h)| self.coefficient(row * self.terms + m) * h.to_f64());
            *to = T::from_f64(terms.sum());
        }
    }
}

/// The rows of a mini-batch: `size` draws with replacement from 0..n, for a seed, a purpose and an index.
pub fn batch_rows(seed: u64, purpose: &str, index: u64, n: usize, size: usize) -> impl Iterator<Item = usize> {
    let mut random = Random::new(seed, purpose, index);
    (0..size).map(move |_| random.below(n))
}
