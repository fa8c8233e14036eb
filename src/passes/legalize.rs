//! Pass `legalize`: operations that have no kernel become operations that have one.
//!
//! ```text
//! op(x: i64)                      -> convert(op(convert(x: i64 to i32)))    arithmetic and comparisons
//! convert(i64 to f32), ..         -> by way of i32
//! add(x: u8, y), sub, mul         -> convert(add(convert(x: u8 to i32), ..) modulo 256)      8 and 16 bits wrap
//! bitwise_not(x: bool)            -> logical_not(x)
//! reduce_and(x), reduce_or(x)     -> reduce_min, reduce_max of u8
//! interpolate of many axes        -> two axes at a time
//! interpolate of other axes       -> the same of the last two dimensions of four
//! ```
//! Kernels compute integers in 32 bits, as OpenVINO does: 64-bit integers of a model are indices and sizes. Constants beyond
//! 32 bits become the nearest 32-bit integer, computed ones keep their low half.

use super::PassContext;
use super::rewrite::{Rewriter, Rule, apply_rules};
use crate::diag;
use crate::ir::op::{BinaryOp, InterpolateAttrs, ReduceAttrs, ReduceKind, UnaryOp};
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Graph, Node, Op, Shape, Tensor, TensorType, Value};

pub fn run(graph: &mut Graph, context: &mut PassContext) -> diag::Result<bool> {
    apply_rules(graph, RULES, &mut context.rule_counts)
}

const RULES: &[Rule] = &[
    Rule { name: "arithmetic-in-32-bits", apply: arithmetic_in_32_bits },
    Rule { name: "convert-by-way-of-i32", apply: convert_by_way_of_i32 },
    Rule { name: "wrapping-in-32-bits", apply: wrapping_in_32_bits },
    Rule { name: "logical-not", apply: logical_not },
    Rule { name: "logical-reduce", apply: logical_reduce },
    Rule { name: "interpolate-two-axes", apply: interpolate_two_axes },
    Rule { name: "interpolate-last-axes", apply: interpolate_last_axes },
];

fn arithmetic_in_32_bits(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let computes = matches!(graph.op(node), Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Reduce(_));
    let is_wide = |&value: &Value| graph.ty(value).elem == ElemType::I64;
    if !computes || !graph.operands(node).iter().any(is_wide) {
        return false;
    }
    let (op, operands) = (graph.op(node).clone(), graph.operands(node).to_vec());
    let narrow = |rewriter: &mut Rewriter<'_>| -> Option<Value> {
        let mut narrowed = Vec::new();
        for operand in operands {
            narrowed.push(in_32_bits(rewriter, node, operand)?);
        }
        rewriter.insert(node, op, &narrowed)
    };
    let Some(value) = narrow(rewriter) else { return false };
    back(rewriter, node, value)
}

/// Lanes of kernels have 32 bits: what wraps at a narrow type is brought back into its range there.
fn wrapping_in_32_bits(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Binary(op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul)) = *graph.op(node) else { return false };
    let elem = graph.ty(graph.result(node)).elem;
    if !matches!(elem, ElemType::I8 | ElemType::U8 | ElemType::I16) {
        return false;
    }
    let Some((least, greatest)) = elem.int_range() else { return false };
    let operands = graph.operands(node).to_vec();
    let widened = |rewriter: &mut Rewriter<'_>| -> Option<Value> {
        let mut wide = Vec::new();
        for operand in operands {
            wide.push(rewriter.insert(node, Op::Convert { elem: ElemType::I32 }, &[operand])?);
        }
        let value = rewriter.insert(node, Op::Binary(op), &wide)?;
        let with = |rewriter: &mut Rewriter<'_>, op: BinaryOp, value: Value, constant: i64| {
            let constant = rewriter.insert_const(node, Tensor::i32(Shape::scalar(), vec![constant as i32]));
            rewriter.insert(node, Op::Binary(op), &[value, constant])
        };
        // The integers of the type begin at `least`: (x - least) modulo their number, + least.
        let shifted = if least == 0 { value } else { with(rewriter, BinaryOp::Sub, value, least)? };
        let wrapped = with(rewriter, BinaryOp::BitwiseAnd, shifted, greatest - least)?;
        if least == 0 { Some(wrapped) } else { with(rewriter, BinaryOp::Add, wrapped, least) }
    };
    let Some(value) = widened(rewriter) else { return false };
    back(rewriter, node, value)
}

/// The value as i32 if it is i64.
fn in_32_bits(rewriter: &mut Rewriter<'_>, node: Node, value: Value) -> Option<Value> {
    let graph = rewriter.graph();
    let ty = graph.ty(value).clone();
    if ty.elem != ElemType::I64 {
        return Some(value);
    }
    let Some(constant) = graph.const_value(value).and_then(|tensor| tensor.to_i64()) else {
        return rewriter.insert(node, Op::Convert { elem: ElemType::I32 }, &[value]);
    };
    let nearest = |x: i64| x.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    let data = Data::I32(constant.into_iter().map(nearest).collect());
    Some(rewriter.insert_const(node, Tensor::new(TensorType::new(ElemType::I32, ty.shape), data)))
}

/// Replaces the node by a value, converted to its type.
fn back(rewriter: &mut Rewriter<'_>, node: Node, value: Value) -> bool {
    let graph = rewriter.graph();
    let elem = graph.ty(graph.result(node)).elem;
    match graph.ty(value).elem == elem {
        true => rewriter.replace(node, &[value]),
        false => rewriter.replace_op(node, Op::Convert { elem }, &[value]),
    }
}

