//! Scalar integers, pointers and floats.

use iced_x86::Code;
use regalloc2::{Operand, PRegSet, VReg};

use super::Selector;
use crate::codegen::x86::codes;
use crate::codegen::x86::inst::{
    Builder, Condition, INT, Inst as MachInst, Kind, MASK, RAX, RDX, Source, Step, VECTOR,
};
use crate::simd::ir::{Cmp, Inst, IntOp, Mem, Ty, Val};

fn condition(cmp: Cmp) -> Condition {
    match cmp {
        Cmp::Eq => Condition::Equal,
        Cmp::Ne => Condition::NotEqual,
        Cmp::Lt => Condition::Less,
        Cmp::Le => Condition::LessEqual,
        Cmp::Gt => Condition::Greater,
        Cmp::Ge => Condition::GreaterEqual,
    }
}

/// An opcode with the short immediate where it is enough.
pub(super) fn by_size(value: i64, short: Code, long: Code) -> Code {
    if i8::try_from(value).is_ok() { short } else { long }
}

impl Selector<'_> {
    fn scratch(&mut self) -> VReg {
        let result = self.cfg.vreg(INT);
        self.cfg.push(MachInst::new(Kind::Scratch, vec![Operand::reg_def(result)]));
        result
    }

    pub(super) fn scalar(&mut self, inst: &Inst) -> VReg {
        match *inst {
            Inst::ConstI64(value) => self.int_const(value),
            Inst::ConstF32(value) => self.float_const(value),
            Inst::Int(op, a, b) => self.int_op(op, a, b),
            Inst::PtrAdd(a, b) => self.add(a, b),
            Inst::Scratch => self.scratch(),
            Inst::IntCmp(cmp, a, b) => {
                let (step, operands) = self.compare(Vec::new(), a, b);
                self.set_if((step, operands), condition(cmp))
            }
            Inst::FloatCmp(cmp, a, b) => self.float_cmp(cmp, a, b),
            Inst::Choose(chosen, a, b) => self.choose(chosen, a, b),
            Inst::IntToFloat(value) => {
                let value = self.reg(value);
                let int = self.int_to_vector(value);
                let codes = [Code::VEX_Vcvtdq2ps_xmm_xmmm128, Code::EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32];
                self.vector_inst(codes, &[int.into()])
            }
            Inst::FloatToInt(value) => {
                let value = self.reg(value);
                let code = self.pick([Code::VEX_Vcvttss2si_r64_xmmm32, Code::EVEX_Vcvttss2si_r64_xmmm32_sae]);
                self.emit(INT, code, &[value.into()])
            }
            Inst::FloatBits(value) => {
                let value = self.reg(value);
                self.vector_to_int(value)
            }
            Inst::FloatFromBits(value) => {
                let value = self.reg(value);
                self.int_to_vector(value)
            }
            ref other => unreachable!("internal error: {other:?} is no scalar instruction"),
        }
    }

    pub(super) fn int_const(&mut self, value: i64) -> VReg {
        let code = match value {
            0..=0xffff_ffff => Code::Mov_r32_imm32,
            _ if i32::try_from(value).is_ok() => Code::Mov_rm64_imm32,
            _ => Code::Mov_r64_imm64,
        };
        self.emit(INT, code, &[Source::Imm(value)])
    }

    fn float_const(&mut self, value: f32) -> VReg {
        if value.to_bits() == 0 {
            return self.zero_vector();
        }
        let id = self.constants.add(value.to_le_bytes().to_vec());
        self.vector_inst([Code::VEX_Vmovss_xmm_m32, Code::EVEX_Vmovss_xmm_k1z_m32], &[Source::Const(id)])
    }

    /// The low 32 bits into lane 0; zeros above.
    pub(super) fn int_to_vector(&mut self, int: VReg) -> VReg {
        self.vector_inst([Code::VEX_Vmovd_xmm_rm32, Code::EVEX_Vmovd_xmm_rm32], &[int.into()])
    }

    /// Lane 0, zero-extended.
    pub(super) fn vector_to_int(&mut self, vector: VReg) -> VReg {
        let result = self.cfg.vreg(INT);
        let code = self.pick([Code::VEX_Vmovd_rm32_xmm, Code::EVEX_Vmovd_rm32_xmm]);
        self.cfg.push(Builder::new(code).def(result).read(vector).one());
        result
    }

    /// A constant that fits an immediate.
    pub(super) fn immediate(&self, value: Val) -> Option<i64> {
        self.facts.int(value).filter(|&int| i32::try_from(int).is_ok())
    }

    fn int_op(&mut self, op: IntOp, a: Val, b: Val) -> VReg {
        match op {
            IntOp::Add => self.add(a, b),
            IntOp::Sub => self.sub(a, b),
            IntOp::Mul => self.mul(a, b),
            IntOp::DivU | IntOp::RemU => self.divide(op, a, b),
            IntOp::And | IntOp::Or | IntOp::Xor => self.bitwise(op, a, b),
            IntOp::Shl => self.shift_int(a, b, [Code::Shl_rm64_imm8, Code::Shl_rm64_CL]),
            IntOp::ShrS => self.shift_int(a, b, [Code::Sar_rm64_imm8, Code::Sar_rm64_CL]),
            IntOp::MinS => self.extreme(a, b, Condition::Less),
            IntOp::MaxS => self.extreme(a, b, Condition::Greater),
        }
    }

    pub(super) fn add(&mut self, a: Val, b: Val) -> VReg {
        let (a, b) = if self.facts.int(a).is_some() { (b, a) } else { (a, b) };
        let base = self.reg(a);
        match self.immediate(b) {
            Some(imm) => self.add_imm(base, imm),
            None => {
                let index = self.reg(b);
                let address = super::Address { base, index: Some((index, 1)), disp: 0, mem: Mem::Const };
                self.emit(INT, Code::Lea_r64_m, &[Source::Mem(address)])
            }
        }
    }

    /// Three operands, so that the old value may live on.
    pub(super) fn add_imm(&mut self, base: VReg, imm: i64) -> VReg {
        let address = super::Address { base, index: None, disp: imm as i32, mem: Mem::Const };
        self.emit(INT, Code::Lea_r64_m, &[Source::Mem(address)])
    }

    fn sub(&mut self, a: Val, b: Val) -> VReg {
        let first = self.reg(a);
        match self.immediate(b).and_then(|imm| i32::try_from(-imm).ok()) {
            Some(negated) => self.add_imm(first, negated.into()),
            None => {
                let second = self.reg(b);
                self.update(Code::Sub_r64_rm64, first, &[second.into()])
            }
        }
    }

    fn mul(&mut self, a: Val, b: Val) -> VReg {
        let (a, b) = if self.facts.int(a).is_some() { (b, a) } else { (a, b) };
        let first = self.reg(a);
        match self.immediate(b) {
            Some(imm) if imm > 0 && imm.count_ones() == 1 => {
                self.update(Code::Shl_rm64_imm8, first, &[Source::Imm(imm.trailing_zeros().into())])
            }
            Some(imm) => {
                let code = by_size(imm, Code::Imul_r64_rm64_imm8, Code::Imul_r64_rm64_imm32);
                self.emit(INT, code, &[first.into(), Source::Imm(imm)])
            }
            None => {
                let second = self.reg(b);
                self.update(Code::Imul_r64_rm64, first, &[second.into()])
            }
        }
    }

    fn divide(&mut self, op: IntOp, a: Val, b: Val) -> VReg {
        let dividend = self.reg(a);
        if let Some(divisor) = self.facts.int(b).filter(|divisor| *divisor > 0 && divisor.count_ones() == 1) {
            return match op {
                IntOp::DivU => {
                    let bits = Source::Imm(divisor.trailing_zeros().into());
                    self.update(Code::Shr_rm64_imm8, dividend, &[bits])
                }
                _ => self.bitwise_imm(IntOp::And, dividend, divisor - 1),
            };
        }
        let divisor = self.reg(b);
        let result = self.cfg.vreg(INT);
        let (place, other) = if op == IntOp::DivU { (RAX, RDX) } else { (RDX, RAX) };
        let operands = vec![
            Operand::reg_fixed_def(result, place),
            Operand::reg_fixed_use(dividend, RAX),
            // `rdx` is cleared before the divisor is read
            Operand::reg_use_at_end(divisor),
        ];
        let mut clobbers = PRegSet::empty();
        clobbers.add(other);
        self.cfg.push(MachInst { clobbers, ..MachInst::new(Kind::Divide, operands) });
        result
    }

    fn bitwise(&mut self, op: IntOp, a: Val, b: Val) -> VReg {
        let (a, b) = if self.facts.int(a).is_some() { (b, a) } else { (a, b) };
        let first = self.reg(a);
        match self.immediate(b) {
            Some(imm) => self.bitwise_imm(op, first, imm),
            None => {
                let second = self.reg(b);
                self.bitwise_reg(op, first, second)
            }
        }
    }

    fn bitwise_imm(&mut self, op: IntOp, first: VReg, imm: i64) -> VReg {
        if i32::try_from(imm).is_err() {
            let second = self.int_const(imm);
            return self.bitwise_reg(op, first, second);
        }
        let (short, long) = match op {
            IntOp::And => (Code::And_rm64_imm8, Code::And_rm64_imm32),
            IntOp::Or => (Code::Or_rm64_imm8, Code::Or_rm64_imm32),
            _ => (Code::Xor_rm64_imm8, Code::Xor_rm64_imm32),
        };
        self.update(by_size(imm, short, long), first, &[Source::Imm(imm)])
    }

    fn bitwise_reg(&mut self, op: IntOp, first: VReg, second: VReg) -> VReg {
        let code = match op {
            IntOp::And => Code::And_r64_rm64,
            IntOp::Or => Code::Or_r64_rm64,
            _ => Code::Xor_r64_rm64,
        };
        self.update(code, first, &[second.into()])
    }

    /// Counts are taken modulo 64, as the instructions do.
    fn shift_int(&mut self, a: Val, b: Val, [by_imm, by_cl]: [Code; 2]) -> VReg {
        let value = self.reg(a);
        if let Some(bits) = self.facts.int(b) {
            return self.update(by_imm, value, &[Source::Imm(bits & 63)]);
        }
        let count = self.reg(b);
        let result = self.cfg.vreg(INT);
        self.cfg.push(Builder::new(by_cl).update(result, value).count(count).one());
        result
    }

    /// `a` if it compares so with `b`, else `b`.
    fn extreme(&mut self, a: Val, b: Val, condition: Condition) -> VReg {
        let (first, second) = (self.reg(a), self.reg(b));
        let (result, operands) = self.move_operands(first, second);
        let (step, operands) =
            Builder::with_operands(Code::Cmp_r64_rm64, operands).read(first).read(second).into_parts();
        self.cfg.push(MachInst::new(Kind::MoveIf(step, condition), operands));
        result
    }

    /// The operands of [`Kind::MoveIf`]: the result, what it is else, what it becomes.
    fn move_operands(&mut self, then: VReg, otherwise: VReg) -> (VReg, Vec<Operand>) {
        let result = self.cfg.vreg(INT);
        let operands = vec![Operand::reg_reuse_def(result, 1), Operand::reg_use(otherwise), Operand::reg_use(then)];
        (result, operands)
    }

    /// A comparison of integers for its flags, behind `operands`.
    pub(super) fn compare(&mut self, operands: Vec<Operand>, a: Val, b: Val) -> (Step, Vec<Operand>) {
        let first = self.reg(a);
        match self.immediate(b) {
            Some(0) => Builder::with_operands(Code::Test_rm64_r64, operands).read(first).read(first).into_parts(),
            Some(imm) => {
                let code = by_size(imm, Code::Cmp_rm64_imm8, Code::Cmp_rm64_imm32);
                Builder::with_operands(code, operands).read(first).imm(imm).into_parts()
            }
            None => {
                let second = self.reg(b);
                Builder::with_operands(Code::Cmp_r64_rm64, operands).read(first).read(second).into_parts()
            }
        }
    }

    /// The flags and the condition of an I64 that is not zero; a comparison only this uses is done here.
    pub(super) fn test(&mut self, operands: Vec<Operand>, value: Val) -> (Step, Vec<Operand>, Condition) {
        let value = self.facts.canonical(value);
        if let (None, Some(&Inst::IntCmp(cmp, a, b))) = (self.regs[value], self.waiting[value])
            && self.facts.uses(value) == 1
        {
            let (step, operands) = self.compare(operands, a, b);
            return (step, operands, condition(cmp));
        }
        let value = self.reg(value);
        let (step, operands) =
            Builder::with_operands(Code::Test_rm64_r64, operands).read(value).read(value).into_parts();
        (step, operands, Condition::NotEqual)
    }

    fn set_if(&mut self, (step, mut operands): (Step, Vec<Operand>), condition: Condition) -> VReg {
        let result = self.cfg.vreg(INT);
        operands.push(Operand::reg_def(result));
        self.cfg.push(MachInst::new(Kind::SetIf(step, condition), operands));
        result
    }

    fn choose(&mut self, chosen: Val, a: Val, b: Val) -> VReg {
        let is_float = self.ty(a) == Ty::F32;
        let (mut then, mut otherwise) = (self.reg(a), self.reg(b));
        if is_float {
            then = self.vector_to_int(then);
            otherwise = self.vector_to_int(otherwise);
        }
        let (result, operands) = self.move_operands(then, otherwise);
        let (step, operands, condition) = self.test(operands, chosen);
        self.cfg.push(MachInst::new(Kind::MoveIf(step, condition), operands));
        if is_float { self.int_to_vector(result) } else { result }
    }

    /// A mask of one lane, made 0 or 1.
    fn float_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> VReg {
        let (a, b) = (self.reg(a), self.source(b));
        let predicate = Source::Imm(codes::float_predicate(cmp));
        if self.wide {
            let mask = self.emit(MASK, Code::EVEX_Vcmpss_kr_k1_xmm_xmmm32_imm8_sae, &[a.into(), b, predicate]);
            return self.emit(INT, Code::VEX_Kmovw_r32_kr, &[mask.into()]);
        }
        let mask = self.emit(VECTOR, Code::VEX_Vcmpss_xmm_xmm_xmmm32_imm8, &[a.into(), b, predicate]);
        let bits = self.vector_to_int(mask);
        self.bitwise_imm(IntOp::And, bits, 1)
    }
}
