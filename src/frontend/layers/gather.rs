//! Gather and its relatives.

use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

/// All versions: the older ones have no `batch_dims` and no negative indices.
pub fn gather(context: &mut Context) -> Fallible<Vec<Value>> {
    let (data, indices) = (context.operand(0)?, context.operand(1)?);
    let axis = axis(context.int(2, "the axis")?, context.rank(data))?;
    let batch_dims = batch_dims(context, indices)?;
    let indices = wide_indices(context, indices)?;
    Ok(vec![context.emit(Op::Gather { axis, batch_dims }, &[data, indices])?])
}

fn batch_dims(context: &Context, indices: Value) -> Fallible<usize> {
    let given: i64 = context.number_or("batch_dims", 0)?;
    let rank = context.rank(indices);
    let from_start = if given < 0 { given.checked_add_unsigned(rank as u64) } else { Some(given) };
    from_start
        .and_then(|dims| usize::try_from(dims).ok())
        .ok_or_else(|| Fault::new(format!("batch_dims {given} is outside indices of {rank} dimensions")))
}

/// Indices of narrow types, widened.
pub fn wide_indices(context: &mut Context, indices: Value) -> Fallible<Value> {
    use crate::ir::ElemType;
    match context.elem(indices) {
        ElemType::U8 | ElemType::I8 | ElemType::I16 => context.convert(indices, ElemType::I32),
        _ => Ok(indices),
    }
}

pub fn gather_elements(context: &mut Context) -> Fallible<Vec<Value>> {
    let (data, indices) = (context.operand(0)?, context.operand(1)?);
    let axis = axis(context.number("axis")?, context.rank(data))?;
    Ok(vec![context.emit(Op::GatherElements { axis }, &[data, indices])?])
}

/// The first version merges the batch dimensions of the result into one.
pub fn gather_nd_v5(context: &mut Context) -> Fallible<Vec<Value>> {
    let batch_dims: usize = context.number_or("batch_dims", 0)?;
    let gathered = gather_nd(context, batch_dims)?;
    let dims = context.dims(gathered);
    if batch_dims < 2 || batch_dims > dims.len() {
        return Ok(vec![gathered]);
    }
    let mut merged = vec![dims[..batch_dims].iter().product()];
    merged.extend(&dims[batch_dims..]);
    Ok(vec![context.reshape(gathered, &merged)?])
}

pub fn gather_nd_v8(context: &mut Context) -> Fallible<Vec<Value>> {
    let batch_dims = context.number_or("batch_dims", 0)?;
    Ok(vec![gather_nd(context, batch_dims)?])
}

fn gather_nd(context: &mut Context, batch_dims: usize) -> Fallible<Value> {
    let (data, indices) = (context.operand(0)?, context.operand(1)?);
    context.emit(Op::GatherNd { batch_dims }, &[data, indices])
}
