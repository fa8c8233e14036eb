//! Variables in integers: `read_value` gives, and `assign` takes, u8 or i8 of one grid.
//!
//! ```text
//! read_value(initial)   -> dequantize(read_value'(quantize(initial)))
//! assign(x)             -> assign'(quantize(x))
//! ```
//! All reads and the assignment of a variable change together, before anything else sinks, so that the `dequantize` behind a
//! read sinks with the others and the `quantize` in front of the assignment meets the `dequantize` it undoes. It loses nothing
//! in two cases:
//!
//! - *what is written is on a grid*: the assigned value is made of dequantized values of one grid, and of the variable itself,
//!   by operations that move elements; then the initial value must be on that grid too;
//! - *what is read is put on a grid*: every reader quantizes with the same grid.
//!
//! A variable in a region stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::ir::op::{QuantizeAttrs, ScatterReduction};
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Value, quant::near_integer};

use crate::passes::PassContext;
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::weights;

use super::{PASS, Refusal, Site, dequantized};

#[derive(Clone, Debug, Default)]
struct Variable {
    reads: Vec<Node>,
    assign: Option<Node>,
}

/// Rewrites every variable of the body that has a grid. A remark tells of one that is quantized somewhere and has none.
pub fn run(graph: &mut Graph, context: &mut PassContext) -> bool {
    let mut variables: BTreeMap<String, Variable> = BTreeMap::new();
    for node in graph.body_nodes() {
        match graph.op(node) {
            Op::ReadValue { variable } => variables.entry(variable.clone()).or_default().reads.push(node),
            Op::Assign { variable } => variables.entry(variable.clone()).or_default().assign = Some(node),
            _ => {}
        }
    }
    let mut changed = false;
    for variable in variables.values() {
        let Some(assign) = variable.assign.filter(|&node| graph.ty(graph.operand(node, 0)).elem == ElemType::F32)
        else {
            continue;
        };
        match grid(graph, &variable.reads, assign).and_then(|grid| match grid {
            Some(grid) => rewrite(graph, &variable.reads, assign, &grid).map(|()| true),
            None => Ok(false),
        }) {
            Ok(rewritten) => changed |= rewritten,
            Err(refusal) => context.refuse(graph, assign, PASS, refusal),
        }
    }
    changed
}

/// The grid of a variable, if the model gives it one.
fn grid(graph: &Graph, reads: &[Node], assign: Node) -> Result<Option<QuantizeAttrs>, Refusal> {
    if let Some(grid) = read_grid(graph, reads) {
        return Ok(Some(grid));
    }
    let Op::Assign { variable } = graph.op(assign) else { return Ok(None) };
    let Some(grid) = written_grid(graph, graph.operand(assign, 0), variable)? else { return Ok(None) };
    for &read in reads {
        on_grid(graph, graph.operand(read, 0), &grid)?;
    }
    Ok(Some(grid))
}

/// Every reader quantizes, all with the same grid.
fn read_grid(graph: &Graph, reads: &[Node]) -> Option<QuantizeAttrs> {
    let mut found: Option<QuantizeAttrs> = None;
    for &user in reads.iter().flat_map(|&read| graph.users(graph.result(read))) {
        let Op::Quantize(attrs) = graph.op(user) else { return None };
        if found.get_or_insert_with(|| attrs.clone()) != attrs {
            return None;
        }
    }
    found
}

