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
//! Where tiles divide their rows the items overlap instead: see [`overlap`].
//!
//! The scratch memory holds a row of 64 accumulators for each pixel of the panel, in the order of their channels. Tiles at the
//! end of a row overlap the one before; their products are computed twice, their epilogue once, because it may work in place.
//! Tiles of a band of rows lie there as they do in the band, and the epilogue skips what is between the rows.

mod finish;
mod overlap;

use crate::lower::kernel::TileConvSpec;
use crate::lower::pack::TileLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cache, Cmp, IntMem, IntOp, Val};
use crate::simd::tiles::{Signs, TILE_REGS, TILE_ROW_BYTES, TILE_ROWS, TileReg, TileShape};

use super::Items;
use super::epilogue::{self, Operands};
use super::nest;
use super::strip::Strip;
use finish::Finish;

/// Scratch bytes of a pixel.
const PIXEL_BYTES: usize = 4 * TileLayout::BLOCK;
/// Bytes from weights to those of which one line is fetched at the same time: the address of their page is known then when the
/// processor's own prefetching gets there, which stops at the border of a page.
const PAGES_AHEAD: i32 = 16 << 10;
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
    let pixel_bytes = if spec.overlapped { spec.channel_tiles * TILE_ROW_BYTES } else { PIXEL_BYTES };
    let scratch = b.scratch(spec.panel_tiles * TILE_ROWS * pixel_bytes);
    let conv = TileConv { spec, src, weights, scratch, operands: Operands::new(&spec.epilogue, rest) };
    if spec.overlapped {
        return conv.overlapped(b, items);
    }
    nest::for_items(b, items, |b, item| {
        let (block, panel) = conv.indices(b, item);
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
    /// Block and panel of an item.
    fn indices(&self, b: &mut Builder, item: Val) -> (Val, Val) {
        let (blocks, panels) = (self.spec.block_channels.len(), self.spec.panels());
        let sizes = if self.spec.blocks_outer { [blocks, panels] } else { [panels, blocks] };
        let indices = nest::indices(b, item, &sizes);
        if self.spec.blocks_outer { (indices[0], indices[1]) } else { (indices[1], indices[0]) }
    }

    fn header(&self, b: &mut Builder, block: Val) -> Pointer {
        b.index(self.weights, block, TileLayout::HEADER_BYTES as i64)
    }

    fn panel(&self, b: &mut Builder, number: Val) -> Panel {
        let first = b.imul_imm(number, self.spec.panel_tiles as i64);
        let numbers: Vec<Val> = (0..self.spec.panel_tiles).map(|i| b.iadd_imm(first, i as i64)).collect();
        let tiles = numbers.into_iter().map(|number| self.tile(b, number)).collect();
        Panel { number, first, tiles }
    }

    fn item(&self, b: &mut Builder, block: Val, panel: Val) {
        let header = self.header(b, block);
        let panel = self.panel(b, panel);
        let channels = b.load_int(header, TileLayout::CHANNELS, IntMem::I32);
        let sizes = self.spec.block_channels.iter().map(|&(_, channels)| channels);
        nest::for_size(b, channels, sizes, &|b, size| self.block(b, &panel, header, size));
    }

    fn tile(&self, b: &mut Builder, number: Val) -> PixelTile {
        let spec = self.spec;
        let existing = match spec.overlapped {
            true => number,
            false => {
                let last = b.int(spec.tiles() as i64 - 1);
                b.int_op(IntOp::MinS, number, last)
            }
        };
        let mut indices = nest::indices(b, existing, &[spec.batch, spec.bands(), spec.band_tiles()]);
        indices[2] = b.imul_imm(indices[2], spec.tile_pixels as i64);
        if !spec.overlapped {
            let limit = b.int((spec.band_pixels() - spec.tile_pixels) as i64);
            indices[2] = b.int_op(IntOp::MinS, indices[2], limit);
        }
        let band = spec.src.row * spec.band.rows as i64;
        let src = nest::at(b, self.src, &indices, &[spec.src.batch, band, spec.src.pixel]);
        PixelTile { number, indices, src }
    }

    fn block(&self, b: &mut Builder, panel: &Panel, header: Pointer, channels: usize) {
        self.products(b, panel, header, TileLayout::vectors(channels));
        let strip = Strip::natural(b.width(), channels);
        let finish = self.finishing(b, header, strip);
        match &panel.tiles[..] {
            [tile, ..] if self.spec.band.rows > 1 => finish.band(b, tile, self.scratch),
            _ => self.finish_tiles(b, panel, &finish),
        }
    }

    /// What the epilogue of a block needs.
    fn finishing(&self, b: &mut Builder, header: Pointer, strip: Strip) -> Finish<'_> {
        let first_channel = b.load_int(header, TileLayout::FIRST_CHANNEL, IntMem::I32);
        let operands = self.operands.at_channel(b, &self.spec.epilogue, first_channel);
        // Chains of arithmetic need the registers, and take constants as operands in memory.
        let constants = match self.spec.epilogue.program.has_polynomial() {
            true => vec![None; self.spec.epilogue.loads.len()],
            false => epilogue::load_constants(b, &self.spec.epilogue, &operands, strip),
        };
        Finish { spec: self.spec, operands, strip, constants }
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

    /// Start values, offsets and weights of a block.
    fn parts(&self, b: &mut Builder, header: Pointer) -> [Pointer; 3] {
        [TileLayout::INIT, TileLayout::OFFSETS, TileLayout::WEIGHTS].map(|field| {
            let at = b.load_int(header, field, IntMem::I32);
            b.advance(self.weights, at)
        })
    }

    /// All sums of a panel into the scratch memory.
    fn products(&self, b: &mut Builder, panel: &Panel, header: Pointer, vectors: usize) {
        let [init, offsets, weights] = self.parts(b, header);
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
                self.step(b, panel, moving, together, &mut |_, _, _| {})
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

    /// The products of a step. `moving`: addresses of weights, of what to prefetch (where that is done), of offsets; gives the
    /// next ones. `before` is called in front of each product with the numbers of its tiles of pixels and channels.
    fn step(
        &self,
        b: &mut Builder,
        panel: &Panel,
        moving: &[Val],
        together: usize,
        before: &mut dyn FnMut(&mut Builder, usize, usize),
    ) -> Vec<Val> {
        let pointers: Vec<Pointer> = moving.iter().map(|&base| Pointer { base, mem: self.weights.mem }).collect();
        let [weights, ref prefetched @ .., offsets] = pointers[..] else {
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
                before(b, i, v);
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

fn pairs(tiles: usize, vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tiles).flat_map(move |tile| (0..vectors).map(move |vector| (tile, vector)))
}
