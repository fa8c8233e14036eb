//! Convolution and Deconvolution with constant weights: integer products, then one scale per output channel.
//!
//! ```text
//! conv((qa - za) sa, (qw - zw) sw[oc]) = (conv(qa, w) - correction) * sa sw[oc]        w = qw - zw, an integer constant
//! ```
//! Padding stands for the real 0. With one integer za for all channels the source is padded with za, and the correction is
//! `za * sum(w)` per output channel, exact in i32. A fractional za has no integer padding, and different za per channel
//! have no common one; without padding their correction is per output channel still and joins the zero point of the
//! result. With padding (or in a Deconvolution, whose taps differ from place to place) the correction differs along the
//! borders: an f32 constant of the result's size, added after the scale.
//!
//! The source's scale must be the same for all channels that are summed: for all, or within each group.

use crate::ir::op::{BinaryOp, ConvAttrs, DeconvAttrs};
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::integer_weights::{IntegerWeights, check_accumulator};
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::weights::{self, QuantizedConst};

/// Largest border correction, in elements: beyond it a float operation is smaller.
const MAX_BORDER: usize = 1 << 21;

pub fn convolution(graph: &mut Graph, node: Node, attrs: &ConvAttrs) -> Outcome {
    let layout = Layout::new(graph, node, attrs.groups, false);
    let (q, params, weights) = operands(graph, node)?;
    let attrs = attrs.clone();
    let padded = attrs.pads_begin.iter().chain(&attrs.pads_end).any(|&pad| pad != 0);
    let window = Window {
        strides: attrs.strides.clone(),
        dilations: attrs.dilations.clone(),
        pads: attrs.pads_begin.clone(),
        transposed: false,
    };
    let op = |pad_value: i32| Op::Convolution(ConvAttrs { pad_value, ..attrs.clone() });
    Rewrite { q, params, weights, layout, window, uneven: padded }.apply(graph, node, op)
}

pub fn deconvolution(graph: &mut Graph, node: Node, attrs: &DeconvAttrs) -> Outcome {
    let layout = Layout::new(graph, node, attrs.groups, true);
    let (q, params, weights) = operands(graph, node)?;
    let window = Window {
        strides: attrs.strides.clone(),
        dilations: attrs.dilations.clone(),
        pads: attrs.pads_begin.clone(),
        transposed: true,
    };
    let op = |_: i32| Op::Deconvolution(attrs.clone());
    Rewrite { q, params, weights, layout, window, uneven: true }.apply(graph, node, op)
}

fn operands(graph: &Graph, node: Node) -> Result<(Value, QuantParams, QuantizedConst), Refusal> {
    let weights = weights::trace(graph, graph.operand(node, 1)).ok_or(Refusal::WeightsNotQuantized)?;
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    match graph.ty(q).elem {
        ElemType::U8 => Ok((q, params, weights)),
        elem => Err(Refusal::ElementType(elem)),
    }
}

/// Which channels an element `[i0, i1, ..]` of the weights connects.
#[derive(Clone)]
struct Layout {
    groups: usize,
    ic: usize,
    oc: usize,
    /// Weights are `[ic, oc / groups, ..]` instead of `[oc, ic / groups, ..]`.
    transposed: bool,
}

impl Layout {
    fn new(graph: &Graph, node: Node, groups: usize, transposed: bool) -> Layout {
        let ic = graph.ty(graph.operand(node, 0)).shape[1];
        let oc = graph.ty(graph.result(node)).shape[1];
        Layout { groups, ic, oc, transposed }
    }

    fn output(&self, i0: usize, i1: usize) -> usize {
        if self.transposed { i0 / (self.ic / self.groups) * (self.oc / self.groups) + i1 } else { i0 }
    }

    fn input(&self, i0: usize, i1: usize) -> usize {
        if self.transposed { i0 } else { i0 / (self.oc / self.groups) * (self.ic / self.groups) + i1 }
    }

    fn first_input_of(&self, output: usize) -> usize {
        output / (self.oc / self.groups) * (self.ic / self.groups)
    }
}

/// Where taps fall.
struct Window {
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<usize>,
    transposed: bool,
}

