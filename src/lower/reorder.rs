//! Orders of channels that suit the forms of integer products (`pack::form`), before lowering.
//!
//! Which weights stand side by side decides which forms are right, and that is the order of a convolution's input channels: the
//! output channels of whatever produces them. Nothing else depends on it, so the order may be chosen. Values that must share one,
//! because an operation works channel by channel on both, form a class; residual streams are one class. The class of a value whose
//! order can be seen (a border of the model, a reshape, a concatenation, groups) is fixed.
//!
//! The rows of the producers' weights move with the channels, so producers have a wish too ([`rows`]): first each class takes what
//! suits its consumers, then, of the orders that keep them content, one that suits its producers.
//!
//! [`reordered`] gives a graph with the same meaning in which constants are permuted: rows of the producers' weights, columns of the
//! consumers', and whatever else has one element per channel. The values in between are permuted, and nobody sees it.

mod order;
mod producers;
mod rows;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use crate::ir::op::{QuantizeAttrs, RequantizeAttrs};
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value};
use crate::simd::ir::Width;

use super::plan::is_pointwise;
use super::winograd;
use order::{Consumer, best_common_order, best_order};

/// The dimension of channels.
const CHANNEL: usize = 1;

/// New position to old channel.
type Order = Vec<usize>;

/// The graph with channels in better orders.
///
/// # Errors
/// An internal inconsistency: a permuted constant that does not fit.
pub fn reordered(graph: &Graph, width: Width) -> Result<Graph, String> {
    let classes = Classes::of(graph);
    let orders = orders(graph, &classes, width);
    let changes: Vec<Change> =
        graph.body_nodes().filter_map(|node| Change::of(graph, &classes, &orders, node)).collect();
    let mut graph = graph.clone();
    for change in changes {
        match change {
            Change::Weights { node, rows, columns } => {
                permute_operand(&mut graph, node, 1, &[(0, rows), (1, columns)])?;
            }
            Change::Pointwise { node, order } => permute_pointwise(&mut graph, node, order)?,
        }
    }
    Ok(graph)
}

/// What must change at a node; it stays right while other nodes are replaced.
enum Change<'a> {
    Weights { node: Node, rows: Option<&'a Order>, columns: Option<&'a Order> },
    Pointwise { node: Node, order: &'a Order },
}

impl<'a> Change<'a> {
    fn of(graph: &Graph, classes: &Classes, orders: &'a BTreeMap<Value, Order>, node: Node) -> Option<Change<'a>> {
        let of = |value: Value| orders.get(&classes.find(value));
        if let Op::Convolution(attrs) = graph.op(node) {
            let columns = of(graph.operand(node, 0)).filter(|_| attrs.groups == 1);
            return Some(Change::Weights { node, rows: of(graph.result(node)), columns });
        }
        if !is_pointwise(graph, node) {
            return None;
        }
        of(graph.result(node)).map(|order| Change::Pointwise { node, order })
    }
}

/// Sets of values that share an order of channels.
struct Classes {
    parents: SecondaryMap<Value, Option<Value>>,
    fixed: SecondaryMap<Value, bool>,
}

impl Classes {
    fn of(graph: &Graph) -> Classes {
        let mut classes = Classes { parents: SecondaryMap::new(), fixed: SecondaryMap::new() };
        graph.inputs().iter().for_each(|&input| classes.fix(input));
        for node in graph.body_nodes() {
            if !matches!(graph.op(node), Op::Const(_)) && !classes.relate(graph, node) {
                let values = graph.operands(node).iter().chain(graph.results(node));
                values.for_each(|&value| classes.fix(value));
            }
        }
        classes
    }

    fn find(&self, mut value: Value) -> Value {
        while let Some(parent) = self.parents[value] {
            value = parent;
        }
        value
    }

