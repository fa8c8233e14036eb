//! The rows: layers of ResNet, MobileNet, EfficientNet, BERT, U-Net and recurrent networks, with random weights.

use octet::ir::op::*;
use octet::ir::tensor::Data;
use octet::ir::{ElemType, Graph, Op, QuantParams, Shape, Tensor, TensorType, Value};

use ElemType::{F32, I8, I64, U8};

pub struct Row {
    /// `family/what`.
    pub name: String,
    /// As `KernelSpec::family` calls it.
    pub family: &'static str,
    /// The family's kernels do all of the layer's work, so its bytes are theirs.
    pub is_whole: bool,
    build: Box<dyn Fn(&mut Builder) -> Value>,
}

impl Row {
    /// The families whose kernels may do the work, by the beginnings of their names: a convolution has several algorithms.
    pub fn kin(&self) -> &[&'static str] {
        if self.family == "conv" { &["conv", "winograd"] } else { std::slice::from_ref(&self.family) }
    }

    pub fn graph(&self) -> Graph {
        let mut builder = Builder { graph: Graph::new("row"), seed: 1 };
        let result = (self.build)(&mut builder);
        let body = builder.graph.body();
        builder.graph.output_names = vec!["out".to_owned()];
        builder.graph.append(body, Op::Return, &[result], &[]).unwrap();
        octet::ir::verify::verify(&builder.graph).unwrap();
        builder.graph
    }
}

/// Families of `lower::kernel` that have no row.
pub fn families_without_rows(rows: &[Row]) -> Vec<&'static str> {
    let source = include_str!("../../../src/lower/kernel.rs");
    let body = source.split("pub fn family(&self)").nth(1).unwrap_or_default();
    let names = body.lines().skip(2).take_while(|line| line.contains("=>")).filter_map(|line| line.split('"').nth(1));
    names.filter(|name| rows.iter().all(|row| row.kin().iter().all(|kin| !name.starts_with(kin)))).collect()
}

