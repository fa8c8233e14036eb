//! Element by element: unary and binary operations, selection, conversion.
//!
//! Floats are computed in f64 and rounded once, integers in i64 and wrapped to their type. `bool` counts as the integers 0
//! and 1.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::ir::{ElemType, Tensor, TensorType};

use super::math;
use super::values::{self, Values};
use super::view::broadcast;

pub(super) fn unary(op: UnaryOp, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    match Values::of(src) {
        Values::Real(values) => values::real(ty, values.into_iter().map(|x| unary_real(op, x)).collect()),
        Values::Int(values) => unary_int(op, values, ty),
    }
}

fn unary_real(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Relu => {
            if x > 0.0 {
                x
            } else {
                0.0
            }
        }
        UnaryOp::Sigmoid => math::sigmoid(x),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Abs => x.abs(),
        UnaryOp::Neg => -x,
        // zeros and NaN stay what they are
        UnaryOp::Sign => {
            if x == 0.0 {
                x
            } else {
                x.signum()
            }
        }
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::RoundAway => x.round(),
        UnaryOp::Erf => math::erf(x),
        UnaryOp::Gelu => math::gelu(x),
        UnaryOp::GeluTanh => math::gelu_tanh(x),
        UnaryOp::HSwish => x * math::clamp(x + 3.0, 0.0, 6.0) / 6.0,
        UnaryOp::HSigmoid => math::clamp(x + 3.0, 0.0, 6.0) / 6.0,
        UnaryOp::HardSigmoid { alpha, beta } => math::clamp(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0),
        UnaryOp::Swish { beta } => math::swish(x, beta.into()),
        UnaryOp::Elu { alpha } => {
            if x < 0.0 {
                f64::from(alpha) * x.exp_m1()
            } else {
                x
            }
        }
        UnaryOp::Selu { alpha, lambda } => f64::from(lambda) * if x > 0.0 { x } else { f64::from(alpha) * x.exp_m1() },
        UnaryOp::Softplus => math::softplus(x),
        UnaryOp::Softsign => {
            if x.is_infinite() {
                x.signum()
            } else {
                x / (1.0 + x.abs())
            }
        }
        UnaryOp::Mish => math::mish(x),
        UnaryOp::Clamp { min, max } => math::clamp(x, min, max),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tan => x.tan(),
        UnaryOp::Asin => x.asin(),
        UnaryOp::Acos => x.acos(),
        UnaryOp::Atan => x.atan(),
        UnaryOp::Sinh => x.sinh(),
        UnaryOp::Cosh => x.cosh(),
        UnaryOp::Asinh => x.asinh(),
        UnaryOp::Acosh => x.acosh(),
        UnaryOp::Atanh => x.atanh(),
        UnaryOp::LogicalNot => f64::from(x == 0.0),
        // infer gives integers to this one only
        UnaryOp::BitwiseNot => f64::NAN,
        UnaryOp::IsNan => f64::from(x.is_nan()),
        UnaryOp::IsInf => f64::from(x.is_infinite()),
        UnaryOp::IsFinite => f64::from(x.is_finite()),
    }
}

/// Exact where integers have a meaning of their own; the rest is the real function truncated toward zero.
fn unary_int(op: UnaryOp, values: Vec<i64>, ty: &TensorType) -> Result<Tensor, String> {
    let exact: fn(i64) -> i64 = match op {
        UnaryOp::Relu => |x| x.max(0),
        UnaryOp::Abs => i64::wrapping_abs,
        UnaryOp::Neg => i64::wrapping_neg,
        UnaryOp::Sign => i64::signum,
        UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::RoundAway => |x| x,
        UnaryOp::LogicalNot => |x| i64::from(x == 0),
        UnaryOp::BitwiseNot if ty.elem == ElemType::Bool => |x| i64::from(x == 0),
        UnaryOp::BitwiseNot => |x| !x,
        UnaryOp::IsNan | UnaryOp::IsInf => |_| 0,
        UnaryOp::IsFinite => |_| 1,
        UnaryOp::Clamp { min, max } => {
            // the integers inside the interval; `as` saturates
            let (low, high) = (min.ceil() as i64, max.floor() as i64);
            return values::int(ty, values.into_iter().map(|x| x.max(low).min(high)).collect());
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
            return values::real(ty, values.into_iter().map(|x| unary_real(op, x as f64)).collect());
        }
    };
    values::int(ty, values.into_iter().map(exact).collect())
}

pub(super) fn binary(op: BinaryOp, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let shape = |i: usize| operands[i].shape().dims();
    let dims = ty.shape.dims();
    match (Values::of(operands[0]), Values::of(operands[1])) {
        (Values::Real(a), Values::Real(b)) => {
            let (a, b) = (broadcast(a, shape(0), dims)?, broadcast(b, shape(1), dims)?);
            values::real(ty, a.into_iter().zip(b).map(|(a, b)| binary_real(op, a, b)).collect())
        }
        (Values::Int(a), Values::Int(b)) => {
            let (a, b) = (broadcast(a, shape(0), dims)?, broadcast(b, shape(1), dims)?);
            values::int(ty, a.into_iter().zip(b).map(|(a, b)| binary_int(op, a, b)).collect())
        }
        (Values::Real(_), Values::Int(_)) | (Values::Int(_), Values::Real(_)) => {
            Err(format!("{} of {} and {}", op.name(), operands[0].elem(), operands[1].elem()))
        }
    }
}

