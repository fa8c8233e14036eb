//! Convolution in tile registers: panels of pixels times blocks of output channels.
//!
//! ```text
//! item = block of channels, panel of pixels:
//!   for each pair of the block's channel tiles:
//!     start values into accumulators              t0 .. t3
//!     for each step: pixels (t4, t5) x weights (t6, t7)
//!     accumulators into the scratch memory
//!   epilogue, from the scratch memory, some pixels at a time
//! ```
//!
//! The scratch memory holds a row of 64 accumulators for each pixel of the panel, in the order of a strip. Tiles at the end of
//! a row overlap the one before; their products are computed twice, their epilogue once, because it may work in place.

use crate::lower::kernel::TileConvSpec;
use crate::lower::pack::TileLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, IntMem, IntOp, Ty, Val};
use crate::simd::tiles::{Signs, TILE_ROW_BYTES, TILE_ROWS, TileReg, TileShape};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;
use super::strip::Strip;

/// Scratch bytes of a pixel.
const PIXEL_BYTES: usize = 4 * TileLayout::BLOCK;
/// Pixels of an epilogue together: their accumulators share registers with what they load.
const EPILOGUE_PIXELS: usize = 4;
const SIGNS: Signs = Signs { a: false, b: true };

pub fn build(b: &mut Builder, spec: &TileConvSpec, operands: &[Pointer], items: Items) {
    let &[src, weights, ref rest @ ..] = operands else { panic!("internal error: conv without source and weights") };
    let accumulators = TileShape { rows: spec.tile_pixels, bytes: TILE_ROW_BYTES };
    let pixels = TileShape { rows: spec.tile_pixels, bytes: spec.step_bytes };
    let matrix = TileShape { rows: spec.step_bytes / 4, bytes: TILE_ROW_BYTES };
    b.use_tiles([accumulators, accumulators, accumulators, accumulators, pixels, pixels, matrix, matrix]);
    let scratch = b.scratch(spec.panel_tiles * TILE_ROWS * PIXEL_BYTES);
    let conv = TileConv { spec, src, weights, scratch, operands: Operands::new(&spec.epilogue, rest) };
    let (blocks, panels) = (spec.block_channels.len(), spec.panels());
    nest::for_items(b, items, |b, item| {
        let sizes = if spec.blocks_outer { [blocks, panels] } else { [panels, blocks] };
        let indices = nest::indices(b, item, &sizes);
        let (block, panel) = if spec.blocks_outer { (indices[0], indices[1]) } else { (indices[1], indices[0]) };
        conv.item(b, block, panel);
    });
}

struct TileConv<'a> {
    spec: &'a TileConvSpec,
    src: Pointer,
    weights: Pointer,
    scratch: Pointer,
    operands: Operands,
}

/// A tile of pixels: where it is.
struct PixelTile {
    /// Its number among all; one behind the last is none, and computes what the last does.
    number: Val,
    indices: Vec<Val>,
    /// The source of its first pixel.
    src: Pointer,
}