    fn unite(&mut self, a: Value, b: Value) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.parents[b] = Some(a);
            self.fixed[a] |= self.fixed[b];
        }
    }

    fn fix(&mut self, value: Value) {
        let root = self.find(value);
        self.fixed[root] = true;
    }

    /// Relates a node's values; false if their orders can be seen.
    fn relate(&mut self, graph: &Graph, node: Node) -> bool {
        let &[result] = graph.results(node) else { return false };
        match graph.op(node) {
            Op::Convolution(attrs) => {
                let src = graph.operand(node, 0);
                let channels = channels(graph, src);
                let is_integer =
                    graph.ty(src).elem == ElemType::U8 && graph.const_value(graph.operand(node, 1)).is_some();
                let is_depthwise = attrs.groups == channels && self::channels(graph, result) == channels;
                if is_integer && is_depthwise {
                    self.unite(src, result);
                }
                is_integer && (attrs.groups == 1 || is_depthwise)
            }
            Op::MaxPool(_) | Op::AvgPool(_) => {
                self.unite(graph.operand(node, 0), result);
                true
            }
            _ if is_pointwise(graph, node) => self.relate_pointwise(graph, node, result),
            _ => false,
        }
    }

    /// Operands have the channels of the result, or the same value for all of them.
    fn relate_pointwise(&mut self, graph: &Graph, node: Node, result: Value) -> bool {
        let (rank, channels) = (graph.ty(result).shape.rank(), channels(graph, result));
        let has_channels =
            |value: Value| graph.ty(value).shape.rank() == rank && self::channels(graph, value) == channels;
        let is_uniform = |value: Value| {
            let shape = &graph.ty(value).shape;
            shape.elements() == 1 || shape.rank() == rank && shape[CHANNEL] == 1
        };
        let operands = graph.operands(node);
        if rank <= CHANNEL || !operands.iter().all(|&value| has_channels(value) || is_uniform(value)) {
            return false;
        }
        for &operand in operands {
            if has_channels(operand) && graph.const_value(operand).is_none() {
                self.unite(operand, result);
            }
        }
        true
    }
}

/// 0 if there is no such dimension.
fn channels(graph: &Graph, value: Value) -> usize {
    graph.ty(value).shape.dims().get(CHANNEL).copied().unwrap_or(0)
}

/// Convolutions at both sides of a class.
#[derive(Default)]
struct Neighbours {
    channels: usize,
    consumers: Vec<Consumer>,
    producers: Vec<Node>,
}

/// The order of each class that is free and next to convolutions, by its root: first what suits consumers, and from those orders
/// one that suits producers too.
fn orders(graph: &Graph, classes: &Classes, width: Width) -> BTreeMap<Value, Order> {
    let mut all: BTreeMap<Value, Neighbours> = BTreeMap::new();
    for node in graph.body_nodes().filter(|&node| matches!(graph.op(node), Op::Convolution(_))) {
        let [src, result] = [graph.operand(node, 0), graph.result(node)];
        let [consumed, produced] = [src, result].map(|value| classes.find(value));
        if let Some(consumer) = consumer(graph, width, node).filter(|_| !classes.fixed[consumed]) {
            let neighbours = all.entry(consumed).or_default();
            neighbours.channels = channels(graph, src);
            neighbours.consumers.push(consumer);
        }
        // in pairs
        let channels = channels(graph, result);
        if !classes.fixed[produced] && channels.is_multiple_of(2) {
            let neighbours = all.entry(produced).or_default();
            neighbours.channels = channels;
            neighbours.producers.push(node);
        }
    }
    let wishes = all.iter().filter(|(_, neighbours)| !neighbours.consumers.is_empty());
    let mut orders: BTreeMap<Value, Order> =
        wishes.map(|(&root, neighbours)| (root, best_order(&neighbours.consumers, neighbours.channels))).collect();
    for (&root, neighbours) in &all {
        let columns = |node: Node| orders.get(&classes.find(graph.operand(node, 0)));
        let rows = producers::rows_of(graph, width, &neighbours.producers, neighbours.channels, columns);
        if rows.are_safe() {
            continue;
        }
        let order = orders.get(&root).cloned().unwrap_or_else(|| (0..neighbours.channels).collect());
        if let Some(order) = best_common_order(&neighbours.consumers, &rows, &order) {
            orders.insert(root, order);
        }
    }
    orders
}

/// The convolution at `node`, if the order of its input channels matters.
fn consumer(graph: &Graph, width: Width, node: Node) -> Option<Consumer> {
    let Op::Convolution(attrs) = graph.op(node) else { return None };
    let src = graph.operand(node, 0);
    let weights = graph.const_value(graph.operand(node, 1))?;
    let dims = weights.shape().dims();
    let taps: usize = dims[2..].iter().product();
    // quads must not reach into the next tap
    let whole = if taps == 1 { 2 } else { 4 };
    let quads = attrs.groups == 1 && dims[1].is_multiple_of(whole) && dims[1] >= 8;
    let plane = &graph.ty(graph.result(node)).shape.dims()[2..];
    let transformed = winograd::is_preferred(width, attrs, dims, plane);
    let bytes = weights.elem() == ElemType::I8 && graph.ty(src).elem == ElemType::U8;
    let pixels = plane.iter().map(|&size| size as u64).product();
    (quads && bytes && !transformed).then(|| Consumer::new(weights, pixels))
}

