//! The caller's threads: any way to run a function on several of them will do, and none can break the model.
//!
//! A [`Work`] hands out its items itself, each once, so it does not matter how many threads help, when, or whether any do.
//! Threads cannot keep it: it is borrowed only for the call of [`Threads::share`].

use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::abi::Task;

/// Threads that the caller has: a pool, or threads started for the occasion.
pub trait Threads {
    /// Number of threads that will help, this one included: work is cut into somewhat more pieces.
    fn count(&self) -> usize;

    /// Calls [`Work::help`] on each thread, and returns when the calls have returned.
    fn share(&self, work: &Work<'_>);
}

/// The work of one step of the model.
pub struct Work<'w> {
    task: Task,
    context: &'w c_void,
    items: i64,
    piece: i64,
    /// The first item that nobody has taken.
    next: AtomicI64,
}

/// Pieces for each thread: enough to even out threads of different speed.
const PIECES: i64 = 4;

// SAFETY: the model's promise for a task: it may run on several threads at once for disjoint ranges, and `next` gives
// each range to one thread.
unsafe impl Sync for Work<'_> {}

impl fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("items", &self.items).finish_non_exhaustive()
    }
}

impl Work<'_> {
    /// Does pieces of the work until none is left.
    pub fn help(&self) {
        loop {
            // What a piece reads was written before the work was shared; what it writes is read after `share` has joined.
            let begin = self.next.fetch_add(self.piece, Relaxed);
            if begin >= self.items {
                return;
            }
            // SAFETY: nobody else gets these items, and the context lives as long as the work.
            unsafe { (self.task)(self.context, begin, (begin + self.piece).min(self.items)) };
        }
    }
}

/// [`crate::abi::ParallelFor`] for a context that is an `Option<&dyn Threads>`.
///
/// # Safety
/// As the type says.
pub(super) unsafe extern "C" fn parallel_for(
    context: *mut c_void,
    items: i64,
    task: Task,
    task_context: *const c_void,
) {
    // SAFETY: the caller's promise about both contexts, which live for the call.
    let (threads, context) = unsafe { (&*context.cast::<Option<&dyn Threads>>(), &*task_context) };
    let count = threads.map_or(1, Threads::count).max(1) as i64;
    let piece = (items / count.saturating_mul(PIECES)).max(1);
    let work = Work { task, context, items, piece, next: AtomicI64::new(0) };
    if let Some(threads) = threads {
        threads.share(&work);
    }
    work.help();
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU32;

    const ITEMS: usize = 1000;

    unsafe extern "C" fn count(context: *const c_void, begin: i64, end: i64) {
        // SAFETY: the tests pass counters.
        let counters = unsafe { &*context.cast::<[AtomicU32; ITEMS]>() };
        for counter in &counters[begin as usize..end as usize] {
            counter.fetch_add(1, Relaxed);
        }
    }

    struct Scoped(usize);

    impl Threads for Scoped {
        fn count(&self) -> usize {
            self.0
        }

        fn share(&self, work: &Work<'_>) {
            std::thread::scope(|scope| {
                for _ in 0..self.0 {
                    scope.spawn(|| work.help());
                }
            });
        }
    }

    /// Says that it has threads, and has none.
    struct Idle;

    impl Threads for Idle {
        fn count(&self) -> usize {
            usize::MAX
        }

        fn share(&self, _: &Work<'_>) {}
    }

    #[test]
    fn every_item_is_done_once_whatever_the_threads_do() {
        for threads in [&Scoped(0) as &dyn Threads, &Scoped(1), &Scoped(7), &Idle] {
            for items in [0, 1, 3, ITEMS] {
                let counters = [const { AtomicU32::new(0) }; ITEMS];
                let threads = Some(threads);
                let context = (&raw const threads).cast_mut().cast();
                // SAFETY: the context is an `Option<&dyn Threads>`, the task's context counters.
                unsafe { parallel_for(context, items as i64, count, (&raw const counters).cast()) };
                let done = counters.iter().enumerate().all(|(i, n)| n.load(Relaxed) == u32::from(i < items));
                assert!(done, "{items} items");
            }
        }
    }
}
