//! `--compare A.json B.json`: is B slower, and is that more than chance?
//!
//! Latencies of one run are not independent: a neighbour, the clock of the CPU or the place of the memory slows down many in
//! a row. A test that takes them for independent finds a difference between any two runs. So the run is cut into
//! [`BLOCKS`] stretches of successive inferences, and chance is what choosing other stretches of the same runs would have
//! given: [`RESAMPLES`] times as many blocks are drawn, with replacement, from each side (a block bootstrap), and the ratio of
//! the medians of their medians is taken. The middle 99 % of these ratios are the interval that is printed. Blocks also leave
//! the tail of a run, which is noise of the machine, without weight.
//!
//! What no single run can show is how much the next process differs, by the places of its pages for example. The threshold
//! is for that, and it is what a user cares about: B is a regression if 1 lies outside the interval *and* the medians differ by
//! more than the threshold.

use std::fmt::Write as _;
use std::path::Path;

use octet::diag::{Diagnostic, Kind, Place};
use serde_json::json;

use super::report::{Report, percentile};
use crate::cli::failure::Failure;
use crate::cli::table::{Align, table};

const BLOCKS: usize = 25;
const RESAMPLES: usize = 10_000;
/// Share of the resamples outside the interval, half on each side.
const OUTSIDE: f64 = 0.01;
/// Fewer latencies say nothing about chance.
const MIN_SAMPLES: usize = 20;
/// Layers that are printed.
const LAYERS: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By more than the threshold, and not by chance.
    Slower,
    /// Not by chance, but by no more than the threshold.
    SlightlySlower,
    /// Chance may explain it.
    NoDifference,
    /// Not by chance.
    Faster,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::SlightlySlower => "slower within the threshold",
            Verdict::NoDifference => "no difference",
            Verdict::Faster => "faster",
        }
    }
}

/// Times of B in relation to those of A.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    pub ratio: f64,
    /// Of the ratio.
    pub interval: [f64; 2],
    pub min_ratio: f64,
    pub verdict: Verdict,
}

impl Comparison {
    /// `threshold`: per cent. Both samples are in order of time.
    pub fn new(a: &[f64], b: &[f64], threshold: f64) -> Comparison {
        let ratio = median(b) / median(a);
        let interval = interval(&block_medians(a), &block_medians(b));
        let verdict = if interval[0] > 1.0 && ratio > 1.0 + threshold / 100.0 {
            Verdict::Slower
        } else if interval[0] > 1.0 {
            Verdict::SlightlySlower
        } else if interval[1] < 1.0 {
            Verdict::Faster
        } else {
            Verdict::NoDifference
        };
        Comparison { ratio, interval, min_ratio: min(b) / min(a), verdict }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 50.0)
}

fn min(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Medians of successive stretches, as equal in length as can be.
fn block_medians(samples: &[f64]) -> Vec<f64> {
    let blocks = BLOCKS.min(samples.len());
    let start = |block: usize| samples.len() * block / blocks;
    (0..blocks).map(|block| median(&samples[start(block)..start(block + 1)])).collect()
}

/// The middle of the ratios that resampled blocks give.
fn interval(a: &[f64], b: &[f64]) -> [f64; 2] {
    let mut random = Random(1);
    let mut drawn = Vec::with_capacity(BLOCKS);
    let mut resampled = |blocks: &[f64]| {
        drawn.clear();
        drawn.extend((0..blocks.len()).map(|_| blocks[random.below(blocks.len())]));
        drawn.sort_by(f64::total_cmp);
        percentile(&drawn, 50.0)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| resampled(b) / resampled(a)).collect();
    ratios.sort_by(f64::total_cmp);
    [50.0 * OUTSIDE, 100.0 - 50.0 * OUTSIDE].map(|p| percentile(&ratios, p))
}

/// Splitmix64 with a fixed seed: the same files give the same verdict.
/// <https://prng.di.unimi.it/splitmix64.c>
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * end as u128) >> 64) as usize
    }
}

