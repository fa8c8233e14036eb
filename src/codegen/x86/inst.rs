//! Machine instructions over virtual registers.
//!
//! An instruction is an opcode with its arguments in encoding order; arguments that are registers refer to the operands the
//! register allocator sees, so that the same instruction is read before and after allocation. What must not be separated
//! (a comparison and the jump that reads its flags) is one instruction here.

use iced_x86::Code;
use regalloc2::{Operand, PReg, PRegSet, RegClass, VReg};

use super::constants::ConstId;
use crate::simd::ir::Mem;
use crate::simd::tiles::TileReg;

/// General registers; vectors and floats; masks of AVX-512.
pub const INT: RegClass = RegClass::Int;
pub const VECTOR: RegClass = RegClass::Float;
pub const MASK: RegClass = RegClass::Vector;

/// `[base + index * scale + disp]` over virtual registers.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub base: VReg,
    pub index: Option<(VReg, u32)>,
    pub disp: i32,
    /// Whether the kernel itself writes there.
    pub mem: Mem,
}

impl Address {
    pub fn plus(self, bytes: i64) -> Address {
        // Accesses stay inside what a kernel may address, so displacements fit.
        Address { disp: self.disp + bytes as i32, ..self }
    }
}

/// Where an instruction reads an operand.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Reg(VReg),
    Mem(Address),
    Const(ConstId),
    Imm(i64),
    Tile(TileReg),
}

impl From<VReg> for Source {
    fn from(reg: VReg) -> Source {
        Source::Reg(reg)
    }
}

/// An argument of an opcode; registers are numbers of operands.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    Reg(usize),
    Mem {
        base: usize,
        index: Option<(usize, u32)>,
        disp: i32,
    },
    Const(ConstId),
    Imm(i64),
    /// Kernels name tile registers themselves; nobody allocates them.
    Tile(TileReg),
    /// The shift count of `shl r, cl`.
    Cl,
}

/// An opcode and its arguments in encoding order.
#[derive(Clone, Debug)]
pub struct Step {
    pub code: Code,
    pub args: Vec<Arg>,
    /// Operand of the mask; lanes outside it become zero in registers and stay in memory.
    pub mask: Option<usize>,
}

/// Condition of a jump, a `setcc` or a `cmovcc`, signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Condition {
    pub fn inverted(self) -> Condition {
        match self {
            Condition::Equal => Condition::NotEqual,
            Condition::NotEqual => Condition::Equal,
            Condition::Less => Condition::GreaterEqual,
            Condition::LessEqual => Condition::Greater,
            Condition::Greater => Condition::LessEqual,
            Condition::GreaterEqual => Condition::Less,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// The parameters that come in registers; defines them.
    Args,
    /// A parameter from the caller's stack: operand 0 is it.
    StackArg(usize),
    One(Step),
    /// The address of the kernel's own memory: operand 0.
    Scratch,
    /// `div`: operand 0 is the quotient or the remainder, operand 1 the dividend, operand 2 the divisor.
    Divide,
    /// `xor r, r` of operand 0, which is all a register needs to be zero.
    Zero(Code),
    /// Compare, then the last operand is 0 or 1.
    SetIf(Step, Condition),
    /// Compare, then operand 0, which holds operand 1, becomes operand 2 if the condition is met.
    MoveIf(Step, Condition),
    Jump,
    /// Compare and jump to the first successor if the condition is met, else to the second.
    Branch(Step, Condition),
    Return,
}

/// What an instruction does to memory that the kernel writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    Reads,
    Writes,
}

#[derive(Clone, Debug)]
pub struct Inst {
    pub kind: Kind,
    pub operands: Vec<Operand>,
    pub clobbers: PRegSet,
    pub effect: Effect,
}

impl Inst {
    pub fn new(kind: Kind, operands: Vec<Operand>) -> Inst {
        Inst { kind, operands, clobbers: PRegSet::empty(), effect: Effect::None }
    }
}

/// Collects the operands of an instruction and the arguments that refer to them.
pub struct Builder {
    operands: Vec<Operand>,
    step: Step,
    effect: Effect,
}

impl Builder {
    pub fn new(code: Code) -> Builder {
        Builder { operands: Vec::new(), step: Step { code, args: Vec::new(), mask: None }, effect: Effect::None }
    }

    /// Operands that come before the arguments.
    pub fn with_operands(code: Code, operands: Vec<Operand>) -> Builder {
        Builder { operands, ..Builder::new(code) }
    }

    fn operand(&mut self, operand: Operand) -> usize {
        self.operands.push(operand);
        self.operands.len() - 1
    }

    pub fn def(mut self, reg: VReg) -> Builder {
        let number = self.operand(Operand::reg_def(reg));
        self.step.args.push(Arg::Reg(number));
        self
    }

    /// The instruction overwrites `source` with its result `reg`.
    pub fn update(mut self, reg: VReg, source: VReg) -> Builder {
        let number = self.operand(Operand::reg_reuse_def(reg, self.operands.len() + 1));
        self.operand(Operand::reg_use(source));
        self.step.args.push(Arg::Reg(number));
        self
    }

    pub fn read(mut self, source: impl Into<Source>) -> Builder {
        let arg = match source.into() {
            Source::Reg(reg) => Arg::Reg(self.operand(Operand::reg_use(reg))),
            Source::Mem(Address { base, index, disp, mem }) => {
                if mem == Mem::Mutable && self.effect == Effect::None {
                    self.effect = Effect::Reads;
                }
                let base = self.operand(Operand::reg_use(base));
                let index = index.map(|(index, scale)| (self.operand(Operand::reg_use(index)), scale));
                Arg::Mem { base, index, disp }
            }
            Source::Const(id) => Arg::Const(id),
            Source::Imm(value) => Arg::Imm(value),
            Source::Tile(tile) => Arg::Tile(tile),
        };
        self.step.args.push(arg);
        self
    }

    pub fn imm(self, value: i64) -> Builder {
        self.read(Source::Imm(value))
    }

    /// The shift count, which must be in `cl`.
    pub fn count(mut self, reg: VReg) -> Builder {
        self.operand(Operand::reg_fixed_use(reg, RCX));
        self.step.args.push(Arg::Cl);
        self
    }

    pub fn mask(mut self, mask: VReg) -> Builder {
        self.step.mask = Some(self.operand(Operand::reg_use(mask)));
        self
    }

    /// The instruction writes `address`, its first argument.
    pub fn write(mut self, address: Address) -> Builder {
        self.effect = Effect::Writes;
        self.read(Source::Mem(address))
    }

    pub fn one(self) -> Inst {
        Inst { effect: self.effect, ..Inst::new(Kind::One(self.step), self.operands) }
    }

    pub fn into_parts(self) -> (Step, Vec<Operand>) {
        (self.step, self.operands)
    }
}

/// A vector register of zeros by a three-operand exclusive or.
pub fn zero(code: Code, result: VReg) -> Inst {
    Inst::new(Kind::Zero(code), vec![Operand::reg_def(result)])
}

pub const RAX: PReg = PReg::new(0, INT);
pub const RCX: PReg = PReg::new(1, INT);
pub const RDX: PReg = PReg::new(2, INT);
const RSI: PReg = PReg::new(6, INT);
const RDI: PReg = PReg::new(7, INT);
const R8: PReg = PReg::new(8, INT);
const R9: PReg = PReg::new(9, INT);

/// Registers of the first arguments in the System V calling convention.
pub const ARGUMENTS: [PReg; 6] = [RDI, RSI, RDX, RCX, R8, R9];
