//! The parts against plain loops; the whole is compared with dense formulas from Python.

use std::sync::Arc;

use super::cholesky;
use super::padded::{Left, Padded, Sign, add_crossproduct, add_matrix_product, add_product};
use super::semidefinite::square_root;
use super::*;
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::random::Random;
use crate::system::threads::Threads;
use crate::testing::on_every_backend;

const SERIAL: &Threads<'static> = &Threads::serial();

fn random(random: &mut Random, rows: usize, cols: usize) -> Padded {
    let mut matrix = Padded::zeros("a test", rows, cols).unwrap();
    (0..rows).for_each(|i| matrix.row_mut(i).iter_mut().for_each(|x| *x = random.normal()));
    matrix
}

/// Σ over k of a(i, k)·b(k, j).
fn product(
    depth: usize,
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> impl Fn(usize, usize) -> f64 {
    move |i, j| (0..depth).map(|k| a(i, k) * b(k, j)).sum()
}

#[track_caller]
fn assert_near(got: &Padded, wanted: impl Fn(usize, usize) -> f64, tolerance: f64, upper: bool) {
    for i in 0..got.rows {
        for j in (if upper { i } else { 0 })..got.cols {
            let (a, b) = (got.at(i, j), wanted(i, j));
            assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "({i}, {j}): {a} for {b}");
        }
    }
}

fn check_product<S: Isa, T: Real>(isa: S) {
    if T::SIZE != 8 {
        return;
    }
    let mut numbers = Random::new(0, "products", 0);
    for (rows, depth, cols) in [(1, 1, 1), (4, 3, 8), (7, 300, 33), (9, 0, 5), (5, 17, 70)] {
        let (a, b) = (random(&mut numbers, rows, depth), random(&mut numbers, depth, cols));
        for sign in [Sign::Plus, Sign::Minus] {
            let start = random(&mut numbers, rows, cols);
            let mut into = Padded::default();
            into.copy("a test", &start).unwrap();
            let left = Left { numbers: &a.numbers, row: a.stride, inner: 1 };
            let stride = into.stride;
            add_product(isa, sign, left, (&b.numbers, b.stride), depth, (&mut into.numbers, stride), rows, 0..stride);
            let factor = if sign == Sign::Plus { 1.0 } else { -1.0 };
            let sum = product(depth, |i, k| a.at(i, k), |k, j| b.at(k, j));
            assert_near(&into, |i, j| start.at(i, j) + factor * sum(i, j), 1e-12, false);
        }
    }
}

#[test]
fn products_on_every_backend() {
    on_every_backend!(check_product);
}

#[test]
fn factors_solves_and_inverses() {
    let mut numbers = Random::new(0, "factors", 0);
    for n in [1, 2, 7, 8, 31, 32, 33, 70, 130] {
        let root = random(&mut numbers, n + 3, n);
        let mut a = Padded::zeros("a test", n, n).unwrap();
        add_crossproduct(Sign::Plus, &root, &root, &mut a, true, SERIAL);
        (0..n).for_each(|i| a.row_mut(i)[i] += 1.0);
        a.mirror();
        let mut u = Padded::default();
        u.copy("a test", &a).unwrap();
        cholesky::factor(&mut u, SERIAL).unwrap();
        (0..n).for_each(|i| u.row_mut(i)[..i].fill(0.0));
        assert_near(&a, product(n, |i, k| u.at(k, i), |k, j| u.at(k, j)), 1e-11, false);

        let x = random(&mut numbers, n, 3);
        let mut b = Padded::zeros("a test", n, 3).unwrap();
        add_matrix_product(Sign::Plus, &a, &x, &mut b, SERIAL);
        cholesky::forward(&u, &mut b, SERIAL);
        cholesky::backward(&u, &mut b, SERIAL);
        // The conditions are below 1e4.
        assert_near(&b, |i, j| x.at(i, j), 1e-9, false);

        let (mut work, mut inverse) = (Padded::default(), Padded::default());
        gradient::inverse(&u, &mut work, &mut inverse, SERIAL).unwrap();
        inverse.mirror();
        let one = product(n, |i, k| inverse.at(i, k), |k, j| a.at(k, j));
        let mut identity = Padded::zeros("a test", n, n).unwrap();
        (0..n).for_each(|i| identity.row_mut(i)[i] = 1.0);
        assert_near(&identity, one, 1e-9, false);
    }
}

#[test]
fn bad_pivots_say_where() {
    for n in [3, 60] {
        let mut a = Padded::zeros("a test", n, n).unwrap();
        (0..n).for_each(|i| a.row_mut(i)[i] = if i == n - 2 { -2.0 } else { 1.0 });
        assert_eq!(cholesky::factor(&mut a, SERIAL), Err(cholesky::BadPivot { row: n - 2, value: -2.0 }));
        let mut a = Padded::zeros("a test", n, n).unwrap();
        a.numbers.fill(f64::NAN);
        assert_eq!(cholesky::factor(&mut a, SERIAL).unwrap_err().row, 0);
    }
}

