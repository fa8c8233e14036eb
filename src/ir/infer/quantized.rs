//! Operations on the border between reals and the integers that stand for them.

use super::super::op::{QuantizeAttrs, RequantizeAttrs};
use super::super::quant::QuantParams;
use super::super::ty::{ElemType, TensorType};
use super::{Inferred, broadcast_shapes, check_axis, check_float, check_same_elem};

/// The limits broadcast to x, never x to them.
pub(super) fn fake_quantize(types: &[&TensorType], levels: u32) -> Inferred {
    let src = types[0];
    check_float(src)?;
    check_same_elem(types)?;
    if levels < 2 {
        return Err(format!("{levels} levels, expected at least 2"));
    }
    for limit in &types[1..] {
        if broadcast_shapes(&src.shape, &limit.shape)? != src.shape {
            return Err(format!("a limit of {limit} does not broadcast to {src}"));
        }
    }
    Ok(src.clone())
}

pub(super) fn quantize(src: &TensorType, attrs: &QuantizeAttrs) -> Inferred {
    if src.elem != ElemType::F32 {
        return Err(format!("takes f32, not {src}"));
    }
    check_params(&attrs.params, src)?;
    if let Some(scale) = attrs.params.scale.iter().find(|&&scale| scale == 0.0) {
        return Err(format!("scale {scale} has no inverse"));
    }
    check_range(attrs.low, attrs.high, attrs.elem)?;
    Ok(src.with_elem(attrs.elem))
}

pub(super) fn dequantize(src: &TensorType, params: &QuantParams) -> Inferred {
    check_int(src)?;
    check_params(params, src)?;
    Ok(src.with_elem(ElemType::F32))
}

pub(super) fn requantize(src: &TensorType, attrs: &RequantizeAttrs) -> Inferred {
    check_int(src)?;
    check_slices("multiplier", attrs.multiplier.len(), attrs.axis, src)?;
    check_slices("bias", attrs.bias.len(), attrs.axis, src)?;
    if let Some(value) = attrs.multiplier.iter().chain(&attrs.bias).find(|value| !value.is_finite()) {
        return Err(format!("multiplier or bias {value} is not finite"));
    }
    check_range(attrs.low, attrs.high, attrs.elem)?;
    Ok(src.with_elem(attrs.elem))
}

fn check_params(params: &QuantParams, src: &TensorType) -> Result<(), String> {
    check_slices("scale", params.scale.len(), params.axis, src)?;
    check_slices("zero_point", params.zero_point.len(), params.axis, src)?;
    match params.scale.iter().chain(&params.zero_point).find(|value| !value.is_finite()) {
        Some(value) => Err(format!("scale or zero point {value} is not finite")),
        None => Ok(()),
    }
}

/// One value, or one per slice of the axis.
fn check_slices(name: &str, len: usize, axis: Option<usize>, src: &TensorType) -> Result<(), String> {
    if let Some(axis) = axis {
        check_axis(axis, src)?;
    }
    let slices = axis.map_or(1, |axis| src.shape[axis]);
    match axis {
        _ if len == 1 || len == slices => Ok(()),
        Some(axis) => Err(format!("{name} has {len} values, axis {axis} of {src} has {slices} slices")),
        None => Err(format!("{name} has {len} values and no axis")),
    }
}

fn check_int(src: &TensorType) -> Result<(), String> {
    if src.elem.is_int() {
        return Ok(());
    }
    Err(format!("takes integers, not {src}"))
}

fn check_range(low: i32, high: i32, elem: ElemType) -> Result<(), String> {
    let Some((least, greatest)) = elem.int_range() else {
        return Err(format!("{elem} is not an integer type"));
    };
    if low > high || i64::from(low) < least || i64::from(high) > greatest {
        return Err(format!("bounds {low} to {high} are not a range of {elem}"));
    }
    Ok(())
}
