//! Resizing. Every mode is separable: along each axis a result element is a weighted sum of source elements ([`axis_taps`]),
//! and the axes are applied one after the other in f64, rounded once at the end.
//!
//! Coordinates are computed in f32, operation by operation, as OpenVINO's reference (Interpolate-4) does: with scales that
//! f32 cannot represent, this decides which source element is the nearest.

use crate::ir::op::{CoordinateMode, InterpolateAttrs, InterpolateMode, NearestMode};
use crate::ir::{Tensor, TensorType};

use super::values;
use super::view::{OUTSIDE, around, pick_or};

/// Source elements along one axis and their weights.
pub type Taps = Vec<(usize, f64)>;

/// What each of the `dst` elements along an axis is made of, `src` being the padded size of the source.
pub fn axis_taps(attrs: &InterpolateAttrs, src: usize, dst: usize, scale: f64) -> Vec<Taps> {
    let scale = scale as f32;
    let coordinate = |x: usize| source_coordinate(attrs.coordinates, x, scale, src, dst);
    let taps = |x: usize| match attrs.mode {
        InterpolateMode::Nearest => nearest(attrs.nearest, coordinate(x), scale, src),
        InterpolateMode::Linear => linear(attrs.antialias, coordinate(x), scale, src),
        InterpolateMode::LinearOnnx => linear_onnx(coordinate(x), src),
        InterpolateMode::Cubic => cubic(attrs.cube_coeff, coordinate(x), src),
    };
    if src == 0 { vec![Vec::new(); dst] } else { (0..dst).map(taps).collect() }
}

fn source_coordinate(mode: CoordinateMode, x: usize, scale: f32, src: usize, dst: usize) -> f32 {
    let x = x as f32;
    if scale == 1.0 || src == dst {
        return x;
    }
    match mode {
        CoordinateMode::HalfPixel => (x + 0.5) / scale - 0.5,
        CoordinateMode::PytorchHalfPixel if dst > 1 => (x + 0.5) / scale - 0.5,
        CoordinateMode::PytorchHalfPixel => 0.0,
        CoordinateMode::Asymmetric => x / scale,
        CoordinateMode::TfHalfPixelForNn => (x + 0.5) / scale,
        CoordinateMode::AlignCorners if dst == 1 => 0.0,
        CoordinateMode::AlignCorners => x * (src as f32 - 1.0) / (dst as f32 - 1.0),
    }
}

fn nearest(mode: NearestMode, at: f32, scale: f32, src: usize) -> Taps {
    let rounded = match mode {
        NearestMode::RoundPreferFloor if at == at.floor() + 0.5 => at.floor(),
        NearestMode::RoundPreferFloor | NearestMode::RoundPreferCeil => at.round(),
        NearestMode::Floor => at.floor(),
        NearestMode::Ceil => at.ceil(),
        NearestMode::Simple if scale < 1.0 => at.ceil(),
        NearestMode::Simple => at.trunc(),
    };
    // `as` saturates: coordinates below 0 become 0
    vec![((rounded as usize).min(src - 1), 1.0)]
}

/// A triangle of width 1, or of width `1 / scale` when shrinking with antialiasing; weights sum to 1 over the elements
/// inside the source.
fn linear(antialias: bool, at: f32, scale: f32, src: usize) -> Taps {
    let slope = if antialias && scale < 1.0 { scale } else { 1.0 };
    let radius = if scale > 1.0 { 2 } else { (2.0 / slope).ceil() as isize };
    let centre = at.round() as isize;
    let inside =
        centre.saturating_sub(radius).max(0)..centre.saturating_add(radius).saturating_add(1).min(src as isize);
    let weight = |i: isize| (1.0 - (f64::from(slope) * (f64::from(at) - i as f64)).abs()).max(0.0);
    let mut taps: Taps = inside.map(|i| (i as usize, weight(i))).filter(|&(_, weight)| weight > 0.0).collect();
    let sum: f64 = taps.iter().map(|&(_, weight)| weight).sum();
    taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
    taps
}

