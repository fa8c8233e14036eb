//! Pointwise arithmetic: what happens to each element around a convolution, or in a kernel of its own.
//!
//! A program in SSA form over lanes of f32 or i32. Narrow integers in memory are widened to i32 lanes when loaded and
//! saturated when stored; `bool` is 0 or 1 in i32 lanes. The meaning of each instruction is that of the graph operation
//! with the same name, in f32 or wrapping i32, so that the same graph gives the same bits whether fused or not.

use crate::ir::ElemType;
use crate::ir::op::{BinaryOp, UnaryOp};

/// An earlier instruction's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneType {
    F32,
    I32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PwInst {
    /// The accumulator of the kernel around this program: i32, or f32 for float kernels.
    Accumulator,
    /// An element of operand `.0`: f32 lanes for f32, i32 lanes for integers and bool.
    Load(usize),
    ConstF32(f32),
    ConstI32(i32),
    /// i32 to f32, rounded to nearest even.
    ToFloat(Ref),
    /// `rne(clamp(x, low, high))`: f32 to i32; NaN gives `low`.
    Quantize {
        x: Ref,
        low: i32,
        high: i32,
    },
    /// `rne(x)`: f32 to i32. Obligation: `x` fits i32.
    Round(Ref),
    /// f32 to i32, toward zero, saturating; NaN gives 0 (`convert` to an integer type).
    Truncate(Ref),
    /// On f32, or on i32 where the operation has an integer meaning.
    Unary(UnaryOp, Ref),
    /// Operands of one lane type; comparisons give i32 0 or 1.
    Binary(BinaryOp, Ref, Ref),
    /// `(condition i32, then, else)`
    Select(Ref, Ref, Ref),
}

impl PwInst {
    pub fn operands(&self) -> impl Iterator<Item = Ref> + use<> {
        let operands = match *self {
            PwInst::Accumulator | PwInst::Load(_) | PwInst::ConstF32(_) | PwInst::ConstI32(_) => [None; 3],
            PwInst::ToFloat(x) | PwInst::Quantize { x, .. } | PwInst::Round(x) => [Some(x), None, None],
            PwInst::Truncate(x) | PwInst::Unary(_, x) => [Some(x), None, None],
            PwInst::Binary(_, x, y) => [Some(x), Some(y), None],
            PwInst::Select(x, y, z) => [Some(x), Some(y), Some(z)],
        };
        operands.into_iter().flatten()
    }

    /// About how many instructions of vectors it takes.
    pub fn length(&self) -> u64 {
        match self {
            PwInst::Unary(op, _) if is_long(*op) => 25,
            _ => 1,
        }
    }
}

/// Instructions, and what is stored where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointwiseProgram {
    pub insts: Vec<PwInst>,
    /// Value and element type of each stored operand, in order. i32 lanes saturate to narrower types; f32 stores f32.
    pub stores: Vec<(Ref, ElemType)>,
}

impl PointwiseProgram {
    pub fn push(&mut self, inst: PwInst) -> Ref {
        self.insts.push(inst);
        Ref(self.insts.len() as u32 - 1)
    }

    pub fn inst(&self, value: Ref) -> &PwInst {
        &self.insts[value.0 as usize]
    }

    /// Computes a function that takes a polynomial: long chains, which need registers and time.
    pub fn has_polynomial(&self) -> bool {
        self.insts.iter().any(|inst| inst.length() > 1)
    }

    /// About how many instructions a vector takes, without loads and stores.
    pub fn length(&self) -> u64 {
        self.insts.iter().map(PwInst::length).sum()
    }
}

/// How the innermost dimension of a tensor lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inner {
    /// Neighbours are neighbours.
    Contiguous,
    /// One element for all of them.
    Splat,
    /// f32 constants in the order of the strips of a kernel that works in blocks of channels
    /// ([`block_channel`](crate::simd::ir::Width::block_channel)): a vector of them is a vector in memory.
    Strips,
}

/// A tensor as a pointwise program walks it: byte strides of the kernel's outer dimensions, and the innermost one.
#[derive(Clone, Debug, PartialEq)]
pub struct PwTensor {
    pub elem: ElemType,
    /// As many as the kernel has outer dimensions; 0 broadcasts.
    pub strides: Vec<i64>,
    pub inner: Inner,
    /// No byte outside the tensor may be read (it is a model input).
    pub exact_reads: bool,
    /// The kernel also writes this memory (in-place): loads must not move across stores.
    pub aliased: bool,
}

/// A program with the tensors it loads from and stores to; part of a kernel's spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Epilogue {
    pub program: PointwiseProgram,
    /// `PwInst::Load(i)` reads `loads[i]`.
    pub loads: Vec<PwTensor>,
    /// One per `program.stores`.
    pub stores: Vec<PwTensor>,
}

/// Whether the function takes a polynomial.
pub fn is_long(op: UnaryOp) -> bool {
    !matches!(
        op,
        UnaryOp::Relu
            | UnaryOp::Abs
            | UnaryOp::Neg
            | UnaryOp::Sqrt
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::RoundAway
            | UnaryOp::Sign
            | UnaryOp::Clamp { .. }
            | UnaryOp::HSwish
            | UnaryOp::HSigmoid
            | UnaryOp::HardSigmoid { .. }
            | UnaryOp::Softsign
            | UnaryOp::LogicalNot
            | UnaryOp::IsNan
            | UnaryOp::IsInf
            | UnaryOp::IsFinite
            | UnaryOp::BitwiseNot
    )
}
