//! A tree of pointwise operations as a pointwise program, with the tensors it loads.
//!
//! Every load is a value of the graph or a table of constants, broadcast to the root's shape; where they lie in memory is the
//! caller's business. The instructions compute what `interp` computes, in the same order of roundings.

use crate::ir::op::{BinaryOp, QuantizeAttrs, RequantizeAttrs, UnaryOp};
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Shape, Tensor, Value};

use super::bounds::{self, Bounds, Inputs};
use super::plan::{Anchor, Plan, is_pointwise};
use super::pointwise::{LaneType, PointwiseProgram, PwInst, Ref};

/// A tensor that a tree reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// A stored value, or a constant of the graph.
    Value(Value),
    /// The low or high 32 bits of each element of a stored i64 value.
    Word { value: Value, high: bool },
    /// f32 constants of a shape that broadcasts to the root's, of the same rank.
    Table { sizes: Vec<usize>, values: Vec<f32> },
}

impl Load {
    fn bounds(&self, graph: &Graph) -> Bounds {
        match self {
            Load::Value(value) => bounds::of_value(graph, *value),
            Load::Word { .. } => bounds::of_elem(ElemType::I32),
            Load::Table { values, .. } => bounds::of_constants(values),
        }
    }
}

/// What happens to an accumulator before the tree sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// Multiply by a constant (the reciprocal of a mean's count).
    Scale(f32),
    /// Multiply by constants that vary over the result.
    ScaleBy { sizes: Vec<usize>, values: Vec<f32> },
    /// The accumulator was taken of quantized values.
    Dequantize(QuantParams),
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub program: PointwiseProgram,
    pub loads: Vec<Load>,
    /// Pointwise nodes the tree computes, in order.
    pub nodes: Vec<Node>,
    /// Rank of the root.
    rank: usize,
    lanes: Vec<LaneType>,
    values: Vec<(Value, Ref)>,
}

/// The tree of a stored value; it stores one tensor, the root. The accumulator has `lane`s and is finished first.
///
/// # Errors
/// An operation without a form in lanes of f32 and i32.
pub fn tree(graph: &Graph, plan: &Plan, root: Value, lane: LaneType, finish: &[Finish]) -> Result<Tree, String> {
    let mut tree = Tree { rank: graph.ty(root).shape.rank(), ..Tree::default() };
    let scope = Scope { graph, plan, root, anchor: plan.anchor(root), lane, finish };
    let result = tree.value(&scope, root)?;
    tree.program.stores.push((result, graph.ty(root).elem));
    let inputs = Inputs {
        accumulator: scope.anchor.and_then(|anchor| bounds::of_accumulator(graph, anchor)),
        loads: tree.loads.iter().map(|load| load.bounds(graph)).collect(),
    };
    bounds::leave_out_clamps(&mut tree.program, &tree.lanes, &inputs);
    Ok(tree)
}

struct Scope<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    root: Value,
    anchor: Option<Anchor>,
    lane: LaneType,
    finish: &'a [Finish],
}

impl Scope<'_> {
    fn shape(&self) -> &Shape {
        &self.graph.ty(self.root).shape
    }
}

impl Tree {
    /// The accumulator, stored as it is.
    pub fn accumulated(lane: LaneType, elem: ElemType) -> Tree {
        let mut tree = Tree::default();
        let value = tree.push(PwInst::Accumulator, lane);
        tree.program.stores.push((value, elem));
        tree
    }

    fn lane(&self, value: Ref) -> LaneType {
        self.lanes[value.0 as usize]
    }

    fn push(&mut self, inst: PwInst, lane: LaneType) -> Ref {
        self.lanes.push(lane);
        self.program.push(inst)
    }

    fn float(&mut self, value: f32) -> Ref {
        self.push(PwInst::ConstF32(value), LaneType::F32)
    }

    fn unary(&mut self, op: UnaryOp, x: Ref) -> Ref {
        let lane = if op.is_predicate() { LaneType::I32 } else { self.lane(x) };
        self.push(PwInst::Unary(op, x), lane)
    }

