//! The thread pool behind [`crate::abi::ParallelFor`].
//!
//! Every call splits `0..items` into at most [`CHUNKS_PER_THREAD`] chunks per thread. The caller claims chunks from the
//! front, workers from the back, until all are claimed: with threads of one speed each gets the same part of the items in
//! every call, so that what it wrote in one step is in its cache in the next, and a worker that sleeps, or has lost its
//! CPU to another program, costs nothing but its help. What a work item computes must not depend on the split, so neither
//! does the result.
//!
//! A model makes hundreds of calls of some microseconds each, so neither side enters the kernel while work is coming:
//! workers spin for [`WORKER_SPIN_NS`] after a call and only then sleep, long enough for the steps a model does not share;
//! the caller spins for [`CALLER_SPIN_NS`] at the end of a call. Waking a sleeper costs more than most steps: the caller
//! works alone until it has missed the help for [`WAKE_NS`], in one call or several.
//!
//! Protocol. The caller writes the job, sets `pending` to its chunks, and publishes them: first as `claims`, then with a
//! new `ticket`, which workers wait for. Whoever takes a chunk out of `claims` runs it and decrements `pending`. The caller
//! returns when `pending` is zero: so whoever holds a claim may read the job, and nobody else does; a worker that is late
//! finds no chunk, or one of a later call, which is as good. Sleepers announce themselves before they look at the word
//! they sleep on, and wakers change that word before they look for sleepers (both sequentially consistent): one of the two
//! always sees the other.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::abi::Task;
use crate::clock::now_ns;
use crate::sys::{Errno, Thread, futex_wait, futex_wake_all};

/// Largest number of threads of a pool.
pub const MAX_THREADS: usize = 1023;

/// Enough that a thread that comes late is waited for only briefly, few enough that what a task does once per range does
/// not count.
const CHUNKS_PER_THREAD: u32 = 4;

/// How long a worker waits busily for the next call before it sleeps.
const WORKER_SPIN_NS: u64 = 100_000;

/// How long the caller waits busily for the last chunks of workers before it sleeps: chunks are about equal, so a worker
/// that is late has lost its CPU.
const CALLER_SPIN_NS: u64 = 20_000;

/// What waking a worker costs, about, until it works.
const WAKE_NS: u64 = 50_000;

/// The ticket that ends the workers. Those of calls are odd.
const STOP: u32 = 0;
const FIRST_TICKET: u32 = 1;

/// A pool. Calls must not overlap: one caller at a time, and no task calls back into its own pool.
#[derive(Debug)]
pub struct Pool {
    /// Lives until `drop` has joined the workers, which hold its address.
    shared: Arc<Shared>,
    workers: Vec<Thread>,
    /// How long the caller has worked while workers slept, since it last woke them.
    missed_ns: u64,
}

/// What the threads share. Workers poll `ticket` and write `pending`, so each has a cache line of its own.
#[derive(Debug)]
struct Shared {
    claims: Claims,
    ticket: Line,
    sleeping_workers: Line,
    pending: Line,
    caller_sleeps: Line,
    job: UnsafeCell<Job>,
}

// SAFETY: threads share only atomics and the job, which the protocol at the top of the file keeps from being read and
// written at once; the job's pointer is used as the promise of `Pool::run`'s caller allows.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU32);

/// The chunks of the call that nobody has claimed: `begin << 32 | end`.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Claims(AtomicU64);

/// Which end of the chunks a thread claims from.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

