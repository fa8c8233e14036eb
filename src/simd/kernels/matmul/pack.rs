//! Packing of both operands of a product into the scratch memory, as its inner loop reads them ([`MatMulScratch`]).
//!
//! Which way depends on the direction that is contiguous in memory:
//!
//! ```text
//!   a  contiguous along k     rows are widened, or their signs flipped
//!   b  contiguous along n     rows go by strips; bytes of the rows of a step interleave to steps
//!   b  contiguous along k     blocks of columns are transposed inside chunks: chunk j holds column j * 8 + i in vector i,
//!                             log2 stages interleave vector i with vector i + n / 2
//! ```
//!
//! What fits none of them, and what is left behind whole blocks, goes element by element. Rows of `a` are written whole
//! vectors at a time: the end of one row is overwritten by the next, and the end of the last by `b`, which is packed
//! after it.

use crate::ir::ElemType;
use crate::lower::kernel::MatMulForm;
use crate::lower::pack::MatMulScratch;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, Half, IntMem, ShiftOp, Span, Ty, Val, VecOp, Widen};

use super::Product;
use crate::simd::kernels::nest;
use crate::simd::kernels::strip::Strip;
use crate::simd::kernels::transpose::transposed;

/// Columns in the same chunk of the vectors of a block.
const CHUNK_COLUMNS: i64 = 4 * MatMulScratch::VECTORS as i64;

/// Elements of an operand along k, to be packed one by one.
#[derive(Clone, Copy)]
struct Elements {
    src: Pointer,
    elem: ElemType,
    stride: i64,
    /// Added to each.
    offset: i64,
}

