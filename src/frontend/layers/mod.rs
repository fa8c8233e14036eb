//! One rule per layer type and version: OpenVINO's operation sets 1 to 16 normalised to the graph's operations.
//!
//! A layer names the set it comes from, and means the newest version of its type in that set or before; so a row of
//! [`ROWS`] says from which set on it holds. Adding a layer: a row, and a function in the file of its family.

mod adaptive;
mod attention;
mod col2im;
mod control;
mod convolution;
mod einsum;
mod fourier;
mod gather;
mod grid_sample;
mod integer_product;
mod matmul;
mod movement;
mod normalize;
mod pad;
mod pointwise;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod search;
mod shape;
mod slice;
mod state;

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, codes};
use crate::ir::Value;
use crate::ir::op::{BinaryOp, ReduceKind, UnaryOp};

use super::context::{Context, Fallible};
use super::network::place;
use super::xml::{LayerXml, Net};

/// The newest operation set.
const NEWEST: u32 = 16;

/// What to do about an operation that has no rule.
pub const CUT: &str = "cut the model in front of it (ovc --output) and do this part in the application, or replace it in the \
                       source model by supported operations";

type Import = fn(&mut Context) -> Fallible<Vec<Value>>;

/// How a layer is imported.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    With(Import),
    Unary(UnaryOp),
    Binary(BinaryOp),
    Reduce(ReduceKind),
    /// Known, but not supported, with the remedy.
    Refused(&'static str),
    /// Handled where nets are built: `Parameter`.
    Border,
}

