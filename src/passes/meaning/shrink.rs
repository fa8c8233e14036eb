//! Makes a graph that shows a problem smaller while it still shows it.
//!
//! Every attempt is a copy with an edit: fewer outputs, values that become inputs, operations left out, constants of equal
//! elements. Small copies are tried first, because evaluating them is what costs time:
//!
//! 1. the first operation in order whose result shows the problem becomes the only output;
//! 2. from there back, what is further away than 1, 2, 3, .. operations becomes inputs;
//! 3. one operation at a time is left out, cut off, or fed with a simple constant;
//!
//! and again, until nothing helps. Every accepted copy has fewer operations, or as many and fewer distinct constants, so this ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::ir::verify::verify;
use crate::ir::{Graph, Node, Op, Region, Tensor, Value};

/// Attempts, over all rounds.
const MAX_ATTEMPTS: usize = 4000;

/// The smallest graph found for which `fails` holds, as it does for `graph`.
pub fn shrink(graph: &Graph, fails: &mut dyn FnMut(&Graph) -> bool) -> Graph {
    let mut best = graph.clone();
    let mut attempts = 0;
    'rounds: loop {
        for edit in edits(&best) {
            attempts += 1;
            if attempts > MAX_ATTEMPTS {
                return best;
            }
            let Some(smaller) = edit.apply(&best) else { continue };
            if size(&smaller) < size(&best) && verify(&smaller).is_ok() && fails(&smaller) {
                best = smaller;
                continue 'rounds;
            }
        }
        return best;
    }
}

/// Operations; then elements of constants that are not all equal; then outputs.
fn size(graph: &Graph) -> (usize, usize, usize) {
    let nodes = graph.all_regions().into_iter().flat_map(|region| graph.nodes(region));
    let (mut operations, mut elements) = (0, 0);
    for node in nodes {
        match graph.op(node) {
            Op::Const(id) => elements += varied_elements(graph.tensor(*id)),
            _ => operations += 1,
        }
    }
    (operations, elements, graph.outputs().len())
}

fn varied_elements(tensor: &Tensor) -> usize {
    if tensor.splat_value().is_some() { 0 } else { tensor.shape().elements() }
}

/// A copy that differs.
#[derive(Clone, Default)]
struct Edit {
    /// Values that are returned.
    outputs: Vec<Value>,
    /// What stands in place of values.
    instead: BTreeMap<Value, Instead>,
}

#[derive(Clone)]
enum Instead {
    Input,
    Value(Value),
    Const(Tensor),
}

/// All attempts, in the order of the plan above.
fn edits(graph: &Graph) -> Vec<Edit> {
    let outputs = graph.outputs().to_vec();
    let constant = constants(graph);
    let computed: Vec<Value> = graph
        .body_nodes()
        .flat_map(|node| graph.results(node).to_vec())
        .filter(|value| !constant.contains(value))
        .collect();
    let only = |&value: &Value| Edit { outputs: vec![value], ..Edit::default() };
    let with = |value: Value, instead: Instead| Edit { outputs: outputs.clone(), instead: [(value, instead)].into() };
    let mut edits: Vec<Edit> = computed.iter().filter(|_| computed.len() > 1).map(only).collect();
    edits.extend(cuts(graph, &outputs, &constant));
    for &value in computed.iter().rev() {
        edits.extend(stand_ins(graph, value).into_iter().map(|other| with(value, Instead::Value(other))));
        edits.push(with(value, Instead::Input));
    }
    for node in graph.body_nodes() {
        if let Op::Const(id) = graph.op(node) {
            let simple = simpler(graph.tensor(*id)).into_iter();
            edits.extend(simple.map(|tensor| with(graph.result(node), Instead::Const(tensor))));
        }
    }
    edits
}

/// Values computed from constants alone.
fn constants(graph: &Graph) -> BTreeSet<Value> {
    let mut constant = BTreeSet::new();
    for node in graph.body_nodes() {
        let is_constant = graph.operands(node).iter().all(|operand| constant.contains(operand));
        if is_constant && graph.op(node).regions().is_empty() && graph.is_pure(node) {
            constant.extend(graph.results(node));
        }
    }
    constant
}

