//! Convolutions in tile registers: whether a convolution takes them, and how its pixels are cut into tiles.
//!
//! Both are decided by an estimate of cycles. A product of tiles takes a cycle for each row of pixels (at least eight) and
//! always the whole of its 64 bytes of the source, so narrow sources and short rows waste it; and rows of the source that
//! cross a cache line are slow to load.
//!
//! Small images have short rows, and many weights for each of their pixels. There some rows, if they can be all, are taken as
//! one, with the border between them:
//!
//! ```text
//! 0 1 2 3 4 5 6 . . | 7 8 9 ..      7 rows of 7 pixels, 2 of the border behind each: 61 pixels, four tiles of 16
//! ```

use std::collections::BTreeMap;

use super::choice::{Form, Tiling};
use super::elementwise::covered;
use super::grid::Dims;
use super::kernel::{Band, KernelSpec, TileConvSpec};
use super::pack::{self, ChannelBlocks, Group, PackedTiles, TileLayout};
use super::window::{Convolved, grid, operands_at};
use super::{Lowering, Operand};
use crate::simd::ir::{TILE_ROW_BYTES, TILE_ROWS};

/// Cycles of a product beside one for each row, and the rows it takes at least.
const PRODUCT_CYCLES: usize = 2;
const PRODUCT_ROWS: usize = 8;
/// Cycles of loading a row that crosses a cache line.
const SPLIT_CYCLES: usize = 4;
/// Up to so many tiles of pixels it is the weights that products wait for, and most so beyond a part of the second cache.
const FEW_TILES: usize = 8;
const FAR_BYTES: usize = 512 << 10;
/// Cycles that a vector of results takes longer with tiles than with vectors where the epilogue computes a function: products of
/// vectors run beside it.
const EPILOGUE_CYCLES: usize = 3;
/// How often a byte of the source is read, from where on it is in the first cache most times: what products wait for are the
/// weights then, and three tiles of pixels share them. *Measured* between 2 and 8.
const OFTEN_READ: usize = 4;
/// A first cache: what a block's weights fit stays there from panel to panel.
const NEAR_BYTES: usize = 48 << 10;
/// Weights that stay in the first cache beside the source, so that all blocks may take turns.
const STAYING_BYTES: usize = 24 << 10;
/// The part of the cycles of products that tiles of a pleasant number may cost more, as its reciprocal.
const EVEN_COST: usize = 16;
/// Steps from which on an epilogue finds room between the products, and instructions of one that needs little.
const MANY_STEPS: usize = 8;
const SHORT_EPILOGUE: usize = 12;
/// Tiles of accumulators, of as many registers.
const ACCUMULATORS: usize = 4;
/// Dot products of vectors a cycle, which tiles compete with.
const DOTS_PER_CYCLE: usize = 2;

/// How a convolution is cut for tiles.
pub struct TilePlan {
    dims: Dims,
    steps: Vec<Vec<i64>>,
    step_bytes: usize,
    /// Products of an accumulator.
    step_count: usize,
    tile_pixels: usize,
    /// Tiles of all pixels.
    tiles: usize,
    weight_bytes: usize,
    /// Output channels of a group, all groups having the same.
    group_channels: usize,
    /// Weights of a whole block.
    block_bytes: usize,
    /// How often a byte of the source is read for an output channel, about.
    source_reads: usize,
    /// Rows that may be taken as one.
    band: Option<Band>,
    /// The greater of source and weights is walked once.
    blocks_outer: bool,
    has_polynomial: bool,
    epilogue_insts: usize,
    /// Weights as channels are cut, once packed: several forms have the same.
    packed: BTreeMap<ChannelBlocks, PackedTiles>,
}

impl TilePlan {
    /// Panels of many pixels read each weight seldom, those of few pixels load less often what both need. Small ones go from
    /// products to the epilogue and back more often, which suits long epilogues.
    pub fn preferred(&self) -> Form {
        if let Some(overlapped) = self.preferred_overlap() {
            return Form::Overlapped(overlapped);
        }
        let blocks_outer = self.blocks_outer;
        let few = (3..=FEW_TILES).contains(&self.tiles) && blocks_outer;
        let (pixels, channels) = match (self.tiles, self.band) {
            _ if self.has_polynomial => (1, 2),
            (_, Some(band)) if few => return Form::Band(band.rows),
            _ if few && self.weight_bytes >= FAR_BYTES => (4, 1),
            _ if few => (2, 1),
            _ if self.waits_for_weights() => (3, 1),
            (tiles, _) => (tiles.min(2), 2),
        };
        Form::Tiles(Tiling { pixels, channels, blocks_outer })
    }

