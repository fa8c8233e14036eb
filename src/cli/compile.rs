//! `compile`: a model to files, and a summary of what was made.

use std::fmt::Write as _;
use std::io;
use std::iter;
use std::path::Path;
use std::time::Duration;

use octet::diag::{Diagnostic, Diagnostics, Kind, Place};
use octet::driver::{self, CompileOptions, Compiled, Monitor};
use octet::emit::report::Report;

use super::args::CompileArgs;
use super::artifacts;
use super::failure::Failure;
use super::progress::Progress;
use super::table::bytes;

pub fn run(args: &CompileArgs) -> Result<(), Failure> {
    let options = CompileOptions { strip_debug: args.strip_debug, ..args.model.options()? };
    let compiled = compile(&args.model.model, &options)?;
    if let Some(percent) = args.require_int8 {
        require_int8(percent, &compiled.plan.report(), &args.model.model)?;
    }
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

/// A model without multiply-accumulates has nothing that could be in float, and passes.
///
/// # Errors
/// A smaller share than `percent`, with a note for every layer whose multiply-accumulates are in float.
fn require_int8(percent: f64, report: &Report<'_>, model: &Path) -> Result<(), Failure> {
    let Some(share) = report.int8_share().filter(|share| *share < percent) else { return Ok(()) };
    let file = Place::file(model.display().to_string());
    // Shares just below the threshold are not rounded up to it.
    let shown = (share * 100.0).floor() / 100.0;
    let message = format!("{shown:.2} % of the MACs are in INT8, less than the {percent} % of --require-int8");
    let all = report.macs().1;
    let islands = report.rows.iter().filter(|row| row.macs != 0 && !row.is_int8()).map(|row| {
        let place = Place { line: row.line, ..file.clone() }.with_item(format!("layer \"{}\"", row.label.layer));
        let reason = row.reason.unwrap_or("no pass gave a reason");
        let share = 100.0 * row.macs as f64 / all as f64;
        Diagnostic::note(place, format!("{share:.2} % of the MACs in {}: {reason}", row.precision))
    });
    let error = Diagnostic::error(Kind::Threshold, file.clone(), message);
    Err(Diagnostics(iter::once(error).chain(islands).collect()).into())
}

/// Compiles with progress on the terminal.
pub fn compile(model: &Path, options: &CompileOptions) -> Result<Compiled, Failure> {
    let mut progress = Progress::new();
    let mut stage = |stage| progress.stage(stage);
    Ok(driver::compile(model, options, &mut Monitor { stage: &mut stage, log: &mut io::stderr() })?)
}

/// `compiled for x86-64-v3 (native); 4.1 MB constants, ..`
fn summary(compiled: &Compiled, options: &CompileOptions, native: bool) -> String {
    let (plan, sizes) = (&compiled.plan, &compiled.object.sizes);
    let share =
        plan.report().int8_share().map_or("no MACs".to_owned(), |share| format!("{share:.1} % of MACs in INT8"));
    let mut text = format!("compiled for {}{}", options.target.cpu_name(), if native { " (native)" } else { "" });
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "; constants {}, code {}, workspace {}, stack {}; {share}; {} steps; {:.2} s (",
        bytes(sizes.constant_bytes as u64),
        bytes(sizes.code_bytes as u64),
        bytes(sizes.workspace_bytes as u64),
        bytes(sizes.stack_bytes as u64),
        plan.program.steps.len(),
        plan.times.iter().map(|(_, time)| *time).sum::<Duration>().as_secs_f64(),
    );
    let stages: Vec<String> =
        plan.times.iter().map(|(stage, time)| format!("{} {:.2}", stage.name(), time.as_secs_f64())).collect();
    text + &stages.join(", ") + ")"
}
