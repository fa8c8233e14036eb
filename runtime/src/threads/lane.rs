//! What one thread of a pool has to do in a call: the chunks that are its own, unless others take them first.
//!
//! All that a thread needs to begin stands in one place, written by the caller and then used by that thread alone: one
//! transfer between caches. Others look at it only when they have nothing left to do themselves.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::abi::Task;

/// The ticket of a lane that was never used. Those of calls are odd, too.
pub const FIRST_TICKET: u32 = 1;

/// A call: a task over `0..items`, cut into chunks that are equal up to one item.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub task: Option<Task>,
    pub context: *const c_void,
    pub items: i64,
    pub chunks: u32,
}

impl Job {
    const NONE: Job = Job { task: None, context: ptr::null(), items: 0, chunks: 0 };

    /// # Safety
    /// The job is complete, and each `chunk` below `chunks` is run once.
    unsafe fn run(&self, chunk: u32) {
        let boundary = |t: u32| (i128::from(self.items) * i128::from(t) / i128::from(self.chunks)) as i64;
        if let Some(task) = self.task {
            // SAFETY: the promise of `Pool::run`'s caller; ranges of different chunks are disjoint.
            unsafe { task(self.context, boundary(chunk), boundary(chunk + 1)) };
        }
    }
}

/// The chunks of one thread.
#[derive(Debug)]
#[repr(align(128))]
pub struct Lane {
    /// Changes with every call that gives this lane chunks. The thread waits for it.
    pub ticket: AtomicU32,
    /// Whether the thread sleeps on the ticket, or is about to.
    pub sleeps: AtomicU32,
    /// The chunks that nobody has claimed: `begin << 32 | end`.
    claims: AtomicU64,
    job: UnsafeCell<Job>,
}

// SAFETY: a job is written while no claim of its lane exists, and read only by who holds one (see `offer`); its pointer is
// used as the promise of `Pool::run`'s caller allows.
unsafe impl Send for Lane {}
// SAFETY: as above.
unsafe impl Sync for Lane {}

/// Which end of a lane's chunks a thread claims from.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The thread whose lane it is.
    Front,
    /// All others.
    Back,
}

impl Lane {
    pub fn new() -> Lane {
        Lane {
            ticket: AtomicU32::new(FIRST_TICKET),
            sleeps: AtomicU32::new(0),
            claims: AtomicU64::new(0),
            job: UnsafeCell::new(Job::NONE),
        }
    }

    /// Publishes chunks of a job.
    ///
    /// # Safety
    /// Every chunk of this lane that was offered before has been run, and no other thread offers any.
    pub unsafe fn offer(&self, job: Job, chunks: Range<u32>) {
        // SAFETY: whoever reads a job holds a claim, and by the caller's promise nobody does.
        unsafe { *self.job.get() = job };
        self.claims.store(u64::from(chunks.start) << 32 | u64::from(chunks.end), Release);
        self.ticket.store(self.ticket.load(Relaxed).wrapping_add(2), Release);
    }

    /// Claims a chunk and runs it; `false` if all are claimed.
    pub fn work(&self, from: End) -> bool {
        let Some(chunk) = self.claim(from) else { return false };
        // SAFETY: the claim is this thread's alone; the job was written before it was published, and the caller does not
        // return, nor write another one, until the chunk is reported.
        unsafe {
            let job = *self.job.get();
            job.run(chunk);
        }
        true
    }

    /// A chunk for the calling thread alone. It is one of the call that runs when it is claimed, however long ago the
    /// thread saw that there is one: the word is all that the claim depends on.
    fn claim(&self, from: End) -> Option<u32> {
        let mut seen = self.claims.load(Acquire);
        loop {
            let (begin, end) = ((seen >> 32) as u32, seen as u32);
            if begin >= end {
                return None;
            }
            let (chunk, rest) = match from {
                End::Front => (begin, seen + (1 << 32)),
                End::Back => (end - 1, seen - 1),
            };
            match self.claims.compare_exchange_weak(seen, rest, AcqRel, Acquire) {
                Ok(_) => return Some(chunk),
                Err(now) => seen = now,
            }
        }
    }
}
