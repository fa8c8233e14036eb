//! A model from file to object: the one place where the stages meet.
//!
//! ```text
//! load      .xml + .bin, or .oir   -> Graph
//! passes    Graph                  -> Graph     and remarks: why an operation stays in float
//! lower     Graph                  -> Program
//! codegen   Program                -> object
//! ```
//!
//! [`plan`] stops before machine code, [`compile`] goes to the end. Nothing here decides anything about a model; a stage's
//! options pass through.

use std::fs;
use std::io::Write;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::codegen::estimate::Model;
use crate::codegen::object::{self, Object, Version};
use crate::codegen::target::Target;
use crate::diag::{self, Diagnostic, Place, codes};
use crate::emit::header::identifier;
use crate::emit::report::Report;
use crate::frontend::{self, ImportOptions};
use crate::ir::{Graph, file};
use crate::lower::choice::Choice;
use crate::lower::program::Program;
use crate::lower::{self, LowerOptions};
use crate::passes::manager::{self, Options as PassOptions};
use crate::passes::{PIPELINE, Remark};
use crate::tuning::Tuning;

/// What the user decides about a compilation.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// Batch and shapes of the inputs.
    pub import: ImportOptions,
    /// Prefix of the symbols, a C identifier; by default made of the name of the model's file.
    pub name: Option<String>,
    pub target: Target,
    /// Other CPUs of the same architecture that the object shall have a version for; worse ones than `target`, the best first.
    pub fallbacks: Vec<Target>,
    pub passes: PassOptions,
    /// Which forms of layers were the fastest on the machine.
    pub tuning: Tuning,
    /// Leave out the line information.
    pub strip_debug: bool,
}

impl CompileOptions {
    /// Of every version, the best first.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        iter::once(&self.target).chain(&self.fallbacks)
    }

    /// The least that a CPU must have to run any version.
    pub fn common_target(&self) -> Target {
        let targets: Vec<&Target> = self.targets().collect();
        Target::common(&targets).unwrap_or_else(|| self.target.clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Import,
    Passes,
    Lower,
    Codegen,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Import, Stage::Passes, Stage::Lower, Stage::Codegen];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Import => "import",
            Stage::Passes => "passes",
            Stage::Lower => "lower",
            Stage::Codegen => "codegen",
        }
    }
}

/// What a compilation tells while it runs.
pub struct Monitor<'m> {
    /// Called when a stage begins.
    pub stage: &'m mut dyn FnMut(Stage),
    /// Takes what `--print-after` and the like ask for.
    pub log: &'m mut dyn Write,
}

/// A model before machine code.
pub struct Plan {
    /// After all passes.
    pub graph: Graph,
    pub program: Program,
    /// The same for each of [`CompileOptions::fallbacks`]. All versions have the workspace of the largest.
    pub fallbacks: Vec<Program>,
    pub remarks: Vec<Remark>,
    /// What the user should know although the model compiles.
    pub warnings: Vec<Diagnostic>,
    /// How long each stage took, in order.
    pub times: Vec<(Stage, Duration)>,
}

impl Plan {
    /// What became of each operation.
    pub fn report(&self) -> Report<'_> {
        Report::new(&self.graph, &self.program, &self.remarks)
    }
}

pub struct Compiled {
    pub plan: Plan,
    pub object: Object,
}

/// A model's source, read once.
pub struct Source {
    pub graph: Graph,
    /// Hexadecimal digest of the files' contents.
    pub hash: String,
    /// Name of the file that the layers' lines are in; none for a text dump, whose lines are those of another file.
    pub lines: Option<String>,
}

/// Compiles the model at `path` into an object.
///
/// # Errors
/// Of any stage; each stage reports all it finds.
pub fn compile(path: &Path, options: &CompileOptions, monitor: &mut Monitor<'_>) -> diag::Result<Compiled> {
    let mut plan = plan(path, options, monitor)?;
    let programs = iter::once(&plan.program).chain(&plan.fallbacks);
    let versions: Vec<Version<'_>> =
        programs.zip(options.targets()).map(|(program, target)| Version { program, target }).collect();
    let object = timed(Stage::Codegen, &mut plan.times, monitor, |_| object::build_versions(&versions))?;
    Ok(Compiled { plan, object })
}

/// Everything up to machine code: what `check` and `explain` need.
///
/// # Errors
/// As [`compile`].
pub fn plan(path: &Path, options: &CompileOptions, monitor: &mut Monitor<'_>) -> diag::Result<Plan> {
    let cpus: Vec<String> = options.targets().map(Target::cpu_name).collect();
    let mut warnings = options.tuning.check_cpus(&cpus)?;
    let mut times = Vec::new();
    let Source { mut graph, hash, lines } = timed(Stage::Import, &mut times, monitor, |_| load(path, &options.import))?;
    if let Some(name) = &options.name {
        graph.name.clone_from(name);
    }
    let report =
        timed(Stage::Passes, &mut times, monitor, |log| manager::run(&mut graph, PIPELINE, &options.passes, log))?;
    let source = lines.filter(|_| !options.strip_debug);
    let lowered = |target: &Target| {
        let choices = options.tuning.choices(&target.cpu_name());
        let options = LowerOptions { choices, model_hash: hash.clone(), source: source.clone(), ..target.lowering() };
        lower::lower(&graph, &options, &Model::new(target))
    };
    let lower_all = |_: &mut dyn Write| options.targets().map(lowered).collect();
    let mut programs: Vec<Program> = timed(Stage::Lower, &mut times, monitor, lower_all)?;
    let workspace_bytes = programs.iter().map(|program| program.workspace_bytes).max().unwrap_or(0);
    for program in &mut programs {
        program.workspace_bytes = workspace_bytes;
    }
    warnings.extend(impossible_forms(&programs));
    let program = programs.remove(0);
    Ok(Plan { graph, program, fallbacks: programs, remarks: report.context.remarks, warnings, times })
}

