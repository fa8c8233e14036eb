//! Products at each position, and the transform of their sums: `y = R M Ct / (9 * 2^s)`, then the epilogue.
//!
//! Per block of output channels: for each chunk of input channels and each row of positions, the weights of the row are
//! transformed into scratch memory and multiplied with all tiles. Then results are made tile by tile; columns first, which are
//! stored where they were, so that few values live at a time.

use crate::lower::kernel::WinogradSpec;
use crate::lower::pack::WinogradLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cache, Cmp, Mem, ShiftOp, Ty, Val, VecOp, Widen, Width};
use crate::simd::kernels::epilogue::{self, Operands, Tile};
use crate::simd::kernels::strip::Strip;
use crate::simd::kernels::{Items, nest};

use super::points::Side;
use super::tiles;

const PATCH: usize = WinogradLayout::PATCH;
const TILE: usize = WinogradLayout::TILE;
const VECTORS: usize = WinogradLayout::VECTORS;
/// 9 * INVERSE_OF_9 == 1 modulo 2^32.
const INVERSE_OF_9: u32 = 954_437_177;

pub fn build(b: &mut Builder, spec: &WinogradSpec, operands: &[Pointer], items: Items) {
    let &[transformed, weights, scratch, ref rest @ ..] = operands else {
        panic!("internal error: a Winograd convolution without operands")
    };
    let layout = WinogradLayout::of(b.width(), spec);
    assert_eq!(spec.block, WinogradLayout::block(b.width()), "internal error: packed for another width");
    let scratch = b.index(scratch, items.begin, layout.scratch_item() as i64);
    let operands = Operands::new(&spec.epilogue, rest);
    nest::for_items(b, items, |b, item| {
        let blocks = spec.oc.div_ceil(spec.block);
        let indices = nest::indices(b, item, &[blocks, spec.parts]);
        let weights = b.index(weights, indices[0], layout.block_bytes() as i64);
        let first_row = b.imul_imm(indices[1], layout.part_rows() as i64);
        let transformed = b.index(transformed, first_row, (layout.cols * layout.source_tile()) as i64);
        let product = Product { spec, layout: &layout, transformed, weights, scratch, first_row };
        product.multiply(b);
        let first = b.imul_imm(indices[0], spec.block as i64);
        let operands = operands.at_channel(b, &spec.epilogue, first);
        product.results_of(b, indices[0], &operands);
    });
}

/// A part of the tiles of one block of output channels.
struct Product<'a> {
    spec: &'a WinogradSpec,
    layout: &'a WinogradLayout,
    transformed: Pointer,
    weights: Pointer,
    scratch: Pointer,
    /// The part's first row of tiles, of all images.
    first_row: Val,
}

