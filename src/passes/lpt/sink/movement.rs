//! Operations that move elements: the same integers elsewhere, with parameters on the axis where their slices went.
//!
//! Per-tensor parameters pass through all of them. Parameters along an axis pass where the result has an axis that the
//! slices fall onto; otherwise the operation stays in float.

use crate::ir::op::{InterpolateAttrs, InterpolateMode, SliceAttrs};
use crate::ir::{Graph, Node, Op, QuantParams, ty::Shape};

use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::spread::{
    Field, from_pairs, pairs, reshape_params, select_params, transpose as transpose_values,
};

pub fn vary(params: &QuantParams) -> Refusal {
    Refusal::ParametersVary { what: Parameter::SourceScale, axis: params.axis, values: params.slices() }
}

/// The operation on integers, then `dequantize` with `params`. Operands beyond the first stay.
fn moved(graph: &mut Graph, node: Node, params: QuantParams) -> Outcome {
    let op = graph.op(node).clone();
    moved_as(graph, node, op, params)
}

/// As [`moved`], by another operation.
pub fn moved_as(graph: &mut Graph, node: Node, op: Op, params: QuantParams) -> Outcome {
    let mut operands = graph.operands(node).to_vec();
    operands[0] = narrow(graph, operands[0])?.0;
    let mut site = Site::new(graph, node);
    let q = site.insert(op, &operands)?;
    let result = site.dequantize(q, params)?;
    site.replace(&[result])
}

fn source_shape(graph: &Graph, node: Node) -> Shape {
    graph.ty(graph.operand(node, 0)).shape.clone()
}

/// Operations that scatter the slices of any axis: per-tensor parameters only.
pub fn uniform(graph: &mut Graph, node: Node) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    if params.axis.is_some() {
        return Err(vary(&params));
    }
    moved(graph, node, params)
}

/// Operations whose every element is one of either of two operands, which must have the same parameters.
pub fn chosen(graph: &mut Graph, node: Node, sources: [usize; 2]) -> Outcome {
    let mut operands = graph.operands(node).to_vec();
    let [(a, params), (b, other)] = [narrow(graph, operands[sources[0]])?, narrow(graph, operands[sources[1]])?];
    if let Some(axis) = params.axis.or(other.axis) {
        return Err(Refusal::PartsDiffer { axis });
    }
    if params != other || graph.ty(a).elem != graph.ty(b).elem {
        return Err(Refusal::FloatFunction);
    }
    (operands[sources[0]], operands[sources[1]]) = (a, b);
    let op = graph.op(node).clone();
    let mut site = Site::new(graph, node);
    let q = site.insert(op, &operands)?;
    let result = site.dequantize(q, params)?;
    site.replace(&[result])
}

/// Parameters along an axis that batches do not go to stay there.
pub fn batch_to_space(
    graph: &mut Graph,
    node: Node,
    block: &[usize],
    crops_begin: &[usize],
    crops_end: &[usize],
) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let changed = |axis: usize| axis == 0 || block[axis] != 1 || crops_begin[axis] + crops_end[axis] != 0;
    if params.axis.is_some_and(changed) {
        return Err(vary(&params));
    }
    moved(graph, node, params)
}

pub fn reshape(graph: &mut Graph, node: Node, shape: &Shape) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let from = source_shape(graph, node);
    match reshape_params(&params, &from, shape) {
        Some(params) => moved(graph, node, params),
        None => shuffle(graph, node, &params),
    }
}

