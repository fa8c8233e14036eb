//! Convolutions: groups and automatic padding normalised.

use crate::ir::op::{ConvAttrs, DeconvAttrs};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault};
use super::integer_product;

/// Window attributes of a layer as written, one entry per spatial dimension.
pub struct Window {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads_begin: Vec<usize>,
    pub pads_end: Vec<usize>,
    pub auto_pad: AutoPad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoPad {
    Explicit,
    SameUpper,
    SameLower,
    Valid,
}

impl Window {
    /// Reads strides, dilations and pads for a kernel of these sizes.
    pub fn read(context: &Context, kernel: Vec<usize>) -> Fallible<Window> {
        let spatial = kernel.len();
        let list = |name: &str, default: usize| -> Fallible<Vec<usize>> {
            let list = context.list(name)?.unwrap_or_else(|| vec![default; spatial]);
            if list.len() == spatial {
                return Ok(list);
            }
            Err(Fault::new(format!("{name} has {} entries for {spatial} spatial dimensions", list.len())))
        };
        let modes = [
            ("explicit", AutoPad::Explicit),
            ("notset", AutoPad::Explicit),
            ("same_upper", AutoPad::SameUpper),
            ("same_lower", AutoPad::SameLower),
            ("valid", AutoPad::Valid),
        ];
        let auto_pad = context.choice("auto_pad", "explicit", &modes)?;
        let given = auto_pad == AutoPad::Explicit;
        Ok(Window {
            strides: list("strides", 1)?,
            dilations: list("dilations", 1)?,
            pads_begin: if given { list("pads_begin", 0)? } else { vec![0; spatial] },
            pads_end: if given { list("pads_end", 0)? } else { vec![0; spatial] },
            auto_pad,
            kernel,
        })
    }

    /// Sets the pads of `same_upper` and `same_lower` for a source of these spatial sizes: `ceil(size / stride)`
    /// windows, the odd element of padding at the end or at the beginning.
    pub fn pad_same(&mut self, sizes: &[usize]) -> Fallible<()> {
        if !self.is_same() {
            return Ok(());
        }
        for (dim, &size) in sizes.iter().enumerate() {
            let stride = self.strides[dim];
            let windows = if stride == 0 { return Err(Fault::new("a stride is 0")) } else { size.div_ceil(stride) };
            let reach = windows.saturating_sub(1).checked_mul(stride);
            let covered = reach.and_then(|reach| reach.checked_add(self.extent(dim)?)).ok_or_else(too_large)?;
            self.split_padding(dim, covered.saturating_sub(size), self.auto_pad == AutoPad::SameUpper);
        }
        Ok(())
    }

    fn is_same(&self) -> bool {
        matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower)
    }

    /// Elements a dilated kernel spans.
    fn extent(&self, dim: usize) -> Option<usize> {
        self.kernel[dim].checked_sub(1)?.checked_mul(self.dilations[dim])?.checked_add(1)
    }

    fn split_padding(&mut self, dim: usize, total: usize, odd_at_end: bool) {
        let half = total / 2;
        let (begin, end) = if odd_at_end { (half, total - half) } else { (total - half, half) };
        self.pads_begin[dim] = begin;
        self.pads_end[dim] = end;
    }
}

fn too_large() -> Fault {
    Fault::new("its window attributes are absurdly large").help("the file is damaged: export the model again")
}

pub fn convolution(context: &mut Context) -> Fallible<Vec<Value>> {
    let (src, weights) = (context.operand(0)?, context.operand(1)?);
    convolve(context, src, weights, 1)
}

/// Weights `[groups, oc / groups, ic / groups, k..]`.
pub fn group_convolution(context: &mut Context) -> Fallible<Vec<Value>> {
    let (src, weights) = (context.operand(0)?, context.operand(1)?);
    let (groups, weights) = merge_groups(context, weights)?;
    convolve(context, src, weights, groups)
}

/// Merges the group dimension into the next one.
fn merge_groups(context: &mut Context, weights: Value) -> Fallible<(usize, Value)> {
    let dims = context.dims(weights);
    let [groups, channels, rest @ ..] = dims.as_slice() else {
        return Err(Fault::new(format!("weights of rank {} have no groups", dims.len())));
    };
    let mut merged = vec![groups.saturating_mul(*channels)];
    merged.extend(rest);
    Ok((*groups, context.reshape(weights, &merged)?))
}

