//! Pass `lpt-cleanup`: chains of `requantize` become one, those that change nothing go, and so does what nobody reads.
//!
//! ```text
//! outer(inner(q)), inner an integer shift or bound     -> outer'(q)
//! outer(inner(x)), outer an even integer shift         -> inner'(x), inner also quantize      ties stay on even integers
//! requantize(q) = q for every q of the known range     -> q
//! shift(move(quantize(x)))                             -> move(shift(quantize(x)))            move: one reader each, no padding
//! dequantize(shift(q))                                 -> dequantize(q)                       when nobody else reads the shift
//! ```
//! It is the last of the low precision passes: refusals of operations that do not compute in float after all are dropped.

use std::collections::BTreeSet;

use crate::diag;
use crate::ir::op::{QuantizeAttrs, RequantizeAttrs};
use crate::ir::{Graph, Node, Op, QuantParams, Value};

use crate::passes::{PassContext, Remark};

use super::walk::{known_range, regions, remove_unused, replace};

/// See the file's description.
pub fn run(graph: &mut Graph, context: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    for region in regions(graph).into_iter().rev() {
        let mut again = true;
        while again {
            again = false;
            for node in graph.nodes(region).collect::<Vec<_>>() {
                if graph.region_of(node).is_some() {
                    again |= remove_unused(graph, node) || simplify(graph, node).is_some();
                }
            }
            changed |= again;
        }
    }
    forget_settled(graph, &mut context.remarks);
    Ok(changed)
}

/// Keeps the refusals of operations that are in float still, each once: others became part of a quantization or moved
/// integers in the end.
fn forget_settled(graph: &Graph, remarks: &mut Vec<Remark>) {
    let mut in_float: BTreeSet<(&str, &str)> = BTreeSet::new();
    for node in regions(graph).into_iter().flat_map(|region| graph.nodes(region)) {
        if graph.results(node).iter().any(|&result| graph.ty(result).elem.is_float()) {
            let name = graph.op(node).name();
            in_float.insert((name, ""));
            in_float.extend(graph.layers(node).iter().map(|&layer| (name, graph.layer(layer).name.as_str())));
        }
    }
    let mut told: BTreeSet<(&str, Vec<String>, String)> = BTreeSet::new();
    remarks.retain(|remark| {
        let settled = match remark.layers.as_slice() {
            [] => !in_float.contains(&(remark.op, "")),
            layers => !layers.iter().any(|layer| in_float.contains(&(remark.op, layer.as_str()))),
        };
        let again =
            !remark.layers.is_empty() && !told.insert((remark.op, remark.layers.clone(), remark.message.clone()));
        remark.refusal.is_none() || !(settled || again)
    });
}

fn simplify(graph: &mut Graph, node: Node) -> Option<()> {
    match graph.op(node).clone() {
        Op::Requantize(attrs) => {
            let source = graph.operand(node, 0);
            if changes_nothing(graph, source, &attrs) {
                replace(graph, node, source);
                return Some(());
            }
            let inner = graph.def_node(source)?;
            match graph.op(inner).clone() {
                Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice(_) => raise_shift(graph, node, inner, &attrs),
                Op::Requantize(first) => {
                    into_outer(graph, node, inner, &first, &attrs).or_else(|| into_inner(graph, node, inner, &attrs))
                }
                Op::Quantize(_) => into_inner(graph, node, inner, &attrs),
                _ => None,
            }
        }
        Op::Dequantize(params) => dequantize_shift(graph, node, params),
        _ => None,
    }
}

/// Evaluates every integer the source may hold.
fn changes_nothing(graph: &Graph, source: Value, attrs: &RequantizeAttrs) -> bool {
    if graph.ty(source).elem != attrs.elem {
        return false;
    }
    let Some((low, high)) = known_range(graph, source) else {
        return false;
    };
    let slices = attrs.multiplier.len().max(attrs.bias.len());
    (0..slices).all(|slice| (low..=high).all(|q| apply(attrs, slice, q as f32) == q))
}

fn apply(attrs: &RequantizeAttrs, slice: usize, q: f32) -> i64 {
    let at = |values: &[f32]| values[if values.len() == 1 { 0 } else { slice }];
    let rounded = (q * at(&attrs.multiplier) + at(&attrs.bias)).round_ties_even();
    rounded.clamp(attrs.low as f32, attrs.high as f32) as i64
}

/// The integer a requantization adds, when it does nothing else but bound the sum.
fn shift_of(attrs: &RequantizeAttrs) -> Option<i64> {
    match (attrs.multiplier.as_slice(), attrs.bias.as_slice()) {
        ([1.0], [bias]) if bias.fract() == 0.0 && bias.abs() < 1e6 => Some(*bias as i64),
        _ => None,
    }
}

