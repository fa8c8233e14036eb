//! Which attributes each operation has, and their defaults.

use super::super::op::{
    ConvAttrs, CoordinateMode, DeconvAttrs, EpsMode, InterpolateAttrs, LoopAttrs, MvnAttrs, NearestMode,
    NormalizeL2Attrs, Op, PadAttrs, PadMode, PoolAttrs, QuantizeAttrs, ReduceAttrs, RequantizeAttrs, RnnAttrs,
    Rounding, ScatterReduction, SliceAttrs, TopKAttrs, TopKSort, UnaryOp,
};
use super::super::quant::QuantParams;
use super::super::ty::{ElemType, TensorType};
use super::Fields;

/// Names every attribute of the operation to the visitor. Reading, the operation already holds what its result types say.
pub(super) fn visit(op: &mut Op, v: &mut impl Fields) {
    match op {
        Op::Const(_) | Op::Return | Op::Binary(_) | Op::Select | Op::Convert { .. } | Op::If { .. } => {}
        Op::Reshape { .. } | Op::Broadcast { .. } | Op::ScatterNd => {}
        Op::FakeQuantize { levels } => v.required("levels", levels),
        Op::Quantize(attrs) => quantize(attrs, v),
        Op::Dequantize(params) => quant_params(params, v),
        Op::Requantize(attrs) => requantize(attrs, v),
        Op::Convolution(attrs) => convolution(attrs, v),
        Op::Deconvolution(attrs) => deconvolution(attrs, v),
        Op::MatMul { transpose_a, transpose_b } => {
            flags(v, [("transpose_a", transpose_a), ("transpose_b", transpose_b)])
        }
        Op::Unary(unary) => visit_unary(unary, v),
        Op::MaxPool(attrs) | Op::AvgPool(attrs) => pool(attrs, v),
        Op::Reduce(attrs) => reduce(attrs, v),
        Op::Softmax { axis, log } => {
            v.required("axis", axis);
            flags(v, [("log", log)]);
        }
        Op::Mvn(attrs) => mvn(attrs, v),
        Op::NormalizeL2(attrs) => normalize_l2(attrs, v),
        Op::Transpose { perm } => v.required("perm", perm),
        Op::Concat { axis } | Op::Split { axis, .. } | Op::Reverse { axis } => v.required("axis", axis),
        Op::Slice(attrs) => slice(attrs, v),
        Op::Pad(attrs) => pad(attrs, v),
        Op::Tile { repeats } => v.required("repeats", repeats),
        Op::Interpolate(attrs) => interpolate(attrs, v),
        Op::DepthToSpace { block, mode } | Op::SpaceToDepth { block, mode } => {
            v.required("block", block);
            v.required("mode", mode);
        }
        Op::BatchToSpace { block, crops_begin, crops_end } => {
            blocks(v, [("block", block), ("crops_begin", crops_begin), ("crops_end", crops_end)]);
        }
        Op::SpaceToBatch { block, pads_begin, pads_end } => {
            blocks(v, [("block", block), ("pads_begin", pads_begin), ("pads_end", pads_end)]);
        }
        Op::Gather { axis, batch_dims } => {
            v.required("axis", axis);
            v.optional("batch_dims", batch_dims, 0);
        }
        Op::GatherElements { axis } => v.required("axis", axis),
        Op::GatherNd { batch_dims } => v.optional("batch_dims", batch_dims, 0),
        Op::ScatterElements { axis, reduction } => {
            v.required("axis", axis);
            v.optional("reduction", reduction, ScatterReduction::None);
        }
        Op::CumSum { axis, exclusive, reverse } => {
            v.required("axis", axis);
            flags(v, [("exclusive", exclusive), ("reverse", reverse)]);
        }
        Op::TopK(attrs) => top_k(attrs, v),
        Op::OneHot { axis, depth, on, off, elem: _ } => one_hot(v, axis, depth, on, off),
        Op::Rnn(attrs) => rnn(attrs, v),
        Op::Loop(attrs) => counted_loop(attrs, v),
        Op::ReadValue { variable } | Op::Assign { variable } => v.required("variable", variable),
    }
}

