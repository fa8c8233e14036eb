//! Constants as kernels read them: weights in blocks of channels, tables of resampling.
//!
//! The layouts are private between this file and the kernels; both take them from the `*Layout` types here. Offsets are in
//! bytes, numbers little-endian.
//!
//! Convolutions. A *quad* is four neighbouring source bytes and their weights. `Dot4` adds neighbouring u8 x i8 products in 16 bits,
//! so a quad may use it plainly only where the weights prove that nothing saturates: of every pair of neighbouring weights the
//! positive ones add up to at most 128, and so do the negative ones (255 * 128 fits i16). Any other quad takes the XOR form
//!
//! ```text
//! w >= 0:  w * a = |w| * i8(a ^ 0x80) + 128 |w|        i8(a ^ 0x80) = a - 128
//! w <  0:  w * a = |w| * i8(a ^ 0x7f) - 127 |w|        i8(a ^ 0x7f) = 127 - a
//! ```
//!
//! whose pairs lie in `-128 * 256 ..= 127 * 256` and always fit. The constant terms go into the accumulators' start values.
//! 16-bit weights multiply even and odd bytes separately. The sum is exact in all forms, in any order of quads.

use super::kernel::{Mac, MatMulSpec};
use crate::ir::ElemType;
use crate::ir::op::RnnKind;
use crate::simd::ir::Width;

/// A run of contiguous source elements under one tap: byte offset from the pixel's source address and number of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub offset: i64,
    pub len: usize,
}

/// Output channels `first_oc..first_oc + oc` share these runs (one entry per convolution group).
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub runs: Vec<Run>,
    pub first_oc: usize,
    pub oc: usize,
}

/// Rows of a convolution: per output channel the weights of its group's runs, one run after another.
/// Rows of a depthwise convolution: per tap one weight for each channel.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    Int(&'a [i32]),
    F32(&'a [f32]),
}

/// How many (quad, vector) products take which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    pub plain: usize,
    pub xor: usize,
    pub wide: usize,
}

#[derive(Clone, Debug)]
pub struct PackedConv {
    /// (first channel, channels) of each block, for `ConvSpec::block_channels`.
    pub block_channels: Vec<(usize, usize)>,
    pub blob: Vec<u8>,
    pub forms: Forms,
}

#[derive(Clone, Debug)]
pub struct PackedDepthwise {
    /// For `DepthwiseSpec::safe_blocks`.
    pub safe_blocks: Vec<bool>,
    pub blob: Vec<u8>,
}

/// Alignment of blocks inside a blob.
const BLOCK_ALIGN: usize = 64;

/// A blob of convolution weights: a header per block, then per block the start values, the source offsets of all entries and
/// the entries' weights. Entries stand in *lists*, one list after another, all entries of a list in the same form.
pub struct ConvLayout {
    pub mac: Mac,
    pub vectors: usize,
}

impl ConvLayout {
    /// Header: i32 fields.
    pub const INIT: i32 = 0;
    pub const OFFSETS: i32 = 4;
    pub const ENTRIES: i32 = 8;
    pub const FIRST_CHANNEL: i32 = 12;
    pub const CHANNELS: i32 = 16;
    /// One count per list, at most six.
    pub const COUNTS: i32 = 20;
    pub const HEADER_BYTES: usize = 48;

    /// The lists: bit `v` of a list says that vector `v` takes the XOR form. Every list is a loop of its own in the kernel, so
    /// there are few: no vector, each one alone, all; blocks of many vectors decide for all of them.
    pub fn lists(&self) -> Vec<usize> {
        match (self.mac, self.vectors) {
            (Mac::U8I8Dot | Mac::U8I16 | Mac::F32, _) => vec![0],
            (Mac::U8I8, 1) => vec![0, 1],
            (Mac::U8I8, n @ 2..=4) => [0].into_iter().chain((0..n).map(|v| 1 << v)).chain([(1 << n) - 1]).collect(),
            (Mac::U8I8, n) => vec![0, (1 << n) - 1],
        }
    }

    /// Weight vectors of an entry of a list.
    pub fn entry_vectors(&self, list: usize) -> usize {
        match self.mac {
            Mac::U8I8 => self.vectors + list.count_ones() as usize,
            Mac::U8I16 => 2 * self.vectors,
            Mac::U8I8Dot | Mac::F32 => self.vectors,
        }
    }
}

