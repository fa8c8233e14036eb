//! Recurrent sequences in f32: LSTM, GRU and plain cells, all steps of all directions.
//!
//! Operands, all f32 and dense:
//! - x projections `[batch, sequence, dirs, gates * hidden]`: `w x` without bias, computed by a product kernel before;
//! - initial states: h `[batch, dirs, hidden]`, behind it for LSTM c of the same shape;
//! - recurrent weights as [`RnnLayout`] has them;
//! - biases `[dirs, gates * hidden]`, one gate more for a GRU with `linear_before_reset`;
//! - results: y `[batch, dirs, sequence, hidden]`, behind it the last h, behind that for LSTM the last c.
//!
//! Gates stand in the order of `Op::Rnn`. A step reads the state of the step before where that wrote it: in y. The place of
//! the last h holds the state scaled by the reset gate until the end, and the place of the last c the running c.

mod state;

use crate::ir::ElemType;
use crate::ir::op::{Activation, BinaryOp, Direction, RnnKind};
use crate::lower::kernel::RnnSpec;
use crate::lower::pack::{RnnLayout, rnn_gates};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, Val};
use crate::simd::math;

use super::Items;
use super::copy;
use super::lanes;
use super::nest;
use super::strip::Strip;
use state::{Source, StateProducts};

pub fn build(b: &mut Builder, spec: &RnnSpec, operands: &[Pointer], items: Items) {
    let &[x, states, weights, biases, results] = operands else {
        panic!("internal error: a recurrent sequence takes five operands")
    };
    let dirs = if spec.direction == Direction::Bidirectional { 2 } else { 1 };
    let (row, gates) = (4 * spec.hidden as i64, rnn_gates(spec.kind));
    let state_bytes = (spec.batch * dirs) as i64 * row;
    let h_at = spec.sequence as i64 * state_bytes;
    let packed = RnnLayout::new(b.width(), spec.product, spec.kind, spec.hidden).bytes;
    let digits = state::digit_memory(b, spec);
    nest::for_items(b, items, |b, _| {
        nest::for_count(b, spec.batch, |b, n| {
            for dir in 0..dirs {
                let lane = b.imul_imm(n, dirs as i64);
                let lane = b.iadd_imm(lane, dir as i64);
                let at = |b: &mut Builder, from: Pointer, offset: i64, stride: i64| {
                    let from = moved(b, from, offset);
                    b.index(from, lane, stride)
                };
                let bias_gates = gates + usize::from(spec.kind == RnnKind::Gru && spec.linear_before_reset);
                let x_row = (dirs * gates) as i64 * row;
                let projections = b.index(x, n, spec.sequence as i64 * x_row);
                let weights = moved(b, weights, (dir * packed) as i64);
                let sequence = Sequence {
                    spec,
                    backward: spec.direction == Direction::Reverse || dir == 1,
                    x: moved(b, projections, (dir * gates) as i64 * row),
                    x_row,
                    first_h: at(b, states, 0, row),
                    first_c: at(b, states, state_bytes, row),
                    products: StateProducts::new(b, spec, weights, digits),
                    biases: moved(b, biases, (dir * bias_gates) as i64 * row),
                    y: at(b, results, 0, spec.sequence as i64 * row),
                    last_h: at(b, results, h_at, row),
                    c: at(b, results, h_at + state_bytes, row),
                };
                sequence.run(b);
            }
        });
    });
}

fn moved(b: &mut Builder, pointer: Pointer, bytes: i64) -> Pointer {
    if bytes == 0 {
        return pointer;
    }
    let bytes = b.int(bytes);
    b.advance(pointer, bytes)
}

/// One direction of one batch element.
struct Sequence<'a> {
    spec: &'a RnnSpec,
    backward: bool,
    x: Pointer,
    /// Bytes of the projections of a step.
    x_row: i64,
    first_h: Pointer,
    first_c: Pointer,
    products: StateProducts<'a>,
    biases: Pointer,
    y: Pointer,
    last_h: Pointer,
    c: Pointer,
}

