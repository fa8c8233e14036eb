//! Which machine instruction does what an instruction of the vector IR does.
//!
//! Full-width instructions come in two forms, [`Pair`]: VEX on 256-bit registers and EVEX on 512-bit registers. Those that
//! also work on parts of a vector have one form per [`Size`]. Kernels of 512 bits use EVEX throughout: only EVEX reaches the
//! upper sixteen registers.

use iced_x86::Code;

use crate::simd::ir::{Cmp, FloatOp, FloatUnary, FusedOp, Half, IntMem, Pack, Reduction, ShiftOp, VecOp, Widen};

/// VEX at 256 bits, EVEX at 512 bits.
pub type Pair = [Code; 2];

/// Register size and encoding of an instruction that works on part of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Vex128,
    Evex128,
    Evex256,
}

pub fn vec_op(op: VecOp, lane_bytes: usize) -> Pair {
    use Code::*;
    match (op, lane_bytes) {
        (VecOp::Add, 1) => [VEX_Vpaddb_ymm_ymm_ymmm256, EVEX_Vpaddb_zmm_k1z_zmm_zmmm512],
        (VecOp::Add, 2) => [VEX_Vpaddw_ymm_ymm_ymmm256, EVEX_Vpaddw_zmm_k1z_zmm_zmmm512],
        (VecOp::Add, _) => [VEX_Vpaddd_ymm_ymm_ymmm256, EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32],
        (VecOp::Sub, 1) => [VEX_Vpsubb_ymm_ymm_ymmm256, EVEX_Vpsubb_zmm_k1z_zmm_zmmm512],
        (VecOp::Sub, 2) => [VEX_Vpsubw_ymm_ymm_ymmm256, EVEX_Vpsubw_zmm_k1z_zmm_zmmm512],
        (VecOp::Sub, _) => [VEX_Vpsubd_ymm_ymm_ymmm256, EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32],
        (VecOp::Mul, 1) => unreachable!("internal error: a product of V8"),
        (VecOp::Mul, 2) => [VEX_Vpmullw_ymm_ymm_ymmm256, EVEX_Vpmullw_zmm_k1z_zmm_zmmm512],
        (VecOp::Mul, _) => [VEX_Vpmulld_ymm_ymm_ymmm256, EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32],
        (VecOp::And, _) => [VEX_Vpand_ymm_ymm_ymmm256, EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32],
        (VecOp::Or, _) => [VEX_Vpor_ymm_ymm_ymmm256, EVEX_Vpord_zmm_k1z_zmm_zmmm512b32],
        (VecOp::Xor, _) => [VEX_Vpxor_ymm_ymm_ymmm256, EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32],
        (VecOp::AndNot, _) => [VEX_Vpandn_ymm_ymm_ymmm256, EVEX_Vpandnd_zmm_k1z_zmm_zmmm512b32],
        (VecOp::MinS, 1) => [VEX_Vpminsb_ymm_ymm_ymmm256, EVEX_Vpminsb_zmm_k1z_zmm_zmmm512],
        (VecOp::MinS, 2) => [VEX_Vpminsw_ymm_ymm_ymmm256, EVEX_Vpminsw_zmm_k1z_zmm_zmmm512],
        (VecOp::MinS, _) => [VEX_Vpminsd_ymm_ymm_ymmm256, EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32],
        (VecOp::MaxS, 1) => [VEX_Vpmaxsb_ymm_ymm_ymmm256, EVEX_Vpmaxsb_zmm_k1z_zmm_zmmm512],
        (VecOp::MaxS, 2) => [VEX_Vpmaxsw_ymm_ymm_ymmm256, EVEX_Vpmaxsw_zmm_k1z_zmm_zmmm512],
        (VecOp::MaxS, _) => [VEX_Vpmaxsd_ymm_ymm_ymmm256, EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32],
        (VecOp::MinU, 1) => [VEX_Vpminub_ymm_ymm_ymmm256, EVEX_Vpminub_zmm_k1z_zmm_zmmm512],
        (VecOp::MinU, 2) => [VEX_Vpminuw_ymm_ymm_ymmm256, EVEX_Vpminuw_zmm_k1z_zmm_zmmm512],
        (VecOp::MinU, _) => [VEX_Vpminud_ymm_ymm_ymmm256, EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32],
        (VecOp::MaxU, 1) => [VEX_Vpmaxub_ymm_ymm_ymmm256, EVEX_Vpmaxub_zmm_k1z_zmm_zmmm512],
        (VecOp::MaxU, 2) => [VEX_Vpmaxuw_ymm_ymm_ymmm256, EVEX_Vpmaxuw_zmm_k1z_zmm_zmmm512],
        (VecOp::MaxU, _) => [VEX_Vpmaxud_ymm_ymm_ymmm256, EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32],
    }
}

