//! Pass `lpt-decompose`: `FakeQuantize -> dequantize(quantize(x))`, where integers serve someone.
//!
//! A `FakeQuantize` among float operations only stays what it is. It becomes integers when its input comes out of integer
//! arithmetic (then `quantize` is the end of an epilogue), or when its result reaches an operation that multiplies
//! integers (by constant weights, or by other quantized values), another `FakeQuantize`, or an integer output.
//!
//! After the pass, every `FakeQuantize` left is one that serves nobody as integers, or one that has a remark saying why it
//! has no 8-bit grid.

use std::collections::BTreeSet;

use crate::diag;
use crate::ir::op::{QuantBehaviour, ScatterReduction};
use crate::ir::{ElemType, Graph, Node, Op, Value};

use crate::passes::PassContext;

use super::ranges::{MAX_LEVELS, Ranges};
use super::refusal::Refusal;
use super::walk::{across_variable, is_quantized, regions, replace};
use super::weights;

/// See the file's description.
pub fn run(graph: &mut Graph, context: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    for region in regions(graph) {
        for node in graph.nodes(region).collect::<Vec<_>>() {
            let Op::FakeQuantize { levels } = *graph.op(node) else {
                continue;
            };
            let source = graph.operand(node, 0);
            let constant = weights::constant_values(graph, source).is_some();
            let made_of_integers = || Markup::new(graph).made_of_integers(source);
            let read_as_integers = || Markup::new(graph).read_as_integers(graph.result(node));
            if constant || !(made_of_integers() || read_as_integers()) {
                continue;
            }
            match split(graph, node, levels) {
                Ok(()) => changed = true,
                Err(refusal) => context.refuse(graph, node, "lpt-decompose", refusal),
            }
        }
    }
    Ok(changed)
}

fn split(graph: &mut Graph, node: Node, levels: u32) -> Result<(), Refusal> {
    let source = graph.operand(node, 0);
    if graph.ty(source).elem != ElemType::F32 {
        return Err(Refusal::ElementType(graph.ty(source).elem));
    }
    let (quantize, params) = Ranges::read(graph, node, levels)?.grids()?;
    let layers = graph.layers(node).to_vec();
    let mut insert = |op: Op, operand: Value| {
        let new = graph.insert_before(node, op, &[operand], &layers).map_err(Refusal::NotInferred)?;
        Ok(graph.result(new))
    };
    let q = insert(Op::Quantize(quantize), source)?;
    let value = insert(Op::Dequantize(params), q)?;
    replace(graph, node, value);
    Ok(())
}

/// Who makes and who takes integers, found by walking through operations that a `dequantize` or `quantize` passes.
struct Markup<'a> {
    graph: &'a Graph,
    seen: BTreeSet<Value>,
}

impl<'a> Markup<'a> {
    fn new(graph: &'a Graph) -> Markup<'a> {
        Markup { graph, seen: BTreeSet::new() }
    }

    fn first_visit(&mut self, value: Value) -> bool {
        self.seen.insert(value)
    }

    /// The value is computed from integers by operations that an epilogue may take.
    fn made_of_integers(&mut self, value: Value) -> bool {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            let Some(node) = self.graph.def_node(value).filter(|_| self.first_visit(value)) else {
                continue;
            };
            if self.makes_integers(node) {
                return true;
            }
            if passes(self.graph.op(node)) {
                open.extend_from_slice(self.graph.operands(node));
            }
            if matches!(self.graph.op(node), Op::ReadValue { .. }) {
                open.extend(across_variable(self.graph, node));
            }
        }
        false
    }

    fn makes_integers(&self, node: Node) -> bool {
        match self.graph.op(node) {
            Op::Dequantize(_) => true,
            Op::Convolution(_) | Op::Deconvolution(_) => {
                weights::is_quantized_const(self.graph, self.graph.operand(node, 1))
            }
            Op::MatMul { .. } => {
                let operands = self.graph.operands(node);
                weights::is_quantized_const(self.graph, operands[1])
                    || operands.iter().all(|&operand| is_quantized(self.graph, operand))
            }
            _ => false,
        }
    }

    /// The value reaches somebody who works on integers.
    fn read_as_integers(&mut self, value: Value) -> bool {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            if !self.first_visit(value) {
                continue;
            }
            for &user in self.graph.users(value) {
                if self.takes_integers(user, value) {
                    return true;
                }
                if passes(self.graph.op(user)) {
                    open.extend_from_slice(self.graph.results(user));
                }
                if matches!(self.graph.op(user), Op::Assign { .. }) {
                    open.extend(across_variable(self.graph, user));
                }
            }
        }
        false
    }

    fn takes_integers(&self, user: Node, value: Value) -> bool {
        match self.graph.op(user) {
            Op::FakeQuantize { levels } => *levels <= MAX_LEVELS,
            Op::Quantize(_) => true,
            Op::Convert { elem } => matches!(elem, ElemType::I8 | ElemType::U8),
            Op::Convolution(_) | Op::Deconvolution(_) => {
                let weights = self.graph.operand(user, 1);
                weights != value && weights::is_quantized_const(self.graph, weights)
            }
            Op::MatMul { .. } => {
                let mut others = self.graph.operands(user).iter().filter(|&&operand| operand != value);
                others.all(|&operand| is_quantized(self.graph, operand))
            }
            _ => false,
        }
    }
}

/// Element by element or element movement: integers on one side can reach the other.
fn passes(op: &Op) -> bool {
    match op {
        Op::Unary(_) | Op::Binary(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Reduce(_) | Op::Interpolate(_) => true,
        Op::Select | Op::ScatterElements { reduction: ScatterReduction::None, .. } | Op::ScatterNd => true,
        op => op.info().quant == QuantBehaviour::Preserves,
    }
}
