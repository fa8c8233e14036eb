//! What an order of channels means to the convolutions that compute them.
//!
//! A vector of sums has an output channel in each lane, and its weights are a row. A quad of input channels takes the plain form only
//! where it is safe in the rows of all lanes: one row in five that is unsafe makes five vectors in six so. Rows with the same
//! unsafe quads therefore belong into the same vector. The blocks of depthwise convolutions are four vectors of channels and
//! wish the same of their taps.
//!
//! [`Rows::grouped`] is greedy: a vector begins with the channels that have the fewest unsafe quads, and takes those that add the
//! fewest to what it has. Channels come as pairs, which the consumers chose.

use std::ops::Range;

/// A set of unsafe quads, a bit each.
type Quads = Vec<u64>;

/// Unsafe quads of all convolutions that compute a class of channels.
pub struct Rows {
    /// Channels of a vector.
    lanes: usize,
    /// Vectors whose chunks of four channels take turns in memory.
    vectors: usize,
    /// By channel.
    unsafe_quads: Vec<Quads>,
    /// Words of the sets, and what an unsafe quad among them costs a vector.
    parts: Vec<(Range<usize>, u64)>,
}

impl Rows {
    pub fn new(lanes: usize, channels: usize) -> Rows {
        Rows { lanes, vectors: 1, unsafe_quads: vec![Quads::new(); channels], parts: Vec::new() }
    }

    /// Blocks of `vectors` vectors are stored together.
    pub fn set_vectors(&mut self, vectors: usize) {
        self.vectors = vectors;
    }

    /// Adds a convolution: by channel, which quads are unsafe.
    pub fn add(&mut self, rows: &[Vec<bool>], cost: u64) {
        let first = self.unsafe_quads.first().map_or(0, Vec::len);
        for (quads, row) in self.unsafe_quads.iter_mut().zip(rows) {
            let word = |bits: &[bool]| bits.iter().rev().fold(0, |word, &bit| word << 1 | u64::from(bit));
            quads.extend(row.chunks(64).map(word));
        }
        let end = self.unsafe_quads.first().map_or(0, Vec::len);
        self.parts.push((first..end, cost));
    }

    /// Whether any order is as good as another.
    pub fn are_safe(&self) -> bool {
        self.unsafe_quads.iter().flatten().all(|&word| word == 0)
    }

    /// Quads that only one of two channels has.
    pub fn difference(&self, a: usize, b: usize) -> u32 {
        let words = self.unsafe_quads[a].iter().zip(&self.unsafe_quads[b]);
        words.map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// What the vectors of an order cost above none being unsafe.
    pub fn cost(&self, order: &[usize]) -> u64 {
        let union =
            |vector: &[usize]| vector.iter().fold(Quads::new(), |union, &channel| self.with(&union, &[channel]));
        // in the order of vectors again
        self.turned(order, self.lanes / CHUNK).chunks(self.lanes).map(|vector| self.cost_of(&union(vector))).sum()
    }

    /// Vectors of pairs.
    pub fn grouped(&self, pairs: &[[usize; 2]]) -> Vec<Vec<[usize; 2]>> {
        let mut open = pairs.to_vec();
        let mut groups = Vec::new();
        while !open.is_empty() {
            let (mut group, mut union) = (Vec::new(), Quads::new());
            while group.len() < self.lanes / 2 && !open.is_empty() {
                // of those that add nothing the one that leaves least to others
                let added =
                    |pair: &[usize; 2]| (self.cost_of(&self.with(&union, pair)), !self.cost_of(&self.with(&[], pair)));
                let Some(best) = (0..open.len()).min_by_key(|&i| added(&open[i])) else { break };
                let pair = open.remove(best);
                union = self.with(&union, &pair);
                group.push(pair);
            }
            groups.push(group);
        }
        groups
    }

    /// Channels vector after vector as they stand in memory.
    pub fn stored(&self, order: &[usize]) -> Vec<usize> {
        self.turned(order, self.vectors)
    }

    /// In whole blocks: the first chunk of each of `count` runs of chunks, then the second chunk of each.
    fn turned(&self, order: &[usize], count: usize) -> Vec<usize> {
        let block = self.vectors * self.lanes;
        let turn = |block: &[usize]| -> Vec<usize> {
            let run = block.len() / count;
            (0..run / CHUNK)
                .flat_map(|i| (0..count).flat_map(move |j| j * run + i * CHUNK..j * run + (i + 1) * CHUNK))
                .map(|i| block[i])
                .collect()
        };
        let blocks = order.chunks_exact(block);
        let rest = blocks.remainder().to_vec();
        blocks.map(turn).chain([rest]).flatten().collect()
    }

    fn with(&self, union: &[u64], channels: &[usize]) -> Quads {
        let words = 0..self.unsafe_quads.first().map_or(0, Vec::len);
        let word = |i: usize| {
            channels.iter().fold(union.get(i).copied().unwrap_or(0), |word, &c| word | self.unsafe_quads[c][i])
        };
        words.map(word).collect()
    }

    fn cost_of(&self, union: &[u64]) -> u64 {
        let bits = |words: &Range<usize>| -> u64 {
            union[words.clone()].iter().map(|word| u64::from(word.count_ones())).sum()
        };
        self.parts.iter().map(|(words, cost)| cost * bits(words)).sum()
    }
}

/// Channels that stand together in every order of strips.
const CHUNK: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight lanes; sixteen channels of which every second one has an unsafe quad.
    fn rows() -> Rows {
        let mut rows = Rows::new(8, 16);
        rows.add(&(0..16).map(|channel| vec![channel % 2 == 1, false]).collect::<Vec<_>>(), 1);
        rows
    }

    #[test]
    fn alike_rows_share_a_vector() {
        let rows = rows();
        let natural: Vec<usize> = (0..16).collect();
        let pairs: Vec<[usize; 2]> = (0..8).map(|i| [i / 2 * 4 + i % 2, i / 2 * 4 + i % 2 + 2]).collect();
        let grouped = rows.grouped(&pairs).concat().concat();
        assert_eq!((rows.cost(&natural), rows.cost(&grouped)), (2, 1));
        let mut sorted = grouped;
        sorted.sort_unstable();
        assert_eq!(sorted, natural);
    }

    #[test]
    fn vectors_of_a_block_take_turns() {
        let mut rows = rows();
        let order: Vec<usize> = (0..8).map(|i| 2 * i).chain((0..8).map(|i| 2 * i + 1)).chain([16, 17]).collect();
        rows.set_vectors(2);
        let stored = rows.stored(&order);
        assert_eq!(stored, [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15, 16, 17]);
        assert_eq!(rows.cost(&stored[..16]), 1);
    }
}
