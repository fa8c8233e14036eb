//! A report as one HTML page: coverage, the graph with precision by colour, a table with the reasons.
//!
//! The page stands alone: style and drawing are inside, there is no script, nothing is loaded from anywhere. It is
//! well-formed XML too. Every text of the model goes through [`escape`].

mod layout;

use std::fmt::Write as _;

use super::flow::{Flow, Source};
use super::markup::escape;
use super::report::{Report, Row};
use crate::codegen::object::Sizes;
use crate::lower::program::{Port, Program};
use layout::{Layout, NODE_HEIGHT, NODE_WIDTH};

/// Characters of a name that fit into a node of the drawing; the whole name is in its tooltip.
const NAME_CHARS: usize = 30;

/// A box of the drawing.
struct Node {
    /// Class that gives the colour.
    class: &'static str,
    title: String,
    subtitle: String,
    tooltip: String,
    /// Row of the table that tells more.
    row: Option<usize>,
}

/// The page of a report about `program`.
pub fn html(report: &Report<'_>, program: &Program, sizes: Option<&Sizes>) -> String {
    let _ = sizes;
    let title = format!("{}: precision of every layer", escape(report.model));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>{title}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        include_str!("page/style.css")
    );
    page += &coverage(report);
    page += &drawing(report, program);
    page += &table(report);
    page + "</body>\n</html>\n"
}

/// The share in INT8 as text and as a bar, and the meaning of the colours.
fn coverage(report: &Report<'_>) -> String {
    let (int8, all) = report.macs();
    let share = match report.int8_share() {
        Some(share) => format!(
            "<p>{share:.2} % of {all} multiply-accumulates are in INT8 ({int8}).</p>\n\
             <div class=\"bar\"><div class=\"I8\" style=\"width:{share:.2}%\"></div></div>\n"
        ),
        None => "<p>The model has no multiply-accumulates.</p>\n".to_owned(),
    };
    let legend = [("I8", "8-bit integers"), ("I32", "wider integers"), ("FP32", "float")]
        .map(|(class, meaning)| format!("<span class=\"key {class}\">{meaning}</span>"));
    format!("{share}<p>{}</p>\n", legend.join(" "))
}

/// Model inputs, rows and model outputs, and the data between them.
fn drawing(report: &Report<'_>, program: &Program) -> String {
    let inputs = program.inputs.iter().map(|port| port_node(port, "input"));
    let rows = report.rows.iter().enumerate().map(|(index, row)| row_node(index, row));
    let outputs = program.outputs.iter().map(|port| port_node(port, "output"));
    let nodes: Vec<Node> = inputs.chain(rows).chain(outputs).collect();
    let layout = Layout::new(&sources(report, program));
    let mut svg = format!("<div class=\"graph\"><svg width=\"{0}\" height=\"{1}\">\n", layout.width, layout.height);
    for edge in &layout.edges {
        // Writing to a String does not fail.
        let _ = writeln!(svg, "<path class=\"edge\" d=\"{edge}\"/>");
    }
    for (node, &(x, y)) in nodes.iter().zip(&layout.places) {
        svg += &node.svg(x, y);
    }
    svg + "</svg></div>\n"
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
        title: port.name.clone(),
        subtitle: port.ty.to_string(),
        tooltip: format!("{side} {}", port.name),
        row: None,
    }
}

fn row_node(index: usize, row: &Row<'_>) -> Node {
    let mut tooltip = format!("{}\n{}", row.label.layers.join(", "), row.kernel);
    if row.macs != 0 {
        let _ = write!(tooltip, "\n{} MACs", row.macs);
    }
    if let Some(reason) = row.reason {
        let _ = write!(tooltip, "\nin float: {reason}");
    }
    Node {
        class: row.precision,
        title: row.label.layer.clone(),
        subtitle: format!("{} {}", row.label.layer_type, row.precision),
        tooltip,
        row: Some(index),
    }
}

impl Node {
    fn svg(&self, x: f64, y: f64) -> String {
        let centre = x + NODE_WIDTH / 2.0;
        let drawn = format!(
            "<g class=\"{}\"><title>{}</title><rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{NODE_WIDTH}\" \
             height=\"{NODE_HEIGHT}\" rx=\"6\"/><text x=\"{centre:.0}\" y=\"{:.0}\">{}</text>\
             <text class=\"small\" x=\"{centre:.0}\" y=\"{:.0}\">{}</text></g>",
            self.class,
            escape(&self.tooltip),
            y + 17.0,
            escape(&shortened(&self.title)),
            y + 33.0,
            escape(&shortened(&self.subtitle)),
        );
        match self.row {
            Some(row) => format!("<a href=\"#r{row}\">{drawn}</a>\n"),
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

fn table(report: &Report<'_>) -> String {
    let heads = ["layer", "line", "type", "precision", "kernel", "MACs", "share", "reason"];
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    let all = report.macs().1;
    let rows: String = report.rows.iter().enumerate().map(|(index, row)| table_row(index, row, all)).collect();
    format!("<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

/// `all` are the multiply-accumulates of the model.
fn table_row(index: usize, row: &Row<'_>, all: u64) -> String {
    let (macs, share) = match row.macs {
        0 => (String::new(), String::new()),
        macs => (macs.to_string(), format!("{:.2} %", 100.0 * macs as f64 / all as f64)),
    };
    let line = row.line.map(|line| line.to_string()).unwrap_or_default();
    let precision = row.precision;
    format!(
        "<tr id=\"r{index}\"><td title=\"{}\">{}</td><td class=\"number\">{line}</td><td>{}</td>\
         <td class=\"{precision}\">{precision}</td><td>{}</td><td class=\"number\">{macs}</td><td class=\"number\">{share}</td>\
         <td>{}</td></tr>\n",
        escape(&row.label.layers.join(", ")),
        escape(&row.label.layer),
        escape(&row.label.layer_type),
        escape(&row.kernel),
        escape(row.reason.unwrap_or_default()),
    )
}
