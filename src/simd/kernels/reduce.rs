//! Reductions: strips of the inner dimension side by side, or the inner dimension into one element.
//!
//! L1 and L2 take magnitudes and squares on the way; L2 takes the root of the sum, the mean is left to the epilogue. Minima are
//! maxima of complements or negatives where the horizontal instruction is missing.

use crate::ir::ElemType;
use crate::ir::op::{BinaryOp, ReduceKind, UnaryOp};
use crate::lower::kernel::ReduceSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Reduction, Ty, Val, VecOp};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::lanes;
use super::nest;
use super::strip::{Strip, load_splat};

pub fn build(b: &mut Builder, spec: &ReduceSpec, operands: &[Pointer], items: Items) {
    let &[src, ref rest @ ..] = operands else { panic!("internal error: reduction without source") };
    let operands = Operands::new(&spec.epilogue, rest);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &spec.outer);
        let src = nest::at(b, src, &indices, &spec.outer_strides);
        let mut operands = operands.clone();
        for (dim, &index) in indices.iter().enumerate() {
            operands = operands.at(b, &spec.epilogue, dim, index);
        }
        if spec.inner_reduced {
            let result = to_one(b, spec, src);
            let strip = Strip { vectors: 1, valid: 1, natural: false };
            finish(b, spec, &operands, strip, vec![result]);
        } else {
            nest::for_strips(b, spec.inner, 4, |b, channel, strip| {
                let src = b.index(src, channel, spec.elem.bytes() as i64);
                let results = side_by_side(b, spec, src, strip);
                let operands = operands.at_channel(b, &spec.epilogue, channel);
                finish(b, spec, &operands, strip, results);
            });
        }
    });
}

fn finish(b: &mut Builder, spec: &ReduceSpec, operands: &Operands, strip: Strip, results: Vec<Val>) {
    let results = results.into_iter().map(|x| match spec.kind {
        ReduceKind::L2 => lanes::unary(b, UnaryOp::Sqrt, x),
        _ => x,
    });
    let results = vec![results.collect()];
    epilogue::apply(b, &spec.epilogue, operands, Tile { pixels: 1, channel: 0, strip }, &results);
}

/// Reduces over the reduced dimensions, each lane by itself.
fn side_by_side(b: &mut Builder, spec: &ReduceSpec, src: Pointer, strip: Strip) -> Vec<Val> {
    let init = vec![neutral(b, spec); strip.vectors];
    nest::fold_all(b, &spec.reduced, &init, &mut |b, indices, carried| {
        let src = nest::at(b, src, indices, &spec.reduced_strides);
        let loaded = strip.load(b, spec.elem, src, 0, spec.exact_reads);
        carried.iter().zip(loaded).map(|(&sum, x)| step(b, spec, sum, x)).collect()
    })
}

/// Reduces the inner dimension too; the result is in lane 0.
fn to_one(b: &mut Builder, spec: &ReduceSpec, src: Pointer) -> Val {
    let vectors = if matches!(spec.elem, ElemType::F32 | ElemType::I32) { 1 } else { 4 };
    // products have no horizontal instruction: element by element
    let step_elements = if spec.kind == ReduceKind::Prod { 1 } else { vectors * b.width().lanes32() };
    let whole = spec.inner / step_elements;
    let strip = Strip::full(b.width(), vectors);
    let init = neutral(b, spec);
    let result = nest::fold_all(b, &spec.reduced, &[init], &mut |b, indices, carried| {
        let src = nest::at(b, src, indices, &spec.reduced_strides);
        let (zero, end) = (b.int(0), b.int((whole * step_elements) as i64));
        b.for_range((zero, end, step_elements as i64), carried, |b, index, carried| {
            let src = b.index(src, index, spec.elem.bytes() as i64);
            let loaded = if step_elements == 1 {
                vec![load_splat(b, spec.elem, src, 0)]
            } else {
                strip.load(b, spec.elem, src, 0, false)
            };
            vec![loaded.into_iter().fold(carried[0], |sum, x| step(b, spec, sum, x))]
        })
    });
    let whole_result = horizontal(b, spec, result[0]);
    tail(b, spec, src, whole * step_elements, whole_result)
}

