//! Quantization in f32, operation by operation as written: these are the roundings that a compiled kernel must repeat.

use crate::ir::op::{QuantizeAttrs, RequantizeAttrs};
use crate::ir::{QuantParams, Tensor, TensorType};

use super::values::{self, f32s};
use super::view::{self, around};

/// `FakeQuantize(x, input_low, input_high, output_low, output_high)` as OpenVINO's reference computes it (opset 1):
/// at or below the lower bound of the interval `output_low`, above the upper bound `output_high`, between them
/// `rne((x - il) / (ih - il) * (levels - 1)) / (levels - 1) * (oh - ol) + ol`. The bounds are `min` and `max` of `il` and
/// `ih`, the formula takes them as they are. NaN gives NaN. Each range is broadcast on its own to the shape of `x`.
pub(super) fn fake_quantize(levels: u32, operands: &[&Tensor], ty: &TensorType) -> Result<Tensor, String> {
    let dims = operands[0].shape().dims();
    let range = |i: usize| view::broadcast(f32s(operands[i]), operands[i].shape().dims(), dims);
    let (il, ih, ol, oh) = (range(1)?, range(2)?, range(3)?, range(4)?);
    let steps = levels.saturating_sub(1) as f32;
    let x = f32s(operands[0]);
    let quantized = x.iter().enumerate().map(|(i, &x)| fake_quantize_one(x, steps, il[i], ih[i], ol[i], oh[i]));
    values::from_f32s(ty, quantized.collect())
}

fn fake_quantize_one(x: f32, steps: f32, il: f32, ih: f32, ol: f32, oh: f32) -> f32 {
    if x <= il.min(ih) {
        ol
    } else if x > il.max(ih) {
        oh
    } else {
        ((x - il) / (ih - il) * steps).round_ties_even() / steps * (oh - ol) + ol
    }
}

/// The factor of `quantize`: `1 / scale`, divided in f64 and rounded to f32 once.
pub fn quantize_factor(scale: f64) -> f32 {
    (1.0 / scale) as f32
}

/// `clamp(rne(x * (1 / scale) + zero_point), low, high)` in f32 with separate multiply and add; NaN gives `low`.
pub(super) fn quantize(attrs: &QuantizeAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let params = &attrs.params;
    let affine = |slice| (quantize_factor(params.scale_at(slice)), params.zero_point_at(slice) as f32);
    affine_to_int(src, ty, params.axis, params.slices(), affine, (attrs.low, attrs.high))
}

/// `clamp(rne(f32(q) * multiplier + bias), low, high)` in f32 with separate multiply and add.
pub(super) fn requantize(attrs: &RequantizeAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let at = |values: &[f32], slice: usize| if values.len() == 1 { values[0] } else { values[slice] };
    let affine = |slice| (at(&attrs.multiplier, slice), at(&attrs.bias, slice));
    let slices = attrs.multiplier.len().max(attrs.bias.len());
    affine_to_int(src, ty, attrs.axis, slices, affine, (attrs.low, attrs.high))
}

/// `clamp(rne(x * factor + offset), low, high)`, factor and offset per slice of `axis`. The clamp is in f32, before the
/// conversion, so the bounds are those f32 can hold.
fn affine_to_int(
    src: &Tensor,
    ty: &TensorType,
    axis: Option<usize>,
    slices: usize,
    affine: impl Fn(usize) -> (f32, f32),
    (low, high): (i32, i32),
) -> Result<Tensor, String> {
    let (low, high) = (low as f32, high as f32);
    let slice_of = slices_along(src.shape().dims(), axis, slices)?;
    let affine: Vec<(f32, f32)> = (0..slices).map(affine).collect();
    let quantized = f32s(src).into_iter().enumerate().map(|(i, x)| {
        let (factor, offset) = affine[slice_of(i)];
        let rounded = (x * factor + offset).round_ties_even();
        // `>` is false for NaN, which therefore becomes `low`
        if rounded > low { rounded.min(high) } else { low }
    });
    values::from_f32s(ty, quantized.collect())
}

/// `(f32(q) - f32(zero_point)) * f32(scale)`, f32(q) rounded to nearest even.
pub(super) fn dequantize(params: &QuantParams, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let slices = params.slices();
    let slice_of = slices_along(src.shape().dims(), params.axis, slices)?;
    let affine: Vec<(f32, f32)> =
        (0..slices).map(|slice| (params.zero_point_at(slice) as f32, params.scale_at(slice) as f32)).collect();
    let reals = f32s(src).into_iter().enumerate().map(|(i, q)| {
        let (zero_point, scale) = affine[slice_of(i)];
        (q - zero_point) * scale
    });
    values::from_f32s(ty, reals.collect())
}

/// From an element's place to its slice of `axis`; always 0 when per tensor.
fn slices_along(dims: &[usize], axis: Option<usize>, slices: usize) -> Result<impl Fn(usize) -> usize, String> {
    let (size, inner) = match axis {
        Some(axis) if slices > 1 => {
            let [_, size, inner] = around(dims, axis)?;
            (size, inner)
        }
        Some(_) | None => (1, 1),
    };
    if slices == 0 || size != slices {
        return Err(format!("{slices} quantization parameters for {size} slices of {dims:?}"));
    }
    Ok(move |place: usize| place / inner % size)
}
