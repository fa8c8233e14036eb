//! Items that overlap: the epilogue of an item runs between the products of the next one.
//!
//! ```text
//! item begin:      products
//! each further:    first step: an accumulator goes to the scratch memory in front of the product it begins anew with
//!                  further steps, behind each of them some pixels of the item before
//!                  what is left of the steps, or of the pixels
//! behind the end:  accumulators to the scratch memory, pixels of the last item
//! ```
//!
//! The matrix unit and the vector units work at the same time if instructions of both are near each other: a processor looks
//! some hundreds ahead. A stored tile keeps the unit waiting when all four are stored together; between products it does not.
//!
//! All pixels of a panel exist and belong to one tile each, and an item has all channels of its block at once.

use crate::lower::kernel::TileConvSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, Val};
use crate::simd::tiles::{TILE_ROW_BYTES, TILE_ROWS};

use super::finish::Finish;
use super::{Panel, TileConv};
use crate::lower::pack::TileLayout;
use crate::simd::kernels::Items;
use crate::simd::kernels::epilogue::{self, Operands, Tile};
use crate::simd::kernels::strip::Strip;

/// Vectors of results that are computed together at most: their chains of instructions share the registers.
const TOGETHER: usize = 8;
/// Pixels of one vector that are stored together.
const PACKED: usize = 4;

/// Pixels of a tile, in `count` groups of `pixels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    tile: usize,
    first: usize,
    count: usize,
    pixels: usize,
}

/// The epilogue of a panel.
struct Ending<'a> {
    finish: Finish<'a>,
    /// Per tile: where its first pixel's operands are, and its sums.
    tiles: Vec<(Operands, Pointer)>,
}

impl TileConv<'_> {
    pub fn overlapped(&self, b: &mut Builder, items: Items) {
        let some = b.int_cmp(Cmp::Lt, items.begin, items.end);
        b.if_then(some, |b| {
            self.first_item(b, items.begin);
            let second = b.iadd_imm(items.begin, 1);
            b.for_each(second, items.end, 1, |b, item| {
                let before = b.iadd_imm(item, -1);
                let ending = self.ending(b, before);
                self.next_item(b, item, &ending);
            });
            self.last_pixels(b, items.end);
        });
    }

    fn first_item(&self, b: &mut Builder, item: Val) {
        let (block, panel) = self.indices(b, item);
        let (header, panel) = (self.header(b, block), self.panel(b, panel));
        let [init, offsets, weights] = self.parts(b, header);
        let zero = b.int(0);
        let channels = self.spec.channel_tiles;
        for (i, v) in super::pairs(panel.tiles.len(), channels) {
            b.tile_load(self.accumulator(i, v), init, (v * TILE_ROW_BYTES) as i32, zero);
        }
        let moving = self.moving(b, &panel, (weights, offsets));
        self.steps(b, &panel, &moving, self.spec.steps, &mut |_, _| {});
    }

    fn next_item(&self, b: &mut Builder, item: Val, ending: &Ending) {
        let (block, panel) = self.indices(b, item);
        let (header, panel) = (self.header(b, block), self.panel(b, panel));
        let [init, offsets, weights] = self.parts(b, header);
        let moving = self.moving(b, &panel, (weights, offsets));
        let zero = b.int(0);
        let mut moving = self.step(b, &panel, &moving, self.spec.channel_tiles, &mut |b, i, v| {
            self.store(b, i, v);
            b.tile_load(self.accumulator(i, v), init, (v * TILE_ROW_BYTES) as i32, zero);
        });
        let mut left = self.spec.steps - 1;
        for piece in pieces(self.spec) {
            let both = piece.count.min(left);
            left -= both;
            moving = self.steps(b, &panel, &moving, both, &mut |b, group| ending.group(b, piece, group));
            ending.groups(b, piece, both);
        }
        self.steps(b, &panel, &moving, left, &mut |_, _| {});
    }

    /// Behind the last item's products.
    fn last_pixels(&self, b: &mut Builder, end: Val) {
        for (i, v) in super::pairs(self.spec.panel_tiles, self.spec.channel_tiles) {
            self.store(b, i, v);
        }
        let last = b.iadd_imm(end, -1);
        let ending = self.ending(b, last);
        pieces(self.spec).into_iter().for_each(|piece| ending.groups(b, piece, 0));
    }

    /// The addresses that move from step to step, as [`TileConv::step`] takes them.
    fn moving(&self, b: &mut Builder, panel: &Panel, (weights, offsets): (Pointer, Pointer)) -> Vec<Val> {
        let steps = b.int(self.spec.steps as i64);
        let prefetched = self.prefetched(b, panel, weights, steps, self.spec.channel_tiles);
        [weights.base].into_iter().chain(prefetched).chain([offsets.base]).collect()
    }

    /// `count` steps, and `beside` in each of them.
    fn steps(
        &self,
        b: &mut Builder,
        panel: &Panel,
        moving: &[Val],
        count: usize,
        beside: &mut dyn FnMut(&mut Builder, Val),
    ) -> Vec<Val> {
        let mut one = |b: &mut Builder, index: Val, moving: &[Val]| {
            let next = self.step(b, panel, moving, self.spec.channel_tiles, &mut |_, _, _| {});
            beside(b, index);
            next
        };
        let zero = b.int(0);
        match count {
            0 => moving.to_vec(),
            1 => one(b, zero, moving),
            _ => {
                let end = b.int(count as i64);
                b.for_range((zero, end, 1), moving, one)
            }
        }
    }

    /// An accumulator into the scratch memory.
    fn store(&self, b: &mut Builder, tile: usize, vector: usize) {
        let row = b.int(self.row_bytes() as i64);
        let at = tile * TILE_ROWS * self.row_bytes() + vector * TILE_ROW_BYTES;
        b.tile_store(self.accumulator(tile, vector), self.scratch, at as i32, row);
    }

    /// Bytes of a pixel's sums.
    fn row_bytes(&self) -> usize {
        self.spec.channel_tiles * TILE_ROW_BYTES
    }

    fn ending(&self, b: &mut Builder, item: Val) -> Ending<'_> {
        let (block, panel) = self.indices(b, item);
        let (header, panel) = (self.header(b, block), self.panel(b, panel));
        let finish = self.finishing(b, header, strip(b, self.spec));
        let epilogue = &self.spec.epilogue;
        let tile = |(i, tile): (usize, &super::PixelTile)| {
            let operands =
                (0..3).fold(finish.operands.clone(), |operands, dim| operands.at(b, epilogue, dim, tile.indices[dim]));
            let at = b.int((i * TILE_ROWS * self.row_bytes()) as i64);
            (operands, b.advance(self.scratch, at))
        };
        let tiles = panel.tiles.iter().enumerate().map(tile).collect();
        Ending { finish, tiles }
    }
}

