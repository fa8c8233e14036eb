//! Products and windows: convolution, deconvolution, pooling, matmul.

use super::super::op::{ConvAttrs, DeconvAttrs, PoolAttrs, Rounding};
use super::super::ty::{ElemType, Shape, TensorType};
use super::{Inferred, broadcast_shapes, check_len, check_numeric, checked_product, checked_sum, typed};

/// Geometry of a window along one spatial dimension.
struct Window {
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad_begin: usize,
    pad_end: usize,
}

impl Window {
    /// Elements from the first tap to the last: `(kernel - 1) * dilation + 1`.
    fn extent(&self) -> Result<usize, String> {
        if self.kernel == 0 || self.stride == 0 || self.dilation == 0 {
            return Err("a kernel size, stride or dilation is 0".into());
        }
        checked_sum(&[checked_product(&[self.kernel - 1, self.dilation])?, 1])
    }

    /// Number of windows over `size` elements and the padding.
    fn count(&self, size: usize, rounding: Rounding) -> Result<usize, String> {
        let padded = checked_sum(&[size, self.pad_begin, self.pad_end])?;
        let extent = self.extent()?;
        let Some(room) = padded.checked_sub(extent) else {
            return Err(format!("a window of {extent} elements does not fit into {padded}, padding included"));
        };
        let windows = match rounding {
            Rounding::Floor => room / self.stride,
            Rounding::Ceil => room.div_ceil(self.stride),
            Rounding::CeilTorch => {
                let last = room.div_ceil(self.stride);
                // The last window must start before the end padding: at most one is too many.
                let starts_in_end_padding =
                    last.checked_mul(self.stride).is_none_or(|start| start >= size + self.pad_begin);
                if starts_in_end_padding { last.saturating_sub(1) } else { last }
            }
        };
        checked_sum(&[windows, 1])
    }

    /// Number of results of the transposed window: `(size - 1) * stride + extent + output_padding - pads`.
    fn transposed_count(&self, size: usize, output_padding: usize) -> Result<usize, String> {
        let Some(steps) = size.checked_sub(1) else {
            return Err("the source has no elements".into());
        };
        let full = checked_sum(&[checked_product(&[steps, self.stride])?, self.extent()?, output_padding])?;
        let pads = checked_sum(&[self.pad_begin, self.pad_end])?;
        full.checked_sub(pads).ok_or_else(|| format!("pads of {pads} leave nothing of {full} elements"))
    }
}

pub(super) fn convolution(src: &TensorType, weights: &TensorType, attrs: &ConvAttrs) -> Inferred {
    let elem = product_elem(src, weights)?;
    let spatial = spatial_rank(src, weights)?;
    check_lens(spatial, [&attrs.strides, &attrs.dilations, &attrs.pads_begin, &attrs.pads_end])?;
    let (ic, oc) = (src.shape[1], weights.shape[0]);
    if attrs.groups == 0 || !oc.is_multiple_of(attrs.groups) {
        return Err(format!("{oc} output channels do not divide into {} groups", attrs.groups));
    }
    if checked_product(&[weights.shape[1], attrs.groups])? != ic {
        return Err(format!("{} groups of weights {weights} do not fit a source of {src}", attrs.groups));
    }
    check_zero_point("pad_value", attrs.pad_value, src.elem)?;
    let mut dims = vec![src.shape[0], oc];
    for i in 0..spatial {
        let window = Window {
            kernel: weights.shape[i + 2],
            stride: attrs.strides[i],
            dilation: attrs.dilations[i],
            pad_begin: attrs.pads_begin[i],
            pad_end: attrs.pads_end[i],
        };
        dims.push(window.count(src.shape[i + 2], Rounding::Floor)?);
    }
    typed(elem, dims)
}

pub(super) fn deconvolution(src: &TensorType, weights: &TensorType, attrs: &DeconvAttrs) -> Inferred {
    let elem = product_elem(src, weights)?;
    let spatial = spatial_rank(src, weights)?;
    check_lens(spatial, [&attrs.strides, &attrs.dilations, &attrs.pads_begin, &attrs.pads_end])?;
    check_len("output_padding", attrs.output_padding.len(), spatial)?;
    check_zero_point("zero_point", attrs.zero_point, src.elem)?;
    let ic = src.shape[1];
    if attrs.groups == 0 || !ic.is_multiple_of(attrs.groups) {
        return Err(format!("{ic} input channels do not divide into {} groups", attrs.groups));
    }
    if weights.shape[0] != ic {
        return Err(format!("weights {weights} do not fit a source of {src}"));
    }
    let mut dims = vec![src.shape[0], checked_product(&[weights.shape[1], attrs.groups])?];
    for i in 0..spatial {
        let window = Window {
            kernel: weights.shape[i + 2],
            stride: attrs.strides[i],
            dilation: attrs.dilations[i],
            pad_begin: attrs.pads_begin[i],
            pad_end: attrs.pads_end[i],
        };
        dims.push(window.transposed_count(src.shape[i + 2], attrs.output_padding[i])?);
    }
    typed(elem, dims)
}

