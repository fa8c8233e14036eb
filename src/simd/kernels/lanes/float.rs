//! Unary and binary operations on f32 lanes.

use super::math;
use crate::ir::op::{BinaryOp, UnaryOp};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatOp, FloatUnary, Ty, Val, VecOp};

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
        UnaryOp::RoundAway => round_away(b, x),
        UnaryOp::Sign => sign(b, x),
        UnaryOp::Clamp { min, max } => clamp(b, x, min as f32, max as f32),
        UnaryOp::HSwish => {
            let gate = shifted_clamp(b, x);
            let product = b.fmul(x, gate);
            divide_by(b, product, 6.0)
        }
        UnaryOp::HSigmoid => {
            let gate = shifted_clamp(b, x);
            divide_by(b, gate, 6.0)
        }
        UnaryOp::HardSigmoid { alpha, beta } => {
            let scaled = scale(b, x, alpha);
            let beta = b.splat_const_f32(beta);
            let sum = b.fadd(scaled, beta);
            clamp(b, sum, 0.0, 1.0)
        }
        UnaryOp::Softsign => softsign(b, x),
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
        UnaryOp::Elu { alpha } => elu(b, x, alpha),
        UnaryOp::Selu { alpha, lambda } => {
            let elu = elu(b, x, alpha);
            scale(b, elu, lambda)
        }
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
        BinaryOp::Mod => remainder(b, x, y),
        BinaryOp::FloorMod => floor_remainder(b, x, y),
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

/// `clamp(x + 3, 0, 6)`
fn shifted_clamp(b: &mut Builder, x: Val) -> Val {
    let three = b.splat_const_f32(3.0);
    let shifted = b.fadd(x, three);
    clamp(b, shifted, 0.0, 6.0)
}

fn divide_by(b: &mut Builder, x: Val, divisor: f32) -> Val {
    let divisor = b.splat_const_f32(divisor);
    b.float_op(FloatOp::Div, x, divisor)
}

fn scale(b: &mut Builder, x: Val, factor: f32) -> Val {
    let factor = b.splat_const_f32(factor);
    b.fmul(factor, x)
}

/// `magnitude` with the sign of `sign`; `magnitude` is not negative.
fn copy_sign(b: &mut Builder, magnitude: Val, sign: Val) -> Val {
    let bits = b.splat_const(Ty::V32, i32::MIN.into());
    let (magnitude, sign) = (b.cast(Ty::V32, magnitude), b.cast(Ty::V32, sign));
    let sign = b.vec_op(VecOp::And, sign, bits);
    let value = b.vec_op(VecOp::Or, magnitude, sign);
    b.cast(Ty::VF32, value)
}

/// Ties away from zero: `x - trunc(x)` is exact.
fn round_away(b: &mut Builder, x: Val) -> Val {
    let whole = b.float_unary(FloatUnary::Trunc, x);
    let rest = b.fsub(x, whole);
    let rest = b.float_unary(FloatUnary::Abs, rest);
    let half = b.splat_const_f32(0.5);
    let up = b.float_vec_cmp(Cmp::Ge, rest, half);
    let one = b.splat_const_f32(1.0);
    let step = copy_sign(b, one, x);
    let next = b.fadd(whole, step);
    b.vec_select(up, next, whole)
}

/// Zeros and NaN stay what they are.
fn sign(b: &mut Builder, x: Val) -> Val {
    let zero = b.splat_const_f32(0.0);
    let one = b.splat_const_f32(1.0);
    let minus_one = b.splat_const_f32(-1.0);
    let negative = b.float_vec_cmp(Cmp::Lt, x, zero);
    let positive = b.float_vec_cmp(Cmp::Gt, x, zero);
    let x = b.vec_select(negative, minus_one, x);
    b.vec_select(positive, one, x)
}

/// `x / (1 + |x|)`; 1 with the sign of `x` where that is infinite.
fn softsign(b: &mut Builder, x: Val) -> Val {
    let one = b.splat_const_f32(1.0);
    let magnitude = b.float_unary(FloatUnary::Abs, x);
    let divisor = b.fadd(one, magnitude);
    let quotient = b.float_op(FloatOp::Div, x, divisor);
    let infinity = b.splat_const_f32(f32::INFINITY);
    let infinite = b.float_vec_cmp(Cmp::Eq, magnitude, infinity);
    let limit = copy_sign(b, one, x);
    b.vec_select(infinite, limit, quotient)
}

/// `x < 0 ? alpha * (exp(x) - 1) : x`
fn elu(b: &mut Builder, x: Val, alpha: f32) -> Val {
    let below = math::expm1(b, x);
    let below = scale(b, below, alpha);
    let zero = b.splat_const_f32(0.0);
    let negative = b.float_vec_cmp(Cmp::Lt, x, zero);
    b.vec_select(negative, below, x)
}

/// `x - trunc(x / y) * y`, corrected by one divisor where the quotient was rounded across an integer. Exact while the
/// quotient and the divisor have no more than 24 significant bits together.
fn remainder(b: &mut Builder, x: Val, y: Val) -> Val {
    let quotient = b.float_op(FloatOp::Div, x, y);
    let quotient = b.float_unary(FloatUnary::Trunc, quotient);
    let product = b.fmul(quotient, y);
    let rest = b.fsub(x, product);
    // a remainder has the sign of x, and less magnitude than y
    let (rest_size, y_size) = (b.float_unary(FloatUnary::Abs, rest), b.float_unary(FloatUnary::Abs, y));
    let step = copy_sign(b, y_size, x);
    let less = b.fsub(rest, step);
    let more = b.fadd(rest, step);
    let zero = b.splat_const_f32(0.0);
    let signs = b.fmul(rest, step);
    let opposite = b.float_vec_cmp(Cmp::Lt, signs, zero);
    let too_big = b.float_vec_cmp(Cmp::Ge, rest_size, y_size);
    let reduced = b.vec_select(too_big, less, rest);
    let rest = b.vec_select(opposite, more, reduced);
    // x % inf is x
    let infinity = b.splat_const_f32(f32::INFINITY);
    let unbounded = b.float_vec_cmp(Cmp::Eq, y_size, infinity);
    b.vec_select(unbounded, x, rest)
}

/// The remainder moved to the sign of the divisor.
fn floor_remainder(b: &mut Builder, x: Val, y: Val) -> Val {
    let rest = remainder(b, x, y);
    let zero = b.splat_const_f32(0.0);
    let rest_negative = b.float_vec_cmp(Cmp::Lt, rest, zero);
    let y_negative = b.float_vec_cmp(Cmp::Lt, y, zero);
    let differ = b.vec_op(VecOp::Xor, rest_negative, y_negative);
    let nonzero = b.float_vec_cmp(Cmp::Ne, rest, zero);
    let moved = b.vec_op(VecOp::And, differ, nonzero);
    let sum = b.fadd(rest, y);
    b.vec_select(moved, sum, rest)
}

fn compare_abs_to_infinity(b: &mut Builder, cmp: Cmp, x: Val) -> Val {
    let magnitude = b.float_unary(FloatUnary::Abs, x);
    let infinity = b.splat_const_f32(f32::INFINITY);
    test(b, cmp, magnitude, infinity)
}
