//! Copies of a source with its bytes arranged in other ways, for weights that no plain product takes.
//!
//! Whether a quad may be multiplied plainly, and which other one it may be added to, depends on which of its weights share a
//! lane of 16 bits and on their signs ([`super::form`], [`super::pairs`]). Both can be had in another way if the source
//! is there in another way, too. In a copy, the four bytes of every quad are permuted, and some are complemented:
//!
//! ```text
//! w * a = -w * (255 - a) + 255 * w
//! ```
//!
//! so that a weight changes its sign and the constant goes into the accumulator's start value. Two weights of one sign
//! that are too large for a lane get different signs, or other partners. Each quad of a block reads the copy that suits its
//! weights, which is only another offset:
//!
//! ```text
//! pixel      copy 0: K bytes as they are | copy 1: the same, arranged | ..        a copy is padded to whole vectors
//! ```
//!
//! The kernel writes the copies of a tile's pixels to scratch memory and multiplies them with all blocks. So this is for
//! convolutions whose pixels read one contiguous run each.

use super::BLOCK_ALIGN;
use crate::lower::kernel::ArrangedSource;
use crate::simd::ir::{CHUNK, Width};

/// How the bytes of a quad stand in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// Byte `i` of the copy is byte `order[i]` of the source.
    order: [u8; 4],
    /// Bytes of the copy that are 255 less the byte of the source.
    complemented: [bool; 4],
}

/// The three ways to form two pairs of four.
const ORDERS: [[u8; 4]; 3] = [[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]];
/// Signs in both pairs that differ from each other; to negate a whole pair changes little.
const COMPLEMENTS: [[bool; 4]; 4] =
    [[false; 4], [false, true, false, true], [false, true, false, false], [false, false, false, true]];

impl Arrangement {
    /// The source as it is.
    pub const PLAIN: Arrangement = Arrangement { order: ORDERS[0], complemented: COMPLEMENTS[0] };
    /// Numbers of copies that are of use: one complement, all of them, and all of them in two or three orders.
    pub const COUNTS: [usize; 4] = [2, COMPLEMENTS.len(), 2 * COMPLEMENTS.len(), ORDERS.len() * COMPLEMENTS.len()];

    /// The first `copies` arrangements, the plain one first.
    pub fn first(copies: usize) -> impl Iterator<Item = Arrangement> {
        let all = ORDERS.iter().flat_map(|&order| COMPLEMENTS.map(|complemented| Arrangement { order, complemented }));
        all.take(copies)
    }

    /// Whether weights change their sign, which -128 cannot.
    pub(super) fn negates(self) -> bool {
        self.complemented.contains(&true)
    }

    /// What a copy's bytes are multiplied with instead of these weights.
    pub(super) fn weights(self, weights: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|i| {
            let weight = weights[usize::from(self.order[i])];
            if self.complemented[i] { -weight } else { weight }
        })
    }

    /// What the products with [`Self::weights`] lack.
    pub(super) fn constant(self, arranged: [i32; 4]) -> i32 {
        arranged.iter().zip(self.complemented).filter(|(_, complemented)| *complemented).map(|(w, _)| -255 * w).sum()
    }

    /// The order as a shuffle of a chunk; `None` where bytes stay.
    pub fn shuffle(self) -> Option<[u8; CHUNK]> {
        let shuffle = || std::array::from_fn(|i| (i / 4 * 4) as u8 + self.order[i % 4]);
        (self.order != ORDERS[0]).then(shuffle)
    }

    /// The complement as bits to flip in a chunk; `None` without one.
    pub fn flips(self) -> Option<[u8; CHUNK]> {
        let flips = || std::array::from_fn(|i| if self.complemented[i % 4] { 0xff } else { 0 });
        self.negates().then(flips)
    }
}

/// Where the copies of a tile's pixels lie in scratch memory.
pub struct ArrangedLayout {
    /// Bytes of a copy of one pixel.
    pub copy: usize,
    /// Bytes from pixel to pixel: an odd number of cache lines, so that the pixels of a tile are in different sets of the cache.
    pub pixel: usize,
}

impl ArrangedLayout {
    pub fn new(width: Width, source: &ArrangedSource) -> ArrangedLayout {
        let copy = source.bytes.next_multiple_of(width.bytes());
        let lines = (copy * source.copies).div_ceil(BLOCK_ALIGN) | 1;
        ArrangedLayout { copy, pixel: lines * BLOCK_ALIGN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arranged_products_and_constants_add_up_to_the_plain_sum() {
        let values = [-128, -127, -1, 0, 1, 64, 127];
        let bytes = [0, 1, 128, 255];
        for [w0, w1, b0, b1] in combinations(values.len(), bytes.len()) {
            let weights = [values[w0], values[w1], 33, values[values.len() - 1 - w0]];
            let source = [bytes[b0], bytes[b1], 255, 7];
            let expected: i32 = weights.iter().zip(source).map(|(w, a)| w * a).sum();
            for arrangement in Arrangement::first(12) {
                let arranged = arrangement.weights(weights);
                let copy = std::array::from_fn::<i32, 4, _>(|i| {
                    let byte = source[usize::from(arrangement.order[i])];
                    if arrangement.complemented[i] { 255 - byte } else { byte }
                });
                let sum: i32 = arranged.iter().zip(copy).map(|(w, a)| w * a).sum();
                assert_eq!(
                    sum + arrangement.constant(arranged),
                    expected,
                    "{arrangement:?} of {weights:?}, {source:?}"
                );
            }
        }
    }

    fn combinations(values: usize, bytes: usize) -> impl Iterator<Item = [usize; 4]> {
        let all = values * values * bytes * bytes;
        (0..all).map(move |i| [i % values, i / values % values, i / values.pow(2) % bytes, i / values.pow(2) / bytes])
    }

    #[test]
    fn the_source_as_it_is_comes_first() {
        assert_eq!(Arrangement::first(1).collect::<Vec<_>>(), [Arrangement::PLAIN]);
        assert_eq!(Arrangement::first(usize::MAX).count(), Arrangement::COUNTS[3]);
    }
}
