//! Steps beside scalar formulas in f64, number by number: every rule, every penalty, odd lengths.

use super::*;
use crate::network::architecture::{Kind, Span, Units};
use crate::simd::Backend;
use crate::with_isa;

const LENGTH: usize = 37;

/// Weights, then biases, then free parameters.
fn spans() -> Vec<Span> {
    let span = |range, kind| Span { range, kind };
    vec![span(0..20, Kind::Weights), span(20..30, Kind::Biases), span(30..LENGTH, Kind::Free)]
}

fn kind_of(i: usize) -> Kind {
    spans().into_iter().find(|span| span.range.contains(&i)).map_or(Kind::Free, |span| span.kind)
}

fn numbers(shift: f64) -> Vec<f64> {
    (0..LENGTH).map(|i| if i % 9 == 4 { 0.0 } else { (i as f64 * 0.7 + shift).sin() * 0.3 }).collect()
}

/// The same step by the book.
fn by_the_book(o: &Optimizer, t: u64, gradient: &[f64], [theta, first, second]: [&mut [f64]; 3]) {
    let lr = o.rate(t);
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let clip = o.clip_norm.map_or(1.0, |limit| (limit / norm).min(1.0));
    for i in 0..LENGTH {
        let on = |strength: f64, biases: bool| match kind_of(i) {
            Kind::Weights => strength,
            Kind::Biases if biases => strength,
            _ => 0.0,
        };
        let p = o.penalties;
        let l1 = on(p.l1.strength, p.l1.biases);
        let sign = if theta[i] == 0.0 { 0.0 } else { theta[i].signum() };
        let slope = if p.l1.smoothing > 0.0 { (theta[i] / p.l1.smoothing).clamp(-1.0, 1.0) } else { sign };
        let mut g = clip * gradient[i] + on(p.coupled.strength, p.coupled.biases) * theta[i];
        if p.l1.method == L1Method::Subgradient {
            g += l1 * slope;
        }
        let step = match o.rule {
            Rule::Sgd { momentum, nesterov } => {
                first[i] = momentum * first[i] + g;
                if nesterov { g + momentum * first[i] } else { first[i] }
            }
            Rule::Adam(m) => {
                first[i] = m.beta1 * first[i] + (1.0 - m.beta1) * g;
                second[i] = m.beta2 * second[i] + (1.0 - m.beta2) * g * g;
                let power = t as i32 + 1;
                let (a, b) = (first[i] / (1.0 - m.beta1.powi(power)), second[i] / (1.0 - m.beta2.powi(power)));
                a / (b.sqrt() + m.epsilon)
            }
        };
        let decay = lr * on(p.decoupled.strength, p.decoupled.biases) * theta[i];
        let drift = if p.l1.method == L1Method::Decoupled { lr * l1 * slope } else { 0.0 };
        theta[i] -= lr * step + decay + drift;
        if p.l1.method == L1Method::Proximal {
            theta[i] = theta[i].signum() * (theta[i].abs() - lr * l1).max(0.0);
        }
    }
}

