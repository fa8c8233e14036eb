//! Running sums along one dimension, one element after the other.

use crate::ir::ElemType;
use crate::lower::kernel::ScanSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{FloatOp, IntOp, Val};

use super::Items;
use super::indexed::index_mem;
use super::nest;

pub fn build(b: &mut Builder, spec: &ScanSpec, operands: &[Pointer], items: Items) {
    let &[src, dst] = operands else { panic!("internal error: scan takes two operands") };
    nest::for_items(b, items, |b, item| {
        let at = nest::indices(b, item, &spec.outer);
        let (src, dst) = (nest::at(b, src, &at, &spec.src_outer), nest::at(b, dst, &at, &spec.dst_outer));
        let zero = if spec.elem == ElemType::F32 { b.float(0.0) } else { b.int(0) };
        let (begin, end) = (b.int(0), b.int(spec.axis as i64));
        b.for_range((begin, end, 1), &[zero], |b, index, sums| {
            let (src, dst) = (b.index(src, index, spec.src_axis), b.index(dst, index, spec.dst_axis));
            let next = added(b, spec.elem, sums[0], src);
            let stored = if spec.exclusive { sums[0] } else { next };
            match spec.elem {
                ElemType::F32 => b.store_float(dst, 0, stored),
                elem => b.store_int(dst, 0, index_mem(elem), stored),
            }
            vec![next]
        });
    });
}

fn added(b: &mut Builder, elem: ElemType, sum: Val, src: Pointer) -> Val {
    if elem == ElemType::F32 {
        let x = b.load_float(src, 0);
        return b.float_op(FloatOp::Add, sum, x);
    }
    let x = b.load_int(src, 0, index_mem(elem));
    b.int_op(IntOp::Add, sum, x)
}