pub(super) fn max_pool(src: &TensorType, attrs: &PoolAttrs) -> Inferred {
    check_numeric(src)?;
    typed(src.elem, pooled_dims(src, attrs)?)
}

/// The mean of integers is f32: an integer mean would round before the scale is known.
pub(super) fn avg_pool(src: &TensorType, attrs: &PoolAttrs) -> Inferred {
    check_numeric(src)?;
    let elem = if src.elem.is_float() { src.elem } else { ElemType::F32 };
    typed(elem, pooled_dims(src, attrs)?)
}

fn pooled_dims(src: &TensorType, attrs: &PoolAttrs) -> Result<Vec<usize>, String> {
    let Some(spatial) = src.shape.rank().checked_sub(2).filter(|&spatial| spatial > 0) else {
        return Err(format!("takes [n, c, spatial..], not {src}"));
    };
    check_len("kernel", attrs.kernel.len(), spatial)?;
    check_lens(spatial, [&attrs.strides, &attrs.dilations, &attrs.pads_begin, &attrs.pads_end])?;
    let mut dims = src.shape.dims()[..2].to_vec();
    for i in 0..spatial {
        let window = Window {
            kernel: attrs.kernel[i],
            stride: attrs.strides[i],
            dilation: attrs.dilations[i],
            pad_begin: attrs.pads_begin[i],
            pad_end: attrs.pads_end[i],
        };
        dims.push(window.count(src.shape[i + 2], attrs.rounding)?);
    }
    Ok(dims)
}

/// NumPy's matmul. A rank-1 operand becomes a row (left) or a column (right), whose dimension the result drops; its
/// transpose flag means nothing.
pub(super) fn matmul(a: &TensorType, b: &TensorType, transpose_a: bool, transpose_b: bool) -> Inferred {
    let elem = matmul_elem(a, b)?;
    let (a_batch, [m, a_k]) = matrix(a, transpose_a, |k| [1, k])?;
    let (b_batch, [b_k, n]) = matrix(b, transpose_b, |k| [k, 1])?;
    if a_k != b_k {
        return Err(format!("inner sizes {a_k} and {b_k} of {a} and {b} differ"));
    }
    let mut dims = broadcast_shapes(&a_batch, &b_batch)?.dims().to_vec();
    if a.shape.rank() > 1 {
        dims.push(m);
    }
    if b.shape.rank() > 1 {
        dims.push(n);
    }
    typed(elem, dims)
}

/// Batch dimensions and the matrix at the end.
fn matrix(
    ty: &TensorType,
    transpose: bool,
    promote: impl Fn(usize) -> [usize; 2],
) -> Result<(Shape, [usize; 2]), String> {
    match *ty.shape.dims() {
        [] => Err(format!("takes matrices, not {ty}")),
        [k] => Ok((Shape::scalar(), promote(k))),
        [ref batch @ .., rows, columns] => {
            let batch = super::shape(batch.to_vec())?;
            Ok((batch, if transpose { [columns, rows] } else { [rows, columns] }))
        }
    }
}

/// Floats give a float; u8 or i8 with i8 or i16 weights give i32.
fn product_elem(src: &TensorType, weights: &TensorType) -> Result<ElemType, String> {
    match (src.elem, weights.elem) {
        (a, b) if a == b && a.is_float() => Ok(a),
        (ElemType::U8 | ElemType::I8, ElemType::I8 | ElemType::I16) => Ok(ElemType::I32),
        _ => Err(format!("takes floats of one type, or u8 or i8 with i8 or i16 weights, not {src} and {weights}")),
    }
}

fn matmul_elem(a: &TensorType, b: &TensorType) -> Result<ElemType, String> {
    match (a.elem, b.elem) {
        (x, y) if x == y && x.is_float() => Ok(x),
        (ElemType::U8 | ElemType::I8, ElemType::U8 | ElemType::I8 | ElemType::I16) => Ok(ElemType::I32),
        _ => Err(format!("takes floats of one type, or u8 or i8 with u8, i8 or i16, not {a} and {b}")),
    }
}

fn spatial_rank(src: &TensorType, weights: &TensorType) -> Result<usize, String> {
    let rank = src.shape.rank();
    if rank < 3 || weights.shape.rank() != rank {
        return Err(format!("takes [n, c, spatial..] and weights of the same rank, not {src} and {weights}"));
    }
    Ok(rank - 2)
}

fn check_lens(spatial: usize, lists: [&[usize]; 4]) -> Result<(), String> {
    let names = ["strides", "dilations", "pads_begin", "pads_end"];
    names.iter().zip(lists).try_for_each(|(name, list)| check_len(name, list.len(), spatial))
}

fn check_zero_point(name: &str, zero_point: i32, elem: ElemType) -> Result<(), String> {
    let (low, high) = elem.int_range().unwrap_or((0, 0));
    if (low..=high).contains(&i64::from(zero_point)) {
        return Ok(());
    }
    Err(format!("{name} {zero_point} is not a value of {elem} (floats have 0)"))
}
