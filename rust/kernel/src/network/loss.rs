//! Row losses with first and second derivatives, weighted, on the linear outputs.
//!
//! Outputs and targets are planar: one row of `plane` numbers an output, so that every loss runs along the rows of the
//! data in whole registers. Padding has weight 0.

use std::str::FromStr;

use crate::simd::math::{Elementary, exp, ln_from_one, softplus_and_sigmoid};
use crate::simd::{Isa, Pass, Real, run};
use crate::system::error::{KernelError, named, range};

/// The loss of one row, y its target and f its linear outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Σ (y − f)² over the outputs
    Squared,
    /// Σ log(1 + eᶠ) − y·f over the outputs, y in \[0, 1\]: cross-entropy from logits
    Logistic,
    /// log Σ eᶠ − f_y, y a class code
    Softmax,
    /// log Σ eᶠ − y·f, y a distribution over the classes: softmax with smoothed or mixed labels
    CrossEntropy,
    /// Σ eᶠ − y·f over the outputs, y ≥ 0: the Poisson likelihood with log link, without log y!
    Poisson,
    /// Σ r² for |r| ≤ δ and δ(2|r| − δ) beyond, r = y − f: the squared loss with bounded slope (Huber, 1964)
    Huber {
        /// Where the slope stops growing, in units of y.
        delta: f64,
    },
    /// Σ τr + s·log(1 + e^(−r/s)), r = y − f: the pinball loss of level τ, smoothed over a width s by the logistic
    /// density (Zheng, 2011; He, Pan, Tan and Zhou, 2023), so that it has second derivatives
    Quantile {
        /// τ in (0, 1).
        level: f64,
        /// s > 0, in units of y; the loss exceeds the pinball loss by at most s·log 2.
        width: f64,
    },
    /// Σ y·f over the outputs: no loss to be minimized, but its derivatives are those of the outputs, weighted
    Linear,
}

/// The losses by name, with the parameters they have unless told otherwise.
pub const LOSSES: [(&str, Loss); 7] = [
    ("squared", Loss::Squared),
    ("logistic", Loss::Logistic),
    ("softmax", Loss::Softmax),
    ("cross_entropy", Loss::CrossEntropy),
    ("poisson", Loss::Poisson),
    ("huber", Loss::Huber { delta: 1.345 }), // 95 % efficient under normal errors of variance 1
    ("quantile", Loss::Quantile { level: 0.5, width: 0.1 }),
];

impl FromStr for Loss {
    type Err = KernelError;

    /// A name, or one with parameters: `huber(2)`, `quantile(0.9)`, `quantile(0.9, 0.05)`.
    fn from_str(text: &str) -> Result<Self, KernelError> {
        let (name, inside) = match text.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
            Some((name, inside)) => (name, Some(inside)),
            None => (text, None),
        };
        let loss = named("loss", name, &LOSSES)?;
        let Some(inside) = inside else { return Ok(loss) };
        let numbers: Result<Vec<f64>, _> = inside.split(',').map(|number| number.trim().parse()).collect();
        match (loss, numbers.as_deref()) {
            (Self::Huber { .. }, Ok(&[delta])) => Self::Huber { delta }.validated(),
            (Self::Quantile { width, .. }, Ok(&[level])) => Self::Quantile { level, width }.validated(),
            (Self::Quantile { .. }, Ok(&[level, width])) => Self::Quantile { level, width }.validated(),
            _ => Err(KernelError::Name {
                what: "parameters of a loss in",
                got: text.to_owned(),
                known: "huber(delta), quantile(level), quantile(level, width)".to_owned(),
            }),
        }
    }
}

impl Loss {
    /// Whether the outputs are logits of one distribution.
    pub fn is_softmax(self) -> bool {
        matches!(self, Self::Softmax | Self::CrossEntropy)
    }

    /// Numbers in a row's target.
    pub fn target_width(self, n_outputs: usize) -> usize {
        if self == Self::Softmax { 1 } else { n_outputs }
    }

    fn validated(self) -> Result<Self, KernelError> {
        match self {
            Self::Huber { delta } => range("delta", delta, delta > 0.0, "finite and above 0")?,
            Self::Quantile { level, width } => {
                range("level", level, 0.0 < level && level < 1.0, "in (0, 1)")?;
                range("width", width, width > 0.0, "finite and above 0")?;
            }
            Self::Squared | Self::Logistic | Self::Softmax | Self::CrossEntropy | Self::Poisson | Self::Linear => {}
        }
        Ok(self)
    }
}