/// Permutes a constant operand along some of its dimensions.
fn permute_operand(
    graph: &mut Graph,
    node: Node,
    index: usize,
    orders: &[(usize, Option<&Order>)],
) -> Result<(), String> {
    let Some(tensor) = graph.const_value(graph.operand(node, index)).cloned() else { return Ok(()) };
    let mut permuted: Option<Tensor> = None;
    for (dim, order) in orders.iter().filter_map(|&(dim, order)| Some((dim, order?))) {
        let next = permute(permuted.as_ref().unwrap_or(&tensor), dim, order);
        permuted = Some(next.ok_or("internal error: an order of other channels")?);
    }
    if let Some(tensor) = permuted {
        let layers = graph.layers(node).to_vec();
        let value = graph.insert_const(node, tensor, &layers);
        graph.set_operand(node, index, value)?;
    }
    Ok(())
}

/// Element `i` of dimension `dim` is what was element `order[i]`.
fn permute(tensor: &Tensor, dim: usize, order: &[usize]) -> Option<Tensor> {
    let dims = tensor.shape().dims();
    let outer: usize = dims[..dim].iter().product();
    let inner = dims[dim + 1..].iter().product::<usize>() * tensor.elem().bytes();
    let bytes = tensor.to_bytes();
    if dims[dim] != order.len() {
        return None;
    }
    let slice = |o: usize, i: usize| &bytes[(o * order.len() + i) * inner..][..inner];
    let permuted: Vec<u8> = (0..outer).flat_map(|o| order.iter().flat_map(move |&i| slice(o, i))).copied().collect();
    Tensor::from_bytes(tensor.ty().clone(), &permuted)
}

/// Constants and attributes with an element per channel.
fn permute_pointwise(graph: &mut Graph, node: Node, order: &Order) -> Result<(), String> {
    let rank = graph.ty(graph.result(node)).shape.rank();
    for index in 0..graph.operands(node).len() {
        let shape = &graph.ty(graph.operand(node, index)).shape;
        if shape.rank() == rank && shape[CHANNEL] == order.len() {
            permute_operand(graph, node, index, &[(CHANNEL, Some(order))])?;
        }
    }
    let op = match graph.op(node).clone() {
        Op::Quantize(attrs) => Op::Quantize(QuantizeAttrs { params: params(&attrs.params, order), ..attrs }),
        Op::Dequantize(old) => Op::Dequantize(params(&old, order)),
        Op::Requantize(attrs) if attrs.axis == Some(CHANNEL) => {
            let [multiplier, bias] = [&attrs.multiplier, &attrs.bias].map(|values| picked(values, order));
            Op::Requantize(RequantizeAttrs { multiplier, bias, ..attrs })
        }
        _ => return Ok(()),
    };
    if op != *graph.op(node) {
        let (operands, layers) = (graph.operands(node).to_vec(), graph.layers(node).to_vec());
        let new = graph.insert_before(node, op, &operands, &layers)?;
        let (old, new) = (graph.result(node), graph.result(new));
        graph.replace_value(old, new);
        graph.remove(node);
    }
    Ok(())
}

fn params(old: &QuantParams, order: &[usize]) -> QuantParams {
    if old.axis != Some(CHANNEL) {
        return old.clone();
    }
    QuantParams { scale: picked(&old.scale, order), zero_point: picked(&old.zero_point, order), axis: old.axis }
}

