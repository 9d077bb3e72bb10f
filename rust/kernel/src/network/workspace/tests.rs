//! Scratch is aligned, and zero where it is promised to be, also when it was used before.

use super::*;

#[test]
fn buffers_are_aligned_and_zero_even_when_reused() {
    for len in [0, 1, 7, 16, 1000, if cfg!(miri) { 5_000 } else { 100_000 }] {
        for _ in 0..3 {
            let mut buffer = Buffer::<f64>::new("a test", len).unwrap();
            assert_eq!(buffer.len(), len);
            assert!(buffer.is_empty() || buffer.as_ptr().addr().is_multiple_of(64));
            assert!(buffer.iter().all(|&x| x == 0.0));
            buffer.fill(f64::NAN);
            // Freed and taken again, as the other type too.
            let mut other = Buffer::<f32>::new("a test", 2 * len).unwrap();
            assert!(other.iter().all(|&x| x == 0.0));
            other.fill(f32::NAN);
        }
    }
}

/// Two buffers of one size that are alive together do not share memory.
#[test]
fn buffers_do_not_overlap() {
    drop([Buffer::<f32>::new("a test", 64).unwrap(), Buffer::new("a test", 64).unwrap()]);
    let [mut a, mut b] = [Buffer::<f32>::new("a test", 64).unwrap(), Buffer::new("a test", 64).unwrap()];
    a.fill(1.0);
    b.fill(2.0);
    assert!(a.iter().all(|&x| x == 1.0));
}

/// A buffer may be freed on another thread than it was made on, and on a thread that ends.
#[test]
fn buffers_move_between_threads() {
    let buffer = Buffer::<f64>::new("a test", 1000).unwrap();
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    let made = std::thread::spawn(|| Buffer::<f64>::new("a test", 1000).unwrap()).join().unwrap();
    assert!(made.iter().all(|&x| x == 0.0));
}
