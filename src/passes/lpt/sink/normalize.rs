//! Normalizations of integers: what the scale does to them is known, what the zero point does as well.
//!
//! ```text
//! x = (q - z) s, z and s the same for all elements that are normalized together
//!
//! mvn(x)                           = mvn(q) * s                                       without the variance
//! mvn(x) {eps}, inside the root    = mvn(q) {eps / s^2} * sign(s)                     with it
//! mvn(x) {eps}, outside the root   = mvn(q) {eps / |s|} * sign(s)
//! normalize_l2(x) {eps}            = normalize_l2(q - z) {eps / s^2} * sign(s)        in both modes
//! ```
//! The mean takes any z with it. A sum of squares does not: z must be an integer, and `q - z` must fit 8 bits.
//! Slices may have scales of their own as long as their eps is one number.

use crate::ir::op::{EpsMode, MvnAttrs, NormalizeL2Attrs};
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Value};

use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::fuse::requantize_attrs;
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::walk::known_range;

pub fn mvn(graph: &mut Graph, node: Node, attrs: &MvnAttrs) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    check_axes(&params, &attrs.axes)?;
    let (eps, factors) = match attrs.normalize_variance {
        true => {
            let power = if attrs.eps_mode == EpsMode::Inside { 2 } else { 1 };
            (scaled_eps(attrs.eps, &params, power)?, signs(&params))
        }
        false => (attrs.eps, params.scale.clone()),
    };
    let mut site = Site::new(graph, node);
    let normalized = site.insert(Op::Mvn(MvnAttrs { eps, ..attrs.clone() }), &[q])?;
    let result = site.scaled(normalized, &factors, params.axis)?;
    site.replace(&[result])
}

pub fn normalize_l2(graph: &mut Graph, node: Node, attrs: &NormalizeL2Attrs) -> Outcome {
    let (q, params) = narrow(graph, graph.operand(node, 0))?;
    check_axes(&params, &attrs.axes)?;
    let eps = scaled_eps(attrs.eps, &params, 2)?;
    let mut site = Site::new(graph, node);
    let centred = centred(&mut site, q, &params)?;
    let normalized = site.insert(Op::NormalizeL2(NormalizeL2Attrs { eps, ..attrs.clone() }), &[centred])?;
    let result = site.scaled(normalized, &signs(&params), params.axis)?;
    site.replace(&[result])
}

/// What is normalized together has the same parameters.
fn check_axes(params: &QuantParams, axes: &[usize]) -> Result<(), Refusal> {
    match params.axis.filter(|axis| axes.contains(axis)) {
        None => Ok(()),
        Some(axis) => {
            let what = if params.scale.len() > 1 { Parameter::SourceScale } else { Parameter::SourceZeroPoint };
            Err(Refusal::ParametersVary { what, axis: Some(axis), values: params.slices() })
        }
    }
}

fn signs(params: &QuantParams) -> Vec<f64> {
    params.scale.iter().map(|scale| scale.signum()).collect()
}

/// `eps / |s|^power`, the same for all slices and a normal number in f32: it is there to be added to zeros.
fn scaled_eps(eps: f64, params: &QuantParams, power: i32) -> Result<f64, Refusal> {
    let size = params.scale[0].abs();
    if let Some(&scale) = params.scale.iter().find(|scale| **scale == 0.0) {
        return Err(Refusal::VanishingScale(scale));
    }
    if eps == 0.0 {
        return Ok(eps);
    }
    if params.scale.iter().any(|scale| scale.abs() != size) {
        let (what, values) = (Parameter::SourceScale, params.scale.len());
        return Err(Refusal::ParametersVary { what, axis: params.axis, values });
    }
    let scaled = eps / size.powi(power);
    if (scaled as f32).is_normal() { Ok(scaled) } else { Err(Refusal::VanishingScale(params.scale[0])) }
}

/// `q - z` as 8-bit integers.
fn centred(site: &mut Site<'_>, q: Value, params: &QuantParams) -> Result<Value, Refusal> {
    let what = Parameter::SourceZeroPoint;
    let mut zeros = Vec::with_capacity(params.zero_point.len());
    for &value in &params.zero_point {
        zeros.push(near_integer(value).ok_or(Refusal::FractionalZeroPoint { what, value })?);
    }
    if zeros.iter().all(|&zero| zero == 0) {
        return Ok(q);
    }
    let elem = site.graph.ty(q).elem;
    let (low, high) = known_range(site.graph, q).ok_or(Refusal::ElementType(elem))?;
    let range = (i64::from(i8::MIN), i64::from(i8::MAX));
    if let Some(&zero) = zeros.iter().find(|&&zero| low - zero < range.0 || high - zero > range.1) {
        return Err(Refusal::WideWithoutZeroPoint { low: low - zero, high: high - zero });
    }
    let bias = zeros.iter().map(|&zero| -zero as f64).collect();
    let range = (i32::from(i8::MIN), i32::from(i8::MAX));
    let shift = requantize_attrs(vec![1.0], bias, params.axis, ElemType::I8, range);
    site.insert(Op::Requantize(shift), &[q])
}