/// Kernels convert i64 to i32 and `bool`, and i32 to i64.
fn convert_by_way_of_i32(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let &Op::Convert { elem } = graph.op(node) else { return false };
    let source = graph.operand(node, 0);
    let from = graph.ty(source).elem;
    let direct = match (from, elem) {
        (ElemType::I64, to) => matches!(to, ElemType::I32 | ElemType::Bool | ElemType::I64),
        (from, ElemType::I64) => from == ElemType::I32,
        _ => true,
    };
    if direct {
        return false;
    }
    let between = rewriter.insert(node, Op::Convert { elem: ElemType::I32 }, &[source]);
    between.is_some_and(|between| rewriter.replace_op(node, Op::Convert { elem }, &[between]))
}

/// A `bool` has one bit.
fn logical_not(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let applies = *graph.op(node) == Op::Unary(UnaryOp::BitwiseNot);
    let source = graph.operands(node).first().copied().filter(|&source| graph.ty(source).elem == ElemType::Bool);
    let Some(source) = source.filter(|_| applies) else { return false };
    rewriter.replace_op(node, Op::Unary(UnaryOp::LogicalNot), &[source])
}

fn logical_reduce(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Reduce(attrs) = graph.op(node) else { return false };
    let source = graph.operand(node, 0);
    let kind = match attrs.kind {
        ReduceKind::And | ReduceKind::Min | ReduceKind::Prod => ReduceKind::Min,
        ReduceKind::Or | ReduceKind::Max => ReduceKind::Max,
        ReduceKind::Sum | ReduceKind::Mean | ReduceKind::L1 | ReduceKind::L2 => return false,
    };
    if graph.ty(source).elem != ElemType::Bool {
        return false;
    }
    let op = Op::Reduce(ReduceAttrs { kind, ..attrs.clone() });
    let bytes = rewriter.insert(node, Op::Convert { elem: ElemType::U8 }, &[source]);
    let reduced = bytes.and_then(|bytes| rewriter.insert(node, op, &[bytes]));
    reduced.is_some_and(|reduced| back(rewriter, node, reduced))
}

fn interpolate(graph: &Graph, node: Node) -> Option<InterpolateAttrs> {
    match graph.op(node) {
        Op::Interpolate(attrs) => Some(attrs.clone()),
        _ => None,
    }
}

/// Axes are resampled one after the other in any case.
fn interpolate_two_axes(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let Some(attrs) = interpolate(rewriter.graph(), node).filter(|attrs| attrs.axes.len() > 2) else { return false };
    let of = |range: std::ops::Range<usize>| InterpolateAttrs {
        axes: attrs.axes[range.clone()].to_vec(),
        sizes: attrs.sizes[range.clone()].to_vec(),
        scales: attrs.scales[range].to_vec(),
        ..attrs.clone()
    };
    let (first, rest) = (of(0..attrs.axes.len() - 2), of(attrs.axes.len() - 2..attrs.axes.len()));
    let source = rewriter.graph().operand(node, 0);
    let resized = rewriter.insert(node, Op::Interpolate(first), &[source]);
    resized.is_some_and(|resized| rewriter.replace_op(node, Op::Interpolate(rest), &[resized]))
}

/// The kernel resamples the last two of four dimensions: the others are one dimension of channels and one of images.
fn interpolate_last_axes(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Some(attrs) = interpolate(graph, node).filter(|attrs| (1..=2).contains(&attrs.axes.len())) else {
        return false;
    };
    let source = graph.operand(node, 0);
    let dims = graph.ty(source).shape.dims().to_vec();
    let rank = dims.len();
    if rank == 4 && attrs.axes.iter().all(|&axis| axis >= 2) {
        return false;
    }
    let mut others: Vec<usize> = (0..rank).filter(|dim| !attrs.axes.contains(dim)).collect();
    // Dimension 1 is the one that lies innermost in memory more often than not.
    if let Some(at) = others.iter().position(|&dim| dim == 1) {
        let channels = others.remove(at);
        others.push(channels);
    }
    let (images, channels) = match others.split_last() {
        Some((&channels, images)) => (images.iter().map(|&dim| dims[dim]).product(), dims[channels]),
        None => (1, 1),
    };
    let perm: Vec<usize> = others.iter().chain(&attrs.axes).copied().collect();
    let rows = if attrs.axes.len() == 2 { dims[attrs.axes[0]] } else { 1 };
    let columns = attrs.axes.last().map_or(1, |&axis| dims[axis]);
    let resized = InterpolateAttrs {
        axes: (4 - attrs.axes.len()..4).collect(),
        pads_begin: vec![0; 4],
        pads_end: vec![0; 4],
        ..attrs.clone()
    };
    let result = graph.ty(graph.result(node)).shape.dims().to_vec();
    let around = |rewriter: &mut Rewriter<'_>| -> Option<Value> {
        let moved = rewriter.insert(node, Op::Transpose { perm: perm.clone() }, &[source])?;
        let image = Op::Reshape { shape: Shape::new([images, channels, rows, columns])? };
        let image = rewriter.insert(node, image, &[moved])?;
        let image = rewriter.insert(node, Op::Interpolate(resized), &[image])?;
        let unfolded = Op::Reshape { shape: Shape::new(perm.iter().map(|&dim| result[dim]).collect::<Vec<_>>())? };
        let unfolded = rewriter.insert(node, unfolded, &[image])?;
        let back = (0..rank).map(|dim| perm.iter().position(|&from| from == dim)).collect::<Option<_>>()?;
        rewriter.insert(node, Op::Transpose { perm: back }, &[unfolded])
    };
    around(rewriter).is_some_and(|value| rewriter.replace(node, &[value]))
}
