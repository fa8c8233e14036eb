//! Arenas, order and users: the graph itself, and the only way to change it.
//!
//! Nodes of a region form a doubly linked list, operands before users; inserting and removing is constant time and keeps
//! every entity valid. `users` is kept exact by every mutator, so a rewrite never scans the graph.

use std::sync::Arc;

use cranelift_entity::{PrimaryMap, SecondaryMap, packed_option::PackedOption};

use super::entity::{Const, Layer, Node, Region, Value};
use super::infer;
use super::op::Op;
use super::tensor::Tensor;
use super::ty::TensorType;

/// A layer of the source model: what diagnostics, symbols and profiles call an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerData {
    pub name: String,
    /// The source's own name of the operation: `Convolution`.
    pub kind: String,
    /// Line in the source file, from 1; 0 when there is none.
    pub line: u32,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueDef {
    Param(Region, usize),
    Result(Node, usize),
}

#[derive(Clone, Debug)]
struct ValueData {
    ty: TensorType,
    def: ValueDef,
    /// One entry per use.
    users: Vec<Node>,
}

#[derive(Clone, Debug)]
struct NodeData {
    op: Op,
    operands: Vec<Value>,
    results: Vec<Value>,
    /// Ascending, without repetition.
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, Default)]
struct Link {
    region: PackedOption<Region>,
    prev: PackedOption<Node>,
    next: PackedOption<Node>,
}

#[derive(Clone, Debug, Default)]
struct RegionData {
    params: Vec<Value>,
    first: PackedOption<Node>,
    last: PackedOption<Node>,
}

#[derive(Clone, Debug)]
pub struct Graph {
    /// Name of the function in the text form and prefix of the object's symbols.
    pub name: String,
    /// Names of the body's parameters, in order.
    pub input_names: Vec<String>,
    /// Names of the body's results, in order.
    pub output_names: Vec<String>,
    nodes: PrimaryMap<Node, NodeData>,
    values: PrimaryMap<Value, ValueData>,
    consts: PrimaryMap<Const, Arc<Tensor>>,
    regions: PrimaryMap<Region, RegionData>,
    layers: PrimaryMap<Layer, LayerData>,
    links: SecondaryMap<Node, Link>,
    body: Region,
}

impl Graph {
    pub fn new(name: impl Into<String>) -> Graph {
        let mut regions = PrimaryMap::new();
        let body = regions.push(RegionData::default());
        Graph {
            name: name.into(),
            input_names: Vec::new(),
            output_names: Vec::new(),
            nodes: PrimaryMap::new(),
            values: PrimaryMap::new(),
            consts: PrimaryMap::new(),
            regions,
            layers: PrimaryMap::new(),
            links: SecondaryMap::new(),
            body,
        }
    }

    /// The function's region.
    pub fn body(&self) -> Region {
        self.body
    }

    pub fn inputs(&self) -> &[Value] {
        self.params(self.body)
    }

    /// Operands of the body's `return`; empty while the graph is being built.
    pub fn outputs(&self) -> &[Value] {
        self.region_results(self.body)
    }

    pub fn new_region(&mut self) -> Region {
        self.regions.push(RegionData::default())
    }

    pub fn add_param(&mut self, region: Region, ty: TensorType) -> Value {
        let index = self.regions[region].params.len();
        let value = self.values.push(ValueData { ty, def: ValueDef::Param(region, index), users: Vec::new() });
        self.regions[region].params.push(value);
        value
    }

    /// Adds a parameter of the function.
    pub fn add_input(&mut self, name: impl Into<String>, ty: TensorType) -> Value {
        self.input_names.push(name.into());
        self.add_param(self.body, ty)
    }

    pub fn add_tensor(&mut self, tensor: Tensor) -> Const {
        self.consts.push(Arc::new(tensor))
    }

    pub fn add_layer(&mut self, layer: LayerData) -> Layer {
        self.layers.push(layer)
    }

    pub fn params(&self, region: Region) -> &[Value] {
        &self.regions[region].params
    }

    /// Operands of the region's `return`.
    pub fn region_results(&self, region: Region) -> &[Value] {
        match self.regions[region].last.expand() {
            Some(last) if self.nodes[last].op == Op::Return => self.operands(last),
            _ => &[],
        }
    }

    pub fn op(&self, node: Node) -> &Op {
        &self.nodes[node].op
    }

    pub fn operands(&self, node: Node) -> &[Value] {
        &self.nodes[node].operands
    }

    pub fn operand(&self, node: Node, index: usize) -> Value {
        self.nodes[node].operands[index]
    }

    pub fn results(&self, node: Node) -> &[Value] {
        &self.nodes[node].results
    }

