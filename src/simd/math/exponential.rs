//! `exp` and `expm1`.
//!
//! `x = n ln 2 + r` with an integer `n` and `|r| <= ln 2 / 2`, and `exp(x) = 2^n exp(r)`. To find `n`, `x / ln 2` is added
//! to 1.5 * 2^23, which rounds it to an integer in the low bits; with 127 more these bits are the exponent of `2^n`.
//! `n ln 2` is subtracted in two parts, the first short enough that its product with `n` is exact.

use super::{add, at_least, at_most, bits, from_bits, int, mul_add, mul_const_add, polynomial, shift_left};
use crate::simd::builder::Builder;
use crate::simd::ir::{ShiftOp, Val, VecOp};

/// 1.5 * 2^23, and the bias of an exponent.
const ROUNDER: f32 = 12_582_912.0 + 127.0;

/// The nine highest bits of ln 2, and the rest.
pub(super) const LN2_HIGH: f32 = 0.693_359_4;
pub(super) const LN2_LOW: f32 = -2.121_944_4e-4;

/// `(expm1(r) - r) / r^2` for `|r| <= 0.35`; error 2^-26.0 relative to `expm1(r)`.
const EXPM1: [f32; 5] = [0.499_999_97, 0.166_665_42, 0.041_667_43, 0.008_366_876, 0.001_387_188];

/// `(2^f - 1) / f` for `|f| <= 0.5`; error 2^-23.4 relative to `2^f`.
#[expect(clippy::approx_constant, reason = "the coefficient of a fit, not ln 2")]
const EXP2: [f32; 5] = [0.693_147, 0.240_222_47, 0.055_507_11, 0.009_671_292, 0.001_326_953_8];

/// `exp(x) = 2^n * (1 + tail)`.
pub(super) struct Reduced {
    /// `expm1(r)`
    pub tail: Val,
    /// `ROUNDER + n`
    pub rounded: Val,
}

/// For `|x| < 2^22`.
pub(super) fn reduce(b: &mut Builder, x: Val) -> Reduced {
    let (factor, rounder) = (b.splat_const_f32(std::f32::consts::LOG2_E), b.splat_const_f32(ROUNDER));
    let rounded = b.mul_add(x, factor, rounder);
    let n = add(b, rounded, -ROUNDER);
    let r = mul_const_add(b, -LN2_HIGH, n, x);
    let r = mul_const_add(b, -LN2_LOW, n, r);
    let square = b.fmul(r, r);
    let series = polynomial(b, r, &EXPM1);
    Reduced { tail: b.mul_add(square, series, r), rounded }
}

/// `2^n` from `ROUNDER + n`, for `-127 <= n <= 128`; the ends are 0 and infinity.
fn power(b: &mut Builder, rounded: Val) -> Val {
    let bits = bits(b, rounded);
    let power = shift_left(b, bits, 23);
    from_bits(b, power)
}

impl Reduced {
    /// `2^n` for `-127 <= n <= 128`; the ends are 0 and infinity.
    pub fn power(&self, b: &mut Builder) -> Val {
        power(b, self.rounded)
    }

    /// `2^(n - down)` for `down - 126 <= n <= down + 127`.
    pub fn power_less(&self, b: &mut Builder, down: i64) -> Val {
        let bits = bits(b, self.rounded);
        let power = shift_left(b, bits, 23);
        let power = int(b, VecOp::Sub, power, down << 23);
        from_bits(b, power)
    }
}

/// `exp(x)` in the range of normal numbers: 0 below -87.7, infinity above 88.37. 1 ulp.
pub fn exp_normal(b: &mut Builder, x: Val) -> Val {
    let x = at_most(b, x, 88.8);
    let x = at_least(b, x, -88.0);
    let reduced = reduce(b, x);
    let power = reduced.power(b);
    let mantissa = add(b, reduced.tail, 1.0);
    b.fmul(mantissa, power)
}

/// A power of 2 as mantissa and power: it is their product. 0 below 2^-126.5, infinity above 2^127.5.
struct Exp2 {
    mantissa: Val,
    power: Val,
}

/// `2^(x factor)` for `-127 <= x factor <= 128`. 2 ulp where it is near 1; further away the rounding of `factor` counts, and
/// without fused operations that of `x factor`.
fn exp2_of_product(b: &mut Builder, x: Val, factor: f32) -> Exp2 {
    let (factor, rounder) = (b.splat_const_f32(factor), b.splat_const_f32(ROUNDER));
    let rounded = b.mul_add(x, factor, rounder);
    let n = add(b, rounded, -ROUNDER);
    let f = b.mul_sub(x, factor, n);
    let series = polynomial(b, f, &EXP2);
    Exp2 { mantissa: mul_add(b, series, f, 1.0), power: power(b, rounded) }
}

/// Where exponentials here are 0, and from where on those of the opposite are infinite.
pub(super) const ALL_GONE: f32 = -88.5;

/// `exp(x)` for `x <= 0`, 0 below the normal numbers. The rounding of `x / ln 2` counts `|x|` times: 2 ulp of 1 or, further down,
/// `|x|` ulp of the result.
pub fn exp_negative(b: &mut Builder, x: Val) -> Val {
    let x = at_least(b, x, -88.0);
    let exp = exp2_of_product(b, x, std::f32::consts::LOG2_E);
    b.fmul(exp.mantissa, exp.power)
}

/// `1 + exp(-x)` for `x >= ALL_GONE`, where it is infinite. Errors as those of [`exp_negative`].
pub(super) fn one_and_exp_of_opposite(b: &mut Builder, x: Val) -> Val {
    let x = at_most(b, x, 88.0);
    let exp = exp2_of_product(b, x, -std::f32::consts::LOG2_E);
    mul_add(b, exp.mantissa, exp.power, 1.0)
}

/// 1 ulp, subnormal results too. The power is applied in two halves, so that both are normal numbers.
pub fn exp(b: &mut Builder, x: Val) -> Val {
    let x = at_most(b, x, 89.0);
    let x = at_least(b, x, -104.0);
    let reduced = reduce(b, x);
    let rounded = bits(b, reduced.rounded);
    // n + 254: two biases.
    let n = int(b, VecOp::Sub, rounded, i64::from(ROUNDER.to_bits()) - 254);
    let half = b.shift(ShiftOp::RightSigned, n, 1);
    let rest = b.vec_op(VecOp::Sub, n, half);
    let mut result = add(b, reduced.tail, 1.0);
    for exponent in [half, rest] {
        let power = shift_left(b, exponent, 23);
        let power = from_bits(b, power);
        result = b.fmul(result, power);
    }
    result
}

/// `exp(x) - 1`. 1.6 ulp. Computed as twice its half, which does not overflow before the result does.
pub fn expm1(b: &mut Builder, x: Val) -> Val {
    let x = at_most(b, x, 89.0);
    let x = at_least(b, x, -86.0);
    let reduced = reduce(b, x);
    let power = reduced.power_less(b, 1);
    let whole = add(b, power, -0.5);
    let half = b.mul_add(reduced.tail, power, whole);
    b.fadd(half, half)
}
