//! Layers that move elements without computing: joining, splitting, repeating, reversing, blocks.

use crate::ir::op::{DepthMode, SliceAttrs};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

/// Results of a Split, rows of a ReverseSequence: more is damage.
const MAX_PARTS: usize = 1 << 14;

pub fn concat(context: &mut Context) -> Fallible<Vec<Value>> {
    let first = context.operand(0)?;
    let axis = axis(context.number("axis")?, context.rank(first))?;
    let operands = context.operands;
    Ok(vec![context.emit(Op::Concat { axis }, operands)?])
}

pub fn split(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let axis = axis(context.int(1, "the axis")?, dims.len())?;
    let parts: usize = context.number("num_splits")?;
    if parts == 0 || parts > MAX_PARTS || !dims[axis].is_multiple_of(parts) {
        return Err(Fault::new(format!("dimension {axis} of {dims:?} does not split into {parts} equal parts")));
    }
    context.emit_all(Op::Split { axis, lengths: vec![dims[axis] / parts; parts] }, &[x])
}

/// One length may be -1: what is left.
pub fn variadic_split(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let axis = axis(context.int(1, "the axis")?, dims.len())?;
    let given = context.ints(2, "the lengths")?;
    let mismatch = || Fault::new(format!("lengths {given:?} do not fill dimension {axis} of {dims:?}"));
    let known = given
        .iter()
        .filter(|&&length| length != -1)
        .try_fold(0_usize, |sum, &length| usize::try_from(length).ok().and_then(|length| sum.checked_add(length)));
    let left = dims[axis].checked_sub(known.ok_or_else(mismatch)?).ok_or_else(mismatch)?;
    if given.iter().filter(|&&length| length == -1).count() > 1 {
        return Err(mismatch());
    }
    let lengths = given.iter().map(|&length| usize::try_from(length).unwrap_or(left)).collect();
    context.emit_all(Op::Split { axis, lengths }, &[x])
}

#[derive(Clone, Copy)]
enum BroadcastMode {
    Numpy,
    Bidirectional,
    Explicit,
}

pub fn broadcast(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let target = context.sizes(1, "the target shape")?;
    let modes = [
        ("numpy", BroadcastMode::Numpy),
        ("bidirectional", BroadcastMode::Bidirectional),
        ("explicit", BroadcastMode::Explicit),
        ("none", BroadcastMode::Explicit),
    ];
    let result = match context.choice("mode", "numpy", &modes)? {
        BroadcastMode::Numpy => context.broadcast(x, &target)?,
        BroadcastMode::Bidirectional => {
            let merged = merge_shapes(&context.dims(x), &target)?;
            context.broadcast(x, &merged)?
        }
        BroadcastMode::Explicit => {
            let mapping = context.ints(2, "the axes mapping")?;
            let aligned = align(&context.dims(x), &mapping, target.len())?;
            let x = context.reshape(x, &aligned)?;
            context.broadcast(x, &target)?
        }
    };
    Ok(vec![result])
}

fn merge_shapes(a: &[usize], b: &[usize]) -> Fallible<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |dims: &[usize], at: usize| (at + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let merged = (0..rank).map(|at| match (dim(a, at), dim(b, at)) {
        (1, size) | (size, 1) => Some(size),
        (a, b) => (a == b).then_some(a),
    });
    merged.collect::<Option<_>>().ok_or_else(|| Fault::new(format!("shapes {a:?} and {b:?} do not broadcast")))
}

/// Dimension `i` of the source stands at `mapping[i]` of the result.
fn align(dims: &[usize], mapping: &[i64], rank: usize) -> Fallible<Vec<usize>> {
    let mut aligned = vec![1; rank];
    let ascending = mapping.windows(2).all(|pair| pair[0] < pair[1]);
    if mapping.len() != dims.len() || !ascending {
        return Err(Fault::new(format!("axes mapping {mapping:?} does not fit a shape of {dims:?}")));
    }
    for (&size, &to) in dims.iter().zip(mapping) {
        aligned[axis(to, rank)?] = size;
    }
    Ok(aligned)
}

/// The shorter of shape and repeats gets leading ones.
pub fn tile(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let mut repeats = context.sizes(1, "the repeats")?;
    let mut dims = context.dims(x);
    let rank = dims.len().max(repeats.len());
    for list in [&mut dims, &mut repeats] {
        let missing = rank - list.len();
        list.splice(0..0, std::iter::repeat_n(1, missing));
    }
    let x = context.reshape(x, &dims)?;
    Ok(vec![context.emit(Op::Tile { repeats }, &[x])?])
}

pub fn reverse(context: &mut Context) -> Fallible<Vec<Value>> {
    let mut x = context.operand(0)?;
    let rank = context.rank(x);
    let axes = if context.choice("mode", "index", &[("index", true), ("mask", false)])? {
        context.axes(1, "the axes", rank)?
    } else {
        let mask = context.ints(1, "the mask")?;
        mask.iter().take(rank).enumerate().filter(|(_, set)| **set != 0).map(|(axis, _)| axis).collect()
    };
    for axis in axes {
        x = context.emit(Op::Reverse { axis }, &[x])?;
    }
    Ok(vec![x])
}

