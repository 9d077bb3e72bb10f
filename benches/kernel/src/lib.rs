//! What the benches share: data, and the matrix products of a pass without anything else.

use rfp_kernel::many::Rows;
use rfp_kernel::{Activation, Architecture, Clusters, Inner, Loss, Objective, Random, StepSize};

/// Clusters of one size and a network: the workloads of `benches/gradient/workloads.py`, with fewer clusters.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// For the report.
    pub name: &'static str,
    /// Clusters.
    pub clusters: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of X.
    pub inputs: usize,
    /// Width of both hidden layers.
    pub width: usize,
    /// Inner steps k.
    pub steps: usize,
}

/// A to D, few clusters each: the rest is repetition.
pub const WORKLOADS: [Workload; 4] = [
    Workload { name: "A", clusters: 8, rows: 25, inputs: 2, width: 64, steps: 5 },
    Workload { name: "B", clusters: 8, rows: 32, inputs: 10, width: 32, steps: 5 },
    Workload { name: "C", clusters: 2, rows: 100, inputs: 20, width: 128, steps: 10 },
    Workload { name: "D", clusters: 8, rows: 50, inputs: 10, width: 64, steps: 1 },
];

/// A workload's data, float32, and tanh network.
pub struct Problem {
    /// The network.
    pub architecture: Architecture,
    /// Flat parameters.
    pub theta: Vec<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    offsets: Vec<usize>,
}

/// Normal numbers from a fixed seed.
pub fn normal(purpose: &str, n: usize, scale: f64) -> Vec<f32> {
    let mut random = Random::new(0, purpose, 0);
    (0..n).map(|_| (scale * random.normal()) as f32).collect()
}

impl Workload {
    /// Its data.
    pub fn problem(&self) -> Problem {
        let architecture = Architecture::new(self.inputs, &[self.width, self.width], 1, Activation::Tanh);
        let architecture = architecture.expect("the widths are positive");
        let n_rows = self.clusters * self.rows;
        Problem {
            theta: normal("theta", architecture.n_parameters(), (self.width as f64).powf(-0.5)),
            x: normal("x", n_rows * self.inputs, 1.0),
            y: normal("y", n_rows, 1.0),
            offsets: (0..=self.clusters).map(|c| c * self.rows).collect(),
            architecture,
        }
    }

    /// R_k with the paper's inner loop.
    pub fn objective(&self, alpha: f64) -> Objective {
        let step_size = StepSize::Common(0.01);
        let inner = Inner { steps: self.steps, step_size, momentum: 0.0, head_only: false, first_order: false };
        Objective { loss: Loss::Squared, alpha, inner, skip_diverged: false }
    }

    /// The products of one cluster's `gradients` gradients and `tangents` Hessian-vector products.
    pub fn products(&self, gradients: usize, tangents: usize) -> Vec<Product> {
        let mut all = Vec::new();
        for (layer, (inputs, outputs)) in
            [(self.inputs, self.width), (self.width, self.width), (self.width, 1)].into_iter().enumerate()
        {
            let forward = Product { rows: self.rows, inner: inputs, cols: outputs, kind: Kind::Forward };
            let weights = Product { rows: inputs, inner: self.rows, cols: outputs, kind: Kind::Weights };
            let back = Product { rows: self.rows, inner: outputs, cols: inputs, kind: Kind::Inputs };
            let first = layer == 0;
            let each = if first { vec![forward, weights] } else { vec![forward, weights, back] };
            // The tangents' products have two terms each; the first layer's inputs have no tangent.
            let times = gradients + tangents * if first { 1 } else { 2 };
            all.extend(each.into_iter().flat_map(|product| std::iter::repeat_n(product, times)));
        }
        all
    }
}

impl Problem {
    /// The rows, sorted by cluster.
    pub fn clusters(&self) -> Clusters<'_, f32> {
        let (x, y, offsets) = (&self.x, &self.y, &self.offsets);
        Clusters { x, y, offsets, weights: None, n_support: None, cluster_weights: None, precision: None }
    }

    /// The rows as those of one model.
    pub fn rows(&self) -> Rows<'_, f32> {
        Rows { x: &self.x, y: &self.y, n_rows: self.y.len() }
    }
}

