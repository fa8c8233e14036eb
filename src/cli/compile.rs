//! `compile`: a model to files, and a summary of what was made. What the model must fulfil is checked before anything is
//! written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use octet::codegen::target::Target;
use octet::diag::codes;
use octet::driver::{self, CompileOptions, Compiled, Monitor, Plan};
use octet::emit::{page, report};
use serde_json::{Value, json};

use super::args::{CompileArgs, Emit};
use super::artifacts;
use super::failure::Failure;
use super::failure::print;
use super::limits;
use super::progress::Progress;
use super::table::bytes;
use super::tune;

pub fn run(args: &CompileArgs) -> Result<(), Failure> {
    let mut options = CompileOptions { strip_debug: args.strip_debug, ..args.model.options()? };
    let report = args.report.as_deref().map(ReportKind::of).transpose()?;
    if let Some(file) = &args.tune.tune {
        options.tuning = tune::tune(&args.model.model, &options, &args.tune, file, args.quiet || args.json)?;
    }
    let compiled = compile(&args.model.model, &options)?;
    if let Some(percent) = args.require_int8 {
        limits::require_int8(percent, &compiled.plan.report(), &args.model.model)?;
    }
    if let Some(limit) = args.max_workspace {
        limits::max_workspace(limit, &compiled.plan.program, &args.model.model)?;
    }
    let paths = artifacts::paths(&args.emit, args.output.as_deref(), &compiled.plan.program.name);
    for (emit, path) in &paths {
        artifacts::write(*emit, &compiled, &options.common_target(), path)?;
    }
    if let Some((kind, path)) = report.zip(args.report.as_deref()) {
        artifacts::write_file(path, kind.text(&compiled).as_bytes())?;
    }
    if args.json {
        return print(&format!("{:#}\n", json_summary(&compiled, &options, &paths)));
    }
    if !args.quiet {
        let written = paths.iter().map(|(_, path)| path.as_path()).chain(args.report.as_deref());
        let written: Vec<String> = written.map(|path| path.display().to_string()).collect();
        eprintln!("{}\nwrote {}", summary(&compiled, &options, args.model.is_native()), written.join(", "));
    }
    Ok(())
}

/// What `--report` writes.
#[derive(Clone, Copy)]
enum ReportKind {
    Html,
    Json,
}

impl ReportKind {
    fn of(path: &Path) -> Result<ReportKind, Failure> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(ReportKind::Html),
            Some("json") => Ok(ReportKind::Json),
            _ => {
                let message = format!("--report {}: the file's name must end with .html or .json", path.display());
                Err(Failure::usage(&codes::UNKNOWN_REPORT, message))
            }
        }
    }

    fn text(self, compiled: &Compiled) -> String {
        let (report, sizes) = (compiled.plan.report(), &compiled.object.sizes);
        match self {
            ReportKind::Html => page::html(&report, &compiled.plan.program, Some(sizes)),
            ReportKind::Json => {
                let mut value = report.json();
                value["memory"] = report::memory_json(sizes);
                format!("{value:#}\n")
            }
        }
    }
}

/// Compiles with progress on the terminal.
pub fn compile(model: &Path, options: &CompileOptions) -> Result<Compiled, Failure> {
    let mut progress = Progress::new();
    let mut stage = |stage| progress.stage(stage);
    let compiled = driver::compile(model, options, &mut Monitor { stage: &mut stage, log: &mut io::stderr() })?;
    progress.clear();
    print_warnings(&compiled.plan);
    Ok(compiled)
}

pub fn print_warnings(plan: &Plan) {
    plan.warnings.iter().for_each(|warning| eprintln!("{warning}"));
}

/// What was made, how large it is, how long it took:
///
/// ```text
/// compiled for x86-64-v3 (native) in 0.63 s: import 0.08, passes 0.30, lower 0.18, codegen 0.07
///   100.0 % of MACs in INT8, 124 steps
///   constants 26.3 MB, code 240.4 KB; one inference takes workspace 4.2 MB, stack 352 B
/// ```
fn summary(compiled: &Compiled, options: &CompileOptions, native: bool) -> String {
    let (plan, sizes) = (&compiled.plan, &compiled.object.sizes);
    let share =
        plan.report().int8_share().map_or("no MACs".to_owned(), |share| format!("{share:.1} % of MACs in INT8"));
    let stages: Vec<String> =
        plan.times.iter().map(|(stage, time)| format!("{} {:.2}", stage.name(), time.as_secs_f64())).collect();
    let [constants, code, workspace, stack] =
        [sizes.constant_bytes, sizes.code_bytes, sizes.workspace_bytes, sizes.stack_bytes]
            .map(|count| bytes(count as u64));
    format!(
        "compiled for {}{} in {:.2} s: {}\n  {share}, {} steps\n  constants {constants}, code {code}; one inference takes \
         workspace {workspace}, stack {stack}",
        cpu_names(options).join(" | "),
        if native { " (native)" } else { "" },
        plan.times.iter().map(|(_, time)| *time).sum::<Duration>().as_secs_f64(),
        stages.join(", "),
        plan.program.steps.len(),
    )
}

/// Of every version, the best first.
fn cpu_names(options: &CompileOptions) -> Vec<String> {
    options.targets().map(Target::cpu_name).collect()
}

/// The same for programs. Sizes in bytes, times in seconds.
fn json_summary(compiled: &Compiled, options: &CompileOptions, paths: &[(Emit, PathBuf)]) -> Value {
    let (plan, report) = (&compiled.plan, compiled.plan.report());
    let (int8, macs) = report.macs();
    let times = plan.times.iter().map(|(stage, time)| (stage.name().to_owned(), time.as_secs_f64().into()));
    let files = paths.iter().map(|(emit, path)| {
        json!({
            "kind": emit.name(),
            "path": path.display().to_string(),
            "bytes": fs::metadata(path).map(|file| file.len()).ok(),
        })
    });
    json!({
        "model": plan.program.name,
        "hash": plan.program.model_hash,
        "target": options.target.triple,
        "cpu": options.target.cpu_name(),
        "cpus": cpu_names(options),
        "macs": macs,
        "int8_macs": int8,
        "int8_share_percent": report.int8_share(),
        "steps": plan.program.steps.len(),
        "memory": report::memory_json(&compiled.object.sizes),
        "seconds": serde_json::Map::from_iter(times),
        "files": files.collect::<Vec<Value>>(),
    })
}
