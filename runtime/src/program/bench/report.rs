//! What `bench` measured, as text and as JSON; `docs/benchmarking.md` says what each number means.

use alloc::format;
use alloc::string::String;

use super::Report;
use crate::program::decimal::Decimal;
use crate::program::json;

/// Version of the JSON; members may be added without a new one.
const SCHEMA: u32 = 1;

impl Report<'_> {
    /// Inferences per second.
    fn throughput(&self) -> Decimal {
        Decimal::ratio((self.samples.len() as u64).saturating_mul(1_000_000_000), self.elapsed_ns, 2)
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} iterations, {} warm-up, {} thread{}\n",
            self.model.name,
            self.samples.len(),
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

    pub fn json(&self) -> String {
        json::document(|root| {
            root.number("schema", SCHEMA);
            root.string("model", &self.model.name);
            root.string("model_hash", &self.model.hash);
            root.string("compiler", &self.model.compiler);
            root.string("cpu", &self.model.cpu_name);
            root.number("threads", self.threads);
            root.number("warmup", self.warmup);
            root.number("iterations", self.samples.len());
            root.number("elapsed_ms", Decimal::milliseconds(self.elapsed_ns));
            root.number("first_inference_ms", Decimal::milliseconds(self.first_ns));
            root.object("latency_ms", |latency| self.latency_json(latency));
            root.number("throughput_per_s", self.throughput());
            match &self.profile {
                Some(profile) => profile.json(root),
                None => root.array("layers", |_| {}),
            }
            root.array("samples_ns", |samples| {
                for sample in &self.samples {
                    samples.number(sample);
                }
            });
        })
    }

    fn latency_json(&self, latency: &mut json::Object<'_>) {
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
    }
}
