//! Variables that live from inference to inference.

use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, shape};
use super::super::elements::{Stored, parse_dims};

/// Without an initial value the variable begins with zeros.
pub fn read_value(context: &mut Context) -> Fallible<Vec<Value>> {
    let variable = context.required("variable_id")?.to_owned();
    let initial = match context.operands.first() {
        Some(&initial) => initial,
        None => zeros(context)?,
    };
    Ok(vec![context.emit(Op::ReadValue { variable }, &[initial])?])
}

fn zeros(context: &mut Context) -> Fallible<Value> {
    let elem = Stored::parse(context.required("variable_type")?)?.elem();
    let dims: Option<Vec<usize>> = parse_dims(context.required("variable_shape")?)?.into_iter().collect();
    let dims =
        dims.ok_or_else(|| Fault::new("its variable has a dynamic shape").help("export the model with static shapes"))?;
    shape(&dims)?;
    let zero = context.scalar(elem, 0.0)?;
    context.broadcast(zero, &dims)
}

pub fn assign(context: &mut Context) -> Fallible<Vec<Value>> {
    let variable = context.required("variable_id")?.to_owned();
    let value = context.operand(0)?;
    Ok(vec![context.emit(Op::Assign { variable }, &[value])?])
}