/// Which product: it decides which operand is read transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// X · W
    Forward,
    /// Xᵀ · Δ
    Weights,
    /// Δ · Wᵀ
    Inputs,
}

/// rows × cols from a sum over `inner`, all row-major.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of the result.
    pub rows: usize,
    /// Length of the sums.
    pub inner: usize,
    /// Columns of the result.
    pub cols: usize,
    /// The operands' layout.
    pub kind: Kind,
}

impl Product {
    /// Floating-point operations.
    pub fn flops(&self) -> u64 {
        2 * (self.rows * self.inner * self.cols) as u64
    }

    /// (row, inner) strides of the left operand and (inner, column) strides of the right one.
    fn strides(&self) -> [usize; 4] {
        match self.kind {
            Kind::Forward => [self.inner, 1, self.cols, 1],
            Kind::Weights => [1, self.rows, self.cols, 1],
            Kind::Inputs => [self.inner, 1, 1, self.inner],
        }
    }

    /// Three plain loops.
    pub fn naive(&self, left: &[f32], right: &[f32], into: &mut [f32]) {
        let [left_row, left_inner, right_inner, right_col] = self.strides();
        for (row, to) in into.chunks_exact_mut(self.cols).take(self.rows).enumerate() {
            to.fill(0.0);
            for at in 0..self.inner {
                let factor = left[row * left_row + at * left_inner];
                for (col, sum) in to.iter_mut().enumerate() {
                    *sum += factor * right[at * right_inner + col * right_col];
                }
            }
        }
    }

    /// The `gemm` crate on one thread.
    pub fn gemm(&self, left: &[f32], right: &[f32], into: &mut [f32]) {
        let (m, n, k) = (self.rows, self.cols, self.inner);
        assert!(left.len() >= m * k && right.len() >= k * n && into.len() >= m * n);
        let [left_row, left_inner, right_inner, right_col] = self.strides().map(|stride| stride as isize);
        let (left, right, into) = (left.as_ptr(), right.as_ptr(), into.as_mut_ptr());
        let (row, parallelism) = (n as isize, gemm::Parallelism::None);
        // SAFETY: the operands hold what their strides reach, as asserted.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                into,
                1,
                row,
                false,
                left,
                left_inner,
                left_row,
                right,
                right_col,
                right_inner,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// Operands large enough for any of the products.
pub struct Operands {
    left: Vec<f32>,
    right: Vec<f32>,
    into: Vec<f32>,
}

impl Operands {
    /// Room for all of them.
    pub fn new(products: &[Product]) -> Self {
        let most = |size: fn(&Product) -> usize| products.iter().map(size).max().unwrap_or(0);
        Self {
            left: normal("left", most(|p| p.rows * p.inner), 1.0),
            right: normal("right", most(|p| p.inner * p.cols), 1.0),
            into: vec![0.0; most(|p| p.rows * p.cols)],
        }
    }

    /// Each product once.
    pub fn each(&mut self, products: &[Product], multiply: impl Fn(&Product, &[f32], &[f32], &mut [f32])) -> &[f32] {
        for product in products {
            multiply(product, &self.left, &self.right, &mut self.into);
        }
        &self.into
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The baselines multiply what they claim to: both against each other, in every layout.
    #[test]
    fn baselines_agree() {
        for kind in [Kind::Forward, Kind::Weights, Kind::Inputs] {
            let product = Product { rows: 7, inner: 5, cols: 9, kind };
            let mut naive = Operands::new(&[product]);
            let mut fast = Operands::new(&[product]);
            let naive = naive.each(&[product], Product::naive);
            let fast = fast.each(&[product], Product::gemm);
            // Sums of five products of order one: a few roundings of 6e-8.
            assert!(naive.iter().zip(fast).all(|(a, b)| (a - b).abs() < 1e-5), "{kind:?}");
        }
    }

    /// The products are those that `flops` in `benches/gradient/workloads.py` counts.
    #[test]
    fn flops_are_those_of_the_formula() {
        let d = Workload { name: "D", clusters: 200, rows: 50, inputs: 10, width: 64, steps: 1 };
        let one: u64 = d.products(2, 1).iter().map(Product::flops).sum();
        assert_eq!(200 * one, 1_075_200_000);
    }
}
