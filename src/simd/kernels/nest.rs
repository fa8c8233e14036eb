//! Loops over outer dimensions: items to indices, rows to tiles, inner dimensions to strips.

use std::collections::BTreeSet;

use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, Val, Width};

use super::Items;
use super::strip::Strip;

/// Splits an item's number into indices of `sizes`, outermost first.
pub fn indices(b: &mut Builder, item: Val, sizes: &[usize]) -> Vec<Val> {
    let mut rest = item;
    let mut indices = Vec::with_capacity(sizes.len());
    for (i, &size) in sizes.iter().enumerate().rev() {
        if size == 1 {
            indices.push(b.int(0));
        } else if sizes[..i].iter().all(|&outer| outer == 1) {
            // the outermost index that moves: all that is left
            indices.push(rest);
            rest = b.int(0);
        } else {
            indices.push(b.rem_imm(rest, size as i64));
            rest = b.div_imm(rest, size as i64);
        }
    }
    indices.reverse();
    indices
}

/// `pointer + sum of indices * strides`.
pub fn at(b: &mut Builder, pointer: Pointer, indices: &[Val], strides: &[i64]) -> Pointer {
    let mut pointer = pointer;
    for (&index, &stride) in indices.iter().zip(strides) {
        if stride != 0 {
            pointer = b.index(pointer, index, stride);
        }
    }
    pointer
}

/// `for item in begin..end`
pub fn for_items(b: &mut Builder, items: Items, body: impl FnOnce(&mut Builder, Val)) {
    b.for_each(items.begin, items.end, 1, body);
}

/// `for index in 0..count`, without a loop when the count is 1.
pub fn for_count(b: &mut Builder, count: usize, body: impl FnOnce(&mut Builder, Val)) {
    let zero = b.int(0);
    if count == 1 {
        return body(b, zero);
    }
    let end = b.int(count as i64);
    b.for_each(zero, end, 1, body);
}

/// `for index in (lo..hi).step_by(step)`, without a loop when there is one step or none.
fn for_steps(b: &mut Builder, (lo, hi, step): (usize, usize, usize), body: impl FnOnce(&mut Builder, Val)) {
    let begin = b.int(lo as i64);
    match (hi - lo) / step {
        0 => {}
        1 => body(b, begin),
        _ => {
            let end = b.int(hi as i64);
            b.for_each(begin, end, step as i64, body);
        }
    }
}

/// Nested loops over all `sizes`; the body gets one index per size.
pub fn for_all(b: &mut Builder, sizes: &[usize], body: &mut dyn FnMut(&mut Builder, &[Val])) {
    for_rest(b, sizes, &mut Vec::new(), body);
}

fn for_rest(b: &mut Builder, sizes: &[usize], indices: &mut Vec<Val>, body: &mut dyn FnMut(&mut Builder, &[Val])) {
    let Some((&size, rest)) = sizes.split_first() else {
        return body(b, indices);
    };
    for_count(b, size, |b, index| {
        indices.push(index);
        for_rest(b, rest, indices, body);
        indices.pop();
    });
}

/// The body of a nest that carries values: from indices and the carried values to the next ones.
pub type FoldBody<'a> = dyn FnMut(&mut Builder, &[Val], &[Val]) -> Vec<Val> + 'a;

/// Nested loops over all `sizes` that carry values.
pub fn fold_all(b: &mut Builder, sizes: &[usize], init: &[Val], body: &mut FoldBody) -> Vec<Val> {
    fold_rest(b, sizes, &mut Vec::new(), init, body)
}

fn fold_rest(b: &mut Builder, sizes: &[usize], indices: &mut Vec<Val>, init: &[Val], body: &mut FoldBody) -> Vec<Val> {
    let Some((&size, rest)) = sizes.split_first() else {
        return body(b, indices, init);
    };
    let (zero, end) = (b.int(0), b.int(size as i64));
    b.for_range((zero, end, 1), init, |b, index, carried| {
        indices.push(index);
        let next = fold_rest(b, rest, indices, carried, body);
        indices.pop();
        next
    })
}