/// Two reports with where they come from.
pub struct Pair<'a> {
    pub paths: [&'a Path; 2],
    pub reports: [Report; 2],
}

impl Pair<'_> {
    /// # Errors
    /// Files that are no reports, or too short ones.
    pub fn read(paths: [&Path; 2]) -> Result<Pair<'_>, Failure> {
        let reports = [Report::read(paths[0])?, Report::read(paths[1])?];
        for (path, report) in paths.iter().zip(&reports) {
            let count = report.samples_ms.len();
            if count < MIN_SAMPLES {
                let place = Place::file(path.display().to_string());
                let message = format!("has {count} latencies; a comparison needs {MIN_SAMPLES}");
                return Err(Diagnostic::error(Kind::Usage, place, message)
                    .with_help("measure more --iterations or a longer --duration")
                    .into());
            }
        }
        Ok(Pair { paths, reports })
    }

    pub fn compare(&self, threshold: f64) -> Comparison {
        let [a, b] = &self.reports;
        Comparison::new(&a.samples_ms, &b.samples_ms, threshold)
    }

    /// For people.
    pub fn text(&self, of: &Comparison, threshold: f64) -> String {
        let mut text = String::new();
        for ((letter, path), report) in ["A", "B"].iter().zip(self.paths).zip(&self.reports) {
            let sorted = report.sorted_ms();
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{letter}  {}: {} for {}, {} thread{}; {} inferences, median {:.4} ms, min {:.4} ms",
                path.display(),
                report.model,
                report.cpu,
                report.threads,
                if report.threads == 1 { "" } else { "s" },
                sorted.len(),
                percentile(&sorted, 50.0),
                sorted[0],
            );
        }
        for difference in self.differences() {
            let _ = writeln!(text, "note: {difference}");
        }
        let [low, high] = of.interval;
        let _ = writeln!(
            text,
            "B/A: medians {:.4}, 99 % interval {low:.4} to {high:.4} (block bootstrap); minima {:.4}",
            of.ratio, of.min_ratio
        );
        let _ = writeln!(text, "B is {} (threshold {threshold} %)", self.sentence(of));
        text + &self.layers()
    }

    fn sentence(&self, of: &Comparison) -> String {
        let percent = 100.0 * (of.ratio - 1.0);
        match of.verdict {
            Verdict::Slower => format!("{percent:.2} % slower than A"),
            Verdict::SlightlySlower => format!("{percent:.2} % slower than A, which the threshold allows"),
            Verdict::NoDifference => "as fast as A, as far as these runs can tell".to_owned(),
            Verdict::Faster => format!("{:.2} % faster than A", -percent),
        }
    }

    /// What makes the two no like for like.
    fn differences(&self) -> Vec<String> {
        let [a, b] = &self.reports;
        let rows = [
            ("models", a.model_hash.clone(), b.model_hash.clone()),
            ("numbers of threads", a.threads.to_string(), b.threads.to_string()),
            ("CPUs compiled for", a.cpu.clone(), b.cpu.clone()),
            ("compilers", a.compiler.clone(), b.compiler.clone()),
        ];
        let differ = rows.iter().filter(|(_, a, b)| a != b);
        differ.map(|(what, a, b)| format!("different {what}: {a} and {b}")).collect()
    }

    /// The layers whose time changed most, if both reports have a profile.
    fn layers(&self) -> String {
        let [a, b] = &self.reports;
        if a.layers.is_empty() || b.layers.is_empty() {
            return String::new();
        }
        let total = |report: &Report, name: &str| -> f64 {
            report.layers.iter().filter(|layer| layer.name == name).map(|layer| layer.ms).sum()
        };
        let mut names: Vec<&str> = a.layers.iter().chain(&b.layers).map(|layer| layer.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut rows: Vec<(&str, f64, f64)> =
            names.iter().map(|name| (*name, total(a, name), total(b, name))).collect();
        rows.sort_by(|x, y| f64::total_cmp(&(y.2 - y.1).abs(), &(x.2 - x.1).abs()));
        rows.truncate(LAYERS);
        let cells = rows.iter().map(|(name, a, b)| {
            vec![(*name).to_owned(), format!("{a:.4}"), format!("{b:.4}"), format!("{:+.4}", b - a)]
        });
        let header = [("layer", Align::Left), ("A ms", Align::Right), ("B ms", Align::Right), ("B-A ms", Align::Right)];
        format!("\nlayers that changed most:\n{}", table(&header, &cells.collect::<Vec<_>>()))
    }

    /// For programs.
    pub fn json(&self, of: &Comparison, threshold: f64) -> String {
        let files = self.paths.map(|path| path.display().to_string());
        let value = json!({
            "a": files[0],
            "b": files[1],
            "ratio_median": of.ratio,
            "ratio_median_interval": of.interval,
            "confidence": 1.0 - OUTSIDE,
            "ratio_min": of.min_ratio,
            "threshold_percent": threshold,
            "verdict": of.verdict.name(),
            "differences": self.differences(),
        });
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latencies of about `centre` ms that spread by `spread` of it, in stretches that are slower together, as on a machine
    /// with neighbours.
    fn samples(seed: u64, centre: f64, spread: f64, count: usize) -> Vec<f64> {
        let mut random = Random(seed);
        let mut unit = || random.below(1 << 20) as f64 / f64::from(1 << 20);
        let mut stretch = 0.0;
        (0..count)
            .map(|index| {
                if index % 37 == 0 {
                    stretch = unit();
                }
                let outlier = if unit() > 0.99 { 1.0 } else { 0.0 };
                centre * (1.0 + spread * (stretch + unit()) / 2.0 + outlier)
            })
            .collect()
    }

    #[test]
    fn verdicts() {
        use Verdict::{Faster, NoDifference, SlightlySlower, Slower};
        let a = samples(11, 1.0, 0.02, 2000);
        for (centre, threshold, verdict) in [
            (1.10, 3.0, Slower),
            (1.05, 3.0, Slower),
            (1.05, 10.0, SlightlySlower),
            (1.02, 3.0, SlightlySlower),
            (0.95, 3.0, Faster),
            (0.50, 0.0, Faster),
        ] {
            let found = Comparison::new(&a, &samples(12, centre, 0.02, 2000), threshold);
            assert_eq!(found.verdict, verdict, "{centre}, {threshold}: {found:?}");
        }
        assert_eq!(Comparison::new(&a, &a, 0.0).verdict, NoDifference);
    }

    /// Runs of the same code that drift: an interval of 99 % may miss once in a hundred times.
    #[test]
    fn equal_runs_are_seldom_called_different() {
        let different = (0..200).filter(|run| {
            let [a, b] = [2 * run + 1, 2 * run + 2].map(|seed| samples(seed, 1.0, 0.1, 900));
            Comparison::new(&a, &b, 0.0).verdict != Verdict::NoDifference
        });
        let count = different.count();
        assert!(count <= 8, "{count} of 200");
    }

    #[test]
    fn a_tail_does_not_make_a_regression() {
        let a = samples(1, 1.0, 0.02, 1000);
        let mut b = samples(2, 1.0, 0.02, 1000);
        b.iter_mut().step_by(10).for_each(|sample| *sample *= 5.0);
        assert_ne!(Comparison::new(&a, &b, 1.0).verdict, Verdict::Slower);
    }

    #[test]
    fn the_same_samples_give_the_same_interval() {
        let [a, b] = [1, 2].map(|seed| samples(seed, 1.0, 0.05, 333));
        assert_eq!(Comparison::new(&a, &b, 1.0), Comparison::new(&a, &b, 1.0));
    }

    #[test]
    fn blocks_cover_all_samples() {
        let samples: Vec<f64> = (0..103).map(f64::from).collect();
        let blocks = block_medians(&samples);
        assert_eq!((blocks.len(), blocks[0], blocks[24]), (25, 1.0, 100.0));
        assert_eq!(block_medians(&samples[..7]), samples[..7]);
    }
}