/// Shifts of 16-bit and 32-bit lanes by a constant; there are none of bytes.
pub fn shift(op: ShiftOp, lane_bytes: usize) -> Pair {
    use Code::*;
    match (op, lane_bytes) {
        (ShiftOp::Left, 2) => [VEX_Vpsllw_ymm_ymm_imm8, EVEX_Vpsllw_zmm_k1z_zmmm512_imm8],
        (ShiftOp::Left, _) => [VEX_Vpslld_ymm_ymm_imm8, EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8],
        (ShiftOp::RightUnsigned, 2) => [VEX_Vpsrlw_ymm_ymm_imm8, EVEX_Vpsrlw_zmm_k1z_zmmm512_imm8],
        (ShiftOp::RightUnsigned, _) => [VEX_Vpsrld_ymm_ymm_imm8, EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8],
        (ShiftOp::RightSigned, 2) => [VEX_Vpsraw_ymm_ymm_imm8, EVEX_Vpsraw_zmm_k1z_zmmm512_imm8],
        (ShiftOp::RightSigned, _) => [VEX_Vpsrad_ymm_ymm_imm8, EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8],
    }
}

/// VEX: all ones where equal.
pub fn compare_equal(lane_bytes: usize) -> Code {
    match lane_bytes {
        1 => Code::VEX_Vpcmpeqb_ymm_ymm_ymmm256,
        2 => Code::VEX_Vpcmpeqw_ymm_ymm_ymmm256,
        _ => Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256,
    }
}

/// VEX: all ones where the first is greater, signed.
pub fn compare_greater(lane_bytes: usize) -> Code {
    match lane_bytes {
        1 => Code::VEX_Vpcmpgtb_ymm_ymm_ymmm256,
        2 => Code::VEX_Vpcmpgtw_ymm_ymm_ymmm256,
        _ => Code::VEX_Vpcmpgtd_ymm_ymm_ymmm256,
    }
}

/// EVEX: a comparison into a mask register, by [`int_predicate`].
pub fn compare_to_mask(lane_bytes: usize) -> Code {
    match lane_bytes {
        1 => Code::EVEX_Vpcmpb_kr_k1_zmm_zmmm512_imm8,
        2 => Code::EVEX_Vpcmpw_kr_k1_zmm_zmmm512_imm8,
        _ => Code::EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8,
    }
}

/// EVEX: all ones in the lanes whose mask bit is set.
pub fn mask_to_vector(lane_bytes: usize) -> Code {
    match lane_bytes {
        1 => Code::EVEX_Vpmovm2b_zmm_kr,
        2 => Code::EVEX_Vpmovm2w_zmm_kr,
        _ => Code::EVEX_Vpmovm2d_zmm_kr,
    }
}

/// Immediate of `vpcmp`.
pub fn int_predicate(cmp: Cmp) -> i64 {
    match cmp {
        Cmp::Eq => 0,
        Cmp::Lt => 1,
        Cmp::Le => 2,
        Cmp::Ne => 4,
        Cmp::Ge => 5,
        Cmp::Gt => 6,
    }
}

/// Immediate of `vcmpps`: quiet, false with a NaN except `Ne`.
pub fn float_predicate(cmp: Cmp) -> i64 {
    match cmp {
        Cmp::Eq => 0x00,
        Cmp::Ne => 0x04,
        Cmp::Lt => 0x11,
        Cmp::Le => 0x12,
        Cmp::Ge => 0x1d,
        Cmp::Gt => 0x1e,
    }
}