impl Product<'_> {
    pub(super) fn pack(&self, b: &mut Builder) {
        if !self.layout.a_in_place {
            self.pack_rows(b);
        }
        let spec = self.spec;
        match (spec.b_n == spec.b_elem.bytes() as i64, spec.b_k == spec.b_elem.bytes() as i64) {
            (true, _) => self.pack_strips(b),
            (false, true) => self.pack_transposed(b),
            (false, false) => self.pack_elements(b, (0, spec.n), (0, self.layout.steps)),
        }
        if self.layout.has_starts {
            self.sum_columns(b);
        }
    }

    /// Rows of bytes as i16, or as u8.
    fn pack_rows(&self, b: &mut Builder) {
        let spec = self.spec;
        let row_bytes = 4 * self.layout.steps as i64;
        let offset = if self.layout.has_starts { 128 } else { 0 };
        let elem_bytes = 4 / self.layout.form.step();
        let lanes = b.width().bytes() / elem_bytes;
        nest::for_count(b, spec.m, |b, m| {
            let (from, to) = (b.index(self.a, m, spec.a_m), b.index(self.scratch, m, row_bytes));
            if spec.a_k != 1 || !spec.k.is_multiple_of(self.layout.form.step()) {
                let elements = Elements { src: from, elem: spec.a_elem, stride: spec.a_k, offset };
                return self.pack_steps(b, elements, (to, 4), (0, self.layout.steps));
            }
            nest::for_count(b, spec.k.div_ceil(lanes), |b, part| {
                let (from, to) = (b.index(from, part, lanes as i64), b.index(to, part, b.width().bytes() as i64));
                let packed = self.row_vector(b, from);
                b.store(to, 0, packed);
            });
        });
    }

    /// A vector of neighbours along k of `a`.
    fn row_vector(&self, b: &mut Builder, from: Pointer) -> Val {
        if self.layout.form == MatMulForm::Words {
            let widen = if self.spec.a_elem == ElemType::I8 { Widen::I8ToI16 } else { Widen::U8ToI16 };
            return b.load_widen(widen, from, 0);
        }
        let bytes = b.load(Ty::V8, from, 0);
        let signs = b.splat_const(Ty::V8, 0x80);
        b.vec_op(VecOp::Xor, bytes, signs)
    }

    /// -128 times the sum of each column of `b`, behind the steps of its block.
    fn sum_columns(&self, b: &mut Builder) {
        let layout = self.layout;
        let width = b.width().bytes();
        nest::for_count(b, self.spec.n.div_ceil(layout.block), |b, block| {
            let start = b.int(layout.b_at as i64);
            let columns = b.advance(self.scratch, start);
            let columns = b.index(columns, block, layout.block_bytes as i64);
            let zero = b.splat_const(Ty::V32, 0);
            let (begin, end) = (b.int(0), b.int(layout.steps as i64));
            let sums = b.for_range((begin, end, 1), &[zero; MatMulScratch::VECTORS], |b, step, sums| {
                let columns = b.index(columns, step, (MatMulScratch::VECTORS * width) as i64);
                let factor = b.splat_const(Ty::V8, 128);
                let add = |(v, &sum): (usize, &Val)| {
                    let column = b.load(Ty::V8, columns, (v * width) as i32);
                    b.dot4_any(sum, factor, column)
                };
                sums.iter().enumerate().map(add).collect()
            });
            let at = b.int(self.starts_at(b.width()) as i64);
            let to = b.advance(columns, at);
            for (v, sum) in sums.into_iter().enumerate() {
                let start = b.vec_op(VecOp::Sub, zero, sum);
                b.store(to, (v * width) as i32, start);
            }
        });
    }

    /// `b` with neighbours along n.
    fn pack_strips(&self, b: &mut Builder) {
        let rows = self.layout.form.step();
        let whole = self.spec.k / rows;
        nest::for_count(b, whole, |b, step| self.pack_step(b, step, rows));
        if whole < self.layout.steps {
            let step = b.int(whole as i64);
            self.pack_step(b, step, self.spec.k % rows);
        }
    }

    /// A step of all columns, of which `rows` rows exist.
    fn pack_step(&self, b: &mut Builder, step: Val, rows: usize) {
        let from = b.index(self.rhs, step, self.layout.form.step() as i64 * self.spec.b_k);
        let to = self.step_place(b, step);
        nest::for_strips(b, self.spec.n, MatMulScratch::VECTORS, |b, column, strip| {
            let strip = Strip { vectors: MatMulScratch::VECTORS, ..strip };
            let from = b.index(from, column, self.spec.b_elem.bytes() as i64);
            let block = b.div_imm(column, self.layout.block as i64);
            let to = b.index(to, block, self.layout.block_bytes as i64);
            let vectors = match self.layout.form {
                MatMulForm::F32 => strip.load(b, ElemType::F32, from, 0, false),
                MatMulForm::Words | MatMulForm::Bytes => self.steps_of_rows(b, from, rows, strip),
            };
            let width = b.width().bytes();
            for (v, value) in vectors.into_iter().enumerate() {
                b.store(to, (v * width) as i32, value);
            }
        });
    }

    /// A strip of columns of the first `rows` rows of a step; behind them stand zeros.
    fn steps_of_rows(&self, b: &mut Builder, from: Pointer, rows: usize, strip: Strip) -> Vec<Val> {
        let columns = CHUNK_COLUMNS as usize;
        let span = Span { stride: columns as i32, head: columns, limit: self.layout.block.min(strip.valid) };
        let lines: Vec<Val> = (0..self.layout.form.step())
            .map(|row| {
                if row >= rows {
                    return b.splat_const(Ty::V8, 0);
                }
                let at = b.int(row as i64 * self.spec.b_k);
                let from = b.advance(from, at);
                b.load_partial_chunks(Ty::V8, from, 0, span)
            })
            .collect();
        let pairs: Vec<Val> = lines.chunks(2).map(|two| b.interleave(Half::Low, 1, two[0], two[1])).collect();
        let vectors = match pairs[..] {
            [low, high] => [Half::Low, Half::High].map(|half| b.interleave(half, 2, low, high)),
            _ => self.widened(b, pairs[0]),
        };
        vectors.into_iter().take(strip.live()).collect()
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
        let steps_per_chunk = CHUNK / self.step_source_bytes();
        let whole_steps = spec.k / layout.form.step() / steps_per_chunk * steps_per_chunk;
        let whole_columns = spec.n / layout.block * layout.block;
        nest::for_count(b, whole_columns / layout.block, |b, block| {
            let from = b.index(self.rhs, block, layout.block as i64 * spec.b_n);
            let start = b.int(layout.b_at as i64);
            let to = b.advance(self.scratch, start);
            let to = b.index(to, block, layout.block_bytes as i64);
            nest::for_count(b, whole_steps / steps_per_chunk, |b, part| {
                let from = b.index(from, part, CHUNK as i64);
                let to = b.index(to, part, (steps_per_chunk * self.step_bytes(b)) as i64);
                self.transpose(b, from, to);
            });
        });
        self.pack_elements(b, (0, whole_columns), (whole_steps, layout.steps));
        self.pack_elements(b, (whole_columns, spec.n), (0, layout.steps));
    }

    /// Bytes of a step of a column where it comes from.
    fn step_source_bytes(&self) -> usize {
        match self.layout.form {
            MatMulForm::Words => 2,
            MatMulForm::F32 | MatMulForm::Bytes => 4,
        }
    }

    /// A chunk of every column of a block.
    fn transpose(&self, b: &mut Builder, from: Pointer, to: Pointer) {
        let (spec, width) = (self.spec, b.width().bytes() as i32);
        let columns: Vec<Val> = (0..CHUNK_COLUMNS)
            .map(|i| {
                let column = b.int(i * spec.b_n);
                let from = b.advance(from, column);
                b.load_chunks(Ty::V8, from, 0, (CHUNK_COLUMNS * spec.b_n) as i32)
            })
            .collect();
        if self.layout.form != MatMulForm::Words {
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
            if self.layout.form != MatMulForm::F32 {
                let elements = Elements { src: from, elem: spec.b_elem, stride: spec.b_k, offset: 0 };
                return self.pack_steps(b, elements, (to, step_bytes), steps);
            }
            let (first, end) = (b.int(steps.0 as i64), b.int(steps.1 as i64));
            b.for_each(first, end, 1, |b, k| {
                let (from, to) = (b.index(from, k, spec.b_k), b.index(to, k, step_bytes));
                let value = b.load_int(from, 0, IntMem::I32);
                b.store_int(to, 0, IntMem::I32, value);
            });
        });
    }

    /// Steps of neighbours along k, `step` bytes from one to the next; behind the last element stand zeros.
    fn pack_steps(&self, b: &mut Builder, from: Elements, (to, step): (Pointer, i64), steps: (usize, usize)) {
        let form = self.layout.form;
        let (loaded, stored) = (
            if from.elem == ElemType::I8 { IntMem::I8 } else { IntMem::U8 },
            if form == MatMulForm::Words { IntMem::I16 } else { IntMem::U8 },
        );
        let pack = |b: &mut Builder, index: Val, count: usize| {
            let src = b.index(from.src, index, form.step() as i64 * from.stride);
            let to = b.index(to, index, step);
            for i in 0..form.step() {
                let value = if i < count {
                    let at = b.int(i as i64 * from.stride);
                    let src = b.advance(src, at);
                    let value = b.load_int(src, 0, loaded);
                    b.iadd_imm(value, from.offset)
                } else {
                    b.int(0)
                };
                b.store_int(to, (i * stored.bytes()) as i32, stored, value);
            }
        };
        let whole = steps.1.min(self.spec.k / form.step());
        let (begin, end) = (b.int(steps.0 as i64), b.int(whole as i64));
        b.for_each(begin, end, 1, |b, index| pack(b, index, form.step()));
        if whole < steps.1 {
            pack(b, end, self.spec.k % form.step());
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