impl Window {
    /// Whether tap `tap` of dimension `dim` meets an element of the source (of size `source`) for result place `place`.
    fn meets(&self, dim: usize, place: usize, tap: usize, source: usize) -> bool {
        let offset = tap * self.dilations[dim];
        if self.transposed {
            let reached = (place + self.pads[dim]).checked_sub(offset);
            return reached.is_some_and(|at| at % self.strides[dim] == 0 && at / self.strides[dim] < source);
        }
        let at = place * self.strides[dim] + offset;
        at >= self.pads[dim] && at - self.pads[dim] < source
    }
}

struct Rewrite {
    q: Value,
    params: QuantParams,
    weights: QuantizedConst,
    layout: Layout,
    window: Window,
    /// The number of taps that meet the source differs from place to place.
    uneven: bool,
}

/// How the zero point of the source is taken out of the sums.
enum Correction {
    /// Exact: `- za * sum(w)` per output channel, the source padded with `za`.
    Integer { pad_value: i32, sums: Vec<i64> },
    /// Per output channel, in units of the accumulator.
    PerChannel(Vec<f64>),
    /// Per element of one image of the result, in units of the accumulator.
    PerPlace(Vec<f64>),
}

impl Rewrite {
    fn apply(self, graph: &mut Graph, node: Node, op: impl Fn(i32) -> Op) -> Outcome {
        let Rewrite { params, weights, layout, .. } = &self;
        let source_scale = self.source_scale()?;
        let integers = IntegerWeights::new(weights, layout.oc, |i0, i1| layout.output(i0, i1))?;
        let scale: Vec<f64> = (0..layout.oc).map(|oc| source_scale[oc] * integers.scale[oc]).collect();
        let correction = self.correction(graph, node, &integers)?;
        let bound = match &correction {
            Correction::Integer { sums, .. } => sums.iter().map(|sum| sum.abs() as f64).fold(0.0, f64::max),
            Correction::PerChannel(_) | Correction::PerPlace(_) => 0.0,
        };
        check_accumulator(&integers.magnitudes, bound)?;
        let pad_value = match correction {
            Correction::Integer { pad_value, .. } => pad_value,
            Correction::PerChannel(_) | Correction::PerPlace(_) => 0,
        };
        let result_shape = graph.ty(graph.result(node)).shape.clone();
        let q = self.q;
        let per_tensor = params.axis.is_none();
        debug_assert!(per_tensor || params.axis == Some(1) || layout.groups == 1);
        let mut site = Site::new(graph, node);
        let constant = site.constant(integers.tensor(&weights.shape));
        let sums = site.insert(op(pad_value), &[q, constant])?;
        let result = corrected(&mut site, sums, correction, scale, &result_shape)?;
        site.replace(&[result])
    }

    /// The scale of the source per output channel.
    fn source_scale(&self) -> Result<Vec<f64>, Refusal> {
        let Rewrite { params, layout, .. } = self;
        let varies = Refusal::ParametersVary {
            what: Parameter::SourceScale,
            axis: params.axis,
            values: params.scale.len(),
        };
        if let Some(scale) = params.uniform_scale() {
            return Ok(vec![scale; layout.oc]);
        }
        if params.axis != Some(1) {
            return Err(varies);
        }
        let per_group = layout.ic / layout.groups;
        (0..layout.oc)
            .map(|oc| {
                let first = layout.first_input_of(oc);
                let scale = params.scale_at(first);
                let uniform = (first..first + per_group).all(|ic| params.scale_at(ic) == scale);
                uniform.then_some(scale).ok_or(varies.clone())
            })
            .collect()
    }

    fn correction(&self, graph: &Graph, node: Node, integers: &IntegerWeights) -> Result<Correction, Refusal> {
        let Rewrite { params, layout, .. } = self;
        if params.zero_point.len() > 1 && params.axis != Some(1) {
            let what = Parameter::SourceZeroPoint;
            return Err(Refusal::ParametersVary { what, axis: params.axis, values: params.zero_point.len() });
        }
        let zero = |ic: usize| params.zero_point_at(if params.zero_point.len() == 1 { 0 } else { ic });
        let weighted = self.weighted_taps(integers, zero);
        let totals: Vec<f64> = weighted.iter().map(|taps| taps.iter().sum()).collect();
        let transposed = layout.transposed;
        match params.uniform_zero_point().and_then(near_integer) {
            Some(0) => return Ok(Correction::Integer { pad_value: 0, sums: vec![0; layout.oc] }),
            Some(za) if (0..=255).contains(&za) && !transposed => {
                let sums = totals.iter().map(|&total| total as i64).collect();
                return Ok(Correction::Integer { pad_value: za as i32, sums });
            }
            _ if !self.uneven => return Ok(Correction::PerChannel(totals)),
            _ => {}
        }
        let result = &graph.ty(graph.result(node)).shape;
        let elements = result.elements() / result[0].max(1);
        if elements > MAX_BORDER {
            return Err(Refusal::BorderTooLarge { elements });
        }
        let source = &graph.ty(graph.operand(node, 0)).shape;
        Ok(Correction::PerPlace(self.per_place(&weighted, &source.dims()[2..], &result.dims()[2..])))
    }

