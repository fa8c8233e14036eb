//! The specs, family by family.

use super::{Grid, Mac};
use crate::ir::ElemType;
use crate::ir::op::{Activation, Direction, EpsMode, ReduceKind, RnnKind, ScatterReduction};
use crate::lower::pointwise::{Epilogue, PwTensor};

/// Dense and grouped convolution, and products with constant matrices: for every output pixel and channel a sum over taps.
///
/// The source is channels-last inside a border that already holds the padding. A tap is a byte offset from the output
/// pixel's source address. Operands: src, packed weights (see `lower::pack`), scratch memory if the source is arranged, then the
/// epilogue's loads and stores. Each call works in the scratch memory of its first item.
/// Outer dimensions of the epilogue's tensors are `[batch, row, pixel]`; its inner dimension is the output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvSpec {
    pub mac: Mac,
    pub batch: usize,
    pub oh: usize,
    pub ow: usize,
    pub oc: usize,
    /// Strides of the source in output pixels: strides of the convolution are multiplied in.
    pub src: Grid,
    /// Output channels are computed in blocks of `block_vectors` 32-bit vectors; the last block may be partial. With
    /// groups every group has its own blocks: `block_channels` lists (first channel, channels) of each block.
    pub block_vectors: usize,
    pub block_channels: Vec<(usize, usize)>,
    /// Pixels of a row computed together, at most.
    pub tile_pixels: usize,
    /// Blocks are the outer loop and the unit of work (weights stay in cache); else rows are.
    pub blocks_outer: bool,
    /// The bytes that a pixel reads, where the kernel shall multiply copies of them; only with rows outside.
    pub arranged: Option<ArrangedSource>,
    pub epilogue: Epilogue,
}

/// A contiguous run of source bytes of each pixel, to be copied in several arrangements (`lower::pack`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrangedSource {
    /// From the pixel's source address.
    pub offset: i64,
    pub bytes: usize,
    /// Number of arrangements, the first of which is the source as it is.
    pub copies: usize,
}

/// Rows of pixels that a kernel takes as one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// At least one.
    pub rows: usize,
    /// Pixels from the beginning of a row to that of the next one, at least those of a row.
    pub pitch: usize,
}

/// The convolution of [`ConvSpec`] in u8 x i8, with products of matrices in tile registers: rows of `a` are pixels, read where
/// they lie, columns of `b` output channels. Operands as there; the weights are packed by `lower::pack::pack_tiles`.
///
/// Items are panels of pixels times blocks of channels.
#[derive(Clone, Debug, PartialEq)]
pub struct TileConvSpec {
    pub batch: usize,
    pub oh: usize,
    pub ow: usize,
    pub oc: usize,
    pub src: Grid,
    /// (first channel, channels) of each block, at most 64 of them.
    pub block_channels: Vec<(usize, usize)>,
    /// Source bytes of a pixel that one product takes.
    pub step_bytes: usize,
    /// What is cut into tiles: as many rows as divide `oh`. What lies between them in memory is computed too, and left out. Of
    /// several rows a panel has all tiles.
    pub band: Band,
    /// Pixels of a tile; a band's last tile overlaps the one before it. At most those of the band.
    pub tile_pixels: usize,
    /// Tiles of pixels of a panel, which share loaded weights, and tiles of channels computed together with them. Their
    /// product is at most 4.
    pub panel_tiles: usize,
    pub channel_tiles: usize,
    /// Products of an accumulator.
    pub steps: usize,
    /// The epilogue of an item runs between the products of the next one. All blocks have the same number of channels, no more
    /// than are computed together; bands are single rows; tiles divide rows, and panels all tiles.
    pub overlapped: bool,
    /// Blocks are the outer loop (weights stay in cache); else panels are.
    pub blocks_outer: bool,
    pub epilogue: Epilogue,
}

impl Band {
    /// Pixels from the first to the last of its rows of `ow`.
    pub fn pixels(self, ow: usize) -> usize {
        (self.rows - 1) * self.pitch + ow
    }
}

impl TileConvSpec {
    /// Bands of an image.
    pub fn bands(&self) -> usize {
        self.oh / self.band.rows
    }

    /// Pixels of a band, with those between its rows.
    pub fn band_pixels(&self) -> usize {
        self.band.pixels(self.ow)
    }

    pub fn band_tiles(&self) -> usize {
        self.band_pixels().div_ceil(self.tile_pixels)
    }

