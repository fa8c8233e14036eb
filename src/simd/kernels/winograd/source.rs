//! The transform of the source: `V = B d Bt`.
//!
//! Columns of a patch are transformed as they are read, and stored at their positions; rows are transformed there. So only a
//! column or a row of values lives at a time.

use crate::lower::kernel::WinogradSourceSpec;
use crate::lower::pack::WinogradLayout;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Ty, Val, Widen};
use crate::simd::kernels::{Items, nest};

use super::points::Side;
use super::tiles;

const PATCH: usize = WinogradLayout::PATCH;
const TILE: usize = WinogradLayout::TILE;

pub fn build_source(b: &mut Builder, spec: &WinogradSourceSpec, operands: &[Pointer], items: Items) {
    let &[src, transformed] = operands else { panic!("internal error: a transform of one source") };
    let layout = WinogradLayout::of_source(b.width(), spec);
    let source = Source { spec, layout: &layout, transformed };
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &[spec.batch, layout.rows]);
        let image = b.index(src, indices[0], spec.src.batch);
        tiles::for_row_side(b, &layout, indices[1], &|b, side| source.row(b, image, item, indices[1], side));
    });
}

struct Source<'a> {
    spec: &'a WinogradSourceSpec,
    layout: &'a WinogradLayout,
    transformed: Pointer,
}

impl Source<'_> {
    /// Row `item` of the tiles of all images, which is row `row` of this image.
    fn row(&self, b: &mut Builder, image: Pointer, item: Val, row: Val, side: Side) {
        let (spec, layout) = (self.spec, self.layout);
        let first = b.index(image, row, TILE as i64 * spec.src.row);
        let rows: Vec<Pointer> = (0..side.patch() as i64)
            .map(|i| {
                let offset = b.int(i * spec.src.row);
                b.advance(first, offset)
            })
            .collect();
        tiles::for_tiles_of_row(b, layout, item, side, &mut |b, x, number, cols| {
            let to = b.index(self.transformed, number, layout.source_tile() as i64);
            let from = b.imul_imm(x, TILE as i64 * spec.src.pixel);
            self.tile(b, &rows, from, to, [side, cols]);
        });
    }

    fn tile(&self, b: &mut Builder, rows: &[Pointer], from: Val, to: Pointer, [row_side, col_side]: [Side; 2]) {
        let lanes = b.width().bytes() / 2;
        nest::for_count(b, self.spec.ic.div_ceil(lanes), |b, vector| {
            let channel = b.imul_imm(vector, lanes as i64);
            let from = b.iadd(from, channel);
            let to = b.index(to, vector, 2 * lanes as i64);
            let rows: Vec<Pointer> = rows.iter().map(|&row| b.advance(row, from)).collect();
            for (x, column) in col_side.positions().into_iter().enumerate() {
                let offset = (x as i64 * self.spec.src.pixel) as i32;
                let pixels: Vec<Val> = rows.iter().map(|&row| b.load_widen(Widen::U8ToI16, row, offset)).collect();
                for (row, value) in row_side.positions().into_iter().zip(row_side.source(b, &pixels)) {
                    b.store(to, self.position(row, column), value);
                }
            }
            for row in row_side.positions() {
                let places: Vec<i32> =
                    col_side.positions().into_iter().map(|column| self.position(row, column)).collect();
                let values: Vec<Val> = places.iter().map(|&place| b.load(Ty::V16, to, place)).collect();
                for (place, value) in places.into_iter().zip(col_side.source(b, &values)) {
                    b.store(to, place, value);
                }
            }
        });
    }

    fn position(&self, row: usize, column: usize) -> i32 {
        ((row * PATCH + column) * self.layout.source_position()) as i32
    }
}