fn flags<const N: usize>(v: &mut impl Fields, flags: [(&str, &mut bool); N]) {
    for (name, flag) in flags {
        v.optional(name, flag, false);
    }
}

fn blocks(v: &mut impl Fields, lists: [(&str, &mut Vec<usize>); 3]) {
    for (name, list) in lists {
        v.required(name, list);
    }
}

fn quant_params(params: &mut QuantParams, v: &mut impl Fields) {
    v.required("scale", &mut params.scale);
    v.optional("zero_point", &mut params.zero_point, vec![0.0]);
    v.optional("axis", &mut params.axis, None);
}

fn quantize(attrs: &mut QuantizeAttrs, v: &mut impl Fields) {
    quant_params(&mut attrs.params, v);
    bounds(attrs.elem, &mut attrs.low, &mut attrs.high, v);
}

fn requantize(attrs: &mut RequantizeAttrs, v: &mut impl Fields) {
    v.required("multiplier", &mut attrs.multiplier);
    v.optional("bias", &mut attrs.bias, vec![0.0]);
    v.optional("axis", &mut attrs.axis, None);
    bounds(attrs.elem, &mut attrs.low, &mut attrs.high, v);
}

/// The whole range of the type is the default.
fn bounds(elem: ElemType, low: &mut i32, high: &mut i32, v: &mut impl Fields) {
    let (least, greatest) = elem.int_range().unwrap_or((0, 0));
    v.optional("low", low, i32::try_from(least).unwrap_or(i32::MIN));
    v.optional("high", high, i32::try_from(greatest).unwrap_or(i32::MAX));
}

fn convolution(attrs: &mut ConvAttrs, v: &mut impl Fields) {
    v.required("strides", &mut attrs.strides);
    dilations_and_pads(attrs.strides.len(), &mut attrs.dilations, &mut attrs.pads_begin, &mut attrs.pads_end, v);
    v.optional("groups", &mut attrs.groups, 1);
    v.optional("pad_value", &mut attrs.pad_value, 0);
}

fn deconvolution(attrs: &mut DeconvAttrs, v: &mut impl Fields) {
    v.required("strides", &mut attrs.strides);
    let spatial = attrs.strides.len();
    dilations_and_pads(spatial, &mut attrs.dilations, &mut attrs.pads_begin, &mut attrs.pads_end, v);
    v.optional("output_padding", &mut attrs.output_padding, vec![0; spatial]);
    v.optional("groups", &mut attrs.groups, 1);
    v.optional("zero_point", &mut attrs.zero_point, 0);
}

fn pool(attrs: &mut PoolAttrs, v: &mut impl Fields) {
    v.required("kernel", &mut attrs.kernel);
    v.required("strides", &mut attrs.strides);
    dilations_and_pads(attrs.strides.len(), &mut attrs.dilations, &mut attrs.pads_begin, &mut attrs.pads_end, v);
    v.optional("rounding", &mut attrs.rounding, Rounding::Floor);
    flags(v, [("exclude_pad", &mut attrs.exclude_pad)]);
}

fn dilations_and_pads(
    spatial: usize,
    dilations: &mut Vec<usize>,
    pads_begin: &mut Vec<usize>,
    pads_end: &mut Vec<usize>,
    v: &mut impl Fields,
) {
    v.optional("dilations", dilations, vec![1; spatial]);
    v.optional("pads_begin", pads_begin, vec![0; spatial]);
    v.optional("pads_end", pads_end, vec![0; spatial]);
}

fn reduce(attrs: &mut ReduceAttrs, v: &mut impl Fields) {
    v.required("kind", &mut attrs.kind);
    v.required("axes", &mut attrs.axes);
    flags(v, [("keep_dims", &mut attrs.keep_dims)]);
}

