//! Convolutions and deconvolutions: sums over taps of channels-last tensors, as lists of offsets and packed weights.

use std::sync::Arc;

use crate::ir::op::{ConvAttrs, DeconvAttrs};
use crate::ir::{ElemType, Node, Op, Tensor, Value};

use super::choice::Form;
use super::dense::Dense;
use super::elementwise::{Laid, Strips, covered};
use super::expr::{self, Tree};
use super::fold;
use super::grid::Dims;
use super::kernel::{DepthwiseSpec, Grid, KernelSpec, Mac};
use super::pack::{self, Group, Run, Weights};
use super::place::window_halo;
use super::plan::Anchor;
use super::pointwise::LaneType;
use super::problem;
use super::residues::Residue;
use super::view::{Storage, View, channels_last};
use super::winograd::Windows;
use super::{Lowering, Operand};

/// One window position: where it reads relative to the output pixel's source, and which weights it uses.
#[derive(Clone, Debug)]
struct Tap {
    offset: i64,
    /// Row-major index into the weights' spatial dimensions.
    weight: usize,
}

/// Constant weights as rows of taps.
enum Rows {
    Int(Vec<i32>),
    F32(Vec<f32>),
}

impl Rows {
    fn as_weights(&self) -> Weights<'_> {
        match self {
            Rows::Int(rows) => Weights::Int(rows),
            Rows::F32(rows) => Weights::F32(rows),
        }
    }

    /// `len` weights picked one by one.
    fn pick(weights: &Tensor, len: usize, index: impl Fn(usize) -> usize) -> Result<Rows, String> {
        if let Some(values) = weights.as_f32() {
            return Ok(Rows::F32((0..len).map(|i| values[index(i)]).collect()));
        }
        let values = weights.to_i64().ok_or("weights are neither f32 nor integers")?;
        Ok(Rows::Int((0..len).map(|i| values[index(i)] as i32).collect()))
    }
}

/// A convolution as kernels see it: output pixels, taps, groups, and where results go.
#[derive(Clone)]
pub struct Convolved<'a> {
    pub anchor: Anchor,
    /// What the accumulator of each output channel starts with.
    pub init: Vec<i32>,
    pub tree: &'a Tree,
    pub laid: Laid,
    /// The source as the output pixels walk it: sizes of the result, strides times the window's.
    pub src: View,
    pub outer: Vec<usize>,
    pub channel: usize,
    pub macs: u64,
}

impl Convolved<'_> {
    /// The loops over pixels: strides of the source, then those of the epilogue's tensors.
    pub fn dims(&self) -> Dims {
        let views: Vec<&View> = std::iter::once(&self.src).chain(self.laid.views()).collect();
        Dims::of(&views, &self.outer).merged()
    }
}