    pub fn tiles(&self) -> usize {
        self.batch * self.bands() * self.band_tiles()
    }

    pub fn panels(&self) -> usize {
        self.tiles().div_ceil(self.panel_tiles)
    }
}

/// Convolution of each channel by itself (channel multiplier 1).
///
/// Operands: src, packed weights, then the epilogue's loads and stores, as for [`ConvSpec`]. Items are output rows.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthwiseSpec {
    pub mac: Mac,
    pub batch: usize,
    pub oh: usize,
    pub ow: usize,
    pub channels: usize,
    pub src: Grid,
    /// Byte offset of each tap from the output pixel's source address, in the order of the weights' rows.
    pub taps: Vec<i64>,
    /// Per block of vector-width channels: the plain form cannot saturate (`lower::pack` proved it).
    pub safe_blocks: Vec<bool>,
    pub epilogue: Epilogue,
}

/// Transforms the source of a Winograd convolution tile by tile: 6x6 pixels, 4 apart, to 36 positions (`simd::kernels::winograd`
/// has the matrices).
///
/// The source is u8, channels-last inside a border that already holds the padding. Operands: src, and the transformed source
/// (`lower::pack::WinogradLayout`), which is also where columns wait for their rows. Items are rows of tiles, those of one
/// image after those of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WinogradSourceSpec {
    pub batch: usize,
    /// Source pixels under the windows of all output pixels: what lies behind them is never read.
    pub ih: usize,
    pub iw: usize,
    pub ic: usize,
    /// Strides of source pixels.
    pub src: Grid,
}

/// Convolution 3x3, stride 1, of a transformed source: 36 products of matrices, then the transform of the results, exact.
///
/// Operands: transformed source, packed weights, scratch memory, then the epilogue's loads and stores, as for [`ConvSpec`].
/// Items are blocks of `block` output channels, the last one perhaps partial, and in each block `parts` equal parts of the rows of
/// tiles; each call works in the scratch memory of its first item.
#[derive(Clone, Debug, PartialEq)]
pub struct WinogradSpec {
    pub batch: usize,
    pub oh: usize,
    pub ow: usize,
    pub ic: usize,
    pub oc: usize,
    pub block: usize,
    pub parts: usize,
    pub epilogue: Epilogue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    Max,
    /// The sum, exact for integers; the epilogue divides (its first load is the reciprocal per pixel where pads are excluded).
    Sum,
}

/// Pooling over a window, channels-last. Operands: src, then the epilogue's loads and stores. Items are output rows.
///
/// Taps outside the source are left out: row `oh` uses taps `y` with `0 <= oh * stride_y + y * dilation_y - pad_y < ih`, columns
/// likewise. The accumulator is i32 for integer sources, f32 for floats.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSpec {
    pub kind: PoolKind,
    pub elem: ElemType,
    pub batch: usize,
    pub channels: usize,
    pub ih: usize,
    pub iw: usize,
    pub oh: usize,
    pub ow: usize,
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub pads: [usize; 2],
    /// Strides of source pixels (not multiplied by the pooling strides).
    pub src: Grid,
    pub epilogue: Epilogue,
}

/// A pointwise program over `outer` dimensions and a contiguous inner one. Operands: the epilogue's loads and stores.
/// Items are the product of `outer`.
#[derive(Clone, Debug, PartialEq)]
pub struct PointwiseSpec {
    pub outer: Vec<usize>,
    pub inner: usize,
    pub epilogue: Epilogue,
}

/// A table of 256 bytes: `dst[i] = table[src[i]]` over `outer` dimensions and a contiguous inner one, both of bytes. Operands:
/// src, the table (`lower::pack::pack_lookup`), dst, which may be src. Items are the product of `outer`.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupSpec {
    pub outer: Vec<usize>,
    pub inner: usize,
    pub src: PwTensor,
    pub dst: PwTensor,
}

/// Reduction over `reduced` dimensions for each element of `outer` x `inner`. Operands: src, then the epilogue's.
///
/// Outer dimensions of the epilogue's tensors are `outer`. If `inner_reduced`, the innermost contiguous dimension is reduced
/// too and the epilogue's inner dimension has one element. The accumulator is i32 for integer sources, f32 for floats; `Mean`
/// accumulates a sum and the epilogue divides. Items are the product of `outer`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceSpec {
    pub kind: ReduceKind,
    pub elem: ElemType,
    pub outer: Vec<usize>,
    pub outer_strides: Vec<i64>,
    pub reduced: Vec<usize>,
    pub reduced_strides: Vec<i64>,
    pub inner: usize,
    pub inner_reduced: bool,
    pub exact_reads: bool,
    pub epilogue: Epilogue,
}