/// Packs weights for a convolution kernel with blocks of `block_vectors` vectors. `init` is the start of each output channel's
/// accumulator (i32 kernels).
pub fn pack_conv(
    mac: Mac,
    width: Width,
    block_vectors: usize,
    groups: &[Group],
    weights: Weights,
    init: &[i32],
) -> PackedConv {
    let layout = ConvLayout { mac, vectors: block_vectors };
    let step = block_vectors * width.lanes32();
    let mut packed = PackedConv { block_channels: Vec::new(), blob: Vec::new(), forms: Forms::default() };
    let blocks: usize = groups.iter().map(|group| group.oc.div_ceil(step)).sum();
    packed.blob.resize((blocks * ConvLayout::HEADER_BYTES).next_multiple_of(BLOCK_ALIGN), 0);
    let mut row = 0;
    for group in groups {
        let row_len: usize = group.runs.iter().map(|run| run.len).sum();
        for first in (0..group.oc).step_by(step) {
            let channels = (group.oc - first).min(step);
            let block = ConvBlock {
                layout: &layout,
                width,
                runs: &group.runs,
                row_len,
                rows: row + first * row_len,
                channels,
                weights,
            };
            packed.push(&block, group.first_oc + first, init);
        }
        row += group.oc * row_len;
    }
    packed
}

/// The weights of one block of output channels.
struct ConvBlock<'a> {
    layout: &'a ConvLayout,
    width: Width,
    runs: &'a [Run],
    row_len: usize,
    /// Where the rows of the block begin in `weights`.
    rows: usize,
    channels: usize,
    weights: Weights<'a>,
}

/// Source offset and first weight of up to four neighbours.
#[derive(Clone, Copy)]
struct Quad {
    offset: i64,
    first: usize,
    len: usize,
}

impl PackedConv {
    fn push(&mut self, block: &ConvBlock, first_channel: usize, init: &[i32]) {
        let index = self.block_channels.len();
        self.block_channels.push((first_channel, block.channels));
        let lists = match block.layout.mac {
            Mac::F32 => vec![block.elements()],
            Mac::U8I8Dot | Mac::U8I16 => vec![block.quads()],
            Mac::U8I8 => block.sorted_quads(),
        };
        self.count_forms(block, &lists);
        let init_at = self.blob.len();
        let init = if block.layout.mac == Mac::F32 { &[] } else { init };
        for start in block.start_values(&lists, first_channel, init) {
            self.blob.extend(start.to_le_bytes());
        }
        let offsets_at = self.blob.len();
        for quad in lists.iter().flatten() {
            let offset = i32::try_from(quad.offset).expect("internal error: a tap farther than 2 GiB");
            self.blob.extend(offset.to_le_bytes());
        }
        align(&mut self.blob);
        let entries_at = self.blob.len();
        for (list, quads) in block.layout.lists().into_iter().zip(&lists) {
            for &quad in quads {
                block.entry(list, quad, &mut self.blob);
            }
        }
        align(&mut self.blob);
        let fields = [init_at, offsets_at, entries_at, first_channel, block.channels];
        let fields = fields.into_iter().chain(lists.iter().map(Vec::len));
        for (i, field) in fields.enumerate() {
            let field = i32::try_from(field).expect("internal error: packed weights above 2 GiB");
            let at = index * ConvLayout::HEADER_BYTES + 4 * i;
            self.blob[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
    }

    fn count_forms(&mut self, block: &ConvBlock, lists: &[Vec<Quad>]) {
        let vectors = block.layout.vectors;
        for (list, quads) in block.layout.lists().into_iter().zip(lists) {
            match block.layout.mac {
                Mac::U8I8 => {
                    let xor = list.count_ones() as usize;
                    self.forms.xor += quads.len() * xor;
                    self.forms.plain += quads.len() * (vectors - xor);
                }
                Mac::U8I8Dot => self.forms.plain += quads.len() * vectors,
                Mac::U8I16 => self.forms.wide += quads.len() * vectors,
                Mac::F32 => {}
            }
        }
    }
}

impl ConvBlock<'_> {
    /// Channel of the block in a lane, if it exists.
    fn channel(&self, vector: usize, lane: usize) -> Option<usize> {
        let channel = self.width.block_channel(self.layout.vectors, vector, lane);
        (channel < self.channels).then_some(channel)
    }

    /// Lanes of one vector after another: their channels.
    fn lanes(&self, vector: usize) -> impl Iterator<Item = Option<usize>> + '_ {
        (0..self.width.lanes32()).map(move |lane| self.channel(vector, lane))
    }