    fn binary(&mut self, op: BinaryOp, a: Ref, b: Ref) -> Ref {
        let lane = if op.is_comparison() { LaneType::I32 } else { self.lane(a) };
        self.push(PwInst::Binary(op, a, b), lane)
    }

    fn accumulator(&mut self, scope: &Scope) -> Ref {
        let mut value = self.push(PwInst::Accumulator, scope.lane);
        for finish in scope.finish {
            value = match finish {
                Finish::Scale(factor) => {
                    let (x, factor) = (self.as_float(value), self.float(*factor));
                    self.binary(BinaryOp::Mul, x, factor)
                }
                Finish::ScaleBy { sizes, values } => {
                    let x = self.as_float(value);
                    let table = Load::Table { sizes: sizes.clone(), values: values.clone() };
                    let factor = self.load(table, LaneType::F32);
                    self.binary(BinaryOp::Mul, x, factor)
                }
                Finish::Dequantize(params) => self.dequantize(value, params),
            };
        }
        value
    }

    fn as_float(&mut self, x: Ref) -> Ref {
        match self.lane(x) {
            LaneType::F32 => x,
            LaneType::I32 => self.push(PwInst::ToFloat(x), LaneType::F32),
        }
    }

    fn load(&mut self, load: Load, lane: LaneType) -> Ref {
        let index = match self.loads.iter().position(|known| *known == load) {
            Some(index) => index,
            None => {
                self.loads.push(load);
                self.loads.len() - 1
            }
        };
        self.push(PwInst::Load(index), lane)
    }

    /// One constant, or one per slice of `axis`.
    fn constants(&mut self, values: Vec<f32>, axis: Option<usize>) -> Ref {
        let uniform = values.iter().all(|value| value.to_bits() == values[0].to_bits());
        match axis {
            Some(axis) if !uniform => {
                let mut sizes = vec![1; self.rank];
                sizes[axis] = values.len();
                self.load(Load::Table { sizes, values }, LaneType::F32)
            }
            _ => self.float(values[0]),
        }
    }

    fn value(&mut self, scope: &Scope, value: Value) -> Result<Ref, String> {
        if let Some(&(_, known)) = self.values.iter().find(|(known, _)| *known == value) {
            return Ok(known);
        }
        let result = self.compute(scope, value)?;
        self.values.push((value, result));
        Ok(result)
    }

    fn compute(&mut self, scope: &Scope, value: Value) -> Result<Ref, String> {
        let graph = scope.graph;
        let lane = lane_of(graph.ty(value).elem);
        if scope.anchor.is_some_and(|anchor| anchor.value == value) {
            return Ok(self.accumulator(scope));
        }
        if let Some(tensor) = graph.const_value(value) {
            return Ok(self.constant(value, tensor));
        }
        let node = match graph.def_node(value) {
            Some(node) if value == scope.root || !scope.plan.is_stored(value) && is_pointwise(graph, node) => node,
            // A stored cheap conversion is computed again here: its source is narrower.
            _ => return Ok(self.load(Load::Value(value), lane)),
        };
        let result = self.node(scope, node)?;
        self.nodes.push(node);
        Ok(result)
    }

    fn constant(&mut self, value: Value, tensor: &Tensor) -> Ref {
        let lane = lane_of(tensor.elem());
        match (tensor.splat_value(), lane) {
            (Some(splat), LaneType::F32) => self.float(splat as f32),
            (Some(splat), LaneType::I32) => self.push(PwInst::ConstI32(splat as i32), lane),
            (None, _) => self.load(Load::Value(value), lane),
        }
    }

