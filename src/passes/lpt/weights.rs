//! Constant weights in any of the forms a model writes them, as integers with scales and zero points.
//!
//! ```text
//! Const(int) -> Convert -> [Subtract z] -> [Multiply s]     also Dequantize, Add, Divide, in any order and number
//! Const(float) or any of the above -> FakeQuantize
//! either one -> Reshape, Transpose, ...
//! ```
//!
//! The chain is evaluated symbolically: `w[i] = (q[i] - zero[i]) * scale[i]`, where scale and zero point are [`Field`]s that
//! every step rewrites. Nothing is decided here: a rule asks the fields how they vary along the axes it cares about.

use crate::ir::op::BinaryOp;
use crate::ir::{ElemType, Graph, Layer, Op, Value, ty::Shape};

use super::ranges::MAX_LEVELS;
use super::spread::{Field, transpose};

/// Constant integers that stand for `(q - zero) * scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedConst {
    pub shape: Shape,
    pub q: Vec<i32>,
    pub scale: Field,
    pub zero: Field,
    /// Source layers of the chain.
    pub layers: Vec<Layer>,
}

/// The value as quantized constant, if it is one.
pub fn trace(graph: &Graph, value: Value) -> Option<QuantizedConst> {
    if let Some(tensor) = graph.const_value(value) {
        return from_integers(tensor);
    }
    let node = graph.def_node(value)?;
    let operand = |index: usize| graph.operand(node, index);
    let shape = &graph.ty(value).shape;
    let mut traced = match graph.op(node) {
        Op::Convert { elem } if elem.is_float() => trace(graph, operand(0))?,
        Op::Dequantize(params) => {
            let rank = shape.rank();
            let scale = Field::along(params.scale.clone(), params.axis, rank);
            let zero = Field::along(params.zero_point.clone(), params.axis, rank);
            trace(graph, operand(0))?.subtract(&zero)?.multiply(&scale)
        }
        Op::Binary(op) => binary(graph, *op, operand(0), operand(1), shape)?,
        Op::FakeQuantize { levels } => fake_quantize(graph, node, *levels)?,
        Op::Reshape { shape } => trace(graph, operand(0))?.reshaped(shape),
        Op::Transpose { perm } => trace(graph, operand(0))?.transposed(perm),
        _ => return None,
    };
    traced.layers.extend_from_slice(graph.layers(node));
    (traced.shape == *shape).then_some(traced)
}

/// Whether [`trace`] will succeed, without the work.
pub fn is_quantized_const(graph: &Graph, value: Value) -> bool {
    if let Some(tensor) = graph.const_value(value) {
        return is_narrow(tensor.elem());
    }
    let Some(node) = graph.def_node(value) else {
        return false;
    };
    let constant = |index: usize| constant_values(graph, graph.operand(node, index)).is_some();
    match graph.op(node) {
        Op::FakeQuantize { levels } => *levels <= MAX_LEVELS && (0..5).all(constant),
        Op::Convert { elem } => elem.is_float() && is_quantized_const(graph, graph.operand(node, 0)),
        Op::Dequantize(_) | Op::Reshape { .. } | Op::Transpose { .. } => {
            is_quantized_const(graph, graph.operand(node, 0))
        }
        Op::Binary(BinaryOp::Mul | BinaryOp::Add) => {
            let chain = |index: usize| is_quantized_const(graph, graph.operand(node, index));
            (chain(0) && constant(1)) || (chain(1) && constant(0))
        }
        Op::Binary(BinaryOp::Sub | BinaryOp::Div) => is_quantized_const(graph, graph.operand(node, 0)) && constant(1),
        _ => false,
    }
}

