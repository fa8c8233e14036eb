//! How a command fails: messages on standard error, once, and the exit code.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use octet::diag::{Diagnostic, Diagnostics, Kind, Place};

/// Exit code of a wrong command line.
pub const USAGE: u8 = 2;
/// Exit code of a bug.
pub const INTERNAL: u8 = 5;

pub enum Failure {
    /// What the library reports.
    Diagnostics(Diagnostics),
    /// A program that octet ran failed and has said why.
    Program(u8),
    /// Whoever read our output has enough of it.
    OutputClosed,
}

impl Failure {
    pub fn new(kind: Kind, place: Place, message: impl Into<String>) -> Failure {
        Diagnostic::error(kind, place, message).into()
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, Place::default(), message)
    }

    /// A file that cannot be read or written.
    pub fn io(path: &Path, doing: &str, error: &io::Error) -> Failure {
        Failure::new(Kind::Io, Place::file(path.display().to_string()), format!("cannot {doing}: {error}"))
    }

    /// Standard output that cannot be written.
    pub fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::new(Kind::Io, Place::default(), format!("cannot write to standard output: {error}")),
        }
    }

    /// Writes the messages and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::Diagnostics(diagnostics) => {
                eprintln!("{diagnostics}");
                ExitCode::from(u8::try_from(diagnostics.exit_code()).unwrap_or(u8::MAX))
            }
            Failure::Program(code) => ExitCode::from(code),
            Failure::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Failure {
        Failure::Diagnostics(diagnostics)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure::Diagnostics(diagnostic.into())
    }
}
