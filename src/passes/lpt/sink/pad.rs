//! Pad and SpaceToBatch: what is added must be something the integers express.
//!
//! The modes that repeat elements take parameters along: an added slice has those of the slice it repeats. Constant padding
//! with `p` adds one integer `v` everywhere, in one of two ways:
//!
//! ```text
//! v = p / s + z                       an integer, the same for all slices
//! (v, z, s) = (0, 0, s)   p = 0       otherwise, where one axis is padded: the added slices have parameters of their own
//!             (1, 0, p)   p > 0
//!             (0, 1, -p)  p < 0
//! ```

use crate::interp::padded_source;
use crate::ir::op::{PadAttrs, PadMode};
use crate::ir::{Graph, Node, Op, QuantParams, quant::near_integer};

use super::movement::{moved_as, vary};
use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::spread::{from_pairs, select_params};

const NOTHING_TO_PAD: Refusal = Refusal::Unsupported("padding of an empty tensor");

pub fn pad(graph: &mut Graph, node: Node, attrs: &PadAttrs) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    let dims = graph.ty(q).shape.dims();
    let repeated = |mode: PadMode| match params.axis {
        None => Some(params.clone()),
        Some(axis) => repeated_slices(&params, dims[axis], attrs, axis, mode),
    };
    let (value, params) = if attrs.mode == PadMode::Constant {
        let integers = (0..params.slices()).map(|s| attrs.value / params.scale_at(s) + params.zero_point_at(s));
        match one_integer(graph.ty(q).elem.int_range(), integers) {
            Ok(value) => (value as f64, repeated(PadMode::Edge).ok_or(NOTHING_TO_PAD)?),
            Err(refusal) => added_slices(&params, dims, attrs).ok_or_else(|| match params.axis {
                Some(axis) if is_padded(attrs, axis) => vary(&params),
                Some(_) | None => refusal,
            })?,
        }
    } else {
        (attrs.value, repeated(attrs.mode).ok_or(NOTHING_TO_PAD)?)
    };
    moved_as(graph, node, Op::Pad(PadAttrs { value, ..attrs.clone() }), params)
}

fn is_padded(attrs: &PadAttrs, axis: usize) -> bool {
    attrs.begin[axis] != 0 || attrs.end[axis] != 0
}

/// Where each slice of the padded axis comes from, by `mode`; `None` for a slice that is added.
fn sources(size: usize, attrs: &PadAttrs, axis: usize, mode: PadMode) -> impl Iterator<Item = Option<usize>> {
    let (begin, size) = (attrs.begin[axis], size as isize);
    (-begin..size + attrs.end[axis]).map(move |at| padded_source(mode, at, size).map(|at| at as usize))
}

/// Every slice with the parameters of the one that `mode` repeats; `None` when there is nothing to repeat.
fn repeated_slices(
    params: &QuantParams,
    size: usize,
    attrs: &PadAttrs,
    axis: usize,
    mode: PadMode,
) -> Option<QuantParams> {
    let chosen = sources(size, attrs, axis, mode).collect::<Option<Vec<_>>>()?;
    Some(select_params(params, chosen.into_iter()))
}

/// The padding integer, and parameters along the only padded axis, with which it stands for the padding value.
fn added_slices(params: &QuantParams, dims: &[usize], attrs: &PadAttrs) -> Option<(f64, QuantParams)> {
    let mut padded = (0..dims.len()).filter(|&axis| is_padded(attrs, axis));
    let (axis, None) = (padded.next()?, padded.next()) else {
        return None;
    };
    if params.axis.is_some_and(|own| own != axis) || dims[axis] == 0 || !attrs.value.is_finite() {
        return None;
    }
    let own = |slice: usize| (params.scale_at(slice), params.zero_point_at(slice));
    let (value, added) = match attrs.value {
        0.0 => (0.0, (params.scale_at(0), 0.0)),
        p if p > 0.0 => (1.0, (p, 0.0)),
        p => (0.0, (-p, 1.0)),
    };
    let slices: Vec<_> =
        sources(dims[axis], attrs, axis, PadMode::Constant).map(|source| source.map_or(added, own)).collect();
    Some((value, from_pairs(&slices, axis)))
}

/// The integer all of `values` are, inside `range`.
fn one_integer(range: Option<(i64, i64)>, values: impl Iterator<Item = f64>) -> Result<i64, Refusal> {
    let mut found = None;
    for value in values {
        let refusal = Refusal::PaddingNotRepresentable { value };
        let integer = near_integer(value).ok_or(refusal.clone())?;
        let (low, high) = range.unwrap_or((0, 0));
        if !(low..=high).contains(&integer) || *found.get_or_insert(integer) != integer {
            return Err(refusal);
        }
    }
    found.ok_or(NOTHING_TO_PAD)
}

/// Pads with the zero point first, so that the blocks are cut from integers. Parameters along an axis that is not cut stay
/// there.
pub fn space_to_batch(
    graph: &mut Graph,
    node: Node,
    block: &[usize],
    pads_begin: &[usize],
    pads_end: &[usize],
) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    let changed = |axis: usize| axis == 0 || block[axis] != 1 || pads_begin[axis] + pads_end[axis] != 0;
    if params.axis.is_some_and(changed) {
        return Err(vary(&params));
    }
    let value = one_integer(graph.ty(q).elem.int_range(), params.zero_point.iter().copied())? as f64;
    let signed = |pads: &[usize]| pads.iter().map(|&pad| pad as isize).collect();
    let mut site = Site::new(graph, node);
    let attrs = PadAttrs { mode: PadMode::Constant, begin: signed(pads_begin), end: signed(pads_end), value };
    let padded = site.insert(Op::Pad(attrs), &[q])?;
    let none = vec![0; block.len()];
    let op = Op::SpaceToBatch { block: block.to_vec(), pads_begin: none.clone(), pads_end: none };
    let q = site.insert(op, &[padded])?;
    let result = site.dequantize(q, params)?;
    site.replace(&[result])
}
