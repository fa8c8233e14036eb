//! MatMul of two computed operands, or with the constant on the left: integer products, one scale.
//!
//! ```text
//! ((qa - za) sa) x ((qb - zb) sb) = (qa x qb - zb rowsum(qa) - za colsum(qb) + K za zb) * sa sb
//! ```
//! The sums are integers, so the correction is exact. It costs a pass over an operand, and is avoided where possible: an
//! operand whose `q - z` fits i8 is shifted to zero point 0 (for a u8 with zero point 128, the shift becomes part of the
//! `quantize` that made it). What a fractional zero point leaves after rounding, `r = z - rne(z)`, is taken out in f32:
//! `- rb (rowsum(qa) - K za) - ra (colsum(qb) - K rne(zb))`, times the scale. A scale may vary along anything but K; where the
//! product of both varies along two axes, the second factor is multiplied in f32.

use crate::ir::op::{BinaryOp, ReduceAttrs, ReduceKind, RequantizeAttrs};
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use super::{Outcome, Refusal, Site, dequantized};
use crate::passes::lpt::integer_weights::{byte_tensor, without_zero_point};
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::walk::{is_quantized, known_range};
use crate::passes::lpt::weights;

/// Zero points beyond it are no grid of 8 bits.
const MAX_ZERO_POINT: f64 = 255.0;

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
    let scales = Scales::new(&a, &b, &site.graph.ty(site.graph.result(node)).shape);
    check_accumulator(&a, &b)?;
    let (a, b) = (a.centred(&mut site)?, b.centred(&mut site)?);
    let mut sums = site.insert(Op::MatMul { transpose_a, transpose_b }, &[a.q, b.q])?;
    for correction in corrections(&mut site, &a, &b)? {
        sums = site.insert(Op::Binary(BinaryOp::Add), &[sums, correction])?;
    }
    let mut result = site.dequantize(sums, scales.first.clone())?;
    if let Some((axis, scale)) = &scales.second {
        result = site.scaled(result, scale, Some(*axis))?;
    }
    for rest in rests(&mut site, &a, &b, &scales)? {
        result = site.insert(Op::Binary(BinaryOp::Add), &[result, rest])?;
    }
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
    /// What the real zero point has more.
    rest: f64,
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
        if zero.abs() > MAX_ZERO_POINT {
            return Err(Refusal::FractionalZeroPoint { what: Parameter::SourceZeroPoint, value: zero });
        }
        let rounded = zero.round_ties_even();
        let rest = if near_integer(zero).is_some() { 0.0 } else { zero - rounded };
        let added = site.graph.ty(site.graph.result(site.node)).shape.rank() - shape.rank();
        let axis = match params.axis.filter(|_| params.scale.len() > 1) {
            Some(axis) if axis == k => return Err(vary(Parameter::SourceScale, params.scale.len())),
            Some(axis) if axis == outer => Some(place),
            axis => axis.map(|axis| axis + added),
        };
        let range = known_range(site.graph, q).ok_or(Refusal::ElementType(elem))?;
        Ok(Side { q, range, zero: rounded as i64, rest, scale: params.scale, axis, k, length: shape[k] })
    }

    /// The range of `q - z`, where i8 holds it and it is another than that of `q`.
    fn centred_range(&self) -> Option<(i64, i64)> {
        let (low, high) = (self.range.0 - self.zero, self.range.1 - self.zero);
        (self.zero != 0 && low >= i8::MIN.into() && high <= i8::MAX.into()).then_some((low, high))
    }

    /// With zero point 0 where i8 holds `q - z`.
    fn centred(self, site: &mut Site<'_>) -> Result<Side, Refusal> {
        let Some(range) = self.centred_range() else {
            return Ok(self);
        };
        let shift = RequantizeAttrs::shift(-self.zero as i32, ElemType::I8);
        let q = site.insert(Op::Requantize(shift), &[self.q])?;
        Ok(Side { q, range, zero: 0, ..self })
    }

    fn scale_at(&self, slice: usize) -> f64 {
        self.scale[if self.scale.len() == 1 { 0 } else { slice }]
    }

    /// Bound of what it multiplies with, and of the zero point taken out of it.
    fn reach(&self) -> f64 {
        let ((low, high), zero) = match self.centred_range() {
            Some(range) => (range, 0),
            None => (self.range, self.zero),
        };
        (low.abs().max(high.abs()) + zero.abs()) as f64
    }

    /// Sums over K: a column for the left operand, a row for the right one.
    fn sums(&self, site: &mut Site<'_>, is_left: bool) -> Result<Value, Refusal> {
        let attrs = ReduceAttrs { kind: ReduceKind::Sum, axes: vec![self.k], keep_dims: true };
        let sums = site.insert(Op::Reduce(attrs), &[self.q])?;
        let mut dims = site.graph.ty(sums).shape.dims().to_vec();
        let rank = dims.len();
        if self.k == rank - if is_left { 1 } else { 2 } {
            return Ok(sums);
        }
        dims.swap(rank - 2, rank - 1);
        let shape = Shape::new(dims).unwrap_or_default();
        site.insert(Op::Reshape { shape }, &[sums])
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

/// The product of both scales: parameters of the sums, and what is left where it varies along two axes.
struct Scales {
    first: QuantParams,
    /// Axis of the product and a factor per slice.
    second: Option<(usize, Vec<f64>)>,
}

impl Scales {
    fn new(a: &Side, b: &Side, result: &Shape) -> Scales {
        let (axis, second) = match (a.axis, b.axis) {
            (Some(own), Some(other)) if own != other => (Some(other), Some((own, a.scale.clone()))),
            (own, other) => (own.or(other), None),
        };
        let slices = axis.map_or(1, |axis| result[axis]);
        let factor = |slice: usize| if second.is_some() { 1.0 } else { a.scale_at(slice) };
        let scale = (0..slices).map(|slice| factor(slice) * b.scale_at(slice)).collect();
        Scales { first: QuantParams::per_axis(scale, vec![0.0], axis.unwrap_or(0)), second }
    }
}

fn check_accumulator(a: &Side, b: &Side) -> Result<(), Refusal> {
    let bound = a.length as f64 * a.reach() * b.reach();
    if bound > f64::from(i32::MAX) { Err(Refusal::AccumulatorOverflow { bound }) } else { Ok(()) }
}

/// What is added to the sums, in i32: a column for the right zero point, a row for the left one.
fn corrections(site: &mut Site<'_>, a: &Side, b: &Side) -> Result<Vec<Value>, Refusal> {
    let mut found = Vec::new();
    let scalar = |site: &mut Site<'_>, value: i64| site.constant(Tensor::i32(Shape::scalar(), vec![value as i32]));
    if b.zero != 0 {
        let (sums, factor) = (a.sums(site, true)?, scalar(site, -b.zero));
        found.push(site.insert(Op::Binary(BinaryOp::Mul), &[sums, factor])?);
    }
    if a.zero != 0 {
        let (sums, factor) = (b.sums(site, false)?, scalar(site, -a.zero));
        let mut row = site.insert(Op::Binary(BinaryOp::Mul), &[sums, factor])?;
        if b.zero != 0 {
            let both = scalar(site, a.length as i64 * a.zero * b.zero);
            row = site.insert(Op::Binary(BinaryOp::Add), &[row, both])?;
        }
        found.push(row);
    }
    Ok(found)
}

/// What the fractions of zero points add to a result, in f32.
fn rests(site: &mut Site<'_>, a: &Side, b: &Side, scales: &Scales) -> Result<Vec<Value>, Refusal> {
    let k = a.length as f64;
    let columns = (a, true, b.rest, k * (a.zero as f64 + a.rest));
    let rows = (b, false, a.rest, k * b.zero as f64);
    let uniform = scales.first.uniform_scale();
    let mut found = Vec::new();
    for (side, is_left, rest, zero) in [columns, rows] {
        if rest == 0.0 {
            continue;
        }
        let sums = side.sums(site, is_left)?;
        let mut value = site.dequantize(sums, QuantParams::per_tensor(-rest * uniform.unwrap_or(1.0), zero))?;
        if uniform.is_none() {
            value = site.scaled(value, &scales.first.scale, scales.first.axis)?;
        }
        if let Some((axis, scale)) = &scales.second {
            value = site.scaled(value, scale, Some(*axis))?;
        }
        found.push(value);
    }
    Ok(found)
}
