//! Failures of the program: a message and the exit code that goes with it.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::sys::Errno;

const USAGE: i32 = 2;
const UNSUPPORTED: i32 = 3;
const IO: i32 = 4;
/// Exit code of a bug: a panic, or a model that breaks its promises.
pub const INTERNAL_ERROR: i32 = 5;

/// Why the program ends without a result. Prints as one message.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    message: String,
}

impl Failure {
    /// The command line is at fault.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { code: USAGE, message: format!("{} (--help shows the options)", message.into()) }
    }

    /// This machine cannot run the model.
    pub fn unsupported(message: impl Into<String>) -> Failure {
        Failure { code: UNSUPPORTED, message: message.into() }
    }

    /// A file is at fault, or the system that should read or write it.
    pub fn io(message: impl Into<String>) -> Failure {
        Failure { code: IO, message: message.into() }
    }

    /// A bug.
    pub fn internal(message: impl Into<String>) -> Failure {
        Failure { code: INTERNAL_ERROR, message: format!("internal error, please report it: {}", message.into()) }
    }

    /// The system refused something that is no file.
    pub fn system(what: &str, errno: Errno) -> Failure {
        Failure::io(format!("{what}: {errno}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
