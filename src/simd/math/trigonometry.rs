//! Trigonometric functions and their inverses.
//!
//! `|x| = n pi/2 + r` with `|r| <= pi/4`. `n pi/2` is subtracted in three parts, of which the first two have 11 bits, so
//! that their products with `n < 2^13` are exact: the stated errors hold for `|x| <= 8192`, and relative to
//! `max(|result|, 1e-4)` because no bits are left where a result nearly vanishes. Beyond, the absolute error grows to
//! `|x| * 2^-35` until, at 2^24 or so, results are meaningless (but finite). Infinities give NaN.

use super::{
    abs, add, bits, div, flip_sign, int, mul, mul_const_add, polynomial, select_if, shift_left, sign_bit, sqrt,
    sub_from,
};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, ShiftOp, Val, VecOp};
use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, FRAC_PI_4, PI};

/// 1.5 * 2^23: added to a number below 2^22, it rounds it to an integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// pi/2 in three parts.
const HALF_PI: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];

/// `(sin(r) - r) / r^3` in powers of `r^2`; error 2^-27.8 relative to `sin(r)`.
const SIN: [f32; 3] = [-0.166_666_54, 0.008_332_106, -1.950_788_7e-4];

/// `(cos(r) - 1 + r^2 / 2) / r^4` in powers of `r^2`; error 2^-32.7.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_729_8, 2.443_008_6e-5];

/// `sin(r)`, `cos(r)` and, in its low bits, `n`.
fn reduce(b: &mut Builder, x: Val) -> (Val, Val, Val) {
    let rounder = b.splat_const_f32(ROUNDER);
    let rounded = mul_const_add(b, FRAC_2_PI, x, rounder);
    let n = add(b, rounded, -ROUNDER);
    let mut r = x;
    for part in HALF_PI {
        r = mul_const_add(b, -part, n, r);
    }
    let z = b.fmul(r, r);
    let sin = polynomial(b, z, &SIN);
    let sin = b.fmul(z, sin);
    let sin = b.mul_add(r, sin, r);
    let cos = polynomial(b, z, &COS);
    let cos = b.fmul(z, cos);
    let one = b.splat_const_f32(1.0);
    let near = mul_const_add(b, -0.5, z, one);
    let cos = b.mul_add(z, cos, near);
    (sin, cos, bits(b, rounded))
}

/// All ones where the lowest bit is set.
fn is_odd(b: &mut Builder, n: Val) -> Val {
    let top = shift_left(b, n, 31);
    b.shift(ShiftOp::RightSigned, top, 31)
}

/// The second lowest bit as a sign bit.
fn half_turn(b: &mut Builder, n: Val) -> Val {
    let bit = int(b, VecOp::And, n, 2);
    shift_left(b, bit, 30)
}

/// 1.5 ulp up to 8192 (see the module).
pub fn sin(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let (sin, cos, n) = reduce(b, magnitude);
    let odd = is_odd(b, n);
    let value = b.vec_select(odd, cos, sin);
    let turn = half_turn(b, n);
    let sign = sign_bit(b, x);
    let value = flip_sign(b, value, turn);
    flip_sign(b, value, sign)
}

/// 1.5 ulp up to 8192 (see the module).
pub fn cos(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let (sin, cos, n) = reduce(b, magnitude);
    let odd = is_odd(b, n);
    let value = b.vec_select(odd, sin, cos);
    let next = int(b, VecOp::Add, n, 1);
    let turn = half_turn(b, next);
    flip_sign(b, value, turn)
}

/// 3 ulp up to 8192 (see the module).
pub fn tan(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let (sin, cos, n) = reduce(b, magnitude);
    let odd = is_odd(b, n);
    let numerator = b.vec_select(odd, cos, sin);
    let denominator = b.vec_select(odd, sin, cos);
    let value = div(b, numerator, denominator);
    let quarter = shift_left(b, n, 31);
    let sign = sign_bit(b, x);
    let value = flip_sign(b, value, quarter);
    flip_sign(b, value, sign)
}

