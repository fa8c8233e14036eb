//! Convolution in tile registers: panels of pixels times blocks of output channels.
//!
//! ```text
//! item = block of channels, panel of pixels:
//!   for some of the block's channel tiles together (two, or one with more pixels):
//!     start values into accumulators
//!     for each step: pixels x weights
//!     accumulators into the scratch memory
//!   epilogue, from the scratch memory, some pixels at a time
//! ```
//!
//! Tile registers: four accumulators, then pixels, then weights.
//!
//! Where weights are walked once, each step fetches some of the next block's.
//!
//! The scratch memory holds a row of 64 accumulators for each pixel of the panel, in the order of their channels. Tiles at the
//! end of a row overlap the one before; their products are computed twice, their epilogue once, because it may work in place.
//! Tiles of a band of rows lie there as they do in the band, and the epilogue skips what is between the rows.

use crate::lower::kernel::TileConvSpec;
use crate::lower::pack::TileLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cache, Cmp, IntMem, IntOp, Ty, Val};
use crate::simd::tiles::{Signs, TILE_REGS, TILE_ROW_BYTES, TILE_ROWS, TileReg, TileShape};

use super::Items;
use super::epilogue::{self, Loaded, Operands, Tile};
use super::nest;
use super::strip::Strip;

/// Scratch bytes of a pixel.
const PIXEL_BYTES: usize = 4 * TileLayout::BLOCK;
/// Bytes from weights to those of which one line is fetched at the same time: the address of their page is known then when the
/// processor's own prefetching gets there, which stops at the border of a page.
const PAGES_AHEAD: i32 = 16 << 10;
/// Pixels of an iteration of an epilogue, about.
const EPILOGUE_PIXELS: usize = 4;
const ACCUMULATORS: usize = 4;
const SIGNS: Signs = Signs { a: false, b: true };

