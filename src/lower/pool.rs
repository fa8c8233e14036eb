//! Pooling over windows of channels-last tensors.
//!
//! Windows of one or two dimensions have a kernel that leaves out what is outside. Windows of three dimensions are reductions over
//! strided views of a source with borders that change nothing.

use crate::ir::op::{PoolAttrs, ReduceKind};
use crate::ir::{ElemType, Node, Op, Value};

use super::elementwise::covered;
use super::expr::{self, Finish};
use super::grid::Dims;
use super::kernel::{Grid, KernelSpec, PoolKind, PoolSpec, ReduceSpec};
use super::plan::{Anchor, accumulated_source};
use super::view::{View, channels_last};
use super::window::unravel;
use super::{Lowering, Operand};

impl Lowering<'_> {
    pub fn pool(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let (kind, attrs) = match self.graph.op(node).clone() {
            Op::MaxPool(attrs) => (PoolKind::Max, attrs),
            Op::AvgPool(attrs) => (PoolKind::Sum, attrs),
            other => return Err(format!("internal error: {} is no pooling", other.name())),
        };
        let view = self.view(accumulated_source(self.graph, node, 0))?;
        self.expect_elem(&view, &[ElemType::F32, ElemType::U8, ElemType::I8], "pooling")?;
        if view.rank() > 4 {
            return self.pool_volume(root, node, kind, &attrs, view);
        }
        let src = self.channels_innermost(view);
        let dst = self.graph.ty(self.graph.result(node)).shape.dims().to_vec();
        let finish = self.pool_finish(node, kind, &attrs, &src.sizes, &dst);
        let tree = expr::tree(self.graph, &self.plan, root, expr::lane_of(src.elem), &finish)?;
        let laid = self.lay_out(root, &tree, &channels_last(src.rank()), Some(1))?;
        let outer: Vec<usize> = std::iter::once(0).chain(2..src.rank()).collect();
        let dims = Dims::of(&laid.views().collect::<Vec<_>>(), &outer);
        let dims = two_spatial(dims);
        let spatial = |values: &[usize], missing: usize| match values {
            [w] => [missing, *w],
            values => [values[0], values[1]],
        };
        let in_sizes = spatial(&src.sizes[2..], 1);
        let out_sizes = spatial(&dst[2..], 1);
        let row = if src.rank() == 3 { 0 } else { src.strides[2] };
        let spec = PoolSpec {
            kind,
            elem: src.elem,
            batch: src.sizes[0],
            channels: src.sizes[1],
            ih: in_sizes[0],
            iw: in_sizes[1],
            oh: out_sizes[0],
            ow: out_sizes[1],
            kernel: spatial(&attrs.kernel, 1),
            strides: spatial(&attrs.strides, 1),
            dilations: spatial(&attrs.dilations, 1),
            pads: spatial(&attrs.pads_begin, 0),
            src: Grid { batch: src.strides[0], row, pixel: src.strides[src.rank() - 1] },
            epilogue: self.epilogue(&tree, &laid, &dims, 0, Some(1)),
        };
        let operands = [vec![Operand::of(&src)], laid.operands()].concat();
        self.push_step(KernelSpec::Pool(spec), operands, &covered(&tree, node), 0);
        Ok(())
    }

    /// Any number of spatial dimensions.
    fn pool_volume(
        &mut self,
        root: Value,
        node: Node,
        kind: PoolKind,
        attrs: &PoolAttrs,
        view: View,
    ) -> Result<(), String> {
        let dst = self.graph.ty(self.graph.result(node)).shape.dims().to_vec();
        let finish = self.pool_finish(node, kind, attrs, &view.sizes, &dst);
        let src = self.with_neutral_border(view, kind, attrs, &dst)?;
        let tree = expr::tree(self.graph, &self.plan, root, expr::lane_of(src.elem), &finish)?;
        let laid = self.lay_out(root, &tree, &channels_last(src.rank()), Some(1))?;
        let outer: Vec<usize> = std::iter::once(0).chain(2..src.rank()).collect();
        let dims = Dims::of(&laid.views().collect::<Vec<_>>(), &outer);
        let along = |steps: &[usize]| -> Vec<i64> {
            steps.iter().zip(&src.strides[2..]).map(|(&step, stride)| step as i64 * stride).collect()
        };
        let spec = ReduceSpec {
            kind: if kind == PoolKind::Max { ReduceKind::Max } else { ReduceKind::Sum },
            elem: src.elem,
            outer: dims.sizes.clone(),
            outer_strides: [vec![src.strides[0]], along(&attrs.strides)].concat(),
            reduced: attrs.kernel.clone(),
            reduced_strides: along(&attrs.dilations),
            inner: src.sizes[1],
            inner_reduced: false,
            exact_reads: false,
            epilogue: self.epilogue(&tree, &laid, &dims, 0, Some(1)),
        };
        let operands = [vec![Operand::of(&src)], laid.operands()].concat();
        self.push_step(KernelSpec::Reduce(spec), operands, &covered(&tree, node), 0);
        Ok(())
    }

    /// The source, channels last, with what is outside it in every window: zeros for a sum, the least value for a maximum.
    fn with_neutral_border(
        &mut self,
        view: View,
        kind: PoolKind,
        attrs: &PoolAttrs,
        dst: &[usize],
    ) -> Result<View, String> {
        let reach = |dim: usize| {
            let last = dst[dim + 2].saturating_sub(1) * attrs.strides[dim];
            last + (attrs.kernel[dim] - 1) * attrs.dilations[dim] + 1
        };
        let (mut begin, mut sizes) = (vec![0; view.rank()], view.sizes.clone());
        for dim in 0..attrs.kernel.len() {
            begin[dim + 2] = attrs.pads_begin[dim];
            sizes[dim + 2] = reach(dim).max(attrs.pads_begin[dim] + view.sizes[dim + 2]);
        }
        if sizes == view.sizes {
            return Ok(self.channels_innermost(view));
        }
        let least = match view.elem.int_range() {
            Some((least, _)) => least as f64,
            None => f64::NEG_INFINITY,
        };
        let whole = self.padded(view.elem, &sizes, &channels_last(view.rank()), None);
        self.fill_number(&whole, if kind == PoolKind::Max { least } else { 0.0 })?;
        self.copy(&view, &whole.sliced(&begin, &view.sizes, &vec![1; view.rank()]));
        Ok(whole)
    }

    /// A sum becomes an average; integers become what they stand for.
    fn pool_finish(&self, node: Node, kind: PoolKind, attrs: &PoolAttrs, src: &[usize], dst: &[usize]) -> Vec<Finish> {
        let mut finish = Vec::new();
        if kind == PoolKind::Sum {
            finish.push(average(attrs, src, dst));
        }
        finish.extend(self.absorbed_params(node).map(Finish::Dequantize));
        finish
    }

    /// The view, or a channels-last copy of it: channels are contiguous, and bytes behind the end may be read.
    pub fn channels_innermost(&mut self, view: View) -> View {
        let contiguous = view.sizes[1] == 1 || view.strides[1] == view.elem.bytes() as i64;
        match contiguous && !self.reads_exactly(&view) {
            true => view,
            false => self.copied(&view, &channels_last(view.rank())),
        }
    }
}

