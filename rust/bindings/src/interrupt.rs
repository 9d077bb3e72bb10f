//! Long calls answer Ctrl-C: the work runs beside the calling thread, which looks for signals.

use std::convert::Infallible;
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
    streamed(py, n_threads, |threads, _: &Sender<Infallible>| call(threads), |_, never| match never {})
}

/// What the work sends to the calling thread.
enum Event<M, O> {
    /// A part of the result.
    Part(M),
    /// The whole of it.
    Done(Result<O, KernelError>),
}

/// Where the work puts parts of the result.
pub struct Sender<'a, M>(&'a (dyn Fn(M) + Sync));

impl<M> Sender<'_, M> {
    /// Hands a part to the calling thread.
    pub fn send(&self, part: M) {
        (self.0)(part);
    }
}

/// As [`detached`] for work that gives its result in parts, which `receive` takes on this thread, with the interpreter, in
/// the order of their coming. An error of `receive` stops the work, as a signal does.
pub fn streamed<M: Send, O: Send>(
    py: Python<'_>,
    n_threads: usize,
    call: impl FnOnce(Threads<'_>, &Sender<'_, M>) -> Result<O, KernelError> + Send,
    mut receive: impl FnMut(Python<'_>, M) -> PyResult<()> + Send,
) -> PyResult<O> {
    let pool = pool(n_threads);
    let threads = Threads::with_pool(pool.as_deref());
    let stop = AtomicBool::new(false);
    let mut error = None;
    let result = py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, events) = channel();
            let stop = &stop;
            scope.spawn(move || {
                // The receiver lives as long as this scope.
                let part = |part| drop(sender.send(Event::Part(part)));
                let result = call(threads.with_stop(stop), &Sender(&part));
                let _ = sender.send(Event::Done(result));
            });
            loop {
                let checked = match events.recv_timeout(PERIOD) {
                    Ok(Event::Done(result)) => return Some(result),
                    Ok(Event::Part(part)) if error.is_none() => Python::attach(|py| receive(py, part)),
                    Ok(Event::Part(_)) => Ok(()),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) if error.is_some() => Ok(()),
                    Err(RecvTimeoutError::Timeout) => Python::attach(|py| py.check_signals()),
                };
                if let Err(fault) = checked {
                    error = Some(fault);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        })
    });
    match (error, result) {
        (Some(error), _) => Err(error),
        (None, Some(result)) => result.map_err(to_python),
        (None, None) => Err(pyo3::exceptions::PyRuntimeError::new_err("the kernel stopped without a result")),
    }
}
