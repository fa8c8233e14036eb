//! One operation of every name, with attributes still to be filled in.

use super::super::entity::{Const, Region};
use super::super::op::{
    BinaryOp, ConvAttrs, CoordinateMode, DeconvAttrs, DepthMode, Direction, EpsMode, InterpolateAttrs, InterpolateMode,
    LoopAttrs, MvnAttrs, NearestMode, NormalizeL2Attrs, Op, PadAttrs, PadMode, PoolAttrs, QuantizeAttrs, ReduceAttrs,
    ReduceKind, RequantizeAttrs, RnnAttrs, RnnKind, Rounding, ScatterReduction, SliceAttrs, TopKAttrs, TopKSort,
    UnaryOp,
};
use super::super::quant::QuantParams;
use super::super::ty::{ElemType, Shape};

/// What the parser starts from when it meets a name. Regions and constants are placeholders.
pub fn prototypes() -> Vec<Op> {
    let mut all = vec![Op::Const(Const::from_u32(0)), Op::Return, Op::Select, Op::ScatterNd];
    all.extend(UNARY.map(Op::Unary));
    all.extend(BINARY.map(Op::Binary));
    all.extend(quantized());
    all.extend(products_and_windows());
    all.extend(along_axes());
    all.extend(movement());
    all.extend(indexing());
    all.extend(control());
    all
}

const UNARY: [UnaryOp; 42] = [
    UnaryOp::Relu,
    UnaryOp::Sigmoid,
    UnaryOp::Tanh,
    UnaryOp::Exp,
    UnaryOp::Log,
    UnaryOp::Sqrt,
    UnaryOp::Abs,
    UnaryOp::Neg,
    UnaryOp::Sign,
    UnaryOp::Floor,
    UnaryOp::Ceil,
    UnaryOp::Round,
    UnaryOp::RoundAway,
    UnaryOp::Erf,
    UnaryOp::Gelu,
    UnaryOp::GeluTanh,
    UnaryOp::HSwish,
    UnaryOp::HSigmoid,
    UnaryOp::HardSigmoid { alpha: 0.2, beta: 0.5 },
    UnaryOp::Swish { beta: 1.0 },
    UnaryOp::Elu { alpha: 1.0 },
    UnaryOp::Selu { alpha: 1.0, lambda: 1.0 },
    UnaryOp::Softplus,
    UnaryOp::Softsign,
    UnaryOp::Mish,
    UnaryOp::Clamp { min: 0.0, max: 0.0 },
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Tan,
    UnaryOp::Asin,
    UnaryOp::Acos,
    UnaryOp::Atan,
    UnaryOp::Sinh,
    UnaryOp::Cosh,
    UnaryOp::Asinh,
    UnaryOp::Acosh,
    UnaryOp::Atanh,
    UnaryOp::LogicalNot,
    UnaryOp::BitwiseNot,
    UnaryOp::IsNan,
    UnaryOp::IsInf,
    UnaryOp::IsFinite,
];

const BINARY: [BinaryOp; 23] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Pow,
    BinaryOp::Max,
    BinaryOp::Min,
    BinaryOp::Mod,
    BinaryOp::FloorMod,
    BinaryOp::SquaredDifference,
    BinaryOp::PRelu,
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Less,
    BinaryOp::LessEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterEqual,
    BinaryOp::LogicalAnd,
    BinaryOp::LogicalOr,
    BinaryOp::LogicalXor,
    BinaryOp::BitwiseAnd,
    BinaryOp::BitwiseOr,
    BinaryOp::BitwiseXor,
];

fn quantized() -> [Op; 4] {
    let params = QuantParams::per_tensor(1.0, 0.0);
    let elem = ElemType::U8;
    let (multiplier, bias) = (Vec::new(), Vec::new());
    [
        Op::FakeQuantize { levels: 0 },
        Op::Quantize(QuantizeAttrs { params: params.clone(), elem, low: 0, high: 0 }),
        Op::Dequantize(params),
        Op::Requantize(RequantizeAttrs { multiplier, bias, axis: None, elem, low: 0, high: 0 }),
    ]
}

