//! The cases: one row a behaviour.

use octet::ir::op::*;
use octet::ir::tensor::Data;
use octet::ir::{ElemType, Graph, Op, QuantParams, Shape, Tensor, TensorType, Value};

pub struct Case {
    pub name: String,
    build: Box<dyn Fn(&mut Builder) -> Vec<Value> + Send + Sync>,
}

pub struct Builder {
    graph: Graph,
    seed: u64,
}

pub fn graph(case: &Case) -> Graph {
    let mut builder = Builder { graph: Graph::new("case"), seed: 7 };
    let results = (case.build)(&mut builder);
    let body = builder.graph.body();
    builder.graph.output_names = (0..results.len()).map(|i| format!("out{i}")).collect();
    builder.graph.append(body, Op::Return, &results, &[]).expect("return");
    octet::ir::verify::verify(&builder.graph).unwrap_or_else(|e| panic!("{e:?}"));
    builder.graph
}

pub fn ty(elem: ElemType, dims: &[usize]) -> TensorType {
    TensorType::new(elem, Shape::new(dims).expect("small"))
}

/// Deterministic values: integers over their whole range with many extremes, floats in -4..4.
pub fn random(ty: &TensorType, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let count = ty.shape.elements();
    let mut byte = || match next() % 5 {
        0 => 0u8,
        1 => 255,
        2 => 128,
        _ => (next() % 256) as u8,
    };
    let data = match ty.elem {
        ElemType::F32 => Data::F32((0..count).map(|_| (next() % 8192) as f32 / 1024.0 - 4.0).collect()),
        ElemType::I64 => Data::I64((0..count).map(|_| (next() % 3) as i64).collect()),
        ElemType::I32 => Data::I32((0..count).map(|_| (next() % 20000) as i32 - 10000).collect()),
        ElemType::I16 => Data::I16((0..count).map(|_| (next() % 511) as i16 - 255).collect()),
        ElemType::I8 => Data::I8((0..count).map(|_| byte() as i8).collect()),
        ElemType::U8 => Data::U8((0..count).map(|_| byte()).collect()),
        ElemType::Bool => Data::U8((0..count).map(|_| byte() & 1).collect()),
        other => panic!("no random {other}"),
    };
    Tensor::new(ty.clone(), data)
}

impl Builder {
    fn input(&mut self, elem: ElemType, dims: &[usize]) -> Value {
        let name = format!("in{}", self.graph.inputs().len());
        self.graph.add_input(name, ty(elem, dims))
    }

    fn op(&mut self, op: Op, operands: &[Value]) -> Value {
        self.ops(op, operands)[0]
    }

