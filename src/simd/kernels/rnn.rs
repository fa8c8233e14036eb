//! Recurrent sequences in f32: LSTM, GRU and plain cells, all steps of all directions.
//!
//! Operands, all f32 and dense:
//! - x projections `[batch, sequence, dirs, gates * hidden]`: `w x` without bias, computed by a product kernel before;
//! - initial states: h `[batch, dirs, hidden]`, behind it for LSTM c of the same shape;
//! - recurrent weights as [`pack_rnn`](crate::lower::pack::pack_rnn) writes them;
//! - biases `[dirs, gates * hidden]`, one gate more for a GRU with `linear_before_reset`;
//! - results: y `[batch, dirs, sequence, hidden]`, behind it the last h, behind that for LSTM the last c.
//!
//! Gates stand in the order of `Op::Rnn`. A step reads the state of the step before where that wrote it: in y. The place of
//! the last h holds the state scaled by the reset gate until the end, and the place of the last c the running c.

use crate::ir::ElemType;
use crate::ir::op::{Activation, BinaryOp, Direction, RnnKind};
use crate::lower::kernel::RnnSpec;
use crate::lower::pack::rnn_gates;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Cmp, Ty, Val};
use crate::simd::math;

use super::Items;
use super::copy;
use super::epilogue::displaced;
use super::lanes;
use super::nest;
use super::strip::Strip;