    fn node(&mut self, scope: &Scope, node: Node) -> Result<Ref, String> {
        let graph = scope.graph;
        let op = graph.op(node);
        if matches!(op, Op::FakeQuantize { .. }) {
            return self.fake_quantize(scope, node);
        }
        if graph.ty(graph.operand(node, 0)).elem == ElemType::I64 {
            return self.convert_long(graph.operand(node, 0), graph.ty(graph.result(node)).elem);
        }
        let mut x = Vec::new();
        for &operand in graph.operands(node) {
            x.push(self.value(scope, operand)?);
        }
        let result_elem = graph.ty(graph.result(node)).elem;
        match op {
            Op::Unary(op) => Ok(self.unary(*op, x[0])),
            Op::Binary(op) => {
                let source = graph.ty(graph.operand(node, 0)).elem;
                check_wrapping(*op, source)?;
                Ok(self.binary(*op, x[0], x[1]))
            }
            Op::Select => {
                let lane = self.lane(x[1]);
                Ok(self.push(PwInst::Select(x[0], x[1], x[2]), lane))
            }
            Op::Convert { .. } => Ok(self.convert(x[0], result_elem)),
            Op::Quantize(attrs) => Ok(self.quantize(x[0], attrs)),
            Op::Dequantize(params) => Ok(self.dequantize(x[0], params)),
            Op::Requantize(attrs) => Ok(self.requantize(x[0], attrs)),
            other => Err(format!("internal error: {} is not pointwise", other.name())),
        }
    }

    fn convert(&mut self, x: Ref, elem: ElemType) -> Ref {
        match (self.lane(x), lane_of(elem)) {
            (LaneType::I32, LaneType::F32) => self.as_float(x),
            _ if elem == ElemType::Bool => self.not_zero(x),
            (LaneType::F32, LaneType::I32) => self.push(PwInst::Truncate(x), LaneType::I32),
            _ => x,
        }
    }

    /// An i64 has no lanes: conversions read its words.
    fn convert_long(&mut self, value: Value, elem: ElemType) -> Result<Ref, String> {
        let low = self.load(Load::Word { value, high: false }, LaneType::I32);
        match elem {
            ElemType::I32 => Ok(low),
            ElemType::Bool => {
                let high = self.load(Load::Word { value, high: true }, LaneType::I32);
                let either = self.binary(BinaryOp::BitwiseOr, low, high);
                Ok(self.not_zero(either))
            }
            other => Err(format!("conversion of i64 to {other} has no kernel")),
        }
    }

    fn not_zero(&mut self, x: Ref) -> Ref {
        let zero = match self.lane(x) {
            LaneType::F32 => self.float(0.0),
            LaneType::I32 => self.push(PwInst::ConstI32(0), LaneType::I32),
        };
        self.binary(BinaryOp::NotEqual, x, zero)
    }

    fn quantize(&mut self, x: Ref, attrs: &QuantizeAttrs) -> Ref {
        let params = &attrs.params;
        let multiplier = params.scale.iter().map(|&scale| (1.0 / scale) as f32).collect();
        let bias = params.zero_point.iter().map(|&zero_point| zero_point as f32).collect();
        let scaled = self.scale_and_add(x, multiplier, bias, params.axis);
        self.push(PwInst::Quantize { x: scaled, low: attrs.low, high: attrs.high }, LaneType::I32)
    }

    fn requantize(&mut self, x: Ref, attrs: &RequantizeAttrs) -> Ref {
        let x = self.as_float(x);
        let scaled = self.scale_and_add(x, attrs.multiplier.clone(), attrs.bias.clone(), attrs.axis);
        self.push(PwInst::Quantize { x: scaled, low: attrs.low, high: attrs.high }, LaneType::I32)
    }

    /// `x * multiplier + bias`, rounded after each; an addition of zero is left out.
    fn scale_and_add(&mut self, x: Ref, multiplier: Vec<f32>, bias: Vec<f32>, axis: Option<usize>) -> Ref {
        let has_bias = bias.iter().any(|&bias| bias != 0.0);
        let multiplier = self.constants(multiplier, axis);
        let scaled = self.binary(BinaryOp::Mul, x, multiplier);
        if !has_bias {
            return scaled;
        }
        let bias = self.constants(bias, axis);
        self.binary(BinaryOp::Add, scaled, bias)
    }