/// One element stands for all.
fn picked<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    if values.len() == 1 { values.to_vec() } else { order.iter().map(|&i| values[i]).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interp;
    use crate::ir::op::ConvAttrs;
    use crate::ir::{Shape, TensorType};

    const CHANNELS: usize = 32;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).expect("small")
    }

    /// Two convolutions of a few channels with a requantize by channel between and one behind.
    fn graph() -> Graph {
        let mut graph = Graph::new("f");
        let body = graph.body();
        let x = graph.add_input("x", TensorType::new(ElemType::U8, shape(&[1, CHANNELS, 2, 2])));
        let mut value = x;
        for seed in [37, 91] {
            let weights = (0..CHANNELS * CHANNELS).map(|i| (i * i * seed % 255) as i32 - 127);
            let weights = Tensor::i8(shape(&[CHANNELS, CHANNELS, 1, 1]), weights.map(|w| w as i8).collect());
            let id = graph.add_tensor(weights);
            let mut append = |op: Op, operands: &[Value]| {
                let node = graph.append(body, op, operands, &[]).expect("a graph");
                graph.result(node)
            };
            let weights = append(Op::Const(id), &[]);
            let attrs = ConvAttrs {
                strides: vec![1, 1],
                dilations: vec![1, 1],
                pads_begin: vec![0, 0],
                pads_end: vec![0, 0],
                groups: 1,
                pad_value: 0,
            };
            let sum = append(Op::Convolution(attrs), &[value, weights]);
            let multiplier = (1..=CHANNELS).map(|c| c as f32 / 1000.0).collect();
            let requantize = RequantizeAttrs {
                multiplier,
                bias: vec![100.0],
                axis: Some(CHANNEL),
                elem: ElemType::U8,
                low: 0,
                high: 255,
            };
            value = append(Op::Requantize(requantize), &[sum]);
        }
        graph.output_names = vec!["y".into()];
        graph.append(body, Op::Return, &[value], &[]).expect("a graph");
        graph
    }

    fn constants(graph: &Graph) -> Vec<Tensor> {
        let weights = |node| graph.const_value(graph.operand(node, 1)).map(|weights| (**weights).clone());
        let convolutions = graph.body_nodes().filter(|&node| matches!(graph.op(node), Op::Convolution(_)));
        convolutions.filter_map(weights).collect()
    }

    #[test]
    fn a_value_inside_changes_its_order_and_the_result_does_not() {
        let graph = graph();
        let reordered = reordered(&graph, Width::W256).expect("reordered");
        let x = Tensor::u8(shape(&[1, CHANNELS, 2, 2]), (0..4 * CHANNELS).map(|i| (i * 83 % 256) as u8).collect());
        let run = |graph: &Graph| interp::run(graph, std::slice::from_ref(&x)).expect("runs");
        assert_eq!(run(&graph), run(&reordered));
        let (before, after) = (constants(&graph), constants(&reordered));
        assert_eq!(before.len(), 2);
        assert_ne!(before, after);
    }

    #[test]
    fn borders_fix_their_order() {
        let graph = graph();
        let classes = Classes::of(&graph);
        let is_fixed = |value: Value| classes.fixed[classes.find(value)];
        assert!(is_fixed(graph.inputs()[0]) && is_fixed(graph.outputs()[0]));
        let free = graph.body_nodes().filter(|&node| matches!(graph.op(node), Op::Requantize(_)));
        assert_eq!(free.filter(|&node| !is_fixed(graph.result(node))).count(), 1);
    }

    /// Their states may be continued by code in which channels keep their order.
    #[test]
    fn variables_fix_their_order() {
        let text = r#"func @f(%x: tensor<1x8x2x2xu8>) -> (y: tensor<1x8x2x2xu8>) {
  %0 = const dense<1> : tensor<8x8x1x1xi8>
  %1 = const dense<1> : tensor<1x8x2x2xu8>
  %2 = convolution %x, %0 {strides = [1, 1], dilations = [1, 1], pads_begin = [0, 0], pads_end = [0, 0]} : tensor<1x8x2x2xi32>
  %3 = requantize %2 {multiplier = [1.0], bias = [0.0]} : tensor<1x8x2x2xu8>
  %4 = assign %3 {variable = "v"} : tensor<1x8x2x2xu8>
  %5 = read_value %1 {variable = "v"} : tensor<1x8x2x2xu8>
  %6 = max_pool %5 {kernel = [1, 1], strides = [1, 1], pads_begin = [0, 0], pads_end = [0, 0]} : tensor<1x8x2x2xu8>
  %7 = convolution %6, %0 {strides = [1, 1], dilations = [1, 1], pads_begin = [0, 0], pads_end = [0, 0]} : tensor<1x8x2x2xi32>
  %8 = requantize %7 {multiplier = [1.0], bias = [0.0]} : tensor<1x8x2x2xu8>
  return %8
}"#;
        let graph = crate::ir::parse::parse_text(text, "f").expect("a graph").graph;
        let classes = Classes::of(&graph);
        let values = graph.body_nodes().filter(|&node| matches!(graph.op(node), Op::Requantize(_) | Op::MaxPool(_)));
        assert!(values.map(|node| classes.find(graph.results(node)[0])).all(|root| classes.fixed[root]));
    }

    #[test]
    fn permutations_are_inverse_where_they_meet() {
        let tensor = Tensor::i8(shape(&[2, 3]), vec![1, 2, 3, 4, 5, 6]);
        let permuted = permute(&tensor, 1, &[2, 0, 1]).expect("three columns");
        assert_eq!(permuted.to_i64(), Some(vec![3, 1, 2, 6, 4, 5]));
        assert_eq!(permute(&permuted, 1, &[1, 2, 0]), Some(tensor));
    }
}
