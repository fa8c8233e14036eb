//! How a command fails: messages on standard error, once, and the exit code. And how it prints, which can fail too.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use octet::diag::codes::{self, Code};
use octet::diag::{Diagnostic, Diagnostics, Place, Severity};
use serde_json::{Value, json};

/// Exit code of a wrong command line.
pub const USAGE: u8 = 2;

pub enum Failure {
    /// What the library reports.
    Diagnostics(Diagnostics),
    /// A program that octet ran failed and has said why.
    Program(u8),
    /// Whoever read our output has enough of it.
    OutputClosed,
}

impl Failure {
    pub fn new(code: &'static Code, place: Place, message: impl Into<String>) -> Failure {
        Diagnostic::error(code, place, message).into()
    }

    /// A wrong command line.
    pub fn usage(code: &'static Code, message: impl Into<String>) -> Failure {
        Failure::new(code, Place::default(), message)
    }

    /// A file that cannot be read, written, created: `doing` is what cannot `be` done.
    pub fn io(path: &Path, doing: &str, error: &io::Error) -> Failure {
        let code = if doing == "be read" { &codes::UNREADABLE } else { &codes::UNWRITABLE };
        Failure::new(code, Place::file(path.display().to_string()), format!("cannot {doing}: {error}"))
    }

    /// Standard output that cannot be written.
    pub fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => {
                Failure::new(&codes::UNWRITABLE, Place::default(), format!("cannot write to standard output: {error}"))
            }
        }
    }

    /// Writes the messages, for people to standard error or as JSON to standard output, and gives the exit code.
    pub fn report(self, as_json: bool) -> ExitCode {
        match self {
            Failure::Diagnostics(diagnostics) => {
                // Nothing is left to do where not even the messages can be written.
                let written = as_json && print(&format!("{:#}\n", json_of(&diagnostics))).is_ok();
                if !written {
                    eprintln!("{diagnostics}");
                }
                ExitCode::from(u8::try_from(diagnostics.exit_code()).unwrap_or(u8::MAX))
            }
            Failure::Program(code) => ExitCode::from(code),
            Failure::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

/// `{"errors": [{severity, code, file, line, item, message, help}, ..], "exit_code"}`; what is not known is null.
fn json_of(diagnostics: &Diagnostics) -> Value {
    let messages = diagnostics.0.iter().map(|diagnostic| {
        json!({
            "severity": match diagnostic.severity {
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            "code": diagnostic.code.map(|code| code.id),
            "file": diagnostic.place.file,
            "line": diagnostic.place.line,
            "item": diagnostic.place.item,
            "message": diagnostic.message,
            "help": diagnostic.help,
        })
    });
    json!({ "errors": messages.collect::<Vec<Value>>(), "exit_code": diagnostics.exit_code() })
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

/// Writes to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
}
