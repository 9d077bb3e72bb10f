//! The trainer of many models.

mod call;
mod model;
mod outcome;

pub use call::{draws, dropout_mask, fit_many, fold_batch_norm};
pub use model::Model;
pub use outcome::Outcome;
