//! Copies that exchange two dimensions: `rows` is contiguous in the source, `columns` in the destination.
//!
//! Square blocks of one chunk: as many vectors as a chunk has elements, then stages that interleave vector `i` with vector
//! `i + n / 2`; after `log2 n` stages chunk `j` of vector `k` is one line of the destination. A few columns that lie densely
//! (three colours) go by byte shuffles instead: every chunk of the destination picks its bytes from one chunk per column.
//! What is left at the edges goes element by element, or with few columns in a last vector that overlaps the one before. Nothing
//! outside the elements is read.

use crate::lower::kernel::CopySpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, Half, IntOp, Span, Ty, Val, VecOp};

use super::Items;
use super::copy::{element, int_mem};
use super::nest;

/// Columns that still go by shuffles: their number of shuffles is the square.
const FEW_COLUMNS: usize = 4;

/// The same where columns come from several sets: element by element is the only other way.
const FEW_IN_SETS: usize = 8;

/// A copy with two dimensions to exchange.
pub struct Transpose<'a> {
    spec: &'a CopySpec,
    /// The dimension that is contiguous in the source.
    rows: usize,
    /// The dimension that is contiguous in the destination.
    columns: usize,
    /// A dimension whose columns stand side by side with those, where they are few together.
    sets: Option<usize>,
}

/// Indices `begin..end` of a dimension.
#[derive(Clone, Copy)]
struct Range {
    begin: Val,
    end: Val,
}