/// Everything further from the outputs than some number of operations becomes inputs; the constants stay.
fn cuts(graph: &Graph, outputs: &[Value], constant: &BTreeSet<Value>) -> Vec<Edit> {
    let mut kept: BTreeSet<Node> = BTreeSet::new();
    let mut border: BTreeSet<Value> = outputs.iter().copied().collect();
    let mut edits = Vec::new();
    while border.iter().any(|&value| graph.def_node(value).is_some()) {
        let nodes: Vec<Node> = border.iter().filter_map(|&value| graph.def_node(value)).collect();
        kept.extend(&nodes);
        let operands = kept.iter().flat_map(|&node| graph.operands(node)).copied();
        let is_border = |value: &Value| {
            !constant.contains(value) && graph.def_node(*value).is_none_or(|node| !kept.contains(&node))
        };
        border = operands.filter(is_border).collect();
        let instead = border.iter().map(|&value| (value, Instead::Input)).collect();
        edits.push(Edit { outputs: outputs.to_vec(), instead });
    }
    edits
}

/// Operands that could stand for the result of their operation.
fn stand_ins(graph: &Graph, value: Value) -> Vec<Value> {
    let operands = graph.def_node(value).map(|node| graph.operands(node)).unwrap_or_default();
    operands.iter().copied().filter(|&operand| graph.ty(operand) == graph.ty(value)).collect()
}

/// All elements like one of the first two that differ.
fn simpler(tensor: &Tensor) -> Vec<Tensor> {
    let bytes = tensor.to_bytes();
    let elements: Vec<&[u8]> = bytes.chunks_exact(tensor.elem().bytes()).collect();
    let Some(first) = elements.first() else { return Vec::new() };
    let other = elements.iter().find(|element| *element != first);
    let splat = |element: &[u8]| Tensor::from_bytes(tensor.ty().clone(), &element.repeat(elements.len()));
    other.into_iter().chain(other.map(|_| first)).filter_map(|element| splat(element)).collect()
}

impl Edit {
    /// `None` when an operation cannot take what stands in for its operand.
    fn apply(&self, graph: &Graph) -> Option<Graph> {
        let mut copy = Copy { from: graph, edit: self, to: Graph::new(graph.name.clone()), values: BTreeMap::new() };
        let needed = self.needed(graph);
        copy.inputs(&needed);
        let body = copy.to.body();
        for node in graph.body_nodes() {
            let is_missing = |result: &Value| needed.contains(result) && !copy.values.contains_key(result);
            let is_needed = graph.results(node).iter().any(is_missing);
            if is_needed && *graph.op(node) != Op::Return {
                copy.node(node, body)?;
            }
        }
        let outputs: Vec<Value> = self.outputs.iter().map(|&output| copy.value(output)).collect::<Option<_>>()?;
        copy.to.append(body, Op::Return, &outputs, &[]).ok()?;
        copy.to.output_names = (0..outputs.len()).map(|index| format!("out{index}")).collect();
        Some(copy.to)
    }

    /// Follows values that stand in for others.
    fn resolve(&self, mut value: Value) -> Value {
        while let Some(Instead::Value(other)) = self.instead.get(&value) {
            value = *other;
        }
        value
    }

    /// Values of the body that the outputs depend on.
    fn needed(&self, graph: &Graph) -> BTreeSet<Value> {
        let mut needed = BTreeSet::new();
        let mut open: Vec<Value> = self.outputs.clone();
        while let Some(value) = open.pop() {
            let value = self.resolve(value);
            if !needed.insert(value) || self.instead.contains_key(&value) {
                continue;
            }
            if let Some(node) = graph.def_node(value) {
                open.extend(graph.operands(node));
                open.extend(graph.op(node).regions().into_iter().flat_map(|region| outer_uses(graph, region)));
            }
        }
        needed
    }
}

/// Every value that a region's nodes use, its own included.
fn outer_uses(graph: &Graph, region: Region) -> Vec<Value> {
    let mut uses = Vec::new();
    for node in graph.nodes(region) {
        uses.extend(graph.operands(node));
        uses.extend(graph.op(node).regions().into_iter().flat_map(|inner| outer_uses(graph, inner)));
    }
    uses
}

/// A copy under construction.
struct Copy<'a> {
    from: &'a Graph,
    edit: &'a Edit,
    to: Graph,
    /// From the graph to its copy.
    values: BTreeMap<Value, Value>,
}