    fn ops(&mut self, op: Op, operands: &[Value]) -> Vec<Value> {
        let body = self.graph.body();
        let name = op.name();
        let node = self.graph.append(body, op, operands, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.graph.results(node).to_vec()
    }

    fn constant(&mut self, tensor: Tensor) -> Value {
        let id = self.graph.add_tensor(tensor);
        self.op(Op::Const(id), &[])
    }

    fn weights(&mut self, elem: ElemType, dims: &[usize]) -> Value {
        self.seed += 1;
        let tensor = random(&ty(elem, dims), self.seed);
        self.constant(tensor)
    }

    fn dequantize(&mut self, q: Value, scale: f64, zero_point: f64) -> Value {
        self.op(Op::Dequantize(QuantParams::per_tensor(scale, zero_point)), &[q])
    }

    fn quantize(&mut self, x: Value, scale: f64, zero_point: f64) -> Value {
        let params = QuantParams::per_tensor(scale, zero_point);
        self.op(Op::Quantize(QuantizeAttrs { params, elem: ElemType::U8, low: 0, high: 255 }), &[x])
    }

    fn per_channel(&mut self, x: Value, axis: usize) -> Value {
        let n = self.graph.ty(x).shape[axis];
        let scale = (0..n).map(|i| 1e-3 * (1.0 + i as f64)).collect();
        let zero_point = (0..n).map(|i| 0.5 * i as f64 - 7.25).collect();
        self.op(Op::Dequantize(QuantParams { scale, zero_point, axis: Some(axis).filter(|_| n > 1) }), &[x])
    }

    fn relu(&mut self, x: Value) -> Value {
        self.op(Op::Unary(UnaryOp::Relu), &[x])
    }

    fn add(&mut self, a: Value, b: Value) -> Value {
        self.op(Op::Binary(BinaryOp::Add), &[a, b])
    }

    fn conv(&mut self, x: Value, w: Value, c: Window) -> Value {
        let n = self.graph.ty(x).shape.rank() - 2;
        let attrs = ConvAttrs {
            strides: vec![c.stride; n],
            dilations: vec![c.dilation; n],
            pads_begin: vec![c.pad; n],
            pads_end: vec![c.pad; n],
            groups: c.groups,
            pad_value: c.pad_value,
        };
        self.op(Op::Convolution(attrs), &[x, w])
    }
}

#[derive(Clone, Copy)]
pub struct Window {
    stride: usize,
    dilation: usize,
    pad: usize,
    groups: usize,
    pad_value: i32,
}

const PLAIN: Window = Window { stride: 1, dilation: 1, pad: 0, groups: 1, pad_value: 0 };

fn case(name: impl Into<String>, build: impl Fn(&mut Builder) -> Vec<Value> + Send + Sync + 'static) -> Case {
    Case { name: name.into(), build: Box::new(build) }
}

pub fn all() -> Vec<Case> {
    [convolutions(), products(), attention(), windows(), pointwise(), movement(), chains()]
        .into_iter()
        .flatten()
        .collect()
}

fn convolutions() -> Vec<Case> {
    use ElemType::{F32, I8, I16, U8};
    let same = Window { pad: 1, ..PLAIN };
    let rows: Vec<(&str, ElemType, ElemType, Vec<usize>, Vec<usize>, Window)> = vec![
        ("1x1", U8, I8, vec![1, 20, 5, 7], vec![33, 20, 1, 1], PLAIN),
        ("1x1_49_pixels", U8, I8, vec![1, 16, 7, 7], vec![16, 16, 1, 1], PLAIN),
        ("3x3_same", U8, I8, vec![1, 5, 7, 6], vec![17, 5, 3, 3], Window { pad_value: 9, ..same }),
        ("3x3_stride_2_batch_2", U8, I8, vec![2, 8, 9, 8], vec![24, 8, 3, 3], Window { stride: 2, ..same }),
        (
            "first_7x7",
            U8,
            I8,
            vec![1, 3, 15, 13],
            vec![8, 3, 7, 7],
            Window { stride: 2, pad: 3, pad_value: 255, ..PLAIN },
        ),
        ("3x3_winograd", U8, I8, vec![1, 40, 13, 10], vec![24, 40, 3, 3], Window { pad_value: 9, ..same }),
        ("3x3_winograd_batch", U8, I8, vec![3, 33, 22, 18], vec![9, 33, 3, 3], Window { pad_value: 200, ..same }),
        ("dilated", U8, I8, vec![1, 4, 9, 9], vec![6, 4, 3, 3], Window { dilation: 2, pad: 2, ..PLAIN }),
        (
            "dilated_3x3_of_many_channels",
            U8,
            I8,
            vec![2, 32, 25, 24],
            vec![24, 32, 3, 3],
            Window { dilation: 2, pad: 2, pad_value: 131, ..PLAIN },
        ),
        ("groups", U8, I8, vec![1, 12, 5, 5], vec![9, 4, 3, 3], Window { groups: 3, ..same }),
        ("multiplier", U8, I8, vec![1, 3, 5, 5], vec![6, 1, 3, 3], Window { groups: 3, ..same }),
        ("wide_weights", U8, I16, vec![1, 7, 5, 4], vec![10, 7, 3, 3], same),
        ("1d", U8, I8, vec![2, 6, 11], vec![5, 6, 3], same),
        ("3d", U8, I8, vec![2, 4, 3, 5, 4], vec![5, 4, 3, 3, 3], same),
        ("one_channel", U8, I8, vec![1, 1, 6, 6], vec![1, 1, 3, 3], same),
        ("floats", F32, F32, vec![1, 5, 6, 7], vec![9, 5, 3, 3], same),
        ("floats_grouped", F32, F32, vec![1, 8, 4, 4], vec![8, 4, 1, 1], Window { groups: 2, ..PLAIN }),
        ("depthwise", U8, I8, vec![1, 35, 6, 7], vec![35, 1, 3, 3], Window { groups: 35, pad_value: 3, ..same }),
        (
            "depthwise_5x5_stride_2",
            U8,
            I8,
            vec![1, 16, 9, 9],
            vec![16, 1, 5, 5],
            Window { groups: 16, stride: 2, pad: 2, ..PLAIN },
        ),
        ("depthwise_folded", U8, I8, vec![1, 8, 5, 8], vec![8, 1, 3, 3], Window { groups: 8, pad_value: 9, ..same }),
        ("depthwise_folded_floats", F32, F32, vec![2, 6, 5, 4], vec![6, 1, 3, 3], Window { groups: 6, ..same }),
        ("depthwise_wide", U8, I16, vec![1, 19, 5, 5], vec![19, 1, 3, 3], Window { groups: 19, ..same }),
        ("depthwise_floats", F32, F32, vec![1, 21, 5, 5], vec![21, 1, 3, 3], Window { groups: 21, ..same }),
    ];
    let mut cases = Vec::new();
    for (name, src, weights, x_dims, w_dims, window) in rows {
        cases.push(case(format!("convolution/{name}"), move |b| {
            let x = b.input(src, &x_dims);
            let w = b.weights(weights, &w_dims);
            vec![b.conv(x, w, window)]
        }));
    }
    cases
}

fn products() -> Vec<Case> {
    use ElemType::{F32, I8, U8};
    let matmul = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
    let rows: Vec<(&str, ElemType, ElemType, Vec<usize>, Vec<usize>, bool, bool)> = vec![
        ("one_row", U8, I8, vec![1, 33], vec![10, 33], false, true),
        ("rows", U8, I8, vec![7, 12], vec![12, 21], false, false),
        ("batches", U8, I8, vec![2, 3, 8], vec![5, 8], false, true),
        ("floats", F32, F32, vec![4, 9], vec![9, 6], false, false),
        ("transposed_a", U8, I8, vec![8, 5], vec![8, 6], true, false),
    ];
    rows.into_iter()
        .map(|(name, src, weights, x_dims, w_dims, transpose_a, transpose_b)| {
            case(format!("product/{name}"), move |b| {
                let x = b.input(src, &x_dims);
                let w = b.weights(weights, &w_dims);
                vec![b.op(matmul(transpose_a, transpose_b), &[x, w])]
            })
        })
        .collect()
}

/// Products of two run-time operands, with what their zero points add; and what stands beside them in such models.
fn attention() -> Vec<Case> {
    use ElemType::{F32, I8, I32, U8};
    let matmul = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
    let binary = |b: &mut Builder, op, x, y| b.op(Op::Binary(op), &[x, y]);
    let sum = |axis: usize| Op::Reduce(ReduceAttrs { kind: ReduceKind::Sum, axes: vec![axis], keep_dims: true });
    let scalar = |b: &mut Builder, value| b.constant(Tensor::i32(Shape::scalar(), vec![value]));
    let mut cases = Vec::new();
    for (name, transpose_a, transpose_b) in [("plain", false, false), ("keys", false, true), ("left", true, false)] {
        cases.push(case(format!("attention/two_zero_points_{name}"), move |b| {
            let p = b.input(U8, if transpose_a { &[2, 3, 19, 5] } else { &[2, 3, 5, 19] });
            let q = b.input(U8, if transpose_b { &[2, 3, 21, 19] } else { &[2, 3, 19, 21] });
            let product = b.op(matmul(transpose_a, transpose_b), &[p, q]);
            let column = b.op(sum(if transpose_a { 2 } else { 3 }), &[p]);
            let column = b.op(Op::Reshape { shape: Shape::new([2, 3, 5, 1]).unwrap() }, &[column]);
            let row = b.op(sum(if transpose_b { 3 } else { 2 }), &[q]);
            let row = b.op(Op::Reshape { shape: Shape::new([2, 3, 1, 21]).unwrap() }, &[row]);
            let (za, zb, both) = (scalar(b, -100), scalar(b, -3), scalar(b, 19 * 300));
            let column = binary(b, BinaryOp::Mul, column, zb);
            let row = binary(b, BinaryOp::Mul, row, za);
            let row = binary(b, BinaryOp::Add, row, both);
            let total = binary(b, BinaryOp::Add, product, column);
            let total = binary(b, BinaryOp::Add, total, row);
            let y = b.dequantize(total, 1e-4, 0.0);
            vec![b.quantize(y, 0.2, 128.0)]
        }));
    }
    cases.push(case("attention/zero_point_per_row", move |b| {
        let (q, w) = (b.input(U8, &[2, 5, 20]), b.weights(I8, &[20, 7]));
        let product = b.op(matmul(false, false), &[q, w]);
        let rows = b.weights(I32, &[1, 5, 7]);
        let total = binary(b, BinaryOp::Add, product, rows);
        let y = b.dequantize(total, 1e-3, 0.0);
        vec![b.quantize(y, 0.2, 128.0)]
    }));
    cases.push(case("attention/signed_and_unsigned", move |b| {
        let (p, q) = (b.input(U8, &[1, 2, 9, 9]), b.input(I8, &[1, 2, 9, 16]));
        let product = b.op(matmul(false, false), &[p, q]);
        vec![b.dequantize(product, 1e-3, 0.0)]
    }));
    cases.push(case("attention/constant_on_the_left", move |b| {
        let (w, q) = (b.weights(I8, &[6, 20]), b.input(U8, &[20, 17]));
        let product = b.op(matmul(false, false), &[w, q]);
        vec![b.per_channel(product, 0)]
    }));
    cases.push(case("attention/embedding", move |b| {
        let (table, scales) = (b.weights(I8, &[3, 18]), b.weights(F32, &[3, 1]));
        let i = b.input(ElemType::I64, &[2, 4]);
        let gather = |b: &mut Builder, x| b.op(Op::Gather { axis: 0, batch_dims: 0 }, &[x, i]);
        let (rows, scales) = (gather(b, table), gather(b, scales));
        let rows = b.dequantize(rows, 1.0, 0.0);
        vec![binary(b, BinaryOp::Mul, rows, scales)]
    }));
    cases.push(case("attention/projected_gru", move |b| {
        let (x, h) = (b.input(I32, &[2, 3, 24]), b.input(F32, &[2, 2, 4]));
        let x = b.dequantize(x, 1e-4, 0.0);
        let (r, bias) = (b.weights(F32, &[2, 12, 4]), b.weights(F32, &[2, 12]));
        let attrs = RnnAttrs {
            kind: RnnKind::Gru,
            direction: Direction::Bidirectional,
            hidden: 4,
            activations: vec![Activation::Sigmoid, Activation::Tanh],
            clip: None,
            linear_before_reset: false,
            projected: true,
        };
        b.ops(Op::Rnn(attrs), &[x, h, r, bias])
    }));
    cases
}

fn pool(kernel: usize, stride: usize, pad: usize, exclude_pad: bool, rounding: Rounding) -> PoolAttrs {
    PoolAttrs {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        rounding,
        exclude_pad,
    }
}

fn windows() -> Vec<Case> {
    use ElemType::{F32, I8, U8};
    let mut cases = Vec::new();
    for (name, elem) in [("u8", U8), ("i8", I8), ("f32", F32)] {
        cases.push(case(format!("max_pool/{name}"), move |b| {
            let x = b.input(elem, &[2, 19, 7, 6]);
            vec![b.op(Op::MaxPool(pool(3, 2, 1, false, Rounding::Ceil)), &[x])]
        }));
    }
    for exclude in [false, true] {
        cases.push(case(format!("avg_pool/exclude_pad_{exclude}"), move |b| {
            let x = b.input(F32, &[1, 6, 7, 7]);
            vec![b.op(Op::AvgPool(pool(3, 2, 1, exclude, Rounding::Floor)), &[x])]
        }));
    }
    cases.push(case("avg_pool/of_quantized", |b| {
        let q = b.input(U8, &[1, 18, 6, 6]);
        let x = b.dequantize(q, 0.05, 11.0);
        vec![b.op(Op::AvgPool(pool(2, 2, 0, false, Rounding::Floor)), &[x])]
    }));
    let reduce = |kind, axes: &[usize], keep_dims| Op::Reduce(ReduceAttrs { kind, axes: axes.to_vec(), keep_dims });
    cases.push(case("reduce/global_mean_of_quantized", move |b| {
        let q = b.input(U8, &[2, 21, 5, 4]);
        let x = b.dequantize(q, 0.05, 7.0);
        vec![b.op(reduce(ReduceKind::Mean, &[2, 3], true), &[x])]
    }));
    for (name, axes, keep) in [
        ("inner", vec![3], false),
        ("middle", vec![1], true),
        ("outer_inner", vec![0, 3], true),
        ("all", vec![0, 1, 2, 3], false),
    ] {
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Mean] {
            let axes = axes.clone();
            cases.push(case(format!("reduce/{name}_{kind:?}"), move |b| {
                let x = b.input(F32, &[2, 5, 3, 19]);
                vec![b.op(reduce(kind, &axes, keep), &[x])]
            }));
        }
    }
    cases.push(case("deconvolution/stride_2", |b| {
        let x = b.input(U8, &[1, 7, 5, 4]);
        let w = b.weights(I8, &[7, 9, 3, 3]);
        let attrs = DeconvAttrs {
            strides: vec![2; 2],
            dilations: vec![1; 2],
            pads_begin: vec![1; 2],
            pads_end: vec![0; 2],
            output_padding: vec![0; 2],
            groups: 1,
            zero_point: 77,
        };
        vec![b.op(Op::Deconvolution(attrs), &[x, w])]
    }));
    cases.push(case("deconvolution/2x2_floats_grouped", |b| {
        let x = b.input(F32, &[2, 6, 3, 3]);
        let w = b.weights(F32, &[6, 2, 2, 2]);
        let attrs = DeconvAttrs {
            strides: vec![2; 2],
            dilations: vec![1; 2],
            pads_begin: vec![0; 2],
            pads_end: vec![0; 2],
            output_padding: vec![1; 2],
            groups: 2,
            zero_point: 0,
        };
        vec![b.op(Op::Deconvolution(attrs), &[x, w])]
    }));
    for (name, mode, elem) in [
        ("nearest_u8", InterpolateMode::Nearest, U8),
        ("linear", InterpolateMode::LinearOnnx, F32),
        ("cubic", InterpolateMode::Cubic, F32),
    ] {
        cases.push(case(format!("interpolate/{name}"), move |b| {
            let x = b.input(elem, &[1, 5, 4, 3]);
            let attrs = InterpolateAttrs {
                mode,
                coordinates: CoordinateMode::HalfPixel,
                nearest: NearestMode::RoundPreferFloor,
                antialias: false,
                cube_coeff: -0.75,
                axes: vec![2, 3],
                sizes: vec![8, 7],
                scales: vec![2.0, 7.0 / 3.0],
                pads_begin: vec![0; 4],
                pads_end: vec![0; 4],
            };
            vec![b.op(Op::Interpolate(attrs), &[x])]
        }));
    }
    cases
}

