//! Lane-wise vector arithmetic, products, and float arithmetic on lanes and scalars alike.

use iced_x86::Code;
use regalloc2::VReg;

use super::Selector;
use crate::codegen::x86::codes::{self, Pair};
use crate::codegen::x86::inst::{self, MASK, Source, VECTOR};
use crate::simd::ir::{CHUNK, Cmp, FloatOp, FloatUnary, Inst, ShiftOp, Ty, Val, VecOp};

/// 1 in every 16-bit lane.
pub(super) const ONES16: [u8; CHUNK] = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0];
const ALL_ONES: [u8; CHUNK] = [0xff; CHUNK];
const SIGNS: [u8; CHUNK] = [0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80];
const MAGNITUDES: [u8; CHUNK] =
    [0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f];

impl Selector<'_> {
    pub(super) fn vector(&mut self, inst: &Inst) -> VReg {
        match *inst {
            Inst::VecConst { chunk, .. } => self.vec_const(chunk),
            Inst::Splat { ty, value } => self.splat(ty, value),
            Inst::Vec(op, a, b) => self.vec_op(op, a, b),
            Inst::Shift(op, value, bits) => self.shift(op, value, bits),
            Inst::VecCmp(cmp, a, b) => self.vec_cmp(cmp, a, b),
            Inst::FloatVecCmp(cmp, a, b) => self.float_vec_cmp(cmp, a, b),
            Inst::VecSelect { mask, a, b } => self.select_lanes(mask, a, b),
            Inst::Cast { value, .. } => self.reg(value),
            Inst::Madd(a, b) => {
                let (a, b) = self.either_order(a, b);
                self.vector_inst(MADD, &[a.into(), b])
            }
            Inst::MaddUbs { u, s } => {
                let (u, s) = (self.reg(u), self.source(s));
                self.vector_inst(MADD_UBS, &[u.into(), s])
            }
            Inst::Dot4 { acc, u, s, any } if any && self.dot4.is_none() => self.dot4_of_words(acc, u, s),
            Inst::Dot4 { acc, u, s, .. } => self.dot4(acc, u, s),
            Inst::ToFloat(value) => {
                let value = self.source(value);
                self.vector_inst(
                    [Code::VEX_Vcvtdq2ps_ymm_ymmm256, Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er],
                    &[value],
                )
            }
            // rounds to nearest even: nobody changes the direction
            Inst::ToInt(value) => {
                let value = self.source(value);
                self.vector_inst(
                    [Code::VEX_Vcvtps2dq_ymm_ymmm256, Code::EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er],
                    &[value],
                )
            }
            Inst::Float(op, a, b) => self.float_op(op, a, b),
            Inst::Fused(op, a, b, c) => self.fused(op, [a, b, c]),
            Inst::FloatUnary(op, value) => self.float_unary(op, value),
            ref other => unreachable!("internal error: {other:?} is no lane-wise instruction"),
        }
    }

    pub(super) fn zero_vector(&mut self) -> VReg {
        let result = self.cfg.vreg(VECTOR);
        let code = self.pick([Code::VEX_Vpxor_xmm_xmm_xmmm128, Code::EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32]);
        self.cfg.push(inst::zero(code, result));
        result
    }

    fn splat(&mut self, ty: Ty, value: Val) -> VReg {
        if ty == Ty::VF32 {
            let float = self.source(value);
            return match (float, self.wide) {
                (Source::Reg(_), false) => self.emit(VECTOR, Code::VEX_Vbroadcastss_ymm_xmm, &[float]),
                (_, false) => self.emit(VECTOR, Code::VEX_Vbroadcastss_ymm_m32, &[float]),
                (_, true) => self.emit(VECTOR, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, &[float]),
            };
        }
        let int = self.reg(value);
        if self.wide {
            return self.emit(VECTOR, codes::broadcast_int(ty.lane_bytes()), &[int.into()]);
        }
        let lane = self.int_to_vector(int);
        self.vector_inst(codes::broadcast(ty.lane_bytes()), &[lane.into()])
    }

    fn vec_op(&mut self, op: VecOp, a: Val, b: Val) -> VReg {
        if let (VecOp::Add, Some(code)) = (op, self.madd_add) {
            for (madd, acc) in [(b, a), (a, b)] {
                if let Some((x, y)) = self.only_used_madd(madd) {
                    let acc = self.reg(acc);
                    let (x, y) = self.either_order(x, y);
                    return self.update(code, acc, &[x.into(), y]);
                }
            }
        }
        let pair = codes::vec_op(op, self.ty(a).lane_bytes());
        let (first, second) = match op {
            VecOp::Sub => (self.reg(a), self.source(b)),
            // the instruction inverts its first operand
            VecOp::AndNot => (self.reg(b), self.source(a)),
            VecOp::Add
            | VecOp::Mul
            | VecOp::And
            | VecOp::Or
            | VecOp::Xor
            | VecOp::MinS
            | VecOp::MaxS
            | VecOp::MinU
            | VecOp::MaxU => self.either_order(a, b),
        };
        self.vector_inst(pair, &[first.into(), second])
    }

    /// The operands of a waiting product of 16-bit pairs that nobody else needs.
    fn only_used_madd(&self, value: Val) -> Option<(Val, Val)> {
        let value = self.facts.canonical(value);
        match self.waiting[value] {
            Some(&Inst::Madd(x, y)) if self.regs[value].is_none() && self.facts.uses(value) == 1 => Some((x, y)),
            _ => None,
        }
    }

    fn vec_op_const(&mut self, op: VecOp, value: VReg, chunk: [u8; CHUNK]) -> VReg {
        let constant = self.vec_const_source(chunk);
        self.vector_inst(codes::vec_op(op, 1), &[value.into(), constant])
    }

    fn shift(&mut self, op: ShiftOp, value: Val, bits: u8) -> VReg {
        let lane_bytes = self.ty(value).lane_bytes();
        let value = self.reg(value);
        let count = Source::Imm(bits.into());
        if lane_bytes > 1 {
            return self.vector_inst(codes::shift(op, lane_bytes), &[value.into(), count]);
        }
        // Bytes: shift words and clear what came from the neighbour; then extend the sign by `(x ^ sign) - sign`.
        let (as_words, kept) = match op {
            ShiftOp::Left => (ShiftOp::Left, 0xffu8 << bits),
            ShiftOp::RightUnsigned | ShiftOp::RightSigned => (ShiftOp::RightUnsigned, 0xff >> bits),
        };
        let words = self.vector_inst(codes::shift(as_words, 2), &[value.into(), count]);
        let bytes = self.vec_op_const(VecOp::And, words, [kept; CHUNK]);
        if op != ShiftOp::RightSigned {
            return bytes;
        }
        let sign = [0x80 >> bits; CHUNK];
        let flipped = self.vec_op_const(VecOp::Xor, bytes, sign);
        self.vec_op_const(VecOp::Sub, flipped, sign)
    }

    fn vec_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> VReg {
        let lane_bytes = self.ty(a).lane_bytes();
        if self.wide {
            let (a, b) = (self.reg(a), self.source(b));
            let predicate = Source::Imm(codes::int_predicate(cmp));
            let mask = self.emit(MASK, codes::compare_to_mask(lane_bytes), &[a.into(), b, predicate]);
            return self.emit(VECTOR, codes::mask_to_vector(lane_bytes), &[mask.into()]);
        }
        let (code, swapped, inverted) = match cmp {
            Cmp::Eq => (codes::compare_equal(lane_bytes), false, false),
            Cmp::Ne => (codes::compare_equal(lane_bytes), false, true),
            Cmp::Gt => (codes::compare_greater(lane_bytes), false, false),
            Cmp::Lt => (codes::compare_greater(lane_bytes), true, false),
            Cmp::Le => (codes::compare_greater(lane_bytes), false, true),
            Cmp::Ge => (codes::compare_greater(lane_bytes), true, true),
        };
        let (a, b) = if swapped { (b, a) } else { (a, b) };
        let (a, b) = (self.reg(a), self.source(b));
        let mask = self.emit(VECTOR, code, &[a.into(), b]);
        if inverted { self.vec_op_const(VecOp::Xor, mask, ALL_ONES) } else { mask }
    }

    fn float_vec_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> VReg {
        let (a, b) = (self.reg(a), self.source(b));
        let predicate = Source::Imm(codes::float_predicate(cmp));
        if self.wide {
            let code = Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae;
            let mask = self.emit(MASK, code, &[a.into(), b, predicate]);
            return self.emit(VECTOR, codes::mask_to_vector(4), &[mask.into()]);
        }
        self.emit(VECTOR, Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8, &[a.into(), b, predicate])
    }

    fn select_lanes(&mut self, mask: Val, a: Val, b: Val) -> VReg {
        if self.wide {
            /// Truth table of `mask ? a : b`.
            const CHOOSE: i64 = 0xca;
            let (mask, a, b) = (self.reg(mask), self.reg(a), self.source(b));
            let code = Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8;
            return self.update(code, mask, &[a.into(), b, Source::Imm(CHOOSE)]);
        }
        let (mask, b, a) = (self.reg(mask), self.reg(b), self.source(a));
        self.emit(VECTOR, Code::VEX_Vpblendvb_ymm_ymm_ymmm256_ymm, &[b.into(), a, mask.into()])
    }

    /// By the obligation of the product the pairs do not saturate.
    fn dot4(&mut self, acc: Val, u: Val, s: Val) -> VReg {
        if let Some(code) = self.dot4 {
            let (acc, u, s) = (self.reg(acc), self.reg(u), self.source(s));
            return self.update(code, acc, &[u.into(), s]);
        }
        let acc = self.reg(acc);
        let (u, s) = (self.reg(u), self.source(s));
        let pairs = self.vector_inst(MADD_UBS, &[u.into(), s]);
        let ones = self.vec_const_source(ONES16);
        let quads = self.vector_inst(MADD, &[pairs.into(), ones]);
        self.vector_inst(codes::vec_op(VecOp::Add, 4), &[acc.into(), quads.into()])
    }

    /// Any bytes without the instruction for them: even and odd bytes as words, whose products are exact.
    fn dot4_of_words(&mut self, acc: Val, u: Val, s: Val) -> VReg {
        let (acc, u, s) = (self.reg(acc), self.reg(u), self.reg(s));
        let low = [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0];
        let mut shift = |op, value: VReg| self.vector_inst(codes::shift(op, 2), &[value.into(), Source::Imm(8)]);
        let odd = [shift(ShiftOp::RightUnsigned, u), shift(ShiftOp::RightSigned, s)];
        let raised = shift(ShiftOp::Left, s);
        let even_s = shift(ShiftOp::RightSigned, raised);
        let even_u = self.vec_op_const(VecOp::And, u, low);
        let mut sum = acc;
        for [u, s] in [[even_u, even_s], odd] {
            let pair = self.vector_inst(MADD, &[u.into(), s.into()]);
            sum = self.vector_inst(codes::vec_op(VecOp::Add, 4), &[sum.into(), pair.into()]);
        }
        sum
    }

    fn float_op(&mut self, op: FloatOp, a: Val, b: Val) -> VReg {
        let pair = if self.ty(a) == Ty::F32 { codes::scalar_float_op(op) } else { codes::float_op(op) };
        let (a, b) = match op {
            FloatOp::Add | FloatOp::Mul => self.either_order(a, b),
            FloatOp::Sub | FloatOp::Div | FloatOp::Min | FloatOp::Max => (self.reg(a), self.source(b)),
        };
        self.vector_inst(pair, &[a.into(), b])
    }

    fn float_unary(&mut self, op: FloatUnary, value: Val) -> VReg {
        let is_scalar = self.ty(value) == Ty::F32;
        match (op, codes::rounding(op)) {
            (FloatUnary::Neg, _) => {
                let value = self.reg(value);
                self.vec_op_const(VecOp::Xor, value, SIGNS)
            }
            (FloatUnary::Abs, _) => {
                let value = self.reg(value);
                self.vec_op_const(VecOp::And, value, MAGNITUDES)
            }
            (_, Some(direction)) if is_scalar => {
                let value = self.reg(value);
                self.vector_inst(ROUND_SCALAR, &[value.into(), value.into(), Source::Imm(direction)])
            }
            (_, Some(direction)) => {
                let value = self.source(value);
                self.vector_inst(ROUND, &[value, Source::Imm(direction)])
            }
            (_, None) if is_scalar => {
                let value = self.reg(value);
                self.vector_inst(SQRT_SCALAR, &[value.into(), value.into()])
            }
            (_, None) => {
                let value = self.source(value);
                self.vector_inst(SQRT, &[value])
            }
        }
    }
}

const MADD: Pair = [Code::VEX_Vpmaddwd_ymm_ymm_ymmm256, Code::EVEX_Vpmaddwd_zmm_k1z_zmm_zmmm512];
const MADD_UBS: Pair = [Code::VEX_Vpmaddubsw_ymm_ymm_ymmm256, Code::EVEX_Vpmaddubsw_zmm_k1z_zmm_zmmm512];
const ROUND: Pair = [Code::VEX_Vroundps_ymm_ymmm256_imm8, Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae];
const ROUND_SCALAR: Pair = [Code::VEX_Vroundss_xmm_xmm_xmmm32_imm8, Code::EVEX_Vrndscaless_xmm_k1z_xmm_xmmm32_imm8_sae];
const SQRT: Pair = [Code::VEX_Vsqrtps_ymm_ymmm256, Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er];
const SQRT_SCALAR: Pair = [Code::VEX_Vsqrtss_xmm_xmm_xmmm32, Code::EVEX_Vsqrtss_xmm_k1z_xmm_xmmm32_er];
