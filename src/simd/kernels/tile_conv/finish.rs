//! The epilogue of a block: from accumulators in the scratch memory to results.

use crate::lower::kernel::TileConvSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, Ty, Val};
use crate::simd::tiles::TILE_ROW_BYTES;

use super::{PIXEL_BYTES, PixelTile};
use crate::simd::kernels::epilogue::{self, Loaded, Operands, Tile};
use crate::simd::kernels::nest;
use crate::simd::kernels::strip::Strip;

/// Pixels of an iteration of an epilogue, about.
const EPILOGUE_PIXELS: usize = 4;

/// The epilogue of a block.
pub struct Finish<'a> {
    pub spec: &'a TileConvSpec,
    pub operands: Operands,
    pub strip: Strip,
    pub constants: Loaded,
}

impl Finish<'_> {
    /// The band of rows that begins at a tile. Its accumulators lie as its pixels do in the source.
    pub fn band(&self, b: &mut Builder, tile: &PixelTile, accumulators: Pointer) {
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
    pub fn tile(&self, b: &mut Builder, tile: &PixelTile, accumulators: Pointer) {
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

    /// A pixel's sums, `offset` bytes from the address.
    pub fn sums(&self, b: &mut Builder, accumulators: Pointer, offset: usize) -> Vec<Val> {
        let place = |vector: usize| (offset + vector * TILE_ROW_BYTES) as i32;
        (0..self.strip.live()).map(|vector| b.load(Ty::V32, accumulators, place(vector))).collect()
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
                let sums = self.sums(b, accumulators, pixel * PIXEL_BYTES);
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
