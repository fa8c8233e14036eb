//! Convolution and Deconvolution with constant weights: integer products, then one scale per output channel.
//!
//! ```text
//! conv((qa - za) sa, (qw - zw) sw[oc]) = (conv(qa, w) - correction) * sa sw[oc]        w = qw - zw, an integer constant
//! ```
//! Padding stands for the real 0. With one integer za for all channels the source is padded with za, and the correction is
//! `za * sum(w)` per output channel, exact in i32; a Deconvolution, whose taps differ from place to place, subtracts za from
//! its source itself. A fractional za has no integer padding, and different za per channel have no common one; without
//! padding their correction is per output channel still and joins the zero point of the result. With padding (or in a
//! Deconvolution) it differs along the borders: an f32 constant of the result's size, added after the scale.
//!
//! A fractional zw leaves a remainder that multiplies the sum of the window: one more output channel, of ones.
//!
//! The source's scale must be the same for all channels that are summed: for all, or within each group. Where it changes
//! a few times along the channels of an ungrouped convolution, as behind a `concat` of tensors with ranges of their own,
//! the sum is split: one integer convolution per run of channels, added after their scales. Nothing is requantized.

use crate::ir::op::{BinaryOp, ConvAttrs, DeconvAttrs};
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use super::taps::{Layout, Window, indices};
use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::integer_weights::{IntegerWeights, check_accumulator};
use crate::passes::lpt::ranges::snap;
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::spread::pairs;
use crate::passes::lpt::weights::{self, QuantizedConst};

/// Largest border correction, in elements: beyond it a float operation is smaller.
const MAX_BORDER: usize = 1 << 21;

/// A sum is always split into so many runs of channels with a scale of their own; into more where each has
/// [`LONG_RUN`] products per result.
const FEW_RUNS: usize = 4;

/// Products that pay for storing a partial sum and adding it.
const LONG_RUN: usize = 32;

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
    apply(&Rewrite { q, params, weights, layout, window, uneven: padded }, graph, node, op)
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
    let attrs = attrs.clone();
    let op = |zero_point: i32| Op::Deconvolution(DeconvAttrs { zero_point, ..attrs.clone() });
    apply(&Rewrite { q, params, weights, layout, window, uneven: true }, graph, node, op)
}

fn operands(graph: &Graph, node: Node) -> Result<(Value, QuantParams, QuantizedConst), Refusal> {
    let weights = weights::trace(graph, graph.operand(node, 1)).ok_or(Refusal::WeightsNotQuantized)?;
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    match graph.ty(q).elem {
        ElemType::U8 => Ok((q, params, weights)),
        elem => Err(Refusal::ElementType(elem)),
    }
}

impl Correction {
    fn zero_point(&self) -> i32 {
        match self {
            Correction::Integer { zero_point, .. } => *zero_point,
            Correction::PerChannel(_) | Correction::PerPlace(_) => 0,
        }
    }

