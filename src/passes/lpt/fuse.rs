//! Pass `lpt-fuse`: every `quantize` moves up to the integers its input is computed from, and becomes `requantize`.
//!
//! ```text
//! quantize(relu(x))             -> quantize(x) with a higher low         the function grows, so bounds pass through it
//! quantize(x * c), quantize(x + c) -> quantize(x) with another scale, zero point         c: a constant along one axis at most
//! quantize(reshape(x))          -> reshape(quantize(x))                  also transpose, concat, max_pool: one byte moves, not four
//! quantize(dequantize(q))       -> requantize(q)                         multiplier and bias merged in f64
//! convert(dequantize(q))        -> requantize(q)                         where the reals are integers of the target type
//! ```
//! An accumulator with other readers stays dequantized: it would be stored as i32 for both.

use crate::diag;
use crate::ir::op::{BinaryOp, QuantizeAttrs, RequantizeAttrs, UnaryOp};
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Value, quant::near_integer};

use crate::passes::PassContext;

use super::sink::dequantized;
use super::spread::{Field, from_pairs, pairs, reshape_params, select_params};
use super::walk::{known_range, regions, replace};
use super::weights::constant_values;

/// A zero point beyond it would take digits of the value that it is added to.
const MAX_ZERO_POINT: f64 = 1e5;

/// See the file's description.
pub fn run(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    for region in regions(graph) {
        let mut open: Vec<Node> = graph.nodes(region).collect();
        while let Some(node) = open.pop() {
            if graph.region_of(node).is_none() {
                continue;
            }
            changed |= match graph.op(node).clone() {
                Op::Quantize(attrs) => fuse_quantize(graph, node, attrs, &mut open),
                Op::Convert { elem: elem @ (ElemType::U8 | ElemType::I8) } => fuse_convert(graph, node, elem),
                _ => false,
            };
        }
    }
    Ok(changed)
}

fn fuse_quantize(graph: &mut Graph, node: Node, attrs: QuantizeAttrs, open: &mut Vec<Node>) -> bool {
    take_bounds(graph, node, &attrs, open)
        || requantize(graph, node, &attrs).is_some()
        || absorb_constant(graph, node, &attrs, open).is_some()
        || raise(graph, node, &attrs, open).unwrap_or(false)
}

/// `quantize` of a bounded value: the bounds become bounds of the integers.
fn take_bounds(graph: &mut Graph, node: Node, attrs: &QuantizeAttrs, open: &mut Vec<Node>) -> bool {
    let value = graph.operand(node, 0);
    let Some(bounded) = graph.def_node(value).filter(|_| graph.single_user(value).is_some()) else {
        return false;
    };
    let (min, max) = match graph.op(bounded) {
        Op::Unary(UnaryOp::Relu) => (0.0, f64::INFINITY),
        Op::Unary(UnaryOp::Clamp { min, max }) => (*min, *max),
        _ => return false,
    };
    let (Some(a), Some(b)) = (quantized_bound(attrs, min), quantized_bound(attrs, max)) else {
        return false;
    };
    let attrs = QuantizeAttrs { low: a.min(b), high: a.max(b), ..attrs.clone() };
    let source = graph.operand(bounded, 0);
    let layers = [graph.layers(bounded), graph.layers(node)].concat();
    let Ok(new) = graph.insert_before(node, Op::Quantize(attrs), &[source], &layers) else {
        return false;
    };
    replace(graph, node, graph.result(new));
    open.push(new);
    true
}

/// The integer `quantize` makes of `x`, if it is the same for every slice and no slice reverses the order of another.
fn quantized_bound(attrs: &QuantizeAttrs, x: f64) -> Option<i32> {
    if x.is_nan() {
        return None;
    }
    let mut found = None;
    for slice in 0..attrs.params.slices() {
        let (scale, zero) = (attrs.params.scale_at(slice), attrs.params.zero_point_at(slice));
        let place = (x as f32 * (1.0 / scale) as f32 + zero as f32).round_ties_even();
        let integer = place.clamp(attrs.low as f32, attrs.high as f32) as i32;
        let rising = scale > 0.0;
        if *found.get_or_insert((integer, rising)) != (integer, rising) {
            return None;
        }
    }
    found.map(|(integer, _)| integer)
}

