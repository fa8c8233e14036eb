//! Convolution, deconvolution and matrix multiplication.
//!
//! Floats accumulate in f64 and are rounded once: the oracle gives the exact sum as well as f64 can, and favours no order of
//! summation. Integers accumulate in wrapping i32, which is the exact sum modulo 2^32 in any order.

use crate::ir::op::{ConvAttrs, DeconvAttrs};
use crate::ir::{Tensor, TensorType};

use super::values;
use super::view::{View, pick};
use super::windows::{Geometry, Windows};

/// What sums of products need.
trait Ring: Copy + Default + PartialEq {
    /// `self + a * b`
    fn add_product(self, a: Self, b: Self) -> Self;
}

impl Ring for f64 {
    fn add_product(self, a: f64, b: f64) -> f64 {
        self + a * b
    }
}

impl Ring for i32 {
    fn add_product(self, a: i32, b: i32) -> i32 {
        self.wrapping_add(a.wrapping_mul(b))
    }
}

/// Two factors in the domain in which they are multiplied.
enum Factors {
    Real(Vec<f64>, Vec<f64>),
    Int(Vec<i32>, Vec<i32>),
}

impl Factors {
    fn of(a: &Tensor, b: &Tensor) -> Result<Factors, String> {
        match (a.elem().is_float(), b.elem().is_float()) {
            (true, true) => Ok(Factors::Real(a.to_f64(), b.to_f64())),
            (false, false) => Ok(Factors::Int(i32s(a), i32s(b))),
            (true, false) | (false, true) => Err(format!("products of {} and {}", a.elem(), b.elem())),
        }
    }
}

/// Integers modulo 2^32.
fn i32s(tensor: &Tensor) -> Vec<i32> {
    tensor.to_i64().unwrap_or_default().into_iter().map(|x| x as i32).collect()
}

fn int_result(ty: &TensorType, values: Vec<i32>) -> Result<Tensor, String> {
    values::int(ty, values.into_iter().map(i64::from).collect())
}

/// Channels of a grouped convolution, per group, and the size of one channel.
struct Channels {
    batch: usize,
    groups: usize,
    ic: usize,
    oc: usize,
    src_plane: usize,
    dst_plane: usize,
}

pub(super) fn convolution(attrs: &ConvAttrs, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let (src, weights, dst) = (operands[0].shape().dims(), operands[1].shape().dims(), ty.shape.dims());
    let (windows, channels) = match (src, weights, dst) {
        (&[batch, ic, ref src @ ..], &[oc, group_ic, ref kernel @ ..], &[_, _, ref dst @ ..]) => {
            let (strides, dilations, pads_begin) = (&attrs.strides, &attrs.dilations, &attrs.pads_begin);
            let windows = Geometry { src, dst, kernel, strides, dilations, pads_begin }.windows()?;
            if attrs.groups == 0 || oc % attrs.groups != 0 || ic != group_ic * attrs.groups {
                return Err(format!("{} groups of {ic} source and {oc} result channels", attrs.groups));
            }
            let (src_plane, dst_plane) = (src.iter().product(), dst.iter().product());
            let (groups, oc) = (attrs.groups, oc / attrs.groups);
            (windows, Channels { batch, groups, ic: group_ic, oc, src_plane, dst_plane })
        }
        (_, _, _) => return Err(format!("convolution of {src:?} by {weights:?}")),
    };
    match Factors::of(operands[0], operands[1])? {
        Factors::Real(src, w) => values::real(ty, convolve(&windows, &channels, &src, &w, attrs.pad_value.into())),
        Factors::Int(src, w) => int_result(ty, convolve(&windows, &channels, &src, &w, attrs.pad_value)),
    }
}