fn products_and_windows() -> [Op; 5] {
    let list = Vec::new;
    let pool = PoolAttrs {
        kernel: list(),
        strides: list(),
        dilations: list(),
        pads_begin: list(),
        pads_end: list(),
        rounding: Rounding::Floor,
        exclude_pad: false,
    };
    [
        Op::Convolution(ConvAttrs {
            strides: list(),
            dilations: list(),
            pads_begin: list(),
            pads_end: list(),
            groups: 1,
            pad_value: 0,
        }),
        Op::Deconvolution(DeconvAttrs {
            strides: list(),
            dilations: list(),
            pads_begin: list(),
            pads_end: list(),
            output_padding: list(),
            groups: 1,
            zero_point: 0,
        }),
        Op::MatMul { transpose_a: false, transpose_b: false },
        Op::MaxPool(pool.clone()),
        Op::AvgPool(pool),
    ]
}

fn along_axes() -> [Op; 5] {
    let axes = Vec::new;
    let eps_mode = EpsMode::Inside;
    [
        Op::Reduce(ReduceAttrs { kind: ReduceKind::Sum, axes: axes(), keep_dims: false }),
        Op::Softmax { axis: 0, log: false },
        Op::Mvn(MvnAttrs { axes: axes(), normalize_variance: true, eps: 0.0, eps_mode }),
        Op::NormalizeL2(NormalizeL2Attrs { axes: axes(), eps: 0.0, eps_mode }),
        Op::CumSum { axis: 0, exclusive: false, reverse: false },
    ]
}

fn movement() -> [Op; 15] {
    let list = Vec::new;
    let mode = DepthMode::BlocksFirst;
    [
        Op::Convert { elem: ElemType::F32 },
        Op::Reshape { shape: Shape::scalar() },
        Op::Transpose { perm: list() },
        Op::Concat { axis: 0 },
        Op::Split { axis: 0, lengths: list() },
        Op::Slice(SliceAttrs { begin: list(), lengths: list(), strides: Vec::new() }),
        Op::Pad(PadAttrs { mode: PadMode::Constant, begin: Vec::new(), end: Vec::new(), value: 0.0 }),
        Op::Broadcast { shape: Shape::scalar() },
        Op::Tile { repeats: list() },
        Op::Interpolate(interpolate()),
        Op::DepthToSpace { block: 1, mode },
        Op::SpaceToDepth { block: 1, mode },
        Op::BatchToSpace { block: list(), crops_begin: list(), crops_end: list() },
        Op::SpaceToBatch { block: list(), pads_begin: list(), pads_end: list() },
        Op::Reverse { axis: 0 },
    ]
}

fn interpolate() -> InterpolateAttrs {
    InterpolateAttrs {
        mode: InterpolateMode::Nearest,
        coordinates: CoordinateMode::HalfPixel,
        nearest: NearestMode::RoundPreferFloor,
        antialias: false,
        cube_coeff: -0.75,
        axes: Vec::new(),
        sizes: Vec::new(),
        scales: Vec::new(),
        pads_begin: Vec::new(),
        pads_end: Vec::new(),
    }
}

fn indexing() -> [Op; 6] {
    let (largest, sort, index_elem) = (true, TopKSort::ByValue, ElemType::I64);
    [
        Op::Gather { axis: 0, batch_dims: 0 },
        Op::GatherElements { axis: 0 },
        Op::GatherNd { batch_dims: 0 },
        Op::ScatterElements { axis: 0, reduction: ScatterReduction::None },
        Op::TopK(TopKAttrs { axis: 0, k: 0, largest, sort, index_elem }),
        Op::OneHot { axis: 0, depth: 0, on: 1.0, off: 0.0, elem: ElemType::F32 },
    ]
}

fn control() -> [Op; 5] {
    let body = Region::from_u32(0);
    [
        Op::Rnn(RnnAttrs {
            kind: RnnKind::Rnn,
            direction: Direction::Forward,
            hidden: 0,
            activations: Vec::new(),
            clip: None,
            linear_before_reset: false,
            projected: false,
        }),
        Op::If { then_body: body, else_body: body },
        Op::Loop(LoopAttrs {
            body,
            trip_count: 0,
            takes_index: false,
            has_condition: false,
            sliced: Vec::new(),
            carried: 0,
            concatenated: Vec::new(),
        }),
        Op::ReadValue { variable: String::new() },
        Op::Assign { variable: String::new() },
    ]
}