impl Ending<'_> {
    /// The groups of a piece from `begin` on.
    fn groups(&self, b: &mut Builder, piece: Piece, begin: usize) {
        let first = b.int(begin as i64);
        match piece.count - begin {
            0 => {}
            1 => self.group(b, piece, first),
            _ => {
                let end = b.int(piece.count as i64);
                b.for_each(first, end, 1, |b, group| self.group(b, piece, group));
            }
        }
    }

    /// A group of pixels.
    fn group(&self, b: &mut Builder, piece: Piece, group: Val) {
        let Finish { spec, strip, ref constants, .. } = self.finish;
        let (operands, sums) = &self.tiles[piece.tile];
        let row = spec.channel_tiles * TILE_ROW_BYTES;
        let x = b.imul_imm(group, piece.pixels as i64);
        let x = b.iadd_imm(x, piece.first as i64);
        let sums = b.index(*sums, x, row as i64);
        let operands = operands.at(b, &spec.epilogue, 2, x);
        let packed = if strip.vectors == 1 { PACKED } else { 1 };
        for first in (0..piece.pixels).step_by(packed) {
            let pixels = (piece.pixels - first).min(packed);
            let at = b.int(first as i64);
            let operands = operands.at(b, &spec.epilogue, 2, at);
            let loaded: Vec<Vec<Val>> =
                (first..first + pixels).map(|pixel| self.finish.sums(b, sums, pixel * row)).collect();
            let tile = Tile { pixels, channel: 0, strip };
            epilogue::apply_with(b, &spec.epilogue, &operands, tile, &loaded, constants);
        }
    }
}

/// The channels of a block: single vectors pack with those of their neighbours.
fn strip(b: &Builder, spec: &TileConvSpec) -> Strip {
    let channels = spec.block_channels.first().map_or(0, |&(_, channels)| channels);
    match TileLayout::vectors(channels) {
        1 => Strip::covering(b.width(), channels),
        _ => Strip::natural(b.width(), channels),
    }
}

/// The pixels of a panel, in groups of the fewest that leave none behind the last step.
fn pieces(spec: &TileConvSpec) -> Vec<Piece> {
    let packed = if spec.channel_tiles == 1 { PACKED } else { 1 };
    let limit = TOGETHER / spec.channel_tiles;
    let groups = |pixels: &usize| spec.panel_tiles * spec.tile_pixels.div_ceil(*pixels);
    let pixels = (packed..=limit).step_by(packed).find(|pixels| groups(pixels) < spec.steps).unwrap_or(limit);
    let (count, rest) = (spec.tile_pixels / pixels, spec.tile_pixels % pixels);
    let of = |tile: usize| {
        let whole = Piece { tile, first: 0, count, pixels };
        [whole, Piece { tile, first: count * pixels, count: 1, pixels: rest }]
    };
    (0..spec.panel_tiles).flat_map(of).filter(|piece| piece.count * piece.pixels > 0).collect()
}