#[derive(Clone, Copy, Debug)]
struct Job {
    task: Option<Task>,
    context: *const c_void,
    items: i64,
    chunks: u32,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; `threads` is clamped to `1..=MAX_THREADS`.
    pub fn new(threads: usize) -> Result<Pool, Errno> {
        let shared = Arc::new(Shared {
            claims: Claims::default(),
            ticket: Line(AtomicU32::new(FIRST_TICKET)),
            sleeping_workers: Line::default(),
            pending: Line::default(),
            caller_sleeps: Line::default(),
            job: UnsafeCell::new(Job { task: None, context: ptr::null(), items: 0, chunks: 0 }),
        });
        let mut pool = Pool { shared, workers: Vec::new(), missed_ns: 0 };
        let argument = Arc::as_ptr(&pool.shared).cast();
        for _ in 1..threads.clamp(1, MAX_THREADS) {
            // SAFETY: `worker_main` runs only this file and tasks, which use no thread-local storage; the shared state
            // lives until `drop` has joined the thread.
            pool.workers.push(unsafe { Thread::spawn(worker_main, argument) }?);
        }
        Ok(pool)
    }

    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(context, begin, end)` over ranges that cover `0..items`, and returns when all are done.
    ///
    /// # Safety
    /// `task` may be called with `context` on several threads at once for disjoint ranges; it does not unwind.
    pub unsafe fn run(&mut self, items: i64, task: Task, context: *const c_void) {
        if items <= 0 {
            return;
        }
        if items == 1 || self.workers.is_empty() {
            // SAFETY: the caller's promise; the whole range on this thread.
            return unsafe { task(context, 0, items) };
        }
        let chunks = items.min(self.threads() as i64 * i64::from(CHUNKS_PER_THREAD)) as u32;
        // SAFETY: no call is running (`&mut self`), and without one nobody holds a claim.
        unsafe { *self.shared.job.get() = Job { task: Some(task), context, items, chunks } };
        self.shared.pending.0.store(chunks, SeqCst);
        self.shared.claims.offer(chunks);
        self.shared.ticket.0.fetch_add(2, SeqCst);
        while self.shared.sleeping_workers.0.load(SeqCst) != 0 && self.work_unaided() {}
        while self.shared.work(End::Front) {}
        self.shared.wait_for_workers();
    }

    /// Runs a chunk, and wakes the workers when it was one too many without them. `false` when they are
    /// awake or nothing is left.
    fn work_unaided(&mut self) -> bool {
        let begin = now_ns();
        let worked = self.shared.work(End::Front);
        self.missed_ns += now_ns().saturating_sub(begin);
        if self.missed_ns < WAKE_NS {
            return worked;
        }
        self.missed_ns = 0;
        futex_wake_all(&self.shared.ticket.0);
        false
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ticket.0.store(STOP, SeqCst);
        futex_wake_all(&self.shared.ticket.0);
        for worker in self.workers.drain(..) {
            worker.join();
        }
    }
}

impl Claims {
    fn offer(&self, chunks: u32) {
        self.0.store(chunks.into(), SeqCst);
    }

    /// A chunk for the calling thread alone. It is one of the call that runs when it is claimed, however long ago the
    /// thread saw that there is one: the word is all that the claim depends on.
    fn take(&self, from: End) -> Option<u32> {
        let mut seen = self.0.load(SeqCst);
        loop {
            let (begin, end) = ((seen >> 32) as u32, seen as u32);
            if begin >= end {
                return None;
            }
            let (chunk, rest) = match from {
                End::Front => (begin, seen + (1 << 32)),
                End::Back => (end - 1, seen - 1),
            };
            match self.0.compare_exchange_weak(seen, rest, SeqCst, SeqCst) {
                Ok(_) => return Some(chunk),
                Err(now) => seen = now,
            }
        }
    }
}

impl Job {
    /// # Safety
    /// The job is complete, and each `chunk` below `chunks` is run once.
    unsafe fn run_chunk(&self, chunk: u32) {
        let boundary = |t: u32| (i128::from(self.items) * i128::from(t) / i128::from(self.chunks)) as i64;
        if let Some(task) = self.task {
            // SAFETY: the promise of `Pool::run`'s caller; ranges of different chunks are disjoint.
            unsafe { task(self.context, boundary(chunk), boundary(chunk + 1)) };
        }
    }
}

impl Shared {
    /// Runs a chunk; `false` if all are claimed.
    fn work(&self, from: End) -> bool {
        let Some(chunk) = self.claims.take(from) else { return false };
        // SAFETY: the claim is this thread's alone, and keeps the caller from returning until it is finished.
        unsafe {
            let job = *self.job.get();
            job.run_chunk(chunk);
        }
        self.finish();
        true
    }

    /// Returns the ticket when it differs from `seen`.
    fn next_ticket(&self, seen: u32) -> u32 {
        let arrived = || Some(self.ticket.0.load(SeqCst)).filter(|ticket| *ticket != seen);
        loop {
            if let Some(ticket) = spin(WORKER_SPIN_NS, arrived) {
                return ticket;
            }
            self.sleeping_workers.0.fetch_add(1, SeqCst);
            futex_wait(&self.ticket.0, seen);
            self.sleeping_workers.0.fetch_sub(1, SeqCst);
        }
    }

    /// A chunk is done.
    fn finish(&self) {
        if self.pending.0.fetch_sub(1, SeqCst) == 1 && self.caller_sleeps.0.load(SeqCst) != 0 {
            futex_wake_all(&self.pending.0);
        }
    }

    fn wait_for_workers(&self) {
        let done = || Some(()).filter(|()| self.pending.0.load(SeqCst) == 0);
        while spin(CALLER_SPIN_NS, done).is_none() {
            self.caller_sleeps.0.store(1, SeqCst);
            match self.pending.0.load(SeqCst) {
                0 => {}
                pending => futex_wait(&self.pending.0, pending),
            }
            self.caller_sleeps.0.store(0, SeqCst);
        }
    }
}

/// Polls until there is a result or `limit_ns` have passed. Asking the clock costs more than polling, so it is asked
/// once in a while.
fn spin<T>(limit_ns: u64, poll: impl Fn() -> Option<T>) -> Option<T> {
    const POLLS_PER_CLOCK: u32 = 64;
    let mut deadline = None;
    loop {
        for _ in 0..POLLS_PER_CLOCK {
            if let Some(result) = poll() {
                return Some(result);
            }
            spin_loop();
        }
        let now = now_ns();
        if now >= *deadline.get_or_insert(now + limit_ns) {
            return None;
        }
    }
}

/// # Safety
/// `argument` is a [`Shared`] that outlives the thread.
unsafe extern "C" fn worker_main(argument: *const c_void) {
    // SAFETY: the caller's promise.
    let shared = unsafe { &*argument.cast::<Shared>() };
    let mut ticket = FIRST_TICKET;
    loop {
        ticket = shared.next_ticket(ticket);
        if ticket == STOP {
            return;
        }
        while shared.work(End::Back) {}
    }
}

/// [`Pool::run`] as [`crate::abi::ParallelFor`].
///
/// # Safety
/// `context` is a [`Pool`] that no other call uses; the rest as [`Pool::run`].
pub unsafe extern "C" fn parallel_for(context: *mut c_void, items: i64, task: Task, task_context: *const c_void) {
    // SAFETY: the caller's promise.
    unsafe { (*context.cast::<Pool>()).run(items, task, task_context) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::vec;

    /// Adds 1 to every item of its range; items visited twice or never show.
    unsafe extern "C" fn count(context: *const c_void, begin: i64, end: i64) {
        // SAFETY: the tests pass a vector with one counter per item.
        let visits = unsafe { &*context.cast::<Vec<AtomicU64>>() };
        for visit in &visits[begin as usize..end as usize] {
            visit.fetch_add(1, Relaxed);
        }
    }

    fn visits(pool: &mut Pool, items: usize) -> Vec<u64> {
        let counters: Vec<AtomicU64> = (0..items).map(|_| AtomicU64::new(0)).collect();
        // SAFETY: `count` uses atomics only.
        unsafe { pool.run(items as i64, count, (&raw const counters).cast()) };
        counters.iter().map(|visit| visit.load(Relaxed)).collect()
    }

    #[test]
    fn every_item_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for items in [0, 1, 2, 3, 7, 8, 9, 1000] {
                assert_eq!(visits(&mut pool, items), vec![1; items], "{threads} threads, {items} items");
            }
        }
    }

    #[test]
    fn survives_many_short_calls_and_sleep() {
        let mut pool = Pool::new(4).unwrap();
        for call in 0..20_000 {
            assert_eq!(visits(&mut pool, 1 + call % 6), vec![1; 1 + call % 6]);
            if call % 4_000 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }

    /// Keeps every thread but the one of `caller` in its first item until the caller is done with all others.
    struct Late {
        caller: std::thread::ThreadId,
        by_caller: AtomicU64,
        by_workers: AtomicU64,
        items: u64,
    }

    unsafe extern "C" fn late(context: *const c_void, begin: i64, end: i64) {
        // SAFETY: the test passes one.
        let late = unsafe { &*context.cast::<Late>() };
        if std::thread::current().id() == late.caller {
            late.by_caller.fetch_add((end - begin) as u64, Relaxed);
            return;
        }
        late.by_workers.fetch_add((end - begin) as u64, Relaxed);
        while late.by_caller.load(Relaxed) + late.by_workers.load(Relaxed) < late.items {
            spin_loop();
        }
    }

    #[test]
    fn the_caller_does_what_a_late_worker_has_not_begun() {
        let mut pool = Pool::new(2).unwrap();
        for _ in 0..1_000 {
            let [by_caller, by_workers] = [AtomicU64::new(0), AtomicU64::new(0)];
            let state = Late { caller: std::thread::current().id(), by_caller, by_workers, items: 64 };
            // SAFETY: `late` uses atomics only.
            unsafe { pool.run(64, late, (&raw const state).cast()) };
            assert_eq!(state.by_caller.load(Relaxed) + state.by_workers.load(Relaxed), 64);
            assert!(state.by_workers.load(Relaxed) <= 8, "a worker that hangs in a chunk has more than one");
        }
    }

    #[test]
    fn pools_come_and_go() {
        for _ in 0..200 {
            assert_eq!(visits(&mut Pool::new(3).unwrap(), 5), vec![1; 5]);
        }
    }
}
