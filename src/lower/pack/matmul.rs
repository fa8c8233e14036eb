//! The scratch memory of products of two matrices known only at run time.

use super::BLOCK_ALIGN;
use crate::ir::ElemType;
use crate::lower::kernel::MatMulSpec;
use crate::simd::ir::Width;

/// The scratch memory of a product of two matrices, per item: both operands as the inner loop reads them.
///
/// Bytes: `a` as rows of pairs of i16 along k, then `b` in blocks of columns, per pair of k one vector after another with the
/// pair of each column in its lane. f32: `b` alone, in blocks of columns, per k one vector after another.
pub struct MatMulScratch {
    pub is_float: bool,
    /// Steps of the inner loop: pairs of k, or k.
    pub steps: usize,
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

    pub fn new(spec: &MatMulSpec, width: Width) -> MatMulScratch {
        let is_float = spec.a_elem == ElemType::F32;
        let steps = if is_float { spec.k } else { spec.k.div_ceil(2) };
        let a_bytes = if is_float { 0 } else { spec.m * steps * 4 };
        let block = Self::VECTORS * width.lanes32();
        let block_bytes = steps * Self::VECTORS * width.bytes();
        let b_at = a_bytes.next_multiple_of(BLOCK_ALIGN);
        let item_bytes = (b_at + spec.n.div_ceil(block) * block_bytes).next_multiple_of(BLOCK_ALIGN);
        MatMulScratch { is_float, steps, block, block_bytes, b_at, item_bytes }
    }
}

/// Bytes of the scratch operand of a product of two matrices.
pub fn matmul_scratch_bytes(spec: &MatMulSpec, width: Width) -> usize {
    spec.batch.iter().product::<usize>() * MatMulScratch::new(spec, width).item_bytes
}
