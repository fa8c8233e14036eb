//! `check`: whether a model can be compiled. Runs everything but the code generator, so what it accepts compiles.

use std::collections::BTreeMap;
use std::io;

use octet::driver::{self, Monitor, Plan};
use octet::lower::program::Port;
use serde_json::{Value, json};

use super::args::CheckArgs;
use super::failure::Failure;
use super::failure::print;
use super::progress::Progress;
use super::table::{Align, table};

pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let options = args.model.options()?;
    let mut progress = Progress::new();
    let mut stage = |stage| progress.stage(stage);
    let plan = driver::plan(&args.model.model, &options, &mut Monitor { stage: &mut stage, log: &mut io::stderr() })?;
    progress.clear();
    print(&if args.json { format!("{:#}\n", json_of(&plan)) } else { text(&plan) })
}

/// Number of layers of each type, in the order of their names.
fn kinds(plan: &Plan) -> BTreeMap<&str, usize> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    // The graph remembers the layers that passes removed.
    for (_, layer) in plan.graph.all_layers() {
        *kinds.entry(layer.kind.as_str()).or_default() += 1;
    }
    kinds
}

fn json_of(plan: &Plan) -> Value {
    let port = |port: &Port| {
        json!({
            "name": port.name,
            "type": port.ty.elem.to_string(),
            "shape": port.ty.shape.dims(),
        })
    };
    json!({
        "model": plan.program.name,
        "supported": true,
        "layers": kinds(plan),
        "inputs": plan.program.inputs.iter().map(port).collect::<Vec<Value>>(),
        "outputs": plan.program.outputs.iter().map(port).collect::<Vec<Value>>(),
    })
}

fn text(plan: &Plan) -> String {
    let kinds = kinds(plan);
    let layers: usize = kinds.values().sum();
    let rows: Vec<Vec<String>> =
        kinds.into_iter().map(|(kind, count)| vec![kind.to_owned(), count.to_string()]).collect();
    let ports = |title: &str, ports: &[Port]| -> String {
        ports.iter().map(|port| format!("{title}  {}: {}\n", port.name, port.ty)).collect()
    };
    format!(
        "{}\n{}{}{}: supported, all {layers} layers\n",
        table(&[("layer type", Align::Left), ("layers", Align::Right)], &rows),
        ports("input ", &plan.program.inputs),
        ports("output", &plan.program.outputs),
        plan.program.name,
    )
}