/// Elements behind the whole vectors of every row, one at a time: all lanes do the same.
fn tail(b: &mut Builder, spec: &ReduceSpec, src: Pointer, first: usize, start: Val) -> Val {
    if first == spec.inner {
        return start;
    }
    let mut sizes = spec.reduced.clone();
    sizes.push(spec.inner - first);
    let mut strides = spec.reduced_strides.clone();
    strides.push(spec.elem.bytes() as i64);
    let first = b.int((first * spec.elem.bytes()) as i64);
    let src = b.advance(src, first);
    nest::fold_all(b, &sizes, &[start], &mut |b, indices, carried| {
        let src = nest::at(b, src, indices, &strides);
        let x = load_splat(b, spec.elem, src, 0);
        vec![step(b, spec, carried[0], x)]
    })[0]
}

fn is_float(spec: &ReduceSpec) -> bool {
    spec.elem == ElemType::F32
}

/// What does not change the other operand of a step.
fn neutral(b: &mut Builder, spec: &ReduceSpec) -> Val {
    let value = match spec.kind {
        ReduceKind::Sum | ReduceKind::Mean | ReduceKind::L1 | ReduceKind::L2 | ReduceKind::Or => 0.0,
        ReduceKind::Prod | ReduceKind::And => 1.0,
        ReduceKind::Max => f32::NEG_INFINITY,
        ReduceKind::Min => f32::INFINITY,
    };
    // `as` saturates the infinities
    if is_float(spec) && !is_logical(spec.kind) {
        b.splat_const_f32(value)
    } else {
        b.splat_const(Ty::V32, (value as i32).into())
    }
}

fn is_logical(kind: ReduceKind) -> bool {
    matches!(kind, ReduceKind::And | ReduceKind::Or)
}

/// One more element in each lane.
fn step(b: &mut Builder, spec: &ReduceSpec, sum: Val, x: Val) -> Val {
    match spec.kind {
        ReduceKind::Sum | ReduceKind::Mean => lanes::binary(b, BinaryOp::Add, sum, x),
        ReduceKind::Prod => lanes::binary(b, BinaryOp::Mul, sum, x),
        ReduceKind::Max => lanes::binary(b, BinaryOp::Max, sum, x),
        ReduceKind::Min => lanes::binary(b, BinaryOp::Min, sum, x),
        ReduceKind::L1 => {
            let magnitude = lanes::unary(b, UnaryOp::Abs, x);
            lanes::binary(b, BinaryOp::Add, sum, magnitude)
        }
        ReduceKind::L2 if is_float(spec) => b.mul_add(x, x, sum),
        ReduceKind::L2 => {
            let square = lanes::binary(b, BinaryOp::Mul, x, x);
            lanes::binary(b, BinaryOp::Add, sum, square)
        }
        ReduceKind::And | ReduceKind::Or => {
            let not = lanes::unary(b, UnaryOp::LogicalNot, x);
            let truth = lanes::unary(b, UnaryOp::LogicalNot, not);
            b.vec_op(if spec.kind == ReduceKind::And { VecOp::And } else { VecOp::Or }, sum, truth)
        }
    }
}

/// All lanes into every lane.
fn horizontal(b: &mut Builder, spec: &ReduceSpec, value: Val) -> Val {
    let all_ones = b.splat_const(Ty::V32, -1);
    match (spec.kind, is_float(spec)) {
        // all lanes are the same
        (ReduceKind::Prod, _) => value,
        (ReduceKind::Or, _) | (ReduceKind::Max, false) => reduced(b, Reduction::MaxI32, value),
        (ReduceKind::And, _) | (ReduceKind::Min, false) => {
            let complement = b.vec_op(VecOp::Xor, value, all_ones);
            let most = reduced(b, Reduction::MaxI32, complement);
            b.vec_op(VecOp::Xor, most, all_ones)
        }
        (ReduceKind::Max, true) => reduced(b, Reduction::MaxF32, value),
        (ReduceKind::Min, true) => reduced(b, Reduction::MinF32, value),
        (ReduceKind::Sum | ReduceKind::Mean | ReduceKind::L1 | ReduceKind::L2, true) => {
            reduced(b, Reduction::AddF32, value)
        }
        (ReduceKind::Sum | ReduceKind::Mean | ReduceKind::L1 | ReduceKind::L2, false) => {
            reduced(b, Reduction::AddI32, value)
        }
    }
}

/// A horizontal reduction, back in every lane.
pub fn reduced(b: &mut Builder, reduction: Reduction, value: Val) -> Val {
    let ty = b.ty(value);
    let scalar = b.reduce(reduction, value);
    b.splat(ty, scalar)
}
