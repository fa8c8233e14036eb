//! Random quantized networks, as an importer would build them: `fake_quantize` on activations, weights in every form.

use octet::ir::op::*;
use octet::ir::{ElemType, Graph, Op, Tensor, TensorType, Value, tensor::Data, ty::Shape};

/// Multiplicative congruential numbers: the same on every machine.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// `0 .. n`
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) % n as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// `low .. high`
    pub fn float(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }
}

pub fn random_input(ty: &TensorType, rng: &mut Rng) -> Tensor {
    let n = ty.shape.elements();
    let data = match ty.elem {
        ElemType::U8 => Data::U8((0..n).map(|_| rng.next() as u8).collect()),
        ElemType::I8 => Data::I8((0..n).map(|_| rng.next() as i8).collect()),
        ElemType::Bool => Data::U8(vec![1; n]),
        ElemType::I32 => Data::I32((0..n).map(|_| rng.below(2001) as i32 - 1000).collect()),
        ElemType::I64 => Data::I64((0..n).map(|_| rng.below(2) as i64).collect()),
        _ => Data::F32((0..n).map(|_| rng.float(-3.0, 3.0)).collect()),
    };
    Tensor::new(ty.clone(), data)
}

pub fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims.to_vec()).unwrap()
}

pub struct Net {
    pub graph: Graph,
    pub rng: Rng,
}

impl Net {
    pub fn new(seed: u64) -> Net {
        Net { graph: Graph::new("net"), rng: Rng::new(seed) }
    }

    pub fn op(&mut self, op: Op, operands: &[Value]) -> Value {
        let body = self.graph.body();
        let node = self.graph.append(body, op, operands, &[]).unwrap();
        self.graph.result(node)
    }

    pub fn tensor(&mut self, tensor: Tensor) -> Value {
        let id = self.graph.add_tensor(tensor);
        self.op(Op::Const(id), &[])
    }

    pub fn f32(&mut self, dims: &[usize], values: Vec<f32>) -> Value {
        self.tensor(Tensor::f32(shape(dims), values))
    }