pub fn all() -> Vec<Row> {
    [
        convolutions(),
        float_convolutions(),
        depthwise(),
        products(),
        attention(),
        pools(),
        pointwise(),
        rows_of_floats(),
        movement(),
        recurrent(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn row(family: &'static str, name: impl AsRef<str>, build: impl Fn(&mut Builder) -> Value + 'static) -> Row {
    Row { name: format!("{family}/{}", name.as_ref()), family, is_whole: family != "fill", build: Box::new(build) }
}

/// A square convolution.
#[derive(Clone, Copy)]
struct Conv {
    ic: usize,
    oc: usize,
    /// Height and width of the input.
    size: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Conv {
    fn name(&self) -> String {
        let Conv { ic, oc, size, kernel, stride, .. } = self;
        let stride = if *stride == 1 { String::new() } else { format!("_stride{stride}") };
        format!("{kernel}x{kernel}{stride}_{ic}to{oc}_{size}x{size}")
    }
}

fn conv(ic: usize, oc: usize, size: usize, kernel: usize, stride: usize) -> Conv {
    Conv { ic, oc, size, kernel, stride, groups: 1 }
}

/// ResNet, then the pointwise layers of MobileNetV2 and EfficientNet.
fn convolutions() -> Vec<Row> {
    let shapes = [
        conv(3, 64, 224, 7, 2),
        conv(64, 64, 56, 1, 1),
        conv(64, 64, 56, 3, 1),
        conv(64, 256, 56, 1, 1),
        conv(256, 64, 56, 1, 1),
        conv(256, 512, 56, 1, 2),
        conv(128, 128, 28, 3, 1),
        conv(512, 128, 28, 1, 1),
        conv(256, 256, 14, 3, 1),
        conv(1024, 256, 14, 1, 1),
        conv(512, 512, 7, 3, 1),
        conv(2048, 512, 7, 1, 1),
        conv(3, 32, 224, 3, 2),
        conv(32, 16, 112, 1, 1),
        conv(16, 96, 112, 1, 1),
        conv(24, 144, 56, 1, 1),
        conv(96, 576, 14, 1, 1),
        conv(160, 960, 7, 1, 1),
        conv(320, 1280, 7, 1, 1),
    ];
    shapes.map(|shape| row("conv", shape.name(), move |b| b.quantized_convolution(shape))).into()
}

fn float_convolutions() -> Vec<Row> {
    let shapes = [conv(64, 64, 28, 3, 1), conv(144, 24, 56, 1, 1)];
    let build = |shape: Conv| {
        row("conv", format!("f32_{}", shape.name()), move |b| {
            let x = b.input(F32, &[1, shape.ic, shape.size, shape.size]);
            let w = b.weights(F32, &[shape.oc, shape.ic, shape.kernel, shape.kernel]);
            b.convolution(x, w, shape)
        })
    };
    shapes.map(build).into()
}

fn depthwise() -> Vec<Row> {
    let shapes = [
        (32, 112, 3, 1),
        (96, 112, 3, 2),
        (144, 56, 3, 1),
        (576, 14, 3, 1),
        (960, 7, 3, 1),
        (240, 28, 5, 1),
        (672, 14, 5, 1),
    ];
    let build = |(channels, size, kernel, stride)| {
        let shape = Conv { ic: channels, oc: channels, size, kernel, stride, groups: channels };
        row("depthwise", shape.name(), move |b| b.quantized_convolution(shape))
    };
    shapes.map(build).into()
}

/// Constant weights: classifiers, and the projections of BERT with 128 tokens.
fn products() -> Vec<Row> {
    let shapes =
        [(1, 2048, 1000), (1, 1280, 1000), (128, 128, 512), (128, 768, 768), (128, 768, 3072), (128, 3072, 768)];
    let build = |(rows, k, n)| {
        row("conv", format!("product_{rows}x{k}x{n}"), move |b| {
            let x = b.input(U8, &[rows, k]);
            let w = b.weights(I8, &[n, k]);
            let sum = b.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[x, w]);
            b.requantized(sum, 1)
        })
    };
    shapes.map(build).into()
}

/// Two operands known at run time: 12 heads of 64.
fn attention() -> Vec<Row> {
    let product = |x: ElemType, y: ElemType, transpose_b: bool, name: &str| {
        row("matmul", name, move |b| {
            let p = b.input(x, &[1, 12, 128, if transpose_b { 64 } else { 128 }]);
            let q = b.input(y, &[1, 12, 128, 64]);
            let product = b.op(Op::MatMul { transpose_a: false, transpose_b }, &[p, q]);
            if x == F32 { product } else { b.dequantize(product) }
        })
    };
    vec![
        product(U8, I8, true, "queries_keys_i8"),
        product(U8, I8, false, "scores_values_i8"),
        product(F32, F32, true, "queries_keys_f32"),
    ]
}

fn pools() -> Vec<Row> {
    let attrs = |kernel, stride, pad| PoolAttrs {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        rounding: Rounding::Floor,
        exclude_pad: false,
    };
    vec![
        row("pool", "max_3x3_stride2_64_112x112", move |b| {
            let x = b.input(U8, &[1, 64, 112, 112]);
            b.op(Op::MaxPool(attrs(3, 2, 1)), &[x])
        }),
        row("pool", "max_2x2_stride2_128_56x56", move |b| {
            let x = b.input(U8, &[1, 128, 56, 56]);
            b.op(Op::MaxPool(attrs(2, 2, 0)), &[x])
        }),
        row("reduce", "global_mean_2048_7x7", |b| {
            let q = b.input(U8, &[1, 2048, 7, 7]);
            let x = b.dequantize(q);
            let mean = Op::Reduce(ReduceAttrs { kind: ReduceKind::Mean, axes: vec![2, 3], keep_dims: true });
            let y = b.op(mean, &[x]);
            b.quantize(y)
        }),
        row("reduce", "max_f32_128x768", |b| {
            let x = b.input(F32, &[128, 768]);
            b.op(Op::Reduce(ReduceAttrs { kind: ReduceKind::Max, axes: vec![1], keep_dims: true }), &[x])
        }),
    ]
}

fn pointwise() -> Vec<Row> {
    let unary = |name: &str, op: UnaryOp| {
        row("pointwise", name, move |b| {
            let x = b.input(F32, &[128, 3072]);
            b.op(Op::Unary(op), &[x])
        })
    };
    vec![
        unary("gelu_f32_128x3072", UnaryOp::Gelu),
        unary("swish_f32_128x3072", UnaryOp::Swish { beta: 1.0 }),
        unary("sigmoid_f32_128x3072", UnaryOp::Sigmoid),
        unary("relu_f32_128x3072", UnaryOp::Relu),
        row("pointwise", "add_u8_256_56x56", |b| {
            let (p, q) = (b.input(U8, &[1, 56, 56, 256]), b.input(U8, &[1, 56, 56, 256]));
            let (p, q) = (b.dequantize(p), b.dequantize(q));
            let sum = b.op(Op::Binary(BinaryOp::Add), &[p, q]);
            b.quantize(sum)
        }),
        row("lookup", "sigmoid_u8_256_56x56", |b| {
            let x = b.input(U8, &[1, 56, 56, 256]);
            let x = b.dequantize(x);
            let y = b.op(Op::Unary(UnaryOp::Sigmoid), &[x]);
            b.quantize(y)
        }),
        row("pointwise", "quantize_128x768", |b| {
            let x = b.input(F32, &[128, 768]);
            b.quantize(x)
        }),
    ]
}

fn rows_of_floats() -> Vec<Row> {
    vec![
        row("softmax", "12x128x128", |b| {
            let x = b.input(F32, &[1, 12, 128, 128]);
            b.op(Op::Softmax { axis: 3, log: false }, &[x])
        }),
        row("softmax", "1x1000", |b| {
            let x = b.input(F32, &[1, 1000]);
            b.op(Op::Softmax { axis: 1, log: false }, &[x])
        }),
        row("normalize", "layer_norm_128x768", |b| {
            let x = b.input(F32, &[1, 128, 768]);
            let attrs = MvnAttrs { axes: vec![2], normalize_variance: true, eps: 1e-12, eps_mode: EpsMode::Inside };
            b.op(Op::Mvn(attrs), &[x])
        }),
    ]
}

fn movement() -> Vec<Row> {
    let resize = |mode, elem| {
        move |b: &mut Builder| {
            let x = b.input(elem, &[1, 64, 56, 56]);
            let attrs = InterpolateAttrs {
                mode,
                coordinates: CoordinateMode::HalfPixel,
                nearest: NearestMode::RoundPreferFloor,
                antialias: false,
                cube_coeff: -0.75,
                axes: vec![2, 3],
                sizes: vec![112, 112],
                scales: vec![2.0, 2.0],
                pads_begin: vec![0; 4],
                pads_end: vec![0; 4],
            };
            b.op(Op::Interpolate(attrs), &[x])
        }
    };
    vec![
        row("copy", "transpose_heads_128x12x64", |b| {
            let x = b.input(F32, &[1, 128, 12, 64]);
            b.op(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[x])
        }),
        row("copy", "planes_to_pixels_u8_64_56x56", |b| {
            let x = b.input(U8, &[1, 64, 56, 56]);
            b.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x])
        }),
        row("fill", "border_64_56x56", |b| b.quantized_convolution(conv(64, 64, 56, 3, 1))),
        row("resize", "nearest_u8_64_56x56", resize(InterpolateMode::Nearest, U8)),
        row("resize", "linear_f32_64_56x56", resize(InterpolateMode::LinearOnnx, F32)),
        row("gather", "embedding_128_of_30522x128", |b| {
            let table = b.weights(F32, &[30522, 128]);
            let indices = b.input(I64, &[1, 128]);
            b.op(Op::Gather { axis: 0, batch_dims: 0 }, &[table, indices])
        }),
        row("scatter", "rows_32_of_512x128", |b| {
            let (data, updates) = (b.input(F32, &[512, 128]), b.input(F32, &[32, 128]));
            let indices = b.input(I64, &[32, 128]);
            let op = Op::ScatterElements { axis: 0, reduction: ScatterReduction::None };
            b.op(op, &[data, indices, updates])
        }),
        row("scan", "cum_sum_64x512", |b| {
            let x = b.input(F32, &[64, 512]);
            b.op(Op::CumSum { axis: 1, exclusive: false, reverse: false }, &[x])
        }),
        row("top_k", "5_of_1000", |b| {
            let x = b.input(F32, &[1, 1000]);
            let attrs = TopKAttrs { axis: 1, k: 5, largest: true, sort: TopKSort::ByValue, index_elem: I64 };
            b.op(Op::TopK(attrs), &[x])
        }),
    ]
}

fn recurrent() -> Vec<Row> {
    let attrs = |kind: RnnKind, activations: Vec<Activation>| RnnAttrs {
        kind,
        direction: Direction::Forward,
        hidden: 128,
        activations,
        clip: None,
        linear_before_reset: false,
        projected: false,
    };
    let (sigmoid, tanh) = (Activation::Sigmoid, Activation::Tanh);
    vec![
        row("rnn", "gru_sequence32_128to128", move |b| {
            let (x, h) = (b.input(F32, &[1, 32, 128]), b.input(F32, &[1, 1, 128]));
            let (w, r) = (b.weights(F32, &[1, 384, 128]), b.weights(F32, &[1, 384, 128]));
            let bias = b.weights(F32, &[1, 384]);
            b.op(Op::Rnn(attrs(RnnKind::Gru, vec![sigmoid, tanh])), &[x, h, w, r, bias])
        }),
        row("rnn", "lstm_integers_sequence32_128to128", move |b| {
            let (x, state) = (b.input(F32, &[1, 32, 128]), b.multiples(&[1, 1, 128], 0.0));
            let (w, r) = (b.weights(F32, &[1, 512, 128]), b.multiples(&[1, 512, 128], 0.004));
            let bias = b.weights(F32, &[1, 512]);
            b.op(Op::Rnn(attrs(RnnKind::Lstm, vec![sigmoid, tanh, tanh])), &[x, state, state, w, r, bias])
        }),
    ]
}

pub struct Builder {
    graph: Graph,
    seed: u64,
}

impl Builder {
    fn input(&mut self, elem: ElemType, dims: &[usize]) -> Value {
        let name = format!("in{}", self.graph.inputs().len());
        self.graph.add_input(name, ty(elem, dims))
    }

    fn op(&mut self, op: Op, operands: &[Value]) -> Value {
        let body = self.graph.body();
        let node = self.graph.append(body, op, operands, &[]).unwrap();
        self.graph.results(node)[0]
    }

    fn weights(&mut self, elem: ElemType, dims: &[usize]) -> Value {
        self.seed += 1;
        let constant = self.graph.add_tensor(random(&ty(elem, dims), self.seed));
        self.op(Op::Const(constant), &[])
    }

    /// Floats that are i8 weights times a scale.
    fn multiples(&mut self, dims: &[usize], scale: f32) -> Value {
        self.seed += 1;
        let integers = random(&ty(I8, dims), self.seed).to_i64().unwrap();
        let floats = integers.iter().map(|&weight| weight as f32 * scale).collect();
        let constant = self.graph.add_tensor(Tensor::f32(Shape::new(dims).unwrap(), floats));
        self.op(Op::Const(constant), &[])
    }

    fn convolution(&mut self, x: Value, w: Value, of: Conv) -> Value {
        let pad = of.kernel / 2;
        let attrs = ConvAttrs {
            strides: vec![of.stride; 2],
            dilations: vec![1; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            groups: of.groups,
            pad_value: 0,
        };
        self.op(Op::Convolution(attrs), &[x, w])
    }

    /// u8 to u8, with a scale per channel.
    fn quantized_convolution(&mut self, of: Conv) -> Value {
        let x = self.input(U8, &[1, of.ic, of.size, of.size]);
        let w = self.weights(I8, &[of.oc, of.ic / of.groups, of.kernel, of.kernel]);
        let sum = self.convolution(x, w, of);
        self.requantized(sum, 1)
    }

    fn requantized(&mut self, sum: Value, axis: usize) -> Value {
        let channels = self.graph.ty(sum).shape[axis];
        let scale = (0..channels).map(|channel| 1e-4 * (1.0 + channel as f64 / channels as f64)).collect();
        let params = QuantParams { scale, zero_point: vec![0.0], axis: Some(axis) };
        let x = self.op(Op::Dequantize(params), &[sum]);
        self.quantize(x)
    }

    fn dequantize(&mut self, q: Value) -> Value {
        self.op(Op::Dequantize(QuantParams::per_tensor(0.02, 0.0)), &[q])
    }

    fn quantize(&mut self, x: Value) -> Value {
        let params = QuantParams::per_tensor(0.02, 128.0);
        self.op(Op::Quantize(QuantizeAttrs { params, elem: U8, low: 0, high: 255 }), &[x])
    }
}

fn ty(elem: ElemType, dims: &[usize]) -> TensorType {
    TensorType::new(elem, Shape::new(dims).unwrap())
}

/// Weights are distributed as trained ones are: most are small, so that forms that need a proof have what they need where real
/// networks have it. Floats lie in -1..1, indices are small.
pub fn random(ty: &TensorType, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut unit = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let count = ty.shape.elements();
    let mut bell = || (0..4).map(|_| unit()).sum::<f32>() / 2.0 - 1.0;
    let data = match ty.elem {
        F32 => Data::F32((0..count).map(|_| bell()).collect()),
        I64 => Data::I64((0..count).map(|_| (500.0 * bell().abs()) as i64).collect()),
        I8 => Data::I8((0..count).map(|_| (127.0 * bell()) as i8).collect()),
        U8 => Data::U8((0..count).map(|_| (255.0 * bell().abs()) as u8).collect()),
        other => panic!("no row has {other}"),
    };
    Tensor::new(ty.clone(), data)
}
