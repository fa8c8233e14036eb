//! The final steps as an execution graph in OpenVINO's XML, for Netron and for tools that read such graphs.
//!
//! As OpenVINO writes it: one layer per kernel call, with `execOrder`, `originalLayersNames`, `primitiveType`,
//! `runtimePrecision` and `outputPrecisions`; edges for the data. Layers are the model's inputs, the steps in order, the
//! model's outputs. Constants are part of the step that reads them. The dimensions of a step's port are those its kernel
//! loops over: channels last, perhaps merged. An input port repeats the type of its source; readers compare them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::flow::{Flow, Source};
use super::markup::escape;
use crate::ir::ElemType;
use crate::lower::kernel::KernelSpec;
use crate::lower::pointwise::Epilogue;
use crate::lower::program::{Port, Program, Step};

/// A node of the graph; its number among the layers is its id.
struct Layer {
    name: String,
    kind: String,
    original: String,
    primitive: String,
    precision: &'static str,
    output_precisions: String,
    sources: Vec<Source>,
    /// None for an output of the model.
    output: Option<PortType>,
}

/// Precision as the XML spells it, and dimensions.
#[derive(Clone)]
struct PortType {
    precision: &'static str,
    dims: Vec<usize>,
}

/// The whole file.
pub fn xml(program: &Program) -> String {
    let layers = layers(program, Flow::new(program));
    let id = |source: Source| match source {
        Source::Input(index) => index,
        Source::Step(index) => program.inputs.len() + index,
    };
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<net name=\"{}\" version=\"10\">\n\t<layers>\n",
        escape(&program.name)
    );
    for (order, layer) in layers.iter().enumerate() {
        let inputs: Vec<PortType> =
            layer.sources.iter().filter_map(|&source| layers[id(source)].output.clone()).collect();
        text += &layer.xml(order, &inputs);
    }
    text += "\t</layers>\n\t<edges>\n";
    for (to, layer) in layers.iter().enumerate() {
        for (to_port, &source) in layer.sources.iter().enumerate() {
            let from = id(source);
            let from_port = layers[from].sources.len();
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "\t\t<edge from-layer=\"{from}\" from-port=\"{from_port}\" to-layer=\"{to}\" to-port=\"{to_port}\"/>"
            );
        }
    }
    text + "\t</edges>\n</net>\n"
}

fn layers(program: &Program, flow: Flow) -> Vec<Layer> {
    let inputs = program.inputs.iter().map(|port| border("Parameter", port, Vec::new()));
    let steps = program.steps.iter().zip(flow.steps).map(|(step, sources)| of_step(program, step, sources));
    let outputs = program.outputs.iter().zip(flow.outputs).map(|(port, sources)| border("Result", port, sources));
    let mut layers: Vec<Layer> = inputs.chain(steps).chain(outputs).collect();
    make_unique(&mut layers);
    layers
}

/// An input or an output of the model.
fn border(kind: &str, port: &Port, sources: Vec<Source>) -> Layer {
    let precision = precision(port.ty.elem);
    let dims = port.ty.shape.dims().to_vec();
    Layer {
        name: port.name.clone(),
        kind: kind.to_owned(),
        original: port.name.clone(),
        primitive: format!("unknown_{precision}"),
        precision,
        output_precisions: precision.to_owned(),
        sources,
        output: (kind == "Parameter").then_some(PortType { precision, dims }),
    }
}

/// Data comes before the borders around it: readers call the first port of a convolution its input.
fn of_step(program: &Program, step: &Step, mut sources: Vec<Source>) -> Layer {
    let spec = &program.kernels[step.kernel];
    let label = &step.label;
    let is_border = is_fill(program, step);
    sources.sort_by_key(|source| match *source {
        Source::Input(_) => false,
        Source::Step(index) => is_fill(program, &program.steps[index]),
    });
    let precisions = store_precisions(spec);
    Layer {
        name: match (label.layer.as_str(), is_border) {
            ("", _) => spec.family().to_owned(),
            (layer, true) => format!("{layer}/{}", spec.family()),
            (layer, false) => layer.to_owned(),
        },
        kind: if is_border || label.layer_type.is_empty() { "Reorder".to_owned() } else { label.layer_type.clone() },
        original: label.layers.join(","),
        primitive: spec.exec_type(),
        precision: spec.precision(),
        output_precisions: precisions.join(","),
        sources,
        output: Some(PortType { precision: precisions.first().copied().unwrap_or("FP32"), dims: dims(spec) }),
    }
}

/// The step writes a constant, such as the border around a value.
fn is_fill(program: &Program, step: &Step) -> bool {
    matches!(program.kernels[step.kernel], KernelSpec::Fill(_))
}

/// Numbers names that are used already, because some readers know layers by name. The model's inputs and outputs choose
/// first: users look for them.
fn make_unique(layers: &mut [Layer]) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let is_step = |layer: &Layer| !matches!(layer.kind.as_str(), "Parameter" | "Result");
    let (borders, steps): (Vec<&mut Layer>, Vec<&mut Layer>) = layers.iter_mut().partition(|layer| !is_step(layer));
    for layer in borders.into_iter().chain(steps) {
        let mut name = layer.name.clone();
        let mut number = 1;
        while !used.insert(name.clone()) {
            number += 1;
            name = format!("{}#{number}", layer.name);
        }
        layer.name = name;
    }
}

