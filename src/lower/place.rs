//! Where values live: storages, borders, and the slices of a concatenation.
//!
//! A value gets a storage when its kernel is emitted. Three things decide its form:
//! - a window that pads it wants a border of known value around it, so that kernels need no bounds checks;
//! - a concatenation it goes into wants it written into its slice, unless its kernel reads another slice: what a kernel reads
//!   past its source's elements must not be what it writes;
//! - the model's border wants it row-major in the caller's memory.
//!
//! What cannot be had in place is copied by whoever needs it.

use cranelift_entity::{PrimaryMap, SecondaryMap};

use crate::ir::{Graph, Node, Op, Value};

use super::kernel::{FillSpec, KernelSpec};
use super::plan::{self, Plan};
use super::program::{ConstId, READ_SLACK};
use super::view::{Halo, Storage, View, channels_last, merge_common, row_major};
use super::{Lowering, Operand};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    Workspace,
    /// A variable: workspace that is never given to anything else.
    State,
    Input(usize),
    Output(usize),
    Const(ConstId),
}

#[derive(Clone, Debug)]
pub struct StorageData {
    pub kind: StorageKind,
    pub bytes: usize,
}

/// Decided before any kernel is emitted.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// The value is written into a slice of a concatenation: its node, axis and first element.
    slices: SecondaryMap<Value, Option<(Node, usize, usize)>>,
    /// The value is written into a model output.
    outputs: SecondaryMap<Value, Option<usize>>,
}

impl Placement {
    /// `allocates` tells which values a kernel writes: only those can be written elsewhere.
    pub fn new(graph: &Graph, plan: &Plan, allocates: impl Fn(Value) -> bool) -> Placement {
        let mut placement = Placement::default();
        for node in graph.body_nodes() {
            if let Op::Concat { axis } = *graph.op(node) {
                placement.place_parts(graph, plan, node, axis, &allocates);
            }
        }
        for (index, &value) in graph.outputs().iter().enumerate() {
            if allocates(value) && graph.users(value).len() == 1 && placement.slices[value].is_none() {
                placement.outputs[value] = Some(index);
            }
        }
        placement
    }

    /// The value must be written into a slice or an output.
    pub fn is_bound(&self, value: Value) -> bool {
        self.slices[value].is_some() || self.outputs[value].is_some()
    }

    /// Somebody reads memory of a concatenation by the name of its part, and so does not count as a user of the whole.
    pub fn has_read_parts(&self, graph: &Graph, value: Value) -> bool {
        let concat = graph.def_node(value).filter(|&node| matches!(graph.op(node), Op::Concat { .. }));
        concat.is_some_and(|concat| {
            let lies_here = |part: Value| self.slices[part].is_some_and(|(whole, _, _)| whole == concat);
            let is_read = |part: Value| graph.users(part).len() > 1 || self.has_read_parts(graph, part);
            graph.operands(concat).iter().any(|&part| lies_here(part) && is_read(part))
        })
    }

    fn place_parts(&mut self, graph: &Graph, plan: &Plan, node: Node, axis: usize, allocates: &impl Fn(Value) -> bool) {
        let mut begin = 0;
        let mut placed: Vec<Value> = Vec::new();
        for &part in graph.operands(node) {
            let reads = |reader: Value, slice: Value| {
                kernel_reads(graph, plan, reader).into_iter().any(|read| self.lies_in(graph, read, slice))
            };
            let meets = |&other: &Value| reads(part, other) || reads(other, part);
            if allocates(part) && self.slices[part].is_none() && !placed.iter().any(meets) {
                self.slices[part] = Some((node, axis, begin));
                placed.push(part);
            }
            begin += graph.ty(part).shape[axis];
        }
    }

    /// The value is `whole`, or written into a slice of it.
    fn lies_in(&self, graph: &Graph, mut value: Value, whole: Value) -> bool {
        while value != whole {
            match self.slices[value] {
                Some((concat, _, _)) => value = graph.result(concat),
                None => return false,
            }
        }
        true
    }
}

/// The stored values that the kernel of a stored value reads, behind views of them.
fn kernel_reads(graph: &Graph, plan: &Plan, value: Value) -> Vec<Value> {
    let operands = |value: Value| graph.def_node(value).map(|node| graph.operands(node)).unwrap_or_default();
    let mut open = operands(value).to_vec();
    let mut reads = Vec::new();
    while let Some(value) = open.pop() {
        let is_view = graph.def_op(value).is_some_and(is_view);
        match plan.is_stored(value) && !is_view {
            true => reads.push(value),
            false => open.extend(operands(value)),
        }
    }
    reads
}