fn pointwise() -> Vec<Case> {
    use ElemType::{Bool, F32, I8, I32, I64, U8};
    let mut cases = Vec::new();
    for op in [
        UnaryOp::Relu,
        UnaryOp::HSwish,
        UnaryOp::HSigmoid,
        UnaryOp::Sigmoid,
        UnaryOp::Tanh,
        UnaryOp::Gelu,
        UnaryOp::Swish { beta: 1.0 },
        UnaryOp::Exp,
        UnaryOp::Abs,
        UnaryOp::Neg,
        UnaryOp::Round,
        UnaryOp::Clamp { min: -1.5, max: 2.25 },
        UnaryOp::Elu { alpha: 0.5 },
        UnaryOp::Softplus,
        UnaryOp::Mish,
        UnaryOp::Erf,
    ] {
        cases.push(case(format!("unary/{}", op.name()), move |b| {
            let x = b.input(F32, &[3, 45]);
            vec![b.op(Op::Unary(op), &[x])]
        }));
    }
    for op in [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Max,
        BinaryOp::Min,
        BinaryOp::PRelu,
        BinaryOp::SquaredDifference,
        BinaryOp::Greater,
        BinaryOp::Equal,
        BinaryOp::LessEqual,
    ] {
        cases.push(case(format!("binary/{}", op.name()), move |b| {
            let x = b.input(F32, &[2, 5, 3, 4]);
            let y = b.input(F32, &[5, 1, 4]);
            vec![b.op(Op::Binary(op), &[x, y])]
        }));
    }
    cases.push(case("binary/i32", |b| {
        let x = b.input(I32, &[3, 17]);
        let y = b.input(I32, &[17]);
        let sum = b.op(Op::Binary(BinaryOp::Add), &[x, y]);
        vec![b.op(Op::Binary(BinaryOp::Mul), &[sum, y])]
    }));
    cases.push(case("select", |b| {
        let c = b.input(Bool, &[1, 19]);
        let x = b.input(F32, &[3, 19]);
        let y = b.input(F32, &[3, 1]);
        vec![b.op(Op::Select, &[c, x, y])]
    }));
    for (from, to) in [
        (F32, U8),
        (F32, I32),
        (I8, F32),
        (U8, F32),
        (I32, F32),
        (Bool, F32),
        (F32, Bool),
        (U8, I32),
        (I64, I32),
        (I64, Bool),
    ] {
        cases.push(case(format!("convert/{from}_to_{to}"), move |b| {
            let x = b.input(from, &[2, 37]);
            vec![b.op(Op::Convert { elem: to }, &[x])]
        }));
    }
    cases.push(case("fake_quantize/per_channel", |b| {
        let x = b.input(F32, &[1, 3, 4, 5]);
        let mut range =
            |values: [f32; 3]| b.constant(Tensor::f32(Shape::new([1, 3, 1, 1]).expect("small"), values.to_vec()));
        let ranges =
            [range([-1.0, 0.0, -2.0]), range([1.0, 2.55, -2.0]), range([-1.0, 0.0, 1.0]), range([1.0, 5.1, -1.0])];
        let operands: Vec<Value> = [x].into_iter().chain(ranges).collect();
        vec![b.op(Op::FakeQuantize { levels: 256 }, &operands)]
    }));
    cases.push(case("quantize/planes_to_pixels", |b| {
        let x = b.input(F32, &[1, 3, 5, 6]);
        vec![b.quantize(x, 0.02, 128.0)]
    }));
    cases.push(case("requantize", |b| {
        let x = b.input(I32, &[1, 20, 3, 3]);
        let multiplier = (0..20).map(|i| 0.01 + 0.001 * i as f32).collect();
        let attrs = RequantizeAttrs { multiplier, bias: vec![3.5], axis: Some(1), elem: U8, low: 2, high: 250 };
        vec![b.op(Op::Requantize(attrs), &[x])]
    }));
    for op in [UnaryOp::Sigmoid, UnaryOp::Tanh, UnaryOp::Gelu, UnaryOp::Swish { beta: 1.0 }, UnaryOp::Exp, UnaryOp::Abs]
    {
        for elem in [U8, I8] {
            cases.push(case(format!("bytes/{} of {elem}", op.name()), move |b| {
                let x = b.input(elem, &[2, 5, 7, 9]);
                let x = b.dequantize(x, 0.05, 7.0);
                let y = b.op(Op::Unary(op), &[x]);
                vec![b.quantize(y, 0.01, 30.0)]
            }));
        }
    }
    cases.push(case("softmax/last", |b| {
        let x = b.input(F32, &[3, 37]);
        vec![b.op(Op::Softmax { axis: 1, log: false }, &[x])]
    }));
    cases.push(case("softmax/channels", |b| {
        let x = b.input(F32, &[2, 5, 3, 4]);
        let r = b.relu(x);
        vec![b.op(Op::Softmax { axis: 1, log: true }, &[r])]
    }));
    cases
}

