//! Random problems, a function of their shape and seed, and the borrowed form in which the kernel takes them.

use rfp_kernel::simd::Real;
use rfp_kernel::{Activation, Architecture, Clusters, Inner, Loss, Random, StepSize};

use super::objective::Problem;

/// What a problem looks like; the numbers in it are drawn by the seed.
#[derive(Clone, Debug)]
pub struct Shape {
    pub inputs: usize,
    pub hidden: Vec<usize>,
    pub outputs: usize,
    pub activation: Activation,
    pub loss: Loss,
    pub sizes: Vec<usize>,
    pub weighted: bool,
    pub cluster_weighted: bool,
    pub split: bool,
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            inputs: 3,
            hidden: vec![7],
            outputs: 1,
            activation: Activation::Tanh,
            loss: Loss::Squared,
            sizes: vec![5, 2, 9],
            weighted: false,
            cluster_weighted: false,
            split: false,
            seed: 0,
        }
    }
}

/// Plain descent with one step for all parameters.
pub fn plain(steps: usize, rate: f64) -> Inner {
    Inner { steps, step_size: StepSize::Common(rate), momentum: 0.0, head_only: false, first_order: false }
}

impl Shape {
    pub fn net(&self) -> Architecture {
        Architecture::new(self.inputs, &self.hidden, self.outputs, self.activation).expect("widths are positive")
    }

    /// Draws the numbers, all of them exact in f32, so that both element types see the same problem.
    pub fn problem(&self) -> Problem {
        let net = self.net();
        // A cluster that is split needs a row on either side.
        let sizes: Vec<usize> = self.sizes.iter().map(|&n| n.max(1 + usize::from(self.split))).collect();
        let mut offsets = vec![0];
        offsets.extend(sizes.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        }));
        let rows = offsets[sizes.len()];
        let mut random = Random::new(self.seed, "problem", 0);
        let in_f32 = |x: f64| f64::from(x as f32);
        let mut theta = Vec::with_capacity(net.n_parameters());
        let mut from = self.inputs;
        for &to in self.hidden.iter().chain([&self.outputs]) {
            theta.extend((0..from * to).map(|_| in_f32(random.normal() / (from as f64).sqrt())));
            theta.extend((0..to).map(|_| in_f32(0.3 * random.normal())));
            from = to;
        }
        let x = (0..rows * self.inputs).map(|_| in_f32(random.normal())).collect();
        let width = self.loss.target_width(self.outputs);
        let y = (0..rows).flat_map(|_| self.target(width, &mut random)).map(in_f32).collect();
        let weights = self.weighted.then(|| (0..rows).map(|_| in_f32(0.1 + 3.0 * random.uniform())).collect());
        let n_support = self.split.then(|| sizes.iter().map(|&n| 1 + random.below(n - 1)).collect());
        let cluster_weights = self.cluster_weighted.then(|| sizes.iter().map(|_| 0.2 + random.uniform()).collect());
        Problem { net, loss: self.loss, theta, x, y, offsets, weights, n_support, cluster_weights }
    }

    fn target(&self, width: usize, random: &mut Random) -> Vec<f64> {
        if self.loss == Loss::CrossEntropy {
            // Shares that add up to 1 exactly in either type.
            let mut shares = vec![0.0; width];
            let own = random.below(width);
            shares[own] += 0.75;
            shares[(own + 1) % width] += 0.25;
            return shares;
        }
        let one = |random: &mut Random| match self.loss {
            Loss::Squared | Loss::Huber { .. } | Loss::Quantile { .. } | Loss::Linear => random.normal(),
            Loss::Logistic => random.uniform(),
            Loss::Softmax => random.below(self.outputs) as f64,
            Loss::CrossEntropy => unreachable!("drawn above"),
            Loss::Poisson => random.below(5) as f64,
        };
        (0..width).map(|_| one(random)).collect()
    }

    /// A step of its own for each parameter, from half to one and a half times `rate`.
    pub fn rates(&self, rate: f64) -> StepSize {
        let mut random = Random::new(self.seed, "rates", 0);
        let rate = |_| f64::from((rate * (0.5 + random.uniform())) as f32);
        StepSize::PerParameter((0..self.net().n_parameters()).map(rate).collect())
    }

    /// A random direction in the space of parameters.
    pub fn direction(&self) -> Vec<f64> {
        let mut random = Random::new(self.seed, "direction", 0);
        (0..self.net().n_parameters()).map(|_| f64::from(random.normal() as f32)).collect()
    }
}

/// A problem in one element type, owned.
pub struct Data<T> {
    pub theta: Vec<T>,
    pub x: Vec<T>,
    pub y: Vec<T>,
    pub offsets: Vec<usize>,
    pub weights: Option<Vec<T>>,
    pub n_support: Option<Vec<usize>>,
    pub cluster_weights: Option<Vec<f64>>,
}

pub fn narrowed<T: Real>(numbers: &[f64]) -> Vec<T> {
    numbers.iter().map(|&x| T::from_f64(x)).collect()
}

impl<T: Real> Data<T> {
    pub fn of(problem: &Problem) -> Self {
        Self {
            theta: narrowed(&problem.theta),
            x: narrowed(&problem.x),
            y: narrowed(&problem.y),
            offsets: problem.offsets.clone(),
            weights: problem.weights.as_deref().map(narrowed),
            n_support: problem.n_support.clone(),
            cluster_weights: problem.cluster_weights.clone(),
        }
    }

    pub fn clusters(&self) -> Clusters<'_, T> {
        Clusters {
            x: &self.x,
            y: &self.y,
            offsets: &self.offsets,
            weights: self.weights.as_deref(),
            n_support: self.n_support.as_deref(),
            cluster_weights: self.cluster_weights.as_deref(),
            precision: None,
        }
    }
}
