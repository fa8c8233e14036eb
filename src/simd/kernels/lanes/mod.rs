//! Instructions of pointwise programs on one vector of f32 or i32 lanes.
//!
//! What each means is its arm in `interp`; here it is written with vector instructions. Comparisons and logic give 0 or 1.

mod float;
mod int;

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatOp, FloatUnary, Ty, Val, VecOp};

/// The greatest f32 below 2^31.
const I32_MAX_F32: f32 = 2147483520.0;
const TWO_POW_31: f32 = 2147483648.0;

/// `rne(clamp(x, low, high))`; NaN gives `low`.
pub fn quantize(b: &mut Builder, x: Val, low: i32, high: i32) -> Val {
    let low = b.splat_const_f32(low as f32);
    let x = b.float_op(FloatOp::Max, x, low);
    // clamped in f32 first: the conversion is undefined outside i32
    if high as f32 > I32_MAX_F32 {
        return saturating_to_int(b, x);
    }
    let high = b.splat_const_f32(high as f32);
    let x = b.float_op(FloatOp::Min, x, high);
    b.to_int(x)
}

/// Toward zero, saturating; NaN gives 0.
pub fn truncate(b: &mut Builder, x: Val) -> Val {
    let whole = b.float_unary(FloatUnary::Trunc, x);
    let ordered = b.float_vec_cmp(Cmp::Eq, x, x);
    let zero = b.splat_const_f32(0.0);
    let whole = b.vec_select(ordered, whole, zero);
    let low = b.splat_const_f32(-TWO_POW_31);
    let whole = b.float_op(FloatOp::Max, whole, low);
    saturating_to_int(b, whole)
}

/// Rounds values that are no less than -2^31.
fn saturating_to_int(b: &mut Builder, x: Val) -> Val {
    let limit = b.splat_const_f32(TWO_POW_31);
    let above = b.float_vec_cmp(Cmp::Ge, x, limit);
    let high = b.splat_const_f32(I32_MAX_F32);
    let inside = b.float_op(FloatOp::Min, x, high);
    let inside = b.to_int(inside);
    let max = b.splat_const(Ty::V32, i32::MAX.into());
    b.vec_select(above, max, inside)
}

pub fn unary(b: &mut Builder, op: UnaryOp, x: Val) -> Val {
    match b.ty(x) {
        Ty::VF32 => float::unary(b, op, x),
        _ => int::unary(b, op, x),
    }
}

pub fn binary(b: &mut Builder, op: BinaryOp, x: Val, y: Val) -> Val {
    match b.ty(x) {
        Ty::VF32 => float::binary(b, op, x, y),
        _ => int::binary(b, op, x, y),
    }
}

/// `condition != 0 ? x : y`
pub fn select(b: &mut Builder, condition: Val, x: Val, y: Val) -> Val {
    let mask = is_nonzero(b, condition);
    b.vec_select(mask, x, y)
}

fn is_nonzero(b: &mut Builder, x: Val) -> Val {
    let zero = b.splat_const(Ty::V32, 0);
    b.vec_cmp(Cmp::Ne, x, zero)
}

/// All ones or zeros to 1 or 0.
fn mask_to_bool(b: &mut Builder, mask: Val) -> Val {
    let one = b.splat_const(Ty::V32, 1);
    b.vec_op(VecOp::And, mask, one)
}

/// The comparison an operation is.
fn comparison(op: BinaryOp) -> Option<Cmp> {
    Some(match op {
        BinaryOp::Equal => Cmp::Eq,
        BinaryOp::NotEqual => Cmp::Ne,
        BinaryOp::Less => Cmp::Lt,
        BinaryOp::LessEqual => Cmp::Le,
        BinaryOp::Greater => Cmp::Gt,
        BinaryOp::GreaterEqual => Cmp::Ge,
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Div
        | BinaryOp::Pow
        | BinaryOp::Max
        | BinaryOp::Min
        | BinaryOp::Mod
        | BinaryOp::FloorMod
        | BinaryOp::SquaredDifference
        | BinaryOp::PRelu
        | BinaryOp::LogicalAnd
        | BinaryOp::LogicalOr
        | BinaryOp::LogicalXor
        | BinaryOp::BitwiseAnd
        | BinaryOp::BitwiseOr
        | BinaryOp::BitwiseXor => return None,
    })
}

/// Logic on masks; `None` for operations that are not logical.
fn logical(b: &mut Builder, op: BinaryOp, x: Val, y: Val) -> Option<Val> {
    let op = match op {
        BinaryOp::LogicalAnd => VecOp::And,
        BinaryOp::LogicalOr => VecOp::Or,
        BinaryOp::LogicalXor => VecOp::Xor,
        _ => return None,
    };
    let mask = b.vec_op(op, x, y);
    Some(mask_to_bool(b, mask))
}