/// The planes that a loss reads and writes; `plane` is their length and distance.
#[derive(Clone, Copy, Debug)]
pub struct Planes<T> {
    /// Rows, at most `plane`.
    pub rows: usize,
    /// Outputs.
    pub outputs: usize,
    /// Distance between planes, a multiple of the padding.
    pub plane: usize,
    /// Linear outputs f.
    pub outputs_at: *const T,
    /// Targets; one plane for softmax with class codes.
    pub targets: *const T,
    /// Distance between target planes.
    pub target_plane: usize,
    /// Weights of the rows, summing to 1 over the cluster.
    pub weights: *const T,
    /// Written: weighted ∂l/∂f.
    pub delta: *mut T,
    /// Written: weighted ∂²l/∂f², for softmax the probabilities.
    pub curvature: *mut T,
}

/// Weighted loss of the rows; fills `delta` and `curvature`.
///
/// # Safety
/// The planes must be valid for `rows` rounded up to the padding.
pub unsafe fn gradient<S: Isa, T: Elementary>(isa: S, loss: Loss, planes: Planes<T>) -> f64 {
    // SAFETY: the caller's promise.
    unsafe { run(isa, Gradient(loss, planes)) }
}

struct Gradient<T>(Loss, Planes<T>);

impl<T: Elementary> Pass for Gradient<T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) -> f64 {
        let Self(loss, p) = self;
        // SAFETY: the caller's promise.
        unsafe {
            match loss {
                Loss::Squared => each(s, p, |f, y| {
                    let r = T::sub(s, f, y);
                    [T::mul(s, r, r), T::add(s, r, r), T::constant(s, 2.0)]
                }),
                Loss::Logistic => each(s, p, |f, y| {
                    let (value, slope) = softplus_and_sigmoid::<S, T>(s, f);
                    [T::nfma(s, y, f, value), T::sub(s, slope, y), T::nfma(s, slope, slope, slope)]
                }),
                Loss::Poisson => each(s, p, |f, y| {
                    let e = exp::<S, T>(s, f);
                    [T::nfma(s, y, f, e), T::sub(s, e, y), e]
                }),
                Loss::Huber { delta } => each(s, p, |f, y| {
                    // With c = r limited to ±δ, the value is c(2r − c).
                    let (r, bound) = (T::sub(s, f, y), T::constant(s, delta));
                    let inside = T::less(s, T::abs(s, r), bound);
                    let limit = T::select(s, T::less(s, r, T::constant(s, 0.0)), T::neg(s, bound), bound);
                    let c = T::select(s, inside, r, limit);
                    let curvature = T::select(s, inside, T::constant(s, 2.0), T::constant(s, 0.0));
                    [T::mul(s, c, T::sub(s, T::add(s, r, r), c)), T::add(s, c, c), curvature]
                }),
                Loss::Quantile { level, width } => each(s, p, |f, y| {
                    let (r, tau) = (T::sub(s, f, y), T::constant(s, level));
                    let over = T::mul(s, r, T::constant(s, 1.0 / width));
                    let (soft, share) = softplus_and_sigmoid::<S, T>(s, over);
                    let value = T::nfma(s, tau, r, T::mul(s, soft, T::constant(s, width)));
                    let spread = T::nfma(s, share, share, share);
                    [value, T::sub(s, share, tau), T::mul(s, spread, T::constant(s, 1.0 / width))]
                }),
                Loss::Linear => each(s, p, |f, y| [T::mul(s, y, f), y, T::constant(s, 0.0)]),
                Loss::Softmax => softmax::<S, T, false>(s, p),
                Loss::CrossEntropy => softmax::<S, T, true>(s, p),
            }
        }
    }
}

/// A loss that treats each output by itself: `l` gives value, slope and curvature.
#[inline(always)]
unsafe fn each<S: Isa, T: Real>(s: S, p: Planes<T>, l: impl Fn(T::Lanes<S>, T::Lanes<S>) -> [T::Lanes<S>; 3]) -> f64 {
    let mut sum = T::constant(s, 0.0);
    for output in 0..p.outputs {
        for row in (0..p.rows).step_by(T::lanes::<S>()) {
            let at = output * p.plane + row;
            // SAFETY: inside the planes.
            unsafe {
                let weight = T::load(s, p.weights.add(row));
                let f = T::load(s, p.outputs_at.add(at));
                let [value, slope, curvature] = l(f, T::load(s, p.targets.add(output * p.target_plane + row)));
                sum = T::fma(s, weight, value, sum);
                T::store(s, p.delta.add(at), T::mul(s, weight, slope));
                T::store(s, p.curvature.add(at), T::mul(s, weight, curvature));
            }
        }
    }
    T::sum(s, sum).to_f64()
}

