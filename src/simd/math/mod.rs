//! Functions of one real number (and `pow`) on vectors of f32, as code that kernels inline.
//!
//! Each is a reduction to a small interval and a polynomial, without branches; products and sums are fused where the target
//! can. The polynomials minimise the greatest weighted error (relative to the result) on their interval: Lawson's iteratively
//! reweighted least squares on 600 Chebyshev points, reference values with 40 digits; coefficients rounded to f32 one by
//! one from the lowest, the others fitted again after each. The error stated with each function is against the exact
//! result, over all f32 where no range is given; `tests/simd/math.rs` holds every function to it.
//!
//! NaN gives NaN, and infinities their limit, unless a function says otherwise. The bits depend on nothing but whether the
//! target fuses.

mod activation;
mod exponential;
mod hyperbolic;
mod logarithm;
mod rounding;
mod trigonometry;

pub use activation::{
    elu, erf, gelu, gelu_tanh, hard_sigmoid, hsigmoid, hswish, mish, relu, selu, sigmoid, softplus, softsign, swish,
};
pub use exponential::{exp, exp_negative, exp_normal, expm1};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use logarithm::{log, log1p, pow};
pub use rounding::{floor_mod, modulo, round_away, sign};
pub use trigonometry::{acos, asin, atan, cos, sin, tan};

use super::builder::Builder;
use super::ir::{Cmp, FloatOp, FloatUnary, ShiftOp, Ty, Val, VecOp};

/// Bits of the sign of an f32.
const SIGN: i64 = 0x8000_0000;

fn add(b: &mut Builder, x: Val, constant: f32) -> Val {
    let constant = b.splat_const_f32(constant);
    b.fadd(x, constant)
}

fn mul(b: &mut Builder, x: Val, constant: f32) -> Val {
    let constant = b.splat_const_f32(constant);
    b.fmul(x, constant)
}

/// `x * y + constant`
fn mul_add(b: &mut Builder, x: Val, y: Val, constant: f32) -> Val {
    let constant = b.splat_const_f32(constant);
    b.mul_add(x, y, constant)
}

/// `factor * x + addend`
fn mul_const_add(b: &mut Builder, factor: f32, x: Val, addend: Val) -> Val {
    let factor = b.splat_const_f32(factor);
    b.mul_add(x, factor, addend)
}

/// `constant - x`
fn sub_from(b: &mut Builder, constant: f32, x: Val) -> Val {
    let constant = b.splat_const_f32(constant);
    b.fsub(constant, x)
}

fn div(b: &mut Builder, x: Val, y: Val) -> Val {
    b.float_op(FloatOp::Div, x, y)
}

fn sqrt(b: &mut Builder, x: Val) -> Val {
    b.float_unary(FloatUnary::Sqrt, x)
}

fn abs(b: &mut Builder, x: Val) -> Val {
    b.float_unary(FloatUnary::Abs, x)
}

/// `c[0] + x * (c[1] + x * (c[2] + ..))`
fn polynomial(b: &mut Builder, x: Val, coefficients: &[f32]) -> Val {
    let Some((&highest, lower)) = coefficients.split_last() else { return b.splat_const_f32(0.0) };
    let highest = b.splat_const_f32(highest);
    horner(b, x, highest, lower)
}

/// `c[0] + x * (c[1] + x * (.. + x))`: one power more than there are coefficients, with the factor 1.
fn monic_polynomial(b: &mut Builder, x: Val, coefficients: &[f32]) -> Val {
    let Some((&highest, lower)) = coefficients.split_last() else { return b.splat_const_f32(1.0) };
    let highest = add(b, x, highest);
    horner(b, x, highest, lower)
}

/// `c[0] + x * (c[1] + .. + x * sum)`
fn horner(b: &mut Builder, x: Val, sum: Val, coefficients: &[f32]) -> Val {
    coefficients.iter().rev().fold(sum, |sum, &coefficient| mul_add(b, sum, x, coefficient))
}

/// `min(x, limit)`, NaN for NaN.
fn at_most(b: &mut Builder, x: Val, limit: f32) -> Val {
    let limit = b.splat_const_f32(limit);
    b.float_op(FloatOp::Min, limit, x)
}

/// `max(x, limit)`, NaN for NaN.
fn at_least(b: &mut Builder, x: Val, limit: f32) -> Val {
    let limit = b.splat_const_f32(limit);
    b.float_op(FloatOp::Max, limit, x)
}

/// `x cmp limit ? a : b`
fn select_if(b: &mut Builder, (x, cmp, limit): (Val, Cmp, f32), then: Val, otherwise: Val) -> Val {
    let limit = b.splat_const_f32(limit);
    let mask = b.float_vec_cmp(cmp, x, limit);
    b.vec_select(mask, then, otherwise)
}

fn bits(b: &mut Builder, x: Val) -> Val {
    b.cast(Ty::V32, x)
}

fn from_bits(b: &mut Builder, bits: Val) -> Val {
    b.cast(Ty::VF32, bits)
}

/// An integer operation with a constant.
fn int(b: &mut Builder, op: VecOp, x: Val, constant: i64) -> Val {
    let constant = b.splat_const(Ty::V32, constant);
    b.vec_op(op, x, constant)
}

/// The bit of the sign of `x`.
fn sign_bit(b: &mut Builder, x: Val) -> Val {
    let bits = bits(b, x);
    int(b, VecOp::And, bits, SIGN)
}

/// `x` with its sign flipped where `sign` has the sign bit.
fn flip_sign(b: &mut Builder, x: Val, sign: Val) -> Val {
    let bits = bits(b, x);
    let flipped = b.vec_op(VecOp::Xor, bits, sign);
    from_bits(b, flipped)
}

/// `magnitude`, which is not negative, with the sign of `x`.
fn with_sign_of(b: &mut Builder, magnitude: Val, x: Val) -> Val {
    let sign = sign_bit(b, x);
    flip_sign(b, magnitude, sign)
}

fn shift_left(b: &mut Builder, x: Val, bits: u8) -> Val {
    b.shift(ShiftOp::Left, x, bits)
}