fn check(optimizer: Optimizer) {
    optimizer.validate().expect("valid options");
    let stepper = Stepper::new(optimizer, &spans(), Vec::new());
    for backend in Backend::available() {
        let (mut theta, mut first, mut second) = (numbers(0.3), vec![0.0; LENGTH], vec![0.0; LENGTH]);
        let mut expected = [theta.clone(), first.clone(), second.clone()];
        for t in 0..5 {
            let gradient = numbers(1.0 + t as f64);
            with_isa!(backend, isa => stepper.step(isa, t, &gradient, &mut theta, &mut first, &mut second));
            let [a, b, c] = &mut expected;
            by_the_book(&optimizer, t, &gradient, [a, b, c]);
        }
        // Sums in another order, fused or not: a few roundings of numbers of size one.
        let apart = theta.iter().zip(&expected[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-14, "{optimizer:?} on {}: {apart:e}", backend.name());
    }
}

#[test]
fn every_rule_with_every_penalty() {
    let moments = Moments { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    let rules = [
        Rule::Sgd { momentum: 0.0, nesterov: false },
        Rule::Sgd { momentum: 0.9, nesterov: false },
        Rule::Sgd { momentum: 0.9, nesterov: true },
        Rule::Adam(moments),
    ];
    for rule in rules {
        for biases in [false, true] {
            let decay = Decay { strength: 0.2, biases };
            let none = Penalties::default();
            check(Optimizer { rule, ..Optimizer::default() });
            check(Optimizer { rule, penalties: Penalties { coupled: decay, ..none }, ..Optimizer::default() });
            check(Optimizer {
                rule,
                penalties: Penalties { decoupled: decay, ..none },
                clip_norm: Some(0.5),
                ..Optimizer::default()
            });
            for (method, smoothing) in [
                (L1Method::Subgradient, 0.0),
                (L1Method::Subgradient, 0.1),
                (L1Method::Decoupled, 0.0),
                (L1Method::Decoupled, 0.1),
                (L1Method::Proximal, 0.0),
            ] {
                let l1 = L1 { strength: 0.3, biases, method, smoothing };
                check(Optimizer { rule, penalties: Penalties { l1, coupled: decay, ..none }, ..Optimizer::default() });
            }
        }
    }
}

#[test]
fn proximal_zeros_are_exact() {
    let l1 = L1 { strength: 10.0, biases: true, method: L1Method::Proximal, smoothing: 0.0 };
    let optimizer = Optimizer { penalties: Penalties { l1, ..Penalties::default() }, ..Optimizer::default() };
    let mut theta: Vec<f32> = (0..33).map(|i| (i as f32 - 16.0) * 0.1).collect();
    let all = [Span { range: 0..33, kind: Kind::Weights }];
    with_isa!(Backend::detect(), isa => {
        Stepper::new(optimizer, &all, Vec::new()).step(isa, 0, &[0.0; 33], &mut theta, &mut [], &mut []);
    });
    // The threshold is lr·λ = 1: what was within it is zero.
    for (i, x) in theta.into_iter().enumerate() {
        let before = (i as f32 - 16.0) * 0.1;
        assert_eq!(x == 0.0, before.abs() <= 1.0, "{before} became {x}");
    }
}

#[test]
fn norms_are_limited_one_by_one() {
    // Three inputs and 18 units, more than a block; the norm of unit j is √3·(j + 1)/10.
    for (input_step, unit_step) in [(18, 1), (1, 3)] {
        let units = Units { at: 2, inputs: 3, units: 18, input_step, unit_step };
        let mut theta = vec![7.0; 2 + 54 + 1];
        let at = |i: usize, j: usize| 2 + i * input_step + j * unit_step;
        (0..3).for_each(|i| (0..18).for_each(|j| theta[at(i, j)] = (j + 1) as f64 / 10.0));
        with_isa!(Backend::detect(), isa => max_norm::limit_norms(isa, &mut theta, units, 1.0));
        for j in 0..18 {
            let norm = (0..3).map(|i| theta[at(i, j)].powi(2)).sum::<f64>().sqrt();
            let before = 3_f64.sqrt() * (j + 1) as f64 / 10.0;
            assert!((norm - before.min(1.0)).abs() < 1e-15, "unit {j}: {norm}");
        }
        assert_eq!((theta[0], theta[1], theta[56]), (7.0, 7.0, 7.0));
    }
}

#[test]
fn schedules() {
    let factors = |schedule: Schedule| [0, 1, 5, 10, 20].map(|t| schedule.factor(t));
    assert_eq!(factors(Schedule::Constant), [1.0; 5]);
    assert_eq!(factors(Schedule::Step { every: 5.0, factor: 0.5 }), [1.0, 1.0, 0.5, 0.25, 0.0625]);
    let power = factors(Schedule::Power { steps: 10.0, power: 2.0 });
    assert!((power[3] - 0.25).abs() < 1e-15 && (power[4] - 1.0 / 9.0).abs() < 1e-15);
    let cosine = factors(Schedule::Cosine { steps: 10.0 });
    assert!((cosine[2] - 0.5).abs() < 1e-15 && cosine[3].abs() < 1e-15 && cosine[4].abs() < 1e-15);
}
