//! R_k and its exact derivatives, by the formulas of the paper over the naive network.

use rfp_kernel::{Architecture, Inner, Loss, StepSize};

use super::network::{Rows, forward};

/// Data, a network and a point, in f64. For a check in f32 every number here is one of f32's.
#[derive(Clone, Debug)]
pub struct Problem {
    pub net: Architecture,
    pub loss: Loss,
    pub theta: Vec<f64>,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub offsets: Vec<usize>,
    pub weights: Option<Vec<f64>>,
    pub n_support: Option<Vec<usize>>,
    pub cluster_weights: Option<Vec<f64>>,
}

/// Derivatives of one cluster's share of R_k.
pub struct ClusterReference {
    pub weight: f64,
    pub before: f64,
    pub after: f64,
    /// α ∇L(θ) + (1−α) v
    pub gradient: Vec<f64>,
    /// In each parameter's step.
    pub rate_gradient: Vec<f64>,
    /// θ^k
    pub adapted: Vec<f64>,
}

/// R_k and its derivatives.
pub struct Reference {
    pub value: f64,
    pub gradient: Vec<f64>,
    pub alpha_gradient: f64,
    pub rate_gradient: Vec<f64>,
    pub clusters: Vec<ClusterReference>,
}

/// Σ wᵢ·vᵢ / Σ wᵢ
fn mean(terms: &[(f64, &[f64])]) -> Vec<f64> {
    let total: f64 = terms.iter().map(|(w, _)| w).sum();
    let mut sum = vec![0.0; terms[0].1.len()];
    for (w, v) in terms {
        sum.iter_mut().zip(*v).for_each(|(s, x)| *s += w / total * x);
    }
    sum
}

impl Problem {
    pub fn n_clusters(&self) -> usize {
        self.offsets.len() - 1
    }

    fn rows<'a>(&'a self, range: std::ops::Range<usize>, weights: &'a [f64]) -> Rows<'a> {
        let (inputs, targets) = (self.net.n_inputs(), self.loss.target_width(self.net.n_outputs()));
        Rows {
            net: &self.net,
            loss: self.loss,
            x: &self.x[range.start * inputs..range.end * inputs],
            y: &self.y[range.start * targets..range.end * targets],
            weights: &weights[range],
        }
    }

