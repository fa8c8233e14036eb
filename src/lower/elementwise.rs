//! Pointwise trees, reductions, softmax and normalisations; and the epilogues of all kernels.

use crate::ir::op::{NormalizeL2Attrs, ReduceAttrs, ReduceKind};
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Shape, Value};

use super::expr::{self, Finish, Load, Tree};
use super::grid::Dims;
use super::kernel::{KernelSpec, LookupSpec, NormalizeKind, NormalizeSpec, PointwiseSpec, ReduceSpec, SoftmaxSpec};
use super::pack;
use super::place::{StorageKind, wants_border};
use super::plan::{Anchor, absorbed_dequantize};
use super::pointwise::{Epilogue, Inner, LaneType, PwTensor};
use super::program::READ_SLACK;
use super::table;
use super::view::{Storage, View, channels_last, row_major};
use super::{Lowering, Operand, is_written_by_kernel};

/// Rows of flat kernels have at least this many elements.
const FLAT_ROW: usize = 256;

/// Where an epilogue's tensors lie, and the root's place.
#[derive(Clone)]
pub struct Laid {
    pub loads: Vec<View>,
    pub dst: View,
}

/// How a kernel cuts channels into blocks.
#[derive(Clone, Copy, Debug)]
pub struct Strips {
    /// 32-bit vectors of a block.
    pub vectors: usize,
    /// Pixels whose channels stand one behind the other as those of one pixel.
    pub repeated: usize,
}

impl Laid {
    /// Loads, then the store.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        self.loads.iter().chain([&self.dst])
    }

    pub fn operands(&self) -> Vec<Operand> {
        self.views().map(Operand::of).collect()
    }
}

