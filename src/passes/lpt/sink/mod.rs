//! Pass `lpt-sink`: `op(dequantize(q)) -> dequantize(op'(q))`, one rule per operation.
//!
//! One walk in order is enough: a rule puts its `dequantize` behind the operation, in front of every user still to come.
//! Each user is rewritten by itself; a user that refuses keeps reading the dequantized value, so a refusal never changes
//! the meaning and never stops a neighbour.
//!
//! Which rule an operation has is the `match` in [`rule`]; the rules:
//! - [`convolution`] (with its geometry, [`taps`]), [`matmul`] by constants, [`product`] of two computed operands: integer
//!   products, zero point corrections, scales per output channel;
//! - [`state`]: variables, whose reads and writes change together and first;
//! - [`movement`]: operations that move elements take parameters along to the axis where the slices went;
//! - [`mod@pad`]: what is added to a tensor is an integer that stands for the padding value;
//! - [`table`]: rows of quantized constants, as embeddings are;
//! - [`pool`]: maxima and minima, which commute with a growing map; sums and means, which are linear;
//! - [`normalize`]: MVN and L2, whose result keeps the sign of the scale only;
//! - [`pointwise`]: constants are absorbed into scale and zero point; ReLU and Clamp become bounds on integers; PReLU
//!   commutes with positive factors.
//!
//! Accumulators (i32) are not moved around: only constants are absorbed into their `dequantize`, which becomes the epilogue.

mod convolution;
mod matmul;
mod movement;
mod normalize;
mod pad;
mod pointwise;
mod pool;
mod product;
mod state;
mod table;
mod taps;

