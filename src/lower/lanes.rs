//! Convolutions by products of vectors: how many pixels and vectors of output channels are computed together, and their steps.

use std::collections::BTreeMap;

use super::choice::{Form, Tiling};
use super::elementwise::{Strips, covered};
use super::grid::Dims;
use super::kernel::{ArrangedSource, ConvSpec, KernelSpec, Mac};
use super::pack::{self, ArrangedLayout, Arrangement, Group, PackedConv, Run, Weights};
use super::place::StorageKind;
use super::window::{Convolved, grid, operands_at};
use super::{Lowering, Operand};
use crate::simd::ir::Width;

/// Weights of this size and above are walked once, with all pixels inside.
const BLOCKS_OUTER_BYTES: usize = 256 << 10;
/// A flat range of pixels is cut into rows of at least so many.
pub const ROW_PIXELS: usize = 24;

/// Bytes of a tile's copies.
const COPIES_BYTES: usize = 32 << 10;
/// Bytes of the weights for each pixel of a tile: copies are made tile by tile, and each tile walks all weights.
const WEIGHTS_PER_PIXEL: usize = 128 << 10;
/// Rows from which on copies are preferred: rows are what threads share then.
const COPIES_ROWS: usize = 4;
/// Hundredths of instructions that may be left with copies where weights are large: each tile walks all of them then.
const COPIES_OF_LARGE: usize = 95;
/// Output channels for each copy of the source.
const CHANNELS_PER_COPY: usize = 16;
/// What a vector of a copy takes beside vector instructions of products: a store, and cache lines.
const COPY_INSTRUCTIONS: usize = 3;

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
    /// Pixels of a row, before flat ranges are cut.
    pub row: usize,
    /// Loops over pixels, after that.
    pub loops: Dims,
    /// By the vectors of a block and the copies of the source, once packed: several forms have the same.
    pub packed: BTreeMap<(usize, usize), PackedConv>,
}

