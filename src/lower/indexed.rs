//! Operations with indices known at run time, and those whose meaning is an order.

use crate::ir::op::{ScatterReduction, TopKAttrs, TopKSort};
use crate::ir::{ElemType, Node, Op, Value};

use super::kernel::{IndexedKind, IndexedSpec, KernelSpec, ScanSpec, TopKSpec};
use super::place::StorageKind;
use super::program::READ_SLACK;
use super::view::{View, row_major};
use super::{Lowering, Operand};

/// Types that scalar integer code loads and stores.
const INTEGERS: &[ElemType] =
    &[ElemType::I64, ElemType::I32, ElemType::I16, ElemType::I8, ElemType::U8, ElemType::Bool];

impl Lowering<'_> {
    pub fn indexed(&mut self, node: Node) -> Result<(), String> {
        match self.graph.op(node).clone() {
            Op::Gather { axis, batch_dims } => self.gather(node, axis, batch_dims),
            Op::GatherElements { axis } => self.gather_elements(node, axis),
            Op::GatherNd { batch_dims } => self.gather_nd(node, batch_dims),
            Op::ScatterElements { axis, reduction } => self.scatter_elements(node, axis, reduction),
            Op::ScatterNd => self.scatter_nd(node),
            Op::OneHot { axis, depth, on, off, .. } => self.one_hot(node, axis, depth, on, off),
            Op::CumSum { axis, exclusive, reverse } => self.cum_sum(node, axis, exclusive, reverse),
            Op::TopK(attrs) => self.top_k(node, &attrs),
            other => Err(format!("{} has no kernel", other.name())),
        }
    }

    fn index_view(&mut self, node: Node) -> Result<View, String> {
        let view = self.view(self.graph.operand(node, 1))?;
        self.expect_elem(&view, &[ElemType::I32, ElemType::I64], "indexing with indices")?;
        Ok(view)
    }

    /// The view, or a row-major copy.
    fn row_major_view(&mut self, value: Value) -> Result<View, String> {
        let view = self.view(value)?;
        Ok(if view.is_row_major() { view } else { self.copied(&view, &row_major(view.rank())) })
    }

    /// The result's place, written row by row.
    fn rows_for(&mut self, result: Value) -> View {
        let rank = self.graph.ty(result).shape.rank();
        let placed = self.allocate(result, &row_major(rank));
        let dst = match placed.is_row_major() {
            true => placed,
            false => self.padded(placed.elem, &placed.sizes, &row_major(rank), None),
        };
        self.views[result] = Some(dst.clone());
        dst
    }

    fn push_indexed(&mut self, node: Node, spec: IndexedSpec, operands: [&View; 3]) {
        let operands = operands.iter().map(|view| Operand::of(view)).collect();
        self.push_step(KernelSpec::Indexed(spec), operands, &[node], 0);
    }

    /// `dst[b.., o.., i.., :] = src[b.., o.., indices[b.., i..], :]`
    fn gather(&mut self, node: Node, axis: usize, batch_dims: usize) -> Result<(), String> {
        let src = self.row_major_view(self.graph.operand(node, 0))?;
        let indices = self.index_view(node)?;
        let dst = self.rows_for(self.graph.result(node));
        let (batch, own) = (0..batch_dims, batch_dims..indices.rank());
        let outer = batch_dims..axis;
        let count = axis + own.len();
        let zeros = |count: usize| vec![0; count];
        let spec = IndexedSpec {
            kind: IndexedKind::Gather,
            elem: src.elem,
            index_elem: indices.elem,
            sizes: dst.sizes[..count].to_vec(),
            index_strides: [
                indices.strides[batch.clone()].to_vec(),
                zeros(outer.len()),
                indices.strides[own.clone()].to_vec(),
            ]
            .concat(),
            coordinate_stride: 0,
            coordinates: vec![(src.sizes[axis], src.strides[axis])],
            wraps: true,
            data_strides: [src.strides[..axis].to_vec(), zeros(own.len())].concat(),
            other_strides: dst.strides[..count].to_vec(),
            bytes: src.sizes[axis + 1..].iter().product::<usize>() * src.elem.bytes(),
        };
        self.push_indexed(node, spec, [&src, &indices, &dst]);
        Ok(())
    }

    fn gather_elements(&mut self, node: Node, axis: usize) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let indices = self.index_view(node)?;
        let result = self.graph.result(node);
        let dst = self.allocate(result, &indices.order());
        self.views[result] = Some(dst.clone());
        let spec = element_wise(IndexedKind::Gather, axis, &indices, &src, &dst);
        self.push_indexed(node, spec, [&src, &indices, &dst]);
        Ok(())
    }

    fn gather_nd(&mut self, node: Node, batch_dims: usize) -> Result<(), String> {
        let src = self.row_major_view(self.graph.operand(node, 0))?;
        let indices = self.index_view(node)?;
        let dst = self.rows_for(self.graph.result(node));
        let spec = slice_wise(IndexedKind::Gather, batch_dims, &indices, &src, &dst)?;
        self.push_indexed(node, spec, [&src, &indices, &dst]);
        Ok(())
    }

    /// A copy of the data, which the updates are written into.
    fn scattered(&mut self, node: Node, order: &[usize]) -> Result<View, String> {
        let data = self.view(self.graph.operand(node, 0))?;
        let result = self.graph.result(node);
        let placed = self.allocate(result, order);
        let dst = match placed.order() == order || placed.is_row_major() {
            true => placed,
            false => self.padded(data.elem, &data.sizes, order, None),
        };
        self.views[result] = Some(dst.clone());
        self.copy(&data, &dst);
        Ok(dst)
    }

    fn check_reduction(&self, reduction: ScatterReduction, elem: ElemType) -> Result<(), String> {
        let computes = elem == ElemType::F32 || INTEGERS.contains(&elem);
        match reduction {
            ScatterReduction::None => Ok(()),
            ScatterReduction::Mean => Err("scatter with the mean of updates has no kernel".into()),
            _ if computes => Ok(()),
            _ => Err(format!("scatter with a reduction of {elem} has no kernel")),
        }
    }

    fn scatter_elements(&mut self, node: Node, axis: usize, reduction: ScatterReduction) -> Result<(), String> {
        let indices = self.index_view(node)?;
        let updates = self.view(self.graph.operand(node, 2))?;
        self.check_reduction(reduction, updates.elem)?;
        let order = self.view(self.graph.operand(node, 0))?.order();
        let dst = self.scattered(node, &order)?;
        let spec = element_wise(IndexedKind::Scatter(reduction), axis, &indices, &dst, &updates);
        self.push_indexed(node, spec, [&updates, &indices, &dst]);
        Ok(())
    }

    fn scatter_nd(&mut self, node: Node) -> Result<(), String> {
        let indices = self.index_view(node)?;
        let updates = self.row_major_view(self.graph.operand(node, 2))?;
        let rank = self.graph.ty(self.graph.result(node)).shape.rank();
        let dst = self.scattered(node, &row_major(rank))?;
        let spec = slice_wise(IndexedKind::Scatter(ScatterReduction::None), 0, &indices, &dst, &updates)?;
        self.push_indexed(node, spec, [&updates, &indices, &dst]);
        Ok(())
    }

    /// A field of `off`, which `on` is scattered into.
    fn one_hot(&mut self, node: Node, axis: usize, depth: usize, on: f64, off: f64) -> Result<(), String> {
        let indices = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&indices, INTEGERS, "one_hot")?;
        let dst = self.rows_for(self.graph.result(node));
        self.fill_number(&dst, off)?;
        let rank = indices.rank();
        let added = View { strides: [&dst.strides[..axis], &dst.strides[axis + 1..]].concat(), ..dst.clone() };
        let scalar = self.number_view(dst.elem, on)?;
        let spec = IndexedSpec {
            kind: IndexedKind::Scatter(ScatterReduction::None),
            elem: dst.elem,
            index_elem: indices.elem,
            sizes: indices.sizes.clone(),
            index_strides: indices.strides.clone(),
            coordinate_stride: 0,
            coordinates: vec![(depth, dst.strides[axis])],
            wraps: false,
            data_strides: added.strides,
            other_strides: vec![0; rank],
            bytes: dst.elem.bytes(),
        };
        self.push_indexed(node, spec, [&scalar, &indices, &dst]);
        Ok(())
    }

    fn cum_sum(&mut self, node: Node, axis: usize, exclusive: bool, reverse: bool) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&src, &[ElemType::F32, ElemType::I64, ElemType::I32, ElemType::I16], "a running sum")?;
        let result = self.graph.result(node);
        let dst = self.allocate(result, &src.order());
        self.views[result] = Some(dst.clone());
        let (from, to) = match reverse {
            true => (backwards(&src, axis), backwards(&dst, axis)),
            false => (src.clone(), dst.clone()),
        };
        let outer: Vec<usize> = (0..src.rank()).filter(|&dim| dim != axis).collect();
        let pick = |strides: &[i64]| outer.iter().map(|&dim| strides[dim]).collect::<Vec<_>>();
        let spec = ScanSpec {
            elem: src.elem,
            exclusive,
            outer: outer.iter().map(|&dim| src.sizes[dim]).collect(),
            src_outer: pick(&from.strides),
            dst_outer: pick(&to.strides),
            axis: src.sizes[axis],
            src_axis: from.strides[axis],
            dst_axis: to.strides[axis],
        };
        self.push_step(KernelSpec::Scan(spec), vec![Operand::of(&from), Operand::of(&to)], &[node], 0);
        Ok(())
    }

    fn top_k(&mut self, node: Node, attrs: &TopKAttrs) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let narrow = [ElemType::F32, ElemType::I32, ElemType::I16, ElemType::I8, ElemType::U8, ElemType::Bool];
        self.expect_elem(&src, &narrow, "top_k")?;
        if attrs.k == 0 {
            return Err("top_k of no elements has no kernel".into());
        }
        let results = self.graph.results(node).to_vec();
        let [values, indices] = [results[0], results[1]].map(|result| {
            let view = self.allocate(result, &src.order());
            self.views[result] = Some(view.clone());
            view
        });
        let outer: Vec<usize> = (0..src.rank()).filter(|&dim| dim != attrs.axis).collect();
        let pick = |view: &View| outer.iter().map(|&dim| view.strides[dim]).collect::<Vec<_>>();
        let sizes: Vec<usize> = outer.iter().map(|&dim| src.sizes[dim]).collect();
        let rows: usize = sizes.iter().product();
        let list = self.new_storage(StorageKind::Workspace, rows * attrs.k * 8 + READ_SLACK);
        let spec = TopKSpec {
            elem: src.elem,
            index_elem: indices.elem,
            largest: attrs.largest,
            by_index: attrs.sort == TopKSort::ByIndex,
            k: attrs.k,
            axis: src.sizes[attrs.axis],
            outer: sizes,
            src_outer: pick(&src),
            values_outer: pick(&values),
            indices_outer: pick(&indices),
            src_axis: src.strides[attrs.axis],
            values_axis: values.strides[attrs.axis],
            indices_axis: indices.strides[attrs.axis],
        };
        let operands = vec![Operand::of(&src), Operand::start(list), Operand::of(&values), Operand::of(&indices)];
        self.push_step(KernelSpec::TopK(spec), operands, &[node], 0);
        Ok(())
    }
}