pub fn build(b: &mut Builder, spec: &TileConvSpec, operands: &[Pointer], items: Items) {
    let &[src, weights, ref rest @ ..] = operands else { panic!("internal error: conv without source and weights") };
    let accumulators = TileShape { rows: spec.tile_pixels, bytes: TILE_ROW_BYTES };
    let pixels = TileShape { rows: spec.tile_pixels, bytes: spec.step_bytes };
    let matrix = TileShape { rows: spec.step_bytes / 4, bytes: TILE_ROW_BYTES };
    b.use_tiles(std::array::from_fn(|register| match register {
        0..ACCUMULATORS => accumulators,
        _ if register < TILE_REGS - spec.channel_tiles => pixels,
        _ => matrix,
    }));
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

/// Tiles of pixels that are computed together.
struct Panel {
    number: Val,
    /// Number of the first tile.
    first: Val,
    tiles: Vec<PixelTile>,
}

/// A tile of pixels: where it is.
struct PixelTile {
    /// Its number among all; one behind the last is none, and computes what the last does.
    number: Val,
    /// Image, band, first pixel in the band.
    indices: Vec<Val>,
    /// The source of its first pixel.
    src: Pointer,
}

impl TileConv<'_> {
    fn item(&self, b: &mut Builder, block: Val, panel: Val) {
        let header = b.index(self.weights, block, TileLayout::HEADER_BYTES as i64);
        let first = b.imul_imm(panel, self.spec.panel_tiles as i64);
        let numbers: Vec<Val> = (0..self.spec.panel_tiles).map(|i| b.iadd_imm(first, i as i64)).collect();
        let tiles = numbers.into_iter().map(|number| self.tile(b, number)).collect();
        let panel = Panel { number: panel, first, tiles };
        let channels = b.load_int(header, TileLayout::CHANNELS, IntMem::I32);
        let sizes = self.spec.block_channels.iter().map(|&(_, channels)| channels);
        nest::for_size(b, channels, sizes, &|b, size| self.block(b, &panel, header, size));
    }

    fn tile(&self, b: &mut Builder, number: Val) -> PixelTile {
        let spec = self.spec;
        let last = b.int(spec.tiles() as i64 - 1);
        let existing = b.int_op(IntOp::MinS, number, last);
        let mut indices = nest::indices(b, existing, &[spec.batch, spec.bands(), spec.band_tiles()]);
        let x = b.imul_imm(indices[2], spec.tile_pixels as i64);
        let limit = b.int((spec.band_pixels() - spec.tile_pixels) as i64);
        indices[2] = b.int_op(IntOp::MinS, x, limit);
        let band = spec.src.row * spec.band.rows as i64;
        let src = nest::at(b, self.src, &indices, &[spec.src.batch, band, spec.src.pixel]);
        PixelTile { number, indices, src }
    }

    fn block(&self, b: &mut Builder, panel: &Panel, header: Pointer, channels: usize) {
        self.products(b, panel, header, TileLayout::vectors(channels));
        let first_channel = b.load_int(header, TileLayout::FIRST_CHANNEL, IntMem::I32);
        let operands = self.operands.at_channel(b, &self.spec.epilogue, first_channel);
        let strip = Strip::natural(b.width(), channels);
        // Chains of arithmetic need the registers, and take constants as operands in memory.
        let constants = match self.spec.epilogue.program.has_polynomial() {
            true => vec![None; self.spec.epilogue.loads.len()],
            false => epilogue::load_constants(b, &self.spec.epilogue, &operands, strip),
        };
        let finish = Finish { spec: self.spec, operands, strip, constants };
        match &panel.tiles[..] {
            [tile, ..] if self.spec.band.rows > 1 => finish.band(b, tile, self.scratch),
            _ => self.finish_tiles(b, panel, &finish),
        }
    }

    /// The epilogues of a panel: one loop where they are long, so that its instructions stay in the cache of decoded ones.
    fn finish_tiles(&self, b: &mut Builder, panel: &Panel, finish: &Finish) {
        if !self.spec.epilogue.program.has_polynomial() {
            for (i, tile) in panel.tiles.iter().enumerate() {
                let at = b.int((i * TILE_ROWS * PIXEL_BYTES) as i64);
                let accumulators = b.advance(self.scratch, at);
                self.finish(b, finish, tile, accumulators, i > 0);
            }
            return;
        }
        nest::for_count(b, panel.tiles.len(), |b, i| {
            let number = b.iadd(panel.first, i);
            let tile = self.tile(b, number);
            let accumulators = b.index(self.scratch, i, (TILE_ROWS * PIXEL_BYTES) as i64);
            self.finish(b, finish, &tile, accumulators, panel.tiles.len() > 1);
        });
    }

    /// The epilogue of a tile, which may not exist.
    fn finish(&self, b: &mut Builder, finish: &Finish, tile: &PixelTile, accumulators: Pointer, may_miss: bool) {
        if !may_miss {
            return finish.tile(b, tile, accumulators);
        }
        let end = b.int(self.spec.tiles() as i64);
        let exists = b.int_cmp(Cmp::Lt, tile.number, end);
        b.if_then(exists, |b| finish.tile(b, tile, accumulators));
    }

    /// All sums of a panel into the scratch memory.
    fn products(&self, b: &mut Builder, panel: &Panel, header: Pointer, vectors: usize) {
        let [init, offsets, weights] = [TileLayout::INIT, TileLayout::OFFSETS, TileLayout::WEIGHTS].map(|field| {
            let at = b.load_int(header, field, IntMem::I32);
            b.advance(self.weights, at)
        });
        let steps = b.load_int(header, TileLayout::STEPS, IntMem::I32);
        let (zero, row) = (b.int(0), b.int(PIXEL_BYTES as i64));
        let tiles = panel.tiles.len();
        let pixels = |i: usize| match self.spec.band.rows {
            1 => i * TILE_ROWS,
            _ => (i * self.spec.tile_pixels).min(self.spec.band_pixels() - self.spec.tile_pixels),
        };
        let mut moving = vec![weights.base];
        moving.extend(self.prefetched(b, panel, weights, steps, vectors));
        for first in (0..vectors).step_by(self.spec.channel_tiles) {
            let together = (vectors - first).min(self.spec.channel_tiles);
            let places = |i: usize, v: usize| (self.accumulator(i, v), (first + v) * TILE_ROW_BYTES);
            for (i, v) in pairs(tiles, together) {
                let (register, at) = places(i, v);
                b.tile_load(register, init, at as i32, zero);
            }
            moving.push(offsets.base);
            moving = b.for_range((zero, steps, 1), &moving, |b, _, moving| {
                let pointers: Vec<Pointer> =
                    moving.iter().map(|&base| Pointer { base, mem: self.weights.mem }).collect();
                self.step(b, panel, &pointers, together)
            });
            moving.pop();
            for (i, v) in pairs(tiles, together) {
                let (register, at) = places(i, v);
                b.tile_store(register, self.scratch, (pixels(i) * PIXEL_BYTES + at) as i32, row);
            }
        }
    }

    /// Where the part of the next block's weights begins that this panel fetches: while several panels walk a block's weights,
    /// each fetches its share of what comes behind them, so that memory and products work at the same time. What is walked once
    /// the processor fetches by itself.
    fn prefetched(&self, b: &mut Builder, panel: &Panel, weights: Pointer, steps: Val, vectors: usize) -> Option<Val> {
        if !self.spec.blocks_outer || self.spec.panels() == 1 {
            return None;
        }
        let block_bytes = b.imul_imm(steps, (vectors * self.matrix_bytes()) as i64);
        let pairs = vectors.div_ceil(self.spec.channel_tiles);
        let share = b.imul_imm(steps, (pairs * self.prefetched_lines() * TILE_ROW_BYTES) as i64);
        let share = b.int_op(IntOp::Mul, share, panel.number);
        let at = b.iadd(block_bytes, share);
        Some(b.advance(weights, at).base)
    }

    /// Cache lines fetched in a step: all of a pair's weights, shared by the panels.
    fn prefetched_lines(&self) -> usize {
        (self.spec.channel_tiles * self.matrix_bytes() / TILE_ROW_BYTES).div_ceil(self.spec.panels())
    }

    fn accumulator(&self, tile: usize, vector: usize) -> TileReg {
        TileReg((self.spec.channel_tiles * tile + vector) as u8)
    }

    /// More tiles of pixels than registers take turns.
    fn pixels(&self, tile: usize) -> TileReg {
        let registers = TILE_REGS - ACCUMULATORS - self.spec.channel_tiles;
        TileReg((ACCUMULATORS + tile % registers) as u8)
    }

    fn matrix(&self, vector: usize) -> TileReg {
        TileReg((TILE_REGS - self.spec.channel_tiles + vector) as u8)
    }

    fn matrix_bytes(&self) -> usize {
        self.spec.step_bytes / 4 * TILE_ROW_BYTES
    }

    /// The products of a step. `pointers`: weights, what to prefetch (where that is done), offsets; gives the next ones.
    fn step(&self, b: &mut Builder, panel: &Panel, pointers: &[Pointer], together: usize) -> Vec<Val> {
        let &[weights, ref prefetched @ .., offsets] = pointers else {
            panic!("internal error: a step without weights")
        };
        let offset = b.load_int(offsets, 0, IntMem::I32);
        let (pixel, line) = (b.int(self.spec.src.pixel), b.int(TILE_ROW_BYTES as i64));
        // Products that share their weights stand side by side: new ones take the unit sixteen cycles, however few the pixels.
        for v in 0..together {
            for (i, tile) in panel.tiles.iter().enumerate() {
                if v == 0 {
                    let src = b.advance(tile.src, offset);
                    b.tile_load(self.pixels(i), src, 0, pixel);
                }
                if i == 0 {
                    b.tile_load(self.matrix(v), weights, (v * self.matrix_bytes()) as i32, line);
                }
                b.tile_dot(self.accumulator(i, v), self.pixels(i), self.matrix(v), SIGNS);
            }
        }
        let fetched = *prefetched.first().unwrap_or(&weights);
        b.prefetch(Cache::L2, fetched, PAGES_AHEAD);
        let weight_step = b.int((together * self.matrix_bytes()) as i64);
        let mut next = vec![b.advance(weights, weight_step).base];
        if !prefetched.is_empty() {
            let lines = self.prefetched_lines();
            (0..lines).for_each(|line| b.prefetch(Cache::L2, fetched, (line * TILE_ROW_BYTES) as i32));
            let bytes = b.int((lines * TILE_ROW_BYTES) as i64);
            next.push(b.advance(fetched, bytes).base);
        }
        let offset_step = b.int(4);
        next.push(b.advance(offsets, offset_step).base);
        next
    }
}