impl Lanes<'_> {
    /// The form that takes the fewest instructions: with blocks of one vector many quads find another that they can be added
    /// to in 16 bits, and with copies of the source most do. Rows of few pixels take wide blocks of dot products.
    pub fn preferred(&mut self) -> Form {
        if self.takes_wide_blocks() {
            return self.lanes(self.wide());
        }
        let usual = self.usual();
        if self.mac != Mac::U8I8 || self.width == Width::W128 {
            return self.lanes(usual);
        }
        let narrow = self.narrow();
        if self.row <= WIDE_BLOCK_PIXELS {
            // weights bind, and narrow blocks have the fewest in the XOR form, which takes twice the bytes
            return self.lanes(narrow);
        }
        let copied = self.copies(narrow).filter(|&copies| self.rows() >= COPIES_ROWS && self.saves(narrow, copies));
        let candidates = [(usual, 1), (narrow, 1)].into_iter().chain(copied.map(|copies| (narrow, copies)));
        match candidates.min_by_key(|&(shape, copies)| self.instructions(shape, copies)) {
            Some((shape, copies)) if copies > 1 => Form::Copies(shape.tiling(false), copies),
            Some((shape, _)) => self.lanes(shape),
            None => self.lanes(usual),
        }
    }

    /// Copies save more instructions than walking the weights for each tile costs.
    fn saves(&mut self, shape: Shape, copies: usize) -> bool {
        let large = self.pack(shape.vectors, 1).blob.len() >= BLOCKS_OUTER_BYTES;
        let whole = if large { COPIES_OF_LARGE } else { 100 };
        self.instructions(shape, copies) * 100 <= self.instructions(shape, 1) * whole
    }

    /// Rows of pixels.
    fn rows(&self) -> usize {
        self.loops.sizes.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// Without copies; large weights are walked once.
    fn lanes(&mut self, shape: Shape) -> Form {
        let bytes = self.pack(shape.vectors, 1).blob.len();
        Form::Lanes(shape.tiling(bytes >= BLOCKS_OUTER_BYTES))
    }

    /// Vector instructions of a pixel, doubled, beside those that all forms have.
    fn instructions(&mut self, shape: Shape, copies: usize) -> usize {
        let copied = self.source(copies).map_or(0, |source| copies * source.bytes.div_ceil(self.width.bytes()));
        self.pack(shape.vectors, copies).forms.instructions() + 2 * COPY_INSTRUCTIONS * copied
    }

    /// How many copies of the source may be worth their making: they shall stay in the first cache, and take little time beside
    /// the products. For other products than those of bytes in 16 bits there is nothing to gain.
    fn copies(&self, shape: Shape) -> Option<usize> {
        if self.mac != Mac::U8I8 || self.width == Width::W128 {
            return None;
        }
        let channels: usize = self.groups.iter().map(|group| group.oc).sum();
        let may = |copies: &&usize| {
            let Some(source) = self.source(**copies) else { return false };
            // tiles of a row are as equal as can be
            let row = self.row.max(1);
            let pixels = row.div_ceil(row.div_ceil(shape.pixels));
            let tile = pixels * ArrangedLayout::new(self.width, &source).pixel;
            let walks = channels * source.bytes <= pixels * WEIGHTS_PER_PIXEL;
            tile <= COPIES_BYTES && walks && source.copies * CHANNELS_PER_COPY <= channels
        };
        Arrangement::COUNTS.iter().rev().find(may).copied()
    }

    /// What is copied: only of pixels that read a contiguous run.
    fn source(&self, copies: usize) -> Option<ArrangedSource> {
        let ([Group { runs, .. }], true) = (self.groups, copies > 1) else { return None };
        let &[Run { offset, len }] = runs.as_slice() else { return None };
        Some(ArrangedSource { offset, bytes: len, copies })
    }

    /// Every form that registers have room for.
    pub fn forms(&self) -> Vec<Form> {
        let narrow = self.narrow();
        let copied = self.copies(narrow).map(|copies| Form::Copies(narrow.tiling(false), copies));
        self.tilings().into_iter().map(Form::Lanes).chain(copied).collect()
    }

    /// Every tiling that registers have room for.
    fn tilings(&self) -> Vec<Tiling> {
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

    /// A row of one or two pixels has a sum for each vector of a block: too few to hide the latency of a dot product, unless blocks
    /// are wide.
    fn takes_wide_blocks(&self) -> bool {
        let room = self.width != Width::W128 && self.channel_vectors() >= WIDE_BLOCK;
        self.mac == Mac::U8I8Dot && room && self.row <= WIDE_BLOCK_PIXELS
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

    fn pack(&mut self, vectors: usize, copies: usize) -> &PackedConv {
        let source = self.source(copies);
        let (mac, width, groups, weights, init) = (self.mac, self.width, self.groups, self.weights, &self.init);
        let pack = || pack::pack_conv(mac, width, vectors, groups, weights, init, source.as_ref());
        self.packed.entry((vectors, copies)).or_insert_with(pack)
    }
}

impl Shape {
    fn tiling(self, blocks_outer: bool) -> Tiling {
        Tiling { pixels: self.pixels, channels: self.vectors, blocks_outer }
    }
}

impl Lowering<'_> {
    pub fn lane_convolution(
        &mut self,
        convolved: Convolved,
        lanes: &mut Lanes,
        tiling: Tiling,
        copies: usize,
    ) -> Result<(), String> {
        let mut dims = lanes.loops.clone();
        let Convolved { anchor, tree, mut laid, src, channel, macs, .. } = convolved;
        let packed = lanes.pack(tiling.channels, copies).clone();
        let arranged = lanes.source(copies);
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
            arranged,
            epilogue,
        };
        let rows = spec.batch * spec.oh;
        let scratch = arranged.map(|source| {
            let tile = tiling.pixels * ArrangedLayout::new(self.width, &source).pixel;
            Operand::start(self.new_storage(StorageKind::Workspace, rows * tile))
        });
        let share = macs / steps.len() as u64;
        for offsets in steps {
            let mut operands = operands_at(&src, blob, &laid, &offsets);
            operands.splice(2..2, scratch);
            self.push_step(KernelSpec::Conv(spec.clone()), operands, &covered(tree, anchor.node), share);
        }
        Ok(())
    }
}