/// Reshape, Transpose, Reshape that nobody reads in between, as ShuffleChannels arrives: in the middle the slices have two
/// axes, behind it one again.
fn shuffle(graph: &mut Graph, node: Node, params: &QuantParams) -> Outcome {
    let from = source_shape(graph, node);
    let (Some(own), Some((transposed, Op::Transpose { perm }))) = (params.axis, only_user(graph, node)) else {
        return Err(vary(params));
    };
    let Some((last, Op::Reshape { shape })) = only_user(graph, transposed).filter(|_| from.elements() > 0) else {
        return Err(vary(params));
    };
    let stride = from.strides()[own];
    let slices: Vec<f64> = (0..from.elements()).map(|at| (at / stride % from[own]) as f64).collect();
    let values = transpose_values(&slices, graph.ty(graph.result(node)).shape.dims(), &perm);
    let Some((Some(axis), chosen)) = (Field { dims: shape.dims().to_vec(), values }).one_axis() else {
        return Err(vary(params));
    };
    let params = select_params(params, chosen.into_iter().map(|slice| slice as usize)).on_axis(axis);
    let mut value = narrow(graph, graph.operand(node, 0))?.0;
    let steps = [node, transposed, last];
    let layers = steps.iter().flat_map(|&step| graph.layers(step).to_vec()).collect();
    let ops = steps.map(|step| graph.op(step).clone());
    let mut site = Site { layers, ..Site::new(graph, last) };
    for op in ops {
        value = site.insert(op, &[value])?;
    }
    let result = site.dequantize(value, params)?;
    site.replace(&[result])
}

/// The only user of a node's result.
fn only_user(graph: &Graph, node: Node) -> Option<(Node, Op)> {
    let user = graph.single_user(graph.result(node))?;
    Some((user, graph.op(user).clone()))
}

pub fn transpose(graph: &mut Graph, node: Node, perm: &[usize]) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let place = params.axis.and_then(|axis| perm.iter().position(|&from| from == axis));
    moved(graph, node, params.on_axis(place.unwrap_or(0)))
}

/// Parts with the same parameters keep them; parts with different ones get parameters along the concatenated axis.
pub fn concat(graph: &mut Graph, node: Node, axis: usize) -> Outcome {
    let parts = graph.operands(node).iter().map(|&part| narrow(graph, part)).collect::<Result<Vec<_>, _>>()?;
    let sizes: Vec<usize> = parts.iter().map(|(q, _)| graph.ty(*q).shape[axis]).collect();
    let first = parts[0].1.clone();
    let params = if parts.iter().all(|(_, params)| *params == first) && first.axis != Some(axis) {
        first
    } else if let Some((_, part)) = parts.iter().find(|(_, params)| params.axis.is_some_and(|own| own != axis)) {
        return Err(Refusal::PartsDiffer { axis: part.axis.unwrap_or(axis) });
    } else {
        let slices: Vec<_> = parts.iter().zip(&sizes).flat_map(|((_, params), &size)| pairs(params, size)).collect();
        from_pairs(&slices, axis)
    };
    let operands: Vec<_> = parts.iter().map(|(q, _)| *q).collect();
    let mut site = Site::new(graph, node);
    let q = site.insert(Op::Concat { axis }, &operands)?;
    let result = site.dequantize(q, params)?;
    site.replace(&[result])
}

pub fn split(graph: &mut Graph, node: Node, axis: usize, lengths: &[usize]) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    let mut site = Site::new(graph, node);
    let parts = site.insert_all(Op::Split { axis, lengths: lengths.to_vec() }, &[q])?;
    let mut start = 0;
    let mut results = Vec::with_capacity(parts.len());
    for (&part, &length) in parts.iter().zip(lengths) {
        let own =
            if params.axis == Some(axis) { select_params(&params, start..start + length) } else { params.clone() };
        results.push(site.dequantize(part, own)?);
        start += length;
    }
    site.replace(&results)
}

pub fn slice(graph: &mut Graph, node: Node, attrs: &SliceAttrs) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let chosen = |axis: usize| {
        let (begin, stride) = (attrs.begin[axis], attrs.strides[axis]);
        (0..attrs.lengths[axis]).map(move |i| begin.saturating_add_signed(stride * i as isize))
    };
    let params = params.axis.map_or(params.clone(), |axis| select_params(&params, chosen(axis)));
    moved(graph, node, params)
}

