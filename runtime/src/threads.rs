//! The thread pool behind [`crate::abi::ParallelFor`].
//!
//! Every call splits `0..items` statically: with `n` threads, thread `t` gets `items * t / n .. items * (t + 1) / n`. The
//! caller is thread 0. What a work item computes must not depend on the split, so neither does the result.
//!
//! A model makes hundreds of calls of some microseconds each, so neither side enters the kernel while work is coming:
//! workers spin for [`WORKER_SPIN_NS`] after a call and only then sleep, long enough for the steps a model does not share;
//! the caller spins for [`CALLER_SPIN_NS`] at the end of a call.
//!
//! Protocol. The caller writes the job, sets `pending` to the number of workers that take part, and publishes both with a
//! new `ticket` (generation and number of threads taking part, in one word). A worker with an index in that number runs
//! its range and decrements `pending`; any other ignores the ticket and never reads the job. The caller returns when
//! `pending` is zero, so no worker can meet a job that is being overwritten. Sleepers announce themselves before they look
//! at the word they sleep on, and wakers change that word before they look for sleepers (both sequentially consistent):
//! one of the two always sees the other.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::abi::Task;
use crate::clock::now_ns;
use crate::sys::{Errno, Thread, futex_wait, futex_wake_all};

/// Largest number of threads of a pool: what fits in a ticket.
pub const MAX_THREADS: usize = (1 << THREAD_BITS) - 1;

/// How long a worker waits busily for the next call before it sleeps.
const WORKER_SPIN_NS: u64 = 100_000;

/// How long the caller waits busily for the workers before it sleeps: the parts of a call are about equal, so a worker that
/// is late has lost its CPU.
const CALLER_SPIN_NS: u64 = 20_000;

const THREAD_BITS: u32 = 10;
const GENERATION: u32 = 1 << THREAD_BITS;
/// Number of threads in a ticket that ends the workers: no job has it, since a job has at least two.
const STOP: u32 = 1;

/// A pool. Calls must not overlap: one caller at a time, and no task calls back into its own pool.
#[derive(Debug)]
pub struct Pool {
    /// Lives until `drop` has joined the workers, which hold its address.
    shared: Arc<Shared>,
    workers: Vec<Thread>,
}

/// What the threads share. Workers poll `ticket` and write `pending`, so each has a cache line of its own.
#[derive(Debug)]
struct Shared {
    ticket: Line,
    sleeping_workers: Line,
    pending: Line,
    caller_sleeps: Line,
    /// Number of workers that have started, from which each takes its index.
    started: Line,
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

#[derive(Clone, Copy, Debug)]
struct Job {
    task: Option<Task>,
    context: *const c_void,
    items: i64,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; `threads` is clamped to `1..=MAX_THREADS`.
    pub fn new(threads: usize) -> Result<Pool, Errno> {
        let shared = Arc::new(Shared {
            ticket: Line::default(),
            sleeping_workers: Line::default(),
            pending: Line::default(),
            caller_sleeps: Line::default(),
            started: Line::default(),
            job: UnsafeCell::new(Job { task: None, context: ptr::null(), items: 0 }),
        });
        let mut pool = Pool { shared, workers: Vec::new() };
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
        let participants = items.min(self.threads() as i64) as u32;
        if items <= 0 {
            return;
        }
        if participants == 1 {
            // SAFETY: the caller's promise; the whole range on this thread.
            return unsafe { task(context, 0, items) };
        }
        let job = Job { task: Some(task), context, items };
        // SAFETY: no call is running (`&mut self`), and workers read the job only during one.
        unsafe { *self.shared.job.get() = job };
        self.shared.pending.0.store(participants - 1, SeqCst);
        self.shared.publish(participants);
        // SAFETY: the caller's promise; range 0 is this thread's alone.
        unsafe { job.run_range(0, participants) };
        self.shared.wait_for_workers();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.publish(STOP);
        for worker in self.workers.drain(..) {
            worker.join();
        }
    }
}

impl Job {
    /// # Safety
    /// The job is published and complete, and each `index` below `participants` is run once.
    unsafe fn run_range(&self, index: u32, participants: u32) {
        let boundary = |t: u32| (i128::from(self.items) * i128::from(t) / i128::from(participants)) as i64;
        if let Some(task) = self.task {
            // SAFETY: the promise of `Pool::run`'s caller; ranges of different indices are disjoint.
            unsafe { task(self.context, boundary(index), boundary(index + 1)) };
        }
    }
}

impl Shared {
    /// Announces a job for `participants` threads, or the end ([`STOP`]).
    fn publish(&self, participants: u32) {
        let generation = self.ticket.0.load(SeqCst) & !(GENERATION - 1);
        self.ticket.0.store(generation.wrapping_add(GENERATION) | participants, SeqCst);
        if self.sleeping_workers.0.load(SeqCst) != 0 {
            futex_wake_all(&self.ticket.0);
        }
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

    /// A worker is done with its range.
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
    // The caller is 0.
    let index = shared.started.0.fetch_add(1, SeqCst) + 1;
    let mut ticket = 0;
    loop {
        ticket = shared.next_ticket(ticket);
        let participants = ticket & (GENERATION - 1);
        if participants == STOP {
            return;
        }
        if index < participants {
            // SAFETY: this worker takes part, so the caller waits for `finish` and does not touch the job before.
            unsafe {
                let job = *shared.job.get();
                job.run_range(index, participants);
            }
            shared.finish();
        }
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

    #[test]
    fn pools_come_and_go() {
        for _ in 0..200 {
            assert_eq!(visits(&mut Pool::new(3).unwrap(), 5), vec![1; 5]);
        }
    }
}
