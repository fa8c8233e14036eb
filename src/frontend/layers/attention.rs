//! ScaledDotProductAttention: `softmax(q * scale @ k^T + mask) @ v`.

use crate::ir::op::BinaryOp;
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Op, Tensor, TensorType, Value};

use super::super::context::{Context, Fallible, Fault, shape};

/// Operands: q `[.., l, e]`, k `[.., s, e]`, v `[.., s, ev]`, perhaps a mask and a scale.
pub fn attention(context: &mut Context) -> Fallible<Vec<Value>> {
    let (q, k, v) = (context.operand(0)?, context.operand(1)?, context.operand(2)?);
    let scale = scale(context, q)?;
    let q = context.binary(BinaryOp::Mul, q, scale)?;
    let scores = context.emit(Op::MatMul { transpose_a: false, transpose_b: true }, &[q, k])?;
    let scores = if context.flag("causal", false)? { mask_future(context, scores)? } else { masked(context, scores)? };
    let axis = context.rank(scores).checked_sub(1).ok_or_else(|| Fault::new("its operands are vectors"))?;
    let weights = context.emit(Op::Softmax { axis, log: false }, &[scores])?;
    Ok(vec![context.emit(Op::MatMul { transpose_a: false, transpose_b: false }, &[weights, v])?])
}

/// Operand 4, or `1 / sqrt(e)`.
fn scale(context: &mut Context, q: Value) -> Fallible<Value> {
    if context.has(4) {
        return context.operand(4);
    }
    let width = context.dims(q).last().copied().ok_or_else(|| Fault::new("its query is a scalar"))?;
    context.scalar(context.elem(q), 1.0 / (width as f64).sqrt())
}

/// A boolean mask keeps what is true, any other is added; a scalar 0 stands for none.
fn masked(context: &mut Context, scores: Value) -> Fallible<Value> {
    let Some(&mask) = context.operands.get(3) else { return Ok(scores) };
    if context.rank(mask) == 0 && context.float(3, "the mask").is_ok_and(|value| value == 0.0) {
        return Ok(scores);
    }
    if context.elem(mask) != ElemType::Bool {
        return context.binary(BinaryOp::Add, scores, mask);
    }
    let hidden = context.scalar(context.elem(scores), f64::NEG_INFINITY)?;
    context.emit(Op::Select, &[mask, scores, hidden])
}

/// Position `i` sees positions `0..=i`. An explicit mask is ignored then, as OpenVINO does.
fn mask_future(context: &mut Context, scores: Value) -> Fallible<Value> {
    let dims = context.dims(scores);
    let &[.., rows, columns] = dims.as_slice() else { return Err(Fault::new("its operands are vectors")) };
    let shape = shape(&[rows, columns])?;
    context.afford(shape.elements())?;
    let visible = (0..rows).flat_map(|row| (0..columns).map(move |column| u8::from(column <= row))).collect();
    let mask = context.tensor(Tensor::new(TensorType::new(ElemType::Bool, shape), Data::U8(visible)))?;
    let hidden = context.scalar(context.elem(scores), f64::NEG_INFINITY)?;
    context.emit(Op::Select, &[mask, scores, hidden])
}