/// `outer(bound(q + shift))`: the outer function takes the shift, and its bounds where it grows.
fn into_outer(
    graph: &mut Graph,
    node: Node,
    inner: Node,
    first: &RequantizeAttrs,
    outer: &RequantizeAttrs,
) -> Option<()> {
    let shift = shift_of(first)? as f64;
    let source = graph.operand(inner, 0);
    let (least, greatest) = known_range(graph, source)?;
    let (least, greatest) = (least + shift as i64, greatest + shift as i64);
    let slices = outer.multiplier.len().max(outer.bias.len());
    let bounded = least < i64::from(first.low) || greatest > i64::from(first.high);
    let (mut low, mut high) = (outer.low, outer.high);
    if bounded {
        let growing = outer.multiplier.iter().all(|&m| m > 0.0);
        let ends = |q: i32| {
            let end = apply(outer, 0, q as f32);
            (1..slices).all(|slice| apply(outer, slice, q as f32) == end).then_some(end as i32)
        };
        (low, high) = (ends(first.low).filter(|_| growing)?, ends(first.high)?);
    }
    let multiplier = |slice: usize| f64::from(outer.multiplier[if outer.multiplier.len() == 1 { 0 } else { slice }]);
    let bias = |slice: usize| f64::from(outer.bias[if outer.bias.len() == 1 { 0 } else { slice }]);
    let bias = (0..slices).map(|slice| (bias(slice) + multiplier(slice) * shift) as f32).collect();
    let attrs = RequantizeAttrs { bias, low, high, ..outer.clone() };
    let layers = [graph.layers(inner), graph.layers(node)].concat();
    let new = graph.insert_before(node, Op::Requantize(attrs), &[source], &layers).ok()?;
    replace(graph, node, graph.result(new));
    Some(())
}

/// `bound(inner(x) + shift)`: the inner function takes the shift. An odd one would turn ties the other way.
fn into_inner(graph: &mut Graph, node: Node, inner: Node, outer: &RequantizeAttrs) -> Option<()> {
    let shift = i32::try_from(shift_of(outer)?).ok().filter(|shift| shift % 2 == 0)?;
    graph.single_user(graph.operand(node, 0))?;
    let bounds = |low: i32, high: i32| {
        let bound = |q: i32| q.saturating_add(shift).clamp(outer.low, outer.high);
        (bound(low), bound(high))
    };
    let op = match graph.op(inner).clone() {
        Op::Quantize(attrs) => {
            let (low, high) = bounds(attrs.low, attrs.high);
            let zero_point = attrs.params.zero_point.iter().map(|z| z + f64::from(shift)).collect();
            let params = QuantParams { zero_point, ..attrs.params };
            Op::Quantize(QuantizeAttrs { params, elem: outer.elem, low, high })
        }
        Op::Requantize(attrs) => {
            let (low, high) = bounds(attrs.low, attrs.high);
            let bias = attrs.bias.iter().map(|b| b + shift as f32).collect();
            Op::Requantize(RequantizeAttrs { bias, elem: outer.elem, low, high, ..attrs })
        }
        _ => return None,
    };
    let source = graph.operand(inner, 0);
    let layers = [graph.layers(inner), graph.layers(node)].concat();
    let new = graph.insert_before(node, op, &[source], &layers).ok()?;
    replace(graph, node, graph.result(new));
    Some(())
}

/// The shift in front of what moves its source, where it can join the function that made the integers.
fn raise_shift(graph: &mut Graph, node: Node, mover: Node, shift: &RequantizeAttrs) -> Option<()> {
    shift_of(shift).filter(|shift| shift % 2 == 0)?;
    graph.single_user(graph.result(mover))?;
    let source = graph.operand(mover, 0);
    if !quantized_for_one(graph, source) {
        return None;
    }
    let layers = [graph.layers(mover), graph.layers(node)].map(<[_]>::to_vec);
    let shifted = graph.insert_before(node, Op::Requantize(shift.clone()), &[source], &layers[1]).ok()?;
    let op = graph.op(mover).clone();
    let moved = graph.insert_before(node, op, &[graph.result(shifted)], &layers[0]).ok()?;
    replace(graph, node, graph.result(moved));
    Some(())
}

/// The value is a quantization's, moved at most, and nobody reads anything on the way.
fn quantized_for_one(graph: &Graph, mut value: Value) -> bool {
    while let (Some(node), Some(_)) = (graph.def_node(value), graph.single_user(value)) {
        match graph.op(node) {
            Op::Quantize(_) | Op::Requantize(_) => return true,
            Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice(_) => value = graph.operand(node, 0),
            _ => return false,
        }
    }
    false
}

/// A shift that only `dequantize` operations read is one step too many.
fn dequantize_shift(graph: &mut Graph, node: Node, params: QuantParams) -> Option<()> {
    let shifted = graph.operand(node, 0);
    let inner = graph.def_node(shifted)?;
    let Op::Requantize(attrs) = graph.op(inner).clone() else {
        return None;
    };
    let shift = shift_of(&attrs)?;
    let source = graph.operand(inner, 0);
    let (low, high) = known_range(graph, source)?;
    let exact = low + shift >= attrs.low.into() && high + shift <= attrs.high.into();
    let only_dequantized = graph.users(shifted).iter().all(|&user| matches!(graph.op(user), Op::Dequantize(_)));
    if !exact || !only_dequantized {
        return None;
    }
    let zero_point = params.zero_point.iter().map(|z| z - shift as f64).collect();
    let layers = graph.layers(node).to_vec();
    let op = Op::Dequantize(QuantParams { zero_point, ..params });
    let new = graph.insert_before(node, op, &[source], &layers).ok()?;
    replace(graph, node, graph.result(new));
    Some(())
}
