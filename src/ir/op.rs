//! The closed set of operations, their attributes, and one table of facts about them.
//!
//! Everything that is known at compile time is an attribute, not an operand: axes, target shapes, pads, the bounds of a
//! slice. So `squeeze`, `unsqueeze` and `flatten` are `reshape`; `split` covers equal and unequal parts; `convolution` covers
//! groups, any rank and integers as well as floats. The importer normalises every layer version to these.
//!
//! An operation's meaning is its arm in `interp`; its result types are its arm in [`super::infer`].

use super::entity::{Const, Region};
use super::quant::QuantParams;
use super::ty::{ElemType, Shape};

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A constant tensor.
    Const(Const),
    /// Ends a region; its operands are the region's results.
    Return,

    /// `FakeQuantize(x, input_low, input_high, output_low, output_high)`; lpt-spec 1.1 is its meaning.
    FakeQuantize {
        levels: u32,
    },
    /// f32 to `elem`: `clamp(rne(x * (1 / scale) + zero_point), low, high)` in f32 with separate multiply and add.
    Quantize(QuantizeAttrs),
    /// Integer to f32: `(f32(q) - f32(zero_point)) * f32(scale)`.
    Dequantize(QuantParams),
    /// Integer to `elem` without a float tensor in between: `clamp(rne(f32(q) * multiplier + bias), low, high)`.
    Requantize(RequantizeAttrs),

    /// `(src, weights)`: src `[n, ic, spatial..]`, weights `[oc, ic / groups, k..]`. Floats give a float; integers
    /// (u8 or i8, with i8 or i16 weights) give exact i32.
    Convolution(ConvAttrs),
    /// `(src, weights)`: src `[n, ic, spatial..]`, weights `[ic, oc / groups, k..]`. Types as `Convolution`.
    Deconvolution(DeconvAttrs),
    /// `(a, b)`: NumPy matmul over the last two dimensions, the others broadcast; rank 1 is promoted as NumPy does.
    /// Types as `Convolution`, either operand u8 or i8.
    MatMul {
        transpose_a: bool,
        transpose_b: bool,
    },

    Unary(UnaryOp),
    /// `(a, b)`, NumPy broadcasting. Integers wrap.
    Binary(BinaryOp),
    /// `(condition, then, else)`, NumPy broadcasting.
    Select,
    Convert {
        elem: ElemType,
    },

    MaxPool(PoolAttrs),
    AvgPool(PoolAttrs),
    Reduce(ReduceAttrs),
    Softmax {
        axis: usize,
        log: bool,
    },
    /// Mean-variance normalisation over `axes`.
    Mvn(MvnAttrs),
    NormalizeL2(NormalizeL2Attrs),

    Reshape {
        shape: Shape,
    },
    /// Result dimension `i` is source dimension `perm[i]`.
    Transpose {
        perm: Vec<usize>,
    },
    Concat {
        axis: usize,
    },
    /// One result per length.
    Split {
        axis: usize,
        lengths: Vec<usize>,
    },
    Slice(SliceAttrs),
    Pad(PadAttrs),
    /// NumPy broadcasting to `shape`, which may have more dimensions.
    Broadcast {
        shape: Shape,
    },
    Tile {
        repeats: Vec<usize>,
    },
    Interpolate(InterpolateAttrs),
    DepthToSpace {
        block: usize,
        mode: DepthMode,
    },
    SpaceToDepth {
        block: usize,
        mode: DepthMode,
    },
    /// Sizes per dimension, batch included, as OpenVINO writes them.
    BatchToSpace {
        block: Vec<usize>,
        crops_begin: Vec<usize>,
        crops_end: Vec<usize>,
    },
    SpaceToBatch {
        block: Vec<usize>,
        pads_begin: Vec<usize>,
        pads_end: Vec<usize>,
    },
    /// `(data, indices)`; negative indices count from the end.
    Gather {
        axis: usize,
        batch_dims: usize,
    },
    GatherElements {
        axis: usize,
    },
    GatherNd {
        batch_dims: usize,
    },
    /// `(data, indices, updates)`.
    ScatterElements {
        axis: usize,
        reduction: ScatterReduction,
    },
    ScatterNd,
    Reverse {
        axis: usize,
    },
    CumSum {
        axis: usize,
        exclusive: bool,
        reverse: bool,
    },
    /// Results: values, indices (of `index_elem`).
    TopK(TopKAttrs),
    OneHot {
        axis: usize,
        depth: usize,
        on: f64,
        off: f64,
        elem: ElemType,
    },

    /// Operands: x `[batch, seq, input]`, h0 `[batch, dirs, hidden]`, for LSTM c0, then w `[dirs, gates * hidden, input]`,
    /// r `[dirs, gates * hidden, hidden]`, b `[dirs, gates * hidden]` (GRU with `linear_before_reset`: one gate more).
    /// A `projected` one has no w: its x is `[batch, seq, dirs * gates * hidden]`, the products of inputs and w.
    /// Results: y `[batch, dirs, seq, hidden]`, h, and for LSTM c. Gate order as in OpenVINO: f i c o; z r h.
    Rnn(RnnAttrs),
    /// Operand 0 is the condition, the rest are the arguments of either region.
    If {
        then_body: Region,
        else_body: Region,
    },
    Loop(LoopAttrs),
    /// The value of a variable before this inference; operand: its initial value.
    ReadValue {
        variable: String,
    },
    /// Stores its operand in the variable and gives it on.
    Assign {
        variable: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeAttrs {
    pub params: QuantParams,
    pub elem: ElemType,
    pub low: i32,
    pub high: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RequantizeAttrs {
    /// One element, or as many as the axis has.
    pub multiplier: Vec<f32>,
    pub bias: Vec<f32>,
    pub axis: Option<usize>,
    pub elem: ElemType,
    pub low: i32,
    pub high: i32,
}

impl RequantizeAttrs {
    /// What an i8 is shifted by to be the u8 that stands for the same value.
    pub const UNSIGNED: i32 = 128;

    /// Adds an integer; beyond the whole range of the narrow type `elem` the result saturates.
    pub fn shift(by: i32, elem: ElemType) -> RequantizeAttrs {
        let (low, high) = elem.int_range().unwrap_or((0, 0));
        let (low, high) = (low as i32, high as i32);
        RequantizeAttrs { multiplier: vec![1.0], bias: vec![by as f32], axis: None, elem, low, high }
    }
}

/// Window geometry; one entry per spatial dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvAttrs {
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads_begin: Vec<usize>,
    pub pads_end: Vec<usize>,
    pub groups: usize,
    /// What stands in the padding of an integer source: its zero point. 0 for floats.
    pub pad_value: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeconvAttrs {
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads_begin: Vec<usize>,
    pub pads_end: Vec<usize>,
    pub output_padding: Vec<usize>,
    pub groups: usize,
    /// Subtracted from every element of an integer source. 0 for floats.
    pub zero_point: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolAttrs {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads_begin: Vec<usize>,
    pub pads_end: Vec<usize>,
    pub rounding: Rounding,
    /// `AvgPool`: divide by the number of elements inside the source, not by the kernel's size.
    pub exclude_pad: bool,
}

/// How the number of windows is rounded. `CeilTorch` drops a last window that starts in the end padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    Floor,
    Ceil,
    CeilTorch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnaryOp {
    Relu,
    Sigmoid,
    Tanh,
    Exp,
    Log,
    Sqrt,
    Abs,
    Neg,
    Sign,
    Floor,
    Ceil,
    /// Ties to even.
    Round,
    /// Ties away from zero.
    RoundAway,
    Erf,
    Gelu,
    GeluTanh,
    /// `x * clamp(x + 3, 0, 6) / 6`
    HSwish,
    /// `clamp(x + 3, 0, 6) / 6`
    HSigmoid,
    /// `clamp(alpha * x + beta, 0, 1)`
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    /// `x * sigmoid(beta * x)`
    Swish {
        beta: f32,
    },
    Elu {
        alpha: f32,
    },
    Selu {
        alpha: f32,
        lambda: f32,
    },
    Softplus,
    Softsign,
    Mish,
    Clamp {
        min: f64,
        max: f64,
    },
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    LogicalNot,
    BitwiseNot,
    IsNan,
    IsInf,
    IsFinite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Integers round toward negative infinity, as OpenVINO's default does.
    Div,
    Pow,
    Max,
    Min,
    /// Remainder with the sign of the dividend.
    Mod,
    /// Remainder with the sign of the divisor.
    FloorMod,
    SquaredDifference,
    /// `x < 0 ? x * slope : x`; the importer has shaped the slope for NumPy broadcasting.
    PRelu,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceAttrs {
    pub kind: ReduceKind,
    /// Ascending.
    pub axes: Vec<usize>,
    pub keep_dims: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    And,
    Or,
}

/// Where epsilon stands: `sqrt(v + eps)` or `sqrt(v) + eps`; for L2 `Outside` means `sqrt(max(v, eps))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpsMode {
    Inside,
    Outside,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MvnAttrs {
    pub axes: Vec<usize>,
    pub normalize_variance: bool,
    pub eps: f64,
    pub eps_mode: EpsMode,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeL2Attrs {
    pub axes: Vec<usize>,
    pub eps: f64,
    pub eps_mode: EpsMode,
}

/// `dst[i] = src[begin + i * stride]` in every dimension; negative strides walk backwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceAttrs {
    pub begin: Vec<usize>,
    pub lengths: Vec<usize>,
    pub strides: Vec<isize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PadAttrs {
    pub mode: PadMode,
    /// Negative pads crop.
    pub begin: Vec<isize>,
    pub end: Vec<isize>,
    /// For `Constant`, in the element type of the source.
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    Constant,
    Edge,
    Reflect,
    Symmetric,
}

#[derive(Clone, Debug, PartialEq)]
pub struct InterpolateAttrs {
    pub mode: InterpolateMode,
    pub coordinates: CoordinateMode,
    pub nearest: NearestMode,
    /// Shrinking with a wider filter.
    pub antialias: bool,
    pub cube_coeff: f64,
    pub axes: Vec<usize>,
    /// Size of each axis of `axes` in the result.
    pub sizes: Vec<usize>,
    /// Ratio of result to source per axis, as the model gives it (not always the ratio of the sizes).
    pub scales: Vec<f64>,
    pub pads_begin: Vec<usize>,
    pub pads_end: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterpolateMode {
    Nearest,
    Linear,
    /// ONNX: linear in the last dimensions only, without antialiasing.
    LinearOnnx,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinateMode {
    HalfPixel,
    PytorchHalfPixel,
    Asymmetric,
    TfHalfPixelForNn,
    AlignCorners,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearestMode {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
    Simple,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthMode {
    BlocksFirst,
    DepthFirst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterReduction {
    None,
    Sum,
    Prod,
    Min,
    Max,
    Mean,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopKAttrs {
    pub axis: usize,
    pub k: usize,
    pub largest: bool,
    pub sort: TopKSort,
    pub index_elem: ElemType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopKSort {
    ByValue,
    ByIndex,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RnnAttrs {
    pub kind: RnnKind,
    pub direction: Direction,
    pub hidden: usize,
    /// In OpenVINO's order: LSTM f g h, GRU f g, RNN f.
    pub activations: Vec<Activation>,
    /// Clips the cell's inner sums to `[-clip, clip]`; `None` does not clip.
    pub clip: Option<f32>,
    /// GRU only.
    pub linear_before_reset: bool,
    /// The inputs are multiplied with their weights already.
    pub projected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RnnKind {
    Lstm,
    Gru,
    Rnn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Reverse,
    Bidirectional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Sigmoid,
    Tanh,
    Relu,
}

/// TensorIterator and Loop. The body's parameters are: the iteration's number (i64 scalar) if `takes_index`, one slice per
/// entry of `sliced`, one value per `carried`, then the invariant operands. Operands stand in the same order. The body
/// returns a condition (bool scalar) if `has_condition`, then the carried values, then the slices to concatenate.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopAttrs {
    pub body: Region,
    pub trip_count: usize,
    pub takes_index: bool,
    pub has_condition: bool,
    pub sliced: Vec<LoopSlice>,
    pub carried: usize,
    pub concatenated: Vec<LoopSlice>,
}

/// Iteration `i` sees (or gives) elements `start + i * stride ..` of `axis`, `part` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopSlice {
    pub axis: usize,
    pub start: isize,
    pub stride: isize,
    pub part: usize,
}

/// How many operands an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

/// How a quantized operand passes through an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantBehaviour {
    /// Creates, removes or changes quantization itself.
    Boundary,
    /// Multiplies and accumulates integers exactly; a quantized form exists.
    Accumulates,
    /// Gives elements of its operand unchanged: integers in, the same integers out.
    Preserves,
    /// Computes with values; a sinking rule may exist.
    Computes,
    /// Indices, conditions, control: never quantized.
    Opaque,
}

/// The facts about one operation.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// Name in the text form.
    pub name: &'static str,
    pub arity: Arity,
    /// No effect but its results: may be removed, merged, moved.
    pub pure: bool,
    pub quant: QuantBehaviour,
}

const fn row(name: &'static str, arity: Arity, quant: QuantBehaviour) -> OpInfo {
    OpInfo { name, arity, pure: true, quant }
}

const fn effect(name: &'static str, arity: Arity) -> OpInfo {
    OpInfo { name, arity, pure: false, quant: QuantBehaviour::Opaque }
}

impl Op {
    /// The row of the table of facts.
    pub fn info(&self) -> OpInfo {
        use Arity::{AtLeast, Exactly};
        use QuantBehaviour::{Accumulates, Boundary, Computes, Opaque, Preserves};
        match self {
            Op::Const(_) => row("const", Exactly(0), Opaque),
            Op::Return => effect("return", AtLeast(0)),
            Op::FakeQuantize { .. } => row("fake_quantize", Exactly(5), Boundary),
            Op::Quantize(_) => row("quantize", Exactly(1), Boundary),
            Op::Dequantize(_) => row("dequantize", Exactly(1), Boundary),
            Op::Requantize(_) => row("requantize", Exactly(1), Boundary),
            Op::Convolution(_) => row("convolution", Exactly(2), Accumulates),
            Op::Deconvolution(_) => row("deconvolution", Exactly(2), Accumulates),
            Op::MatMul { .. } => row("matmul", Exactly(2), Accumulates),
            Op::Unary(op) => row(op.name(), Exactly(1), Computes),
            Op::Binary(op) => row(op.name(), Exactly(2), Computes),
            Op::Select => row("select", Exactly(3), Opaque),
            Op::Convert { .. } => row("convert", Exactly(1), Boundary),
            Op::MaxPool(_) => row("max_pool", Exactly(1), Computes),
            Op::AvgPool(_) => row("avg_pool", Exactly(1), Computes),
            Op::Reduce(_) => row("reduce", Exactly(1), Computes),
            Op::Softmax { .. } => row("softmax", Exactly(1), Computes),
            Op::Mvn(_) => row("mvn", Exactly(1), Computes),
            Op::NormalizeL2(_) => row("normalize_l2", Exactly(1), Computes),
            Op::Reshape { .. } => row("reshape", Exactly(1), Preserves),
            Op::Transpose { .. } => row("transpose", Exactly(1), Preserves),
            Op::Concat { .. } => row("concat", AtLeast(1), Preserves),
            Op::Split { .. } => row("split", Exactly(1), Preserves),
            Op::Slice(_) => row("slice", Exactly(1), Preserves),
            Op::Pad(_) => row("pad", Exactly(1), Preserves),
            Op::Broadcast { .. } => row("broadcast", Exactly(1), Preserves),
            Op::Tile { .. } => row("tile", Exactly(1), Preserves),
            Op::Interpolate(_) => row("interpolate", Exactly(1), Computes),
            Op::DepthToSpace { .. } => row("depth_to_space", Exactly(1), Preserves),
            Op::SpaceToDepth { .. } => row("space_to_depth", Exactly(1), Preserves),
            Op::BatchToSpace { .. } => row("batch_to_space", Exactly(1), Preserves),
            Op::SpaceToBatch { .. } => row("space_to_batch", Exactly(1), Preserves),
            Op::Gather { .. } => row("gather", Exactly(2), Preserves),
            Op::GatherElements { .. } => row("gather_elements", Exactly(2), Preserves),
            Op::GatherNd { .. } => row("gather_nd", Exactly(2), Preserves),
            Op::ScatterElements { .. } => row("scatter_elements", Exactly(3), Opaque),
            Op::ScatterNd => row("scatter_nd", Exactly(3), Opaque),
            Op::Reverse { .. } => row("reverse", Exactly(1), Preserves),
            Op::CumSum { .. } => row("cum_sum", Exactly(1), Opaque),
            Op::TopK(_) => row("top_k", Exactly(1), Opaque),
            Op::OneHot { .. } => row("one_hot", Exactly(1), Opaque),
            Op::Rnn(_) => row("rnn", AtLeast(4), Accumulates),
            Op::If { .. } => row("if", AtLeast(1), Opaque),
            Op::Loop(_) => row("loop", AtLeast(0), Opaque),
            Op::ReadValue { .. } => effect("read_value", Exactly(1)),
            Op::Assign { .. } => effect("assign", Exactly(1)),
        }
    }

    /// Name in the text form.
    pub fn name(&self) -> &'static str {
        self.info().name
    }

    /// Regions the operation owns.
    pub fn regions(&self) -> Vec<Region> {
        if let Op::If { then_body, else_body } = self {
            return vec![*then_body, *else_body];
        }
        if let Op::Loop(attrs) = self {
            return vec![attrs.body];
        }
        Vec::new()
    }
}

impl UnaryOp {
    /// Name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            UnaryOp::Relu => "relu",
            UnaryOp::Sigmoid => "sigmoid",
            UnaryOp::Tanh => "tanh",
            UnaryOp::Exp => "exp",
            UnaryOp::Log => "log",
            UnaryOp::Sqrt => "sqrt",
            UnaryOp::Abs => "abs",
            UnaryOp::Neg => "neg",
            UnaryOp::Sign => "sign",
            UnaryOp::Floor => "floor",
            UnaryOp::Ceil => "ceil",
            UnaryOp::Round => "round",
            UnaryOp::RoundAway => "round_away",
            UnaryOp::Erf => "erf",
            UnaryOp::Gelu => "gelu",
            UnaryOp::GeluTanh => "gelu_tanh",
            UnaryOp::HSwish => "hswish",
            UnaryOp::HSigmoid => "hsigmoid",
            UnaryOp::HardSigmoid { .. } => "hard_sigmoid",
            UnaryOp::Swish { .. } => "swish",
            UnaryOp::Elu { .. } => "elu",
            UnaryOp::Selu { .. } => "selu",
            UnaryOp::Softplus => "softplus",
            UnaryOp::Softsign => "softsign",
            UnaryOp::Mish => "mish",
            UnaryOp::Clamp { .. } => "clamp",
            UnaryOp::Sin => "sin",
            UnaryOp::Cos => "cos",
            UnaryOp::Tan => "tan",
            UnaryOp::Asin => "asin",
            UnaryOp::Acos => "acos",
            UnaryOp::Atan => "atan",
            UnaryOp::Sinh => "sinh",
            UnaryOp::Cosh => "cosh",
            UnaryOp::Asinh => "asinh",
            UnaryOp::Acosh => "acosh",
            UnaryOp::Atanh => "atanh",
            UnaryOp::LogicalNot => "logical_not",
            UnaryOp::BitwiseNot => "bitwise_not",
            UnaryOp::IsNan => "is_nan",
            UnaryOp::IsInf => "is_inf",
            UnaryOp::IsFinite => "is_finite",
        }
    }

    /// The result is `bool`.
    pub fn is_predicate(self) -> bool {
        matches!(self, UnaryOp::LogicalNot | UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::IsFinite)
    }
}

impl BinaryOp {
    /// Name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Pow => "pow",
            BinaryOp::Max => "max",
            BinaryOp::Min => "min",
            BinaryOp::Mod => "mod",
            BinaryOp::FloorMod => "floor_mod",
            BinaryOp::SquaredDifference => "squared_difference",
            BinaryOp::PRelu => "prelu",
            BinaryOp::Equal => "equal",
            BinaryOp::NotEqual => "not_equal",
            BinaryOp::Less => "less",
            BinaryOp::LessEqual => "less_equal",
            BinaryOp::Greater => "greater",
            BinaryOp::GreaterEqual => "greater_equal",
            BinaryOp::LogicalAnd => "logical_and",
            BinaryOp::LogicalOr => "logical_or",
            BinaryOp::LogicalXor => "logical_xor",
            BinaryOp::BitwiseAnd => "bitwise_and",
            BinaryOp::BitwiseOr => "bitwise_or",
            BinaryOp::BitwiseXor => "bitwise_xor",
        }
    }

    /// A comparison: operands of one type, result `bool`.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
        )
    }

    pub fn commutes(self) -> bool {
        matches!(
            self,
            BinaryOp::Add
                | BinaryOp::Mul
                | BinaryOp::Max
                | BinaryOp::Min
                | BinaryOp::SquaredDifference
                | BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::LogicalAnd
                | BinaryOp::LogicalOr
                | BinaryOp::LogicalXor
                | BinaryOp::BitwiseAnd
                | BinaryOp::BitwiseOr
                | BinaryOp::BitwiseXor
        )
    }
}
