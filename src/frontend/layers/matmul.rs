//! MatMul.

use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible};
use super::integer_product;

/// Transposing a vector does nothing.
pub fn matmul(context: &mut Context) -> Fallible<Vec<Value>> {
    let (a, b) = (context.operand(0)?, context.operand(1)?);
    let transpose_a = context.flag("transpose_a", false)? && context.rank(a) > 1;
    let transpose_b = context.flag("transpose_b", false)? && context.rank(b) > 1;
    if integer_product::is_wide(context, [a, b]) {
        return Ok(vec![integer_product::matmul(context, [a, b], [transpose_a, transpose_b])?]);
    }
    Ok(vec![context.emit(Op::MatMul { transpose_a, transpose_b }, &[a, b])?])
}
