//! Scatter updates.

use crate::ir::op::ScatterReduction;
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

/// Whole slices along an axis: the indices are repeated over the other dimensions.
pub fn scatter_update(context: &mut Context) -> Fallible<Vec<Value>> {
    let (data, indices, updates) = (context.operand(0)?, context.operand(1)?, context.operand(2)?);
    let dims = context.dims(data);
    let axis = axis(context.int(3, "the axis")?, dims.len())?;
    let count = context.dims(indices).iter().product();
    let mut slices = dims.clone();
    slices[axis] = count;
    let updates = context.reshape(updates, &slices)?;
    let mut column = vec![1; dims.len()];
    column[axis] = count;
    let indices = context.reshape(indices, &column)?;
    let indices = context.broadcast(indices, &slices)?;
    let op = Op::ScatterElements { axis, reduction: ScatterReduction::None };
    Ok(vec![context.emit(op, &[data, indices, updates])?])
}

pub fn scatter_elements(context: &mut Context) -> Fallible<Vec<Value>> {
    let (data, indices, updates) = (context.operand(0)?, context.operand(1)?, context.operand(2)?);
    let axis = axis(context.int(3, "the axis")?, context.rank(data))?;
    let reductions = [
        ("none", ScatterReduction::None),
        ("sum", ScatterReduction::Sum),
        ("prod", ScatterReduction::Prod),
        ("min", ScatterReduction::Min),
        ("max", ScatterReduction::Max),
        ("mean", ScatterReduction::Mean),
    ];
    let reduction = context.choice("reduction", "none", &reductions)?;
    if reduction != ScatterReduction::None && !context.flag("use_init_val", true)? {
        return Err(Fault::unsupported("use_init_val=\"false\" is not supported"));
    }
    Ok(vec![context.emit(Op::ScatterElements { axis, reduction }, &[data, indices, updates])?])
}

pub fn scatter_nd(context: &mut Context) -> Fallible<Vec<Value>> {
    context.choice("reduction", "none", &[("none", ())])?;
    let operands = context.operands;
    Ok(vec![context.emit(Op::ScatterNd, operands)?])
}
