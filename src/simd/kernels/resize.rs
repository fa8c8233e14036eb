//! Separable resampling of two dimensions, channels-last: for each output pixel the rows and columns its table names.
//!
//! With one tap per dimension the source element goes to the epilogue as it is; else a sum of f32, columns inside rows:
//! `sum over rows of wy * (sum over columns of wx * x)`.

use crate::lower::kernel::ResizeSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{IntMem, Ty, Val};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;
use super::strip::Strip;

/// Bytes of a table entry: i32 source index, f32 weight.
const ENTRY_BYTES: usize = 8;

pub fn build(b: &mut Builder, spec: &ResizeSpec, operands: &[Pointer], items: Items) {
    let &[src, table, ref rest @ ..] = operands else { panic!("internal error: resize without source and table") };
    let operands = Operands::new(&spec.epilogue, rest);
    let [row_bytes, col_bytes] = spec.taps.map(|taps| taps * ENTRY_BYTES);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &[spec.batch, spec.oh]);
        let src = nest::at(b, src, &indices[..1], &[spec.src.batch]);
        let operands = operands.at(b, &spec.epilogue, 0, indices[0]).at(b, &spec.epilogue, 1, indices[1]);
        let rows = b.index(table, indices[1], row_bytes as i64);
        let all_rows = b.int((spec.oh * row_bytes) as i64);
        let cols = b.advance(table, all_rows);
        nest::for_count(b, spec.ow, |b, x| {
            let cols = b.index(cols, x, col_bytes as i64);
            let taps = Taps {
                rows: places(b, rows, spec.taps[0], spec.src.row),
                cols: places(b, cols, spec.taps[1], spec.src.pixel),
            };
            let operands = operands.at(b, &spec.epilogue, 2, x);
            nest::for_strips(b, spec.channels, 4, |b, channel, strip| {
                let src = b.index(src, channel, spec.elem.bytes() as i64);
                let accumulators = resample(b, spec, src, &taps, strip);
                let operands = operands.at_channel(b, &spec.epilogue, channel);
                epilogue::apply(b, &spec.epilogue, &operands, Tile { pixels: 1, channel: 0, strip }, &[accumulators]);
            });
        });
    });
}

/// Byte offset and weight (in every lane) of each tap of a pixel.
struct Taps {
    rows: Vec<(Val, Val)>,
    cols: Vec<(Val, Val)>,
}

fn places(b: &mut Builder, table: Pointer, taps: usize, stride: i64) -> Vec<(Val, Val)> {
    (0..taps)
        .map(|tap| {
            let at = (tap * ENTRY_BYTES) as i32;
            let index = b.load_int(table, at, IntMem::I32);
            (b.imul_imm(index, stride), b.load_splat32(Ty::VF32, table, at + 4))
        })
        .collect()
}

fn resample(b: &mut Builder, spec: &ResizeSpec, src: Pointer, taps: &Taps, strip: Strip) -> Vec<Val> {
    let nearest = spec.taps == [1, 1];
    let mut sums: Option<Vec<Val>> = None;
    for &(row, row_weight) in &taps.rows {
        let src = b.advance(src, row);
        let mut row_sums: Option<Vec<Val>> = None;
        for &(col, col_weight) in &taps.cols {
            let src = b.advance(src, col);
            let loaded = strip.load(b, spec.elem, src, 0, false);
            if nearest {
                return loaded;
            }
            row_sums = Some(add_weighted(b, row_sums, loaded, col_weight));
        }
        sums = Some(add_weighted(b, sums, row_sums.unwrap_or_default(), row_weight));
    }
    sums.unwrap_or_default()
}

/// `sums + values * weight`
fn add_weighted(b: &mut Builder, sums: Option<Vec<Val>>, values: Vec<Val>, weight: Val) -> Vec<Val> {
    let floats = values.into_iter().map(|x| if b.ty(x) == Ty::VF32 { x } else { b.to_float(x) });
    let floats: Vec<Val> = floats.collect();
    match sums {
        None => floats.into_iter().map(|x| b.fmul(x, weight)).collect(),
        Some(sums) => sums.into_iter().zip(floats).map(|(sum, x)| b.mul_add(x, weight, sum)).collect(),
    }
}
