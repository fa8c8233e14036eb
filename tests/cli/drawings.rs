//! What the compiler draws: a page for browsers, an execution graph for Netron.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::Folder;

/// A name that closes what it stands in, and asks for a file of the network.
const HOSTILE: &str = "\"></text></svg><script src=\"//evil/x.js\">&amp;'</script>";
const RENAMED: &str = "Convolution_23";

/// The digits model with a layer of a hostile name.
fn hostile(test: &str) -> Folder {
    let folder = Folder::new(test);
    let text = String::from_utf8(folder.read("digits.xml")).unwrap();
    let name = HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let changed = text.replace(&format!("name=\"{RENAMED}\""), &format!("name=\"{name}\""));
    assert_ne!(changed, text);
    folder.write("digits.xml", changed);
    folder
}

fn elements<'a>(document: &'a Document, tag: &str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(tag)).collect()
}

/// All text inside an element.
fn text(node: Node) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

#[test]
fn a_page_stands_alone() {
    let folder = hostile("page");
    let printed = folder.octet_ok("explain digits.xml --html page.html");
    assert!(printed.contains("100.00 %") && printed.contains("wrote page.html"), "{printed}");
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&page, options).unwrap();
    assert!(!page.contains("http") && !page.contains("@import") && !page.contains("url("), "loads something");
    let loads = ["script", "link", "img", "iframe", "object", "base"];
    for node in document.descendants().filter(Node::is_element) {
        assert!(!loads.contains(&node.tag_name().name()), "<{}>", node.tag_name().name());
        assert!(node.attribute("href").is_none_or(|href| href.starts_with('#')));
    }
    let names: Vec<String> = elements(&document, "td").into_iter().map(text).collect();
    assert!(names.iter().any(|name| name == HOSTILE), "{names:?}");
}

fn in_drawing(node: &Node) -> bool {
    node.ancestors().any(|ancestor| ancestor.has_tag_name("svg"))
}

/// Every row has a box in its colour, which leads to it, and boxes are connected.
#[test]
fn a_page_draws_every_row() {
    let folder = Folder::new("drawn");
    for (passes, precision) in [("", "I8"), (" --disable-pass lpt-decompose,lpt-prepare", "FP32")] {
        folder.octet_ok(&format!("explain digits.xml --html page.html{passes}"));
        let page = String::from_utf8(folder.read("page.html")).unwrap();
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(&page, options).unwrap();
        let rows: Vec<Node> =
            elements(&document, "tr").into_iter().filter(|row| row.attribute("id").is_some()).collect();
        let boxes: Vec<Node> = elements(&document, "a").into_iter().filter(in_drawing).collect();
        assert_eq!(rows.len(), boxes.len());
        for (row, drawn) in rows.iter().zip(boxes) {
            let number = row.attribute("id").unwrap().trim_start_matches('r');
            assert_eq!(drawn.attribute("href").unwrap(), format!("#d{number}"));
            let detail = elements(&document, "aside")
                .into_iter()
                .find(|aside| aside.attribute("id") == Some(&format!("d{number}")));
            let cells: Vec<String> = row.children().map(text).collect();
            assert!(text(detail.unwrap()).contains(&cells[4]), "{cells:?}");
            let class = drawn.first_element_child().unwrap().attribute("class").unwrap();
            assert!(class == "node move" || class == format!("node {}", cells[3]), "{class}: {cells:?}");
            assert!(cells[2] != "Convolution" || cells[3] == precision, "{cells:?}");
            assert!(cells[3] != "FP32" || cells[5].is_empty() || !cells[7].is_empty(), "no reason: {cells:?}");
        }
        assert!(elements(&document, "path").len() >= rows.len());
        // Every link of the page leads somewhere, but the one that closes details.
        let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        for link in elements(&document, "a") {
            let target = link.attribute("href").unwrap().trim_start_matches('#');
            assert!(target == "_" || ids.contains(&target), "{target}");
        }
    }
}

