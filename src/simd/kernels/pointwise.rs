//! Pointwise programs as kernels of their own: rows of contiguous elements, strip by strip.

use crate::lower::kernel::PointwiseSpec;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::Val;

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;

pub fn build(b: &mut Builder, spec: &PointwiseSpec, operands: &[Pointer], items: Items) {
    let operands = Operands::new(&spec.epilogue, operands);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &spec.outer);
        let operands = at_indices(b, &operands, spec, &indices);
        nest::for_strips(b, spec.inner, epilogue::strip_vectors(&spec.epilogue), |b, channel, strip| {
            let strip = strip.in_suitable_order(b.width());
            let operands = operands.at_channel(b, &spec.epilogue, channel);
            let tile = Tile { pixels: 1, channel: 0, strip };
            epilogue::apply(b, &spec.epilogue, &operands, tile, &[]);
        });
    });
}

fn at_indices(b: &mut Builder, operands: &Operands, spec: &PointwiseSpec, indices: &[Val]) -> Operands {
    let mut operands = operands.clone();
    for (dim, &index) in indices.iter().enumerate() {
        operands = operands.at(b, &spec.epilogue, dim, index);
    }
    operands
}
