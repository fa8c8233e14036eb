//! Weights of depthwise convolutions: groups of taps for each block of channels.

use std::ops::Range;

use super::form::{is_plain_safe, magnitude, narrow, split, wide_bytes, xor_constant, xor_mask};
use super::{BLOCK_ALIGN, Weights};
use crate::lower::kernel::Mac;
use crate::simd::ir::Width;

#[derive(Clone, Debug)]
pub struct PackedDepthwise {
    /// For `DepthwiseSpec::safe_blocks`.
    pub safe_blocks: Vec<bool>,
    pub blob: Vec<u8>,
}

/// A blob of depthwise weights: blocks of as many channels as a vector has bytes, all of the same size. A block is a header
/// (i32: plain form proven), start values of four 32-bit vectors, then for each group of taps four vectors of weights (in the
/// XOR form their magnitudes), then for each group four vectors of XOR masks if any block of the blob needs them.
pub struct DepthwiseLayout {
    pub width: Width,
    /// Indices of the taps multiplied together; `None` is no tap. One that stands twice has a part of its weight in each place.
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

/// Taps of a square window go by columns of three or four, so that the next pixel shares columns with this one. One or two
/// rows below whole columns of four are not worth columns of their own: they go four taps at a time, as do other windows.
fn quads_of_taps(taps: usize) -> Vec<Vec<Option<usize>>> {
    let side = taps.isqrt();
    if side * side != taps || !(2..=7).contains(&side) {
        return in_quads(&(0..taps).collect::<Vec<_>>());
    }
    let column = |x: usize, rows: Range<usize>| -> Vec<usize> { rows.map(|y| y * side + x).collect() };
    let columns = |rows: Range<usize>| (0..side).map(move |x| column(x, rows.clone()));
    let whole = side / 4 * 4;
    let mut quads: Vec<Vec<Option<usize>>> = columns(0..whole).flat_map(|column| in_quads(&column)).collect();
    match side - whole {
        3 => quads.extend(columns(whole..side).flat_map(|column| in_quads(&column))),
        _ => quads.extend(in_quads(&columns(whole..side).flatten().collect::<Vec<_>>())),
    }
    quads
}

/// Taps four at a time. Few taps stay away from each other, for neighbours add up in 16 bits; of three the last one stands in
/// both pairs, each with a part of its weight (`form::split`).
fn in_quads(taps: &[usize]) -> Vec<Vec<Option<usize>>> {
    let quad = |taps: &[usize]| match *taps {
        [a] => vec![Some(a), None, None, None],
        [a, b] => vec![Some(a), None, Some(b), None],
        [a, b, c] => vec![Some(a), Some(c), Some(b), Some(c)],
        _ => taps.iter().map(|&tap| Some(tap)).collect(),
    };
    taps.chunks(4).map(quad).collect()
}

/// Whether a channel with these taps is right in the plain form.
pub fn is_depthwise_safe(taps: &[i32]) -> bool {
    let weights = Weights::Int(taps);
    DepthwiseBlock { groups: quads_of_taps(taps.len()), width: Width::W128, first: 0, channels: 1, weights }
        .is_plain_safe()
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
        let quad: [i32; 4] = std::array::from_fn(|i| self.int(channel, group[i]));
        if group[1].is_none() || group[1] != group[3] {
            return quad;
        }
        let parts = split(quad[1], [quad[0], quad[2]]);
        [quad[0], parts[0], quad[2], parts[1]]
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
