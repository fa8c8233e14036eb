//! Values of constant subgraphs, on demand: a target shape computed from `ShapeOf`, axes, the k of a TopK.
//!
//! Shapes are static, so `ShapeOf` is a constant and most shape arithmetic has a value here. Evaluation goes over an
//! explicit stack, remembers both values and failures, and spends a bounded number of elements: a file cannot make it
//! run away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::interp;
use crate::ir::graph::ValueDef;
use crate::ir::{Graph, Node, Op, Tensor, Value};

/// Elements that may be computed in all; shape arithmetic needs hundreds.
const BUDGET: usize = 1 << 26;

/// The values computed so far, or why there is none.
#[derive(Debug, Default)]
pub struct Folder {
    known: BTreeMap<Value, Result<Arc<Tensor>, String>>,
    spent: usize,
}

impl Folder {
    /// The value as a constant.
    ///
    /// # Errors
    /// What it depends on that is not known before the model runs.
    pub fn value(&mut self, graph: &Graph, value: Value) -> Result<Arc<Tensor>, String> {
        let mut stack = vec![value];
        while let Some(&top) = stack.last() {
            match self.step(graph, top) {
                Ok(None) => {
                    stack.pop();
                }
                Ok(Some(operand)) => stack.push(operand),
                Err(reason) => {
                    for waiting in stack {
                        self.known.insert(waiting, Err(reason.clone()));
                    }
                    return Err(reason);
                }
            }
        }
        self.known.get(&value).cloned().unwrap_or_else(|| Err("internal error: it was not evaluated".into()))
    }

    /// Evaluates one value, or names an operand that must come first.
    fn step(&mut self, graph: &Graph, value: Value) -> Result<Option<Value>, String> {
        match self.known.get(&value) {
            Some(Ok(_)) => return Ok(None),
            Some(Err(reason)) => return Err(reason.clone()),
            None => {}
        }
        let node = match graph.def(value) {
            ValueDef::Result(node, _) => node,
            ValueDef::Param(region, index) if region == graph.body() => {
                return Err(format!("it depends on the model's input \"{}\"", graph.input_names[index]));
            }
            ValueDef::Param(..) => return Err("it depends on a value that enters a loop or branch".into()),
        };
        if let Op::Const(id) = graph.op(node) {
            self.known.insert(value, Ok(graph.tensor(*id).clone()));
            return Ok(None);
        }
        let waiting = graph.operands(node).iter().find(|operand| !matches!(self.known.get(operand), Some(Ok(_))));
        if let Some(&operand) = waiting {
            return Ok(Some(operand));
        }
        self.evaluate(graph, node).map(|()| None)
    }

    fn evaluate(&mut self, graph: &Graph, node: Node) -> Result<(), String> {
        let op = graph.op(node);
        if !op.info().pure {
            return Err(format!("it depends on {}, whose value changes from inference to inference", op.name()));
        }
        let types: Vec<_> = graph.results(node).iter().map(|&result| graph.ty(result).clone()).collect();
        let elements = types.iter().map(|ty| ty.shape.elements()).sum::<usize>();
        self.spent = self.spent.saturating_add(elements);
        if self.spent > BUDGET {
            return Err(format!("the constant arithmetic before it exceeds {BUDGET} elements"));
        }
        let operands: Vec<Arc<Tensor>> =
            graph.operands(node).iter().filter_map(|operand| self.known.get(operand)?.as_ref().ok().cloned()).collect();
        let operands: Vec<&Tensor> = operands.iter().map(Arc::as_ref).collect();
        let values = interp::eval_op(op, &operands, &types).map_err(|reason| format!("{}: {reason}", op.name()))?;
        for (&result, value) in graph.results(node).iter().zip(values) {
            self.known.insert(result, Ok(Arc::new(value)));
        }
        Ok(())
    }
}
