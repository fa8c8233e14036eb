//! A graph as text. `docs/ir.md` is the specification; [`super::parse`] is the reverse.
//!
//! Two uses: files ([`PrintOptions::file`]), which number values densely, so that what is written does not depend on the
//! history of the graph, and put large constants into a blob; and logs ([`PrintOptions::log`]), which name values as
//! entities do, so that consecutive dumps differ only where a pass changed something, and elide large constants to a hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use super::attrs::{attrs_of, quoted};
use super::dense;
use super::entity::{Const, Node, Region, Value};
use super::graph::Graph;
use super::op::Op;

/// Constants in the blob start at multiples of this.
const BLOB_ALIGN: usize = 64;

/// How values are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// `%0`, `%1`, .. in the order of the text.
    Dense,
    /// As [`Value`] prints.
    Entity,
}

/// Where constants stand that do not fit into a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constants {
    /// `@w0`, in a side file of this name.
    Blob(String),
    /// `elided<hash>`: cannot be parsed again.
    Elided,
}

#[derive(Clone, Debug)]
pub struct PrintOptions {
    pub numbering: Numbering,
    pub constants: Constants,
    /// Write the source layers at the end of each line.
    pub locations: bool,
}

impl PrintOptions {
    /// For a file that can be parsed, with large constants in a side file called `blob`.
    pub fn file(blob: impl Into<String>) -> PrintOptions {
        PrintOptions { numbering: Numbering::Dense, constants: Constants::Blob(blob.into()), locations: true }
    }

    /// For people and logs.
    pub fn log() -> PrintOptions {
        PrintOptions { numbering: Numbering::Entity, constants: Constants::Elided, locations: true }
    }

    /// For expected outputs of tests: dense numbers, elided constants, no source layers.
    pub fn test() -> PrintOptions {
        PrintOptions { numbering: Numbering::Dense, constants: Constants::Elided, locations: false }
    }
}

/// Lines to write under a node, as comments: `// error: ..`.
pub type Notes = BTreeMap<Node, Vec<String>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub text: String,
    /// Contents of the side file; empty when no constant needs it.
    pub blob: Vec<u8>,
}

pub fn print(graph: &Graph, options: &PrintOptions) -> Printed {
    print_with_notes(graph, options, &Notes::new())
}

pub fn print_with_notes(graph: &Graph, options: &PrintOptions, notes: &Notes) -> Printed {
    let mut printer = Printer {
        graph,
        options,
        notes,
        out: String::new(),
        names: BTreeMap::new(),
        next_value: 0,
        consts: BTreeMap::new(),
        blob: Vec::new(),
    };
    printer.function();
    printer.blob_table();
    Printed { text: printer.out, blob: printer.blob }
}

/// As [`PrintOptions::log`] says.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self, &PrintOptions::log()).text)
    }
}

struct Printer<'a> {
    graph: &'a Graph,
    options: &'a PrintOptions,
    notes: &'a Notes,
    out: String,
    names: BTreeMap<Value, String>,
    next_value: usize,
    /// Constants in the blob, with name, offset and hash.
    consts: BTreeMap<Const, BlobEntry>,
    blob: Vec<u8>,
}

struct BlobEntry {
    name: String,
    offset: usize,
    hash: u64,
}

