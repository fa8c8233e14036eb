//! Graph to [`program::Program`]: fusion into kernels, layouts, weight packing, memory plan. After this no graph exists.
//!
//! - [`reorder`]: channels in an order that suits the forms of products.
//! - [`plan`]: which values are stored, and which are computed inside the kernel that uses them.
//! - [`expr`]: a tree of pointwise operations as a [`pointwise`] program; [`bounds`]: the clamps it needs.
//! - [`view`], [`place`]: where elements lie; borders, slices, the model's own memory.
//! - [`window`], [`product`], [`elementwise`], [`movement`], [`recurrent`]: from operations to kernel specs, family by family.
//! - [`table`]: long programs of one byte as tables.
//! - [`indexed`]: indices known at run time, orders.
//! - [`dense`], [`lanes`]: convolutions over channels, and their form with vectors.
//! - [`tiles`]: which convolutions take tile registers, and how they are cut.
//! - [`winograd`]: the form of 3x3 convolutions that multiplies less.
//! - [`merged_rows`]: rows of few channels side by side, for tiles.
//! - [`residues`]: convolutions in parts of every n-th pixel.
//! - [`choice`], [`problem`]: which of its forms a layer takes, and what layers are alike.
//! - [`grid`]: loops over common dimensions, merged and cut for kernels.
//! - [`pack`]: constants in the order kernels read them.
//! - [`state`]: variables, which outlive an inference.
//! - `in_place`: results in the memory of what they are added to.
//! - [`memory`]: lifetimes to offsets.
//! - [`share`]: which steps all threads work on.
//!
//! The result: [`program`], and in it [`kernel`] specs.

mod bounds;
pub mod choice;
mod dense;
mod elementwise;
mod expr;
mod fold;
mod grid;
mod in_place;
mod indexed;
pub mod kernel;
mod lanes;
mod memory;
mod merged_rows;
mod movement;
pub mod pack;
mod place;
mod plan;
pub mod pointwise;
mod pool;
mod problem;
mod product;
pub mod program;
mod recurrent;
mod reorder;
mod residues;
mod resize;
mod share;
mod state;
mod table;
mod tiles;
mod view;
mod window;
mod winograd;

use std::collections::BTreeSet;

use cranelift_entity::{PrimaryMap, SecondaryMap};

use crate::diag::{Diagnostic, Diagnostics, Place as DiagPlace, codes};
use crate::ir::{ElemType, Graph, Layer, Node, Op, Value};
use crate::simd::ir::Width;

use choice::{Choice, Choices, Estimate};
use kernel::KernelSpec;
use place::{Placement, StorageData, StorageKind, border_storages, border_view};
use plan::Plan;
use program::{ConstId, KernelId, Label, Place, Port, Program, Step};
use state::{Orders, Variables};
use view::{Storage, View};

#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// Vector width that constants are packed for.
    pub width: Width,
    /// The target has an instruction that adds four products u8 x i8 exactly.
    pub has_dot: bool,
    /// The target has registers for matrices of bytes.
    pub has_tiles: bool,
    /// What was measured on the machine: forms that problems shall take.
    pub choices: Choices,
    /// Hexadecimal digest of the source model, passed on to the object.
    pub model_hash: String,
    /// File name of the source model, passed on to line information; none for an object without it.
    pub source: Option<String>,
}

/// A step before the memory plan.
#[derive(Clone, Debug)]
struct PendingStep {
    kernel: KernelId,
    operands: Vec<Operand>,
    after_reset: bool,
    label: Label,
}

/// An address inside a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operand {
    storage: Storage,
    offset: i64,
}

impl Operand {
    fn of(view: &View) -> Operand {
        Operand { storage: view.storage, offset: view.offset }
    }

    fn start(storage: Storage) -> Operand {
        Operand { storage, offset: 0 }
    }

    fn advanced(self, bytes: i64) -> Operand {
        Operand { offset: self.offset + bytes, ..self }
    }
}

