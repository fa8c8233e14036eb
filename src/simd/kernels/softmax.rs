//! Softmax of f32: maximum, exponentials and their sum, products with its reciprocal; the exponentials wait in the destination.
//! Exponentials below the normal numbers are 0.
//!
//! Along the contiguous dimension a row goes by vectors, and its tail is loaded back from the destination, where lanes behind
//! the row are zeros. Along another dimension columns go side by side, a vector of them at a time.

use crate::ir::ElemType;
use crate::lower::kernel::SoftmaxSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{FloatOp, Reduction, Ty, Val};
use crate::simd::math;

use super::Items;
use super::nest;
use super::reduce::reduced;
use super::strip::{Strip, load_splat};

pub fn build(b: &mut Builder, spec: &SoftmaxSpec, operands: &[Pointer], items: Items) {
    let &[src, dst] = operands else { panic!("internal error: softmax takes two operands") };
    nest::for_items(b, items, |b, item| {
        let (src, dst) = (b.index(src, item, spec.src_outer), b.index(dst, item, spec.dst_outer));
        if spec.inner == 1 && spec.src_axis == 4 && spec.dst_axis == 4 {
            return row(b, spec, src, dst);
        }
        nest::for_strips(b, spec.inner, 1, |b, column, strip| {
            let (src, dst) = (b.index(src, column, 4), b.index(dst, column, 4));
            columns(b, spec, src, dst, strip);
        });
    });
}

/// What a row's sum does to each of its elements: the logarithm of the sum, or its reciprocal.
fn divisor(b: &mut Builder, spec: &SoftmaxSpec, sum: Val) -> Val {
    if spec.log {
        return math::log(b, sum);
    }
    let one = b.splat_const_f32(1.0);
    b.float_op(FloatOp::Div, one, sum)
}

/// What comes out for an element, from itself or from its exponential.
fn normalized(b: &mut Builder, spec: &SoftmaxSpec, (src, exp): (Val, Val), max: Val, divisor: Val) -> Val {
    if spec.log {
        let shifted = b.fsub(src, max);
        b.fsub(shifted, divisor)
    } else {
        b.fmul(exp, divisor)
    }
}

fn row(b: &mut Builder, spec: &SoftmaxSpec, src: Pointer, dst: Pointer) {
    let max = row_max(b, spec, src);
    let low = b.splat_const_f32(0.0);
    let sum = over_row(b, spec, &[low], &mut |b, at, bytes, carried| {
        let (src, dst) = (b.advance(src, at), b.advance(dst, at));
        let x = b.load_partial(Ty::VF32, src, 0, bytes);
        let shifted = b.fsub(x, max);
        let exp = math::exp_negative(b, shifted);
        b.store_partial(dst, 0, exp, bytes);
        // without what the lanes behind the row hold
        let exp = if bytes < b.width().bytes() { b.load_partial(Ty::VF32, dst, 0, bytes) } else { exp };
        vec![b.fadd(carried[0], exp)]
    });
    let sum = reduced(b, Reduction::AddF32, sum[0]);
    let divisor = divisor(b, spec, sum);
    over_row(b, spec, &[], &mut |b, at, bytes, _| {
        let (src, dst) = (b.advance(src, at), b.advance(dst, at));
        let x = if spec.log { b.load_partial(Ty::VF32, src, 0, bytes) } else { divisor };
        let exp = if spec.log { divisor } else { b.load_partial(Ty::VF32, dst, 0, bytes) };
        let y = normalized(b, spec, (x, exp), max, divisor);
        b.store_partial(dst, 0, y, bytes);
        Vec::new()
    });
}

type RowBody<'a> = dyn FnMut(&mut Builder, Val, usize, &[Val]) -> Vec<Val> + 'a;

/// Vectors of a row side by side: the chains of an exponential are long.
const SIDE_BY_SIDE: usize = 4;

