//! The k greatest or least elements of rows, by insertion into a sorted list.
//!
//! An entry of the list is one 64-bit integer: the element's rank in its type's order in the upper half, the complement of its
//! index in the lower. So one comparison decides by value, then by the lower index, and no two entries are equal. NaN has the least
//! rank either way. An element that is not above the last entry costs one comparison; one that is shifts what is below it.

use crate::ir::ElemType;
use crate::lower::kernel::TopKSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, IntMem, IntOp, Val};

use super::Items;
use super::copy::{self, int_mem};
use super::indexed::index_mem;
use super::nest;

const ENTRY: i64 = 8;
const LOW_HALF: i64 = 0xffff_ffff;

pub fn build(b: &mut Builder, spec: &TopKSpec, operands: &[Pointer], items: Items) {
    let &[src, list, values, indices] = operands else { panic!("internal error: top_k takes four operands") };
    nest::for_items(b, items, |b, item| {
        let at = nest::indices(b, item, &spec.outer);
        let src = nest::at(b, src, &at, &spec.src_outer);
        let list = b.index(list, item, spec.k as i64 * ENTRY);
        clear(b, spec, list);
        let (begin, end) = (b.int(0), b.int(spec.axis as i64));
        b.for_each(begin, end, 1, |b, index| {
            let element = b.index(src, index, spec.src_axis);
            let entry = entry(b, spec, element, index);
            let last = b.load_int(list, ((spec.k as i64 - 1) * ENTRY) as i32, IntMem::I64);
            let above = b.int_cmp(Cmp::Gt, entry, last);
            let filled = b.int(spec.k as i64);
            b.if_then(above, |b| {
                insert(b, list, filled, entry);
            });
        });
        if spec.by_index {
            sort_by_index(b, spec, list);
        }
        let values = nest::at(b, values, &at, &spec.values_outer);
        let indices = nest::at(b, indices, &at, &spec.indices_outer);
        store(b, spec, src, list, values, indices);
    });
}

/// Entries below every element.
fn clear(b: &mut Builder, spec: &TopKSpec, list: Pointer) {
    let least = b.int(i64::MIN);
    nest::for_count(b, spec.k, |b, index| {
        let place = b.index(list, index, ENTRY);
        b.store_int(place, 0, IntMem::I64, least);
    });
}

/// Puts an entry into its place among the first `length`, greatest first; gives the one that falls out.
fn insert(b: &mut Builder, list: Pointer, length: Val, entry: Val) -> Val {
    let begin = b.int(0);
    b.for_range((begin, length, 1), &[entry], |b, index, carried| {
        let place = b.index(list, index, ENTRY);
        let known = b.load_int(place, 0, IntMem::I64);
        let (upper, lower) = (b.int_op(IntOp::MaxS, known, carried[0]), b.int_op(IntOp::MinS, known, carried[0]));
        b.store_int(place, 0, IntMem::I64, upper);
        vec![lower]
    })[0]
}

fn entry(b: &mut Builder, spec: &TopKSpec, element: Pointer, index: Val) -> Val {
    let rank = match spec.elem {
        ElemType::F32 => float_rank(b, spec.largest, element),
        elem => {
            let value = b.load_int(element, 0, index_mem(elem));
            if spec.largest { value } else { complement(b, value) }
        }
    };
    let half = b.int(32);
    let upper = b.int_op(IntOp::Shl, rank, half);
    let lower = low_complement(b, index);
    b.int_op(IntOp::Or, upper, lower)
}

/// Bits of a float as an integer of the same order, in 32 bits with a sign. Zeros of both signs are equal.
fn float_rank(b: &mut Builder, largest: bool, element: Pointer) -> Val {
    let value = b.load_float(element, 0);
    let bits = b.load_int(element, 0, IntMem::I32);
    let (shift, magnitude) = (b.int(31), b.int(0x7fff_ffff));
    let sign = b.int_op(IntOp::ShrS, bits, shift);
    let flips = b.int_op(IntOp::And, sign, magnitude);
    let rank = b.int_op(IntOp::Xor, bits, flips);
    let zero = b.float(0.0);
    let is_zero = b.float_cmp(Cmp::Eq, value, zero);
    let none = b.int(0);
    let rank = b.choose(is_zero, none, rank);
    let rank = if largest { rank } else { complement(b, rank) };
    let is_number = b.float_cmp(Cmp::Eq, value, value);
    let least = b.int(i64::from(i32::MIN));
    b.choose(is_number, rank, least)
}

/// Reverses the order.
fn complement(b: &mut Builder, value: Val) -> Val {
    let ones = b.int(-1);
    b.int_op(IntOp::Xor, value, ones)
}

fn low_complement(b: &mut Builder, value: Val) -> Val {
    let flipped = complement(b, value);
    let mask = b.int(LOW_HALF);
    b.int_op(IntOp::And, flipped, mask)
}

/// Keeps the lower halves alone, and sorts them: the complement of the least index is the greatest.
fn sort_by_index(b: &mut Builder, spec: &TopKSpec, list: Pointer) {
    nest::for_count(b, spec.k, |b, index| {
        let place = b.index(list, index, ENTRY);
        let entry = b.load_int(place, 0, IntMem::I64);
        let mask = b.int(LOW_HALF);
        let lower = b.int_op(IntOp::And, entry, mask);
        let last = insert(b, list, index, lower);
        b.store_int(place, 0, IntMem::I64, last);
    });
}

/// Elements and indices of the entries, in order.
fn store(b: &mut Builder, spec: &TopKSpec, src: Pointer, list: Pointer, values: Pointer, indices: Pointer) {
    nest::for_count(b, spec.k, |b, rank| {
        let place = b.index(list, rank, ENTRY);
        let entry = b.load_int(place, 0, IntMem::I64);
        let index = low_complement(b, entry);
        let element = b.index(src, index, spec.src_axis);
        let value = b.index(values, rank, spec.values_axis);
        copy::element(b, int_mem(spec.elem.bytes()), element, value);
        let place = b.index(indices, rank, spec.indices_axis);
        b.store_int(place, 0, index_mem(spec.index_elem), index);
    });
}