/// Each row of the batch has its first `lengths[row]` elements reversed.
pub fn reverse_sequence(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let batch_axis = axis(context.number_or("batch_axis", 0)?, dims.len())?;
    let seq_axis = axis(context.number_or("seq_axis", 1)?, dims.len())?;
    let lengths = context.sizes(1, "the sequence lengths")?;
    let too_long = lengths.iter().any(|&length| length > dims[seq_axis]);
    if lengths.len() != dims[batch_axis] || lengths.len() > MAX_PARTS || too_long || batch_axis == seq_axis {
        return Err(Fault::new(format!("sequence lengths {lengths:?} do not fit a shape of {dims:?}")));
    }
    if lengths.iter().all(|&length| length == dims[seq_axis]) {
        return Ok(vec![context.emit(Op::Reverse { axis: seq_axis }, &[x])?]);
    }
    let mut rows = Vec::with_capacity(lengths.len());
    for (row, &length) in lengths.iter().enumerate() {
        let row = part(context, x, batch_axis, row, 1)?;
        rows.push(reverse_head(context, row, seq_axis, length)?);
    }
    Ok(vec![context.emit(Op::Concat { axis: batch_axis }, &rows)?])
}

/// Reverses the first `length` elements of an axis.
fn reverse_head(context: &mut Context, x: Value, axis: usize, length: usize) -> Fallible<Value> {
    let rest = context.dims(x)[axis] - length;
    if length < 2 || rest == 0 {
        return if length < 2 { Ok(x) } else { context.emit(Op::Reverse { axis }, &[x]) };
    }
    let head = part(context, x, axis, 0, length)?;
    let head = context.emit(Op::Reverse { axis }, &[head])?;
    let tail = part(context, x, axis, length, rest)?;
    context.emit(Op::Concat { axis }, &[head, tail])
}

/// Elements `begin..begin + length` of an axis.
pub fn part(context: &mut Context, x: Value, axis: usize, begin: usize, length: usize) -> Fallible<Value> {
    let mut lengths = context.dims(x);
    let mut begins = vec![0; lengths.len()];
    (begins[axis], lengths[axis]) = (begin, length);
    let strides = vec![1; lengths.len()];
    context.emit(Op::Slice(SliceAttrs { begin: begins, lengths, strides }), &[x])
}

/// Per axis, the last `shift` elements come to the front.
pub fn roll(context: &mut Context) -> Fallible<Vec<Value>> {
    let mut x = context.operand(0)?;
    let dims = context.dims(x);
    let shifts = context.ints(1, "the shift")?;
    let axes = context.ints(2, "the axes")?;
    if shifts.len() != axes.len() && shifts.len() != 1 {
        return Err(Fault::new(format!("{} shifts for {} axes", shifts.len(), axes.len())));
    }
    for (index, &along) in axes.iter().enumerate() {
        let (axis, shift) = (axis(along, dims.len())?, shifts[index.min(shifts.len() - 1)]);
        let Ok(size) = i64::try_from(dims[axis]) else { continue };
        let shift = if size == 0 { 0 } else { shift.rem_euclid(size) as usize };
        if shift > 0 {
            let tail = part(context, x, axis, dims[axis] - shift, shift)?;
            let head = part(context, x, axis, 0, dims[axis] - shift)?;
            x = context.emit(Op::Concat { axis }, &[tail, head])?;
        }
    }
    Ok(vec![x])
}

const DEPTH_MODES: [(&str, DepthMode); 2] =
    [("blocks_first", DepthMode::BlocksFirst), ("depth_first", DepthMode::DepthFirst)];

pub fn depth_to_space(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let (block, mode) = (context.number_or("block_size", 1)?, context.choice("mode", "blocks_first", &DEPTH_MODES)?);
    Ok(vec![context.emit(Op::DepthToSpace { block, mode }, &[x])?])
}

pub fn space_to_depth(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let (block, mode) = (context.number_or("block_size", 1)?, context.choice("mode", "blocks_first", &DEPTH_MODES)?);
    Ok(vec![context.emit(Op::SpaceToDepth { block, mode }, &[x])?])
}

pub fn batch_to_space(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let block = context.sizes(1, "the block shape")?;
    let (crops_begin, crops_end) = (context.sizes(2, "crops_begin")?, context.sizes(3, "crops_end")?);
    Ok(vec![context.emit(Op::BatchToSpace { block, crops_begin, crops_end }, &[x])?])
}

pub fn space_to_batch(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let block = context.sizes(1, "the block shape")?;
    let (pads_begin, pads_end) = (context.sizes(2, "pads_begin")?, context.sizes(3, "pads_end")?);
    Ok(vec![context.emit(Op::SpaceToBatch { block, pads_begin, pads_end }, &[x])?])
}
