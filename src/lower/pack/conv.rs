//! Weights of dense and grouped convolutions and of products with constant matrices: blocks of output channels.

use super::arrange::{ArrangedLayout, Arrangement};
use super::form::{self, Forms, is_plain_safe, magnitude, narrow, wide_bytes, xor_constant, xor_mask};
use super::{BLOCK_ALIGN, Weights, align, pairs};
use crate::lower::kernel::{ArrangedSource, Mac};
use crate::simd::ir::Width;

/// Options of all quads of a block among which pairs are looked for: four of each, or more where there are few quads. The
/// search takes as many comparisons as there are pairs of options.
const PAIR_OPTIONS: usize = 128;

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

#[derive(Clone, Debug)]
pub struct PackedConv {
    /// (first channel, channels) of each block, for `ConvSpec::block_channels`: by channel.
    pub block_channels: Vec<(usize, usize)>,
    pub blob: Vec<u8>,
    pub forms: Forms,
}

/// A blob of convolution weights: a header per block, in an order of blocks that suits the kernel, then per block the start values, the source offsets of all entries and
/// the entries' weights. Entries stand in *lists*, one list after another, all entries of a list in the same form.
pub struct ConvLayout {
    pub mac: Mac,
    pub vectors: usize,
}

/// The form of a list's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Two quads, added in 16 bits: two offsets, the weights of all vectors of the first, then of the second.
    Pairs,
    /// One quad, or one f32: its offset, and its weights vector by vector. Bit `v` of `xor` says that vector `v` takes the XOR form:
    /// magnitudes, then masks.
    Quads { xor: usize },
}

impl List {
    pub fn quads(self) -> usize {
        match self {
            List::Pairs => 2,
            List::Quads { .. } => 1,
        }
    }

    /// Whether a vector takes the XOR form.
    pub fn is_xor(self, vector: usize) -> bool {
        matches!(self, List::Quads { xor } if xor >> vector & 1 == 1)
    }

    fn xor_vectors(self) -> usize {
        match self {
            List::Pairs => 0,
            List::Quads { xor } => xor.count_ones() as usize,
        }
    }
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

    /// The lists of a block. Every list is a loop of its own in the kernel, so there are few: pairs in blocks of one vector (more
    /// channels seldom agree on them); then XOR forms of no vector, each one alone, all. Blocks of many vectors decide for all of
    /// them.
    pub fn lists(&self) -> Vec<List> {
        let all = (1usize << self.vectors) - 1;
        let xor = |vectors: &[usize]| vectors.iter().map(|&xor| List::Quads { xor }).collect::<Vec<_>>();
        match (self.mac, self.vectors) {
            (Mac::U8I8Dot | Mac::U8I16 | Mac::F32, _) => xor(&[0]),
            (Mac::U8I8, 1) => [vec![List::Pairs], xor(&[0, 1])].concat(),
            (Mac::U8I8, n @ 2..=4) => {
                let alone: Vec<usize> = (0..n).map(|v| 1 << v).collect();
                xor(&[vec![0], alone, vec![all]].concat())
            }
            (Mac::U8I8, _) => xor(&[0, all]),
        }
    }

    /// Weight vectors of an entry of a list.
    pub fn entry_vectors(&self, list: List) -> usize {
        match self.mac {
            Mac::U8I8 => list.quads() * self.vectors + list.xor_vectors(),
            Mac::U8I16 => 2 * self.vectors,
            Mac::U8I8Dot | Mac::F32 => self.vectors,
        }
    }
}

/// Packs weights for a convolution kernel with blocks of `block_vectors` vectors. `init` is the start of each output channel's
/// accumulator (i32 kernels). With an arranged source, which a single group of a single run may have, offsets are those of its
/// copies.
pub fn pack_conv(
    mac: Mac,
    width: Width,
    block_vectors: usize,
    groups: &[Group],
    weights: Weights,
    init: &[i32],
    arranged: Option<&ArrangedSource>,
) -> PackedConv {
    let layout = ConvLayout { mac, vectors: block_vectors };
    let step = block_vectors * width.lanes32();
    let mut packed = PackedConv { block_channels: Vec::new(), blob: Vec::new(), forms: Forms::default() };
    let blocks: usize = groups.iter().map(|group| group.oc.div_ceil(step)).sum();
    packed.blob.resize((blocks * ConvLayout::HEADER_BYTES).next_multiple_of(BLOCK_ALIGN), 0);
    let mut sorted: Vec<(ConvBlock, Vec<Vec<Quad>>)> = Vec::with_capacity(blocks);
    let mut row = 0;
    for group in groups {
        let row_len: usize = group.runs.iter().map(|run| run.len).sum();
        for first in (0..group.oc).step_by(step) {
            let block = ConvBlock {
                layout: &layout,
                width,
                runs: &group.runs,
                row_len,
                rows: row + first * row_len,
                first_channel: group.first_oc + first,
                channels: (group.oc - first).min(step),
                weights,
                copies: copies(width, arranged),
            };
            let lists = block.lists();
            sorted.push((block, lists));
        }
        row += group.oc * row_len;
    }
    // loops of equal lengths behind each other, so that their ends are predicted
    sorted.sort_by_cached_key(|(_, lists)| lists.iter().map(Vec::len).rev().collect::<Vec<_>>());
    for (block, lists) in &sorted {
        packed.push(block, lists, init);
    }
    // the kernel takes them from the headers: its code shall not depend on weights
    packed.block_channels.sort_unstable();
    packed
}

