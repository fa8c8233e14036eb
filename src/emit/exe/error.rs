//! Why an object cannot be attached.

use std::fmt;

/// Everything that is wrong with a stub or an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkError {
    pub problems: Vec<Problem>,
}

/// One thing that is wrong. Objects come from this compiler, so each is a bug of it unless the object is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The stub is not a program that a model can be attached to.
    Stub(String),
    /// The object is not a relocatable ELF64 little-endian file.
    Object(String),
    /// ELF machine numbers.
    Machine { stub: u16, object: u16 },
    /// The object uses a symbol that it does not define.
    Undefined(String),
    /// An entry that the object should define.
    MissingSymbol(String),
    /// The object has memory that is written at run time, or thread-local.
    Writable { section: String, bytes: u64 },
    /// A relocation that cannot be resolved.
    Relocation { section: String, offset: u64, r_type: u32, why: RelocationProblem },
}

/// What is wrong with a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocationProblem {
    Unsupported,
    OutOfRange,
    /// The target is not a multiple of what the instruction can address.
    Misaligned,
    /// It lies outside its section.
    OutsideSection,
}

impl From<Problem> for LinkError {
    fn from(problem: Problem) -> Self {
        LinkError { problems: vec![problem] }
    }
}

impl std::error::Error for LinkError {}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Stub(why) => write!(f, "program stub: {why}"),
            Problem::Object(why) => write!(f, "object: {why}"),
            Problem::Machine { stub, object } => {
                write!(f, "the object is for ELF machine {object}, the program stub for {stub}")
            }
            Problem::Undefined(name) => write!(f, "undefined symbol {name}"),
            Problem::MissingSymbol(name) => write!(f, "the object does not define {name}"),
            Problem::Writable { section, bytes } => {
                write!(f, "section {section} has {bytes} bytes of writable data; a model has none")
            }
            Problem::Relocation { section, offset, r_type, why } => {
                let why = match why {
                    RelocationProblem::Unsupported => "is not supported",
                    RelocationProblem::OutOfRange => "does not reach its target",
                    RelocationProblem::Misaligned => "has a misaligned target",
                    RelocationProblem::OutsideSection => "lies outside its section",
                };
                write!(f, "relocation of type {r_type} at {section}+{offset:#x} {why}")
            }
        }
    }
}
