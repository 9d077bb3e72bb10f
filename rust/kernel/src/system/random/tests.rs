//! Streams are fixed for good: training must not change with a release.

use super::*;

/// The first outputs of SplitMix64 from state 0 and 1, as in the generator's published reference code.
#[test]
fn bits_are_those_of_splitmix() {
    let mut random = Random { state: 0 };
    assert_eq!([random.bits(), random.bits()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
}

#[test]
fn streams_differ_by_seed_purpose_and_index() {
    let first = |seed, purpose, index| Random::new(seed, purpose, index).bits();
    let all = [first(0, "a", 0), first(1, "a", 0), first(0, "b", 0), first(0, "a", 1), first(0, "ab", 0)];
    for (i, a) in all.iter().enumerate() {
        assert!(all[i + 1..].iter().all(|b| a != b));
    }
    assert_eq!(first(7, "a", 3), first(7, "a", 3));
}

/// Means and variances within five standard errors.
#[test]
fn moments() {
    let n = 100_000;
    let mut random = Random::new(3, "moments", 0);
    let mut check = |draw: &dyn Fn(&mut Random) -> f64, mean: f64, variance: f64, kurtosis: f64| {
        let x: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
        let found = x.iter().sum::<f64>() / n as f64;
        let spread = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((found - mean).abs() < 5.0 * (variance / n as f64).sqrt(), "mean {found}");
        assert!((spread - variance).abs() < 5.0 * variance * ((kurtosis - 1.0) / n as f64).sqrt(), "variance {spread}");
    };
    check(&Random::uniform, 0.5, 1.0 / 12.0, 1.8);
    check(&Random::normal, 0.0, 1.0, 3.0);
    check(&|r| r.below(7) as f64, 3.0, 4.0, 1.75);
}

#[test]
fn permutations_hold_everything_once() {
    for n in [0, 1, 2, 3, 50] {
        let mut order = Random::new(1, "order", n as u64).permutation(n);
        order.sort_unstable();
        assert_eq!(order, (0..n).collect::<Vec<_>>());
    }
    // All six orders of three, about equally often.
    let mut counts = std::collections::HashMap::new();
    for index in 0..6000 {
        *counts.entry(Random::new(1, "order", index).permutation(3)).or_insert(0) += 1;
    }
    assert!(counts.len() == 6 && counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
}

/// Means and variances of Beta(α, α), 1/2 and 1/(4(2α + 1)), within five standard errors; small α too.
#[test]
fn beta_moments() {
    let n = 40_000;
    for alpha in [0.01, 0.2, 1.0, 7.5] {
        let mut random = Random::new(5, "beta", 0);
        let x: Vec<f64> = (0..n).map(|_| random.beta(alpha) - 0.5).collect();
        assert!(x.iter().all(|x| x.abs() <= 0.5));
        let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
        let (mean, square) = (x.iter().sum::<f64>() / n as f64, x.iter().map(|x| x * x).sum::<f64>() / n as f64);
        assert!(mean.abs() < 5.0 * (variance / n as f64).sqrt(), "mean {mean} at {alpha}");
        // The fourth moment about the mean is at most variance/4, on [−1/2, 1/2].
        assert!((square - variance).abs() < 5.0 * (variance / 4.0 / n as f64).sqrt(), "variance {square} at {alpha}");
    }
}