/// Elements of a constant of any form as f64, with their shape: a bias, a factor, the data of a `FakeQuantize`.
pub fn constant_values(graph: &Graph, value: Value) -> Option<(Vec<f64>, Shape)> {
    if let Some(tensor) = graph.const_value(value) {
        return Some((tensor.to_f64(), tensor.shape().clone()));
    }
    let node = graph.def_node(value)?;
    match graph.op(node) {
        Op::Convert { elem: ElemType::F32 } => constant_values(graph, graph.operand(node, 0)),
        Op::Reshape { shape } => Some((constant_values(graph, graph.operand(node, 0))?.0, shape.clone())),
        Op::Transpose { perm } => {
            let (values, from) = constant_values(graph, graph.operand(node, 0))?;
            Some((transpose(&values, from.dims(), perm), graph.ty(value).shape.clone()))
        }
        Op::Binary(_) | Op::Dequantize(_) | Op::FakeQuantize { .. } => {
            let traced = trace(graph, value)?;
            Some((traced.values(), traced.shape))
        }
        _ => None,
    }
}

fn is_narrow(elem: ElemType) -> bool {
    matches!(elem, ElemType::I8 | ElemType::U8 | ElemType::I4 | ElemType::U4)
}

fn from_integers(tensor: &crate::ir::Tensor) -> Option<QuantizedConst> {
    if !is_narrow(tensor.elem()) {
        return None;
    }
    let rank = tensor.shape().rank();
    let q = tensor.to_i64()?.into_iter().map(|q| i32::try_from(q).ok()).collect::<Option<Vec<_>>>()?;
    let (scale, zero) = (Field::uniform(1.0, rank), Field::uniform(0.0, rank));
    Some(QuantizedConst { shape: tensor.shape().clone(), q, scale, zero, layers: Vec::new() })
}

fn binary(graph: &Graph, op: BinaryOp, a: Value, b: Value, shape: &Shape) -> Option<QuantizedConst> {
    let field = |value: Value| {
        let (values, from) = constant_values(graph, value)?;
        Field::new(values, from.dims(), shape)
    };
    match op {
        BinaryOp::Sub => trace(graph, a)?.subtract(&field(b)?),
        BinaryOp::Div => {
            let divisor = field(b)?;
            let factor = Field { values: divisor.values.iter().map(|v| 1.0 / v).collect(), ..divisor };
            Some(trace(graph, a)?.multiply(&factor)).filter(QuantizedConst::is_finite)
        }
        BinaryOp::Mul | BinaryOp::Add => {
            let (chain, other) = if is_quantized_const(graph, a) { (a, b) } else { (b, a) };
            let traced = trace(graph, chain)?;
            let other = field(other)?;
            if op == BinaryOp::Mul {
                return Some(traced.multiply(&other));
            }
            traced.subtract(&Field { values: other.values.iter().map(|v| -v).collect(), ..other })
        }
        _ => None,
    }
}

/// `FakeQuantize` of a constant, index by index as lpt-spec 1.1 has it, in f32.
fn fake_quantize(graph: &Graph, node: crate::ir::Node, levels: u32) -> Option<QuantizedConst> {
    if !(2..=MAX_LEVELS).contains(&levels) {
        return None;
    }
    let (data, shape) = constant_values(graph, graph.operand(node, 0))?;
    let range = |index: usize| {
        let (values, from) = constant_values(graph, graph.operand(node, index))?;
        Field::new(values, from.dims(), &shape)
    };
    let (il, ih, ol, oh) = (range(1)?, range(2)?, range(3)?, range(4)?);
    let top = (levels - 1) as f32;
    let (lows, highs) = (il.materialize(&shape), ih.materialize(&shape));
    let ends = lows.iter().zip(&highs).map(|(&low, &high)| (low as f32, high as f32));
    let q = data.iter().zip(ends).map(|(&x, (low, high))| index(x as f32, low, high, top)).collect();
    let scale = ol.zip(&oh, &shape, |low, high| if high == low { nonzero(low) } else { (high - low) / f64::from(top) });
    let zero = ol.zip(&scale, &shape, |low, scale| -low / scale);
    let traced = QuantizedConst { shape, q, scale, zero, layers: Vec::new() };
    Some(traced.with_empty_ranges_cleared(&ol, &oh)).filter(QuantizedConst::is_finite)
}

fn nonzero(value: f64) -> f64 {
    if value == 0.0 { 1.0 } else { value }
}

