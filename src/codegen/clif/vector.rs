//! Lane-wise vector arithmetic, and float arithmetic on lanes and scalars alike.

use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value, types};

use super::scalar::{float_cc, int_cc};
use super::{Lowering, clif_type};
use crate::codegen::target::Arch;
use crate::simd::ir::{FloatOp, FloatUnary, FusedOp, Inst, ShiftOp, Ty, Val, VecOp};

impl Lowering<'_> {
    pub(super) fn vector(&mut self, inst: &Inst) -> Value {
        match *inst {
            Inst::VecConst { ty, chunk } => self.vec_const(clif_type(ty), &chunk),
            Inst::Splat { ty, value } => self.splat(ty, value),
            Inst::Vec(op, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                self.vec_op(op, a, b)
            }
            Inst::Shift(op, value, bits) => {
                let (value, bits) = (self.get(value), i64::from(bits));
                match op {
                    ShiftOp::Left => self.builder.ins().ishl_imm_u(value, bits),
                    ShiftOp::RightUnsigned => self.builder.ins().ushr_imm_u(value, bits),
                    ShiftOp::RightSigned => self.builder.ins().sshr_imm_u(value, bits),
                }
            }
            Inst::VecCmp(cmp, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                self.builder.ins().icmp(int_cc(cmp), a, b)
            }
            Inst::FloatVecCmp(cmp, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                self.builder.ins().fcmp(float_cc(cmp), a, b)
            }
            Inst::VecSelect { mask, a, b } => {
                let ty = clif_type(self.ty(a));
                let (mask, a, b) = (self.get(mask), self.get(a), self.get(b));
                let mask = self.cast(ty, mask);
                self.builder.ins().bitselect(mask, a, b)
            }
            Inst::Cast { ty, value } => {
                let value = self.get(value);
                self.cast(clif_type(ty), value)
            }
            Inst::ToFloat(value) => {
                let value = self.get(value);
                self.builder.ins().fcvt_from_sint(types::F32X4, value)
            }
            Inst::ToInt(value) => self.round_to_int(value),
            Inst::Float(op, a, b) => self.float_op(op, a, b),
            Inst::Fused(op, a, b, c) => self.fused(op, [a, b, c].map(|value| self.get(value))),
            Inst::FloatUnary(op, value) => {
                let value = self.get(value);
                self.float_unary(op, value)
            }
            ref other => unreachable!("internal error: {other:?} is no lane-wise instruction"),
        }
    }

    pub(super) fn vec_const(&mut self, ty: Type, bytes: &[u8; 16]) -> Value {
        let constant = self.builder.func.dfg.constants.insert(ConstantData::from(bytes.as_slice()));
        self.builder.ins().vconst(ty, constant)
    }

    fn splat(&mut self, ty: Ty, value: Val) -> Value {
        let (ty, value) = (clif_type(ty), self.get(value));
        let lane = match ty {
            types::F32X4 => value,
            _ => self.builder.ins().ireduce(ty.lane_type(), value),
        };
        self.builder.ins().splat(ty, lane)
    }

    fn vec_op(&mut self, op: VecOp, a: Value, b: Value) -> Value {
        let ins = self.builder.ins();
        match op {
            VecOp::Add => ins.iadd(a, b),
            VecOp::Sub => ins.isub(a, b),
            VecOp::Mul => ins.imul(a, b),
            VecOp::And => ins.band(a, b),
            VecOp::Or => ins.bor(a, b),
            VecOp::Xor => ins.bxor(a, b),
            VecOp::AndNot => ins.band_not(a, b),
            VecOp::MinS => ins.smin(a, b),
            VecOp::MaxS => ins.smax(a, b),
            VecOp::MinU => ins.umin(a, b),
            VecOp::MaxU => ins.umax(a, b),
        }
    }

    /// Round, then truncate: no target has a rounding conversion in Cranelift IR. The result is inside i32, so the bare
    /// conversion of x86-64 will do.
    fn round_to_int(&mut self, value: Val) -> Value {
        let value = self.get(value);
        let rounded = self.builder.ins().nearest(value);
        match self.target.arch {
            Arch::X86_64 => self.builder.ins().x86_cvtt2dq(types::I32X4, rounded),
            Arch::Aarch64 => self.builder.ins().fcvt_to_sint_sat(types::I32X4, rounded),
        }
    }

    fn float_op(&mut self, op: FloatOp, a: Val, b: Val) -> Value {
        let (a, b) = (self.get(a), self.get(b));
        match op {
            FloatOp::Add => self.builder.ins().fadd(a, b),
            FloatOp::Sub => self.builder.ins().fsub(a, b),
            FloatOp::Mul => self.builder.ins().fmul(a, b),
            FloatOp::Div => self.builder.ins().fdiv(a, b),
            FloatOp::Min => self.choose_if_less((a, b), a, b),
            FloatOp::Max => self.choose_if_less((b, a), a, b),
        }
    }

    /// Cranelift finds the instructions that negate.
    fn fused(&mut self, op: FusedOp, [a, b, c]: [Value; 3]) -> Value {
        let (a, c) = match op {
            FusedOp::MulAdd => (a, c),
            FusedOp::MulSub => (a, self.builder.ins().fneg(c)),
            FusedOp::NegMulAdd => (self.builder.ins().fneg(a), c),
        };
        self.builder.ins().fma(a, b, c)
    }

    /// `x < y ? a : b`, the form x86-64 has as one instruction (`minps`, `maxps`). `fmin` and `fmax` treat NaN and the
    /// zeros differently.
    pub(super) fn choose_if_less(&mut self, (x, y): (Value, Value), a: Value, b: Value) -> Value {
        let less = self.builder.ins().fcmp(float_cc(crate::simd::ir::Cmp::Lt), x, y);
        if self.builder.func.dfg.value_type(a) == types::F32 {
            return self.builder.ins().select(less, a, b);
        }
        let mask = self.cast(types::F32X4, less);
        self.builder.ins().bitselect(mask, a, b)
    }

    fn float_unary(&mut self, op: FloatUnary, value: Value) -> Value {
        let ins = self.builder.ins();
        match op {
            FloatUnary::Neg => ins.fneg(value),
            FloatUnary::Abs => ins.fabs(value),
            FloatUnary::Sqrt => ins.sqrt(value),
            FloatUnary::Floor => ins.floor(value),
            FloatUnary::Ceil => ins.ceil(value),
            FloatUnary::Trunc => ins.trunc(value),
            FloatUnary::Round => ins.nearest(value),
        }
    }
}