/// `[batch, row, pixel]` also for one spatial dimension.
fn two_spatial(mut dims: Dims) -> Dims {
    if dims.rank() == 2 {
        dims.sizes.insert(1, 1);
        dims.strides.iter_mut().for_each(|strides| strides.insert(1, 0));
    }
    dims
}

/// How a sum over a window becomes an average: one factor, or one per pixel where windows are cut.
fn average(attrs: &PoolAttrs, src: &[usize], dst: &[usize]) -> Finish {
    let rank = src.len();
    let counts: Vec<Vec<usize>> =
        (0..rank - 2).map(|d| (0..dst[d + 2]).map(|o| window_count(attrs, d, src[d + 2], o)).collect()).collect();
    let uniform = counts.iter().all(|counts| counts.iter().all(|&count| count == counts[0]));
    if uniform {
        let count: usize = counts.iter().map(|counts| counts[0]).product();
        return Finish::Scale((1.0 / count as f64) as f32);
    }
    let sizes: Vec<usize> = [1, 1].into_iter().chain(dst[2..].iter().copied()).collect();
    let spatial = &sizes[2..];
    let values = (0..spatial.iter().product::<usize>()).map(|index| {
        let at = unravel(index, spatial);
        let count: usize = at.iter().zip(&counts).map(|(&o, counts)| counts[o]).product();
        (1.0 / count as f64) as f32
    });
    let values = values.collect();
    Finish::ScaleBy { sizes, values }
}

/// What an average over window `index` of spatial dimension `dim` divides by.
fn window_count(attrs: &PoolAttrs, dim: usize, src: usize, index: usize) -> usize {
    if !attrs.exclude_pad {
        return attrs.kernel[dim];
    }
    let at = |k: usize| index * attrs.strides[dim] + k * attrs.dilations[dim];
    let inside = |&k: &usize| (attrs.pads_begin[dim]..attrs.pads_begin[dim] + src).contains(&at(k));
    (0..attrs.kernel[dim]).filter(inside).count().max(1)
}
