//! Mean-field networks of particles, and the fully first-order bilevel Langevin dynamics of nonparametric
//! instrumental variables (F²BMLD: Chen, Nitanda, Gretton & Suzuki, 2025).
//!
//! Three networks h(x) = (1/N) Σᵢ Ψ(x, θᵢ): the structural one at x, and on the instruments z a first stage that follows
//! its values and a penalised twin that also follows y. `dynamics.rs` has the two loops, and is the place to start reading.

mod batch;
mod dynamics;
mod gradient;
mod network;
mod problem;
mod run;
mod shape;
mod solve;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use crate::dense::streams::normals;
pub use batch::batch_rows;
pub use gradient::{gradient, values};
pub use problem::Problem;
pub use run::{LossRecord, Options, Rates, Run, Solver, Trajectory};
pub use shape::Particles;
pub use solve::solve;