impl Lowering<'_> {
    pub fn convolution(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let Op::Convolution(attrs) = self.graph.op(node).clone() else {
            return Err("internal error: no convolution".into());
        };
        let weights = self.const_weights(node)?;
        let products = weights.shape().elements();
        let (src, attrs, weights) = match self.merged_rows(node, &attrs, &weights)? {
            Some(merged) => (merged.src, merged.attrs, Arc::new(merged.weights)),
            None => (self.window_source(node)?, attrs, weights),
        };
        let mac = mac_of(&src, &weights, self.has_dot)?;
        let tree = expr::tree(self.graph, &self.plan, root, mac_lane(mac), &[])?;
        let rank = src.rank();
        let laid = self.lay_out(root, &tree, &channels_last(rank), Some(1))?;
        let taps = conv_taps(&src, &attrs, weights.shape().dims());
        let oc = weights.shape()[0];
        let spatial: usize = (2..rank).map(|dim| self.graph.ty(self.graph.result(node)).shape[dim]).product();
        let macs = (src.sizes[0] * spatial * products) as u64;
        let walked = walked_source(&src, &attrs.strides, &attrs.pads_begin, &laid.dst);
        let outer = std::iter::once(0).chain(2..rank).collect();
        let init = self.init_of(anchor, oc)?;
        let convolved = Convolved { anchor, init, tree: &tree, laid, src: walked, outer, channel: 1, macs };
        if attrs.groups == src.sizes[1] && oc == attrs.groups && weights.shape()[1] == 1 {
            return self.depthwise(convolved, &taps, &weights, mac);
        }
        let dense = attrs.groups == 1 && attrs.dilations.last() == Some(&1);
        let contiguous = dense && src.strides.last().copied() == Some((src.sizes[1] * src.elem.bytes()) as i64);
        let kw = weights.shape().dims().last().copied().unwrap_or(1);
        let (groups, rows) = conv_groups(&src, &weights, &taps, attrs.groups, if contiguous { kw } else { 1 })?;
        let rows = rows.as_weights();
        let windows = Some(Windows { attrs: &attrs, weights: weights.shape().dims(), rows });
        let dense = Dense { mac, groups: &groups, weights: rows, windows };
        match self.residue_convolutions(&convolved, &dense)? {
            true => Ok(()),
            false => self.dense_convolution(convolved, &dense),
        }
    }

    fn depthwise(&mut self, convolved: Convolved, taps: &[Tap], weights: &Tensor, mac: Mac) -> Result<(), String> {
        let mut dims = convolved.dims();
        dims.unrolled_to(3);
        let Convolved { tree, laid, src, .. } = &convolved;
        let counts = fold::counts(self.width, laid.dst.sizes[1], src, tree, laid, &dims.padded_to(3));
        let forms: Vec<Form> = counts.into_iter().map(Form::Fold).collect();
        self.decide(problem::depthwise(&convolved, mac, taps.len()), &forms, |lowering, form| match form {
            Form::Fold(pixels) => lowering.folded(convolved.clone(), taps, weights, mac, pixels),
            Form::Lanes(_)
            | Form::Copies(..)
            | Form::Tiles(_)
            | Form::Overlapped(_)
            | Form::Band(_)
            | Form::Winograd => Err(format!("internal error: a depthwise convolution as {form}")),
        })
    }

    /// A depthwise convolution that takes `pixels` neighbours as one.
    fn folded(
        &mut self,
        convolved: Convolved,
        taps: &[Tap],
        weights: &Tensor,
        mac: Mac,
        pixels: usize,
    ) -> Result<(), String> {
        let mut dims = convolved.dims();
        let Convolved { anchor, init, tree, mut laid, src, macs, .. } = convolved;
        let steps = dims.unrolled_to(3);
        let mut dims = dims.padded_to(3);
        let own = laid.dst.sizes[1];
        dims.fold_last(pixels);
        let (channels, per_channel) = (own * pixels, taps.len());
        let rows = Rows::pick(weights, per_channel * channels, |i| {
            (i % channels % own) * per_channel + taps[i / channels].weight
        })?;
        let init = init.repeat(pixels);
        let packed = pack::pack_depthwise(mac, self.width, rows.as_weights(), channels, &init);
        let blob = self.const_storage(packed.blob);
        let mut epilogue = self.epilogue(tree, &laid, &dims, 1, Some(1));
        self.pack_tables(&mut epilogue, tree, &mut laid, 1, Strips { vectors: 4, repeated: pixels });
        let spec = DepthwiseSpec {
            mac,
            batch: dims.sizes[0],
            oh: dims.sizes[1],
            ow: dims.sizes[2],
            channels,
            src: grid(&dims.strides[0]),
            taps: taps.iter().map(|tap| tap.offset).collect(),
            safe_blocks: packed.safe_blocks,
            epilogue,
        };
        let share = macs / steps.len() as u64;
        for offsets in steps {
            let operands = operands_at(&src, blob, &laid, &offsets);
            self.push_step(KernelSpec::Depthwise(spec.clone()), operands, &covered(tree, anchor.node), share);
        }
        Ok(())
    }

    /// Every residue of the output modulo the stride is a convolution of its own, written with stride.
    pub fn deconvolution(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let Op::Deconvolution(attrs) = self.graph.op(node).clone() else {
            return Err("internal error: no deconvolution".into());
        };
        let weights = self.const_weights(node)?;
        let src = self.window_source(node)?;
        let mac = mac_of(&src, &weights, self.has_dot)?;
        let tree = expr::tree(self.graph, &self.plan, root, mac_lane(mac), &[])?;
        let rank = src.rank();
        let laid = self.lay_out(root, &tree, &channels_last(rank), Some(1))?;
        let macs = (src.elements() * weights.shape().elements() / weights.shape()[0].max(1)) as u64;
        let macs = macs / attrs.strides.iter().product::<usize>() as u64;
        let init = self.init_of(anchor, laid.dst.sizes[1])?;
        for (numbers, residue) in Residue::all(&laid.dst.sizes, &attrs.strides) {
            let part = residue.of_all(&laid);
            let mut walked = View { halo: None, ..src.clone() };
            walked.sizes[2..].copy_from_slice(&part.dst.sizes[2..]);
            let taps = residue_taps(&src, &numbers, &attrs, weights.shape().dims());
            let (groups, rows) = deconv_groups(&src, &weights, &taps, attrs.groups)?;
            let outer = std::iter::once(0).chain(2..rank).collect();
            let init = without_zero_point(init.clone(), &rows, attrs.zero_point);
            let convolved = Convolved { anchor, init, tree: &tree, laid: part, src: walked, outer, channel: 1, macs };
            let dense = Dense { mac, groups: &groups, weights: rows.as_weights(), windows: None };
            self.dense_convolution(convolved, &dense)?;
        }
        Ok(())
    }

    fn const_weights(&self, node: Node) -> Result<Arc<Tensor>, String> {
        let weights = self.graph.const_value(self.graph.operand(node, 1));
        weights
            .cloned()
            .ok_or_else(|| format!("{} with weights that are not constant has no kernel", self.graph.op(node).name()))
    }

    /// The source of a window: channels innermost, its border there, outside the caller's memory.
    fn window_source(&mut self, node: Node) -> Result<View, String> {
        let view = self.view(self.graph.operand(node, 0))?;
        let wanted = window_halo(self.graph, node);
        let bordered = wanted.is_empty() || view.halo.as_ref().is_some_and(|halo| halo.covers(&wanted));
        let innermost = view.sizes[1] == 1 || view.strides[1] == view.elem.bytes() as i64;
        if bordered && innermost && !self.reads_exactly(&view) {
            return Ok(view);
        }
        let halo = Some(wanted).filter(|halo| !halo.is_empty());
        let target = self.padded(view.elem, &view.sizes, &channels_last(view.rank()), halo);
        self.copy(&view, &target);
        Ok(target)
    }

    /// What the accumulator of each output channel starts with.
    pub fn init_of(&self, anchor: Anchor, oc: usize) -> Result<Vec<i32>, String> {
        let Some(init) = anchor.init else { return Ok(vec![0; oc]) };
        let tensor = self.graph.const_value(init).ok_or("internal error: start of an accumulator is not constant")?;
        let values = tensor.to_i64().ok_or("internal error: start of an accumulator is not an integer")?;
        let at = |channel: usize| values[if values.len() == 1 { 0 } else { channel }] as i32;
        Ok((0..oc).map(at).collect())
    }
}

