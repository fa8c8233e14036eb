//! Reading and writing at indices that are data.
//!
//! Negative indices count from the end. An index outside its dimension reads 0 and writes nothing: a compiled model must
//! not leave its buffers for any input, and this is what it does instead.

use crate::ir::op::ScatterReduction;
use crate::ir::{ElemType, Tensor, TensorType};

use super::values::{self, Values};
use super::view::{OUTSIDE, around, indices, pick_or};

/// The index tensor as integers.
fn index_values(tensor: &Tensor) -> Result<Vec<i64>, String> {
    tensor.to_i64().ok_or_else(|| format!("indices of type {}", tensor.elem()))
}

/// `index` in a dimension of `size`, negative ones from the end; [`OUTSIDE`] when there is no such element.
fn resolve(index: i64, size: usize) -> usize {
    let at = if index < 0 { index.saturating_add(size as i64) } else { index };
    usize::try_from(at).ok().filter(|&at| at < size).unwrap_or(OUTSIDE)
}

/// `data[b.., o.., indices[b.., i..], n..]`: `b` the batch dimensions both share, `o` those before `axis`, `n` those behind.
pub(super) fn gather(axis: usize, batch_dims: usize, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let (dims, index_dims) = (operands[0].shape().dims(), operands[1].shape().dims());
    if batch_dims > axis || batch_dims > index_dims.len() {
        return Err(format!("gather along axis {axis} with {batch_dims} batch dimensions of {}", operands[1].ty()));
    }
    let [_, size, inner] = around(dims, axis)?;
    let batches: usize = dims[..batch_dims].iter().product();
    let outer: usize = dims[batch_dims..axis].iter().product();
    let per_batch: usize = index_dims[batch_dims..].iter().product();
    let index: Vec<usize> = index_values(operands[1])?.into_iter().map(|index| resolve(index, size)).collect();
    let mut positions = Vec::with_capacity(ty.shape.elements());
    for row in 0..batches * outer {
        let batch = row / outer * per_batch;
        let list = index.get(batch..batch + per_batch).ok_or("gather with fewer batches of indices than of data")?;
        for &at in list {
            let place = |i| if at == OUTSIDE { OUTSIDE } else { (row * size + at) * inner + i };
            positions.extend((0..inner).map(place));
        }
    }
    pick_or(operands[0], ty, &positions, Some(0.0))
}

/// Places in a tensor of shape `dims` that the elements of `indices` name along `axis`; the other coordinates are their own.
fn element_positions(dims: &[usize], axis: usize, index: &Tensor) -> Result<Vec<usize>, String> {
    let [_, size, stride] = around(dims, axis)?;
    if index.shape().rank() != dims.len() {
        return Err(format!("indices of shape {} for data of shape {dims:?}", index.shape()));
    }
    let places = indices(index.shape().dims()).zip(index_values(index)?).map(|(own, index)| {
        let at = resolve(index, size);
        if at == OUTSIDE || own.iter().zip(dims).enumerate().any(|(d, (at, size))| d != axis && at >= size) {
            return OUTSIDE;
        }
        let row = own.iter().zip(dims).fold(0, |place, (at, size)| place * size + at);
        row - own[axis] * stride + at * stride
    });
    Ok(places.collect())
}

pub(super) fn gather_elements(axis: usize, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let positions = element_positions(operands[0].shape().dims(), axis, operands[1])?;
    pick_or(operands[0], ty, &positions, Some(0.0))
}

/// Starts of the slices of a tensor of shape `dims` that the rows of `index` name, and the size of a slice. Rows belong to
/// batches of the first `batch_dims` dimensions.
fn slice_starts(dims: &[usize], batch_dims: usize, index: &Tensor) -> Result<(Vec<usize>, usize), String> {
    let rank = index.shape().rank();
    let depth = index.shape().dims().last().copied().unwrap_or(0);
    if rank == 0 || batch_dims >= rank || batch_dims + depth > dims.len() {
        return Err(format!("indices of shape {} for data of shape {dims:?}", index.shape()));
    }
    let batches: usize = dims[..batch_dims].iter().product();
    let rows: usize = index.shape().dims()[..rank - 1].iter().product();
    let rows_per_batch = rows.checked_div(batches).unwrap_or(0);
    let (indexed, sliced) = dims[batch_dims..].split_at(depth);
    let slice: usize = sliced.iter().product();
    let index = index_values(index)?;
    let start = |row: usize| {
        let row_index = &index[row * depth..][..depth];
        let place = row_index.iter().zip(indexed).try_fold(row / rows_per_batch.max(1), |place, (&index, &size)| {
            let at = resolve(index, size);
            (at != OUTSIDE).then(|| place * size + at)
        });
        place.map_or(OUTSIDE, |place| place * slice)
    };
    Ok(((0..rows).map(start).collect(), slice))
}

