//! Pass `unroll`: bodies of loops and branches become part of the graph around them.
//!
//! ```text
//! loop   -> its body, once per iteration: slices in front, a concat behind
//! if     -> both branches, and a select of their results
//! ```
//! Everything after it, low precision transformations first of all, then sees one graph without borders. Inner bodies come before
//! outer ones. A loop with a condition that is computed runs to its end, and what it carries keeps its values from the
//! iteration on whose condition is false.
//!
//! Left alone: bodies with variables, loops that would become too long, and results with gaps between their parts.

use std::collections::BTreeMap;

use super::PassContext;
use crate::diag;
use crate::ir::op::{BinaryOp, LoopAttrs, LoopSlice, SliceAttrs};
use crate::ir::{ElemType, Graph, Layer, Node, Op, Region, Shape, Tensor, TensorType, Value};

/// A loop of more operations in all is not unrolled.
const MOST_NODES: usize = 20_000;

pub fn run(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    // Regions are found from the outside in.
    for region in graph.all_regions().into_iter().rev() {
        for node in graph.nodes(region).collect::<Vec<_>>() {
            let results = match graph.op(node).clone() {
                Op::Loop(attrs) if can_unroll(graph, node, &attrs) => unrolled(graph, node, &attrs),
                Op::If { then_body, else_body } if [then_body, else_body].iter().all(|&body| is_pure(graph, body)) => {
                    both(graph, node, then_body, else_body)
                }
                _ => continue,
            };
            // Inference takes what it has taken inside the region.
            let Ok(results) = results else { continue };
            for (old, new) in graph.results(node).to_vec().into_iter().zip(results) {
                graph.replace_value(old, new);
            }
            graph.remove(node);
            changed = true;
        }
    }
    Ok(changed)
}

/// No variables, and nothing left that has a body of its own.
fn is_pure(graph: &Graph, body: Region) -> bool {
    let plain = |node: Node| {
        let op = graph.op(node);
        matches!(op, Op::Return) || op.info().pure && op.regions().is_empty()
    };
    graph.nodes(body).all(plain)
}

fn can_unroll(graph: &Graph, node: Node, attrs: &LoopAttrs) -> bool {
    let size = graph.nodes(attrs.body).count().saturating_mul(attrs.trip_count);
    let results = &graph.results(node)[attrs.carried.min(graph.results(node).len())..];
    let whole = |(slice, &result): (&LoopSlice, &Value)| {
        has_no_gaps(slice, attrs.trip_count, graph.ty(result).shape[slice.axis])
    };
    attrs.trip_count > 0
        && size <= MOST_NODES
        && is_pure(graph, attrs.body)
        && attrs.concatenated.iter().zip(results).all(whole)
}

fn has_no_gaps(slice: &LoopSlice, trips: usize, size: usize) -> bool {
    let mut begins: Vec<isize> = (0..trips).map(|trip| begin(slice, trip)).collect();
    begins.sort_unstable();
    begins.iter().enumerate().all(|(at, &begin)| begin == (at * slice.part) as isize) && trips * slice.part == size
}

fn begin(slice: &LoopSlice, trip: usize) -> isize {
    slice.start + trip as isize * slice.stride
}

/// New nodes in front of one, for its layers.
struct Site<'g> {
    graph: &'g mut Graph,
    node: Node,
    layers: Vec<Layer>,
}

