//! MatMul with constant weights: integer products, one scale per column.
//!
//! ```text
//! ((qa - za) sa) x ((qw - zw) sw[n]) = (qa x w - za colsum(w)) * sa sw[n]        w = qw - zw
//! ```
//! Nothing is padded, so any za has a correction: exact in i32 when it is an integer, else part of the result's zero
//! point. The scales must be the same along K, which is summed over; the source's may differ per row instead.

use crate::ir::op::BinaryOp;
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::integer_weights::{check_accumulator, integer_tensor, without_zero_point};
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::weights::{self, QuantizedConst};

pub fn matmul(graph: &mut Graph, node: Node, transpose_a: bool, transpose_b: bool) -> Outcome {
    let (a, b) = (graph.operand(node, 0), graph.operand(node, 1));
    let weights = match weights::trace(graph, b) {
        Some(weights) => weights,
        None if weights::constant_values(graph, b).is_some() || weights::constant_values(graph, a).is_some() => {
            return Err(Refusal::WeightsNotQuantized);
        }
        None => return Err(Refusal::WeightsNotConstant),
    };
    let (q, params) = narrow(graph, a)?;
    if graph.ty(q).elem != ElemType::U8 {
        return Err(Refusal::ElementType(graph.ty(q).elem));
    }
    if weights.shape.rank() < 2 || graph.ty(q).shape.rank() < 2 {
        return Err(Refusal::Unsupported("vectors are multiplied in float"));
    }
    let plan = Plan::new(graph, node, q, params, weights, (transpose_a, transpose_b))?;
    plan.apply(graph, node)
}

struct Plan {
    q: Value,
    weights: QuantizedConst,
    values: Vec<i32>,
    /// Of the result.
    params: QuantParams,
    /// `- za colsum(w)` in i32, with its shape.
    correction: Option<(Vec<i32>, Shape)>,
}

impl Plan {
    fn new(
        graph: &Graph,
        node: Node,
        q: Value,
        params: QuantParams,
        weights: QuantizedConst,
        (transpose_a, transpose_b): (bool, bool),
    ) -> Result<Plan, Refusal> {
        let source = graph.ty(q).shape.clone();
        let result = graph.ty(graph.result(node)).shape.clone();
        let (rank, last) = (weights.shape.rank(), result.rank() - 1);
        let k_of_source = source.rank() - if transpose_a { 2 } else { 1 };
        let (k, n) = if transpose_b { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
        let columns = weights.shape[n];
        let scale_b = weights.scale.on_axis(n).ok_or(Refusal::ParametersVary {
            what: Parameter::WeightsScale,
            axis: None,
            values: weights.scale.values.len(),
        })?;
        if params.scale.len() > 1 && params.axis == Some(k_of_source) {
            let what = Parameter::SourceScale;
            return Err(Refusal::ParametersVary { what, axis: params.axis, values: params.scale.len() });
        }
        if params.zero_point.len() > 1 && params.axis != Some(k_of_source) {
            let what = Parameter::SourceZeroPoint;
            return Err(Refusal::ParametersVary { what, axis: params.axis, values: params.zero_point.len() });
        }
        let values = without_zero_point(&weights)?;
        let zero = |k: usize| params.zero_point_at(if params.zero_point.len() == 1 { 0 } else { k });
        let sums = ColumnSums::new(&values, &weights.shape, (k, n), zero);
        let integer = params.zero_point.iter().all(|&z| near_integer(z).is_some());
        check_accumulator(&sums.magnitudes, if integer { sums.largest() } else { 0.0 })?;
        let scale_of_column = |column: usize| scale_b[if scale_b.len() == 1 { 0 } else { column }];
        let none = sums.weighted.iter().all(|&sum| sum == 0.0);
        let (zero_point, correction) = if none {
            (vec![0.0], None)
        } else if integer {
            let values = sums.weighted.iter().map(|&sum| -sum as i32).collect();
            (vec![0.0], Some((values, sums.shape(columns, result.rank()))))
        } else if sums.weighted.len() == columns {
            (sums.weighted, None)
        } else {
            let value = params.zero_point[0];
            return Err(Refusal::FractionalZeroPoint { what: Parameter::SourceZeroPoint, value });
        };
        let params = match params.axis.filter(|_| params.scale.len() > 1) {
            None => {
                let scale = (0..columns).map(|column| params.scale[0] * scale_of_column(column)).collect();
                QuantParams::per_axis(scale, zero_point, last)
            }
            Some(axis) if scale_b.len() == 1 && zero_point.len() == 1 => {
                let scale = params.scale.iter().map(|scale| scale * scale_b[0]).collect();
                let place = if transpose_a && axis == source.rank() - 1 { axis - 1 } else { axis };
                QuantParams::per_axis(scale, zero_point, place + result.rank() - source.rank())
            }
            Some(axis) => {
                let what = Parameter::SourceScale;
                return Err(Refusal::ParametersVary { what, axis: Some(axis), values: params.scale.len() });
            }
        };
        Ok(Plan { q, weights, values, params, correction })
    }

    fn apply(self, graph: &mut Graph, node: Node) -> Outcome {
        let op = graph.op(node).clone();
        let mut site = Site::new(graph, node);
        let constant = site.constant(integer_tensor(&self.values, &self.weights.shape));
        let mut sums = site.insert(op, &[self.q, constant])?;
        if let Some((values, shape)) = self.correction {
            let constant = site.constant(Tensor::i32(shape, values));
            sums = site.insert(Op::Binary(BinaryOp::Add), &[sums, constant])?;
        }
        let result = site.dequantize(sums, self.params)?;
        site.replace(&[result])
    }
}

/// Sums over K for every matrix of the weights and every column.
struct ColumnSums {
    /// `sum of za[k] w[k, n]`
    weighted: Vec<f64>,
    /// `sum of |w[k, n]|`
    magnitudes: Vec<f64>,
    /// Leading dimensions of the weights.
    batch: Vec<usize>,
}

impl ColumnSums {
    fn new(values: &[i32], shape: &Shape, (k, n): (usize, usize), zero: impl Fn(usize) -> f64) -> ColumnSums {
        let strides = shape.strides();
        let batch = shape.dims()[..shape.rank() - 2].to_vec();
        let matrix = shape[k] * shape[n];
        let mut sums = ColumnSums { weighted: Vec::new(), magnitudes: Vec::new(), batch };
        for values in values.chunks(matrix.max(1)) {
            for column in 0..shape[n] {
                let w = |row: usize| f64::from(values[row * strides[k] + column * strides[n]]);
                sums.weighted.push((0..shape[k]).map(|row| zero(row) * w(row)).sum());
                sums.magnitudes.push((0..shape[k]).map(|row| w(row).abs()).sum());
            }
        }
        sums
    }

    fn largest(&self) -> f64 {
        self.weighted.iter().map(|sum| sum.abs()).fold(0.0, f64::max)
    }

    /// `[batch.., 1, columns]`, with ones in front up to `rank`.
    fn shape(&self, columns: usize, rank: usize) -> Shape {
        let mut dims = vec![1; rank.saturating_sub(self.batch.len() + 2)];
        dims.extend_from_slice(&self.batch);
        dims.extend([1, columns]);
        Shape::new(dims).unwrap_or_default()
    }
}
