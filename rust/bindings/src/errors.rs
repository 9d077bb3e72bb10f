//! One place that turns the kernel's errors into Python's.

use pyo3::exceptions::{PyArithmeticError, PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use rfp_kernel::KernelError;

pyo3::create_exception!(
    _rfpcore,
    DivergenceError,
    PyArithmeticError,
    "Clusters whose loss became non-finite. `args` is (message, cluster, step, loss, n_diverged)."
);

/// The Python exception of a kernel error.
pub fn to_python(error: KernelError) -> PyErr {
    let message = error.to_string();
    match error {
        KernelError::Diverged { cluster, step, loss, n_diverged, .. } => {
            DivergenceError::new_err((message, cluster, step, loss, n_diverged))
        }
        KernelError::Interrupted => PyKeyboardInterrupt::new_err(()),
        _ => PyValueError::new_err(message),
    }
}
