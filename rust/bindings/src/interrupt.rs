//! Long calls answer Ctrl-C: the work runs beside the calling thread, which looks for signals.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::prelude::*;
use rfp_kernel::{KernelError, SERIAL_WORK, Threads, pool};

use crate::errors::to_python;

/// How often signals are looked for.
const PERIOD: Duration = Duration::from_millis(20);
/// Multiplications that are done in a few of these periods even on a slow machine: such calls are not watched.
const SHORT_WORK: f64 = 1e8;

/// Calls the kernel without the interpreter. `work` is about how many multiplications it takes: a small call stays on
/// this thread, a long one is watched for signals.
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
    let stop = AtomicBool::new(false);
    let mut signal = None;
    let result = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, finished) = channel();
            let stop = &stop;
            scope.spawn(move || {
                // The receiver lives as long as this scope.
                let _ = done.send(call(threads.with_stop(stop)));
            });
            loop {
                match finished.recv_timeout(PERIOD) {
                    Ok(result) => return Some(result),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if signal.is_none()
                    && let Err(error) = Python::attach(|py| py.check_signals())
                {
                    signal = Some(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        })
    });
    match (signal, result) {
        (Some(signal), _) => Err(signal),
        (None, Some(result)) => result.map_err(to_python),
        (None, None) => Err(pyo3::exceptions::PyRuntimeError::new_err("the kernel stopped without a result")),
    }
}