fn movement() -> Vec<Case> {
    use ElemType::{F32, I64, U8};
    let mut cases = vec![
        case("transpose/to_output", |b| {
            let x = b.input(U8, &[1, 5, 4, 3]);
            vec![b.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x])]
        }),
        case("reshape/after_pool", |b| {
            let x = b.input(U8, &[1, 5, 4, 4]);
            let p = b.op(Op::MaxPool(pool(2, 2, 0, false, Rounding::Floor)), &[x]);
            vec![b.op(Op::Reshape { shape: Shape::new([1, 20]).expect("small") }, &[p])]
        }),
        case("shuffle_channels", |b| {
            let x = b.input(U8, &[1, 6, 3, 3]);
            let p = b.op(Op::MaxPool(pool(1, 1, 0, false, Rounding::Floor)), &[x]);
            let wide = b.op(Op::Reshape { shape: Shape::new([1, 2, 3, 3, 3]).expect("small") }, &[p]);
            let turned = b.op(Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[wide]);
            vec![b.op(Op::Reshape { shape: Shape::new([1, 6, 3, 3]).expect("small") }, &[turned])]
        }),
        case("concat/in_place", |b| {
            let x = b.input(F32, &[1, 4, 3, 3]);
            let y = b.input(F32, &[1, 7, 3, 3]);
            let (x, y) = (b.quantize(x, 0.1, 3.0), b.quantize(y, 0.1, 3.0));
            let z = b.op(Op::Concat { axis: 1 }, &[x, y, x]);
            vec![b.dequantize(z, 0.1, 3.0)]
        }),
        case("split", |b| {
            let x = b.input(U8, &[1, 10, 3, 2]);
            b.ops(Op::Split { axis: 1, lengths: vec![3, 7] }, &[x])
        }),
        case("slice/backwards", |b| {
            let x = b.input(F32, &[4, 9]);
            let attrs = SliceAttrs { begin: vec![1, 8], lengths: vec![2, 3], strides: vec![2, -3] };
            vec![b.op(Op::Slice(attrs), &[x])]
        }),
        case("tile", |b| {
            let x = b.input(U8, &[2, 3]);
            vec![b.op(Op::Tile { repeats: vec![2, 3] }, &[x])]
        }),
        case("gather", |b| {
            let x = b.input(F32, &[3, 5, 4]);
            let i = b.input(I64, &[2, 2]);
            vec![b.op(Op::Gather { axis: 1, batch_dims: 0 }, &[x, i])]
        }),
        case("gather/outside", |b| {
            let x = b.input(F32, &[3, 5, 4]);
            let i = b.input(ElemType::I32, &[3, 5]);
            vec![b.op(Op::Gather { axis: 1, batch_dims: 0 }, &[x, i])]
        }),
        case("broadcast", |b| {
            let x = b.input(F32, &[3, 1]);
            vec![b.op(Op::Broadcast { shape: Shape::new([2, 3, 5]).expect("small") }, &[x])]
        }),
    ];
    for mode in [PadMode::Constant, PadMode::Edge, PadMode::Reflect, PadMode::Symmetric] {
        cases.push(case(format!("pad/{mode:?}"), move |b| {
            let x = b.input(U8, &[1, 3, 4, 5]);
            let attrs = PadAttrs { mode, begin: vec![0, 1, 2, 0], end: vec![0, 0, 1, 3], value: 7.0 };
            vec![b.op(Op::Pad(attrs), &[x])]
        }));
    }
    cases.push(case("batch_to_space", |b| {
        let x = b.input(U8, &[12, 3, 2, 3]);
        let (crops_begin, crops_end) = (vec![0, 0, 1, 0], vec![0, 0, 0, 2]);
        vec![b.op(Op::BatchToSpace { block: vec![1, 1, 2, 3], crops_begin, crops_end }, &[x])]
    }));
    cases.push(case("space_to_batch", |b| {
        let x = b.input(F32, &[2, 3, 3, 4]);
        let (pads_begin, pads_end) = (vec![0, 0, 1, 0], vec![0, 0, 0, 2]);
        vec![b.op(Op::SpaceToBatch { block: vec![1, 1, 2, 3], pads_begin, pads_end }, &[x])]
    }));
    for mode in [DepthMode::BlocksFirst, DepthMode::DepthFirst] {
        cases.push(case(format!("depth_to_space/{mode:?}"), move |b| {
            let x = b.input(U8, &[2, 12, 3, 2]);
            vec![b.op(Op::DepthToSpace { block: 2, mode }, &[x])]
        }));
        cases.push(case(format!("space_to_depth/{mode:?}"), move |b| {
            let x = b.input(U8, &[2, 3, 4, 6]);
            vec![b.op(Op::SpaceToDepth { block: 2, mode }, &[x])]
        }));
    }
    cases
}

