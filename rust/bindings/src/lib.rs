//! The compiled extension `rfpcore._rfpcore`: converts, detaches from the interpreter, calls the kernel, maps the error.

mod arrays;
mod calls;
mod covariance;
mod derivatives;
mod errors;
mod interrupt;
mod many;
mod objective;
mod options;
mod outputs;
mod particles;
mod precision;
mod predict;
mod refits;
mod trainer;

use pyo3::prelude::*;

/// The compiled kernel of rfpcore.
#[pymodule(gil_used = false)]
mod _rfpcore {
    #[pymodule_export]
    use crate::arrays::ClusterData;
    #[pymodule_export]
    use crate::calls::isa;
    #[pymodule_export]
    use crate::covariance::{Covariance, Factors};
    #[pymodule_export]
    use crate::derivatives::{curvature, gradients, hvp};
    #[pymodule_export]
    use crate::errors::{DivergenceError, InternalError};
    #[pymodule_export]
    use crate::many::{Model, Outcome, draws, dropout_gradient, dropout_mask, fit_many, fold_batch_norm, input_mask};
    #[pymodule_export]
    use crate::objective::{Objective, adapt, objective, value_and_grad};
    #[pymodule_export]
    use crate::options::{Architecture, Inner, Optimizer, Patience};
    #[pymodule_export]
    use crate::outputs::{jvp, output_hvp, vjp};
    #[pymodule_export]
    use crate::particles::{
        BilevelData, BilevelOptions, Particles, particle_gradient, particle_noise, particle_rows, particle_values,
        solve_bilevel,
    };
    #[pymodule_export]
    use crate::precision::Precision;
    #[pymodule_export]
    use crate::predict::{predict, predict_each};
    #[pymodule_export]
    use crate::refits::refit;
    #[pymodule_export]
    use crate::trainer::Trainer;

    /// A forced instruction set that cannot be run is an error on import, not a silent other choice.
    #[pymodule_init]
    fn init(_: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        rfp_kernel::simd::Backend::check_request().map_err(pyo3::exceptions::PyImportError::new_err)
    }
}
