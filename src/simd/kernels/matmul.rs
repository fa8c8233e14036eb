//! Products of two matrices known only at run time. Exact for bytes: both operands are widened to i16 in the scratch memory
//! ([`MatMulScratch`]), pairs of k side by side, and multiplied with `madd`, which cannot overflow.
//!
//! Per item: pack both operands, then tiles of rows times blocks of columns, accumulators in registers.

mod pack;

use crate::lower::kernel::MatMulSpec;
use crate::lower::pack::MatMulScratch;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Ty, Val, Width};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;
use super::strip::Strip;

/// Rows of `a` in a tile: as many sums as registers hold beside two vectors of columns.
fn tile_rows(width: Width) -> usize {
    if width == Width::W512 { 8 } else { 4 }
}

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
    fn multiply(&self, b: &mut Builder, operands: &Operands) {
        let spec = self.spec;
        let rows_dim = spec.batch.len();
        let b_at = b.int(self.layout.b_at as i64);
        let columns = b.advance(self.scratch, b_at);
        nest::for_tiles(b, spec.m, tile_rows(b.width()), |b, row, rows| {
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