    pub fn dims(&self, value: Value) -> Vec<usize> {
        self.graph.ty(value).shape.dims().to_vec()
    }

    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        self.op(Op::Binary(op), &[a, b])
    }

    /// Random ranges: unsigned, signed, asymmetric, per tensor or per channel (axis 1).
    pub fn fake_quantize(&mut self, x: Value, per_channel: bool) -> Value {
        let dims = self.dims(x);
        let channels = if per_channel { dims[1] } else { 1 };
        let levels = [256, 256, 256, 255, 16, 100][self.rng.below(6)];
        let kind = self.rng.below(4);
        let (mut lows, mut highs) = (Vec::new(), Vec::new());
        for _ in 0..channels {
            let high = self.rng.float(1.0, 4.0);
            let step = high / ((levels - 1) as f32);
            highs.push(high);
            lows.push(match kind {
                0 => 0.0,
                1 => -high * (levels / 2) as f32 / ((levels - 1) / 2) as f32,
                2 => -step * 40.0 / (1.0 - 40.0 / (levels - 1).max(50) as f32),
                _ => -self.rng.float(0.1, 3.0),
            });
        }
        let rescale = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, -0.5][self.rng.below(10)];
        if channels > 1 && self.rng.chance(20) {
            let dead = self.rng.below(channels);
            (lows[dead], highs[dead]) = (0.0, 0.0);
        }
        let range = if per_channel { vec![1, channels, 1, 1][..dims.len().min(4)].to_vec() } else { vec![] };
        let il = self.f32(&range, lows.clone());
        let ih = self.f32(&range, highs.clone());
        let ol = self.f32(&range, lows.iter().map(|v| v * rescale).collect());
        let oh = self.f32(&range, highs.iter().map(|v| v * rescale).collect());
        if self.rng.chance(85) || channels > 1 {
            return self.op(Op::FakeQuantize { levels }, &[x, il, ih, ol, oh]);
        }
        self.quantize_dequantize(x, (lows[0], highs[0]))
    }

    /// FakeQuantize to integers, Convert, and the way back spelled out.
    fn quantize_dequantize(&mut self, x: Value, (low, high): (f32, f32)) -> Value {
        let (elem, least) = if self.rng.chance(50) { (ElemType::U8, 0.0) } else { (ElemType::I8, -128.0) };
        let (il, ih) = (self.f32(&[], vec![low]), self.f32(&[], vec![high]));
        let (ol, oh) = (self.f32(&[], vec![least]), self.f32(&[], vec![least + 255.0]));
        let q = self.op(Op::FakeQuantize { levels: 256 }, &[x, il, ih, ol, oh]);
        let q = self.op(Op::Convert { elem }, &[q]);
        let mut y = self.op(Op::Convert { elem: ElemType::F32 }, &[q]);
        let step = (high - low) / 255.0;
        let zero = (least - low / step).round();
        if zero != 0.0 {
            let zero = self.f32(&[], vec![zero]);
            y = self.binary(BinaryOp::Sub, y, zero);
        }
        let scale = self.f32(&[], vec![step]);
        self.binary(BinaryOp::Mul, y, scale)
    }

    /// Weights of shape `dims` with a scale per slice of `axis`: FakeQuantize or integers, with or without zero points.
    pub fn weights(&mut self, dims: &[usize], axis: usize, std: f32) -> Value {
        let n: usize = dims.iter().product();
        let slices = if self.rng.chance(70) { dims[axis] } else { 1 };
        let mut along = vec![1; dims.len()];
        along[axis] = slices;
        let rng = &mut self.rng;
        match rng.below(4) {
            0 => {
                let values = (0..n).map(|_| rng.float(-std, std)).collect();
                let high: Vec<f32> = (0..slices).map(|_| rng.float(0.5, 1.0) * std).collect();
                let lopsided = if rng.chance(30) { 0.7 } else { 1.0 };
                let low = high.iter().map(|h| -h * lopsided).collect();
                let w = self.f32(dims, values);
                let (low, high) = (self.f32(&along, low), self.f32(&along, high));
                self.op(Op::FakeQuantize { levels: 255 }, &[w, low, high, low, high])
            }
            form => {
                let mut scale: Vec<f32> = (0..slices).map(|_| rng.float(0.5, 1.0) * std / 127.0).collect();
                if rng.chance(10) {
                    scale[0] *= [0.0, -1.0][rng.below(2)];
                }
                let bytes: Vec<u8> = (0..n).map(|_| rng.next() as u8).collect();
                let zero = if form == 3 { 100.0 + rng.below(100) as f32 } else { 0.0 };
                let tensor = if form == 3 {
                    Tensor::u8(shape(dims), bytes)
                } else {
                    Tensor::i8(shape(dims), bytes.into_iter().map(|b| b as i8).collect())
                };
                let q = self.tensor(tensor);
                let mut w = self.op(Op::Convert { elem: ElemType::F32 }, &[q]);
                if form == 3 {
                    let zero = self.f32(&[], vec![zero]);
                    w = self.binary(BinaryOp::Sub, w, zero);
                }
                let scale = self.f32(&along, scale);
                self.binary(BinaryOp::Mul, w, scale)
            }
        }
    }

    pub fn convolution(&mut self, x: Value, oc: usize, groups: usize) -> Value {
        let dims = self.dims(x);
        let k = [1, 3][self.rng.below(2)].min(dims[2]).min(dims[3]);
        let pad = if k == 3 && self.rng.chance(60) { 1 } else { 0 };
        let stride = 1 + self.rng.below(2);
        let icg = dims[1] / groups;
        let std = 2.0 / ((icg * k * k) as f32).sqrt();
        let w = self.weights(&[oc, icg, k, k], 0, std);
        let attrs = ConvAttrs {
            strides: vec![stride, stride],
            dilations: vec![1, 1],
            pads_begin: vec![pad, pad],
            pads_end: vec![pad, pad],
            groups,
            pad_value: 0,
        };
        let y = self.op(Op::Convolution(attrs), &[x, w]);
        self.bias(y, &[1, oc, 1, 1])
    }

    pub fn deconvolution(&mut self, x: Value, oc: usize) -> Value {
        let dims = self.dims(x);
        let groups = if dims[1].is_multiple_of(2) && self.rng.chance(30) { 2 } else { 1 };
        let (k, stride, pad) = [(2, 2, 0), (3, 2, 1), (3, 1, 1)][self.rng.below(3)];
        let std = 2.0 / (dims[1] as f32 * 2.0).sqrt();
        let w = self.weights(&[dims[1], oc / groups, k, k], 1, std);
        let attrs = DeconvAttrs {
            strides: vec![stride, stride],
            dilations: vec![1, 1],
            pads_begin: vec![pad, pad],
            pads_end: vec![pad, pad],
            output_padding: vec![0, 0],
            groups,
        };
        let y = self.op(Op::Deconvolution(attrs), &[x, w]);
        self.bias(y, &[1, oc, 1, 1])
    }

    pub fn matmul(&mut self, x: Value, n: usize) -> Value {
        let dims = self.dims(x);
        let k = dims[dims.len() - 1];
        let transpose_b = self.rng.chance(50);
        let std = 2.0 / (k as f32).sqrt();
        let w = if transpose_b { self.weights(&[n, k], 0, std) } else { self.weights(&[k, n], 1, std) };
        let y = self.op(Op::MatMul { transpose_a: false, transpose_b }, &[x, w]);
        self.bias(y, &[1, n])
    }

    fn bias(&mut self, y: Value, dims: &[usize]) -> Value {
        if self.rng.chance(30) {
            return y;
        }
        let n = dims.iter().product();
        let values = (0..n).map(|_| self.rng.float(-0.5, 0.5)).collect();
        let bias = self.f32(dims, values);
        self.binary(BinaryOp::Add, y, bias)
    }

    pub fn activation(&mut self, x: Value) -> Value {
        let op = match self.rng.below(8) {
            0 | 1 => UnaryOp::Relu,
            2 => UnaryOp::Clamp { min: 0.0, max: 6.0 },
            3 => UnaryOp::HSwish,
            4 => UnaryOp::Sigmoid,
            5 => {
                let channels = self.dims(x)[1];
                let slope = (0..channels).map(|_| self.rng.float(-0.1, 0.4)).collect();
                let slope = if self.dims(x).len() == 4 { self.f32(&[1, channels, 1, 1], slope) } else { return x };
                return self.binary(BinaryOp::PRelu, x, slope);
            }
            _ => return x,
        };
        self.op(Op::Unary(op), &[x])
    }

    /// One step on quantized `[n, c, h, w]` that moves or compares elements.
    fn movement(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let c = dims[1];
        match self.rng.below(18) {
            0 if dims[2] >= 2 && dims[3] >= 2 => self.op(Op::MaxPool(self.pool()), &[x]),
            1 if dims[2] >= 2 && dims[3] >= 2 => self.op(Op::AvgPool(self.pool()), &[x]),
            2 => {
                let y = self.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x]);
                let y = self.op(Op::Unary(UnaryOp::Relu), &[y]);
                self.op(Op::Transpose { perm: vec![0, 3, 1, 2] }, &[y])
            }
            3 if c.is_multiple_of(2) => {
                let parts = [dims[0], 2, c / 2, dims[2], dims[3]];
                let y = self.op(Op::Reshape { shape: shape(&parts) }, &[x]);
                let y = self.op(Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[y]);
                self.op(Op::Reshape { shape: shape(&dims) }, &[y])
            }
            4 => {
                let value = 0.0;
                let begin = vec![0, 0, 1, 0];
                self.op(Op::Pad(PadAttrs { mode: PadMode::Constant, begin, end: vec![0, 0, 0, 1], value }), &[x])
            }
            5 if c >= 2 => {
                let op = Op::Split { axis: 1, lengths: vec![1, c - 1] };
                let body = self.graph.body();
                let node = self.graph.append(body, op, &[x], &[]).unwrap();
                let parts = self.graph.results(node).to_vec();
                self.op(Op::Concat { axis: 1 }, &[parts[1], parts[0]])
            }
            6 => {
                let attrs = SliceAttrs { begin: vec![0; 4], lengths: dims, strides: vec![1; 4] };
                self.op(Op::Slice(attrs), &[x])
            }
            7 => {
                let attrs = ReduceAttrs { kind: ReduceKind::Max, axes: vec![3], keep_dims: true };
                self.op(Op::Reduce(attrs), &[x])
            }
            8 => self.op(Op::Unary(UnaryOp::Clamp { min: 0.0, max: 100.0 }), &[x]),
            9 => self.op(Op::Reverse { axis: 1 }, &[x]),
            10 if c.is_multiple_of(4) => self.op(Op::DepthToSpace { block: 2, mode: DepthMode::DepthFirst }, &[x]),
            11 => self.op(Op::Tile { repeats: vec![1, 2, 1, 1] }, &[x]),
            12 => {
                let indices = (0..3).map(|_| self.rng.below(c) as i64).collect();
                let indices = self.tensor(Tensor::i64(shape(&[3]), indices));
                self.op(Op::Gather { axis: 1, batch_dims: 0 }, &[x, indices])
            }
            13 => {
                let factor = (0..c).map(|_| self.rng.float(0.5, 2.0)).collect();
                let factor = self.f32(&[1, c, 1, 1], factor);
                self.binary(BinaryOp::Mul, x, factor)
            }
            14 => {
                let term = self.f32(&[], vec![0.25]);
                let op = [BinaryOp::Add, BinaryOp::Sub][self.rng.below(2)];
                self.binary(op, term, x)
            }
            15 => self.op(Op::Interpolate(nearest(&dims)), &[x]),
            16 => {
                let attrs = PadAttrs { mode: PadMode::Edge, begin: vec![0, 0, 1, 1], end: vec![0; 4], value: 0.0 };
                self.op(Op::Pad(attrs), &[x])
            }
            _ => self.op(Op::Unary(UnaryOp::Relu), &[x]),
        }
    }

    fn pool(&self) -> PoolAttrs {
        PoolAttrs {
            kernel: vec![2, 2],
            strides: vec![1, 2],
            dilations: vec![1, 1],
            pads_begin: vec![0, 1],
            pads_end: vec![0, 0],
            rounding: Rounding::Floor,
            exclude_pad: true,
        }
    }
}

