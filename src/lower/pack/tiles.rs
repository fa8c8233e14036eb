//! Weights of convolutions for tile registers: blocks of output channels, cut into tiles of one vector of channels.
//!
//! A *step* is one product of tiles: up to `step_bytes` neighbouring source bytes of every pixel. Steps have one size in a
//! kernel; the last of a run may be shorter, and reads on behind its end, where its weights are zero.

use super::conv::{Group, Run};
use super::{BLOCK_ALIGN, align};
use crate::simd::ir::{TILE_ROW_BYTES, Width};

/// A blob of weights: a header per block; then per block the start values of its channels, the source offsets of all steps, and
/// for each set of channel tiles that are computed together (the last may be smaller) the weights of all steps, tile behind tile.
pub struct TileLayout;

impl TileLayout {
    /// Header: i32 fields.
    pub const INIT: i32 = 0;
    pub const OFFSETS: i32 = 4;
    pub const WEIGHTS: i32 = 8;
    pub const FIRST_CHANNEL: i32 = 12;
    pub const CHANNELS: i32 = 16;
    pub const STEPS: i32 = 20;
    pub const HEADER_BYTES: usize = 32;

    /// Channels of the largest block.
    pub const BLOCK: usize = 64;
    /// Channels of a tile.
    pub const TILE: usize = 16;
    const WIDTH: Width = Width::W512;

    /// Channel tiles of a block.
    pub fn vectors(channels: usize) -> usize {
        channels.div_ceil(Self::WIDTH.lanes32())
    }
}

#[derive(Clone, Debug)]
pub struct PackedTiles {
    /// (first channel, channels) of each block, for `TileConvSpec::block_channels`.
    pub block_channels: Vec<(usize, usize)>,
    pub blob: Vec<u8>,
}

/// Source offset, first weight of a row, and number of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub offset: i64,
    first: usize,
    len: usize,
}

/// The smallest size of a step that needs as few of them as the largest.
pub fn step_bytes(runs: &[Run]) -> usize {
    let count = |bytes: usize| runs.iter().map(|run| run.len.div_ceil(bytes)).sum::<usize>();
    (4..=TILE_ROW_BYTES).step_by(4).find(|&bytes| count(bytes) == count(TILE_ROW_BYTES)).unwrap_or(TILE_ROW_BYTES)
}

/// The runs cut into steps.
pub fn steps(runs: &[Run], bytes: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut first = 0;
    for run in runs {
        steps.extend((0..run.len).step_by(bytes).map(|at| Step {
            offset: run.offset + at as i64,
            first: first + at,
            len: (run.len - at).min(bytes),
        }));
        first += run.len;
    }
    steps
}

/// How output channels are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelBlocks {
    /// Channels of a block, at most [`TileLayout::BLOCK`] and whole tiles.
    pub channels: usize,
    /// Channel tiles that are computed together.
    pub together: usize,
}

/// Packs weights (rows as in [`super::Weights`], each in i8). `init` is the start of each output channel's accumulator.
pub fn pack_tiles(
    step_bytes: usize,
    blocks: ChannelBlocks,
    groups: &[Group],
    weights: &[i32],
    init: &[i32],
) -> PackedTiles {
    let ChannelBlocks { channels: block_channels, together } = blocks;
    let mut packed = PackedTiles { block_channels: Vec::new(), blob: Vec::new() };
    let blocks: usize = groups.iter().map(|group| group.oc.div_ceil(block_channels)).sum();
    packed.blob.resize((blocks * TileLayout::HEADER_BYTES).next_multiple_of(BLOCK_ALIGN), 0);
    let mut row = 0;
    for group in groups {
        let row_len: usize = group.runs.iter().map(|run| run.len).sum();
        let steps = steps(&group.runs, step_bytes);
        for first in (0..group.oc).step_by(block_channels) {
            let channels = (group.oc - first).min(block_channels);
            let begin = row + first * row_len;
            let weights = &weights[begin..begin + channels * row_len];
            let block = TileBlock { steps: &steps, step_bytes, together, channels, row_len, weights };
            packed.push(&block, group.first_oc + first, init);
        }
        row += group.oc * row_len;
    }
    packed
}

/// The weights of one block of output channels.
struct TileBlock<'a> {
    steps: &'a [Step],
    step_bytes: usize,
    together: usize,
    channels: usize,
    row_len: usize,
    weights: &'a [i32],
}

impl PackedTiles {
    fn push(&mut self, block: &TileBlock, first_channel: usize, init: &[i32]) {
        let index = self.block_channels.len();
        self.block_channels.push((first_channel, block.channels));
        let vectors = TileLayout::vectors(block.channels);
        let init_at = self.blob.len();
        for channel in (0..vectors).flat_map(|vector| block.lanes(vector)) {
            let start = channel.and_then(|channel| init.get(first_channel + channel)).copied().unwrap_or(0);
            self.blob.extend(start.to_le_bytes());
        }
        let offsets_at = self.blob.len();
        for step in block.steps {
            let offset = i32::try_from(step.offset).expect("internal error: a tap farther than 2 GiB");
            self.blob.extend(offset.to_le_bytes());
        }
        align(&mut self.blob);
        let weights_at = self.blob.len();
        for first in (0..vectors).step_by(block.together) {
            for &step in block.steps {
                for vector in first..vectors.min(first + block.together) {
                    block.tile(vector, step, &mut self.blob);
                }
            }
        }
        align(&mut self.blob);
        let fields = [init_at, offsets_at, weights_at, first_channel, block.channels, block.steps.len()];
        for (i, field) in fields.into_iter().enumerate() {
            let field = i32::try_from(field).expect("internal error: packed weights above 2 GiB");
            let at = index * TileLayout::HEADER_BYTES + 4 * i;
            self.blob[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
    }
}

impl TileBlock<'_> {
    /// The channels of one vector, lane by lane, where they exist. A pixel's vectors are a natural strip.
    fn lanes(&self, vector: usize) -> Vec<Option<usize>> {
        let lanes = TileLayout::WIDTH.lanes32();
        let channels = vector * lanes..(vector + 1) * lanes;
        channels.map(|channel| (channel < self.channels).then_some(channel)).collect()
    }

    /// Four weights of every channel a row.
    fn tile(&self, vector: usize, step: Step, blob: &mut Vec<u8>) {
        let lanes = self.lanes(vector);
        for k in (0..self.step_bytes).step_by(4) {
            for &channel in &lanes {
                blob.extend((k..k + 4).map(|k| self.weight(channel, step, k)));
            }
        }
    }

    fn weight(&self, channel: Option<usize>, step: Step, k: usize) -> u8 {
        match channel {
            Some(channel) if k < step.len => {
                let weight = self.weights[channel * self.row_len + step.first + k];
                i8::try_from(weight).expect("internal error: a weight that is no i8").cast_unsigned()
            }
            _ => 0,
        }
    }
}