/// Whole blocks: fusion of epilogues, residuals, squeeze-and-excite, borders shared between users.
fn chains() -> Vec<Case> {
    use ElemType::{F32, I8, I32, U8};
    let same = Window { pad: 1, ..PLAIN };
    vec![
        case("chain/residual_block", move |b| {
            let x = b.input(F32, &[1, 18, 6, 5]);
            let q = b.quantize(x, 0.03, 0.0);
            let w = b.weights(I8, &[18, 18, 3, 3]);
            let acc = b.conv(q, w, same);
            let init = b.weights(I32, &[1, 18, 1, 1]);
            let acc = b.add(acc, init);
            let y = b.per_channel(acc, 1);
            let shortcut = b.dequantize(q, 0.03, 0.0);
            let sum = b.add(y, shortcut);
            let r = b.relu(sum);
            let q2 = b.quantize(r, 0.5, 0.0);
            let w2 = b.weights(I8, &[7, 18, 1, 1]);
            let acc2 = b.conv(q2, w2, PLAIN);
            vec![b.per_channel(acc2, 1), q2]
        }),
        case("chain/two_convolutions_added", move |b| {
            let q = b.input(U8, &[1, 8, 5, 5]);
            let (w1, w2) = (b.weights(I8, &[12, 8, 3, 3]), b.weights(I8, &[12, 8, 1, 1]));
            let (a, c) = (b.conv(q, w1, same), b.conv(q, w2, PLAIN));
            let (a, c) = (b.per_channel(a, 1), b.per_channel(c, 1));
            let sum = b.add(a, c);
            vec![b.quantize(sum, 0.7, 128.0)]
        }),
        case("chain/two_convolutions_added_after_quantizations", move |b| {
            let q = b.input(U8, &[1, 8, 5, 5]);
            let (w1, w2) = (b.weights(I8, &[12, 8, 3, 3]), b.weights(I8, &[12, 8, 1, 1]));
            let (a, c) = (b.conv(q, w1, same), b.conv(q, w2, PLAIN));
            let branches = [a, c].map(|acc| {
                let y = b.per_channel(acc, 1);
                let y = b.quantize(y, 0.9, 130.0);
                b.dequantize(y, 0.9, 130.0)
            });
            let sum = b.add(branches[0], branches[1]);
            vec![b.quantize(sum, 1.3, 128.0)]
        }),
        case("chain/residual_stream_in_place", move |b| {
            let q = b.input(U8, &[1, 12, 6, 6]);
            let [enter, first, second, leave] =
                [[70, 12], [9, 70], [70, 9], [5, 70]].map(|[oc, ic]: [usize; 2]| b.weights(I8, &[oc, ic, 1, 1]));
            let enter = b.conv(q, enter, PLAIN);
            let enter = b.per_channel(enter, 1);
            let stream = b.quantize(enter, 0.7, 3.0);
            let inner = b.conv(stream, first, PLAIN);
            let inner = b.per_channel(inner, 1);
            let inner = b.quantize(inner, 0.9, 128.0);
            let back = b.conv(inner, second, PLAIN);
            let back = b.per_channel(back, 1);
            let stream = b.dequantize(stream, 0.7, 3.0);
            let sum = b.add(back, stream);
            let sum = b.quantize(sum, 0.8, 0.0);
            let leave = b.conv(sum, leave, PLAIN);
            vec![b.per_channel(leave, 1)]
        }),
        case("chain/residual_stream_in_another_order", move |b| {
            let q = b.input(U8, &[1, 12, 6, 6]);
            let dims: [&[usize]; 4] = [&[16, 12, 1, 1], &[24, 16, 3, 3], &[16, 24, 1, 1], &[9, 16, 3, 3]];
            let [enter, inner, back, leave] = dims.map(|dims| b.weights(I8, dims));
            let enter = b.conv(q, enter, PLAIN);
            let enter = b.per_channel(enter, 1);
            let stream = b.quantize(enter, 0.7, 3.0);
            let inner = b.conv(stream, inner, Window { pad_value: 3, ..same });
            let inner = b.per_channel(inner, 1);
            let inner = b.quantize(inner, 0.9, 128.0);
            let back = b.conv(inner, back, PLAIN);
            let back = b.per_channel(back, 1);
            let stream = b.dequantize(stream, 0.7, 3.0);
            let sum = b.add(back, stream);
            let sum = b.quantize(sum, 0.8, 0.0);
            let leave = b.conv(sum, leave, Window { stride: 2, ..same });
            vec![b.per_channel(leave, 1)]
        }),
        case("chain/squeeze_excite", move |b| {
            let q = b.input(U8, &[1, 16, 4, 4]);
            let x = b.dequantize(q, 0.02, 0.0);
            let mean =
                b.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: true }), &[x]);
            let mq = b.quantize(mean, 0.02, 0.0);
            let w = b.weights(I8, &[16, 16, 1, 1]);
            let acc = b.conv(mq, w, PLAIN);
            let s = b.per_channel(acc, 1);
            let gate = b.op(Op::Unary(UnaryOp::Sigmoid), &[s]);
            let y = b.op(Op::Binary(BinaryOp::Mul), &[x, gate]);
            vec![b.quantize(y, 0.02, 0.0)]
        }),
        case("chain/integers_dequantized_twice", move |b| {
            let q = b.input(U8, &[1, 16, 4, 4]);
            let w = b.weights(I8, &[16, 16, 1, 1]);
            let acc = b.conv(q, w, PLAIN);
            let y = b.per_channel(acc, 1);
            let y = b.quantize(y, 0.5, 3.0);
            let x = b.dequantize(y, 0.02, 3.0);
            let sum = b.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Sum, axes: vec![2, 3], keep_dims: true }), &[y]);
            let mean = b.dequantize(sum, 0.02 / 16.0, 3.0 * 16.0);
            let y = b.op(Op::Binary(BinaryOp::Mul), &[x, mean]);
            vec![b.quantize(y, 0.02, 0.0)]
        }),
        case("chain/borders_of_two_sizes", move |b| {
            let x = b.input(F32, &[1, 4, 6, 6]);
            let q = b.quantize(x, 0.05, 5.0);
            let (w1, w2) = (b.weights(I8, &[4, 4, 3, 3]), b.weights(I8, &[4, 4, 5, 5]));
            let a = b.conv(q, w1, Window { pad_value: 5, ..same });
            let c = b.conv(q, w2, Window { pad: 2, pad_value: 5, ..PLAIN });
            let shortcut = b.dequantize(q, 0.05, 5.0);
            vec![a, c, shortcut]
        }),
        case("chain/split_into_depthwise", move |b| {
            let x = b.input(F32, &[1, 10, 5, 5]);
            let q = b.quantize(x, 0.05, 128.0);
            let parts = b.ops(Op::Split { axis: 1, lengths: vec![4, 6] }, &[q]);
            let w = b.weights(I8, &[6, 1, 3, 3]);
            let acc = b.conv(parts[1], w, Window { groups: 6, pad_value: 128, ..same });
            let y = b.per_channel(acc, 1);
            let y = b.quantize(y, 0.1, 128.0);
            vec![b.op(Op::Concat { axis: 1 }, &[parts[0], y])]
        }),
        case("chain/folded_depthwise_with_residual", move |b| {
            let q = b.input(U8, &[1, 12, 6, 8]);
            let w = b.weights(I8, &[12, 1, 5, 5]);
            let acc = b.conv(q, w, Window { groups: 12, pad: 2, pad_value: 7, ..PLAIN });
            let y = b.per_channel(acc, 1);
            let residual = b.dequantize(q, 0.05, 7.0);
            let y = b.op(Op::Binary(BinaryOp::Add), &[y, residual]);
            vec![b.quantize(y, 0.1, 128.0)]
        }),
        case("chain/quantized_accumulator_with_two_readers", move |b| {
            let q = b.input(U8, &[1, 16, 4, 4]);
            let w = b.weights(I8, &[16, 1, 3, 3]);
            let acc = b.conv(q, w, Window { groups: 16, ..same });
            let y = b.per_channel(acc, 1);
            let q = b.quantize(y, 0.3, 20.0);
            let y = b.dequantize(q, 0.3, 20.0);
            let sum = b.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Sum, axes: vec![2, 3], keep_dims: true }), &[q]);
            let mean = b.dequantize(sum, 0.3 / 16.0, 20.0 * 16.0);
            vec![b.op(Op::Binary(BinaryOp::Mul), &[y, mean])]
        }),
        case("chain/in_place", move |b| {
            let x = b.input(F32, &[3, 40]);
            let mean = b.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Max, axes: vec![0], keep_dims: true }), &[x]);
            let s = b.op(Op::Softmax { axis: 1, log: false }, &[x]);
            let y = b.op(Op::Binary(BinaryOp::Add), &[s, mean]);
            let z = b.op(Op::Softmax { axis: 1, log: false }, &[y]);
            let q = b.quantize(z, 0.01, 0.0);
            let m = b.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Sum, axes: vec![1], keep_dims: true }), &[z]);
            let back = b.dequantize(q, 0.01, 0.0);
            let w = b.op(Op::Binary(BinaryOp::Mul), &[back, m]);
            let r = b.relu(back);
            vec![b.op(Op::Softmax { axis: 1, log: false }, &[w]), b.op(Op::Softmax { axis: 1, log: false }, &[r])]
        }),
        case("chain/swish_keeps_both_uses", move |b| {
            let q = b.input(U8, &[1, 9, 3, 3]);
            let w = b.weights(I8, &[9, 9, 1, 1]);
            let acc = b.conv(q, w, PLAIN);
            let y = b.per_channel(acc, 1);
            let s = b.op(Op::Unary(UnaryOp::Sigmoid), &[y]);
            vec![b.op(Op::Binary(BinaryOp::Mul), &[y, s])]
        }),
    ]
}
