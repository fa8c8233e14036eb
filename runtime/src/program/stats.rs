//! Summary of a series of measurements.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

/// Order statistics and mean of latencies in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub min: u64,
    pub p25: u64,
    pub median: u64,
    pub mean: u64,
    pub p90: u64,
    pub p95: u64,
    pub p99: u64,
    pub max: u64,
}

impl Summary {
    /// `None` without samples. Percentiles by nearest rank: the smallest sample that at least `p` percent of the samples
    /// do not exceed, so each is a value that was measured.
    pub fn of(samples: Vec<u64>) -> Option<Summary> {
        // Heap sort: a tenth of the code of `sort_unstable`, and the program should stay small.
        let samples = BinaryHeap::from(samples).into_sorted_vec();
        let (min, max) = (*samples.first()?, *samples.last()?);
        let percentile = |p: usize| samples[(samples.len() * p).div_ceil(100).max(1) - 1];
        let total: u128 = samples.iter().map(|sample| u128::from(*sample)).sum();
        let mean = (total / samples.len() as u128) as u64;
        let [p25, median, p90, p95, p99] = [25, 50, 90, 95, 99].map(percentile);
        Some(Summary { min, p25, median, mean, p90, p95, p99, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let hundred = Summary::of((1..=100).rev().collect());
        let expected = Summary { min: 1, p25: 25, median: 50, mean: 50, p90: 90, p95: 95, p99: 99, max: 100 };
        assert_eq!(hundred, Some(expected));
        let three = Summary::of(std::vec![30, 10, 20]);
        assert_eq!(three, Some(Summary { min: 10, p25: 10, median: 20, mean: 20, p90: 30, p95: 30, p99: 30, max: 30 }));
        let one = Summary::of(std::vec![5]);
        assert_eq!(one, Some(Summary { min: 5, p25: 5, median: 5, mean: 5, p90: 5, p95: 5, p99: 5, max: 5 }));
        assert_eq!(Summary::of(Vec::new()), None);
    }
}
