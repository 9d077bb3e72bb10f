//! The outputs against plain sums, on every instruction set.

use super::*;
use crate::dense::Target;
use crate::system::random::Random;
use crate::testing::{GuardedMatrix, epsilon, on_every_backend, padded};

/// Numbers in the first columns and zeros in the padding, as activations have them.
fn zero_padded<T: Real>(random: &mut Random, rows: usize, width: usize, padded: usize) -> GuardedMatrix<T> {
    GuardedMatrix::new(rows, padded, |_, col| if col < width { random.normal() } else { 0.0 })
}

fn check_outputs<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(1, "outputs", 0);
    let step = if cfg!(miri) {
        199
    } else if cfg!(slow) {
        7
    } else {
        1
    };
    for i in (0..1600).step_by(step) {
        let (n_rows, width, n_outputs) = (1 + i % 40, 1 + i / 40, 1 + i % 9);
        let cols = padded::<S, T>(isa, width);
        let mut pair = || {
            let rows = zero_padded::<T>(&mut random, n_rows, width, cols);
            (rows, zero_padded::<T>(&mut random, n_outputs, width, cols))
        };
        let (first, second) = (pair(), (i % 2 == 0).then(pair));
        let bias = GuardedMatrix::<T>::random(&mut random, 1, n_outputs);
        let plane = n_rows.next_multiple_of(T::PAD);
        let mut into = GuardedMatrix::<T>::new(n_outputs, plane, |_, _| f64::NAN);
        let at = into.matrix_mut();
        let dot = |(rows, weights): &(GuardedMatrix<T>, GuardedMatrix<T>)| Dot {
            rows: rows.matrix(),
            weights: weights.matrix(),
        };
        let dots = (dot(&first), second.as_ref().map(dot));
        // SAFETY: the matrices have the sizes named, the width padded to registers and the planes to lines.
        unsafe { outputs(Processor::steady(isa), (n_rows, n_outputs, width), dots, bias.ptr(), at) };
        into.assert_guard_intact();
        for output in 0..n_outputs {
            for row in 0..n_rows {
                let terms = [Some(&first), second.as_ref()].into_iter().flatten().flat_map(|(rows, weights)| {
                    (0..width).map(move |col| rows.get(row, col) * weights.get(output, col))
                });
                let (sum, size) = terms.chain([bias.get(0, output)]).fold((0.0, 0.0), |(s, m), x| (s + x, m + x.abs()));
                // As many roundings as terms, the loop's included; the last is to T.
                let bound = (2 * width + 2) as f64 * epsilon::<T>() * size;
                let found = into.get(output, row);
                assert!((found - sum).abs() <= bound, "{found} instead of {sum}: {n_rows} × {width}, {}", S::NAME);
            }
            for row in n_rows..plane {
                assert_eq!(into.get(output, row), 0.0, "the planes' padding is zero");
            }
        }
    }
}

#[test]
fn outputs_of_one_or_two_pairs() {
    on_every_backend!(check_outputs);
}

fn check_plane_sums<S: Isa, T: Real>(isa: S) {
    let mut random = Random::new(2, "plane sums", 0);
    for n_rows in 1..=40 {
        let planes = 1 + n_rows % 7;
        let of = GuardedMatrix::<T>::random(&mut random, planes, n_rows);
        let from = GuardedMatrix::<T>::random(&mut random, 1, planes);
        let [mut first, mut second] = [0, 1].map(|_| GuardedMatrix::<T>::new(1, planes, |_, _| f64::NAN));
        let scale = T::from_f64(-0.5);
        let targets = [
            Some(Target { from: from.ptr(), to: first.ptr_mut(), scale, keep: None }),
            Some(Target { from: std::ptr::null(), to: second.ptr_mut(), scale, keep: None }),
        ];
        // SAFETY: the planes and the targets have the sizes named.
        unsafe { add_plane_sums(isa, (planes, n_rows), of.matrix(), targets) };
        first.assert_guard_intact();
        second.assert_guard_intact();
        for plane in 0..planes {
            let sum: f64 = (0..n_rows).map(|row| of.get(plane, row)).sum();
            let size: f64 = (0..n_rows).map(|row| of.get(plane, row).abs()).sum();
            let bound = (n_rows + 2) as f64 * epsilon::<T>() * (size + from.get(0, plane).abs());
            assert!((first.get(0, plane) - (from.get(0, plane) - 0.5 * sum)).abs() <= bound);
            assert!((second.get(0, plane) + 0.5 * sum).abs() <= bound);
        }
    }
}

#[test]
fn sums_of_planes() {
    on_every_backend!(check_plane_sums);
}
