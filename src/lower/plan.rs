//! Which values get a place in memory, and which are computed inside the kernel that uses them.
//!
//! Walking backwards, every value that a movement, a window or the model's border needs is *stored*. A stored pointwise value
//! is the root of a tree: operands are computed in the same kernel where they have no other use (or are as cheap as a
//! dequantize), down to stored values, constants, and at most one *anchor*: the accumulator of a convolution, product,
//! pooling, reduction, resize or normalization, in whose epilogue the tree then runs. The epilogue of a convolution has the
//! channels of a pixel in a vector: where they fill a small part of it, a long function is a kernel of its own.
//!
//! Invariants of a plan: every operand of a tree is a constant, a stored value, or inside the tree; an anchor belongs to
//! exactly one tree; what is not stored and not in a tree is dead.

use cranelift_entity::SecondaryMap;

use crate::ir::op::{BinaryOp, PoolAttrs};
use crate::ir::{ElemType, Graph, Node, Op, Tensor, Value};

use super::pointwise::is_long;

/// Vectors of a long function that pay for another kernel.
const WORTH_A_KERNEL: usize = 256;

/// An accumulator whose kernel runs a tree as its epilogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub node: Node,
    /// The value in the tree that stands for the accumulator: the node's result, or that plus an exact i32 constant.
    pub value: Value,
    /// The i32 constant the accumulator starts with.
    pub init: Option<Value>,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Of a vector of 32-bit elements.
    lanes: usize,
    stored: SecondaryMap<Value, bool>,
    anchors: SecondaryMap<Value, Option<Anchor>>,
    /// The node is computed by another root's kernel.
    absorbed: SecondaryMap<Node, bool>,
}

impl Plan {
    /// For kernels with vectors of `lanes` 32-bit elements.
    pub fn new(graph: &Graph, lanes: usize) -> Plan {
        let mut plan = Plan { lanes, ..Plan::default() };
        let nodes: Vec<Node> = graph.body_nodes().collect();
        for &node in nodes.iter().rev() {
            plan.visit(graph, node);
        }
        plan
    }

    pub fn is_stored(&self, value: Value) -> bool {
        self.stored[value]
    }

    /// The anchor of a stored value's tree.
    pub fn anchor(&self, root: Value) -> Option<Anchor> {
        self.anchors[root]
    }

    fn visit(&mut self, graph: &Graph, node: Node) {
        let op = graph.op(node);
        if is_pointwise(graph, node) {
            let root = graph.result(node);
            if self.stored[root] {
                self.grow_root(graph, root);
            }
            return;
        }
        if matches!(op, Op::Const(_)) || self.dead(graph, node) {
            return;
        }
        if is_anchor(op) && !self.absorbed[node] {
            let root = graph.result(node);
            self.stored[root] = true;
            self.anchors[root] = Some(Anchor { node, value: root, init: None });
        }
        for index in 0..graph.operands(node).len() {
            let operand = accumulated_source(graph, node, index);
            // Constants get a place when a kernel asks for one: most are packed into another form.
            self.stored[operand] = graph.const_value(operand).is_none();
        }
    }

    fn dead(&self, graph: &Graph, node: Node) -> bool {
        let used = |&value: &Value| !graph.users(value).is_empty();
        graph.op(node).info().pure && !graph.results(node).iter().any(used)
    }

    /// Roots a tree at `root`: chooses its anchor, then stores what the tree does not compute.
    fn grow_root(&mut self, graph: &Graph, root: Value) {
        let mut candidates = Vec::new();
        if let Some(node) = graph.def_node(root) {
            for &operand in graph.operands(node) {
                self.find_anchors(graph, root, operand, &mut candidates);
            }
        }
        // The one computed last: the others are then there when its kernel runs.
        let anchor = candidates.into_iter().max_by_key(|anchor| anchor.node);
        self.anchors[root] = anchor;
        if let Some(anchor) = anchor {
            self.absorbed[anchor.node] = true;
        }
        self.grow(graph, root, root, anchor);
    }

    fn store_sources(&mut self, graph: &Graph, value: Value) {
        for &operand in graph.def_node(value).map_or(&[][..], |node| graph.operands(node)) {
            self.stored[operand] = graph.const_value(operand).is_none();
        }
    }