    /// Integer weight `k` of a channel, 0 where there is no channel.
    fn int(&self, channel: Option<usize>, k: usize) -> i32 {
        match (self.weights, channel) {
            (_, None) => 0,
            (Weights::Int(weights), Some(channel)) => weights[self.rows + channel * self.row_len + k],
            (Weights::F32(_), Some(_)) => panic!("internal error: float weights for an integer kernel"),
        }
    }

    /// The four weights of a quad, zeros behind its end.
    fn quad(&self, channel: Option<usize>, quad: Quad) -> [i32; 4] {
        std::array::from_fn(|i| if i < quad.len { self.int(channel, quad.first + i) } else { 0 })
    }

    fn float(&self, channel: Option<usize>, k: usize) -> f32 {
        match (self.weights, channel) {
            (_, None) => 0.0,
            (Weights::F32(weights), Some(channel)) => weights[self.rows + channel * self.row_len + k],
            (Weights::Int(_), Some(_)) => panic!("internal error: integer weights for a float kernel"),
        }
    }

    fn quads(&self) -> Vec<Quad> {
        self.pieces(4, 1)
    }

    /// Single f32 elements.
    fn elements(&self) -> Vec<Quad> {
        self.pieces(1, 4)
    }

    /// Runs cut into pieces of `size` elements of `bytes` bytes.
    fn pieces(&self, size: usize, bytes: i64) -> Vec<Quad> {
        let mut pieces = Vec::new();
        let mut first = 0;
        for run in self.runs {
            for at in (0..run.len).step_by(size) {
                let offset = run.offset + at as i64 * bytes;
                pieces.push(Quad { offset, first: first + at, len: (run.len - at).min(size) });
            }
            first += run.len;
        }
        pieces
    }

    /// Quads by list: each in the list with the fewest XOR forms that is right for all vectors.
    fn sorted_quads(&self) -> Vec<Vec<Quad>> {
        let lists = self.layout.lists();
        let mut sorted = vec![Vec::new(); lists.len()];
        for quad in self.quads() {
            let unsafe_vectors = self.unsafe_vectors(quad);
            let list = lists.iter().position(|list| unsafe_vectors & !list == 0).unwrap_or(lists.len() - 1);
            sorted[list].push(quad);
        }
        sorted
    }

    fn unsafe_vectors(&self, quad: Quad) -> usize {
        (0..self.layout.vectors)
            .filter(|&vector| !self.lanes(vector).all(|channel| is_plain_safe(self.quad(channel, quad))))
            .fold(0, |vectors, vector| vectors | 1 << vector)
    }

    /// Start values of the accumulators in lane order.
    fn start_values(&self, lists: &[Vec<Quad>], first_channel: usize, init: &[i32]) -> Vec<i32> {
        let mut starts = Vec::new();
        for vector in 0..self.layout.vectors {
            for channel in self.lanes(vector) {
                let mut start = channel.map_or(0, |channel| init.get(first_channel + channel).copied().unwrap_or(0));
                for (list, quads) in self.layout.lists().into_iter().zip(lists) {
                    if list >> vector & 1 == 1 {
                        let weights = quads.iter().flat_map(|&quad| self.quad(channel, quad));
                        start = weights.map(xor_constant).fold(start, i32::wrapping_add);
                    }
                }
                starts.push(start);
            }
        }
        starts
    }

    fn entry(&self, list: usize, quad: Quad, blob: &mut Vec<u8>) {
        for vector in 0..self.layout.vectors {
            match self.layout.mac {
                Mac::F32 => blob.extend(self.lanes(vector).flat_map(|c| self.float(c, quad.first).to_le_bytes())),
                Mac::U8I16 => {
                    for odd in 0..2 {
                        let pair = |weights: [i32; 4]| [wide_bytes(weights[odd]), wide_bytes(weights[odd + 2])];
                        blob.extend(self.lanes(vector).flat_map(|c| pair(self.quad(c, quad))).flatten());
                    }
                }
                Mac::U8I8 if list >> vector & 1 == 1 => {
                    blob.extend(self.lanes(vector).flat_map(|c| self.quad(c, quad)).map(magnitude));
                    blob.extend(self.lanes(vector).flat_map(|c| self.quad(c, quad)).map(xor_mask));
                }
                Mac::U8I8 | Mac::U8I8Dot => {
                    blob.extend(self.lanes(vector).flat_map(|c| self.quad(c, quad)).map(narrow));
                }
            }
        }
    }
}

