//! Constants are absorbed into scale and zero point; ReLU and Clamp bound the integers.
//!
//! ```text
//! (q - z) s + c = (q - (z - c / s)) s        (q - z) s * c = (q - z) (s c)
//! relu((q - z) s) = (max(q, z) - z) s        clamp((q - z) s, a, b) = (clamp(q, a / s + z, b / s + z) - z) s
//! prelu((q - z) s) = prelu((q - z) sign(s)) |s|
//! ```
//! The first line holds for accumulators as well: a bias is a fractional zero point. The second needs bounds that are
//! integers (a negative scale swaps them, `max` becomes `min`); where they are not, the function stays in float and becomes
//! a bound of the next `quantize`. The third holds for any zero point, scale and slope, and for accumulators; the factor
//! behind it becomes part of the next `quantize`.
//! Every other function is computed in float between `dequantize` and `quantize`, which is where epilogues come from.

use crate::ir::op::{BinaryOp, RequantizeAttrs, UnaryOp};
use crate::ir::{Graph, Node, Op, QuantParams, quant::near_integer};

use super::{Outcome, Refusal, Site, dequantized, narrow};
use crate::passes::lpt::spread::{Field, from_pairs, pairs};
use crate::passes::lpt::weights::constant_values;

/// Derived zero points beyond this have lost the integers they are subtracted from.
const MAX_ZERO_POINT: f64 = 1e12;

/// Scales below this are too close to f32's subnormal numbers.
const MIN_SCALE: f64 = 1e-30;

pub fn binary(graph: &mut Graph, node: Node, op: BinaryOp) -> Outcome {
    if op.is_comparison() {
        return Ok(false);
    }
    if op == BinaryOp::PRelu {
        return prelu(graph, node);
    }
    let (a, b) = (graph.operand(node, 0), graph.operand(node, 1));
    let (quantized, constant, quantized_first) =
        if dequantized(graph, a).is_some() { (a, b, true) } else { (b, a, false) };
    let Some((q, params)) = dequantized(graph, quantized) else {
        return Ok(false);
    };
    let shape = graph.ty(graph.result(node)).shape.clone();
    if graph.ty(q).shape != shape {
        return Err(Refusal::FloatFunction);
    }
    let (values, dims) = constant_values(graph, constant).ok_or(Refusal::FloatFunction)?;
    let field = Field::new(values, dims.dims(), &shape).ok_or(Refusal::FloatFunction)?;
    let (axis, values) = field.one_axis().ok_or(Refusal::FloatFunction)?;
    let axis = match (params.axis, axis) {
        (Some(own), Some(other)) if own != other => return Err(Refusal::FloatFunction),
        (own, other) => own.or(other),
    };
    let absorb = Absorb::new(op, quantized_first).ok_or(Refusal::FloatFunction)?;
    let slices = axis.map_or(1, |axis| shape[axis]);
    let merged = pairs(&params, slices)
        .into_iter()
        .enumerate()
        .map(|(slice, pair)| absorb.apply(pair, values[if values.len() == 1 { 0 } else { slice }]))
        .collect::<Result<Vec<_>, _>>()?;
    let mut site = Site::new(graph, node);
    let origin = site.graph.def_node(quantized).map(|node| site.graph.layers(node).to_vec());
    site.layers.extend(origin.unwrap_or_default());
    let result = site.dequantize(q, from_pairs(&merged, axis.unwrap_or(0)))?;
    site.replace(&[result])
}

/// An operation with a constant that scale and zero point take up.
#[derive(Clone, Copy)]
enum Absorb {
    /// `x + sign * c`
    Shift { sign: f64 },
    /// `c - x`
    Reflect,
    /// `x * c`
    Stretch,
    /// `x / c`
    Shrink,
}

impl Absorb {
    fn new(op: BinaryOp, quantized_first: bool) -> Option<Absorb> {
        match (op, quantized_first) {
            (BinaryOp::Add, _) => Some(Absorb::Shift { sign: 1.0 }),
            (BinaryOp::Sub, true) => Some(Absorb::Shift { sign: -1.0 }),
            (BinaryOp::Sub, false) => Some(Absorb::Reflect),
            (BinaryOp::Mul, _) => Some(Absorb::Stretch),
            (BinaryOp::Div, true) => Some(Absorb::Shrink),
            _ => None,
        }
    }

