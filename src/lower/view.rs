//! Strided views: where the elements of a value lie in a storage.
//!
//! Movement operations cost nothing as long as their result is a view: transposes permute strides, slices move the offset,
//! broadcasts have stride 0, reshapes split and merge dimensions where strides allow. Only where a kernel needs another
//! order does lowering insert a copy.

use cranelift_entity::entity_impl;

use crate::ir::{ElemType, Shape};

/// A piece of memory that values live in: a workspace buffer, a model input or output, or a constant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Storage(u32);
entity_impl!(Storage, "storage");

/// Elements of one value, in logical order of dimensions. Strides and offset are in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub storage: Storage,
    pub offset: i64,
    pub elem: ElemType,
    pub sizes: Vec<usize>,
    pub strides: Vec<i64>,
    /// Elements around the view that hold a known value.
    pub halo: Option<Halo>,
}

/// Border elements before and after each dimension, all equal to `value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halo {
    pub before: Vec<usize>,
    pub after: Vec<usize>,
    pub value: i32,
}

impl Halo {
    /// A border of this one holds everything `wanted` asks for.
    pub fn covers(&self, wanted: &Halo) -> bool {
        let enough = |have: &[usize], want: &[usize]| have.iter().zip(want).all(|(have, want)| have >= want);
        self.value == wanted.value && enough(&self.before, &wanted.before) && enough(&self.after, &wanted.after)
    }

    /// There are elements before and after this dimension.
    pub fn surrounds(&self, dim: usize) -> bool {
        self.before[dim] > 0 && self.after[dim] > 0
    }

    pub fn is_empty(&self) -> bool {
        self.before.iter().chain(&self.after).all(|&pad| pad == 0)
    }
}

impl View {
    /// A dense view of a whole storage whose dimensions lie in memory in `order`, outermost first.
    pub fn dense(storage: Storage, elem: ElemType, sizes: &[usize], order: &[usize]) -> View {
        let mut strides = vec![0; sizes.len()];
        let mut stride = elem.bytes() as i64;
        for &dim in order.iter().rev() {
            strides[dim] = stride;
            stride *= sizes[dim] as i64;
        }
        View { storage, offset: 0, elem, sizes: sizes.to_vec(), strides, halo: None }
    }

    pub fn rank(&self) -> usize {
        self.sizes.len()
    }

