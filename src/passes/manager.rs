//! Runs passes by name, and shows what they do: printing, dumps, timing, verification of form and of meaning.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{PASSES, Pass, PassContext, meaning, pass};
use crate::diag::{self, Diagnostic, Diagnostics, Place, codes};
use crate::ir::file;
use crate::ir::print::PrintOptions;
use crate::ir::verify::verify;
use crate::ir::{Graph, Op};

/// Which passes an option is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    #[default]
    None,
    All,
    Names(BTreeSet<String>),
}

impl Selection {
    /// `all`, or names separated by commas.
    pub fn parse(text: &str) -> Selection {
        match text {
            "all" => Selection::All,
            names => Selection::Names(names.split(',').map(|name| name.trim().to_string()).collect()),
        }
    }

    fn contains(&self, name: &str) -> bool {
        match self {
            Selection::None => false,
            Selection::All => true,
            Selection::Names(names) => names.contains(name),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Selection::None | Selection::All => None,
            Selection::Names(names) => Some(names),
        };
        names.into_iter().flatten().map(String::as_str)
    }
}

/// What to do around the passes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Verify after every pass.
    pub verify: bool,
    /// Interpret the graph before and after every pass, and compare; slow.
    pub verify_meaning: bool,
    pub print_before: Selection,
    pub print_after: Selection,
    /// The last pass to run.
    pub stop_after: Option<String>,
    /// Passes that are skipped.
    pub disable: Selection,
    /// A directory for `00-input.oir`, `01-canonicalize.oir`, ..: each can be compiled.
    pub dump_dir: Option<PathBuf>,
    /// Write a table of times at the end.
    pub time_passes: bool,
}

/// Verifies in debug builds, and nothing else.
impl Default for Options {
    fn default() -> Options {
        Options {
            verify: cfg!(debug_assertions),
            verify_meaning: false,
            print_before: Selection::None,
            print_after: Selection::None,
            stop_after: None,
            disable: Selection::None,
            dump_dir: None,
            time_passes: false,
        }
    }
}

/// What a run of one pass did.
#[derive(Clone, Debug)]
pub struct PassRun {
    pub name: &'static str,
    pub changed: bool,
    pub time: Duration,
}

/// What the passes told.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub context: PassContext,
    pub runs: Vec<PassRun>,
}

/// Runs the passes in order. What the options ask to print goes to `log`.
///
/// # Errors
/// Unknown names, all at once; a failing pass; a graph that does not verify after a pass, printed to `log` with the errors
/// under the nodes they belong to; dumps that cannot be written.
pub fn run(graph: &mut Graph, names: &[&str], options: &Options, log: &mut dyn Write) -> diag::Result<Report> {
    let passes = resolve(names, options)?;
    let mut report = Report::default();
    check(graph, "the input", options, log)?;
    dump(graph, 0, "input", options)?;
    for (index, pass) in passes.into_iter().enumerate() {
        if !options.disable.contains(pass.name) {
            report.runs.push(run_pass(graph, pass, options, &mut report.context, log)?);
            dump(graph, index + 1, pass.name, options)?;
        }
        if options.stop_after.as_deref() == Some(pass.name) {
            break;
        }
    }
    if options.time_passes {
        write_times(&report.runs, log)?;
    }
    Ok(report)
}

fn run_pass(
    graph: &mut Graph,
    pass: &Pass,
    options: &Options,
    context: &mut PassContext,
    log: &mut dyn Write,
) -> diag::Result<PassRun> {
    if options.print_before.contains(pass.name) {
        write_log(log, &format!("// before {}\n{graph}", pass.name))?;
    }
    let before = options.verify_meaning.then(|| graph.clone());
    let start = Instant::now();
    let changed = (pass.run)(graph, context)?;
    let time = start.elapsed();
    if options.print_after.contains(pass.name) {
        write_log(log, &format!("// after {}\n{graph}", pass.name))?;
    }
    check(graph, pass.name, options, log)?;
    if let Some(before) = before {
        check_meaning(pass, &before, graph, options)?;
    }
    Ok(PassRun { name: pass.name, changed, time })
}

/// The passes of these names.
fn resolve(names: &[&str], options: &Options) -> diag::Result<Vec<&'static Pass>> {
    let mentioned = names
        .iter()
        .copied()
        .chain(options.print_before.names())
        .chain(options.print_after.names())
        .chain(options.disable.names())
        .chain(options.stop_after.as_deref());
    let unknown: BTreeSet<&str> = mentioned.filter(|name| pass(name).is_none()).collect();
    if unknown.is_empty() {
        return Ok(names.iter().filter_map(|name| pass(name)).collect());
    }
    let known: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
    let to_error = |name: &str| {
        Diagnostic::error(&codes::UNKNOWN_PASS, Place::default(), format!("there is no pass {name:?}"))
            .with_help(format!("the passes are {}", known.join(", ")))
    };
    Err(Diagnostics(unknown.into_iter().map(to_error).collect()))
}

fn check(graph: &Graph, after: &str, options: &Options, log: &mut dyn Write) -> diag::Result<()> {
    if !options.verify {
        return Ok(());
    }
    verify(graph).or_else(|errors| {
        write_log(log, &format!("// after {after}\n{}", errors.in_text(graph, &PrintOptions::log())))?;
        Err(errors.diagnostics(graph, after))
    })
}

/// A pass that changes what the graph computes ends the run. The graph that shows it, made as small as possible, goes beside
/// the dumps, or where the command was started.
fn check_meaning(pass: &Pass, before: &Graph, after: &Graph, options: &Options) -> diag::Result<()> {
    let Err(violation) = meaning::check_pass(pass, before, after) else {
        return Ok(());
    };
    let small = meaning::shrink_for_pass(pass, before);
    let dir = options.dump_dir.clone().unwrap_or_default();
    let path = dir.join(format!("changed-by-{}.oir", pass.name));
    file::write(&small, &path)?;
    let place = Place::item(format!("pass {}", pass.name));
    Err(Diagnostic::internal(place, violation.to_string())
        .with_help(format!(
            "{path} shows it with {count} operations: octet opt {path} --passes {name} --verify-passes",
            path = path.display(),
            count = small.body_nodes().filter(|&node| !matches!(small.op(node), Op::Const(_) | Op::Return)).count(),
            name = pass.name
        ))
        .into())
}

fn dump(graph: &Graph, number: usize, name: &str, options: &Options) -> diag::Result<()> {
    let Some(dir) = &options.dump_dir else {
        return Ok(());
    };
    fs::create_dir_all(dir).map_err(|error| {
        Diagnostic::error(&codes::UNWRITABLE, Place::file(dir.display().to_string()), error.to_string())
    })?;
    file::write(graph, &dir.join(format!("{number:02}-{name}.oir")))
}

fn write_times(runs: &[PassRun], log: &mut dyn Write) -> diag::Result<()> {
    let total: Duration = runs.iter().map(|run| run.time).sum();
    let rows = runs.iter().map(|run| (run.name, run.time, if run.changed { "changed" } else { "" }));
    let mut table = String::from("      time  pass\n");
    for (name, time, changed) in rows.chain([("total", total, "")]) {
        table += format!("{:>7.3} ms  {name:<20} {changed}", time.as_secs_f64() * 1e3).trim_end();
        table += "\n";
    }
    write_log(log, &table)
}

fn write_log(log: &mut dyn Write, text: &str) -> diag::Result<()> {
    log.write_all(text.as_bytes()).map_err(|error| {
        Diagnostic::error(&codes::UNWRITABLE, Place::default(), format!("cannot write: {error}")).into()
    })
}
