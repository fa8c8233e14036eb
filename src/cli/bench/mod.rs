//! `bench`: compile to a temporary place, let the program measure itself, and make of its numbers what was asked for.
//!
//! ```text
//! benchmark_app   command lines of OpenVINO's tool become octet's own
//! args            octet's own
//! report          the JSON that the program writes (runtime/src/program/bench)
//! page            --html: distribution of the latencies, layers
//! openvino        what benchmark_app prints, and its report files
//! compare         --compare: two files of JSON
//! ```
//!
//! The program prints text, JSON and CSV itself, so that `PROGRAM bench` and `octet bench` say the same; all that needs more
//! code is here, so that programs stay small.

pub mod args;
pub mod benchmark_app;
mod compare;
mod openvino;
mod page;
pub mod report;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use octet::diag::{Diagnostic, Kind, Place};

use super::artifacts::write_file;
use super::failure::{Failure, print};
use super::native::{self, Line};
use super::temp::TempDir;
use args::{BenchArgs, Counters};
use compare::{Pair, Verdict};
use report::Report;

pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    if let Some([a, b]) = args.compare.as_deref() {
        return compare([a, b], args);
    }
    let wants_report =
        args.html.is_some() || args.like_openvino.report_type.is_some() || args.like_openvino.benchmark_app;
    // Only a report that nobody asked to keep needs a place of its own.
    let folder = if wants_report && args.json.is_none() { Some(TempDir::new()?) } else { None };
    let kept = folder.as_ref().map(|folder| folder.path().join("report.json"));
    let json = args.json.clone().or(kept);
    let output = if args.like_openvino.benchmark_app { Stdio::null() } else { Stdio::inherit() };
    let compile_time = native::execute(&args.model, &line(args, json.as_deref()), output)?;
    let Some(json) = json.filter(|_| wants_report) else { return Ok(()) };
    let report = Report::read(&json)?;
    if let Some(path) = &args.html {
        write_file(path, page::html(&report).as_bytes())?;
    }
    let like_openvino = openvino::Run {
        report: &report,
        compile_ms: 1e3 * compile_time.as_secs_f64(),
        batch: args.model.shapes.batch.unwrap_or(1),
        args: &args.like_openvino,
        command_line: &flags_and_values(env::args().skip(2)),
    };
    let files = like_openvino.write_reports()?;
    if !args.like_openvino.benchmark_app {
        return Ok(());
    }
    let written = files.iter().map(|path| format!("[ INFO ] Report is stored to {}\n", path.display()));
    print(&(written.collect::<String>() + &like_openvino.text()))
}

/// The program's command line.
fn line(args: &BenchArgs, json: Option<&Path>) -> Line {
    let counters = [Some(Counters::Average), Some(Counters::Detailed)];
    let like_openvino = &args.like_openvino;
    let profile = args.profile
        || args.html.is_some()
        || like_openvino.pcsort.is_some()
        || counters.contains(&like_openvino.report_type);
    let path = |path: &Path| path.display().to_string();
    let mut line = Line::new("bench");
    line.each("--input", &args.inputs);
    line.option("--threads", &args.threads);
    line.option("--duration", &args.duration);
    line.option("--iterations", &args.iterations);
    line.option("--warmup", &args.warmup);
    line.flag("--profile", profile);
    line.option("--json", &json.map(path));
    line.option("--csv", &args.csv.as_deref().map(path));
    line
}

/// A command line as benchmark_app reports it: each flag with the value behind it.
fn flags_and_values(words: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for word in words {
        match (word.split_once('='), pairs.last_mut()) {
            (Some((name, value)), _) if word.starts_with('-') => pairs.push((name.to_owned(), value.to_owned())),
            (_, Some((_, value))) if !word.starts_with('-') && value.is_empty() => *value = word,
            _ => pairs.push((word, String::new())),
        }
    }
    pairs
}

fn compare([a, b]: [&PathBuf; 2], args: &BenchArgs) -> Result<(), Failure> {
    let pair = Pair::read([a, b])?;
    let comparison = pair.compare(args.threshold);
    print(&pair.text(&comparison, args.threshold))?;
    if let Some(path) = &args.json {
        write_file(path, pair.json(&comparison, args.threshold).as_bytes())?;
    }
    match comparison.verdict {
        Verdict::Slower => {
            let message = format!("more than {} % slower than {}", args.threshold, a.display());
            Err(Diagnostic::error(Kind::Threshold, Place::file(b.display().to_string()), message)
                .with_help("if nothing but the machine's mood can be the cause, measure both again, in turn and longer")
                .into())
        }
        Verdict::SlightlySlower | Verdict::NoDifference | Verdict::Faster => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_value_behind_them() {
        let words = "-m a.xml -pc -niter=5 -t 1 --cpu x".split(' ').map(str::to_owned);
        let pairs = flags_and_values(words);
        let expected = [("-m", "a.xml"), ("-pc", ""), ("-niter", "5"), ("-t", "1"), ("--cpu", "x")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