    /// `(q - zero_point) * scale`, rounded after each; a factor of 1 is left out.
    fn dequantize(&mut self, q: Ref, params: &QuantParams) -> Ref {
        let mut x = self.as_float(q);
        if params.has_zero_point() {
            let zero_point = params.zero_point.iter().map(|&z| z as f32).collect();
            let zero_point = self.constants(zero_point, params.axis);
            x = self.binary(BinaryOp::Sub, x, zero_point);
        }
        if params.scale == [1.0] {
            return x;
        }
        let scale = params.scale.iter().map(|&scale| scale as f32).collect();
        let scale = self.constants(scale, params.axis);
        self.binary(BinaryOp::Mul, x, scale)
    }

    /// lpt-spec 1.1, operation by operation.
    fn fake_quantize(&mut self, scope: &Scope, node: Node) -> Result<Ref, String> {
        let graph = scope.graph;
        let Op::FakeQuantize { levels } = *graph.op(node) else {
            return Err("internal error: not a fake_quantize".into());
        };
        let x = self.value(scope, graph.operand(node, 0))?;
        let mut ranges = Vec::new();
        for &range in &graph.operands(node)[1..] {
            ranges.push(self.range(scope, range)?);
        }
        let [il, ih, ol, oh] = ranges[..] else { return Err("internal error: fake_quantize without ranges".into()) };
        let steps = self.float((levels - 1) as f32);
        let span = self.binary(BinaryOp::Sub, ih, il);
        let from_low = self.binary(BinaryOp::Sub, x, il);
        let part = self.binary(BinaryOp::Div, from_low, span);
        let scaled = self.binary(BinaryOp::Mul, part, steps);
        let level = self.unary(UnaryOp::Round, scaled);
        let part = self.binary(BinaryOp::Div, level, steps);
        let out_span = self.binary(BinaryOp::Sub, oh, ol);
        let scaled = self.binary(BinaryOp::Mul, part, out_span);
        let inside = self.binary(BinaryOp::Add, scaled, ol);
        let low = self.binary(BinaryOp::Min, il, ih);
        let high = self.binary(BinaryOp::Max, il, ih);
        let above = self.binary(BinaryOp::Greater, x, high);
        let upper = self.push(PwInst::Select(above, oh, inside), LaneType::F32);
        let below = self.binary(BinaryOp::LessEqual, x, low);
        Ok(self.push(PwInst::Select(below, ol, upper), LaneType::F32))
    }

    /// A range of a FakeQuantize: a constant that is uniform, varies along one dimension, or is a whole tensor.
    fn range(&mut self, scope: &Scope, range: Value) -> Result<Ref, String> {
        let tensor = scope.graph.const_value(range).ok_or("fake_quantize with ranges that are not constant")?;
        let dims = tensor.shape().dims();
        let added = scope.shape().rank() - dims.len().min(scope.shape().rank());
        let varying: Vec<usize> = (0..dims.len()).filter(|&dim| dims[dim] > 1).collect();
        match (tensor.as_f32(), &varying[..]) {
            (Some(values), []) => Ok(self.constants(values.to_vec(), None)),
            (Some(values), &[dim]) => Ok(self.constants(values.to_vec(), Some(dim + added))),
            _ => Ok(self.constant(range, tensor)),
        }
    }
}

/// Lanes hold narrow integers in i32: arithmetic that must wrap at a narrower type has no form there.
fn check_wrapping(op: BinaryOp, elem: ElemType) -> Result<(), String> {
    let narrow = matches!(elem, ElemType::I8 | ElemType::U8 | ElemType::I16);
    let wraps =
        matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Pow | BinaryOp::SquaredDifference);
    match narrow && wraps {
        true => Err(format!("{} on {elem} has no kernel: arithmetic that wraps at {elem}", op.name())),
        false => Ok(()),
    }
}

/// Lanes that hold an element type.
pub fn lane_of(elem: ElemType) -> LaneType {
    if elem == ElemType::F32 { LaneType::F32 } else { LaneType::I32 }
}