/// Cuts a row of `length` pixels into tiles of at most `limit`, as equal as can be: (first pixel, tiles, pixels per tile).
pub fn balanced_tiles(length: usize, limit: usize) -> Vec<(usize, usize, usize)> {
    if length == 0 {
        return Vec::new();
    }
    let tiles = length.div_ceil(limit.max(1));
    let (pixels, longer) = (length / tiles, length % tiles);
    [(0, longer, pixels + 1), (longer * (pixels + 1), tiles - longer, pixels)]
        .into_iter()
        .filter(|&(_, tiles, _)| tiles > 0)
        .collect()
}

/// Runs the body for every tile of a row: with the number of its first pixel and its pixels.
pub fn for_tiles(b: &mut Builder, length: usize, limit: usize, mut body: impl FnMut(&mut Builder, Val, usize)) {
    for (first, tiles, pixels) in balanced_tiles(length, limit) {
        for_steps(b, (first, first + tiles * pixels, pixels), |b, x| body(b, x, pixels));
    }
}

/// As [`for_tiles`] with values that go from each tile to the next one.
pub fn fold_tiles(
    b: &mut Builder,
    (length, limit): (usize, usize),
    init: Vec<Val>,
    mut body: impl FnMut(&mut Builder, (Val, usize), &[Val]) -> Vec<Val>,
) {
    let mut carried = init;
    for (first, tiles, pixels) in balanced_tiles(length, limit) {
        let begin = b.int(first as i64);
        carried = match tiles {
            1 => body(b, (begin, pixels), &carried),
            _ => {
                let end = b.int((first + tiles * pixels) as i64);
                b.for_range((begin, end, pixels as i64), &carried, |b, x, carried| body(b, (x, pixels), carried))
            }
        };
    }
}

/// Cuts `length` channels into strips and runs the body with the first channel of each: whole strips of `vectors` vectors in a
/// loop, then the rest.
pub fn for_strips(b: &mut Builder, length: usize, vectors: usize, mut body: impl FnMut(&mut Builder, Val, Strip)) {
    let width: Width = b.width();
    let step = vectors * width.lanes32();
    let whole = length / step;
    for_steps(b, (0, whole * step, step), |b, channel| body(b, channel, Strip::full(width, vectors)));
    for (channel, strip) in rest_strips(width, vectors, whole * step, length) {
        let channel = b.int(channel as i64);
        body(b, channel, strip);
    }
}

/// Strips for what is left behind the whole ones: one that covers it, or in natural order one vector at a time.
fn rest_strips(width: Width, vectors: usize, first: usize, length: usize) -> Vec<(usize, Strip)> {
    if first == length {
        return Vec::new();
    }
    let limit = if vectors == 1 { width.lanes32() } else { width.bytes() };
    (first..length).step_by(limit).map(|at| (at, Strip::covering(width, (length - at).min(limit)))).collect()
}

/// Runs `body` for the one of `sizes` that `size` is when the kernel runs: each is code of its own.
pub fn for_size(
    b: &mut Builder,
    size: Val,
    sizes: impl IntoIterator<Item = usize>,
    body: &dyn Fn(&mut Builder, usize),
) {
    let sizes: Vec<usize> = sizes.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    for_sorted_size(b, size, &sizes, body);
}

fn for_sorted_size(b: &mut Builder, size: Val, sizes: &[usize], body: &dyn Fn(&mut Builder, usize)) {
    match *sizes {
        [] => {}
        [only] => body(b, only),
        [ref rest @ .., largest] => {
            let expected = b.int(largest as i64);
            let same = b.int_cmp(Cmp::Eq, size, expected);
            b.if_else(
                same,
                |b| {
                    body(b, largest);
                    Vec::new()
                },
                |b| {
                    for_sorted_size(b, size, rest, body);
                    Vec::new()
                },
            );
        }
    }
}