fn index(x: f32, low: f32, high: f32, top: f32) -> i32 {
    if x <= low.min(high) {
        0
    } else if x > low.max(high) {
        top as i32
    } else {
        ((x - low) / (high - low) * top).round_ties_even() as i32
    }
}

impl QuantizedConst {
    /// Weights that sum: 1 everywhere.
    pub fn ones(shape: Shape) -> QuantizedConst {
        let rank = shape.rank();
        let (scale, zero) = (Field::uniform(1.0, rank), Field::uniform(0.0, rank));
        QuantizedConst { q: vec![1; shape.elements()], shape, scale, zero, layers: Vec::new() }
    }

    /// The reals the constant stands for.
    pub fn values(&self) -> Vec<f64> {
        let (scale, zero) = (self.scale.materialize(&self.shape), self.zero.materialize(&self.shape));
        let factors = zero.iter().zip(&scale);
        self.q.iter().zip(factors).map(|(&q, (&z, &s))| (f64::from(q) - z) * s).collect()
    }

    /// Where an output range is one point, `(q - zero) * scale` is that point for `q = 0` only.
    fn with_empty_ranges_cleared(mut self, ol: &Field, oh: &Field) -> QuantizedConst {
        let empty = ol.zip(oh, &self.shape, |low, high| f64::from(u8::from(low == high)));
        if empty.uniform_value() != Some(0.0) {
            let empty = empty.materialize(&self.shape);
            self.q.iter_mut().zip(empty).filter(|(_, empty)| *empty != 0.0).for_each(|(q, _)| *q = 0);
        }
        self
    }

    fn is_finite(&self) -> bool {
        self.scale.values.iter().chain(&self.zero.values).all(|v| v.is_finite())
    }

    fn multiply(self, factor: &Field) -> QuantizedConst {
        QuantizedConst { scale: self.scale.zip(factor, &self.shape, |s, f| s * f), ..self }
    }

    /// `None` when a scale is 0, which has no zero point to take up the difference.
    fn subtract(self, term: &Field) -> Option<QuantizedConst> {
        let shift = term.zip(&self.scale, &self.shape, |t, s| t / s);
        let zero = self.zero.zip(&shift, &self.shape, |z, shift| z + shift);
        Some(QuantizedConst { zero, ..self }).filter(QuantizedConst::is_finite)
    }

    /// Slices `start .. start + length` of `axis`.
    pub fn slice(&self, axis: usize, start: usize, length: usize) -> QuantizedConst {
        let mut dims = self.shape.dims().to_vec();
        let q = cut(&self.q, &dims, axis, start, length);
        let part = |field: &Field| {
            if field.dims[axis] == 1 {
                return field.clone();
            }
            let mut dims = field.dims.clone();
            dims[axis] = length;
            Field { values: cut(&field.values, &field.dims, axis, start, length), dims }
        };
        let (scale, zero) = (part(&self.scale), part(&self.zero));
        dims[axis] = length;
        QuantizedConst { shape: Shape::new(dims).unwrap_or_default(), q, scale, zero, layers: self.layers.clone() }
    }

    fn reshaped(self, to: &Shape) -> QuantizedConst {
        let (scale, zero) = (self.scale.reshaped(&self.shape, to), self.zero.reshaped(&self.shape, to));
        QuantizedConst { shape: to.clone(), scale, zero, ..self }
    }

    fn transposed(self, perm: &[usize]) -> QuantizedConst {
        let dims: Vec<usize> = perm.iter().map(|&axis| self.shape[axis]).collect();
        let q = transpose(&self.q, self.shape.dims(), perm);
        let (scale, zero) = (self.scale.transposed(perm), self.zero.transposed(perm));
        QuantizedConst { shape: Shape::new(dims).unwrap_or_default(), q, scale, zero, ..self }
    }
}

fn cut<T: Copy>(values: &[T], dims: &[usize], axis: usize, start: usize, length: usize) -> Vec<T> {
    let inner: usize = dims[axis + 1..].iter().product();
    let rows = values.chunks((dims[axis] * inner).max(1));
    rows.flat_map(|row| row[start * inner..(start + length) * inner].iter().copied()).collect()
}