fn mvn(attrs: &mut MvnAttrs, v: &mut impl Fields) {
    v.required("axes", &mut attrs.axes);
    v.optional("normalize_variance", &mut attrs.normalize_variance, true);
    v.required("eps", &mut attrs.eps);
    v.optional("eps_mode", &mut attrs.eps_mode, EpsMode::Inside);
}

fn normalize_l2(attrs: &mut NormalizeL2Attrs, v: &mut impl Fields) {
    v.required("axes", &mut attrs.axes);
    v.required("eps", &mut attrs.eps);
    v.optional("eps_mode", &mut attrs.eps_mode, EpsMode::Inside);
}

fn slice(attrs: &mut SliceAttrs, v: &mut impl Fields) {
    v.required("begin", &mut attrs.begin);
    v.optional("strides", &mut attrs.strides, vec![1; attrs.begin.len()]);
}

fn pad(attrs: &mut PadAttrs, v: &mut impl Fields) {
    v.optional("mode", &mut attrs.mode, PadMode::Constant);
    v.required("begin", &mut attrs.begin);
    v.required("end", &mut attrs.end);
    v.optional("value", &mut attrs.value, 0.0);
}

fn interpolate(attrs: &mut InterpolateAttrs, v: &mut impl Fields) {
    v.required("mode", &mut attrs.mode);
    v.optional("coordinates", &mut attrs.coordinates, CoordinateMode::HalfPixel);
    v.optional("nearest", &mut attrs.nearest, NearestMode::RoundPreferFloor);
    flags(v, [("antialias", &mut attrs.antialias)]);
    v.optional("cube_coeff", &mut attrs.cube_coeff, -0.75);
    v.required("axes", &mut attrs.axes);
    v.required("sizes", &mut attrs.sizes);
    v.required("scales", &mut attrs.scales);
    // The rank is known here in both directions: the parser has set zero pads from the result's type.
    let unpadded = vec![0; attrs.pads_begin.len()];
    v.optional("pads_begin", &mut attrs.pads_begin, unpadded.clone());
    v.optional("pads_end", &mut attrs.pads_end, unpadded);
}

fn top_k(attrs: &mut TopKAttrs, v: &mut impl Fields) {
    v.required("axis", &mut attrs.axis);
    v.required("k", &mut attrs.k);
    v.optional("largest", &mut attrs.largest, true);
    v.optional("sort", &mut attrs.sort, TopKSort::ByValue);
}

fn one_hot(v: &mut impl Fields, axis: &mut usize, depth: &mut usize, on: &mut f64, off: &mut f64) {
    v.required("axis", axis);
    v.required("depth", depth);
    v.optional("on", on, 1.0);
    v.optional("off", off, 0.0);
}

fn rnn(attrs: &mut RnnAttrs, v: &mut impl Fields) {
    v.required("kind", &mut attrs.kind);
    v.required("direction", &mut attrs.direction);
    v.required("hidden", &mut attrs.hidden);
    v.required("activations", &mut attrs.activations);
    v.optional("clip", &mut attrs.clip, None);
    flags(v, [("linear_before_reset", &mut attrs.linear_before_reset), ("projected", &mut attrs.projected)]);
}

fn counted_loop(attrs: &mut LoopAttrs, v: &mut impl Fields) {
    v.required("trip_count", &mut attrs.trip_count);
    flags(v, [("takes_index", &mut attrs.takes_index), ("has_condition", &mut attrs.has_condition)]);
    v.optional("sliced", &mut attrs.sliced, Vec::new());
    v.optional("carried", &mut attrs.carried, 0);
    v.optional("concatenated", &mut attrs.concatenated, Vec::new());
}

