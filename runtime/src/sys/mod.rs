//! Linux system calls without libc: the few that a model's program needs, behind safe signatures where one exists.
//!
//! The instruction itself, the call numbers and the thread start are per architecture (`x86_64.rs`, `aarch64.rs`).
//! Nothing here touches thread-local storage or `errno`: a failed call returns its [`Errno`].

mod errno;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod arch;

use core::ffi::{CStr, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU32;

use arch::{number, syscall};
pub use errno::Errno;

/// Smallest page of both architectures; mappings are multiples of the real page size in any case.
pub const PAGE: usize = 4096;

pub const STDOUT: i32 = 1;
pub const STDERR: i32 = 2;

/// The kernel returns `-4095..0` for an error and anything else for success.
fn check(value: isize) -> Result<usize, Errno> {
    if (-4095..0).contains(&value) { Err(Errno(-value as i32)) } else { Ok(value as usize) }
}

/// Ends the process and all its threads.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: exit_group takes no pointers and does not return.
        unsafe { syscall(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Asks for the right to use the registers of AMX (`asm/prctl.h`, Documentation/arch/x86/xstate.rst).
#[cfg(target_arch = "x86_64")]
pub fn request_tiles() -> Result<(), Errno> {
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    // SAFETY: this request takes no pointers.
    check(unsafe { syscall(number::ARCH_PRCTL, [ARCH_REQ_XCOMP_PERM, TILE_DATA, 0, 0, 0, 0]) }).map(|_| ())
}

/// An open file, closed when dropped.
#[derive(Debug)]
pub struct File(i32);

impl File {
    pub fn open(path: &CStr) -> Result<File, Errno> {
        const READ_ONLY_CLOEXEC: usize = 0o2000000;
        Self::open_at(path, READ_ONLY_CLOEXEC)
    }

    /// Creates the file or empties it.
    pub fn create(path: &CStr) -> Result<File, Errno> {
        const WRITE_CREATE_TRUNCATE_CLOEXEC: usize = 0o1 | 0o100 | 0o1000 | 0o2000000;
        Self::open_at(path, WRITE_CREATE_TRUNCATE_CLOEXEC)
    }

    fn open_at(path: &CStr, flags: usize) -> Result<File, Errno> {
        const CURRENT_DIRECTORY: usize = -100isize as usize;
        const MODE: usize = 0o666;
        let args = [CURRENT_DIRECTORY, path.as_ptr() as usize, flags, MODE, 0, 0];
        // SAFETY: `path` is NUL-terminated and outlives the call.
        let fd = check(unsafe { syscall(number::OPENAT, args) })?;
        Ok(File(fd as i32))
    }

    /// Reads up to `buffer.len()` bytes; zero is the end of the file.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        retry(|| {
            let args = [self.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
            // SAFETY: the kernel writes at most `buffer.len()` bytes to a buffer borrowed for the call.
            check(unsafe { syscall(number::READ, args) })
        })
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        write_all(self.0, bytes)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and not used after this. A close error has no remedy here.
        unsafe { syscall(number::CLOSE, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Writes all of `bytes` to an open descriptor.
pub fn write_all(fd: i32, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = retry(|| {
            let args = [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
            // SAFETY: the kernel reads at most `bytes.len()` bytes of a slice borrowed for the call.
            check(unsafe { syscall(number::WRITE, args) })
        })?;
        bytes = &bytes[written.min(bytes.len())..];
    }
    Ok(())
}

/// Repeats a call that a signal interrupted.
fn retry(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTERRUPTED) => {}
            other => return other,
        }
    }
}

/// Fresh zeroed private memory of `len` bytes (not zero), page aligned.
pub fn map(len: usize) -> Result<NonNull<u8>, Errno> {
    const READ_WRITE: usize = 1 | 2;
    const PRIVATE_ANONYMOUS: usize = 0x02 | 0x20;
    let args = [0, len, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0];
    // SAFETY: an anonymous mapping at an address of the kernel's choice affects no existing memory.
    let address = check(unsafe { syscall(number::MMAP, args) })?;
    NonNull::new(ptr::with_exposed_provenance_mut(address)).ok_or(Errno::OUT_OF_MEMORY)
}

/// Hints that all of a mapping will be used soon: the kernel may use huge pages, and provides them now, in one call
/// instead of one fault for each. Kernels that know neither hint ignore them.
///
/// # Safety
/// `address` and `len` are those of one `map` call.
pub unsafe fn populate(address: NonNull<u8>, len: usize) {
    const MADV_HUGEPAGE: usize = 14;
    const MADV_POPULATE_WRITE: usize = 23;
    for advice in [MADV_HUGEPAGE, MADV_POPULATE_WRITE] {
        let args = [address.as_ptr() as usize, len, advice, 0, 0, 0];
        // SAFETY: neither advice changes the contents of the memory.
        unsafe { syscall(number::MADVISE, args) };
    }
}

/// Gives memory of [`map`] back.
///
/// # Safety
/// `address` and `len` are those of one `map` call, and nothing refers to the memory any more.
pub unsafe fn unmap(address: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise. Failure would mean that the arguments are not a mapping.
    unsafe { syscall(number::MUNMAP, [address.as_ptr() as usize, len, 0, 0, 0, 0]) };
}

/// Takes all rights from `len` bytes at `address`: a guard page.
///
/// # Safety
/// The pages lie in a mapping of the caller's and are not in use.
pub unsafe fn protect_none(address: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    check(unsafe { syscall(number::MPROTECT, [address.as_ptr() as usize, len, 0, 0, 0, 0]) }).map(|_| ())
}

const FUTEX_PRIVATE: usize = 128;

/// Sleeps until woken, if `word` still holds `expected`; may also return for no reason.
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    let operation = FUTEX_PRIVATE;
    // SAFETY: `word` outlives the call; the null timeout means to wait without limit.
    unsafe { syscall(number::FUTEX, [word.as_ptr() as usize, operation, expected as usize, 0, 0, 0]) };
}

/// As [`futex_wait`] for a word that the kernel wakes on a thread's exit; those wakes are not process-private.
fn futex_wait_shared(word: &AtomicU32, expected: u32) {
    // SAFETY: as in `futex_wait`.
    unsafe { syscall(number::FUTEX, [word.as_ptr() as usize, 0, expected as usize, 0, 0, 0]) };
}

/// Wakes every thread that sleeps on `word`.
pub fn futex_wake_all(word: &AtomicU32) {
    const WAKE: usize = 1;
    let args = [word.as_ptr() as usize, WAKE | FUTEX_PRIVATE, i32::MAX as usize, 0, 0, 0];
    // SAFETY: waking only uses the address as a key.
    unsafe { syscall(number::FUTEX, args) };
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = [0i64; 2];
    // SAFETY: the kernel writes one `struct timespec` (two 64-bit words) to `time`.
    unsafe { syscall(number::CLOCK_GETTIME, [CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    (time[0] as u64).wrapping_mul(1_000_000_000).wrapping_add(time[1] as u64)
}

/// Number of CPUs this process may run on, at least one.
pub fn cpu_count() -> usize {
    let mut mask = [0u64; 128];
    let args = [0, size_of_val(&mask), mask.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel writes at most the given number of bytes to `mask`.
    match check(unsafe { syscall(number::SCHED_GETAFFINITY, args) }) {
        Ok(_) => mask.iter().map(|word| word.count_ones() as usize).sum::<usize>().max(1),
        Err(_) => 1,
    }
}

/// A thread of this process that shares everything with its creator, *including its thread-local storage*: what it
/// runs must use none.
#[derive(Debug)]
pub struct Thread {
    stack: NonNull<u8>,
}

/// What a thread runs.
pub type ThreadMain = unsafe extern "C" fn(*const c_void);

const GUARD: usize = 64 * 1024;
const STACK: usize = GUARD + 512 * 1024;

impl Thread {
    /// Starts `main(argument)` on a stack of its own above a guard page.
    ///
    /// # Safety
    /// `main` uses no thread-local storage, does not unwind, and `argument` stays valid until [`Thread::join`].
    pub unsafe fn spawn(main: ThreadMain, argument: *const c_void) -> Result<Thread, Errno> {
        // VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | PARENT_SETTID | CHILD_CLEARTID
        const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;
        let thread = Thread { stack: map(STACK)? };
        // SAFETY: the stack is ours and not in use; the lowest pages of it become the guard.
        let guarded = unsafe { protect_none(thread.stack, GUARD) };
        let tid = thread.tid() as *const AtomicU32;
        // SAFETY: the thread id word is the top of the stack, below it the stack proper, 64-byte aligned. The kernel
        // writes the word before `clone` returns here, and clears it when the thread has left the stack.
        let started =
            guarded.and_then(|()| check(unsafe { arch::clone(FLAGS, tid.cast_mut().cast(), main, argument) }));
        if let Err(error) = started {
            // SAFETY: no thread was started on the stack.
            unsafe { unmap(thread.stack, STACK) };
            return Err(error);
        }
        Ok(thread)
    }

    /// The thread's id; zero when it has ended.
    fn tid(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, aligned to 64, zeroed by the kernel, and only accessed atomically.
        unsafe { self.stack.add(STACK - 64).cast().as_ref() }
    }

    /// Waits for the end of the thread and frees its stack.
    pub fn join(self) {
        loop {
            let tid = self.tid().load(core::sync::atomic::Ordering::Acquire);
            if tid == 0 {
                break;
            }
            futex_wait_shared(self.tid(), tid);
        }
        // SAFETY: the kernel clears the word after the thread has run its last instruction.
        unsafe { unmap(self.stack, STACK) };
    }
}
