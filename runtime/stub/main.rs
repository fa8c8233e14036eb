//! The program around a model, before it has one: a static executable without libc.
//!
//! The build script of the compiler compiles this file with plain `rustc` against the runtime as an rlib; cargo does not
//! know it. The compiler embeds the result, appends a model to it and writes two addresses into [`SLOT`].
#![no_std]
#![no_main]

extern crate alloc;

mod heap;
mod memory;
mod start;
mod symbols;

use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

use octet_runtime::abi::{MODEL_SLOT_MARK, ModelSlot};
use octet_runtime::cpu::HardwareCapabilities;
use octet_runtime::{program, sys};

/// Found by its mark and filled in by the compiler, so the values here are not the ones the program sees.
#[used]
static SLOT: ModelSlot = ModelSlot { mark: MODEL_SLOT_MARK, infer: 0, info: 0 };

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

/// First Rust code of the process. `stack` is where the kernel left argc, argv, NULL, the environment, NULL and the
/// auxiliary vector.
///
/// # Safety
/// Called once, by `_start`, with the initial stack pointer.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: a valid static; volatile because the file's bytes were changed after compilation.
    let slot = unsafe { (&raw const SLOT).read_volatile() };
    // SAFETY: the caller's promise about the layout, from the System V ABI.
    let (args, capabilities) = unsafe { read_stack(stack) };
    // SAFETY: the compiler wrote the addresses of a model's functions into the slot, or left it empty.
    let code = unsafe { program::main(&args, &slot, capabilities) };
    sys::exit(code)
}

/// # Safety
/// `stack` is the initial stack of the process.
unsafe fn read_stack(stack: *const usize) -> (Vec<&'static [u8]>, HardwareCapabilities) {
    const AT_NULL: usize = 0;
    const AT_HWCAP: usize = 16;
    const AT_HWCAP2: usize = 26;
    let mut capabilities = HardwareCapabilities::default();
    // SAFETY: argc pointers to NUL-terminated strings follow argc; the strings live as long as the process. After their
    // NULL comes the environment up to its NULL, then pairs of words up to AT_NULL.
    unsafe {
        let argc = stack.read();
        let argv = stack.add(1).cast::<*const c_char>();
        let args = (0..argc).map(|index| CStr::from_ptr(argv.add(index).read()).to_bytes()).collect();
        let mut word = stack.add(argc + 2);
        while word.read() != 0 {
            word = word.add(1);
        }
        word = word.add(1);
        while word.read() != AT_NULL {
            match word.read() {
                AT_HWCAP => capabilities.hwcap = word.add(1).read() as u64,
                AT_HWCAP2 => capabilities.hwcap2 = word.add(1).read() as u64,
                _ => {}
            }
            word = word.add(2);
        }
        (args, capabilities)
    }
}

/// A panic is a bug of the runtime: say so and end as an internal error.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    program::report_panic(info);
    sys::exit(program::INTERNAL_ERROR)
}
