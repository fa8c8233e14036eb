//! An order of channels in which few quads of weights leave the plain form.
//!
//! Only who stands side by side matters: neighbours (2i, 2i+1) share a lane of 16 bits. Channels are joined into pairs, heavy ones
//! first, each with the partner at least cost, then pairs of pairs exchange partners where both gain. Pairs are joined into
//! quads with those whose unsafe blocks of rows are the same, so that unsafe quads are few and the rest is clean.

use super::rows::Rows;
use crate::ir::Tensor;

/// Greatest sum of weights of one sign that a lane holds, and what leaves room for another quad in it.
const LIMIT: u8 = 128;
const ROOMY: u8 = 80;
/// A lane above the limit costs as much as so many lanes without room.
const UNSAFE: u32 = 16;
/// An unsafe quad of producers that one of two neighbours has and the other has not.
const UNLIKE: u32 = 2;
/// Rounds of exchanges.
const ROUNDS: usize = 3;
/// Rows of a block: the output channels of a vector of 256 bits.
const BLOCK: usize = 8;

/// Rows that are looked at, times the square of the channels: of more rows every n-th block is a sample good enough.
const MOST_WORK: usize = 1 << 29;

/// Weights of a convolution by input channel: magnitudes of positive ones in all rows, then of negative ones. A row is a tap of an
/// output channel; rows of neighbouring output channels stand side by side.
pub struct Consumer {
    columns: Vec<Vec<u8>>,
    /// How often the weights are used.
    pixels: u64,
}

impl Consumer {
    /// From weights `[oc, ic, k..]` of i8.
    pub fn new(weights: &Tensor, pixels: u64) -> Consumer {
        let dims = weights.shape().dims();
        let (oc, ic, taps) = (dims[0], dims[1], dims[2..].iter().product::<usize>());
        let values = weights.to_i64().unwrap_or_default();
        let magnitude = |sign: i64, row: usize, channel: usize| {
            let weight = values[((row % oc) * ic + channel) * taps + row / oc];
            (sign * weight).clamp(0, LIMIT.into()) as u8
        };
        let column = |channel: usize| -> Vec<u8> {
            [1, -1].into_iter().flat_map(|sign| (0..oc * taps).map(move |row| magnitude(sign, row, channel))).collect()
        };
        Consumer { columns: (0..ic).map(column).collect(), pixels }
    }

    /// Instructions of the quads that are unsafe in an order.
    fn cost(&self, order: &[usize]) -> u64 {
        let unsafe_blocks = |quad: &[usize]| {
            let pairs = quad.chunks_exact(2).map(|pair| unsafe_blocks(&self.columns, pair[0], pair[1]));
            let quad = pairs.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a | b).collect()).unwrap_or_default();
            // magnitudes of positive weights, then of negative ones
            let (positive, negative) = quad.split_at(quad.len() / 2);
            positive.iter().zip(negative).filter(|&(a, b)| a | b).count() as u64
        };
        self.pixels * order.chunks(4).map(unsafe_blocks).sum::<u64>()
    }
}

/// New position to old channel. All consumers have the same channels, an even number of them.
pub fn best_order(consumers: &[Consumer], channels: usize) -> Vec<usize> {
    let columns = joined(consumers, channels);
    let pairs = best_pairs(&columns, &Costs::new(&columns, |_, _| 0));
    quads(&columns, &pairs).concat()
}

/// An order that suits producers too, if it costs less than `order`, which suits consumers.
pub fn best_common_order(consumers: &[Consumer], rows: &Rows, order: &[usize]) -> Option<Vec<usize>> {
    let columns = joined(consumers, order.len());
    let pairs = best_pairs(&columns, &Costs::new(&columns, |a, b| UNLIKE * rows.difference(a, b)));
    let groups = rows.grouped(&pairs);
    let common: Vec<usize> = groups.iter().flat_map(|pairs| quads(&columns, pairs)).flatten().collect();
    let common = rows.stored(&common);
    let cost = |order: &[usize]| consumers.iter().map(|consumer| consumer.cost(order)).sum::<u64>() + rows.cost(order);
    (cost(&common) < cost(order)).then_some(common)
}

/// Columns of all consumers, one below the other.
fn joined(consumers: &[Consumer], channels: usize) -> Vec<Vec<u8>> {
    let rows: usize = consumers.iter().map(|consumer| consumer.columns[0].len()).sum();
    let step = (rows * channels * channels).div_ceil(MOST_WORK).max(1);
    let column = |channel: usize| -> Vec<u8> {
        let of = |consumer: &'_ Consumer| consumer.columns[channel].clone();
        let all: Vec<u8> = consumers.iter().flat_map(of).collect();
        all.chunks(BLOCK).step_by(step).flatten().copied().collect()
    };
    (0..channels).map(column).collect()
}

fn best_pairs(columns: &[Vec<u8>], costs: &Costs) -> Vec<[usize; 2]> {
    let mut pairs = matched(columns, costs);
    for _ in 0..ROUNDS {
        if !exchange(&mut pairs, costs) {
            break;
        }
    }
    pairs
}

/// Cost of every two channels as neighbours.
struct Costs {
    channels: usize,
    costs: Vec<u32>,
}

