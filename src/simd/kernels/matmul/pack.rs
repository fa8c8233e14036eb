//! Packing of both operands of a product into the scratch memory, as its inner loop reads them ([`MatMulScratch`]).
//!
//! Which way depends on the direction that is contiguous in memory:
//!
//! ```text
//!   a  contiguous along k     rows are widened
//!   b  contiguous along n     rows go by strips; bytes of two rows interleave to pairs
//!   b  contiguous along k     blocks of columns are transposed inside chunks: chunk j holds column j * 8 + i in vector i,
//!                             log2 stages interleave vector i with vector i + n / 2
//! ```
//!
//! What fits none of them, and what is left behind whole blocks, goes element by element. Rows of `a` are written whole
//! vectors at a time: the end of one row is overwritten by the next, and the end of the last by `b`, which is packed
//! after it.

use crate::ir::ElemType;
use crate::lower::pack::MatMulScratch;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, Cmp, Half, IntMem, ShiftOp, Span, Ty, Val, Widen};

use super::Product;
use crate::simd::kernels::nest;
use crate::simd::kernels::strip::Strip;
use crate::simd::kernels::transpose::transposed;

/// Columns in the same chunk of the vectors of a block.
const CHUNK_COLUMNS: i64 = 4 * MatMulScratch::VECTORS as i64;