impl Lowering<'_> {
    /// Allocates the root in `order` and finds every load a form whose innermost dimension `inner` is contiguous or uniform.
    pub fn lay_out(&mut self, root: Value, tree: &Tree, order: &[usize], inner: Option<usize>) -> Result<Laid, String> {
        let shape = self.graph.ty(root).shape.clone();
        let mut loads = Vec::new();
        for load in &tree.loads {
            let view = match load {
                Load::Value(value) => {
                    let view = self.view(*value)?;
                    self.with_inner(view, &shape, order, inner)
                }
                Load::Word { value, high } => {
                    let whole = self.view(*value)?;
                    let offset = whole.offset + if *high { 4 } else { 0 };
                    let word = View { elem: ElemType::I32, offset, halo: None, ..whole };
                    self.with_inner(word, &shape, order, inner)
                }
                Load::Table { sizes, values } => {
                    let view = self.table(values, sizes);
                    self.with_inner(view, &shape, order, inner)
                }
            };
            loads.push(view);
        }
        let dst = match &self.views[root] {
            Some(reused) => reused.clone(),
            None => self.allocate_rows(root, order, inner),
        };
        self.views[root] = Some(dst.clone());
        Ok(Laid { loads, dst })
    }

    /// A load whose memory the root can take over: read here for the last time, alone in its storage, of the same form.
    fn reusable(&mut self, root: Value, tree: &Tree, order: &[usize]) -> Result<Option<Value>, String> {
        let ty = self.graph.ty(root).clone();
        if self.placement.is_bound(root) || wants_border(self.graph, root) {
            return Ok(None);
        }
        let dense = View::dense(Storage::from_u32(0), ty.elem, ty.shape.dims(), order);
        for load in &tree.loads {
            let Load::Value(value) = *load else { continue };
            let view = self.view(value)?;
            let alone = feeds_only(self.graph, value, root)
                && is_written_by_kernel(self.graph, &self.plan, value)
                && !self.placement.has_read_parts(self.graph, value);
            let same =
                (view.elem, &view.sizes, &view.strides, view.offset) == (ty.elem, &dense.sizes, &dense.strides, 0);
            let workspace = self.storages[view.storage].kind == StorageKind::Workspace;
            if alone && same && workspace && !self.placement.is_bound(value) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// f32 constants as a dense view. Lanes behind the last channel read zeros: other bytes could be tiny floats, whose
    /// arithmetic is slow on many CPUs even if nobody uses the result.
    fn table(&mut self, values: &[f32], sizes: &[usize]) -> View {
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes.resize(bytes.len() + READ_SLACK, 0);
        let storage = self.const_storage(bytes);
        View::dense(storage, ElemType::F32, sizes, &row_major(sizes.len()))
    }

    /// The view broadcast to `shape`, copied first if `inner` would be strided.
    fn with_inner(&mut self, view: View, shape: &Shape, order: &[usize], inner: Option<usize>) -> View {
        let whole = view.broadcast(shape.dims());
        let elem = view.elem.bytes() as i64;
        let good = inner.is_none_or(|dim| shape[dim] == 1 || whole.strides[dim] == 0 || whole.strides[dim] == elem);
        if good {
            return whole;
        }
        let added = shape.rank() - view.rank();
        let own_order: Vec<usize> = order.iter().filter(|&&dim| dim >= added).map(|&dim| dim - added).collect();
        let copy = self.copied(&view, &own_order);
        copy.broadcast(shape.dims())
    }

    /// The epilogue with strides taken from `dims`, whose operands are `skipped` others, then the loads and the store.
    pub fn epilogue(&self, tree: &Tree, laid: &Laid, dims: &Dims, skipped: usize, inner: Option<usize>) -> Epilogue {
        let tensor = |(index, view): (usize, &View)| PwTensor {
            elem: view.elem,
            strides: dims.strides[skipped + index].clone(),
            inner: match inner {
                Some(dim) if view.sizes[dim] > 1 && view.strides[dim] == 0 => Inner::Splat,
                _ => Inner::Contiguous,
            },
            exact_reads: self.reads_exactly(view),
            aliased: false,
        };
        let mut tensors: Vec<PwTensor> = laid.views().enumerate().map(tensor).collect();
        let stores = tensors.pop().into_iter().collect();
        Epilogue { program: tree.program.clone(), loads: tensors, stores }
    }

    /// Brings constants per channel into the order of a kernel that works in blocks of channels; other steps keep theirs.
    pub fn pack_tables(
        &mut self,
        epilogue: &mut Epilogue,
        tree: &Tree,
        laid: &mut Laid,
        channel: usize,
        strips: Strips,
    ) {
        for ((load, view), tensor) in tree.loads.iter().zip(&mut laid.loads).zip(&mut epilogue.loads) {
            let Load::Table { values, .. } = load else { continue };
            let per_channel = values.len() == view.sizes[channel] && tensor.strides.iter().all(|&stride| stride == 0);
            if per_channel && tensor.inner == Inner::Contiguous {
                let mut bytes = pack::pack_strips(self.width, strips.vectors, &values.repeat(strips.repeated));
                bytes.resize(bytes.len() + READ_SLACK, 0);
                *view = View { storage: self.const_storage(bytes), offset: 0, ..view.clone() };
                tensor.inner = Inner::Strips;
            }
        }
    }

    /// A stored value without an accumulator.
    pub fn pointwise(&mut self, root: Value) -> Result<(), String> {
        let tree = expr::tree(self.graph, &self.plan, root, LaneType::I32, &[])?;
        let order = self.natural_order(root, &tree)?;
        let inner = order.last().copied();
        let reused = self.reusable(root, &tree, &order)?;
        if let Some(value) = reused {
            // What is written takes the place of what is read, element by element.
            self.views[root] = self.views[value].clone();
        }
        let laid = self.lay_out(root, &tree, &order, inner)?;
        let views: Vec<&View> = laid.views().collect();
        let mut dims = Dims::of(&views, &order);
        let mut merged = merge_inner(&mut dims, &views);
        let inner_size = merged.sizes.pop().unwrap_or(1);
        let inner_strides: Vec<i64> = merged.strides.iter_mut().map(|strides| strides.pop().unwrap_or(0)).collect();
        let mut epilogue = self.epilogue(&tree, &laid, &merged, 0, None);
        for (load, tensor) in tree.loads.iter().zip(&mut epilogue.loads) {
            tensor.aliased = reused.is_some_and(|value| *load == Load::Value(value));
        }
        let tensors = epilogue.loads.iter_mut().chain(&mut epilogue.stores);
        for (tensor, stride) in tensors.zip(inner_strides) {
            tensor.inner = if stride == 0 && inner_size > 1 { Inner::Splat } else { Inner::Contiguous };
        }
        let (spec, operands) = match table::of(&tree, &epilogue) {
            Some(table) => {
                let (src, dst) = (epilogue.loads.remove(0), epilogue.stores.remove(0));
                let table = Operand::start(self.const_storage(pack::pack_lookup(&table)));
                let operands = vec![Operand::of(&laid.loads[0]), table, Operand::of(&laid.dst)];
                (KernelSpec::Lookup(LookupSpec { outer: merged.sizes, inner: inner_size, src, dst }), operands)
            }
            None => {
                let spec = PointwiseSpec { outer: merged.sizes, inner: inner_size, epilogue };
                (KernelSpec::Pointwise(spec), laid.operands())
            }
        };
        self.push_step(spec, operands, &tree.nodes, 0);
        Ok(())
    }

    /// The order in which the largest load lies in memory; channels last if there is none.
    fn natural_order(&mut self, root: Value, tree: &Tree) -> Result<Vec<usize>, String> {
        let shape = self.graph.ty(root).shape.clone();
        let mut best: Option<View> = None;
        for load in &tree.loads {
            let (Load::Value(value) | Load::Word { value, .. }) = load else { continue };
            let view = self.view(*value)?;
            if best.as_ref().is_none_or(|best| view.elements() > best.elements()) {
                best = Some(view);
            }
        }
        Ok(match best {
            Some(view) if view.rank() == shape.rank() && view.elements() > 1 => view.order(),
            _ => channels_last(shape.rank()),
        })
    }

    pub fn reduce(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let Op::Reduce(attrs) = self.graph.op(node).clone() else { return Err("internal error: no reduce".into()) };
        let src = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&src, &[ElemType::F32, ElemType::I32, ElemType::U8, ElemType::I8], "a reduction")?;
        let finish = mean_finish(&attrs, &src);
        let tree = expr::tree(self.graph, &self.plan, root, expr::lane_of(src.elem), &finish)?;
        let kept: Vec<usize> = (0..src.rank()).filter(|dim| !attrs.axes.contains(dim)).collect();
        let order = self.reduced_order(root, &src, &kept, attrs.keep_dims);
        let last = src.order().last().copied().filter(|&dim| src.strides[dim] == src.elem.bytes() as i64);
        let inner = last.filter(|dim| kept.contains(dim));
        let result_dim =
            |dim: usize| if attrs.keep_dims { dim } else { kept.iter().position(|&k| k == dim).unwrap_or(0) };
        let laid = self.lay_out(root, &tree, &order, inner.map(result_dim))?;
        let outer: Vec<usize> =
            src.order().into_iter().filter(|dim| kept.contains(dim) && Some(*dim) != inner).collect();
        let outer_result: Vec<usize> = outer.iter().map(|&dim| result_dim(dim)).collect();
        let mut dims = Dims::of(&laid.views().collect::<Vec<_>>(), &outer_result);
        dims.strides.insert(0, outer.iter().map(|&dim| src.strides[dim]).collect());
        let dims = dims.merged();
        let inner_reduced = inner.is_none() && last.is_some();
        let reduced: Vec<usize> = src
            .order()
            .into_iter()
            .filter(|dim| attrs.axes.contains(dim) && (!inner_reduced || Some(*dim) != last))
            .collect();
        let walked = Dims::of(&[&src], &reduced).merged();
        let spec = ReduceSpec {
            kind: attrs.kind,
            elem: src.elem,
            outer: dims.sizes.clone(),
            outer_strides: dims.strides[0].clone(),
            reduced: walked.sizes,
            reduced_strides: walked.strides[0].clone(),
            inner: if inner_reduced {
                last.map_or(1, |dim| src.sizes[dim])
            } else {
                inner.map_or(1, |dim| src.sizes[dim])
            },
            inner_reduced,
            exact_reads: self.reads_exactly(&src),
            epilogue: self.epilogue(&tree, &laid, &dims, 1, inner.map(result_dim)),
        };
        let operands = [vec![Operand::of(&src)], laid.operands()].concat();
        self.push_step(KernelSpec::Reduce(spec), operands, &covered(&tree, node), 0);
        Ok(())
    }

    fn reduced_order(&self, root: Value, src: &View, kept: &[usize], keep_dims: bool) -> Vec<usize> {
        if keep_dims {
            return src.order();
        }
        let rank = self.graph.ty(root).shape.rank();
        let order: Vec<usize> = src.order().into_iter().filter_map(|dim| kept.iter().position(|&k| k == dim)).collect();
        if order.len() == rank { order } else { row_major(rank) }
    }

    /// Parameters of the dequantize that an accumulating kernel takes over.
    pub fn absorbed_params(&self, node: Node) -> Option<QuantParams> {
        match self.graph.op(absorbed_dequantize(self.graph, node)?) {
            Op::Dequantize(params) => Some(params.clone()),
            _ => None,
        }
    }

    pub fn softmax(&mut self, node: Node, axis: usize, log: bool) -> Result<(), String> {
        let source = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&source, &[ElemType::F32], "softmax")?;
        let root = self.graph.result(node);
        let rank = source.rank();
        let last = source.order().last().copied();
        let src = if last == Some(axis) || last.is_none_or(|dim| source.strides[dim] == 4) {
            source
        } else {
            self.copied(&source, &row_major(rank))
        };
        let order = src.order();
        let dst = self.allocate_rows(root, &order, order.last().copied());
        self.views[root] = Some(dst.clone());
        let inner_dim = order.last().copied().filter(|&dim| dim != axis && src.strides[dim] == 4 && src.sizes[dim] > 1);
        let outer: Vec<usize> = order.into_iter().filter(|&dim| dim != axis && Some(dim) != inner_dim).collect();
        let mut dims = Dims::of(&[&src, &dst], &outer).merged();
        for offsets in dims.unrolled_to(1) {
            let one = dims.clone().padded_to(1);
            let spec = SoftmaxSpec {
                log,
                outer: one.sizes[0],
                src_outer: one.strides[0][0],
                dst_outer: one.strides[1][0],
                axis: src.sizes[axis],
                src_axis: src.strides[axis],
                dst_axis: dst.strides[axis],
                inner: inner_dim.map_or(1, |dim| src.sizes[dim]),
                exact_reads: self.reads_exactly(&src),
            };
            let operands = vec![Operand::of(&src).advanced(offsets[0]), Operand::of(&dst).advanced(offsets[1])];
            self.push_step(KernelSpec::Softmax(spec), operands, &[node], 0);
        }
        Ok(())
    }

    pub fn normalize(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let source = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&source, &[ElemType::F32, ElemType::U8, ElemType::I8], "normalization")?;
        let (kind, axes, eps, eps_mode) = match self.graph.op(node).clone() {
            Op::Mvn(a) if a.normalize_variance => (NormalizeKind::MeanVariance, a.axes, a.eps, a.eps_mode),
            Op::Mvn(a) => (NormalizeKind::Mean, a.axes, a.eps, a.eps_mode),
            Op::NormalizeL2(NormalizeL2Attrs { axes, eps, eps_mode }) => (NormalizeKind::L2, axes, eps, eps_mode),
            other => return Err(format!("internal error: {} is no normalization", other.name())),
        };
        let last = source.order().last().copied();
        let src = match last {
            Some(dim) if source.strides[dim] != source.elem.bytes() as i64 => {
                self.copied(&source, &row_major(source.rank()))
            }
            _ => source,
        };
        let order = src.order();
        let inner = order.last().copied();
        let tree = expr::tree(self.graph, &self.plan, root, LaneType::F32, &[])?;
        let laid = self.lay_out(root, &tree, &order, inner)?;
        let views: Vec<&View> = std::iter::once(&src).chain(laid.views()).collect();
        let (reduced, outer): (Vec<usize>, Vec<usize>) =
            order.iter().filter(|&&dim| Some(dim) != inner).partition(|dim| axes.contains(dim));
        let outer = Dims::of(&views, &outer).merged();
        let reduced = Dims::of(&views, &reduced).merged();
        let both = outer.clone().followed_by(&reduced);
        let spec = NormalizeSpec {
            kind,
            elem: src.elem,
            eps,
            eps_mode,
            src_outer: outer.strides[0].clone(),
            outer: outer.sizes,
            src_reduced: reduced.strides[0].clone(),
            reduced: reduced.sizes,
            inner: inner.map_or(1, |dim| src.sizes[dim]),
            inner_reduced: inner.is_some_and(|dim| axes.contains(&dim)),
            exact_reads: self.reads_exactly(&src),
            epilogue: self.epilogue(&tree, &laid, &both, 1, inner),
        };
        let operands = [vec![Operand::of(&src)], laid.operands()].concat();
        self.push_step(KernelSpec::Normalize(spec), operands, &covered(&tree, node), 0);
        Ok(())
    }
}

