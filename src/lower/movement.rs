//! Operations that move elements: views where strides allow, strided copies elsewhere.

use crate::interp::eval_op;
use crate::ir::op::{BinaryOp, DepthMode, PadMode, SliceAttrs};
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Node, Op, Shape, Tensor, TensorType, Value};

use super::kernel::{CopySpec, KernelSpec, PointwiseSpec};
use super::place::StorageKind;
use super::pointwise::{Epilogue, Inner, PointwiseProgram, PwInst, PwTensor};
use super::program::READ_SLACK;
use super::view::{Storage, View, merge_common, row_major};
use super::{Lowering, Operand};

impl Lowering<'_> {
    pub fn movement(&mut self, node: Node) -> Result<(), String> {
        let graph = self.graph;
        let results = graph.results(node).to_vec();
        let result = results[0];
        match graph.op(node) {
            Op::Reshape { shape } => {
                let src = self.view(graph.operand(node, 0))?;
                let view = match src.reshaped(shape) {
                    Some(view) => view,
                    None => self.reshape_by_copy(&src, result)?,
                };
                self.views[result] = Some(view);
                Ok(())
            }
            Op::Transpose { perm } => {
                let src = self.view(graph.operand(node, 0))?;
                self.views[result] = Some(src.permuted(perm));
                Ok(())
            }
            Op::Broadcast { shape } => {
                let src = self.view(graph.operand(node, 0))?;
                self.views[result] = Some(src.broadcast(shape.dims()));
                Ok(())
            }
            Op::Split { axis, lengths } => {
                let src = self.view(graph.operand(node, 0))?;
                let mut begin = 0;
                for (&part, &length) in results.iter().zip(lengths) {
                    self.views[part] = Some(src.part(*axis, begin, length));
                    begin += length;
                }
                Ok(())
            }
            Op::Slice(SliceAttrs { begin, lengths, strides }) => {
                let src = self.view(graph.operand(node, 0))?;
                self.views[result] = Some(src.sliced(begin, lengths, strides));
                Ok(())
            }
            Op::Concat { axis } => self.concat(node, *axis),
            Op::Pad(_) => self.pad(node),
            Op::Tile { repeats } => self.tile(node, &repeats.clone()),
            Op::Reverse { axis } => self.reverse(node, *axis),
            Op::DepthToSpace { block, mode } => self.depth_to_space(node, *block, *mode),
            Op::SpaceToDepth { block, mode } => self.space_to_depth(node, *block, *mode),
            Op::BatchToSpace { block, crops_begin, .. } => {
                self.batch_to_space(node, &block.clone(), &crops_begin.clone())
            }
            Op::SpaceToBatch { block, pads_begin, pads_end } => {
                self.space_to_batch(node, &block.clone(), &pads_begin.clone(), &pads_end.clone())
            }
            Op::Convert { elem: ElemType::I64 } => self.widen(node),
            _ => self.indexed(node),
        }
    }

    /// Copies element by element; both views have the same sizes and element size.
    pub fn copy(&mut self, src: &View, dst: &View) {
        let order = dst.order();
        let (from, to) = (src.permuted(&order), dst.permuted(&order));
        let (sizes, mut strides) = merge_common(&to.sizes, &[from.strides, to.strides]);
        let to = strides.pop().unwrap_or_default();
        let from = strides.pop().unwrap_or_default();
        // Inside one storage, what lies behind the source may be what is written.
        let exact_reads = self.reads_exactly(src) || src.storage == dst.storage;
        let spec = CopySpec { elem_bytes: src.elem.bytes(), sizes, src: from, dst: to, exact_reads };
        self.push_step(KernelSpec::Copy(spec), vec![Operand::of(src), Operand::of(dst)], &[], 0);
    }

    /// A dense copy whose dimensions lie in `order`: of a constant another constant, else in the workspace.
    pub fn copied(&mut self, src: &View, order: &[usize]) -> View {
        if let Some(constant) = self.copied_constant(src, order) {
            return constant;
        }
        let dst = self.padded(src.elem, &src.sizes, order, None);
        self.copy(src, &dst);
        dst
    }

    /// `None` of what is no constant, or is smaller than what is seen of it.
    fn copied_constant(&mut self, src: &View, order: &[usize]) -> Option<View> {
        let StorageKind::Const(id) = self.storages[src.storage].kind else { return None };
        if (0..src.rank()).any(|dim| src.sizes[dim] > 1 && src.strides[dim] == 0) {
            return None;
        }
        let constant = &self.constants[id];
        let mut bytes = Vec::with_capacity(src.elements() * src.elem.bytes() + READ_SLACK);
        for offset in src.permuted(order).offsets() {
            bytes.extend_from_slice(constant.get(offset as usize..)?.get(..src.elem.bytes())?);
        }
        bytes.resize(bytes.len() + READ_SLACK, 0);
        let dense = View::dense(Storage::from_u32(0), src.elem, &src.sizes, order);
        Some(View { storage: self.const_storage(bytes), ..dense })
    }

    /// The elements in row-major order of the source's shape, written where the result wants them.
    fn reshape_by_copy(&mut self, src: &View, result: Value) -> Result<View, String> {
        let shape = self.graph.ty(result).shape.clone();
        // Written through the result's own place, if that can be seen in the source's shape.
        let wanted = self.allocate(result, &super::view::channels_last(shape.rank()));
        if let Some(seen) = crate::ir::Shape::new(src.sizes.clone()).and_then(|sizes| wanted.reshaped(&sizes)) {
            self.copy(src, &seen);
            return Ok(wanted);
        }
        let flat = self.copied(src, &row_major(src.rank()));
        flat.reshaped(&shape).ok_or_else(|| "internal error: a row-major tensor cannot be reshaped".to_string())
    }

    /// Parts that were not written in place are copied.
    fn concat(&mut self, node: Node, axis: usize) -> Result<(), String> {
        let whole = self.concat_view(node);
        let mut begin = 0;
        for &part in self.graph.operands(node) {
            let src = self.view(part)?;
            let length = src.sizes[axis];
            let dst = whole.part(axis, begin, length);
            begin += length;
            let in_place = (src.storage, src.offset, &src.strides) == (dst.storage, dst.offset, &dst.strides);
            if !in_place {
                self.copy(&src, &dst);
            }
        }
        Ok(())
    }

    fn pad(&mut self, node: Node) -> Result<(), String> {
        let Op::Pad(attrs) = self.graph.op(node).clone() else { return Err("internal error: no pad".into()) };
        let src = self.view(self.graph.operand(node, 0))?;
        let result = self.graph.result(node);
        let dst = self.allocate(result, &src.order());
        self.views[result] = Some(dst.clone());
        let rank = src.rank();
        if attrs.mode == PadMode::Constant {
            self.fill_number(&dst, attrs.value)?;
        }
        // Where the source lies in the result, cropped by negative pads.
        let within = |pads: &[isize]| pads.iter().map(|&pad| pad.max(0) as usize).collect::<Vec<_>>();
        let cropped = |pads: &[isize]| pads.iter().map(|&pad| (-pad).max(0) as usize).collect::<Vec<_>>();
        let (begin, crop, crop_end) = (within(&attrs.begin), cropped(&attrs.begin), cropped(&attrs.end));
        let lengths: Vec<usize> =
            (0..rank).map(|dim| src.sizes[dim].saturating_sub(crop[dim] + crop_end[dim])).collect();
        let ones = vec![1; rank];
        let middle = dst.sliced(&begin, &lengths, &ones);
        self.copy(&src.sliced(&crop, &lengths, &ones), &middle);
        if attrs.mode != PadMode::Constant {
            self.mirror_borders(&dst, &begin, &lengths, attrs.mode);
        }
        Ok(())
    }

    /// Fills borders from the elements inside, one dimension after the other, so that corners come from filled borders.
    fn mirror_borders(&mut self, dst: &View, begin: &[usize], lengths: &[usize], mode: PadMode) {
        let rank = dst.rank();
        let (mut from, mut size) = (begin.to_vec(), lengths.to_vec());
        for dim in 0..rank {
            let (first, last) = (begin[dim], begin[dim] + lengths[dim] - 1);
            let ones = vec![1; rank];
            for at in (0..first).chain(last + 1..dst.sizes[dim]) {
                let distance = if at < first { first - at } else { at - last };
                let inward = match mode {
                    PadMode::Edge | PadMode::Constant => 0,
                    PadMode::Reflect => distance,
                    PadMode::Symmetric => distance - 1,
                };
                let source = if at < first { first + inward } else { last - inward };
                (from[dim], size[dim]) = (source, 1);
                let src = dst.sliced(&from, &size, &ones);
                from[dim] = at;
                let line = dst.sliced(&from, &size, &ones);
                self.copy(&src, &line);
            }
            (from[dim], size[dim]) = (0, dst.sizes[dim]);
        }
    }

    pub fn fill_number(&mut self, view: &View, value: f64) -> Result<(), String> {
        let integer = value as i32;
        if f64::from(integer) == value && view.elem.bytes() <= 4 && !matches!(view.elem, ElemType::F16 | ElemType::BF16)
        {
            self.fill(view, integer);
            return Ok(());
        }
        let scalar = self.number_view(view.elem, value)?;
        self.copy(&scalar.broadcast(&view.sizes), view);
        Ok(())
    }

    /// One element.
    pub fn number_view(&mut self, elem: ElemType, value: f64) -> Result<View, String> {
        let scalar = Tensor::f32(Shape::scalar(), vec![value as f32]);
        let ty = TensorType::new(elem, Shape::scalar());
        let converted = match elem {
            ElemType::F32 => scalar,
            ElemType::I64 => Tensor::new(ty, Data::I64(vec![value as i64])),
            elem => eval_op(&Op::Convert { elem }, &[&scalar], &[ty])?.pop().ok_or("internal error: no constant")?,
        };
        let storage = self.const_storage(converted.to_bytes());
        Ok(View::dense(storage, elem, &[], &[]))
    }

    fn tile(&mut self, node: Node, repeats: &[usize]) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let result = self.graph.result(node);
        let sizes = self.graph.ty(result).shape.dims().to_vec();
        let dst = self.allocate(result, &row_major(sizes.len()));
        self.views[result] = Some(dst.clone());
        let src = src.broadcast(&[vec![1; sizes.len() - src.rank()], src.sizes.clone()].concat());
        // Each dimension of the result is (repeat, size): walk both as dimensions of their own.
        let mut from = View { sizes: Vec::new(), strides: Vec::new(), halo: None, ..src.clone() };
        let mut to = View { sizes: Vec::new(), strides: Vec::new(), halo: None, ..dst.clone() };
        for dim in 0..sizes.len() {
            let repeat = sizes[dim].checked_div(src.sizes[dim]).unwrap_or(0);
            debug_assert!(repeats.len() <= sizes.len());
            from.sizes.extend([repeat, src.sizes[dim]]);
            from.strides.extend([0, src.strides[dim]]);
            to.sizes.extend([repeat, src.sizes[dim]]);
            to.strides.extend([dst.strides[dim] * src.sizes[dim] as i64, dst.strides[dim]]);
        }
        self.copy(&from, &to);
        Ok(())
    }

    /// i32 to i64: the elements are the low halves, their signs the high ones.
    fn widen(&mut self, node: Node) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        self.expect_elem(&src, &[ElemType::I32], "conversion to i64")?;
        let result = self.graph.result(node);
        let dst = self.allocate(result, &src.order());
        self.views[result] = Some(dst.clone());
        let signs = self.signs(&src);
        let half = |offset: i64| View { elem: ElemType::I32, offset: dst.offset + offset, halo: None, ..dst.clone() };
        self.copy(&src, &half(0));
        self.copy(&signs, &half(4));
        Ok(())
    }

    /// -1 for negative elements of an i32 tensor, 0 for others.
    fn signs(&mut self, src: &View) -> View {
        let src = self.copied(src, &row_major(src.rank()));
        let dst = self.padded(ElemType::I32, &src.sizes, &row_major(src.rank()), None);
        let mut program = PointwiseProgram::default();
        let (x, zero, ones) =
            (program.push(PwInst::Load(0)), program.push(PwInst::ConstI32(0)), program.push(PwInst::ConstI32(-1)));
        let least = program.push(PwInst::Binary(BinaryOp::Min, x, zero));
        let sign = program.push(PwInst::Binary(BinaryOp::Max, least, ones));
        program.stores.push((sign, ElemType::I32));
        let tensor = PwTensor {
            elem: ElemType::I32,
            strides: Vec::new(),
            inner: Inner::Contiguous,
            exact_reads: false,
            aliased: false,
        };
        let epilogue = Epilogue { program, loads: vec![tensor.clone()], stores: vec![tensor] };
        let spec = PointwiseSpec { outer: Vec::new(), inner: src.elements(), epilogue };
        self.push_step(KernelSpec::Pointwise(spec), vec![Operand::of(&src), Operand::of(&dst)], &[], 0);
        dst
    }

    fn reverse(&mut self, node: Node, axis: usize) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let mut begin = vec![0; src.rank()];
        let mut steps = vec![1; src.rank()];
        begin[axis] = src.sizes[axis].saturating_sub(1);
        steps[axis] = -1;
        self.views[self.graph.result(node)] = Some(src.sliced(&begin, &src.sizes.clone(), &steps));
        Ok(())
    }

    /// `[n, c, h, w]` to `[n, c / b^2, h * b, w * b]` for any number of spatial dimensions.
    fn depth_to_space(&mut self, node: Node, block: usize, mode: DepthMode) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let result = self.graph.result(node);
        let dst = self.allocate(result, &super::view::channels_last(src.rank()));
        self.views[result] = Some(dst.clone());
        let (deep, wide) = block_views(&src, &dst, block, mode);
        self.copy(&deep, &wide);
        Ok(())
    }

    fn space_to_depth(&mut self, node: Node, block: usize, mode: DepthMode) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let result = self.graph.result(node);
        let dst = self.allocate(result, &super::view::channels_last(src.rank()));
        self.views[result] = Some(dst.clone());
        let (deep, wide) = block_views(&dst, &src, block, mode);
        self.copy(&wide, &deep);
        Ok(())
    }

    /// The batch gives its blocks back to the dimensions they came from; what is cropped is written and left out of the view.
    fn batch_to_space(&mut self, node: Node, block: &[usize], crops: &[usize]) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let result = self.graph.result(node);
        let blocks: usize = block.iter().product();
        let mut sizes: Vec<usize> = src.sizes.iter().zip(block).map(|(size, block)| size * block).collect();
        sizes[0] = src.sizes[0] / blocks.max(1);
        let whole = self.padded(src.elem, &sizes, &super::view::channels_last(sizes.len()), None);
        let (batch, space) = batch_views(&src, &whole, block);
        self.copy(&batch, &space);
        let lengths = self.graph.ty(result).shape.dims().to_vec();
        self.views[result] = Some(whole.sliced(crops, &lengths, &vec![1; sizes.len()]));
        Ok(())
    }

    /// The reverse, of the source with a border of zeros.
    fn space_to_batch(
        &mut self,
        node: Node,
        block: &[usize],
        pads_begin: &[usize],
        pads_end: &[usize],
    ) -> Result<(), String> {
        let src = self.view(self.graph.operand(node, 0))?;
        let order = super::view::channels_last(src.rank());
        let pads = pads_begin.iter().zip(pads_end).map(|(begin, end)| begin + end);
        let sizes: Vec<usize> = src.sizes.iter().zip(pads).map(|(size, pads)| size + pads).collect();
        let whole = self.padded(src.elem, &sizes, &order, None);
        self.fill(&whole, 0);
        self.copy(&src, &whole.sliced(pads_begin, &src.sizes, &vec![1; src.rank()]));
        let result = self.graph.result(node);
        let dst = self.allocate(result, &order);
        self.views[result] = Some(dst.clone());
        let (batch, space) = batch_views(&dst, &whole, block);
        self.copy(&space, &batch);
        Ok(())
    }
}

