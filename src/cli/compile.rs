//! `compile`: a model to files, and a summary of what was made.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use octet::driver::{self, CompileOptions, Compiled, Monitor};

use super::args::CompileArgs;
use super::artifacts;
use super::failure::Failure;
use super::progress::Progress;
use super::table::bytes;

pub fn run(args: &CompileArgs) -> Result<(), Failure> {
    let options = args.model.options()?;
    let compiled = compile(&args.model.model, &options)?;
    let paths = artifacts::paths(&args.emit, args.output.as_deref(), &compiled.plan.program.name);
    for (emit, path) in &paths {
        artifacts::write(*emit, &compiled, &options.target, path)?;
    }
    if !args.quiet {
        let written: Vec<String> = paths.iter().map(|(_, path)| path.display().to_string()).collect();
        eprintln!("{}\nwrote {}", summary(&compiled, &options, args.model.is_native()), written.join(", "));
    }
    Ok(())
}

/// Compiles with progress on the terminal.
pub fn compile(model: &Path, options: &CompileOptions) -> Result<Compiled, Failure> {
    let mut progress = Progress::new();
    let mut stage = |stage| progress.stage(stage);
    Ok(driver::compile(model, options, &mut Monitor { stage: &mut stage, log: &mut io::stderr() })?)
}

/// `compiled for x86-64-v3 (native); 4.1 MB constants, ..`
fn summary(compiled: &Compiled, options: &CompileOptions, native: bool) -> String {
    let (plan, object) = (&compiled.plan, &compiled.object);
    let share =
        plan.report().int8_share().map_or("no MACs".to_owned(), |share| format!("{share:.1} % of MACs in INT8"));
    let mut text = format!("compiled for {}{}", options.target.cpu_name(), if native { " (native)" } else { "" });
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "; constants {}, workspace {}, code {}; {share}; {} steps; {:.2} s (",
        bytes(object.constant_bytes as u64),
        bytes(plan.program.workspace_bytes as u64),
        bytes(object.code_bytes as u64),
        plan.program.steps.len(),
        plan.times.iter().map(|(_, time)| *time).sum::<Duration>().as_secs_f64(),
    );
    let stages: Vec<String> =
        plan.times.iter().map(|(stage, time)| format!("{} {:.2}", stage.name(), time.as_secs_f64())).collect();
    text + &stages.join(", ") + ")"
}
