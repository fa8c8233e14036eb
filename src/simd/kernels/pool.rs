//! Pooling, channels-last: for each output pixel the window's taps inside the source, block of channels by block of channels.
//!
//! The rows and columns of a window that lie inside are a range, computed per row and per pixel, so nothing outside is read.
//! The maximum of bytes stays in bytes until the window is done; sums of integers are i32, sums of floats f32.

use crate::ir::ElemType;
use crate::lower::kernel::{PoolKind, PoolSpec};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{FloatOp, IntOp, Ty, Val, VecOp};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;
use super::strip::Strip;

pub fn build(b: &mut Builder, spec: &PoolSpec, operands: &[Pointer], items: Items) {
    let &[src, ref rest @ ..] = operands else { panic!("internal error: pool without source") };
    let operands = Operands::new(&spec.epilogue, rest);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &[spec.batch, spec.oh]);
        let src = nest::at(b, src, &indices[..1], &[spec.src.batch]);
        let operands = operands.at(b, &spec.epilogue, 0, indices[0]).at(b, &spec.epilogue, 1, indices[1]);
        let rows = taps_inside(b, spec, 0, indices[1]);
        nest::for_count(b, spec.ow, |b, x| {
            let cols = taps_inside(b, spec, 1, x);
            let operands = operands.at(b, &spec.epilogue, 2, x);
            nest::for_strips(b, spec.channels, 4, |b, channel, strip| {
                let src = b.index(src, channel, spec.elem.bytes() as i64);
                let accumulators = window(b, spec, src, (rows, cols), strip);
                let operands = operands.at_channel(b, &spec.epilogue, channel);
                let tile = Tile { pixels: 1, channel: 0, strip };
                epilogue::apply(b, &spec.epilogue, &operands, tile, &[accumulators]);
            });
        });
    });
}

/// Taps `begin..end` of one dimension of a window that lie inside the source, and the source index of tap 0, which may be
/// negative.
#[derive(Clone, Copy)]
struct Taps {
    begin: Val,
    end: Val,
    origin: Val,
}

fn taps_inside(b: &mut Builder, spec: &PoolSpec, dim: usize, out: Val) -> Taps {
    let (kernel, dilation) = (spec.kernel[dim] as i64, spec.dilations[dim] as i64);
    let size = [spec.ih, spec.iw][dim] as i64;
    let origin = b.imul_imm(out, spec.strides[dim] as i64);
    let origin = b.iadd_imm(origin, -(spec.pads[dim] as i64));
    // the first tap not before `index`: ceil((index - origin) / dilation), cut to the kernel
    let first_from = |b: &mut Builder, index: i64| {
        let index = b.int(index);
        let zero = b.int(0);
        let distance = b.int_op(IntOp::Sub, index, origin);
        let distance = b.int_op(IntOp::MaxS, distance, zero);
        let distance = b.iadd_imm(distance, dilation - 1);
        let tap = if dilation == 1 { distance } else { b.div_imm(distance, dilation) };
        let kernel = b.int(kernel);
        b.int_op(IntOp::MinS, tap, kernel)
    };
    Taps { begin: first_from(b, 0), end: first_from(b, size), origin }
}

/// The accumulators of a window: one per vector of the strip.
fn window(b: &mut Builder, spec: &PoolSpec, src: Pointer, (rows, cols): (Taps, Taps), strip: Strip) -> Vec<Val> {
    let init = initial(b, spec, strip);
    let (row_bytes, col_bytes) = (spec.src.row * spec.dilations[0] as i64, spec.src.pixel * spec.dilations[1] as i64);
    let src = nest::at(b, src, &[rows.origin, cols.origin], &[spec.src.row, spec.src.pixel]);
    let sums = b.for_range((rows.begin, rows.end, 1), &init, |b, y, carried| {
        let src = b.index(src, y, row_bytes);
        b.for_range((cols.begin, cols.end, 1), carried, |b, x, carried| {
            let src = b.index(src, x, col_bytes);
            accumulate(b, spec, src, strip, carried)
        })
    });
    widened(b, spec, strip, sums)
}

/// Whether the accumulator is one vector of bytes.
fn in_bytes(spec: &PoolSpec, strip: Strip, width: usize) -> bool {
    spec.kind == PoolKind::Max && is_byte(spec.elem) && strip.valid == width
}

fn is_byte(elem: ElemType) -> bool {
    matches!(elem, ElemType::U8 | ElemType::I8)
}

fn initial(b: &mut Builder, spec: &PoolSpec, strip: Strip) -> Vec<Val> {
    let signed = spec.elem == ElemType::I8;
    if in_bytes(spec, strip, b.width().bytes()) {
        return vec![b.splat_const(Ty::V8, if signed { i8::MIN.into() } else { 0 })];
    }
    let start = match (spec.elem, spec.kind) {
        (ElemType::F32, PoolKind::Max) => b.splat_const_f32(f32::NEG_INFINITY),
        (ElemType::F32, PoolKind::Sum) => b.splat_const_f32(0.0),
        (_, PoolKind::Sum) => b.splat_const(Ty::V32, 0),
        (elem, PoolKind::Max) => {
            let lowest = elem.int_range().map_or(0, |(low, _)| low.max(i32::MIN.into()));
            b.splat_const(Ty::V32, lowest)
        }
    };
    vec![start; strip.vectors]
}

fn accumulate(b: &mut Builder, spec: &PoolSpec, src: Pointer, strip: Strip, carried: &[Val]) -> Vec<Val> {
    if in_bytes(spec, strip, b.width().bytes()) {
        let bytes = b.load(Ty::V8, src, 0);
        let op = if spec.elem == ElemType::I8 { VecOp::MaxS } else { VecOp::MaxU };
        return vec![b.vec_op(op, carried[0], bytes)];
    }
    let loaded = strip.load(b, spec.elem, src, 0, false);
    let pairs = carried.iter().zip(loaded);
    match (spec.elem, spec.kind) {
        (ElemType::F32, PoolKind::Max) => pairs.map(|(&best, x)| b.float_op(FloatOp::Max, best, x)).collect(),
        (ElemType::F32, PoolKind::Sum) => pairs.map(|(&sum, x)| b.fadd(sum, x)).collect(),
        (_, PoolKind::Max) => pairs.map(|(&best, x)| b.vec_op(VecOp::MaxS, best, x)).collect(),
        (_, PoolKind::Sum) => pairs.map(|(&sum, x)| b.vadd(sum, x)).collect(),
    }
}

/// Accumulators in 32-bit lanes.
fn widened(b: &mut Builder, spec: &PoolSpec, strip: Strip, sums: Vec<Val>) -> Vec<Val> {
    if !in_bytes(spec, strip, b.width().bytes()) {
        return sums;
    }
    let quarters = if spec.elem == ElemType::I8 { b.unpack4_i8(sums[0]) } else { b.unpack4_u8(sums[0]) };
    quarters.to_vec()
}
