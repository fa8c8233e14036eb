//! The transform of the source: `V = B d Bt`.
//!
//! Columns of a patch are transformed as they are read, and stored at their positions; rows are transformed there. So only a
//! column or a row of values lives at a time.

use crate::lower::kernel::WinogradSourceSpec;
use crate::lower::pack::WinogradLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{IntOp, ShiftOp, Ty, Val, VecOp, Widen};
use crate::simd::kernels::{Items, nest};

const PATCH: usize = WinogradLayout::PATCH;
const TILE: usize = WinogradLayout::TILE;

pub fn build_source(b: &mut Builder, spec: &WinogradSourceSpec, operands: &[Pointer], items: Items) {
    let &[src, transformed] = operands else { panic!("internal error: a transform of one source") };
    let layout = WinogradLayout::of_source(b.width(), spec);
    let source = Source { spec, layout: &layout };
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &[spec.batch, layout.rows]);
        let image = b.index(src, indices[0], spec.src.batch);
        let rows = source.rows(b, image, indices[1]);
        let to = b.index(transformed, item, (layout.cols * layout.source_tile()) as i64);
        source.tiles(b, &rows, to);
    });
}

struct Source<'a> {
    spec: &'a WinogradSourceSpec,
    layout: &'a WinogradLayout,
}

impl Source<'_> {
    /// The six source rows of a row of tiles. The last row stands for those behind it.
    fn rows(&self, b: &mut Builder, image: Pointer, row: Val) -> [Pointer; PATCH] {
        let spec = self.spec;
        let first = b.imul_imm(row, TILE as i64);
        std::array::from_fn(|i| {
            let mut row = b.iadd_imm(first, i as i64);
            if (self.layout.rows - 1) * TILE + i >= spec.ih {
                let last = b.int(spec.ih as i64 - 1);
                row = b.int_op(IntOp::MinS, row, last);
            }
            b.index(image, row, spec.src.row)
        })
    }

    /// All tiles of a row; the last one may have fewer columns.
    fn tiles(&self, b: &mut Builder, rows: &[Pointer; PATCH], to: Pointer) {
        let whole = (self.spec.iw - (PATCH - TILE)) / TILE;
        nest::for_count(b, whole, |b, x| self.tile(b, rows, x, PATCH, to));
        if whole < self.layout.cols {
            let x = b.int(whole as i64);
            self.tile(b, rows, x, self.spec.iw - whole * TILE, to);
        }
    }

    /// One tile with `columns` columns; the last column stands for those behind it.
    fn tile(&self, b: &mut Builder, rows: &[Pointer; PATCH], x: Val, columns: usize, to: Pointer) {
        let lanes = b.width().bytes() / 2;
        let to = b.index(to, x, self.layout.source_tile() as i64);
        let from = b.imul_imm(x, TILE as i64 * self.spec.src.pixel);
        nest::for_count(b, self.spec.ic.div_ceil(lanes), |b, vector| {
            let channel = b.imul_imm(vector, lanes as i64);
            let from = b.iadd(from, channel);
            let to = b.index(to, vector, 2 * lanes as i64);
            let rows = rows.map(|row| b.advance(row, from));
            for column in 0..PATCH {
                let offset = column.min(columns - 1) as i64 * self.spec.src.pixel;
                let pixels = rows.map(|row| b.load_widen(Widen::U8ToI16, row, offset as i32));
                for (row, value) in patch_to_points(b, pixels).into_iter().enumerate() {
                    b.store(to, self.position(row, column), value);
                }
            }
            for row in 0..PATCH {
                let values = std::array::from_fn(|column| b.load(Ty::V16, to, self.position(row, column)));
                for (column, value) in patch_to_points(b, values).into_iter().enumerate() {
                    b.store(to, self.position(row, column), value);
                }
            }
        });
    }

    fn position(&self, row: usize, column: usize) -> i32 {
        ((row * PATCH + column) * self.layout.source_position()) as i32
    }
}

/// Rows of B times a column.
fn patch_to_points(b: &mut Builder, d: [Val; PATCH]) -> [Val; PATCH] {
    let sub = |b: &mut Builder, x, y| b.vec_op(VecOp::Sub, x, y);
    let times4 = |b: &mut Builder, x| b.shift(ShiftOp::Left, x, 2);
    let even = sub(b, d[4], d[2]);
    let odd = sub(b, d[3], d[1]);

    let d02 = sub(b, d[0], d[2]);
    let d02 = times4(b, d02);
    let zero = b.vadd(d02, even);

    let (near, far) = (b.vadd(d[1], d[2]), b.vadd(d[3], d[4]));
    let near = times4(b, near);
    let one = sub(b, near, far);

    let (near, far) = (sub(b, d[2], d[1]), sub(b, d[3], d[4]));
    let near = times4(b, near);
    let minus_one = b.vadd(near, far);

    let twice = b.vadd(odd, odd);
    let two = b.vadd(even, twice);
    let minus_two = sub(b, even, twice);

    let d53 = sub(b, d[5], d[3]);
    let d31 = times4(b, odd);
    let infinity = sub(b, d53, d31);
    [zero, one, minus_one, two, minus_two, infinity]
}
