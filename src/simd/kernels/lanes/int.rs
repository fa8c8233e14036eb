//! Unary and binary operations on i32 lanes; arithmetic wraps.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatOp, FloatUnary, ShiftOp, Ty, Val, VecOp};

use super::{comparison, is_nonzero, logical, mask_to_bool, truncate};

pub(super) fn unary(b: &mut Builder, op: UnaryOp, x: Val) -> Val {
    let zero = b.splat_const(Ty::V32, 0);
    match op {
        UnaryOp::Relu => b.vec_op(VecOp::MaxS, x, zero),
        UnaryOp::Abs => abs(b, x),
        UnaryOp::Neg => b.vec_op(VecOp::Sub, zero, x),
        UnaryOp::Sign => sign(b, x),
        UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::RoundAway => x,
        UnaryOp::LogicalNot => {
            let mask = b.vec_cmp(Cmp::Eq, x, zero);
            mask_to_bool(b, mask)
        }
        UnaryOp::BitwiseNot => {
            let ones = b.splat_const(Ty::V32, -1);
            b.vec_op(VecOp::Xor, x, ones)
        }
        UnaryOp::IsNan | UnaryOp::IsInf => zero,
        UnaryOp::IsFinite => b.splat_const(Ty::V32, 1),
        UnaryOp::Clamp { min, max } => {
            // the integers inside the interval; `as` saturates
            let low = b.splat_const(Ty::V32, (min.ceil() as i32).into());
            let high = b.splat_const(Ty::V32, (max.floor() as i32).into());
            let x = b.vec_op(VecOp::MaxS, x, low);
            b.vec_op(VecOp::MinS, x, high)
        }
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
        | UnaryOp::Atanh => {
            let real = b.to_float(x);
            let real = super::float::unary(b, op, real);
            truncate(b, real)
        }
    }
}

pub(super) fn binary(b: &mut Builder, op: BinaryOp, x: Val, y: Val) -> Val {
    if let Some(cmp) = comparison(op) {
        let mask = b.vec_cmp(cmp, x, y);
        return mask_to_bool(b, mask);
    }
    match op {
        BinaryOp::Add => b.vadd(x, y),
        BinaryOp::Sub => b.vec_op(VecOp::Sub, x, y),
        BinaryOp::Mul => b.vec_op(VecOp::Mul, x, y),
        BinaryOp::Max => b.vec_op(VecOp::MaxS, x, y),
        BinaryOp::Min => b.vec_op(VecOp::MinS, x, y),
        BinaryOp::Div => floor_div(b, x, y),
        BinaryOp::Mod => {
            let (_, rest) = div_rem(b, x, y);
            rest
        }
        BinaryOp::FloorMod => floor_mod(b, x, y),
        BinaryOp::Pow => pow(b, x, y),
        BinaryOp::SquaredDifference => {
            let difference = b.vec_op(VecOp::Sub, x, y);
            b.vec_op(VecOp::Mul, difference, difference)
        }
        BinaryOp::PRelu => {
            let negative = b.shift(ShiftOp::RightSigned, x, 31);
            let scaled = b.vec_op(VecOp::Mul, x, y);
            b.vec_select(negative, scaled, x)
        }
        BinaryOp::LogicalAnd | BinaryOp::LogicalOr | BinaryOp::LogicalXor => {
            let (x, y) = (is_nonzero(b, x), is_nonzero(b, y));
            logical(b, op, x, y).unwrap_or(x)
        }
        BinaryOp::BitwiseAnd => b.vec_op(VecOp::And, x, y),
        BinaryOp::BitwiseOr => b.vec_op(VecOp::Or, x, y),
        BinaryOp::BitwiseXor => b.vec_op(VecOp::Xor, x, y),
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual => panic!("internal error: {op:?} is a comparison"),
    }
}

/// -1 where negative, +1 where positive: both from masks.
fn sign(b: &mut Builder, x: Val) -> Val {
    let zero = b.splat_const(Ty::V32, 0);
    let negative = b.shift(ShiftOp::RightSigned, x, 31);
    let positive = b.vec_cmp(Cmp::Gt, x, zero);
    b.vec_op(VecOp::Sub, negative, positive)
}

fn abs(b: &mut Builder, x: Val) -> Val {
    let zero = b.splat_const(Ty::V32, 0);
    let negated = b.vec_op(VecOp::Sub, zero, x);
    let negative = b.shift(ShiftOp::RightSigned, x, 31);
    b.vec_select(negative, negated, x)
}