fn visit_unary(op: &mut UnaryOp, v: &mut impl Fields) {
    match op {
        UnaryOp::HardSigmoid { alpha, beta } => {
            v.required("alpha", alpha);
            v.required("beta", beta);
        }
        UnaryOp::Swish { beta } => v.optional("beta", beta, 1.0),
        UnaryOp::Elu { alpha } => v.optional("alpha", alpha, 1.0),
        UnaryOp::Selu { alpha, lambda } => {
            v.required("alpha", alpha);
            v.required("lambda", lambda);
        }
        UnaryOp::Clamp { min, max } => {
            v.required("min", min);
            v.required("max", max);
        }
        UnaryOp::Relu
        | UnaryOp::Sigmoid
        | UnaryOp::Tanh
        | UnaryOp::Exp
        | UnaryOp::Log
        | UnaryOp::Sqrt
        | UnaryOp::Abs
        | UnaryOp::Neg
        | UnaryOp::Sign
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::RoundAway
        | UnaryOp::Erf
        | UnaryOp::Gelu
        | UnaryOp::GeluTanh
        | UnaryOp::HSwish
        | UnaryOp::HSigmoid
        | UnaryOp::Softplus
        | UnaryOp::Softsign
        | UnaryOp::Mish
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tan
        | UnaryOp::Asin
        | UnaryOp::Acos
        | UnaryOp::Atan
        | UnaryOp::Sinh
        | UnaryOp::Cosh
        | UnaryOp::Asinh
        | UnaryOp::Acosh
        | UnaryOp::Atanh
        | UnaryOp::LogicalNot
        | UnaryOp::BitwiseNot
        | UnaryOp::IsNan
        | UnaryOp::IsInf
        | UnaryOp::IsFinite => {}
    }
}

/// Sets what the result types say and no attribute repeats: element types, target shapes, the lengths of slices.
///
/// # Errors
/// When a result type that is needed is missing.
pub(super) fn adopt_results(op: &mut Op, results: &[TensorType]) -> Result<(), String> {
    let first = || results.first().ok_or_else(|| String::from("the result's type is missing"));
    match op {
        Op::Quantize(QuantizeAttrs { elem, .. })
        | Op::Requantize(RequantizeAttrs { elem, .. })
        | Op::Convert { elem }
        | Op::OneHot { elem, .. } => *elem = first()?.elem,
        Op::TopK(attrs) => attrs.index_elem = results.get(1).ok_or("the type of the indices is missing")?.elem,
        Op::Reshape { shape } | Op::Broadcast { shape } => *shape = first()?.shape.clone(),
        Op::Slice(attrs) => attrs.lengths = first()?.shape.dims().to_vec(),
        Op::Interpolate(attrs) => {
            attrs.pads_begin = vec![0; first()?.shape.rank()];
            attrs.pads_end = attrs.pads_begin.clone();
        }
        Op::Const(_)
        | Op::Return
        | Op::FakeQuantize { .. }
        | Op::Dequantize(_)
        | Op::Convolution(_)
        | Op::Deconvolution(_)
        | Op::MatMul { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce(_)
        | Op::Softmax { .. }
        | Op::Mvn(_)
        | Op::NormalizeL2(_)
        | Op::Transpose { .. }
        | Op::Concat { .. }
        | Op::Split { .. }
        | Op::Pad(_)
        | Op::Tile { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::BatchToSpace { .. }
        | Op::SpaceToBatch { .. }
        | Op::Gather { .. }
        | Op::GatherElements { .. }
        | Op::GatherNd { .. }
        | Op::ScatterElements { .. }
        | Op::ScatterNd
        | Op::Reverse { .. }
        | Op::CumSum { .. }
        | Op::Rnn(_)
        | Op::If { .. }
        | Op::Loop(_)
        | Op::ReadValue { .. }
        | Op::Assign { .. } => {}
    }
    Ok(())
}

/// Sets the lengths of a split, which need the axis that was read.
pub(super) fn adopt_lengths(op: &mut Op, results: &[TensorType]) {
    if let Op::Split { axis, lengths } = op {
        *lengths = results.iter().filter_map(|ty| ty.shape.dims().get(*axis)).copied().collect();
    }
}
