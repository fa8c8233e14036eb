//! `completions` and `man`: what shells and manuals know of the command line, made of its declaration.

use std::fs;

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::failure::{Failure, print};

pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "octet", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// A page for octet and one for each command.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| Failure::io(directory, "be created", &error))?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory)
        .map_err(|error| Failure::io(directory, "be written", &error))?;
    print(&format!("wrote the pages to {}\n", directory.display()))
}
