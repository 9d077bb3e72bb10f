//! The trainer of many models.

mod call;
mod dropout;
mod model;
mod outcome;

pub use call::{draws, fit_many, fold_batch_norm};
pub use dropout::{dropout_gradient, dropout_mask, input_mask};
pub use model::Model;
pub use outcome::Outcome;