    fn grow(&mut self, graph: &Graph, root: Value, value: Value, anchor: Option<Anchor>) {
        let Some(node) = graph.def_node(value) else { return };
        for &operand in graph.operands(node) {
            if self.is_cut(graph, operand) {
                self.stored[operand] = true;
                continue;
            }
            if anchor.is_some_and(|anchor| anchor.value == operand) || graph.const_value(operand).is_some() {
                continue;
            }
            let mut inside = Vec::new();
            self.find_anchors(graph, root, operand, &mut inside);
            let holds_ours = anchor.is_some_and(|anchor| inside.contains(&anchor));
            let foreign = !inside.is_empty() && !holds_ours;
            match inlined(graph, root, operand) {
                Inlined::Tree if !foreign => self.grow(graph, root, operand, anchor),
                // The other kernel stores the integers, not what is computed from them.
                Inlined::Tree if dequantizes_stored(graph, operand) => self.store_sources(graph, operand),
                Inlined::Copy => self.store_sources(graph, operand),
                Inlined::Tree | Inlined::No => self.stored[operand] = true,
            }
        }
    }

    /// Anchors that a tree rooted at `root` reaches through `value`: those whose accumulator nobody else reads, not even one
    /// that absorbs the dequantize in front of it.
    fn find_anchors(&self, graph: &Graph, root: Value, value: Value, found: &mut Vec<Anchor>) {
        if self.is_cut(graph, value) {
            return;
        }
        if let Some(anchor) = as_anchor(graph, root, value).filter(|anchor| !self.stored[anchor.value]) {
            return found.push(anchor);
        }
        if let (Inlined::Tree, Some(node)) = (inlined(graph, root, value), graph.def_node(value)) {
            for &operand in graph.operands(node) {
                self.find_anchors(graph, root, operand, found);
            }
        }
    }

    /// A long function of it takes fewer vectors as a kernel of its own.
    fn is_cut(&self, graph: &Graph, value: Value) -> bool {
        let user = graph.single_user(value).map(|user| graph.op(user));
        matches!(user, Some(Op::Unary(op)) if is_long(*op)) && self.is_narrow(graph, value)
    }

    /// Computed from the accumulator of a convolution with half a vector of channels, or less.
    fn is_narrow(&self, graph: &Graph, value: Value) -> bool {
        let Some(node) = graph.def_node(value).filter(|_| graph.single_user(value).is_some()) else { return false };
        if is_pointwise(graph, node) {
            return graph.operands(node).iter().any(|&operand| self.is_narrow(graph, operand));
        }
        let shape = &graph.ty(value).shape;
        let channels = match graph.op(node) {
            Op::Convolution(attrs) if attrs.groups == 1 => shape[1],
            Op::Deconvolution(_) => shape[1],
            Op::MatMul { .. } if constant_matrix(graph, node).is_some() => shape[shape.rank() - 1],
            _ => return false,
        };
        let elements = shape.elements();
        let vectors = elements / channels.max(1) * channels.div_ceil(self.lanes);
        let saved = vectors - elements.div_ceil(self.lanes).min(vectors);
        2 * saved >= vectors && saved >= WORTH_A_KERNEL
    }
}

/// How a tree gets an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inlined {
    /// It loads it.
    No,
    /// It computes it, and nobody else does: what it is computed from may be inside as well.
    Tree,
    /// It computes it, as others do for themselves: what it is computed from is loaded.
    Copy,
}

/// `value` as the accumulator of a tree of the same shape.
fn as_anchor(graph: &Graph, root: Value, value: Value) -> Option<Anchor> {
    graph.single_user(value)?;
    let node = graph.def_node(value)?;
    if graph.ty(value).shape != graph.ty(root).shape {
        return None;
    }
    if is_anchor(graph.op(node)) {
        return Some(Anchor { node, value, init: None });
    }
    let Op::Binary(BinaryOp::Add) = graph.op(node) else { return None };
    let (sum, constant) = (graph.operand(node, 0), graph.operand(node, 1));
    let inner = graph.def_node(sum).filter(|_| graph.single_user(sum).is_some())?;
    let exact = graph.ty(sum).elem == ElemType::I32 && starts_with_init(graph, inner);
    let same_shape = graph.ty(sum).shape == graph.ty(value).shape;
    let per_channel = graph.const_value(constant).is_some() && is_per_channel(graph, inner, constant);
    (exact && same_shape && per_channel).then_some(Anchor { node: inner, value, init: Some(constant) })
}

