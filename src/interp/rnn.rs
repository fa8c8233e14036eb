//! Recurrent sequences: LSTMSequence, GRUSequence and RNNSequence of OpenVINO's opset 5, all steps of the full length.
//!
//! One step computes in f64 and rounds the states to their element type once; the states of a step are therefore what a
//! cell operation would give, and a sequence equals its unrolled cells.

use crate::ir::op::{Activation, Direction, RnnAttrs, RnnKind};
use crate::ir::{Tensor, TensorType};

use super::math;
use super::values::{self, round_to};

/// The operands of one direction as reals, and its attributes.
struct Cell<'a> {
    attrs: &'a RnnAttrs,
    input: usize,
    /// None where x is projected.
    w: &'a [f64],
    r: &'a [f64],
    b: &'a [f64],
}

/// Hidden and, for LSTM, cell state of one batch element.
struct State {
    h: Vec<f64>,
    c: Vec<f64>,
}

pub(super) fn rnn(attrs: &RnnAttrs, operands: &[&Tensor], results: &[TensorType]) -> Result<Vec<Tensor>, String> {
    let lstm = attrs.kind == RnnKind::Lstm;
    let sizes = Sizes::of(attrs, operands)?;
    let Sizes { batch, seq, input, dirs } = sizes;
    let hidden = attrs.hidden;
    let reals: Vec<Vec<f64>> = operands.iter().map(|operand| operand.to_f64()).collect();
    let (x, h0) = (&reals[0], &reals[1]);
    let w: &[f64] = if attrs.projected { &[] } else { &reals[reals.len() - 3] };
    let (r, b) = (&reals[reals.len() - 2], &reals[reals.len() - 1]);
    let elem = operands[1].elem();
    let mut y = vec![0.0; batch * dirs * seq * hidden];
    let (mut last_h, mut last_c) = (Vec::new(), Vec::new());
    for lane in 0..batch * dirs {
        let (n, dir) = (lane / dirs, lane % dirs);
        let part =
            |all: &'_ [f64]| -> std::ops::Range<usize> { dir * (all.len() / dirs)..(dir + 1) * (all.len() / dirs) };
        let cell = Cell { attrs, input, w: &w[part(w)], r: &r[part(r)], b: &b[part(b)] };
        let own = lane * hidden..(lane + 1) * hidden;
        let mut state =
            State { h: h0[own.clone()].to_vec(), c: if lstm { reals[2][own].to_vec() } else { Vec::new() } };
        let backward = attrs.direction == Direction::Reverse || dir == 1;
        for step in 0..seq {
            let t = if backward { seq - 1 - step } else { step };
            let inputs = &x[(n * seq + t) * input..][..input];
            state = cell.step(if attrs.projected { &inputs[part(inputs)] } else { inputs }, &state);
            state.h.iter_mut().chain(&mut state.c).for_each(|x| *x = round_to(elem, *x));
            y[(lane * seq + t) * hidden..][..hidden].copy_from_slice(&state.h);
        }
        last_h.extend(state.h);
        last_c.extend(state.c);
    }
    let states = [y, last_h, last_c].into_iter().take(if lstm { 3 } else { 2 });
    if results.len() != states.len() {
        return Err(format!("{} results of {}", results.len(), states.len()));
    }
    results.iter().zip(states).map(|(ty, values)| values::real(ty, values)).collect()
}

struct Sizes {
    batch: usize,
    seq: usize,
    input: usize,
    dirs: usize,
}

impl Sizes {
    /// # Errors
    /// When an operand does not have the shape that the others ask for.
    fn of(attrs: &RnnAttrs, operands: &[&Tensor]) -> Result<Sizes, String> {
        let states = if attrs.kind == RnnKind::Lstm { 2 } else { 1 };
        let wanted = states + if attrs.projected { 3 } else { 4 };
        if operands.len() != wanted || operands.iter().any(|operand| !operand.elem().is_float()) {
            return Err(format!("a recurrent sequence with {states} states takes {wanted} floats"));
        }
        let &[batch, seq, input] = operands[0].shape().dims() else {
            return Err(format!("a recurrent sequence of {}", operands[0].ty()));
        };
        let dirs = if attrs.direction == Direction::Bidirectional { 2 } else { 1 };
        let (hidden, gates) = (attrs.hidden, gates(attrs.kind));
        let biases = gates + usize::from(attrs.kind == RnnKind::Gru && attrs.linear_before_reset);
        let mut expected = vec![vec![batch, dirs, hidden]; states];
        if !attrs.projected {
            expected.push(vec![dirs, gates * hidden, input]);
        }
        expected.push(vec![dirs, gates * hidden, hidden]);
        expected.push(vec![dirs, biases * hidden]);
        let wanted = if attrs.kind == RnnKind::Lstm { 3 } else { if attrs.kind == RnnKind::Gru { 2 } else { 1 } };
        let fits = operands[1..].iter().zip(&expected).all(|(operand, dims)| operand.shape().dims() == dims);
        let projections = !attrs.projected || input == dirs * gates * hidden;
        if !fits || !projections || attrs.activations.len() != wanted {
            return Err(format!("states and weights of a recurrent sequence must be {expected:?}"));
        }
        Ok(Sizes { batch, seq, input, dirs })
    }
}

