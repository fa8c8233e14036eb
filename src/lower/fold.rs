//! Neighbouring pixels of a depthwise convolution as one pixel with more channels.
//!
//! A kernel takes as many channels as a vector has bytes. Thirty-two channels fill half of a vector of 64 bytes; but where the
//! window moves by one pixel and nothing lies between pixels, two pixels of 32 channels are 64 bytes side by side in the
//! source at every tap, and in the result: a convolution of half as many pixels with twice the channels, whose weights
//! repeat.

use super::elementwise::Laid;
use super::expr::{Load, Tree};
use super::grid::Dims;
use super::pointwise::PwInst;
use super::view::View;
use crate::simd::ir::Width;

/// Instructions for a pixel of 3x3 taps and a vector of channels, with dot products: products and packs, the interleaves of the
/// one column that a pixel does not share, and those of all three, which neighbours that are one pixel do not share.
const PRODUCTS: u64 = 12 + 3;
const SHARED: u64 = 8;
const UNSHARED: u64 = 24;

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
    let preferred = best.filter(|&pixels| cost(1) * 100 >= cost(pixels) * least_gain(tree)).unwrap_or(1);
    std::iter::once(preferred).chain(counts.into_iter().filter(|&pixels| pixels != preferred)).collect()
}

/// Hundredths of vectors from which on it pays. A long epilogue runs on every vector.
fn least_gain(tree: &Tree) -> usize {
    let computes = |inst: &&PwInst| inst.operands().next().is_some();
    let lanes: u64 = tree.program.insts.iter().filter(computes).map(PwInst::length).sum();
    let others = PRODUCTS + 4 * lanes;
    ((others + UNSHARED) * 100).div_ceil(others + SHARED) as usize
}