/// A sum becomes a mean.
fn mean_finish(attrs: &ReduceAttrs, src: &View) -> Vec<Finish> {
    let count: usize = attrs.axes.iter().map(|&axis| src.sizes[axis]).product();
    match attrs.kind == ReduceKind::Mean {
        true => vec![Finish::Scale((1.0 / count as f64) as f32)],
        false => Vec::new(),
    }
}

/// Every use of `value`, through what is computed from it, ends in `root`: no other kernel reads it.
fn feeds_only(graph: &Graph, mut value: Value, root: Value) -> bool {
    while value != root {
        match graph.single_user(value) {
            Some(user) if graph.results(user).len() == 1 => value = graph.result(user),
            _ => return false,
        }
    }
    true
}

/// Nodes a kernel covers: its anchor first.
pub fn covered(tree: &Tree, anchor: Node) -> Vec<Node> {
    std::iter::once(anchor).chain(tree.nodes.iter().copied()).collect()
}

/// Merges dimensions, and cuts a flat one into rows. The last dimension stays the inner one: uniform or contiguous for every
/// operand.
fn merge_inner(dims: &mut Dims, views: &[&View]) -> Dims {
    let merged = dims.clone().merged();
    let usable = |dims: &Dims| {
        let inner = dims.rank() - 1;
        views.iter().zip(&dims.strides).all(|(view, strides)| [0, view.elem.bytes() as i64].contains(&strides[inner]))
    };
    match merged.rank() {
        0 => merged.padded_to(1),
        1 if usable(&merged) => merged.with_rows(FLAT_ROW),
        _ if usable(&merged) => merged,
        _ => {
            let mut split = merged;
            split.sizes.push(1);
            split.strides.iter_mut().for_each(|strides| strides.push(0));
            split
        }
    }
}
