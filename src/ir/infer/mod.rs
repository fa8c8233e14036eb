//! The result types of every operation: the only place where shapes are computed.
//!
//! Attributes come from files, so nothing here trusts them: arithmetic is checked, every index is compared with a rank
//! before use, and [`Shape::new`] bounds the result. An operation that passes has attributes its interpreter and its
//! kernels may index without a check. One file per family:
//!
//! - [`elementwise`]: broadcasting, unary, binary, select;
//! - [`quantized`]: fake_quantize, quantize, dequantize, requantize;
//! - [`window`]: convolution, deconvolution, pooling, matmul;
//! - [`normalize`]: reduce, softmax, mvn, normalize_l2, cum_sum;
//! - [`movement`]: reshape, transpose, concat, split, slice, pad, broadcast, tile, interpolate, reverse;
//! - [`blocks`]: depth_to_space and its three relatives;
//! - [`indexing`]: gather, scatter, top_k, one_hot;
//! - [`control`]: rnn, if, loop.

mod blocks;
mod control;
mod elementwise;
mod indexing;
mod movement;
mod normalize;
mod quantized;
mod window;

pub use elementwise::broadcast_shapes;

use super::entity::Value;
use super::graph::Graph;
use super::op::{Arity, Op};
use super::ty::{ElemType, Shape, TensorType};

/// One result type, or why there is none.
type Inferred = Result<TensorType, String>;

/// Types of the results of `op` on these operands.
///
/// # Errors
/// Why the operation cannot take them: a sentence without a place, which the caller knows.
pub fn result_types(graph: &Graph, op: &Op, operands: &[Value]) -> Result<Vec<TensorType>, String> {
    check_arity(op, operands.len())?;
    let types: Vec<&TensorType> = operands.iter().map(|&value| graph.ty(value)).collect();
    let first = || types[0];
    let single = match op {
        Op::Const(id) => Ok(graph.tensor(*id).ty().clone()),
        Op::Return => return Ok(Vec::new()),
        Op::FakeQuantize { levels } => quantized::fake_quantize(&types, *levels),
        Op::Quantize(attrs) => quantized::quantize(first(), attrs),
        Op::Dequantize(params) => quantized::dequantize(first(), params),
        Op::Requantize(attrs) => quantized::requantize(first(), attrs),
        Op::Convolution(attrs) => window::convolution(first(), types[1], attrs),
        Op::Deconvolution(attrs) => window::deconvolution(first(), types[1], attrs),
        Op::MatMul { transpose_a, transpose_b } => window::matmul(first(), types[1], *transpose_a, *transpose_b),
        Op::Unary(unary) => elementwise::unary(first(), *unary),
        Op::Binary(binary) => elementwise::binary(first(), types[1], *binary),
        Op::Select => elementwise::select(&types),
        Op::Convert { elem } => Ok(first().with_elem(*elem)),
        Op::MaxPool(attrs) => window::max_pool(first(), attrs),
        Op::AvgPool(attrs) => window::avg_pool(first(), attrs),
        Op::Reduce(attrs) => normalize::reduce(first(), attrs),
        Op::Softmax { axis, .. } => normalize::softmax(first(), *axis),
        Op::Mvn(attrs) => normalize::mvn(first(), attrs),
        Op::NormalizeL2(attrs) => normalize::normalize_l2(first(), attrs),
        Op::Reshape { shape } => movement::reshape(first(), shape),
        Op::Transpose { perm } => movement::transpose(first(), perm),
        Op::Concat { axis } => movement::concat(&types, *axis),
        Op::Split { axis, lengths } => return movement::split(first(), *axis, lengths),
        Op::Slice(attrs) => movement::slice(first(), attrs),
        Op::Pad(attrs) => movement::pad(first(), attrs),
        Op::Broadcast { shape } => movement::broadcast(first(), shape),
        Op::Tile { repeats } => movement::tile(first(), repeats),
        Op::Interpolate(attrs) => movement::interpolate(first(), attrs),
        Op::DepthToSpace { block, .. } => blocks::depth_to_space(first(), *block),
        Op::SpaceToDepth { block, .. } => blocks::space_to_depth(first(), *block),
        Op::BatchToSpace { block, crops_begin, crops_end } => {
            blocks::batch_to_space(first(), block, crops_begin, crops_end)
        }
        Op::SpaceToBatch { block, pads_begin, pads_end } => {
            blocks::space_to_batch(first(), block, pads_begin, pads_end)
        }
        Op::Gather { axis, batch_dims } => indexing::gather(first(), types[1], *axis, *batch_dims),
        Op::GatherElements { axis } => indexing::gather_elements(first(), types[1], *axis),
        Op::GatherNd { batch_dims } => indexing::gather_nd(first(), types[1], *batch_dims),
        Op::ScatterElements { axis, reduction } => indexing::scatter_elements(&types, *axis, *reduction),
        Op::ScatterNd => indexing::scatter_nd(&types),
        Op::Reverse { axis } => movement::reverse(first(), *axis),
        Op::CumSum { axis, .. } => normalize::cum_sum(first(), *axis),
        Op::TopK(attrs) => return indexing::top_k(first(), attrs),
        Op::OneHot { axis, depth, on, off, elem } => indexing::one_hot(first(), *axis, *depth, [*on, *off], *elem),
        Op::Rnn(attrs) => return control::rnn(&types, attrs),
        Op::If { then_body, else_body } => return control::conditional(graph, &types, *then_body, *else_body),
        Op::Loop(attrs) => return control::counted_loop(graph, &types, attrs),
        Op::ReadValue { .. } | Op::Assign { .. } => Ok(first().clone()),
    };
    single.map(|ty| vec![ty])
}

