//! The memory functions that compiled Rust calls and that otherwise come from libc.
//!
//! They move a few strings and an input tensor; models never call them. The assembly (and volatile accesses) keep the
//! compiler from recognising a loop as the very function it implements.

use core::ffi::c_int;

/// # Safety
/// As in C: `n` bytes at both addresses, not overlapping.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { copy_forward(dst, src, n) };
    dst
}

/// # Safety
/// As in C: `n` bytes at both addresses, overlapping in any way.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    // A forward copy is right unless `dst` lies inside the source; the subtraction wraps when it is below.
    if dst.addr().wrapping_sub(src.addr()) >= n {
        // SAFETY: the caller's promise; no byte is overwritten before it is read.
        unsafe { copy_forward(dst, src, n) };
    } else {
        for index in (0..n).rev() {
            // SAFETY: inside both ranges; from the end, no byte is overwritten before it is read.
            unsafe { dst.add(index).write_volatile(src.add(index).read_volatile()) };
        }
    }
    dst
}

/// # Safety
/// As in C: `n` bytes at `dst`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(dst: *mut u8, value: c_int, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { fill(dst, value as u8, n) };
    dst
}

/// # Safety
/// As in C: `n` bytes at both addresses.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> c_int {
    for index in 0..n {
        // SAFETY: inside both ranges.
        let (x, y) = unsafe { (a.add(index).read_volatile(), b.add(index).read_volatile()) };
        if x != y {
            return c_int::from(x) - c_int::from(y);
        }
    }
    0
}

/// # Safety
/// As `memcmp`, of which it is the form that only tells equal from different.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, n) }
}

/// # Safety
/// `n` bytes at `a`, NUL-terminated.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(a: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: not past the terminator.
    while unsafe { a.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}

#[cfg(target_arch = "x86_64")]
unsafe fn copy_forward(dst: *mut u8, src: *const u8, n: usize) {
    // SAFETY: the ranges are the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") n => _, inout("rdi") dst => _, inout("rsi") src => _,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn fill(dst: *mut u8, value: u8, n: usize) {
    // SAFETY: the range is the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!(
            "rep stosb",
            inout("rcx") n => _, inout("rdi") dst => _, in("al") value,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy_forward(dst: *mut u8, src: *const u8, n: usize) {
    for index in 0..n {
        // SAFETY: inside the caller's ranges.
        unsafe { dst.add(index).write_volatile(src.add(index).read_volatile()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn fill(dst: *mut u8, value: u8, n: usize) {
    for index in 0..n {
        // SAFETY: inside the caller's range.
        unsafe { dst.add(index).write_volatile(value) };
    }
}
