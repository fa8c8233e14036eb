//! Pass `lpt-prepare`: every form in which a model writes integers becomes `dequantize` of u8.
//!
//! ```text
//! convert(q) [- z] [* s]                 -> dequantize(q) {scale = s, zero_point = z}        q: u8 or i8
//! dequantize(q: i8) {zero_point = z}     -> dequantize(requantize(q) + 128: u8) {zero_point = z + 128}
//! rnn(x, states, w, r, b)                -> rnn'(matmul(x, w^T), states, r, b)               x, w: quantized
//! ```
//! After it, integer data of the model (inputs, and tensors between explicit quantize and dequantize operations) look as
//! what `lpt-decompose` makes of a `FakeQuantize`. Subtract and Multiply are absorbed by the sinking rules. Constants are
//! left alone: they are weights, read where they are used.
//!
//! The products of a recurrent sequence with its inputs do not depend on the state: for all steps they are one MatMul, which
//! has a sinking rule. The recurrent products read the state, which no `FakeQuantize` in the model rounds: they stay in float.

use crate::diag;
use crate::ir::op::{RequantizeAttrs, RnnAttrs};
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Value, ty::Shape};

use crate::passes::PassContext;

use super::walk::{is_quantized, regions, replace, replace_all};
use super::weights;

/// See the file's description.
pub fn run(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    for region in regions(graph) {
        for node in graph.nodes(region).collect::<Vec<_>>() {
            changed |= match graph.op(node) {
                Op::Convert { elem: ElemType::F32 } => convert_to_dequantize(graph, node),
                Op::Dequantize(_) => shift_to_u8(graph, node),
                Op::Rnn(attrs) if !attrs.projected => project(graph, node, &attrs.clone()).is_some(),
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

/// Splits the products with the inputs off a recurrent sequence.
fn project(graph: &mut Graph, node: Node, attrs: &RnnAttrs) -> Option<()> {
    let operands = graph.operands(node).to_vec();
    let at = operands.len() - 3;
    let (x, w) = (operands[0], operands[at]);
    if !is_quantized(graph, x) || !weights::is_quantized_const(graph, w) {
        return None;
    }
    let dims = graph.ty(w).shape.dims().to_vec();
    let shape = Shape::new(vec![dims[0] * dims[1], dims[2]])?;
    let layers = graph.layers(node).to_vec();
    let weights = graph.insert_before(node, Op::Reshape { shape }, &[w], &layers).ok()?;
    let op = Op::MatMul { transpose_a: false, transpose_b: true };
    let product = graph.insert_before(node, op, &[x, graph.result(weights)], &layers).ok()?;
    let mut rest = operands;
    rest.remove(at);
    rest[0] = graph.result(product);
    let op = Op::Rnn(RnnAttrs { projected: true, ..attrs.clone() });
    let new = graph.insert_before(node, op, &rest, &layers).ok()?;
    let results = graph.results(new).to_vec();
    replace_all(graph, node, &results);
    Some(())
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
            let shift = RequantizeAttrs::shift(RequantizeAttrs::UNSIGNED, ElemType::U8);
            let Ok(shifted) = graph.insert_before(node, Op::Requantize(shift), &[q], &layers) else {
                return false;
            };
            let zero_point = params.zero_point.iter().map(|z| z + f64::from(RequantizeAttrs::UNSIGNED)).collect();
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