    /// Support and query rows of a cluster, each with its total weight.
    fn sides<'a>(&'a self, cluster: usize, weights: &'a [f64]) -> [(f64, Rows<'a>); 2] {
        let (start, end) = (self.offsets[cluster], self.offsets[cluster + 1]);
        let ranges = match &self.n_support {
            None => [start..end, start..end],
            Some(n) => [start..start + n[cluster], start + n[cluster]..end],
        };
        ranges.map(|range| (weights[range.clone()].iter().sum(), self.rows(range, weights)))
    }

    fn row_weights(&self) -> Vec<f64> {
        self.weights.clone().unwrap_or_else(|| vec![1.0; self.offsets[self.n_clusters()]])
    }

    pub fn cluster_weight(&self, cluster: usize) -> f64 {
        let rows = self.offsets[cluster + 1] - self.offsets[cluster];
        self.cluster_weights.as_ref().map_or(rows as f64, |w| w[cluster])
    }

    /// η of each parameter; 0 where only the head adapts.
    pub fn rates(&self, inner: &Inner) -> Vec<f64> {
        let n = self.net.n_parameters();
        let mut rates = match &inner.step_size {
            StepSize::Common(rate) => vec![*rate; n],
            StepSize::PerParameter(rates) => rates.clone(),
        };
        if inner.head_only {
            rates[..self.net.head_start()].fill(0.0);
        }
        rates
    }

    /// One cluster: m^{t+1} = μ m^t + ∇L(θ^t), θ^{t+1} = θ^t − η ⊙ m^{t+1}, and back:
    /// m̄ ← μ m̄ − η ⊙ v, v ← v + H(θ^t) m̄, with ∂/∂η = −Σ m^{t+1} ⊙ v.
    pub fn cluster(&self, cluster: usize, alpha: f64, inner: &Inner) -> ClusterReference {
        let weights = self.row_weights();
        let [(support_weight, support), (query_weight, query)] = self.sides(cluster, &weights);
        let rates = self.rates(inner);
        let (mut path, mut velocities) = (vec![self.theta.clone()], vec![vec![0.0; rates.len()]]);
        for t in 0..inner.steps {
            let gradient = support.gradient(&path[t]);
            let step = |m: &[f64]| m.iter().zip(&gradient).map(|(m, g)| inner.momentum * m + g).collect::<Vec<_>>();
            let velocity = step(&velocities[t]);
            path.push((0..rates.len()).map(|i| path[t][i] - rates[i] * velocity[i]).collect());
            velocities.push(velocity);
        }
        let adapted = path[inner.steps].clone();
        let mut v = query.gradient(&adapted);
        let (mut adjoint, mut rate_gradient) = (vec![0.0; rates.len()], vec![0.0; rates.len()]);
        for t in (0..inner.steps).rev() {
            for i in 0..rates.len() {
                // A parameter whose step is pinned at zero has no derivative in it.
                let is_free = if rates[i] == 0.0 { 0.0 } else { 1.0 };
                rate_gradient[i] -= is_free * velocities[t + 1][i] * v[i];
                adjoint[i] = inner.momentum * adjoint[i] - rates[i] * v[i];
            }
            if !inner.first_order {
                let product = support.hessian_vector(&path[t], &adjoint);
                v.iter_mut().zip(product).for_each(|(v, h)| *v += h);
            }
        }
        let (before, before_gradient) = if self.n_support.is_some() {
            let gradients = [support.gradient(&self.theta), query.gradient(&self.theta)];
            let terms = [(support_weight, &gradients[0][..]), (query_weight, &gradients[1][..])];
            let values = [[support.value(&self.theta)], [query.value(&self.theta)]];
            let losses = [(support_weight, &values[0][..]), (query_weight, &values[1][..])];
            (mean(&losses)[0], mean(&terms))
        } else {
            (support.value(&self.theta), support.gradient(&self.theta))
        };
        let gradient = before_gradient.iter().zip(&v).map(|(b, v)| alpha * b + (1.0 - alpha) * v).collect();
        rate_gradient.iter_mut().for_each(|r| *r *= 1.0 - alpha);
        let after = query.value(&adapted);
        ClusterReference { weight: self.cluster_weight(cluster), before, after, gradient, rate_gradient, adapted }
    }

    /// R_k over the listed clusters.
    pub fn reference(&self, only: &[usize], alpha: f64, inner: &Inner) -> Reference {
        let clusters: Vec<_> = only.iter().map(|&c| self.cluster(c, alpha, inner)).collect();
        let number = |f: &dyn Fn(&ClusterReference) -> f64| {
            let terms: Vec<_> = clusters.iter().map(|c| (c.weight, [f(c)])).collect();
            mean(&terms.iter().map(|(w, x)| (*w, &x[..])).collect::<Vec<_>>())[0]
        };
        let vector = |f: &dyn Fn(&ClusterReference) -> &[f64]| {
            mean(&clusters.iter().map(|c| (c.weight, f(c))).collect::<Vec<_>>())
        };
        Reference {
            value: number(&|c| alpha * c.before + (1.0 - alpha) * c.after),
            gradient: vector(&|c| &c.gradient),
            alpha_gradient: number(&|c| c.before - c.after),
            rate_gradient: vector(&|c| &c.rate_gradient),
            clusters,
        }
    }

    /// R_k alone, by plain numbers: what difference quotients are taken of.
    pub fn value(&self, theta: &[f64], alpha: f64, inner: &Inner) -> f64 {
        let at = Self { theta: theta.to_vec(), ..self.clone() };
        let all: Vec<usize> = (0..self.n_clusters()).collect();
        at.reference(&all, alpha, &Inner { first_order: true, ..inner.clone() }).value
    }

    /// The Hessian of Σ w_c L_c / Σ w_c over the support rows, times a direction.
    pub fn hessian_vector(&self, direction: &[f64]) -> Vec<f64> {
        let weights = self.row_weights();
        let products: Vec<_> = (0..self.n_clusters())
            .map(|c| (self.cluster_weight(c), self.sides(c, &weights)[0].1.hessian_vector(&self.theta, direction)))
            .collect();
        mean(&products.iter().map(|(w, v)| (*w, &v[..])).collect::<Vec<_>>())
    }

    /// One cluster's Hessian, row by row.
    pub fn hessian(&self, cluster: usize) -> Vec<Vec<f64>> {
        let weights = self.row_weights();
        let [(_, support), _] = self.sides(cluster, &weights);
        let n = self.net.n_parameters();
        let unit = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>();
        (0..n).map(|i| support.hessian_vector(&self.theta, &unit(i))).collect()
    }

    /// Linear outputs of every row.
    pub fn predict(&self, theta: &[f64]) -> Vec<f64> {
        self.x.chunks_exact(self.net.n_inputs()).flat_map(|x| forward(&self.net, theta, x)).collect()
    }
}

/// Eigenvalues of a symmetric matrix by cyclic Jacobi rotations, in no order.
pub fn eigenvalues(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let n = a.len();
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        let diagonal: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= 1e-30 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, p, q);
            }
        }
    }
    (0..n).map(|i| a[i][i]).collect()
}

/// Rotates rows and columns p and q so that their common element becomes zero.
fn rotate(a: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
    let (s, c) = angle.sin_cos();
    let turn = |x: f64, y: f64| (c * x - s * y, s * x + c * y);
    for row in a.iter_mut() {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    let [first, second] = a.get_disjoint_mut([p, q]).expect("two different rows");
    for (x, y) in first.iter_mut().zip(second) {
        (*x, *y) = turn(*x, *y);
    }
}
