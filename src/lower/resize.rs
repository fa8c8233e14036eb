//! Resampling of height and width by tables of source positions and weights.

use crate::interp::axis_taps;
use crate::ir::op::InterpolateAttrs;
use crate::ir::{ElemType, Op, Value};

use super::elementwise::covered;
use super::expr;
use super::grid::Dims;
use super::kernel::{Grid, KernelSpec, ResizeSpec};
use super::pack;
use super::plan::Anchor;
use super::pointwise::LaneType;
use super::view::channels_last;
use super::{Lowering, Operand};

impl Lowering<'_> {
    pub fn resize(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let Op::Interpolate(attrs) = self.graph.op(node).clone() else {
            return Err("internal error: no interpolate".into());
        };
        let view = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&view, &[ElemType::F32, ElemType::U8, ElemType::I8], "interpolation")?;
        let spatial_only = view.rank() == 4 && attrs.axes.iter().all(|&axis| axis >= 2);
        let padded = attrs.pads_begin.iter().chain(&attrs.pads_end).any(|&pad| pad > 0);
        if !spatial_only || padded {
            return Err("interpolation over other dimensions than height and width, or with pads, has no kernel".into());
        }
        let src = self.channels_innermost(view);
        let dst = self.graph.ty(self.graph.result(node)).shape.dims().to_vec();
        let rows = resize_taps(&attrs, 2, src.sizes[2], dst[2]);
        let cols = resize_taps(&attrs, 3, src.sizes[3], dst[3]);
        let taps = [&rows, &cols].map(|taps| taps.first().map_or(1, Vec::len));
        let lane = if taps == [1, 1] { expr::lane_of(src.elem) } else { LaneType::F32 };
        let tree = expr::tree(self.graph, &self.plan, root, lane, &[])?;
        let laid = self.lay_out(root, &tree, &channels_last(4), Some(1))?;
        let table = self.const_storage(pack::resize_table(&rows, &cols));
        let dims = Dims::of(&laid.views().collect::<Vec<_>>(), &[0, 2, 3]);
        let spec = ResizeSpec {
            elem: src.elem,
            batch: src.sizes[0],
            channels: src.sizes[1],
            oh: dst[2],
            ow: dst[3],
            taps,
            src: Grid { batch: src.strides[0], row: src.strides[2], pixel: src.strides[3] },
            epilogue: self.epilogue(&tree, &laid, &dims, 0, Some(1)),
        };
        let operands = [vec![Operand::of(&src), Operand::start(table)], laid.operands()].concat();
        self.push_step(KernelSpec::Resize(spec), operands, &covered(&tree, node), 0);
        Ok(())
    }
}

/// Source elements and weights of every result element along a dimension, as many for each; a dimension that is not
/// resized is copied.
fn resize_taps(attrs: &InterpolateAttrs, dim: usize, src: usize, dst: usize) -> Vec<Vec<(usize, f32)>> {
    let Some(axis) = attrs.axes.iter().position(|&axis| axis == dim) else {
        return (0..dst).map(|x| vec![(x, 1.0)]).collect();
    };
    let exact = axis_taps(attrs, src, dst, attrs.scales[axis]);
    let count = exact.iter().map(Vec::len).max().unwrap_or(1);
    let rounded = |taps: Vec<(usize, f64)>| {
        let last = taps.last().map_or(0, |&(x, _)| x);
        let mut taps: Vec<(usize, f32)> = taps.into_iter().map(|(x, weight)| (x, weight as f32)).collect();
        taps.resize(count, (last, 0.0));
        taps
    };
    exact.into_iter().map(rounded).collect()
}