struct Lowering<'g> {
    graph: &'g Graph,
    width: Width,
    has_dot: bool,
    has_tiles: bool,
    plan: Plan,
    placement: Placement,
    views: SecondaryMap<Value, Option<View>>,
    storages: PrimaryMap<Storage, StorageData>,
    outputs: Vec<Storage>,
    constants: PrimaryMap<ConstId, Vec<u8>>,
    kernels: PrimaryMap<KernelId, KernelSpec>,
    steps: Vec<PendingStep>,
    variables: Variables,
    wanted: Choices,
    estimate: &'g dyn Estimate,
    choices: Vec<Choice>,
    /// The node being lowered: its layers name the steps.
    current: Option<Node>,
}

/// Lowers a verified graph. `estimate` tells which forms of layers are faster, and which steps are worth sharing between threads.
///
/// # Errors
/// Every operation without a kernel, with its layer.
pub fn lower(graph: &Graph, options: &LowerOptions, estimate: &dyn Estimate) -> crate::diag::Result<Program> {
    if options.has_dot {
        return lower_in_order(graph, options, estimate);
    }
    let reordered = reorder::reordered(graph, options.width)
        .map_err(|reason| Diagnostic::internal(DiagPlace::item("orders of channels"), reason))?;
    lower_in_order(&reordered, options, estimate)
}

/// Lowers a graph with its channels as they are.
fn lower_in_order(graph: &Graph, options: &LowerOptions, estimate: &dyn Estimate) -> crate::diag::Result<Program> {
    let first = Lowering::new(graph, options, estimate, Orders::new())?;
    let orders = first.assigned_orders();
    match first.variables.orders() == &orders {
        true => first.finish(options),
        false => Lowering::new(graph, options, estimate, orders)?.finish(options),
    }
}

/// The value gets memory of its own that its kernel writes: not a view of another, not a constant, not an input.
fn is_written_by_kernel(graph: &Graph, plan: &Plan, value: Value) -> bool {
    let Some(node) = graph.def_node(value) else { return false };
    let op = graph.op(node);
    plan.is_stored(value) && !place::is_view(op) && !matches!(op, Op::Const(_) | Op::ReadValue { .. })
}

impl<'g> Lowering<'g> {
    /// Every node lowered, with variables that lie in memory in `orders`.
    fn new(
        graph: &'g Graph,
        options: &LowerOptions,
        estimate: &'g dyn Estimate,
        orders: Orders,
    ) -> crate::diag::Result<Lowering<'g>> {
        let plan = Plan::new(graph, options.width.lanes32());
        let placement = Placement::new(graph, &plan, |value| is_written_by_kernel(graph, &plan, value));
        let mut storages = PrimaryMap::new();
        let (inputs, outputs) = border_storages(graph, &mut storages);
        let variables = Variables::new(graph, orders, &mut storages);
        let mut lowering = Lowering {
            graph,
            width: options.width,
            has_dot: options.has_dot,
            has_tiles: options.has_tiles,
            plan,
            placement,
            views: SecondaryMap::new(),
            storages,
            outputs,
            constants: PrimaryMap::new(),
            kernels: PrimaryMap::new(),
            steps: Vec::new(),
            variables,
            wanted: options.choices.clone(),
            estimate,
            choices: Vec::new(),
            current: None,
        };
        for (&value, &storage) in graph.inputs().iter().zip(&inputs) {
            lowering.views[value] = Some(border_view(graph, value, storage));
        }
        lowering.nodes()?;
        Ok(lowering)
    }
}

