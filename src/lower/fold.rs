//! Neighbouring pixels of a depthwise convolution as one pixel with more channels.
//!
//! A kernel takes as many channels as a vector has bytes. Thirty-two channels fill half of a vector of 64 bytes; but where the
//! window moves by one pixel and nothing lies between pixels, two pixels of 32 channels are 64 bytes side by side in the
//! source at every tap, and in the result: a convolution of half as many pixels with twice the channels, whose weights
//! repeat.

use super::elementwise::Laid;
use super::expr::{Load, Tree};
use super::grid::Dims;
use super::view::View;
use crate::simd::ir::Width;

/// Gain, in hundredths, from which on it pays: neighbours that are one pixel no longer share what they interleave. Of a pixel
/// of 3x3 taps with dot products that is 8 of 39 instructions, and 24 of 55 where nothing is shared.
const LEAST_GAIN: usize = 140;

/// How many pixels may be taken as one, the preferred number first: 1, or small powers of two that divide a row. `dims` has
/// the strides of the source, then those of `laid`, with pixels last.
pub fn counts(width: Width, channels: usize, src: &View, tree: &Tree, laid: &Laid, dims: &Dims) -> Vec<usize> {
    let dense = |view: &View, strides: &[i64]| strides.last() == Some(&((channels * view.elem.bytes()) as i64));
    let repeats = |load: &Load, view: &View, strides: &[i64]| match load {
        Load::Table { .. } => strides.iter().all(|&stride| stride == 0),
        Load::Value(_) | Load::Word { .. } => view.strides[1] != 0 && dense(view, strides),
    };
    let loads = tree.loads.iter().zip(&laid.loads).zip(&dims.strides[1..]);
    let foldable = dense(src, &dims.strides[0])
        && dense(&laid.dst, &dims.strides[dims.strides.len() - 1])
        && loads.into_iter().all(|((load, view), strides)| repeats(load, view, strides));
    if !foldable || channels == 1 {
        return vec![1];
    }
    let row = dims.sizes.last().copied().unwrap_or(1);
    // bytes of vectors per hundred channels
    let cost = |pixels: usize| (channels * pixels).next_multiple_of(width.bytes()) * 100 / (channels * pixels);
    let counts: Vec<usize> = [1, 2, 4, 8].into_iter().filter(|pixels| row.is_multiple_of(*pixels)).collect();
    let best = counts.iter().copied().min_by_key(|&pixels| cost(pixels));
    let preferred = best.filter(|&pixels| cost(1) * 100 >= cost(pixels) * LEAST_GAIN).unwrap_or(1);
    std::iter::once(preferred).chain(counts.into_iter().filter(|&pixels| pixels != preferred)).collect()
}
