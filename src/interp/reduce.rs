//! Reductions and the normalisations built on them. Everything is computed in f64 and rounded once.

use crate::ir::op::{EpsMode, MvnAttrs, NormalizeL2Attrs, ReduceAttrs, ReduceKind};
use crate::ir::{Tensor, TensorType};

use super::values::{self, Values};
use super::view::{View, around};

/// The elements of a tensor in groups: those that differ only along `axes`.
struct Groups {
    /// Place of the first element of each group, in the row-major order of the remaining dimensions.
    starts: Vec<usize>,
    /// Distances of a group's elements from its first.
    offsets: Vec<usize>,
}

impl Groups {
    fn of(dims: &[usize], axes: &[usize]) -> Result<Groups, String> {
        let mut starts = View::of(dims);
        let mut offsets = View::of(dims);
        for axis in 0..dims.len() {
            let single = if axes.contains(&axis) { &mut starts } else { &mut offsets };
            *single = single.clone().slice(axis, 0, 1, 1)?;
        }
        Ok(Groups { starts: starts.positions(), offsets: offsets.positions() })
    }

    /// One result per group.
    fn map<T: Copy>(&self, values: &[T], f: impl Fn(&[T]) -> T) -> Vec<T> {
        let group = |start: &usize| self.offsets.iter().map(|offset| values[start + offset]).collect::<Vec<T>>();
        self.starts.iter().map(|start| f(&group(start))).collect()
    }

    /// As many results per group as it has elements.
    fn rewrite(&self, values: &mut [f64], f: impl Fn(&mut [f64])) {
        let mut group = vec![0.0; self.offsets.len()];
        for start in &self.starts {
            for (element, offset) in group.iter_mut().zip(&self.offsets) {
                *element = values[start + offset];
            }
            f(&mut group);
            for (element, offset) in group.iter().zip(&self.offsets) {
                values[start + offset] = *element;
            }
        }
    }
}

/// An empty group gives the neutral element: 0, 1, -inf for max, inf for min (the bounds of an integer type), and NaN for
/// the mean of floats.
pub(super) fn reduce(attrs: &ReduceAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let groups = Groups::of(src.shape().dims(), &attrs.axes)?;
    match Values::of(src) {
        Values::Int(values) if !ty.elem.is_float() => {
            let range = src.elem().int_range().unwrap_or((0, 1));
            values::int(ty, groups.map(&values, |group| reduce_int(attrs.kind, group, range)))
        }
        Values::Real(_) | Values::Int(_) => {
            values::real(ty, groups.map(&src.to_f64(), |group| reduce_real(attrs.kind, group)))
        }
    }
}

fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    terms.fold(0.0, |sum, x| sum + x)
}

fn reduce_real(kind: ReduceKind, group: &[f64]) -> f64 {
    let x = group.iter().copied();
    match kind {
        ReduceKind::Sum => sum(x),
        ReduceKind::Mean => sum(x) / group.len() as f64,
        ReduceKind::Max => x.fold(f64::NEG_INFINITY, |best, x| if x > best || x.is_nan() { x } else { best }),
        ReduceKind::Min => x.fold(f64::INFINITY, |best, x| if x < best || x.is_nan() { x } else { best }),
        ReduceKind::Prod => x.product(),
        ReduceKind::L1 => sum(x.map(f64::abs)),
        ReduceKind::L2 => sum(x.map(|x| x * x)).sqrt(),
        ReduceKind::And => f64::from(group.iter().all(|&x| x != 0.0)),
        ReduceKind::Or => f64::from(group.iter().any(|&x| x != 0.0)),
    }
}

/// In i64, wrapped to the result's type at the end; means and L2 norms truncate toward zero.
fn reduce_int(kind: ReduceKind, group: &[i64], range: (i64, i64)) -> i64 {
    let x = group.iter().copied();
    match kind {
        ReduceKind::Sum => x.fold(0, i64::wrapping_add),
        ReduceKind::Mean => x.fold(0, i64::wrapping_add).checked_div(group.len() as i64).unwrap_or(0),
        ReduceKind::Max => x.fold(range.0, i64::max),
        ReduceKind::Min => x.fold(range.1, i64::min),
        ReduceKind::Prod => x.fold(1, i64::wrapping_mul),
        ReduceKind::L1 => x.fold(0, |sum, x| sum.wrapping_add(x.wrapping_abs())),
        ReduceKind::L2 => sum(x.map(|x| (x as f64).powi(2))).sqrt() as i64,
        ReduceKind::And => i64::from(group.iter().all(|&x| x != 0)),
        ReduceKind::Or => i64::from(group.iter().any(|&x| x != 0)),
    }
}

/// `exp(x - max) / sum(exp(x - max))` along one axis, or its logarithm.
pub(super) fn softmax(axis: usize, log: bool, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    around(src.shape().dims(), axis)?;
    let mut values = src.to_f64();
    Groups::of(src.shape().dims(), &[axis])?.rewrite(&mut values, |group| {
        let max = group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = group.iter().map(|x| (x - max).exp()).sum();
        for x in group {
            *x = if log { *x - max - sum.ln() } else { (*x - max).exp() / sum };
        }
    });
    values::real(ty, values)
}

/// `x - mean` over `axes`, divided by the standard deviation (of the population) if asked for.
pub(super) fn mvn(attrs: &MvnAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let mut values = src.to_f64();
    Groups::of(src.shape().dims(), &attrs.axes)?.rewrite(&mut values, |group| {
        let count = group.len() as f64;
        let mean = group.iter().sum::<f64>() / count;
        group.iter_mut().for_each(|x| *x -= mean);
        if attrs.normalize_variance {
            let variance = group.iter().map(|x| x * x).sum::<f64>() / count;
            let deviation = match attrs.eps_mode {
                EpsMode::Inside => (variance + attrs.eps).sqrt(),
                EpsMode::Outside => variance.sqrt() + attrs.eps,
            };
            group.iter_mut().for_each(|x| *x /= deviation);
        }
    });
    values::real(ty, values)
}

/// `x / sqrt(sum(x^2) + eps)` over `axes`, or with `sqrt(max(sum(x^2), eps))`. Without axes every element is its own group.
pub(super) fn normalize_l2(attrs: &NormalizeL2Attrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let mut values = src.to_f64();
    Groups::of(src.shape().dims(), &attrs.axes)?.rewrite(&mut values, |group| {
        let sum = group.iter().map(|x| x * x).sum::<f64>();
        let norm = match attrs.eps_mode {
            EpsMode::Inside => (sum + attrs.eps).sqrt(),
            EpsMode::Outside => sum.max(attrs.eps).sqrt(),
        };
        group.iter_mut().for_each(|x| *x /= norm);
    });
    values::real(ty, values)
}
