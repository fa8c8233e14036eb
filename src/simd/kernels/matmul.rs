//! Products of two matrices known only at run time. Exact for bytes: both operands are widened to i16 in the scratch memory
//! ([`MatMulScratch`]), pairs of k side by side, and multiplied with `madd`, which cannot overflow.
//!
//! Per item: pack both operands, then tiles of rows times blocks of columns, accumulators in registers.

use crate::ir::ElemType;
use crate::lower::kernel::MatMulSpec;
use crate::lower::pack::MatMulScratch;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, IntMem, Ty, Val};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;
use super::strip::Strip;

/// Rows of `a` in a tile.
const TILE_ROWS: usize = 4;

pub fn build(b: &mut Builder, spec: &MatMulSpec, operands: &[Pointer], items: Items) {
    let &[a, rhs, scratch, ref rest @ ..] = operands else { panic!("internal error: matrix product without operands") };
    let layout = MatMulScratch::new(spec, b.width());
    let operands = Operands::new(&spec.epilogue, rest);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &spec.batch);
        let a = nest::at(b, a, &indices, &spec.a_batch);
        let rhs = nest::at(b, rhs, &indices, &spec.b_batch);
        let mut operands = operands.clone();
        for (dim, &index) in indices.iter().enumerate() {
            operands = operands.at(b, &spec.epilogue, dim, index);
        }
        let scratch = b.index(scratch, item, layout.item_bytes as i64);
        let product = Product { spec, layout: &layout, a, rhs, scratch };
        product.pack(b);
        product.multiply(b, &operands);
    });
}

/// One product of two matrices.
struct Product<'a> {
    spec: &'a MatMulSpec,
    layout: &'a MatMulScratch,
    a: Pointer,
    rhs: Pointer,
    scratch: Pointer,
}

