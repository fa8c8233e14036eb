//! OpenVINO IR to graph: the only place that knows XML, layer versions and the .bin file.
//!
//! ```text
//! model.xml ── xml ──► records ── network ──► wired, ordered ──┐
//! --shape, --batch ── shapes ──► types of the inputs ──────────┤
//! model.bin ── weights ──► constants ──────────────────────────┴─ build, layers ──► Graph
//! ```
//!
//! - `xml`: layers, ports and edges with their lines, nothing interpreted;
//! - `network`: ids resolved, cycles refused, topological order;
//! - `elements`: element types and dimensions as OpenVINO writes them;
//! - `shapes`: the inputs' shapes;
//! - `weights`: constants out of the .bin file;
//! - `fold`: values of constant subgraphs, on demand: operands that the graph has as attributes;
//! - `context`: what the import of one layer sees; `layers`: one rule per layer type and version;
//! - `build`: runs the rules.
//!
//! Dimensions in the XML are not trusted, not even read: `ir::infer` computes every shape from the inputs' shapes.
//! All problems are collected; those with a common root are reported once. No input, however hostile, panics,
//! recurses or allocates without a bound set by the sizes of the two files.

mod build;
mod context;
mod elements;
mod fold;
mod layers;
mod minifloats;
mod network;
mod shapes;
mod weights;
mod xml;

use std::collections::BTreeMap;
use std::path::Path;

use crate::diag::{Diagnostic, Diagnostics, Place, Result, Severity, codes};
use crate::ir::{ElemType, Graph, TensorType, Value};

use build::{Importer, Outputs};
use context::Fault;
use elements::Stored;
use network::Network;
use shapes::Declared;
use xml::{LayerXml, Net, Reader};

/// Problems that are reported at once.
const MAX_SHOWN: usize = 50;

/// What the user decides about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Dimension 0 of every input without an entry in `shapes`.
    pub batch: Option<usize>,
    /// Shapes of inputs, by any of their tensor names.
    pub shapes: Vec<(String, Vec<usize>)>,
    /// Name of the graph; by default the model's own name.
    pub name: Option<String>,
}

/// Imports `model.xml` and the `model.bin` beside it.
///
/// # Errors
/// Every problem found in the files or with the options.
pub fn import_files(xml_path: &Path, options: &ImportOptions) -> Result<Graph> {
    let file = xml_path.to_string_lossy();
    let text = read(xml_path, "give the .xml file of an OpenVINO IR")?;
    let text = String::from_utf8(text).map_err(|_| {
        let help = "give the .xml file of an OpenVINO IR";
        Diagnostic::error(&codes::NOT_TEXT, Place::file(file.clone()), "the file is not UTF-8 text").with_help(help)
    })?;
    let bin =
        read(&xml_path.with_extension("bin"), "the weights must stand beside the .xml file, under the same name")?;
    import(&text, &file, &bin, options)
}

fn read(path: &Path, help: &str) -> std::result::Result<Vec<u8>, Diagnostic> {
    std::fs::read(path).map_err(|error| {
        let place = Place::file(path.to_string_lossy());
        Diagnostic::error(&codes::UNREADABLE, place, format!("cannot be read: {error}")).with_help(help)
    })
}

/// Imports a model from memory. `xml_name` is the name of the XML file in messages.
///
/// # Errors
/// Every problem found in the texts or with the options.
pub fn import(xml_text: &str, xml_name: &str, bin: &[u8], options: &ImportOptions) -> Result<Graph> {
    let document = xml::parse(xml_text, xml_name)?;
    let mut problems = Vec::new();
    let (name, net) = Reader::new(xml_text, xml_name, &mut problems).model(&document);
    if !problems.is_empty() {
        return Err(shown(problems));
    }
    layers::check(&net, xml_name, &mut problems);
    let network = network::resolve(&net, xml_name, &mut problems);
    let inputs = input_types(&net, options, xml_name, &mut problems);
    let (Some(network), Some(inputs), true) = (network, inputs, problems.is_empty()) else {
        return Err(shown(problems));
    };
    let reshaped = options.batch.is_some() || !options.shapes.is_empty();
    let name = options.name.as_deref().or(name).unwrap_or("model");
    let mut importer = Importer::new(name.to_owned(), bin, xml_name, reshaped);
    build_graph(&mut importer, &net, &network, inputs);
    if importer.problems.is_empty() { Ok(build::without_unused(importer.graph)) } else { Err(shown(importer.problems)) }
}

/// The first problems, and how many more there are: a truncated .bin breaks thousands of layers.
fn shown(mut problems: Vec<Diagnostic>) -> Diagnostics {
    let more = problems.len().saturating_sub(MAX_SHOWN);
    problems.truncate(MAX_SHOWN);
    if more > 0 {
        let note = Diagnostic::warning(Place::default(), format!("{more} more problems, not shown"));
        problems.push(Diagnostic { severity: Severity::Note, ..note });
    }
    Diagnostics(problems)
}

/// An input of the model: index of its layer, name, type.
struct Input {
    layer: usize,
    name: String,
    ty: TensorType,
}