use crate::diag;
use crate::ir::op::{BinaryOp, QuantBehaviour, ScatterReduction};
use crate::ir::{ElemType, Graph, Layer, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use crate::passes::PassContext;

use super::fuse::requantize_attrs;
use super::refusal::Refusal;
use super::spread::{from_pairs, pairs};
use super::walk::{regions, replace_all};
use super::weights;

const PASS: &str = "lpt-sink";

/// What a rule did: `true` when it replaced the node, `false` when the operation has nothing to sink.
type Outcome = Result<bool, Refusal>;

/// Sinks every `dequantize` as far as the rules take it. Remarks tell which operations stayed in float, and why.
pub fn run(graph: &mut Graph, context: &mut PassContext) -> diag::Result<bool> {
    let mut changed = state::run(graph, context);
    for region in regions(graph) {
        for node in graph.nodes(region).collect::<Vec<_>>() {
            if graph.region_of(node).is_none() || !concerned(graph, node) {
                continue;
            }
            match rule(graph, node) {
                Ok(replaced) => changed |= replaced,
                Err(Refusal::FloatFunction) if accumulates(graph, node) => {
                    context.refuse(graph, node, PASS, Refusal::SourceNotQuantized);
                }
                Err(refusal) => context.refuse(graph, node, PASS, refusal),
            }
        }
    }
    Ok(changed)
}

fn concerned(graph: &Graph, node: Node) -> bool {
    let is_float = graph.results(node).iter().all(|&result| graph.ty(result).elem == ElemType::F32);
    is_float
        && (accumulates(graph, node)
            || table::is_lookup(graph, node)
            || graph.operands(node).iter().any(|&operand| dequantized(graph, operand).is_some()))
}

fn accumulates(graph: &Graph, node: Node) -> bool {
    graph.op(node).info().quant == QuantBehaviour::Accumulates
}

fn rule(graph: &mut Graph, node: Node) -> Outcome {
    match graph.op(node).clone() {
        Op::Convolution(attrs) => convolution::convolution(graph, node, &attrs),
        Op::Deconvolution(attrs) => convolution::deconvolution(graph, node, &attrs),
        Op::MatMul { transpose_a, transpose_b } => matmul::matmul(graph, node, transpose_a, transpose_b),
        Op::Unary(op) => pointwise::unary(graph, node, op),
        Op::Binary(op) => pointwise::binary(graph, node, op),
        Op::MaxPool(_) => pool::max_pool(graph, node),
        Op::Reduce(attrs) => pool::reduce(graph, node, &attrs),
        Op::Reshape { shape } => movement::reshape(graph, node, &shape),
        Op::Transpose { perm } => movement::transpose(graph, node, &perm),
        Op::Concat { axis } => movement::concat(graph, node, axis),
        Op::Split { axis, lengths } => movement::split(graph, node, axis, &lengths),
        Op::Slice(attrs) => movement::slice(graph, node, &attrs),
        Op::Pad(attrs) => pad::pad(graph, node, &attrs),
        Op::Broadcast { shape } => movement::broadcast(graph, node, &shape),
        Op::Tile { repeats } => movement::tile(graph, node, &repeats),
        Op::Interpolate(attrs) => movement::interpolate(graph, node, &attrs),
        Op::DepthToSpace { .. } | Op::SpaceToDepth { .. } => movement::uniform(graph, node),
        Op::BatchToSpace { block, crops_begin, crops_end } => {
            movement::batch_to_space(graph, node, &block, &crops_begin, &crops_end)
        }
        Op::SpaceToBatch { block, pads_begin, pads_end } => {
            pad::space_to_batch(graph, node, &block, &pads_begin, &pads_end)
        }
        Op::Gather { axis, .. } if table::is_lookup(graph, node) => table::gather(graph, node, axis),
        Op::Gather { axis, batch_dims } => movement::gather(graph, node, axis, batch_dims),
        Op::GatherElements { .. } | Op::GatherNd { .. } => movement::gather_any(graph, node),
        Op::ScatterElements { reduction: ScatterReduction::None, .. } | Op::ScatterNd => {
            movement::chosen(graph, node, [0, 2])
        }
        Op::Select => movement::chosen(graph, node, [1, 2]),
        Op::Reverse { axis } => movement::reverse(graph, node, axis),
        Op::Mvn(attrs) => normalize::mvn(graph, node, &attrs),
        Op::NormalizeL2(attrs) => normalize::normalize_l2(graph, node, &attrs),
        Op::Rnn(attrs) => Err(recurrent(graph, node, attrs.projected)),
        Op::AvgPool(_) | Op::Softmax { .. } | Op::ScatterElements { .. } | Op::CumSum { .. } => {
            Err(Refusal::FloatFunction)
        }
        Op::Const(_)
        | Op::Return
        | Op::FakeQuantize { .. }
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::Requantize(_)
        | Op::Convert { .. }
        | Op::TopK(_)
        | Op::OneHot { .. }
        | Op::If { .. }
        | Op::Loop(_)
        | Op::ReadValue { .. }
        | Op::Assign { .. } => Ok(false),
    }
}

/// `lpt-prepare` took the products with the inputs out where they are quantized; what is left stays in float.
fn recurrent(graph: &Graph, node: Node, projected: bool) -> Refusal {
    let operands = graph.operands(node);
    match projected {
        true => Refusal::RecurrentState,
        false if weights::is_quantized_const(graph, operands[operands.len() - 3]) => Refusal::SourceNotQuantized,
        false => Refusal::WeightsNotQuantized,
    }
}

/// The integers and parameters behind a value, if a `dequantize` of computed integers defines it.
pub fn dequantized(graph: &Graph, value: Value) -> Option<(Value, QuantParams)> {
    let node = graph.def_node(value)?;
    match graph.op(node) {
        Op::Dequantize(params) => {
            let q = graph.operand(node, 0);
            graph.const_value(q).is_none().then(|| (q, params.clone()))
        }
        _ => None,
    }
}

/// As [`dequantized`], for 8-bit integers only.
///
/// # Errors
/// The value is not quantized, or an accumulator, which only an epilogue reads.
fn narrow(graph: &Graph, value: Value) -> Result<(Value, QuantParams), Refusal> {
    let (q, params) = dequantized(graph, value).ok_or(Refusal::SourceNotQuantized)?;
    match graph.ty(q).elem {
        ElemType::U8 | ElemType::I8 => Ok((q, params)),
        _ => Err(Refusal::FloatFunction),
    }
}

/// The same reals as integers of positive scales: slices with a negative one are turned round, `(q - z) s = (q' - z') (-s)`
/// with `q' = low + high - q` inside the same type.
fn growing(site: &mut Site<'_>, q: Value, params: QuantParams) -> Result<(Value, QuantParams), Refusal> {
    if params.scale.iter().all(|&scale| scale >= 0.0) {
        return Ok((q, params));
    }
    let elem = site.graph.ty(q).elem;
    let (low, high) = elem.int_range().ok_or(Refusal::ElementType(elem))?;
    let slices: Vec<(f64, f64)> = pairs(&params, params.slices());
    let turned = |slice: &(f64, f64)| if slice.0 < 0.0 { (-1.0, (low + high) as f64) } else { (1.0, 0.0) };
    let (multiplier, bias) = slices.iter().map(turned).unzip();
    let turn = requantize_attrs(multiplier, bias, params.axis, elem, (low as i32, high as i32));
    let q = site.insert(Op::Requantize(turn), &[q])?;
    let turned = |slice: &(f64, f64)| {
        let (scale, zero) = *slice;
        if scale < 0.0 { (-scale, (low + high) as f64 - zero) } else { (scale, zero) }
    };
    let slices: Vec<_> = slices.iter().map(turned).collect();
    Ok((q, from_pairs(&slices, params.axis.unwrap_or(0))))
}

/// The place of a rewrite: new nodes go in front of the node they replace and stand for its source layers.
struct Site<'a> {
    graph: &'a mut Graph,
    node: Node,
    layers: Vec<Layer>,
}

