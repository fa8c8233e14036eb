//! Strided copies. Contiguous runs go by vectors, exchanged dimensions by blocks ([`Transpose`]), the rest element by element.

use crate::lower::kernel::CopySpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{IntMem, Ty};

use super::Items;
use super::nest;
use super::transpose::Transpose;

pub fn build(b: &mut Builder, spec: &CopySpec, operands: &[Pointer], items: Items) {
    let &[src, dst] = operands else { panic!("internal error: copy takes two operands") };
    if let Some(transpose) = Transpose::of(spec) {
        return transpose.build(b, src, dst, items);
    }
    nest::for_items(b, items, |b, item| {
        if spec.sizes.is_empty() {
            return element(b, int_mem(spec.elem_bytes), src, dst);
        }
        let (src, dst) = (b.index(src, item, spec.src[0]), b.index(dst, item, spec.dst[0]));
        item_copy(b, spec, src, dst);
    });
}

/// All elements of one item.
fn item_copy(b: &mut Builder, spec: &CopySpec, src: Pointer, dst: Pointer) {
    let (sizes, src_strides, dst_strides) = (&spec.sizes[1..], &spec.src[1..], &spec.dst[1..]);
    let last = sizes.len().checked_sub(1).filter(|&last| {
        let bytes = spec.elem_bytes as i64;
        src_strides[last] == bytes && dst_strides[last] == bytes
    });
    let looped = last.unwrap_or(sizes.len());
    nest::for_all(b, &sizes[..looped], &mut |b, indices| {
        let src = nest::at(b, src, indices, &src_strides[..looped]);
        let dst = nest::at(b, dst, indices, &dst_strides[..looped]);
        match last {
            Some(last) => run(b, src, dst, sizes[last] * spec.elem_bytes, spec.exact_reads),
            None => element(b, int_mem(spec.elem_bytes), src, dst),
        }
    });
}

pub fn element(b: &mut Builder, kind: IntMem, src: Pointer, dst: Pointer) {
    let value = b.load_int(src, 0, kind);
    b.store_int(dst, 0, kind, value);
}

/// `bytes` contiguous bytes.
pub fn run(b: &mut Builder, src: Pointer, dst: Pointer, bytes: usize, exact_reads: bool) {
    let width = b.width().bytes();
    let whole = bytes / width;
    if whole > 0 {
        nest::for_count(b, whole, |b, index| {
            let (src, dst) = (b.index(src, index, width as i64), b.index(dst, index, width as i64));
            let value = b.load(Ty::V8, src, 0);
            b.store(dst, 0, value);
        });
    }
    let rest = bytes % width;
    if rest == 0 {
        return;
    }
    let at = (whole * width) as i32;
    let value = if exact_reads { b.load_partial(Ty::V8, src, at, rest) } else { b.load(Ty::V8, src, at) };
    b.store_partial(dst, at, value, rest);
}

/// The integer in memory that has an element's bytes.
pub fn int_mem(elem_bytes: usize) -> IntMem {
    match elem_bytes {
        1 => IntMem::U8,
        2 => IntMem::U16,
        4 => IntMem::I32,
        8 => IntMem::I64,
        bytes => panic!("internal error: elements of {bytes} bytes"),
    }
}
