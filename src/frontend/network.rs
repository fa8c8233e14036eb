//! From records to a wired network: ids become indices, and the layers come in an order of evaluation.
//!
//! Plan: index the ids (each once), resolve each edge to (producer, output) (each input port exactly once), then sort
//! topologically with a heap, so that layers which are already in order keep the file's order. Nothing recurses: a
//! hostile file can make a chain of any length.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::diag::{Diagnostic, Place, codes};

use super::xml::{EdgeXml, LayerXml, Net};

/// Output `port` (an index, not an id) of layer `layer` (an index).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub layer: usize,
    pub port: usize,
}

/// A checked network.
#[derive(Debug)]
pub struct Network {
    /// Per layer, per input port in the file's order.
    pub inputs: Vec<Vec<Source>>,
    /// Layer indices, producers first.
    pub order: Vec<usize>,
    /// Layer ids, as bodies' port maps name them.
    pub by_id: BTreeMap<u64, usize>,
}

/// What a layer is called in a message: `layer "conv1"`.
pub fn place(file: &str, layer: &LayerXml) -> Place {
    Place::line(file, layer.line).with_item(format!("layer \"{}\"", layer.name))
}

/// Resolves the net's edges and orders its layers; `None` after problems were added.
pub fn resolve(net: &Net, file: &str, problems: &mut Vec<Diagnostic>) -> Option<Network> {
    let before = problems.len();
    let by_id = index_layers(net, file, problems);
    if problems.len() > before {
        return None;
    }
    let inputs = wire(net, &by_id, file, problems);
    if problems.len() > before {
        return None;
    }
    let order = sort(net, &inputs, file, problems)?;
    Some(Network { inputs, order, by_id })
}

fn index_layers(net: &Net, file: &str, problems: &mut Vec<Diagnostic>) -> BTreeMap<u64, usize> {
    let mut by_id = BTreeMap::new();
    for (index, layer) in net.layers.iter().enumerate() {
        if let Some(first) = by_id.insert(layer.id, index) {
            let other = &net.layers[first];
            let message = format!("id {} is already that of layer \"{}\" in line {}", layer.id, other.name, other.line);
            problems.push(broken(place(file, layer), message));
        }
        check_ports(layer, file, problems);
    }
    by_id
}

fn check_ports(layer: &LayerXml, file: &str, problems: &mut Vec<Diagnostic>) {
    for ports in [&layer.inputs, &layer.outputs] {
        let mut ids: Vec<u64> = ports.iter().map(|port| port.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            problems.push(broken(place(file, layer), format!("port id {} occurs twice", pair[0])));
        }
    }
}

fn wire(net: &Net, by_id: &BTreeMap<u64, usize>, file: &str, problems: &mut Vec<Diagnostic>) -> Vec<Vec<Source>> {
    let before = problems.len();
    let mut inputs: Vec<Vec<Option<Source>>> = net.layers.iter().map(|layer| vec![None; layer.inputs.len()]).collect();
    for edge in &net.edges {
        let ends = resolve_edge(net, by_id, edge);
        let taken = ends.and_then(|(source, layer, port)| match inputs[layer][port].replace(source) {
            Some(_) => Err(format!("a second edge leads to port {} of layer {}", edge.to.1, edge.to.0)),
            None => Ok(()),
        });
        if let Err(message) = taken {
            problems.push(broken(Place::line(file, edge.line), message));
        }
    }
    // an edge that was refused is already the reason for an input without one
    let layers = if problems.len() > before { [].iter() } else { net.layers.iter() };
    for (layer, sources) in layers.zip(&inputs) {
        for (port, _) in layer.inputs.iter().zip(sources).filter(|(_, source)| source.is_none()) {
            problems.push(broken(place(file, layer), format!("no edge leads to input port {}", port.id)));
        }
    }
    inputs.into_iter().map(|sources| sources.into_iter().flatten().collect()).collect()
}

fn resolve_edge(net: &Net, by_id: &BTreeMap<u64, usize>, edge: &EdgeXml) -> Result<(Source, usize, usize), String> {
    let layer = |id: u64, verb: &str| {
        by_id.get(&id).copied().ok_or_else(|| format!("edge {verb} layer {id}, which does not exist"))
    };
    let from = layer(edge.from.0, "from")?;
    let to = layer(edge.to.0, "to")?;
    let output = net.layers[from].outputs.iter().position(|port| port.id == edge.from.1);
    let input = net.layers[to].inputs.iter().position(|port| port.id == edge.to.1);
    match (output, input) {
        (Some(output), Some(input)) => Ok((Source { layer: from, port: output }, to, input)),
        (None, _) => {
            Err(format!("edge from output port {} of layer {}, which has no such port", edge.from.1, edge.from.0))
        }
        (_, None) => Err(format!("edge to input port {} of layer {}, which has no such port", edge.to.1, edge.to.0)),
    }
}

fn sort(net: &Net, inputs: &[Vec<Source>], file: &str, problems: &mut Vec<Diagnostic>) -> Option<Vec<usize>> {
    let mut missing: Vec<usize> = inputs.iter().map(Vec::len).collect();
    let mut users = vec![Vec::new(); inputs.len()];
    for (layer, sources) in inputs.iter().enumerate() {
        for source in sources {
            users[source.layer].push(layer);
        }
    }
    let ready = missing.iter().enumerate().filter(|&(_, &count)| count == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(|(layer, _)| Reverse(layer)).collect();
    let mut order = Vec::with_capacity(inputs.len());
    while let Some(Reverse(layer)) = ready.pop() {
        order.push(layer);
        for &user in &users[layer] {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if order.len() == inputs.len() {
        return Some(order);
    }
    problems.push(cycle(net, inputs, &missing, file));
    None
}

/// Names the layers of one cycle. `missing` is what the sort left: positive on every cycle and behind it.
fn cycle(net: &Net, inputs: &[Vec<Source>], missing: &[usize], file: &str) -> Diagnostic {
    let mut layer = missing.iter().position(|&count| count > 0).unwrap_or(0);
    let mut path = Vec::new();
    let mut seen = vec![false; inputs.len()];
    while !std::mem::replace(&mut seen[layer], true) {
        path.push(layer);
        // a layer that waits has an input that waits
        layer = inputs[layer].iter().map(|source| source.layer).find(|&from| missing[from] > 0).unwrap_or(layer);
    }
    let start = path.iter().position(|&step| step == layer).unwrap_or(0);
    let names: Vec<String> =
        path[start..].iter().rev().take(8).map(|&step| format!("\"{}\"", net.layers[step].name)).collect();
    let more = if path.len() - start > 8 { ", .." } else { "" };
    broken(
        place(file, &net.layers[layer]),
        format!("its input depends on its own output, by way of {}{more}", names.join(", ")),
    )
}

fn broken(place: Place, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(&codes::BROKEN_NETWORK, place, message).with_help("the file is damaged: export the model again")
}