pub fn broadcast(graph: &mut Graph, node: Node, shape: &Shape) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let extra = shape.rank() - source_shape(graph, node).rank();
    let params = params.axis.map_or(params.clone(), |axis| params.on_axis(axis + extra));
    moved(graph, node, params)
}

pub fn tile(graph: &mut Graph, node: Node, repeats: &[usize]) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let from = source_shape(graph, node);
    let extra = repeats.len().saturating_sub(from.rank());
    let added = from.rank().saturating_sub(repeats.len());
    let params = match params.axis {
        None => params,
        Some(axis) => {
            let times = axis.checked_sub(added).map_or(1, |place| repeats[place + extra]);
            let size = from[axis];
            select_params(&params, (0..size * times).map(|slice| slice % size)).on_axis(axis + extra)
        }
    };
    moved(graph, node, params)
}

/// Nearest neighbours are elements of the source; every other mode computes.
pub fn interpolate(graph: &mut Graph, node: Node, attrs: &InterpolateAttrs) -> Outcome {
    if attrs.mode != InterpolateMode::Nearest {
        return Err(Refusal::FloatFunction);
    }
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    if params.axis.is_some_and(|axis| attrs.axes.contains(&axis)) {
        return Err(vary(&params));
    }
    let padded = attrs.pads_begin.iter().chain(&attrs.pads_end).any(|&pad| pad != 0);
    if padded && params.has_zero_point() {
        return Err(Refusal::Unsupported("padded interpolation of a source with a zero point"));
    }
    moved(graph, node, params)
}

/// Indices outside their dimension read 0, which is no element: they must be known not to, or 0 must be the zero point.
fn check_indices(graph: &Graph, node: Node, params: &QuantParams, sizes: &[usize]) -> Result<(), Refusal> {
    if !params.has_zero_point() {
        return Ok(());
    }
    let constant = graph.const_value(graph.operand(node, 1)).and_then(|tensor| tensor.to_i64());
    let least = sizes.iter().copied().min().unwrap_or(0) as i64;
    let inside = constant.is_some_and(|indices| indices.iter().all(|&i| (-least..least).contains(&i)));
    if inside { Ok(()) } else { Err(Refusal::Unsupported("computed indices may leave a source with a zero point")) }
}

/// `GatherElements` and `GatherNd`.
pub fn gather_any(graph: &mut Graph, node: Node) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    check_indices(graph, node, &params, source_shape(graph, node).dims())?;
    uniform(graph, node)
}

/// Rows chosen by constant indices take their parameters along; computed indices need one value for all rows.
pub fn gather(graph: &mut Graph, node: Node, axis: usize, batch_dims: usize) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    check_indices(graph, node, &params, &[source_shape(graph, node)[axis]])?;
    let indices = graph.operand(node, 1);
    let rank = graph.ty(indices).shape.rank();
    let params = match params.axis {
        None => params,
        Some(own) if own < axis => params,
        Some(own) if own > axis => params.on_axis(own + rank - batch_dims - 1),
        Some(own) => {
            let size = source_shape(graph, node)[own] as i64;
            let chosen = graph.const_value(indices).filter(|_| rank <= 1).and_then(|tensor| tensor.to_i64());
            let chosen = chosen.ok_or_else(|| vary(&params))?;
            let place = |i: i64| usize::try_from(if i < 0 { i + size } else { i }).ok().filter(|&i| (i as i64) < size);
            let places = chosen.iter().map(|&i| place(i)).collect::<Option<Vec<_>>>().ok_or_else(|| vary(&params))?;
            select_params(&params, places.into_iter())
        }
    };
    moved(graph, node, params)
}

pub fn reverse(graph: &mut Graph, node: Node, axis: usize) -> Outcome {
    let (_, params) = narrow(graph, graph.operand(node, 0))?;
    let size = source_shape(graph, node)[axis];
    let params = if params.axis == Some(axis) { select_params(&params, (0..size).rev()) } else { params };
    moved(graph, node, params)
}