impl<'g> Site<'g> {
    fn new(graph: &'g mut Graph, node: Node) -> Site<'g> {
        let layers = graph.layers(node).to_vec();
        Site { graph, node, layers }
    }

    fn insert(&mut self, op: Op, operands: &[Value]) -> Result<Value, String> {
        let new = self.graph.insert_before(self.node, op, operands, &self.layers)?;
        Ok(self.graph.result(new))
    }

    /// The operations of a body on these arguments; gives what it returns.
    fn inline(&mut self, body: Region, arguments: &[Value]) -> Result<Vec<Value>, String> {
        let params = self.graph.params(body).to_vec();
        let mut values: BTreeMap<Value, Value> = params.into_iter().zip(arguments.iter().copied()).collect();
        for node in self.graph.nodes(body).collect::<Vec<_>>() {
            let outer = |value: &Value| values.get(value).copied().unwrap_or(*value);
            let operands: Vec<Value> = self.graph.operands(node).iter().map(outer).collect();
            let op = self.graph.op(node).clone();
            if op == Op::Return {
                return Ok(operands);
            }
            let layers = [self.graph.layers(node), &self.layers].concat();
            let new = self.graph.insert_before(self.node, op, &operands, &layers)?;
            values.extend(self.graph.results(node).iter().copied().zip(self.graph.results(new).iter().copied()));
        }
        Err(format!("internal error: {body} has no return"))
    }

    /// Where the condition holds `then`, else `other`; without a condition `then`.
    fn select(&mut self, condition: Option<Value>, then: Value, other: Value) -> Result<Value, String> {
        match condition {
            Some(condition) if then != other => self.insert(Op::Select, &[condition, then, other]),
            Some(_) | None => Ok(then),
        }
    }

    /// A condition of one element as a scalar.
    fn scalar(&mut self, condition: Value) -> Result<Value, String> {
        match self.graph.ty(condition).shape.rank() {
            0 => Ok(condition),
            _ => self.insert(Op::Reshape { shape: Shape::scalar() }, &[condition]),
        }
    }

    fn is_true(&self, condition: Value) -> bool {
        let constant = self.graph.const_value(condition);
        constant.and_then(|tensor| tensor.splat_value()).is_some_and(|value| value != 0.0)
    }
}

fn both(graph: &mut Graph, node: Node, then_body: Region, else_body: Region) -> Result<Vec<Value>, String> {
    let operands = graph.operands(node).to_vec();
    let mut site = Site::new(graph, node);
    let condition = site.scalar(operands[0])?;
    let then = site.inline(then_body, &operands[1..])?;
    let other = site.inline(else_body, &operands[1..])?;
    then.into_iter().zip(other).map(|(then, other)| site.select(Some(condition), then, other)).collect()
}

fn unrolled(graph: &mut Graph, node: Node, attrs: &LoopAttrs) -> Result<Vec<Value>, String> {
    let operands = graph.operands(node).to_vec();
    let (sliced, rest) = operands.split_at(attrs.sliced.len());
    let (first, invariant) = rest.split_at(attrs.carried);
    let index_ty = graph.params(attrs.body).first().map(|&param| graph.ty(param).clone());
    let mut carried = first.to_vec();
    let mut parts: Vec<Vec<Value>> = vec![Vec::new(); attrs.concatenated.len()];
    let mut running = None;
    let mut site = Site::new(graph, node);
    for trip in 0..attrs.trip_count {
        let mut arguments = Vec::new();
        if let Some(ty) = index_ty.clone().filter(|_| attrs.takes_index) {
            arguments.push(index(&mut site, ty, trip)?);
        }
        for (slice, &operand) in attrs.sliced.iter().zip(sliced) {
            arguments.push(part(&mut site, slice, trip, operand)?);
        }
        arguments.extend(carried.iter().chain(invariant));
        let mut results = site.inline(attrs.body, &arguments)?.into_iter();
        let more = if attrs.has_condition { results.next() } else { None };
        for value in &mut carried {
            let next = results.next().ok_or("internal error: a loop carries another number of values")?;
            *value = site.select(running, next, *value)?;
        }
        for (parts, result) in parts.iter_mut().zip(results) {
            let result = kept_or_zero(&mut site, running, result)?;
            parts.push(result);
        }
        if let Some(more) = more.filter(|&more| !site.is_true(more)) {
            let more = site.scalar(more)?;
            running = Some(match running {
                Some(running) => site.insert(Op::Binary(BinaryOp::LogicalAnd), &[running, more])?,
                None => more,
            });
        }
    }
    for (slice, parts) in attrs.concatenated.iter().zip(parts) {
        carried.push(joined(&mut site, slice, parts)?);
    }
    Ok(carried)
}

fn index(site: &mut Site<'_>, ty: TensorType, trip: usize) -> Result<Value, String> {
    let number = Tensor::f32(ty.shape.clone(), vec![trip as f32; ty.shape.elements()]);
    let constant = site.graph.insert_const(site.node, number, &site.layers);
    site.insert(Op::Convert { elem: ty.elem }, &[constant])
}

/// What one iteration sees of an operand.
fn part(site: &mut Site<'_>, slice: &LoopSlice, trip: usize, operand: Value) -> Result<Value, String> {
    let mut lengths = site.graph.ty(operand).shape.dims().to_vec();
    let mut begins = vec![0; lengths.len()];
    begins[slice.axis] = usize::try_from(begin(slice, trip)).map_err(|_| "a slice in front of its operand")?;
    lengths[slice.axis] = slice.part;
    let strides = vec![1; lengths.len()];
    site.insert(Op::Slice(SliceAttrs { begin: begins, lengths, strides }), &[operand])
}

/// Iterations that would not have run give zeros.
fn kept_or_zero(site: &mut Site<'_>, running: Option<Value>, part: Value) -> Result<Value, String> {
    if running.is_none() {
        return Ok(part);
    }
    let elem = site.graph.ty(part).elem;
    let zero = site.graph.insert_const(site.node, Tensor::f32(Shape::scalar(), vec![0.0]), &site.layers);
    let zero = if elem == ElemType::F32 { zero } else { site.insert(Op::Convert { elem }, &[zero])? };
    site.select(running, part, zero)
}

/// The parts of all iterations, in the order of their places.
fn joined(site: &mut Site<'_>, slice: &LoopSlice, parts: Vec<Value>) -> Result<Value, String> {
    let parts: Vec<Value> = if slice.stride < 0 { parts.into_iter().rev().collect() } else { parts };
    site.insert(Op::Concat { axis: slice.axis }, &parts)
}
