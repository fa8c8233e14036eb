//! Maxima and minima commute with `(q - z) * s` while it grows: `max(dequantize(q)) = dequantize(max(q))` for `s > 0`. Slices
//! with a negative scale are turned round first, see [`super::growing`]. Sums of integers are exact in i32.

use crate::ir::op::{ReduceAttrs, ReduceKind};
use crate::ir::{Graph, Node, Op, QuantParams, Value};

use super::{Outcome, Refusal, Site, growing, narrow};
use crate::passes::lpt::refusal::Parameter;

/// `MaxPool` of integers whose parameters are the same along the windows. Its padding is below every integer, as it is below
/// every float.
pub fn max_pool(graph: &mut Graph, node: Node) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    if let Some(axis) = params.axis.filter(|&axis| axis >= 2) {
        let what = Parameter::SourceScale;
        return Err(Refusal::ParametersVary { what, axis: Some(axis), values: params.slices() });
    }
    let op = graph.op(node).clone();
    let mut site = Site::new(graph, node);
    let (q, params) = growing(&mut site, q, params)?;
    let pooled = site.insert(op, &[q])?;
    let result = site.dequantize(pooled, params)?;
    site.replace(&[result])
}

/// Reductions over axes along which the parameters are the same.
pub fn reduce(graph: &mut Graph, node: Node, attrs: &ReduceAttrs) -> Outcome {
    let is_sum = match attrs.kind {
        ReduceKind::Max | ReduceKind::Min => false,
        ReduceKind::Sum | ReduceKind::Mean => true,
        ReduceKind::Prod | ReduceKind::L1 | ReduceKind::L2 => return Err(Refusal::FloatFunction),
        ReduceKind::And | ReduceKind::Or => return Ok(false),
    };
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    if let Some(axis) = params.axis.filter(|axis| attrs.axes.contains(axis)) {
        let what = Parameter::SourceScale;
        return Err(Refusal::ParametersVary { what, axis: Some(axis), values: params.slices() });
    }
    let mut site = Site::new(graph, node);
    let (q, attrs, params) =
        if is_sum { summed(&site, q, attrs, params)? } else { greatest(&mut site, q, attrs, params)? };
    let params = match params.axis {
        Some(axis) if !attrs.keep_dims => {
            params.on_axis(axis - attrs.axes.iter().filter(|&&reduced| reduced < axis).count())
        }
        _ => params,
    };
    let reduced = site.insert(Op::Reduce(attrs), &[q])?;
    let result = site.dequantize(reduced, params)?;
    site.replace(&[result])
}

/// `ReduceSum` and `ReduceMean` of `n` elements: the sum in i32, `(sum - n z) s` or `(sum - n z) s / n`.
fn summed(
    site: &Site<'_>,
    q: Value,
    attrs: &ReduceAttrs,
    params: QuantParams,
) -> Result<(Value, ReduceAttrs, QuantParams), Refusal> {
    let count: usize = attrs.axes.iter().map(|&axis| site.graph.ty(q).shape[axis]).product();
    let bound = count as f64 * 255.0;
    if count == 0 || bound > f64::from(i32::MAX) {
        return Err(Refusal::AccumulatorOverflow { bound });
    }
    let count = count as f64;
    let divisor = if attrs.kind == ReduceKind::Mean { count } else { 1.0 };
    let scale = params.scale.iter().map(|scale| scale / divisor).collect();
    let zero_point = params.zero_point.iter().map(|zero| zero * count).collect();
    let sum = ReduceAttrs { kind: ReduceKind::Sum, ..attrs.clone() };
    Ok((q, sum, QuantParams { scale, zero_point, ..params }))
}

/// `ReduceMax` and `ReduceMin`: each is the other where all scales are negative.
fn greatest(
    site: &mut Site<'_>,
    q: Value,
    attrs: &ReduceAttrs,
    params: QuantParams,
) -> Result<(Value, ReduceAttrs, QuantParams), Refusal> {
    if params.scale.iter().all(|&scale| scale < 0.0) {
        let kind = if attrs.kind == ReduceKind::Max { ReduceKind::Min } else { ReduceKind::Max };
        return Ok((q, ReduceAttrs { kind, ..attrs.clone() }, params));
    }
    let (q, params) = growing(site, q, params)?;
    Ok((q, attrs.clone(), params))
}
