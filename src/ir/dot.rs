//! A graph as a Graphviz picture: `dot -Tsvg model.dot`. Constants are left out; integers are coloured, so that one sees
//! where the graph computes in 8 bits.

use std::fmt::Write as _;

use super::attrs::attrs_of;
use super::entity::{Node, Region, Value};
use super::graph::{Graph, ValueDef};
use super::op::Op;
use super::ty::ElemType;

/// Longer lists of attributes end in an ellipsis.
const MAX_LABEL: usize = 60;

pub fn to_dot(graph: &Graph) -> String {
    let mut out = format!("digraph {} {{\n  node [shape=box, style=filled, fillcolor=white];\n", escape(&graph.name));
    for index in 0..graph.inputs().len() {
        let name = graph.input_names.get(index).map_or("", String::as_str);
        let _ = writeln!(out, "  {} [label={}, shape=ellipse];", param_id(graph.body(), index), escape(name));
    }
    region(graph, graph.body(), &mut out);
    out + "}\n"
}

fn region(graph: &Graph, id: Region, out: &mut String) {
    for node in graph.nodes(id) {
        if matches!(graph.op(node), Op::Const(_)) {
            continue;
        }
        let _ = writeln!(out, "  {node} [label={}, fillcolor={}];", escape(&label(graph, node)), color(graph, node));
        for &operand in graph.operands(node) {
            edge(graph, operand, node, out);
        }
        for inner in graph.op(node).regions() {
            let _ = writeln!(out, "  subgraph cluster_{} {{\n  label={};", inner.as_u32(), escape(&inner.to_string()));
            for index in 0..graph.params(inner).len() {
                let _ = writeln!(out, "  {} [label=\"\", shape=point];", param_id(inner, index));
            }
            region(graph, inner, out);
            *out += "  }\n";
        }
    }
}

fn edge(graph: &Graph, from: Value, to: Node, out: &mut String) {
    let source = match graph.def(from) {
        ValueDef::Param(region, index) => param_id(region, index),
        ValueDef::Result(node, _) if matches!(graph.op(node), Op::Const(_)) => return,
        ValueDef::Result(node, _) => node.to_string(),
    };
    let _ = writeln!(out, "  {source} -> {to} [label={}];", escape(&graph.ty(from).to_string()));
}

/// Operation, attributes, layer names.
fn label(graph: &Graph, node: Node) -> String {
    let op = graph.op(node);
    let attrs: Vec<String> = attrs_of(op).iter().map(|(name, attr)| format!("{name}={attr}")).collect();
    let mut lines = vec![op.name().to_string(), shorten(&attrs.join(" "))];
    lines.extend(graph.layers(node).iter().map(|&layer| shorten(&graph.layer(layer).name)));
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_LABEL) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text.to_string(),
    }
}

fn color(graph: &Graph, node: Node) -> &'static str {
    match graph.results(node).first().map(|&result| graph.ty(result).elem) {
        Some(ElemType::I8 | ElemType::U8 | ElemType::I4 | ElemType::U4) => "palegreen",
        Some(ElemType::I32 | ElemType::I16) => "lightblue",
        Some(ElemType::F32 | ElemType::F16 | ElemType::BF16) => "white",
        Some(ElemType::I64 | ElemType::Bool) | None => "gray90",
    }
}

fn param_id(region: Region, index: usize) -> String {
    format!("param{}_{index}", region.as_u32())
}

fn escape(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
