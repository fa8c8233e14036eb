//! The command line: arguments to options of the library, results to files and text, failures to messages and exit codes.
//!
//! - [`args`]: what may be said; [`failure`]: exit codes; [`progress`]: what a terminal shows meanwhile;
//! - one file per command. A command returns a [`Failure`] or nothing; [`main`] renders it, once.

mod args;
mod artifacts;
mod check;
mod cmake;
mod compile;
mod demo;
mod explain;
mod failure;
mod native;
mod opt;
mod picture;
mod progress;
mod table;

use std::panic;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; nothing is left to do if a message cannot be written.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    match panic::catch_unwind(|| run(cli.command)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(),
        Err(_) => {
            eprintln!(
                "error: internal error\n  help: this is a bug in octet; please report it with the model and the message above"
            );
            ExitCode::from(failure::INTERNAL)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Compile(args) => compile::run(&args),
        Command::Run(args) => native::run(&args),
        Command::Bench(args) => native::bench(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Opt(args) => opt::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Cmake(args) => cmake::run(&args),
    }
}
