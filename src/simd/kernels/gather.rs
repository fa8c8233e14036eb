//! Rows picked by indices known at run time. Negative indices count from the end; what is still outside is clamped.

use crate::ir::ElemType;
use crate::lower::kernel::GatherSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, IntMem, IntOp, Val};

use super::Items;
use super::copy;
use super::nest;

pub fn build(b: &mut Builder, spec: &GatherSpec, operands: &[Pointer], items: Items) {
    let &[src, indices, dst] = operands else { panic!("internal error: gather takes three operands") };
    nest::for_items(b, items, |b, item| {
        let at = nest::indices(b, item, &[spec.outer, spec.indices]);
        let element_bytes = spec.index_elem.bytes() as i64;
        let place = nest::at(b, indices, &at, &[spec.indices_outer, element_bytes]);
        let index = b.load_int(place, 0, index_mem(spec.index_elem));
        let index = inside(b, index, spec.axis);
        let src = nest::at(b, src, &[at[0], index], &[spec.src_outer, spec.src_axis]);
        let dst = nest::at(b, dst, &at, &[spec.dst_outer, spec.dst_axis]);
        // the source may be a model input: nothing behind it is read
        copy::run(b, src, dst, spec.bytes, true);
    });
}

/// The integer in memory that an element of this type is.
pub fn index_mem(elem: ElemType) -> IntMem {
    match elem {
        ElemType::I64 => IntMem::I64,
        ElemType::I32 => IntMem::I32,
        ElemType::I16 => IntMem::I16,
        ElemType::I8 => IntMem::I8,
        ElemType::U8 | ElemType::Bool => IntMem::U8,
        ElemType::F32 | ElemType::F16 | ElemType::BF16 | ElemType::I4 | ElemType::U4 => {
            panic!("internal error: indices of {elem:?}")
        }
    }
}

fn inside(b: &mut Builder, index: Val, axis: usize) -> Val {
    let zero = b.int(0);
    let negative = b.int_cmp(Cmp::Lt, index, zero);
    let from_end = b.iadd_imm(index, axis as i64);
    let index = b.choose(negative, from_end, index);
    let last = b.int(axis as i64 - 1);
    let index = b.int_op(IntOp::MinS, index, last);
    b.int_op(IntOp::MaxS, index, zero)
}
