//! Evaluates graphs: regions, branches, loops, variables.
//!
//! Plan: one backward walk over each region finds the values that die at each node; then regions are evaluated in order, and a
//! value is dropped where it dies. A region's node keeps what its inner regions use alive, so the body of a loop can run
//! many times. Memory is therefore the widest cut of the graph, not its sum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cranelift_entity::SecondaryMap;

use crate::ir::op::LoopAttrs;
use crate::ir::{Graph, Node, Op, Region, Tensor, TensorType, Value};

use super::{eval_op, loops, values};

/// What variables hold between inferences, by name. A variable that no inference has assigned has no entry: reading it
/// gives its initial value.
pub type State = BTreeMap<String, Arc<Tensor>>;

/// The function's results for these inputs. Variables have their initial values, as in a first inference.
///
/// # Errors
/// A reason that begins with the node: inputs of other types, or an operation that [`eval_op`] refuses.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    run_stateful(graph, inputs, &mut State::new())
}

/// As [`run`], with the variables that earlier inferences left. What is assigned is read in the next inference, not in this
/// one.
///
/// # Errors
/// As [`run`].
pub fn run_stateful(graph: &Graph, inputs: &[Tensor], state: &mut State) -> Result<Vec<Tensor>, String> {
    infer(graph, inputs, state, &mut |_, _| {})
}

/// As [`run`]; shows every value when it is computed: inputs first, a loop's body once per iteration.
///
/// # Errors
/// As [`run`].
pub fn run_observed(
    graph: &Graph,
    inputs: &[Tensor],
    observe: &mut dyn FnMut(Value, &Tensor),
) -> Result<Vec<Tensor>, String> {
    infer(graph, inputs, &mut State::new(), observe)
}

fn infer(
    graph: &Graph,
    inputs: &[Tensor],
    state: &mut State,
    observe: &mut dyn FnMut(Value, &Tensor),
) -> Result<Vec<Tensor>, String> {
    let mut deaths = SecondaryMap::new();
    plan_region(graph, graph.body(), &mut deaths);
    let mut run = Run { graph, deaths, values: SecondaryMap::new(), state, assigned: State::new(), observe };
    let results = run.region(graph.body(), inputs.iter().cloned().map(Arc::new).collect())?;
    let assigned = run.assigned;
    state.extend(assigned);
    Ok(results.into_iter().map(Arc::unwrap_or_clone).collect())
}

/// Notes for every node of the region the values that die at it, and gives the values of outer regions that it uses.
fn plan_region(graph: &Graph, region: Region, deaths: &mut SecondaryMap<Node, Vec<Value>>) -> BTreeSet<Value> {
    let mut seen = BTreeSet::new();
    let nodes: Vec<Node> = graph.nodes(region).collect();
    let mut defined: BTreeSet<Value> = graph.params(region).iter().copied().collect();
    for &node in &nodes {
        defined.extend(graph.results(node));
    }
    for &node in nodes.iter().rev() {
        let mut touched: BTreeSet<Value> = graph.operands(node).iter().copied().collect();
        touched.extend(graph.results(node));
        for inner in graph.op(node).regions() {
            touched.extend(plan_region(graph, inner, deaths));
        }
        for value in touched {
            if seen.insert(value) && defined.contains(&value) {
                deaths[node].push(value);
            }
        }
    }
    seen.difference(&defined).copied().collect()
}

struct Run<'a> {
    graph: &'a Graph,
    deaths: SecondaryMap<Node, Vec<Value>>,
    values: SecondaryMap<Value, Option<Arc<Tensor>>>,
    state: &'a State,
    /// What this inference assigned.
    assigned: State,
    observe: &'a mut dyn FnMut(Value, &Tensor),
}