/// `quantize` of `x factor + term`, which nobody else reads: `rne((x factor + term) / s + z) = rne(x / (s / factor) + z + term / s)`.
fn absorb_constant(graph: &mut Graph, node: Node, attrs: &QuantizeAttrs, open: &mut Vec<Node>) -> Option<()> {
    let value = graph.operand(node, 0);
    graph.single_user(value)?;
    let inner = graph.def_node(value)?;
    let Op::Binary(op) = *graph.op(inner) else { return None };
    let constant = |index: usize| constant_values(graph, graph.operand(inner, index));
    let (index, (values, dims)) = match (constant(0), constant(1)) {
        (None, Some(found)) => (0, found),
        (Some(found), None) => (1, found),
        _ => return None,
    };
    let source = graph.operand(inner, index);
    let shape = graph.ty(value).shape.clone();
    let (axis, values) = Field::new(values, dims.dims(), &shape)?.one_axis()?;
    let axis = match (axis, attrs.params.axis) {
        (Some(own), Some(other)) if own != other => return None,
        (own, other) => own.or(other),
    };
    if graph.ty(source).shape != shape {
        return None;
    }
    let merge = |(slice, (scale, zero)): (usize, (f64, f64))| {
        let c = values[if values.len() == 1 { 0 } else { slice }];
        let (factor, term) = match (op, index) {
            (BinaryOp::Add, _) => (1.0, c),
            (BinaryOp::Sub, 0) => (1.0, -c),
            (BinaryOp::Sub, _) => (-1.0, c),
            (BinaryOp::Mul, _) => (c, 0.0),
            (BinaryOp::Div, 0) => (1.0 / c, 0.0),
            _ => return None,
        };
        let (merged, zero) = (scale / factor, zero + term / scale);
        let usable = ((1.0 / merged) as f32).is_normal() && (merged as f32).is_normal();
        (usable && zero.abs() <= MAX_ZERO_POINT).then_some((merged, zero))
    };
    let slices = axis.map_or(1, |axis| shape[axis]);
    let merged = pairs(&attrs.params, slices).into_iter().enumerate().map(merge).collect::<Option<Vec<_>>>()?;
    let params = from_pairs(&merged, axis.unwrap_or(0));
    let layers = [graph.layers(inner), graph.layers(node)].concat();
    let op = Op::Quantize(QuantizeAttrs { params, ..attrs.clone() });
    let new = graph.insert_before(node, op, &[source], &layers).ok()?;
    replace(graph, node, graph.result(new));
    open.push(new);
    Some(())
}

/// `quantize(dequantize(q))`.
fn requantize(graph: &mut Graph, node: Node, attrs: &QuantizeAttrs) -> Option<()> {
    let value = graph.operand(node, 0);
    let (q, params) = dequantized(graph, value)?;
    let accumulator = graph.ty(q).elem == ElemType::I32;
    if accumulator && (graph.single_user(value).is_none() || graph.single_user(q).is_none()) {
        return None;
    }
    let axis = match (params.axis, attrs.params.axis) {
        (Some(own), Some(other)) if own != other => return None,
        (own, other) => own.or(other),
    };
    let slices = axis.map_or(1, |axis| graph.ty(q).shape[axis]);
    let merged = pairs(&params, slices).into_iter().zip(pairs(&attrs.params, slices));
    let (multiplier, bias) = merged
        .map(|((s, z), (scale, zero))| {
            let multiplier = s / scale;
            (multiplier, zero - z * multiplier)
        })
        .unzip();
    let merged = requantize_attrs(multiplier, bias, axis, attrs.elem, (attrs.low, attrs.high));
    let mut layers = graph.def_node(value).map(|node| graph.layers(node).to_vec()).unwrap_or_default();
    layers.extend_from_slice(graph.layers(node));
    let new = graph.insert_before(node, Op::Requantize(merged), &[q], &layers).ok()?;
    replace(graph, node, graph.result(new));
    Some(())
}