pub fn build(b: &mut Builder, spec: &RnnSpec, operands: &[Pointer], items: Items) {
    let &[x, states, weights, biases, results] = operands else {
        panic!("internal error: a recurrent sequence takes five operands")
    };
    let dirs = if spec.direction == Direction::Bidirectional { 2 } else { 1 };
    let (row, gates) = (4 * spec.hidden as i64, rnn_gates(spec.kind));
    let state_bytes = (spec.batch * dirs) as i64 * row;
    let h_at = spec.sequence as i64 * state_bytes;
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
                let packed = spec.hidden.div_ceil(b.width().lanes32()) * spec.hidden * b.width().bytes();
                let x_row = (dirs * gates) as i64 * row;
                let projections = b.index(x, n, spec.sequence as i64 * x_row);
                let sequence = Sequence {
                    spec,
                    backward: spec.direction == Direction::Reverse || dir == 1,
                    x: moved(b, projections, (dir * gates) as i64 * row),
                    x_row,
                    first_h: at(b, states, 0, row),
                    first_c: at(b, states, state_bytes, row),
                    weights: moved(b, weights, (dir * gates * packed) as i64),
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
    weights: Pointer,
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
    first: Val,
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
        let spec = self.sequence.spec;
        let two_passes = spec.kind == RnnKind::Gru && !spec.linear_before_reset;
        if two_passes {
            self.for_units(b, |b, units| {
                let state = self.state_sums(b, &[(1, self.h)], units)[0];
                let reset = self.gate(b, 1, 0, units, state);
                let h = self.load(b, self.h, units);
                let scaled = b.fmul(h, reset);
                self.store(b, self.sequence.last_h, units, scaled);
            });
        }
        self.for_units(b, |b, units| {
            let h = match spec.kind {
                RnnKind::Lstm => self.lstm(b, units),
                RnnKind::Gru => self.gru(b, units),
                RnnKind::Rnn => {
                    let state = self.state_sums(b, &[(0, self.h)], units)[0];
                    self.gate(b, 0, 0, units, state)
                }
            };
            self.store(b, self.y, units, h);
        });
    }

    fn for_units(&self, b: &mut Builder, mut body: impl FnMut(&mut Builder, Units)) {
        nest::for_strips(b, self.sequence.spec.hidden, 1, |b, first, strip| body(b, Units { first, strip }));
    }

    /// `c' = f c + i g(..)`, `h' = o h(c')`; gates f i c o.
    fn lstm(&self, b: &mut Builder, units: Units) -> Val {
        let states = self.state_sums(b, &[(0, self.h), (1, self.h), (2, self.h), (3, self.h)], units);
        let mut gate = |gate, activation| self.gate(b, gate, activation, units, states[gate]);
        let (forget, input, candidate, output) = (gate(0, 0), gate(1, 0), gate(2, 1), gate(3, 0));
        let c = self.load(b, self.sequence.c, units);
        let (kept, added) = (b.fmul(forget, c), b.fmul(input, candidate));
        let c = b.fadd(kept, added);
        self.store(b, self.sequence.c, units, c);
        let c = activate(b, self.sequence.spec.activations[2], c);
        b.fmul(output, c)
    }

    /// `h' = (1 - z) g(..) + z h`; gates z r h.
    fn gru(&self, b: &mut Builder, units: Units) -> Val {
        let (update, candidate) = if self.sequence.spec.linear_before_reset {
            let states = self.state_sums(b, &[(0, self.h), (1, self.h), (2, self.h)], units);
            let update = self.gate(b, 0, 0, units, states[0]);
            let reset = self.gate(b, 1, 0, units, states[1]);
            let bias = self.of_gate(b, self.sequence.biases, 3, units);
            let recurrent = b.fadd(states[2], bias);
            let recurrent = b.fmul(reset, recurrent);
            (update, self.gate(b, 2, 1, units, recurrent))
        } else {
            let states = self.state_sums(b, &[(0, self.h), (2, self.sequence.last_h)], units);
            (self.gate(b, 0, 0, units, states[0]), self.gate(b, 2, 1, units, states[1]))
        };
        let one = b.splat_const_f32(1.0);
        let rest = b.fsub(one, update);
        let h = self.load(b, self.h, units);
        let (new, kept) = (b.fmul(rest, candidate), b.fmul(update, h));
        b.fadd(new, kept)
    }

    /// `activation(clip(w x + state + b))`, where `state` is `r h`.
    fn gate(&self, b: &mut Builder, gate: usize, activation: usize, units: Units, state: Val) -> Val {
        let x = self.of_gate(b, self.x, gate, units);
        let sum = b.fadd(x, state);
        let bias = self.of_gate(b, self.sequence.biases, gate, units);
        let sum = b.fadd(sum, bias);
        self.activated(b, activation, sum)
    }

    /// `r h` of gates with their states. All gates go through the state together: one sum alone would wait for each of its
    /// additions.
    fn state_sums(&self, b: &mut Builder, gates: &[(usize, Pointer)], units: Units) -> Vec<Val> {
        let (hidden, width, lanes) = (self.sequence.spec.hidden, b.width().bytes(), b.width().lanes32());
        let block_bytes = hidden * width;
        let gate_bytes = hidden.div_ceil(lanes) * block_bytes;
        let block = b.div_imm(units.first, lanes as i64);
        let weights = b.index(self.sequence.weights, block, block_bytes as i64);
        let none = b.splat_const_f32(0.0);
        let (zero, end) = (b.int(0), b.int(hidden as i64));
        b.for_range((zero, end, 1), &vec![none; gates.len()], |b, k, sums| {
            let weights = b.index(weights, k, width as i64);
            let sum = |(&(gate, h), &sum): (&(usize, Pointer), &Val)| {
                let h = b.index(h, k, 4);
                let h = b.load_splat32(Ty::VF32, h, 0);
                let (weights, offset) = displaced(b, weights, (gate * gate_bytes) as i64);
                let weight = b.load(Ty::VF32, weights, offset);
                let product = b.fmul(h, weight);
                b.fadd(sum, product)
            };
            gates.iter().zip(sums).map(sum).collect()
        })
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
        units.strip.load(b, ElemType::F32, from, 0, false)[0]
    }

    fn store(&self, b: &mut Builder, row: Pointer, units: Units, value: Val) {
        let to = b.index(row, units.first, 4);
        units.strip.store(b, ElemType::F32, to, 0, &[value]);
    }
}

fn activate(b: &mut Builder, activation: Activation, x: Val) -> Val {
    match activation {
        Activation::Sigmoid => math::sigmoid(b, x),
        Activation::Tanh => math::tanh(b, x),
        Activation::Relu => math::relu(b, x),
    }
}
