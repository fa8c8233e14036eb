//! Convolution and products with constant matrices: tiles of pixels times blocks of output channels, accumulators in registers.
//!
//! The inner loop walks the entries of a list ([`ConvLayout`]): a source offset and the weights of a block. Each pixel of the
//! tile broadcasts its four bytes (one element in f32) and multiplies them with every weight vector. All forms of an integer
//! product are exact, see `lower::pack`.
//!
//! Loops: rows, tiles of a row, blocks; or blocks, rows, tiles when weights should stay in cache. With an arranged source a tile
//! begins with the copies of its pixels, which all blocks read.

use crate::lower::kernel::{ArrangedSource, ConvSpec, Mac};
use crate::lower::pack::{ArrangedLayout, Arrangement, ConvLayout, List};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cache, IntMem, ShiftOp, Ty, Val, VecOp};

use super::Items;
use super::epilogue::{self, Operands, Tile, displaced};
use super::nest;
use super::strip::Strip;

pub fn build(b: &mut Builder, spec: &ConvSpec, operands: &[Pointer], items: Items) {
    let &[src, weights, ref rest @ ..] = operands else { panic!("internal error: conv without source and weights") };
    let (copies, rest) = match (&spec.arranged, rest) {
        (None, _) => (None, rest),
        (Some(source), [scratch, rest @ ..]) => (Some(Copies::new(b, source, *scratch, spec, items)), rest),
        (Some(_), []) => panic!("internal error: an arranged source without scratch memory"),
    };
    let layout = ConvLayout { mac: spec.mac, vectors: spec.block_vectors };
    let conv = Conv { spec, layout, weights, copies: copies.as_ref() };
    let operands = Operands::new(&spec.epilogue, rest);
    let blocks = spec.block_channels.len();
    nest::for_items(b, items, |b, item| {
        if spec.blocks_outer {
            nest::for_count(b, spec.batch * spec.oh, |b, row| {
                conv.row(b, src, &operands, row, |conv, b, tile| conv.block(b, tile, item));
            });
        } else {
            conv.row(b, src, &operands, item, |conv, b, tile| {
                nest::for_count(b, blocks, |b, block| conv.block(b, tile, block));
            });
        }
    });
}

struct Conv<'a> {
    spec: &'a ConvSpec,
    layout: ConvLayout,
    weights: Pointer,
    copies: Option<&'a Copies<'a>>,
}

/// Pixels side by side: where their source is, how far apart, and where their results are.
struct Pixels {
    count: usize,
    src: Pointer,
    stride: i64,
    operands: Operands,
}

/// Scratch memory for copies of the source of a tile.
struct Copies<'a> {
    source: &'a ArrangedSource,
    layout: ArrangedLayout,
    scratch: Pointer,
}

impl<'a> Copies<'a> {
    fn new(b: &mut Builder, source: &'a ArrangedSource, scratch: Pointer, spec: &ConvSpec, items: Items) -> Copies<'a> {
        assert!(!spec.blocks_outer, "internal error: copies of the source for each block");
        let layout = ArrangedLayout::new(b.width(), source);
        let scratch = b.index(scratch, items.begin, (spec.tile_pixels * layout.pixel) as i64);
        Copies { source, layout, scratch }
    }

    /// Copies the source of `count` pixels, `stride` bytes apart.
    fn write(&self, b: &mut Builder, src: Pointer, stride: i64, count: usize) {
        let (width, layout) = (b.width().bytes(), &self.layout);
        let offset = b.int(self.source.offset);
        let src = b.advance(src, offset);
        nest::for_all(b, &[count, layout.copy / width], &mut |b, at| {
            let from = nest::at(b, src, at, &[stride, width as i64]);
            let to = nest::at(b, self.scratch, at, &[layout.pixel as i64, width as i64]);
            let bytes = b.load(Ty::V8, from, 0);
            let mut ordered = (None, bytes);
            for (i, arrangement) in Arrangement::first(self.source.copies).enumerate() {
                let order = arrangement.shuffle();
                if order != ordered.0 {
                    ordered = (order, order.map_or(bytes, |pattern| b.shuffle(bytes, pattern)));
                }
                let flipped = arrangement.flips().map(|bits| b.vec_const(Ty::V8, bits));
                let arranged = flipped.map_or(ordered.1, |bits| b.vec_op(VecOp::Xor, ordered.1, bits));
                b.store(to, (i * layout.copy) as i32, arranged);
            }
        });
    }
}

impl Conv<'_> {
    /// All tiles of row `row` of all batches.
    fn row(
        &self,
        b: &mut Builder,
        src: Pointer,
        operands: &Operands,
        row: Val,
        mut body: impl FnMut(&Self, &mut Builder, &Pixels),
    ) {
        let spec = self.spec;
        let indices = nest::indices(b, row, &[spec.batch, spec.oh]);
        let src = nest::at(b, src, &indices, &[spec.src.batch, spec.src.row]);
        let operands = operands.at(b, &spec.epilogue, 0, indices[0]).at(b, &spec.epilogue, 1, indices[1]);
        nest::for_tiles(b, spec.ow, spec.tile_pixels, |b, x, count| {
            let src = b.index(src, x, spec.src.pixel);
            let operands = operands.at(b, &spec.epilogue, 2, x);
            let (src, stride) = match self.copies {
                None => (src, spec.src.pixel),
                Some(copies) => {
                    copies.write(b, src, spec.src.pixel, count);
                    (copies.scratch, copies.layout.pixel as i64)
                }
            };
            body(self, b, &Pixels { count, src, stride, operands });
        });
    }

