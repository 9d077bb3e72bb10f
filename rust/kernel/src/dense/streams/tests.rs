//! Masks against their rates, and streams on every instruction set, from any block on.

use super::*;
use crate::simd::Backend;
use crate::with_isa;

/// Five standard errors of a share; rates next to 0 and 1 are met as closely as 32 bits can.
#[test]
fn masks_meet_their_rates() {
    let n = 200_000;
    for rate in [0.0, 1e-4, 0.3, 0.5, 0.999] {
        let mut mask = vec![-1.0_f64; n];
        Stream::new(3, "test", 0).masks(pulp::Scalar, rate, 0, &mut mask);
        let kept = mask.iter().filter(|&&m| m == 1.0 / (1.0 - rate)).count();
        assert_eq!(kept + mask.iter().filter(|&&m| m == 0.0).count(), n, "other numbers at {rate}");
        let apart = kept as f64 / n as f64 - (1.0 - rate);
        assert!(apart.abs() <= 5.0 * (rate * (1.0 - rate) / n as f64).sqrt(), "{apart} apart from {rate}");
        // Neighbours, halves of one counter, and counters after each other are uncorrelated.
        for lag in [1, 16, 32] {
            let both = mask.iter().zip(&mask[lag..]).filter(|&(&a, &b)| a > 0.0 && b > 0.0).count();
            let (share, expected) = (both as f64 / (n - lag) as f64, (1.0 - rate).powi(2));
            // The variance of a mean of products of neighbours is at most three times that of independent ones.
            let spread = (3.0 * expected * (1.0 - expected) / n as f64).sqrt();
            assert!((share - expected).abs() <= 5.0 * spread, "lag {lag} at {rate}: {share}, {expected}");
        }
    }
    let mut mask = [1.0_f32; 99];
    Stream::new(3, "test", 0).masks(pulp::Scalar, 1.0 - 1e-12, 0, &mut mask);
    assert_eq!(mask, [0.0; 99]);
}

/// Whole blocks may be drawn apart, and an end needs no whole block.
#[test]
fn streams_are_the_same_in_pieces_and_on_every_instruction_set() {
    let stream = Stream::new(9, "test", 4);
    let draw = |backend: Backend, pieces: &[usize]| {
        let (mut normals, mut masks) = (vec![0.0_f32; 1000], vec![0.0_f64; 1000]);
        let mut from = 0;
        for to in pieces.iter().map(|&blocks| (blocks * BLOCK).min(1000)).chain([1000]) {
            let first = (from / BLOCK) as u64;
            with_isa!(backend, isa => {
                stream.normals(isa, first, &mut normals[from..to]);
                stream.masks(isa, 0.4, first, &mut masks[from..to]);
            });
            from = to;
        }
        (normals, masks)
    };
    let expected = draw(Backend::Portable(pulp::Scalar), &[]);
    for backend in Backend::available() {
        for pieces in [&[][..], &[1], &[3, 20, 31]] {
            assert_eq!(draw(backend, pieces), expected, "{} in {pieces:?}", backend.name());
        }
    }
}
