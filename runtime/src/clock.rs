//! Monotonic time, for measurements and as [`crate::abi::Clock`].

use core::ffi::c_void;

/// Nanoseconds since some fixed moment.
pub fn now_ns() -> u64 {
    crate::sys::monotonic_ns()
}

/// [`now_ns`] as the model calls it; `context` is not used.
pub extern "C" fn abi_clock(_context: *mut c_void) -> u64 {
    now_ns()
}
