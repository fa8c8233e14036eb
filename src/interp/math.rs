//! Functions of one real number that the standard library does not have, in f64.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Below: the series, whose terms are all positive. Above: the continued fraction, which converges the faster the larger x.
const SERIES_LIMIT: f64 = 2.5;

/// The error function; absolute error below 1e-15. Kummer's series, DLMF 7.6.2.
pub(super) fn erf(x: f64) -> f64 {
    if x.abs() < SERIES_LIMIT { erf_series(x) } else { (1.0 - erfc_fraction(x.abs())).copysign(x) }
}

/// `1 - erf(x)`; relative error below 1e-12, for large x as well.
pub(super) fn erfc(x: f64) -> f64 {
    if x < SERIES_LIMIT { 1.0 - erf(x) } else { erfc_fraction(x) }
}

/// `2 / sqrt(pi) * exp(-x^2) * sum(2^n x^(2n+1) / (1 * 3 * .. * (2n + 1)))`
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// `exp(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / ..)))`, DLMF 7.9.1, from the inside out.
fn erfc_fraction(x: f64) -> f64 {
    const DEPTH: u32 = 80;
    let denominator = (1..=DEPTH).rev().fold(x, |inner, n| x + f64::from(n) / 2.0 / inner);
    (-x * x).exp() / PI.sqrt() / denominator
}

/// `x * Phi(x)` with the distribution function of the normal distribution; exact in the negative tail, and -0 there.
pub(super) fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { 0.5 * x * erfc(-x * FRAC_1_SQRT_2) }
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, with `1 + tanh(t) = 2 sigmoid(2 t)`.
pub(super) fn gelu_tanh(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(2.0 * (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)) }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + exp(x))` without overflow.
pub(super) fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

/// `x * sigmoid(beta * x)`; 0 where x is infinite and the sigmoid 0.
pub(super) fn swish(x: f64, beta: f64) -> f64 {
    let gate = sigmoid(beta * x);
    if gate == 0.0 { 0.0 * x.signum() } else { x * gate }
}

/// `x * tanh(softplus(x))`
pub(super) fn mish(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { x * softplus(x).tanh() }
}

/// The upper bound wins when they cross; NaN stays.
pub(super) fn clamp(x: f64, min: f64, max: f64) -> f64 {
    let x = if x < min { min } else { x };
    if x > max { max } else { x }
}