/// The result lies in its operand's memory.
pub fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Split { .. }
            | Op::Slice(_)
            | Op::Broadcast { .. }
            | Op::Reverse { .. }
            | Op::Assign { .. }
    )
}

impl Lowering<'_> {
    pub fn new_storage(&mut self, kind: StorageKind, bytes: usize) -> Storage {
        self.storages.push(StorageData { kind, bytes })
    }

    /// A constant's bytes as a storage; equal constants are one.
    pub fn const_storage(&mut self, bytes: Vec<u8>) -> Storage {
        let len = bytes.len();
        let known = self.constants.iter().find(|(_, constant)| **constant == bytes).map(|(id, _)| id);
        let id = known.unwrap_or_else(|| self.constants.push(bytes));
        self.new_storage(StorageKind::Const(id), len)
    }

    /// A fresh row-major or channels-last place for a value, with the border, slice or output its users want.
    pub fn allocate(&mut self, value: Value, order: &[usize]) -> View {
        let ty = self.graph.ty(value).clone();
        if let Some((concat, axis, begin)) = self.placement.slices[value] {
            let whole = self.concat_view(concat);
            let part = whole.part(axis, begin, ty.shape[axis]);
            if same_order(&part, order) {
                return part;
            }
        }
        let dense = View::dense(Storage::from_u32(0), ty.elem, ty.shape.dims(), order);
        if let Some(index) = self.placement.outputs[value]
            && dense.is_row_major()
        {
            return View { storage: self.outputs[index], ..dense };
        }
        let wanted = wanted_halo(self.graph, value).filter(|halo| !halo.is_empty());
        let halo = wanted.filter(|halo| is_useful(halo, ty.shape.dims(), order));
        self.padded(ty.elem, ty.shape.dims(), order, halo)
    }

    /// As [`Lowering::allocate`] for kernels that write rows along `inner`, which is contiguous in the result; in a slice it
    /// need not be.
    pub fn allocate_rows(&mut self, value: Value, order: &[usize], inner: Option<usize>) -> View {
        let view = self.allocate(value, order);
        let elem = view.elem.bytes() as i64;
        match inner {
            Some(dim) if view.sizes[dim] > 1 && view.strides[dim] != elem => {
                self.padded(view.elem, &view.sizes, order, None)
            }
            _ => view,
        }
    }

    /// The place of a concatenation's result, allocated by whoever comes first.
    pub fn concat_view(&mut self, concat: Node) -> View {
        let value = self.graph.result(concat);
        if let Some(view) = &self.views[value] {
            return view.clone();
        }
        let order = self.stack_order(concat).unwrap_or_else(|| channels_last(self.graph.ty(value).shape.rank()));
        // Its border is filled on behalf of the concatenation, whichever part comes first.
        let part = self.current.replace(concat);
        let view = self.allocate(value, &order);
        self.current = part;
        self.views[value] = Some(view.clone());
        view
    }

    /// Tensors of any layout that a new dimension stacks stay one behind the other as they are, unless a window slides over
    /// them: kernels for windows want channels last. None if it is no stack.
    fn stack_order(&self, concat: Node) -> Option<Vec<usize>> {
        let Op::Concat { axis } = *self.graph.op(concat) else { return None };
        let whole = self.graph.result(concat);
        let is_added =
            |&part: &Value| self.graph.ty(part).shape[axis] == 1 && self.graph.def_op(part).is_some_and(is_view);
        let interleaves = axis + 1 == self.graph.ty(whole).shape.rank();
        if interleaves || !self.graph.operands(concat).iter().all(is_added) || is_slid_over(self.graph, whole) {
            return None;
        }
        let part = self.views[self.graph.operand(concat, 0)].as_ref()?;
        Some(std::iter::once(axis).chain(part.order().into_iter().filter(|&dim| dim != axis)).collect())
    }

    /// A workspace storage with a border around the elements, and the steps that fill it.
    pub fn padded(&mut self, elem: crate::ir::ElemType, sizes: &[usize], order: &[usize], halo: Option<Halo>) -> View {
        let Some(halo) = halo else {
            let dense = View::dense(Storage::from_u32(0), elem, sizes, order);
            let storage = self.new_storage(StorageKind::Workspace, dense.elements() * elem.bytes() + READ_SLACK);
            return View { storage, ..dense };
        };
        let around = |dim: usize| sizes[dim] + halo.before[dim] + halo.after[dim];
        let outer_sizes: Vec<usize> = (0..sizes.len()).map(around).collect();
        let outer = View::dense(Storage::from_u32(0), elem, &outer_sizes, order);
        let storage = self.new_storage(StorageKind::Workspace, outer.elements() * elem.bytes() + READ_SLACK);
        let outer = View { storage, ..outer };
        self.fill_border(&outer, sizes, &halo);
        let view = outer.sliced(&halo.before, sizes, &vec![1; sizes.len()]);
        View { halo: Some(halo), ..view }
    }

    /// Fills what lies in `outer`, which is dense, around the inner `sizes`: slab by slab, each without what earlier slabs
    /// covered. What stands behind a row and in front of the next one is one slab.
    fn fill_border(&mut self, outer: &View, sizes: &[usize], halo: &Halo) {
        let mut begin = vec![0; sizes.len()];
        let mut lengths = outer.sizes.clone();
        let order = outer.order();
        for (i, &dim) in order.iter().enumerate() {
            let rows = i.checked_sub(1).map(|i| order[i]).filter(|&rows| halo.surrounds(rows) && halo.surrounds(dim));
            if let Some(rows) = rows {
                let mut slab = outer.sliced(&begin, &lengths, &vec![1; sizes.len()]);
                slab.offset += (halo.before[dim] + sizes[dim]) as i64 * outer.strides[dim] - outer.strides[rows];
                slab.sizes[rows] += 1;
                slab.sizes[dim] = halo.after[dim] + halo.before[dim];
                self.fill(&slab, halo.value);
                (begin[dim], lengths[dim]) = (halo.before[dim], sizes[dim]);
                continue;
            }
            for (first, count) in [(0, halo.before[dim]), (halo.before[dim] + sizes[dim], halo.after[dim])] {
                if count > 0 {
                    (begin[dim], lengths[dim]) = (first, count);
                    let slab = outer.sliced(&begin, &lengths, &vec![1; sizes.len()]);
                    self.fill(&slab, halo.value);
                }
            }
            (begin[dim], lengths[dim]) = (halo.before[dim], sizes[dim]);
        }
    }

    /// Writes an integer (for floats: that number) into every element.
    pub fn fill(&mut self, view: &View, value: i32) {
        let mut bytes = [0; 8];
        let word = if view.elem.is_float() { (value as f32).to_bits() } else { value as u32 };
        bytes[..4].copy_from_slice(&word.to_le_bytes());
        let order = view.order();
        let ordered = view.permuted(&order);
        let (sizes, strides) = merge_common(&ordered.sizes, std::slice::from_ref(&ordered.strides));
        let dst = strides.into_iter().next().unwrap_or_default();
        let spec = FillSpec { elem_bytes: view.elem.bytes(), value: bytes, sizes, dst };
        self.push_step(KernelSpec::Fill(spec), vec![Operand::of(view)], &[], 0);
    }
}

