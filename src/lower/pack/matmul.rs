//! The scratch memory of products of two matrices known only at run time.

use super::BLOCK_ALIGN;
use crate::ir::ElemType;
use crate::lower::kernel::{MatMulForm, MatMulSpec};
use crate::simd::ir::Width;

/// The scratch memory of a product of two matrices, per item: both operands as the inner loop reads them. A *step* is what a
/// lane takes of k at a time ([`MatMulForm::step`]), four bytes of it.
///
/// ```text
/// a    rows of steps                                        none of f32, and of u8 that lie like this already
/// b    blocks of columns: per step one vector after another, with the step of each column in its lane;
///      behind the steps the sums that products start with    these for i8 times i8 in bytes only
/// ```
///
/// Behind the last k, b is zero.
pub struct MatMulScratch {
    pub form: MatMulForm,
    /// Steps of the inner loop.
    pub steps: usize,
    /// `a` is read where it lies.
    pub a_in_place: bool,
    /// Sums start with what turns `a + 128` back into `a`.
    pub has_starts: bool,
    /// Columns of a block.
    pub block: usize,
    pub block_bytes: usize,
    /// Where the blocks of `b` begin.
    pub b_at: usize,
    pub item_bytes: usize,
}

impl MatMulScratch {
    /// Vectors of a block.
    pub const VECTORS: usize = 2;

    /// Columns of a block.
    pub fn block(width: Width) -> usize {
        Self::VECTORS * width.lanes32()
    }

    pub fn new(spec: &MatMulSpec, width: Width) -> MatMulScratch {
        let form = spec.form;
        let steps = spec.k.div_ceil(form.step());
        let bytes_in_place = form == MatMulForm::Bytes && spec.a_elem == ElemType::U8 && spec.a_k == 1;
        let a_in_place = form == MatMulForm::F32 || bytes_in_place;
        let has_starts = form == MatMulForm::Bytes && spec.a_elem == ElemType::I8;
        let a_bytes = if a_in_place { 0 } else { spec.m * steps * 4 };
        let block = Self::block(width);
        let block_bytes = (steps + usize::from(has_starts)) * Self::VECTORS * width.bytes();
        let b_at = a_bytes.next_multiple_of(BLOCK_ALIGN);
        let item_bytes = (b_at + spec.item_columns.div_ceil(block) * block_bytes).next_multiple_of(BLOCK_ALIGN);
        MatMulScratch { form, steps, a_in_place, has_starts, block, block_bytes, b_at, item_bytes }
    }
}

/// Bytes of the scratch operand of a product of two matrices.
pub fn matmul_scratch_bytes(spec: &MatMulSpec, width: Width) -> usize {
    spec.batch.iter().product::<usize>() * spec.parts() * MatMulScratch::new(spec, width).item_bytes
}
