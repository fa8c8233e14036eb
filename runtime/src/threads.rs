//! The thread pool behind [`crate::abi::ParallelFor`].
//!
//! Every call cuts `0..items` into at most [`CHUNKS_PER_THREAD`] chunks per thread, and gives each thread a [`Lane`] of
//! neighbouring ones. A thread runs the chunks of its lane, then those that others have not begun. With threads of one speed
//! each gets the same part of the items in every call, so that what it wrote in one step is in its cache in the next, and a
//! worker that sleeps, or has lost its CPU to another program, costs nothing but its help. What a work item computes must
//! not depend on the split, so neither does the result.
//!
//! A model makes hundreds of calls of some microseconds each. A cache line takes a tenth of a microsecond from one core to
//! another, so a call moves few: a worker's lane to the worker, and its report back. Nor does anybody enter the kernel while
//! work is coming: workers spin for [`WORKER_SPIN_NS`] after a call and only then sleep, long enough for the steps a model
//! does not share; the caller spins for [`CALLER_SPIN_NS`] at the end of a call. Waking a sleeper costs more than most steps:
//! the caller works alone until it has missed the help for [`WAKE_NS`], in one call or several.
//!
//! Protocol. The caller writes the lanes, each with a new ticket, which its worker waits for. Whoever takes a chunk out of a
//! lane's claims runs it; a worker then adds it to `reported`, the caller counts its own. The caller returns when both are
//! all chunks: so whoever holds a claim may read the job of its lane, and nobody else does; a worker that is late finds no
//! chunk, or one of a later call, which is as good. A worker that falls asleep while a call begins may stay asleep: the caller
//! runs its chunks, and finds it asleep in the next call. The caller announces itself before it looks at the word it sleeps
//! on, and workers change that word before they look for it (both sequentially consistent): one always sees the other.

use core::ffi::c_void;
use core::hint::spin_loop;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, SeqCst},
};

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::abi::Task;
use crate::clock::now_ns;
use crate::sys::{Errno, Thread, futex_wait, futex_wake_all};

use lane::{End, FIRST_TICKET, Job, Lane};

mod lane;

/// Largest number of threads of a pool.
pub const MAX_THREADS: usize = 1023;

/// Enough that a thread that comes late is waited for only briefly, few enough that what a task does once per range does
/// not count.
const CHUNKS_PER_THREAD: u32 = 4;

/// How long a worker waits busily for the next call before it sleeps.
const WORKER_SPIN_NS: u64 = 100_000;

/// What waking a thread costs, about, until it works.
const WAKE_NS: u64 = 50_000;

/// How long the caller waits busily for the last chunks of workers before it sleeps: as long as it would take to wake it, so
/// that it never loses more than twice what the better of both would have cost.
const CALLER_SPIN_NS: u64 = WAKE_NS;

/// The ticket that ends the workers.
const STOP: u32 = 0;

/// A pool. Calls must not overlap: one caller at a time, and no task calls back into its own pool.
#[derive(Debug)]
pub struct Pool {
    /// Lives until `drop` has joined the workers, which hold the address of their [`Seat`].
    shared: Arc<Shared>,
    seats: Vec<Seat>,
    workers: Vec<Thread>,
    /// How long the caller has worked while workers slept, since it last woke them.
    missed_ns: u64,
    /// What `reported` will be when the workers are done.
    due: u32,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    /// One per thread, the caller's first.
    lanes: Vec<Lane>,
    sleeping_workers: Line,
    /// Chunks that workers have run, since the pool began, modulo 2^32.
    reported: Line,
    caller_sleeps: Line,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU32);

/// Where a worker belongs.
#[derive(Debug)]
struct Seat {
    shared: *const Shared,
    thread: usize,
}

// SAFETY: the address is of an `Arc` that lives as long as the seat, and `Shared` may be used by several threads.
unsafe impl Send for Seat {}
// SAFETY: as above.
unsafe impl Sync for Seat {}

