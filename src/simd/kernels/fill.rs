//! Writes a constant into strided elements.

use crate::lower::kernel::FillSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, Ty};

use super::Items;
use super::copy::int_mem;
use super::nest;

pub fn build(b: &mut Builder, spec: &FillSpec, operands: &[Pointer], items: Items) {
    let &[dst] = operands else { panic!("internal error: fill takes one operand") };
    nest::for_items(b, items, |b, item| {
        let (Some((_, sizes)), Some((stride, strides))) = (spec.sizes.split_first(), spec.dst.split_first()) else {
            return element(b, spec, dst);
        };
        let dst = b.index(dst, item, *stride);
        match (sizes.split_last(), strides.split_last()) {
            (Some((&length, outer)), Some((&stride, strides))) if stride == spec.elem_bytes as i64 => {
                nest::for_all(b, outer, &mut |b, indices| {
                    let dst = nest::at(b, dst, indices, strides);
                    run(b, spec, dst, length * spec.elem_bytes);
                });
            }
            _ => nest::for_all(b, sizes, &mut |b, indices| {
                let dst = nest::at(b, dst, indices, strides);
                element(b, spec, dst);
            }),
        }
    });
}

fn element(b: &mut Builder, spec: &FillSpec, dst: Pointer) {
    let value = b.int(i64::from_le_bytes(spec.value));
    b.store_int(dst, 0, int_mem(spec.elem_bytes), value);
}

/// `bytes` contiguous bytes.
fn run(b: &mut Builder, spec: &FillSpec, dst: Pointer, bytes: usize) {
    let width = b.width().bytes();
    let chunk: [u8; CHUNK] = std::array::from_fn(|i| spec.value[i % spec.elem_bytes]);
    let value = b.vec_const(Ty::V8, chunk);
    let whole = bytes / width;
    if whole > 0 {
        nest::for_count(b, whole, |b, index| {
            let dst = b.index(dst, index, width as i64);
            b.store(dst, 0, value);
        });
    }
    b.store_partial(dst, (whole * width) as i32, value, bytes % width);
}
