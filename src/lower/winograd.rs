//! Winograd convolutions F(4x4, 3x3): which layers take the form, and their steps.
//!
//! A layer's tiles are cut into *bands*: as many rows of tiles (or whole images) as have a transformed source and products
//! that stay in the second cache, more where few output channels leave parts of a band to threads. Each band is two steps, the transform of its source and the products; all bands share the memory
//! of both.

use crate::ir::op::ConvAttrs;
use crate::simd::ir::Width;

use super::elementwise::covered;
use super::grid::Dims;
use super::kernel::{KernelSpec, Mac, WinogradSourceSpec, WinogradSpec};
use super::pack::{self, Weights, WinogradLayout};
use super::place::StorageKind;
use super::view::View;
use super::window::{Convolved, grid};
use super::{Lowering, Operand};

/// Bytes of a band's transformed source.
const BAND_BYTES: usize = 512 << 10;
/// Tiles of a part of a band: so many share the transform of the weights, and their products stay near.
const BAND_TILES: usize = 64;

/// Tiles of a part of a dilated convolution, each of which transforms the weights.
const PART_TILES: usize = 9;

/// A dense 3x3 convolution with constant weights.
#[derive(Clone, Copy)]
pub struct Windows<'a> {
    pub attrs: &'a ConvAttrs,
    /// `[oc, ic, kh, kw]`
    pub weights: &'a [usize],
    /// Per output channel the weights of a tap after those of another.
    pub rows: Weights<'a>,
}

impl Windows<'_> {
    /// Whether the form is right for these weights.
    pub fn allow_winograd(&self, mac: Mac) -> bool {
        matches!(mac, Mac::U8I8 | Mac::U8I8Dot)
            && is_3x3(self.attrs, self.weights)
            && self.attrs.dilations.iter().all(|&dilation| dilation == 1)
            && matches!(self.rows, Weights::Int(rows) if rows.chunks(9 * self.weights[1]).all(is_exact))
    }

    /// Whether it is also faster than a sum over taps. Dot products are too fast for it.
    pub fn prefer_winograd(&self, mac: Mac, width: Width, dst: &View) -> bool {
        mac == Mac::U8I8 && is_preferred(width, self.attrs, self.weights, &dst.sizes[2..]) && self.allow_winograd(mac)
    }
}

/// Whether the form is faster for a convolution with weights of this shape and results in this plane, or with dilation for
/// its parts without.
pub fn is_preferred(width: Width, attrs: &ConvAttrs, weights: &[usize], plane: &[usize]) -> bool {
    let (&[rows, columns], &[down, across]) = (plane, &attrs.dilations[..]) else { return false };
    let (oh, ow) = (rows / down, columns / across);
    let tiles = oh.div_ceil(WinogradLayout::TILE) * ow.div_ceil(WinogradLayout::TILE);
    let shares_weights = (oh, ow) == (rows, columns) || tiles >= PART_TILES;
    shares_weights && is_3x3(attrs, weights) && Work { width, oh, ow, ic: weights[1], oc: weights[0] }.is_less()
}

/// Whether windows are the form's but for their dilation: 3x3, of all channels, moving by one pixel.
fn is_3x3(attrs: &ConvAttrs, weights: &[usize]) -> bool {
    matches!(weights, [_, _, 3, 3]) && attrs.groups == 1 && attrs.strides.iter().all(|&stride| stride == 1)
}

/// Whether the sum of an output channel comes back whole from 2^6 times itself in 32 bits: `-2^25 <= sum < 2^25` for every
/// source of u8.
fn is_exact(weights: &[i32]) -> bool {
    const LIMIT: i64 = 1 << 25;
    let (mut positive, mut negative) = (0i64, 0i64);
    for &weight in weights {
        *if weight > 0 { &mut positive } else { &mut negative } += 255 * i64::from(weight);
    }
    positive < LIMIT && negative >= -LIMIT
}

/// Sizes of one image that decide about the form.
struct Work {
    width: Width,
    oh: usize,
    ow: usize,
    ic: usize,
    oc: usize,
}

impl Work {
    /// Compares vector instructions, the work of one vector of output channels in both forms.
    fn is_less(&self) -> bool {
        // multiply, add pairs, add: per four channels of a tap and pixel
        const DIRECT: usize = 3;
        // of a tile, and of a pair of weights
        const RESULT: usize = 230;
        const SOURCE: usize = 300;
        const WEIGHTS: usize = 110;
        let blocks = self.oc.div_ceil(self.width.lanes32());
        let tiles = self.oh.div_ceil(WinogradLayout::TILE) * self.ow.div_ceil(WinogradLayout::TILE);
        let pairs = self.ic.div_ceil(2);
        let band = tiles.min(BAND_TILES);
        let source = SOURCE * self.ic.div_ceil(2 * self.width.lanes32());
        let per_tile = blocks * (2 * WinogradLayout::POSITIONS * pairs + RESULT + WEIGHTS * pairs / band) + source;
        let direct = blocks * self.oh * self.ow * 9 * self.ic.div_ceil(4) * DIRECT;
        tiles * per_tile < direct * 9 / 10
    }
}

/// Images and rows of tiles that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Band {
    first_image: usize,
    images: usize,
    first_row: usize,
    rows: usize,
}

