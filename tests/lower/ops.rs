//! Operations one by one: the graphs of `ops.oir`, and one of each elementwise function. Together with the other cases they
//! cover the table of operations; [`uncovered`] says what they leave out.

use std::collections::BTreeSet;

use octet::ir::attrs::prototypes;
use octet::ir::parse::parse_text;
use octet::ir::{ElemType, Graph, Op};
use octet::passes::manager;

use super::cases;

const TEXT: &str = include_str!("ops.oir");

/// Operations that no program computes, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("const", "has no steps of its own"),
    ("return", "has no steps of its own"),
    ("read_value", "has cases of its own: state"),
    ("assign", "has cases of its own: state"),
    ("loop", "becomes its body: tests/ir/unroll"),
    ("if", "becomes its branches: tests/ir/unroll"),
];

/// Name and graph of every case; passes have left only what lowering must know.
pub fn cases() -> Vec<(String, Graph)> {
    let case = |text: &str| {
        let (name, graph) = text.split_once('\n').expect("a name, then a graph");
        (name.to_string(), parse(name, graph))
    };
    let rows = TEXT.split("// case: ").skip(1).map(case);
    rows.chain(elementwise()).map(|(name, graph)| (name, legal(graph))).collect()
}

fn parse(name: &str, text: &str) -> Graph {
    parse_text(text, name).unwrap_or_else(|errors| panic!("{name}: {errors}")).graph
}

fn legal(mut graph: Graph) -> Graph {
    let passes = ["unroll", "legalize", "fold"];
    manager::run(&mut graph, &passes, &manager::Options::default(), &mut std::io::sink())
        .unwrap_or_else(|errors| panic!("{errors}"));
    graph
}

/// Each function of one or two elements, of floats, integers, and `bool` where it takes those.
fn elementwise() -> Vec<(String, Graph)> {
    let mut cases = Vec::new();
    for op in prototypes() {
        let operands = match op {
            Op::Unary(_) => 1,
            Op::Binary(_) => 2,
            _ => continue,
        };
        for elem in [ElemType::F32, ElemType::I32, ElemType::Bool] {
            if let Some(graph) = one_operation(&op, elem, operands) {
                cases.push((format!("{} of {elem}", op.name()), graph));
            }
        }
    }
    cases
}

fn one_operation(op: &Op, elem: ElemType, operands: usize) -> Option<Graph> {
    let mut graph = Graph::new("one");
    let inputs: Vec<_> = (0..operands).map(|i| graph.add_input(format!("x{i}"), cases::ty(elem, &[3, 13]))).collect();
    let body = graph.body();
    let node = graph.append(body, op.clone(), &inputs, &[]).ok()?;
    graph.output_names = vec!["y".into()];
    let result = graph.result(node);
    graph.append(body, Op::Return, &[result], &[]).ok()?;
    octet::ir::verify::verify(&graph).is_ok().then_some(graph)
}

/// Operations of the table that no case has.
pub fn uncovered() -> Vec<&'static str> {
    let mut covered: BTreeSet<&str> = EXEMPT.iter().map(|(name, _)| *name).collect();
    let rows = TEXT.split("// case: ").skip(1).filter_map(|text| text.split_once('\n'));
    let written = rows.map(|(name, text)| parse(name, text));
    for graph in
        written.chain(elementwise().into_iter().map(|(_, graph)| graph)).chain(cases::all().iter().map(cases::graph))
    {
        covered.extend(graph.body_nodes().map(|node| graph.op(node).name()));
    }
    prototypes().iter().map(Op::name).filter(|name| !covered.contains(name)).collect()
}