impl Run<'_> {
    fn region(&mut self, region: Region, arguments: Vec<Arc<Tensor>>) -> Result<Vec<Arc<Tensor>>, String> {
        let graph = self.graph;
        let params = graph.params(region);
        if params.len() != arguments.len() {
            return Err(format!("{region} takes {} arguments, not {}", params.len(), arguments.len()));
        }
        for (index, (&param, argument)) in params.iter().zip(arguments).enumerate() {
            if graph.ty(param) != argument.ty() {
                return Err(format!("argument {index} of {region} is {}, not {}", graph.ty(param), argument.ty()));
            }
            self.define(param, argument);
        }
        for node in graph.nodes(region) {
            let operands = self.operands(node)?;
            if *graph.op(node) == Op::Return {
                self.drop_dead(node);
                return Ok(operands);
            }
            let results = self.node(node, &operands).map_err(|reason| self.place(node, &reason))?;
            for (&value, result) in graph.results(node).iter().zip(results) {
                self.define(value, result);
            }
            self.drop_dead(node);
        }
        Err(format!("internal error: {region} has no return"))
    }

    fn define(&mut self, value: Value, tensor: Arc<Tensor>) {
        (self.observe)(value, &tensor);
        self.values[value] = Some(tensor);
    }

    fn operands(&self, node: Node) -> Result<Vec<Arc<Tensor>>, String> {
        let operand = |value: &Value| {
            self.values[*value]
                .clone()
                .ok_or_else(|| format!("internal error: {value} used by {node} before it is defined"))
        };
        self.graph.operands(node).iter().map(operand).collect()
    }

    fn drop_dead(&mut self, node: Node) {
        for &value in &self.deaths[node] {
            self.values[value] = None;
        }
    }

    fn place(&self, node: Node, reason: &str) -> String {
        let graph = self.graph;
        let names: Vec<&str> = graph.layers(node).iter().map(|&layer| graph.layer(layer).name.as_str()).collect();
        let layers = if names.is_empty() { String::new() } else { format!(" (layer {})", names.join(", ")) };
        format!("{node} {}{layers}: {reason}", graph.op(node).name())
    }

    fn node(&mut self, node: Node, operands: &[Arc<Tensor>]) -> Result<Vec<Arc<Tensor>>, String> {
        let graph = self.graph;
        let types: Vec<TensorType> = graph.results(node).iter().map(|&value| graph.ty(value).clone()).collect();
        match graph.op(node) {
            Op::Const(id) => Ok(vec![graph.tensor(*id).clone()]),
            Op::ReadValue { variable } => Ok(vec![self.state.get(variable).unwrap_or(&operands[0]).clone()]),
            Op::Assign { variable } => {
                self.assigned.insert(variable.clone(), operands[0].clone());
                Ok(operands.to_vec())
            }
            Op::If { then_body, else_body } => {
                let body = if is_true(&operands[0]) { *then_body } else { *else_body };
                self.region(body, operands[1..].to_vec())
            }
            Op::Loop(attrs) => self.repeat(attrs, operands, &types),
            op => {
                let operands: Vec<&Tensor> = operands.iter().map(Arc::as_ref).collect();
                Ok(eval_op(op, &operands, &types)?.into_iter().map(Arc::new).collect())
            }
        }
    }

    /// Results: the carried values after the last iteration, then the concatenations. An iteration whose condition is false
    /// is the last one; what later ones would have given stays 0.
    fn repeat(
        &mut self,
        attrs: &LoopAttrs,
        operands: &[Arc<Tensor>],
        types: &[TensorType],
    ) -> Result<Vec<Arc<Tensor>>, String> {
        let split = operands.split_at_checked(attrs.sliced.len());
        let (sliced, rest) =
            split.ok_or_else(|| format!("{} operands for {} slices", operands.len(), attrs.sliced.len()))?;
        let split = rest.split_at_checked(attrs.carried);
        let (carried, invariant) =
            split.ok_or_else(|| format!("{} operands for {} carried values", rest.len(), attrs.carried))?;
        let mut carried = carried.to_vec();
        let mut parts = vec![Vec::new(); attrs.concatenated.len()];
        for iteration in 0..attrs.trip_count {
            let mut arguments = self.loop_index(attrs, iteration)?;
            for (slice, operand) in attrs.sliced.iter().zip(sliced) {
                arguments.push(loops::slice(slice, iteration, operand)?);
            }
            arguments.extend(carried.iter().chain(invariant).cloned());
            let mut results = self.region(attrs.body, arguments)?.into_iter();
            let more = !attrs.has_condition || results.next().is_some_and(|condition| is_true(&condition));
            carried = results.by_ref().take(attrs.carried).collect();
            for (parts, part) in parts.iter_mut().zip(results) {
                parts.push(part);
            }
            if !more {
                break;
            }
        }
        for ((slice, parts), ty) in attrs.concatenated.iter().zip(&parts).zip(&types[attrs.carried.min(types.len())..])
        {
            carried.push(loops::concatenate(slice, parts, ty)?);
        }
        Ok(carried)
    }

    /// The iteration's number as the body's first parameter, if it takes one.
    fn loop_index(&self, attrs: &LoopAttrs, iteration: usize) -> Result<Vec<Arc<Tensor>>, String> {
        match self.graph.params(attrs.body).first() {
            Some(&param) if attrs.takes_index => {
                Ok(vec![Arc::new(values::int(self.graph.ty(param), vec![iteration as i64])?)])
            }
            Some(_) | None => Ok(Vec::new()),
        }
    }
}

/// The first element is not 0.
fn is_true(tensor: &Tensor) -> bool {
    tensor.to_f64().first().is_some_and(|&x| x != 0.0)
}
