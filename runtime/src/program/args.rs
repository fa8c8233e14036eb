//! The command line: what it may say and what it means. Parsing needs no model; names of tensors are resolved later.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::decimal::Decimal;
use super::error::Failure;
use super::model::{Model, Tensor};
use crate::sys;
use crate::threads::MAX_THREADS;

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    Help,
    Command(Command),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Run(RunOptions),
    Bench(BenchOptions),
    Info,
}

/// `[NAME=]FILE.npy`, not taken apart: only the model knows its names.
#[derive(Debug, PartialEq, Eq)]
pub struct TensorFile(String);

impl TensorFile {
    /// The tensor's index, if the text names one, and the path; or the name that is none of the `tensors`'.
    pub fn split<'a>(&'a self, tensors: &[Tensor]) -> Result<(Option<usize>, &'a str), &'a str> {
        // Names may contain '=' themselves, so the names decide where the first part ends.
        for (index, tensor) in tensors.iter().enumerate() {
            if let Some(path) = self.0.strip_prefix(&*tensor.name).and_then(|rest| rest.strip_prefix('=')) {
                return Ok((Some(index), path));
            }
        }
        match self.0.split_once('=') {
            Some((name, _)) if !name.contains('/') => Err(name),
            _ => Ok((None, &self.0)),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    pub inputs: Vec<TensorFile>,
    pub outputs: Vec<TensorFile>,
    threads: Option<usize>,
    /// Report how long it took.
    pub time: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct BenchOptions {
    pub inputs: Vec<TensorFile>,
    threads: Option<usize>,
    duration_ns: Option<u64>,
    iterations: Option<u64>,
    /// Inferences between the first one and those that are measured.
    pub warmup: Option<u64>,
    profile: bool,
    pub json: Option<String>,
    pub csv: Option<String>,
}

impl RunOptions {
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(default_threads)
    }
}

impl BenchOptions {
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(default_threads)
    }

    /// Time the layers: asked for, or needed for the CSV.
    pub fn profile(&self) -> bool {
        self.profile || self.csv.is_some()
    }

    /// When to stop measuring: nanoseconds and number of inferences, whichever comes first. What is not given does not
    /// limit, except that something must.
    pub fn limits(&self) -> (u64, u64) {
        const DEFAULT_DURATION_NS: u64 = 3_000_000_000;
        let duration = match (self.duration_ns, self.iterations) {
            (None, None) => DEFAULT_DURATION_NS,
            (duration, _) => duration.unwrap_or(u64::MAX),
        };
        (duration, self.iterations.unwrap_or(u64::MAX))
    }
}

/// As many as there are CPUs for this process.
fn default_threads() -> usize {
    sys::cpu_count().min(MAX_THREADS)
}

/// Help for this model.
pub fn usage(program: &str, model: &Model) -> String {
    let list = |tensors: &[Tensor]| {
        tensors.iter().map(|tensor| format!("  {} {}\n", tensor.name, tensor.tensor)).collect::<String>()
    };
    format!(
        "{program}: the model {name}, compiled by {compiler}

usage:
  {program} run --input [NAME=]FILE.npy ... [--output [NAME=]FILE.npy ...] [--threads N] [--time]
  {program} bench [--threads N] [--duration SECONDS] [--iterations N] [--warmup N] [--profile] [--json FILE]
                  [--csv FILE] [--input [NAME=]FILE.npy ...]
  {program} info

run computes the outputs for one set of inputs; --time reports how long that took.
bench measures the latency; inputs that are not given are pseudo-random numbers, the same in every run. It stops after
--duration or --iterations, whichever comes first; 3 seconds if neither is given. --profile adds a row for each layer, and
compares it with the peak of this machine. --json writes the numbers and all latencies, --csv the rows of the profile.
Files without NAME belong to the inputs and outputs in this order; a file has exactly the type and shape shown here.
bf16 tensors are files of u16, since .npy has no bf16. --threads defaults to the number of CPUs.

inputs:
{inputs}outputs:
{outputs}
exit codes: 0 ok, 2 wrong usage, 3 this CPU lacks instructions of the model, 4 a file cannot be read or written or does
not hold what the model takes, 5 internal error
",
        name = model.name,
        compiler = model.compiler,
        inputs = list(&model.inputs),
        outputs = list(&model.outputs),
    )
}

/// Parses the arguments after the program's name.
pub fn parse(args: &[&[u8]]) -> Result<Invocation, Failure> {
    let mut words = Vec::new();
    for arg in args {
        let word = core::str::from_utf8(arg)
            .map_err(|_| Failure::usage(format!("\"{}\" is not UTF-8", String::from_utf8_lossy(arg))))?;
        words.push(word);
    }
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        return Ok(Invocation::Help);
    }
    let Some((command, rest)) = words.split_first() else {
        return Err(Failure::usage("no command; there are run, bench and info"));
    };
    let mut options = Options { rest: rest.iter() };
    let command = match *command {
        "help" => return Ok(Invocation::Help),
        "run" => Command::Run(options.run()?),
        "bench" => Command::Bench(options.bench()?),
        "info" => match options.rest.next() {
            None => Command::Info,
            Some(extra) => {
                return Err(Failure::usage(format!("info takes no arguments, but got \"{extra}\"")));
            }
        },
        other => {
            return Err(Failure::usage(format!("unknown command \"{other}\"; there are run, bench and info")));
        }
    };
    Ok(Invocation::Command(command))
}

