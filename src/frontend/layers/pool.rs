//! Pooling: versions, rounding and automatic padding normalised.

use crate::ir::op::{PoolAttrs, Rounding};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault};
use super::convolution::{Window, check_spatial, spatial_dims};

/// The second result of newer versions, the indices, is not computed.
pub fn max_pool(context: &mut Context) -> Fallible<Vec<Value>> {
    let src = context.operand(0)?;
    let attrs = read(context, src, false)?;
    Ok(vec![context.emit(Op::MaxPool(attrs), &[src])?])
}

pub fn avg_pool(context: &mut Context) -> Fallible<Vec<Value>> {
    let src = context.operand(0)?;
    let name = if context.attr("exclude-pad").is_some() { "exclude-pad" } else { "exclude_pad" };
    let exclude_pad = context.flag(name, false)?;
    let attrs = read(context, src, exclude_pad)?;
    Ok(vec![context.emit(Op::AvgPool(attrs), &[src])?])
}

fn read(context: &Context, src: Value, exclude_pad: bool) -> Fallible<PoolAttrs> {
    let sizes = spatial_dims(context, src)?;
    let kernel = context.list("kernel")?.ok_or_else(|| Fault::new("the attribute kernel is missing"))?;
    let mut window = Window::read(context, kernel)?;
    check_spatial(&window, &sizes)?;
    window.pad_same(&sizes)?;
    let modes = [("floor", Rounding::Floor), ("ceil", Rounding::Ceil), ("ceil_torch", Rounding::CeilTorch)];
    let rounding = context.choice("rounding_type", "floor", &modes)?;
    let Window { kernel, strides, dilations, pads_begin, pads_end, .. } = window;
    Ok(PoolAttrs { kernel, strides, dilations, pads_begin, pads_end, rounding, exclude_pad })
}
