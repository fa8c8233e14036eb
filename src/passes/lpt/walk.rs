//! What several LPT passes ask of a graph beyond its own API.

use crate::ir::op::{QuantBehaviour, UnaryOp};
use crate::ir::{ElemType, Graph, Node, Op, Region, Value};

use super::ranges::MAX_LEVELS;
use super::weights;

/// The body and every region inside it, outer before inner.
pub fn regions(graph: &Graph) -> Vec<Region> {
    let mut found = vec![graph.body()];
    let mut at = 0;
    while at < found.len() {
        let inner: Vec<Region> = graph.nodes(found[at]).flat_map(|node| graph.op(node).regions()).collect();
        found.extend(inner);
        at += 1;
    }
    found
}

/// Least and greatest integer a value may hold: the bounds of what made it, else those of its 8-bit type.
pub fn known_range(graph: &Graph, value: Value) -> Option<(i64, i64)> {
    match graph.def_op(value) {
        Some(Op::Quantize(attrs)) => Some((attrs.low.into(), attrs.high.into())),
        Some(Op::Requantize(attrs)) => Some((attrs.low.into(), attrs.high.into())),
        _ => match graph.ty(value).elem {
            elem @ (ElemType::U8 | ElemType::I8) => elem.int_range(),
            _ => None,
        },
    }
}

/// The model gives the value 8 bits: constant integers, or what a `fake_quantize` or `dequantize` makes, moved, bounded and
/// scaled by constants at most.
pub fn is_quantized(graph: &Graph, mut value: Value) -> bool {
    loop {
        if weights::is_quantized_const(graph, value) {
            return true;
        }
        let Some(node) = graph.def_node(value) else {
            return false;
        };
        let constant = |index: usize| weights::constant_values(graph, graph.operand(node, index)).is_some();
        value = match graph.op(node) {
            Op::FakeQuantize { levels } => return *levels <= MAX_LEVELS,
            Op::Dequantize(_) => return graph.ty(graph.operand(node, 0)).elem != ElemType::I32,
            Op::Binary(_) if constant(1) => graph.operand(node, 0),
            Op::Binary(_) if constant(0) => graph.operand(node, 1),
            Op::Unary(UnaryOp::Relu | UnaryOp::Clamp { .. }) | Op::MaxPool(_) => graph.operand(node, 0),
            op if op.info().quant == QuantBehaviour::Preserves && !graph.operands(node).is_empty() => {
                graph.operand(node, 0)
            }
            _ => return false,
        };
    }
}

/// What an operation on a variable is tied to by it: the values it gets, of a read; the values read from it, of an assignment.
pub fn across_variable(graph: &Graph, node: Node) -> Vec<Value> {
    let nodes = || graph.all_regions().into_iter().flat_map(|region| graph.nodes(region));
    match graph.op(node) {
        Op::ReadValue { variable: own } => {
            let assigns = |other: &Node| matches!(graph.op(*other), Op::Assign { variable } if variable == own);
            nodes().filter(assigns).map(|other| graph.operand(other, 0)).collect()
        }
        Op::Assign { variable: own } => {
            let reads = |other: &Node| matches!(graph.op(*other), Op::ReadValue { variable } if variable == own);
            nodes().filter(reads).map(|other| graph.result(other)).collect()
        }
        _ => Vec::new(),
    }
}

/// Replaces the results of a node and removes it, with what only it used.
pub fn replace_all(graph: &mut Graph, node: Node, new: &[Value]) {
    for (old, &new) in graph.results(node).to_vec().into_iter().zip(new) {
        graph.replace_value(old, new);
    }
    remove_unused(graph, node);
}

/// As [`replace_all`], for one result.
pub fn replace(graph: &mut Graph, node: Node, new: Value) {
    replace_all(graph, node, &[new]);
}

/// Removes a node nobody reads, and every operand that nobody reads then.
pub fn remove_unused(graph: &mut Graph, node: Node) -> bool {
    let mut open = vec![node];
    let mut removed = false;
    while let Some(node) = open.pop() {
        let unused = graph.results(node).iter().all(|&result| graph.users(result).is_empty());
        if unused && graph.op(node).info().pure && graph.region_of(node).is_some() {
            open.extend(graph.operands(node).iter().filter_map(|&operand| graph.def_node(operand)));
            graph.remove(node);
            removed = true;
        }
    }
    removed
}
