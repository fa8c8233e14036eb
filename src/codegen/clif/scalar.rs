//! Scalar integers, floats and pointers.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};

use super::Lowering;
use crate::codegen::target::Arch;
use crate::simd::ir::{Cmp, Inst, IntOp};

pub(super) fn int_cc(cmp: Cmp) -> IntCC {
    match cmp {
        Cmp::Eq => IntCC::Equal,
        Cmp::Ne => IntCC::NotEqual,
        Cmp::Lt => IntCC::SignedLessThan,
        Cmp::Le => IntCC::SignedLessThanOrEqual,
        Cmp::Gt => IntCC::SignedGreaterThan,
        Cmp::Ge => IntCC::SignedGreaterThanOrEqual,
    }
}

/// False with a NaN, except `Ne`.
pub(super) fn float_cc(cmp: Cmp) -> FloatCC {
    match cmp {
        Cmp::Eq => FloatCC::Equal,
        Cmp::Ne => FloatCC::NotEqual,
        Cmp::Lt => FloatCC::LessThan,
        Cmp::Le => FloatCC::LessThanOrEqual,
        Cmp::Gt => FloatCC::GreaterThan,
        Cmp::Ge => FloatCC::GreaterThanOrEqual,
    }
}

impl Lowering<'_> {
    pub(super) fn scalar(&mut self, inst: &Inst) -> Value {
        match *inst {
            Inst::ConstI64(value) => self.builder.ins().iconst(types::I64, value),
            Inst::ConstF32(value) => self.builder.ins().f32const(value),
            Inst::Int(op, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                self.int_op(op, a, b)
            }
            Inst::PtrAdd(a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                self.builder.ins().iadd(a, b)
            }
            Inst::IntCmp(cmp, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                let flag = self.builder.ins().icmp(int_cc(cmp), a, b);
                self.builder.ins().uextend(types::I64, flag)
            }
            Inst::FloatCmp(cmp, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                let flag = self.builder.ins().fcmp(float_cc(cmp), a, b);
                self.builder.ins().uextend(types::I64, flag)
            }
            Inst::Choose(condition, a, b) => {
                let (condition, a, b) = (self.get(condition), self.get(a), self.get(b));
                self.builder.ins().select(condition, a, b)
            }
            Inst::IntToFloat(value) => {
                let value = self.get(value);
                self.builder.ins().fcvt_from_sint(types::F32, value)
            }
            Inst::FloatToInt(value) => {
                let value = self.get(value);
                self.float_to_int(value)
            }
            Inst::FloatBits(value) => {
                let value = self.get(value);
                let bits = self.builder.ins().bitcast(types::I32, MemFlagsData::new(), value);
                self.builder.ins().uextend(types::I64, bits)
            }
            Inst::FloatFromBits(value) => {
                let value = self.get(value);
                let bits = self.builder.ins().ireduce(types::I32, value);
                self.builder.ins().bitcast(types::F32, MemFlagsData::new(), bits)
            }
            ref other => unreachable!("internal error: {other:?} is no scalar instruction"),
        }
    }

    fn int_op(&mut self, op: IntOp, a: Value, b: Value) -> Value {
        let ins = self.builder.ins();
        match op {
            IntOp::Add => ins.iadd(a, b),
            IntOp::Sub => ins.isub(a, b),
            IntOp::Mul => ins.imul(a, b),
            IntOp::DivU => ins.udiv(a, b),
            IntOp::RemU => ins.urem(a, b),
            IntOp::And => ins.band(a, b),
            IntOp::Or => ins.bor(a, b),
            IntOp::Xor => ins.bxor(a, b),
            IntOp::Shl => ins.ishl(a, b),
            IntOp::ShrS => ins.sshr(a, b),
            IntOp::MinS => ins.smin(a, b),
            IntOp::MaxS => ins.smax(a, b),
        }
    }

    /// The value is inside i32, so the bare conversion will do. On x86-64 only its vector form comes without checks.
    fn float_to_int(&mut self, value: Value) -> Value {
        let int = match self.target.arch {
            Arch::X86_64 => {
                let vector = self.builder.ins().scalar_to_vector(types::F32X4, value);
                let ints = self.builder.ins().x86_cvtt2dq(types::I32X4, vector);
                self.builder.ins().extractlane(ints, 0)
            }
            Arch::Aarch64 => self.builder.ins().fcvt_to_sint_sat(types::I32, value),
        };
        self.builder.ins().sextend(types::I64, int)
    }
}