/// Layers that cannot take the form that was measured to be the fastest.
fn impossible_forms(programs: &[Program]) -> Vec<Diagnostic> {
    let warning = |program: &Program, choice: &Choice| {
        let layer = program.steps.get(choice.steps.start).map(|step| step.label.layer.as_str()).unwrap_or_default();
        let fact = format!("cannot be computed by `{}`, which the tuning file names", choice.impossible?);
        let help = format!("`{}` is taken; if many layers tell this, measure again with --tune", choice.form());
        Some(Diagnostic::warning(Place::item(format!("layer \"{layer}\"")), fact).with_help(help))
    };
    let of_program = |program: &Program| -> Vec<Diagnostic> {
        program.choices.iter().filter_map(|choice| warning(program, choice)).collect()
    };
    programs.iter().flat_map(of_program).collect()
}

fn timed<T>(
    stage: Stage,
    times: &mut Vec<(Stage, Duration)>,
    monitor: &mut Monitor<'_>,
    work: impl FnOnce(&mut dyn Write) -> diag::Result<T>,
) -> diag::Result<T> {
    (monitor.stage)(stage);
    let begin = Instant::now();
    let result = work(monitor.log);
    times.push((stage, begin.elapsed()));
    result
}

/// Reads an OpenVINO IR or a text dump, by the extension of `path`. The graph's name is a C identifier: an IR's file name,
/// since the names inside are often those of the tool that wrote them, or the name that a text dump gives.
///
/// # Errors
/// Files that cannot be read, and all problems in them; an extension of another kind; batch or shapes for a text dump,
/// whose shapes are what they are.
pub fn load(path: &Path, options: &ImportOptions) -> diag::Result<Source> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("xml") => {
            let mut graph = frontend::import_files(path, options)?;
            graph.name = identifier(&path.file_stem().unwrap_or_default().to_string_lossy());
            let lines = path.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok(Source { graph, hash: digest(&[path.to_owned(), path.with_extension("bin")])?, lines })
        }
        Some("oir") => {
            if options.batch.is_some() || !options.shapes.is_empty() {
                let message = "--batch and --shape apply to OpenVINO models; a text dump has its shapes";
                return Err(Diagnostic::error(&codes::FIXED_SHAPES, place(path), message).into());
            }
            let mut graph = file::read(path)?.graph;
            graph.name = identifier(&graph.name);
            Ok(Source { graph, hash: digest(&text_files(path))?, lines: None })
        }
        _ => Err(Diagnostic::error(&codes::NO_MODEL_FILE, place(path), "not a model's file name")
            .with_help("give the .xml file of an OpenVINO IR, or an .oir text dump")
            .into()),
    }
}

/// A text dump and its side file, if it has one.
fn text_files(path: &Path) -> Vec<PathBuf> {
    let mut side = path.as_os_str().to_owned();
    side.push(".bin");
    let side = PathBuf::from(side);
    [Some(path.to_owned()), Some(side).filter(|side| side.exists())].into_iter().flatten().collect()
}

fn place(path: &Path) -> Place {
    Place::file(path.display().to_string())
}

/// FNV-1a of 128 bits over the contents of the files: tells models apart, and is no protection against forgery.
/// <http://www.isthe.com/chongo/tech/comp/fnv/>
fn digest(paths: &[PathBuf]) -> diag::Result<String> {
    const OFFSET_BASIS: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = (1 << 88) + 0x13b;
    let mut hash = OFFSET_BASIS;
    for path in paths {
        let bytes = fs::read(path)
            .map_err(|error| Diagnostic::error(&codes::UNREADABLE, place(path), format!("cannot be read: {error}")))?;
        hash = bytes.iter().fold(hash, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    }
    Ok(format!("{hash:032x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the test suite of the reference implementation.
    #[test]
    fn digest_is_fnv1a() {
        let path = std::env::temp_dir().join(format!("octet-digest-{}", std::process::id()));
        for (text, expected) in [
            ("", "6c62272e07bb014262b821756295c58d"),
            ("a", "d228cb696f1a8caf78912b704e4a8964"),
            ("foobar", "343e1662793c64bf6f0d3597ba446f18"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(digest(std::slice::from_ref(&path)).unwrap(), expected, "{text:?}");
        }
        fs::remove_file(path).unwrap();
    }
}