/// Layer type, the operation set that introduced this version of it, rule.
type Row = (&'static str, u32, Rule);

const ROWS: &[Row] = &[
    ("Parameter", 1, Rule::Border),
    ("Result", 1, Rule::With(quantize::identity)),
    ("Const", 1, Rule::With(quantize::constant)),
    ("Constant", 1, Rule::With(quantize::constant)),
    ("Identity", 16, Rule::With(quantize::identity)),
    // quantization and types
    ("FakeQuantize", 1, Rule::With(quantize::fake_quantize)),
    ("FakeConvert", 13, Rule::Refused("octet computes in 8-bit integers: quantize the model to INT8 instead of FP8")),
    ("Convert", 1, Rule::With(quantize::convert)),
    ("ConvertLike", 1, Rule::With(quantize::convert_like)),
    // products
    ("Convolution", 1, Rule::With(convolution::convolution)),
    ("GroupConvolution", 1, Rule::With(convolution::group_convolution)),
    ("ConvolutionBackpropData", 1, Rule::With(convolution::deconvolution)),
    ("GroupConvolutionBackpropData", 1, Rule::With(convolution::group_deconvolution)),
    ("MatMul", 1, Rule::With(matmul::matmul)),
    ("Einsum", 7, Rule::With(einsum::einsum)),
    ("DFT", 7, Rule::With(fourier::dft)),
    ("IDFT", 7, Rule::With(fourier::idft)),
    ("RDFT", 9, Rule::With(fourier::rdft)),
    ("IRDFT", 9, Rule::With(fourier::irdft)),
    ("STFT", 15, Rule::With(fourier::stft)),
    ("ScaledDotProductAttention", 13, Rule::With(attention::attention)),
    // windows
    ("MaxPool", 1, Rule::With(pool::max_pool)),
    ("AvgPool", 1, Rule::With(pool::avg_pool)),
    ("AdaptiveAvgPool", 8, Rule::With(adaptive::adaptive_avg_pool)),
    ("AdaptiveMaxPool", 8, Rule::With(adaptive::adaptive_max_pool)),
    // one operand, element by element
    ("ReLU", 1, Rule::Unary(UnaryOp::Relu)),
    ("Relu", 1, Rule::Unary(UnaryOp::Relu)),
    ("Sigmoid", 1, Rule::Unary(UnaryOp::Sigmoid)),
    ("Tanh", 1, Rule::Unary(UnaryOp::Tanh)),
    ("Exp", 1, Rule::Unary(UnaryOp::Exp)),
    ("Log", 1, Rule::Unary(UnaryOp::Log)),
    ("Sqrt", 1, Rule::Unary(UnaryOp::Sqrt)),
    ("Abs", 1, Rule::Unary(UnaryOp::Abs)),
    ("Negative", 1, Rule::Unary(UnaryOp::Neg)),
    ("Sign", 1, Rule::Unary(UnaryOp::Sign)),
    ("Floor", 1, Rule::Unary(UnaryOp::Floor)),
    ("Ceiling", 1, Rule::Unary(UnaryOp::Ceil)),
    ("Erf", 1, Rule::Unary(UnaryOp::Erf)),
    ("Sin", 1, Rule::Unary(UnaryOp::Sin)),
    ("Cos", 1, Rule::Unary(UnaryOp::Cos)),
    ("Tan", 1, Rule::Unary(UnaryOp::Tan)),
    ("Asin", 1, Rule::Unary(UnaryOp::Asin)),
    ("Acos", 1, Rule::Unary(UnaryOp::Acos)),
    ("Atan", 1, Rule::Unary(UnaryOp::Atan)),
    ("Sinh", 1, Rule::Unary(UnaryOp::Sinh)),
    ("Cosh", 1, Rule::Unary(UnaryOp::Cosh)),
    ("Asinh", 4, Rule::Unary(UnaryOp::Asinh)),
    ("Acosh", 4, Rule::Unary(UnaryOp::Acosh)),
    ("Atanh", 4, Rule::Unary(UnaryOp::Atanh)),
    ("HSwish", 4, Rule::Unary(UnaryOp::HSwish)),
    ("HSigmoid", 5, Rule::Unary(UnaryOp::HSigmoid)),
    ("SoftPlus", 4, Rule::Unary(UnaryOp::Softplus)),
    ("SoftSign", 9, Rule::Unary(UnaryOp::Softsign)),
    ("Mish", 4, Rule::Unary(UnaryOp::Mish)),
    ("LogicalNot", 1, Rule::Unary(UnaryOp::LogicalNot)),
    ("BitwiseNot", 13, Rule::Unary(UnaryOp::BitwiseNot)),
    ("IsNaN", 10, Rule::Unary(UnaryOp::IsNan)),
    ("IsFinite", 10, Rule::Unary(UnaryOp::IsFinite)),
    ("IsInf", 10, Rule::With(pointwise::is_inf)),
    ("Round", 5, Rule::With(pointwise::round)),
    ("Gelu", 2, Rule::Unary(UnaryOp::Gelu)),
    ("Gelu", 7, Rule::With(pointwise::gelu)),
    ("Swish", 4, Rule::With(pointwise::swish)),
    ("Elu", 1, Rule::With(pointwise::elu)),
    ("Selu", 1, Rule::With(pointwise::selu)),
    ("HardSigmoid", 1, Rule::With(pointwise::hard_sigmoid)),
    ("Clamp", 1, Rule::With(pointwise::clamp)),
    // two operands, element by element
    ("Add", 1, Rule::Binary(BinaryOp::Add)),
    ("Subtract", 1, Rule::Binary(BinaryOp::Sub)),
    ("Multiply", 1, Rule::Binary(BinaryOp::Mul)),
    ("Divide", 1, Rule::With(pointwise::divide)),
    ("Power", 1, Rule::Binary(BinaryOp::Pow)),
    ("Maximum", 1, Rule::Binary(BinaryOp::Max)),
    ("Minimum", 1, Rule::Binary(BinaryOp::Min)),
    ("Mod", 1, Rule::Binary(BinaryOp::Mod)),
    ("FloorMod", 1, Rule::Binary(BinaryOp::FloorMod)),
    ("SquaredDifference", 1, Rule::Binary(BinaryOp::SquaredDifference)),
    ("PReLU", 1, Rule::With(pointwise::prelu)),
    ("PRelu", 1, Rule::With(pointwise::prelu)),
    ("Equal", 1, Rule::Binary(BinaryOp::Equal)),
    ("NotEqual", 1, Rule::Binary(BinaryOp::NotEqual)),
    ("Less", 1, Rule::Binary(BinaryOp::Less)),
    ("LessEqual", 1, Rule::Binary(BinaryOp::LessEqual)),
    ("Greater", 1, Rule::Binary(BinaryOp::Greater)),
    ("GreaterEqual", 1, Rule::Binary(BinaryOp::GreaterEqual)),
    ("LogicalAnd", 1, Rule::Binary(BinaryOp::LogicalAnd)),
    ("LogicalOr", 1, Rule::Binary(BinaryOp::LogicalOr)),
    ("LogicalXor", 1, Rule::Binary(BinaryOp::LogicalXor)),
    ("Xor", 1, Rule::Binary(BinaryOp::LogicalXor)),
    ("BitwiseAnd", 13, Rule::Binary(BinaryOp::BitwiseAnd)),
    ("BitwiseOr", 13, Rule::Binary(BinaryOp::BitwiseOr)),
    ("BitwiseXor", 13, Rule::Binary(BinaryOp::BitwiseXor)),
    ("Select", 1, Rule::With(pointwise::select)),
    // reductions
    ("ReduceSum", 1, Rule::Reduce(ReduceKind::Sum)),
    ("ReduceMean", 1, Rule::Reduce(ReduceKind::Mean)),
    ("ReduceMax", 1, Rule::Reduce(ReduceKind::Max)),
    ("ReduceMin", 1, Rule::Reduce(ReduceKind::Min)),
    ("ReduceProd", 1, Rule::Reduce(ReduceKind::Prod)),
    ("ReduceL1", 4, Rule::Reduce(ReduceKind::L1)),
    ("ReduceL2", 4, Rule::Reduce(ReduceKind::L2)),
    ("ReduceLogicalAnd", 1, Rule::Reduce(ReduceKind::And)),
    ("ReduceLogicalOr", 1, Rule::Reduce(ReduceKind::Or)),
    ("CumSum", 3, Rule::With(reduce::cum_sum)),
    // normalisations
    ("SoftMax", 1, Rule::With(normalize::softmax)),
    ("LogSoftmax", 5, Rule::With(normalize::log_softmax)),
    ("BatchNormInference", 1, Rule::With(normalize::batch_norm_v0)),
    ("BatchNormInference", 5, Rule::With(normalize::batch_norm_v5)),
    ("GroupNormalization", 12, Rule::With(normalize::group_normalization)),
    ("LRN", 1, Rule::With(normalize::lrn)),
    ("GRN", 1, Rule::With(normalize::grn)),
    ("NormalizeL2", 1, Rule::With(normalize::normalize_l2)),
    ("MVN", 1, Rule::With(normalize::mvn_v0)),
    ("MVN", 6, Rule::With(normalize::mvn_v6)),
    // movement
    ("Reshape", 1, Rule::With(shape::reshape)),
    ("Squeeze", 1, Rule::With(shape::squeeze)),
    ("Unsqueeze", 1, Rule::With(shape::unsqueeze)),
    ("Transpose", 1, Rule::With(shape::transpose)),
    ("ShuffleChannels", 1, Rule::With(shape::shuffle_channels)),
    ("ShapeOf", 1, Rule::With(shape::shape_of)),
    ("Range", 1, Rule::With(shape::range_v0)),
    ("Range", 4, Rule::With(shape::range_v4)),
    ("Concat", 1, Rule::With(movement::concat)),
    ("Split", 1, Rule::With(movement::split)),
    ("VariadicSplit", 1, Rule::With(movement::variadic_split)),
    ("Broadcast", 1, Rule::With(movement::broadcast)),
    ("Tile", 1, Rule::With(movement::tile)),
    ("Reverse", 1, Rule::With(movement::reverse)),
    ("ReverseSequence", 1, Rule::With(movement::reverse_sequence)),
    ("Roll", 7, Rule::With(movement::roll)),
    ("DepthToSpace", 1, Rule::With(movement::depth_to_space)),
    ("SpaceToDepth", 1, Rule::With(movement::space_to_depth)),
    ("BatchToSpace", 2, Rule::With(movement::batch_to_space)),
    ("SpaceToBatch", 2, Rule::With(movement::space_to_batch)),
    ("Pad", 1, Rule::With(pad::pad)),
    ("StridedSlice", 1, Rule::With(slice::strided_slice)),
    ("Slice", 8, Rule::With(slice::slice)),
    ("Interpolate", 1, Rule::With(resize::interpolate_v0)),
    ("Interpolate", 4, Rule::With(resize::interpolate_v4)),
    ("Interpolate", 11, Rule::With(resize::interpolate_v11)),
    // indices
    ("Gather", 1, Rule::With(gather::gather)),
    ("GatherElements", 6, Rule::With(gather::gather_elements)),
    ("GatherND", 5, Rule::With(gather::gather_nd_v5)),
    ("GatherND", 8, Rule::With(gather::gather_nd_v8)),
    ("Col2Im", 15, Rule::With(col2im::col2im)),
    ("GridSample", 9, Rule::With(grid_sample::grid_sample)),
    ("ScatterUpdate", 3, Rule::With(scatter::scatter_update)),
    ("ScatterElementsUpdate", 3, Rule::With(scatter::scatter_elements)),
    ("ScatterNDUpdate", 3, Rule::With(scatter::scatter_nd)),
    ("TopK", 1, Rule::With(search::top_k)),
    ("OneHot", 1, Rule::With(search::one_hot)),
    ("NonZero", 3, Rule::With(search::non_zero)),
    // recurrence and control
    ("LSTMCell", 1, Rule::With(recurrent::lstm_cell)),
    ("GRUCell", 3, Rule::With(recurrent::gru_cell)),
    ("RNNCell", 1, Rule::With(recurrent::rnn_cell)),
    ("LSTMSequence", 1, Rule::With(recurrent::lstm_sequence)),
    ("GRUSequence", 5, Rule::With(recurrent::gru_sequence)),
    ("RNNSequence", 5, Rule::With(recurrent::rnn_sequence)),
    ("TensorIterator", 1, Rule::With(control::tensor_iterator)),
    ("Loop", 5, Rule::With(control::counted_loop)),
    ("If", 8, Rule::With(control::conditional)),
    ("ReadValue", 3, Rule::With(state::read_value)),
    ("Assign", 3, Rule::With(state::assign)),
];

/// Why a layer has no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    pub message: String,
    pub help: &'static str,
}

