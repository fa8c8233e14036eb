//! LSTM, GRU and RNN, as cells and as sequences: all become `rnn`; a cell is a sequence of one step.

use crate::ir::op::{Activation, Direction, RnnAttrs, RnnKind};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault};

pub fn lstm_cell(context: &mut Context) -> Fallible<Vec<Value>> {
    cell(context, RnnKind::Lstm)
}

pub fn gru_cell(context: &mut Context) -> Fallible<Vec<Value>> {
    cell(context, RnnKind::Gru)
}

pub fn rnn_cell(context: &mut Context) -> Fallible<Vec<Value>> {
    cell(context, RnnKind::Rnn)
}

pub fn lstm_sequence(context: &mut Context) -> Fallible<Vec<Value>> {
    sequence(context, RnnKind::Lstm)
}

pub fn gru_sequence(context: &mut Context) -> Fallible<Vec<Value>> {
    sequence(context, RnnKind::Gru)
}

pub fn rnn_sequence(context: &mut Context) -> Fallible<Vec<Value>> {
    sequence(context, RnnKind::Rnn)
}

/// States of a cell: h, and c of an LSTM.
fn states(kind: RnnKind) -> usize {
    match kind {
        RnnKind::Lstm => 2,
        RnnKind::Gru | RnnKind::Rnn => 1,
    }
}

fn default_activations(kind: RnnKind) -> &'static str {
    match kind {
        RnnKind::Lstm => "sigmoid,tanh,tanh",
        RnnKind::Gru => "sigmoid,tanh",
        RnnKind::Rnn => "tanh",
    }
}

/// Rows of the bias, in units of the hidden size.
fn bias_gates(kind: RnnKind, linear_before_reset: bool) -> usize {
    match kind {
        RnnKind::Lstm => 4,
        RnnKind::Gru => 3 + usize::from(linear_before_reset),
        RnnKind::Rnn => 1,
    }
}

/// Operands: x `[batch, input]`, states `[batch, hidden]`, w, r, perhaps b, without the dimension of directions.
fn cell(context: &mut Context, kind: RnnKind) -> Fallible<Vec<Value>> {
    let attrs = read(context, kind, Direction::Forward)?;
    let states = states(kind);
    let count = states + 4;
    if context.operands.len() > count || context.flag("input_forget", false)? {
        return Err(Fault::unsupported("peepholes and coupled input and forget gates are not supported"));
    }
    let mut operands = Vec::with_capacity(count);
    for index in 0..count {
        let operand = match context.operands.get(index) {
            None if index + 1 == count => no_bias(context, kind, &attrs)?,
            _ => context.operand(index)?,
        };
        // x and states get a dimension behind the batch, weights one in front
        let mut dims = context.dims(operand);
        let at = if index <= states { 1.min(dims.len()) } else { 0 };
        dims.insert(at, 1);
        operands.push(context.reshape(operand, &dims)?);
    }
    let results = context.emit_all(Op::Rnn(attrs), &operands)?;
    results[1..].iter().map(|&state| drop_direction(context, state)).collect()
}

fn no_bias(context: &mut Context, kind: RnnKind, attrs: &RnnAttrs) -> Fallible<Value> {
    let elem = context.elem(context.operand(0)?);
    let zero = context.scalar(elem, 0.0)?;
    let rows = bias_gates(kind, attrs.linear_before_reset).saturating_mul(attrs.hidden);
    context.broadcast(zero, &[rows])
}

/// `[batch, 1, hidden]` to `[batch, hidden]`.
fn drop_direction(context: &mut Context, state: Value) -> Fallible<Value> {
    let mut dims = context.dims(state);
    dims.remove(1);
    context.reshape(state, &dims)
}

/// Operands: x, states, sequence lengths, w, r, b. Every sequence must have its full length.
fn sequence(context: &mut Context, kind: RnnKind) -> Fallible<Vec<Value>> {
    let directions =
        [("forward", Direction::Forward), ("reverse", Direction::Reverse), ("bidirectional", Direction::Bidirectional)];
    let direction = context.choice("direction", "forward", &directions)?;
    let attrs = read(context, kind, direction)?;
    let lengths_index = 1 + states(kind);
    if context.operands.len() > lengths_index + 4 || context.flag("input_forget", false)? {
        return Err(Fault::unsupported("peepholes and coupled input and forget gates are not supported"));
    }
    let dims = context.dims(context.operand(0)?);
    let lengths = context.ints(lengths_index, "the list of sequence lengths")?;
    let full = dims.get(1).and_then(|&steps| i64::try_from(steps).ok());
    if lengths.iter().any(|&length| Some(length) != full) {
        return Err(Fault::new(format!("sequence lengths {lengths:?} are not all those of x {dims:?}"))
            .help("octet supports full sequences only: give the model inputs of exact length"));
    }
    let mut operands = context.operands.to_vec();
    operands.remove(lengths_index);
    context.emit_all(Op::Rnn(attrs), &operands)
}

fn read(context: &Context, kind: RnnKind, direction: Direction) -> Fallible<RnnAttrs> {
    let clip: f32 = context.number_or("clip", 0.0)?;
    Ok(RnnAttrs {
        kind,
        direction,
        hidden: context.number("hidden_size")?,
        activations: activations(context, kind)?,
        clip: (clip > 0.0 && clip.is_finite()).then_some(clip),
        linear_before_reset: kind == RnnKind::Gru && context.flag("linear_before_reset", false)?,
        projected: false,
    })
}

fn activations(context: &Context, kind: RnnKind) -> Fallible<Vec<Activation>> {
    let text = context.attr("activations").map(str::trim).filter(|text| !text.is_empty());
    let parse = |name: &str| match name.trim().to_ascii_lowercase().as_str() {
        "sigmoid" => Ok(Activation::Sigmoid),
        "tanh" => Ok(Activation::Tanh),
        "relu" => Ok(Activation::Relu),
        other => Err(Fault::unsupported(format!("activation \"{other}\" is not supported, only sigmoid, tanh, relu"))),
    };
    text.unwrap_or(default_activations(kind)).split(',').map(parse).collect()
}