/// Twice as wide.
fn nearest(dims: &[usize]) -> InterpolateAttrs {
    InterpolateAttrs {
        mode: InterpolateMode::Nearest,
        coordinates: CoordinateMode::Asymmetric,
        nearest: NearestMode::Floor,
        antialias: false,
        cube_coeff: -0.75,
        axes: vec![3],
        sizes: vec![dims[3] * 2],
        scales: vec![2.0],
        pads_begin: vec![0; 4],
        pads_end: vec![0; 4],
    }
}

/// A network of a few quantized layers with branches, ending in a classifier or an image.
pub fn random_graph(seed: u64) -> Graph {
    let mut net = Net::new(seed);
    let c = [3, 4, 8][net.rng.below(3)];
    let (h, w) = (4 + net.rng.below(5), 4 + net.rng.below(5));
    let mut x = input(&mut net, &[1, c, h, w]);
    let mut quantized = Vec::new();
    for _ in 0..1 + net.rng.below(4) {
        let per_channel = net.rng.chance(20);
        let q = net.fake_quantize(x, per_channel);
        quantized.push(q);
        let q = if net.rng.chance(40) { net.movement(q) } else { q };
        let oc = [2, 4, 6, 8][net.rng.below(4)];
        let channels = net.dims(q)[1];
        let y = match net.rng.below(9) {
            8 if channels.is_multiple_of(2) => net.convolution(q, oc, 2),
            8 | 0..=2 => net.convolution(q, oc, 1),
            3 | 4 => net.convolution(q, channels, channels),
            5 => net.deconvolution(q, oc),
            6 => concat(&mut net, q),
            _ => residual(&mut net, q),
        };
        x = net.activation(y);
        let dims = net.dims(x);
        if dims[2] * dims[3] > 400 {
            break;
        }
    }
    let outputs = finish(&mut net, x);
    let body = net.graph.body();
    net.graph.append(body, Op::Return, &outputs, &[]).unwrap();
    net.graph.output_names = (0..outputs.len()).map(|i| format!("out{i}")).collect();
    net.graph
}

