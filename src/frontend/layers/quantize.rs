//! Constants, FakeQuantize, conversions.

use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible};
use super::super::elements::Stored;

pub fn identity(context: &mut Context) -> Fallible<Vec<Value>> {
    Ok(vec![context.operand(0)?])
}

pub fn constant(context: &mut Context) -> Fallible<Vec<Value>> {
    let importer = &mut *context.importer;
    let id = importer.weights.constant(&mut importer.graph, context.layer)?;
    Ok(vec![context.emit(Op::Const(id), &[])?])
}

/// The limits broadcast to the data, never the data to the limits; `ir::infer` checks that.
pub fn fake_quantize(context: &mut Context) -> Fallible<Vec<Value>> {
    let levels = context.number("levels")?;
    context.choice("auto_broadcast", "numpy", &[("numpy", ()), ("none", ())])?;
    let operands = context.operands;
    Ok(vec![context.emit(Op::FakeQuantize { levels }, operands)?])
}

/// Types that the graph widens are widened here, too: it only differs where the narrow type would have wrapped.
pub fn convert(context: &mut Context) -> Fallible<Vec<Value>> {
    let elem = Stored::parse(context.required("destination_type")?)?.elem();
    let x = context.operand(0)?;
    Ok(vec![context.emit(Op::Convert { elem }, &[x])?])
}

pub fn convert_like(context: &mut Context) -> Fallible<Vec<Value>> {
    let (x, like) = (context.operand(0)?, context.operand(1)?);
    let elem = context.elem(like);
    Ok(vec![context.emit(Op::Convert { elem }, &[x])?])
}
