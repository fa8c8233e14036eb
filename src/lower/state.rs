//! Variables: memory of the workspace that keeps its contents from inference to inference.
//!
//! - A variable has one buffer. `read_value` is a view of it, so every step of the inference reads what the one before left.
//! - The first inference after a reset writes the initial value there, at the place of `read_value`. What only initial values
//!   are computed from runs in that inference only.
//! - `assign` takes effect behind the last step. The value is computed into the variable's own buffer where nothing reads
//!   the variable from that point on; else it is copied there at the end. Variables that get each other's old values are copied by
//!   way of buffers of their own.
//!
//! How a variable lies in memory is free; it lies as the value assigned to it does. That is known after lowering, so
//! [`super::lower`] runs again if its first guess, row-major, was wrong.

use std::collections::BTreeMap;

use cranelift_entity::{PrimaryMap, SecondaryMap};

use crate::ir::{Graph, Node, Op, Shape, TensorType, Value};

use super::kernel::KernelSpec;
use super::place::{StorageData, StorageKind};
use super::program::{self, READ_SLACK};
use super::view::{Storage, View, row_major};
use super::{Lowering, Operand};

/// Order of a variable's dimensions in memory, outermost first.
pub type Orders = BTreeMap<String, Vec<usize>>;

/// The variables of a graph.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    orders: Orders,
    known: BTreeMap<String, Variable>,
    /// The node computes nothing but initial values, or is a `read_value` itself.
    initial: SecondaryMap<Node, bool>,
}

#[derive(Clone, Debug)]
struct Variable {
    place: View,
    /// What `read_value` gives after a reset; none if it was not lowered yet.
    initial: Option<Value>,
    assigned: Option<Value>,
}

impl Variables {
    /// Gives every variable a buffer whose dimensions lie in `orders`, row-major where it has none.
    pub fn new(graph: &Graph, orders: Orders, storages: &mut PrimaryMap<Storage, StorageData>) -> Variables {
        let mut known = BTreeMap::new();
        for node in graph.body_nodes() {
            let (Op::ReadValue { variable } | Op::Assign { variable }) = graph.op(node) else { continue };
            known.entry(variable.clone()).or_insert_with(|| {
                let ty = graph.ty(graph.operand(node, 0));
                let order = orders.get(variable).cloned().unwrap_or_else(|| row_major(ty.shape.rank()));
                let storage = storages.push(StorageData { kind: StorageKind::State, bytes: ty.bytes() + READ_SLACK });
                let place = View::dense(storage, ty.elem, ty.shape.dims(), &order);
                Variable { place, initial: None, assigned: None }
            });
        }
        Variables { orders, known, initial: initial_nodes(graph) }
    }

    /// Steps of the node run in the first inference after a reset only.
    pub fn is_initial(&self, node: Node) -> bool {
        self.initial[node]
    }

    /// The orders that were asked for.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// In the order in which they lie in the state.
    pub fn published(&self) -> Vec<program::Variable> {
        let mut known: Vec<(&String, &Variable)> = self.known.iter().collect();
        known.sort_by_key(|(_, variable)| variable.place.storage);
        let published = |(name, variable): (&String, &Variable)| {
            let View { elem, sizes, .. } = &variable.place;
            let ty = TensorType::new(*elem, Shape::new(sizes.clone())?);
            Some(program::Variable { name: name.clone(), ty, order: variable.place.order() })
        };
        known.into_iter().filter_map(published).collect()
    }
}

fn initial_nodes(graph: &Graph) -> SecondaryMap<Node, bool> {
    let mut initial: SecondaryMap<Node, bool> = SecondaryMap::new();
    let nodes: Vec<Node> = graph.body_nodes().collect();
    for &node in nodes.iter().rev() {
        let mut users = graph.results(node).iter().flat_map(|&result| graph.users(result)).peekable();
        let feeds_initial_values = users.peek().is_some() && users.all(|&user| initial[user]);
        let op = graph.op(node);
        initial[node] = matches!(op, Op::ReadValue { .. }) || op.info().pure && feeds_initial_values;
    }
    initial
}

/// An assignment at the end of an inference.
struct Commit {
    src: View,
    dst: View,
}

