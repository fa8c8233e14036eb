//! Maxima and minima commute with `(q - z) * s` while it grows: `max(dequantize(q)) = dequantize(max(q))` for `s > 0`.

use crate::ir::op::{ReduceAttrs, ReduceKind};
use crate::ir::{Graph, Node, Op, QuantParams};

use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::refusal::Parameter;

/// `MaxPool` of integers whose parameters are the same along the windows. Its padding is below every integer, as it is below
/// every float.
pub fn max_pool(graph: &mut Graph, node: Node) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    require_growing(&params)?;
    if let Some(axis) = params.axis.filter(|&axis| axis >= 2) {
        let what = Parameter::SourceScale;
        return Err(Refusal::ParametersVary { what, axis: Some(axis), values: params.slices() });
    }
    let op = graph.op(node).clone();
    let mut site = Site::new(graph, node);
    let pooled = site.insert(op, &[q])?;
    let result = site.dequantize(pooled, params)?;
    site.replace(&[result])
}

/// `ReduceMax` and `ReduceMin` over axes along which the parameters are the same.
pub fn reduce(graph: &mut Graph, node: Node, attrs: &ReduceAttrs) -> Outcome {
    match attrs.kind {
        ReduceKind::Max | ReduceKind::Min => {}
        ReduceKind::Sum | ReduceKind::Mean | ReduceKind::Prod | ReduceKind::L1 | ReduceKind::L2 => {
            return Err(Refusal::FloatFunction);
        }
        ReduceKind::And | ReduceKind::Or => return Ok(false),
    }
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    require_growing(&params)?;
    let params = match params.axis {
        Some(axis) if attrs.axes.contains(&axis) => {
            let what = Parameter::SourceScale;
            return Err(Refusal::ParametersVary { what, axis: Some(axis), values: params.slices() });
        }
        Some(axis) if !attrs.keep_dims => {
            params.on_axis(axis - attrs.axes.iter().filter(|&&reduced| reduced < axis).count())
        }
        _ => params,
    };
    let mut site = Site::new(graph, node);
    let reduced = site.insert(Op::Reduce(attrs.clone()), &[q])?;
    let result = site.dequantize(reduced, params)?;
    site.replace(&[result])
}

fn require_growing(params: &QuantParams) -> Result<(), Refusal> {
    match params.scale.iter().find(|&&scale| scale < 0.0) {
        Some(&scale) => Err(Refusal::NegativeScale(scale)),
        None => Ok(()),
    }
}
