//! The XML file as records: layers, ports, edges, bodies, with the line each stands on. No meaning yet.
//!
//! Strings borrow from the parsed document. What is read is bounded by the file: no number in it sizes an allocation,
//! nesting of bodies is limited, and the document type definition (entities) is refused by the parser.

use roxmltree::{Document, Node, ParsingOptions};

use crate::diag::{Diagnostic, Place, codes};

/// More nodes than any exported model has.
const MAX_NODES: u32 = 50_000_000;

/// Bodies inside bodies.
const MAX_DEPTH: usize = 8;

/// `<net>`, or a body of a layer.
#[derive(Debug, Default)]
pub struct Net<'a> {
    pub layers: Vec<LayerXml<'a>>,
    pub edges: Vec<EdgeXml>,
}

#[derive(Debug)]
pub struct LayerXml<'a> {
    pub id: u64,
    pub name: &'a str,
    pub kind: &'a str,
    /// The operation set: `opset1`.
    pub version: &'a str,
    pub line: u32,
    /// Attributes of `<data>`.
    pub attrs: Vec<(&'a str, &'a str)>,
    pub inputs: Vec<PortXml<'a>>,
    pub outputs: Vec<PortXml<'a>>,
    pub bodies: Vec<BodyXml<'a>>,
}

#[derive(Debug)]
pub struct PortXml<'a> {
    pub id: u64,
    /// Tensor names, separated by commas.
    pub names: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeXml {
    pub from: (u64, u64),
    pub to: (u64, u64),
    pub line: u32,
}

/// The body of a TensorIterator or Loop, or one branch of an If.
#[derive(Debug)]
pub struct BodyXml<'a> {
    /// `body`, `then_body`, `else_body`.
    pub tag: &'a str,
    pub net: Net<'a>,
    pub maps: Vec<PortMapXml>,
    /// From a layer of the body to a layer of the body: the value of the next iteration.
    pub back_edges: Vec<(u64, u64)>,
}

/// How a port of the layer and a Parameter or Result of its body are connected.
#[derive(Clone, Debug)]
pub struct PortMapXml {
    pub is_input: bool,
    /// -1: none (the condition of a loop).
    pub external_port: i64,
    pub internal_layer: u64,
    pub axis: Option<i64>,
    pub start: i64,
    pub end: i64,
    pub stride: i64,
    pub part_size: i64,
    /// `current_iteration` or `execution_condition`.
    pub purpose: Option<String>,
}

impl<'a> LayerXml<'a> {
    pub fn attr(&self, name: &str) -> Option<&'a str> {
        self.attrs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// Parses the text.
///
/// # Errors
/// Where the text is not well-formed, or its root is not what OpenVINO writes.
pub fn parse<'a>(text: &'a str, file: &str) -> Result<Document<'a>, Diagnostic> {
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| {
        let row = match error {
            // the parser has no position for it: the end of the text
            roxmltree::Error::UnclosedRootNode => u32::try_from(text.lines().count()).unwrap_or(u32::MAX),
            _ => error.pos().row,
        };
        let place = Place::line(file, row);
        let help = "the file may be truncated or is not an OpenVINO IR: export the model again";
        Diagnostic::error(&codes::NOT_XML, place, format!("not well-formed XML: {error}")).with_help(help)
    })
}

/// Reads records out of a document and collects every problem on the way.
pub struct Reader<'p> {
    file: &'p str,
    /// Byte offsets of the beginnings of lines.
    lines: Vec<usize>,
    problems: &'p mut Vec<Diagnostic>,
}