/// Targets are class codes, or with SOFT a plane of probabilities a class.
#[inline(always)]
unsafe fn softmax<S: Isa, T: Elementary, const SOFT: bool>(s: S, p: Planes<T>) -> f64 {
    let mut loss = T::constant(s, 0.0);
    for row in (0..p.rows).step_by(T::lanes::<S>()) {
        // SAFETY: inside the planes.
        unsafe {
            let mut top = T::load(s, p.outputs_at.add(row));
            for output in 1..p.outputs {
                top = T::max(s, T::load(s, p.outputs_at.add(output * p.plane + row)), top);
            }
            let class = T::load(s, p.targets.add(row));
            let (mut total, mut own) = (T::constant(s, 0.0), T::constant(s, 0.0));
            for output in 0..p.outputs {
                let at = output * p.plane + row;
                let above = T::sub(s, T::load(s, p.outputs_at.add(at)), top);
                let e = exp::<S, T>(s, above);
                total = T::add(s, total, e);
                own = T::fma(s, share::<S, T, SOFT>(s, p, class, (output, row)), above, own);
                T::store(s, p.curvature.add(at), e);
            }
            let weight = T::load(s, p.weights.add(row));
            for output in 0..p.outputs {
                let at = output * p.plane + row;
                let probability = T::div(s, T::load(s, p.curvature.add(at)), total);
                T::store(s, p.curvature.add(at), probability);
                let share = share::<S, T, SOFT>(s, p, class, (output, row));
                T::store(s, p.delta.add(at), T::mul(s, weight, T::sub(s, probability, share)));
            }
            // The largest term of the total is 1.
            let value = T::sub(s, ln_from_one::<S, T>(s, total, p.outputs as f64), own);
            loss = T::fma(s, weight, value, loss);
        }
    }
    T::sum(s, loss).to_f64()
}

/// The targets' share of one output.
#[inline(always)]
unsafe fn share<S: Isa, T: Real, const SOFT: bool>(
    s: S,
    p: Planes<T>,
    class: T::Lanes<S>,
    (output, row): (usize, usize),
) -> T::Lanes<S> {
    if SOFT {
        // SAFETY: the caller's row lies inside the planes.
        return unsafe { T::load(s, p.targets.add(output * p.target_plane + row)) };
    }
    let is_own = T::equal(s, class, T::constant(s, output as f64));
    T::select(s, is_own, T::constant(s, 1.0), T::constant(s, 0.0))
}

/// R{delta} from R{f}: the loss's Hessian times the tangent, row by row.
///
/// # Safety
/// As [`gradient`], with `tangent` and `into` planes like the outputs.
pub unsafe fn tangent<S: Isa, T: Elementary>(isa: S, loss: Loss, planes: Planes<T>, tangent: *const T, into: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, Tangent(loss, planes, tangent, into)) }
}

struct Tangent<T>(Loss, Planes<T>, *const T, *mut T);

impl<T: Elementary> Pass for Tangent<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let Self(loss, p, tangent, into) = self;
        for row in (0..p.rows).step_by(T::lanes::<S>()) {
            // SAFETY: inside the planes.
            unsafe {
                // softmax: w·p ⊙ (R{f} − Σ p·R{f})
                let (mut mean, mut weight) = (T::constant(s, 0.0), T::constant(s, 1.0));
                if loss.is_softmax() {
                    weight = T::load(s, p.weights.add(row));
                    for output in 0..p.outputs {
                        let at = output * p.plane + row;
                        mean = T::fma(s, T::load(s, p.curvature.add(at)), T::load(s, tangent.add(at)), mean);
                    }
                }
                for output in 0..p.outputs {
                    let at = output * p.plane + row;
                    let curvature = T::mul(s, weight, T::load(s, p.curvature.add(at)));
                    let centred = T::sub(s, T::load(s, tangent.add(at)), mean);
                    T::store(s, into.add(at), T::mul(s, curvature, centred));
                }
            }
        }
    }
}