fn input(net: &mut Net, dims: &[usize]) -> Value {
    if net.rng.chance(75) {
        return net.graph.add_input("x", TensorType::new(ElemType::F32, shape(dims)));
    }
    let elem = if net.rng.chance(50) { ElemType::U8 } else { ElemType::I8 };
    let nhwc = [dims[0], dims[2], dims[3], dims[1]];
    let x = net.graph.add_input("x", TensorType::new(elem, shape(&nhwc)));
    let x = net.op(Op::Convert { elem: ElemType::F32 }, &[x]);
    let x = net.op(Op::Transpose { perm: vec![0, 3, 1, 2] }, &[x]);
    let (low, high) = if elem == ElemType::U8 { (0.0, 255.0) } else { (-128.0, 127.0) };
    let (il, ih) = (net.f32(&[1, 1, 1, 1], vec![low]), net.f32(&[1, 1, 1, 1], vec![high]));
    let (ol, oh) = (net.f32(&[1, 1, 1, 1], vec![-1.0]), net.f32(&[1, 1, 1, 1], vec![0.992_187_5]));
    net.op(Op::FakeQuantize { levels: 256 }, &[x, il, ih, ol, oh])
}

/// Two branches with ranges of their own, or the same, joined along the channels.
fn concat(net: &mut Net, q: Value) -> Value {
    let channels = net.dims(q)[1];
    let one = net.convolution(q, 4, 1);
    let one = net.activation(one);
    let dims = net.dims(one);
    let a = net.fake_quantize(one, false);
    let b = if net.rng.chance(50) {
        let other = net.op(Op::Unary(UnaryOp::Sigmoid), &[one]);
        net.fake_quantize(other, false)
    } else {
        a
    };
    let joined = net.op(Op::Concat { axis: 1 }, &[a, b]);
    let y = net.convolution(joined, channels, 1);
    debug_assert_eq!(dims.len(), 4);
    y
}

