//! The driver for passes made of local rules.
//!
//! A worklist holds every node once, in order. A node that nobody uses is removed; otherwise the first rule that applies
//! rewrites it, and the nodes around the change are put on the list again: users of what was replaced, new nodes, and the
//! producers of operands that lost a user. So rules see each other's results, and the end is a fixed point of all of them.
//! Every rule must make the graph smaller or more canonical; two that undo each other would never end, and the driver
//! stops with an internal error that names the last rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::diag::{self, Diagnostic, Place};
use crate::ir::{Graph, Node, Op, Tensor, Value};

/// A rewrite of one node.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub name: &'static str,
    /// Rewrites the node if it can, and gives whether it did.
    pub apply: fn(&mut Rewriter<'_>, Node) -> bool,
}

/// More rewrites than this for each node of the graph are taken for an endless loop.
const MAX_REWRITES_PER_NODE: usize = 100;

/// Applies rules until none applies; gives whether one did. `counts` grows by the number of applications of each.
///
/// # Errors
/// An internal error when the rules do not come to an end.
pub fn apply_rules(
    graph: &mut Graph,
    rules: &[Rule],
    counts: &mut BTreeMap<&'static str, usize>,
) -> diag::Result<bool> {
    let mut budget = MAX_REWRITES_PER_NODE.saturating_mul(graph.node_count().max(1));
    let mut rewriter = Rewriter { graph, worklist: VecDeque::new(), queued: BTreeSet::new(), removed: false };
    rewriter.push_all();
    let mut changed = false;
    while let Some(node) = rewriter.pop() {
        if rewriter.remove_if_unused(node) {
            continue;
        }
        let Some(rule) = rules.iter().find(|rule| (rule.apply)(&mut rewriter, node)) else {
            continue;
        };
        *counts.entry(rule.name).or_default() += 1;
        changed = true;
        rewriter.push(node);
        budget -= 1;
        if budget == 0 {
            let message = format!("rewriting does not come to an end, the last rule is {}", rule.name);
            return Err(Diagnostic::internal(Place::item(rewriter.layer_names(node)), message).into());
        }
    }
    Ok(changed || rewriter.removed)
}

/// The graph in the hands of a rule. Changes go through it, so that the worklist learns of them.
pub struct Rewriter<'a> {
    graph: &'a mut Graph,
    worklist: VecDeque<Node>,
    queued: BTreeSet<Node>,
    removed: bool,
}

impl Rewriter<'_> {
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// Adds an operation with one result in front of `node`, with its layers; `None` when inference refuses it.
    pub fn insert(&mut self, node: Node, op: Op, operands: &[Value]) -> Option<Value> {
        let layers = self.graph.layers(node).to_vec();
        let new = self.graph.insert_before(node, op, operands, &layers).ok()?;
        self.push(new);
        Some(self.graph.result(new))
    }

    /// Adds a constant in front of `node`, with its layers.
    pub fn insert_const(&mut self, node: Node, tensor: Tensor) -> Value {
        let layers = self.graph.layers(node).to_vec();
        self.graph.insert_const(node, tensor, &layers)
    }

    /// Puts `values` in place of the node's results and removes it; their producers take over its layers. Gives false, and
    /// changes nothing, when a type would change.
    pub fn replace(&mut self, node: Node, values: &[Value]) -> bool {
        let results = self.graph.results(node).to_vec();
        let same_types = results.len() == values.len()
            && results.iter().zip(values).all(|(&old, &new)| self.graph.ty(old) == self.graph.ty(new));
        if !same_types {
            return false;
        }
        let layers = self.graph.layers(node).to_vec();
        for (&old, &new) in results.iter().zip(values) {
            self.push_users(old);
            self.graph.replace_value(old, new);
            if let Some(producer) = self.graph.def_node(new) {
                self.graph.add_layers(producer, &layers);
                self.push(producer);
            }
        }
        self.remove(node);
        true
    }

    /// Users of the node's only result read `value` instead; the node stays, for its effect. Gives whether there were any.
    pub fn forward(&mut self, node: Node, value: Value) -> bool {
        let result = self.graph.result(node);
        let used = !self.graph.users(result).is_empty() && self.graph.ty(result) == self.graph.ty(value);
        if used {
            self.push_users(result);
            self.graph.replace_value(result, value);
        }
        used
    }

    /// Replaces the node by one with another operation or other operands, and one result of the same type.
    pub fn replace_op(&mut self, node: Node, op: Op, operands: &[Value]) -> bool {
        match self.insert(node, op, operands) {
            // A value of another type stays behind unused, and is removed when its turn comes.
            Some(value) => self.replace(node, &[value]),
            None => false,
        }
    }

    fn push_all(&mut self) {
        for region in self.graph.all_regions() {
            for node in self.graph.nodes(region).collect::<Vec<_>>() {
                self.push(node);
            }
        }
    }

    fn push(&mut self, node: Node) {
        if self.queued.insert(node) {
            self.worklist.push_back(node);
        }
    }

    fn push_users(&mut self, value: Value) {
        for user in self.graph.users(value).to_vec() {
            self.push(user);
        }
    }

    /// The next node that still stands in the graph.
    fn pop(&mut self) -> Option<Node> {
        loop {
            let node = self.worklist.pop_front()?;
            self.queued.remove(&node);
            if self.graph.region_of(node).is_some() {
                return Some(node);
            }
        }
    }

    fn remove_if_unused(&mut self, node: Node) -> bool {
        let unused = self.graph.is_pure(node) && self.graph.is_unused(node);
        if unused {
            self.removed = true;
            self.remove(node);
        }
        unused
    }

    fn remove(&mut self, node: Node) {
        let producers: Vec<Node> =
            self.graph.operands(node).iter().filter_map(|&operand| self.graph.def_node(operand)).collect();
        self.graph.remove(node);
        for producer in producers {
            self.push(producer);
        }
    }

    fn layer_names(&self, node: Node) -> String {
        let names: Vec<&str> =
            self.graph.layers(node).iter().map(|&layer| self.graph.layer(layer).name.as_str()).collect();
        format!("layer {names:?}")
    }
}