/// The epilogue of a block.
struct Finish<'a> {
    spec: &'a TileConvSpec,
    operands: Operands,
    strip: Strip,
    constants: Loaded,
}

impl Finish<'_> {
    /// The band of rows that begins at a tile. Its accumulators lie as its pixels do in the source.
    fn band(&self, b: &mut Builder, tile: &PixelTile, accumulators: Pointer) {
        let (spec, band) = (self.spec, self.spec.band);
        let operands = self.operands.at(b, &spec.epilogue, 0, tile.indices[0]);
        let first = b.imul_imm(tile.indices[1], band.rows as i64);
        nest::for_count(b, band.rows, |b, row| {
            let y = b.iadd(first, row);
            let operands = operands.at(b, &spec.epilogue, 1, y);
            let accumulators = b.index(accumulators, row, (band.pitch * PIXEL_BYTES) as i64);
            self.pixels(b, &operands, accumulators, (0, spec.ow));
        });
    }

    /// One tile. The last of a row leaves out the pixels of the one before it.
    fn tile(&self, b: &mut Builder, tile: &PixelTile, accumulators: Pointer) {
        let spec = self.spec;
        let at =
            |operands: Operands, dim: usize, b: &mut Builder| operands.at(b, &spec.epilogue, dim, tile.indices[dim]);
        let operands = (0..3).fold(self.operands.clone(), |operands, dim| at(operands, dim, b));
        let skipped = spec.band_tiles() * spec.tile_pixels - spec.ow;
        let whole = (0, spec.tile_pixels);
        if skipped == 0 {
            return self.pixels(b, &operands, accumulators, whole);
        }
        let last = b.int((spec.ow - spec.tile_pixels) as i64);
        let is_last = b.int_cmp(Cmp::Eq, tile.indices[2], last);
        b.if_else(
            is_last,
            |b| {
                self.pixels(b, &operands, accumulators, (skipped, spec.tile_pixels - skipped));
                Vec::new()
            },
            |b| {
                self.pixels(b, &operands, accumulators, whole);
                Vec::new()
            },
        );
    }

    /// Pixels `first .. first + count` of a tile, one behind the other: each has all registers beside the constants.
    fn pixels(&self, b: &mut Builder, operands: &Operands, accumulators: Pointer, (first, count): (usize, usize)) {
        let epilogue = &self.spec.epilogue;
        nest::for_tiles(b, count, iteration(count), |b, x, pixels| {
            let x = b.iadd_imm(x, first as i64);
            let accumulators = b.index(accumulators, x, PIXEL_BYTES as i64);
            let operands = operands.at(b, epilogue, 2, x);
            for pixel in 0..pixels {
                let at = b.int(pixel as i64);
                let operands = operands.at(b, epilogue, 2, at);
                let place = |vector: usize| (pixel * PIXEL_BYTES + vector * TILE_ROW_BYTES) as i32;
                let sums: Vec<Val> =
                    (0..self.strip.live()).map(|vector| b.load(Ty::V32, accumulators, place(vector))).collect();
                let tile = Tile { pixels: 1, channel: 0, strip: self.strip };
                epilogue::apply_with(b, epilogue, &operands, tile, &[sums], &self.constants);
            }
        });
    }
}

/// Pixels of an iteration over `count`: a divisor near [`EPILOGUE_PIXELS`], if there is one, so that nothing is left.
fn iteration(count: usize) -> usize {
    let divisors = (EPILOGUE_PIXELS / 2..=2 * EPILOGUE_PIXELS).filter(|pixels| count.is_multiple_of(*pixels));
    divisors.min_by_key(|pixels| pixels.abs_diff(EPILOGUE_PIXELS)).unwrap_or(EPILOGUE_PIXELS)
}

fn pairs(tiles: usize, vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tiles).flat_map(move |tile| (0..vectors).map(move |vector| (tile, vector)))
}