/// Whether a border serves the windows: channels must be innermost for them, and have none.
fn is_useful(halo: &Halo, sizes: &[usize], order: &[usize]) -> bool {
    let has_border = |dim: &usize| halo.before[*dim] + halo.after[*dim] > 0;
    let outside = order.split_last().map_or(&[][..], |(_, outside)| outside);
    let is_channel = |dim: &usize| !has_border(dim) && sizes[*dim] > 1;
    !order.last().is_some_and(has_border) || !outside.iter().skip(1).any(is_channel)
}

/// Whether a view walks memory in this order of dimensions.
fn same_order(view: &View, order: &[usize]) -> bool {
    let significant = |order: &[usize]| order.iter().copied().filter(|&dim| view.sizes[dim] > 1).collect::<Vec<_>>();
    significant(&view.order()) == significant(order)
}

/// A window slides over the value, or what the first pointwise operations make of it.
fn is_slid_over(graph: &Graph, value: Value) -> bool {
    graph.users(value).iter().any(|&user| {
        let inner = plan::is_pointwise(graph, user).then(|| graph.result(user));
        plan::is_window(graph.op(user))
            || inner.is_some_and(|value| graph.users(value).iter().any(|&user| plan::is_window(graph.op(user))))
    })
}

/// Some window reads the value with padding.
pub fn wants_border(graph: &Graph, value: Value) -> bool {
    wanted_halo(graph, value).is_some_and(|halo| !halo.is_empty())
}