impl Lowering<'_> {
    /// Every node in order; problems are collected. Behind one of them, an internal error may be no more than its
    /// consequence: what was not computed has no place.
    fn nodes(&mut self) -> crate::diag::Result<()> {
        let mut problems = Vec::new();
        let nodes: Vec<Node> = self.graph.body_nodes().collect();
        for node in nodes {
            self.current = Some(node);
            if let Err(reason) = self.node(node)
                && (problems.is_empty() || !reason.starts_with("internal error"))
            {
                problems.push(self.problem(node, reason));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems)) }
    }

    fn problem(&self, node: Node, reason: String) -> Diagnostic {
        let place = match self.graph.layers(node).first() {
            Some(&layer) => {
                let layer = self.graph.layer(layer);
                DiagPlace { file: None, line: Some(layer.line), item: Some(format!("layer \"{}\"", layer.name)) }
            }
            None => DiagPlace::item(self.graph.op(node).name()),
        };
        if reason.starts_with("internal error") {
            return Diagnostic::internal(place, reason.trim_start_matches("internal error: "));
        }
        Diagnostic::error(&codes::NO_KERNEL, place, reason)
            .with_help("the operation is understood but has no kernel in this form; please report the model")
    }

    fn node(&mut self, node: Node) -> Result<(), String> {
        let graph = self.graph;
        let results = graph.results(node);
        let needed = results.iter().any(|&result| self.plan.is_stored(result));
        let op = graph.op(node);
        if matches!(op, Op::Return) {
            self.outputs()?;
            return self.commit();
        }
        if let Op::Assign { variable } = op {
            return self.assign(node, variable);
        }
        if !needed {
            return Ok(());
        }
        if plan::is_pointwise(graph, node) || plan::is_anchor(op) {
            return self.root(graph.result(node));
        }
        match op {
            Op::Softmax { axis, log } => self.softmax(node, *axis, *log),
            Op::Rnn(_) => self.recurrent(node),
            Op::ReadValue { variable } => self.read_value(node, variable),
            _ => self.movement(node),
        }
    }

    /// The kernel of a stored pointwise or accumulated value.
    fn root(&mut self, root: Value) -> Result<(), String> {
        match self.plan.anchor(root) {
            None => self.pointwise(root),
            Some(anchor) => match self.graph.op(anchor.node) {
                Op::Convolution(_) => self.convolution(root, anchor),
                Op::Deconvolution(_) => self.deconvolution(root, anchor),
                Op::MatMul { .. } => self.product(root, anchor),
                Op::MaxPool(_) | Op::AvgPool(_) => self.pool(root, anchor),
                Op::Reduce(_) => self.reduce(root, anchor),
                Op::Interpolate(_) => self.resize(root, anchor),
                Op::Mvn(_) | Op::NormalizeL2(_) => self.normalize(root, anchor),
                other => Err(format!("internal error: {} is no anchor", other.name())),
            },
        }
    }

    /// Copies what was not written into the caller's memory.
    fn outputs(&mut self) -> Result<(), String> {
        for (index, &value) in self.graph.outputs().iter().enumerate() {
            let storage = self.outputs[index];
            let source = self.view(value)?;
            if source.storage != storage {
                let target = border_view(self.graph, value, storage);
                self.copy(&source, &target);
            }
        }
        Ok(())
    }

    /// Where a stored value lies.
    fn view(&mut self, value: Value) -> Result<View, String> {
        if let Some(view) = &self.views[value] {
            return Ok(view.clone());
        }
        if let Some(tensor) = self.graph.const_value(value) {
            let storage = self.const_storage(tensor.to_bytes());
            let view = border_view(self.graph, value, storage);
            self.views[value] = Some(view.clone());
            return Ok(view);
        }
        Err(format!("internal error: {value} has no place when it is used"))
    }

    /// Kernels may not read past the end of the caller's memory.
    fn reads_exactly(&self, view: &View) -> bool {
        matches!(self.storages[view.storage].kind, StorageKind::Input(_) | StorageKind::Output(_))
    }

    /// A step of the current node; equal specs share a kernel.
    fn push_step(&mut self, spec: KernelSpec, operands: Vec<Operand>, covered: &[Node], macs: u64) {
        if spec.items() == 0 {
            return;
        }
        debug_assert_eq!(spec.operands().len(), operands.len(), "{} with other operands", spec.family());
        let kernel = self.kernel(spec);
        let after_reset = self.current.is_some_and(|node| self.variables.is_initial(node));
        let label = self.label(covered, macs);
        self.steps.push(PendingStep { kernel, operands, after_reset, label });
    }

    fn kernel(&mut self, spec: KernelSpec) -> KernelId {
        match self.kernels.iter().find(|(_, known)| **known == spec) {
            Some((id, _)) => id,
            None => self.kernels.push(spec),
        }
    }

    /// Names of a step: the layer that computes most, and all it covers.
    fn label(&self, covered: &[Node], macs: u64) -> Label {
        let current = self.current.into_iter().filter(|_| covered.is_empty());
        let nodes: Vec<Node> = covered.iter().copied().chain(current).collect();
        let mut layers: Vec<Layer> = nodes.iter().flat_map(|&node| self.graph.layers(node).iter().copied()).collect();
        let main = nodes.first().and_then(|&node| self.main_layer(node)).or(layers.first().copied());
        layers.sort();
        layers.dedup();
        let name = |layer: Layer| self.graph.layer(layer).name.clone();
        Label {
            layer: main.map(name).unwrap_or_default(),
            layers: layers.into_iter().map(name).collect(),
            layer_type: main.map(|layer| self.graph.layer(layer).kind.clone()).unwrap_or_default(),
            line: main.map_or(0, |layer| self.graph.layer(layer).line),
            macs,
            cycles: 0,
        }
    }

    /// Among the layers merged into a node, the one it is called after: a multiplication of weights and activations first.
    fn main_layer(&self, node: Node) -> Option<Layer> {
        let layers = self.graph.layers(node);
        let weighty = |kind: &str| kind.contains("Convolution") || kind == "MatMul" || kind.ends_with("Sequence");
        let main = layers.iter().copied().find(|&layer| weighty(&self.graph.layer(layer).kind));
        main.or(layers.last().copied())
    }

    fn finish(mut self, options: &LowerOptions) -> crate::diag::Result<Program> {
        self.sum_in_place();
        let memory::Assignment { mut steps, buffers, state_bytes, workspace_bytes } =
            memory::assign(&self.storages, std::mem::take(&mut self.steps))
                .map_err(|reason| Diagnostic::internal(DiagPlace::item("memory plan"), reason))?;
        drop_unread(&mut self.constants, &steps);
        share::decide(&mut steps, &self.kernels, &self.constants, self.estimate);
        let port = |name: &String, value: &Value| Port { name: name.clone(), ty: self.graph.ty(*value).clone() };
        Ok(Program {
            name: self.graph.name.clone(),
            model_hash: options.model_hash.clone(),
            source: options.source.clone(),
            inputs: self.graph.input_names.iter().zip(self.graph.inputs()).map(|(n, v)| port(n, v)).collect(),
            outputs: output_names(self.graph).iter().zip(self.graph.outputs()).map(|(n, v)| port(n, v)).collect(),
            workspace_bytes,
            buffers,
            variables: self.variables.published(),
            state_bytes,
            constants: self.constants,
            kernels: self.kernels,
            steps,
            choices: self.choices,
        })
    }

    /// The source of a kernel with `elem` elements; another type has no kernel.
    fn expect_elem(&self, view: &View, allowed: &[ElemType], what: &str) -> Result<(), String> {
        match allowed.contains(&view.elem) {
            true => Ok(()),
            false => Err(format!("{what} of {} has no kernel", view.elem)),
        }
    }
}

/// Constants that no step reads, such as those whose only reader took them in another order, hold no bytes.
fn drop_unread(constants: &mut PrimaryMap<ConstId, Vec<u8>>, steps: &[Step]) {
    let places = steps.iter().flat_map(|step| &step.operands);
    let read: BTreeSet<ConstId> = places
        .filter_map(|place| match place {
            Place::Const { id, .. } => Some(*id),
            Place::Input { .. } | Place::Output { .. } | Place::Workspace { .. } => None,
        })
        .collect();
    for (_, bytes) in constants.iter_mut().filter(|(id, _)| !read.contains(id)) {
        *bytes = Vec::new();
    }
}

/// A text form may leave its results without names; a program's outputs have some.
fn output_names(graph: &Graph) -> Vec<String> {
    match graph.output_names.is_empty() {
        true => (0..graph.outputs().len()).map(|index| format!("out{index}")).collect(),
        false => graph.output_names.clone(),
    }
}