/// Whole vectors in loops, several at a time, then the tail: the body gets the offset and the number of bytes.
fn over_row(b: &mut Builder, spec: &SoftmaxSpec, init: &[Val], body: &mut RowBody) -> Vec<Val> {
    let width = b.width().bytes();
    let bytes = 4 * spec.axis;
    let (mut begin, mut carried) = (0, init.to_vec());
    for side_by_side in [SIDE_BY_SIDE, 1] {
        let step = side_by_side * width;
        let end = bytes / step * step;
        let range = (b.int(begin as i64), b.int(end as i64), step as i64);
        carried = b.for_range(range, &carried, |b, at, carried| {
            (0..side_by_side).fold(carried.to_vec(), |carried, i| {
                let at = b.iadd_imm(at, (i * width) as i64);
                body(b, at, width, &carried)
            })
        });
        begin = end;
    }
    let tail = bytes - begin;
    if tail == 0 {
        return carried;
    }
    let at = b.int(begin as i64);
    body(b, at, tail, &carried)
}

/// The greatest element, in every lane.
fn row_max(b: &mut Builder, spec: &SoftmaxSpec, src: Pointer) -> Val {
    let lanes = b.width().lanes32();
    let low = b.splat_const_f32(f32::NEG_INFINITY);
    if spec.axis < lanes {
        return (0..spec.axis).fold(low, |max, i| {
            let x = load_splat(b, ElemType::F32, src, 4 * i as i32);
            b.float_op(FloatOp::Max, max, x)
        });
    }
    let (zero, end) = (b.int(0), b.int(4 * (spec.axis / lanes * lanes) as i64));
    let max = b.for_range((zero, end, 4 * lanes as i64), &[low], |b, at, carried| {
        let src = b.advance(src, at);
        let x = b.load(Ty::VF32, src, 0);
        vec![b.float_op(FloatOp::Max, carried[0], x)]
    });
    // the last vector again, up to the end: what it has in common with the others does not matter
    let last = b.load(Ty::VF32, src, 4 * (spec.axis - lanes) as i32);
    let max = b.float_op(FloatOp::Max, max[0], last);
    reduced(b, Reduction::MaxF32, max)
}

fn columns(b: &mut Builder, spec: &SoftmaxSpec, src: Pointer, dst: Pointer, strip: Strip) {
    let (zero, end) = (b.int(0), b.int(spec.axis as i64));
    let load_from = |b: &mut Builder, from: Pointer, index: Val, stride: i64, exact: bool| {
        let from = b.index(from, index, stride);
        strip.load(b, ElemType::F32, from, 0, exact)[0]
    };
    let load = |b: &mut Builder, index: Val| load_from(b, src, index, spec.src_axis, spec.exact_reads);
    let low = b.splat_const_f32(f32::NEG_INFINITY);
    let max = b.for_range((zero, end, 1), &[low], |b, i, carried| {
        let x = load(b, i);
        vec![b.float_op(FloatOp::Max, carried[0], x)]
    })[0];
    let none = b.splat_const_f32(0.0);
    let sum = b.for_range((zero, end, 1), &[none], |b, i, carried| {
        let x = load(b, i);
        let shifted = b.fsub(x, max);
        let exp = math::exp_negative(b, shifted);
        let dst = b.index(dst, i, spec.dst_axis);
        strip.store(b, ElemType::F32, dst, 0, &[exp]);
        vec![b.fadd(carried[0], exp)]
    })[0];
    let divisor = divisor(b, spec, sum);
    b.for_each(zero, end, 1, |b, i| {
        let x = if spec.log { load(b, i) } else { divisor };
        // nothing is known of what lies behind the destination
        let exp = if spec.log { divisor } else { load_from(b, dst, i, spec.dst_axis, true) };
        let y = normalized(b, spec, (x, exp), max, divisor);
        let dst = b.index(dst, i, spec.dst_axis);
        strip.store(b, ElemType::F32, dst, 0, &[y]);
    });
}