fn binary_real(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Max => {
            if a.is_nan() || a > b {
                a
            } else {
                b
            }
        }
        BinaryOp::Min => {
            if a.is_nan() || a < b {
                a
            } else {
                b
            }
        }
        BinaryOp::Mod => a % b,
        BinaryOp::FloorMod => {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }
        BinaryOp::SquaredDifference => (a - b) * (a - b),
        BinaryOp::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        BinaryOp::Equal => f64::from(a == b),
        BinaryOp::NotEqual => f64::from(a != b),
        BinaryOp::Less => f64::from(a < b),
        BinaryOp::LessEqual => f64::from(a <= b),
        BinaryOp::Greater => f64::from(a > b),
        BinaryOp::GreaterEqual => f64::from(a >= b),
        BinaryOp::LogicalAnd => f64::from(a != 0.0 && b != 0.0),
        BinaryOp::LogicalOr => f64::from(a != 0.0 || b != 0.0),
        BinaryOp::LogicalXor => f64::from((a != 0.0) != (b != 0.0)),
        // infer gives integers to these only
        BinaryOp::BitwiseAnd | BinaryOp::BitwiseOr | BinaryOp::BitwiseXor => f64::NAN,
    }
}

/// Division by zero gives 0, and so does its remainder: there is no meaning to give, and nothing may trap.
fn binary_int(op: BinaryOp, a: i64, b: i64) -> i64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div if b == 0 => 0,
        BinaryOp::Div => a.wrapping_div(b) - i64::from(a.wrapping_rem(b) != 0 && (a < 0) != (b < 0)),
        BinaryOp::Pow => int_pow(a, b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Mod | BinaryOp::FloorMod if b == 0 => 0,
        BinaryOp::Mod => a.wrapping_rem(b),
        BinaryOp::FloorMod => {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        }
        BinaryOp::SquaredDifference => a.wrapping_sub(b).wrapping_mul(a.wrapping_sub(b)),
        BinaryOp::PRelu => {
            if a < 0 {
                a.wrapping_mul(b)
            } else {
                a
            }
        }
        BinaryOp::Equal => i64::from(a == b),
        BinaryOp::NotEqual => i64::from(a != b),
        BinaryOp::Less => i64::from(a < b),
        BinaryOp::LessEqual => i64::from(a <= b),
        BinaryOp::Greater => i64::from(a > b),
        BinaryOp::GreaterEqual => i64::from(a >= b),
        BinaryOp::LogicalAnd => i64::from(a != 0 && b != 0),
        BinaryOp::LogicalOr => i64::from(a != 0 || b != 0),
        BinaryOp::LogicalXor => i64::from((a != 0) != (b != 0)),
        BinaryOp::BitwiseAnd => a & b,
        BinaryOp::BitwiseOr => a | b,
        BinaryOp::BitwiseXor => a ^ b,
    }
}

/// Wrapping power; a negative exponent gives the reciprocal truncated toward zero, of 0 as well.
fn int_pow(base: i64, exponent: i64) -> i64 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => {
                if exponent % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1i64, base, exponent);
    while rest > 0 {
        if rest % 2 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest /= 2;
    }
    result
}

/// `condition ? then : else` of equally typed `then` and `else`.
pub(super) fn select(operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let dims = ty.shape.dims();
    let shape = |i: usize| operands[i].shape().dims();
    let condition = operands[0].to_f64().into_iter().map(|x| x != 0.0).collect();
    let condition = broadcast(condition, shape(0), dims)?;
    match (Values::of(operands[1]), Values::of(operands[2])) {
        (Values::Real(a), Values::Real(b)) => {
            values::real(ty, choose(condition, broadcast(a, shape(1), dims)?, broadcast(b, shape(2), dims)?))
        }
        (Values::Int(a), Values::Int(b)) => {
            values::int(ty, choose(condition, broadcast(a, shape(1), dims)?, broadcast(b, shape(2), dims)?))
        }
        (Values::Real(_), Values::Int(_)) | (Values::Int(_), Values::Real(_)) => {
            Err(format!("select between {} and {}", operands[1].elem(), operands[2].elem()))
        }
    }
}

fn choose<T>(condition: Vec<bool>, then: Vec<T>, otherwise: Vec<T>) -> Vec<T> {
    condition.into_iter().zip(then.into_iter().zip(otherwise)).map(|(c, (a, b))| if c { a } else { b }).collect()
}

/// Float to integer truncates toward zero and saturates, NaN gives 0; integer to integer wraps; `bool` is `!= 0`.
pub(super) fn convert(src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    Values::of(src).into_tensor(ty)
}
