//! How long instructions take, and which parts of a core they occupy.
//!
//! One table for all cores: latencies are those of Golden Cove and Zen 3 where they agree, else the longer one. What is rare in long
//! chains counts as one cycle, though some of it takes three: the order of instructions that `schedule` makes of the true numbers
//! keeps more vectors alive and was slower where it was measured. How many
//! instructions of each [`Unit`] a core does in a cycle is a property of the core (`codegen::estimate::machine`).
//!
//! Sources: uops.info (tables of Alder Lake P and Zen 3), Agner Fog's instruction tables, the Intel optimization reference
//! manual (volume 1, chapter 2, and chapter 20 on tiles), AMD's software optimization guide for family 19h.

use iced_x86::Mnemonic;

use super::inst::{Arg, Effect, Inst, Kind, Step};

/// What executes an instruction. Instructions of one unit compete with each other in the same way on every core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Additions and logic of lanes: any vector port.
    Lanes,
    /// Products of integers.
    Multiply,
    /// Shifts, comparisons, the smaller and the greater of integers.
    Shift,
    FloatAdd,
    /// Products, conversions, rounding.
    FloatMultiply,
    /// Inside chunks.
    Shuffle,
    /// Across chunks, and between masks, integers and vectors.
    Cross,
    Divide,
    Int,
    IntMultiply,
    IntDivide,
    Branch,
    /// Of up to 32 bytes; a load of more is [`Unit::LoadWide`] besides.
    Load,
    LoadWide,
    /// Up to 32 bytes.
    Store,
    /// A row of a product of tiles.
    TileRow,
}

impl Unit {
    pub const COUNT: usize = Unit::TileRow as usize + 1;
}

/// What an instruction does besides reading and writing memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// None for plain loads and stores.
    pub unit: Option<Unit>,
    pub uops: f64,
    /// Cycles from the last operand in a register to the result.
    pub latency: u32,
}

const fn on(unit: Unit, uops: f64, latency: u32) -> Timing {
    Timing { unit: Some(unit), uops, latency }
}

/// Cycles of a load that finds its data in the first cache, until a vector is there.
pub const LOAD_LATENCY: u32 = 7;

/// Cycles until the result can be used, its operands being in registers or having been loaded early.
pub fn latency(inst: &Inst) -> u32 {
    match &inst.kind {
        Kind::One(step) => timing(step, inst.effect).latency,
        Kind::Divide => INT_DIVIDE.latency,
        Kind::Args
        | Kind::StackArg(_)
        | Kind::Scratch
        | Kind::Zero(_)
        | Kind::SetIf(..)
        | Kind::MoveIf(..)
        | Kind::Jump
        | Kind::Branch(..)
        | Kind::Return => 1,
    }
}

/// As [`latency`], with what the order of instructions does not count: vectors that cross chunks, or go between masks,
/// integers and vectors, and blends.
pub fn whole_latency(inst: &Inst) -> u32 {
    match &inst.kind {
        Kind::One(step) => {
            let timing = timing(step, inst.effect);
            let is_slow = timing.unit == Some(Unit::Cross) || step.code.mnemonic() == Mnemonic::Vpblendvb;
            if is_slow { timing.latency.max(3) } else { timing.latency }
        }
        _ => latency(inst),
    }
}

/// As [`whole_latency`], behind an instruction of the same kind: Golden Cove hands sums from adder to adder in two cycles (Zen 3 takes
/// three).
pub fn chained_latency(inst: &Inst) -> u32 {
    match &inst.kind {
        Kind::One(step) if is_float_sum(step.code.mnemonic()) => 2,
        _ => whole_latency(inst),
    }
}

fn is_float_sum(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Vaddps | Mnemonic::Vsubps | Mnemonic::Vaddss | Mnemonic::Vsubss)
}

pub const INT_DIVIDE: Timing = on(Unit::IntDivide, 1.0, 14);

/// Whether an argument is read from or written to memory.
pub fn has_memory(step: &Step) -> bool {
    step.args.iter().any(|arg| matches!(arg, Arg::Mem { .. } | Arg::Const(_))) && step.code.mnemonic() != Mnemonic::Lea
}

