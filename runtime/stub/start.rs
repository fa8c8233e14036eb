//! `_start`: hands the initial stack pointer to Rust.

use core::arch::naked_asm;

/// Entry point of the process. The kernel passes everything on the stack, which is aligned to 16 bytes.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {main}",
        "ud2",
        main = sym super::main,
    )
}

/// Entry point of the process. The kernel passes everything on the stack, which is aligned to 16 bytes.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        "bl {main}",
        "brk #1",
        main = sym super::main,
    )
}