    fn preferred_overlap(&self) -> Option<Tiling> {
        let channels = TileLayout::vectors(self.group_channels).min(2);
        // threads that share rows find the source where they wrote it
        let blocks_outer = self.blocks_outer && self.weight_bytes > STAYING_BYTES;
        let tiling = Tiling { pixels: 2, channels, blocks_outer };
        (self.tiles > FEW_TILES && self.overlapped(tiling).is_some()).then_some(tiling)
    }

    /// Items overlap where their products take long enough for the epilogue of another item, or where it is short and weights
    /// stay where they are.
    fn suits_overlap(&self) -> bool {
        let is_short = self.weight_bytes <= STAYING_BYTES && self.epilogue_insts <= SHORT_EPILOGUE;
        (self.step_count >= MANY_STEPS || is_short) && !self.has_polynomial
    }

    /// Whether weights come from behind the first cache where the source does not.
    fn waits_for_weights(&self) -> bool {
        self.blocks_outer && self.tiles > FEW_TILES && self.source_reads >= OFTEN_READ && self.block_bytes > NEAR_BYTES
    }

    /// All panels whose accumulators fit: there are four, and as many tiles of weights as of channels beside them.
    pub fn forms(&self) -> Vec<Form> {
        const PANELS: [(usize, usize); 6] = [(2, 2), (4, 1), (3, 1), (2, 1), (1, 2), (1, 1)];
        let fitting = PANELS.into_iter().filter(|&(pixels, _)| pixels <= self.tiles);
        let tilings = fitting
            .flat_map(|(pixels, channels)| [false, true].map(|blocks_outer| Tiling { pixels, channels, blocks_outer }));
        let forms = tilings.flat_map(|tiling| {
            let overlapped = self.overlapped(tiling).map(|_| Form::Overlapped(tiling));
            [Form::Tiles(tiling)].into_iter().chain(overlapped)
        });
        self.band.map(|band| Form::Band(band.rows)).into_iter().chain(forms).collect()
    }

    /// The channels of items that overlap, where that suits: all have the same, tiles divide rows, and panels all tiles.
    fn overlapped(&self, tiling: Tiling) -> Option<ChannelBlocks> {
        let fits = self.dims.sizes[2].is_multiple_of(self.tile_pixels) && self.tiles.is_multiple_of(tiling.pixels);
        let blocks = ChannelBlocks { channels: tiling.channels * TileLayout::TILE, together: tiling.channels };
        let whole = self.group_channels.is_multiple_of(blocks.channels);
        let single = TileLayout::vectors(self.group_channels) == tiling.channels;
        (fits && (whole || single) && self.suits_overlap()).then_some(blocks)
    }

    fn cut(&self, form: Form) -> Option<Cut> {
        let ow = self.dims.sizes[2];
        match (form, self.band) {
            (Form::Tiles(tiling) | Form::Overlapped(tiling), _) => {
                let overlapped = matches!(form, Form::Overlapped(_));
                let blocks = if overlapped { self.overlapped(tiling)? } else { whole_blocks(tiling.channels) };
                Some(Cut {
                    band: Band { rows: 1, pitch: ow },
                    tile_pixels: self.tile_pixels,
                    tiling,
                    blocks,
                    overlapped,
                })
            }
            (Form::Band(rows), Some(band)) if rows == band.rows => {
                let tiles = band.pixels(ow).div_ceil(TILE_ROWS);
                let channels = if tiles > 2 { 1 } else { 2 };
                let tiling = Tiling { pixels: tiles, channels, blocks_outer: self.blocks_outer };
                let (tile_pixels, blocks) = (band.pixels(ow).div_ceil(tiles), whole_blocks(channels));
                Some(Cut { band, tile_pixels, tiling, blocks, overlapped: false })
            }
            _ => None,
        }
    }