fn check_arity(op: &Op, operands: usize) -> Result<(), String> {
    match op.info().arity {
        Arity::Exactly(n) if operands != n => Err(format!("takes {}, not {operands}", count(n, "operand"))),
        Arity::AtLeast(n) if operands < n => Err(format!("takes at least {}, not {operands}", count(n, "operand"))),
        Arity::Exactly(_) | Arity::AtLeast(_) => Ok(()),
    }
}

/// `1 operand`, `2 operands`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn shape(dims: Vec<usize>) -> Result<Shape, String> {
    let text = format!("{dims:?}");
    Shape::new(dims).ok_or_else(|| format!("a result of shape {text} has more than 2^40 elements"))
}

fn typed(elem: ElemType, dims: Vec<usize>) -> Inferred {
    Ok(TensorType::new(elem, shape(dims)?))
}

fn check_axis(axis: usize, ty: &TensorType) -> Result<(), String> {
    if axis < ty.shape.rank() {
        return Ok(());
    }
    Err(format!("axis {axis} is outside {ty}"))
}

/// Axes ascending, each once, inside the rank.
fn check_axes(axes: &[usize], ty: &TensorType) -> Result<(), String> {
    if !axes.is_sorted_by(|a, b| a < b) {
        return Err(format!("axes {axes:?} must be ascending, each once"));
    }
    axes.last().map_or(Ok(()), |&last| check_axis(last, ty))
}

/// A list attribute has one entry per dimension (or axis, or spatial dimension).
fn check_len(name: &str, len: usize, expected: usize) -> Result<(), String> {
    if len == expected {
        return Ok(());
    }
    Err(format!(
        "{name} has {}, expected {expected}",
        if len == 1 { "1 entry".into() } else { format!("{len} entries") }
    ))
}

fn check_float(ty: &TensorType) -> Result<(), String> {
    if ty.elem.is_float() {
        return Ok(());
    }
    Err(format!("takes floats, not {ty}"))
}

/// Numbers that can be computed with: `bool` and the packed 4-bit types are not.
fn is_numeric(elem: ElemType) -> bool {
    elem.is_float() || (elem.is_int() && !matches!(elem, ElemType::I4 | ElemType::U4))
}

fn check_numeric(ty: &TensorType) -> Result<(), String> {
    if is_numeric(ty.elem) {
        return Ok(());
    }
    Err(format!("takes numbers, not {ty}"))
}

fn check_indices(ty: &TensorType) -> Result<(), String> {
    if matches!(ty.elem, ElemType::I32 | ElemType::I64) {
        return Ok(());
    }
    Err(format!("takes i32 or i64 indices, not {ty}"))
}

fn check_same_elem(types: &[&TensorType]) -> Result<(), String> {
    match types.iter().find(|ty| ty.elem != types[0].elem) {
        Some(other) => Err(format!("takes operands of one element type, not {} and {other}", types[0])),
        None => Ok(()),
    }
}

/// An attribute that becomes an element: integers must hold it exactly.
fn check_representable(name: &str, value: f64, elem: ElemType) -> Result<(), String> {
    let holds = match elem.int_range() {
        Some((low, high)) => value.fract() == 0.0 && (low as f64..=high as f64).contains(&value),
        None => elem.is_float() || value == 0.0 || value == 1.0,
    };
    if holds { Ok(()) } else { Err(format!("{name} {value} is not a value of {elem}")) }
}

/// `size + sum of parts`, or a sentence when it overflows.
fn checked_sum(parts: &[usize]) -> Result<usize, String> {
    parts
        .iter()
        .try_fold(0usize, |sum, &part| sum.checked_add(part))
        .ok_or_else(|| format!("a size is out of range: the sum of {parts:?}"))
}

fn checked_product(parts: &[usize]) -> Result<usize, String> {
    parts
        .iter()
        .try_fold(1usize, |product, &part| product.checked_mul(part))
        .ok_or_else(|| format!("a size is out of range: the product of {parts:?}"))
}
