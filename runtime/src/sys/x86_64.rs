//! Linux on x86-64: the system call instruction, call numbers, and the start of a thread.

use core::arch::{asm, naked_asm};
use core::ffi::c_void;

use super::ThreadMain;

/// Numbers of the calls, from the kernel's `syscall_64.tbl`.
pub mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const MADVISE: usize = 28;
    pub const ARCH_PRCTL: usize = 158;
    pub const FUTEX: usize = 202;
    pub const SCHED_GETAFFINITY: usize = 204;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
}

/// One system call; unused arguments are zero.
///
/// # Safety
/// The arguments are right for the call: pointers valid for what the kernel reads and writes through them.
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11; memory is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
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
    // The call takes rdi flags, rsi stack, rdx parent_tid, r10 child_tid, r8 tls (unused). The child starts with the
    // parent's registers, so `main` and `argument` wait in r9 and r8.
    naked_asm!(
        "mov r9, rdx",
        "mov r8, rcx",
        "mov rdx, rsi",
        "mov r10, rsi",
        "mov eax, 56",
        "syscall",
        "test rax, rax",
        "jne 2f",
        "xor ebp, ebp",
        "mov rdi, r8",
        "call r9",
        "xor edi, edi",
        "mov eax, 60",
        "syscall",
        "ud2",
        "2:",
        "ret",
    )
}