impl Product<'_> {
    pub(super) fn pack(&self, b: &mut Builder) {
        if !self.layout.is_float {
            self.pack_rows(b);
        }
        let spec = self.spec;
        match (spec.b_n == spec.b_elem.bytes() as i64, spec.b_k == spec.b_elem.bytes() as i64) {
            (true, _) => self.pack_strips(b),
            (false, true) => self.pack_transposed(b),
            (false, false) => self.pack_elements(b, (0, spec.n), (0, self.layout.steps)),
        }
    }

    /// Rows of bytes as i16.
    fn pack_rows(&self, b: &mut Builder) {
        let spec = self.spec;
        let row_bytes = 4 * self.layout.steps as i64;
        let lanes = b.width().bytes() / 2;
        nest::for_count(b, spec.m, |b, m| {
            let (from, to) = (b.index(self.a, m, spec.a_m), b.index(self.scratch, m, row_bytes));
            if spec.a_k != 1 || spec.k % 2 == 1 {
                return self.pack_pairs(b, (from, spec.a_elem, spec.a_k), (to, 4), (0, self.layout.steps));
            }
            let widen = if spec.a_elem == ElemType::I8 { Widen::I8ToI16 } else { Widen::U8ToI16 };
            nest::for_count(b, spec.k.div_ceil(lanes), |b, part| {
                let (from, to) = (b.index(from, part, lanes as i64), b.index(to, part, 2 * lanes as i64));
                let words = b.load_widen(widen, from, 0);
                b.store(to, 0, words);
            });
        });
    }

    /// `b` with neighbours along n.
    fn pack_strips(&self, b: &mut Builder) {
        nest::for_count(b, self.layout.steps, |b, step| {
            let rows = if self.layout.is_float { 1 } else { 2 };
            let from = b.index(self.rhs, step, rows * self.spec.b_k);
            let to = self.step_place(b, step);
            nest::for_strips(b, self.spec.n, MatMulScratch::VECTORS, |b, column, strip| {
                let strip = Strip { vectors: MatMulScratch::VECTORS, ..strip };
                let from = b.index(from, column, self.spec.b_elem.bytes() as i64);
                let block = b.div_imm(column, self.layout.block as i64);
                let to = b.index(to, block, self.layout.block_bytes as i64);
                let vectors = match self.layout.is_float {
                    true => strip.load(b, ElemType::F32, from, 0, false),
                    false => self.pairs_of_rows(b, from, step, strip),
                };
                let width = b.width().bytes();
                for (v, value) in vectors.into_iter().enumerate() {
                    b.store(to, (v * width) as i32, value);
                }
            });
        });
    }

    /// A strip of columns of rows `2 step` and `2 step + 1` as pairs of i16; behind the last row stand zeros.
    fn pairs_of_rows(&self, b: &mut Builder, from: Pointer, step: Val, strip: Strip) -> Vec<Val> {
        let columns = CHUNK_COLUMNS as usize;
        let span = Span { stride: columns as i32, head: columns, limit: self.layout.block.min(strip.valid) };
        let upper = b.load_partial_chunks(Ty::V8, from, 0, span);
        let next = b.int(self.spec.b_k);
        let next = b.advance(from, next);
        let lower = if self.spec.k.is_multiple_of(2) {
            b.load_partial_chunks(Ty::V8, next, 0, span)
        } else {
            let last = b.int(self.layout.steps as i64 - 1);
            let is_inside = b.int_cmp(Cmp::Lt, step, last);
            let load = |b: &mut Builder| vec![b.load_partial_chunks(Ty::V8, next, 0, span)];
            b.if_else(is_inside, load, |b| vec![b.splat_const(Ty::V8, 0)])[0]
        };
        let pairs = b.interleave(Half::Low, 1, upper, lower);
        self.widened(b, pairs).into_iter().take(strip.live()).collect()
    }

    /// Chunks of eight pairs of bytes as two vectors of chunks of four pairs of i16.
    fn widened(&self, b: &mut Builder, pairs: Val) -> [Val; MatMulScratch::VECTORS] {
        let zero = b.splat_const(Ty::V8, 0);
        [Half::Low, Half::High].map(|half| {
            if self.spec.b_elem != ElemType::I8 {
                let words = b.interleave(half, 1, pairs, zero);
                return b.cast(Ty::V16, words);
            }
            let words = b.interleave(half, 1, zero, pairs);
            let words = b.cast(Ty::V16, words);
            b.shift(ShiftOp::RightSigned, words, 8)
        })
    }

    /// `b` with neighbours along k: whole blocks of columns, as many steps as a chunk holds at a time.
    fn pack_transposed(&self, b: &mut Builder) {
        let (spec, layout) = (self.spec, self.layout);
        let elem_bytes = if layout.is_float { 4 } else { 2 };
        let steps_per_chunk = CHUNK / elem_bytes;
        let full_steps = if layout.is_float { spec.k } else { spec.k / 2 };
        let whole_steps = full_steps / steps_per_chunk * steps_per_chunk;
        let whole_columns = spec.n / layout.block * layout.block;
        nest::for_count(b, whole_columns / layout.block, |b, block| {
            let from = b.index(self.rhs, block, layout.block as i64 * spec.b_n);
            let start = b.int(layout.b_at as i64);
            let to = b.advance(self.scratch, start);
            let to = b.index(to, block, layout.block_bytes as i64);
            nest::for_count(b, whole_steps / steps_per_chunk, |b, part| {
                let from = b.index(from, part, CHUNK as i64);
                let to = b.index(to, part, (steps_per_chunk * self.step_bytes(b)) as i64);
                self.transpose(b, from, to, elem_bytes);
            });
        });
        self.pack_elements(b, (0, whole_columns), (whole_steps, layout.steps));
        self.pack_elements(b, (whole_columns, spec.n), (0, layout.steps));
    }

    /// A chunk of every column of a block.
    fn transpose(&self, b: &mut Builder, from: Pointer, to: Pointer, elem_bytes: usize) {
        let (spec, width) = (self.spec, b.width().bytes() as i32);
        let columns: Vec<Val> = (0..CHUNK_COLUMNS)
            .map(|i| {
                let column = b.int(i * spec.b_n);
                let from = b.advance(from, column);
                b.load_chunks(Ty::V8, from, 0, (CHUNK_COLUMNS * spec.b_n) as i32)
            })
            .collect();
        if elem_bytes == 4 {
            for (v, columns) in columns.chunks(4).enumerate() {
                for (step, line) in transposed(b, columns.to_vec(), 4).into_iter().enumerate() {
                    b.store(to, (step as i32 * MatMulScratch::VECTORS as i32 + v as i32) * width, line);
                }
            }
            return;
        }
        for (step, pairs) in transposed(b, columns, 2).into_iter().enumerate() {
            for (v, value) in self.widened(b, pairs).into_iter().enumerate() {
                b.store(to, (step as i32 * MatMulScratch::VECTORS as i32 + v as i32) * width, value);
            }
        }
    }

    /// Columns `columns` of `b` at `steps`, one element after another.
    fn pack_elements(&self, b: &mut Builder, columns: (usize, usize), steps: (usize, usize)) {
        let spec = self.spec;
        if columns.0 == columns.1 || steps.0 == steps.1 {
            return;
        }
        let (first, end) = (b.int(columns.0 as i64), b.int(columns.1 as i64));
        b.for_each(first, end, 1, |b, n| {
            let from = b.index(self.rhs, n, spec.b_n);
            let place = self.column_place(b, n);
            let to = b.advance(self.scratch, place);
            let step_bytes = self.step_bytes(b) as i64;
            if !self.layout.is_float {
                return self.pack_pairs(b, (from, spec.b_elem, spec.b_k), (to, step_bytes), steps);
            }
            let (first, end) = (b.int(steps.0 as i64), b.int(steps.1 as i64));
            b.for_each(first, end, 1, |b, k| {
                let (from, to) = (b.index(from, k, spec.b_k), b.index(to, k, step_bytes));
                let value = b.load_int(from, 0, IntMem::I32);
                b.store_int(to, 0, IntMem::I32, value);
            });
        });
    }

    /// Pairs of neighbours along k, as i16, every `step` bytes; behind the last element of an odd k stands a zero.
    fn pack_pairs(
        &self,
        b: &mut Builder,
        (src, elem, stride): (Pointer, ElemType, i64),
        (to, step): (Pointer, i64),
        steps: (usize, usize),
    ) {
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
        let whole = steps.1.min(self.spec.k / 2);
        let (begin, end) = (b.int(steps.0 as i64), b.int(whole as i64));
        b.for_each(begin, end, 1, |b, index| pair(b, index, true));
        if whole < steps.1 {
            pair(b, end, false);
        }
    }

    /// Bytes of one step of a block.
    fn step_bytes(&self, b: &Builder) -> usize {
        MatMulScratch::VECTORS * b.width().bytes()
    }

    /// Step `step` of the first block.
    fn step_place(&self, b: &mut Builder, step: Val) -> Pointer {
        let start = b.int(self.layout.b_at as i64);
        let columns = b.advance(self.scratch, start);
        let bytes = self.step_bytes(b) as i64;
        b.index(columns, step, bytes)
    }

    /// Offset in the scratch memory of column `n` of `b`: its block, and its lane there in the order of a strip.
    fn column_place(&self, b: &mut Builder, n: Val) -> Val {
        let (vectors, width) = (MatMulScratch::VECTORS as i64, b.width().bytes() as i64);
        let block = b.div_imm(n, self.layout.block as i64);
        let in_block = b.rem_imm(n, self.layout.block as i64);
        let chunk = b.div_imm(in_block, CHUNK_COLUMNS);
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
}