pub fn float_op(op: FloatOp) -> Pair {
    use Code::*;
    match op {
        FloatOp::Add => [VEX_Vaddps_ymm_ymm_ymmm256, EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er],
        FloatOp::Sub => [VEX_Vsubps_ymm_ymm_ymmm256, EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er],
        FloatOp::Mul => [VEX_Vmulps_ymm_ymm_ymmm256, EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er],
        FloatOp::Div => [VEX_Vdivps_ymm_ymm_ymmm256, EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er],
        FloatOp::Min => [VEX_Vminps_ymm_ymm_ymmm256, EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae],
        FloatOp::Max => [VEX_Vmaxps_ymm_ymm_ymmm256, EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae],
    }
}

/// On one lane: VEX, EVEX.
pub fn scalar_float_op(op: FloatOp) -> Pair {
    use Code::*;
    match op {
        FloatOp::Add => [VEX_Vaddss_xmm_xmm_xmmm32, EVEX_Vaddss_xmm_k1z_xmm_xmmm32_er],
        FloatOp::Sub => [VEX_Vsubss_xmm_xmm_xmmm32, EVEX_Vsubss_xmm_k1z_xmm_xmmm32_er],
        FloatOp::Mul => [VEX_Vmulss_xmm_xmm_xmmm32, EVEX_Vmulss_xmm_k1z_xmm_xmmm32_er],
        FloatOp::Div => [VEX_Vdivss_xmm_xmm_xmmm32, EVEX_Vdivss_xmm_k1z_xmm_xmmm32_er],
        FloatOp::Min => [VEX_Vminss_xmm_xmm_xmmm32, EVEX_Vminss_xmm_k1z_xmm_xmmm32_sae],
        FloatOp::Max => [VEX_Vmaxss_xmm_xmm_xmmm32, EVEX_Vmaxss_xmm_k1z_xmm_xmmm32_sae],
    }
}

/// The operands of a fused multiplication and addition in the order of product, product, sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FusedForm {
    F132,
    F213,
    F231,
}

pub fn fused(op: FusedOp, form: FusedForm, scalar: bool) -> Pair {
    use Code::*;
    use FusedForm::{F132, F213, F231};
    match (op, form, scalar) {
        (FusedOp::MulAdd, F132, false) => [VEX_Vfmadd132ps_ymm_ymm_ymmm256, EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er],
        (FusedOp::MulAdd, F132, true) => [VEX_Vfmadd132ss_xmm_xmm_xmmm32, EVEX_Vfmadd132ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::MulAdd, F213, false) => [VEX_Vfmadd213ps_ymm_ymm_ymmm256, EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er],
        (FusedOp::MulAdd, F213, true) => [VEX_Vfmadd213ss_xmm_xmm_xmmm32, EVEX_Vfmadd213ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::MulAdd, F231, false) => [VEX_Vfmadd231ps_ymm_ymm_ymmm256, EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er],
        (FusedOp::MulAdd, F231, true) => [VEX_Vfmadd231ss_xmm_xmm_xmmm32, EVEX_Vfmadd231ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::MulSub, F132, false) => [VEX_Vfmsub132ps_ymm_ymm_ymmm256, EVEX_Vfmsub132ps_zmm_k1z_zmm_zmmm512b32_er],
        (FusedOp::MulSub, F132, true) => [VEX_Vfmsub132ss_xmm_xmm_xmmm32, EVEX_Vfmsub132ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::MulSub, F213, false) => [VEX_Vfmsub213ps_ymm_ymm_ymmm256, EVEX_Vfmsub213ps_zmm_k1z_zmm_zmmm512b32_er],
        (FusedOp::MulSub, F213, true) => [VEX_Vfmsub213ss_xmm_xmm_xmmm32, EVEX_Vfmsub213ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::MulSub, F231, false) => [VEX_Vfmsub231ps_ymm_ymm_ymmm256, EVEX_Vfmsub231ps_zmm_k1z_zmm_zmmm512b32_er],
        (FusedOp::MulSub, F231, true) => [VEX_Vfmsub231ss_xmm_xmm_xmmm32, EVEX_Vfmsub231ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::NegMulAdd, F132, false) => {
            [VEX_Vfnmadd132ps_ymm_ymm_ymmm256, EVEX_Vfnmadd132ps_zmm_k1z_zmm_zmmm512b32_er]
        }
        (FusedOp::NegMulAdd, F132, true) => [VEX_Vfnmadd132ss_xmm_xmm_xmmm32, EVEX_Vfnmadd132ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::NegMulAdd, F213, false) => {
            [VEX_Vfnmadd213ps_ymm_ymm_ymmm256, EVEX_Vfnmadd213ps_zmm_k1z_zmm_zmmm512b32_er]
        }
        (FusedOp::NegMulAdd, F213, true) => [VEX_Vfnmadd213ss_xmm_xmm_xmmm32, EVEX_Vfnmadd213ss_xmm_k1z_xmm_xmmm32_er],
        (FusedOp::NegMulAdd, F231, false) => {
            [VEX_Vfnmadd231ps_ymm_ymm_ymmm256, EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er]
        }
        (FusedOp::NegMulAdd, F231, true) => [VEX_Vfnmadd231ss_xmm_xmm_xmmm32, EVEX_Vfnmadd231ss_xmm_k1z_xmm_xmmm32_er],
    }
}

