//! A naive network and its losses: one row at a time, in any kind of number, straight from the definitions.

use rfp_kernel::{Activation, Architecture, Loss};

use super::hyper_dual::{HyperDual, LANES, Number, seeded};

fn positive_part<N: Number>(z: N) -> N {
    if z.value() > 0.0 { z } else { N::constant(0.0) }
}

/// log(1 + eᶻ) without overflow.
fn softplus<N: Number>(z: N) -> N {
    let magnitude = if z.value() < 0.0 { -z } else { z };
    positive_part(z) + (N::constant(1.0) + (-magnitude).exp()).ln()
}

fn activate<N: Number>(activation: Activation, z: N) -> N {
    match activation {
        Activation::Identity => z,
        Activation::Tanh => z.tanh(),
        Activation::Relu => positive_part(z),
        Activation::Softplus => softplus(z),
        Activation::Silu => z / (N::constant(1.0) + (-z).exp()),
        Activation::Gelu => z * z.normal_cdf(),
        Activation::Elu if z.value() >= 0.0 => z,
        Activation::Elu => z.exp() - N::constant(1.0),
    }
}

/// Linear outputs of one row. The flat layout is, per layer, W (in × out, row-major), then b.
pub fn forward<N: Number>(net: &Architecture, theta: &[N], x: &[f64]) -> Vec<N> {
    let mut rest = theta;
    let mut values: Vec<N> = x.iter().map(|&x| N::constant(x)).collect();
    let widths: Vec<usize> = net.hidden().iter().copied().chain([net.n_outputs()]).collect();
    for (layer, &width) in widths.iter().enumerate() {
        let (weights, after) = rest.split_at(values.len() * width);
        let (bias, after) = after.split_at(width);
        rest = after;
        let mut sums = bias.to_vec();
        for (value, line) in values.iter().zip(weights.chunks_exact(width)) {
            for (sum, &w) in sums.iter_mut().zip(line) {
                *sum = *sum + *value * w;
            }
        }
        let is_last = layer + 1 == widths.len();
        values = sums.into_iter().map(|z| if is_last { z } else { activate(net.activation(), z) }).collect();
    }
    values
}

fn row_loss<N: Number>(loss: Loss, outputs: &[N], y: &[f64]) -> N {
    let sum = |terms: Vec<N>| terms.into_iter().fold(N::constant(0.0), |sum, term| sum + term);
    let each = |l: &dyn Fn(N, N) -> N| sum(outputs.iter().zip(y).map(|(&f, &y)| l(f, N::constant(y))).collect());
    match loss {
        Loss::Squared => each(&|f, y| (y - f) * (y - f)),
        Loss::Logistic => each(&|f, y| softplus(f) - y * f),
        Loss::Poisson => each(&|f, y| f.exp() - y * f),
        Loss::Linear => each(&|f, y| y * f),
        Loss::Huber { delta } => each(&|f, y| {
            let r = if (y - f).value() < 0.0 { f - y } else { y - f };
            let d = N::constant(delta);
            if r.value() <= delta { r * r } else { d * (r + r - d) }
        }),
        Loss::Quantile { level, width } => each(&|f, y| {
            let (r, width) = (y - f, N::constant(width));
            N::constant(level) * r + width * softplus(-(r / width))
        }),
        Loss::Softmax | Loss::CrossEntropy => {
            let top = outputs.iter().map(|f| f.value()).fold(f64::NEG_INFINITY, f64::max);
            let total = sum(outputs.iter().map(|&f| (f - N::constant(top)).exp()).collect());
            let own = if loss == Loss::Softmax { outputs[y[0] as usize] } else { each(&|f, y| y * f) };
            total.ln() + N::constant(top) - own
        }
    }
}

/// Rows of data with the weights of their mean.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub net: &'a Architecture,
    pub loss: Loss,
    pub x: &'a [f64],
    pub y: &'a [f64],
    pub weights: &'a [f64],
}

impl Rows<'_> {
    fn mean_loss<N: Number>(&self, theta: &[N]) -> N {
        let xs = self.x.chunks_exact(self.net.n_inputs());
        let ys = self.y.chunks_exact(self.loss.target_width(self.net.n_outputs()));
        let total: f64 = self.weights.iter().sum();
        xs.zip(ys).zip(self.weights).fold(N::constant(0.0), |sum, ((x, y), &w)| {
            sum + N::constant(w / total) * row_loss(self.loss, &forward(self.net, theta, x), y)
        })
    }

    /// Mean loss.
    pub fn value(&self, theta: &[f64]) -> f64 {
        self.mean_loss(theta)
    }

    fn derivatives(&self, theta: &[f64], direction: Option<&[f64]>) -> Vec<(usize, HyperDual)> {
        let firsts = (0..theta.len()).step_by(LANES);
        firsts.map(|first| (first, self.mean_loss(&seeded(theta, direction, first)))).collect()
    }

    /// ∇ of the mean loss.
    pub fn gradient(&self, theta: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; theta.len()];
        for (first, loss) in self.derivatives(theta, None) {
            gradient[first..].iter_mut().zip(loss.each).for_each(|(to, g)| *to = g);
        }
        gradient
    }

    /// The mean loss's Hessian times a direction.
    pub fn hessian_vector(&self, theta: &[f64], direction: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; theta.len()];
        for (first, loss) in self.derivatives(theta, Some(direction)) {
            product[first..].iter_mut().zip(loss.mixed).for_each(|(to, h)| *to = h);
        }
        product
    }
}
