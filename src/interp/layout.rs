//! Operations that move elements and change none: each builds a view of its source (see [`super::view`]).

use crate::ir::op::{DepthMode, PadAttrs, PadMode, SliceAttrs};
use crate::ir::{Tensor, TensorType};

use super::values::Values;
use super::view::{OUTSIDE, View, around, pick, pick_or};

pub(super) fn transpose(perm: &[usize], src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    pick(src, ty, &View::of(src.shape().dims()).permute(perm)?.positions())
}

pub(super) fn broadcast(src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    pick(src, ty, &View::of(src.shape().dims()).broadcast(ty.shape.dims())?.positions())
}

pub(super) fn slice(attrs: &SliceAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let rank = src.shape().rank();
    if [attrs.begin.len(), attrs.lengths.len(), attrs.strides.len()] != [rank; 3] {
        return Err(format!("slice of {} along {} dimensions", src.ty(), attrs.begin.len()));
    }
    let mut view = View::of(src.shape().dims());
    for axis in 0..rank {
        view = view.slice(axis, attrs.begin[axis] as isize, attrs.lengths[axis], attrs.strides[axis])?;
    }
    pick(src, ty, &view.positions())
}

pub(super) fn reverse(axis: usize, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let [_, size, _] = around(src.shape().dims(), axis)?;
    pick(src, ty, &View::of(src.shape().dims()).slice(axis, size as isize - 1, size, -1)?.positions())
}

pub(super) fn split(
    axis: usize,
    lengths: &[usize],
    src: &Tensor,
    results: &[TensorType],
) -> Result<Vec<Tensor>, String> {
    let mut begin = 0;
    let parts = lengths.iter().zip(results).map(|(&length, ty)| {
        let part = View::of(src.shape().dims()).slice(axis, begin, length, 1)?;
        begin += length as isize;
        pick(src, ty, &part.positions())
    });
    parts.collect()
}

pub(super) fn tile(repeats: &[usize], src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let lead = repeats.len().saturating_sub(src.shape().rank());
    let mut dims = vec![1; lead];
    dims.extend_from_slice(src.shape().dims());
    let lead = dims.len().saturating_sub(repeats.len());
    // a repeated dimension is a broadcast one in front of it
    let split: Vec<usize> = dims.iter().flat_map(|&size| [1, size]).collect();
    let repeated = dims.iter().enumerate().flat_map(|(d, &size)| {
        let repeat = d.checked_sub(lead).map_or(1, |d| repeats[d]);
        [repeat, size]
    });
    let repeated: Vec<usize> = repeated.collect();
    pick(src, ty, &View::of(&split).broadcast(&repeated)?.positions())
}

pub(super) fn concat(axis: usize, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let [outer, _, _] = around(ty.shape.dims(), axis)?;
    let mut rows = Vec::new();
    for operand in operands {
        let [_, size, inner] = around(operand.shape().dims(), axis)?;
        rows.push(size * inner);
    }
    let sources: Vec<Values> = operands.iter().map(|operand| Values::of(operand)).collect();
    let mut real = Vec::new();
    let mut int = Vec::new();
    for row in 0..outer {
        for (source, &len) in sources.iter().zip(&rows) {
            match source {
                Values::Real(values) => real.extend_from_slice(part(values, row * len, len)?),
                Values::Int(values) => int.extend_from_slice(part(values, row * len, len)?),
            }
        }
    }
    if ty.elem.is_float() { Values::Real(real).into_tensor(ty) } else { Values::Int(int).into_tensor(ty) }
}

fn part<T>(values: &[T], begin: usize, len: usize) -> Result<&[T], String> {
    values.get(begin..begin + len).ok_or_else(|| "concatenation of tensors of different shapes".into())
}

/// The element of a dimension of this size that padding puts at place `at`, which is negative or beyond the size in the
/// added part; `None` for the constant.
pub fn padded_source(mode: PadMode, at: isize, size: isize) -> Option<isize> {
    let inside = (0..size).contains(&at);
    match mode {
        PadMode::Constant => inside.then_some(at),
        PadMode::Edge => (size > 0).then(|| at.clamp(0, size - 1)),
        PadMode::Reflect => fold_back(at, size, 2 * size - 2, 0),
        PadMode::Symmetric => fold_back(at, size, 2 * size, 1),
    }
}

/// The mirrored signal has this period; `skew` is 1 where the edge element itself is repeated.
fn fold_back(at: isize, size: isize, period: isize, skew: isize) -> Option<isize> {
    match (size, period) {
        (..=0, _) => None,
        (_, ..=0) => Some(0),
        (_, _) => {
            let at = at.rem_euclid(period);
            Some(if at < size { at } else { period - skew - at })
        }
    }
}

pub(super) fn pad(attrs: &PadAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let (dims, result) = (src.shape().dims(), ty.shape.dims());
    if dims.len() != result.len() || attrs.begin.len() != dims.len() {
        return Err(format!("padding of {} to {ty}", src.ty()));
    }
    let mut positions = vec![0];
    for (d, (&size, &padded)) in dims.iter().zip(result).enumerate() {
        let sources: Vec<Option<isize>> =
            (0..padded as isize).map(|at| padded_source(attrs.mode, at - attrs.begin[d], size as isize)).collect();
        let place = |row: usize, source: &Option<isize>| match source {
            Some(at) if row != OUTSIDE => row * size + *at as usize,
            Some(_) | None => OUTSIDE,
        };
        positions = positions.iter().flat_map(|&row| sources.iter().map(move |at| place(row, at))).collect();
    }
    pick_or(src, ty, &positions, Some(attrs.value))
}

