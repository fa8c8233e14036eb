//! Operations one by one: the graphs of `ops.oir`.

use octet::ir::Graph;
use octet::ir::parse::parse_text;

const TEXT: &str = include_str!("ops.oir");

/// Name and graph of every case.
pub fn cases() -> Vec<(String, Graph)> {
    let case = |text: &str| {
        let (name, graph) = text.split_once('\n').expect("a name, then a graph");
        let parsed = parse_text(graph, name).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        (name.to_string(), parsed.graph)
    };
    TEXT.split("// case: ").skip(1).map(case).collect()
}
