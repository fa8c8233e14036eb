//! Convolution and products with constant matrices: tiles of pixels times blocks of output channels, accumulators in registers.
//!
//! The inner loop walks the entries of a list ([`ConvLayout`]): a source offset and the weights of a block. Each pixel of the
//! tile broadcasts its four bytes (one element in f32) and multiplies them with every weight vector. All forms of an integer
//! product are exact, see `lower::pack`.
//!
//! Loops: rows, tiles of a row, blocks; or blocks, rows, tiles when weights should stay in cache.

use crate::lower::kernel::{ConvSpec, Mac};
use crate::lower::pack::{ConvLayout, List};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{IntMem, ShiftOp, Ty, Val, VecOp};

use super::Items;
use super::epilogue::{self, Operands, Tile, displaced};
use super::nest;
use super::strip::Strip;

pub fn build(b: &mut Builder, spec: &ConvSpec, operands: &[Pointer], items: Items) {
    let &[src, weights, ref rest @ ..] = operands else { panic!("internal error: conv without source and weights") };
    let conv = Conv { spec, layout: ConvLayout { mac: spec.mac, vectors: spec.block_vectors }, weights };
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
}

/// Pixels side by side: where their source and their results are.
struct Pixels {
    count: usize,
    src: Pointer,
    operands: Operands,
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
            body(self, b, &Pixels { count, src, operands });
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
        let zero = b.int(0);
        for (i, list) in self.layout.lists().into_iter().enumerate() {
            let count = b.load_int(header, ConvLayout::COUNTS + 4 * i as i32, IntMem::I32);
            carried = b.for_range((zero, count, 1), &carried, |b, _, carried| self.entry(b, pixels, list, carried));
        }
        transposed(&carried[..vectors * pixels.count], pixels.count)
    }

    /// One entry: all pixels times all vectors.
    fn entry(&self, b: &mut Builder, pixels: &Pixels, list: List, carried: &[Val]) -> Vec<Val> {
        let vectors = self.spec.block_vectors;
        let (accumulators, pointers) = carried.split_at(vectors * pixels.count);
        let [entries, offsets] = [pointers[0], pointers[1]].map(|base| Pointer { base, mem: self.weights.mem });
        let src: Vec<Pointer> = (0..list.quads())
            .map(|quad| {
                let offset = b.load_int(offsets, 4 * quad as i32, IntMem::I32);
                b.advance(pixels.src, offset)
            })
            .collect();
        let entry_vectors = self.layout.entry_vectors(list);
        let (ty, bytes) = (self.weight_ty(), b.width().bytes());
        let weights: Vec<Val> = (0..entry_vectors).map(|v| b.load(ty, entries, (v * bytes) as i32)).collect();
        let mut sums: Vec<Vec<Val>> = Vec::new();
        for (pixel, accumulators) in transposed(accumulators, pixels.count).iter().enumerate() {
            let splat = |b: &mut Builder, ty: Ty, quad: usize| {
                let (src, offset) = displaced(b, src[quad], pixel as i64 * self.spec.src.pixel);
                b.load_splat32(ty, src, offset)
            };
            let source = splat(b, self.weight_ty(), 0);
            sums.push(match self.spec.mac {
                Mac::U8I8 if list == List::Pairs => {
                    let other = splat(b, Ty::V8, 1);
                    paired_products(b, [source, other], &weights, accumulators)
                }
                Mac::U8I8 => narrow_products(b, source, &weights, list, accumulators),
                Mac::U8I8Dot => {
                    let products = accumulators.iter().zip(&weights);
                    let multiply = |(&accumulator, &weight)| b.dot4_any(accumulator, source, weight);
                    products.map(multiply).collect()
                }
                Mac::U8I16 => wide_products(b, source, &weights, accumulators),
                Mac::F32 => {
                    let multiply = |(&accumulator, &weight)| {
                        let product = b.fmul(source, weight);
                        b.fadd(accumulator, product)
                    };
                    accumulators.iter().zip(&weights).map(multiply).collect()
                }
            });
        }
        let mut next = transposed(&sums.concat(), vectors).concat();
        let (entry_step, offset_step) = (b.int((entry_vectors * bytes) as i64), b.int(4 * list.quads() as i64));
        next.push(b.advance(entries, entry_step).base);
        next.push(b.advance(offsets, offset_step).base);
        next
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