    fn apply(self, (scale, zero): (f64, f64), c: f64) -> Result<(f64, f64), Refusal> {
        let (scale, zero) = match self {
            Absorb::Shift { sign } => (scale, zero - sign * c / scale),
            Absorb::Reflect => (-scale, zero + c / scale),
            Absorb::Stretch => (scale * c, zero),
            Absorb::Shrink => (scale / c, zero),
        };
        let usable = scale.abs() >= MIN_SCALE || (scale == 0.0 && matches!(self, Absorb::Stretch));
        if !usable || !scale.is_finite() || zero.is_nan() || zero.abs() > MAX_ZERO_POINT {
            return Err(Refusal::VanishingScale(scale));
        }
        Ok((scale, zero))
    }
}

fn prelu(graph: &mut Graph, node: Node) -> Outcome {
    let (source, slope) = (graph.operand(node, 0), graph.operand(node, 1));
    let (q, params) = dequantized(graph, source).ok_or(Refusal::FloatFunction)?;
    let same_shape = graph.ty(q).shape == graph.ty(graph.result(node)).shape;
    if !same_shape || params.scale.iter().all(|scale| scale.abs() == 1.0) {
        return Err(Refusal::FloatFunction);
    }
    let signs = params.scale.iter().map(|scale| if *scale < 0.0 { -1.0 } else { 1.0 }).collect();
    let sizes: Vec<f64> = params.scale.iter().map(|scale| scale.abs()).collect();
    let unit = QuantParams::per_axis(signs, params.zero_point.clone(), params.axis.unwrap_or(0));
    let mut site = Site::new(graph, node);
    let unit = site.dequantize(q, unit)?;
    let bent = site.insert(Op::Binary(BinaryOp::PRelu), &[unit, slope])?;
    let result = site.scaled(bent, &sizes, params.axis)?;
    site.replace(&[result])
}

pub fn unary(graph: &mut Graph, node: Node, op: UnaryOp) -> Outcome {
    let (min, max) = match op {
        UnaryOp::Relu => (0.0, f64::INFINITY),
        UnaryOp::Clamp { min, max } => (min, max),
        _ if op.is_predicate() => return Ok(false),
        _ => return Err(Refusal::FloatFunction),
    };
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    let elem = graph.ty(q).elem;
    let (low, high) = elem.int_range().ok_or(Refusal::ElementType(elem))?;
    let bounds = integer_bounds(&params, min, max, low, high).ok_or(Refusal::FloatFunction)?;
    let mut site = Site::new(graph, node);
    let bounded = if bounds == (low, high) {
        q
    } else {
        let (low, high) = (bounds.0 as i32, bounds.1 as i32);
        let (multiplier, bias) = (vec![1.0], vec![0.0]);
        site.insert(Op::Requantize(RequantizeAttrs { multiplier, bias, axis: None, elem, low, high }), &[q])?
    };
    let result = site.dequantize(bounded, params)?;
    site.replace(&[result])
}

/// `[min, max]` as bounds on integers of `[low, high]`, if they are the same integers for every slice.
fn integer_bounds(params: &QuantParams, min: f64, max: f64, low: i64, high: i64) -> Option<(i64, i64)> {
    let mut found = None;
    for slice in 0..params.slices() {
        let (scale, zero) = (params.scale_at(slice), params.zero_point_at(slice));
        if scale == 0.0 {
            return None;
        }
        let (a, b) = (min / scale + zero, max / scale + zero);
        let (least, greatest) = if scale > 0.0 { (a, b) } else { (b, a) };
        // A bound beyond the other end is no integer of the type: every element becomes it.
        let inside = |place: f64| near_integer(place).filter(|integer| (low..=high).contains(integer));
        let bounds = (
            if least <= low as f64 { low } else { inside(least)? },
            if greatest >= high as f64 { high } else { inside(greatest)? },
        );
        if *found.get_or_insert(bounds) != bounds {
            return None;
        }
    }
    found
}
