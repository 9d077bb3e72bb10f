//! One place that turns the kernel's errors into Python's, and its defects too.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyArithmeticError, PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rfp_kernel::KernelError;

pyo3::create_exception!(
    rfpcore._rfpcore,
    DivergenceError,
    PyArithmeticError,
    "Clusters whose loss became non-finite. `args` is (message, cluster, step, loss, n_diverged), \
     and the index of theta where many were given."
);
pyo3::create_exception!(rfpcore._rfpcore, InternalError, PyRuntimeError, "A defect of rfpcore.");

/// The Python exception of a kernel error.
pub fn to_python(error: KernelError) -> PyErr {
    let message = error.to_string();
    match error {
        KernelError::Diverged { cluster, step, loss, n_diverged, .. } => {
            DivergenceError::new_err((message, cluster, step, loss, n_diverged))
        }
        KernelError::Theta { index, fault } => match *fault {
            KernelError::Diverged { cluster, step, loss, n_diverged, .. } => {
                DivergenceError::new_err((message, cluster, step, loss, n_diverged, index))
            }
            _ => PyValueError::new_err(message),
        },
        KernelError::Interrupted => PyKeyboardInterrupt::new_err(()),
        KernelError::Memory { .. } => PyMemoryError::new_err(message),
        KernelError::Model { ref fault, .. } if matches!(**fault, KernelError::Memory { .. }) => {
            PyMemoryError::new_err(message)
        }
        _ => PyValueError::new_err(message),
    }
}

/// Calls the kernel. A panic there is a defect; it becomes an exception that `except Exception` sees.
pub fn guarded<O>(call: impl FnOnce() -> Result<O, KernelError>) -> PyResult<O> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(to_python),
        Err(panic) => Err(defect(&*panic)),
    }
}

fn defect(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    InternalError::new_err(format!("a defect of rfpcore, please report it: {text}"))
}
