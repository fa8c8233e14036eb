//! `opt`: passes on a graph in a file, and the graph as text.

use std::io;

use octet::diag::codes;
use octet::driver;
use octet::ir::print::{PrintOptions, print as print_graph};
use octet::ir::{Graph, dot, file};
use octet::passes::{PASSES, PIPELINE, manager};

use super::args::OptArgs;
use super::failure::Failure;
use super::failure::print;
use super::table::{Align, table};

/// In `--passes`: those of the compiler.
const ALL: &str = "all";

pub fn run(args: &OptArgs) -> Result<(), Failure> {
    if args.list {
        return print(&list());
    }
    let file = args
        .file
        .as_deref()
        .ok_or_else(|| Failure::usage(&codes::COMMAND_LINE, "give a model or an .oir file, or --list"))?;
    let mut graph = driver::load(file, &args.shapes.options())?.graph;
    let passes: Vec<&str> = args.passes.iter().flat_map(|name| expand(name)).collect();
    manager::run(&mut graph, &passes, &args.pass_options.options(), &mut io::stderr())?;
    match &args.output {
        Some(path) => Ok(file::write(&graph, path)?),
        None if args.dot => print(&dot::to_dot(&graph)),
        None => print(&graph_text(&graph)),
    }
}

/// The passes that a word of `--passes` stands for.
fn expand(word: &str) -> Vec<&str> {
    if word == ALL { PIPELINE.to_vec() } else { vec![word] }
}

/// Large constants are elided: they belong into a file.
fn graph_text(graph: &Graph) -> String {
    print_graph(graph, &PrintOptions::log()).text
}

fn list() -> String {
    let rows: Vec<Vec<String>> = PASSES.iter().map(|pass| vec![pass.name.to_owned(), pass.doc.to_owned()]).collect();
    format!(
        "{}\n{ALL}: {}\n",
        table(&[("pass", Align::Left), ("what it does", Align::Left)], &rows),
        PIPELINE.join(",")
    )
}
