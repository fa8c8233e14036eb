//! Hyperbolic functions and their inverses, from `exp` and `log1p`.

use super::exponential::reduce;
use super::logarithm::log1p;
use super::{abs, add, at_most, div, mul, mul_add, polynomial, select_if, sqrt, sub_from, with_sign_of};
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, Val};

/// `(tanh(x) - x) / x^3` in powers of `x^2`, `|x| <= 0.71`; error 2^-25.7 relative to `tanh(x)`.
const TANH: [f32; 5] = [-0.333_331_7, 0.133_286_7, -0.053_528_428, 0.020_010_33, -0.005_064_023_7];

/// Where `tanh` changes its form.
const TANH_BORDER: f32 = 0.7;

/// `1 - 2 / (exp(2 |x|) + 1)`, near 0 a polynomial. 2 ulp. Beyond 10 it is 1.
pub fn tanh(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let square = b.fmul(x, x);
    let series = polynomial(b, square, &TANH);
    let above = b.fmul(square, series);
    let near = b.mul_add(magnitude, above, magnitude);

    let bounded = at_most(b, magnitude, 10.0);
    let twice = b.fadd(bounded, bounded);
    let reduced = reduce(b, twice);
    let power = reduced.power(b);
    let mantissa = add(b, reduced.tail, 1.0);
    let denominator = mul_add(b, mantissa, power, 1.0);
    let two = b.splat_const_f32(2.0);
    let rest = div(b, two, denominator);
    let far = sub_from(b, 1.0, rest);
    let result = select_if(b, (magnitude, Cmp::Gt, TANH_BORDER), far, near);
    with_sign_of(b, result, x)
}

/// For `exp(|x|)` and `expm1(|x|)`: the powers of a quarter, so that nothing overflows before the results do.
fn quarter_exp(b: &mut Builder, x: Val) -> (Val, Val) {
    let magnitude = abs(b, x);
    // Where the results are infinite, and a quarter of them is not.
    let bounded = at_most(b, magnitude, 89.6);
    let reduced = reduce(b, bounded);
    let power = reduced.power_less(b, 2);
    (b.fmul(reduced.tail, power), power)
}

/// `h + h / (2 h + 1)` with `h = expm1(|x|) / 2`. 3 ulp.
pub fn sinh(b: &mut Builder, x: Val) -> Val {
    let (tail, power) = quarter_exp(b, x);
    let whole = add(b, power, -0.25);
    let quarter = b.fadd(tail, whole);
    let h = b.fadd(quarter, quarter);
    let twice = b.fadd(h, h);
    let denominator = add(b, twice, 1.0);
    let inverse = div(b, h, denominator);
    let result = b.fadd(h, inverse);
    // Large `h`: the quotient is one half or not a number.
    let result = select_if(b, (h, Cmp::Gt, 1e30), h, result);
    with_sign_of(b, result, x)
}

/// `e + 1 / (4 e)` with `e = exp(|x|) / 2`. 2 ulp.
pub fn cosh(b: &mut Builder, x: Val) -> Val {
    let (tail, power) = quarter_exp(b, x);
    let half = b.fadd(tail, power);
    let e = b.fadd(half, half);
    let quarter = b.splat_const_f32(0.25);
    let inverse = div(b, quarter, e);
    b.fadd(e, inverse)
}

/// From here on `x + sqrt(x^2 + 1)` and `x + sqrt(x^2 - 1)` are `2 x`, and `x^2` does not overflow below.
const LARGE: f32 = 1e9;

/// `log1p(w)`, and `log(2 x)` for large `x`.
fn inverse_hyperbolic(b: &mut Builder, x: Val, w: Val) -> Val {
    let argument = select_if(b, (x, Cmp::Gt, LARGE), x, w);
    let logarithm = log1p(b, argument);
    let (ln2, zero) = (b.splat_const_f32(std::f32::consts::LN_2), b.splat_const_f32(0.0));
    let more = select_if(b, (x, Cmp::Gt, LARGE), ln2, zero);
    b.fadd(logarithm, more)
}

/// `log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))`. 3 ulp.
pub fn asinh(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let square = b.fmul(x, x);
    let sum = mul_add(b, x, x, 1.0);
    let root = sqrt(b, sum);
    let denominator = add(b, root, 1.0);
    let quotient = div(b, square, denominator);
    let w = b.fadd(magnitude, quotient);
    let result = inverse_hyperbolic(b, magnitude, w);
    with_sign_of(b, result, x)
}

/// `log1p(t + sqrt(t (t + 2)))` with `t = x - 1`. 3 ulp. NaN below 1.
pub fn acosh(b: &mut Builder, x: Val) -> Val {
    let t = add(b, x, -1.0);
    let sum = add(b, t, 2.0);
    let product = b.fmul(t, sum);
    let root = sqrt(b, product);
    let w = b.fadd(t, root);
    let result = inverse_hyperbolic(b, x, w);
    let nan = b.splat_const_f32(f32::NAN);
    select_if(b, (x, Cmp::Ge, 1.0), result, nan)
}

/// `log1p(2 |x| / (1 - |x|)) / 2`. 3 ulp. NaN beyond 1.
pub fn atanh(b: &mut Builder, x: Val) -> Val {
    let magnitude = abs(b, x);
    let twice = b.fadd(magnitude, magnitude);
    let rest = sub_from(b, 1.0, magnitude);
    let quotient = div(b, twice, rest);
    let logarithm = log1p(b, quotient);
    let result = mul(b, logarithm, 0.5);
    let result = with_sign_of(b, result, x);
    let nan = b.splat_const_f32(f32::NAN);
    select_if(b, (magnitude, Cmp::Le, 1.0), result, nan)
}
