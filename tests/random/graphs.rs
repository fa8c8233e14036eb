//! Whole networks over images, signals and volumes; the others are `sequences`.

use octet::ir::op::{BinaryOp, ReduceAttrs, ReduceKind, UnaryOp};
use octet::ir::{ElemType, Graph, Op, Value};

use super::net::Net;
use super::sequences::sequence;

/// The most elements of a tensor between layers: a kernel interpreter runs all of them.
const MAX_ELEMENTS: usize = 4000;

/// The network of a seed.
pub fn random_graph(seed: u64) -> Graph {
    let mut net = Net::new(seed);
    match net.rng.below(10) {
        0..6 => spatial(net, 2),
        6 => spatial(net, 1),
        7 => spatial(net, 3),
        _ => sequence(net),
    }
}

/// `[n, c, spatial..]`
fn spatial(mut net: Net, rank: usize) -> Graph {
    let channels = net.rng.of(&[1, 3, 3, 4, 8, 16, 19]);
    let batch = if net.rng.chance(15) { 2 } else { 1 };
    let largest = [20, 9, 5][rank - 1];
    let dims: Vec<usize> = [batch, channels].into_iter().chain((0..rank).map(|_| net.rng.within(3, largest))).collect();
    let mut x = if net.rng.chance(80) { net.input(ElemType::F32, &dims) } else { net.integer_input(&dims) };
    if net.rng.chance(15) {
        x = second_input(&mut net, x);
    }
    let mut outputs = Vec::new();
    for _ in 0..net.rng.within(1, 4) {
        x = spatial_block(&mut net, x);
        if net.elements(x) > MAX_ELEMENTS {
            x = shrink(&mut net, x);
        }
        if net.rng.chance(8) {
            outputs.push(x);
        }
    }
    outputs.push(head(&mut net, x));
    outputs.dedup();
    net.finish(&outputs)
}

/// Another input of the same size, one value per channel, or more channels.
fn second_input(net: &mut Net, x: Value) -> Value {
    let dims = if net.rng.chance(30) { net.along(x, 1) } else { net.dims(x) };
    let y = net.input(ElemType::F32, &dims);
    let (a, b) = (net.quantize(x), net.quantize(y));
    match net.rng.below(3) {
        0 => net.op(Op::Concat { axis: 1 }, &[a, b]),
        _ => net.arithmetic(a, b),
    }
}

/// Quantizer, movement or pool, layer, activation: each may be missing.
fn spatial_block(net: &mut Net, x: Value) -> Value {
    let mut x = if net.rng.chance(85) { net.quantize(x) } else { x };
    if net.rng.chance(40) {
        x = net.movement(x);
    }
    if net.rng.chance(20) {
        x = if net.rng.chance(50) { net.max_pool(x) } else { net.avg_pool(x) };
    }
    let oc = net.rng.of(&[1, 2, 4, 6, 8, 16, 17, 33]);
    let y = match net.rng.below(14) {
        0..4 => net.convolution(x, oc, 1),
        4 | 5 => net.depthwise(x),
        6 => net.grouped(x),
        7 => net.deconvolution(x, oc.min(9)),
        8 => branches(net, x),
        9 => residual(net, x),
        10 => gate(net, x),
        11 => net.constant_arithmetic(x),
        12 => {
            let axis = net.rng.within(1, net.dims(x).len() - 1);
            net.reduce(x, &[axis])
        }
        _ if net.rng.chance(60) => net.normalize(x),
        _ => net.softmax(x),
    };
    let y = if net.rng.chance(15) { net.constant_arithmetic(y) } else { y };
    net.activation(y)
}

/// Two branches with ranges of their own, or the same, joined along the channels.
fn branches(net: &mut Net, x: Value) -> Value {
    let oc = net.rng.within(1, 6);
    let a = net.convolution(x, oc, 1);
    let a = net.activation(a);
    let a = net.quantize(a);
    let b = match net.rng.below(4) {
        0 => a,
        1 => {
            let b = net.unary(UnaryOp::Sigmoid, a);
            net.quantize(b)
        }
        2 => net.max_pool(a),
        _ => net.quantize(a),
    };
    let joined = net.op(Op::Concat { axis: 1 }, &[a, b]);
    if net.rng.chance(70) { net.convolution(joined, oc, 1) } else { joined }
}

/// A sum (or product, ..) with a branch of 1x1 weights; either side may be quantized once more.
fn residual(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let spatial = dims.len() - 2;
    let weights = [vec![dims[1], dims[1]], vec![1; spatial]].concat();
    let w = net.weights(&weights, 0, 1.0);
    let ones = octet::ir::op::ConvAttrs {
        strides: vec![1; spatial],
        dilations: vec![1; spatial],
        pads_begin: vec![0; spatial],
        pads_end: vec![0; spatial],
        groups: 1,
        pad_value: 0,
    };
    let y = net.op(Op::Convolution(ones), &[x, w]);
    let y = net.bias(y, 1);
    let y = if net.rng.chance(60) { net.quantize(y) } else { y };
    if net.rng.chance(50) { net.arithmetic(y, x) } else { net.arithmetic(x, y) }
}

/// Squeeze and excitation: `x * sigmoid(w * mean(x))`.
fn gate(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let axes = (2..dims.len()).collect();
    let mean = net.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Mean, axes, keep_dims: true }), &[x]);
    let mean = if net.rng.chance(70) { net.quantize(mean) } else { mean };
    let y = net.convolution(mean, dims[1], 1);
    let y = net.unary(UnaryOp::Sigmoid, y);
    let y = if net.rng.chance(50) { net.fake_quantize(y, None) } else { y };
    net.binary(BinaryOp::Mul, x, y)
}

/// Fewer elements.
fn shrink(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let lengths: Vec<usize> = dims.iter().enumerate().map(|(dim, &n)| if dim == 0 { n } else { n.min(8) }).collect();
    let (begin, strides) = (vec![0; dims.len()], vec![1; dims.len()]);
    net.op(Op::Slice(octet::ir::op::SliceAttrs { begin, lengths, strides }), &[x])
}

/// A classifier, integers, or nothing.
fn head(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    match net.rng.below(5) {
        0 => {
            let axes = (2..dims.len()).collect();
            let mean = net.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Mean, axes, keep_dims: false }), &[x]);
            let q = net.fake_quantize(mean, None);
            net.matrix(q, 10)
        }
        1 => {
            let flat = net.reshape(x, &[dims[0], dims[1..].iter().product()]);
            let q = net.fake_quantize(flat, None);
            let y = net.matrix(q, 7);
            if net.rng.chance(50) { net.softmax(y) } else { y }
        }
        2 => integers(net, x),
        3 => net.quantize(x),
        _ => x,
    }
}

/// An output of 8 bits.
fn integers(net: &mut Net, x: Value) -> Value {
    let x = net.unary(UnaryOp::Sigmoid, x);
    let (elem, least) = net.rng.of(&[(ElemType::I8, -128.0), (ElemType::U8, 0.0)]);
    let ends = [0.0, 0.996_093_75, least, least + 255.0].map(|end| net.scalar(end));
    let q = net.op(Op::FakeQuantize { levels: 256 }, &[x, ends[0], ends[1], ends[2], ends[3]]);
    net.op(Op::Convert { elem }, &[q])
}
