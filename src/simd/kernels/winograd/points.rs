//! The matrices of tiles with one to four results along a side.
//!
//! All of them take the same transformed weights: a side of `n` results needs `n + 2` of the six points 0, 1, -1, 2, -2 and infinity,
//! the first `n + 1` and the last. So a tile at the edge of the plane, with fewer results, has fewer products.

use crate::lower::pack::WinogradLayout;
use crate::simd::builder::Builder;
use crate::simd::ir::{ShiftOp, Ty, Val, VecOp};

const PATCH: usize = WinogradLayout::PATCH;
const TILE: usize = WinogradLayout::TILE;

/// One side of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Results: 1 to 4.
    pub results: usize,
}

impl Side {
    pub const WHOLE: Side = Side { results: TILE };

    /// Source pixels under the results' windows.
    pub fn patch(self) -> usize {
        self.results + PATCH - TILE
    }

    /// The positions it needs.
    pub fn positions(self) -> Vec<usize> {
        (0..=self.results).chain([PATCH - 1]).collect()
    }

    /// Rows of B times a column of the patch: a value per position.
    pub fn source(self, b: &mut Builder, d: &[Val]) -> Vec<Val> {
        match self.results {
            1 => combinations(b, Ty::V16, d, &[&[1, -1, 0], &[0, 1, 0], &[0, -1, 1]]),
            2 => combinations(b, Ty::V16, d, &[&[1, 0, -1, 0], &[0, 1, 1, 0], &[0, -1, 1, 0], &[0, -1, 0, 1]]),
            3 => {
                let rows: [&[i64]; 5] =
                    [&[2, -1, -2, 1, 0], &[0, -2, -1, 1, 0], &[0, 2, -3, 1, 0], &[0, -1, 0, 1, 0], &[0, 2, -1, -2, 1]];
                combinations(b, Ty::V16, d, &rows)
            }
            _ => patch_to_points(b, d),
        }
    }

    /// Rows of R times a column of sums, one per position: 24 times the results.
    pub fn rows(self, b: &mut Builder, m: &[Val]) -> Vec<Val> {
        match self.results {
            1 => combinations(b, Ty::V32, m, &[&[4, 24, 1]]),
            2 => combinations(b, Ty::V32, m, &[&[4, 12, 12, 0], &[0, 12, -12, 1]]),
            3 => combinations(b, Ty::V32, m, &[&[2, -12, -4, 4, 0], &[0, -12, 4, 8, 0], &[0, -12, -4, 16, 1]]),
            _ => points_to_rows(b, m),
        }
    }

    /// Rows of C times a row of sums: the results times 3 and [`Self::shifts`].
    pub fn columns(self, b: &mut Builder, m: &[Val]) -> Vec<Val> {
        match self.results {
            1 => combinations(b, Ty::V32, m, &[&[1, 6, 1]]),
            2 => combinations(b, Ty::V32, m, &[&[1, 3, 3, 0], &[0, 3, -3, 1]]),
            3 => combinations(b, Ty::V32, m, &[&[1, -6, -2, 2, 0], &[0, -3, 1, 2, 0], &[0, -3, -1, 4, 1]]),
            _ => points_to_columns(b, m),
        }
    }

    /// Powers of two in the results of each column, behind both transforms.
    pub fn shifts(self) -> &'static [u8] {
        match self.results {
            1 => &[4],
            2 => &[4, 4],
            3 => &[5, 4, 4],
            _ => &[6, 5, 4, 4],
        }
    }
}

/// Sums of multiples, row by row.
fn combinations(b: &mut Builder, ty: Ty, values: &[Val], rows: &[&[i64]]) -> Vec<Val> {
    rows.iter().map(|row| combination(b, ty, values, row)).collect()
}

fn combination(b: &mut Builder, ty: Ty, values: &[Val], factors: &[i64]) -> Val {
    let mut terms: Vec<(Val, i64)> = values.iter().copied().zip(factors.iter().copied()).filter(|t| t.1 != 0).collect();
    // one that is added stands first
    terms.sort_by_key(|&(_, factor)| factor < 0);
    let mut sum: Option<Val> = None;
    for (value, factor) in terms {
        let term = multiple(b, ty, value, factor.abs());
        let add = if factor < 0 { VecOp::Sub } else { VecOp::Add };
        sum = Some(sum.map_or(term, |sum| b.vec_op(add, sum, term)));
    }
    sum.unwrap_or_else(|| b.splat_const(ty, 0))
}

fn multiple(b: &mut Builder, ty: Ty, value: Val, factor: i64) -> Val {
    match factor {
        1 => value,
        2 => b.vadd(value, value),
        _ if factor.count_ones() == 1 => b.shift(ShiftOp::Left, value, factor.trailing_zeros() as u8),
        _ => {
            let factor = b.splat_const(ty, factor);
            b.vec_op(VecOp::Mul, value, factor)
        }
    }
}

/// Rows of B of a whole side.
fn patch_to_points(b: &mut Builder, d: &[Val]) -> Vec<Val> {
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
    vec![zero, one, minus_one, two, minus_two, infinity]
}

/// Sums and differences of the points 1, -1 and 2, -2.
fn pairs_of_points(b: &mut Builder, m: &[Val]) -> [Val; 4] {
    let (near, far) = (b.vadd(m[1], m[2]), b.vadd(m[3], m[4]));
    let (near_odd, far_odd) = (b.vec_op(VecOp::Sub, m[1], m[2]), b.vec_op(VecOp::Sub, m[3], m[4]));
    [near, far, near_odd, far_odd]
}

/// Rows of R of a whole side.
fn points_to_rows(b: &mut Builder, m: &[Val]) -> Vec<Val> {
    let [near, far, near_odd, far_odd] = pairs_of_points(b, m);
    let near = b.shift(ShiftOp::Left, near, 2);
    let near_odd = b.shift(ShiftOp::Left, near_odd, 2);
    let zero = b.vadd(m[0], near);
    let zero = b.vadd(zero, far);
    let far_odd_2 = b.vadd(far_odd, far_odd);
    let one = b.vadd(near_odd, far_odd_2);
    let far = b.shift(ShiftOp::Left, far, 2);
    let two = b.vadd(near, far);
    let far_odd = b.shift(ShiftOp::Left, far_odd, 3);
    let three = b.vadd(near_odd, far_odd);
    let three = b.vadd(three, m[5]);
    vec![zero, one, two, three]
}

/// Rows of C of a whole side.
fn points_to_columns(b: &mut Builder, m: &[Val]) -> Vec<Val> {
    let [near, far, near_odd, far_odd] = pairs_of_points(b, m);
    let near_4 = b.shift(ShiftOp::Left, near, 2);
    let zero = b.vadd(m[0], near_4);
    let zero = b.vadd(zero, far);
    let near_odd_2 = b.vadd(near_odd, near_odd);
    let one = b.vadd(near_odd_2, far_odd);
    let two = b.vadd(near, far);
    let far_odd_2 = b.vadd(far_odd, far_odd);
    let three = b.vadd(near_odd, far_odd_2);
    let three = b.vadd(three, m[5]);
    vec![zero, one, two, three]
}
