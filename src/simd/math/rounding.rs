//! Rounding, signs and remainders.

use super::{add, flip_sign, select_if, sign_bit};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatOp, FloatUnary, Val};

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

/// `x - y * trunc(x / y)`: the remainder with the sign of `x`. Exact while the quotient is below 2^24 and its product with
/// `y` has no more than 24 bits, as for integers; otherwise off by the rounding of that product.
pub fn modulo(b: &mut Builder, x: Val, y: Val) -> Val {
    remainder(b, x, y, FloatUnary::Trunc)
}

/// `x - y * floor(x / y)`: the remainder with the sign of `y`, with the error of [`modulo`].
pub fn floor_mod(b: &mut Builder, x: Val, y: Val) -> Val {
    remainder(b, x, y, FloatUnary::Floor)
}

fn remainder(b: &mut Builder, x: Val, y: Val, rounding: FloatUnary) -> Val {
    let quotient = b.float_op(FloatOp::Div, x, y);
    let whole = b.float_unary(rounding, quotient);
    let product = b.fmul(whole, y);
    b.fsub(x, product)
}
