//! Pools of threads: made once, kept while they are used now and then, and ended when others have taken their place.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use crate::system::error::KernelError;

/// No machine has more cores, and a thread takes memory of its own.
pub const MOST_THREADS: usize = 4096;

/// Pools that are kept for the next call: a program uses one size or two, and a sweep over sizes must not pile them up.
const KEPT: usize = 3;

/// Threads that help calling ones.
pub struct Pool {
    threads: ThreadPool,
    /// Those that work for nobody.
    idle: AtomicUsize,
}

/// A thread of a pool that works for one call, until this is dropped.
pub(crate) struct Helper<'a>(&'a Pool);

impl Pool {
    /// None where the system grants no threads.
    pub(crate) fn new(helpers: usize) -> Option<Self> {
        let builder = ThreadPoolBuilder::new().num_threads(helpers).thread_name(|i| format!("rfp-{i}"));
        Some(Self { threads: builder.build().ok()?, idle: AtomicUsize::new(helpers) })
    }

    /// How many threads it has.
    pub fn size(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Whether the calling thread is one of its own.
    pub(crate) fn is_inside(&self) -> bool {
        self.threads.current_thread_index().is_some()
    }

    /// A thread that is idle, if there is one. Work is given to such a thread only: what waits for a busy one would wait for
    /// the end of another call, however long that takes.
    pub(crate) fn helper(&self) -> Option<Helper<'_>> {
        self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| idle.checked_sub(1)).ok()?;
        Some(Helper(self))
    }

    /// Runs `work`, which may give parts of itself to helpers, and waits for those.
    pub(crate) fn scope<'scope, R>(&self, work: impl FnOnce(&Scope<'scope>) -> R) -> R {
        self.threads.in_place_scope(work)
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        self.0.idle.fetch_add(1, Ordering::Relaxed);
    }
}

/// The pools of one process, the last one used at the end.
struct Pools {
    process: u32,
    kept: Mutex<Vec<Arc<Pool>>>,
}

/// The pools of this process. A forked child makes a list of its own and leaves its parent's alone: those threads do not
/// come along, and their list may have been locked at the fork.
fn of_this_process() -> &'static Pools {
    static POOLS: AtomicPtr<Pools> = AtomicPtr::new(std::ptr::null_mut());
    let process = std::process::id();
    loop {
        let found = POOLS.load(Ordering::Acquire);
        // SAFETY: it is null or was leaked below, and nothing is ever freed.
        if let Some(pools) = unsafe { found.as_ref() }
            && pools.process == process
        {
            return pools;
        }
        let made = Box::into_raw(Box::new(Pools { process, kept: Mutex::new(Vec::new()) }));
        if POOLS.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // Another thread of this process was faster.
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// A pool whose threads help a calling thread: `n_threads` in all, 0 for `RAYON_NUM_THREADS` or the machine's cores.
/// None where the calling thread works alone, as it does where the system grants no more threads. The pools used last are
/// kept; another's threads end once the calls that use it are done.
///
/// # Errors
/// [`KernelError::Limit`].
pub fn pool(n_threads: usize) -> Result<Option<Arc<Pool>>, KernelError> {
    let n_threads = if n_threads == 0 { default_threads()? } else { within_limit("the number of threads", n_threads)? };
    let Some(helpers) = n_threads.checked_sub(1).filter(|&n| n > 0) else { return Ok(None) };
    let mut kept = of_this_process().kept.lock().unwrap_or_else(PoisonError::into_inner);
    let found = match kept.iter().position(|pool| pool.size() == helpers) {
        Some(index) => kept.remove(index),
        None => {
            let Some(made) = Pool::new(helpers) else { return Ok(None) };
            Arc::new(made)
        }
    };
    if kept.len() >= KEPT {
        // Its threads end by themselves; nobody waits for them.
        kept.remove(0);
    }
    kept.push(Arc::clone(&found));
    Ok(Some(found))
}

fn within_limit(what: &'static str, got: usize) -> Result<usize, KernelError> {
    if got <= MOST_THREADS {
        Ok(got)
    } else {
        Err(KernelError::Limit { what, got: got.to_string(), most: MOST_THREADS })
    }
}

/// What the environment asks for, read once; else the machine's cores.
fn default_threads() -> Result<usize, KernelError> {
    static COUNT: OnceLock<Result<usize, KernelError>> = OnceLock::new();
    let read = || asked_for(std::env::var("RAYON_NUM_THREADS").ok().as_deref());
    COUNT.get_or_init(read).clone()
}

/// The number of threads for a value of `RAYON_NUM_THREADS`; what is no number above 0 is passed over, as rayon does.
fn asked_for(value: Option<&str>) -> Result<usize, KernelError> {
    let most = MOST_THREADS;
    match value.map(|text| (text, text.trim().parse::<u128>())) {
        Some((_, Ok(n))) if n > 0 && n <= most as u128 => Ok(n as usize),
        Some((text, Ok(n))) if n > 0 => {
            Err(KernelError::Limit { what: "RAYON_NUM_THREADS", got: text.trim().to_owned(), most })
        }
        _ => Ok(std::thread::available_parallelism().map_or(1, usize::from).min(most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pools_are_kept_and_the_last_ones_used_are_found_again() {
        let first = pool(2).unwrap().unwrap();
        let ended = Arc::downgrade(&pool(7).unwrap().unwrap());
        for n in [3, 2, 4, 2, 5, 2] {
            assert_eq!(pool(n).unwrap().unwrap().size(), n - 1);
        }
        assert!(Arc::ptr_eq(&first, &pool(2).unwrap().unwrap()));
        assert!(ended.upgrade().is_none());
        assert!(pool(1).unwrap().is_none());
    }

    #[test]
    fn absurd_counts_are_refused() {
        assert!(matches!(pool(MOST_THREADS + 1), Err(KernelError::Limit { most: MOST_THREADS, .. })));
        for text in ["999999999999", "99999999999999999999999999"] {
            let error = asked_for(Some(text)).unwrap_err().to_string();
            assert_eq!(error, format!("RAYON_NUM_THREADS is {text}; at most 4096 is possible"));
        }
        assert_eq!(asked_for(Some(" 3 ")), Ok(3));
        let cores = asked_for(None);
        assert!(["0", "", "many", "-1"].iter().all(|text| asked_for(Some(text)) == cores));
    }
}
