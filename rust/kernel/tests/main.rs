//! One binary for all tests of the public interface: the kernel is compiled into each test binary once for every element
//! type and instruction set, so several would multiply the build time.

mod checkpoints;
mod common;
mod determinism;
mod exactness;
mod isa;
mod long_sums;
mod misuse;
mod optimizers;
mod precision;
mod refits;