fn convolve<T: Ring>(windows: &Windows, channels: &Channels, src: &[T], weights: &[T], pad: T) -> Vec<T> {
    let &Channels { batch, groups, ic, oc, src_plane, dst_plane } = channels;
    let taps = windows.taps.len();
    let mut dst = vec![T::default(); batch * groups * oc * dst_plane];
    if dst_plane == 0 {
        return dst;
    }
    for (place, dst) in dst.chunks_exact_mut(dst_plane).enumerate() {
        let (n, channel) = (place / (groups * oc), place % (groups * oc));
        let first_src = n * groups * ic + channel / oc * ic;
        for c in 0..ic {
            let src = &src[(first_src + c) * src_plane..][..src_plane];
            let weights = &weights[(channel * ic + c) * taps..][..taps];
            correlate(windows, src, weights, pad, dst);
        }
    }
    dst
}

/// Adds the correlation of one source channel with one kernel.
fn correlate<T: Ring>(windows: &Windows, src: &[T], weights: &[T], pad: T, dst: &mut [T]) {
    for (tap, &w) in windows.taps.iter().zip(weights) {
        for run in &tap.runs {
            let src = src[run.src..].iter().step_by(windows.step.max(1));
            add_products(&mut dst[run.dst..][..run.len], src, w);
        }
        if pad != T::default() {
            for range in &tap.padded {
                add_products(&mut dst[range.clone()], std::iter::repeat(&pad), w);
            }
        }
    }
}

fn add_products<'a, T: Ring + 'a>(dst: &mut [T], src: impl Iterator<Item = &'a T>, w: T) {
    for (dst, &src) in dst.iter_mut().zip(src) {
        *dst = dst.add_product(src, w);
    }
}

/// The transposed convolution: every source element, without the zero point, adds its multiple of the kernel to the result.
pub(super) fn deconvolution(attrs: &DeconvAttrs, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let (src, weights, dst) = (operands[0].shape().dims(), operands[1].shape().dims(), ty.shape.dims());
    let (windows, channels) = match (src, weights, dst) {
        (&[batch, ic, ref src @ ..], &[weights_ic, oc, ref kernel @ ..], &[_, _, ref dst @ ..]) => {
            let (strides, dilations, pads_begin) = (&attrs.strides, &attrs.dilations, &attrs.pads_begin);
            // the convolution from result to source whose transpose this is
            let windows = Geometry { src: dst, dst: src, kernel, strides, dilations, pads_begin }.windows()?;
            if attrs.groups == 0 || ic % attrs.groups != 0 || ic != weights_ic {
                return Err(format!("{} groups of {ic} source channels", attrs.groups));
            }
            let (src_plane, dst_plane) = (src.iter().product(), dst.iter().product());
            let (groups, ic) = (attrs.groups, ic / attrs.groups);
            (windows, Channels { batch, groups, ic, oc, src_plane, dst_plane })
        }
        (_, _, _) => return Err(format!("deconvolution of {src:?} by {weights:?}")),
    };
    match Factors::of(operands[0], operands[1])? {
        Factors::Real(src, w) => values::real(ty, deconvolve(&windows, &channels, &src, &w)),
        Factors::Int(mut src, w) => {
            src.iter_mut().for_each(|x| *x = x.wrapping_sub(attrs.zero_point));
            int_result(ty, deconvolve(&windows, &channels, &src, &w))
        }
    }
}

fn deconvolve<T: Ring>(windows: &Windows, channels: &Channels, src: &[T], weights: &[T]) -> Vec<T> {
    let &Channels { batch, groups, ic, oc, src_plane, dst_plane } = channels;
    let taps = windows.taps.len();
    let mut dst = vec![T::default(); batch * groups * oc * dst_plane];
    if dst_plane == 0 {
        return dst;
    }
    for (place, dst) in dst.chunks_exact_mut(dst_plane).enumerate() {
        let (n, channel) = (place / (groups * oc), place % (groups * oc));
        let group = channel / oc;
        for c in group * ic..(group + 1) * ic {
            let src = &src[(n * groups * ic + c) * src_plane..][..src_plane];
            let weights = &weights[(c * oc + channel % oc) * taps..][..taps];
            scatter(windows, src, weights, dst);
        }
    }
    dst
}