/// A blob of depthwise weights: blocks of as many channels as a vector has bytes, all of the same size. A block is a header
/// (i32: plain form proven), start values of four 32-bit vectors, then for each group of taps four vectors of weights (in the
/// XOR form their magnitudes), then for each group four vectors of XOR masks if any block of the blob needs them.
pub struct DepthwiseLayout {
    pub width: Width,
    /// Indices of the taps multiplied together; `None` is no tap.
    pub groups: Vec<Vec<Option<usize>>>,
    pub has_masks: bool,
}

impl DepthwiseLayout {
    /// Bytes before the start values.
    pub const INIT: usize = BLOCK_ALIGN;

    pub fn new(mac: Mac, width: Width, taps: usize, has_masks: bool) -> DepthwiseLayout {
        let groups = match mac {
            Mac::U8I8 | Mac::U8I8Dot => quads_of_taps(taps),
            Mac::U8I16 => {
                (0..taps).step_by(2).map(|tap| vec![Some(tap), (tap + 1 < taps).then_some(tap + 1)]).collect()
            }
            Mac::F32 => (0..taps).map(|tap| vec![Some(tap)]).collect(),
        };
        DepthwiseLayout { width, groups, has_masks }
    }

    pub fn weights(&self) -> usize {
        Self::INIT + 4 * self.width.bytes()
    }

    pub fn masks(&self) -> usize {
        self.weights() + self.groups.len() * 4 * self.width.bytes()
    }

    pub fn block_bytes(&self) -> usize {
        let masks = if self.has_masks { self.groups.len() * 4 * self.width.bytes() } else { 0 };
        (self.masks() + masks).next_multiple_of(BLOCK_ALIGN)
    }
}

/// Taps of a square window go by columns, so that the next pixel shares columns with this one; the pairs of a column of three
/// are (top, bottom) and (centre, none): the centre weight is the one that is often big. What is left goes in order.
fn quads_of_taps(taps: usize) -> Vec<Vec<Option<usize>>> {
    let side = taps.isqrt();
    if side * side != taps || !(2..=7).contains(&side) {
        return (0..taps)
            .step_by(4)
            .map(|first| (first..first + 4).map(|t| (t < taps).then_some(t)).collect())
            .collect();
    }
    let column = |x: usize, from: usize| -> Vec<Option<usize>> {
        (from..from + 4).map(|y| (y < side).then_some(y * side + x)).collect()
    };
    if side == 3 {
        return (0..3).map(|x| vec![Some(x), Some(6 + x), Some(3 + x), None]).collect();
    }
    (0..side).step_by(4).flat_map(|from| (0..side).map(move |x| column(x, from))).collect()
}

/// Packs weights `[taps][channels]` for a depthwise kernel.
pub fn pack_depthwise(mac: Mac, width: Width, weights: Weights, channels: usize, init: &[i32]) -> PackedDepthwise {
    let count = match weights {
        Weights::Int(weights) => weights.len(),
        Weights::F32(weights) => weights.len(),
    };
    let taps = count / channels;
    let step = width.bytes();
    let firsts: Vec<usize> = (0..channels).step_by(step).collect();
    let mut layout = DepthwiseLayout::new(mac, width, taps, false);
    let block = |layout: &DepthwiseLayout, first: usize| -> DepthwiseBlock<'_> {
        DepthwiseBlock { groups: layout.groups.clone(), width, first, channels, weights }
    };
    let safe_blocks: Vec<bool> =
        firsts.iter().map(|&first| mac != Mac::U8I8 || block(&layout, first).is_plain_safe()).collect();
    layout.has_masks = safe_blocks.contains(&false);
    let mut blob = Vec::new();
    for (&first, &safe) in firsts.iter().zip(&safe_blocks) {
        let begin = blob.len();
        block(&layout, first).write(mac, safe, init, &mut blob);
        blob.resize(begin + layout.block_bytes(), 0);
    }
    PackedDepthwise { safe_blocks, blob }
}

struct DepthwiseBlock<'a> {
    groups: Vec<Vec<Option<usize>>>,
    width: Width,
    first: usize,
    channels: usize,
    weights: Weights<'a>,
}