/// The arrangements a source is there in, and where from its beginning.
fn copies(width: Width, arranged: Option<&ArrangedSource>) -> Vec<(Arrangement, i64)> {
    let Some(source) = arranged else { return vec![(Arrangement::PLAIN, 0)] };
    let copy = ArrangedLayout::new(width, source).copy;
    let place = |(i, arrangement)| (arrangement, (i * copy) as i64 - source.offset);
    Arrangement::first(source.copies).enumerate().map(place).collect()
}

/// The weights of one block of output channels.
struct ConvBlock<'a> {
    layout: &'a ConvLayout,
    width: Width,
    runs: &'a [Run],
    row_len: usize,
    /// Where the rows of the block begin in `weights`.
    rows: usize,
    first_channel: usize,
    channels: usize,
    weights: Weights<'a>,
    /// The first is the plain one.
    copies: Vec<(Arrangement, i64)>,
}

/// Source offset and first weight of up to four neighbours, and how these stand in the copy that the offset is in.
#[derive(Clone, Copy)]
struct Quad {
    offset: i64,
    first: usize,
    len: usize,
    arrangement: Arrangement,
}

impl PackedConv {
    fn push(&mut self, block: &ConvBlock, lists: &[Vec<Quad>], init: &[i32]) {
        let (index, first_channel) = (self.block_channels.len(), block.first_channel);
        self.block_channels.push((first_channel, block.channels));
        self.count_forms(block, lists);
        let init_at = self.blob.len();
        let init = if block.layout.mac == Mac::F32 { &[] } else { init };
        for start in block.start_values(lists, init) {
            self.blob.extend(start.to_le_bytes());
        }
        let offsets_at = self.blob.len();
        for quad in lists.iter().flatten() {
            let offset = i32::try_from(quad.offset).expect("internal error: a tap farther than 2 GiB");
            self.blob.extend(offset.to_le_bytes());
        }
        align(&mut self.blob);
        let entries_at = self.blob.len();
        for (list, quads) in block.layout.lists().into_iter().zip(lists) {
            for &quad in quads {
                block.entry(list, quad, &mut self.blob);
            }
        }
        align(&mut self.blob);
        let fields = [init_at, offsets_at, entries_at, first_channel, block.channels];
        let counts = block.layout.lists().into_iter().zip(lists).map(|(list, quads)| quads.len() / list.quads());
        let fields = fields.into_iter().chain(counts);
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
                Mac::U8I8 if list == List::Pairs => self.forms.paired += quads.len() * vectors,
                Mac::U8I8 => {
                    let xor = list.xor_vectors();
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

    /// The four weights of a quad, zeros behind its end, as its copy takes them.
    fn quad(&self, channel: Option<usize>, quad: Quad) -> [i32; 4] {
        quad.arrangement.weights(self.natural(channel, quad))
    }

    fn natural(&self, channel: Option<usize>, quad: Quad) -> [i32; 4] {
        std::array::from_fn(|i| if i < quad.len { self.int(channel, quad.first + i) } else { 0 })
    }

    /// The quad in every copy that its weights allow, the plain one first.
    fn options(&self, quad: Quad) -> impl Iterator<Item = Quad> + '_ {
        let least = self.all_lanes().flat_map(|channel| self.natural(channel, quad)).min();
        let negatable = least.is_none_or(|least| least > i32::from(i8::MIN));
        let allowed = move |(arrangement, _): &&(Arrangement, i64)| negatable || !arrangement.negates();
        let option = move |&(arrangement, offset)| Quad { offset: quad.offset + offset, arrangement, ..quad };
        self.copies.iter().filter(allowed).map(option)
    }

    /// The channels of all lanes of all vectors.
    fn all_lanes(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        (0..self.layout.vectors).flat_map(|vector| self.lanes(vector))
    }

    fn float(&self, channel: Option<usize>, k: usize) -> f32 {
        match (self.weights, channel) {
            (_, None) => 0.0,
            (Weights::F32(weights), Some(channel)) => weights[self.rows + channel * self.row_len + k],
            (Weights::Int(_), Some(_)) => panic!("internal error: integer weights for a float kernel"),
        }
    }

    /// The pieces of the sum, by list.
    fn lists(&self) -> Vec<Vec<Quad>> {
        match self.layout.mac {
            Mac::F32 => vec![self.elements()],
            Mac::U8I8Dot | Mac::U8I16 => vec![self.quads()],
            Mac::U8I8 => self.sorted_quads(),
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
                let len = (run.len - at).min(size);
                pieces.push(Quad { offset, first: first + at, len, arrangement: Arrangement::PLAIN });
            }
            first += run.len;
        }
        pieces
    }

