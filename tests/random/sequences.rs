//! Networks over sequences: attention, feed forward and recurrent layers, products of every form.

use octet::ir::op::{Activation, BinaryOp, Direction, EpsMode, MvnAttrs, RnnAttrs, RnnKind, UnaryOp};
use octet::ir::{ElemType, Graph, Op, Value};

use super::net::Net;

/// `[batch, tokens, width]`
pub fn sequence(mut net: Net) -> Graph {
    let (batch, tokens) = (net.rng.within(1, 2), net.rng.within(1, 9));
    let heads = net.rng.of(&[1, 2, 3]);
    let width = heads * net.rng.of(&[4, 5, 8, 11]);
    let mut x = if net.rng.chance(25) {
        embedding(&mut net, batch, tokens, width)
    } else {
        net.input(ElemType::F32, &[batch, tokens, width])
    };
    for _ in 0..net.rng.within(1, 3) {
        let y = match net.rng.below(8) {
            0 | 1 => attention(&mut net, x, heads),
            2 | 3 => feed_forward(&mut net, x),
            4 => recurrent(&mut net, x),
            5 => product(&mut net, x),
            6 => vectors(&mut net, x),
            _ => {
                let q = net.quantize(x);
                net.constant_arithmetic(q)
            }
        };
        x = if net.rng.chance(60) { net.binary(BinaryOp::Add, x, y) } else { y };
        x = if net.rng.chance(50) { layer_norm(&mut net, x) } else { x };
    }
    let last = if net.rng.chance(50) {
        let q = net.fake_quantize(x, None);
        net.matrix(q, 5)
    } else {
        x
    };
    net.finish(&[last])
}

/// Rows of a quantized table.
fn embedding(net: &mut Net, batch: usize, tokens: usize, width: usize) -> Value {
    let ids = net.input(ElemType::I64, &[batch, tokens]);
    let table = net.weights(&[7, width], 0, 1.0);
    net.ops(Op::Gather { axis: 0, batch_dims: 0 }, &[table, ids])[0]
}

fn layer_norm(net: &mut Net, x: Value) -> Value {
    let axis = net.dims(x).len() - 1;
    let attrs = MvnAttrs { axes: vec![axis], normalize_variance: true, eps: 1e-5, eps_mode: EpsMode::Inside };
    let y = net.op(Op::Mvn(attrs), &[x]);
    let gain = net.random(&net.along(x, axis), 0.5, 1.5);
    let y = net.binary(BinaryOp::Mul, y, gain);
    net.bias(y, axis)
}

fn feed_forward(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let q = net.fake_quantize(x, None);
    let inner = net.rng.of(&[3, 8, 20]);
    let y = net.matrix(q, inner);
    let activation = net.rng.of(&[UnaryOp::Gelu, UnaryOp::GeluTanh, UnaryOp::Relu, UnaryOp::Swish { beta: 1.0 }]);
    let y = net.unary(activation, y);
    let y = net.fake_quantize(y, None);
    net.matrix(y, dims[dims.len() - 1])
}

/// `softmax(q k^T / sqrt(d)) v` over heads, with quantizers in front of the products.
fn attention(net: &mut Net, x: Value, heads: usize) -> Value {
    let dims = net.dims(x);
    let (batch, tokens, width) = (dims[0], dims[1], dims[2]);
    if !width.is_multiple_of(heads) {
        return x;
    }
    let quantized = net.fake_quantize(x, None);
    let part = |net: &mut Net| {
        let y = net.matrix(quantized, width);
        let y = if net.rng.chance(80) { net.fake_quantize(y, None) } else { y };
        let y = net.reshape(y, &[batch, tokens, heads, width / heads]);
        net.transpose(y, &[0, 2, 1, 3])
    };
    let (q, k, v) = (part(net), part(net), part(net));
    let scores = if net.rng.chance(50) {
        net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[q, k])
    } else {
        let k = net.transpose(k, &[0, 1, 3, 2]);
        net.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[q, k])
    };
    let scale = net.scalar(1.0 / ((width / heads) as f32).sqrt());
    let scores = net.binary(BinaryOp::Mul, scores, scale);
    let weights = net.op(Op::Softmax { axis: 3, log: false }, &[scores]);
    let weights = if net.rng.chance(80) { unit_range(net, weights) } else { weights };
    let y = net.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[weights, v]);
    let y = net.transpose(y, &[0, 2, 1, 3]);
    let y = net.reshape(y, &[batch, tokens, width]);
    let y = net.fake_quantize(y, None);
    net.matrix(y, width)
}