/// Bytes that an instruction reads or writes in memory: those of a vector, or of the lane that is broadcast.
pub fn memory_bytes(step: &Step) -> usize {
    let mut inst = iced_x86::Instruction::default();
    inst.set_code(step.code);
    inst.memory_size().size()
}

pub fn timing(step: &Step, effect: Effect) -> Timing {
    let in_memory = has_memory(step);
    let mnemonic = step.code.mnemonic();
    match mnemonic {
        // plain loads and stores
        Mnemonic::Vmovdqu
        | Mnemonic::Vmovdqa
        | Mnemonic::Vmovdqu8
        | Mnemonic::Vmovdqu32
        | Mnemonic::Vmovdqa32
        | Mnemonic::Vmovss
        | Mnemonic::Vmovq
        | Mnemonic::Mov
        | Mnemonic::Movzx
        | Mnemonic::Movsx
        | Mnemonic::Movsxd
        | Mnemonic::Vbroadcastss
        | Mnemonic::Vpbroadcastd
        | Mnemonic::Vmovd
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Tileloadd
        | Mnemonic::Tilestored
        | Mnemonic::Tilezero
        | Mnemonic::Ldtilecfg
        | Mnemonic::Tilerelease
            if in_memory =>
        {
            Timing { unit: None, uops: 0.0, latency: 1 }
        }
        // a chunk from memory is blended in; the low chunk needs no shuffle on its way out
        Mnemonic::Vinserti128 | Mnemonic::Vinserti32x4 if in_memory => on(Unit::Lanes, 1.0, 3),
        Mnemonic::Vextracti128 if effect == Effect::Writes => Timing { unit: None, uops: 0.0, latency: 3 },
        _ if is_int(mnemonic) => on(Unit::Int, 1.0, 1),
        Mnemonic::Imul => on(Unit::IntMultiply, 1.0, 1),
        _ => vector(mnemonic),
    }
}

fn is_int(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Lea
            | Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Cmp
            | Mnemonic::Test
            | Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Movsxd
    )
}

fn is_fused(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Vfmadd132ps
            | Mnemonic::Vfmadd132ss
            | Mnemonic::Vfmadd213ps
            | Mnemonic::Vfmadd213ss
            | Mnemonic::Vfmadd231ps
            | Mnemonic::Vfmadd231ss
            | Mnemonic::Vfmsub132ps
            | Mnemonic::Vfmsub132ss
            | Mnemonic::Vfmsub213ps
            | Mnemonic::Vfmsub213ss
            | Mnemonic::Vfmsub231ps
            | Mnemonic::Vfmsub231ss
            | Mnemonic::Vfnmadd132ps
            | Mnemonic::Vfnmadd132ss
            | Mnemonic::Vfnmadd213ps
            | Mnemonic::Vfnmadd213ss
            | Mnemonic::Vfnmadd231ps
            | Mnemonic::Vfnmadd231ss
    )
}

