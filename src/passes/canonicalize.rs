//! Pass `canonicalize`: operations without an effect vanish, chains of movement become one operation, and constants stand
//! on the right. See [`super::rewrite`] for how rules meet.
//!
//! ```text
//! op(x) = x                        -> x            reshape, transpose, convert, slice, pad, .. that change nothing
//! x + 0, x - 0, x * 1, x / 1       -> x            if the constant does not stretch x
//! reshape(reshape(x))              -> reshape(x)
//! transpose(transpose(x))          -> transpose(x)
//! transpose of dimensions of size 1, reduce along them -> reshape
//! convert(convert(x))              -> convert(x)   if the first conversion loses nothing
//! c + x                            -> x + c        commutative operations, c constant
//! matmul(transpose(x))             -> matmul(x)    with the flag turned
//! matmul of a vector               -> reshape(matmul of a matrix with one row or column)
//! interpolate with pads            -> interpolate(pad(x))
//! gather(x) by few runs of indices -> reshape(concat(slices of x))
//! relu(relu(x)), neg(neg(x)), ..   -> relu(x), x
//! assign(x) -> x                   for its users; gone if nobody reads the variable
//! read_value(initial)              -> initial      if nobody assigns the variable
//! ```

mod gathers;

use super::PassContext;
use super::rewrite::{Rewriter, Rule, apply_rules};
use crate::diag;
use crate::ir::op::{
    BinaryOp, CoordinateMode, InterpolateAttrs, PadAttrs, PadMode, ReduceAttrs, ReduceKind, SliceAttrs, UnaryOp,
};
use crate::ir::{ElemType, Graph, Node, Op, Shape, TensorType, Value};

pub fn run(graph: &mut Graph, context: &mut PassContext) -> diag::Result<bool> {
    apply_rules(graph, RULES, &mut context.rule_counts)
}

const RULES: &[Rule] = &[
    Rule { name: "identity", apply: identity },
    Rule { name: "neutral-constant", apply: neutral_constant },
    Rule { name: "reshape-of-reshape", apply: reshape_of_reshape },
    Rule { name: "transpose-of-transpose", apply: transpose_of_transpose },
    Rule { name: "transpose-as-reshape", apply: transpose_as_reshape },
    Rule { name: "reduce-as-reshape", apply: reduce_as_reshape },
    Rule { name: "convert-of-convert", apply: convert_of_convert },
    Rule { name: "constant-to-the-right", apply: constant_to_the_right },
    Rule { name: "matmul-of-vectors", apply: matmul_of_vectors },
    Rule { name: "matmul-takes-transpose", apply: matmul_takes_transpose },
    Rule { name: "padded-interpolate", apply: padded_interpolate },
    Rule { name: "gather-of-runs", apply: gathers::gather_of_runs },
    Rule { name: "unary-of-unary", apply: unary_of_unary },
    Rule { name: "unused-variable", apply: unused_variable },
    Rule { name: "assign-gives-its-operand", apply: assign_gives_its_operand },
];

/// The operation gives its operand unchanged.
fn identity(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    is_identity(graph, node) && {
        let source = graph.operand(node, 0);
        rewriter.replace(node, &[source])
    }
}

fn is_identity(graph: &Graph, node: Node) -> bool {
    let same_type = || graph.ty(graph.operand(node, 0)) == graph.ty(graph.result(node));
    match graph.op(node) {
        Op::Reshape { .. } | Op::Convert { .. } | Op::Broadcast { .. } | Op::Tile { .. } => same_type(),
        Op::Transpose { perm } => perm.is_sorted(),
        Op::Concat { .. } => graph.operands(node).len() == 1,
        Op::Split { lengths, .. } => lengths.len() == 1,
        Op::Slice(SliceAttrs { strides, .. }) => same_type() && strides.iter().all(|&stride| stride > 0),
        Op::Pad(PadAttrs { begin, end, .. }) => begin.iter().chain(end).all(|&pad| pad == 0),
        Op::Interpolate(attrs) => same_type() && keeps_coordinates(attrs),
        Op::DepthToSpace { block, .. } | Op::SpaceToDepth { block, .. } => *block == 1,
        Op::BatchToSpace { block, .. } | Op::SpaceToBatch { block, .. } => {
            same_type() && block.iter().all(|&block| block == 1)
        }
        Op::Reverse { axis } => graph.ty(graph.operand(node, 0)).shape[*axis] <= 1,
        Op::Unary(unary) => is_identity_unary(*unary) && graph.ty(graph.operand(node, 0)).elem.is_int(),
        Op::Const(_)
        | Op::Return
        | Op::FakeQuantize { .. }
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::Requantize(_)
        | Op::Convolution(_)
        | Op::Deconvolution(_)
        | Op::MatMul { .. }
        | Op::Binary(_)
        | Op::Select
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce(_)
        | Op::Softmax { .. }
        | Op::Mvn(_)
        | Op::NormalizeL2(_)
        | Op::Gather { .. }
        | Op::GatherElements { .. }
        | Op::GatherNd { .. }
        | Op::ScatterElements { .. }
        | Op::ScatterNd
        | Op::CumSum { .. }
        | Op::TopK(_)
        | Op::OneHot { .. }
        | Op::Rnn(_)
        | Op::If { .. }
        | Op::Loop(_)
        | Op::ReadValue { .. }
        | Op::Assign { .. } => false,
    }
}