/// `data[b.., indices[b.., i.., :], n..]`
pub(super) fn gather_nd(batch_dims: usize, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let (starts, slice) = slice_starts(operands[0].shape().dims(), batch_dims, operands[1])?;
    let place = |start: usize, i: usize| if start == OUTSIDE { OUTSIDE } else { start + i };
    let positions: Vec<usize> = starts.iter().flat_map(|&start| (0..slice).map(move |i| place(start, i))).collect();
    pick_or(operands[0], ty, &positions, Some(0.0))
}

/// Slices of the data replaced by those of the updates, in order: of two for the same place the later one stays.
pub(super) fn scatter_nd(operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let (starts, slice) = slice_starts(operands[0].shape().dims(), 0, operands[1])?;
    let place = |start: usize, i: usize| if start == OUTSIDE { OUTSIDE } else { start + i };
    let positions = starts.iter().flat_map(|&start| (0..slice).map(move |i| place(start, i))).collect();
    scatter(ScatterReduction::None, operands, positions, ty)
}

pub(super) fn scatter_elements(
    axis: usize,
    reduction: ScatterReduction,
    operands: &[&Tensor],
    ty: &TensorType,
) -> Result<Tensor, String> {
    let positions = element_positions(operands[0].shape().dims(), axis, operands[1])?;
    scatter(reduction, operands, positions, ty)
}

/// Element `i` of the updates meets the data at `positions[i]`, in order; the data's own value takes part.
fn scatter(
    reduction: ScatterReduction,
    operands: &[&Tensor],
    positions: Vec<usize>,
    ty: &TensorType,
) -> Result<Tensor, String> {
    if operands[2].shape().elements() != positions.len() {
        return Err(format!("{} updates at {} indices", operands[2].ty(), positions.len()));
    }
    match (Values::of(operands[0]), Values::of(operands[2])) {
        (Values::Real(mut data), Values::Real(updates)) => {
            let counts = combine(&mut data, &updates, &positions, |a, b| reduce_real(reduction, a, b));
            if reduction == ScatterReduction::Mean {
                data.iter_mut().zip(counts).for_each(|(x, count)| *x /= count as f64);
            }
            values::real(ty, data)
        }
        (Values::Int(mut data), Values::Int(updates)) => {
            let logical = ty.elem == ElemType::Bool;
            let counts = combine(&mut data, &updates, &positions, |a, b| reduce_int(reduction, a, b, logical));
            if reduction == ScatterReduction::Mean {
                data.iter_mut().zip(counts).for_each(|(x, count)| *x = x.div_euclid(count));
            }
            values::int(ty, data)
        }
        (Values::Real(_), Values::Int(_)) | (Values::Int(_), Values::Real(_)) => {
            Err(format!("updates of {} for {}", operands[2].elem(), operands[0].elem()))
        }
    }
}

/// Gives how many values met at each place, the data's own included.
fn combine<T: Copy>(data: &mut [T], updates: &[T], positions: &[usize], f: impl Fn(T, T) -> T) -> Vec<i64> {
    let mut counts = vec![1; data.len()];
    for (&update, &at) in updates.iter().zip(positions) {
        if let Some(element) = data.get_mut(at) {
            *element = f(*element, update);
            counts[at] += 1;
        }
    }
    counts
}

/// The mean's division comes at the end.
fn reduce_real(reduction: ScatterReduction, old: f64, new: f64) -> f64 {
    match reduction {
        ScatterReduction::None => new,
        ScatterReduction::Sum | ScatterReduction::Mean => old + new,
        ScatterReduction::Prod => old * new,
        ScatterReduction::Min => {
            if new < old || new.is_nan() {
                new
            } else {
                old
            }
        }
        ScatterReduction::Max => {
            if new > old || new.is_nan() {
                new
            } else {
                old
            }
        }
    }
}

/// The mean of integers rounds toward negative infinity; sums of `bool` are disjunctions.
fn reduce_int(reduction: ScatterReduction, old: i64, new: i64, logical: bool) -> i64 {
    match reduction {
        ScatterReduction::None => new,
        ScatterReduction::Sum if logical => old | new,
        ScatterReduction::Sum | ScatterReduction::Mean => old.wrapping_add(new),
        ScatterReduction::Prod => old.wrapping_mul(new),
        ScatterReduction::Min => old.min(new),
        ScatterReduction::Max => old.max(new),
    }
}
