//! Unary and binary operations on f32 lanes.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatOp, FloatUnary, Val};
use crate::simd::math;

use super::{comparison, logical, mask_to_bool};

pub(super) fn unary(b: &mut Builder, op: UnaryOp, x: Val) -> Val {
    match op {
        UnaryOp::Relu => {
            let zero = b.splat_const_f32(0.0);
            b.float_op(FloatOp::Max, x, zero)
        }
        UnaryOp::Abs => b.float_unary(FloatUnary::Abs, x),
        UnaryOp::Neg => b.float_unary(FloatUnary::Neg, x),
        UnaryOp::Sqrt => b.float_unary(FloatUnary::Sqrt, x),
        UnaryOp::Floor => b.float_unary(FloatUnary::Floor, x),
        UnaryOp::Ceil => b.float_unary(FloatUnary::Ceil, x),
        UnaryOp::Round => b.float_unary(FloatUnary::Round, x),
        UnaryOp::RoundAway => math::round_away(b, x),
        UnaryOp::Sign => math::sign(b, x),
        UnaryOp::Clamp { min, max } => clamp(b, x, min as f32, max as f32),
        UnaryOp::HSwish => math::hswish(b, x),
        UnaryOp::HSigmoid => math::hsigmoid(b, x),
        UnaryOp::HardSigmoid { alpha, beta } => math::hard_sigmoid(b, x, alpha, beta),
        UnaryOp::Softsign => math::softsign(b, x),
        UnaryOp::LogicalNot => {
            let zero = b.splat_const_f32(0.0);
            test(b, Cmp::Eq, x, zero)
        }
        UnaryOp::IsNan => test(b, Cmp::Ne, x, x),
        UnaryOp::IsInf => compare_abs_to_infinity(b, Cmp::Eq, x),
        UnaryOp::IsFinite => compare_abs_to_infinity(b, Cmp::Lt, x),
        UnaryOp::BitwiseNot => panic!("internal error: bitwise_not of f32 lanes"),
        UnaryOp::Sigmoid => math::sigmoid(b, x),
        UnaryOp::Tanh => math::tanh(b, x),
        UnaryOp::Exp => math::exp(b, x),
        UnaryOp::Log => math::log(b, x),
        UnaryOp::Erf => math::erf(b, x),
        UnaryOp::Gelu => math::gelu(b, x),
        UnaryOp::GeluTanh => math::gelu_tanh(b, x),
        UnaryOp::Swish { beta } => math::swish(b, x, beta),
        UnaryOp::Elu { alpha } => math::elu(b, x, alpha),
        UnaryOp::Selu { alpha, lambda } => math::selu(b, x, alpha, lambda),
        UnaryOp::Softplus => math::softplus(b, x),
        UnaryOp::Mish => math::mish(b, x),
        UnaryOp::Sin => math::sin(b, x),
        UnaryOp::Cos => math::cos(b, x),
        UnaryOp::Tan => math::tan(b, x),
        UnaryOp::Asin => math::asin(b, x),
        UnaryOp::Acos => math::acos(b, x),
        UnaryOp::Atan => math::atan(b, x),
        UnaryOp::Sinh => math::sinh(b, x),
        UnaryOp::Cosh => math::cosh(b, x),
        UnaryOp::Asinh => math::asinh(b, x),
        UnaryOp::Acosh => math::acosh(b, x),
        UnaryOp::Atanh => math::atanh(b, x),
    }
}

pub(super) fn binary(b: &mut Builder, op: BinaryOp, x: Val, y: Val) -> Val {
    if let Some(cmp) = comparison(op) {
        return test(b, cmp, x, y);
    }
    match op {
        BinaryOp::Add => b.fadd(x, y),
        BinaryOp::Sub => b.fsub(x, y),
        BinaryOp::Mul => b.fmul(x, y),
        BinaryOp::Div => b.float_op(FloatOp::Div, x, y),
        BinaryOp::Pow => math::pow(b, x, y),
        BinaryOp::Max => nan_first(b, FloatOp::Max, x, y),
        BinaryOp::Min => nan_first(b, FloatOp::Min, x, y),
        BinaryOp::Mod => math::modulo(b, x, y),
        BinaryOp::FloorMod => math::floor_mod(b, x, y),
        BinaryOp::SquaredDifference => {
            let difference = b.fsub(x, y);
            b.fmul(difference, difference)
        }
        BinaryOp::PRelu => {
            let zero = b.splat_const_f32(0.0);
            let negative = b.float_vec_cmp(Cmp::Lt, x, zero);
            let scaled = b.fmul(x, y);
            b.vec_select(negative, scaled, x)
        }
        BinaryOp::LogicalAnd | BinaryOp::LogicalOr | BinaryOp::LogicalXor => {
            let zero = b.splat_const_f32(0.0);
            let (x, y) = (b.float_vec_cmp(Cmp::Ne, x, zero), b.float_vec_cmp(Cmp::Ne, y, zero));
            logical(b, op, x, y).unwrap_or(x)
        }
        BinaryOp::BitwiseAnd | BinaryOp::BitwiseOr | BinaryOp::BitwiseXor => {
            panic!("internal error: {op:?} of f32 lanes")
        }
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual => panic!("internal error: {op:?} is a comparison"),
    }
}

fn test(b: &mut Builder, cmp: Cmp, x: Val, y: Val) -> Val {
    let mask = b.float_vec_cmp(cmp, x, y);
    mask_to_bool(b, mask)
}

/// NaN of the first operand wins; of the second one too, as `Max` and `Min` give their second operand.
fn nan_first(b: &mut Builder, op: FloatOp, x: Val, y: Val) -> Val {
    let best = b.float_op(op, x, y);
    let nan = b.float_vec_cmp(Cmp::Ne, x, x);
    b.vec_select(nan, x, best)
}

/// NaN stays: it is the second operand of both comparisons.
fn clamp(b: &mut Builder, x: Val, min: f32, max: f32) -> Val {
    let (min, max) = (b.splat_const_f32(min), b.splat_const_f32(max));
    let x = b.float_op(FloatOp::Max, min, x);
    b.float_op(FloatOp::Min, max, x)
}

fn compare_abs_to_infinity(b: &mut Builder, cmp: Cmp, x: Val) -> Val {
    let magnitude = b.float_unary(FloatUnary::Abs, x);
    let infinity = b.splat_const_f32(f32::INFINITY);
    test(b, cmp, magnitude, infinity)
}