/// Each result's coordinate is its own in the source, and no filter is wider than that. The half pixel that
/// `tf_half_pixel_for_nn` adds may round away from it.
fn keeps_coordinates(attrs: &InterpolateAttrs) -> bool {
    attrs.coordinates != CoordinateMode::TfHalfPixelForNn
        && attrs.scales.iter().all(|&scale| scale == 1.0)
        && attrs.pads_begin.iter().chain(&attrs.pads_end).all(|&pad| pad == 0)
}

/// Gives integers unchanged.
fn is_identity_unary(op: UnaryOp) -> bool {
    matches!(op, UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::RoundAway)
}

/// `x + 0`, `x - 0`, `x * 1`, `x / 1`. A zero of either sign is neutral: only the sign of a zero result may differ.
fn neutral_constant(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Binary(op) = graph.op(node) else {
        return false;
    };
    let neutral = match op {
        BinaryOp::Add | BinaryOp::Sub => 0.0,
        BinaryOp::Mul | BinaryOp::Div => 1.0,
        _ => return false,
    };
    let (source, constant) = (graph.operand(node, 0), graph.operand(node, 1));
    let is_neutral = graph.const_value(constant).and_then(|tensor| tensor.splat_value()) == Some(neutral);
    is_neutral && rewriter.replace(node, &[source])
}

fn reshape_of_reshape(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let (Op::Reshape { shape }, Some((Op::Reshape { .. }, source))) = (graph.op(node), producer(graph, node)) else {
        return false;
    };
    let op = Op::Reshape { shape: shape.clone() };
    rewriter.replace_op(node, op, &[source])
}

fn transpose_of_transpose(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Transpose { perm } = graph.op(node) else {
        return false;
    };
    let Some((Op::Transpose { perm: inner }, source)) = producer(graph, node) else {
        return false;
    };
    let op = Op::Transpose { perm: perm.iter().map(|&dim| inner[dim]).collect() };
    rewriter.replace_op(node, op, &[source])
}

/// The dimensions that have several elements keep their order.
fn transpose_as_reshape(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Transpose { perm } = graph.op(node) else {
        return false;
    };
    let source = graph.operand(node, 0);
    if !perm.iter().filter(|&&dim| graph.ty(source).shape[dim] != 1).is_sorted() {
        return false;
    }
    let op = Op::Reshape { shape: graph.ty(graph.result(node)).shape.clone() };
    rewriter.replace_op(node, op, &[source])
}

/// Every reduced dimension has one element, and the kind gives it back.
fn reduce_as_reshape(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Reduce(ReduceAttrs { kind, axes, .. }) = graph.op(node) else {
        return false;
    };
    let source = graph.operand(node, 0);
    let gives_back = match kind {
        ReduceKind::L1 | ReduceKind::L2 => false,
        ReduceKind::Sum
        | ReduceKind::Mean
        | ReduceKind::Max
        | ReduceKind::Min
        | ReduceKind::Prod
        | ReduceKind::And
        | ReduceKind::Or => axes.iter().all(|&axis| graph.ty(source).shape[axis] == 1),
    };
    if !gives_back {
        return false;
    }
    let result: &TensorType = graph.ty(graph.result(node));
    // Sums of narrow integers are wider than their elements.
    if result.elem != graph.ty(source).elem {
        return false;
    }
    let op = Op::Reshape { shape: result.shape.clone() };
    rewriter.replace_op(node, op, &[source])
}

fn convert_of_convert(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let (&Op::Convert { elem }, Some((&Op::Convert { elem: between }, source))) =
        (graph.op(node), producer(graph, node))
    else {
        return false;
    };
    holds_exactly(between, graph.ty(source).elem) && rewriter.replace_op(node, Op::Convert { elem }, &[source])
}

/// Every value of `narrow` is one of `wide`.
fn holds_exactly(wide: ElemType, narrow: ElemType) -> bool {
    // The integers up to which a float type has all.
    let exact_integers = match wide {
        ElemType::F32 => 1 << 24,
        ElemType::F16 => 1 << 11,
        ElemType::BF16 => 1 << 8,
        _ => 0,
    };
    match (narrow.int_range(), wide.int_range()) {
        (Some((low, high)), Some((least, greatest))) => least <= low && high <= greatest,
        (Some((low, high)), None) => wide.is_float() && -exact_integers <= low && high <= exact_integers,
        (None, _) => matches!((narrow, wide), (ElemType::F16 | ElemType::BF16, ElemType::F32)),
    }
}

/// A constant left operand changes sides, unless both are constant.
fn constant_to_the_right(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Binary(op) = *graph.op(node) else {
        return false;
    };
    let (left, right) = (graph.operand(node, 0), graph.operand(node, 1));
    let is_const = |value: Value| graph.const_value(value).is_some();
    op.commutes() && is_const(left) && !is_const(right) && rewriter.replace_op(node, Op::Binary(op), &[right, left])
}