impl<'a> Site<'a> {
    fn new(graph: &'a mut Graph, node: Node) -> Site<'a> {
        let layers = graph.layers(node).to_vec();
        Site { graph, node, layers }
    }

    fn insert_all(&mut self, op: Op, operands: &[Value]) -> Result<Vec<Value>, Refusal> {
        let node = self.graph.insert_before(self.node, op, operands, &self.layers).map_err(Refusal::NotInferred)?;
        Ok(self.graph.results(node).to_vec())
    }

    fn insert(&mut self, op: Op, operands: &[Value]) -> Result<Value, Refusal> {
        Ok(self.insert_all(op, operands)?[0])
    }

    fn constant(&mut self, tensor: Tensor) -> Value {
        self.graph.insert_const(self.node, tensor, &self.layers)
    }

    fn dequantize(&mut self, q: Value, params: QuantParams) -> Result<Value, Refusal> {
        self.insert(Op::Dequantize(params), &[q])
    }

    /// `value * factors`, one factor for all elements or one per slice of the result's `axis`; the value itself where they
    /// are all 1.
    fn scaled(&mut self, value: Value, factors: &[f64], axis: Option<usize>) -> Result<Value, Refusal> {
        if factors.iter().all(|&factor| factor == 1.0) {
            return Ok(value);
        }
        let mut dims = vec![1; self.graph.ty(self.graph.result(self.node)).shape.rank()];
        if let Some(axis) = axis.filter(|_| factors.len() > 1) {
            dims[axis] = factors.len();
        }
        let factors = factors.iter().map(|&factor| factor as f32).collect();
        let factors = self.constant(Tensor::f32(Shape::new(dims).unwrap_or_default(), factors));
        self.insert(Op::Binary(BinaryOp::Mul), &[value, factors])
    }

    /// Replaces the node's results and removes it.
    fn replace(self, results: &[Value]) -> Outcome {
        for (&old, &new) in self.graph.results(self.node).iter().zip(results) {
            if self.graph.ty(old) != self.graph.ty(new) {
                let message = format!("internal error: {} rewritten to another type", self.graph.op(self.node).name());
                return Err(Refusal::NotInferred(message));
            }
        }
        replace_all(self.graph, self.node, results);
        Ok(true)
    }
}