impl Product<'_> {
    fn multiply(&self, b: &mut Builder) {
        let (chunks, _) = self.layout.chunks();
        let zero = b.int(0);
        self.chunk(b, zero, true);
        if chunks > 1 {
            let (one, end) = (b.int(1), b.int(chunks as i64));
            b.for_each(one, end, 1, |b, chunk| self.chunk(b, chunk, false));
        }
    }

    /// Adds the products of a chunk of input channels; the first chunk begins the sums.
    fn chunk(&self, b: &mut Builder, chunk: Val, begins: bool) {
        let (_, pairs) = self.layout.chunks();
        let weights = b.index(self.weights, chunk, (pairs * self.layout.pair()) as i64);
        let source = b.index(self.transformed, chunk, 4 * pairs as i64);
        nest::for_count(b, PATCH, |b, row| {
            self.transform_row(b, weights, row, 0);
            nest::for_count(b, PATCH, |b, column| {
                let first = b.imul_imm(row, PATCH as i64);
                let position = b.iadd(first, column);
                let source = b.index(source, position, self.layout.source_position() as i64);
                let sums = b.index(self.scratch, position, self.layout.product_position() as i64);
                let weights = self.transformed_weights(b, column);
                tiles::for_needed(b, self.layout, [row, column], &|b, tiles| {
                    self.position(b, source, weights, sums, (begins, tiles));
                });
            });
        });
    }

    /// Transformed weights of a column of positions, in scratch memory.
    fn transformed_weights(&self, b: &mut Builder, column: Val) -> Pointer {
        let at = b.int(self.layout.weights_at() as i64);
        let all = b.advance(self.scratch, at);
        b.index(all, column, self.layout.weights_position() as i64)
    }

    /// Transforms the weights of row `row` of positions: each row is other code.
    fn transform_row(&self, b: &mut Builder, weights: Pointer, row: Val, candidate: usize) {
        if candidate == PATCH - 1 {
            return self.transform_weights(b, weights, candidate);
        }
        let expected = b.int(candidate as i64);
        let same = b.int_cmp(Cmp::Eq, row, expected);
        b.if_else(
            same,
            |b| {
                self.transform_weights(b, weights, candidate);
                Vec::new()
            },
            |b| {
                self.transform_row(b, weights, row, candidate + 1);
                Vec::new()
            },
        );
    }

    fn transform_weights(&self, b: &mut Builder, weights: Pointer, row: usize) {
        let layout = self.layout;
        let zero = b.int(0);
        let to = self.transformed_weights(b, zero);
        let taps = b.int(layout.starts() as i64);
        let weights = b.advance(weights, taps);
        nest::for_count(b, layout.chunks().1, |b, pair| {
            let from = b.index(weights, pair, layout.pair() as i64);
            let to = b.index(to, pair, layout.weights_pair() as i64);
            self.prefetch_next(b, from, row);
            for vector in 0..VECTORS {
                let columns: [Val; 3] = std::array::from_fn(|column| {
                    let tap = |y: usize| ((9 * vector + 3 * y + column) * layout.tap()) as i32;
                    let mut weight = |b: &mut Builder, y| b.load_widen(Widen::I8ToI16, from, tap(y));
                    row_of_weights(b, row, &mut weight)
                });
                for (column, value) in weights_to_points(b, columns).into_iter().enumerate() {
                    let at = column * layout.weights_position() + vector * b.width().bytes();
                    b.store(to, at as i32, value);
                }
            }
        });
    }

    /// Fetches a part of the pair's lines in the next chunk, or the next block, which lies behind this one: each row of positions
    /// its part, so that the first one to read them does not wait for memory.
    fn prefetch_next(&self, b: &mut Builder, pair: Pointer, row: usize) {
        let layout = self.layout;
        let chunk = layout.chunks().1 * layout.pair();
        let lines = layout.pair().div_ceil(Cache::LINE);
        for line in (row..lines).step_by(PATCH) {
            b.prefetch(Cache::L2, pair, (chunk + line * Cache::LINE) as i32);
        }
    }

    /// Sums of `count` tiles from `first` on at one position.
    fn position(
        &self,
        b: &mut Builder,
        source: Pointer,
        weights: Pointer,
        sums: Pointer,
        (begins, (first, count)): (bool, (usize, usize)),
    ) {
        nest::for_tiles(b, count, tiles_at_once(b.width()), |b, tile, count| {
            let tile = b.iadd_imm(tile, first as i64);
            let source = b.index(source, tile, self.layout.source_tile() as i64);
            let sums = b.index(sums, tile, self.layout.product_tile() as i64);
            self.tiles(b, source, weights, sums, count, begins);
        });
    }

    fn tiles(&self, b: &mut Builder, source: Pointer, weights: Pointer, sums: Pointer, count: usize, begins: bool) {
        let (layout, bytes) = (self.layout, b.width().bytes());
        let place = |vector: usize, tile: usize| (tile * layout.product_tile() + vector * bytes) as i32;
        // Sums of one vector together, as in `conv`.
        let places: Vec<i32> = (0..VECTORS).flat_map(|v| (0..count).map(move |tile| place(v, tile))).collect();
        let start =
            |b: &mut Builder, at: i32| if begins { b.splat_const(Ty::V32, 0) } else { b.load(Ty::V32, sums, at) };
        let mut carried: Vec<Val> = places.iter().map(|&at| start(b, at)).collect();
        carried.extend([source.base, weights.base]);
        let (zero, pairs) = (b.int(0), b.int(layout.chunks().1 as i64));
        let sums_of = b.for_range((zero, pairs, 1), &carried, |b, _, carried| {
            let (old, pointers) = carried.split_at(VECTORS * count);
            let source = Pointer { base: pointers[0], mem: Mem::Const };
            let from = Pointer { base: pointers[1], mem: weights.mem };
            let vectors: [Val; VECTORS] = std::array::from_fn(|v| b.load(Ty::V16, from, (v * bytes) as i32));
            let mut next = old.to_vec();
            for tile in 0..count {
                let pair = b.load_splat32(Ty::V16, source, (tile * layout.source_tile()) as i32);
                for (vector, &weight) in vectors.iter().enumerate() {
                    let product = b.madd(pair, weight);
                    next[vector * count + tile] = b.vadd(old[vector * count + tile], product);
                }
            }
            let (pair_bytes, vector_bytes) = (b.int(4), b.int(layout.weights_pair() as i64));
            next.push(b.advance(source, pair_bytes).base);
            next.push(b.advance(from, vector_bytes).base);
            next
        });
        for (&at, &sum) in places.iter().zip(&sums_of) {
            b.store(sums, at, sum);
        }
    }

    /// Results of all tiles. The last block may have fewer channels: that is other code.
    fn results_of(&self, b: &mut Builder, block: Val, operands: &Operands) {
        let spec = self.spec;
        let rest = spec.oc % spec.block;
        if rest == 0 || spec.oc < spec.block {
            return self.results(b, operands, if rest == 0 { spec.block } else { rest });
        }
        let last = b.int((spec.oc / spec.block) as i64);
        let whole = b.int_cmp(Cmp::Lt, block, last);
        b.if_else(
            whole,
            |b| {
                self.results(b, operands, spec.block);
                Vec::new()
            },
            |b| {
                self.results(b, operands, rest);
                Vec::new()
            },
        );
    }

    fn results(&self, b: &mut Builder, operands: &Operands, channels: usize) {
        let (spec, layout) = (self.spec, self.layout);
        nest::for_count(b, layout.part_rows(), |b, part_row| {
            let row = b.iadd(self.first_row, part_row);
            let at = nest::indices(b, row, &[spec.batch, layout.rows]);
            let operands = operands.at(b, &spec.epilogue, 0, at[0]);
            tiles::for_row_side(b, layout, at[1], &|b, side| {
                tiles::for_tiles_of_row(b, layout, part_row, side, &mut |b, x, number, cols| {
                    let sums = b.index(self.scratch, number, layout.product_tile() as i64);
                    let pixel = b.imul_imm(x, TILE as i64);
                    let operands = operands.at(b, &spec.epilogue, 2, pixel);
                    self.result(b, sums, &operands, at[1], ([side, cols], channels));
                });
            });
        });
    }

    /// Results of one tile in row `row` of tiles.
    fn result(
        &self,
        b: &mut Builder,
        sums: Pointer,
        operands: &Operands,
        row: Val,
        ([row_side, col_side], channels): ([Side; 2], usize),
    ) {
        let spec = self.spec;
        let strip = Strip { vectors: VECTORS, valid: channels, natural: false };
        for (vector, column) in (0..strip.live()).flat_map(|v| col_side.positions().into_iter().map(move |c| (v, c))) {
            let at = |row: usize| self.sum_at(row * PATCH + column, vector);
            let points: Vec<Val> = row_side.positions().into_iter().map(|y| b.load(Ty::V32, sums, at(y))).collect();
            for (y, value) in row_side.rows(b, &points).into_iter().enumerate() {
                b.store(sums, at(y), value);
            }
        }
        let first = b.imul_imm(row, TILE as i64);
        nest::for_count(b, row_side.results, |b, y| {
            let sums = b.index(sums, y, (PATCH * self.layout.product_position()) as i64);
            let y = b.iadd(first, y);
            let operands = operands.at(b, &spec.epilogue, 1, y);
            let mut accumulators = vec![Vec::new(); col_side.results];
            for vector in 0..strip.live() {
                let load = |x| b.load(Ty::V32, sums, self.sum_at(x, vector));
                let points: Vec<Val> = col_side.positions().into_iter().map(load).collect();
                let values = col_side.columns(b, &points);
                let start = b.load(Ty::V32, self.weights, (vector * b.width().bytes()) as i32);
                for ((pixel, value), &shift) in accumulators.iter_mut().zip(values).zip(col_side.shifts()) {
                    pixel.push(quotient(b, value, shift, start));
                }
            }
            let tile = Tile { pixels: col_side.results, channel: 0, strip };
            epilogue::apply(b, &spec.epilogue, &operands, tile, &accumulators);
        });
    }

    fn sum_at(&self, position: usize, vector: usize) -> i32 {
        (position * self.layout.product_position() + vector * self.layout.product_tile() / VECTORS) as i32
    }
}

