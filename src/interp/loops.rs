//! The slices of a loop: what one iteration sees of an operand, and how the parts it gives make a result.

use std::sync::Arc;

use crate::ir::op::LoopSlice;
use crate::ir::{Shape, Tensor, TensorType};

use super::layout;
use super::view::{OUTSIDE, View, along_axis, around, pick, pick_or};

/// What iteration `iteration` sees of `src`.
pub(super) fn slice(slice: &LoopSlice, iteration: usize, src: &Tensor) -> Result<Arc<Tensor>, String> {
    let dims = src.shape().dims();
    let [_, size, _] = around(dims, slice.axis)?;
    let begin = begin(slice, iteration);
    if begin < 0 || begin as usize + slice.part > size {
        return Err(format!("iteration {iteration} takes elements from {begin} of an axis of {size}"));
    }
    let view = View::of(dims).slice(slice.axis, begin, slice.part, 1)?;
    Ok(Arc::new(pick(src, &with_axis(src.ty(), slice.axis, slice.part)?, &view.positions())?))
}

/// The result of type `ty` whose elements from `start + i * stride` along the axis are `parts[i]`; elements that no part
/// gives are 0.
pub(super) fn concatenate(slice: &LoopSlice, parts: &[Arc<Tensor>], ty: &TensorType) -> Result<Arc<Tensor>, String> {
    let [_, size, _] = around(ty.shape.dims(), slice.axis)?;
    let joined_ty = with_axis(ty, slice.axis, parts.len() * slice.part)?;
    let parts: Vec<&Tensor> = parts.iter().map(Arc::as_ref).collect();
    let joined = layout::concat(slice.axis, &parts, &joined_ty)?;
    let mut table = vec![OUTSIDE; size];
    for at in 0..parts.len() * slice.part {
        let place = begin(slice, at / slice.part) + (at % slice.part) as isize;
        let place = usize::try_from(place).ok().and_then(|place| table.get_mut(place));
        *place.ok_or_else(|| format!("a loop gives elements outside an axis of {size}"))? = at;
    }
    Ok(Arc::new(pick_or(&joined, ty, &along_axis(joined_ty.shape.dims(), slice.axis, &table)?, Some(0.0))?))
}

fn begin(slice: &LoopSlice, iteration: usize) -> isize {
    slice.start + iteration as isize * slice.stride
}

fn with_axis(ty: &TensorType, axis: usize, size: usize) -> Result<TensorType, String> {
    let mut dims = ty.shape.dims().to_vec();
    dims[axis] = size;
    let shape = Shape::new(dims).ok_or("internal error: a loop's slice is larger than any tensor")?;
    Ok(TensorType::new(ty.elem, shape))
}