/// Kernels whose accumulator can start at a constant per output channel.
fn starts_with_init(graph: &Graph, node: Node) -> bool {
    matches!(graph.op(node), Op::Convolution(_)) || constant_matrix(graph, node).is_some()
}

/// The constant on the right of a MatMul that is one matrix for all batches: the product is a convolution of one tap.
pub fn constant_matrix(graph: &Graph, node: Node) -> Option<&Tensor> {
    let &[a, b] = graph.operands(node).first_chunk::<2>().filter(|_| matches!(graph.op(node), Op::MatMul { .. }))?;
    let tensor = graph.const_value(b)?;
    let dims = tensor.shape().dims();
    let (rank, source_rank) = (dims.len(), graph.ty(a).shape.rank());
    (rank >= 2 && rank <= source_rank && dims[..rank - 2].iter().all(|&dim| dim == 1)).then_some(tensor)
}

/// A constant that varies along the output channel only.
fn is_per_channel(graph: &Graph, anchor: Node, constant: Value) -> bool {
    let rank = graph.ty(graph.result(anchor)).shape.rank();
    let axis = if matches!(graph.op(anchor), Op::MatMul { .. }) { rank.saturating_sub(1) } else { 1 };
    let dims = graph.ty(constant).shape.dims();
    let added = rank - dims.len().min(rank);
    dims.iter().enumerate().all(|(dim, &size)| size == 1 || dim + added == axis)
}

fn inlined(graph: &Graph, root: Value, value: Value) -> Inlined {
    let Some(node) = graph.def_node(value).filter(|&node| is_pointwise(graph, node)) else { return Inlined::No };
    let cheap = is_cheap(graph, node);
    match graph.users(value).len() {
        1 if cheap || graph.ty(value).shape == graph.ty(root).shape => Inlined::Tree,
        n if n > 1 && cheap => Inlined::Copy,
        _ => Inlined::No,
    }
}

/// Cheaper to compute again from its stored source than to load as f32.
fn is_cheap(graph: &Graph, node: Node) -> bool {
    let conversion = matches!(graph.op(node), Op::Dequantize(_) | Op::Convert { .. });
    let source = |value: Value| match graph.def_node(value) {
        Some(def) => !is_pointwise(graph, def) && !is_anchor(graph.op(def)) || is_stored_anyway(graph, value),
        None => true,
    };
    conversion && source(graph.operand(node, 0))
}

/// A dequantize of integers that go to memory in any case.
fn dequantizes_stored(graph: &Graph, value: Value) -> bool {
    graph.def_node(value).is_some_and(|node| {
        matches!(graph.op(node), Op::Dequantize(_)) && is_stored_anyway(graph, graph.operand(node, 0))
    })
}

/// Integers that go to memory in any case: results of quantization.
fn is_stored_anyway(graph: &Graph, value: Value) -> bool {
    matches!(graph.def_op(value), Some(Op::Quantize(_) | Op::Requantize(_)))
        || matches!(graph.def_op(value), Some(Op::MaxPool(_)))
}

/// The value a kernel reads for an operand: sums of integers are taken before the dequantize in front of them.
pub fn accumulated_source(graph: &Graph, node: Node, index: usize) -> Value {
    let operand = graph.operand(node, index);
    match absorbed_dequantize(graph, node) {
        Some(dequantize) if index == 0 => graph.operand(dequantize, 0),
        _ => operand,
    }
}

/// The per-tensor dequantize in front of an average, which is then taken of the integers: exact, and a quarter of the bytes.
pub fn absorbed_dequantize(graph: &Graph, node: Node) -> Option<Node> {
    let linear = match graph.op(node) {
        Op::AvgPool(attrs) => attrs.exclude_pad || windows_are_full(graph, node, attrs),
        _ => false,
    };
    let source = graph.def_node(*graph.operands(node).first()?)?;
    let Op::Dequantize(params) = graph.op(source) else { return None };
    let narrow = matches!(graph.ty(graph.operand(source, 0)).elem, ElemType::U8 | ElemType::I8);
    (linear && narrow && params.axis.is_none()).then_some(source)
}

