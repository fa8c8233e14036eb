//! Depthwise convolution: blocks of as many channels as a vector has bytes, pixels side by side.
//!
//! Bytes: the sources of four taps are interleaved to four vectors in packed order, each 32-bit lane holding the four taps of
//! one channel, and multiplied with weights laid out alike. Groups of taps are chosen so that neighbouring pixels share them
//! ([`DepthwiseLayout`]): a window of three columns that moves by one interleaves one column and takes two from the pixel
//! before, in registers through the whole row. 16-bit weights take pairs of taps widened to 16 bits, f32 single taps.

use crate::ir::ElemType;
use crate::lower::kernel::{DepthwiseSpec, Mac};
use crate::lower::pack::DepthwiseLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Half, IntMem, Ty, Val, VecOp, Width};

use super::Items;
use super::epilogue::{self, Operands, Tile, displaced};
use super::nest;
use super::strip::Strip;

/// Pixels computed together. Vectors that go from tile to tile make large ones needless.
fn tile_pixels(mac: Mac, reuses: bool) -> usize {
    if mac == Mac::F32 || reuses { 2 } else { 4 }
}

/// Vectors of interleaved sources that registers hold from one tile to the next beside what a pixel computes.
fn most_carried(width: Width) -> usize {
    if width == Width::W512 { 16 } else { 8 }
}

pub fn build(b: &mut Builder, spec: &DepthwiseSpec, operands: &[Pointer], items: Items) {
    let &[src, weights, ref rest @ ..] = operands else {
        panic!("internal error: depthwise without source and weights")
    };
    let has_masks = spec.safe_blocks.contains(&false);
    let layout = DepthwiseLayout::new(spec.mac, b.width(), spec.taps.len(), has_masks);
    let depthwise = Depthwise { spec, layout };
    let operands = Operands::new(&spec.epilogue, rest);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &[spec.batch, spec.oh]);
        let src = nest::at(b, src, &indices, &[spec.src.batch, spec.src.row]);
        let operands = operands.at(b, &spec.epilogue, 0, indices[0]).at(b, &spec.epilogue, 1, indices[1]);
        nest::for_strips(b, spec.channels, 4, |b, channel, strip| {
            // a partial block has fewer vectors, but the layout of a whole one
            let strip = Strip { vectors: 4, ..strip };
            let src = b.index(src, channel, depthwise.elem().bytes() as i64);
            let block = b.div_imm(channel, b.width().bytes() as i64);
            let weights = b.index(weights, block, depthwise.layout.block_bytes() as i64);
            let operands = operands.at_channel(b, &spec.epilogue, channel);
            depthwise.block(b, Block { src, weights, strip, operands: &operands });
        });
    });
}

struct Depthwise<'a> {
    spec: &'a DepthwiseSpec,
    layout: DepthwiseLayout,
}

/// A block of channels in one output row.
#[derive(Clone, Copy)]
struct Block<'a> {
    src: Pointer,
    weights: Pointer,
    strip: Strip,
    operands: &'a Operands,
}

/// What pixels of a tile share: the vectors of a set of source offsets.
type Shared = Vec<(Vec<Option<i64>>, Vec<Val>)>;

