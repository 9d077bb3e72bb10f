//! Transposes move every number of the padded matrix, bit by bit, and nothing else.

use super::*;
use crate::testing::{GuardedMatrix, on_every_backend};

fn check<S: Isa, T: Real>(isa: S) {
    for rows in 1..=40 {
        for cols in [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 40] {
            let [height, width] = [rows, cols].map(|n: usize| n.next_multiple_of(T::PAD));
            let from = GuardedMatrix::<T>::new(height, width, |row, col| (row * 1000 + col) as f64);
            let mut to = GuardedMatrix::<T>::new(width, height, |_, _| f64::NAN);
            let (source, target) = ((from.ptr(), from.stride()), (to.ptr_mut(), to.stride()));
            // SAFETY: both matrices have whole blocks.
            unsafe { transpose(isa, (rows, cols), source, target) };
            to.assert_guard_intact();
            for row in 0..height {
                for col in 0..width {
                    assert_eq!(to.get(col, row), (row * 1000 + col) as f64, "{rows} × {cols}, {}", S::NAME);
                }
            }
        }
    }
}

#[test]
fn every_number_at_its_place() {
    on_every_backend!(check);
}