/// Every window sees as many elements as the kernel has: there are no pads, and the last one ends inside the source, which
/// rounding up does not promise.
fn windows_are_full(graph: &Graph, node: Node, attrs: &PoolAttrs) -> bool {
    let (src, dst) = (&graph.ty(graph.operand(node, 0)).shape, &graph.ty(graph.result(node)).shape);
    let unpadded = attrs.pads_begin.iter().chain(&attrs.pads_end).all(|&pad| pad == 0);
    let ends_inside = |dim: usize| {
        let last = dst[dim + 2].saturating_sub(1) * attrs.strides[dim];
        last + (attrs.kernel[dim] - 1) * attrs.dilations[dim] < src[dim + 2]
    };
    unpadded && (0..attrs.kernel.len()).all(ends_inside)
}

/// Operations whose kernels accumulate and take an epilogue.
pub fn is_anchor(op: &Op) -> bool {
    matches!(
        op,
        Op::Convolution(_)
            | Op::Deconvolution(_)
            | Op::MatMul { .. }
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Reduce(_)
            | Op::Interpolate(_)
            | Op::Mvn(_)
            | Op::NormalizeL2(_)
    )
}

/// Operations with a window that slides over spatial dimensions.
pub fn is_window(op: &Op) -> bool {
    matches!(op, Op::Convolution(_) | Op::Deconvolution(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Interpolate(_))
}

/// Operations on single elements, of types that lanes can hold.
pub fn is_pointwise(graph: &Graph, node: Node) -> bool {
    let form = match graph.op(node) {
        Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Convert { .. } => true,
        Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => true,
        Op::FakeQuantize { .. } => graph.operands(node)[1..].iter().all(|&range| graph.const_value(range).is_some()),
        _ => false,
    };
    let in_lanes = |&value: &Value| fits_lanes(graph.ty(value).elem);
    if let Op::Convert { elem } = graph.op(node)
        && graph.ty(graph.operand(node, 0)).elem == ElemType::I64
    {
        return matches!(elem, ElemType::I32 | ElemType::Bool);
    }
    form && graph.operands(node).iter().all(in_lanes) && graph.results(node).iter().all(in_lanes)
}

/// Element types that pointwise kernels load and store.
pub fn fits_lanes(elem: ElemType) -> bool {
    use ElemType::{Bool, F32, I8, I16, I32, U8};
    matches!(elem, F32 | I32 | I16 | I8 | U8 | Bool)
}

#[cfg(test)]
mod tests {
    use crate::ir::parse::parse_text;

    use super::*;

    /// Two convolutions that are added after a quantization each: one runs the sum in its epilogue and loads the other's
    /// integers.
    #[test]
    fn a_branch_of_another_kernel_is_loaded_as_integers() -> Result<(), String> {
        let text = "func @f(%x: tensor<1x4x2x2xu8>, %w: tensor<4x4x1x1xi8>) -> tensor<1x4x2x2xf32> {
  %0 = convolution %x, %w {strides = [1, 1]} : tensor<1x4x2x2xi32>
  %1 = dequantize %0 {scale = [0.5]} : tensor<1x4x2x2xf32>
  %2 = quantize %1 {scale = [2.0]} : tensor<1x4x2x2xu8>
  %3 = dequantize %2 {scale = [2.0]} : tensor<1x4x2x2xf32>
  %4 = convolution %x, %w {strides = [1, 1]} : tensor<1x4x2x2xi32>
  %5 = dequantize %4 {scale = [0.25]} : tensor<1x4x2x2xf32>
  %6 = add %5, %3 : tensor<1x4x2x2xf32>
  return %6
}";
        let graph = parse_text(text, "f").map_err(|problems| problems.to_string())?.graph;
        let plan = Plan::new(&graph, 8);
        let results: Vec<Value> = graph.body_nodes().flat_map(|node| graph.results(node)).copied().collect();
        let stored: Vec<usize> = (0..results.len()).filter(|&i| plan.is_stored(results[i])).collect();
        assert_eq!(stored, [2, 6]);
        Ok(())
    }
}
