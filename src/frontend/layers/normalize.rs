//! Normalisations: softmax, batch, group and layer norms, local response.

use crate::ir::op::{BinaryOp, EpsMode, MvnAttrs, NormalizeL2Attrs, PoolAttrs, Rounding};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

pub fn softmax(context: &mut Context) -> Fallible<Vec<Value>> {
    softmax_along(context, false)
}

pub fn log_softmax(context: &mut Context) -> Fallible<Vec<Value>> {
    softmax_along(context, true)
}

fn softmax_along(context: &mut Context, log: bool) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let axis = axis(context.number("axis")?, context.rank(x))?;
    Ok(vec![context.emit(Op::Softmax { axis, log }, &[x])?])
}

/// Operands gamma, beta, x, mean, variance.
pub fn batch_norm_v0(context: &mut Context) -> Fallible<Vec<Value>> {
    batch_norm(context, [2, 0, 1, 3, 4])
}

/// Operands x, gamma, beta, mean, variance.
pub fn batch_norm_v5(context: &mut Context) -> Fallible<Vec<Value>> {
    batch_norm(context, [0, 1, 2, 3, 4])
}

/// `x * m + b` with `m = gamma / sqrt(variance + eps)`, `b = beta - mean * m`, computed in f64.
fn batch_norm(context: &mut Context, [x, gamma, beta, mean, variance]: [usize; 5]) -> Fallible<Vec<Value>> {
    let x = context.operand(x)?;
    let gamma = context.floats(gamma, "gamma")?;
    let beta = context.floats(beta, "beta")?;
    let mean = context.floats(mean, "the mean")?;
    let variance = context.floats(variance, "the variance")?;
    let channels = gamma.len();
    if [&beta, &mean, &variance].iter().any(|list| list.len() != channels) {
        return Err(Fault::new("gamma, beta, mean and variance differ in size"));
    }
    let eps = match context.attr("epsilon") {
        Some(_) => context.number("epsilon")?,
        None => context.number_or("eps", 0.0)?,
    };
    let scale: Vec<f64> =
        gamma.iter().zip(&variance).map(|(gamma, variance)| gamma / (variance + eps).sqrt()).collect();
    let shift: Vec<f64> = scale.iter().zip(&beta).zip(&mean).map(|((scale, beta), mean)| beta - mean * scale).collect();
    Ok(vec![affine(context, x, &scale, &shift)?])
}

/// `x * scale + shift`, per channel.
fn affine(context: &mut Context, x: Value, scale: &[f64], shift: &[f64]) -> Fallible<Value> {
    let (dims, elem) = (channel_dims(context, x, scale.len())?, context.elem(x));
    let scale = context.numbers(elem, &dims, scale)?;
    let shift = context.numbers(elem, &dims, shift)?;
    let scaled = context.binary(BinaryOp::Mul, x, scale)?;
    context.binary(BinaryOp::Add, scaled, shift)
}

/// `[channels, 1, ..]` to broadcast over `[n, channels, ..]`.
fn channel_dims(context: &Context, x: Value, channels: usize) -> Fallible<Vec<usize>> {
    let rank = context.rank(x);
    if rank < 2 {
        return Err(Fault::new(format!("a tensor of {rank} dimensions has no channels")));
    }
    Ok(std::iter::once(channels).chain(std::iter::repeat_n(1, rank - 2)).collect())
}

/// Mean and variance over each group of channels and all positions, then scale and bias per channel.
pub fn group_normalization(context: &mut Context) -> Fallible<Vec<Value>> {
    let (x, scale, bias) = (context.operand(0)?, context.operand(1)?, context.operand(2)?);
    let groups: usize = context.number("num_groups")?;
    let dims = context.dims(x);
    let &[batch, channels, ..] = dims.as_slice() else {
        return Err(Fault::new(format!("a shape of {dims:?} has no channels")));
    };
    if groups == 0 || channels % groups != 0 {
        return Err(Fault::new(format!("{channels} channels do not divide into {groups} groups")));
    }
    let rest = dims[2..].iter().product::<usize>().saturating_mul(channels / groups);
    let grouped = context.reshape(x, &[batch, groups, rest])?;
    let attrs = MvnAttrs {
        axes: vec![2],
        normalize_variance: true,
        eps: context.number("epsilon")?,
        eps_mode: EpsMode::Inside,
    };
    let normalized = context.emit(Op::Mvn(attrs), &[grouped])?;
    let normalized = context.reshape(normalized, &dims)?;
    let per_channel = channel_dims(context, x, channels)?;
    let (scale, bias) = (context.reshape(scale, &per_channel)?, context.reshape(bias, &per_channel)?);
    let scaled = context.binary(BinaryOp::Mul, normalized, scale)?;
    Ok(vec![context.binary(BinaryOp::Add, scaled, bias)?])
}

