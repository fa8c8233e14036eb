//! The program's heap, for a process that lives shortly: small blocks come from one arena and are never freed; large
//! ones are mappings of their own and go back to the system.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use octet_runtime::sys;

const ARENA: usize = 1 << 20;
const LARGE: usize = 1 << 15;

/// Zero `start`: the arena is not mapped yet.
pub struct Heap {
    start: AtomicUsize,
    used: AtomicUsize,
}

impl Heap {
    pub const fn new() -> Heap {
        Heap { start: AtomicUsize::new(0), used: AtomicUsize::new(0) }
    }

    /// Address of the arena; `None` when there is no memory.
    fn arena(&self) -> Option<usize> {
        let start = self.start.load(SeqCst);
        if start != 0 {
            return Some(start);
        }
        let fresh = sys::map(ARENA).ok()?;
        match self.start.compare_exchange(0, fresh.as_ptr().expose_provenance(), SeqCst, SeqCst) {
            Ok(_) => Some(fresh.as_ptr().addr()),
            Err(winner) => {
                // SAFETY: another thread's arena is in use; nobody has seen this one.
                unsafe { sys::unmap(fresh, ARENA) };
                Some(winner)
            }
        }
    }

    fn from_arena(&self, layout: Layout) -> Option<*mut u8> {
        let start = self.arena()?;
        let room = layout.size() + layout.align() - 1;
        let offset = self.used.fetch_add(room, SeqCst);
        if offset + room > ARENA {
            // Keeps the counter far from overflow, however often the arena is asked when full.
            self.used.store(ARENA, SeqCst);
            return None;
        }
        Some(ptr::with_exposed_provenance_mut((start + offset).next_multiple_of(layout.align())))
    }
}

/// A block of its own; null when there is no memory. Large blocks are tensors and the workspace, which are used from end
/// to end, and whose first use should not be slower than the others.
fn mapping(size: usize) -> *mut u8 {
    let Ok(block) = sys::map(size) else {
        return ptr::null_mut();
    };
    // SAFETY: just mapped with this size.
    unsafe { sys::populate(block, size) };
    block.as_ptr()
}

// SAFETY: blocks of the arena are disjoint, since `used` only grows while it is not full (and once it is full, no offset
// below `ARENA` leaves room), and aligned by construction; mappings are fresh and aligned to a page. All state is atomic.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > sys::PAGE {
            return ptr::null_mut();
        }
        let small = if layout.size() < LARGE {
            self.from_arena(layout)
        } else {
            None
        };
        small.unwrap_or_else(|| mapping(layout.size()))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let start = self.start.load(SeqCst);
        if (start..start + ARENA).contains(&block.addr()) {
            return;
        }
        if let Some(block) = NonNull::new(block) {
            // SAFETY: not in the arena, so `alloc` mapped it with this size.
            unsafe { sys::unmap(block, layout.size()) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as `alloc`. Arena and mappings are zero when they come from the system, and no block is used twice.
        unsafe { self.alloc(layout) }
    }
}