/// Tiles in registers at once beside two vectors of weights: as in `conv`.
fn tiles_at_once(width: Width) -> usize {
    if width == Width::W512 { 12 } else { 6 }
}

/// Row `row` of G times a column of weights, given by its rows.
fn row_of_weights(b: &mut Builder, row: usize, weight: &mut dyn FnMut(&mut Builder, usize) -> Val) -> Val {
    if row == 0 || row == PATCH - 1 {
        let value = weight(b, if row == 0 { 0 } else { 2 });
        return times(b, value, if row == 0 { 6 } else { 24 });
    }
    let [zero, one, two] = [0, 1, 2].map(|i| weight(b, i));
    let (even, odd) = match row {
        1 | 2 => (b.vadd(zero, two), one),
        _ => {
            let four = b.shift(ShiftOp::Left, two, 2);
            (b.vadd(zero, four), b.vadd(one, one))
        }
    };
    b.vec_op(if row % 2 == 1 { VecOp::Add } else { VecOp::Sub }, even, odd)
}

/// Rows of H times a row of weights.
fn weights_to_points(b: &mut Builder, [zero, one, two]: [Val; 3]) -> [Val; PATCH] {
    let near = b.vadd(zero, two);
    let four = b.shift(ShiftOp::Left, two, 2);
    let (far, twice) = (b.vadd(zero, four), b.vadd(one, one));
    let difference = |b: &mut Builder, even, odd| b.vec_op(VecOp::Sub, even, odd);
    [
        times(b, zero, 6),
        b.vadd(near, one),
        difference(b, near, one),
        b.vadd(far, twice),
        difference(b, far, twice),
        times(b, two, 6),
    ]
}

fn times(b: &mut Builder, value: Val, factor: i64) -> Val {
    let factor = b.splat_const(Ty::V16, factor);
    b.vec_op(VecOp::Mul, value, factor)
}

/// `value / (9 * 2^shift) + start`, where the division has no remainder.
fn quotient(b: &mut Builder, value: Val, shift: u8, start: Val) -> Val {
    let inverse = b.splat_const(Ty::V32, INVERSE_OF_9.into());
    let value = b.vec_op(VecOp::Mul, value, inverse);
    let value = b.shift(ShiftOp::RightSigned, value, shift);
    b.vadd(value, start)
}
