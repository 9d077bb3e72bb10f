//! The queue of work: every item once, results in order, and what happens without room for all workers.

use std::sync::Barrier;
use std::sync::atomic::AtomicU32;
use std::thread;

use super::*;
use crate::system::pools::pool;

const FULL: KernelError = KernelError::Memory { what: "a worker", bytes: 1 };

#[test]
fn results_are_in_order() {
    let helpers = pool(4).unwrap();
    for threads in [Threads::serial(), Threads::with_pool(helpers.as_deref())] {
        for count in [0, 1, 3, 100] {
            let found = threads.map(0..count, || Ok(10), |ten, item| Ok(*item * *ten)).unwrap();
            assert_eq!(found, (0..count).map(|item| item * 10).collect::<Vec<_>>());
        }
    }
}

#[test]
fn one_worker_does_what_others_have_no_room_for() {
    let helpers = pool(4).unwrap();
    let threads = Threads::with_pool(helpers.as_deref());
    let made = AtomicU32::new(0);
    let make = || if made.fetch_add(1, Ordering::Relaxed) == 0 { Ok(()) } else { Err(FULL) };
    let mut left: Vec<i32> = (0..50).collect();
    let found = threads.map(left.iter_mut(), make, |(), item| Ok(std::mem::take(*item))).unwrap();
    assert_eq!(found, (0..50).collect::<Vec<_>>());
    assert!(matches!(threads.map(0..3, || Err::<(), _>(FULL), |(), _| Ok(())), Err(KernelError::Memory { .. })));
}

#[test]
fn what_finds_no_memory_beside_others_is_done_again_alone() {
    let helpers = pool(4).unwrap();
    let threads = Threads::with_pool(helpers.as_deref());
    let work = |tries: &AtomicU32| if tries.fetch_add(1, Ordering::Relaxed) == 0 { Err(FULL) } else { Ok(()) };
    let tries: Vec<_> = (0..8).map(|_| AtomicU32::new(0)).collect();
    threads.map(tries.iter(), || Ok(()), |(), tries| work(tries)).unwrap();
    let alone = threads.alone().map([AtomicU32::new(0)].iter(), || Ok(()), |(), tries| work(tries));
    assert!(matches!(alone, Err(KernelError::Memory { .. })));
}

/// Each number is seen once; what a pool's own thread shares out it does itself, or it would wait for itself.
#[test]
fn numbers_are_shared_out_once() {
    let helpers = pool(4).unwrap();
    let threads = Threads::with_pool(helpers.as_deref());
    let seen: Vec<_> = (0..40).map(|_| AtomicU32::new(0)).collect();
    let see = |number: usize| {
        seen[number].fetch_add(1, Ordering::Relaxed);
    };
    for _ in 0..100 {
        threads.numbers(4, |outer| threads.numbers(10, |inner| see(10 * outer + inner)));
    }
    assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 100));
}

/// A call beside one that keeps the only helper is done by its own thread, and by both once the other call has ended.
#[test]
fn helpers_of_another_call_are_not_waited_for() {
    let helpers = Pool::new(1).unwrap();
    let threads = Threads::with_pool(Some(&helpers));
    let [inside, release] = [3, 3].map(Barrier::new);
    let alone = thread::scope(|scope| {
        let stay = |(): &mut (), _: &mut usize| {
            inside.wait();
            release.wait();
            Ok(())
        };
        scope.spawn(move || threads.map(0..2, || Ok(()), stay).unwrap());
        inside.wait();
        let mapped = threads.map(0..3, || Ok(()), |(), _| Ok(thread::current().id()));
        let numbers = Mutex::new(Vec::new());
        threads.numbers(3, |_| numbers.lock().unwrap().push(thread::current().id()));
        let together = Barrier::new(2);
        let later = |(): &mut (), item: &mut usize| {
            if *item > 0 {
                together.wait();
            } else {
                release.wait();
                while helpers.helper().is_none() {
                    thread::yield_now();
                }
            }
            Ok(())
        };
        threads.map(0..3, || Ok(()), later).unwrap();
        [mapped.unwrap(), numbers.into_inner().unwrap()]
    });
    assert_eq!(alone.concat(), [thread::current().id(); 6]);
}

#[test]
fn a_stop_is_an_error() {
    let stop = AtomicBool::new(false);
    let threads = Threads::serial().with_stop(&stop);
    let work = |item: &mut i32| {
        stop.store(*item == 2, Ordering::Relaxed);
        assert!(*item <= 2);
        Ok(())
    };
    assert!(matches!(threads.map(0..9, || Ok(()), |(), item| work(item)), Err(KernelError::Interrupted)));
}
