//! Covariances of a cluster's rows: V = s²diag(1/ω) + Σ ZDZᵀ + v·exp(−½|x − x'|²/ℓ²).
//!
//! The effects of a term are one vector a cluster, or one for each of its inner groups. [`Covariance`] is the structure,
//! [`Factors`] are all clusters' matrices at given variances: log-determinants, solves, the likelihood's gradient,
//! posteriors, draws; `laplace.rs` has the likelihood of outcomes that are not normal. Three forms of a cluster: the matrix itself; diagonal and low rank where there is no kernel
//! (`design.rs`, `arrow.rs`); and so with a kernel over inducing rows where a cluster has many (`inducing.rs`). All in
//! f64; nothing inverts D, which may be singular.

mod arrow;
mod blocks;
mod cholesky;
mod design;
mod draws;
mod factor;
mod family;
mod gradient;
mod gradient_low_rank;
mod inducing;
mod inner;
mod laplace;
mod laplace_posterior;
mod latent;
mod mode;
mod new_rows;
mod padded;
mod posterior;
pub mod precision;
mod rbf;
mod roots;
mod semidefinite;
mod side;
mod solve;
mod structure;

pub use factor::{Factors, Variances};
pub use family::Family;
pub use gradient::Gradient;
pub use laplace::{Laplace, Outcomes};
pub use new_rows::NewRows;
pub use structure::{Covariance, Parts, Term};

#[cfg(test)]
mod tests;