impl Costs {
    /// `also` is what two channels cost besides.
    fn new(columns: &[Vec<u8>], also: impl Fn(usize, usize) -> u32) -> Costs {
        let channels = columns.len();
        let mut costs = vec![0; channels * channels];
        for a in 0..channels {
            for b in a + 1..channels {
                let cost = UNSAFE * above(&columns[a], &columns[b], LIMIT) + above(&columns[a], &columns[b], ROOMY);
                let cost = cost + also(a, b);
                costs[a * channels + b] = cost;
                costs[b * channels + a] = cost;
            }
        }
        Costs { channels, costs }
    }

    fn of(&self, a: usize, b: usize) -> u32 {
        self.costs[a * self.channels + b]
    }
}

/// Rows where two magnitudes together are above a limit.
fn above(a: &[u8], b: &[u8], limit: u8) -> u32 {
    // counted in bytes, a few rows at a time, so that it is done in vectors
    let part = |(a, b): (&[u8], &[u8])| -> u32 {
        a.iter().zip(b).fold(0u8, |count, (&a, &b)| count + u8::from(a.saturating_add(b) > limit)).into()
    };
    a.chunks(128).zip(b.chunks(128)).map(part).sum()
}

/// Every channel with a partner; the heaviest chooses first.
fn matched(columns: &[Vec<u8>], costs: &Costs) -> Vec<[usize; 2]> {
    let weight = |channel: usize| columns[channel].iter().map(|&w| u64::from(w).pow(4)).sum::<u64>();
    let mut open: Vec<(u64, usize)> = (0..columns.len()).map(|channel| (weight(channel), channel)).collect();
    open.sort_unstable();
    let mut pairs = Vec::new();
    while let Some((_, first)) = open.pop() {
        let best = (0..open.len()).min_by_key(|&i| (costs.of(first, open[i].1), open[i].1));
        let Some(best) = best else { break };
        pairs.push([first, open.remove(best).1]);
    }
    pairs
}

/// Exchanges partners where that costs less; gives whether it did.
fn exchange(pairs: &mut [[usize; 2]], costs: &Costs) -> bool {
    let mut changed = false;
    for i in 0..pairs.len() {
        for j in i + 1..pairs.len() {
            let ([a, b], [c, d]) = (pairs[i], pairs[j]);
            let now = costs.of(a, b) + costs.of(c, d);
            let ways = [([a, c], [b, d]), ([a, d], [b, c])];
            let cost = |(x, y): ([usize; 2], [usize; 2])| costs.of(x[0], x[1]) + costs.of(y[0], y[1]);
            let best = if cost(ways[1]) < cost(ways[0]) { ways[1] } else { ways[0] };
            if cost(best) < now {
                (pairs[i], pairs[j]) = best;
                changed = true;
            }
        }
    }
    changed
}

/// Pairs two by two: those with most unsafe blocks first, each with the one that shares most of them and has fewest others.
fn quads(columns: &[Vec<u8>], pairs: &[[usize; 2]]) -> Vec<Vec<usize>> {
    let count = |blocks: &[bool]| blocks.iter().filter(|&&block| block).count();
    let mut open: Vec<(usize, [usize; 2], Vec<bool>)> = pairs
        .iter()
        .map(|pair| {
            let blocks = unsafe_blocks(columns, pair[0], pair[1]);
            (count(&blocks), *pair, blocks)
        })
        .collect();
    open.sort();
    let mut quads = Vec::new();
    while let Some((_, first, unsafe_blocks)) = open.pop() {
        let worth = |&(count, _, ref blocks): &(usize, [usize; 2], Vec<bool>)| {
            let shared = blocks.iter().zip(&unsafe_blocks).filter(|&(&a, &b)| a && b).count();
            2 * shared as i64 - count as i64
        };
        match (0..open.len()).max_by_key(|&i| worth(&open[i])) {
            Some(best) => quads.push([first, open.remove(best).1].concat()),
            None => quads.push(first.to_vec()),
        }
    }
    quads
}

/// In which blocks of rows two neighbours are above the limit.
fn unsafe_blocks(columns: &[Vec<u8>], a: usize, b: usize) -> Vec<bool> {
    let rows = columns[a].chunks(BLOCK).zip(columns[b].chunks(BLOCK));
    rows.map(|(a, b)| above(a, b, LIMIT) > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;

    fn order(weights: &[i8], ic: usize) -> Vec<usize> {
        let shape = Shape::new([weights.len() / ic, ic]).expect("small");
        best_order(&[Consumer::new(&Tensor::i8(shape, weights.to_vec()), 1)], ic)
    }

    #[test]
    fn an_order_is_a_permutation() {
        let weights: Vec<i8> = (0..16 * 24i32).map(|i| (i * 7919 % 255 - 127) as i8).collect();
        let mut order = order(&weights, 24);
        order.sort_unstable();
        assert_eq!(order, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn large_weights_get_small_neighbours() {
        let weights = [100, 90, 5, 4, 80, 70, 3, 2];
        let order = order(&weights, 8);
        assert!(order.chunks(2).all(|pair| pair.iter().map(|&c| i32::from(weights[c])).sum::<i32>() <= 128));
    }
}
