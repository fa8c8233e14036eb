//! Operations with indices as operand or result.

use super::super::op::{ScatterReduction, TopKAttrs};
use super::super::ty::{ElemType, TensorType};
use super::{Inferred, check_axis, check_indices, check_numeric, check_representable, check_same_elem, typed};

/// `data[..axis] ++ indices[batch_dims..] ++ data[axis + 1..]`.
pub(super) fn gather(data: &TensorType, indices: &TensorType, axis: usize, batch_dims: usize) -> Inferred {
    check_indices(indices)?;
    check_axis(axis, data)?;
    if batch_dims > axis || batch_dims > indices.shape.rank() {
        return Err(format!("batch_dims {batch_dims} exceeds axis {axis} or the rank of {indices}"));
    }
    check_batch(data, indices, batch_dims)?;
    let (data_dims, index_dims) = (data.shape.dims(), indices.shape.dims());
    typed(data.elem, [&data_dims[..axis], &index_dims[batch_dims..], &data_dims[axis + 1..]].concat())
}

/// The shape of the indices; data has the same but along the axis.
pub(super) fn gather_elements(data: &TensorType, indices: &TensorType, axis: usize) -> Inferred {
    check_indices(indices)?;
    check_axis(axis, data)?;
    check_within(data, indices, axis)?;
    Ok(indices.with_elem(data.elem))
}

/// `indices[..last] ++ data[batch_dims + k..]` where the last dimension of the indices is k.
pub(super) fn gather_nd(data: &TensorType, indices: &TensorType, batch_dims: usize) -> Inferred {
    check_indices(indices)?;
    let (outer, depth) = index_tuples(indices)?;
    if batch_dims > outer.len() {
        return Err(format!("batch_dims {batch_dims} exceeds the rank of {indices}"));
    }
    let Some(inner) = batch_dims.checked_add(depth).and_then(|from| data.shape.dims().get(from..)) else {
        return Err(format!("index tuples of {depth} after {batch_dims} batch dimensions exceed the rank of {data}"));
    };
    check_batch(data, indices, batch_dims)?;
    typed(data.elem, [outer, inner].concat())
}

pub(super) fn scatter_elements(types: &[&TensorType], axis: usize, reduction: ScatterReduction) -> Inferred {
    let (data, indices, updates) = (types[0], types[1], types[2]);
    check_indices(indices)?;
    check_same_elem(&[data, updates])?;
    check_axis(axis, data)?;
    if reduction != ScatterReduction::None {
        check_numeric(data)?;
    }
    if indices.shape != updates.shape {
        return Err(format!("indices {indices} and updates {updates} differ in shape"));
    }
    check_within(data, indices, axis)?;
    Ok(data.clone())
}

pub(super) fn scatter_nd(types: &[&TensorType]) -> Inferred {
    let (data, indices, updates) = (types[0], types[1], types[2]);
    check_indices(indices)?;
    check_same_elem(&[data, updates])?;
    let (outer, depth) = index_tuples(indices)?;
    let Some(inner) = data.shape.dims().get(depth..) else {
        return Err(format!("index tuples of {depth} exceed the rank of {data}"));
    };
    if updates.shape.dims() != [outer, inner].concat() {
        return Err(format!("updates {updates} do not fit indices {indices} into {data}"));
    }
    Ok(data.clone())
}

pub(super) fn top_k(src: &TensorType, attrs: &TopKAttrs) -> Result<Vec<TensorType>, String> {
    check_numeric(src)?;
    check_axis(attrs.axis, src)?;
    if attrs.k > src.shape[attrs.axis] {
        return Err(format!("k {} exceeds axis {} of {src}", attrs.k, attrs.axis));
    }
    if !matches!(attrs.index_elem, ElemType::I32 | ElemType::I64) {
        return Err(format!("indices are i32 or i64, not {}", attrs.index_elem));
    }
    let mut dims = src.shape.dims().to_vec();
    dims[attrs.axis] = attrs.k;
    Ok(vec![typed(src.elem, dims.clone())?, typed(attrs.index_elem, dims)?])
}

/// The shape of the indices with `depth` inserted at `axis`.
pub(super) fn one_hot(
    indices: &TensorType,
    axis: usize,
    depth: usize,
    [on, off]: [f64; 2],
    elem: ElemType,
) -> Inferred {
    check_indices(indices)?;
    if axis > indices.shape.rank() {
        return Err(format!("axis {axis} is outside the result's rank {}", indices.shape.rank() + 1));
    }
    check_representable("on", on, elem)?;
    check_representable("off", off, elem)?;
    let mut dims = indices.shape.dims().to_vec();
    dims.insert(axis, depth);
    typed(elem, dims)
}

/// The dimensions that count index tuples, and the length of a tuple.
fn index_tuples(indices: &TensorType) -> Result<(&[usize], usize), String> {
    match indices.shape.dims() {
        [outer @ .., depth] => Ok((outer, *depth)),
        [] => Err(format!("takes index tuples, not {indices}")),
    }
}

fn check_batch(data: &TensorType, indices: &TensorType, batch_dims: usize) -> Result<(), String> {
    let (data_batch, index_batch) = (data.shape.dims().get(..batch_dims), indices.shape.dims().get(..batch_dims));
    if data_batch.is_some() && data_batch == index_batch {
        return Ok(());
    }
    Err(format!("{data} and {indices} differ in the first {batch_dims} dimensions"))
}

/// Indices have data's rank and, outside the axis, address nothing beyond it.
fn check_within(data: &TensorType, indices: &TensorType, axis: usize) -> Result<(), String> {
    let (data_dims, index_dims) = (data.shape.dims(), indices.shape.dims());
    let fits = data_dims.len() == index_dims.len()
        && (0..data_dims.len()).all(|dim| dim == axis || index_dims[dim] <= data_dims[dim]);
    if fits { Ok(()) } else { Err(format!("indices {indices} do not fit {data} outside axis {axis}")) }
}
