//! Product loops of x86-64.
//!
//! The instructions stand in assembly because the program is compiled for the oldest CPU: they run only where CPUID says so.

use core::arch::asm;

use super::ProductLoop;
use crate::abi::cpu;

/// Accumulators of each loop: more than latency times throughput of any product here.
const ACCUMULATORS: u64 = 12;

/// Of the eight tile registers two are factors.
const TILE_ACCUMULATORS: u64 = 6;

pub const LOOPS: &[ProductLoop] = &[
    int8("pmaddwd+paddd xmm", 0, 8, pmaddwd_xmm),
    int8("pmaddubsw+pmaddwd+paddd xmm", cpu::SSSE3, 16, pmaddubsw_xmm),
    int8("vpmaddubsw+vpmaddwd+vpaddd ymm", cpu::AVX2, 32, vpmaddubsw_ymm),
    int8("vpmaddubsw+vpmaddwd+vpaddd zmm", cpu::AVX512, 64, vpmaddubsw_zmm),
    int8("vpdpbusd ymm", cpu::AVX_VNNI, 32, vpdpbusd_ymm),
    int8("vpdpbusd zmm", cpu::AVX512_VNNI, 64, vpdpbusd_zmm),
    ProductLoop {
        precision: "I8",
        instructions: "tdpbusd tmm",
        needs: cpu::AMX_TILE | cpu::AMX_INT8,
        macs: TILE_ACCUMULATORS * 16 * 16 * 64,
        run: tdpbusd,
    },
    float("mulps+addps xmm", 0, 4, mulps_xmm),
    float("vmulps+vaddps ymm", cpu::AVX, 8, vmulps_ymm),
    float("vfmadd231ps ymm", cpu::FMA, 8, vfmadd231ps_ymm),
    float("vfmadd231ps zmm", cpu::AVX512, 16, vfmadd231ps_zmm),
];

/// `lanes`: products of one vector.
const fn int8(instructions: &'static str, needs: u64, lanes: u64, run: unsafe fn(u64)) -> ProductLoop {
    ProductLoop { precision: "I8", instructions, needs, macs: ACCUMULATORS * lanes, run }
}

const fn float(instructions: &'static str, needs: u64, lanes: u64, run: unsafe fn(u64)) -> ProductLoop {
    ProductLoop { precision: "FP32", instructions, needs, macs: ACCUMULATORS * lanes, run }
}

/// A function that repeats `$body` for the accumulators `\n` = 0 to 11. Registers 13 and 14 are factors, 15 is free for the
/// body; all begin as zero (`$clear`), because denormal floats are slow. A macro, since assembly is made of literals.
macro_rules! product_loop {
    ($name:ident, $clear:literal, [$($body:literal),+], $end:literal) => {
        unsafe fn $name(iterations: u64) {
            // SAFETY: the caller says that the CPU has the instructions. They write only the registers named here, and
            // flags.
            unsafe {
                asm!(
                    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14",
                    $clear,
                    ".endr",
                    ".p2align 5",
                    "2:",
                    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                    $($body,)+
                    ".endr",
                    "dec {iterations}",
                    "jnz 2b",
                    $end,
                    iterations = inout(reg) iterations => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack),
                );
            }
        }
    };
}

product_loop!(
    pmaddwd_xmm,
    "pxor xmm\\n, xmm\\n",
    ["movdqa xmm15, xmm13", "pmaddwd xmm15, xmm14", "paddd xmm\\n, xmm15"],
    ""
);
product_loop!(
    pmaddubsw_xmm,
    "pxor xmm\\n, xmm\\n",
    ["movdqa xmm15, xmm13", "pmaddubsw xmm15, xmm14", "pmaddwd xmm15, xmm14", "paddd xmm\\n, xmm15"],
    ""
);
product_loop!(
    vpmaddubsw_ymm,
    "vpxor xmm\\n, xmm\\n, xmm\\n",
    ["vpmaddubsw ymm15, ymm13, ymm14", "vpmaddwd ymm15, ymm15, ymm14", "vpaddd ymm\\n, ymm\\n, ymm15"],
    "vzeroupper"
);
product_loop!(
    vpmaddubsw_zmm,
    "vpxor xmm\\n, xmm\\n, xmm\\n",
    ["vpmaddubsw zmm15, zmm13, zmm14", "vpmaddwd zmm15, zmm15, zmm14", "vpaddd zmm\\n, zmm\\n, zmm15"],
    "vzeroupper"
);
product_loop!(vpdpbusd_ymm, "vpxor xmm\\n, xmm\\n, xmm\\n", ["{{vex}} vpdpbusd ymm\\n, ymm13, ymm14"], "vzeroupper");
product_loop!(vpdpbusd_zmm, "vpxor xmm\\n, xmm\\n, xmm\\n", ["vpdpbusd zmm\\n, zmm13, zmm14"], "vzeroupper");
product_loop!(
    mulps_xmm,
    "xorps xmm\\n, xmm\\n",
    ["movaps xmm15, xmm13", "mulps xmm15, xmm14", "addps xmm\\n, xmm15"],
    ""
);
product_loop!(
    vmulps_ymm,
    "vxorps xmm\\n, xmm\\n, xmm\\n",
    ["vmulps ymm15, ymm13, ymm14", "vaddps ymm\\n, ymm\\n, ymm15"],
    "vzeroupper"
);
product_loop!(vfmadd231ps_ymm, "vxorps xmm\\n, xmm\\n, xmm\\n", ["vfmadd231ps ymm\\n, ymm13, ymm14"], "vzeroupper");
product_loop!(vfmadd231ps_zmm, "vxorps xmm\\n, xmm\\n, xmm\\n", ["vfmadd231ps zmm\\n, zmm13, zmm14"], "vzeroupper");

/// Takes a cycle for each of `additions` (a multiple of 16, not 0), for each waits for the one before it.
pub fn wait_cycles(additions: u64) {
    // SAFETY: additions to a register that is named here, and flags.
    unsafe {
        asm!(
            ".p2align 5",
            "2:",
            ".rept 16",
            "add {sum}, {sum}",
            ".endr",
            "sub {left}, 16",
            "ja 2b",
            sum = inout(reg) 1u64 => _,
            left = inout(reg) additions => _,
            options(nomem, nostack),
        );
    }
}

/// The operand of `ldtilecfg` for eight tiles of 16 rows of 64 bytes: palette 1, bytes of a row as u16 from byte 16, rows from
/// byte 48 (Intel SDM volume 1, 18.2).
static TILES: [u8; 64] = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    bytes
};

/// As the loops above, with registers of matrices: each product is 16 x 64 times 64 x 16.
unsafe fn tdpbusd(iterations: u64) {
    // SAFETY: the caller says that the CPU has the instructions and the system has granted the registers. They read 64 bytes
    // at `TILES`, write only the registers named here, and flags; tiles are free again at the end.
    unsafe {
        asm!(
            "ldtilecfg [{tiles}]",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
            "tilezero tmm\\n",
            ".endr",
            ".p2align 5",
            "2:",
            ".irp n, 0, 1, 2, 3, 4, 5",
            "tdpbusd tmm\\n, tmm6, tmm7",
            ".endr",
            "dec {iterations}",
            "jnz 2b",
            "tilerelease",
            tiles = in(reg) TILES.as_ptr(),
            iterations = inout(reg) iterations => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(readonly, nostack),
        );
    }
}