/// Attributes from factors in f64, rounded here once; vectors of equal elements become one element.
pub fn requantize_attrs(
    multiplier: Vec<f64>,
    bias: Vec<f64>,
    axis: Option<usize>,
    elem: ElemType,
    (low, high): (i32, i32),
) -> RequantizeAttrs {
    let merged = QuantParams::per_axis(multiplier, bias, axis.unwrap_or(0));
    let round = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
    RequantizeAttrs {
        axis: merged.axis,
        multiplier: round(merged.scale),
        bias: round(merged.zero_point),
        elem,
        low,
        high,
    }
}

/// A conversion of reals that are integers inside the target type.
fn fuse_convert(graph: &mut Graph, node: Node, elem: ElemType) -> bool {
    let Some((q, params)) = dequantized(graph, graph.operand(node, 0)) else {
        return false;
    };
    let (Some(1.0), Some(zero)) = (params.uniform_scale(), params.uniform_zero_point().and_then(near_integer)) else {
        return false;
    };
    let (Some((low, high)), Some((least, greatest))) = (known_range(graph, q), elem.int_range()) else {
        return false;
    };
    if low - zero < least || high - zero > greatest {
        return false;
    }
    let range = (least as i32, greatest as i32);
    let attrs = requantize_attrs(vec![1.0], vec![-zero as f64], None, elem, range);
    let layers = graph.layers(node).to_vec();
    let Ok(new) = graph.insert_before(node, Op::Requantize(attrs), &[q], &layers) else {
        return false;
    };
    replace(graph, node, graph.result(new));
    true
}

/// `quantize` above the data movement that feeds it alone.
fn raise(graph: &mut Graph, node: Node, attrs: &QuantizeAttrs, open: &mut Vec<Node>) -> Option<bool> {
    let value = graph.operand(node, 0);
    graph.single_user(value)?;
    let mover = graph.def_node(value)?;
    let op = graph.op(mover).clone();
    let sources = graph.operands(mover).to_vec();
    let shape = graph.ty(value).shape.clone();
    let first = graph.ty(*sources.first()?).clone();
    let params = &attrs.params;
    let raised: Vec<QuantParams> = match &op {
        Op::Reshape { .. } => vec![reshape_params(params, &shape, &first.shape)?],
        Op::Transpose { perm } => vec![params.on_axis(params.axis.map_or(0, |axis| perm[axis]))],
        Op::Concat { axis } => {
            let mut start = 0;
            let part = |source: &Value| {
                let length = graph.ty(*source).shape[*axis];
                start += length;
                let own = start - length..start;
                if params.axis == Some(*axis) { select_params(params, own) } else { params.clone() }
            };
            sources.iter().map(part).collect()
        }
        Op::MaxPool(_) if ends_accumulation(graph, first_source(graph, sources[0])) && rises(params) => {
            vec![params.clone()]
        }
        _ => return None,
    };
    let (own, moved) = (graph.layers(node).to_vec(), graph.layers(mover).to_vec());
    let mut integers = Vec::with_capacity(sources.len());
    for (source, params) in sources.into_iter().zip(raised) {
        let quantize = Op::Quantize(QuantizeAttrs { params, ..attrs.clone() });
        let new = graph.insert_before(mover, quantize, &[source], &own).ok()?;
        integers.push(graph.result(new));
        open.push(new);
    }
    let new = graph.insert_before(mover, op, &integers, &moved).ok()?;
    replace(graph, node, graph.result(new));
    Some(true)
}

fn rises(params: &QuantParams) -> bool {
    params.scale.iter().all(|&scale| scale > 0.0)
}

/// The value under bounds.
fn first_source(graph: &Graph, mut value: Value) -> Value {
    while let Some(node) = graph.def_node(value)
        && let Op::Unary(UnaryOp::Relu | UnaryOp::Clamp { .. }) = graph.op(node)
    {
        value = graph.operand(node, 0);
    }
    value
}

fn ends_accumulation(graph: &Graph, value: Value) -> bool {
    dequantized(graph, value).is_some_and(|(q, _)| graph.ty(q).elem == ElemType::I32)
}
