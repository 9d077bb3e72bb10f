//! Exact second-order training of very many small neural networks on a CPU.
//!
//! A cluster is a few rows of data; a network is adapted to each by k steps of gradient descent, and the objective R_k
//! weighs the losses before and after. [`evaluate`] gives R_k and its exact gradient, [`adapt`] the adapted parameters,
//! [`Trainer`] the outer loop. `outer.rs` is the place to start reading.

mod activation;
mod adapt;
mod architecture;
mod backward;
mod clusters;
mod dense;
mod dual;
mod epilogues;
mod error;
mod forward;
mod head;
mod hessian;
mod inner;
mod loss;
pub mod many;
pub mod memory;
mod optimizer;
mod outer;
pub mod particles;
mod passes;
mod pools;
mod predict;
mod question;
mod random;
mod refits;
mod rows;
mod setting;
mod share;
pub mod simd;
mod start;
mod sweep;
mod tangent;
mod target;
#[cfg(test)]
mod testing;
mod threads;
mod tile;
mod train;
mod vectors;
mod workspace;

pub use activation::{ACTIVATIONS, Activation};
pub use adapt::adapt;
pub use architecture::{Architecture, MOST_LAYERS};
pub use clusters::{Clusters, balanced};
pub use error::{ClusterStatus, KernelError};
pub use hessian::{curvature, hessian_vector};
pub use loss::{LOSSES, Loss};
pub use optimizer::{Decay, L1, L1Method, Moments, Optimizer, Penalties, Rule, Schedule};
pub use outer::{Evaluation, Objective, SERIAL_WORK, Wanted, evaluate, work};
pub use pools::{MOST_THREADS, pool};
pub use predict::{predict, predict_each};
pub use question::Question;
pub use random::Random;
pub use refits::{Refit, Refitted, Watch, refit};
pub use setting::{Inner, StepSize};
pub use threads::Threads;
pub use train::{State, Trainer};