    /// What it adds to the greatest accumulator.
    fn magnitude(&self) -> f64 {
        match self {
            Correction::Integer { sums, .. } => sums.iter().map(|sum| sum.abs() as f64).fold(0.0, f64::max),
            Correction::PerChannel(_) | Correction::PerPlace(_) => 0.0,
        }
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
    /// Exact: `- za * sum(w)` per output channel, the source padded with `za`; a deconvolution subtracts `za` itself.
    Integer { zero_point: i32, sums: Vec<i64> },
    /// Per output channel, in units of the accumulator.
    PerChannel(Vec<f64>),
    /// Per element of one image of the result, in units of the accumulator.
    PerPlace(Vec<f64>),
}

/// Replaces the operation: by one on integers, or by a sum of some, one per run of channels.
fn apply(rewrite: &Rewrite, graph: &mut Graph, node: Node, op: impl Fn(i32) -> Op) -> Outcome {
    let runs = rewrite.runs();
    let mut site = Site::new(graph, node);
    let worth_it = worth_splitting(runs.len(), rewrite.weights.q.len() / rewrite.layout.oc.max(1));
    if rewrite.source_scale().is_ok() || runs.len() < 2 || !worth_it {
        let result = rewrite.build(&mut site, &op)?;
        return site.replace(&[result]);
    }
    let lengths: Vec<usize> = runs.iter().map(|&(_, length)| length).collect();
    let parts = split_source(&mut site, rewrite.q, 1, &lengths)?;
    let mut sum = None;
    for (&part, &(start, length)) in parts.iter().zip(&runs) {
        let value = rewrite.on_run(part, start, length).build(&mut site, &op)?;
        sum = Some(match sum {
            None => value,
            Some(sum) => site.insert(Op::Binary(BinaryOp::Add), &[sum, value])?,
        });
    }
    let result = sum.ok_or(Refusal::Unsupported("convolution of no channels"))?;
    site.replace(&[result])
}

/// Whether sums of so many products are split into so many runs.
pub fn worth_splitting(runs: usize, products: usize) -> bool {
    runs <= FEW_RUNS || products >= LONG_RUN * runs
}

/// Slices of an axis of this size in runs of the same parameters: start and length of each.
pub fn runs(params: &QuantParams, size: usize) -> Vec<(usize, usize)> {
    let pairs = pairs(params, size);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for at in 0..size {
        match runs.last_mut() {
            Some((_, length)) if pairs[at] == pairs[at - 1] => *length += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

/// An axis in runs: operands of the `concat` that made them where the cuts agree, else a `split`.
pub fn split_source(site: &mut Site<'_>, q: Value, axis: usize, lengths: &[usize]) -> Result<Vec<Value>, Refusal> {
    if let Some(node) = site.graph.def_node(q)
        && *site.graph.op(node) == (Op::Concat { axis })
    {
        let parts = site.graph.operands(node);
        if parts.iter().map(|&part| site.graph.ty(part).shape[axis]).eq(lengths.iter().copied()) {
            return Ok(parts.to_vec());
        }
    }
    site.insert_all(Op::Split { axis, lengths: lengths.to_vec() }, &[q])
}

impl Rewrite {
    /// Channels in runs of the same parameters: start and length of each. Empty for groups, which are never split.
    fn runs(&self) -> Vec<(usize, usize)> {
        let Rewrite { params, layout, .. } = self;
        match layout.groups == 1 && params.axis == Some(1) {
            true => runs(params, layout.ic),
            false => Vec::new(),
        }
    }

    /// The same operation on one run of channels.
    fn on_run(&self, q: Value, start: usize, length: usize) -> Rewrite {
        let (scale, zero) = (self.params.scale_at(start), self.params.zero_point_at(start));
        let axis = if self.layout.transposed { 0 } else { 1 };
        Rewrite {
            q,
            params: QuantParams::per_tensor(scale, zero),
            weights: self.weights.slice(axis, start, length),
            layout: Layout { ic: length, ..self.layout.clone() },
            window: self.window.clone(),
            uneven: self.uneven,
        }
    }

    /// The dequantized result, in front of the node that it is to replace.
    fn build(&self, site: &mut Site<'_>, op: &dyn Fn(i32) -> Op) -> Result<Value, Refusal> {
        let Rewrite { weights, layout, .. } = self;
        let source_scale = self.source_scale()?;
        let integers = IntegerWeights::new(weights, layout.oc, |i0, i1| layout.output(i0, i1))?;
        let scale: Vec<f64> = (0..layout.oc).map(|oc| source_scale[oc] * integers.scale[oc]).collect();
        let correction = self.correction(site.graph, site.node, &integers)?;
        check_accumulator(&integers.magnitudes, correction.magnitude())?;
        let result = site.graph.ty(site.graph.result(site.node)).shape.clone();
        let constant = site.constant(integers.tensor(&weights.shape));
        let sums = site.insert(op(correction.zero_point()), &[self.q, constant])?;
        let value = corrected(site, sums, correction, scale, &result)?;
        if integers.remainder.iter().all(|&remainder| remainder == 0.0) {
            return Ok(value);
        }
        let shares = integers.remainder.iter().zip(&integers.scale).map(|(r, s)| (0.0 - r * s) as f32).collect();
        let rest = self.window_sums(site, op)?;
        let mut dims = vec![1; result.rank()];
        dims[1] = layout.oc;
        let shares = site.constant(Tensor::f32(Shape::new(dims).unwrap_or_default(), shares));
        let rest = site.insert(Op::Binary(BinaryOp::Mul), &[rest, shares])?;
        site.insert(Op::Binary(BinaryOp::Add), &[value, rest])
    }

    /// The sum of the source over every window, per group: what the remainder of the weights' zero points multiplies.
    fn window_sums(&self, site: &mut Site<'_>, op: &dyn Fn(i32) -> Op) -> Result<Value, Refusal> {
        let layout = &self.layout;
        if layout.groups > 1 && layout.oc != layout.groups {
            let zero = self.weights.zero.values.iter().find(|z| z.fract() != 0.0).copied();
            let what = Parameter::WeightsZeroPoint;
            return Err(Refusal::FractionalZeroPoint { what, value: zero.unwrap_or(0.0) });
        }
        let mut dims = self.weights.shape.dims().to_vec();
        dims[if layout.transposed { 1 } else { 0 }] = if layout.transposed { 1 } else { layout.groups };
        let sums = Rewrite {
            q: self.q,
            params: self.params.clone(),
            weights: QuantizedConst::ones(Shape::new(dims).unwrap_or_default()),
            layout: Layout { oc: layout.groups, ..layout.clone() },
            window: self.window.clone(),
            uneven: self.uneven,
        };
        sums.build(site, op)
    }

    /// The scale of the source per output channel.
    fn source_scale(&self) -> Result<Vec<f64>, Refusal> {
        let Rewrite { params, layout, .. } = self;
        let varies =
            Refusal::ParametersVary { what: Parameter::SourceScale, axis: params.axis, values: params.scale.len() };
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
        let uniform = params.uniform_zero_point().and_then(near_integer);
        if uniform == Some(0) {
            return Ok(Correction::Integer { zero_point: 0, sums: vec![0; layout.oc] });
        }
        let zero = |ic: usize| snap(params.zero_point_at(if params.zero_point.len() == 1 { 0 } else { ic }));
        let weighted = self.weighted_taps(integers, zero);
        let totals: Vec<f64> = weighted.iter().map(|taps| taps.iter().sum()).collect();
        match uniform {
            Some(za) if (0..=255).contains(&za) => {
                let left = |total: &f64| if layout.transposed { 0 } else { *total as i64 };
                return Ok(Correction::Integer { zero_point: za as i32, sums: totals.iter().map(left).collect() });
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
            dims[..2].copy_from_slice(&[1, channels]);
            let constant = site.constant(Tensor::f32(Shape::new(dims).unwrap_or_default(), real));
            let value = site.dequantize(sums, QuantParams::per_axis(scale, vec![0.0; channels], 1))?;
            site.insert(Op::Binary(BinaryOp::Add), &[value, constant])
        }
    }
}