impl Depthwise<'_> {
    fn elem(&self) -> ElemType {
        if self.spec.mac == Mac::F32 { ElemType::F32 } else { ElemType::U8 }
    }

    fn block(&self, b: &mut Builder, block: Block) {
        if !self.layout.has_masks {
            return self.row(b, block, true);
        }
        if !self.spec.safe_blocks.contains(&true) {
            return self.row(b, block, false);
        }
        let safe = b.load_int(block.weights, 0, IntMem::I32);
        b.if_else(
            safe,
            |b| {
                self.row(b, block, true);
                Vec::new()
            },
            |b| {
                self.row(b, block, false);
                Vec::new()
            },
        );
    }

    /// All pixels of the row.
    fn row(&self, b: &mut Builder, block: Block, safe: bool) {
        let reused = self.reused(b.width(), block.strip);
        let mut first = Shared::new();
        let init = reused.iter().flat_map(|taps| self.sources(b, block, taps.clone(), &mut first)).collect();
        let limit = tile_pixels(self.spec.mac, !reused.is_empty());
        nest::fold_tiles(b, (self.spec.ow, limit), init, |b, (x, pixels), carried| {
            let src = b.index(block.src, x, self.spec.src.pixel);
            let operands = block.operands.at(b, &self.spec.epilogue, 2, x);
            let carried = carried.chunks(block.strip.live()).map(<[Val]>::to_vec);
            let mut shared: Shared = reused.iter().cloned().zip(carried).collect();
            let accumulators = self.accumulate(b, Block { src, ..block }, (pixels, safe), &mut shared);
            let tile = Tile { pixels, channel: 0, strip: block.strip };
            epilogue::apply(b, &self.spec.epilogue, &operands, tile, &accumulators);
            let next = reused.iter().flat_map(|taps| {
                let taps = self.moved(taps, pixels);
                let known = shared.iter().find(|(known, _)| *known == taps);
                known.unwrap_or_else(|| panic!("internal error: no vectors of {taps:?}")).1.clone()
            });
            next.collect()
        });
    }

    /// Source offsets of a group of taps.
    fn offsets(&self, group: &[Option<usize>]) -> Vec<Option<i64>> {
        group.iter().map(|tap| tap.map(|tap| self.spec.taps[tap])).collect()
    }

    /// Source offsets `pixels` further.
    fn moved(&self, taps: &[Option<i64>], pixels: usize) -> Vec<Option<i64>> {
        taps.iter().map(|tap| tap.map(|tap| tap + pixels as i64 * self.spec.src.pixel)).collect()
    }

    /// The groups of a pixel that are groups of the pixel before it, if registers hold their vectors. Loads need none: they are
    /// operands in memory.
    fn reused(&self, width: Width, strip: Strip) -> Vec<Vec<Option<i64>>> {
        if self.spec.mac == Mac::F32 {
            return Vec::new();
        }
        let groups: Vec<Vec<Option<i64>>> = self.layout.groups.iter().map(|group| self.offsets(group)).collect();
        let reused: Vec<_> = groups.iter().filter(|taps| groups.contains(&self.moved(taps, 1))).cloned().collect();
        if reused.len() * strip.live() > most_carried(width) { Vec::new() } else { reused }
    }

    fn accumulate(
        &self,
        b: &mut Builder,
        block: Block,
        (pixels, safe): (usize, bool),
        shared: &mut Shared,
    ) -> Vec<Vec<Val>> {
        let bytes = b.width().bytes();
        let ty = if self.spec.mac == Mac::F32 { Ty::VF32 } else { Ty::V32 };
        let starts: Vec<Val> = (0..block.strip.live())
            .map(|v| b.load(ty, block.weights, (DepthwiseLayout::INIT + v * bytes) as i32))
            .collect();
        let mut accumulators = Vec::with_capacity(pixels);
        for pixel in 0..pixels {
            let mut sums = starts.clone();
            for (i, group) in self.layout.groups.iter().enumerate() {
                let taps = self.moved(&self.offsets(group), pixel);
                let sources = self.sources(b, block, taps, shared);
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = self.product(b, block.weights, (4 * i + v) * bytes, *sum, sources[v], safe);
                }
            }
            accumulators.push(sums);
        }
        accumulators
    }

    /// The live vectors of a group of taps at these source offsets.
    fn sources(&self, b: &mut Builder, block: Block, taps: Vec<Option<i64>>, shared: &mut Shared) -> Vec<Val> {
        if let Some((_, vectors)) = shared.iter().find(|(known, _)| *known == taps) {
            return vectors.clone();
        }
        let (src, strip) = (block.src, block.strip);
        let vectors = match self.spec.mac {
            Mac::F32 => {
                let (src, offset) = displaced(b, src, taps[0].unwrap_or(0));
                strip.load(b, ElemType::F32, src, offset, false)
            }
            Mac::U8I8 | Mac::U8I8Dot => interleaved_quads(b, src, &taps)[..strip.live()].to_vec(),
            Mac::U8I16 => interleaved_pairs(b, src, &taps)[..strip.live()].to_vec(),
        };
        shared.push((taps, vectors.clone()));
        vectors
    }

    /// `sum` plus a vector of products; `at` is the place of the weights in the block.
    fn product(&self, b: &mut Builder, weights: Pointer, at: usize, sum: Val, source: Val, safe: bool) -> Val {
        let place = (self.layout.weights() + at) as i32;
        match self.spec.mac {
            Mac::F32 => {
                let weight = b.load(Ty::VF32, weights, place);
                b.mul_add(source, weight, sum)
            }
            Mac::U8I16 => {
                let weight = b.load(Ty::V16, weights, place);
                let product = b.madd(source, weight);
                b.vadd(sum, product)
            }
            Mac::U8I8Dot => {
                let weight = b.load(Ty::V8, weights, place);
                b.dot4_any(sum, source, weight)
            }
            Mac::U8I8 if safe => {
                let weight = b.load(Ty::V8, weights, place);
                b.dot4(sum, source, weight)
            }
            Mac::U8I8 => {
                let magnitude = b.load(Ty::V8, weights, place);
                let mask = b.load(Ty::V8, weights, (self.layout.masks() + at) as i32);
                let signed = b.vec_op(VecOp::Xor, source, mask);
                b.dot4(sum, magnitude, signed)
            }
        }
    }
}

