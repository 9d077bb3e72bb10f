//! Outer optimizers against closed forms and sequences worked by hand; the conventions are PyTorch's.

use rfp_kernel::{Decay, Moments, Optimizer, Penalties, Rule, Schedule};

const MOMENTS: Moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

fn optimizer(rule: Rule) -> Optimizer {
    Optimizer { rule, ..Optimizer::default() }
}

/// Weight decay of 0.5, part of the gradient or beside the step.
fn decaying(decoupled: bool, optimizer: Optimizer) -> Optimizer {
    let (own, none) = (Decay { strength: 0.5, biases: true }, Decay::default());
    let [coupled, decoupled] = if decoupled { [none, own] } else { [own, none] };
    Optimizer { penalties: Penalties { coupled, decoupled, ..Penalties::default() }, ..optimizer }
}

fn sgd(momentum: f64, nesterov: bool) -> Optimizer {
    optimizer(Rule::Sgd { momentum, nesterov })
}

/// θ after each of some gradients, from θ = 1.
fn path(optimizer: &Optimizer, gradients: &[f64]) -> Vec<f64> {
    let (mut theta, mut first, mut second) = ([1.0], [0.0], [0.0]);
    let step = |(t, g): (usize, &f64)| {
        optimizer.step(None, t as u64, &[*g], &mut theta, &mut first, &mut second);
        theta[0]
    };
    gradients.iter().enumerate().map(step).collect()
}

fn assert_path(optimizer: &Optimizer, gradients: &[f64], expected: &[f64]) {
    let found = path(optimizer, gradients);
    // A few roundings a step, of numbers near 1.
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(close && found.len() == expected.len(), "{found:?} instead of {expected:?}");
}

#[test]
fn plain_descent() {
    assert_path(&sgd(0.0, false), &[1.0, 2.0, -0.5], &[0.9, 0.7, 0.75]);
}

#[test]
fn momentum_by_hand() {
    // b: 1, 0.5 + 2 = 2.5, 1.25 − 0.5 = 0.75
    assert_path(&sgd(0.5, false), &[1.0, 2.0, -0.5], &[0.9, 0.65, 0.575]);
}

#[test]
fn nesterov_by_hand() {
    // g + μ b: 1 + 0.5, 2 + 1.25, −0.5 + 0.375
    assert_path(&sgd(0.5, true), &[1.0, 2.0, -0.5], &[0.85, 0.525, 0.5375]);
}

/// With a constant gradient g, b_t = g (1 − μᵗ)/(1 − μ).
#[test]
fn momentum_approaches_its_limit() {
    let mu: f64 = 0.9;
    let mut theta = 1.0;
    let expected: Vec<f64> = (1..=50)
        .map(|t| {
            theta -= 0.1 * 0.01 * (1.0 - mu.powi(t)) / (1.0 - mu);
            theta
        })
        .collect();
    assert_path(&sgd(mu, false), &[0.01; 50], &expected);
}

/// Weight decay of SGD is part of the gradient: θ ← θ − lr (g + wd θ).
#[test]
fn coupled_weight_decay() {
    assert_path(&decaying(false, sgd(0.0, false)), &[0.0, 1.0], &[0.95, 0.95 - 0.1 * (1.0 + 0.5 * 0.95)]);
    // It enters the momentum too: b = 0.5, then 0.25 + 0.475.
    assert_path(&decaying(false, sgd(0.5, false)), &[0.0, 0.0], &[0.95, 0.95 - 0.1 * 0.725]);
}

/// Bias correction makes both moments of a constant gradient exact: every step is lr·g/(|g| + ε).
#[test]
fn adam_with_a_constant_gradient() {
    for g in [3.0, -0.02] {
        let step = 0.1 * g / (f64::abs(g) + 1e-8);
        let expected: Vec<f64> = (1..=20).map(|t| 1.0 - f64::from(t) * step).collect();
        let found = path(&optimizer(Rule::Adam(MOMENTS)), &[g; 20]);
        // 1 − β₂ᵗ loses digits at small t: 1e-16/1e-3.
        let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11);
        assert!(close, "{found:?} instead of {expected:?}");
    }
}

/// Two steps from the definitions, with gradients 1 and −2: the moments are 0.1 and 0.001, then
/// 0.9·0.1 − 0.1·2 = −0.11 and 0.999·0.001 + 0.001·4 = 0.004999.
#[test]
fn adam_by_hand() {
    let first = 1.0 - 0.1 / (1.0 + 1e-8);
    let second = first - 0.1 * (-0.11 / 0.19) / ((0.004999_f64 / 0.001999).sqrt() + 1e-8);
    let found = path(&optimizer(Rule::Adam(MOMENTS)), &[1.0, -2.0]);
    assert!((found[0] - first).abs() < 1e-12 && (found[1] - second).abs() < 1e-12, "{found:?}");
}

