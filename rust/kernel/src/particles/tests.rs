//! Networks against finite differences, normals against their moments, runs against closed forms.

use super::{Options, Particles, Problem, Rates, Run, Solver, gradient, normals, solve, values};
use crate::network::activation::Activation;
use crate::system::random::Random;
use crate::system::threads::Threads;

fn shape(n_inputs: usize, n_particles: usize, activation: Activation, clip: Option<f64>) -> Particles {
    Particles { n_inputs, n_particles, activation, clip }
}

fn draws(n: usize, index: u64) -> Vec<f64> {
    normals(3, "test", index, n).unwrap().into_iter().map(f64::from).collect()
}

/// Every shape: fewer and more rows than a block, fewer and more particles than a register.
#[test]
fn gradients_are_the_differences_of_values() {
    for (activation, clip) in [
        (Activation::Tanh, None),
        (Activation::Relu, None),
        (Activation::Tanh, Some(0.7)),
        (Activation::Relu, Some(2.0)),
    ] {
        for (d, n, rows) in [(1, 1, 1), (3, 5, 7), (2, 50, 65), (4, 33, 130)] {
            let shape = shape(d, n, activation, clip);
            let (theta, x, r) = (draws(shape.n_parameters(), 1), draws(rows * d, 2), draws(rows, 3));
            let found = gradient(&shape, &theta, &x, &r, Threads::serial()).unwrap();
            let total = |theta: &[f64]| -> f64 {
                let h = values(&shape, theta, &x, Threads::serial()).unwrap();
                // The gradient of a particle is n times that of the mean.
                n as f64 * h.iter().zip(&r).map(|(h, r)| h * r).sum::<f64>()
            };
            for i in 0..theta.len() {
                let step = 1e-6;
                let [up, down] = [step, -step].map(|by| {
                    let mut moved = theta.clone();
                    moved[i] += by;
                    total(&moved)
                });
                let expected = (up - down) / (2.0 * step);
                // Central differences of sums of about a hundred numbers of order one.
                assert!((found[i] - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{activation:?} {i}");
            }
        }
    }
}

#[test]
fn normals_have_the_moments_of_normals() {
    let n = 200_000;
    let x: Vec<f64> = normals(0, "noise", 7, n).unwrap().into_iter().map(f64::from).collect();
    let moment = |k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / n as f64;
    // Five standard errors: √(E x²ᵏ / n) is 0.0022, 0.0039, 0.0087 and 0.023.
    for (k, expected, tolerance) in [(1, 0.0, 0.012), (2, 1.0, 0.017), (3, 0.0, 0.044), (4, 3.0, 0.11)] {
        assert!((moment(k) - expected).abs() < tolerance, "moment {k}: {}", moment(k));
    }
    let beyond = |t: f64| x.iter().filter(|x| x.abs() > t).count() as f64 / n as f64;
    for (t, expected) in [(1.0, 0.317_31), (2.0, 0.045_5), (3.0, 0.002_7)] {
        let tolerance = 5.0 * (expected / n as f64).sqrt();
        assert!((beyond(t) - expected).abs() < tolerance, "beyond {t}: {}", beyond(t));
    }
    // The two numbers of a pair, and neighbours, are uncorrelated.
    for lag in [1, 16, 32] {
        let product = x.iter().zip(&x[lag..]).map(|(a, b)| a * b).sum::<f64>() / n as f64;
        assert!(product.abs() < 0.012, "lag {lag}: {product}");
    }
}

#[test]
fn normals_of_other_indices_and_lengths() {
    assert_eq!(normals(0, "a", 0, 5).unwrap(), normals(0, "a", 0, 100).unwrap()[..5]);
    assert_ne!(normals(0, "a", 0, 5).unwrap(), normals(0, "a", 1, 5).unwrap());
    assert_ne!(normals(0, "a", 0, 5).unwrap(), normals(0, "b", 0, 5).unwrap());
    assert_ne!(normals(0, "a", 0, 5).unwrap(), normals(1, "a", 0, 5).unwrap());
}

fn rates() -> Rates {
    Rates { lambda: 2.0, alpha: 0.1, beta: 0.05, gamma: 0.1, zeta1: 0.01, zeta2: 0.02, sigma1: 0.0, sigma2: 0.0 }
}

fn options(n: usize) -> Options {
    Options {
        structural: shape(1, n, Activation::Tanh, None),
        instrumental: shape(1, n, Activation::Tanh, None),
        solver: Solver::Langevin,
        inner_steps: 1,
        outer_steps: 1,
        batch_size: None,
        warm: true,
        shared: true,
        record_every: 1,
    }
}

/// One particle, one row, no noise: the steps written out.
#[test]
fn a_step_of_one_particle_by_hand() {
    let (x, z, y) = (0.7, -0.4, 1.5);
    let starts = [[0.5, 0.1, 0.8], [-0.3, 0.2, 0.6], [0.4, -0.5, 0.9]];
    let h = |p: &[f64; 3], at: f64| p[2] * (p[0] * at + p[1]).tanh();
    let slopes = |p: &[f64; 3], at: f64| {
        let a = (p[0] * at + p[1]).tanh();
        let through = p[2] * (1.0 - a * a);
        [through * at, through, a]
    };
    let moved = |p: &[f64; 3], at: f64, r: f64, rate: f64, decay: f64| -> [f64; 3] {
        let g = slopes(p, at);
        std::array::from_fn(|i| p[i] - rate * (r * g[i] + decay * p[i]))
    };
    let Rates { lambda, alpha, beta, gamma, zeta1, zeta2, .. } = rates();
    let [start_x, start_z, start_twin] = starts;
    let t = h(&start_x, x);
    let first = moved(&start_z, z, h(&start_z, z) - t, alpha, zeta1);
    let pull = lambda * (h(&start_twin, z) - t) + h(&start_twin, z) - y;
    let twin = moved(&start_twin, z, pull, beta, lambda * zeta1);
    let structural = moved(&start_x, x, lambda * (h(&first, z) - h(&twin, z)), gamma, zeta2);

    let problem = Problem {
        x: &[x],
        coefficients: None,
        z: &[z],
        y: &[y],
        weights: None,
        n_inputs: 1,
        n_instruments: 1,
        n_terms: 1,
    };
    let run = Run { rates: rates(), seed: 0, rows: vec![0], start: [&starts[0][..], &starts[1], &starts[2]] };
    let found = solve(&problem, &[run], &options(1), Threads::serial()).unwrap().remove(0);
    let pairs = [(&found.structural, structural), (&found.instrumental[0], first), (&found.instrumental[1], twin)];
    for (found, expected) in pairs {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?} {expected:?}");
    }
}

/// A step that blows up is halved until it does not; what is returned is finite.
#[test]
fn steps_are_halved_when_they_diverge() {
    let mut random = Random::new(0, "test", 0);
    let x: Vec<f32> = (0..40).map(|_| random.normal() as f32).collect();
    let start: Vec<f32> = (0..3 * 8).map(|_| random.normal() as f32).collect();
    let problem =
        Problem { x: &x, coefficients: None, z: &x, y: &x, weights: None, n_inputs: 1, n_instruments: 1, n_terms: 1 };
    let wild = Rates { alpha: 1e4, beta: 1e4, gamma: 1e4, ..rates() };
    let run = Run { rates: wild, seed: 0, rows: (0..40).collect(), start: [&start, &start, &start] };
    let mut options = options(8);
    options.structural.activation = Activation::Relu;
    options.instrumental.activation = Activation::Relu;
    (options.outer_steps, options.record_every) = (100, 20);
    let path = solve(&problem, &[run], &options, Threads::serial()).unwrap().remove(0);
    assert!(path.halvings > 0 && !path.records.is_empty());
    assert!(path.structural.iter().all(|x| x.is_finite()));
    assert_eq!(path.structural.len(), path.records.len() * 24);
}