impl Layer {
    /// `inputs` are the types of the layer's sources; their ports come first, the output's port is behind them.
    fn xml(&self, order: usize, inputs: &[PortType]) -> String {
        let mut text = format!(
            "\t\t<layer id=\"{order}\" name=\"{}\" type=\"{}\">\n\t\t\t<data execOrder=\"{order}\" \
             originalLayersNames=\"{}\" primitiveType=\"{}\" runtimePrecision=\"{}\" outputPrecisions=\"{}\"/>\n",
            escape(&self.name),
            escape(&self.kind),
            escape(&self.original),
            self.primitive,
            self.precision,
            self.output_precisions,
        );
        text += &ports("input", 0, inputs);
        text += &ports("output", inputs.len(), self.output.as_slice());
        text + "\t\t</layer>\n"
    }
}

/// Ports with ids from `first`; nothing if there are none.
fn ports(side: &str, first: usize, ports: &[PortType]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let port = |(index, port): (usize, &PortType)| {
        let dims: String = port.dims.iter().map(|dim| format!("\t\t\t\t\t<dim>{dim}</dim>\n")).collect();
        format!("\t\t\t\t<port id=\"{}\" precision=\"{}\">\n{dims}\t\t\t\t</port>\n", first + index, port.precision)
    };
    let ports: String = ports.iter().enumerate().map(port).collect();
    format!("\t\t\t<{side}>\n{ports}\t\t\t</{side}>\n")
}

/// As ports of OpenVINO's XML spell element types.
fn precision(elem: ElemType) -> &'static str {
    match elem {
        ElemType::F32 => "FP32",
        ElemType::F16 => "FP16",
        ElemType::BF16 => "BF16",
        ElemType::I64 => "I64",
        ElemType::I32 => "I32",
        ElemType::I16 => "I16",
        ElemType::I8 => "I8",
        ElemType::U8 => "U8",
        ElemType::I4 => "I4",
        ElemType::U4 => "U4",
        ElemType::Bool => "BOOL",
    }
}

/// Of what a kernel stores. Kernels that move bytes do not know their type; they are as wide as the type named here.
fn store_precisions(spec: &KernelSpec) -> Vec<&'static str> {
    let stores = |epilogue: &Epilogue| epilogue.stores.iter().map(|store| precision(store.elem)).collect();
    match spec {
        KernelSpec::Conv(s) => stores(&s.epilogue),
        KernelSpec::TileConv(s) => stores(&s.epilogue),
        KernelSpec::Depthwise(s) => stores(&s.epilogue),
        KernelSpec::WinogradSource(_) => vec!["I16"],
        KernelSpec::Winograd(s) => stores(&s.epilogue),
        KernelSpec::Pool(s) => stores(&s.epilogue),
        KernelSpec::Pointwise(s) => stores(&s.epilogue),
        KernelSpec::Reduce(s) => stores(&s.epilogue),
        KernelSpec::Resize(s) => stores(&s.epilogue),
        KernelSpec::MatMul(s) => stores(&s.epilogue),
        KernelSpec::Lookup(s) => vec![precision(s.dst.elem)],
        KernelSpec::Copy(s) => vec![wide(s.elem_bytes)],
        KernelSpec::Fill(s) => vec![wide(s.elem_bytes)],
        KernelSpec::Indexed(s) => vec![precision(s.elem)],
        KernelSpec::Scan(s) => vec![precision(s.elem)],
        KernelSpec::TopK(s) => vec![precision(s.elem), precision(s.index_elem)],
        KernelSpec::Softmax(_) | KernelSpec::Normalize(_) | KernelSpec::Rnn(_) => vec!["FP32"],
    }
}

fn wide(bytes: usize) -> &'static str {
    match bytes {
        1 => "I8",
        2 => "I16",
        4 => "FP32",
        _ => "I64",
    }
}

/// What a kernel writes, by the dimensions it loops over.
fn dims(spec: &KernelSpec) -> Vec<usize> {
    let with = |outer: &[usize], inner: &[usize]| [outer, inner].concat();
    match spec {
        KernelSpec::Conv(s) => vec![s.batch, s.oh, s.ow, s.oc],
        KernelSpec::TileConv(s) => vec![s.batch, s.oh, s.ow, s.oc],
        KernelSpec::Depthwise(s) => vec![s.batch, s.oh, s.ow, s.channels],
        KernelSpec::WinogradSource(s) => vec![s.batch, s.ih, s.iw, s.ic],
        KernelSpec::Winograd(s) => vec![s.batch, s.oh, s.ow, s.oc],
        KernelSpec::Pool(s) => vec![s.batch, s.oh, s.ow, s.channels],
        KernelSpec::Resize(s) => vec![s.batch, s.oh, s.ow, s.channels],
        KernelSpec::Pointwise(s) => with(&s.outer, &[s.inner]),
        KernelSpec::Lookup(s) => with(&s.outer, &[s.inner]),
        KernelSpec::Reduce(s) if s.inner_reduced => with(&s.outer, &[1]),
        KernelSpec::Reduce(s) => with(&s.outer, &[s.inner]),
        KernelSpec::Softmax(s) => vec![s.outer, s.axis, s.inner],
        KernelSpec::Normalize(s) => with(&with(&s.outer, &s.reduced), &[s.inner]),
        KernelSpec::Copy(s) => s.sizes.clone(),
        KernelSpec::Fill(s) => s.sizes.clone(),
        KernelSpec::Indexed(s) => with(&s.sizes, &[s.bytes]),
        KernelSpec::Scan(s) => with(&s.outer, &[s.axis]),
        KernelSpec::TopK(s) => with(&s.outer, &[s.k]),
        KernelSpec::MatMul(s) => with(&s.batch, &[s.m, s.n]),
        KernelSpec::Rnn(s) => vec![s.batch, s.sequence, s.hidden],
    }
}