/// So that sums over whole rows of weights, with a border of zero points, have no zero point in them: `init - z * sum(w)` per
/// output channel, modulo 2^32.
fn without_zero_point(init: Vec<i32>, rows: &Rows, zero_point: i32) -> Vec<i32> {
    let Rows::Int(rows) = rows else { return init };
    let row = (rows.len() / init.len().max(1)).max(1);
    let sums = rows.chunks(row).map(|row| row.iter().fold(0, |sum: i32, &w| sum.wrapping_add(w)));
    init.into_iter().zip(sums).map(|(init, sum)| init.wrapping_sub(zero_point.wrapping_mul(sum))).collect()
}

pub fn grid(strides: &[i64]) -> Grid {
    Grid { batch: strides[0], row: strides[1], pixel: strides[2] }
}

pub fn mac_lane(mac: Mac) -> LaneType {
    if mac == Mac::F32 { LaneType::F32 } else { LaneType::I32 }
}

/// The multiply-accumulate for these types.
pub fn mac_of(src: &View, weights: &Tensor, has_dot: bool) -> Result<Mac, String> {
    match (src.elem, weights.elem()) {
        (ElemType::U8, ElemType::I8) if has_dot => Ok(Mac::U8I8Dot),
        (ElemType::U8, ElemType::I8) => Ok(Mac::U8I8),
        (ElemType::U8, ElemType::I16) => Ok(Mac::U8I16),
        (ElemType::F32, ElemType::F32) => Ok(Mac::F32),
        (src, weights) => Err(format!("multiplication of {src} by {weights} weights has no kernel")),
    }
}

/// The source seen from output pixels: sizes of the result, strides times the window's, the first window's corner first.
fn walked_source(src: &View, strides: &[usize], pads: &[usize], dst: &View) -> View {
    let mut view = View { halo: None, ..src.clone() };
    for dim in 2..src.rank() {
        view.offset -= pads[dim - 2] as i64 * src.strides[dim];
        view.strides[dim] = src.strides[dim] * strides[dim - 2] as i64;
        view.sizes[dim] = dst.sizes[dim];
    }
    view
}

