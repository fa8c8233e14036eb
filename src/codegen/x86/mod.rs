//! Kernels of 256-bit and 512-bit vectors for x86-64: AVX2 with AVX-VNNI, and AVX-512 with its VNNI.
//!
//! ```text
//! simd::ir::Function
//!   isel       by demand, within blocks: machine instructions over virtual registers, in basic blocks (cfg, inst)
//!   schedule   order within long blocks: independent chains side by side
//!   regalloc2  registers for them
//!   emit       instructions with registers, the allocator's moves, frame; branches and constants are placed
//! MachineCode  constants stand behind the code, which reaches them relative to itself
//! ```
//!
//! - [`codes`]: which instruction does what at which width;
//! - [`constants`]: the constants behind the code;
//! - [`timing`]: how long each instruction takes, and on which units;
//! - [`straight`], [`outline`]: what the code of a kernel asks of a core, for estimates;
//! - `isel::tiles`: matrices in the tile registers of AMX, which kernels name and nobody allocates.
//!
//! Chunks of the vector IR are what AVX calls 128-bit lanes, so packs, interleaves and shuffles are one instruction each. What
//! decides the speed of an inner loop:
//!
//! - memory operands wherever an instruction takes one: loads cost nothing as long as there are at most two a cycle;
//! - broadcasts from memory, which need no vector unit;
//! - no moves and no spills while the values of a loop fit the registers (see `isel::control` on constants).
//!
//! Multiplication and addition are fused where the kernel says so. Kernels leave the upper halves of the vector registers clear (`vzeroupper`).

mod cfg;
mod codes;
mod constants;
mod emit;
mod inst;
mod isel;
mod outline;
mod schedule;
pub mod straight;
pub mod timing;

use octet_runtime::abi::cpu;

use super::MachineCode;
use super::target::{Arch, Target};
use crate::simd::ir::{Function, Width};
use crate::simd::verify::verify;
use isel::Selection;
pub use outline::{Outline, Part};
use straight::Straight;

/// Machine code of a kernel of [`Width::W256`] or [`Width::W512`], with the calling convention of System V.
///
/// # Errors
/// A target without the vectors of that width. All others are internal: the kernel or this back end is wrong.
pub fn compile(function: &Function, target: &Target) -> Result<MachineCode, String> {
    verify(function).map_err(|problem| format!("internal error: {problem}"))?;
    check_target(function, target)?;
    let Selection { mut cfg, constants, .. } = isel::select(function, target);
    schedule::schedule(&mut cfg, function.width);
    emit::emit(&cfg, &constants, function.width)
        .map_err(|problem| format!("internal error: kernel {}: {problem}", function.name))
}

/// What the instructions of a kernel ask of a core, in the shape of the kernel's tree. No registers are assigned, so what
/// spills and moves cost is not in it.
pub fn outline(function: &Function, target: &Target) -> Outline<Straight> {
    let Selection { cfg, outline, .. } = isel::select(function, target);
    outline.map(&|block| Straight::of(&cfg, block, function.tiles.as_ref()))
}

fn check_target(function: &Function, target: &Target) -> Result<(), String> {
    let width = function.width;
    let needed = match width {
        Width::W256 => cpu::AVX2,
        Width::W512 => cpu::AVX512,
        _ => return Err("internal error: kernels of 128 bits go through Cranelift".into()),
    };
    if function.fma && !target.has(cpu::FMA) {
        return Err(format!("internal error: {} has no fused multiplication and addition", target.cpu_name()));
    }
    if target.arch != Arch::X86_64 || !target.has(needed) {
        return Err(format!("{} has no vectors of {} bits", target.cpu_name(), 8 * width.bytes()));
    }
    if function.tiles.is_some() && !target.has_tiles() {
        return Err(format!("{} has no tiles of bytes", target.cpu_name()));
    }
    Ok(())
}
