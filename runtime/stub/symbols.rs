//! Symbols that the precompiled `core` and `alloc` refer to and a program with libc would have.

/// Finds the handlers of a frame. The library was compiled for unwinding, but the stub aborts on a panic.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    octet_runtime::sys::exit(octet_runtime::program::INTERNAL_ERROR)
}

/// Goes on unwinding after a frame's clean-up; never called for the same reason.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    octet_runtime::sys::exit(octet_runtime::program::INTERNAL_ERROR)
}

/// Asked by the library's choice of atomic instructions in a constructor, which nobody runs here. Zero, "nothing known",
/// is right for every CPU.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn getauxval(_kind: core::ffi::c_ulong) -> core::ffi::c_ulong {
    0
}
