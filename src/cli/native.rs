//! `run`, and what `bench` needs: compile to a temporary place, then let the program do the work, with the same options.

use std::env;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use octet::diag::{Diagnostic, Place, codes};
use octet::driver;

use super::args::{Emit, RunArgs};
use super::artifacts;
use super::compile::compile;
use super::failure::Failure;
use super::model_args::ModelArgs;
use super::temp::TempDir;

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let mut line = Line::new("run");
    line.each("--input", &args.inputs);
    line.each("--output", &args.outputs);
    line.option("--threads", &args.threads);
    line.flag("--time", args.time);
    execute(&args.model, &line, Stdio::inherit()).map(|_| ())
}

/// Arguments of the program, whose options have the names of ours.
pub struct Line(Vec<String>);

impl Line {
    pub fn new(command: &str) -> Line {
        Line(vec![command.to_owned()])
    }

    pub fn option(&mut self, name: &str, value: &Option<String>) {
        self.0.extend(value.iter().map(|value| format!("{name}={value}")));
    }

    pub fn each(&mut self, name: &str, values: &[String]) {
        self.0.extend(values.iter().map(|value| format!("{name}={value}")));
    }

    pub fn flag(&mut self, name: &str, on: bool) {
        self.0.extend(on.then(|| name.to_owned()));
    }
}

/// Returns how long it took to compile the program.
pub fn execute(model: &ModelArgs, line: &Line, output: Stdio) -> Result<Duration, Failure> {
    let options = model.options()?;
    if options.target.triple.split('-').next() != Some(env::consts::ARCH) {
        let message = format!("a program for {} does not run on this machine", options.target.triple);
        return Err(Diagnostic::error(&codes::OTHER_MACHINE, Place::default(), message)
            .with_help("compile it here with `octet compile`, and run the program there")
            .into());
    }
    let begin = Instant::now();
    let compiled = compile(&model.model, &options)?;
    let directory = TempDir::new()?;
    let program = directory.path().join(Emit::Exe.file_name(&compiled.plan.program.name));
    artifacts::write(Emit::Exe, &compiled, &options.common_target(), &program)?;
    drop::<driver::Compiled>(compiled);
    let compile_time = begin.elapsed();
    let mut child = start(&program, &line.0, output)?;
    // The program is in memory: nothing is left behind even if it or we are interrupted.
    drop(directory);
    let status = child.wait().map_err(|error| Failure::io(&program, "be waited for", &error))?;
    outcome(status).map(|()| compile_time)
}

fn start(program: &Path, args: &[String], output: Stdio) -> Result<Child, Failure> {
    Command::new(program).args(args).stdout(output).spawn().map_err(|error| cannot_run(program, &error))
}

pub fn cannot_run(program: &Path, error: &io::Error) -> Failure {
    Diagnostic::error(
        &codes::NOT_RUNNABLE,
        Place::file(program.display().to_string()),
        format!("cannot be run: {error}"),
    )
    .with_help("programs must be allowed in the directory for temporary files; TMPDIR names another one")
    .into()
}

/// The program has said what was wrong.
pub fn outcome(status: ExitStatus) -> Result<(), Failure> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::Program(u8::try_from(code).unwrap_or(u8::MAX))),
        None => {
            Err(Diagnostic::internal(Place::item("the compiled program"), format!("it ended with {status}")).into())
        }
    }
}
