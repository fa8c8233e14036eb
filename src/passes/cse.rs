//! Pass `cse`: equal operations on the same operands become one, the first of them; so do equal constants.
//!
//! Two operations are equal when name, attributes and result types are, as the text form writes them: it omits nothing.
//! Operands of commutative operations are compared as a set. One that stands in an enclosing region is visible in inner
//! ones, never the other way round. Operations with regions or effects are left alone.

use std::collections::BTreeMap;

use super::PassContext;
use crate::diag;
use crate::ir::attrs::attrs_of;
use crate::ir::dense::content_hash;
use crate::ir::{Graph, Node, Op, Region, Value};

pub fn run(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    let mut seen = BTreeMap::new();
    let body = graph.body();
    Ok(region(graph, body, &mut seen))
}

/// What makes two operations equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A hash of the elements stands for them, which are compared before a merge.
    Constant {
        ty: String,
        hash: u64,
    },
    Operation {
        name: &'static str,
        attrs: String,
        types: String,
        operands: Vec<Value>,
    },
}

fn region(graph: &mut Graph, id: Region, seen: &mut BTreeMap<Key, Node>) -> bool {
    let mut changed = false;
    let mut added = Vec::new();
    for node in graph.nodes(id).collect::<Vec<Node>>() {
        for inner in graph.op(node).regions() {
            changed |= region(graph, inner, seen);
        }
        let Some(key) = key(graph, node) else {
            continue;
        };
        match seen.get(&key) {
            Some(&first) if same_constant(graph, first, node) => {
                merge(graph, first, node);
                changed = true;
            }
            Some(_) => {}
            None => {
                seen.insert(key.clone(), node);
                added.push(key);
            }
        }
    }
    for key in added {
        seen.remove(&key);
    }
    changed
}

fn key(graph: &Graph, node: Node) -> Option<Key> {
    let op = graph.op(node);
    if let Op::Const(id) = op {
        let tensor = graph.tensor(*id);
        return Some(Key::Constant { ty: tensor.ty().to_string(), hash: content_hash(&tensor.to_bytes()) });
    }
    if !op.info().pure || !op.regions().is_empty() {
        return None;
    }
    let mut operands = graph.operands(node).to_vec();
    if matches!(op, Op::Binary(binary) if binary.commutes()) {
        operands.sort();
    }
    let types = graph.results(node).iter().map(|&result| graph.ty(result));
    Some(Key::Operation {
        name: op.name(),
        attrs: format!("{:?}", attrs_of(op)),
        types: format!("{:?}", types.collect::<Vec<_>>()),
        operands,
    })
}

/// False only for constants whose hashes collide.
fn same_constant(graph: &Graph, first: Node, second: Node) -> bool {
    match (graph.op(first), graph.op(second)) {
        (Op::Const(a), Op::Const(b)) => a == b || graph.tensor(*a).to_bytes() == graph.tensor(*b).to_bytes(),
        (_, _) => true,
    }
}

fn merge(graph: &mut Graph, first: Node, second: Node) {
    let pairs: Vec<(Value, Value)> =
        graph.results(second).iter().copied().zip(graph.results(first).iter().copied()).collect();
    for (old, new) in pairs {
        graph.replace_value(old, new);
    }
    let layers = graph.layers(second).to_vec();
    graph.add_layers(first, &layers);
    graph.remove(second);
}