/// The border that the windows reading a value want, through views of it that keep the spatial dimensions.
fn wanted_halo(graph: &Graph, value: Value) -> Option<Halo> {
    let mut wanted: Option<Halo> = None;
    for &user in graph.users(value) {
        let halo = match graph.op(user) {
            Op::Convolution(_) | Op::Deconvolution(_) if graph.operand(user, 0) == value => {
                Some(window_halo(graph, user))
            }
            Op::Split { axis: 1, .. } => graph.results(user).iter().find_map(|&part| wanted_halo(graph, part)),
            Op::Transpose { perm } => wanted_halo(graph, graph.result(user)).map(|halo| {
                let back = |pads: &[usize]| {
                    let mut source = vec![0; pads.len()];
                    perm.iter().zip(pads).for_each(|(&dim, &pad)| source[dim] = pad);
                    source
                };
                Halo { before: back(&halo.before), after: back(&halo.after), value: halo.value }
            }),
            _ => None,
        };
        wanted = union(wanted, halo);
    }
    wanted
}

/// The larger border in every dimension; the first value wins where two differ.
fn union(a: Option<Halo>, b: Option<Halo>) -> Option<Halo> {
    match (a, b) {
        (Some(a), Some(b)) if a.value == b.value => {
            let max = |a: &[usize], b: &[usize]| a.iter().zip(b).map(|(&a, &b)| a.max(b)).collect();
            Some(Halo { before: max(&a.before, &b.before), after: max(&a.after, &b.after), value: a.value })
        }
        (a, b) => a.or(b),
    }
}

/// The border a convolution or deconvolution reads around its source.
pub fn window_halo(graph: &Graph, node: Node) -> Halo {
    let src = graph.ty(graph.operand(node, 0));
    let dst = graph.ty(graph.result(node));
    let kernel = &graph.ty(graph.operand(node, 1)).shape.dims()[2..];
    let mut halo = Halo { before: vec![0; src.shape.rank()], after: vec![0; src.shape.rank()], value: 0 };
    match graph.op(node) {
        Op::Convolution(attrs) => {
            halo.value = attrs.pad_value;
            for (dim, &size) in kernel.iter().enumerate() {
                let last =
                    (dst.shape[dim + 2].saturating_sub(1)) * attrs.strides[dim] + (size - 1) * attrs.dilations[dim];
                halo.before[dim + 2] = attrs.pads_begin[dim];
                halo.after[dim + 2] = (last + 1).saturating_sub(attrs.pads_begin[dim] + src.shape[dim + 2]);
            }
        }
        Op::Deconvolution(attrs) => {
            halo.value = attrs.zero_point;
            for (dim, &size) in kernel.iter().enumerate() {
                // Output y reads source (y + pad - k * dilation) / stride for every k that divides.
                let reach = (size - 1) * attrs.dilations[dim];
                let lowest = reach.saturating_sub(attrs.pads_begin[dim]).div_ceil(attrs.strides[dim]);
                let highest = (dst.shape[dim + 2].saturating_sub(1) + attrs.pads_begin[dim]) / attrs.strides[dim];
                halo.before[dim + 2] = lowest;
                halo.after[dim + 2] = (highest + 1).saturating_sub(src.shape[dim + 2]);
            }
        }
        _ => {}
    }
    halo
}

/// Storages of the model's border.
pub fn border_storages(graph: &Graph, storages: &mut PrimaryMap<Storage, StorageData>) -> (Vec<Storage>, Vec<Storage>) {
    let mut add = |kind, value: Value| storages.push(StorageData { kind, bytes: graph.ty(value).bytes() });
    let inputs = graph.inputs().iter().enumerate().map(|(i, &value)| add(StorageKind::Input(i), value)).collect();
    let outputs = graph.outputs().iter().enumerate().map(|(i, &value)| add(StorageKind::Output(i), value)).collect();
    (inputs, outputs)
}

/// A row-major view of a whole storage.
pub fn border_view(graph: &Graph, value: Value, storage: Storage) -> View {
    let ty = graph.ty(value);
    View::dense(storage, ty.elem, ty.shape.dims(), &row_major(ty.shape.rank()))
}
