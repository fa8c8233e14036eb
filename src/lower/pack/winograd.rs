//! Weights, transformed source and scratch memory of a Winograd convolution F(4x4, 3x3).
//!
//! Positions are those of the transformed 6x6 patch, row-major, 0..36; tiles are numbered along rows, rows of tiles down an
//! image, images one after another. Tiles of the last row or column that have fewer than four results along a side have nothing at
//! some positions. In a single image, the tiles with something at a position have neighbouring numbers:
//!
//! ```text
//!  2  3 | 0        a position that all tiles need            0..9
//!  4  5 | 1        one that the last row does not need       0..6
//!  ----- --        one that the last column does not need    2..8
//!  6  7 | 8        one that neither needs                    2..6
//! ```
//!
//! ```text
//! transformed source   [position][tile][channel]            i16, every tile's channels padded to whole vectors
//! weights, per block   [vector] start values i32, then [pair of ic][vector][tap][lane: oc][2] i8
//! scratch, per item    products [position][tile of the part][vector] i32, then weights of six positions:
//!                      [position of a row][pair of ic][vector][lane: oc][2] i16
//! ```
//!
//! Weights stay as small as they were; the kernel transforms them row of positions by row of positions, so that what it
//! multiplies with is in the nearest cache.

use super::{BLOCK_ALIGN, Weights, form};
use crate::lower::kernel::{WinogradSourceSpec, WinogradSpec};
use crate::simd::ir::Width;

/// Output pixels along a side of a tile.
const TILE: usize = 4;
/// Pixels along a side of the patch under a tile.
const PATCH: usize = 6;
const TAPS: usize = 9;
/// Input channels whose transformed weights (of six positions) are in the scratch memory together.
const CHUNK_CHANNELS: usize = 256;

#[derive(Clone, Debug)]
pub struct WinogradLayout {
    width: Width,
    pub batch: usize,
    /// Rows of tiles of an image, and tiles of a row.
    pub rows: usize,
    pub cols: usize,
    pub ic: usize,
    /// Results along the sides of the last row and of the last column of tiles: 1 to 4.
    edge: [usize; 2],
    /// Parts of the rows of tiles whose products are computed together.
    parts: usize,
}

impl WinogradLayout {
    pub const TILE: usize = TILE;
    pub const PATCH: usize = PATCH;
    pub const POSITIONS: usize = PATCH * PATCH;
    /// Vectors of a block of output channels.
    pub const VECTORS: usize = 2;

    pub fn new(width: Width, batch: usize, oh: usize, ow: usize, ic: usize) -> WinogradLayout {
        let edge = [oh, ow].map(|size| if size.is_multiple_of(TILE) { TILE } else { size % TILE });
        WinogradLayout { width, batch, rows: oh.div_ceil(TILE), cols: ow.div_ceil(TILE), ic, edge, parts: 1 }
    }

    pub fn of(width: Width, spec: &WinogradSpec) -> WinogradLayout {
        WinogradLayout::new(width, spec.batch, spec.oh, spec.ow, spec.ic).in_parts(spec.parts)
    }

    /// `parts` divides the rows of tiles of all images. Where tiles of the last column come first, there is one.
    pub fn in_parts(self, parts: usize) -> WinogradLayout {
        assert!(parts == 1 || !self.edge_first(), "internal error: parts of tiles that are not row by row");
        WinogradLayout { parts, ..self }
    }

    pub fn of_source(width: Width, spec: &WinogradSourceSpec) -> WinogradLayout {
        let window = PATCH - TILE;
        WinogradLayout::new(width, spec.batch, spec.ih - window, spec.iw - window, spec.ic)
    }

    /// Output channels of a block.
    pub fn block(width: Width) -> usize {
        Self::VECTORS * width.lanes32()
    }

    pub fn tiles(&self) -> usize {
        self.batch * self.rows * self.cols
    }

    /// Results along a side of the tiles of the last row, and of the last column.
    pub fn edge_rows(&self) -> usize {
        self.edge[0]
    }

    pub fn edge_cols(&self) -> usize {
        self.edge[1]
    }

    /// Rows of tiles with four results along the side, of an image, and tiles of a row.
    pub fn whole_rows(&self) -> usize {
        self.rows - usize::from(self.edge_rows() < TILE)
    }

    pub fn whole_cols(&self) -> usize {
        self.cols - usize::from(self.edge_cols() < TILE)
    }

    /// Whether tiles of a last column with fewer results have numbers before the others, except the one in the last row: tiles that
    /// need a position are neighbours then.
    pub fn edge_first(&self) -> bool {
        self.batch == 1 && self.edge_cols() < TILE
    }

    /// Number of the first whole tile, and how many come before the one below it.
    pub fn first_whole(&self) -> usize {
        if self.edge_first() { self.whole_rows() } else { 0 }
    }

    pub fn row_step(&self) -> usize {
        if self.edge_first() { self.whole_cols() } else { self.cols }
    }

    /// First and number of the tiles of a part that need a position, given whether those of the last row and of the last column do
    /// not. With several images or parts these are not neighbours: all are computed, some for nothing.
    pub fn needed_tiles(&self, [rows_drop, cols_drop]: [bool; 2]) -> (usize, usize) {
        if !self.drops() {
            return (0, self.part_tiles());
        }
        let whole = self.first_whole() + self.whole_rows() * self.row_step();
        let first = if cols_drop { self.first_whole() } else { 0 };
        let end = match (rows_drop, cols_drop) {
            (true, _) => whole,
            (false, true) => self.first_whole() + self.rows * self.row_step(),
            (false, false) => self.tiles(),
        };
        (first, end - first)
    }