/// `batch` `[b1 * .. * n, d1, ..]` and `space` `[n, d1 * b1, ..]` seen with the same dimensions: n, then (d, b) for each other one.
fn batch_views(batch: &View, space: &View, block: &[usize]) -> (View, View) {
    let images = space.sizes[0];
    let mut from = View { sizes: vec![images], strides: vec![batch.strides[0]], halo: None, ..batch.clone() };
    let mut to = View { sizes: vec![images], strides: vec![space.strides[0]], halo: None, ..space.clone() };
    for dim in 1..batch.rank() {
        let inner_blocks: usize = block[dim + 1..].iter().product();
        from.sizes.extend([batch.sizes[dim], block[dim]]);
        from.strides.extend([batch.strides[dim], batch.strides[0] * (images * inner_blocks) as i64]);
        to.sizes.extend([batch.sizes[dim], block[dim]]);
        to.strides.extend([space.strides[dim] * block[dim] as i64, space.strides[dim]]);
    }
    (from, to)
}

/// `deep` `[n, c * b^k, s..]` and `wide` `[n, c, s * b ..]` seen with the same dimensions: n, c, (b, s) for each spatial one.
fn block_views(deep: &View, wide: &View, block: usize, mode: DepthMode) -> (View, View) {
    let spatial = deep.rank() - 2;
    let channels = wide.sizes[1];
    let blocks = block.pow(spatial as u32);
    let channel_stride = deep.strides[1];
    let (per_channel, per_block) = match mode {
        DepthMode::BlocksFirst => (channel_stride, channel_stride * channels as i64),
        DepthMode::DepthFirst => (channel_stride * blocks as i64, channel_stride),
    };
    let mut from = View {
        sizes: vec![deep.sizes[0], channels],
        strides: vec![deep.strides[0], per_channel],
        halo: None,
        ..deep.clone()
    };
    let mut to =
        View { sizes: from.sizes.clone(), strides: vec![wide.strides[0], wide.strides[1]], halo: None, ..wide.clone() };
    for dim in 0..spatial {
        let inner_blocks = block.pow((spatial - 1 - dim) as u32) as i64;
        from.sizes.extend([deep.sizes[dim + 2], block]);
        from.strides.extend([deep.strides[dim + 2], per_block * inner_blocks]);
        to.sizes.extend([deep.sizes[dim + 2], block]);
        to.strides.extend([wide.strides[dim + 2] * block as i64, wide.strides[dim + 2]]);
    }
    (from, to)
}
