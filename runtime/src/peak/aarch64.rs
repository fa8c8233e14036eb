//! Product loops of aarch64.

use core::arch::asm;

use super::ProductLoop;
use crate::abi::cpu;

/// Accumulators of each loop: more than latency times throughput of any product here.
const ACCUMULATORS: u64 = 16;

pub const LOOPS: &[ProductLoop] = &[
    product("I8", "smull+smlal2+sadalp", 0, 16, smull),
    product("I8", "sdot", cpu::DOTPROD, 16, sdot),
    product("I8", "smmla", cpu::I8MM, 32, smmla),
    product("FP32", "fmla", 0, 4, fmla),
];

/// `lanes`: products for one accumulator.
const fn product(
    precision: &'static str,
    instructions: &'static str,
    needs: u64,
    lanes: u64,
    run: unsafe fn(u64),
) -> ProductLoop {
    ProductLoop { precision, instructions, needs, macs: ACCUMULATORS * lanes, run }
}

/// Takes a cycle for each of `additions` (a multiple of 16, not 0), for each waits for the one before it.
pub fn wait_cycles(additions: u64) {
    // SAFETY: additions to a register that is named here, and flags.
    unsafe {
        asm!(
            ".p2align 5",
            "2:",
            ".rept 16",
            "add {sum}, {sum}, {sum}",
            ".endr",
            "subs {left}, {left}, #16",
            "b.ne 2b",
            sum = inout(reg) 1u64 => _,
            left = inout(reg) additions => _,
            options(nomem, nostack),
        );
    }
}

/// A function that repeats `$body` for the accumulators `\n` = 0 to 15. v29 and v30 are factors, v31 is free for the body; all
/// begin as zero, because denormal floats are slow. A macro, since assembly is made of literals.
macro_rules! product_loop {
    ($name:ident, $extension:literal, [$($body:literal),+]) => {
        unsafe fn $name(iterations: u64) {
            // SAFETY: the caller says that the CPU has the instructions. They write only the registers named here, and
            // flags.
            unsafe {
                asm!(
                    $extension,
                    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 29, 30",
                    "movi v\\n\\().2d, #0",
                    ".endr",
                    ".p2align 5",
                    "2:",
                    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                    $($body,)+
                    ".endr",
                    "subs {iterations}, {iterations}, #1",
                    "b.ne 2b",
                    iterations = inout(reg) iterations => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                    out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                    out("v14") _, out("v15") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nomem, nostack),
                );
            }
        }
    };
}

product_loop!(
    smull,
    "",
    ["smull v31.8h, v29.8b, v30.8b", "smlal2 v31.8h, v29.16b, v30.16b", "sadalp v\\n\\().4s, v31.8h"]
);
product_loop!(sdot, ".arch_extension dotprod", ["sdot v\\n\\().4s, v29.16b, v30.16b"]);
product_loop!(smmla, ".arch_extension i8mm", ["smmla v\\n\\().4s, v29.16b, v30.16b"]);
product_loop!(fmla, "", ["fmla v\\n\\().4s, v29.4s, v30.4s"]);
