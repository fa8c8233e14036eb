//! Products of the state and the recurrent weights: what each gate adds to its inputs, for a group of vectors of hidden units.
//!
//! All sums go through the state together: one alone would wait for each of its additions. The weights of a step rarely fit
//! the first cache, and what fetches ahead by itself is not far enough ahead.
//!
//! Integer weights take integer sums, which have a quarter (or half) of the bytes and are exact. A state `h` between -1 and
//! 1 becomes `q = rne(2^22 h)`, off by 2^-23 at most, and `q` is cut into digits before a step:
//!
//! ```text
//! bytes   q = 2^16 (d2 - 128) + 2^8 d1 + d0      planes of u8, dot products with four i8 weights; sums of d2 start at -128 sum(w)
//! words   q = 2^12 d1 + d0                       planes of i16, products of pairs with i16 weights
//! ```
//!
//! The sums of the planes are below 2^31, since |w| <= 128, d < 2^12 and the state has at most 2^12 units. Their carries are
//! added exactly, so that `sum(w q) = 2^16 high + low` with `0 <= low < 2^16` in both forms, and only `high` and `low` are
//! rounded to floats: the same number on every machine.

use crate::ir::ElemType;
use crate::lower::kernel::{RnnSpec, StateProduct};
use crate::lower::pack::{RnnLayout, STATE_BITS, rnn_gates};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cache, FloatOp, ShiftOp, Ty, Val, VecOp};

use super::super::nest;

/// How far ahead of their use weights are fetched.
const PREFETCH_BYTES: usize = 2048;

/// Weights of a direction up to here are in the first cache from the step before, all or nearly all: fetching them again takes
/// the time of as many loads.
const NEAR_BYTES: usize = 48 * 1024;

/// States whose digits a step needs at a time.
const SLOTS: usize = 2;

/// A state as the gates of a step take it.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub state: Pointer,
    /// Where [`StateProducts::prepare`] put its digits.
    pub slot: usize,
    pub gates: &'a [usize],
}

/// Digits of one plane: their type in memory, and their bits.
struct DigitForm {
    elem: ElemType,
    bits: u8,
    planes: usize,
}

fn digit_form(product: StateProduct) -> DigitForm {
    match product {
        StateProduct::Words => DigitForm { elem: ElemType::I16, bits: 12, planes: 2 },
        StateProduct::Bytes | StateProduct::F32 => DigitForm { elem: ElemType::U8, bits: 8, planes: 3 },
    }
}

/// Memory for the digits of a kernel's states; none where products are floats.
pub fn digit_memory(b: &mut Builder, spec: &RnnSpec) -> Option<Pointer> {
    let form = digit_form(spec.product);
    let is_integer = spec.product != StateProduct::F32;
    is_integer.then(|| b.scratch(SLOTS * form.planes * plane_bytes(spec)))
}

/// A plane of digits, whole steps of them.
fn plane_bytes(spec: &RnnSpec) -> usize {
    (spec.hidden * digit_form(spec.product).elem.bytes()).next_multiple_of(Cache::LINE)
}

/// The recurrent weights of a direction, and the states that meet them.
pub struct StateProducts<'a> {
    spec: &'a RnnSpec,
    layout: RnnLayout,
    weights: Pointer,
    digits: Option<Pointer>,
}

