//! Whether to go on: asked now and then by the thread that called, while it works and while it waits for its helpers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is asked.
const PERIOD: Duration = Duration::from_millis(40);

/// A question whose answer may stop the work: the binding asks its interpreter for signals.
pub struct StopCheck<'a> {
    ask: &'a (dyn Fn() -> bool + Sync),
    stopped: AtomicBool,
    asker: usize,
    began: Instant,
    /// Nanoseconds after `began` at which it is to be asked again; only the asker reads and writes it.
    due: AtomicU64,
}

impl<'a> StopCheck<'a> {
    /// A question for the current thread to ask: true means stop.
    pub fn new(ask: &'a (dyn Fn() -> bool + Sync)) -> Self {
        let due = AtomicU64::new(PERIOD.as_nanos() as u64);
        Self { ask, stopped: AtomicBool::new(false), asker: here(), began: Instant::now(), due }
    }

    /// The last answer; on the asking thread it is asked again when that is due.
    pub fn says_stop(&self) -> bool {
        if self.stopped.load(Ordering::Relaxed) {
            return true;
        }
        if here() != self.asker {
            return false;
        }
        let now = self.began.elapsed();
        if (now.as_nanos() as u64) < self.due.load(Ordering::Relaxed) {
            return false;
        }
        let stop = (self.ask)();
        self.due.store((now + PERIOD).as_nanos() as u64, Ordering::Relaxed);
        self.stopped.store(stop, Ordering::Relaxed);
        stop
    }
}

/// A number that no other living thread has.
fn here() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// Counts down the helpers that are still at work, and waits for the last.
pub(crate) struct CountDownLatch {
    left: Mutex<usize>,
    changed: Condvar,
}

impl CountDownLatch {
    pub(crate) fn new() -> Self {
        Self { left: Mutex::new(0), changed: Condvar::new() }
    }

    /// Counts one helper in, and down when it is dropped, after a panic too.
    pub(crate) fn guard(&self) -> impl Drop + Send + '_ {
        struct Guard<'a>(&'a CountDownLatch);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
                self.0.changed.notify_one();
            }
        }
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Guard(self)
    }

    /// Waits until none is left, and asks meanwhile.
    pub(crate) fn wait(&self, stop_check: &StopCheck<'_>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while *left > 0 {
            left = self.changed.wait_timeout(left, PERIOD).unwrap_or_else(PoisonError::into_inner).0;
            drop(left);
            stop_check.says_stop();
            left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }
}