    /// One block of output channels of a tile.
    fn block(&self, b: &mut Builder, pixels: &Pixels, block: Val) {
        let header = b.index(self.weights, block, ConvLayout::HEADER_BYTES as i64);
        let channels = b.load_int(header, ConvLayout::CHANNELS, IntMem::I32);
        let sizes = self.spec.block_channels.iter().map(|&(_, channels)| channels);
        nest::for_size(b, channels, sizes, &|b, size| self.block_body(b, pixels, header, size));
    }

    fn block_body(&self, b: &mut Builder, pixels: &Pixels, header: Pointer, channels: usize) {
        let accumulators = self.accumulate(b, pixels, header);
        let first_channel = b.load_int(header, ConvLayout::FIRST_CHANNEL, IntMem::I32);
        let operands = pixels.operands.at_channel(b, &self.spec.epilogue, first_channel);
        for (vector, channel, strip) in Strip::cut(b.width(), self.spec.block_vectors, channels) {
            let of_strip: Vec<Vec<Val>> =
                accumulators.iter().map(|pixel| pixel[vector..vector + strip.vectors].to_vec()).collect();
            let tile = Tile { pixels: pixels.count, channel, strip };
            epilogue::apply(b, &self.spec.epilogue, &operands, tile, &of_strip);
        }
    }

    /// `accumulators[pixel][vector]` after all entries.
    fn accumulate(&self, b: &mut Builder, pixels: &Pixels, header: Pointer) -> Vec<Vec<Val>> {
        let vectors = self.spec.block_vectors;
        let [init, offsets, entries] = [ConvLayout::INIT, ConvLayout::OFFSETS, ConvLayout::ENTRIES].map(|field| {
            let at = b.load_int(header, field, IntMem::I32);
            b.advance(self.weights, at)
        });
        let (ty, bytes) = (if self.spec.mac == Mac::F32 { Ty::VF32 } else { Ty::V32 }, b.width().bytes());
        let starts: Vec<Val> = (0..vectors).map(|v| b.load(ty, init, (v * bytes) as i32)).collect();
        // Accumulators first, those of one vector together: back ends compute loop arguments in order, so that a weight
        // vector is loaded, used by all pixels and gone. By pixels, all weight vectors would live through the loop.
        let mut carried: Vec<Val> = starts.iter().flat_map(|&start| vec![start; pixels.count]).collect();
        carried.extend([entries.base, offsets.base]);
        carried.extend(self.next_entries(b, header));
        let zero = b.int(0);
        for (i, list) in self.layout.lists().into_iter().enumerate() {
            let count = b.load_int(header, ConvLayout::COUNTS + 4 * i as i32, IntMem::I32);
            carried = b.for_range((zero, count, 1), &carried, |b, _, carried| self.entry(b, pixels, list, carried));
        }
        transposed(&carried[..vectors * pixels.count], pixels.count)
    }

    /// Entries of the next block, to be fetched along with this block's: where blocks are the outer loop, they are in no near cache
    /// yet. A single tile with dot products reads weights as fast as they come anyhow, without a stop. Behind the last header stand
    /// other numbers, and a prefetch may have any address.
    fn next_entries(&self, b: &mut Builder, header: Pointer) -> Option<Val> {
        let spec = self.spec;
        let is_stream = spec.mac == Mac::U8I8Dot && spec.batch * spec.oh * spec.ow <= spec.tile_pixels;
        (spec.blocks_outer && !is_stream).then(|| {
            let next = ConvLayout::HEADER_BYTES as i32 + ConvLayout::ENTRIES;
            let at = b.load_int(header, next, IntMem::I32);
            b.advance(self.weights, at).base
        })
    }