/// Softmax of f32 rows over `axis` elements. Operands: src, dst (f32, dense rows of the same strides as src or others).
/// With `axis_stride == 4` rows are contiguous; else `inner` contiguous columns are processed side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxSpec {
    pub log: bool,
    pub outer: usize,
    pub src_outer: i64,
    pub dst_outer: i64,
    pub axis: usize,
    pub src_axis: i64,
    pub dst_axis: i64,
    /// 1 when the axis is the contiguous dimension.
    pub inner: usize,
    pub exact_reads: bool,
}

/// Mean-variance or L2 normalisation of rows of f32, u8 or i8; the accumulator is f32. Operands: src, then the epilogue's. Rows of
/// `reduced` x `inner` elements; the inner dimension is contiguous, and reduced too iff `inner_reduced`. Outer dimensions of the
/// epilogue's tensors are `outer`, then `reduced`. Items are the product of `outer`.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeSpec {
    pub kind: NormalizeKind,
    /// Of the source.
    pub elem: ElemType,
    pub eps: f64,
    pub eps_mode: EpsMode,
    pub outer: Vec<usize>,
    pub src_outer: Vec<i64>,
    pub reduced: Vec<usize>,
    pub src_reduced: Vec<i64>,
    pub inner: usize,
    pub inner_reduced: bool,
    pub exact_reads: bool,
    pub epilogue: Epilogue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormalizeKind {
    Mean,
    MeanVariance,
    L2,
}

/// A strided copy of elements of `elem_bytes` bytes. Operands: src, dst. Dimensions outermost first; lowering has merged what
/// can be merged. Items are the size of dimension 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CopySpec {
    pub elem_bytes: usize,
    pub sizes: Vec<usize>,
    pub src: Vec<i64>,
    pub dst: Vec<i64>,
    pub exact_reads: bool,
}

/// Writes a constant into strided elements (the border of a padded buffer). Operands: dst. Items are the size of dimension 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FillSpec {
    pub elem_bytes: usize,
    /// Little-endian bytes of the element, the first `elem_bytes` of them.
    pub value: [u8; 8],
    pub sizes: Vec<usize>,
    pub dst: Vec<i64>,
}

/// Separable resampling of two dimensions, channels-last. Operands: src, the tables, then the epilogue's.
///
/// The tables (i32 and f32, see `lower::pack`): for each output row `taps` pairs (source row, weight), then for each output column
/// likewise. With one tap of weight 1 (nearest) the accumulator has the source's lane type, else f32. Items are output rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizeSpec {
    pub elem: ElemType,
    pub batch: usize,
    pub channels: usize,
    pub oh: usize,
    pub ow: usize,
    /// 1 for nearest, 2 for linear, 4 for cubic, more with antialiasing.
    pub taps: [usize; 2],
    pub src: Grid,
    pub epilogue: Epilogue,
}

/// Product of two matrices known only at run time: `acc[m, n] = sum_k a[m, k] * b[k, n]` for each of `batch`.
/// Operands: a, b, scratch (`lower::pack::MatMulScratch` per item), then the epilogue's. Outer dimensions of the epilogue's tensors are
/// `batch.., m`; inner is n. Items are batches times parts of `item_columns` columns, the last part perhaps fewer.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMulSpec {
    pub form: MatMulForm,
    /// Element types of a and b: u8 or i8 each, or both f32.
    pub a_elem: ElemType,
    pub b_elem: ElemType,
    pub batch: Vec<usize>,
    pub a_batch: Vec<i64>,
    pub b_batch: Vec<i64>,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub a_m: i64,
    pub a_k: i64,
    pub b_k: i64,
    pub b_n: i64,
    /// Whole blocks of the scratch memory, or `n`.
    pub item_columns: usize,
    pub epilogue: Epilogue,
}

impl MatMulSpec {
    /// Items of one product.
    pub fn parts(&self) -> usize {
        self.n.div_ceil(self.item_columns.max(1))
    }

    /// What an item of `columns` columns computes, as if there were no others.
    pub fn part(&self, columns: usize) -> MatMulSpec {
        MatMulSpec { n: columns, item_columns: columns, ..self.clone() }
    }
}