impl<'a> StateProducts<'a> {
    pub fn new(b: &Builder, spec: &'a RnnSpec, weights: Pointer, digits: Option<Pointer>) -> StateProducts<'a> {
        let layout = RnnLayout::new(b.width(), spec.product, spec.kind, spec.hidden);
        StateProducts { spec, layout, weights, digits }
    }

    /// Vectors of units whose sums are taken together.
    pub fn vectors(&self) -> usize {
        self.layout.vectors
    }

    /// Cuts a state into digits, before the [`Self::sums`] that take it.
    pub fn prepare(&self, b: &mut Builder, state: Pointer, slot: usize) {
        let Some(digits) = self.digits else { return };
        let (form, plane_bytes) = (digit_form(self.spec.product), plane_bytes(self.spec));
        let at = b.int((slot * form.planes * plane_bytes) as i64);
        let digits = b.advance(digits, at);
        nest::for_strips(b, self.spec.hidden, 4, |b, unit, strip| {
            let (from, to) = (b.index(state, unit, 4), b.index(digits, unit, form.elem.bytes() as i64));
            let values = strip.load(b, ElemType::F32, from, 0, false);
            let integers: Vec<Val> = values.into_iter().map(|value| fixed(b, value)).collect();
            for plane in 0..form.planes {
                let cut: Vec<Val> = integers.iter().map(|&q| digit(b, self.spec.product, q, plane)).collect();
                strip.store(b, form.elem, to, (plane * plane_bytes) as i32, &cut);
            }
        });
    }

    /// `r h` for states and the gates that take them, of the `vectors` vectors of units from `first`: gate by gate, in each
    /// vector by vector.
    pub fn sums(&self, b: &mut Builder, sources: &[Source], first: Val, vectors: usize) -> Vec<Val> {
        match self.digits {
            None => self.float_sums(b, sources, first, vectors),
            Some(digits) => self.integer_sums(b, digits, sources, first, vectors),
        }
    }

    fn float_sums(&self, b: &mut Builder, sources: &[Source], first: Val, vectors: usize) -> Vec<Val> {
        let none = b.splat_const_f32(0.0);
        let count: usize = sources.iter().map(|source| source.gates.len() * vectors).sum();
        self.over_state(b, &vec![none; count], first, vectors, &|b, k, weights, sums| {
            let mut next = Vec::with_capacity(count);
            for source in sources {
                let h = b.index(source.state, k, 4);
                let h = b.load_splat32(Ty::VF32, h, 0);
                for weight in self.load_weights(b, Ty::VF32, weights, source.gates, vectors) {
                    next.push(b.mul_add(h, weight, sums[next.len()]));
                }
            }
            next
        })
    }

    fn integer_sums(
        &self,
        b: &mut Builder,
        digits: Pointer,
        sources: &[Source],
        first: Val,
        vectors: usize,
    ) -> Vec<Val> {
        let DigitForm { planes, .. } = digit_form(self.spec.product);
        let plane_bytes = plane_bytes(self.spec);
        let ty = if self.spec.product == StateProduct::Words { Ty::V16 } else { Ty::V8 };
        let init = self.starts(b, sources, first, vectors);
        let sums = self.over_state(b, &init, first, vectors, &|b, k, weights, sums| {
            let mut next = Vec::with_capacity(init.len());
            for source in sources {
                let digits = b.index(digits, k, 4);
                let place = |plane: usize| ((source.slot * planes + plane) * plane_bytes) as i32;
                let cut: Vec<Val> = (0..planes).map(|plane| b.load_splat32(ty, digits, place(plane))).collect();
                for weight in self.load_weights(b, ty, weights, source.gates, vectors) {
                    for &digit in &cut {
                        next.push(multiply(b, sums[next.len()], digit, weight));
                    }
                }
            }
            next
        });
        let gates = sources.iter().flat_map(|source| source.gates);
        let places = gates.flat_map(|&gate| (0..vectors).map(move |vector| (gate, vector)));
        let results = places.zip(sums.chunks(planes)).map(|((gate, vector), sums)| {
            let scale = self.of_row(b, self.layout.scales_at, Ty::VF32, first, (gate, vector));
            let sum = whole(b, self.spec.product, sums);
            b.fmul(sum, scale)
        });
        results.collect()
    }

    /// What integer sums start with: for each gate and vector its planes.
    fn starts(&self, b: &mut Builder, sources: &[Source], first: Val, vectors: usize) -> Vec<Val> {
        let planes = digit_form(self.spec.product).planes;
        let zero = b.splat_const(Ty::V32, 0);
        let gates = sources.iter().flat_map(|source| source.gates);
        let places: Vec<_> = gates.flat_map(|&gate| (0..vectors).map(move |vector| (gate, vector))).collect();
        let mut starts = Vec::new();
        for place in places {
            starts.push(match self.spec.product {
                StateProduct::Bytes => self.of_row(b, self.layout.starts_at, Ty::V32, first, place),
                StateProduct::Words | StateProduct::F32 => zero,
            });
            starts.extend(vec![zero; planes - 1]);
        }
        starts
    }

    /// A vector of a row of all gates' units in the weights' memory.
    fn of_row(&self, b: &mut Builder, at: usize, ty: Ty, first: Val, (gate, vector): (usize, usize)) -> Val {
        let row = b.index(self.weights, first, 4);
        let at = b.int((at + 4 * gate * self.spec.hidden) as i64);
        let row = b.advance(row, at);
        b.load(ty, row, (vector * b.width().bytes()) as i32)
    }

    /// Carries sums through the steps of the state; the body gets the step, and where its weights are.
    fn over_state(
        &self,
        b: &mut Builder,
        init: &[Val],
        first: Val,
        vectors: usize,
        body: &dyn Fn(&mut Builder, Val, Pointer, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let gates = rnn_gates(self.spec.kind);
        let weights = b.index(self.weights, first, (4 * gates * self.layout.steps) as i64);
        let row_bytes = gates * vectors * b.width().bytes();
        let (zero, end) = (b.int(0), b.int(self.layout.steps as i64));
        b.for_range((zero, end, 1), init, |b, k, sums| {
            let weights = b.index(weights, k, row_bytes as i64);
            body(b, k, weights, sums)
        })
    }

    /// The weights of gates in a step: gate by gate, in each vector by vector. What comes later is fetched on the way.
    fn load_weights(&self, b: &mut Builder, ty: Ty, weights: Pointer, gates: &[usize], vectors: usize) -> Vec<Val> {
        let width = b.width().bytes();
        let is_far = self.layout.bytes > NEAR_BYTES;
        let places = gates.iter().flat_map(|gate| (0..vectors).map(move |vector| (gate * vectors + vector) * width));
        let load = |at: usize| {
            if is_far && at.is_multiple_of(Cache::LINE) {
                b.prefetch(Cache::L1, weights, (at + PREFETCH_BYTES) as i32);
            }
            b.load(ty, weights, at as i32)
        };
        places.map(load).collect()
    }
}

/// `rne(2^22 x)` of a state; what is no number counts as -1.
fn fixed(b: &mut Builder, x: Val) -> Val {
    let (low, high) = (b.splat_const_f32(-1.0), b.splat_const_f32(1.0));
    let above = b.float_op(FloatOp::Max, x, low);
    let inside = b.float_op(FloatOp::Min, above, high);
    let unit = b.splat_const_f32((1 << STATE_BITS) as f32);
    let scaled = b.fmul(inside, unit);
    b.to_int(scaled)
}

/// Digit `plane` of `q`, the highest first.
fn digit(b: &mut Builder, product: StateProduct, q: Val, plane: usize) -> Val {
    let DigitForm { bits, planes, .. } = digit_form(product);
    let shifted = match bits * (planes - 1 - plane) as u8 {
        0 => q,
        below => b.shift(ShiftOp::RightSigned, q, below),
    };
    match (plane, product) {
        (0, StateProduct::Words) => shifted,
        (0, StateProduct::Bytes | StateProduct::F32) => offset(b, shifted, 128),
        _ => masked(b, shifted, bits),
    }
}

/// `sum + digit * weight`, exact.
fn multiply(b: &mut Builder, sum: Val, digit: Val, weight: Val) -> Val {
    if b.ty(digit) == Ty::V8 {
        return b.dot4_any(sum, digit, weight);
    }
    let product = b.madd(digit, weight);
    b.vadd(sum, product)
}

/// Sums of digits, the highest first, as `2^16 high + low` in floats.
fn whole(b: &mut Builder, product: StateProduct, sums: &[Val]) -> Val {
    // from the lowest digit: carries go up, what is left is a digit again
    let DigitForm { bits, .. } = digit_form(product);
    let (mut carried, mut low, mut low_bits) = (None, b.splat_const(Ty::V32, 0), 0);
    for &sum in sums[1..].iter().rev() {
        let sum = carried.map_or(sum, |carry| b.vadd(sum, carry));
        let rest = masked(b, sum, bits);
        let rest = b.shift(ShiftOp::Left, rest, low_bits);
        low = b.vec_op(VecOp::Or, low, rest);
        low_bits += bits;
        carried = Some(b.shift(ShiftOp::RightSigned, sum, bits));
    }
    let mut high = carried.map_or(sums[0], |carry| b.vadd(sums[0], carry));
    if low_bits < 16 {
        let missing = 16 - low_bits;
        let next = masked(b, high, missing);
        let next = b.shift(ShiftOp::Left, next, low_bits);
        low = b.vec_op(VecOp::Or, low, next);
        high = b.shift(ShiftOp::RightSigned, high, missing);
    }
    let (high, low) = (b.to_float(high), b.to_float(low));
    let unit = b.splat_const_f32(65536.0);
    b.mul_add(high, unit, low)
}

fn offset(b: &mut Builder, value: Val, by: i64) -> Val {
    let by = b.splat_const(Ty::V32, by);
    b.vadd(value, by)
}

/// The lowest bits.
fn masked(b: &mut Builder, value: Val, bits: u8) -> Val {
    let mask = b.splat_const(Ty::V32, (1 << bits) - 1);
    b.vec_op(VecOp::And, value, mask)
}