    /// One entry: all pixels times all vectors.
    fn entry(&self, b: &mut Builder, pixels: &Pixels, list: List, carried: &[Val]) -> Vec<Val> {
        let vectors = self.spec.block_vectors;
        let (accumulators, pointers) = carried.split_at(vectors * pixels.count);
        let mut pointers = pointers.iter().map(|&base| Pointer { base, mem: self.weights.mem });
        let (Some(entries), Some(offsets)) = (pointers.next(), pointers.next()) else {
            panic!("internal error: a list without entries")
        };
        let ahead = pointers.next();
        let src: Vec<Pointer> = (0..list.quads())
            .map(|quad| {
                let offset = b.load_int(offsets, 4 * quad as i32, IntMem::I32);
                b.advance(pixels.src, offset)
            })
            .collect();
        let entry_vectors = self.layout.entry_vectors(list);
        let (ty, bytes) = (self.weight_ty(), b.width().bytes());
        let weights: Vec<Val> = (0..entry_vectors).map(|v| b.load(ty, entries, (v * bytes) as i32)).collect();
        if let Some(ahead) = ahead {
            (0..entry_vectors * bytes).step_by(Cache::LINE).for_each(|line| b.prefetch(Cache::L2, ahead, line as i32));
        }
        let mut sums: Vec<Vec<Val>> = Vec::new();
        for (pixel, accumulators) in transposed(accumulators, pixels.count).iter().enumerate() {
            let splat = |src: &Pointer| {
                let (src, offset) = displaced(b, *src, pixel as i64 * pixels.stride);
                b.load_splat32(ty, src, offset)
            };
            let sources: Vec<Val> = src.iter().map(splat).collect();
            sums.push(self.products(b, list, &sources, &weights, accumulators));
        }
        let mut next = transposed(&sums.concat(), vectors).concat();
        let (entry_step, offset_step) = (b.int((entry_vectors * bytes) as i64), b.int(4 * list.quads() as i64));
        next.push(b.advance(entries, entry_step).base);
        next.push(b.advance(offsets, offset_step).base);
        next.extend(ahead.map(|ahead| b.advance(ahead, entry_step).base));
        next
    }

    /// The accumulators of a pixel with the products of an entry, whose quads are `sources`.
    fn products(
        &self,
        b: &mut Builder,
        list: List,
        sources: &[Val],
        weights: &[Val],
        accumulators: &[Val],
    ) -> Vec<Val> {
        let products = accumulators.iter().zip(weights);
        match (self.spec.mac, sources) {
            (Mac::U8I8, &[first, second]) => paired_products(b, [first, second], weights, accumulators),
            (Mac::U8I8, &[source]) => narrow_products(b, source, weights, list, accumulators),
            (Mac::U8I16, &[source]) => wide_products(b, source, weights, accumulators),
            (Mac::U8I8Dot, &[source]) => products.map(|(&sum, &weight)| b.dot4_any(sum, source, weight)).collect(),
            (Mac::F32, &[source]) => products.map(|(&sum, &weight)| b.mul_add(source, weight, sum)).collect(),
            (Mac::U8I8 | Mac::U8I16 | Mac::U8I8Dot | Mac::F32, _) => {
                panic!("internal error: {list:?} of other sources")
            }
        }
    }

    fn weight_ty(&self) -> Ty {
        match self.spec.mac {
            Mac::U8I8 | Mac::U8I8Dot => Ty::V8,
            Mac::U8I16 => Ty::V16,
            Mac::F32 => Ty::VF32,
        }
    }
}

/// Rows of `columns` values as columns: `result[column][row]`.
fn transposed(values: &[Val], columns: usize) -> Vec<Vec<Val>> {
    (0..columns).map(|column| values.iter().copied().skip(column).step_by(columns).collect()).collect()
}

/// Four u8 x i8 per lane, plainly or in the XOR form as the list says for each vector.
fn narrow_products(b: &mut Builder, source: Val, weights: &[Val], list: List, accumulators: &[Val]) -> Vec<Val> {
    let mut weights = weights.iter().copied();
    let mut next_weight = || weights.next().unwrap_or(source);
    let mut next = Vec::with_capacity(accumulators.len());
    for (vector, &accumulator) in accumulators.iter().enumerate() {
        let weight = next_weight();
        next.push(if list.is_xor(vector) {
            let mask = next_weight();
            let signed = b.vec_op(VecOp::Xor, source, mask);
            b.dot4(accumulator, weight, signed)
        } else {
            b.dot4(accumulator, source, weight)
        });
    }
    next
}

/// Two quads of u8 x i8, plain, whose pairs fit i16 together.
fn paired_products(b: &mut Builder, sources: [Val; 2], weights: &[Val], accumulators: &[Val]) -> Vec<Val> {
    let ones = b.splat_const(Ty::V16, 1);
    let (first, second) = weights.split_at(accumulators.len());
    let products = accumulators.iter().zip(first).zip(second).map(|((&accumulator, &first), &second)| {
        let first = b.madd_ubs(sources[0], first);
        let second = b.madd_ubs(sources[1], second);
        let pairs = b.vadd(first, second);
        let quads = b.madd(pairs, ones);
        b.vadd(accumulator, quads)
    });
    products.collect()
}

/// Four u8 x i16 per lane: even bytes, then odd ones.
fn wide_products(b: &mut Builder, source: Val, weights: &[Val], accumulators: &[Val]) -> Vec<Val> {
    let low_bytes = b.splat_const(Ty::V16, 0xff);
    let even = b.vec_op(VecOp::And, source, low_bytes);
    let odd = b.shift(ShiftOp::RightUnsigned, source, 8);
    let products = accumulators.iter().zip(weights.chunks(2)).map(|(&accumulator, pair)| {
        let even = b.madd(even, pair[0]);
        let odd = b.madd(odd, pair[1]);
        let sum = b.vadd(accumulator, even);
        b.vadd(sum, odd)
    });
    products.collect()
}