impl TileConv<'_> {
    fn item(&self, b: &mut Builder, block: Val, panel: Val) {
        let header = b.index(self.weights, block, TileLayout::HEADER_BYTES as i64);
        let first = b.imul_imm(panel, self.spec.panel_tiles as i64);
        let tiles: Vec<PixelTile> = (0..self.spec.panel_tiles).map(|i| self.tile(b, first, i)).collect();
        let mut sizes: Vec<usize> = self.spec.block_channels.iter().map(|&(_, channels)| channels).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let channels = b.load_int(header, TileLayout::CHANNELS, IntMem::I32);
        self.block_of(b, &tiles, header, channels, &sizes);
    }

    fn tile(&self, b: &mut Builder, first: Val, i: usize) -> PixelTile {
        let spec = self.spec;
        let number = b.iadd_imm(first, i as i64);
        let last = b.int(spec.tiles() as i64 - 1);
        let existing = b.int_op(IntOp::MinS, number, last);
        let mut indices = nest::indices(b, existing, &[spec.batch, spec.oh, spec.row_tiles()]);
        let x = b.imul_imm(indices[2], spec.tile_pixels as i64);
        let limit = b.int((spec.ow - spec.tile_pixels) as i64);
        indices[2] = b.int_op(IntOp::MinS, x, limit);
        let src = nest::at(b, self.src, &indices, &[spec.src.batch, spec.src.row, spec.src.pixel]);
        PixelTile { number, indices, src }
    }

    /// Blocks of other sizes are other code: the header says which is meant.
    fn block_of(&self, b: &mut Builder, tiles: &[PixelTile], header: Pointer, channels: Val, sizes: &[usize]) {
        match *sizes {
            [] => {}
            [size] => self.block(b, tiles, header, size),
            [ref rest @ .., size] => {
                let expected = b.int(size as i64);
                let same = b.int_cmp(Cmp::Eq, channels, expected);
                b.if_else(
                    same,
                    |b| {
                        self.block(b, tiles, header, size);
                        Vec::new()
                    },
                    |b| {
                        self.block_of(b, tiles, header, channels, rest);
                        Vec::new()
                    },
                );
            }
        }
    }

    fn block(&self, b: &mut Builder, tiles: &[PixelTile], header: Pointer, channels: usize) {
        self.products(b, tiles, header, TileLayout::vectors(channels));
        let first_channel = b.load_int(header, TileLayout::FIRST_CHANNEL, IntMem::I32);
        let operands = self.operands.at_channel(b, &self.spec.epilogue, first_channel);
        let strip = Strip::covering(b.width(), channels);
        for (i, tile) in tiles.iter().enumerate() {
            let at = b.int((i * TILE_ROWS * PIXEL_BYTES) as i64);
            let accumulators = b.advance(self.scratch, at);
            if i == 0 {
                self.finish_tile(b, tile, &operands, accumulators, strip);
                continue;
            }
            let end = b.int(self.spec.tiles() as i64);
            let exists = b.int_cmp(Cmp::Lt, tile.number, end);
            b.if_then(exists, |b| self.finish_tile(b, tile, &operands, accumulators, strip));
        }
    }

    /// All sums of a panel into the scratch memory.
    fn products(&self, b: &mut Builder, tiles: &[PixelTile], header: Pointer, vectors: usize) {
        let [init, offsets, weights] = [TileLayout::INIT, TileLayout::OFFSETS, TileLayout::WEIGHTS].map(|field| {
            let at = b.load_int(header, field, IntMem::I32);
            b.advance(self.weights, at)
        });
        let steps = b.load_int(header, TileLayout::STEPS, IntMem::I32);
        let (zero, row) = (b.int(0), b.int(PIXEL_BYTES as i64));
        let mut weights = weights;
        for first in (0..vectors).step_by(TileLayout::TOGETHER) {
            let together = (vectors - first).min(TileLayout::TOGETHER);
            let places = |i: usize, v: usize| (accumulator(i, v), (first + v) * TILE_ROW_BYTES);
            for (i, v) in pairs(tiles.len(), together) {
                let (register, at) = places(i, v);
                b.tile_load(register, init, at as i32, zero);
            }
            let carried = b.for_range((zero, steps, 1), &[weights.base, offsets.base], |b, _, carried| {
                let [weights, offsets] = [carried[0], carried[1]].map(|base| Pointer { base, mem: self.weights.mem });
                self.step(b, tiles, weights, offsets, together)
            });
            weights = Pointer { base: carried[0], mem: weights.mem };
            for (i, v) in pairs(tiles.len(), together) {
                let (register, at) = places(i, v);
                b.tile_store(register, self.scratch, (i * TILE_ROWS * PIXEL_BYTES + at) as i32, row);
            }
        }
    }

    fn step(
        &self,
        b: &mut Builder,
        tiles: &[PixelTile],
        weights: Pointer,
        offsets: Pointer,
        together: usize,
    ) -> Vec<Val> {
        let offset = b.load_int(offsets, 0, IntMem::I32);
        let (pixel, line) = (b.int(self.spec.src.pixel), b.int(TILE_ROW_BYTES as i64));
        let matrix_bytes = self.spec.step_bytes * TILE_ROW_BYTES / 4;
        for (i, tile) in tiles.iter().enumerate() {
            let src = b.advance(tile.src, offset);
            b.tile_load(pixels(i), src, 0, pixel);
            for v in 0..together {
                if i == 0 {
                    b.tile_load(matrix(v), weights, (v * matrix_bytes) as i32, line);
                }
                b.tile_dot(accumulator(i, v), pixels(i), matrix(v), SIGNS);
            }
        }
        let (weight_step, offset_step) = (b.int((together * matrix_bytes) as i64), b.int(4));
        vec![b.advance(weights, weight_step).base, b.advance(offsets, offset_step).base]
    }

    /// The epilogue of a tile. The last of a row leaves out the pixels of the one before it.
    fn finish_tile(&self, b: &mut Builder, tile: &PixelTile, operands: &Operands, accumulators: Pointer, strip: Strip) {
        let spec = self.spec;
        let operands =
            (0..3).fold(operands.clone(), |operands, dim| operands.at(b, &spec.epilogue, dim, tile.indices[dim]));
        let skipped = spec.row_tiles() * spec.tile_pixels - spec.ow;
        if skipped == 0 {
            return self.finish_pixels(b, &operands, accumulators, (0, spec.tile_pixels), strip);
        }
        let last = b.int((spec.ow - spec.tile_pixels) as i64);
        let is_last = b.int_cmp(Cmp::Eq, tile.indices[2], last);
        b.if_else(
            is_last,
            |b| {
                self.finish_pixels(b, &operands, accumulators, (skipped, spec.tile_pixels - skipped), strip);
                Vec::new()
            },
            |b| {
                self.finish_pixels(b, &operands, accumulators, (0, spec.tile_pixels), strip);
                Vec::new()
            },
        );
    }

    fn finish_pixels(
        &self,
        b: &mut Builder,
        operands: &Operands,
        accumulators: Pointer,
        (first, count): (usize, usize),
        strip: Strip,
    ) {
        nest::for_tiles(b, count, EPILOGUE_PIXELS, |b, x, pixels| {
            let x = b.iadd_imm(x, first as i64);
            let accumulators = b.index(accumulators, x, PIXEL_BYTES as i64);
            let operands = operands.at(b, &self.spec.epilogue, 2, x);
            let load = |b: &mut Builder, pixel: usize, vector: usize| {
                b.load(Ty::V32, accumulators, (pixel * PIXEL_BYTES + vector * TILE_ROW_BYTES) as i32)
            };
            let sums: Vec<Vec<Val>> =
                (0..pixels).map(|pixel| (0..strip.live()).map(|vector| load(b, pixel, vector)).collect()).collect();
            epilogue::apply(b, &self.spec.epilogue, &operands, Tile { pixels, channel: 0, strip }, &sums);
        });
    }
}

fn pairs(tiles: usize, vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tiles).flat_map(move |tile| (0..vectors).map(move |vector| (tile, vector)))
}

fn accumulator(tile: usize, vector: usize) -> TileReg {
    TileReg((TileLayout::TOGETHER * tile + vector) as u8)
}

fn pixels(tile: usize) -> TileReg {
    TileReg(4 + tile as u8)
}

fn matrix(vector: usize) -> TileReg {
    TileReg(6 + vector as u8)
}
