//! Products against plain sums, and what is refused.

use super::{Precision, PrecisionBlock};
use crate::simd::{Isa, Real};
use crate::system::error::KernelError;
use crate::system::random::Random;
use crate::testing::{epsilon, on_every_backend};

/// As numbers of the type; exact in either where they came from f32.
fn narrowed<T: Real>(numbers: &[f64]) -> Vec<T> {
    numbers.iter().map(|&x| T::from_f64(x)).collect()
}

fn normals(random: &mut Random, count: usize) -> Vec<f64> {
    (0..count).map(|_| f64::from(random.normal() as f32)).collect()
}

fn symmetric(random: &mut Random, n: usize) -> Vec<f64> {
    let half = normals(random, n * n);
    let pairs = (0..n).flat_map(|i| (0..n).map(move |j| (i.min(j), i.max(j))));
    pairs.map(|(i, j)| half[i * n + j]).collect()
}

/// The product in f64, and for each element the sum of its terms' sizes.
fn naive(matrix: &[f64], x: &[f64]) -> Vec<(f64, f64)> {
    let row = |row: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).fold((0.0, 0.0), |(s, t), p| (s + p, t + p.abs()));
    matrix.chunks_exact(x.len()).map(row).collect()
}

fn applied<S: Isa, T: Real>(isa: S, block: &PrecisionBlock<T>, x: &[f64]) -> Vec<f64> {
    let mut out = vec![T::from_f64(f64::NAN); x.len()];
    block.apply(isa, &narrowed(x), &mut out);
    out.iter().map(|x| x.to_f64()).collect()
}

fn assert_near<T: Real>(found: &[f64], expected: &[(f64, f64)]) {
    for (i, (found, (expected, size))) in found.iter().zip(expected).enumerate() {
        // Roundings of n sums mostly cancel; the bound of all of them would be n/8 times as much.
        let allowed = epsilon::<T>() * size * 8.0;
        assert!((found - expected).abs() <= allowed, "{i}: {found} for {expected}, {allowed} allowed");
    }
}

fn dense_products<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(0, "precision", 0);
    for n in (1..=70).chain([128, 129, 300]) {
        let (matrix, x) = (symmetric(&mut random, n), normals(&mut random, n));
        let block = PrecisionBlock::Dense(narrowed::<T>(&matrix));
        assert_eq!(block.rows(), n);
        assert_near::<T>(&applied(isa, &block, &x), &naive(&matrix, &x));
        let identity: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i % (n + 1) == 0))).collect();
        assert_eq!(applied(isa, &PrecisionBlock::Dense(narrowed::<T>(&identity)), &x), x, "{n} rows of the identity");
    }
}

fn low_rank_products<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(1, "precision", 0);
    for (n, rank) in [(1, 1), (3, 0), (9, 2), (40, 7), (130, 64), (90, 65), (20, 150)] {
        let (diagonal, factor) = (normals(&mut random, n), normals(&mut random, n * rank));
        let x = normals(&mut random, n);
        let element = |i: usize, j: usize| {
            let inner = (0..rank).map(|k| factor[i * rank + k] * factor[j * rank + k]).sum::<f64>();
            f64::from(u8::from(i == j)) * diagonal[i] - inner
        };
        let matrix: Vec<f64> = (0..n * n).map(|at| element(at / n, at % n)).collect();
        let block = PrecisionBlock::LowRank { diagonal: narrowed::<T>(&diagonal), factor: narrowed(&factor), rank };
        assert_eq!(block.rows(), n);
        // Its terms are those of the factor, not of the finished matrix.
        let size = |(value, size): (f64, f64)| (value, size + rank as f64 * n as f64);
        let expected: Vec<_> = naive(&matrix, &x).into_iter().map(size).collect();
        assert_near::<T>(&applied(isa, &block, &x), &expected);
    }
}

#[test]
fn products_are_those_of_plain_sums() {
    on_every_backend!(dense_products);
    on_every_backend!(low_rank_products);
}

#[test]
fn what_is_refused() {
    let fault = |block| Precision::<f64>::new(vec![PrecisionBlock::Dense(vec![1.0]), block]).unwrap_err().to_string();
    let dense = |numbers: &[f64]| fault(PrecisionBlock::Dense(numbers.to_vec()));
    assert_eq!(dense(&[1.0, 2.0]), "the precision of cluster 1 has 2 numbers, which are no square matrix");
    assert_eq!(dense(&[]), "the precision of cluster 1 has 0 numbers, which are no square matrix");
    assert!(dense(&[1.0, f64::NAN, 0.0, 1.0]).contains("non-finite value (NaN) at index 1 of the matrix"));
    assert!(dense(&[1.0, 2.0, 3.0, 1.0]).contains("is not symmetric: element (1, 0) is 3, (0, 1) is 2"));
    let low = |diagonal: &[f64], factor: &[f64], rank| {
        fault(PrecisionBlock::LowRank { diagonal: diagonal.to_vec(), factor: factor.to_vec(), rank })
    };
    assert!(low(&[1.0, 1.0], &[1.0], 1).contains("a diagonal of 2 and a factor of 1 numbers for rank 1"));
    assert!(low(&[1.0, f64::INFINITY], &[1.0, 1.0], 1).contains("(inf) at index 1 of the diagonal"));
    assert!(low(&[1.0], &[f64::NAN], 1).contains("(NaN) at index 0 of the factor"));
    // As rounded as an inverse may be.
    assert!(Precision::new(vec![PrecisionBlock::Dense(vec![1.0, 0.5 + 1e-12, 0.5, 1.0])]).is_ok());
}

#[test]
fn sizes_are_those_of_the_clusters() {
    let precision = Precision::dense(&[0, 2, 3], &[1.0_f32, 0.0, 0.0, 1.0, 2.0]).unwrap();
    assert_eq!((precision.rows(0), precision.rows(1)), (2, 1));
    let mut out = [0.0];
    precision.apply(1, &[3.0], &mut out);
    assert_eq!(out, [6.0]);
    let error = |offsets: &[usize]| precision.validate_for(offsets).unwrap_err().to_string();
    assert_eq!(error(&[0, 3]), "the precision (clusters) has 2 elements, needs 1");
    assert_eq!(error(&[0, 2, 4]), "the precision of cluster 1 has 1 rows, the cluster has 2");
    let short = Precision::dense(&[0, 2], &[1.0_f64; 3]);
    assert_eq!(short, Err(KernelError::Length { what: "the clusters' matrices", got: 3, needed: 4 }));
}