impl DepthwiseBlock<'_> {
    fn lanes(&self) -> impl Iterator<Item = usize> + '_ {
        let lanes = self.width.lanes32();
        (0..4 * lanes).map(move |i| self.first + self.width.packed_channel(i / lanes, i % lanes))
    }

    fn int(&self, channel: usize, tap: Option<usize>) -> i32 {
        match (self.weights, tap) {
            (Weights::Int(weights), Some(tap)) if channel < self.channels => weights[tap * self.channels + channel],
            (Weights::Int(_), _) => 0,
            (Weights::F32(_), _) => panic!("internal error: float weights for an integer kernel"),
        }
    }

    fn float(&self, channel: usize, tap: Option<usize>) -> f32 {
        match (self.weights, tap) {
            (Weights::F32(weights), Some(tap)) if channel < self.channels => weights[tap * self.channels + channel],
            (Weights::F32(_), _) => 0.0,
            (Weights::Int(_), _) => panic!("internal error: integer weights for a float kernel"),
        }
    }

    fn quad(&self, channel: usize, group: &[Option<usize>]) -> [i32; 4] {
        std::array::from_fn(|i| self.int(channel, group[i]))
    }

    fn is_plain_safe(&self) -> bool {
        self.groups.iter().all(|group| self.lanes().all(|channel| is_plain_safe(self.quad(channel, group))))
    }

    fn write(&self, mac: Mac, safe: bool, init: &[i32], blob: &mut Vec<u8>) {
        blob.extend(i32::from(safe).to_le_bytes());
        blob.resize(blob.len() + DepthwiseLayout::INIT - 4, 0);
        let init = if mac == Mac::F32 { &[] } else { init };
        for channel in self.lanes() {
            let mut start = if channel < self.channels { init.get(channel).copied().unwrap_or(0) } else { 0 };
            if !safe {
                let weights = self.groups.iter().flat_map(|group| self.quad(channel, group));
                start = weights.map(xor_constant).fold(start, i32::wrapping_add);
            }
            blob.extend(start.to_le_bytes());
        }
        for group in &self.groups {
            match mac {
                Mac::F32 => blob.extend(self.lanes().flat_map(|channel| self.float(channel, group[0]).to_le_bytes())),
                Mac::U8I16 => {
                    let pair = |channel| [self.int(channel, group[0]), self.int(channel, group[1])];
                    blob.extend(self.lanes().flat_map(pair).flat_map(wide_bytes));
                }
                Mac::U8I8 | Mac::U8I8Dot => {
                    let byte = if safe { narrow } else { magnitude };
                    blob.extend(self.lanes().flat_map(|channel| self.quad(channel, group)).map(byte));
                }
            }
        }
        if !safe {
            for group in &self.groups {
                blob.extend(self.lanes().flat_map(|channel| self.quad(channel, group)).map(xor_mask));
            }
        }
    }
}

/// Whether `Dot4` of these weights and any four u8 keeps both pairs of products inside i16.
fn is_plain_safe(weights: [i32; 4]) -> bool {
    const LIMIT: i32 = 128;
    weights.chunks(2).all(|pair| {
        let positive: i32 = pair.iter().map(|&w| w.max(0)).sum();
        let negative: i32 = pair.iter().map(|&w| -w.min(0)).sum();
        positive <= LIMIT && negative <= LIMIT
    })
}

/// What the XOR form of a weight lacks.
fn xor_constant(weight: i32) -> i32 {
    if weight >= 0 { 128 * weight } else { 127 * weight }
}

fn xor_mask(weight: i32) -> u8 {
    if weight >= 0 { 0x80 } else { 0x7f }
}

fn narrow(weight: i32) -> u8 {
    i8::try_from(weight).expect("internal error: a weight outside i8") as u8
}

fn magnitude(weight: i32) -> u8 {
    narrow(weight).cast_signed().unsigned_abs()
}

fn wide_bytes(weight: i32) -> [u8; 2] {
    i16::try_from(weight).expect("internal error: a weight outside i16").to_le_bytes()
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

/// Gates of a recurrent cell.
pub fn rnn_gates(kind: RnnKind) -> usize {
    match kind {
        RnnKind::Lstm => 4,
        RnnKind::Gru => 3,
        RnnKind::Rnn => 1,
    }
}

/// Recurrent weights `[dirs, gates * hidden, hidden]` for a recurrent kernel: for each direction, gate and vector of hidden units
/// one vector per unit of the state before, zeros in lanes behind the last unit.
pub fn pack_rnn(width: Width, kind: RnnKind, hidden: usize, weights: &[f32]) -> Vec<u8> {
    let lanes = width.lanes32();
    let dirs = weights.len() / (rnn_gates(kind) * hidden * hidden);
    let mut packed = Vec::new();
    for gate in 0..dirs * rnn_gates(kind) {
        for first in (0..hidden).step_by(lanes) {
            for k in 0..hidden {
                let weight = |unit: usize| {
                    if unit < hidden { weights[(gate * hidden + unit) * hidden + k] } else { 0.0 }
                };
                packed.extend((first..first + lanes).flat_map(|unit| weight(unit).to_le_bytes()));
            }
        }
    }
    packed
}