impl Lowering<'_> {
    /// How the assigned values lie in memory, where that is not row-major.
    pub fn assigned_orders(&self) -> Orders {
        let order = |(name, variable): (&String, &Variable)| {
            let view = self.views[variable.assigned?].as_ref()?;
            let order = view.order();
            (!is_row_major(view, &order)).then(|| (name.clone(), order))
        };
        self.variables.known.iter().filter_map(order).collect()
    }

    pub fn read_value(&mut self, node: Node, name: &str) -> Result<(), String> {
        let initial = self.graph.operand(node, 0);
        let variable = self.variables.known.get_mut(name).ok_or_else(|| unknown(name))?;
        let place = variable.place.clone();
        match variable.initial.replace(initial) {
            None => {
                let src = self.view(initial)?;
                self.copy(&src, &place);
            }
            Some(other) if other == initial => {}
            Some(_) => return Err(format!("variable \"{name}\" is read twice, with two initial values")),
        }
        self.views[self.graph.result(node)] = Some(place);
        Ok(())
    }

    pub fn assign(&mut self, node: Node, name: &str) -> Result<(), String> {
        let value = self.graph.operand(node, 0);
        let view = self.view(value)?;
        let variable = self.variables.known.get_mut(name).ok_or_else(|| unknown(name))?;
        variable.assigned = Some(value);
        self.views[self.graph.result(node)] = Some(view);
        Ok(())
    }

    /// Behind the last step: every variable gets its value.
    pub fn commit(&mut self) -> Result<(), String> {
        let assigned: Vec<(View, Value)> =
            self.variables.known.values().filter_map(|v| Some((v.place.clone(), v.assigned?))).collect();
        let mut merged: BTreeMap<Storage, Storage> = BTreeMap::new();
        let mut commits = Vec::new();
        for (dst, value) in assigned {
            let view = self.view(value)?;
            let storage = merged.get(&view.storage).copied().unwrap_or(view.storage);
            let src = View { storage, ..view };
            match self.computed_in_place(&src, &dst) {
                true => merged.insert(src.storage, dst.storage).map_or((), drop),
                false => commits.push(Commit { src, dst }),
            }
        }
        self.copy_to_variables(commits);
        Ok(())
    }

    /// What lies in a variable that is written is taken out before any is.
    fn copy_to_variables(&mut self, mut commits: Vec<Commit>) {
        commits.retain(|Commit { src, dst }| !same_place(src, dst));
        let written: Vec<Storage> = commits.iter().map(|commit| commit.dst.storage).collect();
        for commit in &mut commits {
            if written.contains(&commit.src.storage) {
                commit.src = self.copied(&commit.src, &commit.dst.order());
            }
        }
        for Commit { src, dst } in &commits {
            self.copy(src, dst);
        }
    }

    /// Puts the variable's buffer in place of the one that its new value is computed into. It may be so if nothing touches
    /// the variable from the first write of the new value on; but that step itself may be a copy of the old value, or work
    /// element by element.
    fn computed_in_place(&mut self, src: &View, dst: &View) -> bool {
        let whole = self.storages[src.storage].kind == StorageKind::Workspace
            && self.storages[src.storage].bytes == self.storages[dst.storage].bytes
            && same_place(&View { storage: dst.storage, halo: None, ..src.clone() }, dst);
        let touches = |storage: Storage| {
            move |step: &super::PendingStep| step.operands.iter().any(|operand| operand.storage == storage)
        };
        let written = self.steps.iter().position(touches(src.storage));
        let Some(written) = written.filter(|_| whole) else { return false };
        match self.steps.iter().rposition(touches(dst.storage)) {
            Some(last) if last > written => return false,
            Some(last) if last == written && self.is_plain_copy(last, dst, src) => drop(self.steps.remove(last)),
            Some(last) if last == written && !self.made_elementwise(last, dst, src) => return false,
            Some(_) | None => {}
        }
        for operand in self.steps.iter_mut().flat_map(|step| &mut step.operands) {
            if operand.storage == src.storage {
                operand.storage = dst.storage;
            }
        }
        true
    }

    /// Makes a step that reads each element of `old` where it writes the one of `new` ready for both being one buffer.
    fn made_elementwise(&mut self, step: usize, old: &View, new: &View) -> bool {
        let pending = &self.steps[step];
        let KernelSpec::Pointwise(spec) = &self.kernels[pending.kernel] else { return false };
        let mut readers = (0..pending.operands.len()).filter(|&index| pending.operands[index].storage == old.storage);
        let (Some(reader), None) = (readers.next(), readers.next()) else { return false };
        let (Some(load), [store]) = (spec.epilogue.loads.get(reader), &spec.epilogue.stores[..]) else { return false };
        let starts = pending.operands[reader] == Operand::of(old) && pending.operands.last() == Some(&Operand::of(new));
        if !starts || (load.elem, &load.strides, load.inner) != (store.elem, &store.strides, store.inner) {
            return false;
        }
        let mut spec = spec.clone();
        spec.epilogue.loads[reader].aliased = true;
        self.steps[step].kernel = self.kernel(KernelSpec::Pointwise(spec));
        true
    }

    /// The step copies all of `src` to the same places of `dst`.
    fn is_plain_copy(&self, step: usize, src: &View, dst: &View) -> bool {
        let step = &self.steps[step];
        let KernelSpec::Copy(spec) = &self.kernels[step.kernel] else { return false };
        let elements: usize = spec.sizes.iter().product();
        let dense = spec.src == spec.dst && spec.elem_bytes == src.elem.bytes() && elements == src.elements();
        dense && step.operands == [Operand::of(src), Operand::of(dst)]
    }
}

fn is_row_major(view: &View, order: &[usize]) -> bool {
    order.iter().filter(|&&dim| view.sizes[dim] > 1).is_sorted()
}

/// The same bytes, element by element.
fn same_place(a: &View, b: &View) -> bool {
    let strides = |view: &View| -> Vec<i64> {
        (0..view.rank()).filter(|&dim| view.sizes[dim] > 1).map(|dim| view.strides[dim]).collect()
    };
    (a.storage, a.offset, &a.sizes, strides(a)) == (b.storage, b.offset, &b.sizes, strides(b))
}

fn unknown(name: &str) -> String {
    format!("internal error: variable {name:?} has no buffer")
}