/// A recurrent layer whose hidden state is as wide as the rows.
fn recurrent(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let (batch, tokens, width) = (dims[0], dims[1], dims[2]);
    let kind = net.rng.of(&[RnnKind::Lstm, RnnKind::Lstm, RnnKind::Gru, RnnKind::Gru, RnnKind::Rnn]);
    let both = net.rng.chance(30) && width.is_multiple_of(2);
    let direction = if both { Direction::Bidirectional } else { net.rng.of(&[Direction::Forward, Direction::Reverse]) };
    let dirs = if both { 2 } else { 1 };
    let hidden = width / dirs;
    let (gates, states, activations) = match kind {
        RnnKind::Lstm => (4, 2, vec![Activation::Sigmoid, Activation::Tanh, Activation::Tanh]),
        RnnKind::Gru => (3, 1, vec![Activation::Sigmoid, Activation::Tanh]),
        RnnKind::Rnn => (1, 1, vec![net.rng.of(&[Activation::Tanh, Activation::Relu])]),
    };
    let linear_before_reset = kind == RnnKind::Gru && net.rng.chance(50);
    let rows = gates * hidden;
    let bias_rows = rows + if linear_before_reset { hidden } else { 0 };
    let mut operands = vec![if net.rng.chance(85) { net.fake_quantize(x, None) } else { x }];
    for _ in 0..states {
        operands.push(net.random(&[batch, dirs, hidden], -0.5, 0.5));
    }
    operands.push(net.weights(&[dirs, rows, width], 1, 1.0 / (width as f32).sqrt()));
    operands.push(net.weights(&[dirs, rows, hidden], 1, 0.7 / (hidden as f32).sqrt()));
    operands.push(net.random(&[dirs, bias_rows], -0.3, 0.3));
    let clip = if net.rng.chance(15) { Some(1.5) } else { None };
    let attrs = RnnAttrs { kind, direction, hidden, activations, clip, linear_before_reset, projected: false };
    let y = net.op(Op::Rnn(attrs), &operands);
    let y = net.transpose(y, &[0, 2, 1, 3]);
    net.reshape(y, &[batch, tokens, dirs * hidden])
}

/// A product of two computed operands, or with a constant on the left: ranges for all, per row or per column.
fn product(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let (tokens, width) = (dims[1], dims[2]);
    let right = net.rng.of(&[None, None, None, Some(1), Some(2)]);
    let q = net.fake_quantize(x, right);
    let left = match net.rng.below(3) {
        0 => net.weights(&[tokens, tokens], 0, 1.0),
        1 => {
            let y = net.unary(UnaryOp::Tanh, x);
            let axis = net.rng.of(&[None, None, Some(1)]);
            let y = net.fake_quantize(y, axis);
            net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[y, q])
        }
        _ => {
            let y = net.input(ElemType::F32, &[tokens, tokens]);
            let axis = net.rng.of(&[None, None, Some(0)]);
            net.fake_quantize(y, axis)
        }
    };
    let left = if net.rng.chance(30) && net.dims(left).len() == 3 { net.fake_quantize(left, None) } else { left };
    let y = net.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[left, q]);
    if net.dims(y) == [dims[0], tokens, width] { y } else { x }
}

/// Products with a vector of weights on either side, and of a vector.
fn vectors(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let (tokens, width) = (dims[1], dims[2]);
    let q = net.fake_quantize(x, None);
    let along = if net.rng.chance(50) { width } else { tokens };
    let w = net.weights(&[along], 0, 1.0);
    let plain = Op::MatMul { transpose_a: false, transpose_b: false };
    if along == tokens && net.rng.chance(60) {
        let y = net.op(plain, &[w, q]);
        return net.reshape(y, &[dims[0], 1, width]);
    }
    let w = net.weights(&[width], 0, 1.0);
    let y = net.op(plain, &[q, w]);
    net.reshape(y, &[dims[0], tokens, 1])
}

fn unit_range(net: &mut Net, x: Value) -> Value {
    let (low, high) = (net.scalar(0.0), net.scalar(1.0));
    net.op(Op::FakeQuantize { levels: 256 }, &[x, low, high, low, high])
}

impl Net {
    /// Product with a constant matrix along the last axis.
    pub fn matrix(&mut self, x: Value, n: usize) -> Value {
        let dims = self.dims(x);
        let k = dims[dims.len() - 1];
        let size = 2.0 / (k as f32).sqrt();
        let transpose_b = self.rng.chance(50);
        let w = if transpose_b { self.weights(&[n, k], 0, size) } else { self.weights(&[k, n], 1, size) };
        let y = self.op(Op::MatMul { transpose_a: false, transpose_b }, &[x, w]);
        self.bias(y, dims.len() - 1)
    }
}