impl Copy<'_> {
    /// Inputs that are still needed, then the new ones; constants that stand in for values.
    fn inputs(&mut self, needed: &BTreeSet<Value>) {
        for (name, &input) in self.from.input_names.iter().zip(self.from.inputs()) {
            if needed.contains(&input) {
                let value = self.to.add_input(name.clone(), self.from.ty(input).clone());
                self.values.insert(input, value);
            }
        }
        for (&value, instead) in self.edit.instead.iter().filter(|(value, _)| needed.contains(value)) {
            let copied = match instead {
                Instead::Input if self.values.contains_key(&value) => continue,
                Instead::Input => self.to.add_input(format!("cut{}", self.values.len()), self.from.ty(value).clone()),
                Instead::Value(_) => continue,
                Instead::Const(tensor) => {
                    let id = self.to.add_tensor(tensor.clone());
                    let body = self.to.body();
                    let Ok(node) = self.to.append(body, Op::Const(id), &[], &[]) else { continue };
                    self.to.result(node)
                }
            };
            self.values.insert(value, copied);
        }
    }

    fn value(&self, value: Value) -> Option<Value> {
        self.values.get(&self.edit.resolve(value)).copied()
    }

    /// Copies a node, but not the results for which something else stands.
    fn node(&mut self, node: Node, region: Region) -> Option<()> {
        let operands: Vec<Value> =
            self.from.operands(node).iter().map(|&operand| self.value(operand)).collect::<Option<_>>()?;
        let op = self.op(self.from.op(node))?;
        let copied = self.to.append(region, op, &operands, &[]).ok()?;
        for (&old, &new) in self.from.results(node).iter().zip(self.to.results(copied)) {
            self.values.entry(old).or_insert(new);
        }
        Some(())
    }

    /// The operation with its constant or its regions copied.
    fn op(&mut self, op: &Op) -> Option<Op> {
        let mut op = op.clone();
        if let Op::Const(id) = &mut op {
            *id = self.to.add_tensor(self.from.tensor(*id).as_ref().clone());
        } else if let Op::If { then_body, else_body } = &mut op {
            (*then_body, *else_body) = (self.region(*then_body)?, self.region(*else_body)?);
        } else if let Op::Loop(attrs) = &mut op {
            attrs.body = self.region(attrs.body)?;
        }
        Some(op)
    }

    fn region(&mut self, region: Region) -> Option<Region> {
        let copied = self.to.new_region();
        for &param in self.from.params(region) {
            let value = self.to.add_param(copied, self.from.ty(param).clone());
            self.values.insert(param, value);
        }
        for node in self.from.nodes(region) {
            self.node(node, copied)?;
        }
        Some(copied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::op::UnaryOp;
    use crate::ir::parse::parse_text;
    use crate::ir::print::{PrintOptions, print};

    /// Shrinks while the graph contains a sigmoid of a sum.
    #[test]
    fn keeps_what_fails_and_nothing_else() {
        let text = "func @net(%x: tensor<1x4xf32>, %y: tensor<1x4xf32>) -> (tensor<1x4xf32>, tensor<1x4xf32>) {\n\
            %c = const dense<[1.0, 2.0, 3.0, 4.0]> : tensor<1x4xf32>\n\
            %a = relu %x : tensor<1x4xf32>\n\
            %b = add %a, %c : tensor<1x4xf32>\n\
            %d = sigmoid %b : tensor<1x4xf32>\n\
            %e = tanh %d : tensor<1x4xf32>\n\
            %f = mul %e, %y : tensor<1x4xf32>\n\
            return %f, %a\n}\n";
        let graph = parse_text(text, "test").unwrap_or_else(|errors| panic!("{errors}")).graph;
        let small = shrink(&graph, &mut |graph| {
            graph.body_nodes().any(|node| {
                let source = || graph.def_op(graph.operand(node, 0));
                *graph.op(node) == Op::Unary(UnaryOp::Sigmoid) && matches!(source(), Some(Op::Binary(_)))
            })
        });
        let expected = "func @net(%cut0: tensor<1x4xf32>) -> (out0: tensor<1x4xf32>) {\n  \
            %0 = const dense<2.0> : tensor<1x4xf32>\n  \
            %1 = add %cut0, %0 : tensor<1x4xf32>\n  \
            %2 = sigmoid %1 : tensor<1x4xf32>\n  \
            return %2\n}\n";
        assert_eq!(print(&small, &PrintOptions::test()).text, expected);
    }
}