impl Product<'_> {
    fn pack(&self, b: &mut Builder) {
        let spec = self.spec;
        if !self.layout.is_float {
            nest::for_count(b, spec.m, |b, m| {
                let a = b.index(self.a, m, spec.a_m);
                let packed = b.index(self.scratch, m, 4 * self.layout.steps as i64);
                self.pack_pairs(b, (a, spec.a_elem, spec.a_k), packed, 4);
            });
        }
        nest::for_count(b, spec.n, |b, n| {
            let rhs = b.index(self.rhs, n, spec.b_n);
            let place = self.column_place(b, n);
            let packed = b.advance(self.scratch, place);
            let step = (MatMulScratch::VECTORS * b.width().bytes()) as i64;
            if self.layout.is_float {
                nest::for_count(b, spec.k, |b, k| {
                    let (from, to) = (b.index(rhs, k, spec.b_k), b.index(packed, k, step));
                    let value = b.load_int(from, 0, IntMem::I32);
                    b.store_int(to, 0, IntMem::I32, value);
                });
            } else {
                self.pack_pairs(b, (rhs, spec.b_elem, spec.b_k), packed, step);
            }
        });
    }

    /// Pairs of neighbours along k, as i16, every `step` bytes; behind the last element of an odd k stands a zero.
    fn pack_pairs(&self, b: &mut Builder, from: (Pointer, ElemType, i64), to: Pointer, step: i64) {
        let (src, elem, stride) = from;
        let kind = if elem == ElemType::I8 { IntMem::I8 } else { IntMem::U8 };
        let pair = |b: &mut Builder, index: Val, both: bool| {
            let src = b.index(src, index, 2 * stride);
            let to = b.index(to, index, step);
            let low = b.load_int(src, 0, kind);
            b.store_int(to, 0, IntMem::I16, low);
            let high = if both {
                let stride = b.int(stride);
                let next = b.advance(src, stride);
                b.load_int(next, 0, kind)
            } else {
                b.int(0)
            };
            b.store_int(to, 2, IntMem::I16, high);
        };
        let whole = self.spec.k / 2;
        let (zero, end) = (b.int(0), b.int(whole as i64));
        b.for_each(zero, end, 1, |b, index| pair(b, index, true));
        if self.spec.k % 2 == 1 {
            pair(b, end, false);
        }
    }

    /// Offset in the scratch memory of column `n` of `b`: its block, and its lane there in the order of a strip.
    fn column_place(&self, b: &mut Builder, n: Val) -> Val {
        let (vectors, width) = (MatMulScratch::VECTORS as i64, b.width().bytes() as i64);
        let block = b.div_imm(n, self.layout.block as i64);
        let in_block = b.rem_imm(n, self.layout.block as i64);
        let chunk = b.div_imm(in_block, 4 * vectors);
        let quad = b.div_imm(in_block, 4);
        let vector = b.rem_imm(quad, vectors);
        let lane = b.rem_imm(in_block, 4);
        let terms = [(block, self.layout.block_bytes as i64), (chunk, CHUNK as i64), (vector, width), (lane, 4)];
        let start = b.int(self.layout.b_at as i64);
        terms.into_iter().fold(start, |sum, (index, bytes)| {
            let term = b.imul_imm(index, bytes);
            b.iadd(sum, term)
        })
    }

    fn multiply(&self, b: &mut Builder, operands: &Operands) {
        let spec = self.spec;
        let rows_dim = spec.batch.len();
        let b_at = b.int(self.layout.b_at as i64);
        let columns = b.advance(self.scratch, b_at);
        nest::for_tiles(b, spec.m, TILE_ROWS, |b, row, rows| {
            let operands = operands.at(b, &spec.epilogue, rows_dim, row);
            nest::for_strips(b, spec.n, MatMulScratch::VECTORS, |b, column, strip| {
                // a partial block is packed like a whole one
                let strip = Strip { vectors: MatMulScratch::VECTORS, ..strip };
                let block = b.div_imm(column, self.layout.block as i64);
                let weights = b.index(columns, block, self.layout.block_bytes as i64);
                let accumulators = self.accumulate(b, row, rows, weights, strip.live());
                let operands = operands.at_channel(b, &spec.epilogue, column);
                epilogue::apply(b, &spec.epilogue, &operands, Tile { pixels: rows, channel: 0, strip }, &accumulators);
            });
        });
    }

    /// `accumulators[row][vector]` of a tile.
    fn accumulate(&self, b: &mut Builder, row: Val, rows: usize, weights: Pointer, vectors: usize) -> Vec<Vec<Val>> {
        let (ty, weight_ty) = if self.layout.is_float { (Ty::VF32, Ty::VF32) } else { (Ty::V32, Ty::V16) };
        let (a, row_bytes, step) = if self.layout.is_float {
            (b.index(self.a, row, self.spec.a_m), self.spec.a_m, self.spec.a_k)
        } else {
            let row_bytes = 4 * self.layout.steps as i64;
            (b.index(self.scratch, row, row_bytes), row_bytes, 4)
        };
        let width = b.width().bytes();
        let zero = if ty == Ty::VF32 { b.splat_const_f32(0.0) } else { b.splat_const(ty, 0) };
        let mut init = vec![zero; rows * vectors];
        init.extend([weights.base, a.base]);
        let (begin, end) = (b.int(0), b.int(self.layout.steps as i64));
        let sums = b.for_range((begin, end, 1), &init, |b, _, carried| {
            let (sums, pointers) = carried.split_at(rows * vectors);
            let weights = Pointer { base: pointers[0], mem: weights.mem };
            let a = Pointer { base: pointers[1], mem: a.mem };
            let columns: Vec<Val> = (0..vectors).map(|v| b.load(weight_ty, weights, (v * width) as i32)).collect();
            let mut next = Vec::with_capacity(carried.len());
            for (i, sums) in sums.chunks(vectors).enumerate() {
                let (a, offset) = epilogue::displaced(b, a, i as i64 * row_bytes);
                let source = b.load_splat32(weight_ty, a, offset);
                next.extend(sums.iter().zip(&columns).map(|(&sum, &column)| product(b, sum, source, column)));
            }
            let weight_step = b.int((MatMulScratch::VECTORS * width) as i64);
            next.push(b.advance(weights, weight_step).base);
            let step = b.int(step);
            next.push(b.advance(a, step).base);
            next
        });
        sums[..rows * vectors].chunks(vectors).map(<[Val]>::to_vec).collect()
    }
}

fn product(b: &mut Builder, sum: Val, source: Val, column: Val) -> Val {
    if b.ty(sum) == Ty::VF32 {
        let product = b.fmul(source, column);
        b.fadd(sum, product)
    } else {
        let product = b.madd(source, column);
        b.vadd(sum, product)
    }
}