fn residual(net: &mut Net, q: Value) -> Value {
    let channels = net.dims(q)[1];
    let w = net.weights(&[channels, channels, 1, 1], 0, 1.0);
    let attrs = ConvAttrs {
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads_begin: vec![0, 0],
        pads_end: vec![0, 0],
        groups: 1,
        pad_value: 0,
    };
    let y = net.op(Op::Convolution(attrs), &[q, w]);
    let y = if net.rng.chance(60) { net.fake_quantize(y, false) } else { y };
    let op = if net.rng.chance(70) { BinaryOp::Add } else { BinaryOp::Mul };
    net.binary(op, y, q)
}

/// Channels are tokens: products of quantized (now and then not quantized) tensors, with a softmax in between.
fn attention(net: &mut Net, x: Value) -> Value {
    let dims = net.dims(x);
    let flat = net.op(Op::Reshape { shape: shape(&[dims[0], dims[1], dims[2] * dims[3]]) }, &[x]);
    let keys = net.fake_quantize(flat, false);
    let queries = if net.rng.chance(30) { keys } else { net.fake_quantize(flat, false) };
    let transposed = net.rng.chance(50);
    let scores = if transposed {
        net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[queries, keys])
    } else {
        let keys = net.op(Op::Transpose { perm: vec![0, 2, 1] }, &[keys]);
        net.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[queries, keys])
    };
    let scale = net.f32(&[], vec![0.25]);
    let scores = net.binary(BinaryOp::Mul, scores, scale);
    let weights = net.op(Op::Softmax { axis: 2, log: false }, &[scores]);
    let weights = if net.rng.chance(80) { net.fake_quantize(weights, false) } else { weights };
    let values = if net.rng.chance(80) { net.fake_quantize(flat, false) } else { flat };
    let transpose_a = net.rng.chance(50);
    net.op(Op::MatMul { transpose_a, transpose_b: false }, &[weights, values])
}

fn finish(net: &mut Net, x: Value) -> Vec<Value> {
    match net.rng.below(6) {
        4 | 5 => vec![attention(net, x)],
        0 => {
            let attrs = ReduceAttrs { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: false };
            let x = net.op(Op::Reduce(attrs), &[x]);
            let x = net.fake_quantize(x, false);
            vec![net.matmul(x, 10)]
        }
        1 => {
            let dims = net.dims(x);
            let flat = [dims[0], dims[1], dims[2] * dims[3]];
            let x = net.op(Op::Reshape { shape: shape(&flat) }, &[x]);
            let x = net.op(Op::Transpose { perm: vec![0, 2, 1] }, &[x]);
            let x = net.fake_quantize(x, false);
            let x = net.matmul(x, 6);
            vec![net.fake_quantize(x, false)]
        }
        2 => {
            let x = net.op(Op::Unary(UnaryOp::Sigmoid), &[x]);
            let (il, ih) = (net.f32(&[], vec![0.0]), net.f32(&[], vec![0.996_093_75]));
            let (ol, oh) = (net.f32(&[], vec![-128.0]), net.f32(&[], vec![127.0]));
            let q = net.op(Op::FakeQuantize { levels: 256 }, &[x, il, ih, ol, oh]);
            vec![net.op(Op::Convert { elem: ElemType::I8 }, &[q])]
        }
        _ => vec![x],
    }
}
