//! Pass `lpt-prepare`: every form in which a model writes integers becomes `dequantize` of u8.
//!
//! ```text
//! convert(q) [- z] [* s]                 -> dequantize(q) {scale = s, zero_point = z}        q: u8 or i8
//! dequantize(q: i8) {zero_point = z}     -> dequantize(requantize(q) + 128: u8) {zero_point = z + 128}
//! ```
//! After it, integer data of the model (inputs, and tensors between explicit quantize and dequantize operations) look as
//! what `lpt-decompose` makes of a `FakeQuantize`. Subtract and Multiply are absorbed by the sinking rules. Constants are
//! left alone: they are weights, read where they are used.

use crate::diag;
use crate::ir::op::RequantizeAttrs;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Value};

use crate::passes::PassContext;

use super::walk::{regions, replace};

/// Distance between the i8 and the u8 that stand for the same value.
const SHIFT: i32 = 128;

/// See the file's description.
pub fn run(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    for region in regions(graph) {
        for node in graph.nodes(region).collect::<Vec<_>>() {
            changed |= match graph.op(node) {
                Op::Convert { elem: ElemType::F32 } => convert_to_dequantize(graph, node),
                Op::Dequantize(_) => shift_to_u8(graph, node),
                _ => false,
            };
        }
    }
    Ok(changed)
}

fn convert_to_dequantize(graph: &mut Graph, node: Node) -> bool {
    let q = graph.operand(node, 0);
    let integers = matches!(graph.ty(q).elem, ElemType::U8 | ElemType::I8) && graph.const_value(q).is_none();
    integers && replace_by_dequantize(graph, node, q, QuantParams::per_tensor(1.0, 0.0))
}

fn shift_to_u8(graph: &mut Graph, node: Node) -> bool {
    let q = graph.operand(node, 0);
    let Op::Dequantize(params) = graph.op(node).clone() else {
        return false;
    };
    graph.ty(q).elem == ElemType::I8 && graph.const_value(q).is_none() && replace_by_dequantize(graph, node, q, params)
}

fn replace_by_dequantize(graph: &mut Graph, node: Node, q: Value, params: QuantParams) -> bool {
    let layers = graph.layers(node).to_vec();
    let (q, params) = match graph.ty(q).elem {
        ElemType::I8 => {
            let shift = RequantizeAttrs {
                multiplier: vec![1.0],
                bias: vec![SHIFT as f32],
                axis: None,
                elem: ElemType::U8,
                low: 0,
                high: 255,
            };
            let Ok(shifted) = graph.insert_before(node, Op::Requantize(shift), &[q], &layers) else {
                return false;
            };
            let zero_point = params.zero_point.iter().map(|z| z + f64::from(SHIFT)).collect();
            (graph.result(shifted), QuantParams { zero_point, ..params })
        }
        _ => (q, params),
    };
    let Ok(dequantize) = graph.insert_before(node, Op::Dequantize(params), &[q], &layers) else {
        return false;
    };
    replace(graph, node, graph.result(dequantize));
    true
}