/// One step: projections, the state before, the place of the state after.
struct Step<'a> {
    sequence: &'a Sequence<'a>,
    x: Pointer,
    h: Pointer,
    y: Pointer,
}

/// Hidden units of a vector.
#[derive(Clone, Copy)]
struct Units {
    /// First unit of the group of vectors.
    first: Val,
    /// Which vector of the group.
    vector: usize,
    strip: Strip,
}

impl Sequence<'_> {
    fn run(&self, b: &mut Builder) {
        let row = 4 * self.spec.hidden;
        if self.spec.kind == RnnKind::Lstm {
            copy::run(b, self.first_c, self.c, row, true);
        }
        let (zero, end) = (b.int(0), b.int(self.spec.sequence as i64));
        b.for_each(zero, end, 1, |b, step| {
            let (t, before) = if self.backward {
                let last = b.int(self.spec.sequence as i64 - 1);
                let minus = b.imul_imm(step, -1);
                let t = b.iadd(last, minus);
                (t, row as i64)
            } else {
                (step, -(row as i64))
            };
            let x = b.index(self.x, t, self.x_row);
            let y = b.index(self.y, t, row as i64);
            let is_first = b.int_cmp(Cmp::Eq, step, zero);
            let before = moved(b, y, before);
            let h = Pointer { base: b.choose(is_first, self.first_h.base, before.base), mem: y.mem };
            Step { sequence: self, x, h, y }.run(b);
        });
        let last = if self.backward { 0 } else { (self.spec.sequence - 1) * row };
        let last = moved(b, self.y, last as i64);
        copy::run(b, last, self.last_h, row, true);
    }
}