    /// Compares cycles for one row of pixels and the channels of a group, with tiles and with dot products of vectors.
    pub fn is_faster(&self, src_offset: i64, group: &Group) -> bool {
        let (pixels, stride) = (self.dims.sizes[2], self.dims.strides[0][2]);
        let vectors = TileLayout::vectors(group.oc);
        let steps = pack::steps(&group.runs, self.step_bytes);
        let channels = self.cut(self.preferred()).map_or(1, |cut| cut.tiling.channels);
        let split = |step: &pack::Step| split_rows(src_offset + step.offset, stride, self.step_bytes, pixels);
        let splits: usize = steps.iter().map(split).sum();
        let loads = splits * vectors.div_ceil(channels) * SPLIT_CYCLES;
        let product = self.tile_pixels.max(PRODUCT_ROWS) + PRODUCT_CYCLES;
        let products = pixels.div_ceil(self.tile_pixels) * steps.len() * vectors * product;
        let quads: usize = group.runs.iter().map(|run| run.len.div_ceil(4)).sum();
        let epilogue = if self.has_polynomial { EPILOGUE_CYCLES * pixels * vectors } else { 0 };
        products + loads + epilogue < pixels * quads * vectors / DOTS_PER_CYCLE
    }
}

/// A form of the convolution.
struct Cut {
    band: Band,
    tile_pixels: usize,
    tiling: Tiling,
    blocks: ChannelBlocks,
    overlapped: bool,
}

/// The largest blocks.
fn whole_blocks(together: usize) -> ChannelBlocks {
    ChannelBlocks { channels: TileLayout::BLOCK, together }
}

/// The most rows that are one panel together: all rows of small images.
fn band(dims: &Dims) -> Option<Band> {
    let (oh, ow, strides) = (dims.sizes[1], dims.sizes[2], &dims.strides[0]);
    let (row, pixel) = (strides[1], strides[2]);
    let pitch = usize::try_from(row.checked_div(pixel)?).ok().filter(|pitch| *pitch as i64 * pixel == row)?;
    let fits = |rows: &usize| {
        let band = Band { rows: *rows, pitch };
        oh.is_multiple_of(*rows) && band.pixels(ow).div_ceil(TILE_ROWS) <= ACCUMULATORS
    };
    (2..=oh).rev().find(fits).filter(|_| pitch >= ow).map(|rows| Band { rows, pitch })
}

/// Weights of an output channel.
fn row_bytes(group: &Group) -> usize {
    group.runs.iter().map(|run| run.len).sum()
}

impl Lowering<'_> {
    /// The plan, if tiles are there.
    pub fn tile_plan(&self, convolved: &Convolved, groups: &[Group]) -> Option<TilePlan> {
        let first = groups.first().filter(|_| self.has_tiles)?;
        let mut dims = convolved.dims();
        let steps = dims.unrolled_to(3);
        let dims = dims.padded_to(3);
        if dims.sizes.contains(&0) || groups.iter().any(|group| group.runs.is_empty()) {
            return None;
        }
        let tile_pixels = tile_pixels(dims.sizes[0] * dims.sizes[1], dims.sizes[2]);
        let tiles = dims.sizes[0] * dims.sizes[1] * dims.sizes[2].div_ceil(tile_pixels);
        let weight_bytes: usize = groups.iter().map(|group| group.oc * row_bytes(group)).sum();
        let source_bytes = source_bytes(&dims);
        let blocks_outer = weight_bytes >= source_bytes;
        let source_reads = dims.sizes.iter().product::<usize>() * row_bytes(first) / source_bytes.max(1);
        // Groups differ in their offsets only.
        let step_bytes = pack::step_bytes(&first.runs);
        let has_polynomial = convolved.tree.program.has_polynomial();
        let band = band(&dims);
        Some(TilePlan {
            dims,
            steps,
            step_bytes,
            step_count: pack::steps(&first.runs, step_bytes).len(),
            tile_pixels,
            tiles,
            weight_bytes,
            group_channels: first.oc,
            block_bytes: TileLayout::BLOCK * row_bytes(first),
            source_reads,
            band,
            blocks_outer,
            has_polynomial,
            epilogue_insts: convolved.tree.program.insts.len(),
            packed: BTreeMap::new(),
        })
    }

    pub fn tile_convolution(
        &mut self,
        convolved: Convolved,
        plan: &mut TilePlan,
        form: Form,
        groups: &[Group],
        rows: &[i32],
    ) -> Result<(), String> {
        let cut = plan.cut(form).ok_or_else(|| format!("internal error: tiles as {form}"))?;
        let tiling = cut.tiling;
        let Convolved { anchor, init, tree, laid, src, channel, macs, .. } = convolved;
        let oc = laid.dst.sizes[channel];
        let pack = || pack::pack_tiles(plan.step_bytes, cut.blocks, groups, rows, &init);
        let packed = plan.packed.entry(cut.blocks).or_insert_with(pack).clone();
        let blob = self.const_storage(packed.blob);
        let dims = &plan.dims;
        let spec = TileConvSpec {
            batch: dims.sizes[0],
            oh: dims.sizes[1],
            ow: dims.sizes[2],
            oc,
            src: grid(&dims.strides[0]),
            block_channels: packed.block_channels,
            step_bytes: plan.step_bytes,
            band: cut.band,
            tile_pixels: cut.tile_pixels,
            panel_tiles: tiling.pixels,
            channel_tiles: tiling.channels,
            steps: plan.step_count,
            overlapped: cut.overlapped,
            blocks_outer: tiling.blocks_outer,
            epilogue: self.epilogue(tree, &laid, dims, 1, Some(channel)),
        };
        let share = macs / plan.steps.len() as u64;
        for offsets in &plan.steps {
            let operands: Vec<Operand> = operands_at(&src, blob, &laid, offsets);
            self.push_step(KernelSpec::TileConv(spec.clone()), operands, &covered(tree, anchor.node), share);
        }
        Ok(())
    }
}