/// The bytes of each tap, or zeros.
fn bytes_of_taps(b: &mut Builder, src: Pointer, taps: &[Option<i64>]) -> Vec<Val> {
    let mut vectors: Vec<Val> = Vec::with_capacity(taps.len());
    for (i, &tap) in taps.iter().enumerate() {
        let known = taps[..i].iter().position(|&earlier| earlier == tap);
        let vector = match (known, tap) {
            (Some(known), _) => vectors[known],
            (None, Some(offset)) => {
                let (src, offset) = displaced(b, src, offset);
                b.load(Ty::V8, src, offset)
            }
            (None, None) => b.splat_const(Ty::V8, 0),
        };
        vectors.push(vector);
    }
    vectors
}

/// Four taps per 32-bit lane.
fn interleaved_quads(b: &mut Builder, src: Pointer, taps: &[Option<i64>]) -> [Val; 4] {
    let taps = bytes_of_taps(b, src, taps);
    let mut vectors = [taps[0]; 4];
    for (i, half) in [Half::Low, Half::High].into_iter().enumerate() {
        let [first, second] = [0, 2].map(|pair| b.interleave(half, 1, taps[pair], taps[pair + 1]));
        vectors[2 * i] = b.interleave(Half::Low, 2, first, second);
        vectors[2 * i + 1] = b.interleave(Half::High, 2, first, second);
    }
    vectors
}

/// Two taps per 32-bit lane, widened to 16 bits.
fn interleaved_pairs(b: &mut Builder, src: Pointer, taps: &[Option<i64>]) -> [Val; 4] {
    let taps = bytes_of_taps(b, src, taps);
    let zero = b.splat_const(Ty::V8, 0);
    let mut vectors = [zero; 4];
    for (i, half) in [Half::Low, Half::High].into_iter().enumerate() {
        let pairs = b.interleave(half, 1, taps[0], taps[1]);
        for (j, half) in [Half::Low, Half::High].into_iter().enumerate() {
            let wide = b.interleave(half, 1, pairs, zero);
            vectors[2 * i + j] = b.cast(Ty::V16, wide);
        }
    }
    vectors
}