/// What a lane takes of both operands of a product in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatMulForm {
    /// An f32, multiplied and added in the order of k, fused where the target can.
    F32,
    /// Two i16: bytes of any sign.
    Words,
    /// Four bytes, u8 of `a` (i8 plus 128) and i8 of `b`: on targets with an instruction for four products.
    Bytes,
}

impl MatMulForm {
    /// Elements along k of a step.
    pub fn step(self) -> usize {
        match self {
            MatMulForm::F32 => 1,
            MatMulForm::Words => 2,
            MatMulForm::Bytes => 4,
        }
    }
}

/// A recurrent sequence in f32 state. Operands: x projections, initial states, weights, bias, outputs; their layouts stand in
/// `simd::kernels::rnn`.
#[derive(Clone, Debug, PartialEq)]
pub struct RnnSpec {
    pub kind: RnnKind,
    pub product: StateProduct,
    pub direction: Direction,
    pub activations: Vec<Activation>,
    pub clip: Option<f32>,
    pub linear_before_reset: bool,
    pub batch: usize,
    pub sequence: usize,
    pub input: usize,
    pub hidden: usize,
}

/// How the products of the state and the recurrent weights are summed.
///
/// In integers the state, which is between -1 and 1, is rounded to `pack::STATE_BITS` bits behind the point and cut into digits;
/// sums of digits and i8 weights are exact. Both forms give the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateProduct {
    /// In f32, multiplied and added in the order of the state, fused where the target can.
    F32,
    /// Three digits of 8 bits, i8 weights: on targets with an instruction for four products.
    Bytes,
    /// Two digits of 12 bits, weights as i16.
    Words,
}

impl StateProduct {
    /// Elements of the state that a lane takes in one product.
    pub fn step(self) -> usize {
        match self {
            StateProduct::F32 => 1,
            StateProduct::Words => 2,
            StateProduct::Bytes => 4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexedKind {
    /// The indexed operand is read. Items are the product of `sizes`.
    Gather,
    /// The indexed operand is written, in the order of the updates: one item.
    Scatter(ScatterReduction),
}

/// Runs of `bytes` bytes at coordinates known at run time. Operands: src, indices, dst; the indexed one is src of a gather, dst
/// of a scatter.
///
/// For each combination of `sizes` the coordinates stand one after the other in the indices, `coordinate_stride` bytes
/// apart: coordinate `i`, inside `coordinates[i].0`, moves the place in the indexed operand by `coordinates[i].1` bytes. With a
/// coordinate outside, zeros are read, and nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexedSpec {
    pub kind: IndexedKind,
    pub elem: ElemType,
    pub index_elem: ElemType,
    pub sizes: Vec<usize>,
    pub index_strides: Vec<i64>,
    pub coordinate_stride: i64,
    pub coordinates: Vec<(usize, i64)>,
    /// Negative coordinates count from the end.
    pub wraps: bool,
    /// Strides of the indexed operand.
    pub data_strides: Vec<i64>,
    /// Strides of the other one.
    pub other_strides: Vec<i64>,
    /// A whole number of elements, contiguous in both.
    pub bytes: usize,
}

/// Running sums of `axis` elements, f32 or wrapping integers. Operands: src, dst. Items are the product of `outer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScanSpec {
    pub elem: ElemType,
    /// An element is not part of its own sum.
    pub exclusive: bool,
    pub outer: Vec<usize>,
    pub src_outer: Vec<i64>,
    pub dst_outer: Vec<i64>,
    pub axis: usize,
    pub src_axis: i64,
    pub dst_axis: i64,
}

/// The `k` greatest (or least) of `axis` elements, f32 or integers of at most 32 bits, and their indices. Operands: src, a list of
/// `k` times 8 bytes per item, values, indices. Of equal elements the one with the lower index comes first, NaN comes last.
/// Items are the product of `outer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopKSpec {
    pub elem: ElemType,
    pub index_elem: ElemType,
    pub largest: bool,
    /// The chosen ones are sorted by their indices.
    pub by_index: bool,
    pub k: usize,
    pub axis: usize,
    pub outer: Vec<usize>,
    pub src_outer: Vec<i64>,
    pub values_outer: Vec<i64>,
    pub indices_outer: Vec<i64>,
    pub src_axis: i64,
    pub values_axis: i64,
    pub indices_axis: i64,
}
