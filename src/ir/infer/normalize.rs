//! Operations that combine elements along axes.

use super::super::op::{MvnAttrs, NormalizeL2Attrs, ReduceAttrs, ReduceKind};
use super::super::ty::{ElemType, TensorType};
use super::{Inferred, check_axes, check_axis, check_float, check_numeric, typed};

pub(super) fn reduce(src: &TensorType, attrs: &ReduceAttrs) -> Inferred {
    check_axes(&attrs.axes, src)?;
    let elem = reduced_elem(src, attrs.kind)?;
    let dims = src.shape.dims().iter().enumerate().filter_map(|(dim, &size)| match attrs.axes.contains(&dim) {
        true => attrs.keep_dims.then_some(1),
        false => Some(size),
    });
    typed(elem, dims.collect())
}

/// Sums of 8- and 16-bit integers are exact in i32 and their means f32; 32 and 64 bits (sizes, indices) stay what they are.
fn reduced_elem(src: &TensorType, kind: ReduceKind) -> Result<ElemType, String> {
    let narrow = matches!(src.elem, ElemType::U8 | ElemType::I8 | ElemType::I16);
    match kind {
        ReduceKind::And | ReduceKind::Or if src.elem == ElemType::Bool => Ok(ElemType::Bool),
        ReduceKind::And | ReduceKind::Or => Err(format!("takes bool, not {src}")),
        ReduceKind::Sum if narrow => Ok(ElemType::I32),
        ReduceKind::Mean if narrow => Ok(ElemType::F32),
        ReduceKind::Sum
        | ReduceKind::Mean
        | ReduceKind::Max
        | ReduceKind::Min
        | ReduceKind::Prod
        | ReduceKind::L1
        | ReduceKind::L2 => check_numeric(src).map(|()| src.elem),
    }
}

pub(super) fn softmax(src: &TensorType, axis: usize) -> Inferred {
    check_float(src)?;
    check_axis(axis, src)?;
    Ok(src.clone())
}

pub(super) fn mvn(src: &TensorType, attrs: &MvnAttrs) -> Inferred {
    normalized(src, &attrs.axes, attrs.eps)
}

pub(super) fn normalize_l2(src: &TensorType, attrs: &NormalizeL2Attrs) -> Inferred {
    normalized(src, &attrs.axes, attrs.eps)
}

/// Integers are normalized in f32: zero point and scale of quantized data vanish, or are taken out before and after.
fn normalized(src: &TensorType, axes: &[usize], eps: f64) -> Inferred {
    let elem = match src.elem {
        ElemType::U8 | ElemType::I8 => ElemType::F32,
        elem => check_float(src).map(|()| elem)?,
    };
    check_axes(axes, src)?;
    if !eps.is_finite() || eps < 0.0 {
        return Err(format!("eps {eps} is not a small positive number"));
    }
    typed(elem, src.shape.dims().to_vec())
}

pub(super) fn cum_sum(src: &TensorType, axis: usize) -> Inferred {
    check_numeric(src)?;
    check_axis(axis, src)?;
    Ok(src.clone())
}
