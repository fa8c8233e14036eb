//! What must hold of every graph. A violation is always a bug of the pass (or frontend) before, never of the model.
//!
//! Checklist:
//!
//! 1. Every reachable region ends in its only `return`, and each belongs to one node (the body to none).
//! 2. An operand is defined before its use, in the same region or an enclosing one.
//! 3. The users of a value are exactly the nodes that use it, one entry per use.
//! 4. Inference accepts every node and gives the types its results have.
//! 5. No result is 4 bits wide, but of constants and what only moves their elements: such tensors have no kernels.
//! 6. Quantization parameters of an axis are not all equal: [`QuantParams::per_axis`] would have collapsed them.
//! 7. The function has a name for each input and each output (or none), and input names differ.
//! 8. A variable that is assigned is assigned once, and read with the same type.
//!
//! Not checked: that values are finite, and that constants are used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::entity::{Node, Region, Value};
use super::graph::{Graph, ValueDef};
use super::infer;
use super::op::{Op, QuantizeAttrs};
use super::print::{Notes, PrintOptions, print_with_notes};
use super::quant::QuantParams;
use super::ty::{ElemType, TensorType};
use crate::diag::{Diagnostic, Diagnostics, Place};

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// `None` for the function as a whole.
    pub node: Option<Node>,
    pub message: String,
}

/// Everything that is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyErrors(pub Vec<VerifyError>);

impl VerifyErrors {
    /// The graph as text, each error under the node it belongs to.
    pub fn in_text(&self, graph: &Graph, options: &PrintOptions) -> String {
        let mut notes = Notes::new();
        let mut text = String::new();
        for VerifyError { node, message } in &self.0 {
            match node {
                Some(node) => notes.entry(*node).or_default().push(format!("error: {message}")),
                None => text += &format!("// error: {message}\n"),
            }
        }
        text + &print_with_notes(graph, options, &notes).text
    }

    /// As internal errors of `pass`, with the layers of the nodes.
    pub fn diagnostics(&self, graph: &Graph, pass: &str) -> Diagnostics {
        let to_diagnostic = |VerifyError { node, message }: &VerifyError| {
            let names: Vec<&str> = node
                .iter()
                .flat_map(|&node| graph.layers(node))
                .map(|&layer| graph.layer(layer).name.as_str())
                .collect();
            let subject = node.map_or("the function".into(), |node| format!("{node} ({})", graph.op(node).name()));
            let place = if names.is_empty() { Place::default() } else { Place::item(format!("layer {names:?}")) };
            Diagnostic::internal(place, format!("after {pass}: {subject}: {message}"))
        };
        Diagnostics(self.0.iter().map(to_diagnostic).collect())
    }
}

impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for VerifyError { node, message } in &self.0 {
            match node {
                Some(node) => writeln!(f, "{node}: {message}")?,
                None => writeln!(f, "{message}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for VerifyErrors {}

/// Checks the whole graph.
///
/// # Errors
/// Every violation of the checklist.
pub fn verify(graph: &Graph) -> Result<(), VerifyErrors> {
    let mut verifier = Verifier {
        graph,
        errors: Vec::new(),
        visible: BTreeSet::new(),
        regions: BTreeSet::new(),
        uses: BTreeMap::new(),
        variables: BTreeMap::new(),
    };
    verifier.names();
    verifier.region(graph.body(), None);
    verifier.users();
    if verifier.errors.is_empty() { Ok(()) } else { Err(VerifyErrors(verifier.errors)) }
}

/// How a variable is used.
#[derive(Default)]
struct Variable {
    ty: Option<TensorType>,
    assigned: bool,
}

struct Verifier<'a> {
    graph: &'a Graph,
    errors: Vec<VerifyError>,
    /// Values defined before the node at hand, in its region or an enclosing one.
    visible: BTreeSet<Value>,
    /// Regions that have an owner.
    regions: BTreeSet<Region>,
    /// Users of each value as found in the operands.
    uses: BTreeMap<Value, Vec<Node>>,
    variables: BTreeMap<&'a str, Variable>,
}

impl<'a> Verifier<'a> {
    fn error(&mut self, node: impl Into<Option<Node>>, message: impl Into<String>) {
        self.errors.push(VerifyError { node: node.into(), message: message.into() });
    }

    fn names(&mut self) {
        let (inputs, outputs) = (&self.graph.input_names, &self.graph.output_names);
        if inputs.len() != self.graph.inputs().len() {
            self.error(None, format!("{} inputs have {} names", self.graph.inputs().len(), inputs.len()));
        }
        if ![0, self.graph.outputs().len()].contains(&outputs.len()) {
            self.error(None, format!("{} outputs have {} names", self.graph.outputs().len(), outputs.len()));
        }
        let mut seen = BTreeSet::new();
        for name in inputs {
            if !seen.insert(name) {
                self.error(None, format!("two inputs have the name {name:?}"));
            }
        }
    }

    fn region(&mut self, region: Region, owner: Option<Node>) {
        if !self.regions.insert(region) {
            return self.error(owner, format!("{region} belongs to two nodes"));
        }
        let mut defined = self.graph.params(region).to_vec();
        self.visible.extend(&defined);
        let mut last = None;
        for node in self.graph.nodes(region) {
            if last.is_some_and(|last| *self.graph.op(last) == Op::Return) {
                self.error(node, "stands after return");
            }
            last = Some(node);
            self.node(node, region);
            defined.extend(self.graph.results(node));
            self.visible.extend(self.graph.results(node));
        }
        if last.is_none_or(|last| *self.graph.op(last) != Op::Return) {
            self.error(owner, format!("{region} does not end in return"));
        }
        for value in defined {
            self.visible.remove(&value);
        }
    }

    fn node(&mut self, node: Node, region: Region) {
        let graph = self.graph;
        if graph.region_of(node) != Some(region) {
            self.error(node, format!("stands in {region} and claims {:?}", graph.region_of(node)));
        }
        for &operand in graph.operands(node) {
            self.uses.entry(operand).or_default().push(node);
            if !self.visible.contains(&operand) {
                self.error(node, format!("{operand} is used before its definition"));
            }
        }
        for inner in graph.op(node).regions() {
            self.region(inner, Some(node));
        }
        self.types(node);
        self.attributes(node);
    }

    fn types(&mut self, node: Node) {
        let graph = self.graph;
        for (index, &result) in graph.results(node).iter().enumerate() {
            if graph.def(result) != ValueDef::Result(node, index) {
                self.error(node, format!("{result} claims another definition"));
            }
        }
        let types: Vec<TensorType> = graph.results(node).iter().map(|&result| graph.ty(result).clone()).collect();
        match infer::result_types(graph, graph.op(node), graph.operands(node)) {
            Ok(inferred) if inferred == types => {}
            Ok(inferred) => self.error(node, format!("has results of {types:?}, inferred are {inferred:?}")),
            Err(message) => self.error(node, message),
        }
    }

    fn attributes(&mut self, node: Node) {
        let graph = self.graph;
        let op = graph.op(node);
        if let Op::Quantize(QuantizeAttrs { params, .. }) | Op::Dequantize(params) = op
            && !is_collapsed(params)
        {
            self.error(node, "has equal parameters for every slice of its axis");
        }
        if let Op::ReadValue { variable } = op {
            self.variable(node, variable, false);
        }
        if let Op::Assign { variable } = op {
            self.variable(node, variable, true);
        }
        let narrow = |ty: &TensorType| matches!(ty.elem, ElemType::I4 | ElemType::U4);
        let produces_narrow = matches!(op, Op::Quantize(_) | Op::Requantize(_));
        if produces_narrow && graph.results(node).iter().any(|&result| narrow(graph.ty(result))) {
            self.error(node, "computes elements of 4 bits, which constants alone may have");
        }
    }

    fn variable(&mut self, node: Node, name: &'a str, assigns: bool) {
        let ty = self.graph.ty(self.graph.result(node)).clone();
        let variable = self.variables.entry(name).or_default();
        let known = variable.ty.get_or_insert_with(|| ty.clone()).clone();
        let twice = assigns && variable.assigned;
        variable.assigned |= assigns;
        if known != ty {
            self.error(node, format!("the variable {name:?} is {ty} here and {known} elsewhere"));
        }
        if twice {
            self.error(node, format!("the variable {name:?} is assigned twice"));
        }
    }

    fn users(&mut self) {
        for value in (0..self.graph.value_count()).map(|index| Value::from_u32(index as u32)) {
            let mut used_by = self.uses.remove(&value).unwrap_or_default();
            let mut users = self.graph.users(value).to_vec();
            users.sort();
            used_by.sort();
            if users != used_by {
                self.error(None, format!("{value} is used by {used_by:?}, and its list of users is {users:?}"));
            }
        }
    }
}

/// A vector of several parameters has different ones.
fn is_collapsed(params: &QuantParams) -> bool {
    let differs = |values: &[f64]| values.len() <= 1 || values.iter().any(|value| *value != values[0]);
    differs(&params.scale) && differs(&params.zero_point)
}