    /// Whether fewer tiles are computed at positions that the last row or the last column has no need of.
    pub fn drops(&self) -> bool {
        self.batch == 1 && self.parts == 1
    }

    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Rows of tiles, of all images, in a part.
    pub fn part_rows(&self) -> usize {
        self.batch * self.rows / self.parts
    }

    pub fn part_tiles(&self) -> usize {
        self.part_rows() * self.cols
    }

    /// Bytes of a tile in a position of the transformed source.
    pub fn source_tile(&self) -> usize {
        (2 * self.ic).next_multiple_of(self.width.bytes())
    }

    /// Bytes of a position of the transformed source. Positions are an odd number of cache lines apart: a multiple of the page
    /// size would put all of a tile into the same few lines of the cache.
    pub fn source_position(&self) -> usize {
        apart(self.tiles() * self.source_tile())
    }

    pub fn source_bytes(&self) -> usize {
        Self::POSITIONS * self.source_position()
    }

    /// Chunks of input channels, and pairs of channels in each; behind the last channel stand weights of zero.
    pub fn chunks(&self) -> (usize, usize) {
        let pairs = self.ic.div_ceil(2);
        let chunks = pairs.div_ceil(CHUNK_CHANNELS / 2);
        (chunks, pairs.div_ceil(chunks))
    }

    /// Pairs of input channels with weights.
    fn pairs(&self) -> usize {
        let (chunks, pairs) = self.chunks();
        chunks * pairs
    }

    /// Bytes of the start values in front of a block's weights.
    pub fn starts(&self) -> usize {
        Self::VECTORS * self.width.bytes()
    }

    /// Bytes of one tap of the weights of a pair of channels and a vector of output channels.
    pub fn tap(&self) -> usize {
        self.width.bytes() / 2
    }

    /// Bytes of the weights of a pair of channels.
    pub fn pair(&self) -> usize {
        Self::VECTORS * TAPS * self.tap()
    }

    pub fn block_bytes(&self) -> usize {
        (self.starts() + self.pairs() * self.pair()).next_multiple_of(BLOCK_ALIGN)
    }

    /// Bytes of a tile in a position of the products.
    pub fn product_tile(&self) -> usize {
        Self::VECTORS * self.width.bytes()
    }

    pub fn product_position(&self) -> usize {
        apart(self.part_tiles() * self.product_tile())
    }

    /// Where the transformed weights begin in an item's scratch memory.
    pub fn weights_at(&self) -> usize {
        Self::POSITIONS * self.product_position()
    }

    /// Bytes of a pair of channels in the transformed weights of a position.
    pub fn weights_pair(&self) -> usize {
        Self::VECTORS * self.width.bytes()
    }

    pub fn weights_position(&self) -> usize {
        apart(self.chunks().1 * self.weights_pair())
    }

    pub fn scratch_item(&self) -> usize {
        (self.weights_at() + PATCH * self.weights_position()).next_multiple_of(BLOCK_ALIGN)
    }
}

/// The next odd multiple of a cache line.
fn apart(bytes: usize) -> usize {
    let lines = bytes.div_ceil(BLOCK_ALIGN);
    (lines | 1) * BLOCK_ALIGN
}

/// Packs the rows of a dense 3x3 convolution; `init` is the start of each output channel's accumulator.
pub fn pack_winograd(layout: &WinogradLayout, oc: usize, weights: Weights, init: &[i32]) -> Vec<u8> {
    let Weights::Int(rows) = weights else { panic!("internal error: float weights for an integer kernel") };
    let (width, ic) = (layout.width, layout.ic);
    let block = WinogradLayout::block(width);
    let mut blob = Vec::new();
    for first in (0..oc).step_by(block) {
        let lanes = |vector: usize| {
            let channel = move |lane| first + width.block_channel(WinogradLayout::VECTORS, vector, lane);
            (0..width.lanes32()).map(channel)
        };
        let weight = |channel: usize, tap: usize, k: usize| match channel < oc && k < ic {
            true => form::narrow(rows[(channel * TAPS + tap) * ic + k]),
            false => 0,
        };
        for vector in 0..WinogradLayout::VECTORS {
            blob.extend(lanes(vector).flat_map(|channel| init.get(channel).copied().unwrap_or(0).to_le_bytes()));
        }
        for pair in 0..layout.pairs() {
            for (vector, tap) in (0..WinogradLayout::VECTORS).flat_map(|v| (0..TAPS).map(move |tap| (v, tap))) {
                blob.extend(lanes(vector).flat_map(|channel| [0, 1].map(|i| weight(channel, tap, 2 * pair + i))));
            }
        }
        super::align(&mut blob);
    }
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_that_need_a_position_are_neighbours() {
        let needed = |oh, ow| {
            let layout = WinogradLayout::new(Width::W256, 1, oh, ow, 8);
            [[false, false], [true, false], [false, true], [true, true]].map(|drop| layout.needed_tiles(drop))
        };
        assert_eq!(needed(10, 11), [(0, 9), (0, 6), (2, 6), (2, 4)]);
        assert_eq!(needed(7, 7), [(0, 4), (0, 2), (1, 2), (1, 1)]);
        assert_eq!(needed(3, 2), [(0, 1), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(needed(6, 8), [(0, 4), (0, 2), (0, 4), (0, 2)]);
    }
}
