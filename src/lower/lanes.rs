//! Convolutions by products of vectors: how many pixels and vectors of output channels are computed together, and their steps.

use std::collections::BTreeMap;

use super::Lowering;
use super::choice::Tiling;
use super::elementwise::{Strips, covered};
use super::kernel::{ConvSpec, KernelSpec, Mac};
use super::pack::{self, Group, PackedConv, Weights};
use super::window::{Convolved, grid, operands_at};
use crate::simd::ir::Width;

/// Weights of this size and above are walked once, with all pixels inside.
const BLOCKS_OUTER_BYTES: usize = 256 << 10;
/// A flat range of pixels is cut into rows of at least so many.
const ROW_PIXELS: usize = 24;

/// Vectors of a wide block, and the pixels of a row up to which one may be right.
const WIDE_BLOCK: usize = 8;
const WIDE_BLOCK_PIXELS: usize = 2;

/// Vectors of output channels and pixels that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    vectors: usize,
    pixels: usize,
}

/// The weights of a convolution for blocks of several sizes.
pub struct Lanes<'a> {
    pub mac: Mac,
    pub width: Width,
    pub groups: &'a [Group],
    pub weights: Weights<'a>,
    /// What the accumulator of each output channel starts with.
    pub init: Vec<i32>,
    /// Pixels of a row.
    pub row: usize,
    /// By the vectors of a block, once packed: several forms have the same blocks.
    pub packed: BTreeMap<usize, PackedConv>,
}

impl Lanes<'_> {
    /// The tiling that takes the fewest instructions: with blocks of one vector many quads find another that they can be added
    /// to in 16 bits. Rows of few pixels take wide blocks.
    pub fn preferred(&mut self) -> Tiling {
        let wide = self.takes_wide_blocks();
        let (usual, narrow) = (if wide { self.wide() } else { self.usual() }, self.narrow());
        let packed = self.pack(usual.vectors);
        let (usual_cost, usual_bytes) = (packed.forms.instructions(), packed.blob.len());
        if wide || self.mac != Mac::U8I8 || self.width == Width::W128 {
            return usual.tiling(usual_bytes >= BLOCKS_OUTER_BYTES);
        }
        let packed = self.pack(narrow.vectors);
        let (narrow_cost, narrow_bytes) = (packed.forms.instructions(), packed.blob.len());
        // a block of one vector stores its results in smaller pieces: per pixel and block, two more instructions
        let blocks: usize = self.groups.iter().map(|group| group.oc.div_ceil(self.width.lanes32())).sum();
        match narrow_cost + 2 * 2 * blocks < usual_cost {
            true => narrow.tiling(narrow_bytes >= BLOCKS_OUTER_BYTES),
            false => usual.tiling(usual_bytes >= BLOCKS_OUTER_BYTES),
        }
    }

    /// Every tiling that registers have room for.
    pub fn tilings(&self) -> Vec<Tiling> {
        let (most, row) = (self.channel_vectors(), self.row);
        let widest = [6, WIDE_BLOCK].into_iter().filter(|_| row <= WIDE_BLOCK_PIXELS);
        let filled = (1..=4).chain(widest).map(|vectors| Shape { vectors, pixels: self.accumulators() / vectors });
        let narrow = (self.mac == Mac::U8I8).then(|| self.narrow());
        let mut shapes: Vec<Shape> = Vec::new();
        for shape in [self.usual()].into_iter().chain(narrow).chain(filled) {
            let known =
                |other: &Shape| other.vectors == shape.vectors && other.pixels.min(row) == shape.pixels.min(row);
            if shape.vectors <= most && shape.pixels > 0 && !shapes.iter().any(known) {
                shapes.push(shape);
            }
        }
        shapes.iter().flat_map(|shape| [false, true].map(|blocks_outer| shape.tiling(blocks_outer))).collect()
    }

    /// As many accumulators as registers hold beside the weights and one broadcast. A dot product is one instruction, so loads
    /// bind first and more pixels share each weight.
    fn usual(&self) -> Shape {
        if (self.mac, self.width) == (Mac::U8I8Dot, Width::W512) {
            return self.fitting();
        }
        let most_vectors = match (self.mac, self.width) {
            (_, Width::W512) => 4,
            (Mac::U8I8Dot, _) => 2,
            (Mac::U8I8 | Mac::U8I16 | Mac::F32, Width::W256) => 2,
            (Mac::U8I8 | Mac::U8I16 | Mac::F32, _) => 4,
        };
        let vectors = self.channel_vectors().clamp(1, most_vectors);
        Shape { vectors, pixels: (self.accumulators() / vectors).clamp(1, 6) }
    }

    /// Blocks that leave few vectors without channels, of equals the widest. There are so many accumulators that products bind
    /// and not loads, except in blocks of one vector.
    fn fitting(&self) -> Shape {
        let vectors = |group: &Group| group.oc.div_ceil(self.width.lanes32());
        let cost = |shape: &Shape| {
            let computed: usize = self.groups.iter().map(|group| vectors(group).next_multiple_of(shape.vectors)).sum();
            computed * (shape.vectors * shape.pixels).max(shape.vectors + shape.pixels)
        };
        let most = self.channel_vectors().min(4);
        let shapes = (1..=most).rev().map(|vectors| Shape { vectors, pixels: self.accumulators() / vectors });
        shapes.min_by_key(cost).unwrap_or(self.narrow())
    }

    /// A row of one or two pixels has a sum for each vector of a block: too few to hide the latency of an addition, unless blocks
    /// are wide.
    fn takes_wide_blocks(&self) -> bool {
        let integer = matches!(self.mac, Mac::U8I8 | Mac::U8I8Dot);
        let room = self.width != Width::W128 && self.channel_vectors() >= WIDE_BLOCK;
        integer && room && self.row <= WIDE_BLOCK_PIXELS
    }

    fn wide(&self) -> Shape {
        Shape { vectors: WIDE_BLOCK, pixels: self.accumulators() / WIDE_BLOCK }
    }

    /// Blocks of one vector, and the more pixels.
    fn narrow(&self) -> Shape {
        Shape { vectors: 1, pixels: if self.width == Width::W512 { 24 } else { 10 } }
    }

    fn accumulators(&self) -> usize {
        match (self.mac, self.width) {
            (_, Width::W512) => 24,
            (Mac::U8I8Dot, _) => 12,
            (Mac::U8I8 | Mac::U8I16 | Mac::F32, _) => 8,
        }
    }

    /// Vectors of the output channels of a group.
    fn channel_vectors(&self) -> usize {
        let channels = self.groups.iter().map(|group| group.oc).max().unwrap_or(1);
        channels.div_ceil(self.width.lanes32()).max(1)
    }

    fn pack(&mut self, vectors: usize) -> &PackedConv {
        let (mac, width, groups, weights, init) = (self.mac, self.width, self.groups, self.weights, &self.init);
        let pack = || pack::pack_conv(mac, width, vectors, groups, weights, init);
        self.packed.entry(vectors).or_insert_with(pack)
    }
}