impl Step<'_> {
    fn run(&self, b: &mut Builder) {
        let (spec, products, scaled) = (self.sequence.spec, &self.sequence.products, self.sequence.last_h);
        let two_passes = spec.kind == RnnKind::Gru && !spec.linear_before_reset;
        let of_state = |gates: &'static [usize]| Source { state: self.h, slot: 0, gates };
        products.prepare(b, self.h, 0);
        if two_passes {
            self.for_units(b, &[of_state(&[1])], |b, units, states| {
                let reset = self.gate(b, 1, 0, units, states[0]);
                let h = self.load(b, self.h, units);
                let product = b.fmul(h, reset);
                self.store(b, scaled, units, product);
            });
            products.prepare(b, scaled, 1);
        }
        let sources: &[Source] = match spec.kind {
            RnnKind::Lstm => &[of_state(&[0, 1, 2, 3])],
            RnnKind::Gru if two_passes => &[of_state(&[0]), Source { state: scaled, slot: 1, gates: &[2] }],
            RnnKind::Gru => &[of_state(&[0, 1, 2])],
            RnnKind::Rnn => &[of_state(&[0])],
        };
        self.for_units(b, sources, |b, units, states| {
            let h = match spec.kind {
                RnnKind::Lstm => self.lstm(b, units, states),
                RnnKind::Gru => self.gru(b, units, states),
                RnnKind::Rnn => self.gate(b, 0, 0, units, states[0]),
            };
            self.store(b, self.y, units, h);
        });
    }

    /// Runs the body for all vectors of units with their [`StateProducts::sums`], group by group: what follows the sums of one
    /// vector does not wait for that of the others.
    fn for_units(&self, b: &mut Builder, sources: &[Source], mut body: impl FnMut(&mut Builder, Units, &[Val])) {
        let lanes = b.width().lanes32();
        let products = &self.sequence.products;
        nest::for_strips(b, self.sequence.spec.hidden, products.vectors(), |b, first, strip| {
            let vectors = strip.valid.div_ceil(lanes);
            let sums = products.sums(b, sources, first, vectors);
            for vector in 0..vectors {
                let strip = Strip::covering(b.width(), (strip.valid - vector * lanes).min(lanes));
                let states: Vec<Val> = sums.iter().skip(vector).step_by(vectors).copied().collect();
                body(b, Units { first, vector, strip }, &states);
            }
        });
    }

    /// `c' = f c + i g(..)`, `h' = o h(c')`; gates f i c o.
    fn lstm(&self, b: &mut Builder, units: Units, states: &[Val]) -> Val {
        let mut gate = |gate, activation| self.gate(b, gate, activation, units, states[gate]);
        let (forget, input, candidate, output) = (gate(0, 0), gate(1, 0), gate(2, 1), gate(3, 0));
        let c = self.load(b, self.sequence.c, units);
        let added = b.fmul(input, candidate);
        let c = b.mul_add(forget, c, added);
        self.store(b, self.sequence.c, units, c);
        let c = activate(b, self.sequence.spec.activations[2], c);
        b.fmul(output, c)
    }

    /// `h' = (1 - z) g(..) + z h`; gates z r h.
    fn gru(&self, b: &mut Builder, units: Units, states: &[Val]) -> Val {
        let (update, candidate) = if self.sequence.spec.linear_before_reset {
            let update = self.gate(b, 0, 0, units, states[0]);
            let reset = self.gate(b, 1, 0, units, states[1]);
            let bias = self.of_gate(b, self.sequence.biases, 3, units);
            let recurrent = b.fadd(states[2], bias);
            let recurrent = b.fmul(reset, recurrent);
            (update, self.gate(b, 2, 1, units, recurrent))
        } else {
            (self.gate(b, 0, 0, units, states[0]), self.gate(b, 2, 1, units, states[1]))
        };
        let one = b.splat_const_f32(1.0);
        let rest = b.fsub(one, update);
        let h = self.load(b, self.h, units);
        let new = b.fmul(rest, candidate);
        b.mul_add(update, h, new)
    }

    /// `activation(clip(w x + state + b))`, where `state` is `r h`.
    fn gate(&self, b: &mut Builder, gate: usize, activation: usize, units: Units, state: Val) -> Val {
        let x = self.of_gate(b, self.x, gate, units);
        let sum = b.fadd(x, state);
        let bias = self.of_gate(b, self.sequence.biases, gate, units);
        let sum = b.fadd(sum, bias);
        self.activated(b, activation, sum)
    }

    fn activated(&self, b: &mut Builder, which: usize, sum: Val) -> Val {
        let spec = self.sequence.spec;
        let clipped = match spec.clip {
            None => sum,
            Some(clip) => {
                let (low, high) = (b.splat_const_f32(-clip), b.splat_const_f32(clip));
                let above = lanes::binary(b, BinaryOp::Max, sum, low);
                lanes::binary(b, BinaryOp::Min, above, high)
            }
        };
        activate(b, spec.activations[which], clipped)
    }

    /// The units of one gate in a row of all gates.
    fn of_gate(&self, b: &mut Builder, row: Pointer, gate: usize, units: Units) -> Val {
        let row = moved(b, row, (4 * gate * self.sequence.spec.hidden) as i64);
        self.load(b, row, units)
    }

    fn load(&self, b: &mut Builder, row: Pointer, units: Units) -> Val {
        let from = b.index(row, units.first, 4);
        units.strip.load(b, ElemType::F32, from, offset(b, units), false)[0]
    }

    fn store(&self, b: &mut Builder, row: Pointer, units: Units, value: Val) {
        let to = b.index(row, units.first, 4);
        units.strip.store(b, ElemType::F32, to, offset(b, units), &[value]);
    }
}

/// Bytes from the first unit of the group.
fn offset(b: &Builder, units: Units) -> i32 {
    (units.vector * b.width().bytes()) as i32
}

fn activate(b: &mut Builder, activation: Activation, x: Val) -> Val {
    match activation {
        Activation::Sigmoid => math::sigmoid(b, x),
        Activation::Tanh => math::tanh(b, x),
        Activation::Relu => math::relu(b, x),
    }
}
