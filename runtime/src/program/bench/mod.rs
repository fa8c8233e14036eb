//! `bench`: how fast the model is on this machine.
//!
//! The first inference is measured by itself; then come the warm-up and the measured inferences. With `--profile` some more
//! follow whose layers are timed, and loops that measure what the machine can do at best ([`crate::peak`]): both would
//! disturb the latencies, so the latencies are the same with and without a profile.
//!
//! This program measures and writes what it measured, as text, JSON and CSV. What needs more code than that (pages,
//! comparisons, reports in OpenVINO's form) is made of the JSON by `octet bench`, so that programs stay small.

mod profile;
mod report;
mod stretches;

use alloc::vec::Vec;

use super::Process;
use super::args::BenchOptions;
use super::error::Failure;
use super::io;
use super::model::Model;
use super::session::Session;
use super::stats::Summary;
use super::tensors;
use crate::clock::now_ns;
use profile::Profile;

/// Measured inferences are kept one by one, so their number has a limit; it only matters below some microseconds each.
const MAX_SAMPLES: u64 = 1 << 20;
/// Without `--warmup`, inferences go on until caches, clock and power of the CPU have had time to settle, and at least this
/// often.
const WARMUP_INFERENCES: u64 = 10;
const WARMUP_NS: u64 = 100_000_000;

/// What was measured; times in nanoseconds.
struct Report<'a> {
    model: &'a Model,
    threads: usize,
    warmup: u64,
    /// Time of the measured inferences together.
    elapsed_ns: u64,
    first_ns: u64,
    /// Each inference, in order.
    samples: Vec<u64>,
    latency: Summary,
    /// With `--profile`.
    profile: Option<Profile<'a>>,
}

pub fn bench(model: &Model, process: &Process, options: &BenchOptions) -> Result<(), Failure> {
    let inputs = tensors::fill_inputs(&model.inputs, &options.inputs)?;
    let mut session = Session::new(model, process, inputs, options.threads())?;
    let report = measure(model, &mut session, options)?;
    io::out(&report.text())?;
    if let Some(path) = &options.json {
        io::write(path, &[report.json().as_bytes()])?;
    }
    match (&options.csv, &report.profile) {
        (Some(path), Some(profile)) => io::write(path, &[profile.csv().as_bytes()]),
        _ => Ok(()),
    }
}

fn measure<'a>(model: &'a Model, session: &mut Session<'a>, options: &BenchOptions) -> Result<Report<'a>, Failure> {
    let first_ns = timed(session)?;
    let warmup = warm_up(session, options.warmup)?;
    let (duration_ns, iterations) = options.limits();
    let mut samples = Vec::new();
    let begin = now_ns();
    let mut elapsed_ns = 0;
    while (samples.len() as u64) < iterations.min(MAX_SAMPLES) && elapsed_ns < duration_ns {
        samples.push(timed(session)?);
        elapsed_ns = now_ns() - begin;
    }
    let latency = Summary::of(samples.clone()).ok_or_else(|| Failure::internal("nothing was measured"))?;
    let profile = if options.profile() { Some(Profile::measure(model, session, samples.len() as u64)?) } else { None };
    Ok(Report { model, threads: session.threads(), warmup, elapsed_ns, first_ns, samples, latency, profile })
}

/// `count` inferences, or as many as a CPU needs to settle; returns how many it were.
fn warm_up(session: &mut Session<'_>, count: Option<u64>) -> Result<u64, Failure> {
    let begin = now_ns();
    let mut done = 0;
    let settled = |done: u64| done >= WARMUP_INFERENCES && now_ns() - begin >= WARMUP_NS;
    while count.map_or_else(|| !settled(done), |count| done < count) {
        session.infer()?;
        done += 1;
    }
    Ok(done)
}

fn timed(session: &mut Session<'_>) -> Result<u64, Failure> {
    let begin = now_ns();
    session.infer()?;
    Ok(now_ns() - begin)
}
