//! Activation functions, and `erf`.

use super::exponential::{ALL_GONE, exp_normal, expm1, one_and_exp_of_opposite};
use super::logarithm::log1p;
use super::{
    abs, add, at_least, at_most, div, monic_polynomial, mul, mul_add, polynomial, select_if, sub_from, with_sign_of,
};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, Val};

/// `max(x, 0)`; exact.
pub fn relu(b: &mut Builder, x: Val) -> Val {
    at_least(b, x, 0.0)
}

/// `1 / (1 + exp(-x))`. 2 ulp where `x >= 0`; below, the rounding of `x / ln 2` counts `|x|` times. Results below the
/// normal numbers are 0.
pub fn sigmoid(b: &mut Builder, x: Val) -> Val {
    let x = at_least(b, x, ALL_GONE);
    let denominator = one_and_exp_of_opposite(b, x);
    let one = b.splat_const_f32(1.0);
    div(b, one, denominator)
}

/// `x * gate`, where the gate may be 0 while `x` is -infinity: then the product is -0.
fn gated(b: &mut Builder, x: Val, gate: Val) -> Val {
    let x = at_least(b, x, f32::MIN);
    b.fmul(x, gate)
}

/// `x * sigmoid(beta * x)`. 3 ulp for `x >= 0` where `beta` is 1; below, and for another `beta`, as [`sigmoid`] and the rounding
/// of `beta * x`. Results up to 1.1e-36 are 0.
pub fn swish(b: &mut Builder, x: Val, beta: f32) -> Val {
    if beta == 1.0 {
        let x = at_least(b, x, ALL_GONE);
        let denominator = one_and_exp_of_opposite(b, x);
        return div(b, x, denominator);
    }
    let scaled = mul(b, x, beta);
    let gate = sigmoid(b, scaled);
    gated(b, x, gate)
}

/// `clamp(alpha * x + beta, 0, 1)`; two roundings.
pub fn hard_sigmoid(b: &mut Builder, x: Val, alpha: f32, beta: f32) -> Val {
    let scaled = mul(b, x, alpha);
    let sum = add(b, scaled, beta);
    let low = at_least(b, sum, 0.0);
    at_most(b, low, 1.0)
}

/// `clamp(x + 3, 0, 6) / 6`; two roundings.
pub fn hsigmoid(b: &mut Builder, x: Val) -> Val {
    let gate = clamped_gate(b, x);
    let six = b.splat_const_f32(6.0);
    div(b, gate, six)
}

/// `x * clamp(x + 3, 0, 6) / 6`; 3 ulp where `x > -2.9`, below that the rounding of `x + 3` shows.
pub fn hswish(b: &mut Builder, x: Val) -> Val {
    let gate = clamped_gate(b, x);
    let gate = mul(b, gate, 1.0 / 6.0);
    gated(b, x, gate)
}

fn clamped_gate(b: &mut Builder, x: Val) -> Val {
    let sum = add(b, x, 3.0);
    let low = at_least(b, sum, 0.0);
    at_most(b, low, 6.0)
}

/// `log(1 + exp(x))`. 2 ulp, down to the normal numbers.
pub fn softplus(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let down = sub_from(b, -0.0, magnitude);
    let e = exp_normal(b, down);
    let tail = log1p(b, e);
    let positive = relu(b, x);
    b.fadd(positive, tail)
}

/// `x / (1 + |x|)`; 2 ulp.
pub fn softsign(b: &mut Builder, x: Val) -> Val {
    // infinities as the greatest numbers, whose quotient is 1
    let x = at_least(b, x, f32::MIN);
    let x = at_most(b, x, f32::MAX);
    let magnitude = abs(b, x);
    let denominator = add(b, magnitude, 1.0);
    div(b, x, denominator)
}

/// `x * tanh(softplus(x))`. With `e = exp(x)` the factor is `n / (n + 2)`, `n = e (e + 2)`. 5 ulp, and 0
/// for results up to 1.1e-36.
/// From 20 on the factor is 1.
pub fn mish(b: &mut Builder, x: Val) -> Val {
    let bounded = at_most(b, x, 20.0);
    let e = exp_normal(b, bounded);
    let sum = add(b, e, 2.0);
    let n = b.fmul(e, sum);
    let denominator = add(b, n, 2.0);
    let gate = div(b, n, denominator);
    gated(b, x, gate)
}

