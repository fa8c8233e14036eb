//! Strided views: what a layout operation does, without the elements.
//!
//! A view lists, for every element of a result in row-major order, the place of its source. Transposition, slicing,
//! broadcasting, tiling and every block rearrangement are a few edits of a view; [`pick`] then moves the elements.

use crate::ir::tensor::Data;
use crate::ir::{Tensor, TensorType};
use half::{bf16, f16};

use super::values;

/// Stands among positions for an element that has no source.
pub(super) const OUTSIDE: usize = usize::MAX;

#[derive(Clone, Copy, Debug)]
struct Dim {
    size: usize,
    stride: isize,
}

/// Element `i` of the view lies at `offset + sum(i[d] * stride[d])` of the source.
#[derive(Clone, Debug)]
pub(super) struct View {
    offset: isize,
    dims: Vec<Dim>,
}

impl View {
    /// The whole of a row-major tensor.
    pub(super) fn of(shape: &[usize]) -> View {
        let mut dims: Vec<Dim> = shape.iter().map(|&size| Dim { size, stride: 1 }).collect();
        for i in (1..dims.len()).rev() {
            dims[i - 1].stride = dims[i].stride * dims[i].size as isize;
        }
        View { offset: 0, dims }
    }

    /// Dimension `i` of the result is dimension `perm[i]`.
    pub(super) fn permute(self, perm: &[usize]) -> Result<View, String> {
        let dims: Option<Vec<Dim>> = perm.iter().map(|&from| self.dims.get(from).copied()).collect();
        let dims = dims.ok_or_else(|| format!("permutation {perm:?} of {} dimensions", self.dims.len()))?;
        Ok(View { offset: self.offset, dims })
    }

    /// Elements `begin + i * stride` of one dimension, `len` of them. Positions outside the source are found by [`pick`].
    pub(super) fn slice(mut self, axis: usize, begin: isize, len: usize, stride: isize) -> Result<View, String> {
        let rank = self.dims.len();
        let dim = self.dims.get_mut(axis).ok_or_else(|| format!("axis {axis} of a tensor of rank {rank}"))?;
        self.offset += begin * dim.stride;
        // wraps only where the one element makes the stride meaningless
        *dim = Dim { size: len, stride: dim.stride.wrapping_mul(stride) };
        Ok(self)
    }

    /// NumPy broadcasting to `shape`.
    pub(super) fn broadcast(mut self, shape: &[usize]) -> Result<View, String> {
        let sizes: Vec<usize> = self.dims.iter().map(|dim| dim.size).collect();
        let error = || format!("{sizes:?} cannot be broadcast to {shape:?}");
        let lead = shape.len().checked_sub(sizes.len()).ok_or_else(error)?;
        self.dims.splice(0..0, vec![Dim { size: 1, stride: 0 }; lead]);
        for (dim, &size) in self.dims.iter_mut().zip(shape) {
            if dim.size != size {
                if dim.size != 1 {
                    return Err(error());
                }
                *dim = Dim { size, stride: 0 };
            }
        }
        Ok(self)
    }

    /// The places of all elements in row-major order.
    pub(super) fn positions(&self) -> Vec<usize> {
        if self.dims.iter().any(|dim| dim.size == 0) {
            return Vec::new();
        }
        let mut positions = vec![self.offset];
        for dim in &self.dims {
            let steps = (0..dim.size as isize).map(|i| i * dim.stride);
            positions = positions.iter().flat_map(|&at| steps.clone().map(move |step| at + step)).collect();
        }
        positions.into_iter().map(|at| at as usize).collect()
    }
}

/// All index vectors below `dims` in row-major order; one empty vector for rank 0.
pub(super) fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let total = dims.iter().product::<usize>();
    (0..total).map(move |mut at| {
        let mut index = vec![0; dims.len()];
        for (i, &size) in index.iter_mut().zip(dims).rev() {
            *i = at % size;
            at /= size;
        }
        index
    })
}

/// Sizes before, at and after `axis`: a row-major tensor as `[outer, axis, inner]`.
pub(super) fn around(shape: &[usize], axis: usize) -> Result<[usize; 3], String> {
    let size = *shape.get(axis).ok_or_else(|| format!("axis {axis} of a tensor of rank {}", shape.len()))?;
    Ok([shape[..axis].iter().product(), size, shape[axis + 1..].iter().product()])
}

/// `values` of shape `from` repeated to shape `to`.
pub(super) fn broadcast<T: Copy>(values: Vec<T>, from: &[usize], to: &[usize]) -> Result<Vec<T>, String> {
    if from == to {
        return Ok(values);
    }
    let positions = View::of(from).broadcast(to)?.positions();
    take(&values, &positions, None).ok_or_else(|| format!("{from:?} cannot be broadcast to {to:?}"))
}

/// The tensor of type `ty` whose elements are those of `src` at `positions`.
///
/// # Errors
/// When a position is not in the source or their number is not the one of the type.
pub(super) fn pick(src: &Tensor, ty: &TensorType, positions: &[usize]) -> Result<Tensor, String> {
    pick_or(src, ty, positions, None)
}

/// As [`pick`], with [`OUTSIDE`] giving `fill`.
pub(super) fn pick_or(src: &Tensor, ty: &TensorType, positions: &[usize], fill: Option<f64>) -> Result<Tensor, String> {
    let data = match src.data() {
        Data::F32(v) => take(v, positions, fill.map(|x| x as f32)).map(Data::F32),
        Data::F16(v) => take(v, positions, fill.map(|x| f16::from_f32(x as f32))).map(Data::F16),
        Data::BF16(v) => take(v, positions, fill.map(|x| bf16::from_f32(x as f32))).map(Data::BF16),
        Data::I64(v) => take(v, positions, fill.map(|x| x as i64)).map(Data::I64),
        Data::I32(v) => take(v, positions, fill.map(|x| x as i32)).map(Data::I32),
        Data::I16(v) => take(v, positions, fill.map(|x| x as i16)).map(Data::I16),
        Data::I8(v) => take(v, positions, fill.map(|x| x as i8)).map(Data::I8),
        Data::U8(v) => take(v, positions, fill.map(|x| x as u8)).map(Data::U8),
    };
    if src.elem() != ty.elem {
        return Err(format!("internal error: elements of {} moved to a result of type {ty}", src.ty()));
    }
    values::tensor(ty, data.ok_or_else(|| format!("internal error: a position outside {} for {ty}", src.ty()))?)
}

fn take<T: Copy>(values: &[T], positions: &[usize], fill: Option<T>) -> Option<Vec<T>> {
    positions.iter().map(|&at| if at == OUTSIDE { fill } else { values.get(at).copied() }).collect()
}

/// Positions for a result that is a source of shape `dims` with the coordinates along `axis` replaced by those in `table`,
/// [`OUTSIDE`] included.
pub(super) fn along_axis(dims: &[usize], axis: usize, table: &[usize]) -> Result<Vec<usize>, String> {
    let [outer, size, inner] = around(dims, axis)?;
    let place = |row: usize, at: usize, i| if at == OUTSIDE { OUTSIDE } else { (row * size + at) * inner + i };
    let row = |row| table.iter().flat_map(move |&at| (0..inner).map(move |i| place(row, at, i)));
    Ok((0..outer).flat_map(row).collect())
}