/// A vector on the left is a matrix of one row, on the right one of one column; transposing means nothing to it.
fn matmul_of_vectors(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::MatMul { mut transpose_a, mut transpose_b } = *graph.op(node) else {
        return false;
    };
    let result = graph.ty(graph.result(node)).shape.clone();
    let vectors = [0, 1].map(|index| match graph.ty(graph.operand(node, index)).shape.dims() {
        &[k] => Shape::new(if index == 0 { [1, k] } else { [k, 1] }),
        _ => None,
    });
    if vectors == [None, None] {
        return false;
    }
    let mut operands = graph.operands(node).to_vec();
    for ((operand, shape), transpose) in operands.iter_mut().zip(vectors).zip([&mut transpose_a, &mut transpose_b]) {
        let Some(shape) = shape else { continue };
        let Some(matrix) = rewriter.insert(node, Op::Reshape { shape }, &[*operand]) else {
            return false;
        };
        (*operand, *transpose) = (matrix, false);
    }
    match rewriter.insert(node, Op::MatMul { transpose_a, transpose_b }, &operands) {
        Some(product) => rewriter.replace_op(node, Op::Reshape { shape: result }, &[product]),
        None => false,
    }
}

/// A transpose that swaps the last two dimensions of an operand.
fn matmul_takes_transpose(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::MatMul { transpose_a, transpose_b } = *graph.op(node) else {
        return false;
    };
    let a = swapped_source(graph, graph.operand(node, 0));
    let b = swapped_source(graph, graph.operand(node, 1));
    if a.is_none() && b.is_none() {
        return false;
    }
    let op = Op::MatMul { transpose_a: transpose_a != a.is_some(), transpose_b: transpose_b != b.is_some() };
    let operands = [a.unwrap_or(graph.operand(node, 0)), b.unwrap_or(graph.operand(node, 1))];
    rewriter.replace_op(node, op, &operands)
}

fn swapped_source(graph: &Graph, value: Value) -> Option<Value> {
    let node = graph.def_node(value)?;
    let Op::Transpose { perm } = graph.op(node) else {
        return None;
    };
    let [batch @ .., a, b] = perm.as_slice() else {
        return None;
    };
    let swaps = batch.iter().copied().eq(0..batch.len()) && *a == batch.len() + 1 && *b == batch.len();
    swaps.then(|| graph.operand(node, 0))
}

/// The pads of `interpolate` are zeros around the source.
fn padded_interpolate(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Interpolate(attrs) = graph.op(node).clone() else {
        return false;
    };
    if attrs.pads_begin.iter().chain(&attrs.pads_end).all(|&pad| pad == 0) {
        return false;
    }
    let source = graph.operand(node, 0);
    let signed = |pads: &[usize]| pads.iter().map(|&pad| pad as isize).collect();
    let (begin, end) = (signed(&attrs.pads_begin), signed(&attrs.pads_end));
    let none = vec![0; attrs.pads_begin.len()];
    let Some(padded) =
        rewriter.insert(node, Op::Pad(PadAttrs { mode: PadMode::Constant, begin, end, value: 0.0 }), &[source])
    else {
        return false;
    };
    let op = Op::Interpolate(InterpolateAttrs { pads_begin: none.clone(), pads_end: none, ..attrs });
    rewriter.replace_op(node, op, &[padded])
}

/// The second application of a projection, and the undoing of an involution.
fn unary_of_unary(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let (Op::Unary(outer), Some((Op::Unary(inner), source))) = (graph.op(node), producer(graph, node)) else {
        return false;
    };
    if outer != inner {
        return false;
    }
    let between = graph.operand(node, 0);
    match outer {
        UnaryOp::Relu
        | UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::RoundAway
        | UnaryOp::Clamp { .. } => rewriter.replace(node, &[between]),
        UnaryOp::Neg | UnaryOp::LogicalNot | UnaryOp::BitwiseNot => rewriter.replace(node, &[source]),
        _ => false,
    }
}

/// A variable that is read or assigned only.
fn unused_variable(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let (Op::ReadValue { variable } | Op::Assign { variable }) = graph.op(node) else {
        return false;
    };
    let other_side = |other: Node| match (graph.op(node), graph.op(other)) {
        (Op::ReadValue { .. }, Op::Assign { variable: other }) => other == variable,
        (Op::Assign { .. }, Op::ReadValue { variable: other }) => other == variable,
        _ => false,
    };
    let used = graph.all_regions().into_iter().flat_map(|region| graph.nodes(region)).any(other_side);
    let source = graph.operand(node, 0);
    !used && rewriter.replace(node, &[source])
}

fn assign_gives_its_operand(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let source = graph.operands(node).first().copied();
    matches!(graph.op(node), Op::Assign { .. }) && source.is_some_and(|source| rewriter.forward(node, source))
}

/// The operation that makes a node's only operand, and that operation's first operand.
fn producer(graph: &Graph, node: Node) -> Option<(&Op, Value)> {
    let &[operand] = graph.operands(node) else {
        return None;
    };
    let producer = graph.def_node(operand)?;
    Some((graph.op(producer), *graph.operands(producer).first()?))
}
