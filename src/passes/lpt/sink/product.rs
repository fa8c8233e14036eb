//! MatMul of two computed operands, or with the constant on the left: integer products, one scale.
//!
//! ```text
//! ((qa - za) sa) x ((qb - zb) sb) = (qa x qb - zb rowsum(qa) - za colsum(qb) + K za zb) * sa sb
//! ```
//! The sums are integers, so the correction is exact. It costs a pass over an operand, and is avoided where possible: an
//! operand whose `q - z` fits i8 is shifted to zero point 0 (for a u8 with zero point 128, the shift becomes part of the
//! `quantize` that made it). A scale may vary along anything but K, as long as the product of both has one axis.

use crate::ir::op::{BinaryOp, ReduceAttrs, ReduceKind, RequantizeAttrs};
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use super::{Outcome, Refusal, Site, dequantized};
use crate::passes::lpt::integer_weights::{byte_tensor, without_zero_point};
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::walk::{is_quantized, known_range};
use crate::passes::lpt::weights;

pub fn product(graph: &mut Graph, node: Node, transpose_a: bool, transpose_b: bool) -> Outcome {
    check_quantized(graph, node)?;
    let rank = graph.ty(graph.result(node)).shape.rank();
    let ranks = [0, 1].map(|index| graph.ty(graph.operand(node, index)).shape.rank());
    if ranks.iter().any(|&rank| rank < 2) {
        return Err(Refusal::Unsupported("vectors are multiplied in float"));
    }
    // Of each operand: the dimension that is summed over, and the one that is left in the product.
    let inner = |rank: usize, last: bool| if last { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
    let mut site = Site::new(graph, node);
    let a = Side::read(&mut site, 0, inner(ranks[0], !transpose_a), rank - 2)?;
    let b = Side::read(&mut site, 1, inner(ranks[1], transpose_b), rank - 1)?;
    let params = result_params(&a, &b, &site.graph.ty(site.graph.result(node)).shape.clone())?;
    let (a, b) = (a.centred(&mut site)?, b.centred(&mut site)?);
    check_accumulator(&a, &b)?;
    let mut sums = site.insert(Op::MatMul { transpose_a, transpose_b }, &[a.q, b.q])?;
    for correction in corrections(&mut site, &a, &b)? {
        sums = site.insert(Op::Binary(BinaryOp::Add), &[sums, correction])?;
    }
    let result = site.dequantize(sums, params)?;
    site.replace(&[result])
}

/// Both operands are integers in the model, computed or constant.
fn check_quantized(graph: &Graph, node: Node) -> Result<(), Refusal> {
    let operands = [0, 1].map(|index| graph.operand(node, index));
    let float_constant =
        |&value: &Value| weights::constant_values(graph, value).is_some() && !is_quantized(graph, value);
    if operands.iter().any(float_constant) {
        return Err(Refusal::WeightsNotQuantized);
    }
    match operands.map(|value| is_quantized(graph, value)) {
        [true, true] => Ok(()),
        [first, second] => Err(Refusal::OperandsNotQuantized { first, second }),
    }
}

/// One operand: 8-bit integers, and what they stand for.
struct Side {
    q: Value,
    /// Least and greatest integer.
    range: (i64, i64),
    zero: i64,
    scale: Vec<f64>,
    /// Dimension of the product that the scale varies along.
    axis: Option<usize>,
    /// Dimension of `q` that is summed over, and its size.
    k: usize,
    length: usize,
}

impl Side {
    /// `k` and `outer` are the dimensions of the operand's matrix; the latter is dimension `place` of the product.
    fn read(site: &mut Site<'_>, index: usize, (k, outer): (usize, usize), place: usize) -> Result<Side, Refusal> {
        let value = site.graph.operand(site.node, index);
        let shape = site.graph.ty(value).shape.clone();
        let (q, params) = match dequantized(site.graph, value) {
            Some(found) => found,
            None => constant(site, value, &shape)?,
        };
        let elem = site.graph.ty(q).elem;
        if !matches!(elem, ElemType::U8 | ElemType::I8) {
            return Err(Refusal::ElementType(elem));
        }
        let vary = |what, values: usize| Refusal::ParametersVary { what, axis: params.axis, values };
        let zero = params.uniform_zero_point().ok_or_else(|| vary(Parameter::SourceZeroPoint, params.slices()))?;
        let integer = near_integer(zero).filter(|zero| (-255..=255).contains(zero));
        let zero = integer.ok_or(Refusal::FractionalZeroPoint { what: Parameter::SourceZeroPoint, value: zero })?;
        let added = site.graph.ty(site.graph.result(site.node)).shape.rank() - shape.rank();
        let axis = match params.axis.filter(|_| params.scale.len() > 1) {
            Some(axis) if axis == k => return Err(vary(Parameter::SourceScale, params.scale.len())),
            Some(axis) if axis == outer => Some(place),
            axis => axis.map(|axis| axis + added),
        };
        let range = known_range(site.graph, q).ok_or(Refusal::ElementType(elem))?;
        Ok(Side { q, range, zero, scale: params.scale, axis, k, length: shape[k] })
    }

    /// With zero point 0 where i8 holds `q - z`.
    fn centred(self, site: &mut Site<'_>) -> Result<Side, Refusal> {
        let (low, high) = (self.range.0 - self.zero, self.range.1 - self.zero);
        if self.zero == 0 || low < i8::MIN.into() || high > i8::MAX.into() {
            return Ok(self);
        }
        let shift = RequantizeAttrs {
            multiplier: vec![1.0],
            bias: vec![-self.zero as f32],
            axis: None,
            elem: ElemType::I8,
            low: i8::MIN.into(),
            high: i8::MAX.into(),
        };
        let q = site.insert(Op::Requantize(shift), &[self.q])?;
        Ok(Side { q, range: (low, high), zero: 0, ..self })
    }

    fn scale_at(&self, slice: usize) -> f64 {
        self.scale[if self.scale.len() == 1 { 0 } else { slice }]
    }

    fn magnitude(&self) -> f64 {
        self.range.0.abs().max(self.range.1.abs()) as f64
    }

    /// `- zero` times the sums over K, one per row of the left operand or column of the right one; `row` is the shape's
    /// dimension with one entry then.
    fn sums(&self, site: &mut Site<'_>, zero: i64, is_left: bool) -> Result<Value, Refusal> {
        let attrs = ReduceAttrs { kind: ReduceKind::Sum, axes: vec![self.k], keep_dims: true };
        let mut sums = site.insert(Op::Reduce(attrs), &[self.q])?;
        let mut dims = site.graph.ty(sums).shape.dims().to_vec();
        let rank = dims.len();
        let lies = if is_left { rank - 1 } else { rank - 2 };
        if self.k != lies {
            dims.swap(rank - 2, rank - 1);
            let shape = Shape::new(dims).unwrap_or_default();
            sums = site.insert(Op::Reshape { shape }, &[sums])?;
        }
        let factor = site.constant(Tensor::i32(Shape::scalar(), vec![-zero as i32]));
        site.insert(Op::Binary(BinaryOp::Mul), &[sums, factor])
    }
}

/// Constant integers without a zero point.
fn constant(site: &mut Site<'_>, value: Value, shape: &Shape) -> Result<(Value, QuantParams), Refusal> {
    let weights = weights::trace(site.graph, value).ok_or(Refusal::SourceNotQuantized)?;
    let (values, remainder) = without_zero_point(&weights)?;
    if let Some(&value) = remainder.values.iter().find(|&&remainder| remainder != 0.0) {
        return Err(Refusal::FractionalZeroPoint { what: Parameter::WeightsZeroPoint, value });
    }
    let vary =
        || Refusal::ParametersVary { what: Parameter::WeightsScale, axis: None, values: weights.scale.values.len() };
    let (axis, scale) = weights.scale.one_axis().ok_or_else(vary)?;
    let q = site.constant(byte_tensor(&values, shape)?);
    Ok((q, QuantParams::per_axis(scale, vec![0.0], axis.unwrap_or(0))))
}

/// The product of both scales, if it varies along one axis.
fn result_params(a: &Side, b: &Side, result: &Shape) -> Result<QuantParams, Refusal> {
    let axis = match (a.axis, b.axis) {
        (Some(own), Some(other)) if own != other => {
            let values = a.scale.len() * b.scale.len();
            return Err(Refusal::ParametersVary { what: Parameter::SourceScale, axis: None, values });
        }
        (own, other) => own.or(other),
    };
    let slices = axis.map_or(1, |axis| result[axis]);
    let scale = (0..slices).map(|slice| a.scale_at(slice) * b.scale_at(slice)).collect();
    Ok(QuantParams::per_axis(scale, vec![0.0], axis.unwrap_or(0)))
}

fn check_accumulator(a: &Side, b: &Side) -> Result<(), Refusal> {
    let (za, zb) = (a.zero.abs() as f64, b.zero.abs() as f64);
    let bound = a.length as f64 * (a.magnitude() + za) * (b.magnitude() + zb);
    if bound > f64::from(i32::MAX) { Err(Refusal::AccumulatorOverflow { bound }) } else { Ok(()) }
}

/// What is added to the sums, in i32: a column for the right zero point, a row for the left one.
fn corrections(site: &mut Site<'_>, a: &Side, b: &Side) -> Result<Vec<Value>, Refusal> {
    let mut found = Vec::new();
    if b.zero != 0 {
        found.push(a.sums(site, b.zero, true)?);
    }
    if a.zero != 0 {
        let mut row = b.sums(site, a.zero, false)?;
        if b.zero != 0 {
            let both = a.length as i64 * a.zero * b.zero;
            let both = site.constant(Tensor::i32(Shape::scalar(), vec![both as i32]));
            row = site.insert(Op::Binary(BinaryOp::Add), &[row, both])?;
        }
        found.push(row);
    }
    Ok(found)
}