fn backwards(view: &View, axis: usize) -> View {
    let mut begin = vec![0; view.rank()];
    let mut steps = vec![1; view.rank()];
    begin[axis] = view.sizes[axis].saturating_sub(1);
    steps[axis] = -1;
    view.sliced(&begin, &view.sizes.clone(), &steps)
}

/// One index for each element of `other`, along `axis` of `data`.
fn element_wise(kind: IndexedKind, axis: usize, indices: &View, data: &View, other: &View) -> IndexedSpec {
    let mut data_strides = data.strides.clone();
    data_strides[axis] = 0;
    IndexedSpec {
        kind,
        elem: data.elem,
        index_elem: indices.elem,
        sizes: indices.sizes.clone(),
        index_strides: indices.strides.clone(),
        coordinate_stride: 0,
        coordinates: vec![(data.sizes[axis], data.strides[axis])],
        wraps: true,
        data_strides,
        other_strides: other.strides.clone(),
        bytes: data.elem.bytes(),
    }
}

/// The indices' last dimension points to a slice of `data`; both operands are row-major.
fn slice_wise(
    kind: IndexedKind,
    batch: usize,
    indices: &View,
    data: &View,
    other: &View,
) -> Result<IndexedSpec, String> {
    let (Some(&depth), Some(&coordinate_stride)) = (indices.sizes.last(), indices.strides.last()) else {
        return Err("internal error: indices without dimensions".into());
    };
    let rows = indices.rank() - 1;
    let indexed = batch..batch + depth;
    let mut data_strides = vec![0; rows];
    data_strides[..batch].copy_from_slice(&data.strides[..batch]);
    Ok(IndexedSpec {
        kind,
        elem: data.elem,
        index_elem: indices.elem,
        sizes: indices.sizes[..rows].to_vec(),
        index_strides: indices.strides[..rows].to_vec(),
        coordinate_stride,
        coordinates: indexed.clone().map(|dim| (data.sizes[dim], data.strides[dim])).collect(),
        wraps: true,
        data_strides,
        other_strides: other.strides[..rows].to_vec(),
        bytes: data.sizes[indexed.end..].iter().product::<usize>() * data.elem.bytes(),
    })
}
