//! The graph of a page as SVG: a box for every row, input and output, coloured by precision; edges where data goes.

use std::fmt::Write as _;

use super::layout::{Layout, NODE_HEIGHT, NODE_WIDTH};
use super::{class, megas};
use crate::emit::flow::{Flow, Source};
use crate::emit::markup::escape;
use crate::emit::report::{Report, Row};
use crate::lower::program::{Port, Program};

/// Characters of a name that fit into a box; the whole name is in its tooltip.
const NAME_CHARS: usize = 30;

struct Node {
    class: &'static str,
    title: String,
    /// Right of the title.
    note: String,
    subtitle: String,
    tooltip: String,
    /// Row that tells more.
    row: Option<usize>,
    /// Share of the model's multiply-accumulates, from 0 to 1.
    share: f64,
}

pub fn svg(report: &Report<'_>, program: &Program) -> String {
    let all = report.macs().1;
    let inputs = program.inputs.iter().map(|port| port_node(port, "Input"));
    let rows = report.rows.iter().enumerate().map(|(index, row)| row_node(index, row, all));
    let outputs = program.outputs.iter().map(|port| port_node(port, "Output"));
    let nodes: Vec<Node> = inputs.chain(rows).chain(outputs).collect();
    let layout = Layout::new(&sources(report, program));
    let (width, height) = (layout.width, layout.height);
    let mut svg = format!(
        "<svg class=\"graph\" role=\"img\" aria-label=\"graph of the model\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\">\n"
    );
    for (_, _, path) in &layout.edges {
        // Writing to a String does not fail.
        let _ = writeln!(svg, "<path class=\"edge\" d=\"{path}\"/>");
    }
    for (node, &(x, y)) in nodes.iter().zip(&layout.places) {
        svg += &node.svg(x, y);
    }
    svg + "</svg>\n"
}

/// For each node of the drawing the nodes it reads from; those come before it.
fn sources(report: &Report<'_>, program: &Program) -> Vec<Vec<usize>> {
    let flow = Flow::new(program);
    let inputs = program.inputs.len();
    let row_of_step: Vec<usize> =
        report.rows.iter().enumerate().flat_map(|(row, of)| of.steps.clone().map(move |_| row)).collect();
    let node = |source: &Source| match *source {
        Source::Input(index) => index,
        Source::Step(index) => inputs + row_of_step[index],
    };
    let distinct = |sources: &mut dyn Iterator<Item = usize>| {
        let mut sources: Vec<usize> = sources.collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    };
    let mut all = vec![Vec::new(); inputs];
    for (index, row) in report.rows.iter().enumerate() {
        let reads = flow.steps[row.steps.clone()].iter().flatten().map(node);
        all.push(distinct(&mut reads.filter(|&source| source != inputs + index)));
    }
    all.extend(flow.outputs.iter().map(|writers| distinct(&mut writers.iter().map(node))));
    all
}

fn port_node(port: &Port, side: &str) -> Node {
    Node {
        class: "port",
        title: side.to_owned(),
        note: String::new(),
        subtitle: format!("{} {}", port.name, port.ty),
        tooltip: format!("{side} {}: {}", port.name, port.ty),
        row: None,
        share: 0.0,
    }
}

/// `all` are the multiply-accumulates of the model.
fn row_node(index: usize, row: &Row<'_>, all: u64) -> Node {
    let mut tooltip = format!("{}\n{}", row.label.layers.join(",\n"), row.kernel);
    if row.macs != 0 {
        let _ = write!(tooltip, "\n{} MACs", megas(row.macs));
    }
    if let Some(reason) = row.reason {
        let _ = write!(tooltip, "\nin float: {reason}");
    }
    let share = if all == 0 { 0.0 } else { row.macs as f64 / all as f64 };
    Node {
        class: class(row),
        title: row.label.layer_type.clone(),
        note: if share >= 0.0005 { format!("{:.1} %", 100.0 * share) } else { String::new() },
        subtitle: row.label.layer.clone(),
        tooltip,
        row: Some(index),
        share,
    }
}

impl Node {
    fn svg(&self, x: f64, y: f64) -> String {
        let (left, right) = (x + 12.0, x + NODE_WIDTH - 10.0);
        let bar = if self.share > 0.0 {
            // Areas of bars would be too small to see below a per cent; lengths are of the root.
            let length = (NODE_WIDTH - 12.0) * self.share.sqrt();
            format!(
                "<rect class=\"bar\" x=\"{:.0}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"3\"/>",
                x + 6.0,
                y + NODE_HEIGHT - 4.0
            )
        } else {
            String::new()
        };
        let drawn = format!(
            "<g class=\"node {}\"><title>{}</title>\
             <rect class=\"box\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{NODE_WIDTH}\" height=\"{NODE_HEIGHT}\" rx=\"7\"/>\
             <rect class=\"edge-of-box\" x=\"{x:.0}\" y=\"{:.0}\" width=\"4\" height=\"{}\" rx=\"2\"/>{bar}\
             <text class=\"title\" x=\"{left:.0}\" y=\"{:.0}\">{}</text>\
             <text class=\"note\" x=\"{right:.0}\" y=\"{:.0}\">{}</text>\
             <text class=\"small\" x=\"{left:.0}\" y=\"{:.0}\">{}</text></g>",
            self.class,
            escape(&self.tooltip),
            y + 7.0,
            NODE_HEIGHT - 14.0,
            y + 18.0,
            escape(&shortened(&self.title)),
            y + 18.0,
            escape(&self.note),
            y + 34.0,
            escape(&shortened(&self.subtitle)),
        );
        match self.row {
            Some(row) => format!("<a href=\"#d{row}\">{drawn}</a>\n"),
            None => drawn + "\n",
        }
    }
}

/// The end of a long name: it tells layers apart, the beginning is the path to the block.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_CHARS {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - NAME_CHARS + 1).collect();
    format!("\u{2026}{end}")
}
