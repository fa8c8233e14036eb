//! Gather of quantized constants by computed indices, as embeddings are: the table stays in 8 bits.
//!
//! ```text
//! gather((q - z) s, i) = dequantize(gather(q - z, i)) * gather(s, i)        s: per entry of the gathered axis
//! gather((q - z) s, i) = dequantize(gather(q - z, i))                       s: uniform, or along another axis
//! ```
//! Integers without a zero point only: an index outside the table reads 0, which then stands for 0 in both forms.

use crate::ir::op::BinaryOp;
use crate::ir::{Graph, Node, Op, QuantParams, Tensor, ty::Shape};

use super::{Outcome, Refusal, Site};
use crate::passes::lpt::integer_weights::{byte_tensor, without_zero_point};
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::weights;

/// A gather from quantized constants that is computed in every inference.
pub fn is_lookup(graph: &Graph, node: Node) -> bool {
    matches!(graph.op(node), Op::Gather { batch_dims: 0, .. })
        && weights::constant_values(graph, graph.operand(node, 1)).is_none()
        && weights::is_quantized_const(graph, graph.operand(node, 0))
}

pub fn gather(graph: &mut Graph, node: Node, axis: usize) -> Outcome {
    let (table, indices) = (graph.operand(node, 0), graph.operand(node, 1));
    let table = weights::trace(graph, table).ok_or(Refusal::WeightsNotQuantized)?;
    let (values, remainder) = without_zero_point(&table)?;
    if let Some(&value) = remainder.values.iter().find(|&&remainder| remainder != 0.0) {
        return Err(Refusal::FractionalZeroPoint { what: Parameter::WeightsZeroPoint, value });
    }
    let vary =
        || Refusal::ParametersVary { what: Parameter::WeightsScale, axis: None, values: table.scale.values.len() };
    let (own, scale) = table.scale.one_axis().ok_or_else(vary)?;
    let integers = byte_tensor(&values, &table.shape)?;
    let rank = graph.ty(indices).shape.rank();
    let mut site = Site::new(graph, node);
    let integers = site.constant(integers);
    let gather = Op::Gather { axis, batch_dims: 0 };
    let q = site.insert(gather.clone(), &[integers, indices])?;
    let params = match own {
        Some(own) if own == axis => QuantParams::per_tensor(1.0, 0.0),
        Some(own) if own > axis => QuantParams::per_axis(scale.clone(), vec![0.0], own + rank - 1),
        own => QuantParams::per_axis(scale.clone(), vec![0.0], own.unwrap_or(0)),
    };
    let mut result = site.dequantize(q, params)?;
    if own == Some(axis) {
        let mut dims = vec![1; table.shape.rank()];
        dims[axis] = scale.len();
        let scales = scale.into_iter().map(|scale| scale as f32).collect();
        let scales = site.constant(Tensor::f32(Shape::new(dims).unwrap_or_default(), scales));
        let scales = site.insert(gather, &[scales, indices])?;
        result = site.insert(Op::Binary(BinaryOp::Mul), &[result, scales])?;
    }
    site.replace(&[result])
}
