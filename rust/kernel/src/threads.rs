//! Who does the work: the calling thread, and helpers from a pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::KernelError;
use crate::question::{Latch, Question};

/// The calling thread, alone or with a pool's threads, and what stops them.
#[derive(Clone, Copy)]
pub struct Threads<'a> {
    pool: Option<&'a rayon::ThreadPool>,
    stop: Option<&'a AtomicBool>,
    question: Option<&'a Question<'a>>,
}

impl<'a> Threads<'a> {
    /// The calling thread alone.
    pub fn serial() -> Self {
        Self { pool: None, stop: None, question: None }
    }

    /// The calling thread and the threads of a pool.
    pub fn with_pool(pool: Option<&'a rayon::ThreadPool>) -> Self {
        Self { pool, stop: None, question: None }
    }

    /// The same threads, stopped between inner steps once the flag is set.
    pub fn with_stop(self, stop: &'a AtomicBool) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The same threads, stopped between inner steps once the question is answered so; the calling thread asks it.
    pub fn with_question(self, question: &'a Question<'a>) -> Self {
        Self { question: Some(question), ..self }
    }

    /// The calling thread alone, stopped by the same.
    pub fn alone(self) -> Self {
        Self { pool: None, ..self }
    }

    /// How many threads work.
    pub fn count(&self) -> usize {
        1 + self.pool.map_or(0, rayon::ThreadPool::current_num_threads)
    }

    /// Whether the caller asked to stop.
    pub fn check(&self) -> Result<(), KernelError> {
        let flagged = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if flagged || self.question.is_some_and(Question::says_stop) { Err(KernelError::Interrupted) } else { Ok(()) }
    }

    /// Calls `work` once on each worker's state, the first on the calling thread, at most one a thread.
    pub fn each<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        let used = self.count().min(workers.len());
        match (self.pool, workers[..used].split_first_mut()) {
            (_, None) => {}
            (Some(pool), Some((own, others))) if !others.is_empty() => {
                let helping = Latch::new(others.len());
                pool.in_place_scope(|scope| {
                    for worker in others {
                        let (work, one) = (&work, helping.guard());
                        scope.spawn(move |_| {
                            let _one = one;
                            work(worker);
                        });
                    }
                    work(own);
                    // The scope would wait too, but without asking.
                    self.question.iter().for_each(|question| helping.wait(question));
                });
            }
            (_, Some((own, _))) => work(own),
        }
    }
}

/// A pool whose threads help a calling thread: `n_threads` in all, 0 for `RAYON_NUM_THREADS` or the machine's cores.
/// None where the calling thread works alone. Pools are made once and kept; a forked child makes its own, because its
/// parent's threads do not come along.
pub fn pool(n_threads: usize) -> Option<Arc<rayon::ThreadPool>> {
    type Pools = HashMap<usize, Arc<rayon::ThreadPool>>;
    static POOLS: Mutex<Option<(u32, Pools)>> = Mutex::new(None);
    let n_threads = if n_threads == 0 { default_threads() } else { n_threads };
    let helpers = n_threads.checked_sub(1).filter(|&n| n > 0)?;
    let process = std::process::id();
    let mut pools = POOLS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if pools.as_ref().is_none_or(|(owner, _)| *owner != process) {
        // The parent's pools must not be dropped here: that would wait for threads that do not exist.
        std::mem::forget(pools.replace((process, Pools::new())));
    }
    let (_, pools) = pools.as_mut()?;
    if let Some(pool) = pools.get(&helpers) {
        return Some(Arc::clone(pool));
    }
    let name = |i| format!("rfp-{i}");
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(helpers).thread_name(name).build().ok()?);
    pools.insert(helpers, Arc::clone(&pool));
    Some(pool)
}

fn default_threads() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    })
}
