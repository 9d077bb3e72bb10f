//! Who does the work: the calling thread, and helpers from a pool (`pools.rs`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::pools::Pool;
use crate::system::stop_check::{CountDownLatch, StopCheck};

/// The calling thread, alone or with a pool's threads, and what stops them.
#[derive(Clone, Copy)]
pub struct Threads<'a> {
    pool: Option<&'a Pool>,
    stop: Option<&'a AtomicBool>,
    stop_check: Option<&'a StopCheck<'a>>,
}

impl<'a> Threads<'a> {
    /// The calling thread alone.
    pub const fn serial() -> Self {
        Self { pool: None, stop: None, stop_check: None }
    }

    /// The calling thread and the threads of a pool.
    pub fn with_pool(pool: Option<&'a Pool>) -> Self {
        Self { pool, stop: None, stop_check: None }
    }

    /// The same threads, stopped between inner steps once the flag is set.
    pub fn with_stop(self, stop: &'a AtomicBool) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The same threads, stopped between inner steps once the check says so; the calling thread asks it.
    pub fn with_stop_check(self, stop_check: &'a StopCheck<'a>) -> Self {
        Self { stop_check: Some(stop_check), ..self }
    }

    /// The calling thread alone, stopped by the same.
    pub fn alone(self) -> Self {
        Self { pool: None, ..self }
    }

    /// How many threads work.
    pub fn count(&self) -> usize {
        1 + self.pool.map_or(0, Pool::size)
    }

    /// Whether the caller asked to stop.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) || self.stop_check.is_some_and(StopCheck::says_stop)
    }

    /// An error where the caller asked to stop.
    ///
    /// # Errors
    /// [`KernelError::Interrupted`].
    #[inline]
    pub fn check(&self) -> Result<(), KernelError> {
        if self.is_stopped() { Err(KernelError::Interrupted) } else { Ok(()) }
    }

    /// Room for the workers of up to `most` threads, the first of them made: what one takes of scratch is then known, and
    /// as many threads take part as have room for theirs.
    ///
    /// # Errors
    /// [`KernelError::Memory`] where not even one has room.
    pub fn workers<W>(
        &self,
        most: usize,
        make: impl FnOnce() -> Result<W, KernelError>,
    ) -> Result<Vec<Option<W>>, KernelError> {
        let most = self.count().min(most);
        if most == 0 {
            return Ok(Vec::new());
        }
        let mut workers = memory::room("a list of threads", most)?;
        let before = memory::taken();
        // Pushed where it is made: a small call must not pay for moving it about.
        match make() {
            Ok(first) => workers.push(Some(first)),
            Err(error) => return Err(error.of("the scratch of one thread", memory::taken().wrapping_sub(before))),
        }
        let bytes = memory::taken().wrapping_sub(before);
        let mut others = most - 1;
        while others > 0 && memory::could_have("the scratch of all threads", others.saturating_mul(bytes)).is_err() {
            others /= 2;
        }
        workers.resize_with(1 + others, || None);
        Ok(workers)
    }

    /// `work` of each item, as many at a time as there are threads, each with a worker of its own; the results in order.
    /// What found no memory beside others is done once more by itself.
    ///
    /// # Errors
    /// The first of `work`'s, [`KernelError::Memory`] where not even one worker has room, or [`KernelError::Interrupted`].
    pub fn map<I: Send, W: Send, R: Send>(
        &self,
        items: impl ExactSizeIterator<Item = I>,
        make: impl Fn() -> Result<W, KernelError> + Sync,
        work: impl Fn(&mut W, &mut I) -> Result<R, KernelError> + Sync,
    ) -> Result<Vec<R>, KernelError> {
        let slots = memory::list("a list of results", items.map(|item| Mutex::new((item, None))))?;
        let mut workers = self.workers(slots.len(), &make)?;
        self.share(&mut workers, make, &slots, |worker, (item, result)| *result = Some(work(worker, item)));
        self.check()?;
        let several = workers.len() > 1;
        workers.truncate(1);
        let mut done = memory::room("a list of results", slots.len())?;
        for slot in slots {
            let (mut item, result) = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            done.push(match (result, &mut workers[..]) {
                (Some(Err(KernelError::Memory { .. })), [Some(worker)]) if several => work(worker, &mut item)?,
                (result, _) => result.unwrap_or(Err(KernelError::Interrupted))?,
            });
        }
        Ok(done)
    }

    /// Calls `work` once on each item, as many at a time as there are workers, until told to stop. A worker is made by the
    /// thread that uses it, so that its pages are near; where it finds no room the others do the work. Helpers that are at
    /// work on other calls join in once they are free, if there are items left.
    pub fn share<I: Send, W: Send>(
        &self,
        workers: &mut [Option<W>],
        make: impl Fn() -> Result<W, KernelError> + Sync,
        items: &[Mutex<I>],
        work: impl Fn(&mut W, &mut I) + Sync,
    ) {
        let next = AtomicUsize::new(0);
        self.each(workers, |slot, recruit| {
            let Ok(worker) = made(slot, &make) else { return };
            while !self.is_stopped() {
                let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                work(worker, &mut item.lock().unwrap_or_else(PoisonError::into_inner));
                if next.load(Ordering::Relaxed) < items.len() {
                    recruit();
                }
            }
        });
    }

    /// Calls `work` once on each number below `count`, as many at a time as there are threads that no other call has at work;
    /// to stop is the work's matter.
    pub fn numbers(&self, count: usize, work: impl Fn(usize) + Sync) {
        let next = AtomicUsize::new(0);
        let mine = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < count);
        // Workers without state take no memory.
        self.each(&mut vec![(); self.count().min(count)], |(), _| std::iter::from_fn(mine).for_each(&work));
    }

    /// Calls `work` on workers' states, at most one a thread: the first on the calling thread, the others on helpers that are
    /// idle. What is given to it beside the state looks for such helpers again; on a helper it does nothing.
    fn each<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W, &mut dyn FnMut()) + Sync) {
        let used = self.count().min(workers.len());
        match (self.pool, workers[..used].split_first_mut()) {
            (_, None) => {}
            // A thread of the pool would wait for jobs that only itself could take.
            (Some(pool), Some((own, others))) if !others.is_empty() && !pool.is_inside() => {
                let helping = CountDownLatch::new();
                pool.scope(|scope| {
                    let mut others = others.iter_mut();
                    let mut recruit = || {
                        while others.len() > 0
                            && let Some(helper) = pool.helper()
                            && let Some(worker) = others.next()
                        {
                            let (work, one) = (&work, helping.guard());
                            scope.spawn(move |_| {
                                // The helper is idle before it is counted down: the next call of a thread that waits finds it.
                                let (_one, _helper) = (one, helper);
                                work(worker, &mut || {});
                            });
                        }
                    };
                    recruit();
                    work(own, &mut recruit);
                    // The scope would wait too, but without asking.
                    self.stop_check.iter().for_each(|stop_check| helping.wait(stop_check));
                });
            }
            (_, Some((own, _))) => work(own, &mut || {}),
        }
    }
}

/// What a thread works with, made where it is not there yet.
///
/// # Errors
/// As `make`.
fn made<W>(slot: &mut Option<W>, make: impl FnOnce() -> Result<W, KernelError>) -> Result<&mut W, KernelError> {
    if slot.is_none() {
        *slot = Some(make()?);
    }
    slot.as_mut().ok_or(KernelError::Interrupted)
}

#[cfg(test)]
mod tests;