/// Bands of at most `limit` rows of tiles, all of nearly the same size.
fn bands(images: usize, rows: usize, limit: usize) -> Vec<Band> {
    let parts = |total: usize, most: usize| -> Vec<(usize, usize)> {
        let count = total.div_ceil(most.max(1));
        (0..count).map(|i| (i * total / count, (i + 1) * total / count - i * total / count)).collect()
    };
    let whole_images = (limit / rows).max(1);
    let mut bands = Vec::new();
    for (first_image, images) in parts(images, whole_images) {
        for (first_row, rows) in parts(rows, if images == 1 { limit } else { rows }) {
            bands.push(Band { first_image, images, first_row, rows });
        }
    }
    bands
}

/// The most parts that a band of rows of tiles is cut into: few blocks of channels alone are not enough items for threads.
fn most_parts(blocks: usize, image: &WinogradLayout) -> usize {
    const ITEMS: usize = 4;
    if image.edge_first() { 1 } else { ITEMS.div_ceil(blocks.max(1)) }
}

/// A band in equal parts, at most `most`: each transforms the weights again, so they have some tiles.
fn in_parts(band: WinogradLayout, most: usize) -> WinogradLayout {
    const TILES: usize = 12;
    let rows = band.part_rows();
    let fit = |parts: &usize| rows.is_multiple_of(*parts) && rows / parts * band.cols >= TILES;
    let most = if band.edge_first() { 1 } else { most };
    let parts = (1..=most).rev().find(fit).unwrap_or(1);
    band.in_parts(parts)
}

impl Lowering<'_> {
    pub fn winograd(&mut self, convolved: Convolved, windows: &Windows) -> Result<(), String> {
        let Convolved { anchor, init, tree, laid, src, macs, .. } = convolved;
        let (oc, ic) = (windows.weights[0], windows.weights[1]);
        let views: Vec<&View> = std::iter::once(&src).chain(laid.views()).collect();
        let dims = Dims::of(&views, &[0, 2, 3]);
        let &[images, oh, ow] = dims.sizes.as_slice() else { return Err("internal error: no plane of pixels".into()) };
        let width = self.width;
        let layout = |images, oh| WinogradLayout::new(width, images, oh, ow, ic);
        let image = layout(1, oh);
        let row_bytes = image.source_bytes() / image.rows.max(1);
        let block = WinogradLayout::block(width);
        let blocks = oc.div_ceil(block);
        let most = most_parts(blocks, &image);
        let limit = (BAND_BYTES / row_bytes.max(1)).min(most * BAND_TILES / image.cols.max(1)).max(1);
        let bands = bands(images, image.rows, limit);
        let layouts: Vec<WinogradLayout> =
            bands.iter().map(|band| in_parts(layout(band.images, band.rows * WinogradLayout::TILE), most)).collect();
        let most_bytes = |of: &dyn Fn(&WinogradLayout) -> usize| layouts.iter().map(of).max().unwrap_or(0);
        let blob = pack::pack_winograd(&image, oc, windows.rows, &init);
        let weights = self.const_storage(blob);
        let transformed = self.new_storage(StorageKind::Workspace, most_bytes(&WinogradLayout::source_bytes));
        let scratch = most_bytes(&|band| blocks * band.parts() * band.scratch_item());
        let scratch = self.new_storage(StorageKind::Workspace, scratch);
        let pixels = (images * oh) as u64;
        for (band, layout) in bands.into_iter().zip(&layouts) {
            let first = band.first_row * WinogradLayout::TILE;
            let rows = (oh - first).min(band.rows * WinogradLayout::TILE);
            let source =
                WinogradSourceSpec { batch: band.images, ih: rows + 2, iw: ow + 2, ic, src: grid(&dims.strides[0]) };
            let at = |operand: Operand, strides: &[i64]| {
                operand.advanced(band.first_image as i64 * strides[0] + first as i64 * strides[1])
            };
            let nodes = covered(tree, anchor.node);
            let operands = vec![at(Operand::of(&src), &dims.strides[0]), Operand::start(transformed)];
            self.push_step(KernelSpec::WinogradSource(source), operands, &nodes, 0);
            let epilogue = self.epilogue(tree, &laid, &dims, 1, Some(1));
            let parts = layout.parts();
            let spec = WinogradSpec { batch: band.images, oh: rows, ow, ic, oc, block, parts, epilogue };
            let rest =
                laid.operands().into_iter().zip(&dims.strides[1..]).map(|(operand, strides)| at(operand, strides));
            let operands = [transformed, weights, scratch].map(Operand::start).into_iter().chain(rest).collect();
            let share = macs * (band.images * rows) as u64 / pixels.max(1);
            self.push_step(KernelSpec::Winograd(spec), operands, &nodes, share);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_rows_and_images_once() {
        let band = |first_image, images, first_row, rows| Band { first_image, images, first_row, rows };
        assert_eq!(bands(1, 14, 4), [band(0, 1, 0, 3), band(0, 1, 3, 4), band(0, 1, 7, 3), band(0, 1, 10, 4)]);
        assert_eq!(bands(5, 2, 4), [band(0, 1, 0, 2), band(1, 2, 0, 2), band(3, 2, 0, 2)]);
        assert_eq!(bands(2, 3, 1).len(), 6);
    }

    #[test]
    fn the_bound_is_that_of_one_sign() {
        let most = (1i32 << 25) / 255 / 127;
        let weights = |count: i32, weight: i32| vec![weight; count as usize];
        assert!(is_exact(&weights(most, 127)));
        assert!(!is_exact(&weights(most + 1, 127)));
        assert!(is_exact(&[weights(most, 127), weights(most, -127)].concat()));
        assert!(!is_exact(&weights(most + 1, -127)));
    }
}