/// Bytes from the first to the last pixel of the source, about.
fn source_bytes(dims: &Dims) -> usize {
    let extent = dims.sizes.iter().zip(&dims.strides[0]).map(|(&size, &stride)| size as i64 * stride.abs());
    extent.max().unwrap_or(0) as usize
}

/// Pixels of a tile in each of `rows` rows of `length`: the number that costs least, the greater of equals. One that divides the
/// row and makes an even number of tiles may cost a little more, because items overlap then.
fn tile_pixels(rows: usize, length: usize) -> usize {
    let cost = |pixels: usize| length.div_ceil(pixels) * (pixels.max(PRODUCT_ROWS) + PRODUCT_CYCLES);
    let numbers = (1..=length.min(TILE_ROWS)).rev();
    let is_even = |pixels: &usize| length.is_multiple_of(*pixels) && (rows * (length / pixels)).is_multiple_of(2);
    let best = numbers.clone().min_by_key(|&pixels| cost(pixels)).unwrap_or(1);
    let even = numbers.filter(is_even).min_by_key(|&pixels| cost(pixels));
    even.filter(|&pixels| EVEN_COST * cost(pixels) <= (EVEN_COST + 1) * cost(best)).unwrap_or(best)
}

/// Of `pixels` rows of `bytes` bytes, `stride` apart, about how many cross a cache line: the lines begin anew every 64 rows.
fn split_rows(begin: i64, stride: i64, bytes: usize, pixels: usize) -> usize {
    let line = TILE_ROW_BYTES as i64;
    let crosses = |row: &i64| (begin + row * stride).rem_euclid(line) + bytes as i64 > line;
    (0..line).filter(crosses).count() * pixels / TILE_ROW_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_divide_rows_where_that_costs_little() {
        assert_eq!(tile_pixels(56, 56), 14);
        assert_eq!(tile_pixels(1, 784), 14, "49 tiles of 16 are an odd number");
        assert_eq!(tile_pixels(1, 3136), 16);
        assert_eq!(tile_pixels(1, 400), 16, "tiles of 10 cost too much");
        assert_eq!(tile_pixels(1, 49), 13);
        assert_eq!(tile_pixels(7, 7), 7);
    }

    #[test]
    fn bands_are_of_rows_that_fit_the_registers_together() {
        let banded = |oh, ow, row, pixel| {
            band(&Dims { sizes: vec![1, oh, ow], strides: vec![vec![0, row, pixel]] })
                .map(|band| (band.rows, band.pixels(ow)))
        };
        assert_eq!(banded(7, 7, 9 * 64, 64), Some((7, 61)));
        assert_eq!(banded(14, 14, 14 * 64, 64), Some((2, 28)), "four rows do not divide 14");
        assert_eq!(banded(1, 49, 0, 64), None, "one row is no band");
        assert_eq!(banded(7, 7, 15 * 64, 64), None, "what lies between the rows takes too many tiles");
        assert_eq!(banded(2, 7, 9 * 64 + 4, 64), None, "rows are not a whole number of pixels apart");
        assert_eq!(banded(2, 7, -9 * 64, 64), None, "rows that go backwards");
        assert_eq!(banded(2, 7, 64, 0), None, "pixels that are all the same");
    }
}
