//! `bench`: how fast the model is on this machine.
//!
//! The first inference is measured by itself; then come the warm-up, the measured inferences, and with `--profile` some
//! more whose layers are timed: asking the clock between layers would disturb the latencies.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Process;
use super::args::BenchOptions;
use super::decimal::Decimal;
use super::error::Failure;
use super::io;
use super::json;
use super::model::{Layer, Model};
use super::session::Session;
use super::stats::Summary;
use super::table::{self, Align, Column};
use super::tensors;
use crate::clock::now_ns;

/// Measured inferences are kept one by one, so their number has a limit; it only matters below some microseconds each.
const MAX_SAMPLES: u64 = 1 << 20;
/// Profiled inferences, unless fewer were measured.
const MAX_PROFILED: u64 = 100;

/// What was measured; times in nanoseconds.
struct Report<'a> {
    model: &'a Model,
    threads: usize,
    warmup: u64,
    iterations: u64,
    /// Time of the measured inferences together.
    elapsed_ns: u64,
    first_ns: u64,
    latency: Summary,
    /// With `--profile`.
    profile: Option<Profile<'a>>,
}

/// Average time of each layer.
struct Profile<'a> {
    rows: Vec<(&'a Layer, u64)>,
    total_ns: u64,
}

pub fn bench(model: &Model, process: &Process, options: &BenchOptions) -> Result<(), Failure> {
    let inputs = tensors::fill_inputs(&model.inputs, &options.inputs)?;
    let mut session = Session::new(model, process, inputs, options.threads())?;
    let report = measure(model, &mut session, options)?;
    io::out(&report.text())?;
    match &options.json {
        Some(path) => io::write(path, &[report.json().as_bytes()]),
        None => Ok(()),
    }
}

fn measure<'a>(model: &'a Model, session: &mut Session<'a>, options: &BenchOptions) -> Result<Report<'a>, Failure> {
    let first_ns = timed(session)?;
    for _ in 0..options.warmup() {
        session.infer()?;
    }
    let (duration_ns, iterations) = options.limits();
    let mut samples = Vec::new();
    let begin = now_ns();
    let mut elapsed_ns = 0;
    while (samples.len() as u64) < iterations.min(MAX_SAMPLES) && elapsed_ns < duration_ns {
        samples.push(timed(session)?);
        elapsed_ns = now_ns() - begin;
    }
    let iterations = samples.len() as u64;
    let latency = Summary::of(samples).ok_or_else(|| Failure::internal("nothing was measured"))?;
    let profile = if options.profile { Some(profile(model, session, iterations.min(MAX_PROFILED))?) } else { None };
    let (threads, warmup) = (session.threads(), options.warmup());
    Ok(Report { model, threads, warmup, iterations, elapsed_ns, first_ns, latency, profile })
}

fn timed(session: &mut Session<'_>) -> Result<u64, Failure> {
    let begin = now_ns();
    session.infer()?;
    Ok(now_ns() - begin)
}

fn profile<'a>(model: &'a Model, session: &mut Session<'a>, count: u64) -> Result<Profile<'a>, Failure> {
    for _ in 0..count {
        session.infer_profiled()?;
    }
    let averages = session.layer_ns().iter().map(|ns| ns / count.max(1));
    let rows: Vec<_> = model.layers.iter().zip(averages).collect();
    let total_ns = rows.iter().map(|(_, ns)| ns).sum();
    Ok(Profile { rows, total_ns })
}

