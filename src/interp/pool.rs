//! Pooling over windows. Padding is no element: it never wins a maximum and adds nothing to a sum.

use crate::ir::op::PoolAttrs;
use crate::ir::{Tensor, TensorType};

use super::values::{self, Values};
use super::windows::{Geometry, Windows};

/// Planes of source and result, channel by channel, and what each window sees.
struct Planes {
    windows: Windows,
    count: usize,
    src: usize,
    dst: usize,
}

impl Planes {
    fn of(attrs: &PoolAttrs, src: &Tensor, ty: &TensorType) -> Result<Planes, String> {
        let (&[n, c, ref src @ ..], &[_, _, ref dst @ ..]) = (src.shape().dims(), ty.shape.dims()) else {
            return Err(format!("pooling of {} to {ty}", src.ty()));
        };
        let PoolAttrs { kernel, strides, dilations, pads_begin, .. } = attrs;
        let windows = Geometry { src, dst, kernel, strides, dilations, pads_begin }.windows()?;
        Ok(Planes { windows, count: n * c, src: src.iter().product(), dst: dst.iter().product() })
    }

    /// Folds the elements of every window, in order, into `start`.
    fn fold<T: Copy>(&self, src: &[T], start: T, fold: impl Fn(T, T) -> T) -> Vec<T> {
        let mut dst = vec![start; self.count * self.dst];
        for plane in 0..self.count {
            let src = &src[plane * self.src..][..self.src];
            let dst = &mut dst[plane * self.dst..][..self.dst];
            for run in self.windows.taps.iter().flat_map(|tap| &tap.runs) {
                let src = src[run.src..].iter().step_by(self.windows.step.max(1));
                for (dst, &src) in dst[run.dst..][..run.len].iter_mut().zip(src) {
                    *dst = fold(*dst, src);
                }
            }
        }
        dst
    }

    /// How many source elements each window of one plane sees.
    fn counts(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.dst];
        for run in self.windows.taps.iter().flat_map(|tap| &tap.runs) {
            counts[run.dst..][..run.len].iter_mut().for_each(|count| *count += 1.0);
        }
        counts
    }
}

/// The greatest element of each window; the least value of the type (floats: -inf) for a window that sees none. NaN wins.
pub(super) fn max_pool(attrs: &PoolAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let planes = Planes::of(attrs, src, ty)?;
    match Values::of(src) {
        Values::Real(src) => {
            let max = |best: f64, x: f64| if x > best || x.is_nan() { x } else { best };
            values::real(ty, planes.fold(&src, f64::NEG_INFINITY, max))
        }
        Values::Int(src) => {
            let least = ty.elem.int_range().map_or(0, |(least, _)| least);
            values::int(ty, planes.fold(&src, least, i64::max))
        }
    }
}

/// The sum of each window in f64, divided by the kernel's size or by the number of elements it sees (a window that sees
/// none gives 0), rounded once.
pub(super) fn avg_pool(attrs: &PoolAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let planes = Planes::of(attrs, src, ty)?;
    let kernel = attrs.kernel.iter().map(|&size| size as f64).product();
    let divisors = if attrs.exclude_pad { planes.counts() } else { vec![kernel; planes.dst] };
    let sums = planes.fold(&src.to_f64(), 0.0, |sum, x| sum + x);
    let means = sums.into_iter().zip(divisors.iter().cycle()).map(
        |(sum, &divisor)| {
            if divisor == 0.0 { 0.0 } else { sum / divisor }
        },
    );
    values::real(ty, means.collect())
}
