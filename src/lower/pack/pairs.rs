//! Pairs of quads whose products may be added in 16 bits, so that one widening serves both.
//!
//! A lane of 16 bits holds the products of two neighbouring weights. Two quads go together if in every lane the positive weights of
//! both add up to at most 128, and so do the negative ones: 255 * 128 fits i16, whatever the source. Any two quads of
//! a block may be a pair, for each has its own source offset; which are is a matching in the graph of those that fit.
//!
//! The matching is greedy: the quad that fits the fewest others takes, of those, the one that fits the fewest. It need not be the
//! largest, but is near it: what remains single are quads that fit hardly any.

/// Greatest sum of weights of one sign in a lane of 16 bits.
pub(super) const LIMIT: u8 = 128;

/// Of one quad: the sums of positive and of negative weights in each 16-bit lane, in any order that all quads share. None is above
/// [`LIMIT`].
pub(super) type Sums = Vec<u8>;

/// A quad and the number of one of its options.
pub(super) type Choice = (usize, usize);

/// Pairs of quads, each quad at most once. A quad is given by its options, the sums of each arrangement that it can take; a pair
/// fits if any two options do.
pub(super) fn pairs(quads: &[Vec<Sums>]) -> Vec<[Choice; 2]> {
    let mut graph = Graph::new(quads);
    let mut pairs = Vec::new();
    while let Some(first) = graph.loneliest(&graph.present) {
        let Some(second) = graph.loneliest(&graph.neighbours[first]) else { break };
        pairs.push([first.min(second), first.max(second)]);
        graph.remove(first);
        graph.remove(second);
    }
    pairs.sort_unstable();
    let options = |[first, second]: [usize; 2]| {
        let (one, other) = fitting(&rooms(&quads[first]), &quads[second])?;
        Some([(first, one), (second, other)])
    };
    pairs.into_iter().filter_map(options).collect()
}

/// What each option leaves of the limit.
fn rooms(options: &[Sums]) -> Vec<Sums> {
    options.iter().map(|sums| sums.iter().map(|sum| LIMIT - sum).collect()).collect()
}

/// The first two options that fit together.
fn fitting(rooms: &[Sums], options: &[Sums]) -> Option<(usize, usize)> {
    let fit = |room: &Sums| options.iter().position(|sums| fits(sums, room));
    rooms.iter().enumerate().find_map(|(one, room)| fit(room).map(|other| (one, other)))
}

/// A set of small numbers.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Bits {
        Bits(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn remove(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(word, &bits)| {
            let mut left = bits;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                (left != 0).then(|| {
                    left &= left - 1;
                    64 * word + bit
                })
            })
        })
    }
}

/// Which quads fit together.
struct Graph {
    /// Of present quads only.
    neighbours: Vec<Bits>,
    degrees: Vec<usize>,
    /// Quads with a neighbour.
    present: Bits,
}

impl Graph {
    fn new(quads: &[Vec<Sums>]) -> Graph {
        let mut neighbours = vec![Bits::new(quads.len()); quads.len()];
        let mut degrees = vec![0; quads.len()];
        for (i, quad) in quads.iter().enumerate() {
            let rooms = rooms(quad);
            for (j, other) in quads.iter().enumerate().skip(i + 1) {
                if fitting(&rooms, other).is_some() {
                    neighbours[i].insert(j);
                    neighbours[j].insert(i);
                    degrees[i] += 1;
                    degrees[j] += 1;
                }
            }
        }
        let mut present = Bits::new(quads.len());
        (0..quads.len()).filter(|&i| degrees[i] > 0).for_each(|i| present.insert(i));
        Graph { neighbours, degrees, present }
    }

    /// Of these quads the first with the fewest neighbours.
    fn loneliest(&self, of: &Bits) -> Option<usize> {
        of.iter().min_by_key(|&quad| self.degrees[quad])
    }

    fn remove(&mut self, quad: usize) {
        self.present.remove(quad);
        let neighbours = std::mem::replace(&mut self.neighbours[quad], Bits::new(0));
        for other in neighbours.iter() {
            self.neighbours[other].remove(quad);
            self.degrees[other] -= 1;
            if self.degrees[other] == 0 {
                self.present.remove(other);
            }
        }
    }
}

/// Without a branch per lane, so that it is done in vectors.
fn fits(sums: &[u8], room: &[u8]) -> bool {
    sums.iter().zip(room).fold(0, |over, (sum, room)| over | u8::from(sum > room)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of quads with one option each.
    fn plain_pairs(quads: &[Sums]) -> Vec<(usize, usize)> {
        let quads: Vec<Vec<Sums>> = quads.iter().map(|sums| vec![sums.clone()]).collect();
        let quad = |[(first, one), (second, other)]: [Choice; 2]| {
            assert_eq!((one, other), (0, 0));
            (first, second)
        };
        pairs(&quads).into_iter().map(quad).collect()
    }

    #[test]
    fn the_limit_is_the_last_that_fits() {
        assert_eq!(plain_pairs(&[vec![64, 0], vec![64, 128]]), [(0, 1)]);
        assert_eq!(plain_pairs(&[vec![65, 0], vec![64, 128]]), []);
    }

    #[test]
    fn options_that_fit_are_found() {
        let quads = [vec![vec![128, 0], vec![0, 128]], vec![vec![1, 1], vec![9, 1], vec![0, 70]], vec![]];
        assert_eq!(pairs(&quads), [[(0, 0), (1, 2)]]);
    }

    #[test]
    fn the_choosy_ones_choose_first() {
        // 0 fits 2 only, 1 fits 2 and 3
        let quads = [vec![100], vec![60], vec![20], vec![68]];
        assert_eq!(plain_pairs(&quads), [(0, 2), (1, 3)]);
    }

    #[test]
    fn no_quad_is_in_two_pairs() {
        let quads: Vec<Sums> = (0..75u8).map(|i| vec![i.wrapping_mul(37) % 129, i.wrapping_mul(91) % 129]).collect();
        let pairs = plain_pairs(&quads);
        let mut all: Vec<usize> = pairs.iter().flat_map(|&(i, j)| [i, j]).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
        for (i, j) in pairs {
            assert!(quads[i].iter().zip(&quads[j]).all(|(a, b)| u16::from(*a) + u16::from(*b) <= u16::from(LIMIT)));
        }
    }
}
