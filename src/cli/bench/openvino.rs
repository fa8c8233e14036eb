//! A report in the words of OpenVINO's `benchmark_app`: what it prints, and the files of `-report_type`.
//!
//! File names, columns and keys are those of benchmark_app 2026.4, so that scripts find what they look for. Different on
//! purpose: numbers in JSON are numbers, names are never cut, every layer is in every report, and `original names`,
//! `precision`, `macs` and the peak stand behind the usual columns.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{Counters, OpenVinoArgs, Order};
use super::report::{Layer, Report, percentile};
use crate::cli::artifacts::write_file;
use crate::cli::failure::Failure;

/// What is told besides the program's own measurements.
pub struct Run<'a> {
    pub report: &'a Report,
    /// Milliseconds from the model's file to a program.
    pub compile_ms: f64,
    /// Frames of one inference.
    pub batch: u32,
    pub args: &'a OpenVinoArgs,
    /// The command line's flags and values.
    pub command_line: &'a [(String, String)],
}

impl Run<'_> {
    /// What benchmark_app prints at its end, and before it the counters if there are any.
    pub fn text(&self) -> String {
        let sorted = self.report.sorted_ms();
        let p = self.args.latency_percentile;
        let percentile_title = if p == 50 { "Median:    ".to_owned() } else { format!("{p} percentile: ") };
        let mut text = String::new();
        if !self.report.layers.is_empty() {
            text += &self.counters();
        }
        let mut info = |line: String| text += &format!("[ INFO ] {line}\n");
        info(format!("Compile model took {:.2} ms", self.compile_ms));
        info(format!("First inference took {:.2} ms", self.report.first_ms));
        info("Execution Devices:['CPU']".to_owned());
        info(format!("Count:            {} iterations", sorted.len()));
        info(format!("Duration:         {:.2} ms", self.report.elapsed_ms));
        info("Latency:".to_owned());
        for (title, ms) in [
            (percentile_title.as_str(), percentile(&sorted, f64::from(p))),
            ("Average:   ", self.report.mean_ms()),
            ("Min:       ", sorted[0]),
            ("Max:       ", sorted[sorted.len() - 1]),
        ] {
            info(format!("   {title}    {} ms", Milliseconds(ms)));
        }
        info(format!("Throughput:   {:.2} FPS", self.frames_per_s()));
        text
    }

    fn frames_per_s(&self) -> f64 {
        self.report.throughput_per_s * f64::from(self.batch)
    }

    fn counters(&self) -> String {
        let mut layers: Vec<&Layer> = self.report.layers.iter().collect();
        if matches!(self.args.pcsort, Some(Order::Slowest | Order::SlowestThatRan)) {
            layers.sort_by(|a, b| f64::total_cmp(&b.ms, &a.ms));
        }
        let width = |of: fn(&Layer) -> &str| layers.iter().map(|layer| of(layer).chars().count()).max().unwrap_or(0);
        let (name, kind, exec) = (width(|l| &l.name), width(|l| &l.layer_type), width(|l| &l.exec_type));
        let mut text = "[ INFO ] Performance counts for 0-th infer request\n".to_owned();
        for layer in &layers {
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{:<name$} Status.EXECUTED      layerType: {:<kind$} execType: {:<exec$} realTime (ms): {:<10.3} cpuTime \
                 (ms): {:<10.3} proportion: {:.2}%",
                layer.name,
                layer.layer_type,
                layer.exec_type,
                layer.ms,
                layer.ms,
                100.0 * layer.share,
            );
        }
        let total = self.report.layers_ms();
        text + &format!("Total time:     {total:.3} milliseconds\nTotal CPU time: {total:.3} milliseconds\n\n")
    }

    /// Writes the files of `-report_type`; returns their paths.
    pub fn write_reports(&self) -> Result<Vec<PathBuf>, Failure> {
        let Some(kind) = self.args.report_type else { return Ok(Vec::new()) };
        let folder = self.args.report_folder.as_deref().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| Failure::io(folder, "be created", &error))?;
        let counters = match kind {
            Counters::No => None,
            Counters::Average => Some("average_counters"),
            Counters::Detailed => Some("detailed_counters"),
        };
        let extension = if self.args.json_stats { "json" } else { "csv" };
        let mut files = vec![(format!("benchmark_report.{extension}"), self.statistics())];
        if let Some(counters) = counters {
            files.push((format!("benchmark_{counters}_report.{extension}"), self.layers(counters)));
        }
        if self.args.pcsort.is_some() && counters.is_some() {
            files.push(("benchmark_sorted_report.csv".to_owned(), self.sorted_layers()));
        }
        let write = |(name, text): (String, String)| {
            let path = folder.join(name);
            write_file(&path, text.as_bytes()).map(|()| path)
        };
        files.into_iter().map(write).collect()
    }

    /// Keys and values of `benchmark_report`, by section.
    fn sections(&self) -> [(&'static str, &'static str, Vec<(String, Value)>); 3] {
        let report = self.report;
        let sorted = report.sorted_ms();
        let latency = percentile(&sorted, f64::from(self.args.latency_percentile));
        let latency_key = match self.args.latency_percentile {
            50 => "latency (ms)".to_owned(),
            p => format!("latency ({p} percentile) (ms)"),
        };
        let own = |(key, value): (&str, Value)| (key.to_owned(), value);
        let command_line = self.command_line.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        let setup = [
            ("topology", Value::from(report.model.as_str())),
            ("target device", Value::from("CPU")),
            ("API", Value::from("sync")),
            ("precision", Value::from("UNSPECIFIED")),
            ("batch size", Value::from(self.batch)),
            ("number of parallel infer requests", Value::from(1)),
            ("number of CPU streams", Value::from(1)),
            ("number of threads", Value::from(report.threads)),
            ("compiled for", Value::from(report.cpu.as_str())),
            ("compiler", Value::from(report.compiler.as_str())),
        ];
        let results = [
            ("compile model time (ms)".to_owned(), rounded(self.compile_ms)),
            ("first inference time (ms)".to_owned(), rounded(report.first_ms)),
            ("total execution time (ms)".to_owned(), rounded(report.elapsed_ms)),
            ("total number of iterations".to_owned(), Value::from(sorted.len())),
            (latency_key, rounded(latency)),
            ("avg latency".to_owned(), rounded(report.mean_ms())),
            ("min latency".to_owned(), rounded(sorted[0])),
            ("max latency".to_owned(), rounded(sorted[sorted.len() - 1])),
            ("throughput".to_owned(), rounded(self.frames_per_s())),
        ];
        [
            ("Command line parameters", "cmd_options", command_line.collect()),
            ("Configuration setup", "configuration_setup", setup.map(own).into()),
            ("Execution results", "execution_results", results.into()),
        ]
    }

    fn statistics(&self) -> String {
        if self.args.json_stats {
            let sections =
                self.sections().map(|(_, key, rows)| (key.to_owned(), Value::Object(rows.into_iter().collect())));
            return format!("{}\n", Value::Object(sections.into_iter().collect()));
        }
        let mut text = String::new();
        for (title, _, rows) in self.sections() {
            text += &format!("{title}\n");
            for (key, value) in rows {
                text += &format!("{key};{}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            text.push('\n');
        }
        text
    }

    fn layers(&self, counters: &str) -> String {
        let (layers, total) = (&self.report.layers, self.report.layers_ms());
        if !self.args.json_stats {
            let mut text = "layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms);originalLayersNames;precision;macs;GMAC/s;peak (%)\n".to_owned();
            for layer in layers {
                let peak = layer.peak_share.map(|share| format!("{:.1}", 100.0 * share)).unwrap_or_default();
                // Writing to a String does not fail.
                let _ = writeln!(
                    text,
                    "{};Status.EXECUTED;{};{};{:.3};{:.3};{};{};{};{};{peak}",
                    layer.name,
                    layer.layer_type,
                    layer.exec_type,
                    layer.ms,
                    layer.ms,
                    layer.original_names,
                    layer.precision,
                    layer.macs,
                    layer.gmac_per_s,
                );
            }
            return text + &format!("Total;;;;{total:.3};{total:.3};;;;;\n\n");
        }
        let nodes: Vec<Value> = layers.iter().map(node).collect();
        let performance = json!({ "nodes": nodes, "total_real_time": total, "total_cpu_time": total });
        let value = match counters {
            "average_counters" => json!({ "report_type": "average", "avg_performance": performance }),
            _ => json!({ "report_type": "detailed", "detailed_performance": [performance] }),
        };
        format!("{value}\n")
    }

    fn sorted_layers(&self) -> String {
        let mut layers: Vec<&Layer> = self.report.layers.iter().collect();
        if self.args.pcsort != Some(Order::Execution) {
            layers.sort_by(|a, b| f64::total_cmp(&b.ms, &a.ms));
        }
        let mut text = "layerName,execStatus,layerType,execType,realTime (ms),cpuTime (ms),proportion (%)\n".to_owned();
        for Layer { name, layer_type, exec_type, ms, share, .. } in layers {
            let name = name.replace('"', "\"\"");
            let share = 100.0 * share;
            let row = format!("\"{name}\",Status.EXECUTED,{layer_type},{exec_type},{ms:.3},{ms:.3},{share:.2}%\n");
            text += &row;
        }
        let total = self.report.layers_ms();
        text + &format!("\nTotal time: {total:.2} milliseconds\nTotal CPU time: {total:.2} milliseconds\n")
    }
}

/// Real time and CPU time are the same: a step has all threads or one, and nothing waits in it.
fn node(layer: &Layer) -> Value {
    json!({
        "name": layer.name,
        "node_type": layer.layer_type,
        "status": "Status.EXECUTED",
        "real_time": layer.ms,
        "cpu_time": layer.ms,
        "exec_type": layer.exec_type,
        "original_names": layer.original_names,
        "precision": layer.precision,
        "macs": layer.macs,
        "gmac_per_s": layer.gmac_per_s,
        "peak_share": layer.peak_share,
    })
}

fn rounded(value: f64) -> Value {
    Value::from((1e4 * value).round() / 1e4)
}

/// As many places as a latency needs: fast models take microseconds.
struct Milliseconds(f64);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < 1.0 { write!(f, "{:.4}", self.0) } else { write!(f, "{:.2}", self.0) }
    }
}
