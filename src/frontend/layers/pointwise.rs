//! Operations on elements: attributes that are operands in OpenVINO, broadcasting rules, signs of integer division.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

pub fn unary(context: &mut Context, op: UnaryOp) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    Ok(vec![context.unary(op, x)?])
}

pub fn binary(context: &mut Context, op: BinaryOp) -> Fallible<Vec<Value>> {
    let (a, b) = broadcast_operands(context)?;
    Ok(vec![context.binary(op, a, b)?])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Broadcasting {
    Numpy,
    None,
    Pdpd,
}

/// Operands 0 and 1 shaped for NumPy broadcasting.
fn broadcast_operands(context: &mut Context) -> Fallible<(Value, Value)> {
    let (a, b) = (context.operand(0)?, context.operand(1)?);
    let modes = [("numpy", Broadcasting::Numpy), ("none", Broadcasting::None), ("pdpd", Broadcasting::Pdpd)];
    match context.choice("auto_broadcast", "numpy", &modes)? {
        Broadcasting::Numpy => Ok((a, b)),
        Broadcasting::None if context.dims(a) == context.dims(b) => Ok((a, b)),
        Broadcasting::None => {
            let (a, b) = (context.dims(a), context.dims(b));
            Err(Fault::new(format!("shapes {a:?} and {b:?} differ, and auto_broadcast is none")))
        }
        Broadcasting::Pdpd => Ok((a, align_at(context, a, b)?)),
    }
}

/// PaddlePaddle's rule: dimension 0 of `b` stands under dimension `axis` of `a`.
fn align_at(context: &mut Context, a: Value, b: Value) -> Fallible<Value> {
    let (rank, dims) = (context.rank(a), context.dims(b));
    let at = match context.number_or("axis", -1_i64)? {
        -1 => rank.saturating_sub(dims.len()),
        at => axis(at, rank)?,
    };
    let behind =
        rank.checked_sub(at + dims.len()).ok_or_else(|| Fault::new(format!("{dims:?} does not fit at axis {at}")))?;
    let aligned: Vec<usize> = dims.into_iter().chain(std::iter::repeat_n(1, behind)).collect();
    context.reshape(b, &aligned)
}

/// Floats divide; integers round down, or toward zero without `m_pythondiv`.
pub fn divide(context: &mut Context) -> Fallible<Vec<Value>> {
    let (a, b) = broadcast_operands(context)?;
    let rounds_down = context.flag("m_pythondiv", true)?;
    let a = if context.elem(a).is_float() || rounds_down {
        a
    } else {
        let remainder = context.binary(BinaryOp::Mod, a, b)?;
        context.binary(BinaryOp::Sub, a, remainder)?
    };
    Ok(vec![context.binary(BinaryOp::Div, a, b)?])
}

/// A slope of one dimension belongs to the channels.
pub fn prelu(context: &mut Context) -> Fallible<Vec<Value>> {
    let (x, slope) = (context.operand(0)?, context.operand(1)?);
    let rank = context.rank(x);
    let slope = match context.dims(slope).as_slice() {
        &[channels] if channels != 1 && rank > 1 => {
            let dims: Vec<usize> = std::iter::once(channels).chain(std::iter::repeat_n(1, rank - 2)).collect();
            context.reshape(slope, &dims)?
        }
        _ => slope,
    };
    Ok(vec![context.binary(BinaryOp::PRelu, x, slope)?])
}

pub fn select(context: &mut Context) -> Fallible<Vec<Value>> {
    context.choice("auto_broadcast", "numpy", &[("numpy", ()), ("none", ())])?;
    let operands = context.operands;
    Ok(vec![context.emit(Op::Select, operands)?])
}

pub fn is_inf(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let signs = (context.flag("detect_negative", true)?, context.flag("detect_positive", true)?);
    let infinite = context.unary(UnaryOp::IsInf, x)?;
    let sign = match signs {
        (true, true) => return Ok(vec![infinite]),
        (true, false) => BinaryOp::Less,
        (false, true) => BinaryOp::Greater,
        (false, false) => return Err(Fault::unsupported("it detects neither sign")),
    };
    let zero = context.scalar(context.elem(x), 0.0)?;
    let signed = context.binary(sign, x, zero)?;
    Ok(vec![context.binary(BinaryOp::LogicalAnd, infinite, signed)?])
}

pub fn round(context: &mut Context) -> Fallible<Vec<Value>> {
    let modes = [("half_to_even", UnaryOp::Round), ("half_away_from_zero", UnaryOp::RoundAway)];
    let op = context.choice("mode", "half_to_even", &modes)?;
    unary(context, op)
}

pub fn gelu(context: &mut Context) -> Fallible<Vec<Value>> {
    let op = context.choice("approximation_mode", "erf", &[("erf", UnaryOp::Gelu), ("tanh", UnaryOp::GeluTanh)])?;
    unary(context, op)
}

pub fn swish(context: &mut Context) -> Fallible<Vec<Value>> {
    let beta = if context.has(1) { context.float(1, "beta")? as f32 } else { 1.0 };
    unary(context, UnaryOp::Swish { beta })
}

pub fn elu(context: &mut Context) -> Fallible<Vec<Value>> {
    let alpha = context.number("alpha")?;
    unary(context, UnaryOp::Elu { alpha })
}

pub fn selu(context: &mut Context) -> Fallible<Vec<Value>> {
    let (alpha, lambda) = (context.float(1, "alpha")? as f32, context.float(2, "lambda")? as f32);
    unary(context, UnaryOp::Selu { alpha, lambda })
}

pub fn hard_sigmoid(context: &mut Context) -> Fallible<Vec<Value>> {
    let (alpha, beta) = (context.float(1, "alpha")? as f32, context.float(2, "beta")? as f32);
    unary(context, UnaryOp::HardSigmoid { alpha, beta })
}

pub fn clamp(context: &mut Context) -> Fallible<Vec<Value>> {
    let (min, max) = (context.number("min")?, context.number("max")?);
    unary(context, UnaryOp::Clamp { min, max })
}
