//! Symbols that the precompiled `alloc` refers to because it was compiled for unwinding. The stub aborts on a panic, so
//! nobody calls them.

/// Would find the handlers of a frame.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    octet_runtime::sys::exit(octet_runtime::program::INTERNAL_ERROR)
}

/// Would go on unwinding after a frame's clean-up.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    octet_runtime::sys::exit(octet_runtime::program::INTERNAL_ERROR)
}
