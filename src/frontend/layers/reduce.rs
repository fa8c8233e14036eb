//! Reductions and running sums.

use crate::ir::op::{ReduceAttrs, ReduceKind};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, axis};

pub fn reduce(context: &mut Context, kind: ReduceKind) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let rank = context.rank(x);
    let axes = context.axes(1, "the axes", rank)?;
    let keep_dims = context.flag("keep_dims", false)?;
    Ok(vec![context.emit(Op::Reduce(ReduceAttrs { kind, axes, keep_dims }), &[x])?])
}

pub fn cum_sum(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let along = if context.has(1) { context.int(1, "the axis")? } else { 0 };
    let axis = axis(along, context.rank(x))?;
    let (exclusive, reverse) = (context.flag("exclusive", false)?, context.flag("reverse", false)?);
    Ok(vec![context.emit(Op::CumSum { axis, exclusive, reverse }, &[x])?])
}
