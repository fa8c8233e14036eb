//! Elements or rows picked or replaced by coordinates known at run time. Negative coordinates count from the end where the
//! spec says so. What is outside reads zeros and writes nothing.

use crate::ir::ElemType;
use crate::ir::op::ScatterReduction;
use crate::lower::kernel::{IndexedKind, IndexedSpec};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, FloatOp, IntMem, IntOp, Val};

use super::Items;
use super::copy::{self, int_mem};
use super::nest;

pub fn build(b: &mut Builder, spec: &IndexedSpec, operands: &[Pointer], items: Items) {
    let &[src, indices, dst] = operands else { panic!("internal error: indexed takes three operands") };
    match spec.kind {
        IndexedKind::Gather => nest::for_items(b, items, |b, item| {
            let at = nest::indices(b, item, &spec.sizes);
            gather(b, spec, [src, indices, dst], &at);
        }),
        // One item: of two updates of one place the later one must come later.
        IndexedKind::Scatter(reduction) => nest::for_items(b, items, |b, _| {
            nest::for_all(b, &spec.sizes, &mut |b, at| scatter(b, spec, reduction, [src, indices, dst], at));
        }),
    }
}

/// Where the coordinates at `at` point to in the indexed operand, and whether that is inside.
fn place(b: &mut Builder, spec: &IndexedSpec, indices: Pointer, data: Pointer, at: &[Val]) -> (Pointer, Val) {
    let indices = nest::at(b, indices, at, &spec.index_strides);
    let mut data = nest::at(b, data, at, &spec.data_strides);
    let mut inside = b.int(1);
    for (number, &(size, stride)) in spec.coordinates.iter().enumerate() {
        let offset = (number as i64 * spec.coordinate_stride) as i32;
        let mut index = b.load_int(indices, offset, index_mem(spec.index_elem));
        let zero = b.int(0);
        if spec.wraps {
            let negative = b.int_cmp(Cmp::Lt, index, zero);
            let from_end = b.iadd_imm(index, size as i64);
            index = b.choose(negative, from_end, index);
        }
        let end = b.int(size as i64);
        let (above, below) = (b.int_cmp(Cmp::Ge, index, zero), b.int_cmp(Cmp::Lt, index, end));
        let own = b.int_op(IntOp::And, above, below);
        inside = b.int_op(IntOp::And, inside, own);
        let index = b.choose(own, index, zero);
        data = b.index(data, index, stride);
    }
    (data, inside)
}

fn gather(b: &mut Builder, spec: &IndexedSpec, [data, indices, dst]: [Pointer; 3], at: &[Val]) {
    let (src, inside) = place(b, spec, indices, data, at);
    let dst = nest::at(b, dst, at, &spec.other_strides);
    let (bytes, elem_bytes) = (spec.bytes, spec.elem.bytes());
    let copied = |b: &mut Builder| {
        // the source may be a model input: nothing behind it is read
        match bytes == elem_bytes {
            true => copy::element(b, int_mem(elem_bytes), src, dst),
            false => copy::run(b, src, dst, bytes, true),
        }
        Vec::new()
    };
    let zeroed = |b: &mut Builder| {
        let zero = b.int(0);
        nest::for_count(b, bytes / elem_bytes, |b, index| {
            let dst = b.index(dst, index, elem_bytes as i64);
            b.store_int(dst, 0, int_mem(elem_bytes), zero);
        });
        Vec::new()
    };
    b.if_else(inside, copied, zeroed);
}

fn scatter(
    b: &mut Builder,
    spec: &IndexedSpec,
    reduction: ScatterReduction,
    [updates, indices, data]: [Pointer; 3],
    at: &[Val],
) {
    let (dst, inside) = place(b, spec, indices, data, at);
    let src = nest::at(b, updates, at, &spec.other_strides);
    let (bytes, elem_bytes) = (spec.bytes, spec.elem.bytes());
    b.if_then(inside, |b| match reduction {
        ScatterReduction::None if bytes == elem_bytes => copy::element(b, int_mem(elem_bytes), src, dst),
        ScatterReduction::None => copy::run(b, src, dst, bytes, true),
        reduction => nest::for_count(b, bytes / elem_bytes, |b, index| {
            let (src, dst) = (b.index(src, index, elem_bytes as i64), b.index(dst, index, elem_bytes as i64));
            combine(b, spec.elem, reduction, src, dst);
        }),
    });
}

/// One element of the updates meets one of the data.
fn combine(b: &mut Builder, elem: ElemType, reduction: ScatterReduction, src: Pointer, dst: Pointer) {
    if elem == ElemType::F32 {
        let (old, new) = (b.load_float(dst, 0), b.load_float(src, 0));
        let op = match reduction {
            ScatterReduction::Prod => FloatOp::Mul,
            ScatterReduction::Min => FloatOp::Min,
            ScatterReduction::Max => FloatOp::Max,
            ScatterReduction::None | ScatterReduction::Sum | ScatterReduction::Mean => FloatOp::Add,
        };
        // Of a comparison with NaN the second operand is the result: an update that is NaN stays.
        let value = b.float_op(op, old, new);
        return b.store_float(dst, 0, value);
    }
    let kind = index_mem(elem);
    let (old, new) = (b.load_int(dst, 0, kind), b.load_int(src, 0, kind));
    let op = match reduction {
        ScatterReduction::Prod => IntOp::Mul,
        ScatterReduction::Min => IntOp::MinS,
        ScatterReduction::Max => IntOp::MaxS,
        ScatterReduction::Sum if elem == ElemType::Bool => IntOp::Or,
        ScatterReduction::None | ScatterReduction::Sum | ScatterReduction::Mean => IntOp::Add,
    };
    let value = b.int_op(op, old, new);
    b.store_int(dst, 0, kind, value);
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