/// The arguments after the command.
struct Options<'a> {
    rest: core::slice::Iter<'a, &'a str>,
}

impl<'a> Options<'a> {
    fn run(&mut self) -> Result<RunOptions, Failure> {
        let mut options = RunOptions::default();
        while let Some((name, attached)) = self.next_option() {
            match name {
                "--input" | "-i" => options.inputs.push(TensorFile(self.value(name, attached)?.into())),
                "--output" | "-o" => options.outputs.push(TensorFile(self.value(name, attached)?.into())),
                "--threads" => options.threads = Some(self.threads(name, attached)?),
                "--time" => options.time = flag(name, attached)?,
                _ => return Err(unknown("run", name)),
            }
        }
        Ok(options)
    }

    fn bench(&mut self) -> Result<BenchOptions, Failure> {
        let mut options = BenchOptions::default();
        while let Some((name, attached)) = self.next_option() {
            match name {
                "--input" | "-i" => options.inputs.push(TensorFile(self.value(name, attached)?.into())),
                "--threads" => options.threads = Some(self.threads(name, attached)?),
                "--duration" => options.duration_ns = Some(self.seconds(name, attached)?),
                "--iterations" => options.iterations = Some(self.count(name, attached, 1)?),
                "--warmup" => options.warmup = Some(self.count(name, attached, 0)?),
                "--json" => options.json = Some(self.value(name, attached)?.into()),
                "--csv" => options.csv = Some(self.value(name, attached)?.into()),
                "--profile" => options.profile = flag(name, attached)?,
                _ => return Err(unknown("bench", name)),
            }
        }
        Ok(options)
    }

    /// `--name` or `--name=value`; only long options have the second form.
    fn next_option(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        let word = self.rest.next()?;
        match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => Some((name, Some(value))),
            _ => Some((word, None)),
        }
    }

    fn value(&mut self, name: &str, attached: Option<&'a str>) -> Result<&'a str, Failure> {
        attached
            .or_else(|| self.rest.next().copied())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Failure::usage(format!("{name} needs a value")))
    }

    fn count(&mut self, name: &str, attached: Option<&'a str>, least: u64) -> Result<u64, Failure> {
        let value = self.value(name, attached)?;
        let count = value.parse().ok().filter(|count| *count >= least);
        count.ok_or_else(|| Failure::usage(format!("{name} takes a number from {least} up, not \"{value}\"")))
    }

    fn threads(&mut self, name: &str, attached: Option<&'a str>) -> Result<usize, Failure> {
        let value = self.value(name, attached)?;
        let threads = value.parse().ok().filter(|threads| (1..=MAX_THREADS).contains(threads));
        threads.ok_or_else(|| Failure::usage(format!("{name} takes a number from 1 to {MAX_THREADS}, not \"{value}\"")))
    }

    fn seconds(&mut self, name: &str, attached: Option<&'a str>) -> Result<u64, Failure> {
        let value = self.value(name, attached)?;
        let ns = Decimal::parse(value, 9).filter(|ns| *ns > 0);
        ns.ok_or_else(|| Failure::usage(format!("{name} takes seconds, such as 0.5, not \"{value}\"")))
    }
}