impl Printer<'_> {
    fn function(&mut self) {
        let params = self.inputs();
        let results = self.outputs();
        self.line(0, &format!("func @{}({params}) -> {results} {{", word(&self.graph.name)));
        self.nodes(self.graph.body(), 1);
        self.line(0, "}");
    }

    /// An input's name is its value's name, where it is a plain word; otherwise it follows in quotes.
    fn inputs(&mut self) -> String {
        let mut taken = BTreeSet::new();
        let mut params = Vec::new();
        for (index, &value) in self.graph.inputs().iter().enumerate() {
            let name = self.graph.input_names.get(index).map_or("", String::as_str);
            let ty = self.graph.ty(value);
            if is_value_word(name) && taken.insert(name) {
                self.names.insert(value, format!("%{name}"));
                params.push(format!("%{name}: {ty}"));
            } else {
                params.push(format!("{} {}: {ty}", self.define(value), quoted(name)));
            }
        }
        params.join(", ")
    }

    fn outputs(&self) -> String {
        let results = self.graph.outputs().iter().enumerate().map(|(index, &value)| {
            let ty = self.graph.ty(value);
            match self.graph.output_names.get(index) {
                Some(name) => format!("{}: {ty}", word(name)),
                None => ty.to_string(),
            }
        });
        format!("({})", results.collect::<Vec<_>>().join(", "))
    }

    fn nodes(&mut self, region: Region, depth: usize) {
        for node in self.graph.nodes(region) {
            self.node(node, depth);
        }
    }

    fn node(&mut self, node: Node, depth: usize) {
        let op = self.graph.op(node);
        let results: Vec<String> = self.graph.results(node).iter().map(|&value| self.define(value)).collect();
        let mut line = String::new();
        if !results.is_empty() {
            line = format!("{} = ", results.join(", "));
        }
        line += op.name();
        if let Op::Const(id) = op {
            line += &format!(" {}", self.constant(*id));
        }
        let operands: Vec<String> = self.graph.operands(node).iter().map(|&value| self.name(value)).collect();
        if !operands.is_empty() {
            line += &format!(" {}", operands.join(", "));
        }
        line += &attributes(op);
        let types: Vec<String> =
            self.graph.results(node).iter().map(|&value| self.graph.ty(value).to_string()).collect();
        if !types.is_empty() {
            line += &format!(" : {}", types.join(", "));
        }
        if self.options.locations {
            line += &location(self.graph, node);
        }
        self.line(depth, &line);
        for note in self.notes.get(&node).into_iter().flatten() {
            self.line(depth, &format!("// {}", note.replace('\n', " ")));
        }
        self.regions(op, depth + 1);
    }

    fn regions(&mut self, op: &Op, depth: usize) {
        for (keyword, region) in region_keywords(op).iter().zip(op.regions()) {
            let params: Vec<String> = self
                .graph
                .params(region)
                .iter()
                .map(|&value| format!("{}: {}", self.define(value), self.graph.ty(value)))
                .collect();
            self.line(depth, &format!("{keyword}({}) {{", params.join(", ")));
            self.nodes(region, depth + 1);
            self.line(depth, "}");
        }
    }

    fn constant(&mut self, id: Const) -> String {
        let tensor = self.graph.tensor(id);
        if dense::is_inline(tensor) {
            return dense::to_text(tensor);
        }
        let bytes = tensor.to_bytes();
        if self.options.constants == Constants::Elided {
            return format!("elided<{:#018x}>", dense::content_hash(&bytes));
        }
        if !self.consts.contains_key(&id) {
            let name = match self.options.numbering {
                Numbering::Dense => format!("@w{}", self.consts.len()),
                Numbering::Entity => id.to_string(),
            };
            self.blob.resize(self.blob.len().next_multiple_of(BLOB_ALIGN), 0);
            let entry = BlobEntry { name, offset: self.blob.len(), hash: dense::content_hash(&bytes) };
            self.blob.extend(bytes);
            self.consts.insert(id, entry);
        }
        self.consts[&id].name.clone()
    }

    fn blob_table(&mut self) {
        let Constants::Blob(file) = &self.options.constants else {
            return;
        };
        if self.consts.is_empty() {
            return;
        }
        let mut entries: Vec<&BlobEntry> = self.consts.values().collect();
        entries.sort_by_key(|entry| entry.offset);
        let _ = writeln!(self.out, "blob {} {{", quoted(file));
        for BlobEntry { name, offset, hash } in entries {
            let _ = writeln!(self.out, "  {name} = {offset} {hash:#018x}");
        }
        self.out += "}\n";
    }

    fn define(&mut self, value: Value) -> String {
        let name = match self.options.numbering {
            Numbering::Dense => format!("%{}", self.next_value),
            Numbering::Entity => value.to_string(),
        };
        self.next_value += 1;
        self.names.insert(value, name.clone());
        name
    }

    /// A value used where it is not defined is the verifier's business; here it only must be recognisable.
    fn name(&self, value: Value) -> String {
        self.names.get(&value).cloned().unwrap_or_else(|| format!("%undefined_{}", value.as_u32()))
    }

    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.out, "{:1$}{text}", "", depth * 2);
    }
}

/// Words in front of an operation's regions, in order.
pub(super) fn region_keywords(op: &Op) -> &'static [&'static str] {
    match op.regions().len() {
        0 => &[],
        1 => &["body"],
        _ => &["then", "else"],
    }
}

fn attributes(op: &Op) -> String {
    let attrs: Vec<String> = attrs_of(op).iter().map(|(name, attr)| format!("{name} = {attr}")).collect();
    if attrs.is_empty() { String::new() } else { format!(" {{{}}}", attrs.join(", ")) }
}

/// Sorted by their contents, not by entity: so the text does not depend on the order in which layers were added.
fn location(graph: &Graph, node: Node) -> String {
    let mut layers: Vec<_> = graph.layers(node).iter().map(|&layer| graph.layer(layer)).collect();
    layers.sort_by_key(|layer| (layer.line, &layer.name, &layer.kind));
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| {
            let line = if layer.line == 0 { String::new() } else { format!(" {}", layer.line) };
            format!("{} {}{line}", quoted(&layer.name), word(&layer.kind))
        })
        .collect();
    if layers.is_empty() { String::new() } else { format!(" loc({})", layers.join(", ")) }
}

/// A name as it is, where it is a plain word; otherwise in quotes.
fn word(name: &str) -> String {
    if is_word(name) { name.to_string() } else { quoted(name) }
}

fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
}

/// A plain word that no numbered value has.
fn is_value_word(name: &str) -> bool {
    is_word(name) && !name.starts_with("undefined_")
}
