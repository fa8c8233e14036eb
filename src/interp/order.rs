//! Operations along one axis whose meaning is an order: running sums, the greatest elements, one-hot vectors.

use std::cmp::Ordering;

use crate::ir::op::{TopKAttrs, TopKSort};
use crate::ir::{Tensor, TensorType};

use super::values::{self, Values};
use super::view::{around, pick};

/// Running sums along `axis`: floats in f64, each rounded once; integers wrap.
pub(super) fn cum_sum(
    axis: usize,
    exclusive: bool,
    reverse: bool,
    src: &Tensor,
    ty: &TensorType,
) -> Result<Tensor, String> {
    let row = around(src.shape().dims(), axis)?;
    match Values::of(src) {
        Values::Real(x) => values::real(ty, running(&x, row, exclusive, reverse, |sum, x| sum + x)),
        Values::Int(x) => values::int(ty, running(&x, row, exclusive, reverse, i64::wrapping_add)),
    }
}

fn running<T: Copy + Default>(
    src: &[T],
    [outer, size, inner]: [usize; 3],
    exclusive: bool,
    reverse: bool,
    add: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut dst = src.to_vec();
    for lane in 0..outer * inner {
        let mut sum = T::default();
        for step in 0..size {
            let along = if reverse { size - 1 - step } else { step };
            let place = (lane / inner * size + along) * inner + lane % inner;
            let next = add(sum, src[place]);
            dst[place] = if exclusive { sum } else { next };
            sum = next;
        }
    }
    dst
}

/// The `k` greatest (or least) elements along the axis and their indices. Of equal elements the one with the lower index
/// comes first; NaN comes last either way.
pub(super) fn top_k(attrs: &TopKAttrs, src: &Tensor, results: &[TensorType]) -> Result<Vec<Tensor>, String> {
    let [outer, size, inner] = around(src.shape().dims(), attrs.axis)?;
    let (Some(values_ty), Some(indices_ty)) = (results.first(), results.get(1)) else {
        return Err("top_k has two results".into());
    };
    if attrs.k > size {
        return Err(format!("top_k of {} elements in {size}", attrs.k));
    }
    let before = comparison(src, attrs.largest);
    let mut positions = vec![0; outer * attrs.k * inner];
    let mut indices = vec![0; outer * attrs.k * inner];
    for lane in 0..outer * inner {
        let place = |along: usize| (lane / inner * size + along) * inner + lane % inner;
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&a, &b| before(place(a), place(b)));
        order.truncate(attrs.k);
        match attrs.sort {
            TopKSort::ByValue => {}
            TopKSort::ByIndex => order.sort_unstable(),
        }
        for (rank, along) in order.into_iter().enumerate() {
            let at = (lane / inner * attrs.k + rank) * inner + lane % inner;
            positions[at] = place(along);
            indices[at] = along as i64;
        }
    }
    Ok(vec![pick(src, values_ty, &positions)?, values::int(indices_ty, indices)?])
}

/// The order of elements at two places: what `top_k` wants first is less.
fn comparison(src: &Tensor, largest: bool) -> Box<dyn Fn(usize, usize) -> Ordering> {
    let direct = move |ascending: Ordering| if largest { ascending.reverse() } else { ascending };
    match Values::of(src) {
        Values::Int(x) => Box::new(move |a, b| direct(x[a].cmp(&x[b]))),
        Values::Real(x) => Box::new(move |a, b| match x[a].partial_cmp(&x[b]) {
            Some(ascending) => direct(ascending),
            None => x[a].is_nan().cmp(&x[b].is_nan()),
        }),
    }
}

/// A new dimension at `axis` that is `on` where its coordinate is the index and `off` elsewhere. Indices outside
/// `0..depth` give a vector of `off`.
pub(super) fn one_hot(
    axis: usize,
    depth: usize,
    (on, off): (f64, f64),
    indices: &Tensor,
    ty: &TensorType,
) -> Result<Tensor, String> {
    let dims = indices.shape().dims();
    let index = indices.to_i64().ok_or_else(|| format!("indices of type {}", indices.elem()))?;
    let inner = dims.get(axis..).ok_or_else(|| format!("one_hot at axis {axis} of {}", indices.ty()))?;
    let inner: usize = inner.iter().product();
    let mut values = vec![off; ty.shape.elements()];
    for (i, index) in index.into_iter().enumerate() {
        if let Some(along) = usize::try_from(index).ok().filter(|&along| along < depth) {
            let place = values.get_mut((i / inner * depth + along) * inner + i % inner);
            *place.ok_or_else(|| format!("one_hot of {} gives {ty}", indices.ty()))? = on;
        }
    }
    values::real(ty, values)
}
