//! Walks through the tiles of a plane, whole ones and those at the edge.

use crate::lower::pack::WinogradLayout;
use crate::simd::builder::Builder;
use crate::simd::ir::{Cmp, Val};
use crate::simd::kernels::nest;

use super::points::Side;

/// Runs the body, which is other code in the last row, for row `row` of the tiles of an image.
pub fn for_row_side(b: &mut Builder, layout: &WinogradLayout, row: Val, body: &dyn Fn(&mut Builder, Side)) {
    let edge = Side { results: layout.edge_rows() };
    if layout.rows == 1 || edge == Side::WHOLE {
        return body(b, edge);
    }
    let last = b.int(layout.whole_rows() as i64);
    let whole = b.int_cmp(Cmp::Lt, row, last);
    b.if_else(
        whole,
        |b| {
            body(b, Side::WHOLE);
            Vec::new()
        },
        |b| {
            body(b, edge);
            Vec::new()
        },
    );
}

/// Runs the body for every tile of row `row`, counted where the layout's numbers begin: with the tile's column, its number and its
/// columns.
pub fn for_tiles_of_row(
    b: &mut Builder,
    layout: &WinogradLayout,
    row: Val,
    side: Side,
    body: &mut dyn FnMut(&mut Builder, Val, Val, Side),
) {
    let first = b.imul_imm(row, layout.row_step() as i64);
    let first = b.iadd_imm(first, layout.first_whole() as i64);
    nest::for_count(b, layout.whole_cols(), |b, x| {
        let number = b.iadd(first, x);
        body(b, x, number, Side::WHOLE);
    });
    let edge = Side { results: layout.edge_cols() };
    if edge != Side::WHOLE {
        let x = b.int(layout.whole_cols() as i64);
        let number = match (layout.edge_first(), side == Side::WHOLE) {
            (true, true) => row,
            (true, false) => b.int(layout.tiles() as i64 - 1),
            (false, _) => b.iadd(first, x),
        };
        body(b, x, number, edge);
    }
}

/// Runs the body, which is other code where tiles have no need of a position, with the first and the number of those that do.
pub fn for_needed(
    b: &mut Builder,
    layout: &WinogradLayout,
    [row, column]: [Val; 2],
    body: &dyn Fn(&mut Builder, (usize, usize)),
) {
    let rows = Side { results: layout.edge_rows() };
    let cols = Side { results: layout.edge_cols() };
    if_dropped(b, layout, rows, row, &|b, row| {
        if_dropped(b, layout, cols, column, &|b, column| body(b, layout.needed_tiles([row, column])));
    });
}

/// Runs the body with whether tiles with this side at the edge have no need of `position`.
fn if_dropped(b: &mut Builder, layout: &WinogradLayout, side: Side, position: Val, body: &dyn Fn(&mut Builder, bool)) {
    if side == Side::WHOLE || !layout.drops() {
        return body(b, false);
    }
    // the positions between the first and the last one
    let [zero, one, first, last] = [0, 1, side.results + 1, WinogradLayout::PATCH - 1].map(|i| b.int(i as i64));
    let (below, before) = (b.int_cmp(Cmp::Lt, position, first), b.int_cmp(Cmp::Lt, position, last));
    let above = b.choose(below, zero, one);
    let between = b.choose(before, above, zero);
    let dropped = b.int_cmp(Cmp::Eq, between, one);
    b.if_else(
        dropped,
        |b| {
            body(b, true);
            Vec::new()
        },
        |b| {
            body(b, false);
            Vec::new()
        },
    );
}
