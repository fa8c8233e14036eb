//! Operations that give elements of their operand in another arrangement, and `interpolate`.

use super::super::op::{InterpolateAttrs, InterpolateMode, PadAttrs, PadMode, SliceAttrs};
use super::super::ty::{Shape, TensorType};
use super::{
    Inferred, broadcast_shapes, check_axes, check_axis, check_float, check_len, check_numeric, check_representable,
    check_same_elem, checked_product, checked_sum, shape, typed,
};

pub(super) fn reshape(src: &TensorType, shape: &Shape) -> Inferred {
    if src.shape.elements() != shape.elements() {
        return Err(format!("{src} has {} elements, {shape} has {}", src.shape.elements(), shape.elements()));
    }
    Ok(TensorType::new(src.elem, shape.clone()))
}

pub(super) fn transpose(src: &TensorType, perm: &[usize]) -> Inferred {
    check_len("perm", perm.len(), src.shape.rank())?;
    let mut seen = vec![false; perm.len()];
    for &dim in perm {
        match seen.get_mut(dim) {
            Some(seen) if !*seen => *seen = true,
            Some(_) | None => return Err(format!("perm {perm:?} is not a permutation")),
        }
    }
    typed(src.elem, perm.iter().map(|&dim| src.shape[dim]).collect())
}

pub(super) fn concat(types: &[&TensorType], axis: usize) -> Inferred {
    let first = types[0];
    check_axis(axis, first)?;
    check_same_elem(types)?;
    let outer = |ty: &TensorType| {
        let mut dims = ty.shape.dims().to_vec();
        if axis < dims.len() {
            dims[axis] = 0;
        }
        dims
    };
    if let Some(other) = types.iter().find(|ty| outer(ty) != outer(first)) {
        return Err(format!("{first} and {other} differ outside axis {axis}"));
    }
    let sizes: Vec<usize> = types.iter().map(|ty| ty.shape[axis]).collect();
    with_dim(first, axis, checked_sum(&sizes)?)
}

pub(super) fn split(src: &TensorType, axis: usize, lengths: &[usize]) -> Result<Vec<TensorType>, String> {
    check_axis(axis, src)?;
    if lengths.is_empty() {
        return Err("lengths is empty".into());
    }
    if checked_sum(lengths)? != src.shape[axis] {
        return Err(format!("lengths {lengths:?} do not sum to axis {axis} of {src}"));
    }
    lengths.iter().map(|&length| with_dim(src, axis, length)).collect()
}

pub(super) fn slice(src: &TensorType, attrs: &SliceAttrs) -> Inferred {
    let rank = src.shape.rank();
    check_len("begin", attrs.begin.len(), rank)?;
    check_len("lengths", attrs.lengths.len(), rank)?;
    check_len("strides", attrs.strides.len(), rank)?;
    for dim in 0..rank {
        let (begin, length, stride) = (attrs.begin[dim], attrs.lengths[dim], attrs.strides[dim]);
        if stride == 0 {
            return Err("a stride is 0".into());
        }
        let size = src.shape[dim];
        if length > 0 && !(begin < size && last_index(begin, length, stride).is_some_and(|last| last < size)) {
            return Err(format!("{length} elements from {begin} by {stride} leave dimension {dim} of {src}"));
        }
    }
    typed(src.elem, attrs.lengths.clone())
}

/// `begin + (length - 1) * stride`, when it is an index at all.
fn last_index(begin: usize, length: usize, stride: isize) -> Option<usize> {
    let steps = isize::try_from(length - 1).ok()?;
    begin.checked_add_signed(steps.checked_mul(stride)?)
}

pub(super) fn pad(src: &TensorType, attrs: &PadAttrs) -> Inferred {
    let rank = src.shape.rank();
    check_len("begin", attrs.begin.len(), rank)?;
    check_len("end", attrs.end.len(), rank)?;
    let mut dims = Vec::with_capacity(rank);
    for dim in 0..rank {
        let (begin, end, size) = (attrs.begin[dim], attrs.end[dim], src.shape[dim]);
        let limit = match attrs.mode {
            PadMode::Constant => isize::MAX,
            PadMode::Edge if size > 0 => isize::MAX,
            PadMode::Edge => 0,
            PadMode::Reflect => to_isize(size.saturating_sub(1)),
            PadMode::Symmetric => to_isize(size),
        };
        if begin.max(end) > limit {
            return Err(format!("pads {begin} and {end} of dimension {dim} of {src} reach beyond its elements"));
        }
        let padded = size.checked_add_signed(begin).and_then(|size| size.checked_add_signed(end));
        dims.push(padded.ok_or_else(|| format!("pads {begin} and {end} leave nothing of dimension {dim} of {src}"))?);
    }
    check_representable("value", attrs.value, src.elem)?;
    typed(src.elem, dims)
}

/// Sizes are below 2^40.
fn to_isize(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

pub(super) fn broadcast(src: &TensorType, shape: &Shape) -> Inferred {
    if broadcast_shapes(&src.shape, shape)? != *shape {
        return Err(format!("{src} does not broadcast to {shape}"));
    }
    Ok(TensorType::new(src.elem, shape.clone()))
}

pub(super) fn tile(src: &TensorType, repeats: &[usize]) -> Inferred {
    check_len("repeats", repeats.len(), src.shape.rank())?;
    let dims: Result<Vec<usize>, String> =
        src.shape.dims().iter().zip(repeats).map(|(&size, &repeat)| checked_product(&[size, repeat])).collect();
    typed(src.elem, dims?)
}

pub(super) fn reverse(src: &TensorType, axis: usize) -> Inferred {
    check_axis(axis, src)?;
    Ok(src.clone())
}

/// Pads stand in front of the resampling; `sizes` replace the sizes of `axes`.
pub(super) fn interpolate(src: &TensorType, attrs: &InterpolateAttrs) -> Inferred {
    match attrs.mode {
        InterpolateMode::Nearest => check_numeric(src)?,
        InterpolateMode::Linear | InterpolateMode::LinearOnnx | InterpolateMode::Cubic => check_float(src)?,
    }
    check_axes(&attrs.axes, src)?;
    check_len("sizes", attrs.sizes.len(), attrs.axes.len())?;
    check_len("scales", attrs.scales.len(), attrs.axes.len())?;
    check_len("pads_begin", attrs.pads_begin.len(), src.shape.rank())?;
    check_len("pads_end", attrs.pads_end.len(), src.shape.rank())?;
    if let Some(scale) = attrs.scales.iter().find(|scale| !scale.is_finite() || **scale <= 0.0) {
        return Err(format!("scale {scale} is not a positive number"));
    }
    let mut dims = Vec::with_capacity(src.shape.rank());
    for (dim, &size) in src.shape.dims().iter().enumerate() {
        dims.push(checked_sum(&[size, attrs.pads_begin[dim], attrs.pads_end[dim]])?);
    }
    let padded = shape(dims.clone())?;
    for (&axis, &size) in attrs.axes.iter().zip(&attrs.sizes) {
        if padded[axis] == 0 && size > 0 {
            return Err(format!("axis {axis} of {src} has no elements to interpolate"));
        }
        dims[axis] = size;
    }
    typed(src.elem, dims)
}

fn with_dim(src: &TensorType, axis: usize, size: usize) -> Inferred {
    let mut dims = src.shape.dims().to_vec();
    dims[axis] = size;
    typed(src.elem, dims)
}
