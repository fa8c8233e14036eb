//! Constants as kernels read them: weights in blocks of channels, tables of resampling.
//!
//! The layouts are private between these files and the kernels; both take them from the layout types here. Offsets are in
//! bytes, numbers little-endian.
//!
//! - [`tiles`]: the same for tile registers;
//! - [`conv`], [`depthwise`]: weights of convolutions, each product in the form its weights allow ([`form`], [`pairs`]), or allow in
//!   another copy of the source ([`arrange`]);
//! - [`winograd`]: weights of convolutions that transform their source;
//! - [`matmul`], [`rnn`]: scratch memory and recurrent weights;
//! - [`lookup`]: tables of 256 bytes.

mod arrange;
mod conv;
mod depthwise;
mod form;
mod lookup;
mod matmul;
mod pairs;
mod rnn;
mod tiles;
mod winograd;

pub use arrange::{ArrangedLayout, Arrangement};
pub use conv::{ConvLayout, Group, List, PackedConv, Run, pack_conv};
pub use depthwise::{DepthwiseLayout, PackedDepthwise, is_depthwise_safe, pack_depthwise};
pub use form::{Forms, is_plain_safe};
pub use lookup::pack_lookup;
pub use matmul::{MatMulScratch, matmul_scratch_bytes};
pub use rnn::{IntegerRow, RnnLayout, STATE_BITS, rnn_gates};
pub use tiles::{ChannelBlocks, PackedTiles, Step, TileLayout, pack_tiles, step_bytes, steps};
pub use winograd::{WinogradLayout, pack_winograd};

use crate::simd::ir::Width;

/// Alignment of blocks inside a blob.
const BLOCK_ALIGN: usize = 64;

/// Rows of a convolution: per output channel the weights of its group's runs, one run after another.
/// Rows of a depthwise convolution: per tap one weight for each channel.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    Int(&'a [i32]),
    F32(&'a [f32]),
}

/// Values of channels in the order of blocks of `vectors` 32-bit vectors; zeros behind the last channel.
pub fn pack_strips(width: Width, vectors: usize, values: &[f32]) -> Vec<u8> {
    let block = vectors * width.lanes32();
    let place = |i: usize| {
        let (vector, lane) = (i % block / width.lanes32(), i % width.lanes32());
        i / block * block + width.block_channel(vectors, vector, lane)
    };
    let places = (0..values.len().next_multiple_of(block)).map(place);
    places.flat_map(|channel| values.get(channel).copied().unwrap_or(0.0).to_le_bytes()).collect()
}

fn align(blob: &mut Vec<u8>) {
    blob.resize(blob.len().next_multiple_of(BLOCK_ALIGN), 0);
}

/// Tables of a resampling: for each output row its (source row, weight) pairs as i32 and f32, then for each output column.
/// All rows have the same number of taps, and so have all columns.
pub fn resize_table(rows: &[Vec<(usize, f32)>], cols: &[Vec<(usize, f32)>]) -> Vec<u8> {
    let mut table = Vec::new();
    for &(source, weight) in rows.iter().chain(cols).flatten() {
        let source = i32::try_from(source).expect("internal error: a source row above 2^31");
        table.extend(source.to_le_bytes());
        table.extend(weight.to_le_bytes());
    }
    table
}
