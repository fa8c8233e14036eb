//! The command line: arguments to options of the library, results to files and text, failures to messages and exit codes.
//!
//! - [`args`]: what may be said, [`examples`] of it; [`failure`]: exit codes; [`progress`]: what a terminal shows meanwhile;
//! - one file per command, or a folder. A command returns a [`Failure`] or nothing; [`main`] renders it, once.

mod args;
mod artifacts;
mod bench;
mod check;
mod cmake;
mod compile;
mod demo;
mod examples;
mod explain;
mod explain_code;
mod failure;
mod limits;
mod model_args;
mod native;
mod opt;
mod picture;
mod progress;
mod shell;
mod table;
mod temp;
mod tune;

use std::env;
use std::panic;
use std::process::ExitCode;

use clap::Parser;
use octet::diag::{Diagnostic, Place, codes};

use args::{Cli, Command};
use failure::Failure;

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let line = match bench::benchmark_app::translate(env::args_os().collect()) {
        Ok(line) => line,
        Err(failure) => return failure.report(false),
    };
    for note in &line.notes {
        eprintln!("note: {note}");
    }
    let cli = match Cli::try_parse_from(line.words) {
        Ok(cli) => cli,
        Err(error) => return wrong_line(&error),
    };
    let as_json = cli.command.wants_json();
    match panic::catch_unwind(|| run(cli.command)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(as_json),
        Err(_) => {
            let bug = Diagnostic::internal(Place::default(), "it panicked, with the message above");
            Failure::from(bug).report(as_json)
        }
    }
}

/// Help and version, which are no errors, or what is wrong with the line.
fn wrong_line(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nothing is left to do if it cannot be written.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    match text.strip_prefix("error: ") {
        Some(rest) => eprint!("error[{}]: {rest}", codes::COMMAND_LINE.id),
        // Help instead of a command that is missing.
        None => eprint!("{text}"),
    }
    ExitCode::from(failure::USAGE)
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Compile(args) => compile::run(&args),
        Command::Run(args) => native::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Opt(args) => opt::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::ExplainCode(args) => explain_code::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
        Command::Cmake(args) => cmake::run(&args),
    }
}