impl<'a> Transpose<'a> {
    /// Whether the copy exchanges two dimensions that are long enough for blocks.
    pub fn of(spec: &'a CopySpec) -> Option<Transpose<'a>> {
        let bytes = spec.elem_bytes as i64;
        let contiguous = |strides: &[i64]| (0..spec.sizes.len()).find(|&d| strides[d] == bytes && spec.sizes[d] > 1);
        let (rows, columns) = (contiguous(&spec.src)?, contiguous(&spec.dst)?);
        let block = CHUNK / spec.elem_bytes;
        let line = (spec.sizes[columns] * spec.elem_bytes) as i64;
        let is_set = |&dim: &usize| dim != rows && dim != columns && spec.dst[dim] == line && spec.dst[rows] > line;
        let sets = (1..spec.sizes.len()).find(is_set).filter(|_| rows != 0);
        let mut transpose = Transpose { spec, rows, columns, sets };
        if !transpose.has_few_columns() {
            transpose.sets = None;
        }
        let fits = spec.sizes[rows] >= block && (spec.sizes[columns] >= block || transpose.has_few_columns());
        // chunks of a line are addressed together
        let near = spec.dst[rows].abs() <= i64::from(i32::MAX) / CHUNK as i64;
        (rows != columns && bytes <= 4 && fits && near).then_some(transpose)
    }

    /// Whether all columns of a row lie together in the destination, and few.
    fn has_few_columns(&self) -> bool {
        let columns = self.column_count();
        let dense = self.spec.dst[self.rows] == (columns * self.spec.elem_bytes) as i64;
        let few = if self.sets.is_some() { FEW_IN_SETS } else { FEW_COLUMNS };
        dense && columns <= few && self.columns != 0
    }

    /// Columns that stand side by side.
    fn column_count(&self) -> usize {
        self.spec.sizes[self.columns] * self.sets.map_or(1, |sets| self.spec.sizes[sets])
    }

    pub fn build(&self, b: &mut Builder, src: Pointer, dst: Pointer, items: Items) {
        if self.rows == 0 || self.columns == 0 {
            return self.inside(b, src, dst, Some(items));
        }
        nest::for_items(b, items, |b, item| {
            let (src, dst) = (b.index(src, item, self.spec.src[0]), b.index(dst, item, self.spec.dst[0]));
            self.inside(b, src, dst, None);
        });
    }

    /// Loops over the dimensions that are neither exchanged nor the items'.
    fn inside(&self, b: &mut Builder, src: Pointer, dst: Pointer, items: Option<Items>) {
        let is_outside = |dim: &usize| *dim != self.rows && *dim != self.columns && Some(*dim) != self.sets;
        let dims: Vec<usize> = (1..self.spec.sizes.len()).filter(is_outside).collect();
        let of = |strides: &[i64]| -> Vec<i64> { dims.iter().map(|&dim| strides[dim]).collect() };
        let (src_strides, dst_strides) = (of(&self.spec.src), of(&self.spec.dst));
        let sizes: Vec<usize> = dims.iter().map(|&dim| self.spec.sizes[dim]).collect();
        let [rows, columns] = [self.rows, self.columns].map(|dim| match items {
            Some(items) if dim == 0 => Range { begin: items.begin, end: items.end },
            _ => Range { begin: b.int(0), end: b.int(self.spec.sizes[dim] as i64) },
        });
        nest::for_all(b, &sizes, &mut |b, indices| {
            let (src, dst) = (nest::at(b, src, indices, &src_strides), nest::at(b, dst, indices, &dst_strides));
            self.plane(b, src, dst, rows, columns);
        });
    }

    /// All elements of two dimensions.
    fn plane(&self, b: &mut Builder, src: Pointer, dst: Pointer, rows: Range, columns: Range) {
        if self.has_few_columns() && self.rows != 0 {
            return self.rows_of_few_columns(b, src, dst);
        }
        let vector = b.width().bytes() / self.spec.elem_bytes;
        let whole_rows = whole(b, rows, vector);
        if self.has_few_columns() {
            b.for_each(rows.begin, whole_rows, vector as i64, |b, row| {
                let (src, dst) = self.at(b, src, dst, row, columns.begin);
                self.few_columns(b, src, dst, vector);
            });
        } else {
            let block = CHUNK / self.spec.elem_bytes;
            let whole_columns = whole(b, columns, block);
            b.for_each(columns.begin, whole_columns, block as i64, |b, column| {
                b.for_each(rows.begin, whole_rows, vector as i64, |b, row| {
                    let (src, dst) = self.at(b, src, dst, row, column);
                    self.block(b, src, dst);
                });
            });
            let edge = Range { begin: whole_columns, end: columns.end };
            self.elements(b, src, dst, Range { begin: rows.begin, end: whole_rows }, edge);
        }
        self.elements(b, src, dst, Range { begin: whole_rows, end: rows.end }, columns);
    }

    fn at(&self, b: &mut Builder, src: Pointer, dst: Pointer, row: Val, column: Val) -> (Pointer, Pointer) {
        let strides = |strides: &[i64]| [strides[self.rows], strides[self.columns]];
        let indices = [row, column];
        (nest::at(b, src, &indices, &strides(&self.spec.src)), nest::at(b, dst, &indices, &strides(&self.spec.dst)))
    }

    fn elements(&self, b: &mut Builder, src: Pointer, dst: Pointer, rows: Range, columns: Range) {
        b.for_each(rows.begin, rows.end, 1, |b, row| {
            b.for_each(columns.begin, columns.end, 1, |b, column| {
                let (src, dst) = self.at(b, src, dst, row, column);
                element(b, int_mem(self.spec.elem_bytes), src, dst);
            });
        });
    }

    /// `rows` elements of each of `count` columns, at most a vector.
    fn load_columns(&self, b: &mut Builder, src: Pointer, rows: usize, count: usize) -> Vec<Val> {
        let bytes = rows * self.spec.elem_bytes;
        (0..count)
            .map(|column| {
                let (set, column) = (column / self.spec.sizes[self.columns], column % self.spec.sizes[self.columns]);
                let sets = self.sets.map_or(0, |sets| self.spec.src[sets]);
                let column = b.int(set as i64 * sets + column as i64 * self.spec.src[self.columns]);
                let src = b.advance(src, column);
                if bytes == b.width().bytes() { b.load(Ty::V8, src, 0) } else { b.load_partial(Ty::V8, src, 0, bytes) }
            })
            .collect()
    }

    /// A vector of rows times a chunk of columns.
    fn block(&self, b: &mut Builder, src: Pointer, dst: Pointer) {
        let (bytes, stride) = (self.spec.elem_bytes, self.spec.dst[self.rows]);
        let count = CHUNK / bytes;
        let rows = b.width().bytes() / bytes;
        let columns = self.load_columns(b, src, rows, count);
        for (i, line) in transposed(b, columns, bytes).into_iter().enumerate() {
            let row = b.int(i as i64 * stride);
            let dst = b.advance(dst, row);
            b.store_chunks(dst, 0, (count as i64 * stride) as i32, line);
        }
    }

    /// All rows of all columns, vector by vector. The last one writes some rows again, or has fewer if it is the only one.
    fn rows_of_few_columns(&self, b: &mut Builder, src: Pointer, dst: Pointer) {
        let (length, vector) = (self.spec.sizes[self.rows], b.width().bytes() / self.spec.elem_bytes);
        let whole = length / vector * vector;
        let (begin, end) = (b.int(0), b.int(whole as i64));
        b.for_each(begin, end, vector as i64, |b, row| {
            let (src, dst) = self.at(b, src, dst, row, begin);
            self.few_columns(b, src, dst, vector);
        });
        if whole < length {
            let last = b.int(length.saturating_sub(vector) as i64);
            let (src, dst) = self.at(b, src, dst, last, begin);
            self.few_columns(b, src, dst, length.min(vector));
        }
    }

    /// `rows` rows of all columns: chunk `j` of the columns gives as many chunks in a row of the destination.
    fn few_columns(&self, b: &mut Builder, src: Pointer, dst: Pointer, rows: usize) {
        let columns = self.column_count();
        let loaded = self.load_columns(b, src, rows, columns);
        for part in 0..columns {
            let line = self.line(b, &loaded, part);
            let limit = (rows * columns * self.spec.elem_bytes).saturating_sub(part * CHUNK);
            let span = Span { stride: (columns * CHUNK) as i32, head: CHUNK, limit };
            b.store_partial_chunks(dst, (part * CHUNK) as i32, span, line);
        }
    }

    /// Part `part` of what each chunk of the columns gives.
    fn line(&self, b: &mut Builder, columns: &[Val], part: usize) -> Val {
        if let &[even, odd] = columns {
            let half = if part == 0 { Half::Low } else { Half::High };
            return b.interleave(half, self.spec.elem_bytes, even, odd);
        }
        let picked: Vec<Val> =
            columns.iter().enumerate().map(|(column, &value)| b.shuffle(value, self.picks(part, column))).collect();
        picked[1..].iter().fold(picked[0], |line, &x| b.vec_op(VecOp::Or, line, x))
    }

    /// Which bytes of a column's chunk stand in part `part` of the destination.
    fn picks(&self, part: usize, column: usize) -> [u8; CHUNK] {
        let (columns, bytes) = (self.column_count(), self.spec.elem_bytes);
        std::array::from_fn(|i| {
            let place = part * CHUNK + i;
            let (element, byte) = (place / bytes, place % bytes);
            if element % columns == column { (element / columns * bytes + byte) as u8 } else { 0x80 }
        })
    }
}

/// Chunks with elements of `elem_bytes` bytes: element `j` of vector `i` becomes element `i` of vector `j`, in every chunk.
/// As many vectors as a chunk has elements.
pub(super) fn transposed(b: &mut Builder, mut lines: Vec<Val>, elem_bytes: usize) -> Vec<Val> {
    let count = lines.len();
    assert_eq!(count * elem_bytes, CHUNK, "internal error: a transposition that is not square");
    for _ in 0..count.ilog2() {
        lines = (0..count)
            .map(|i| {
                let half = if i % 2 == 0 { Half::Low } else { Half::High };
                b.interleave(half, elem_bytes, lines[i / 2], lines[i / 2 + count / 2])
            })
            .collect();
    }
    lines
}

/// Where the last whole step of a range ends.
fn whole(b: &mut Builder, range: Range, step: usize) -> Val {
    let length = b.int_op(IntOp::Sub, range.end, range.begin);
    let steps = b.div_imm(length, step as i64);
    let length = b.imul_imm(steps, step as i64);
    b.iadd(range.begin, length)
}