/// Immediate of `vroundps` and `vrndscaleps`: direction, no inexact exception.
pub fn rounding(op: FloatUnary) -> Option<i64> {
    match op {
        FloatUnary::Round => Some(8),
        FloatUnary::Floor => Some(9),
        FloatUnary::Ceil => Some(10),
        FloatUnary::Trunc => Some(11),
        FloatUnary::Neg | FloatUnary::Abs | FloatUnary::Sqrt => None,
    }
}

pub fn pack(pack: Pack) -> Pair {
    use Code::*;
    match pack {
        Pack::I32ToI16 => [VEX_Vpackssdw_ymm_ymm_ymmm256, EVEX_Vpackssdw_zmm_k1z_zmm_zmmm512b32],
        Pack::I16ToI8 => [VEX_Vpacksswb_ymm_ymm_ymmm256, EVEX_Vpacksswb_zmm_k1z_zmm_zmmm512],
        Pack::I16ToU8 => [VEX_Vpackuswb_ymm_ymm_ymmm256, EVEX_Vpackuswb_zmm_k1z_zmm_zmmm512],
    }
}

pub fn interleave(half: Half, lane_bytes: usize) -> Pair {
    use Code::*;
    match (half, lane_bytes) {
        (Half::Low, 1) => [VEX_Vpunpcklbw_ymm_ymm_ymmm256, EVEX_Vpunpcklbw_zmm_k1z_zmm_zmmm512],
        (Half::Low, 2) => [VEX_Vpunpcklwd_ymm_ymm_ymmm256, EVEX_Vpunpcklwd_zmm_k1z_zmm_zmmm512],
        (Half::Low, 4) => [VEX_Vpunpckldq_ymm_ymm_ymmm256, EVEX_Vpunpckldq_zmm_k1z_zmm_zmmm512b32],
        (Half::Low, _) => [VEX_Vpunpcklqdq_ymm_ymm_ymmm256, EVEX_Vpunpcklqdq_zmm_k1z_zmm_zmmm512b64],
        (Half::High, 1) => [VEX_Vpunpckhbw_ymm_ymm_ymmm256, EVEX_Vpunpckhbw_zmm_k1z_zmm_zmmm512],
        (Half::High, 2) => [VEX_Vpunpckhwd_ymm_ymm_ymmm256, EVEX_Vpunpckhwd_zmm_k1z_zmm_zmmm512],
        (Half::High, 4) => [VEX_Vpunpckhdq_ymm_ymm_ymmm256, EVEX_Vpunpckhdq_zmm_k1z_zmm_zmmm512b32],
        (Half::High, _) => [VEX_Vpunpckhqdq_ymm_ymm_ymmm256, EVEX_Vpunpckhqdq_zmm_k1z_zmm_zmmm512b64],
    }
}