impl Pool {
    /// A pool of `threads` threads, the caller's included; `threads` is clamped to `1..=MAX_THREADS`.
    pub fn new(threads: usize) -> Result<Pool, Errno> {
        let threads = threads.clamp(1, MAX_THREADS);
        let shared = Arc::new(Shared {
            lanes: (0..threads).map(|_| Lane::new()).collect(),
            sleeping_workers: Line::default(),
            reported: Line::default(),
            caller_sleeps: Line::default(),
        });
        let seats = (1..threads).map(|thread| Seat { shared: Arc::as_ptr(&shared), thread }).collect();
        let mut pool = Pool { shared, seats, workers: Vec::new(), missed_ns: 0, due: 0 };
        for seat in &pool.seats {
            // SAFETY: `worker_main` runs only these files and tasks, which use no thread-local storage; seats and shared
            // state stay where they are until `drop` has joined the thread.
            pool.workers.push(unsafe { Thread::spawn(worker_main, (&raw const *seat).cast()) }?);
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
        // SAFETY: no call is running (`&mut self`), so all chunks have been run.
        unsafe { self.offer(Job { task: Some(task), context, items, chunks }) };
        let mut own = 0;
        let asleep = self.shared.sleeping_workers.0.load(Relaxed) != 0;
        if asleep {
            own += self.work_unaided();
        }
        own += self.shared.work_own(0);
        self.due = self.due.wrapping_add(chunks);
        while self.shared.reported.0.load(Acquire).wrapping_add(own) != self.due && self.shared.work_for_others(0) {
            own += 1;
        }
        self.due = self.due.wrapping_sub(own);
        self.shared.wait_for_workers(self.due);
    }

    /// Gives every thread its chunks.
    ///
    /// # Safety
    /// As [`Lane::offer`].
    unsafe fn offer(&self, job: Job) {
        let threads = self.threads() as u64;
        let boundary = |thread: usize| (u64::from(job.chunks) * thread as u64 / threads) as u32;
        for (thread, lane) in self.shared.lanes.iter().enumerate().rev() {
            let chunks = boundary(thread)..boundary(thread + 1);
            if !chunks.is_empty() {
                // SAFETY: the caller's promise.
                unsafe { lane.offer(job, chunks) };
            }
        }
    }

    /// Runs chunks while workers sleep, and wakes them when that was one too many without them. Gives the number of chunks.
    fn work_unaided(&mut self) -> u32 {
        let mut ran = 0;
        let begin = now_ns();
        while self.shared.sleeping_workers.0.load(Relaxed) != 0 && self.shared.work_any(0) {
            ran += 1;
            if self.missed_ns + now_ns().saturating_sub(begin) >= WAKE_NS {
                self.missed_ns = 0;
                self.shared.wake_workers();
                return ran;
            }
        }
        self.missed_ns += now_ns().saturating_sub(begin);
        ran
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (lane, worker) in self.shared.lanes[1..].iter().zip(self.workers.drain(..)) {
            lane.ticket.store(STOP, SeqCst);
            futex_wake_all(&lane.ticket);
            worker.join();
        }
    }
}

impl Shared {
    /// Runs the chunks of the thread's own lane, and gives their number.
    fn work_own(&self, thread: usize) -> u32 {
        let mut ran = 0;
        while self.lanes[thread].work(End::Front) {
            ran += 1;
        }
        ran
    }

    /// Runs a chunk of another lane; `false` if all are claimed.
    fn work_for_others(&self, thread: usize) -> bool {
        let (before, from) = self.lanes.split_at(thread);
        from[1..].iter().chain(before).any(|lane| lane.work(End::Back))
    }

    fn work_any(&self, thread: usize) -> bool {
        self.lanes[thread].work(End::Front) || self.work_for_others(thread)
    }

    /// Waits for the next ticket of a lane; `None` when the pool ends.
    fn next_ticket(&self, lane: &Lane, seen: u32) -> Option<u32> {
        let arrived = || Some(lane.ticket.load(Acquire)).filter(|ticket| *ticket != seen);
        loop {
            if let Some(ticket) = spin(WORKER_SPIN_NS, arrived) {
                return Some(ticket).filter(|ticket| *ticket != STOP);
            }
            lane.sleeps.store(1, SeqCst);
            self.sleeping_workers.0.fetch_add(1, SeqCst);
            futex_wait(&lane.ticket, seen);
            self.sleeping_workers.0.fetch_sub(1, SeqCst);
            lane.sleeps.store(0, SeqCst);
        }
    }

    fn wake_workers(&self) {
        self.lanes.iter().filter(|lane| lane.sleeps.load(SeqCst) != 0).for_each(|lane| futex_wake_all(&lane.ticket));
    }

    /// `chunks` of a worker are done.
    fn report(&self, chunks: u32) {
        if chunks == 0 {
            return;
        }
        self.reported.0.fetch_add(chunks, SeqCst);
        if self.caller_sleeps.0.load(SeqCst) != 0 {
            futex_wake_all(&self.reported.0);
        }
    }

    fn wait_for_workers(&self, due: u32) {
        let done = || Some(()).filter(|()| self.reported.0.load(Acquire) == due);
        while spin(CALLER_SPIN_NS, done).is_none() {
            self.caller_sleeps.0.store(1, SeqCst);
            let reported = self.reported.0.load(SeqCst);
            if reported != due {
                futex_wait(&self.reported.0, reported);
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
/// `argument` is a [`Seat`] that outlives the thread.
unsafe extern "C" fn worker_main(argument: *const c_void) {
    // SAFETY: the caller's promise.
    let seat = unsafe { &*argument.cast::<Seat>() };
    // SAFETY: the pool keeps the shared state until it has joined this thread.
    let shared = unsafe { &*seat.shared };
    let mut ticket = FIRST_TICKET;
    while let Some(next) = shared.next_ticket(&shared.lanes[seat.thread], ticket) {
        ticket = next;
        shared.report(shared.work_own(seat.thread));
        while shared.work_for_others(seat.thread) {
            shared.report(1);
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
