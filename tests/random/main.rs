//! Random quantized networks through the whole compiler, see [`stages`].
//!
//! A short run is part of `cargo test`. A long one takes a range of seeds, and is meant for release builds:
//!
//! ```text
//! OCTET_RANDOM=0..20000 cargo test --release --test random -- --nocapture
//! ```
//!
//! A graph that fails is made smaller as long as it fails in the same stage, and written to the test's directory for temporary
//! files. Moved to `tests/random/regressions`, it is replayed by every run, on every kind of sample and at every width.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "../common/executable.rs"]
mod executable;
mod graphs;
mod layers;
mod net;
mod program;
mod quantizers;
mod rng;
mod sequences;
mod stages;
mod windows;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use octet::ir::{Graph, file};
use octet::passes::PIPELINE;
use octet::passes::manager::{self, Options};
use octet::passes::meaning::shrink;

use graphs::random_graph;
use stages::{Effort, Failure, check, check_passes, threads_agree};

/// Seeds of the short run: seconds in a debug build.
const SHORT: Range<u64> = 0..30;

/// In the short run, one graph in so many is also compiled to machine code: in debug builds compiling is slow.
const MACHINE_CODE_STEP: u64 = 4;

/// So many failing graphs are made smaller.
const SHRUNK: usize = 4;

fn long_run() -> Option<Range<u64>> {
    let text = std::env::var("OCTET_RANDOM").ok()?;
    let (from, to) = text.split_once("..").expect("OCTET_RANDOM is a range of seeds: 0..20000");
    Some(from.parse().expect("the first seed")..to.parse().expect("the seed to stop before"))
}

#[test]
fn random_graphs_keep_their_meaning() {
    let long = long_run();
    let seeds = long.clone().unwrap_or(SHORT);
    let effort = |seed: u64| Effort {
        everything: false,
        machine_code: long.is_some() || seed.is_multiple_of(MACHINE_CODE_STEP),
    };
    let begin = Instant::now();
    let failures = run_all(seeds.clone(), effort);
    println!("{seeds:?}: {} failures, {:.0} s", failures.len(), begin.elapsed().as_secs_f64());
    let reports: Vec<String> = failures.iter().take(SHRUNK).map(|(seed, failure)| report(*seed, failure)).collect();
    assert!(
        failures.is_empty(),
        "{} of {} graphs failed: seeds {:?}\n{}",
        failures.len(),
        seeds.end - seeds.start,
        failures.iter().map(|(seed, _)| seed).collect::<Vec<_>>(),
        reports.join("\n")
    );
}

/// Failures in the order of their seeds.
fn run_all(seeds: Range<u64>, effort: impl Fn(u64) -> Effort + Sync) -> Vec<(u64, Failure)> {
    let next = AtomicU64::new(seeds.start);
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Err(failure) = check(&random_graph(seed), seed, effort(seed)) {
                println!("seed {seed}: {failure}");
                failures.lock().unwrap().push((seed, failure));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|(seed, _)| *seed);
    failures
}

/// The failure with a small graph that shows it, and how to see it again.
fn report(seed: u64, failure: &Failure) -> String {
    let effort = Effort { everything: false, machine_code: true };
    let small = shrink(&random_graph(seed), &mut |graph: &Graph| {
        check(graph, seed, effort).is_err_and(|found| found.stage == failure.stage)
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("random-{seed}.oir"));
    let message = check(&small, seed, effort).err().map(|failure| failure.message).unwrap_or_default();
    file::write(&small, &path).unwrap_or_else(|errors| panic!("{errors}"));
    format!(
        "seed {seed}: {failure}\nagain: OCTET_RANDOM={seed}..{} cargo test --release --test random\n{}: {message}\n{}",
        seed + 1,
        path.display(),
        fs::read_to_string(&path).unwrap_or_default()
    )
}

/// Passes are fast: more graphs, each on every kind of sample.
#[test]
fn passes_keep_the_meaning_of_many_graphs() {
    let seeds = long_run().unwrap_or(0..200);
    let failures: Vec<String> = seeds
        .filter_map(|seed| {
            check_passes(&random_graph(seed), seed).err().map(|failure| format!("seed {seed}: {failure}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} graphs failed\n{}", failures.len(), failures.join("\n"));
}

/// `--verify-passes` finds nothing to say.
#[test]
fn every_pass_keeps_the_meaning() {
    let seeds = long_run().map_or(0..8, |range| range.start..range.start + (range.end - range.start) / 10);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-passes");
    let options = Options { verify_meaning: true, dump_dir: Some(directory), ..Options::default() };
    for seed in seeds {
        let mut graph = random_graph(seed);
        let report = manager::run(&mut graph, PIPELINE, &options, &mut std::io::sink());
        assert!(report.is_ok(), "seed {seed}: {}", report.unwrap_err());
    }
}

/// Networks with steps of several items, shared however short they are.
#[test]
fn outputs_are_the_same_for_every_number_of_threads() {
    let wanted = if long_run().is_some() { 100 } else { 3 };
    let agree = |seed: &u64| {
        threads_agree(&random_graph(*seed), *seed).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"))
    };
    assert_eq!((0..).filter(agree).take(wanted).count(), wanted);
}

#[test]
fn regressions_stay_fixed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/random/regressions");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "oir"));
    paths.sort();
    let mut problems = Vec::new();
    for path in paths {
        let graph = file::read(&path).unwrap_or_else(|errors| panic!("{errors}")).graph;
        if let Err(failure) = check(&graph, 0, Effort { everything: true, machine_code: true }) {
            problems.push(format!("{}: {failure}", path.display()));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
