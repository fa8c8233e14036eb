//! A variant of a model: the program whose layers take certain forms, and the least time that each of its steps took.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use octet::driver::{self, CompileOptions, Monitor};
use octet::lower::choice::{Choice, Choices};
use octet::tuning::Tuning;

use crate::cli::args::Emit;
use crate::cli::artifacts;
use crate::cli::bench::report::Report;
use crate::cli::failure::Failure;
use crate::cli::native;

/// Inferences before those that are measured.
const WARMUP: u32 = 2;
/// Inferences of one measurement: a program profiles no more than the greatest number.
const INFERENCES: (f64, f64) = (3.0, 100.0);

/// A compiled program in the directory of temporary files.
pub struct Variant {
    program: PathBuf,
    pub choices: Vec<Choice>,
    /// Source layer of each step.
    pub layers: Vec<String>,
    /// The least time of each step so far, in microseconds.
    pub steps_us: Vec<f64>,
}

/// How programs are measured.
pub struct Bench<'a> {
    pub model: &'a Path,
    /// For one CPU.
    pub options: CompileOptions,
    /// Where programs go.
    pub directory: &'a Path,
    pub threads: u32,
    /// Inferences in each turn.
    pub inferences: u32,
}

impl Bench<'_> {
    /// Compiles the variant with these forms.
    pub fn variant(&self, choices: Choices, name: &str) -> Result<Variant, Failure> {
        let tuning = Tuning::of_choices(&self.options.target.cpu_name(), choices);
        let options = CompileOptions { tuning, ..self.options.clone() };
        let mut monitor = Monitor { stage: &mut |_| (), log: &mut io::sink() };
        let compiled = driver::compile(self.model, &options, &mut monitor)?;
        let program = self.directory.join(name);
        artifacts::write(Emit::Exe, &compiled, &options.target, &program)?;
        let lowered = compiled.plan.program;
        let layers = lowered.steps.iter().map(|step| step.label.layer.clone()).collect();
        let steps_us = vec![f64::INFINITY; lowered.steps.len()];
        Ok(Variant { program, choices: lowered.choices, layers, steps_us })
    }

    /// Takes so many inferences for a turn that the turns of a variant take `seconds`: as many without a clock in them, which
    /// warm the machine up, as with one.
    pub fn set_inferences(&mut self, variant: &Variant, seconds: f64, turns: u32) -> Result<(), Failure> {
        let report = self.run(variant)?;
        let latency = report.sorted_ms()[0] / 1e3;
        let (least, most) = INFERENCES;
        self.inferences = (seconds / f64::from(turns) / (2.0 * latency)).clamp(least, most) as u32;
        Ok(())
    }

    /// Runs the variant for a turn.
    pub fn measure(&self, variant: &mut Variant) -> Result<(), Failure> {
        let report = self.run(variant)?;
        for (least, layer) in variant.steps_us.iter_mut().zip(&report.layers) {
            *least = least.min(layer.min_ms * 1e3);
        }
        Ok(())
    }

    fn run(&self, variant: &Variant) -> Result<Report, Failure> {
        let json = self.directory.join("report.json");
        let mut command = Command::new(&variant.program);
        command.args(["bench", "--profile"]).arg(format!("--threads={}", self.threads));
        command.arg(format!("--warmup={WARMUP}")).arg(format!("--iterations={}", self.inferences));
        command.arg(format!("--json={}", json.display())).stdout(Stdio::null());
        let status = command.status().map_err(|error| native::cannot_run(&variant.program, &error))?;
        native::outcome(status)?;
        Report::read(&json)
    }
}