/// The one grid of the values that a tree of movements is made of; none if one of them is not quantized.
fn written_grid(graph: &Graph, value: Value, variable: &str) -> Result<Option<QuantizeAttrs>, Refusal> {
    let mut grids: Vec<QuantizeAttrs> = Vec::new();
    let mut constants = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if !seen.insert(value) {
            continue;
        }
        if let Some((q, params)) = dequantized(graph, value) {
            grids.extend(whole_grid(graph.ty(q).elem, params));
            continue;
        }
        if weights::constant_values(graph, value).is_some() {
            constants.push(value);
            continue;
        }
        let Some(node) = graph.def_node(value) else { return Ok(None) };
        match graph.op(node) {
            Op::ReadValue { variable: own } if own == variable => {}
            op => match moved_operands(op) {
                Some(sources) => open.extend(sources.iter().map(|&index| graph.operand(node, index))),
                None if matches!(op, Op::Concat { .. }) => open.extend_from_slice(graph.operands(node)),
                None => return Ok(None),
            },
        }
    }
    let Some(first) = grids.first().cloned() else { return Ok(None) };
    if grids.iter().any(|grid| *grid != first) {
        return Err(Refusal::VariableGrids);
    }
    let moved = seen.len() > 1;
    if let Some(axis) = first.params.axis.filter(|_| moved) {
        let values = first.params.slices();
        return Err(Refusal::ParametersVary { what: Parameter::SourceScale, axis: Some(axis), values });
    }
    constants.iter().try_for_each(|&constant| on_grid(graph, constant, &first))?;
    Ok(Some(first))
}

/// All integers of an 8-bit type.
fn whole_grid(elem: ElemType, params: QuantParams) -> Option<QuantizeAttrs> {
    let (low, high) = elem.int_range().filter(|_| matches!(elem, ElemType::U8 | ElemType::I8))?;
    Some(QuantizeAttrs { params, elem, low: low as i32, high: high as i32 })
}

/// The operands whose elements an operation gives unchanged, and nothing else.
fn moved_operands(op: &Op) -> Option<&'static [usize]> {
    match op {
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Split { .. }
        | Op::Slice(_)
        | Op::Broadcast { .. }
        | Op::Tile { .. }
        | Op::Reverse { .. } => Some(&[0]),
        Op::ScatterNd | Op::ScatterElements { reduction: ScatterReduction::None, .. } => Some(&[0, 2]),
        Op::Select => Some(&[1, 2]),
        _ => None,
    }
}

/// The value is a constant of the grid, or dequantized from it.
fn on_grid(graph: &Graph, value: Value, grid: &QuantizeAttrs) -> Result<(), Refusal> {
    if let Some((q, params)) = dequantized(graph, value)
        && graph.ty(q).elem == grid.elem
        && params == grid.params
    {
        return Ok(());
    }
    let (values, _) = weights::constant_values(graph, value).ok_or(Refusal::InitialValueComputed)?;
    let (Some(scale), Some(zero_point)) = (grid.params.uniform_scale(), grid.params.uniform_zero_point()) else {
        let zero = values.iter().all(|&value| value == 0.0) && grid.params.integer_zero_points().is_some();
        let first = values.first().copied().unwrap_or(0.0);
        return if zero { Ok(()) } else { Err(Refusal::InitialValue { value: first }) };
    };
    let bounds = f64::from(grid.low)..=f64::from(grid.high);
    let exact = |value: f64| {
        let place = value / scale + zero_point;
        near_integer(place).is_some_and(|integer| bounds.contains(&(integer as f64)))
            && (value == 0.0 || ((place.round() - zero_point) * scale) as f32 == value as f32)
    };
    match values.into_iter().find(|&value| !exact(value)) {
        Some(value) => Err(Refusal::InitialValue { value }),
        None => Ok(()),
    }
}

fn rewrite(graph: &mut Graph, reads: &[Node], assign: Node, grid: &QuantizeAttrs) -> Result<(), Refusal> {
    for &node in reads.iter().chain([&assign]) {
        let (op, value) = (graph.op(node).clone(), graph.operand(node, 0));
        let mut site = Site::new(graph, node);
        let q = site.insert(Op::Quantize(grid.clone()), &[value])?;
        let kept = site.insert(op, &[q])?;
        let result = site.dequantize(kept, grid.params.clone())?;
        let old = graph.result(node);
        graph.replace_value(old, result);
        graph.remove(node);
    }
    Ok(())
}