fn gates(kind: RnnKind) -> usize {
    match kind {
        RnnKind::Lstm => 4,
        RnnKind::Gru => 3,
        RnnKind::Rnn => 1,
    }
}

impl Cell<'_> {
    fn step(&self, x: &[f64], state: &State) -> State {
        match self.attrs.kind {
            RnnKind::Lstm => self.lstm(x, state),
            RnnKind::Gru => self.gru(x, state),
            RnnKind::Rnn => State { h: self.gate(0, 0, x, &state.h), c: Vec::new() },
        }
    }

    /// `activation(clip(w x + r h + b))` of one gate.
    fn gate(&self, gate: usize, activation: usize, x: &[f64], h: &[f64]) -> Vec<f64> {
        let sum = |i: usize| self.input_sum(gate, i, x) + self.state_sum(gate, i, h) + self.bias(gate, i);
        (0..self.attrs.hidden).map(|i| self.activate(activation, sum(i))).collect()
    }

    fn input_sum(&self, gate: usize, i: usize, x: &[f64]) -> f64 {
        let row = gate * self.attrs.hidden + i;
        if self.attrs.projected { x[row] } else { dot(&self.w[row * self.input..], x) }
    }

    fn state_sum(&self, gate: usize, i: usize, h: &[f64]) -> f64 {
        dot(&self.r[(gate * self.attrs.hidden + i) * h.len()..], h)
    }

    fn bias(&self, gate: usize, i: usize) -> f64 {
        self.b[gate * self.attrs.hidden + i]
    }

    fn activate(&self, which: usize, x: f64) -> f64 {
        let clipped = self.attrs.clip.map_or(x, |clip| math::clamp(x, -f64::from(clip), clip.into()));
        activation(self.attrs.activations[which], clipped)
    }

    /// `c' = f c + i g(..)`, `h' = o h(c')`; gates f i c o.
    fn lstm(&self, x: &[f64], state: &State) -> State {
        let gate = |gate, activation| self.gate(gate, activation, x, &state.h);
        let (forget, input, candidate, output) = (gate(0, 0), gate(1, 0), gate(2, 1), gate(3, 0));
        let c: Vec<f64> = (0..self.attrs.hidden).map(|i| forget[i] * state.c[i] + input[i] * candidate[i]).collect();
        let h = c.iter().zip(output).map(|(&c, output)| output * activation(self.attrs.activations[2], c)).collect();
        State { h, c }
    }

    /// `h' = (1 - z) g(..) + z h`; gates z r h. The reset gate scales the state, or with `linear_before_reset` the state's
    /// product with the weights and a bias of its own.
    fn gru(&self, x: &[f64], state: &State) -> State {
        let h = &state.h;
        let (update, reset) = (self.gate(0, 0, x, h), self.gate(1, 0, x, h));
        let candidate: Vec<f64> = if self.attrs.linear_before_reset {
            let recurrent = |i: usize| reset[i] * (self.state_sum(2, i, h) + self.bias(3, i));
            let sum = |i: usize| self.input_sum(2, i, x) + recurrent(i) + self.bias(2, i);
            (0..h.len()).map(|i| self.activate(1, sum(i))).collect()
        } else {
            let scaled: Vec<f64> = h.iter().zip(&reset).map(|(h, reset)| h * reset).collect();
            self.gate(2, 1, x, &scaled)
        };
        let h = (0..h.len()).map(|i| (1.0 - update[i]) * candidate[i] + update[i] * h[i]).collect();
        State { h, c: Vec::new() }
    }
}

fn dot(weights: &[f64], x: &[f64]) -> f64 {
    weights.iter().zip(x).map(|(w, x)| w * x).sum()
}

fn activation(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Sigmoid => math::sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Relu => {
            if x > 0.0 {
                x
            } else {
                0.0
            }
        }
    }
}