    pub fn elements(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Dimensions from the outermost in memory to the innermost. Dimensions of size 1 and broadcast ones have no place of
    /// their own: they keep their logical order at the outside.
    pub fn order(&self) -> Vec<usize> {
        let weight = |&dim: &usize| {
            let free = self.sizes[dim] <= 1 || self.strides[dim] == 0;
            (!free, std::cmp::Reverse(if free { 0 } else { self.strides[dim].abs() }), dim)
        };
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.sort_by_key(weight);
        order
    }

    /// Where each element lies in the storage, in row-major order.
    pub fn offsets(&self) -> impl Iterator<Item = i64> {
        (0..self.elements()).map(|index| {
            let step = |(rest, offset): (usize, i64), dim: usize| {
                (rest / self.sizes[dim], offset + (rest % self.sizes[dim]) as i64 * self.strides[dim])
            };
            (0..self.rank()).rev().fold((index, self.offset), step).1
        })
    }

    /// No gaps, and the last dimension innermost: what the model's border and flat kernels expect.
    pub fn is_row_major(&self) -> bool {
        let mut stride = self.elem.bytes() as i64;
        for (&size, &actual) in self.sizes.iter().zip(&self.strides).rev() {
            if size != 1 && actual != stride {
                return false;
            }
            stride *= size as i64;
        }
        true
    }

    pub fn permuted(&self, perm: &[usize]) -> View {
        let halo = self.halo.as_ref().map(|halo| Halo {
            before: perm.iter().map(|&dim| halo.before[dim]).collect(),
            after: perm.iter().map(|&dim| halo.after[dim]).collect(),
            value: halo.value,
        });
        View {
            sizes: perm.iter().map(|&dim| self.sizes[dim]).collect(),
            strides: perm.iter().map(|&dim| self.strides[dim]).collect(),
            halo,
            ..self.clone()
        }
    }

    /// Elements `begin + i * step` of each dimension.
    pub fn sliced(&self, begin: &[usize], lengths: &[usize], steps: &[isize]) -> View {
        let mut view = self.clone();
        let mut halo = view.halo.take();
        for dim in 0..self.rank() {
            let whole = begin[dim] == 0 && lengths[dim] == self.sizes[dim] && steps[dim] == 1;
            view.offset += begin[dim] as i64 * self.strides[dim];
            view.strides[dim] *= steps[dim] as i64;
            view.sizes[dim] = lengths[dim];
            // The border of a cut dimension is its neighbours, not the known value.
            halo = halo.filter(|halo| whole || (halo.before[dim] == 0 && halo.after[dim] == 0));
        }
        view.halo = halo;
        view
    }

    /// One slice of `axis`.
    pub fn part(&self, axis: usize, begin: usize, length: usize) -> View {
        let mut begins = vec![0; self.rank()];
        let mut lengths = self.sizes.clone();
        begins[axis] = begin;
        lengths[axis] = length;
        self.sliced(&begins, &lengths, &vec![1; self.rank()])
    }

    /// NumPy broadcasting to `shape`.
    pub fn broadcast(&self, shape: &[usize]) -> View {
        let added = shape.len() - self.rank();
        let mut strides = vec![0; shape.len()];
        for dim in 0..self.rank() {
            strides[added + dim] = if self.sizes[dim] == shape[added + dim] { self.strides[dim] } else { 0 };
        }
        View { sizes: shape.to_vec(), strides, halo: None, ..self.clone() }
    }

    /// The same elements in row-major logical order under another shape, if strides allow it without a copy.
    pub fn reshaped(&self, shape: &Shape) -> Option<View> {
        let sizes = shape.dims();
        if self.elements() == 0 {
            return Some(View { halo: None, ..View::dense(self.storage, self.elem, sizes, &row_major(sizes.len())) });
        }
        let merged = merge_dims(&self.sizes, &self.strides);
        let mut strides = vec![0; sizes.len()];
        let mut pieces = merged.into_iter().rev();
        let (mut left, mut stride) = pieces.next().unwrap_or((1, 0));
        for dim in (0..sizes.len()).rev() {
            if sizes[dim] == 1 {
                continue;
            }
            if left == 1 {
                (left, stride) = pieces.next()?;
            }
            if left % sizes[dim] != 0 {
                return None;
            }
            strides[dim] = stride;
            stride *= sizes[dim] as i64;
            left /= sizes[dim];
        }
        Some(View { sizes: sizes.to_vec(), strides, halo: None, ..self.clone() })
    }
}

/// `0, 1, .., rank - 1`
pub fn row_major(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

/// Batch, spatial dimensions, then channels; row-major below rank 3, which has no channels to move.
pub fn channels_last(rank: usize) -> Vec<usize> {
    if rank < 3 {
        return row_major(rank);
    }
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

/// Neighbouring dimensions that walk memory as one are merged; those of size 1 vanish.
fn merge_dims(sizes: &[usize], strides: &[i64]) -> Vec<(usize, i64)> {
    let mut merged: Vec<(usize, i64)> = Vec::new();
    for (&size, &stride) in sizes.iter().zip(strides).filter(|&(&size, _)| size != 1) {
        match merged.last_mut() {
            Some((outer, outer_stride)) if *outer_stride == stride * size as i64 => {
                *outer *= size;
                *outer_stride = stride;
            }
            _ => merged.push((size, stride)),
        }
    }
    merged
}

/// Several operands over the same sizes: neighbouring dimensions are merged where every operand walks them as one.
/// Gives sizes, and for each operand its strides. Dimensions of size 1 vanish.
pub fn merge_common(sizes: &[usize], operands: &[Vec<i64>]) -> (Vec<usize>, Vec<Vec<i64>>) {
    let mut out_sizes: Vec<usize> = Vec::new();
    let mut out: Vec<Vec<i64>> = vec![Vec::new(); operands.len()];
    for dim in (0..sizes.len()).filter(|&dim| sizes[dim] != 1) {
        let size = sizes[dim];
        let mergeable = !out_sizes.is_empty()
            && operands
                .iter()
                .zip(&out)
                .all(|(strides, merged)| merged.last().is_some_and(|&outer| outer == strides[dim] * size as i64));
        if mergeable {
            if let Some(last) = out_sizes.last_mut() {
                *last *= size;
            }
            for (strides, merged) in operands.iter().zip(&mut out) {
                if let Some(last) = merged.last_mut() {
                    *last = strides[dim];
                }
            }
        } else {
            out_sizes.push(size);
            for (strides, merged) in operands.iter().zip(&mut out) {
                merged.push(strides[dim]);
            }
        }
    }
    (out_sizes, out)
}

#[cfg(test)]
mod tests {
    use cranelift_entity::EntityRef;

    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).expect("small")
    }

    fn view(sizes: &[usize], order: &[usize]) -> View {
        View::dense(Storage::new(0), ElemType::U8, sizes, order)
    }

    #[test]
    fn channels_last_strides() {
        assert_eq!(view(&[1, 3, 4, 5], &channels_last(4)).strides, [60, 1, 15, 3]);
    }

    #[test]
    fn reshape_splits_and_merges_where_strides_allow() {
        let rows = view(&[1, 6, 2, 2], &row_major(4));
        assert_eq!(rows.reshaped(&shape(&[1, 24])).map(|v| v.strides), Some(vec![0, 1]));
        let last = view(&[1, 6, 2, 2], &channels_last(4));
        assert_eq!(last.reshaped(&shape(&[1, 2, 3, 2, 2])).map(|v| v.strides), Some(vec![0, 3, 1, 12, 6]));
        assert_eq!(last.reshaped(&shape(&[1, 24])), None);
        let pooled = view(&[1, 6, 1, 1], &channels_last(4));
        assert_eq!(pooled.reshaped(&shape(&[6])).map(|v| v.strides), Some(vec![1]));
    }

    #[test]
    fn slices_keep_a_border_only_where_they_keep_the_dimension() {
        let mut padded = view(&[1, 4, 2, 2], &channels_last(4));
        padded.halo = Some(Halo { before: vec![0, 0, 1, 1], after: vec![0, 0, 1, 1], value: 7 });
        assert!(padded.part(1, 1, 2).halo.is_some());
        assert!(padded.part(2, 0, 1).halo.is_none());
    }

    #[test]
    fn common_merge_stops_where_one_operand_is_broadcast() {
        let (sizes, strides) = merge_common(&[1, 2, 3, 4], &[vec![24, 12, 4, 1], vec![0, 0, 4, 1]]);
        assert_eq!(sizes, [2, 12]);
        assert_eq!(strides, [vec![12, 1], vec![0, 1]]);
    }
}
