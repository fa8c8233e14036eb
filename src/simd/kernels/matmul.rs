//! Products of two matrices known only at run time, in the forms of [`MatMulForm`]. Exact for bytes, in both of theirs:
//!
//! - words: both operands are widened to i16 in the scratch memory ([`MatMulScratch`]), pairs of k side by side, and multiplied
//!   with `madd`, which cannot overflow;
//! - bytes: four of k side by side, multiplied with `dot4`. It takes u8 times i8, so an i8 `a` is read as `a + 128`, and sums
//!   start with -128 times the sum of their column of `b`.
//!
//! An item is all columns of a product, or some blocks of them: where there are few products, for more threads. Each packs
//! what it reads.
//!
//! Per item: pack both operands, then tiles of rows times blocks of columns, accumulators in registers.

mod pack;

use crate::lower::kernel::{MatMulForm, MatMulSpec};
use crate::lower::pack::MatMulScratch;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{IntOp, Ty, Val, Width};

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
    let sizes: Vec<usize> = spec.batch.iter().copied().chain([spec.parts()]).collect();
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &sizes);
        let (&part, batch) = indices.split_last().expect("internal error: an item without a part");
        let a = nest::at(b, a, batch, &spec.a_batch);
        let rhs = nest::at(b, rhs, batch, &spec.b_batch);
        let mut operands = operands.clone();
        for (dim, &index) in batch.iter().enumerate() {
            operands = operands.at(b, &spec.epilogue, dim, index);
        }
        let scratch = b.index(scratch, item, layout.item_bytes as i64);
        for_part(b, spec, part, |b, part, first| {
            let (rhs, operands) = match first {
                Some(first) => (b.index(rhs, first, spec.b_n), operands.at_channel(b, &spec.epilogue, first)),
                None => (rhs, operands.clone()),
            };
            let product = Product { spec: part, layout: &layout, a, rhs, scratch };
            product.pack(b);
            product.multiply(b, &operands);
        });
    });
}

/// Runs the body for part number `part` of a product: with what that part computes, and its first column where there are several.
fn for_part(b: &mut Builder, spec: &MatMulSpec, part: Val, body: impl Fn(&mut Builder, &MatMulSpec, Option<Val>)) {
    if spec.parts() == 1 {
        return body(b, spec, None);
    }
    let first = b.imul_imm(part, spec.item_columns as i64);
    let left = b.int(spec.n as i64);
    let left = b.int_op(IntOp::Sub, left, first);
    let most = b.int(spec.item_columns as i64);
    let columns = b.int_op(IntOp::MinS, left, most);
    let last = spec.n - (spec.parts() - 1) * spec.item_columns;
    nest::for_size(b, columns, [last, spec.item_columns], &|b, columns| body(b, &spec.part(columns), Some(first)));
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
        let layout = self.layout;
        let ty = match layout.form {
            MatMulForm::F32 => Ty::VF32,
            MatMulForm::Words => Ty::V16,
            MatMulForm::Bytes => Ty::V8,
        };
        let (a, row_bytes, step) = match layout.a_in_place {
            true => (self.a, self.spec.a_m, self.spec.a_k * layout.form.step() as i64),
            false => (self.scratch, 4 * layout.steps as i64, 4),
        };
        let a = b.index(a, row, row_bytes);
        let width = b.width().bytes();
        let mut init: Vec<Val> = std::iter::repeat_n(self.starts(b, weights, vectors), rows).flatten().collect();
        init.extend([weights.base, a.base]);
        let (begin, end) = (b.int(0), b.int(layout.steps as i64));
        let sums = b.for_range((begin, end, 1), &init, |b, _, carried| {
            let (sums, pointers) = carried.split_at(rows * vectors);
            let weights = Pointer { base: pointers[0], mem: weights.mem };
            let a = Pointer { base: pointers[1], mem: a.mem };
            let columns: Vec<Val> = (0..vectors).map(|v| b.load(ty, weights, (v * width) as i32)).collect();
            let mut next = Vec::with_capacity(carried.len());
            for (i, sums) in sums.chunks(vectors).enumerate() {
                let (a, offset) = epilogue::displaced(b, a, i as i64 * row_bytes);
                let source = b.load_splat32(ty, a, offset);
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

    /// What the sums of a row start with, in the vectors of a block.
    fn starts(&self, b: &mut Builder, block: Pointer, vectors: usize) -> Vec<Val> {
        if self.layout.has_starts {
            let at = b.int(self.starts_at(b.width()) as i64);
            let starts = b.advance(block, at);
            return (0..vectors).map(|v| b.load(Ty::V32, starts, (v * b.width().bytes()) as i32)).collect();
        }
        let zero = match self.layout.form {
            MatMulForm::F32 => b.splat_const_f32(0.0),
            MatMulForm::Words | MatMulForm::Bytes => b.splat_const(Ty::V32, 0),
        };
        vec![zero; vectors]
    }

    /// Where a block has the starts of its sums.
    fn starts_at(&self, width: Width) -> usize {
        self.layout.steps * MatMulScratch::VECTORS * width.bytes()
    }
}

/// `sum + source * column`
fn product(b: &mut Builder, sum: Val, source: Val, column: Val) -> Val {
    match b.ty(source) {
        Ty::VF32 => b.mul_add(source, column, sum),
        Ty::V16 => {
            let product = b.madd(source, column);
            b.vadd(sum, product)
        }
        _ => b.dot4_any(sum, source, column),
    }
}
