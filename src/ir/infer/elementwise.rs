//! Operations that compute each element on its own: shapes broadcast as in NumPy.

use super::super::op::{BinaryOp, UnaryOp};
use super::super::ty::{ElemType, Shape, TensorType};
use super::{Inferred, check_float, check_numeric, check_same_elem, is_numeric, shape};

/// The shape two shapes broadcast to as in NumPy: aligned at the innermost dimension, a size of 1 stretches.
///
/// # Errors
/// A sentence with both shapes when two sizes differ and neither is 1, or the result has too many elements.
pub fn broadcast_shapes(a: &Shape, b: &Shape) -> Result<Shape, String> {
    let rank = a.rank().max(b.rank());
    let size = |s: &Shape, dim: usize| (dim + s.rank()).checked_sub(rank).map_or(1, |at| s[at]);
    let mut dims = Vec::with_capacity(rank);
    for dim in 0..rank {
        dims.push(match (size(a, dim), size(b, dim)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return Err(format!("shapes {a} and {b} do not broadcast")),
        });
    }
    shape(dims)
}

pub(super) fn unary(src: &TensorType, op: UnaryOp) -> Inferred {
    check_unary_operand(src, op)?;
    Ok(if op.is_predicate() { src.with_elem(ElemType::Bool) } else { src.clone() })
}

fn check_unary_operand(src: &TensorType, op: UnaryOp) -> Result<(), String> {
    match op {
        UnaryOp::Relu
        | UnaryOp::Abs
        | UnaryOp::Neg
        | UnaryOp::Sign
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::RoundAway => check_numeric(src),
        UnaryOp::Clamp { min, max } => {
            // A NaN bound fails the comparison too.
            if !matches!(min.partial_cmp(&max), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)) {
                return Err(format!("min {min} exceeds max {max}"));
            }
            check_numeric(src)
        }
        UnaryOp::LogicalNot => check_bool(src),
        UnaryOp::BitwiseNot => check_bits(src),
        UnaryOp::Sigmoid
        | UnaryOp::Tanh
        | UnaryOp::Exp
        | UnaryOp::Log
        | UnaryOp::Sqrt
        | UnaryOp::Erf
        | UnaryOp::Gelu
        | UnaryOp::GeluTanh
        | UnaryOp::HSwish
        | UnaryOp::HSigmoid
        | UnaryOp::HardSigmoid { .. }
        | UnaryOp::Swish { .. }
        | UnaryOp::Elu { .. }
        | UnaryOp::Selu { .. }
        | UnaryOp::Softplus
        | UnaryOp::Softsign
        | UnaryOp::Mish
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tan
        | UnaryOp::Asin
        | UnaryOp::Acos
        | UnaryOp::Atan
        | UnaryOp::Sinh
        | UnaryOp::Cosh
        | UnaryOp::Asinh
        | UnaryOp::Acosh
        | UnaryOp::Atanh
        | UnaryOp::IsNan
        | UnaryOp::IsInf
        | UnaryOp::IsFinite => check_float(src),
    }
}

pub(super) fn binary(a: &TensorType, b: &TensorType, op: BinaryOp) -> Inferred {
    check_same_elem(&[a, b])?;
    match op {
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
        | BinaryOp::PRelu => check_numeric(a)?,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual => check_comparable(a)?,
        BinaryOp::LogicalAnd | BinaryOp::LogicalOr | BinaryOp::LogicalXor => check_bool(a)?,
        BinaryOp::BitwiseAnd | BinaryOp::BitwiseOr | BinaryOp::BitwiseXor => check_bits(a)?,
    }
    let elem = if op.is_comparison() { ElemType::Bool } else { a.elem };
    Ok(TensorType::new(elem, broadcast_shapes(&a.shape, &b.shape)?))
}

pub(super) fn select(types: &[&TensorType]) -> Inferred {
    let [condition, then, otherwise] = types else {
        return Err("takes 3 operands".into());
    };
    check_bool(condition)?;
    check_same_elem(&[then, otherwise])?;
    let branches = broadcast_shapes(&then.shape, &otherwise.shape)?;
    Ok(TensorType::new(then.elem, broadcast_shapes(&condition.shape, &branches)?))
}

fn check_bool(ty: &TensorType) -> Result<(), String> {
    if ty.elem == ElemType::Bool {
        return Ok(());
    }
    Err(format!("takes bool, not {ty}"))
}

fn check_bits(ty: &TensorType) -> Result<(), String> {
    if ty.elem == ElemType::Bool || (ty.elem.is_int() && is_numeric(ty.elem)) {
        return Ok(());
    }
    Err(format!("takes integers or bool, not {ty}"))
}

fn check_comparable(ty: &TensorType) -> Result<(), String> {
    if ty.elem == ElemType::Bool || is_numeric(ty.elem) {
        return Ok(());
    }
    Err(format!("takes numbers or bool, not {ty}"))
}
