//! Tables of 256 bytes: every byte of the source selects one.
//!
//! A byte shuffle selects among 16 entries by the low four bits, and gives zero for an index with its highest bit set. The
//! index goes down by 16 from shuffle to shuffle and becomes negative behind the chunk it stands in. The chunks are stored as
//! differences (`lower::pack::pack_lookup`), so that what was selected until then combines to the entry:
//!
//! ```text
//! index 37:   37 -> d0[5]   21 -> d1[5]   5 -> d2[5]   -11 -> 0  ..    d0 ^ d1 ^ d2 = entry 37
//! ```
//!
//! Bytes from 128 on are negative indices; they take the second half of the table, and those below 128 nothing from it.

use crate::lower::kernel::LookupSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, Ty, Val, VecOp, Width};

use super::Items;
use super::nest;

/// Chunks of a half.
const CHUNKS: usize = 8;

pub fn build(b: &mut Builder, spec: &LookupSpec, operands: &[Pointer], items: Items) {
    let &[src, table, dst] = operands else { panic!("internal error: lookup takes three operands") };
    // sixteen vectors are half of the registers at 512 bits, and all of them below
    let held = (b.width() == Width::W512).then(|| chunks(b, table));
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &spec.outer);
        let src = nest::at(b, src, &indices, &spec.src.strides);
        let dst = nest::at(b, dst, &indices, &spec.dst.strides);
        nest::for_strips(b, spec.inner, 4, |b, first, strip| {
            let (src, dst) = (b.advance(src, first), b.advance(dst, first));
            let whole = strip.valid == b.width().bytes();
            let bytes = if whole { b.load(Ty::V8, src, 0) } else { b.load_partial(Ty::V8, src, 0, strip.valid) };
            let chunks = held.clone().unwrap_or_else(|| chunks(b, table));
            let result = look_up(b, &chunks, bytes);
            match whole {
                true => b.store(dst, 0, result),
                false => b.store_partial(dst, 0, result, strip.valid),
            }
        });
    });
}

fn chunks(b: &mut Builder, table: Pointer) -> Vec<Val> {
    (0..2 * CHUNKS).map(|chunk| b.load_chunks(Ty::V8, table, (chunk * CHUNK) as i32, 0)).collect()
}

fn look_up(b: &mut Builder, chunks: &[Val], bytes: Val) -> Val {
    let (none, step, highest) = (b.splat_const(Ty::V8, -1), b.splat_const(Ty::V8, 16), b.splat_const(Ty::V8, 0x80));
    let flipped = b.vec_op(VecOp::Xor, bytes, highest);
    let mut result: Option<Val> = None;
    for (half, start) in [bytes, flipped].into_iter().enumerate() {
        // no less than -1, so that an index of the other half stays negative
        let mut index = b.vec_op(VecOp::MaxS, start, none);
        for (i, &chunk) in chunks[half * CHUNKS..][..CHUNKS].iter().enumerate() {
            if i > 0 {
                index = b.vec_op(VecOp::Sub, index, step);
            }
            let selected = b.shuffle_by(chunk, index);
            result = Some(result.map_or(selected, |result| b.vec_op(VecOp::Xor, result, selected)));
        }
    }
    result.unwrap_or(bytes)
}
