//! Col2Im: columns of window elements, summed where windows overlap. A window places what it holds as a deconvolution with one group
//! per channel does whose weights pass each element of the window on to its own place, so that is what it becomes.

use crate::ir::op::DeconvAttrs;
use crate::ir::{ElemType, Op, Value};

use super::super::context::{Context, Fallible, Fault};

/// Operands: `[n, channels * kh * kw, windows]`, perhaps without `n`; the result's height and width; kh and kw.
pub fn col2im(context: &mut Context) -> Fallible<Vec<Value>> {
    let src = context.operand(0)?;
    let elem = context.elem(src);
    let dims = context.dims(src);
    let (wanted, kernel) = (context.sizes(1, "the output size")?, context.sizes(2, "the kernel size")?);
    let (&[.., rows, windows], &[height, width], &[kh, kw]) = (dims.as_slice(), wanted.as_slice(), kernel.as_slice())
    else {
        return Err(Fault::new(format!("columns {dims:?} to {wanted:?} with a kernel {kernel:?}")));
    };
    let pair = |name: &str, default: usize| -> Fallible<[usize; 2]> {
        let given = context.list(name)?.unwrap_or_else(|| vec![default; 2]);
        <[usize; 2]>::try_from(given).map_err(|given| Fault::new(format!("{name} has {} entries", given.len())))
    };
    let (strides, dilations) = (pair("strides", 1)?, pair("dilations", 1)?);
    let (pads_begin, pads_end) = (pair("pads_begin", 0)?, pair("pads_end", 0)?);
    let sizes = [height, width];
    // windows of an axis, and elements behind the last one
    let along = |axis: usize| {
        let padded = sizes[axis].checked_add(pads_begin[axis])?.checked_add(pads_end[axis])?;
        let reach = kernel[axis].checked_sub(1)?.checked_mul(dilations[axis])?.checked_add(1)?;
        let rest = padded.checked_sub(reach)?;
        Some((rest.checked_div(strides[axis])? + 1, rest % strides[axis]))
    };
    let taps = kh.saturating_mul(kw);
    let counts = along(0).zip(along(1)).filter(|((down, _), (across, _))| down.checked_mul(*across) == Some(windows));
    let (Some(((down, below), (across, behind))), true, true) =
        (counts, dims.len() <= 3, taps > 0 && rows.is_multiple_of(taps))
    else {
        return Err(Fault::new(format!("columns {dims:?} do not fit an output {wanted:?} with a kernel {kernel:?}")));
    };
    let n = if dims.len() == 3 { dims[0] } else { 1 };
    let src = context.convert(src, ElemType::F32)?;
    let src = context.reshape(src, &[n, rows, down, across])?;
    context.afford(rows.saturating_mul(taps))?;
    let own_place: Vec<f64> =
        (0..rows).flat_map(|row| (0..taps).map(move |tap| f64::from(u8::from(row % taps == tap)))).collect();
    let weights = context.numbers(ElemType::F32, &[rows, 1, kh, kw], &own_place)?;
    let attrs = DeconvAttrs {
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        pads_begin: pads_begin.to_vec(),
        pads_end: pads_end.to_vec(),
        output_padding: vec![below, behind],
        groups: rows / taps,
        zero_point: 0,
    };
    let placed = context.emit(Op::Deconvolution(attrs), &[src, weights])?;
    let placed = if dims.len() == 3 { placed } else { context.reshape(placed, &[rows / taps, height, width])? };
    Ok(vec![context.convert(placed, elem)?])
}