/// Sizes of `[n, c, spatial..]`.
fn image(src: &Tensor) -> Result<(usize, usize, &[usize]), String> {
    match src.shape().dims() {
        &[n, c, ref spatial @ ..] => Ok((n, c, spatial)),
        [] | [_] => Err(format!("{} is not a batch of images", src.ty())),
    }
}

/// Blocks of channels become blocks of space: `[n, block.., c, s..]` (blocks first) or `[n, c, block.., s..]` (depth first)
/// to `[n, c, s0, block0, s1, block1, ..]`.
pub(super) fn depth_to_space(block: usize, mode: DepthMode, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let (n, c, spatial) = image(src)?;
    let (rank, blocks) = (spatial.len(), vec![block; spatial.len()]);
    let depth = c.checked_div(block.pow(rank as u32)).unwrap_or(0);
    let (first_block, channel, mut dims) = match mode {
        DepthMode::BlocksFirst => (1, 1 + rank, [&[n], blocks.as_slice(), &[depth]].concat()),
        DepthMode::DepthFirst => (2, 1, [&[n, depth], blocks.as_slice()].concat()),
    };
    dims.extend_from_slice(spatial);
    let mut perm = vec![0, channel];
    perm.extend((0..rank).flat_map(|d| [2 + rank + d, first_block + d]));
    pick(src, ty, &View::of(&dims).permute(&perm)?.positions())
}

/// The reverse of [`depth_to_space`].
pub(super) fn space_to_depth(block: usize, mode: DepthMode, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let (n, c, spatial) = image(src)?;
    let mut dims = vec![n, c];
    dims.extend(spatial.iter().flat_map(|&size| [size.checked_div(block).unwrap_or(0), block]));
    let rank = spatial.len();
    let blocks = (0..rank).map(|d| 3 + 2 * d);
    let mut perm = vec![0];
    match mode {
        DepthMode::BlocksFirst => perm.extend(blocks.chain([1])),
        DepthMode::DepthFirst => perm.extend([1].into_iter().chain(blocks)),
    }
    perm.extend((0..rank).map(|d| 2 + 2 * d));
    pick(src, ty, &View::of(&dims).permute(&perm)?.positions())
}

/// `[block.., n, s0, s1, ..]` to `[n, s0, block0, s1, block1, ..]`, then cropped. Dimension 0 is the batch, whose own block is 1.
pub(super) fn batch_to_space(
    block: &[usize],
    crops_begin: &[usize],
    src: &Tensor,
    ty: &TensorType,
) -> Result<Tensor, String> {
    let dims = src.shape().dims();
    let rank = dims.len();
    if rank == 0 || block.len() != rank || crops_begin.len() != rank || ty.shape.rank() != rank {
        return Err(format!("blocks {block:?} of {}", src.ty()));
    }
    let batch = dims[0].checked_div(block.iter().product()).unwrap_or(0);
    let blocked = [block, &[batch], &dims[1..]].concat();
    let perm: Vec<usize> = (0..rank).flat_map(|d| [rank + d, d]).collect();
    let spread = View::of(&blocked).permute(&perm)?.positions();
    let whole: Vec<usize> = (0..rank).map(|d| blocked[rank + d] * block[d]).collect();
    let mut cropped = View::of(&whole);
    for (d, &begin) in crops_begin.iter().enumerate() {
        cropped = cropped.slice(d, begin as isize, ty.shape[d], 1)?;
    }
    let positions: Option<Vec<usize>> = cropped.positions().iter().map(|&at| spread.get(at).copied()).collect();
    pick(src, ty, &positions.ok_or_else(|| format!("crops {crops_begin:?} of {whole:?}"))?)
}

/// The reverse of [`batch_to_space`]: pads with zeros, then gathers each block's elements into its own image.
pub(super) fn space_to_batch(
    block: &[usize],
    pads_begin: &[usize],
    pads_end: &[usize],
    src: &Tensor,
    ty: &TensorType,
) -> Result<Tensor, String> {
    let dims = src.shape().dims();
    let rank = dims.len();
    if [block.len(), pads_begin.len(), pads_end.len()] != [rank; 3] {
        return Err(format!("blocks {block:?} of {}", src.ty()));
    }
    let sizes = (0..rank).map(|d| pads_begin[d] + dims[d] + pads_end[d]);
    let blocked: Vec<usize> =
        sizes.zip(block).flat_map(|(size, &block)| [size.checked_div(block).unwrap_or(0), block]).collect();
    let perm: Vec<usize> = (0..rank).map(|d| 2 * d + 1).chain((0..rank).map(|d| 2 * d)).collect();
    let order = View::of(&blocked).permute(&perm)?.positions();
    let whole: Vec<usize> = (0..rank).map(|d| blocked[2 * d] * blocked[2 * d + 1]).collect();
    let source = |padded: usize| {
        let mut rest = padded;
        let mut place = 0;
        let mut stride = 1;
        for d in (0..rank).rev() {
            let at = (rest % whole[d]).checked_sub(pads_begin[d]).filter(|&at| at < dims[d]);
            place += match at {
                Some(at) => at * stride,
                None => return OUTSIDE,
            };
            rest /= whole[d];
            stride *= dims[d];
        }
        place
    };
    let positions: Vec<usize> = order.into_iter().map(source).collect();
    pick_or(src, ty, &positions, Some(0.0))
}