impl Shape {
    fn tiling(self, blocks_outer: bool) -> Tiling {
        Tiling { pixels: self.pixels, channels: self.vectors, blocks_outer }
    }
}

impl Lowering<'_> {
    pub fn lane_convolution(&mut self, convolved: Convolved, lanes: &mut Lanes, tiling: Tiling) -> Result<(), String> {
        let mut dims = convolved.dims().with_rows(ROW_PIXELS);
        let Convolved { anchor, tree, mut laid, src, channel, macs, .. } = convolved;
        let packed = lanes.pack(tiling.channels).clone();
        let blob = self.const_storage(packed.blob);
        let steps = dims.unrolled_to(3);
        let dims = dims.padded_to(3);
        let mut epilogue = self.epilogue(tree, &laid, &dims, 1, Some(channel));
        if lanes.groups.len() == 1 {
            let strips = Strips { vectors: tiling.channels, repeated: 1 };
            self.pack_tables(&mut epilogue, tree, &mut laid, channel, strips);
        }
        let spec = ConvSpec {
            mac: lanes.mac,
            batch: dims.sizes[0],
            oh: dims.sizes[1],
            ow: dims.sizes[2],
            oc: laid.dst.sizes[channel],
            src: grid(&dims.strides[0]),
            block_vectors: tiling.channels,
            block_channels: packed.block_channels,
            tile_pixels: tiling.pixels,
            blocks_outer: tiling.blocks_outer,
            epilogue,
        };
        let share = macs / steps.len() as u64;
        for offsets in steps {
            let operands = operands_at(&src, blob, &laid, &offsets);
            self.push_step(KernelSpec::Conv(spec.clone()), operands, &covered(tree, anchor.node), share);
        }
        Ok(())
    }
}