pub fn widen(widen: Widen) -> Pair {
    use Code::*;
    match widen {
        Widen::U8ToI16 => [VEX_Vpmovzxbw_ymm_xmmm128, EVEX_Vpmovzxbw_zmm_k1z_ymmm256],
        Widen::I8ToI16 => [VEX_Vpmovsxbw_ymm_xmmm128, EVEX_Vpmovsxbw_zmm_k1z_ymmm256],
        Widen::U8ToI32 => [VEX_Vpmovzxbd_ymm_xmmm64, EVEX_Vpmovzxbd_zmm_k1z_xmmm128],
        Widen::I8ToI32 => [VEX_Vpmovsxbd_ymm_xmmm64, EVEX_Vpmovsxbd_zmm_k1z_xmmm128],
        Widen::U16ToI32 => [VEX_Vpmovzxwd_ymm_xmmm128, EVEX_Vpmovzxwd_zmm_k1z_ymmm256],
        Widen::I16ToI32 => [VEX_Vpmovsxwd_ymm_xmmm128, EVEX_Vpmovsxwd_zmm_k1z_ymmm256],
    }
}

/// Lane 0 of a vector register in all lanes.
pub fn broadcast(lane_bytes: usize) -> Pair {
    use Code::*;
    match lane_bytes {
        1 => [VEX_Vpbroadcastb_ymm_xmmm8, EVEX_Vpbroadcastb_zmm_k1z_xmmm8],
        2 => [VEX_Vpbroadcastw_ymm_xmmm16, EVEX_Vpbroadcastw_zmm_k1z_xmmm16],
        _ => [VEX_Vpbroadcastd_ymm_xmmm32, EVEX_Vpbroadcastd_zmm_k1z_xmmm32],
    }
}

/// EVEX: the low bits of an integer register in all lanes.
pub fn broadcast_int(lane_bytes: usize) -> Code {
    match lane_bytes {
        1 => Code::EVEX_Vpbroadcastb_zmm_k1z_r32,
        2 => Code::EVEX_Vpbroadcastw_zmm_k1z_r32,
        _ => Code::EVEX_Vpbroadcastd_zmm_k1z_r32,
    }
}

/// One step of a reduction.
pub fn reduction(reduction: Reduction, size: Size) -> Code {
    use Code::*;
    let [vex128, evex128, evex256] = match reduction {
        Reduction::AddI32 => {
            [VEX_Vpaddd_xmm_xmm_xmmm128, EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpaddd_ymm_k1z_ymm_ymmm256b32]
        }
        Reduction::MaxI32 => {
            [VEX_Vpmaxsd_xmm_xmm_xmmm128, EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpmaxsd_ymm_k1z_ymm_ymmm256b32]
        }
        Reduction::AddF32 => {
            [VEX_Vaddps_xmm_xmm_xmmm128, EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32, EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32]
        }
        Reduction::MaxF32 => {
            [VEX_Vmaxps_xmm_xmm_xmmm128, EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32, EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32]
        }
        Reduction::MinF32 => {
            [VEX_Vminps_xmm_xmm_xmmm128, EVEX_Vminps_xmm_k1z_xmm_xmmm128b32, EVEX_Vminps_ymm_k1z_ymm_ymmm256b32]
        }
    };
    match size {
        Size::Vex128 => vex128,
        Size::Evex128 => evex128,
        Size::Evex256 => evex256,
    }
}

/// A load of a scalar integer, extended to 64 bits.
pub fn load_int(kind: IntMem) -> Code {
    match kind {
        IntMem::U8 => Code::Movzx_r32_rm8,
        IntMem::I8 => Code::Movsx_r64_rm8,
        IntMem::U16 => Code::Movzx_r32_rm16,
        IntMem::I16 => Code::Movsx_r64_rm16,
        IntMem::I32 => Code::Movsxd_r64_rm32,
        IntMem::I64 => Code::Mov_r64_rm64,
    }
}

pub fn store_int(kind: IntMem) -> Code {
    match kind {
        IntMem::U8 | IntMem::I8 => Code::Mov_rm8_r8,
        IntMem::U16 | IntMem::I16 => Code::Mov_rm16_r16,
        IntMem::I32 => Code::Mov_rm32_r32,
        IntMem::I64 => Code::Mov_rm64_r64,
    }
}