pub fn is_kind(layer: &LayerXml, kind: &str) -> bool {
    layer.kind.eq_ignore_ascii_case(kind)
}

/// The rule of a layer.
pub fn find(layer: &LayerXml) -> Result<Rule, Unsupported> {
    let (kind, version) = (layer.kind, layer.version);
    let set = version.strip_prefix("opset").and_then(|number| number.parse::<u32>().ok());
    let Some(set) = set.filter(|set| (1..=NEWEST).contains(set)) else {
        let message =
            format!("{kind} of the operation set \"{version}\" is not supported, only opset1 to opset{NEWEST}");
        return Err(Unsupported { message, help: CUT });
    };
    let versions = ROWS.iter().filter(|(name, since, _)| name.eq_ignore_ascii_case(kind) && *since <= set);
    match versions.max_by_key(|(_, since, _)| *since) {
        Some(&(_, _, Rule::Refused(help))) => {
            Err(Unsupported { message: format!("{kind} ({version}) is not supported"), help })
        }
        Some(&(_, _, rule)) => Ok(rule),
        None => Err(Unsupported { message: format!("{kind} ({version}) is not supported"), help: CUT }),
    }
}

/// Imports a layer by its rule.
pub fn import(context: &mut Context, rule: Rule) -> Fallible<Vec<Value>> {
    match rule {
        Rule::With(import) => import(context),
        Rule::Unary(op) => context.takes(1).and_then(|()| pointwise::unary(context, op)),
        Rule::Binary(op) => context.takes(2).and_then(|()| pointwise::binary(context, op)),
        Rule::Reduce(kind) => context.takes(2).and_then(|()| reduce::reduce(context, kind)),
        Rule::Refused(_) | Rule::Border => Err(super::context::Fault::new("internal error: it has no rule")),
    }
}