#[test]
fn roots_of_singular_matrices() {
    let mut numbers = Random::new(0, "roots", 0);
    for (q, rank) in [(1, 1), (1, 0), (4, 4), (4, 2), (6, 1), (5, 0)] {
        let half = random(&mut numbers, q, rank);
        // Columns of very different sizes must keep their digits.
        let size = |i: usize| 10.0_f64.powi(6 - 5 * i as i32);
        let mut d = vec![0.0; q * q];
        for i in 0..q {
            for j in 0..q {
                d[i * q + j] = size(i) * size(j) * (0..rank).map(|k| half.at(i, k) * half.at(j, k)).sum::<f64>();
            }
        }
        let f = square_root(0, &d, q).unwrap();
        for i in 0..q {
            for j in 0..q {
                let sum: f64 = (0..q).map(|k| f[i * q + k] * f[j * q + k]).sum();
                assert!((sum - d[i * q + j]).abs() <= 1e-12 * (d[i * q + i] * d[j * q + j]).sqrt());
            }
        }
    }
    for bad in [[1.0, 2.0, 2.0, 1.0], [1.0, 0.1, 0.3, 1.0], [-1.0, 0.0, 0.0, 1.0], [0.0, 0.5, 0.5, 1.0]] {
        assert!(matches!(square_root(3, &bad, 2), Err(KernelError::NotSemidefinite { matrix: 3, .. })));
    }
}

/// Two clusters of one column beside inner groups, some rows of weight 2.
fn small() -> (Arc<Covariance>, Vec<f64>) {
    let mut numbers = Random::new(0, "small", 0);
    let n = 40;
    let columns: Vec<f64> = (0..2 * n).map(|_| numbers.normal()).collect();
    let codes = (0..n as i64).map(|i| i % 4).collect();
    let weights: Vec<f64> = (0..n).map(|i| 1.0 + (i % 2) as f64).collect();
    let parts = Parts {
        offsets: vec![0, 3, n],
        columns: &columns,
        n_columns: 2,
        terms: vec![Term { columns: vec![0, 1], inner: None }, Term { columns: vec![1], inner: Some(codes) }],
        rbf: None,
        weights: Some(&weights),
        dense_rows: 10,
    };
    (Arc::new(Covariance::new(parts).unwrap()), (0..n).map(|_| numbers.normal()).collect())
}

/// ½Σ log|V| − ½ a'Va, by the factor itself: a'Va through a solve with V.
fn objective(covariance: &Arc<Covariance>, a: &[f64], noise: f64, d: [&[f64]; 2]) -> f64 {
    let factors = Factors::new(covariance, &Variances { noise, matrices: &d, rbf: None }, *SERIAL).unwrap();
    // V = Λ + ZDZ' applied row by row.
    let mut total = 0.5 * factors.log_determinant.iter().sum::<f64>();
    for cluster in 0..covariance.n_clusters() {
        let rows = covariance.rows(cluster);
        let v = covariance.effects_matrix(cluster, &factors.roots, SERIAL).unwrap();
        for i in 0..v.rows {
            for j in i..v.rows {
                let twice = if i == j { 0.5 } else { 1.0 };
                total -= twice * v.at(i, j) * a[rows.start + i] * a[rows.start + j];
            }
            total -= 0.5 * noise / covariance.weight(rows.start + i) * a[rows.start + i].powi(2);
        }
    }
    total
}

#[test]
fn gradients_agree_with_differences() {
    let (covariance, a) = small();
    let (noise, d, inner) = (0.7, [1.0, 0.3, 0.3, 0.5], [0.4]);
    let variances = Variances { noise, matrices: &[&d, &inner], rbf: None };
    let factors = Factors::new(&covariance, &variances, *SERIAL).unwrap();
    let gradient = factors.gradient(&a, 1, *SERIAL).unwrap();
    let h = 1e-5;
    let slope = |f: &dyn Fn(f64) -> f64| (f(h) - f(-h)) / (2.0 * h);
    let close = |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-7 * (1.0 + wanted.abs()), "{got} {wanted}");
    close(gradient.noise, slope(&|e| objective(&covariance, &a, noise + e, [&d, &inner])));
    close(gradient.matrices[1][0], slope(&|e| objective(&covariance, &a, noise, [&d, &[inner[0] + e]])));
    let across = |e: f64| objective(&covariance, &a, noise, [&[d[0], d[1] + e, d[2] + e, d[3]], &inner]);
    close(gradient.matrices[0][1] + gradient.matrices[0][2], slope(&across));
}

#[test]
fn a_set_stop_is_an_interruption() {
    let stop = std::sync::atomic::AtomicBool::new(true);
    let (covariance, a) = small();
    let variances = Variances { noise: 1.0, matrices: &[&[1.0, 0.0, 0.0, 1.0], &[1.0]], rbf: None };
    let threads = Threads::serial().with_stop(&stop);
    assert!(matches!(Factors::new(&covariance, &variances, threads), Err(KernelError::Interrupted)));
    let factors = Factors::new(&covariance, &variances, *SERIAL).unwrap();
    assert_eq!(factors.solve(&a, 1, threads), Err(KernelError::Interrupted));
    assert!(factors.gradient(&a, 1, threads).is_err());
}