/// `x > 0 ? x : alpha * (exp(x) - 1)`. 3 ulp.
pub fn elu(b: &mut Builder, x: Val, alpha: f32) -> Val {
    let below = expm1(b, x);
    let below = if alpha == 1.0 { below } else { mul(b, below, alpha) };
    select_if(b, (x, Cmp::Gt, 0.0), x, below)
}

/// `lambda * (x > 0 ? x : alpha * (exp(x) - 1))`. 4 ulp.
pub fn selu(b: &mut Builder, x: Val, alpha: f32, lambda: f32) -> Val {
    let unscaled = elu(b, x, alpha);
    mul(b, unscaled, lambda)
}

/// `erf(x) / x - 1` in powers of `x^2`, `|x| <= 0.94`; error 2^-30.0 relative to `erf(x)`.
const ERF_NEAR: [f32; 7] =
    [0.128_379_17, -0.376_126_3, 0.112_836_26, -0.026_855_739, 0.005_192_449, -8.050_577e-4, 8.001_383e-5];

/// `log(1 - erf(x))` in powers of `x`, 0.93 to 4; error 2^-29.3 relative to `erf(x)`.
const ERF_FAR: [f32; 7] =
    [-2.113_130_9e-4, -1.127_611_2, -0.637_290_6, -0.103_836_65, 0.022_181_2, -0.003_031_754_6, 1.947_688_4e-4];

/// Where `erf` changes its form.
const ERF_BORDER: f32 = 0.93;

/// 1.5 ulp. Beyond 4 it is 1.
pub fn erf(b: &mut Builder, x: Val) -> Val {
    let square = b.fmul(x, x);
    let series = polynomial(b, square, &ERF_NEAR);
    let near = b.mul_add(x, series, x);

    let magnitude = abs(b, x);
    let bounded = at_most(b, magnitude, 4.0);
    let exponent = polynomial(b, bounded, &ERF_FAR);
    let complement = exp_normal(b, exponent);
    let far = sub_from(b, 1.0, complement);
    let far = with_sign_of(b, far, x);
    select_if(b, (magnitude, Cmp::Gt, ERF_BORDER), far, near)
}

/// `Phi(x) = 1/2 + x p(x^2) / q(x^2)` for the distribution of the normal law, `|x| <= sqrt(NORMAL_BORDER)`; error 2^-24.1.
/// Numerator and denominator; the coefficient of the denominator's highest power is 1.
const NORMAL_NUMERATOR: [f32; 5] = [795_175.8, 98_827.37, 10_998.349, 626.120_85, 11.636_525];
const NORMAL_DENOMINATOR: [f32; 5] = [1_993_211.9, 579_913.75, 74_412.43, 5_387.636, 224.611_08];

/// `x^2` from which on `Phi(x)` is 0 or 1.
const NORMAL_BORDER: f32 = 27.04;

/// `x / 2 * (1 + erf(x / sqrt(2))) = x Phi(x)`. 4 ulp for `x >= 0`; below, the absolute error is at most 2.4e-7 |x|: one fraction
/// for all `x` is a third of the instructions of an `erf` that is exact near 0 and for large `x`.
pub fn gelu(b: &mut Builder, x: Val) -> Val {
    let square = b.fmul(x, x);
    let square = at_most(b, square, NORMAL_BORDER);
    let numerator = polynomial(b, square, &NORMAL_NUMERATOR);
    let numerator = b.fmul(x, numerator);
    let denominator = monic_polynomial(b, square, &NORMAL_DENOMINATOR);
    let quotient = div(b, numerator, denominator);
    let sum = add(b, quotient, 0.5);
    // beyond the border the quotient grows on
    let gate = at_least(b, sum, 0.0);
    let gate = at_most(b, gate, 1.0);
    gated(b, x, gate)
}

/// `x / 2 * (1 + tanh(t)) = x * sigmoid(2 t)` with `t = sqrt(2 / pi) (x + 0.044715 x^3)`. 3 ulp for `x >= 0`; below, the
/// rounding of `2 t` counts `2 |t|` times. Results up to 1.1e-36 are 0.
pub fn gelu_tanh(b: &mut Builder, x: Val) -> Val {
    // there 2 t is ALL_GONE, or a rounding above it
    let x = at_least(b, x, -10.05);
    let square = b.fmul(x, x);
    let weight = b.splat_const_f32(0.044_715);
    let factor = mul_add(b, square, weight, 1.0);
    let twice = mul(b, x, 1.595_769_2);
    let argument = b.fmul(twice, factor);
    let denominator = one_and_exp_of_opposite(b, argument);
    div(b, x, denominator)
}
