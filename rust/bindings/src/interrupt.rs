//! Calls into the kernel without the interpreter; long ones ask it for signals now and then, so that Ctrl-C stops them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use rfp_kernel::{KernelError, SERIAL_WORK, StopCheck, Threads, pool};

use crate::errors::{guarded, to_python};

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
        return py.detach(|| guarded(|| call(Threads::serial())));
    }
    let pool = pool(n_threads).map_err(to_python)?;
    let threads = Threads::with_pool(pool.as_deref());
    if work < SHORT_WORK {
        return py.detach(|| guarded(|| call(threads)));
    }
    let signal = Mutex::new(None);
    let ask = || {
        let raised = Python::attach(|py| py.check_signals()).err();
        let stop = raised.is_some();
        *signal.lock().unwrap_or_else(PoisonError::into_inner) = raised;
        stop
    };
    let stop_check = StopCheck::new(&ask);
    let result = py.detach(|| guarded(|| call(threads.with_stop_check(&stop_check))));
    match signal.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(signal) => Err(signal),
        None => result,
    }
}

/// Where work puts the parts of its result.
pub struct Parts<M>(Sender<M>);

impl<M> Parts<M> {
    /// Hands a part to the calling thread.
    pub fn send(&self, part: M) {
        // The receiver lives as long as the call; a part that nobody waits for any more is dropped.
        let _ = self.0.send(part);
    }
}

/// The calling thread's side of [`streamed`].
struct Receiving<M, R> {
    parts: Receiver<M>,
    receive: R,
    /// What went wrong: an error of `receive`, or a signal.
    error: Option<PyErr>,
    /// Whether `receive` went wrong: it is not called again.
    refused: bool,
}

impl<M, R: FnMut(Python<'_>, M) -> PyResult<()>> Receiving<M, R> {
    /// Takes over what has come.
    fn drain(&mut self, py: Python<'_>) {
        while let Ok(part) = self.parts.try_recv() {
            if self.refused {
                continue;
            }
            if let Err(error) = (self.receive)(py, part) {
                (self.refused, self.error) = (true, Some(error));
            }
        }
    }

    /// Takes over what has come and looks for signals; whether to stop.
    fn says_stop(&mut self, py: Python<'_>) -> bool {
        self.drain(py);
        if self.error.is_none() {
            self.error = py.check_signals().err();
        }
        self.error.is_some()
    }
}

/// As [`detached`] for work whose result comes in parts. `receive` takes them on this thread, with the interpreter, in the
/// order of their coming, while the work goes on; its error stops the work, as a signal does. Parts that were done before
/// a signal are received all the same.
pub fn streamed<M: Send>(
    py: Python<'_>,
    n_threads: usize,
    call: impl FnOnce(Threads<'_>, &Parts<M>) -> Result<(), KernelError> + Send,
    receive: impl FnMut(Python<'_>, M) -> PyResult<()> + Send,
) -> PyResult<()> {
    let pool = pool(n_threads).map_err(to_python)?;
    let (sender, parts) = channel();
    let sender = Parts(sender);
    let receiving = Mutex::new(Receiving { parts, receive, error: None, refused: false });
    let ask = || Python::attach(|py| receiving.lock().unwrap_or_else(PoisonError::into_inner).says_stop(py));
    let stop_check = StopCheck::new(&ask);
    let threads = Threads::with_pool(pool.as_deref()).with_stop_check(&stop_check);
    let result = py.detach(|| guarded(|| call(threads, &sender)));
    let mut receiving = receiving.into_inner().unwrap_or_else(PoisonError::into_inner);
    receiving.drain(py);
    match receiving.error {
        Some(error) => Err(error),
        None => result,
    }
}