fn vector(mnemonic: Mnemonic) -> Timing {
    match mnemonic {
        Mnemonic::Vdivps | Mnemonic::Vsqrtps => on(Unit::Divide, 1.0, 16),
        Mnemonic::Vdivss | Mnemonic::Vsqrtss => on(Unit::Divide, 0.5, 16),
        Mnemonic::Vpmulld => on(Unit::Multiply, 2.0, 10),
        Mnemonic::Vpmaddubsw | Mnemonic::Vpmaddwd | Mnemonic::Vpdpbusd | Mnemonic::Vpdpwssd | Mnemonic::Vpmullw => {
            on(Unit::Multiply, 1.0, 5)
        }
        Mnemonic::Vrndscaleps | Mnemonic::Vroundps => on(Unit::FloatMultiply, 2.0, 8),
        Mnemonic::Vrndscaless | Mnemonic::Vroundss => on(Unit::FloatMultiply, 2.0, 1),
        Mnemonic::Vmulps | Mnemonic::Vmulss | Mnemonic::Vcvtdq2ps | Mnemonic::Vcvtps2dq => {
            on(Unit::FloatMultiply, 1.0, 4)
        }
        _ if is_fused(mnemonic) => on(Unit::FloatMultiply, 1.0, 4),
        Mnemonic::Vcvttss2si => on(Unit::FloatMultiply, 1.0, 1),
        Mnemonic::Vaddps
        | Mnemonic::Vsubps
        | Mnemonic::Vaddss
        | Mnemonic::Vsubss
        | Mnemonic::Vminps
        | Mnemonic::Vmaxps
        | Mnemonic::Vminss
        | Mnemonic::Vmaxss => on(Unit::FloatAdd, 1.0, 4),
        Mnemonic::Vcmpps => on(Unit::FloatAdd, 1.0, 4),
        Mnemonic::Vcmpss => on(Unit::FloatAdd, 1.0, 1),
        Mnemonic::Vpcmpb | Mnemonic::Vpcmpw | Mnemonic::Vpcmpd => on(Unit::Cross, 1.0, 1),
        Mnemonic::Vpsllw
        | Mnemonic::Vpslld
        | Mnemonic::Vpsrlw
        | Mnemonic::Vpsrld
        | Mnemonic::Vpsraw
        | Mnemonic::Vpsrad
        | Mnemonic::Vpminsb
        | Mnemonic::Vpminsw
        | Mnemonic::Vpminsd
        | Mnemonic::Vpminub
        | Mnemonic::Vpminuw
        | Mnemonic::Vpminud
        | Mnemonic::Vpmaxsb
        | Mnemonic::Vpmaxsw
        | Mnemonic::Vpmaxsd
        | Mnemonic::Vpmaxub
        | Mnemonic::Vpmaxuw
        | Mnemonic::Vpmaxud
        | Mnemonic::Vpcmpgtb
        | Mnemonic::Vpcmpgtw
        | Mnemonic::Vpcmpgtd
        | Mnemonic::Vpcmpeqb
        | Mnemonic::Vpcmpeqw
        | Mnemonic::Vpcmpeqd => on(Unit::Shift, 1.0, 1),
        Mnemonic::Vpackssdw
        | Mnemonic::Vpacksswb
        | Mnemonic::Vpackuswb
        | Mnemonic::Vpunpcklbw
        | Mnemonic::Vpunpcklwd
        | Mnemonic::Vpunpckldq
        | Mnemonic::Vpunpcklqdq
        | Mnemonic::Vpunpckhbw
        | Mnemonic::Vpunpckhwd
        | Mnemonic::Vpunpckhdq
        | Mnemonic::Vpunpckhqdq
        | Mnemonic::Vpshufb
        | Mnemonic::Vpshufd => on(Unit::Shuffle, 1.0, 1),
        Mnemonic::Vpinsrb
        | Mnemonic::Vpinsrw
        | Mnemonic::Vpinsrd
        | Mnemonic::Vpextrb
        | Mnemonic::Vpextrw
        | Mnemonic::Vpextrd
        | Mnemonic::Vextracti64x4
        | Mnemonic::Vpermd
        | Mnemonic::Vpmovsxbw
        | Mnemonic::Vpmovsxbd
        | Mnemonic::Vpmovsxwd
        | Mnemonic::Vpmovzxbw
        | Mnemonic::Vpmovzxbd
        | Mnemonic::Vpmovzxwd
        | Mnemonic::Vpbroadcastb
        | Mnemonic::Vpbroadcastw
        | Mnemonic::Vpbroadcastd
        | Mnemonic::Vbroadcastss
        | Mnemonic::Vmovd
        | Mnemonic::Kmovq
        | Mnemonic::Kmovw => on(Unit::Cross, 1.0, 1),
        Mnemonic::Vinserti128 | Mnemonic::Vinserti32x4 | Mnemonic::Vextracti128 | Mnemonic::Vextracti32x4 => {
            on(Unit::Cross, 1.0, 3)
        }
        Mnemonic::Vpblendvb => on(Unit::Lanes, 2.0, 1),
        // additions and logic
        _ => on(Unit::Lanes, 1.0, 1),
    }
}
