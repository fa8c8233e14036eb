//! Layers about shapes: what only renames dimensions becomes `reshape` or `transpose`, what asks for a shape a
//! constant.

use crate::ir::{ElemType, Value};

use super::super::context::{Context, Fallible, Fault, axis};
use super::super::elements::Stored;

/// 0 copies a dimension (with `special_zero`), -1 takes what is left.
pub fn reshape(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let pattern = context.ints(1, "the target shape")?;
    let special_zero = context.flag("special_zero", false)?;
    let dims = context.dims(x);
    let target = resolve_pattern(&dims, &pattern, special_zero)?;
    Ok(vec![context.reshape(x, &target)?])
}

fn resolve_pattern(dims: &[usize], pattern: &[i64], special_zero: bool) -> Fallible<Vec<usize>> {
    let mismatch = || Fault::new(format!("shape {dims:?} cannot become {pattern:?}"));
    let mut target = Vec::with_capacity(pattern.len());
    for (index, &dim) in pattern.iter().enumerate() {
        target.push(match dim {
            -1 => 1,
            0 if special_zero => *dims.get(index).ok_or_else(mismatch)?,
            dim => usize::try_from(dim).map_err(|_| mismatch())?,
        });
    }
    let mut open = pattern.iter().enumerate().filter(|(_, dim)| **dim == -1).map(|(index, _)| index);
    let product = |dims: &[usize]| dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    let (have, known) = (product(dims).ok_or_else(mismatch)?, product(&target).ok_or_else(mismatch)?);
    if let Some(index) = open.next() {
        if open.next().is_some() || known == 0 || have % known != 0 {
            return Err(mismatch());
        }
        target[index] = have / known;
    } else if have != known {
        return Err(mismatch());
    }
    Ok(target)
}

pub fn squeeze(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let skips = context.flag("allow_axis_skip", false)?;
    let axes = if context.has(1) { context.axes(1, "the axes", dims.len())? } else { Vec::new() };
    // without axes, every dimension of 1 goes
    let all = axes.is_empty();
    let mut kept = Vec::new();
    for (dim, &size) in dims.iter().enumerate() {
        let named = all || axes.contains(&dim);
        match (named, size) {
            (true, 1) => {}
            (true, _) if !all && !skips => return Err(Fault::new(format!("dimension {dim} of {dims:?} is not 1"))),
            _ => kept.push(size),
        }
    }
    Ok(vec![context.reshape(x, &kept)?])
}

/// Axes count in the result.
pub fn unsqueeze(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let mut given = context.ints(1, "the axes")?;
    given.sort_unstable();
    given.dedup();
    let rank = dims.len() + given.len();
    let axes = given.iter().map(|&value| axis(value, rank)).collect::<Fallible<Vec<usize>>>()?;
    let mut rest = dims.iter();
    let mut target = Vec::with_capacity(rank);
    for dim in 0..rank {
        let size = if axes.contains(&dim) { None } else { rest.next() };
        target.push(size.copied().unwrap_or(1));
    }
    if rest.next().is_some() {
        return Err(Fault::new(format!("axes {given:?} name a dimension twice")));
    }
    Ok(vec![context.reshape(x, &target)?])
}

/// An empty order reverses the dimensions.
pub fn transpose(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let rank = context.rank(x);
    let order = if context.has(1) { context.ints(1, "the order")? } else { Vec::new() };
    let perm = if order.is_empty() {
        (0..rank).rev().collect()
    } else {
        order.iter().map(|&dim| axis(dim, rank)).collect::<Fallible<Vec<usize>>>()?
    };
    Ok(vec![context.transpose(x, &perm)?])
}

/// Splits the axis into `[group, size / group]` and swaps the two.
pub fn shuffle_channels(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let axis = axis(context.number_or("axis", 1)?, dims.len())?;
    let group: usize = context.number_or("group", 1)?;
    if group == 0 || !dims[axis].is_multiple_of(group) {
        return Err(Fault::new(format!("{} channels do not divide into {group} groups", dims[axis])));
    }
    let mut split = dims.clone();
    split.splice(axis..=axis, [group, dims[axis] / group]);
    let mut perm: Vec<usize> = (0..split.len()).collect();
    perm.swap(axis, axis + 1);
    let split = context.reshape(x, &split)?;
    let swapped = context.transpose(split, &perm)?;
    Ok(vec![context.reshape(swapped, &dims)?])
}

/// Shapes are static: a constant.
pub fn shape_of(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims: Vec<f64> = context.dims(x).iter().map(|&dim| dim as f64).collect();
    let elem = Stored::parse(context.attr("output_type").unwrap_or("i64"))?.elem();
    Ok(vec![context.numbers(elem, &[dims.len()], &dims)?])
}

pub fn range_v0(context: &mut Context) -> Fallible<Vec<Value>> {
    let elem = context.elem(context.operand(0)?);
    range(context, elem)
}

pub fn range_v4(context: &mut Context) -> Fallible<Vec<Value>> {
    let elem = Stored::parse(context.required("output_type")?)?.elem();
    range(context, elem)
}

fn range(context: &mut Context, elem: ElemType) -> Fallible<Vec<Value>> {
    let names = ["the start", "the stop", "the step"];
    let mut bounds = [0.0; 3];
    for (index, name) in names.into_iter().enumerate() {
        let bound = context.float(index, name)?;
        bounds[index] = if elem.is_float() { bound } else { bound.trunc() };
    }
    let [start, stop, step] = bounds;
    let count = ((stop - start) / step).ceil().max(0.0);
    if step == 0.0 || !count.is_finite() {
        return Err(Fault::new(format!("a range from {start} to {stop} by {step} has no sensible length")));
    }
    let count = count as usize;
    context.afford(count)?;
    let values: Vec<f64> = (0..count).map(|index| start + index as f64 * step).collect();
    Ok(vec![context.numbers(elem, &[count], &values)?])
}
