//! `log`, `log1p` and `pow`.
//!
//! `x = 2^k (1 + f)` with `sqrt(1/2) <= 1 + f < sqrt(2)`, read off the bits. With `s = f / (2 + f)`,
//! `log(1 + f) = log((1 + s) / (1 - s)) = 2 s + s^3 P(s^2)`, and `2 s = f - s f` keeps the leading term exact:
//! `log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + s^2 P(s^2)))`, the form of FreeBSD's `logf`.

use super::exponential::{LN2_HIGH, LN2_LOW, exp};
use super::{abs, add, bits, div, flip_sign, from_bits, int, mul, mul_const_add, polynomial, select_if, shift_left};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, FloatUnary, ShiftOp, Val, VecOp};

/// `(log((1 + s) / (1 - s)) - 2 s) / s^3` in powers of `s^2`, `|s| <= 0.1717`; error 2^-35 relative to the logarithm.
const SERIES: [f32; 4] = [0.666_666_6, 0.400_009_72, 0.284_988_02, 0.242_785_62];

/// Bits of the largest f32 below sqrt(1/2).
const SQRT_HALF: i64 = 0x3f35_04f3;

/// For positive normal numbers; `scale` is added to the binary exponent.
fn log_normal(b: &mut Builder, x: Val, scale: Option<Val>) -> Val {
    let bits = bits(b, x);
    let above = int(b, VecOp::Sub, bits, SQRT_HALF);
    let exponent = b.shift(ShiftOp::RightSigned, above, 23);
    let shifted = shift_left(b, exponent, 23);
    let mantissa = b.vec_op(VecOp::Sub, bits, shifted);
    let mantissa = from_bits(b, mantissa);
    let f = add(b, mantissa, -1.0);
    let mut k = b.to_float(exponent);
    if let Some(scale) = scale {
        k = b.fadd(k, scale);
    }

    let two_more = add(b, f, 2.0);
    let s = div(b, f, two_more);
    let z = b.fmul(s, s);
    let series = polynomial(b, z, &SERIES);
    let square = b.fmul(f, f);
    let half = mul(b, square, 0.5);
    let sum = b.mul_add(z, series, half);
    let low = mul(b, k, LN2_LOW);
    let small = b.mul_add(s, sum, low);
    let small = b.fsub(small, half);
    let sum = b.fadd(small, f);
    mul_const_add(b, LN2_HIGH, k, sum)
}

/// 1.0 ulp. -infinity for zeros, NaN below.
pub fn log(b: &mut Builder, x: Val) -> Val {
    // Subnormal numbers times 2^23 are normal.
    let scaled = mul(b, x, 8_388_608.0);
    let normal = select_if(b, (x, Cmp::Lt, f32::MIN_POSITIVE), scaled, x);
    let (none, down) = (b.splat_const_f32(0.0), b.splat_const_f32(-23.0));
    let scale = select_if(b, (x, Cmp::Lt, f32::MIN_POSITIVE), down, none);
    let result = log_normal(b, normal, Some(scale));

    let (lowest, nan) = (b.splat_const_f32(f32::NEG_INFINITY), b.splat_const_f32(f32::NAN));
    let below = select_if(b, (x, Cmp::Eq, 0.0), lowest, nan);
    let result = select_if(b, (x, Cmp::Gt, 0.0), result, below);
    select_if(b, (x, Cmp::Eq, f32::INFINITY), x, result)
}

/// `log(1 + x)`, for `x >= 0`. 2 ulp. What `1 + x` rounds away is added to the first order.
pub fn log1p(b: &mut Builder, x: Val) -> Val {
    let u = add(b, x, 1.0);
    let logarithm = log_normal(b, u, None);
    let back = add(b, u, -1.0);
    let lost = b.fsub(x, back);
    let correction = div(b, lost, u);
    let result = b.fadd(logarithm, correction);
    // Infinity and NaN.
    select_if(b, (x, Cmp::Lt, f32::INFINITY), result, x)
}

/// `x^y`. The error grows with the exponent of the result: 2 ulp + 2 ulp for each unit of `|log(result)|`.
/// NaN for a negative `x`, also -infinity, with a `y` that is no integer; 1 where `y` is 0.
pub fn pow(b: &mut Builder, x: Val, y: Val) -> Val {
    let magnitude = abs(b, x);
    let logarithm = log(b, magnitude);
    let exponent = b.fmul(y, logarithm);
    let positive = exp(b, exponent);

    let whole = b.float_unary(FloatUnary::Trunc, y);
    let half = mul(b, y, 0.5);
    let half_whole = b.float_unary(FloatUnary::Trunc, half);
    let is_whole = b.float_vec_cmp(Cmp::Eq, whole, y);
    let is_odd = b.float_vec_cmp(Cmp::Ne, half, half_whole);
    let odd = b.vec_op(VecOp::And, is_odd, is_whole);
    let sign = shift_left(b, odd, 31);
    let signed = flip_sign(b, positive, sign);
    let nan = b.splat_const_f32(f32::NAN);
    let undefined = select_if(b, (x, Cmp::Lt, 0.0), nan, positive);
    let negative = b.vec_select(is_whole, signed, undefined);
    // -0 counts as negative: the reciprocal of an odd power of it is -infinity.
    let x_bits = bits(b, x);
    let below = b.shift(ShiftOp::RightSigned, x_bits, 31);
    let result = b.vec_select(below, negative, positive);
    let one = b.splat_const_f32(1.0);
    let result = select_if(b, (x, Cmp::Eq, 1.0), one, result);
    select_if(b, (y, Cmp::Eq, 0.0), one, result)
}