/// [`correlate`] with the roles of source and result exchanged.
fn scatter<T: Ring>(windows: &Windows, src: &[T], weights: &[T], dst: &mut [T]) {
    for (tap, &w) in windows.taps.iter().zip(weights) {
        for run in &tap.runs {
            let dst = dst[run.src..].iter_mut().step_by(windows.step.max(1));
            for (dst, &src) in dst.zip(&src[run.dst..][..run.len]) {
                *dst = dst.add_product(src, w);
            }
        }
    }
}

/// A matrix operand with its batch dimensions, rows and columns in place: rank 1 promoted, transposition done.
struct Matrices {
    batch: Vec<usize>,
    rows: usize,
    cols: usize,
    tensor: Tensor,
}

impl Matrices {
    /// Rank 1 becomes a row (`row`) or a column, and `transpose` does not concern it.
    fn of(tensor: &Tensor, transpose: bool, row: bool) -> Result<Matrices, String> {
        let mut dims = tensor.shape().dims().to_vec();
        if dims.len() == 1 {
            dims.insert(if row { 0 } else { 1 }, 1);
        }
        let transpose = transpose && tensor.shape().rank() > 1;
        let mut perm: Vec<usize> = (0..dims.len()).collect();
        if transpose {
            perm.swap(dims.len() - 2, dims.len() - 1);
        }
        let view = View::of(&dims).permute(&perm)?;
        let dims: Vec<usize> = perm.iter().map(|&from| dims[from]).collect();
        let &[ref batch @ .., rows, cols] = dims.as_slice() else {
            return Err("matmul of a scalar".into());
        };
        let tensor = if transpose { pick(tensor, tensor.ty(), &view.positions())? } else { tensor.clone() };
        Ok(Matrices { batch: batch.to_vec(), rows, cols, tensor })
    }

    /// Numbers of the matrices that the batches of the result use.
    fn numbers(&self, batch: &[usize]) -> Result<Vec<usize>, String> {
        Ok(View::of(&self.batch).broadcast(batch)?.positions())
    }
}

pub(super) fn matmul(
    transpose_a: bool,
    transpose_b: bool,
    operands: &[&Tensor],
    ty: &TensorType,
) -> Result<Tensor, String> {
    let a = Matrices::of(operands[0], transpose_a, true)?;
    let b = Matrices::of(operands[1], transpose_b, false)?;
    if a.cols != b.rows {
        return Err(format!("matmul of {}x{} by {}x{}", a.rows, a.cols, b.rows, b.cols));
    }
    let batch = broadcast_batches(&a.batch, &b.batch)?;
    let numbers: Vec<(usize, usize)> = a.numbers(&batch)?.into_iter().zip(b.numbers(&batch)?).collect();
    let sizes = [a.rows, a.cols, b.cols];
    match Factors::of(&a.tensor, &b.tensor)? {
        Factors::Real(a, b) => values::real(ty, multiply(&numbers, sizes, &a, &b)),
        Factors::Int(a, b) => int_result(ty, multiply(&numbers, sizes, &a, &b)),
    }
}

fn broadcast_batches(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], d: usize| (d + dims.len()).checked_sub(rank).map_or(1, |d| dims[d]);
    let sizes = (0..rank).map(|d| match (size(a, d), size(b, d)) {
        (1, size) | (size, 1) => Ok(size),
        (a, b) if a == b => Ok(a),
        (a, b) => Err(format!("batches of {a} and {b} matrices")),
    });
    sizes.collect()
}

fn multiply<T: Ring>(numbers: &[(usize, usize)], [m, k, n]: [usize; 3], a: &[T], b: &[T]) -> Vec<T> {
    let mut dst = vec![T::default(); numbers.len() * m * n];
    if n == 0 {
        return dst;
    }
    for (row, dst) in dst.chunks_exact_mut(n).enumerate() {
        let (a_number, b_number) = numbers[row / m];
        let a = &a[(a_number * m + row % m) * k..][..k];
        for (a, b) in a.iter().zip(b[b_number * k * n..].chunks_exact(n)) {
            add_products(dst, b.iter(), *a);
        }
    }
    dst
}
