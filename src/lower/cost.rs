//! How long a step takes on one thread, roughly: to decide which are worth a barrier between threads.

use super::kernel::{KernelSpec, Mac};
use super::pointwise::{Epilogue, PointwiseProgram, PwInst};
use crate::ir::op::UnaryOp;
use crate::simd::ir::Width;

/// Time from which on two threads are faster than one: a barrier takes one to two microseconds.
const WORTH_NS: u64 = 4_000;

/// Vector instructions in a nanosecond: two a cycle at 3 GHz.
const INSTRUCTIONS_PER_NS: u64 = 6;

/// Instructions for the elements of a vector when a few are spent on each alone.
const SCALAR: usize = 40;

/// Whether a step is worth sharing between threads.
pub fn is_worth_sharing(spec: &KernelSpec, macs: u64, width: Width, has_dot: bool) -> bool {
    spec.items() > 1 && nanoseconds(spec, macs, width, has_dot) >= WORTH_NS
}

fn nanoseconds(spec: &KernelSpec, macs: u64, width: Width, has_dot: bool) -> u64 {
    let lanes = width.lanes32() as u64;
    let products = macs * instructions_per_product(spec, has_dot) / (4 * lanes);
    let vectors = (spec.elements() as u64).div_ceil(lanes);
    (products + vectors * instructions_per_element(spec)) / INSTRUCTIONS_PER_NS
}

/// Instructions for a vector of four products per lane.
fn instructions_per_product(spec: &KernelSpec, has_dot: bool) -> u64 {
    let of = |mac: Mac| match mac {
        Mac::U8I8Dot => 1,
        Mac::U8I8 => 3,
        Mac::U8I16 => 4,
        Mac::F32 => 8,
    };
    match spec {
        KernelSpec::Conv(s) => of(s.mac),
        KernelSpec::TileConv(_) | KernelSpec::Winograd(_) => 1,
        // what is interleaved costs as much again
        KernelSpec::Depthwise(s) => 2 * of(s.mac),
        KernelSpec::MatMul(s) if s.a_elem.bytes() == 1 => 2 + 2 * u64::from(!has_dot),
        KernelSpec::MatMul(_) | KernelSpec::Rnn(_) => 8,
        KernelSpec::Pool(_)
        | KernelSpec::Pointwise(_)
        | KernelSpec::Reduce(_)
        | KernelSpec::Softmax(_)
        | KernelSpec::Normalize(_)
        | KernelSpec::Copy(_)
        | KernelSpec::Lookup(_)
        | KernelSpec::Fill(_)
        | KernelSpec::Resize(_)
        | KernelSpec::Indexed(_)
        | KernelSpec::Scan(_)
        | KernelSpec::TopK(_)
        | KernelSpec::WinogradSource(_) => 0,
    }
}

/// Instructions for a vector of elements: loads, stores and packs, and what is computed on the way.
fn instructions_per_element(spec: &KernelSpec) -> u64 {
    match spec {
        KernelSpec::Conv(s) => pointwise(&s.epilogue),
        KernelSpec::TileConv(s) => 2 + pointwise(&s.epilogue),
        KernelSpec::WinogradSource(_) => 8,
        KernelSpec::Winograd(s) => 8 + pointwise(&s.epilogue),
        KernelSpec::Depthwise(s) => pointwise(&s.epilogue),
        KernelSpec::Pointwise(s) => pointwise(&s.epilogue),
        KernelSpec::MatMul(s) => pointwise(&s.epilogue),
        // elements count every tap
        KernelSpec::Pool(_) | KernelSpec::Reduce(_) => 2,
        KernelSpec::Resize(s) => 2 * (s.taps[0] * s.taps[1]) as u64 + pointwise(&s.epilogue),
        KernelSpec::Softmax(_) => 40,
        KernelSpec::Normalize(s) => 8 + pointwise(&s.epilogue),
        KernelSpec::Copy(_) => 4,
        // of bytes, four times as many as lanes
        KernelSpec::Lookup(_) => 12,
        KernelSpec::Fill(_) => 1,
        // one element at a time: coordinates of each run, sums that wait for each other, a list to insert into
        KernelSpec::Indexed(s) => 1 + (SCALAR * s.coordinates.len() * s.elem.bytes()).div_ceil(s.bytes.max(1)) as u64,
        KernelSpec::Scan(_) => SCALAR as u64,
        KernelSpec::TopK(s) => (SCALAR * s.k) as u64,
        KernelSpec::Rnn(_) => 100,
    }
}

fn pointwise(epilogue: &Epilogue) -> u64 {
    2 + instructions(&epilogue.program)
}

/// Instructions of a program on a vector of 32-bit lanes.
pub fn instructions(program: &PointwiseProgram) -> u64 {
    program.insts.iter().map(instruction).sum()
}

/// The same of one.
pub fn instruction(inst: &PwInst) -> u64 {
    match inst {
        PwInst::Unary(op, _) if is_long(*op) => 25,
        _ => 1,
    }
}

/// Whether the function takes a polynomial.
fn is_long(op: UnaryOp) -> bool {
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
