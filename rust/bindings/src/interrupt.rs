//! Calls into the kernel without the interpreter; long ones ask it for signals now and then, so that Ctrl-C stops them.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use rfp_kernel::{KernelError, Question, SERIAL_WORK, Threads, pool};

use crate::errors::to_python;

/// Multiplications that are done in some milliseconds even on a slow machine: such calls do not ask.
const SHORT_WORK: f64 = 1e7;

/// Calls the kernel without the interpreter. `work` is about how many multiplications it takes: a small call stays on
/// this thread, a long one answers signals.
pub fn detached<O: Send>(
    py: Python<'_>,
    work: f64,
    n_threads: usize,
    call: impl FnOnce(Threads<'_>) -> Result<O, KernelError> + Send,
) -> PyResult<O> {
    if work < SERIAL_WORK {
        return py.detach(|| call(Threads::serial())).map_err(to_python);
    }
    let pool = pool(n_threads);
    let threads = Threads::with_pool(pool.as_deref());
    if work < SHORT_WORK {
        return py.detach(|| call(threads)).map_err(to_python);
    }
    let signal = Mutex::new(None);
    let ask = || {
        let raised = Python::attach(|py| py.check_signals()).err();
        let stop = raised.is_some();
        *signal.lock().unwrap_or_else(PoisonError::into_inner) = raised;
        stop
    };
    let question = Question::new(&ask);
    let result = py.detach(|| call(threads.with_question(&question)));
    match signal.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(signal) => Err(signal),
        None => result.map_err(to_python),
    }
}
