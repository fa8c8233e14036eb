//! Linux on aarch64: the system call instruction, call numbers, and the start of a thread.

use core::arch::{asm, naked_asm};
use core::ffi::c_void;

use super::ThreadMain;

/// Numbers of the calls, from the kernel's `asm-generic/unistd.h`.
pub mod number {
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const EXIT_GROUP: usize = 94;
    pub const FUTEX: usize = 98;
    pub const CLOCK_GETTIME: usize = 113;
    pub const SCHED_GETAFFINITY: usize = 123;
    pub const MUNMAP: usize = 215;
    pub const MMAP: usize = 222;
    pub const MPROTECT: usize = 226;
    pub const MADVISE: usize = 233;
}

/// One system call; unused arguments are zero.
///
/// # Safety
/// The arguments are right for the call: pointers valid for what the kernel reads and writes through them.
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel preserves all registers but x0; memory is the caller's promise.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => result,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    result
}

/// `clone(2)` with a new stack that ends at `tid`, where the kernel keeps the thread's id. The child runs
/// `main(argument)` and exits; the parent gets the id or an error.
///
/// # Safety
/// As [`super::Thread::spawn`]; `tid` is aligned to 16 bytes, and the memory below it is a stack nobody uses.
#[unsafe(naked)]
pub unsafe extern "C" fn clone(flags: usize, tid: *mut c_void, main: ThreadMain, argument: *const c_void) -> isize {
    // The call takes x0 flags, x1 stack, x2 parent_tid, x3 tls (unused), x4 child_tid. The child starts with the
    // parent's registers, so `main` and `argument` wait in x5 and x6.
    naked_asm!(
        "mov x5, x2",
        "mov x6, x3",
        "mov x2, x1",
        "mov x3, xzr",
        "mov x4, x1",
        "mov x8, #220",
        "svc 0",
        "cbnz x0, 2f",
        "mov x29, xzr",
        "mov x0, x6",
        "blr x5",
        "mov x0, xzr",
        "mov x8, #93",
        "svc 0",
        "brk #1",
        "2:",
        "ret",
    )
}
