//! What the compiler says to its user: a place, a fact, a remedy. Problems are collected and rendered once, together.
//! Every error has a code, under which users find more: [`codes`].

pub mod codes;

use std::fmt;

use codes::Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

/// What kind of failure an error is: decides the exit code (design section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The model compiles, but not as well as the user requires.
    Threshold,
    /// A wrong command line or option.
    Usage,
    /// The model is malformed or uses what the compiler does not support.
    Model,
    /// A file cannot be read or written.
    Io,
    /// A bug in the compiler.
    Internal,
}

impl Kind {
    pub fn exit_code(self) -> i32 {
        match self {
            Kind::Threshold => 1,
            Kind::Usage => 2,
            Kind::Model => 3,
            Kind::Io => 4,
            Kind::Internal => 5,
        }
    }
}

/// Where a problem is. Every part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// Layer of the model, value or pass.
    pub item: Option<String>,
}

impl Place {
    pub fn file(file: impl Into<String>) -> Place {
        Place { file: Some(file.into()), ..Place::default() }
    }

    pub fn line(file: impl Into<String>, line: u32) -> Place {
        Place { file: Some(file.into()), line: Some(line), item: None }
    }

    pub fn item(item: impl Into<String>) -> Place {
        Place { item: Some(item.into()), ..Place::default() }
    }

    pub fn with_item(self, item: impl Into<String>) -> Place {
        Place { item: Some(item.into()), ..self }
    }
}

/// `model.xml:12: layer "conv1"`, parts left out as they are missing.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(file) = &self.file {
            f.write_str(file)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            separator = ": ";
        }
        match &self.item {
            Some(item) => write!(f, "{separator}{item}"),
            None => Ok(()),
        }
    }
}

/// One message. Lower case, no full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Of errors; notes and warnings have none.
    pub code: Option<&'static Code>,
    pub place: Place,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// `code` is one of [`codes`], or a kind for its general code.
    pub fn error(code: impl Into<&'static Code>, place: Place, message: impl Into<String>) -> Diagnostic {
        let code = Some(code.into());
        Diagnostic { severity: Severity::Error, code, place, message: message.into(), help: None }
    }

    pub fn warning(place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, code: None, place, message: message.into(), help: None }
    }

    /// Belongs to the error before it.
    pub fn note(place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Note, code: None, place, message: message.into(), help: None }
    }

    /// A bug in the compiler: says so, and asks for a report.
    pub fn internal(place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Kind::Internal, place, format!("internal error: {}", message.into()))
            .with_help("this is a bug in octet; please report it with the model")
    }

    /// What kind of failure it is, if it is one.
    pub fn kind(&self) -> Option<Kind> {
        self.code.map(Code::kind)
    }

    pub fn with_help(self, help: impl Into<String>) -> Diagnostic {
        Diagnostic { help: Some(help.into()), ..self }
    }
}

/// ```text
/// error[E0304]: model.xml:12: layer "conv1": edge from layer 7 that does not exist
///   help: export the model again
/// ```
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match self.code {
            Some(code) => write!(f, "{severity}[{}]: ", code.id)?,
            None => write!(f, "{severity}: ")?,
        }
        if self.place != Place::default() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// At least one error, perhaps with warnings and notes around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

/// What every stage that can fail because of its input returns.
pub type Result<T> = std::result::Result<T, Diagnostics>;

impl Diagnostics {
    /// The exit code of the most severe error; internal errors outrank all.
    pub fn exit_code(&self) -> i32 {
        let errors = self.0.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.filter_map(Diagnostic::kind).max().map_or(0, Kind::exit_code)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(diagnostic, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