/// `x / (bias + alpha * mean of x^2 over a window of channels) ^ beta`: the mean is an average pool with padding
/// counted.
pub fn lrn(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let axes = if context.has(1) { context.axes(1, "the axes", dims.len())? } else { vec![1] };
    let size: usize = context.number("size")?;
    if axes != [1] || size.is_multiple_of(2) || dims.len() < 2 {
        return Err(Fault::unsupported(format!(
            "axes {axes:?} with a window of {size} are not supported, only an odd window over axis 1"
        )));
    }
    let elem = context.elem(x);
    let square = context.binary(BinaryOp::Mul, x, x)?;
    let positions = dims[2..].iter().product();
    let plane = context.reshape(square, &[dims[0], 1, dims[1], positions])?;
    let attrs = PoolAttrs {
        kernel: vec![size, 1],
        strides: vec![1; 2],
        dilations: vec![1; 2],
        pads_begin: vec![size / 2, 0],
        pads_end: vec![size / 2, 0],
        rounding: Rounding::Floor,
        exclude_pad: false,
    };
    let mean = context.emit(Op::AvgPool(attrs), &[plane])?;
    let mean = context.reshape(mean, &dims)?;
    let [alpha, bias, beta] = ["alpha", "bias", "beta"].map(|name| context.number::<f64>(name));
    let alpha = context.scalar(elem, alpha?)?;
    let bias = context.scalar(elem, bias?)?;
    let beta = context.scalar(elem, beta?)?;
    let scaled = context.binary(BinaryOp::Mul, mean, alpha)?;
    let shifted = context.binary(BinaryOp::Add, scaled, bias)?;
    let power = context.binary(BinaryOp::Pow, shifted, beta)?;
    Ok(vec![context.binary(BinaryOp::Div, x, power)?])
}

/// `x / sqrt(sum of x^2 over the channels + bias)`.
pub fn grn(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let attrs = NormalizeL2Attrs { axes: vec![1], eps: context.number("bias")?, eps_mode: EpsMode::Inside };
    Ok(vec![context.emit(Op::NormalizeL2(attrs), &[x])?])
}

pub fn normalize_l2(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let axes = context.axes(1, "the axes", context.rank(x))?;
    let eps_mode = context.choice("eps_mode", "add", &[("add", EpsMode::Inside), ("max", EpsMode::Outside)])?;
    let attrs = NormalizeL2Attrs { axes, eps: context.number("eps")?, eps_mode };
    Ok(vec![context.emit(Op::NormalizeL2(attrs), &[x])?])
}

/// Over the positions, and with `across_channels` over the channels, too.
pub fn mvn_v0(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let first = if context.flag("across_channels", false)? { 1 } else { 2 };
    let axes = (first..context.rank(x)).collect();
    mvn(context, x, axes, EpsMode::Inside)
}

pub fn mvn_v6(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let axes = context.axes(1, "the axes", context.rank(x))?;
    let modes = [("inside_sqrt", EpsMode::Inside), ("outside_sqrt", EpsMode::Outside)];
    let eps_mode = context.choice("eps_mode", "inside_sqrt", &modes)?;
    mvn(context, x, axes, eps_mode)
}

fn mvn(context: &mut Context, x: Value, axes: Vec<usize>, eps_mode: EpsMode) -> Fallible<Vec<Value>> {
    let normalize_variance = context.flag("normalize_variance", true)?;
    let eps = context.number("eps")?;
    Ok(vec![context.emit(Op::Mvn(MvnAttrs { axes, normalize_variance, eps, eps_mode }), &[x])?])
}