    /// `sum over ic of za[ic] * w`, per output channel and tap.
    fn weighted_taps(&self, integers: &IntegerWeights, zero: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
        let shape = &self.weights.shape;
        let taps: usize = shape.dims()[2..].iter().product();
        let mut weighted = vec![vec![0.0; taps]; self.layout.oc];
        for (at, row) in integers.values.chunks(taps.max(1)).enumerate() {
            let (i0, i1) = (at / shape[1], at % shape[1]);
            let za = zero(self.layout.input(i0, i1));
            let own = &mut weighted[self.layout.output(i0, i1)];
            own.iter_mut().zip(row).for_each(|(sum, &w)| *sum += za * f64::from(w));
        }
        weighted
    }

    /// For every output channel and place: the sum over the taps that meet the source.
    fn per_place(&self, weighted: &[Vec<f64>], source: &[usize], result: &[usize]) -> Vec<f64> {
        let kernel = &self.weights.shape.dims()[2..];
        let mut out = Vec::with_capacity(weighted.len() * result.iter().product::<usize>());
        let met: Vec<Vec<usize>> = indices(result)
            .map(|place| {
                let meets = |tap: &[usize]| {
                    (0..place.len()).all(|dim| self.window.meets(dim, place[dim], tap[dim], source[dim]))
                };
                indices(kernel).enumerate().filter(|(_, tap)| meets(tap)).map(|(at, _)| at).collect()
            })
            .collect();
        for taps in weighted {
            out.extend(met.iter().map(|met| met.iter().map(|&tap| taps[tap]).sum::<f64>()));
        }
        out
    }
}

/// Every index of a box of size `dims`, the last dimension fastest.
fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let dims = dims.to_vec();
    (0..dims.iter().product::<usize>()).map(move |mut at| {
        let mut index = vec![0; dims.len()];
        for dim in (0..dims.len()).rev() {
            index[dim] = at % dims[dim];
            at /= dims[dim];
        }
        index
    })
}

/// `dequantize` of the sums with the correction in its place.
fn corrected(
    site: &mut Site<'_>,
    sums: Value,
    correction: Correction,
    scale: Vec<f64>,
    result: &Shape,
) -> Result<Value, Refusal> {
    let channels = scale.len();
    match correction {
        Correction::Integer { sums: corrections, .. } => {
            let q = if corrections.iter().all(|&sum| sum == 0) {
                sums
            } else {
                let mut dims = vec![1; result.rank()];
                dims[1] = channels;
                let values = corrections.iter().map(|&sum| -sum as i32).collect();
                let constant = site.constant(Tensor::i32(Shape::new(dims).unwrap_or_default(), values));
                site.insert(Op::Binary(BinaryOp::Add), &[sums, constant])?
            };
            site.dequantize(q, QuantParams::per_axis(scale, vec![0.0; channels], 1))
        }
        Correction::PerChannel(zero) => site.dequantize(sums, QuantParams::per_axis(scale, zero, 1)),
        Correction::PerPlace(corrections) => {
            let places = corrections.len() / channels.max(1);
            let real = corrections.iter().enumerate().map(|(at, c)| (-c * scale[at / places.max(1)]) as f32).collect();
            let mut dims = result.dims().to_vec();
            dims[0] = 1;
            let constant = site.constant(Tensor::f32(Shape::new(dims).unwrap_or_default(), real));
            let value = site.dequantize(sums, QuantParams::per_axis(scale, vec![0.0; channels], 1))?;
            site.insert(Op::Binary(BinaryOp::Add), &[value, constant])
        }
    }
}