/// `(asin(s) - s) / s^3` in powers of `s^2`, `s <= 1/2`; error 2^-27.6 relative to `asin(s)`.
const ASIN: [f32; 5] = [0.166_667_52, 0.074_953_094, 0.045_469_15, 0.024_184_778, 0.042_158_306];

/// `asin(s)` with `s = |x|`, or `s = sqrt((1 - |x|) / 2)` where `|x| > 1/2`: there `asin(|x|) = pi/2 - 2 asin(s)`.
fn asin_reduced(b: &mut Builder, magnitude: Val) -> Val {
    let square = b.fmul(magnitude, magnitude);
    let rest = sub_from(b, 1.0, magnitude);
    let half = mul(b, rest, 0.5);
    let z = select_if(b, (magnitude, Cmp::Gt, 0.5), half, square);
    let root = sqrt(b, half);
    let s = select_if(b, (magnitude, Cmp::Gt, 0.5), root, magnitude);
    let series = polynomial(b, z, &ASIN);
    let above = b.fmul(z, series);
    b.mul_add(s, above, s)
}

/// 2 ulp. NaN beyond 1.
pub fn asin(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let reduced = asin_reduced(b, magnitude);
    let twice = b.fadd(reduced, reduced);
    let far = sub_from(b, FRAC_PI_2, twice);
    let result = select_if(b, (magnitude, Cmp::Gt, 0.5), far, reduced);
    let sign = sign_bit(b, x);
    flip_sign(b, result, sign)
}

/// 2 ulp. NaN beyond 1.
pub fn acos(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let reduced = asin_reduced(b, magnitude);
    let twice = b.fadd(reduced, reduced);
    let opposite = sub_from(b, PI, twice);
    let far = select_if(b, (x, Cmp::Lt, 0.0), opposite, twice);
    let sign = sign_bit(b, x);
    let signed = flip_sign(b, reduced, sign);
    let near = sub_from(b, FRAC_PI_2, signed);
    select_if(b, (magnitude, Cmp::Gt, 0.5), far, near)
}

/// `(atan(t) - t) / t^3` in powers of `t^2`, `|t| <= tan(pi/8)`; error 2^-30.4 relative to `atan(t)`.
const ATAN: [f32; 5] = [-0.333_333_16, 0.199_985_28, -0.142_443_88, 0.105_991_2, -0.060_898_63];

/// What pi, or a half or a quarter of it, lacks as an f32, relative to it.
const PI_REST: f32 = -2.782_753_3e-8;

const TAN_PI_8: f32 = 0.414_213_57;
const TAN_3_PI_8: f32 = 2.414_213_7;

/// `atan(|x|) = a + atan(t)`: `t = |x|` and `a = 0` up to tan(pi/8), `t = (|x| - 1) / (|x| + 1)` and `a = pi/4` up to
/// tan(3 pi/8), `t = -1 / |x|` and `a = pi/2` above. 2 ulp.
pub fn atan(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let (zero, one, minus) = (b.splat_const_f32(0.0), b.splat_const_f32(1.0), b.splat_const_f32(-1.0));
    let (less, more) = (b.fadd(magnitude, minus), b.fadd(magnitude, one));
    let middle = (magnitude, Cmp::Gt, TAN_PI_8);
    let top = (magnitude, Cmp::Gt, TAN_3_PI_8);
    let numerator = select_if(b, middle, less, magnitude);
    let numerator = select_if(b, top, minus, numerator);
    let denominator = select_if(b, middle, more, one);
    let denominator = select_if(b, top, magnitude, denominator);
    let (quarter, half) = (b.splat_const_f32(FRAC_PI_4), b.splat_const_f32(FRAC_PI_2));
    let start = select_if(b, middle, quarter, zero);
    let start = select_if(b, top, half, start);

    let t = div(b, numerator, denominator);
    let z = b.fmul(t, t);
    let series = polynomial(b, z, &ATAN);
    let above = b.fmul(z, series);
    let rest = mul(b, start, PI_REST);
    let above = b.mul_add(t, above, rest);
    let result = b.fadd(t, above);
    let result = b.fadd(start, result);
    let sign = sign_bit(b, x);
    flip_sign(b, result, sign)
}