/// The two neighbours of the coordinate, clamped into the source.
fn linear_onnx(at: f32, src: usize) -> Taps {
    let at = at.max(0.0).min((src - 1) as f32);
    let low = (at as usize).min(src - 1);
    let rest = f64::from(at) - low as f64;
    if rest == 0.0 { vec![(low, 1.0)] } else { vec![(low, 1.0 - rest), ((low + 1).min(src - 1), rest)] }
}

/// Keys' cubic convolution with coefficient `a` over four neighbours; those outside the source are its border elements.
fn cubic(a: f64, at: f32, src: usize) -> Taps {
    let floor = at.floor();
    let s = f64::from(at - floor);
    let near = |d: f64| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    let weights = [far(s + 1.0), near(s), near(1.0 - s), far(2.0 - s)];
    let place = |i: usize| (floor as isize).saturating_add(i as isize - 1).clamp(0, src as isize - 1) as usize;
    weights.into_iter().enumerate().map(|(i, weight)| (place(i), weight)).collect()
}

pub(super) fn interpolate(attrs: &InterpolateAttrs, src: &Tensor, ty: &TensorType) -> Result<Tensor, String> {
    let rank = src.shape().rank();
    let listed = |list: usize| list == attrs.axes.len();
    if !listed(attrs.sizes.len()) || !listed(attrs.scales.len()) || attrs.axes.iter().any(|&axis| axis >= rank) {
        return Err(format!("interpolation of {} along axes {:?}", src.ty(), attrs.axes));
    }
    if attrs.mode == InterpolateMode::Nearest {
        // elements stay what they are, so their places are moved instead: place + 1, with 0 for the padding
        let places = resize(attrs, src, (1..=src.shape().elements()).map(|place| place as f64).collect())?;
        let positions: Vec<usize> =
            places.into_iter().map(|place| (place as usize).checked_sub(1).unwrap_or(OUTSIDE)).collect();
        return pick_or(src, ty, &positions, Some(0.0));
    }
    values::real(ty, resize(attrs, src, src.to_f64())?)
}

/// Pads and resizes an image of the shape of `src`.
fn resize(attrs: &InterpolateAttrs, src: &Tensor, values: Vec<f64>) -> Result<Vec<f64>, String> {
    let mut image = Image { dims: src.shape().dims().to_vec(), values };
    let pad = |pads: &[usize], d: usize| pads.get(d).copied().unwrap_or(0);
    for d in 0..image.dims.len() {
        image.pad(d, pad(&attrs.pads_begin, d), pad(&attrs.pads_end, d))?;
    }
    for ((&axis, &size), &scale) in attrs.axes.iter().zip(&attrs.sizes).zip(&attrs.scales) {
        let taps = axis_taps(attrs, image.dims[axis], size, scale);
        image.apply(axis, &taps)?;
    }
    Ok(image.values)
}

struct Image {
    dims: Vec<usize>,
    values: Vec<f64>,
}

impl Image {
    /// Zeros around the image.
    fn pad(&mut self, axis: usize, begin: usize, end: usize) -> Result<(), String> {
        if begin + end == 0 {
            return Ok(());
        }
        let size = self.dims[axis];
        let inside = |at: usize| at.checked_sub(begin).filter(|&at| at < size);
        let taps: Vec<Taps> =
            (0..begin + size + end).map(|at| inside(at).map(|at| (at, 1.0)).into_iter().collect()).collect();
        self.apply(axis, &taps)
    }

    /// Replaces the elements along `axis` by the sums in `taps`.
    fn apply(&mut self, axis: usize, taps: &[Taps]) -> Result<(), String> {
        let [outer, size, inner] = around(&self.dims, axis)?;
        let mut values = vec![0.0; outer * taps.len() * inner];
        if inner > 0 && !taps.is_empty() {
            for (row, dst) in values.chunks_exact_mut(inner).enumerate() {
                for &(at, weight) in &taps[row % taps.len()] {
                    let src = &self.values[(row / taps.len() * size + at) * inner..][..inner];
                    dst.iter_mut().zip(src).for_each(|(dst, src)| *dst += weight * src);
                }
            }
        }
        self.values = values;
        self.dims[axis] = taps.len();
        Ok(())
    }
}