fn convolve(context: &mut Context, src: Value, weights: Value, groups: usize) -> Fallible<Vec<Value>> {
    let kernel = spatial_dims(context, weights)?;
    let sizes = spatial_dims(context, src)?;
    let mut window = Window::read(context, kernel)?;
    check_spatial(&window, &sizes)?;
    window.pad_same(&sizes)?;
    let Window { strides, dilations, pads_begin, pads_end, .. } = window;
    let attrs = ConvAttrs { strides, dilations, pads_begin, pads_end, groups, pad_value: 0 };
    if integer_product::is_wide(context, [src, weights]) {
        return Ok(vec![integer_product::convolution(context, src, weights, attrs)?]);
    }
    Ok(vec![context.emit(Op::Convolution(attrs), &[src, weights])?])
}

/// Dimensions behind batch and channels.
pub fn spatial_dims(context: &Context, value: Value) -> Fallible<Vec<usize>> {
    let dims = context.dims(value);
    dims.get(2..)
        .map(<[usize]>::to_vec)
        .ok_or_else(|| Fault::new(format!("a shape of {dims:?} has no spatial dimensions")))
}

pub fn check_spatial(window: &Window, sizes: &[usize]) -> Fallible<()> {
    if window.kernel.len() == sizes.len() {
        return Ok(());
    }
    Err(Fault::new(format!("a kernel of {:?} does not fit spatial dimensions {sizes:?}", window.kernel)))
}

pub fn deconvolution(context: &mut Context) -> Fallible<Vec<Value>> {
    let (src, weights) = (context.operand(0)?, context.operand(1)?);
    deconvolve(context, src, weights, 1)
}

/// Weights `[groups, ic / groups, oc / groups, k..]`.
pub fn group_deconvolution(context: &mut Context) -> Fallible<Vec<Value>> {
    let (src, weights) = (context.operand(0)?, context.operand(1)?);
    let (groups, weights) = merge_groups(context, weights)?;
    deconvolve(context, src, weights, groups)
}

/// Automatic padding without an output shape is no padding, as in OpenVINO.
fn deconvolve(context: &mut Context, src: Value, weights: Value, groups: usize) -> Fallible<Vec<Value>> {
    let kernel = spatial_dims(context, weights)?;
    let sizes = spatial_dims(context, src)?;
    let mut window = Window::read(context, kernel)?;
    check_spatial(&window, &sizes)?;
    let mut output_padding = context.list("output_padding")?.unwrap_or_else(|| vec![0; sizes.len()]);
    if output_padding.len() != sizes.len() {
        return Err(Fault::new(format!("output_padding has {} entries", output_padding.len())));
    }
    if context.has(2) {
        let wanted = context.sizes(2, "the output shape")?;
        fit_output(&mut window, &sizes, &wanted, &mut output_padding)?;
    }
    let Window { strides, dilations, pads_begin, pads_end, .. } = window;
    let attrs = DeconvAttrs { strides, dilations, pads_begin, pads_end, output_padding, groups, zero_point: 0 };
    Ok(vec![context.emit(Op::Deconvolution(attrs), &[src, weights])?])
}

/// Chooses pads so that the result has the wanted sizes; the rule is that of ConvolutionBackpropData-1.
fn fit_output(window: &mut Window, sizes: &[usize], wanted: &[usize], output_padding: &mut [usize]) -> Fallible<()> {
    if wanted.len() != sizes.len() {
        return Err(Fault::new(format!("the output shape {wanted:?} has not one entry per spatial dimension")));
    }
    for (dim, (&size, &wanted)) in sizes.iter().zip(wanted).enumerate() {
        let reach = size.checked_sub(1).and_then(|steps| steps.checked_mul(window.strides[dim]));
        let natural = reach.and_then(|reach| reach.checked_add(window.extent(dim)?)).ok_or_else(too_large)?;
        if window.is_same() {
            let padded = natural.checked_add(output_padding[dim]).ok_or_else(too_large)?;
            window.split_padding(dim, padded.saturating_sub(wanted), window.auto_pad == AutoPad::SameLower);
        }
        let pads = window.pads_begin[dim].checked_add(window.pads_end[dim]).ok_or_else(too_large)?;
        let size = wanted.checked_add(pads).ok_or_else(too_large)?;
        match size.checked_sub(natural) {
            Some(rest) => output_padding[dim] = rest,
            None => window.pads_end[dim] += natural - size,
        }
    }
    Ok(())
}