    /// The result of a node that has one.
    pub fn result(&self, node: Node) -> Value {
        self.nodes[node].results[0]
    }

    pub fn layers(&self, node: Node) -> &[Layer] {
        &self.nodes[node].layers
    }

    pub fn layer(&self, layer: Layer) -> &LayerData {
        &self.layers[layer]
    }

    pub fn all_layers(&self) -> impl Iterator<Item = (Layer, &LayerData)> {
        self.layers.iter()
    }

    pub fn ty(&self, value: Value) -> &TensorType {
        &self.values[value].ty
    }

    pub fn def(&self, value: Value) -> ValueDef {
        self.values[value].def
    }

    /// The node a value is a result of.
    pub fn def_node(&self, value: Value) -> Option<Node> {
        match self.values[value].def {
            ValueDef::Result(node, _) => Some(node),
            ValueDef::Param(..) => None,
        }
    }

    /// The operation a value is a result of.
    pub fn def_op(&self, value: Value) -> Option<&Op> {
        self.def_node(value).map(|node| self.op(node))
    }

    /// Every use of a value, one entry per use; a node that uses it twice stands there twice.
    pub fn users(&self, value: Value) -> &[Node] {
        &self.values[value].users
    }

    /// The one node that uses the value, if there is exactly one use.
    pub fn single_user(&self, value: Value) -> Option<Node> {
        match self.users(value) {
            [user] => Some(*user),
            _ => None,
        }
    }

    pub fn tensor(&self, id: Const) -> &Arc<Tensor> {
        &self.consts[id]
    }

    /// The tensor of a value defined by `const`.
    pub fn const_value(&self, value: Value) -> Option<&Arc<Tensor>> {
        match self.def_op(value) {
            Some(Op::Const(id)) => Some(&self.consts[*id]),
            _ => None,
        }
    }