/// Type of a port: precision and dimensions.
fn port_types(layer: Node, side: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let ports = layer.children().filter(|node| node.has_tag_name(side)).flat_map(|node| node.children());
    let ports = ports.filter(|node| node.has_tag_name("port")).map(|port| {
        let dims = port.children().filter(|node| node.has_tag_name("dim")).map(text).collect();
        (port.attribute("id").unwrap().to_owned(), (port.attribute("precision").unwrap().to_owned(), dims))
    });
    ports.collect()
}

#[test]
fn an_execution_graph_is_consistent() {
    let folder = hostile("exec-graph");
    folder.octet_ok("compile digits.xml --emit header,exec-graph -o digits.h");
    let text = String::from_utf8(folder.read("digits.exec.xml")).unwrap();
    let document = Document::parse(&text).unwrap();
    let net = document.root_element();
    assert_eq!((net.attribute("name"), net.attribute("version")), (Some("digits"), Some("10")));
    let layers = elements(&document, "layer");
    let mut names: Vec<&str> = layers.iter().map(|layer| layer.attribute("name").unwrap()).collect();
    assert!(names.contains(&HOSTILE), "{names:?}");
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "names are unique: {names:?}");
    let mut open = 0;
    for (index, layer) in layers.iter().enumerate() {
        assert_eq!(layer.attribute("id").unwrap(), index.to_string());
        let data = layer.children().find(|node| node.has_tag_name("data")).unwrap();
        assert_eq!(data.attribute("execOrder").unwrap(), index.to_string());
        for name in ["originalLayersNames", "primitiveType", "runtimePrecision", "outputPrecisions"] {
            assert!(data.attribute(name).is_some_and(|value| !value.is_empty()), "{name} of layer {index}");
        }
        if layer.attribute("type") == Some("Convolution") {
            assert_eq!(data.attribute("runtimePrecision"), Some("I8"));
        }
        assert_eq!(port_types(*layer, "output").len(), usize::from(layer.attribute("type") != Some("Result")));
        open += port_types(*layer, "input").len();
    }
    let edges = elements(&document, "edge");
    assert_eq!(edges.len(), open, "one edge for each input port");
    for edge in edges {
        let end = |layer: &str, port: &str, side: &str| {
            let layer: usize = edge.attribute(layer).unwrap().parse().unwrap();
            (layer, port_types(layers[layer], side)[edge.attribute(port).unwrap()].clone())
        };
        let (from, source) = end("from-layer", "from-port", "output");
        let (to, reader) = end("to-layer", "to-port", "input");
        assert!(from < to, "{from} runs before {to}");
        assert_eq!(source, reader, "types of the ports between {from} and {to}");
    }
}

/// Nothing that computes stands alone: from every layer but the outputs an edge leads on, to every layer but the inputs and
/// what writes constants one leads, from data first.
#[test]
fn an_execution_graph_is_connected() {
    let folder = Folder::new("exec-connected");
    folder.octet_ok("compile digits.xml --emit exec-graph -o graph.xml");
    let text = String::from_utf8(folder.read("graph.xml")).unwrap();
    let document = Document::parse(&text).unwrap();
    let edges = elements(&document, "edge");
    let layers = elements(&document, "layer");
    let ends = |side: &str| -> Vec<&str> { edges.iter().map(|edge| edge.attribute(side).unwrap()).collect() };
    let (from, to) = (ends("from-layer"), ends("to-layer"));
    let primitive = |id: &str| {
        let layer = layers[id.parse::<usize>().unwrap()];
        layer.first_element_child().unwrap().attribute("primitiveType").unwrap()
    };
    for layer in &layers {
        let (id, kind) = (layer.attribute("id").unwrap(), layer.attribute("type").unwrap());
        let is_source = kind == "Parameter" || primitive(id).starts_with("fill");
        assert!(kind == "Result" || from.contains(&id), "nothing reads layer {id}");
        assert!(is_source || to.contains(&id), "layer {id} reads nothing");
        let input =
            edges.iter().find(|edge| (edge.attribute("to-layer"), edge.attribute("to-port")) == (Some(id), Some("0")));
        let source = input.map_or("", |edge| primitive(edge.attribute("from-layer").unwrap()));
        assert!(!source.starts_with("fill"), "the first input of layer {id} is a border");
    }
}
