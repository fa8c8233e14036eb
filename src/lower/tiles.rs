//! Convolutions in tile registers: whether a convolution takes them, and how its pixels are cut into tiles.
//!
//! Both are decided by an estimate of cycles. A product of tiles takes a cycle for each row of pixels (at least eight) and
//! always the whole of its 64 bytes of the source, so narrow sources and short rows waste it; and rows of the source that
//! cross a cache line are slow to load.

use super::elementwise::covered;
use super::grid::Dims;
use super::kernel::{KernelSpec, TileConvSpec};
use super::pack::{self, Group, TileLayout};
use super::view::View;
use super::window::{Convolved, grid, operands_at};
use super::{Lowering, Operand};
use crate::simd::tiles::{TILE_ROW_BYTES, TILE_ROWS};

/// Weights of this size and above are walked once, with all pixels inside.
const BLOCKS_OUTER_BYTES: usize = 512 << 10;

/// Cycles of a product beside one for each row, and the rows it takes at least.
const PRODUCT_CYCLES: usize = 2;
const PRODUCT_ROWS: usize = 8;
/// Cycles of loading a row that crosses a cache line.
const SPLIT_CYCLES: usize = 4;
/// Dot products of vectors a cycle, which tiles compete with.
const DOTS_PER_CYCLE: usize = 2;

/// How a convolution is cut for tiles.
pub struct TilePlan {
    dims: Dims,
    steps: Vec<Vec<i64>>,
    step_bytes: usize,
    tile_pixels: usize,
}

impl Lowering<'_> {
    /// The plan, if tiles are there and faster than vectors.
    pub fn tile_plan(&self, convolved: &Convolved, groups: &[Group]) -> Option<TilePlan> {
        let first = groups.first().filter(|_| self.has_tiles)?;
        let views: Vec<&View> = std::iter::once(&convolved.src).chain(convolved.laid.views()).collect();
        let mut dims = Dims::of(&views, &convolved.outer).merged();
        let steps = dims.unrolled_to(3);
        let dims = dims.padded_to(3);
        if dims.sizes.contains(&0) || groups.iter().any(|group| group.runs.is_empty()) {
            return None;
        }
        // Groups differ in their offsets only.
        let step_bytes = pack::step_bytes(&first.runs);
        let ow = dims.sizes[2];
        let tile_pixels = tile_pixels(ow);
        let tiles = ow.div_ceil(tile_pixels);
        let offsets: Vec<i64> = pack::steps(&first.runs, step_bytes).iter().map(|step| step.offset).collect();
        let vectors = TileLayout::vectors(first.oc);
        let loads = vectors.div_ceil(TileLayout::TOGETHER);
        let splits: usize = offsets
            .iter()
            .map(|offset| splits(convolved.src.offset + offset, dims.strides[0][2], step_bytes, ow))
            .sum();
        let products = tiles * offsets.len() * vectors * (tile_pixels.max(PRODUCT_ROWS) + PRODUCT_CYCLES);
        let quads: usize = first.runs.iter().map(|run| run.len.div_ceil(4)).sum();
        let faster = products + loads * splits * SPLIT_CYCLES < ow * quads * vectors / DOTS_PER_CYCLE;
        faster.then_some(TilePlan { dims, steps, step_bytes, tile_pixels })
    }

    pub fn tile_convolution(
        &mut self,
        convolved: Convolved,
        plan: &TilePlan,
        groups: &[Group],
        rows: &[i32],
    ) -> Result<(), String> {
        let Convolved { anchor, tree, laid, src, channel, macs, .. } = convolved;
        let oc = laid.dst.sizes[channel];
        let init = self.init_of(anchor, oc)?;
        let packed = pack::pack_tiles(plan.step_bytes, groups, rows, &init);
        let blocks_outer = packed.blob.len() >= BLOCKS_OUTER_BYTES;
        let blob = self.const_storage(packed.blob);
        let dims = &plan.dims;
        let tiles = dims.sizes[0] * dims.sizes[1] * dims.sizes[2].div_ceil(plan.tile_pixels);
        let spec = TileConvSpec {
            batch: dims.sizes[0],
            oh: dims.sizes[1],
            ow: dims.sizes[2],
            oc,
            src: grid(&dims.strides[0]),
            block_channels: packed.block_channels,
            step_bytes: plan.step_bytes,
            tile_pixels: plan.tile_pixels,
            panel_tiles: tiles.min(2),
            blocks_outer,
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

/// Pixels of a tile in a row of `length`: the number that costs least over the row, the greater of equals.
fn tile_pixels(length: usize) -> usize {
    let cost = |pixels: usize| length.div_ceil(pixels) * (pixels.max(PRODUCT_ROWS) + PRODUCT_CYCLES);
    (1..=length.min(TILE_ROWS)).rev().min_by_key(|&pixels| cost(pixels)).unwrap_or(1)
}

/// Of `pixels` rows of `bytes` bytes, `stride` apart, how many cross a cache line.
fn splits(begin: i64, stride: i64, bytes: usize, pixels: usize) -> usize {
    let line = TILE_ROW_BYTES as i64;
    (0..pixels as i64).filter(|pixel| (begin + pixel * stride).rem_euclid(line) + bytes as i64 > line).count()
}