/// Source, packed weights, and the epilogue's tensors, each advanced by its offset; the weights have none.
pub fn operands_at(src: &View, weights: Storage, laid: &Laid, offsets: &[i64]) -> Vec<Operand> {
    let rest = laid.operands().into_iter().zip(&offsets[1..]).map(|(operand, &bytes)| operand.advanced(bytes));
    [Operand::of(src).advanced(offsets[0]), Operand::start(weights)].into_iter().chain(rest).collect()
}

/// Every window position in row-major order.
fn conv_taps(src: &View, attrs: &ConvAttrs, weights: &[usize]) -> Vec<Tap> {
    let kernel = &weights[2..];
    let count: usize = kernel.iter().product();
    let offset = |index: usize| -> i64 {
        let at = unravel(index, kernel);
        (0..kernel.len()).map(|d| (at[d] * attrs.dilations[d]) as i64 * src.strides[d + 2]).sum()
    };
    (0..count).map(|weight| Tap { offset: offset(weight), weight }).collect()
}

/// Runs and weight rows per group: `joined` neighbouring taps lie in one contiguous run.
fn conv_groups(
    src: &View,
    weights: &Tensor,
    taps: &[Tap],
    groups: usize,
    joined: usize,
) -> Result<(Vec<Group>, Rows), String> {
    let dims = weights.shape().dims();
    let (oc, ic) = (dims[0], dims[1]);
    let group_oc = oc / groups;
    let elem = src.elem.bytes() as i64;
    let group = |g: usize| Group {
        runs: taps
            .chunks(joined)
            .map(|run| Run { offset: run[0].offset + (g * ic) as i64 * elem, len: ic * run.len() })
            .collect(),
        first_oc: g * group_oc,
        oc: group_oc,
    };
    let row = taps.len() * ic;
    let count = taps.len();
    let rows = Rows::pick(weights, oc * row, |i| {
        let (o, rest) = (i / row, i % row);
        (o * ic + rest % ic) * count + taps[rest / ic].weight
    })?;
    Ok(((0..groups).map(group).collect(), rows))
}

/// As [`conv_groups`] for weights `[ic, oc / groups, k..]`.
fn deconv_groups(src: &View, weights: &Tensor, taps: &[Tap], groups: usize) -> Result<(Vec<Group>, Rows), String> {
    let dims = weights.shape().dims();
    let (ic, group_oc) = (dims[0] / groups, dims[1]);
    let positions: usize = dims[2..].iter().product();
    let elem = src.elem.bytes() as i64;
    let group = |g: usize| Group {
        runs: taps.iter().map(|tap| Run { offset: tap.offset + (g * ic) as i64 * elem, len: ic }).collect(),
        first_oc: g * group_oc,
        oc: group_oc,
    };
    let row = taps.len() * ic;
    let rows = Rows::pick(weights, groups * group_oc * row, |i| {
        let (o, rest) = (i / row, i % row);
        let (g, o) = (o / group_oc, o % group_oc);
        ((g * ic + rest % ic) * group_oc + o) * positions + taps[rest / ic].weight
    })?;
    Ok(((0..groups).map(group).collect(), rows))
}

/// Taps that reach output pixels of this residue: those where `residue + pad - k * dilation` divides by the stride.
fn residue_taps(src: &View, residues: &[usize], attrs: &DeconvAttrs, weights: &[usize]) -> Vec<Tap> {
    let kernel = &weights[2..];
    let count: usize = kernel.iter().product();
    let tap = |weight: usize| {
        let at = unravel(weight, kernel);
        let mut offset = 0;
        for d in 0..kernel.len() {
            let numerator = (residues[d] + attrs.pads_begin[d]) as i64 - (at[d] * attrs.dilations[d]) as i64;
            if numerator.rem_euclid(attrs.strides[d] as i64) != 0 {
                return None;
            }
            offset += numerator.div_euclid(attrs.strides[d] as i64) * src.strides[d + 2];
        }
        Some(Tap { offset, weight })
    };
    (0..count).filter_map(tap).collect()
}

/// Indices of element `index` of a row-major tensor.
pub fn unravel(mut index: usize, sizes: &[usize]) -> Vec<usize> {
    let mut at = vec![0; sizes.len()];
    for dim in (0..sizes.len()).rev() {
        at[dim] = index % sizes[dim];
        index /= sizes[dim];
    }
    at
}
