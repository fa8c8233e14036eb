//! Passes `fold-shapes` and `fold`: operations on constants become constants, by the interpreter.
//!
//! Low precision transformations read quantized weights from the graph: `fake_quantize` of a constant, or integer
//! constants through `convert`, `sub` and `mul`. Folding those would leave floats whose integers are lost. So before them,
//! `fold-shapes` folds only what cannot be a part of that: integers and booleans, data movement, conversions between
//! floats, and small floats whose operands are floats already. After them, `fold` folds everything.

use super::PassContext;
use crate::diag::{self, Diagnostic, Place};
use crate::interp;
use crate::ir::op::QuantBehaviour;
use crate::ir::{ElemType, Graph, Node, Op, Tensor, TensorType};

/// A float result of up to so many elements is a range or a scale, not weights.
const SMALL_ELEMENTS: usize = 4096;
/// Results of up to so many bytes are folded however small their operands are.
const ALWAYS_BYTES: usize = 1 << 20;
/// Beyond, a result may be so many times larger than its operands: a broadcast is cheaper than its result.
const MAX_GROWTH: usize = 8;

pub fn fold_shapes(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    run(graph, keeps_quantization)
}

pub fn fold(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    run(graph, |_, _| true)
}

fn run(graph: &mut Graph, may_fold: fn(&Graph, Node) -> bool) -> diag::Result<bool> {
    let mut changed = false;
    for region in graph.all_regions() {
        for node in graph.nodes(region).collect::<Vec<Node>>() {
            if is_foldable(graph, node) && may_fold(graph, node) {
                replace(graph, node)?;
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// All operands are constants, evaluation has no effect, and the results are not much larger.
fn is_foldable(graph: &Graph, node: Node) -> bool {
    let op = graph.op(node);
    if !op.info().pure || !op.regions().is_empty() || matches!(op, Op::Const(_)) {
        return false;
    }
    let mut operand_bytes = 0usize;
    for &operand in graph.operands(node) {
        let Some(tensor) = graph.const_value(operand) else {
            return false;
        };
        operand_bytes = operand_bytes.saturating_add(tensor.ty().bytes());
    }
    let result_bytes: usize = graph.results(node).iter().map(|&result| graph.ty(result).bytes()).sum();
    result_bytes <= ALWAYS_BYTES.max(operand_bytes.saturating_mul(MAX_GROWTH))
}

/// Folding the node hides nothing that tells integers from floats.
fn keeps_quantization(graph: &Graph, node: Node) -> bool {
    let op = graph.op(node);
    let source = graph.operands(node).first().map(|&operand| graph.ty(operand).elem);
    let result = graph.ty(graph.result(node));
    if matches!(op, Op::FakeQuantize { .. } | Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_)) {
        return false;
    }
    if matches!(op, Op::Convert { .. }) {
        let is_weights = matches!(source, Some(ElemType::I8 | ElemType::U8 | ElemType::I4 | ElemType::U4));
        let stays_float = source.is_some_and(ElemType::is_float) && result.elem.is_float();
        return !is_weights && (stays_float || !result.elem.is_float() || is_small(result));
    }
    op.info().quant == QuantBehaviour::Preserves || !result.elem.is_float() || is_small(result)
}

fn is_small(ty: &TensorType) -> bool {
    ty.shape.elements() <= SMALL_ELEMENTS
}

fn replace(graph: &mut Graph, node: Node) -> diag::Result<()> {
    let operands: Vec<&Tensor> =
        graph.operands(node).iter().filter_map(|&operand| graph.const_value(operand)).map(AsRef::as_ref).collect();
    let types: Vec<TensorType> = graph.results(node).iter().map(|&result| graph.ty(result).clone()).collect();
    let tensors = interp::eval_op(graph.op(node), &operands, &types).map_err(|reason| {
        let place = Place::item(format!("{node} ({})", graph.op(node).name()));
        Diagnostic::internal(place, format!("constants cannot be computed: {reason}"))
    })?;
    let layers = graph.layers(node).to_vec();
    let results = graph.results(node).to_vec();
    for (result, tensor) in results.into_iter().zip(tensors) {
        let value = graph.insert_const(node, tensor, &layers);
        graph.replace_value(result, value);
    }
    graph.remove(node);
    Ok(())
}