/// Quotient toward zero and remainder with the sign of the dividend; both 0 where the divisor is 0.
///
/// By magnitudes as unsigned numbers: three quotients in f32, each of what the ones before left. A quotient in f32 is
/// wrong by no more than 2^-22 of itself, so what is left after the second is below two divisors; the third step is exact.
fn div_rem(b: &mut Builder, x: Val, y: Val) -> (Val, Val) {
    let zero = b.splat_const(Ty::V32, 0);
    let one = b.splat_const(Ty::V32, 1);
    let defined = is_nonzero(b, y);
    let y = b.vec_select(defined, y, one);
    let (y_size, y_float) = (abs(b, y), magnitude_to_float(b, y));
    // what is left, signed like x, and its quotient by |y|
    let (mut rest, mut quotient) = (x, zero);
    for _ in 0..3 {
        let rest_float = b.to_float(rest);
        let part = b.float_op(FloatOp::Div, rest_float, y_float);
        let part = b.float_unary(FloatUnary::Trunc, part);
        let part = truncate(b, part);
        let product = b.vec_op(VecOp::Mul, part, y_size);
        rest = b.vec_op(VecOp::Sub, rest, product);
        quotient = b.vadd(quotient, part);
    }
    let (quotient, rest) = towards_zero(b, x, y_size, quotient, rest);
    let y_sign = b.shift(ShiftOp::RightSigned, y, 31);
    let negated = b.vec_op(VecOp::Sub, zero, quotient);
    let quotient = b.vec_select(y_sign, negated, quotient);
    (b.vec_op(VecOp::And, quotient, defined), b.vec_op(VecOp::And, rest, defined))
}

fn magnitude_to_float(b: &mut Builder, y: Val) -> Val {
    let float = b.to_float(y);
    b.float_unary(FloatUnary::Abs, float)
}

/// A remainder between -|y| and |y| moved to the sign of `x`.
fn towards_zero(b: &mut Builder, x: Val, y_size: Val, quotient: Val, rest: Val) -> (Val, Val) {
    let x_negative = b.shift(ShiftOp::RightSigned, x, 31);
    let rest_negative = b.shift(ShiftOp::RightSigned, rest, 31);
    let nonzero = is_nonzero(b, rest);
    let differ = b.vec_op(VecOp::Xor, x_negative, rest_negative);
    let wrong = b.vec_op(VecOp::And, differ, nonzero);
    // one divisor back: -1 or +1 in the quotient, by the sign of x
    let one = b.splat_const(Ty::V32, 1);
    let direction = b.vec_op(VecOp::Or, x_negative, one);
    let step = b.vec_op(VecOp::And, direction, wrong);
    let product = b.vec_op(VecOp::Mul, step, y_size);
    (b.vec_op(VecOp::Sub, quotient, step), b.vadd(rest, product))
}

/// -1 where the remainder is not 0 and the signs of dividend and divisor differ.
fn floor_mask(b: &mut Builder, rest: Val, y: Val) -> Val {
    let differ = b.vec_op(VecOp::Xor, rest, y);
    let differ = b.shift(ShiftOp::RightSigned, differ, 31);
    let nonzero = is_nonzero(b, rest);
    b.vec_op(VecOp::And, differ, nonzero)
}

fn floor_div(b: &mut Builder, x: Val, y: Val) -> Val {
    let (quotient, rest) = div_rem(b, x, y);
    let below = floor_mask(b, rest, y);
    b.vadd(quotient, below)
}

fn floor_mod(b: &mut Builder, x: Val, y: Val) -> Val {
    let (_, rest) = div_rem(b, x, y);
    let moved = floor_mask(b, rest, y);
    let step = b.vec_op(VecOp::And, moved, y);
    b.vadd(rest, step)
}

/// Square and multiply over the bits of the exponent. A negative exponent gives the reciprocal truncated toward zero: the
/// power by the exponent's parity for 1 and -1, else 0.
fn pow(b: &mut Builder, x: Val, y: Val) -> Val {
    let one = b.splat_const(Ty::V32, 1);
    let (mut result, mut square) = (one, x);
    for bit in 0..31 {
        let bits = b.shift(ShiftOp::RightUnsigned, y, bit);
        let bit = b.vec_op(VecOp::And, bits, one);
        let set = is_nonzero(b, bit);
        let product = b.vec_op(VecOp::Mul, result, square);
        result = b.vec_select(set, product, result);
        square = b.vec_op(VecOp::Mul, square, square);
    }
    let negative = b.shift(ShiftOp::RightSigned, y, 31);
    let size = abs(b, x);
    let unit = b.vec_cmp(Cmp::Eq, size, one);
    let reciprocal = b.vec_op(VecOp::And, result, unit);
    b.vec_select(negative, reciprocal, result)
}