fn flag(name: &str, attached: Option<&str>) -> Result<bool, Failure> {
    match attached {
        None => Ok(true),
        Some(_) => Err(Failure::usage(format!("{name} takes no value"))),
    }
}

fn unknown(command: &str, word: &str) -> Failure {
    Failure::usage(format!("{command} has no option \"{word}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec;

    fn parsed(line: &str) -> Result<Invocation, String> {
        let words: Vec<&[u8]> = line.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes).collect();
        parse(&words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn run_options() {
        let expected = RunOptions {
            inputs: vec![TensorFile("a.npy".into()), TensorFile("x=b.npy".into())],
            outputs: vec![TensorFile("y=c.npy".into())],
            threads: Some(3),
            time: true,
        };
        let line = "run --input a.npy -i x=b.npy --output=y=c.npy --threads 3 --time";
        assert_eq!(parsed(line), Ok(Invocation::Command(Command::Run(expected))));
    }

    #[test]
    fn bench_options() {
        let Ok(Invocation::Command(Command::Bench(options))) = parsed("bench --duration .5 --json f --profile") else {
            panic!("not a bench command");
        };
        assert_eq!(options.limits(), (500_000_000, u64::MAX));
        assert_eq!((options.json.as_deref(), options.profile()), (Some("f"), true));
    }

    #[test]
    fn csv_needs_a_profile() {
        let profiles = |line: &str| match parsed(line) {
            Ok(Invocation::Command(Command::Bench(options))) => options.profile(),
            other => panic!("{other:?}"),
        };
        assert_eq!(["bench", "bench --profile", "bench --csv f"].map(profiles), [false, true, true]);
    }

    #[test]
    fn limits_of_a_bench() {
        let limits = |line: &str| match parsed(line) {
            Ok(Invocation::Command(Command::Bench(options))) => options.limits(),
            other => panic!("{other:?}"),
        };
        assert_eq!(limits("bench"), (3_000_000_000, u64::MAX));
        assert_eq!(limits("bench --iterations 7"), (u64::MAX, 7));
        assert_eq!(limits("bench --iterations 7 --duration 1"), (1_000_000_000, 7));
    }

    #[test]
    fn errors() {
        for (line, expected) in [
            ("", "no command; there are run, bench and info"),
            ("fly", "unknown command \"fly\"; there are run, bench and info"),
            ("info x", "info takes no arguments, but got \"x\""),
            ("run x.npy", "run has no option \"x.npy\""),
            ("run --input", "--input needs a value"),
            ("run --input=", "--input needs a value"),
            ("run --time=1", "--time takes no value"),
            ("run --threads 0", "--threads takes a number from 1 to 1023, not \"0\""),
            ("run --threads many", "--threads takes a number from 1 to 1023, not \"many\""),
            ("bench --output x", "bench has no option \"--output\""),
            ("bench --duration 0", "--duration takes seconds, such as 0.5, not \"0\""),
            ("bench --duration -1", "--duration takes seconds, such as 0.5, not \"-1\""),
            ("bench --iterations 0", "--iterations takes a number from 1 up, not \"0\""),
            ("bench --warmup x", "--warmup takes a number from 0 up, not \"x\""),
        ] {
            assert_eq!(parsed(line), Err(format!("{expected} (--help shows the options)")), "{line}");
        }
    }
}