fn input_types(net: &Net, options: &ImportOptions, file: &str, problems: &mut Vec<Diagnostic>) -> Option<Vec<Input>> {
    let before = problems.len();
    let parameters = net.layers.iter().enumerate().filter(|(_, layer)| layers::is_kind(layer, "Parameter"));
    let mut declared = Vec::new();
    let mut elems = Vec::new();
    let mut used = BTreeMap::new();
    for (index, layer) in parameters {
        match declare(layer, file) {
            Ok((elem, input)) => {
                let name = unique(input.name.clone(), &mut used);
                declared.push(Declared { name, ..input });
                elems.push((index, elem));
            }
            Err(fault) => problems.push(Diagnostic {
                help: fault.help,
                ..Diagnostic::error(&codes::WRONG_LAYER, network::place(file, layer), fault.message)
            }),
        }
    }
    let shapes = shapes::resolve(&declared, options, file, problems)?;
    let typed = elems.into_iter().zip(declared).zip(shapes);
    let inputs = typed.map(|(((layer, elem), input), shape)| Input {
        layer,
        name: input.name,
        ty: TensorType::new(elem, shape),
    });
    (problems.len() == before).then(|| inputs.collect())
}

fn declare(layer: &LayerXml, file: &str) -> context::Fallible<(ElemType, Declared)> {
    let attr = |name: &str| {
        layer.attr(name).ok_or_else(|| {
            Fault::new(format!("the attribute {name} is missing")).help("the file is damaged: export the model again")
        })
    };
    let elem = border_elem(attr("element_type")?)?;
    let dims = elements::parse_dims(attr("shape")?)?;
    let mut aliases = layer.outputs.first().map(|port| tensor_names(port.names)).unwrap_or_default();
    aliases.push(layer.name.to_owned());
    let name = aliases[0].clone();
    Ok((elem, Declared { name, aliases, dims, place: network::place(file, layer) }))
}

/// Types that a model's inputs may have.
fn border_elem(name: &str) -> context::Fallible<ElemType> {
    let allowed =
        [ElemType::F32, ElemType::F16, ElemType::I64, ElemType::I32, ElemType::I8, ElemType::U8, ElemType::Bool];
    match Stored::parse(name) {
        Ok(Stored::Same(elem)) if allowed.contains(&elem) => Ok(elem),
        Ok(_) | Err(_) => Err(Fault::new(format!("an input of element type {name} is not supported")).help(
            "give the model inputs of f32, f16, i64, i32, i8, u8 or boolean (OpenVINO's PrePostProcessor does that)",
        )),
    }
}

fn build_graph(importer: &mut Importer, net: &Net, network: &Network, inputs: Vec<Input>) {
    let mut params = BTreeMap::new();
    for input in inputs {
        params.insert(input.layer, importer.graph.add_input(input.name, input.ty));
    }
    let body = importer.graph.body();
    let outputs = importer.net(net, network, body, &params);
    let results = collect_results(importer, net, network, &outputs);
    if let Some(results) = results
        && let Err(fault) = importer.finish(body, &results)
    {
        importer.problems.push(Diagnostic::internal(Place::file(importer.file), fault.message));
    }
}

/// The operands of the Result layers, in the file's order, which is the order of the model's outputs.
fn collect_results(importer: &mut Importer, net: &Net, network: &Network, outputs: &Outputs) -> Option<Vec<Value>> {
    let mut results = Vec::new();
    let mut used = BTreeMap::new();
    let mut complete = true;
    for (index, layer) in net.layers.iter().enumerate().filter(|(_, layer)| layers::is_kind(layer, "Result")) {
        let [source] = network.inputs[index].as_slice() else {
            importer.fault(layer, Fault::new("it must have one input").help("export the model again"));
            continue;
        };
        match outputs[index].as_deref() {
            Some(values) => results.extend(values),
            None => complete = false,
        }
        let producer = &net.layers[source.layer];
        importer.graph.output_names.push(unique(output_name(layer, producer, source.port), &mut used));
    }
    if results.is_empty() && complete {
        let message = "the model has no Result: nothing to compute";
        let help = "export the model again, with outputs";
        importer
            .problems
            .push(Diagnostic::error(&codes::NO_RESULT, Place::file(importer.file), message).with_help(help));
    }
    complete.then_some(results)
}

fn output_name(result: &LayerXml, producer: &LayerXml, port: usize) -> String {
    let names = tensor_names(producer.outputs.get(port).and_then(|port| port.names));
    let fallback = if producer.name.is_empty() { result.name } else { producer.name };
    match names.into_iter().next() {
        Some(name) => name,
        None if producer.outputs.len() > 1 => format!("{fallback}.{port}"),
        None => fallback.to_owned(),
    }
}

/// Splits `a,b\,c` at commas without a backslash.
fn tensor_names(text: Option<&str>) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut escaped = false;
    for char in text.unwrap_or_default().chars() {
        match (char, escaped) {
            ('\\', false) => {
                escaped = true;
                continue;
            }
            (',', false) => names.push(String::new()),
            (char, _) => {
                if let Some(name) = names.last_mut() {
                    name.push(char);
                }
            }
        }
        escaped = false;
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The name, with a number behind it if it is taken. `used` holds, per name, the number to try next.
fn unique(name: String, used: &mut BTreeMap<String, usize>) -> String {
    let name = if name.is_empty() { "value".to_owned() } else { name };
    let mut candidate = name.clone();
    while used.contains_key(&candidate) {
        let number = used.entry(name.clone()).or_insert(2);
        candidate = format!("{name}.{number}");
        *number += 1;
    }
    used.insert(candidate.clone(), 2);
    candidate
}