    /// Nodes of a region in order.
    pub fn nodes(&self, region: Region) -> Nodes<'_> {
        Nodes { graph: self, next: self.regions[region].first.expand() }
    }

    /// Nodes of the function's body in order, without those of inner regions.
    pub fn body_nodes(&self) -> Nodes<'_> {
        self.nodes(self.body)
    }

    /// The body and every region inside it, outer before inner.
    pub fn all_regions(&self) -> Vec<Region> {
        let mut found = vec![self.body];
        let mut at = 0;
        while let Some(&region) = found.get(at) {
            found.extend(self.nodes(region).flat_map(|node| self.op(node).regions()));
            at += 1;
        }
        found
    }

    /// The node may be removed when nobody uses its results: neither it nor a node of its regions has an effect.
    pub fn is_pure(&self, node: Node) -> bool {
        let is_pure_region =
            |region: Region| self.nodes(region).all(|node| *self.op(node) == Op::Return || self.is_pure(node));
        self.op(node).info().pure && self.op(node).regions().into_iter().all(is_pure_region)
    }

    /// Nobody uses a result of the node.
    pub fn is_unused(&self, node: Node) -> bool {
        self.results(node).iter().all(|&result| self.users(result).is_empty())
    }

    /// The region a node stands in; `None` after its removal.
    pub fn region_of(&self, node: Node) -> Option<Region> {
        self.links[node].region.expand()
    }

    pub fn next(&self, node: Node) -> Option<Node> {
        self.links[node].next.expand()
    }

    pub fn prev(&self, node: Node) -> Option<Node> {
        self.links[node].prev.expand()
    }

    /// Upper bounds of the entities, for maps over them.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Appends a node to a region. Its result types are inferred.
    ///
    /// # Errors
    /// The reason why the operation cannot take these operands; the graph is unchanged.
    pub fn append(&mut self, region: Region, op: Op, operands: &[Value], layers: &[Layer]) -> Result<Node, String> {
        let node = self.create(op, operands, layers)?;
        self.link(node, region, self.regions[region].last.expand());
        Ok(node)
    }

    /// As [`Graph::append`], in front of `before`.
    pub fn insert_before(
        &mut self,
        before: Node,
        op: Op,
        operands: &[Value],
        layers: &[Layer],
    ) -> Result<Node, String> {
        let region = self.region_of(before).ok_or("internal error: insertion before a removed node")?;
        let node = self.create(op, operands, layers)?;
        self.link(node, region, self.prev(before));
        Ok(node)
    }

    /// Adds a constant in front of `before` and gives its value.
    pub fn insert_const(&mut self, before: Node, tensor: Tensor, layers: &[Layer]) -> Value {
        let id = self.add_tensor(tensor);
        match self.insert_before(before, Op::Const(id), &[], layers) {
            Ok(node) => self.result(node),
            Err(reason) => {
                unreachable!("internal error: a constant has no operands to be wrong: {reason}")
            }
        }
    }

    /// Replaces every use of `old` by `new`.
    ///
    /// # Panics
    /// When the types differ: a rewrite never changes a type.
    pub fn replace_value(&mut self, old: Value, new: Value) {
        assert_eq!(self.ty(old), self.ty(new), "internal error: {old} replaced by {new} of another type");
        let users = std::mem::take(&mut self.values[old].users);
        for &user in &users {
            for operand in &mut self.nodes[user].operands {
                if *operand == old {
                    *operand = new;
                }
            }
        }
        self.values[new].users.extend(users);
    }

    /// Replaces one operand; the result types are inferred again and must not change.
    ///
    /// # Errors
    /// The reason why the operation cannot take the operand; the graph is unchanged.
    pub fn set_operand(&mut self, node: Node, index: usize, value: Value) -> Result<(), String> {
        let mut operands = self.nodes[node].operands.clone();
        let old = std::mem::replace(&mut operands[index], value);
        let types = infer::result_types(self, &self.nodes[node].op, &operands)?;
        let unchanged = types.iter().eq(self.nodes[node].results.iter().map(|&result| self.ty(result)));
        if !unchanged {
            return Err(format!("operand {index} of {node} would change its result types"));
        }
        self.nodes[node].operands = operands;
        self.forget_user(old, node);
        self.values[value].users.push(node);
        Ok(())
    }

    /// Removes a node whose results nobody uses, with the nodes of its regions. Its entities stay valid but stand in no
    /// region.
    ///
    /// # Panics
    /// When a result is still used.
    pub fn remove(&mut self, node: Node) {
        for region in self.nodes[node].op.regions() {
            while let Some(last) = self.regions[region].last.expand() {
                self.remove(last);
            }
        }
        for &result in &self.nodes[node].results {
            assert!(self.values[result].users.is_empty(), "internal error: {node} removed while {result} is used");
        }
        for operand in std::mem::take(&mut self.nodes[node].operands) {
            self.forget_user(operand, node);
        }
        self.unlink(node);
    }

    /// Adds source layers to a node, for one that takes over another's work.
    pub fn add_layers(&mut self, node: Node, layers: &[Layer]) {
        let own = &mut self.nodes[node].layers;
        own.extend_from_slice(layers);
        own.sort();
        own.dedup();
    }

    fn create(&mut self, op: Op, operands: &[Value], layers: &[Layer]) -> Result<Node, String> {
        let types = infer::result_types(self, &op, operands)?;
        let node =
            self.nodes.push(NodeData { op, operands: operands.to_vec(), results: Vec::new(), layers: Vec::new() });
        self.add_layers(node, layers);
        for (index, ty) in types.into_iter().enumerate() {
            let def = ValueDef::Result(node, index);
            let value = self.values.push(ValueData { ty, def, users: Vec::new() });
            self.nodes[node].results.push(value);
        }
        for &operand in operands {
            self.values[operand].users.push(node);
        }
        Ok(node)
    }

    fn forget_user(&mut self, value: Value, user: Node) {
        let users = &mut self.values[value].users;
        // from the back: passes that remove nodes go backwards, and a value may have very many users
        if let Some(at) = users.iter().rposition(|&node| node == user) {
            users.remove(at);
        }
    }

    fn link(&mut self, node: Node, region: Region, prev: Option<Node>) {
        let next = match prev {
            Some(prev) => self.links[prev].next.expand(),
            None => self.regions[region].first.expand(),
        };
        self.links[node] = Link { region: region.into(), prev: prev.into(), next: next.into() };
        match prev {
            Some(prev) => self.links[prev].next = node.into(),
            None => self.regions[region].first = node.into(),
        }
        match next {
            Some(next) => self.links[next].prev = node.into(),
            None => self.regions[region].last = node.into(),
        }
    }

    fn unlink(&mut self, node: Node) {
        let Link { region, prev, next } = std::mem::take(&mut self.links[node]);
        let Some(region) = region.expand() else {
            return;
        };
        match prev.expand() {
            Some(prev) => self.links[prev].next = next,
            None => self.regions[region].first = next,
        }
        match next.expand() {
            Some(next) => self.links[next].prev = prev,
            None => self.regions[region].last = prev,
        }
    }
}

/// Nodes of a region in order.
pub struct Nodes<'a> {
    graph: &'a Graph,
    next: Option<Node>,
}

impl Iterator for Nodes<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let node = self.next?;
        self.next = self.graph.next(node);
        Some(node)
    }
}
