//! Rounding, signs and remainders.

use super::{add, flip_sign, select_if, sign_bit, with_sign_of};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatOp, FloatUnary, Val, VecOp};

/// To the nearest integer, ties away from zero; exact. Adding the largest f32 below one half before truncation never
/// reaches the next integer by rounding, as one half itself would for 0.49999997.
pub fn round_away(b: &mut Builder, x: Val) -> Val {
    let sign = sign_bit(b, x);
    let magnitude = super::abs(b, x);
    let sum = add(b, magnitude, 0.499_999_97);
    let whole = b.float_unary(FloatUnary::Trunc, sum);
    flip_sign(b, whole, sign)
}

/// -1, 0 or 1; zeros and NaN stay.
pub fn sign(b: &mut Builder, x: Val) -> Val {
    let (one, minus) = (b.splat_const_f32(1.0), b.splat_const_f32(-1.0));
    let below = select_if(b, (x, Cmp::Lt, 0.0), minus, x);
    select_if(b, (x, Cmp::Gt, 0.0), one, below)
}

/// The remainder with the sign of `x`: `x - y * trunc(x / y)`, corrected by one divisor where the
/// quotient was rounded across an integer. Exact while quotient and divisor have no more than 24 significant bits
/// together, as for small integers; otherwise off by the rounding of their product.
pub fn modulo(b: &mut Builder, x: Val, y: Val) -> Val {
    let quotient = b.float_op(FloatOp::Div, x, y);
    let quotient = b.float_unary(FloatUnary::Trunc, quotient);
    let rest = b.neg_mul_add(quotient, y, x);
    let (rest_size, y_size) = (super::abs(b, rest), super::abs(b, y));
    let step = with_sign_of(b, y_size, x);
    let (less, more) = (b.fsub(rest, step), b.fadd(rest, step));
    let too_big = b.float_vec_cmp(Cmp::Ge, rest_size, y_size);
    let reduced = b.vec_select(too_big, less, rest);
    let signs = b.fmul(rest, step);
    let rest = select_if(b, (signs, Cmp::Lt, 0.0), more, reduced);
    let x_size = super::abs(b, x);
    let unchanged = b.float_vec_cmp(Cmp::Lt, x_size, y_size);
    b.vec_select(unchanged, x, rest)
}

/// The remainder of [`modulo`] moved to the sign of `y`.
pub fn floor_mod(b: &mut Builder, x: Val, y: Val) -> Val {
    let rest = modulo(b, x, y);
    let zero = b.splat_const_f32(0.0);
    let (rest_below, y_below) = (b.float_vec_cmp(Cmp::Lt, rest, zero), b.float_vec_cmp(Cmp::Lt, y, zero));
    let differ = b.vec_op(VecOp::Xor, rest_below, y_below);
    let nonzero = b.float_vec_cmp(Cmp::Ne, rest, zero);
    let moved = b.vec_op(VecOp::And, differ, nonzero);
    let sum = b.fadd(rest, y);
    b.vec_select(moved, sum, rest)
}
