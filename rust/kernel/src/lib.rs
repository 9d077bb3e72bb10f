//! Exact second-order training of very many small neural networks on a CPU.
//!
//! A cluster is a few rows of data; a network is adapted to each by k steps of gradient descent, and the objective R_k
//! weighs the losses before and after. [`evaluate`] gives R_k and its exact gradient, [`adapt`] the adapted parameters,
//! [`Trainer`] the outer loop. A folder is an idea: `system`, `simd` and `dense` are the ground, `network` is one network at
//! one point, `covariance` is what the rows of a cluster have in common, `objective` is R_k over all clusters, `optimizer`
//! and `training` descend on it, `many` and `particles` are the two other ways of training. `objective/mod.rs` is the
//! place to start reading.

pub mod covariance;
mod dense;
pub mod many;
mod network;
mod objective;
mod optimizer;
pub mod particles;
pub mod simd;
mod system;
#[cfg(test)]
mod testing;
mod training;

pub use covariance::precision::{Precision, PrecisionBlock};
pub use network::activation::{ACTIVATIONS, Activation};
pub use network::architecture::{Architecture, MOST_LAYERS};
pub use network::loss::{LOSSES, Loss};
pub use network::predict::{jvp, predict, predict_each};
pub use objective::adapt::adapt;
pub use objective::clusters::{Clusters, balanced};
pub use objective::gradients::gradients;
pub use objective::hessian::{curvature, hessian_vector};
pub use objective::outputs::{output_hessian_vector, vjp};
pub use objective::setting::{Evaluation, ExtraOutputs, Inner, Objective, StepSize};
pub use objective::{SERIAL_WORK, evaluate, work};
pub use optimizer::{Decay, L1, L1Method, Moments, Optimizer, Penalties, Rule, Schedule};
pub use system::error::{ClusterStatus, KernelError};
pub use system::memory;
pub use system::pools::{MOST_THREADS, Pool, pool};
pub use system::random::Random;
pub use system::stop_check::StopCheck;
pub use system::threads::Threads;
pub use training::refits::{Refit, Refitted, Watch, refit};
pub use training::stopping::{Patience, Verdict};
pub use training::{State, Trainer};
