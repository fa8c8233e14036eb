//! Interpolate: three versions, sizes or scales.

use crate::ir::op::{CoordinateMode, InterpolateAttrs, InterpolateMode, NearestMode};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

/// Scales are f32 in OpenVINO, computed or given; this keeps a product that should be whole from falling below.
const SCALE_EPSILON: f64 = 1e-6;

/// Which operand says how large the result is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Sizes,
    Scales,
}

const TARGETS: [(&str, Target); 2] = [("sizes", Target::Sizes), ("scales", Target::Scales)];

/// Operands: data, sizes. The modes are those to which OpenVINO itself converts this version.
pub fn interpolate_v0(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let rank = context.rank(x);
    let axes = context.list("axes")?.ok_or_else(|| Fault::new("the attribute axes is missing"))?;
    let modes = [
        ("nearest", InterpolateMode::Nearest),
        ("linear", if rank < 5 { InterpolateMode::LinearOnnx } else { InterpolateMode::Linear }),
        ("linear_onnx", InterpolateMode::LinearOnnx),
        ("cubic", InterpolateMode::Cubic),
    ];
    let mode = context.choice("mode", "nearest", &modes)?;
    let (pads_begin, pads_end) = (pads(context, "pads_begin", rank)?, pads(context, "pads_end", rank)?);
    let is_linear = matches!(mode, InterpolateMode::Linear | InterpolateMode::LinearOnnx);
    let is_padded = pads_begin.iter().chain(&pads_end).any(|&pad| pad > 0);
    let coordinates = if context.flag("align_corners", true)? {
        CoordinateMode::AlignCorners
    } else if is_linear && !is_padded && !(rank == 4 && axes == [2, 3]) {
        CoordinateMode::HalfPixel
    } else {
        CoordinateMode::Asymmetric
    };
    let attrs = InterpolateAttrs {
        mode,
        coordinates,
        nearest: NearestMode::Simple,
        antialias: context.flag("antialias", false)?,
        cube_coeff: -0.75,
        axes: Vec::new(),
        sizes: Vec::new(),
        scales: Vec::new(),
        pads_begin,
        pads_end,
    };
    finish(context, x, attrs, &axes, Target::Sizes, 1)
}

/// Operands: data, sizes, scales, perhaps axes.
pub fn interpolate_v4(context: &mut Context) -> Fallible<Vec<Value>> {
    let target = context.choice("shape_calculation_mode", "sizes", &TARGETS)?;
    interpolate(context, target, if target == Target::Sizes { 1 } else { 2 }, 3)
}

/// Operands: data, sizes or scales, perhaps axes.
pub fn interpolate_v11(context: &mut Context) -> Fallible<Vec<Value>> {
    let target = context.choice("shape_calculation_mode", "sizes", &TARGETS)?;
    interpolate(context, target, 1, 2)
}

fn interpolate(context: &mut Context, target: Target, target_index: usize, axes_index: usize) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let rank = context.rank(x);
    let axes = if context.has(axes_index) { context.ints(axes_index, "the axes")? } else { (0..rank as i64).collect() };
    let attrs = read_modes(context, rank)?;
    finish(context, x, attrs, &axes, target, target_index)
}

fn read_modes(context: &Context, rank: usize) -> Fallible<InterpolateAttrs> {
    let modes = [
        ("nearest", InterpolateMode::Nearest),
        ("linear", InterpolateMode::Linear),
        ("linear_onnx", InterpolateMode::LinearOnnx),
        ("cubic", InterpolateMode::Cubic),
    ];
    let coordinates = [
        ("half_pixel", CoordinateMode::HalfPixel),
        ("pytorch_half_pixel", CoordinateMode::PytorchHalfPixel),
        ("asymmetric", CoordinateMode::Asymmetric),
        ("tf_half_pixel_for_nn", CoordinateMode::TfHalfPixelForNn),
        ("align_corners", CoordinateMode::AlignCorners),
    ];
    let nearest = [
        ("round_prefer_floor", NearestMode::RoundPreferFloor),
        ("round_prefer_ceil", NearestMode::RoundPreferCeil),
        ("floor", NearestMode::Floor),
        ("ceil", NearestMode::Ceil),
        ("simple", NearestMode::Simple),
    ];
    Ok(InterpolateAttrs {
        mode: context.choice("mode", "nearest", &modes)?,
        coordinates: context.choice("coordinate_transformation_mode", "half_pixel", &coordinates)?,
        nearest: context.choice("nearest_mode", "round_prefer_floor", &nearest)?,
        antialias: context.flag("antialias", false)?,
        cube_coeff: context.number_or("cube_coeff", -0.75)?,
        axes: Vec::new(),
        sizes: Vec::new(),
        scales: Vec::new(),
        pads_begin: pads(context, "pads_begin", rank)?,
        pads_end: pads(context, "pads_end", rank)?,
    })
}

/// Missing entries are 0.
fn pads(context: &Context, name: &str, rank: usize) -> Fallible<Vec<usize>> {
    let mut pads = context.list(name)?.unwrap_or_default();
    pads.resize(rank, 0);
    Ok(pads)
}

/// Adds axes in ascending order with the size and scale of each.
fn finish(
    context: &mut Context,
    x: Value,
    mut attrs: InterpolateAttrs,
    axes: &[i64],
    target: Target,
    index: usize,
) -> Fallible<Vec<Value>> {
    let dims = context.dims(x);
    let what = if target == Target::Sizes { "the target sizes" } else { "the scales" };
    let wanted = context.floats(index, what)?;
    if wanted.len() < axes.len() {
        return Err(Fault::new(format!("{} axes have {} entries in {what}", axes.len(), wanted.len())));
    }
    let mut entries = Vec::with_capacity(axes.len());
    for (&along, &wanted) in axes.iter().zip(&wanted) {
        let axis = axis(along, dims.len())?;
        let padded = dims[axis].saturating_add(attrs.pads_begin[axis]).saturating_add(attrs.pads_end[axis]) as f64;
        let (size, scale) = match target {
            Target::Sizes => (wanted, f64::from(wanted as f32 / padded as f32)),
            Target::Scales => ((padded * wanted + SCALE_EPSILON).floor(), wanted),
        };
        if !(0.0..1e12).contains(&size) {
            return Err(Fault::new(format!("axis {axis} becomes {size} elements long")));
        }
        entries.push((axis, size as usize, scale));
    }
    entries.sort_by_key(|&(axis, _, _)| axis);
    attrs.axes = entries.iter().map(|&(axis, _, _)| axis).collect();
    attrs.sizes = entries.iter().map(|&(_, size, _)| size).collect();
    attrs.scales = entries.iter().map(|&(_, _, scale)| scale).collect();
    Ok(vec![context.emit(Op::Interpolate(attrs), &[x])?])
}
