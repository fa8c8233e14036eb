//! Matrix products: with constants they are convolutions of one tap, with two run-time matrices a kernel of their own.

use crate::ir::{ElemType, Op, Tensor, Value};

use super::dense::Dense;
use super::elementwise::covered;
use super::expr;
use super::grid::Dims;
use super::kernel::{KernelSpec, MatMulForm, MatMulSpec};
use super::pack::{self, Group, Run, Weights};
use super::place::StorageKind;
use super::plan::{Anchor, constant_matrix};
use super::view::{View, row_major};
use super::window::{Convolved, mac_lane, mac_of};
use super::{Lowering, Operand};
use crate::simd::ir::Width;

impl Lowering<'_> {
    pub fn product(&mut self, root: Value, anchor: Anchor) -> Result<(), String> {
        let node = anchor.node;
        let Op::MatMul { transpose_a, transpose_b } = *self.graph.op(node) else {
            return Err("internal error: no matmul".into());
        };
        match constant_matrix(self.graph, node).cloned() {
            Some(weights) => self.product_with_constant(root, anchor, transpose_a, transpose_b, &weights),
            None => self.product_of_two(root, anchor, transpose_a, transpose_b),
        }
    }

    /// Every row of `a` is a pixel, every column of `b` an output channel.
    fn product_with_constant(
        &mut self,
        root: Value,
        anchor: Anchor,
        transpose_a: bool,
        transpose_b: bool,
        weights: &Tensor,
    ) -> Result<(), String> {
        let node = anchor.node;
        let src = self.matrix(self.graph.operand(node, 0), transpose_a)?;
        let rank = src.rank();
        let elem = src.elem.bytes() as i64;
        let contiguous = src.sizes[rank - 1] == 1 || src.strides[rank - 1] == elem;
        let src = match contiguous && !self.reads_exactly(&src) {
            true => src,
            false => self.copied(&src, &row_major(rank)),
        };
        let mac = mac_of(&src, weights, self.has_dot)?;
        let tree = expr::tree(self.graph, &self.plan, root, mac_lane(mac), &[])?;
        let result_rank = self.graph.ty(root).shape.rank();
        if result_rank != rank {
            return Err("internal error: a product of another rank than its source".into());
        }
        let channel = rank - 1;
        let laid = self.lay_out(root, &tree, &row_major(rank), Some(channel))?;
        let (k, n) = (src.sizes[rank - 1], laid.dst.sizes[channel]);
        let groups = [Group { runs: vec![Run { offset: 0, len: k }], first_oc: 0, oc: n }];
        // Weights are rows per output channel: as they are when transposed.
        let at = |i: usize| if transpose_b { i } else { (i % k) * n + i / k };
        let macs = (src.elements() * n) as u64;
        let mut walked = View { halo: None, ..src };
        walked.sizes[channel] = n;
        walked.strides[channel] = 0;
        let outer = (0..channel).collect();
        let init = self.init_of(anchor, n)?;
        let convolved = Convolved { anchor, init, tree: &tree, laid, src: walked, outer, channel, macs };
        if let Some(values) = weights.as_f32() {
            let rows: Vec<f32> = (0..k * n).map(|i| values[at(i)]).collect();
            let dense = Dense { mac, groups: &groups, weights: Weights::F32(&rows), windows: None };
            return self.dense_convolution(convolved, &dense);
        }
        let values = weights.to_i64().ok_or("internal error: weights are neither floats nor integers")?;
        let rows: Vec<i32> = (0..k * n).map(|i| values[at(i)] as i32).collect();
        self.dense_convolution(convolved, &Dense { mac, groups: &groups, weights: Weights::Int(&rows), windows: None })
    }

    /// An operand of a product as a matrix whose last dimension is the product's inner or outer one.
    fn matrix(&mut self, value: Value, transposed: bool) -> Result<View, String> {
        let view = self.view(value)?;
        let rank = view.rank();
        if rank < 2 || !transposed {
            return Ok(view);
        }
        let mut perm = row_major(rank);
        perm.swap(rank - 2, rank - 1);
        Ok(view.permuted(&perm))
    }

    fn product_of_two(
        &mut self,
        root: Value,
        anchor: Anchor,
        transpose_a: bool,
        transpose_b: bool,
    ) -> Result<(), String> {
        let node = anchor.node;
        if anchor.init.is_some() {
            return Err("internal error: a product of two matrices does not start at a constant".into());
        }
        let a = self.matrix(self.graph.operand(node, 0), transpose_a)?;
        let b = self.matrix(self.graph.operand(node, 1), transpose_b)?;
        let bytes = [ElemType::U8, ElemType::I8];
        let both = |allowed: &[ElemType]| allowed.contains(&a.elem) && allowed.contains(&b.elem);
        if !both(&bytes) && !both(&[ElemType::F32]) {
            return Err(format!("a product of {} and {} has no kernel", a.elem, b.elem));
        }
        let rank = self.graph.ty(root).shape.rank();
        if a.rank() < 2 || b.rank() < 2 {
            return Err("a product of vectors has no kernel".into());
        }
        let a = self.readable(a);
        let b = self.readable(b);
        let lane = expr::lane_of(if a.elem == ElemType::F32 { ElemType::F32 } else { ElemType::I32 });
        let tree = expr::tree(self.graph, &self.plan, root, lane, &[])?;
        let laid = self.lay_out(root, &tree, &self.order_of_users(root), Some(rank - 1))?;
        let [m, n] = [laid.dst.sizes[rank - 2], laid.dst.sizes[rank - 1]];
        let k = a.sizes[a.rank() - 1];
        let batch: Vec<usize> = laid.dst.sizes[..rank - 2].to_vec();
        let batched = |view: &View| View { sizes: batch.clone(), strides: batch_strides(view, &batch), ..view.clone() };
        let (a_batch, b_batch) = (batched(&a), batched(&b));
        let outer = Dims::of(&laid.views().collect::<Vec<_>>(), &row_major(rank - 1));
        let spec = MatMulSpec {
            form: self.form_of(a.elem, b.elem),
            a_elem: a.elem,
            b_elem: b.elem,
            a_batch: a_batch.strides,
            b_batch: b_batch.strides,
            m,
            k,
            n,
            a_m: a.strides[a.rank() - 2],
            a_k: a.strides[a.rank() - 1],
            b_k: b.strides[b.rank() - 2],
            b_n: b.strides[b.rank() - 1],
            item_columns: item_columns(&batch, n, self.width),
            epilogue: self.epilogue(&tree, &laid, &outer, 0, Some(rank - 1)),
            batch,
        };
        let macs = (spec.batch.iter().product::<usize>() * m * n * k) as u64;
        let scratch_bytes = pack::matmul_scratch_bytes(&spec, self.width);
        let scratch = self.new_storage(StorageKind::Workspace, scratch_bytes);
        let operands = [vec![Operand::of(&a), Operand::of(&b), Operand::start(scratch)], laid.operands()].concat();
        self.push_step(KernelSpec::MatMul(spec), operands, &covered(&tree, node), macs);
        Ok(())
    }

    fn form_of(&self, a: ElemType, b: ElemType) -> MatMulForm {
        match b {
            _ if a == ElemType::F32 => MatMulForm::F32,
            ElemType::I8 if self.has_dot => MatMulForm::Bytes,
            _ => MatMulForm::Words,
        }
    }

    /// The order of a product's rows in memory: that of the transposed value where only that is used, so that the transposition
    /// and a reshape behind it are views. Columns stay innermost.
    fn order_of_users(&self, root: Value) -> Vec<usize> {
        let rank = self.graph.ty(root).shape.rank();
        match self.graph.single_user(root).map(|user| self.graph.op(user)) {
            Some(Op::Transpose { perm }) if perm.last() == Some(&(rank - 1)) => perm.clone(),
            _ => row_major(rank),
        }
    }

    /// Outside the caller's memory, so that kernels may read past its end.
    fn readable(&mut self, view: View) -> View {
        match self.reads_exactly(&view) {
            true => {
                let order = view.order();
                self.copied(&view, &order)
            }
            false => view,
        }
    }
}

/// Columns of an item of [`MatMulSpec`]: as many as give threads enough of them to get equal shares.
fn item_columns(batch: &[usize], n: usize, width: Width) -> usize {
    const ITEMS: usize = 8;
    let products = batch.iter().product::<usize>().max(1);
    let block = pack::MatMulScratch::block(width);
    let blocks = n.div_ceil(block);
    let parts = ITEMS.div_ceil(products).min(blocks).max(1);
    match parts {
        1 => n,
        _ => blocks.div_ceil(parts) * block,
    }
}

/// Strides of a matrix's batch dimensions, broadcast to `batch`.
fn batch_strides(view: &View, batch: &[usize]) -> Vec<i64> {
    let own = view.rank() - 2;
    let missing = batch.len() - own;
    (0..batch.len())
        .map(|dim| match dim.checked_sub(missing) {
            Some(dim) if view.sizes[dim] > 1 => view.strides[dim],
            _ => 0,
        })
        .collect()
}
