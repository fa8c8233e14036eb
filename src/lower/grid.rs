//! Loops that several operands walk together: merged where all walk memory as one, then cut to what a kernel takes.

use super::view::{View, merge_common};

/// Common outer dimensions: sizes, and the byte strides of each operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Dims {
    pub sizes: Vec<usize>,
    /// `strides[operand][dim]`
    pub strides: Vec<Vec<i64>>,
}

impl Dims {
    /// Dimensions `dims` of every view, which all have the same logical sizes there.
    pub fn of(views: &[&View], dims: &[usize]) -> Dims {
        let sizes: Vec<usize> = dims.iter().map(|&dim| views[0].sizes[dim]).collect();
        let strides = views.iter().map(|view| dims.iter().map(|&dim| view.strides[dim]).collect()).collect();
        Dims { sizes, strides }
    }

    pub fn merged(self) -> Dims {
        let (sizes, strides) = merge_common(&self.sizes, &self.strides);
        Dims { sizes, strides }
    }

    pub fn rank(&self) -> usize {
        self.sizes.len()
    }

    /// Exactly `rank` dimensions, with leading ones of size 1.
    pub fn padded_to(mut self, rank: usize) -> Dims {
        while self.rank() < rank {
            self.sizes.insert(0, 1);
            self.strides.iter_mut().for_each(|strides| strides.insert(0, 0));
        }
        self
    }

    /// These dimensions, and inside them those of `inner` for the same operands.
    pub fn followed_by(mut self, inner: &Dims) -> Dims {
        self.sizes.extend(&inner.sizes);
        for (strides, more) in self.strides.iter_mut().zip(&inner.strides) {
            strides.extend(more);
        }
        self
    }

    /// Takes `count` neighbours of the last dimension, whose size it divides, as one.
    pub fn fold_last(&mut self, count: usize) {
        if let Some(size) = self.sizes.last_mut() {
            *size /= count;
        }
        for stride in self.strides.iter_mut().filter_map(|strides| strides.last_mut()) {
            *stride *= count as i64;
        }
    }

    /// Takes leading dimensions off until `rank` are left: for each combination of their indices, every operand's offset.
    pub fn unrolled_to(&mut self, rank: usize) -> Vec<Vec<i64>> {
        let mut offsets = vec![vec![0; self.strides.len()]];
        while self.rank() > rank {
            let size = self.sizes.remove(0);
            let steps: Vec<i64> = self.strides.iter_mut().map(|strides| strides.remove(0)).collect();
            let along = |base: &Vec<i64>, index: usize| -> Vec<i64> {
                base.iter().zip(&steps).map(|(base, step)| base + index as i64 * step).collect()
            };
            offsets = offsets.iter().flat_map(|base| (0..size).map(|index| along(base, index))).collect();
        }
        offsets
    }

    /// Cuts the last dimension into rows when it is the only one, so that there is work to share. Rows have a length that
    /// divides it, at least `least` where one exists.
    pub fn with_rows(mut self, least: usize) -> Dims {
        if self.rank() != 1 {
            return self;
        }
        let total = self.sizes[0];
        let length = (least..=total / 2).find(|&length| total.is_multiple_of(length));
        let Some(length) = length else { return self };
        self.sizes = vec![total / length, length];
        for strides in &mut self.strides {
            strides.insert(0, strides[0] * length as i64);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_divide_a_flat_dimension() {
        let flat = |size| Dims { sizes: vec![size], strides: vec![vec![4]] };
        assert_eq!(flat(196).with_rows(24).sizes, [7, 28]);
        assert_eq!(flat(196).with_rows(24).strides, [vec![112, 4]]);
        assert_eq!(flat(49).with_rows(24).sizes, [49]);
    }

    #[test]
    fn unrolling_gives_one_offset_per_combination() {
        let mut dims = Dims { sizes: vec![2, 2, 5], strides: vec![vec![100, 10, 1]] };
        assert_eq!(dims.unrolled_to(1), [[0], [10], [100], [110]]);
        assert_eq!(dims.sizes, [5]);
    }
}