    /// Quads by list: pairs as far as they are found, the others in the copy and the list with the fewest XOR forms.
    fn sorted_quads(&self) -> Vec<Vec<Quad>> {
        let lists = self.layout.lists();
        let mut sorted = vec![Vec::new(); lists.len()];
        let right =
            |list: &List, unsafe_vectors: usize| matches!(list, List::Quads { xor } if unsafe_vectors & !xor == 0);
        let mut singles = self.quads();
        if lists.contains(&List::Pairs) {
            (sorted[0], singles) = self.paired(&singles);
        }
        for quad in singles {
            let unsafe_in = |quad: &Quad| self.unsafe_vectors(*quad);
            let best = self.options(quad).map(|quad| (unsafe_in(&quad), quad)).min_by_key(|(v, _)| v.count_ones());
            let Some((unsafe_vectors, quad)) = best else { continue };
            let list = lists.iter().position(|list| right(list, unsafe_vectors)).unwrap_or(lists.len() - 1);
            sorted[list].push(quad);
        }
        sorted
    }

    /// Pairs of quads that are plain in some copy, one quad after the other, and the quads that remain.
    fn paired(&self, quads: &[Quad]) -> (Vec<Quad>, Vec<Quad>) {
        let most = (PAIR_OPTIONS / quads.len().max(1)).max(4);
        let (mut options, mut sums) = (Vec::with_capacity(quads.len()), Vec::with_capacity(quads.len()));
        for &quad in quads {
            let (of_quad, of_sums): (Vec<_>, Vec<_>) = self.plain_options(quad).into_iter().take(most).unzip();
            options.push(of_quad);
            sums.push(of_sums);
        }
        let found = pairs::pairs(&sums);
        let mut single = vec![true; quads.len()];
        found.iter().flatten().for_each(|&(quad, _)| single[quad] = false);
        let rest = quads.iter().zip(single).filter(|(_, single)| *single).map(|(&quad, _)| quad).collect();
        (found.iter().flatten().map(|&(quad, option): &pairs::Choice| options[quad][option]).collect(), rest)
    }

    /// The quad in the copies where it is plain, with its sums; first where these leave the most room.
    fn plain_options(&self, quad: Quad) -> Vec<(Quad, pairs::Sums)> {
        let limited = |sum: i32| u8::try_from(sum).ok().filter(|&sum| sum <= pairs::LIMIT);
        let sums = |quad: Quad| -> Option<pairs::Sums> {
            self.all_lanes().flat_map(|channel| form::sums(self.quad(channel, quad))).map(limited).collect()
        };
        let mut options: Vec<(Quad, pairs::Sums)> =
            self.options(quad).filter_map(|quad| Some((quad, sums(quad)?))).collect();
        options.sort_by_key(|(_, sums)| sums.iter().map(|&sum| u64::from(sum).pow(2)).sum::<u64>());
        options
    }

    fn unsafe_vectors(&self, quad: Quad) -> usize {
        (0..self.layout.vectors)
            .filter(|&vector| !self.lanes(vector).all(|channel| is_plain_safe(self.quad(channel, quad))))
            .fold(0, |vectors, vector| vectors | 1 << vector)
    }

    /// Start values of the accumulators in lane order.
    fn start_values(&self, lists: &[Vec<Quad>], init: &[i32]) -> Vec<i32> {
        let mut starts = Vec::new();
        for vector in 0..self.layout.vectors {
            for channel in self.lanes(vector) {
                let mut start =
                    channel.map_or(0, |channel| init.get(self.first_channel + channel).copied().unwrap_or(0));
                for (list, quads) in self.layout.lists().into_iter().zip(lists) {
                    if self.layout.mac == Mac::U8I8 {
                        let constants = quads.iter().map(|&quad| self.constant(list.is_xor(vector), channel, quad));
                        start = constants.fold(start, i32::wrapping_add);
                    }
                }
                starts.push(start);
            }
        }
        starts
    }

    /// What the products of a quad lack in a channel.
    fn constant(&self, xor: bool, channel: Option<usize>, quad: Quad) -> i32 {
        let weights = self.quad(channel, quad);
        let xor: i32 = if xor { weights.into_iter().map(xor_constant).sum() } else { 0 };
        xor + quad.arrangement.constant(weights)
    }

    fn entry(&self, list: List, quad: Quad, blob: &mut Vec<u8>) {
        for vector in 0..self.layout.vectors {
            match self.layout.mac {
                Mac::F32 => blob.extend(self.lanes(vector).flat_map(|c| self.float(c, quad.first).to_le_bytes())),
                Mac::U8I16 => {
                    for odd in 0..2 {
                        let pair = |weights: [i32; 4]| [wide_bytes(weights[odd]), wide_bytes(weights[odd + 2])];
                        blob.extend(self.lanes(vector).flat_map(|c| pair(self.quad(c, quad))).flatten());
                    }
                }
                Mac::U8I8 if list.is_xor(vector) => {
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