/// Adam's decay passes through the moments, AdamW's does not: with no gradient the first still takes whole steps, the
/// second shrinks θ by 1 − lr·wd.
#[test]
fn adam_couples_the_decay_and_adamw_does_not() {
    let adam = decaying(false, optimizer(Rule::Adam(MOMENTS)));
    assert!((path(&adam, &[0.0])[0] - (1.0 - 0.1 * 0.5 / (0.5 + 1e-8))).abs() < 1e-12);
    let adamw = decaying(true, optimizer(Rule::Adam(MOMENTS)));
    assert_path(&adamw, &[0.0; 3], &[0.95, 0.95 * 0.95, 0.95 * 0.95 * 0.95]);
    assert!((path(&adamw, &[2.0])[0] - (0.95 - 0.1 * 2.0 / (2.0 + 1e-8))).abs() < 1e-12);
}

#[test]
fn clipping_is_by_the_norm_of_the_whole_gradient() {
    let clipped = Optimizer { clip_norm: Some(1.0), ..sgd(0.0, false) };
    let (mut theta, mut first, mut second) = ([0.0; 2], [0.0; 2], [0.0; 2]);
    clipped.step(None, 0, &[3.0, -4.0], &mut theta, &mut first, &mut second);
    // The norm is 5: the step is 0.1·(0.6, −0.8), the other way.
    assert!((theta[0] + 0.06_f64).abs() < 1e-16 && (theta[1] - 0.08_f64).abs() < 1e-16, "{theta:?}");
    // Below the limit nothing changes, not even in the last bit.
    let mut theta = [0.0; 2];
    clipped.step(None, 0, &[0.6, 0.7], &mut theta, &mut [0.0; 2], &mut second);
    assert_eq!(theta, [-0.1 * 0.6, -0.1 * 0.7]);
}

/// The norm is summed in f64, so that one beyond f32's squares is still clipped; the step is taken in f32.
#[test]
fn single_precision() {
    let clipped = Optimizer { clip_norm: Some(1.0), ..sgd(0.0, false) };
    let (mut theta, mut first, mut second) = ([0.0_f32; 2], [0.0; 2], [0.0; 2]);
    clipped.step(None, 0, &[3e30, -4e30], &mut theta, &mut first, &mut second);
    assert!((theta[0] + 0.06).abs() < 1e-8 && (theta[1] - 0.08).abs() < 1e-8, "{theta:?}");
    let adam = optimizer(Rule::Adam(MOMENTS));
    let mut theta = [1.0_f32];
    adam.step(None, 0, &[0.25], &mut theta, &mut [0.0], &mut [0.0]);
    assert!((theta[0] - 0.9).abs() < 1e-7, "{theta:?}");
}

#[test]
fn schedules() {
    let with = |schedule| Optimizer { schedule, ..sgd(0.0, false) };
    let constant = with(Schedule::Constant);
    assert_eq!([0, 7, u64::MAX].map(|t| constant.rate(t)), [0.1; 3]);

    let cosine = with(Schedule::Cosine { steps: 6.0 });
    // cos 0, π/3, π/2, 2π/3, π and beyond.
    for (t, expected) in [(0, 1.0), (2, 0.75), (3, 0.5), (4, 0.25), (6, 0.0), (7, 0.0), (1 << 60, 0.0)] {
        assert!((cosine.rate(t) - 0.1 * expected).abs() < 1e-16, "step {t}");
    }

    let power = with(Schedule::Power { steps: 10.0, power: 0.5 });
    for (t, expected) in [(0, 1.0), (30, 0.5), (80, 1.0 / 3.0), (990, 0.1)] {
        assert!((power.rate(t) - 0.1 * expected).abs() < 1e-16, "step {t}");
    }
    let flat = with(Schedule::Power { steps: 10.0, power: 0.0 });
    assert_eq!(flat.rate(12345), 0.1);

    // A step uses the rate of its own number.
    assert_path(&with(Schedule::Power { steps: 1.0, power: 1.0 }), &[1.0; 3], &[0.9, 0.85, 0.85 - 0.1 / 3.0]);
}

/// Beyond the powers that are counted in 32 bits, bias correction is 1.
#[test]
fn adam_after_very_many_steps() {
    let adam = optimizer(Rule::Adam(MOMENTS));
    let (mut theta, mut first, mut second) = ([1.0_f64], [1.0], [1.0]);
    adam.step(None, u64::MAX - 1, &[1.0], &mut theta, &mut first, &mut second);
    assert!((theta[0] - (1.0 - 0.1 / (1.0 + 1e-8))).abs() < 1e-15);
}