impl<'p> Reader<'p> {
    pub fn new(text: &str, file: &'p str, problems: &'p mut Vec<Diagnostic>) -> Reader<'p> {
        let starts = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Reader { file, lines, problems }
    }

    /// The root's name and its net, after a check of the version.
    pub fn model<'a>(&mut self, document: &'a Document<'a>) -> (Option<&'a str>, Net<'a>) {
        let root = document.root_element();
        if !root.has_tag_name("net") {
            let message = format!("the root element is <{}>, not <net>", root.tag_name().name());
            self.problem(root, message, "give the .xml file of an OpenVINO IR");
            return (None, Net::default());
        }
        let version = root.attribute("version").unwrap_or("missing");
        if !matches!(version, "10" | "11") {
            let message = format!("IR version {version} is not supported, only 10 and 11");
            self.problem(root, message, "convert the model again with OpenVINO 2022 or newer");
            return (None, Net::default());
        }
        (root.attribute("name"), self.net(root, 0))
    }

    fn net<'a>(&mut self, parent: Node<'a, 'a>, depth: usize) -> Net<'a> {
        let mut net = Net::default();
        match child(parent, "layers") {
            Some(layers) => {
                for layer in elements(layers, "layer") {
                    net.layers.extend(self.layer(layer, depth));
                }
            }
            None => self.problem(parent, "<layers> is missing", "export the model again"),
        }
        if let Some(edges) = child(parent, "edges") {
            net.edges = elements(edges, "edge").filter_map(|edge| self.edge(edge)).collect();
        }
        net
    }

    fn layer<'a>(&mut self, node: Node<'a, 'a>, depth: usize) -> Option<LayerXml<'a>> {
        let id = self.number(node, "id");
        let kind = self.text(node, "type");
        let (id, kind) = (id?, kind?);
        let attrs = child(node, "data").map(|data| data.attributes().map(|a| (a.name(), a.value())).collect());
        Some(LayerXml {
            id,
            name: node.attribute("name").unwrap_or_default(),
            kind,
            version: node.attribute("version").unwrap_or("opset1"),
            line: self.line(node),
            attrs: attrs.unwrap_or_default(),
            inputs: self.ports(node, "input"),
            outputs: self.ports(node, "output"),
            bodies: self.bodies(node, depth),
        })
    }

    fn ports<'a>(&mut self, layer: Node<'a, 'a>, tag: &str) -> Vec<PortXml<'a>> {
        let Some(list) = child(layer, tag) else { return Vec::new() };
        let ports = elements(list, "port");
        ports
            .filter_map(|port| self.number(port, "id").map(|id| PortXml { id, names: port.attribute("names") }))
            .collect()
    }

    fn edge(&mut self, node: Node<'_, '_>) -> Option<EdgeXml> {
        let ends = ["from-layer", "from-port", "to-layer", "to-port"].map(|name| self.number(node, name));
        let [Some(from), Some(from_port), Some(to), Some(to_port)] = ends else { return None };
        Some(EdgeXml { from: (from, from_port), to: (to, to_port), line: self.line(node) })
    }

    fn bodies<'a>(&mut self, layer: Node<'a, 'a>, depth: usize) -> Vec<BodyXml<'a>> {
        let parts = [
            ("body", "port_map", "back_edges"),
            ("then_body", "then_port_map", ""),
            ("else_body", "else_port_map", ""),
        ];
        let mut bodies = Vec::new();
        for (tag, map, back_edges) in parts {
            let Some(body) = child(layer, tag) else { continue };
            if depth == MAX_DEPTH {
                self.problem(body, format!("bodies are nested deeper than {MAX_DEPTH}"), "simplify the model");
                continue;
            }
            let maps = child(layer, map).map(|map| self.port_maps(map)).unwrap_or_default();
            let back_edges = child(layer, back_edges).map(|edges| self.back_edges(edges)).unwrap_or_default();
            bodies.push(BodyXml { tag: body.tag_name().name(), net: self.net(body, depth + 1), maps, back_edges });
        }
        bodies
    }

    fn port_maps(&mut self, list: Node<'_, '_>) -> Vec<PortMapXml> {
        let entries = list.children().filter(Node::is_element);
        entries.filter_map(|entry| self.port_map(entry)).collect()
    }

    fn port_map(&mut self, entry: Node<'_, '_>) -> Option<PortMapXml> {
        let signed = |name: &str| entry.attribute(name).and_then(|value| value.parse().ok());
        Some(PortMapXml {
            is_input: entry.has_tag_name("input"),
            external_port: signed("external_port_id").unwrap_or(-1),
            internal_layer: self.number(entry, "internal_layer_id")?,
            axis: signed("axis"),
            start: signed("start").unwrap_or(0),
            end: signed("end").unwrap_or(-1),
            stride: signed("stride").unwrap_or(1),
            part_size: signed("part_size").unwrap_or(1),
            purpose: entry.attribute("purpose").map(str::to_owned),
        })
    }

    fn back_edges(&mut self, list: Node<'_, '_>) -> Vec<(u64, u64)> {
        let edges = elements(list, "edge");
        edges.filter_map(|edge| Some((self.number(edge, "from-layer")?, self.number(edge, "to-layer")?))).collect()
    }

    fn number(&mut self, node: Node<'_, '_>, name: &str) -> Option<u64> {
        let text = self.text(node, name)?;
        let number = text.parse().ok();
        if number.is_none() {
            let tag = node.tag_name().name();
            self.problem(node, format!("<{tag}> has {name}=\"{text}\", not a number"), "export the model again");
        }
        number
    }

    fn text<'a>(&mut self, node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
        let text = node.attribute(name);
        if text.is_none() {
            let tag = node.tag_name().name();
            self.problem(node, format!("<{tag}> lacks the attribute {name}"), "export the model again");
        }
        text
    }

    fn problem(&mut self, node: Node<'_, '_>, message: impl Into<String>, help: &str) {
        let place = Place::line(self.file, self.line(node));
        self.problems.push(Diagnostic::error(&codes::NOT_IR, place, message).with_help(help));
    }

    fn line(&self, node: Node<'_, '_>) -> u32 {
        let line = self.lines.partition_point(|&start| start <= node.range().start);
        u32::try_from(line).unwrap_or(u32::MAX)
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(tag))
}

fn elements<'a, 'i: 'a>(node: Node<'a, 'i>, tag: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(tag))
}