/// Reports every layer without a rule: one problem per type and version.
pub fn check(net: &Net, file: &str, problems: &mut Vec<Diagnostic>) {
    let mut unsupported: BTreeMap<(&str, &str), Vec<(&LayerXml, Unsupported)>> = BTreeMap::new();
    let mut nets = vec![net];
    while let Some(net) = nets.pop() {
        for layer in &net.layers {
            if let Err(reason) = find(layer) {
                unsupported.entry((layer.kind, layer.version)).or_default().push((layer, reason));
            }
            nets.extend(layer.bodies.iter().map(|body| &body.net));
        }
    }
    for layers in unsupported.into_values() {
        let (first, reason) = &layers[0];
        let others = match layers.len() {
            1 => String::new(),
            count => format!("; {count} layers: {}", listed(&layers)),
        };
        let message = format!("{}{others}", reason.message);
        problems.push(Diagnostic::error(&codes::UNSUPPORTED_LAYER, place(file, first), message).with_help(reason.help));
    }
}

fn listed(layers: &[(&LayerXml, Unsupported)]) -> String {
    const SHOWN: usize = 10;
    let names = layers.iter().take(SHOWN).map(|(layer, _)| format!("\"{}\" (line {})", layer.name, layer.line));
    let rest = layers.len().saturating_sub(SHOWN);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    names.collect::<Vec<String>>().join(", ") + &more
}
