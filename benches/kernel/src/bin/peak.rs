//! The ceiling: fused multiply-adds that never leave the registers.
//!
//!     peak [SECONDS [ISA [DTYPE [THREADS]]]]
//!
//! prints one line of JSON for each combination that the arguments leave open ("any" leaves one open), on as many
//! threads as the machine has cores, and on one. Each loop has more independent sums than the units' latency times their
//! number, so that nothing but the units limits it.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A loop of so many rounds; the floating-point operations it did.
type Loop = fn(u64) -> u64;

/// One loop of this machine: instruction set, element type, the loop.
type Peak = (&'static str, &'static str, Loop);

macro_rules! fma_loop {
    ($name:ident, $arch:ident, $feature:literal, $sums:literal, $number:ty, $set:ident, $fma:expr) => {
        fn $name(rounds: u64) -> u64 {
            #[target_feature(enable = $feature)]
            fn inner(rounds: u64) {
                use std::arch::$arch::*;
                // Towards 1 and never there: no infinities, no denormals, and no constant to fold.
                let (scale, shift) = ($set(black_box(0.5)), $set(black_box(0.5)));
                let mut sums = [$set(0.0); $sums];
                for _ in 0..rounds {
                    for sum in &mut sums {
                        *sum = $fma(scale, *sum, shift);
                    }
                }
                black_box(sums);
            }
            // SAFETY: listed by `available` only where the machine has the feature.
            unsafe { inner(rounds) };
            let lanes = register_bytes($feature) / size_of::<$number>();
            2 * rounds * ($sums * lanes) as u64
        }
    };
}

fn register_bytes(feature: &str) -> usize {
    match feature {
        "avx512f" => 64,
        "avx2,fma" => 32,
        _ => 16,
    }
}

#[cfg(target_arch = "x86_64")]
mod loops {
    use super::{Peak, black_box, register_bytes};

    fma_loop!(avx512_f32, x86_64, "avx512f", 24, f32, _mm512_set1_ps, _mm512_fmadd_ps);
    fma_loop!(avx512_f64, x86_64, "avx512f", 24, f64, _mm512_set1_pd, _mm512_fmadd_pd);
    fma_loop!(avx2_f32, x86_64, "avx2,fma", 12, f32, _mm256_set1_ps, _mm256_fmadd_ps);
    fma_loop!(avx2_f64, x86_64, "avx2,fma", 12, f64, _mm256_set1_pd, _mm256_fmadd_pd);

    pub fn available() -> Vec<Peak> {
        let mut all: Vec<Peak> = Vec::new();
        if is_x86_feature_detected!("avx512f") {
            all.extend([("avx512", "float32", avx512_f32 as _), ("avx512", "float64", avx512_f64 as _)]);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.extend([("avx2", "float32", avx2_f32 as _), ("avx2", "float64", avx2_f64 as _)]);
        }
        all
    }
}

#[cfg(target_arch = "aarch64")]
mod loops {
    use super::{Peak, black_box, register_bytes};

    fma_loop!(neon_f32, aarch64, "neon", 24, f32, vdupq_n_f32, |a, b, c| vfmaq_f32(c, a, b));
    fma_loop!(neon_f64, aarch64, "neon", 24, f64, vdupq_n_f64, |a, b, c| vfmaq_f64(c, a, b));

    pub fn available() -> Vec<Peak> {
        vec![("neon", "float32", neon_f32 as _), ("neon", "float64", neon_f64 as _)]
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod loops {
    pub fn available() -> Vec<super::Peak> {
        Vec::new()
    }
}

/// GFLOP/s of all threads together, each running for `seconds` from a common start.
fn rate(work: Loop, threads: usize, seconds: f64) -> f64 {
    let start = Barrier::new(threads);
    let one = || {
        work(10_000); // wakes the unit's upper half up
        start.wait();
        let began = Instant::now();
        let mut operations = 0;
        while began.elapsed() < Duration::from_secs_f64(seconds) {
            operations += work(20_000);
        }
        operations as f64 / began.elapsed().as_secs_f64()
    };
    let total: f64 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().expect("the loop does not panic")).sum()
    });
    total / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |at: usize, value: &str| arguments.get(at).is_none_or(|asked| asked == "any" || asked == value);
    let seconds = arguments.first().map_or(0.2, |text| text.parse().expect("SECONDS is a number"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = vec![1, cores];
    counts.extend(arguments.get(3).and_then(|text| text.parse::<usize>().ok()));
    counts.sort_unstable();
    counts.dedup();
    for (isa, dtype, work) in loops::available() {
        for &threads in counts.iter().filter(|n| wanted(3, &n.to_string())) {
            if wanted(1, isa) && wanted(2, dtype) {
                let gflops = rate(work, threads, seconds);
                println!(r#"{{"isa":"{isa}","dtype":"{dtype}","threads":{threads},"gflops":{gflops:.2}}}"#);
            }
        }
    }
}
