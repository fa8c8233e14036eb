//! From a checked network to the graph: layer after layer, in order.
//!
//! A layer that fails leaves its outputs undefined; layers that depend on them are skipped in silence, so that each
//! fault is reported once, at its root.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, codes};
use crate::ir::graph::LayerData;
use crate::ir::{Graph, Node, Op, Region, Value};

use super::context::{Context, Fallible, Fault};
use super::fold::Folder;
use super::layers;
use super::network::{Network, place};
use super::weights::Weights;
use super::xml::{LayerXml, Net};

/// What to do when a layer makes no sense: with the shapes of the file, and with those of the user.
const REPORT: &str = "export the model again; if OpenVINO itself reads it, report this as a bug of octet";
const RESHAPED: &str = "the model's layers may not allow the shapes of --shape or --batch: try without them";

/// Elements of constants that layers may create in all: ranges, masks, folded normalisations.
const CREATED_ELEMENTS: usize = 1 << 26;

/// Everything that grows during an import.
#[derive(Debug)]
pub struct Importer<'i> {
    pub graph: Graph,
    pub folder: Folder,
    pub weights: Weights<'i>,
    /// Name of the XML file in messages.
    pub file: &'i str,
    pub problems: Vec<Diagnostic>,
    /// What to do about a fault that has no better advice.
    remedy: &'static str,
    /// Elements that layers may still create.
    pub allowance: usize,
}

/// Results of the layers of one net: `None` after a fault, which has been reported.
pub type Outputs = Vec<Option<Vec<Value>>>;

impl<'i> Importer<'i> {
    pub fn new(name: String, bin: &'i [u8], file: &'i str, reshaped: bool) -> Importer<'i> {
        Importer {
            graph: Graph::new(name),
            folder: Folder::default(),
            weights: Weights::new(bin),
            file,
            problems: Vec::new(),
            remedy: if reshaped { RESHAPED } else { REPORT },
            allowance: CREATED_ELEMENTS,
        }
    }

    /// Imports all layers of a net into a region. `params` gives the values of its Parameter layers by index.
    pub fn net(&mut self, net: &Net, network: &Network, region: Region, params: &BTreeMap<usize, Value>) -> Outputs {
        let mut outputs: Outputs = vec![None; net.layers.len()];
        for &index in &network.order {
            let layer = &net.layers[index];
            if layers::is_kind(layer, "Parameter") {
                outputs[index] = params.get(&index).map(|&value| vec![value]);
            } else if let Some(operands) = self.operands(net, network, index, &outputs) {
                outputs[index] = self.layer(layer, &operands, region);
            }
        }
        outputs
    }

    /// The operands of a layer; `None` when one is undefined.
    fn operands(&mut self, net: &Net, network: &Network, index: usize, outputs: &Outputs) -> Option<Vec<Value>> {
        let mut operands = Vec::new();
        for source in &network.inputs[index] {
            let values = outputs[source.layer].as_ref()?;
            let Some(&value) = values.get(source.port) else {
                let (layer, from) = (&net.layers[index], &net.layers[source.layer]);
                let message = format!(
                    "it reads output {} of {} \"{}\", which octet does not compute",
                    source.port, from.kind, from.name
                );
                self.fault(layer, Fault::unsupported(message));
                return None;
            };
            operands.push(value);
        }
        Some(operands)
    }

    fn layer(&mut self, layer: &LayerXml, operands: &[Value], region: Region) -> Option<Vec<Value>> {
        let data = LayerData { name: layer.name.to_owned(), kind: layer.kind.to_owned(), line: layer.line };
        let source = self.graph.add_layer(data);
        // layers without a rule were reported before the import began
        let rule = layers::find(layer).ok()?;
        let mut context = Context { importer: self, layer, source, region, operands };
        match layers::import(&mut context, rule) {
            Ok(values) => Some(values),
            Err(fault) => {
                self.fault(layer, fault);
                None
            }
        }
    }

    pub fn fault(&mut self, layer: &LayerXml, fault: Fault) {
        let place = place(self.file, layer);
        let message = format!("{}: {}", layer.kind, fault.message);
        let help = fault.help.unwrap_or_else(|| self.remedy.to_owned());
        self.problems.push(Diagnostic::error(&codes::WRONG_LAYER, place, message).with_help(help));
    }

    /// Ends a region.
    pub fn finish(&mut self, region: Region, results: &[Value]) -> Fallible<()> {
        let ended = self.graph.append(region, Op::Return, results, &[]);
        ended.map(|_| ()).map_err(|reason| Fault::new(format!("internal error: {reason}")))
    }
}

/// The graph without what its results do not need: shape arithmetic above all. Inputs stay, used or not.
pub fn without_unused(graph: Graph) -> Graph {
    let mut graph = graph;
    let body = graph.body();
    remove_unused(&mut graph, body);
    graph
}

fn remove_unused(graph: &mut Graph, region: Region) {
    let nodes: Vec<Node> = graph.nodes(region).collect();
    for node in nodes.into_iter().rev() {
        let unused = graph.results(node).iter().all(|&result| graph.users(result).is_empty());
        if unused && graph.op(node).info().pure {
            graph.remove(node);
            continue;
        }
        for inner in graph.op(node).regions() {
            remove_unused(graph, inner);
        }
    }
}
