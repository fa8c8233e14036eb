//! TopK, OneHot, NonZero.

use crate::ir::op::{TopKAttrs, TopKSort};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};
use super::super::elements::Stored;

/// Without a demanded order the values come sorted, which satisfies it.
pub fn top_k(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let axis = axis(context.number("axis")?, context.rank(x))?;
    let k = context.int(1, "k")?;
    let k = usize::try_from(k).map_err(|_| Fault::new(format!("k is {k}")))?;
    let largest = context.choice("mode", "max", &[("max", true), ("min", false)])?;
    let orders = [("value", TopKSort::ByValue), ("none", TopKSort::ByValue), ("index", TopKSort::ByIndex)];
    let sort = context.choice("sort", "value", &orders)?;
    let index_elem = Stored::parse(context.attr("index_element_type").unwrap_or("i32"))?.elem();
    context.emit_all(Op::TopK(TopKAttrs { axis, k, largest, sort, index_elem }), &[x])
}

pub fn one_hot(context: &mut Context) -> Fallible<Vec<Value>> {
    let indices = context.operand(0)?;
    let rank = context.rank(indices) + 1;
    let axis = axis(context.number_or("axis", -1)?, rank)?;
    let depth = context.int(1, "the depth")?;
    let depth = usize::try_from(depth).map_err(|_| Fault::new(format!("the depth is {depth}")))?;
    context.choice("negative_indices_mode", "ignore_negative", &[("ignore_negative", ())])?;
    let elem = context.elem(context.operand(2)?);
    let (on, off) = (context.float(2, "the on value")?, context.float(3, "the off value")?);
    Ok(vec![context.emit(Op::OneHot { axis, depth, on, off, elem }, &[indices])?])
}

/// How many there are must be known: only of a constant.
pub fn non_zero(context: &mut Context) -> Fallible<Vec<Value>> {
    let tensor = context.constant(0, "the data of NonZero")?;
    let elem = Stored::parse(context.attr("output_type").unwrap_or("i64"))?.elem();
    let values = tensor.to_f64();
    let places: Vec<usize> = (0..values.len()).filter(|&place| values[place] != 0.0).collect();
    let (dims, strides) = (tensor.shape().dims(), tensor.shape().strides());
    let coordinates = dims
        .iter()
        .zip(&strides)
        .flat_map(|(&size, &stride)| places.iter().map(move |place| (place / stride % size) as f64));
    let coordinates: Vec<f64> = coordinates.collect();
    Ok(vec![context.numbers(elem, &[dims.len(), places.len()], &coordinates)?])
}