impl Report<'_> {
    /// Inferences per second.
    fn throughput(&self) -> Decimal {
        Decimal::ratio(self.iterations.saturating_mul(1_000_000_000), self.elapsed_ns, 2)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: {} iterations, {} warm-up, {} thread{}\n",
            self.model.name,
            self.iterations,
            self.warmup,
            self.threads,
            if self.threads == 1 { "" } else { "s" }
        );
        let mut row = |key: &str, ns: u64| text += &format!("{key:<16}{:12} ms\n", Decimal::milliseconds(ns).round(4));
        row("first inference", self.first_ns);
        row("min", self.latency.min);
        row("median", self.latency.median);
        row("mean", self.latency.mean);
        row("p90", self.latency.p90);
        row("p99", self.latency.p99);
        text += &format!("{:<16}{:12} inferences/s\n", "throughput", self.throughput());
        if let Some(profile) = &self.profile {
            text.push('\n');
            text += &profile.text();
        }
        text
    }

    fn json(&self) -> String {
        json::document(|root| {
            root.string("model", &self.model.name);
            root.string("model_hash", &self.model.hash);
            root.string("compiler", &self.model.compiler);
            root.string("cpu", &self.model.cpu_name);
            root.number("threads", self.threads);
            root.number("warmup", self.warmup);
            root.number("iterations", self.iterations);
            root.number("first_inference_ms", Decimal::milliseconds(self.first_ns));
            root.object("latency_ms", |latency| {
                for (key, ns) in [
                    ("min", self.latency.min),
                    ("median", self.latency.median),
                    ("mean", self.latency.mean),
                    ("p90", self.latency.p90),
                    ("p95", self.latency.p95),
                    ("p99", self.latency.p99),
                    ("max", self.latency.max),
                ] {
                    latency.number(key, Decimal::milliseconds(ns));
                }
            });
            root.number("throughput_per_s", self.throughput());
            root.array("layers", |layers| {
                for (layer, ns) in self.profile.iter().flat_map(|profile| &profile.rows) {
                    layers.object(|object| layer_json(object, layer, *ns, self.profile.as_ref()));
                }
            });
        })
    }
}

fn layer_json(object: &mut json::Object<'_>, layer: &Layer, ns: u64, profile: Option<&Profile<'_>>) {
    let total_ns = profile.map_or(0, |profile| profile.total_ns);
    object.string("name", &layer.name);
    object.string("original_names", &layer.original_names);
    object.string("status", EXECUTED);
    object.string("layer_type", &layer.layer_type);
    object.string("exec_type", &layer.exec_type);
    object.string("precision", &layer.precision);
    object.number("real_time_ms", Decimal::milliseconds(ns));
    object.number("macs", layer.macs);
    object.number("gmac_per_s", gmac_per_s(layer.macs, ns));
    object.number("share", Decimal::ratio(ns, total_ns, 4));
}

/// OpenVINO's word for a layer that ran; there are no others here, since the rest is compiled away.
const EXECUTED: &str = "EXECUTED";

/// Multiply-accumulates per nanosecond are 10^9 per second.
fn gmac_per_s(macs: u64, ns: u64) -> Decimal {
    Decimal::ratio(macs, ns, 2)
}

impl Profile<'_> {
    fn text(&self) -> String {
        let left = |title, cell: &dyn Fn(&Layer) -> String, total: &str| {
            let cells = self.rows.iter().map(|(layer, _)| cell(layer));
            Column::new(title, Align::Left, cells.chain([total.to_string()]))
        };
        let right = |title, cell: &dyn Fn(u64, u64) -> String| {
            let macs = self.rows.iter().fold(0u64, |sum, (layer, _)| sum.saturating_add(layer.macs));
            let cells = self.rows.iter().map(|(layer, ns)| cell(layer.macs, *ns));
            Column::new(title, Align::Right, cells.chain([cell(macs, self.total_ns)]))
        };
        table::render(&[
            left("name", &|layer| layer.name.to_string(), "total"),
            left("status", &|_| EXECUTED.to_string(), ""),
            left("layer type", &|layer| layer.layer_type.to_string(), ""),
            left("exec type", &|layer| layer.exec_type.to_string(), ""),
            left("precision", &|layer| layer.precision.to_string(), ""),
            right("real time ms", &|_, ns| Decimal::milliseconds(ns).round(4).to_string()),
            right("MACs", &|macs, _| macs.to_string()),
            right("GMAC/s", &|macs, ns| gmac_per_s(macs, ns).to_string()),
            right("share %", &|_, ns| Decimal::ratio(ns.saturating_mul(100), self.total_ns, 1).to_string()),
        ])
    }
}
