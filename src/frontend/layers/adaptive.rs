//! Adaptive pooling: the result's size is given, and result `i` of `m` along an axis of `n` elements pools the elements from
//! `floor(i * n / m)` to `ceil((i + 1) * n / m)`.
//!
//! There is no such operation in the graph; whatever the sizes, it is made of those that work on integers as well:
//! - `m` divides `n`: windows side by side, of all such axes at once.
//! - `n` divides `m`: every element several times, which is a resize by the nearest.
//! - otherwise windows differ in size. The mean over a box is the mean along one axis of means along another, and so is the
//!   maximum; axis by axis, runs of windows of one size at equal distances are pooled together and concatenated.

use crate::ir::op::{CoordinateMode, InterpolateAttrs, InterpolateMode, NearestMode, PoolAttrs, Rounding};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault};
use super::convolution::spatial_dims;
use super::movement::part;

/// More windows than this along an axis with windows of unequal size are more operations than is sensible.
const MOST_UNEQUAL: usize = 256;

/// Dimensions in front of the spatial ones.
const SPATIAL: usize = 2;

pub fn adaptive_avg_pool(context: &mut Context) -> Fallible<Vec<Value>> {
    adaptive(context, Op::AvgPool)
}

/// The second result, the indices, is not computed.
pub fn adaptive_max_pool(context: &mut Context) -> Fallible<Vec<Value>> {
    adaptive(context, Op::MaxPool)
}

fn adaptive(context: &mut Context, pool: fn(PoolAttrs) -> Op) -> Fallible<Vec<Value>> {
    let src = context.operand(0)?;
    let sizes = spatial_dims(context, src)?;
    let wanted = context.sizes(1, "the output shape")?;
    let unequal = |(&size, &to): (&usize, &usize)| !size.is_multiple_of(to) && !to.is_multiple_of(size);
    let bad = |(size, to): (&usize, &usize)| *size == 0 || *to == 0 || unequal((size, to)) && *to > MOST_UNEQUAL;
    if wanted.len() != sizes.len() || sizes.iter().zip(&wanted).any(bad) {
        return Err(Fault::unsupported(format!("pooling {sizes:?} to {wanted:?} is not supported")));
    }
    let kernel: Vec<usize> =
        sizes.iter().zip(&wanted).map(|(&size, &to)| if size.is_multiple_of(to) { size / to } else { 1 }).collect();
    let mut value = src;
    if sizes == wanted || kernel.iter().any(|&size| size > 1) {
        value = context.emit(pool(windows(kernel.clone(), kernel)), &[value])?;
    }
    for (axis, (&size, &to)) in sizes.iter().zip(&wanted).enumerate() {
        if unequal((&size, &to)) {
            value = pool_axis(context, value, axis, to, pool)?;
        }
    }
    Ok(vec![repeated(context, value, &wanted)?])
}

/// Windows without padding.
fn windows(kernel: Vec<usize>, strides: Vec<usize>) -> PoolAttrs {
    let none = vec![0; kernel.len()];
    let dilations = vec![1; kernel.len()];
    let (pads_begin, pads_end, rounding) = (none.clone(), none, Rounding::Floor);
    PoolAttrs { kernel, strides, dilations, pads_begin, pads_end, rounding, exclude_pad: false }
}

/// Windows of one size: where the first begins, from one to the next, how many.
struct Run {
    begin: usize,
    kernel: usize,
    step: usize,
    count: usize,
}

/// The windows along an axis of `size` elements that give `to`, as few runs as a walk finds.
fn runs(size: usize, to: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for i in 0..to {
        let begin = i * size / to;
        let kernel = ((i + 1) * size).div_ceil(to) - begin;
        if let Some(run) = runs.last_mut().filter(|run| run.kernel == kernel) {
            let step = begin - (run.begin + (run.count - 1) * run.step);
            if run.count == 1 || step == run.step {
                (run.step, run.count) = (step, run.count + 1);
                continue;
            }
        }
        runs.push(Run { begin, kernel, step: 1, count: 1 });
    }
    runs
}

fn pool_axis(context: &mut Context, src: Value, axis: usize, to: usize, pool: fn(PoolAttrs) -> Op) -> Fallible<Value> {
    let dims = context.dims(src);
    let along = |size: usize| {
        let mut sizes = vec![1; dims.len() - SPATIAL];
        sizes[axis] = size;
        sizes
    };
    let mut parts = Vec::new();
    for Run { begin, kernel, step, count } in runs(dims[SPATIAL + axis], to) {
        // The same window again and again is pooled once.
        let (pooled, copies) = if step == 0 { (1, count) } else { (count, 1) };
        let slice = part(context, src, SPATIAL + axis, begin, (pooled - 1) * step + kernel)?;
        let value = match kernel {
            1 if step <= 1 => slice,
            _ => context.emit(pool(windows(along(kernel), along(step.max(1)))), &[slice])?,
        };
        parts.extend(std::iter::repeat_n(value, copies));
    }
    context.emit(Op::Concat { axis: SPATIAL + axis }, &parts)
}

/// Spatial axes that are smaller than `wanted` by a whole factor repeat each element.
fn repeated(context: &mut Context, src: Value, wanted: &[usize]) -> Fallible<Value> {
    let dims = context.dims(src);
    let axes: Vec<usize> = (SPATIAL..dims.len()).filter(|&axis| dims[axis] != wanted[axis - SPATIAL]).collect();
    if axes.is_empty() {
        return Ok(src);
    }
    let sizes: Vec<usize> = axes.iter().map(|&axis| wanted[axis - SPATIAL]).collect();
    let scales = axes.iter().zip(&sizes).map(|(&axis, &size)| (size / dims[axis]) as f64).collect();
    let attrs = InterpolateAttrs {
        mode: InterpolateMode::Nearest,
        coordinates: CoordinateMode::Asymmetric,
        nearest: NearestMode::Floor,
        antialias: false,
        cube_coeff: -0.75,
        axes,
        sizes,
        scales,
        pads_begin: vec![0; dims.len()],
        pads_end: vec![0; dims.len()],
    };
    context.emit(Op::Interpolate(attrs), &[src])
}
