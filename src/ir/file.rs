//! Graphs in files: `model.oir` and, where constants are large, `model.oir.bin` beside it.

use std::fs;
use std::io;
use std::path::Path;

use super::graph::Graph;
use super::parse::{Parsed, parse};
use super::print::{PrintOptions, print};
use crate::diag::{self, Diagnostic, Diagnostics, Place, codes};

/// Reads a `.oir` file.
///
/// # Errors
/// When a file cannot be read, and all errors in the text.
pub fn read(path: &Path) -> diag::Result<Parsed> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| io_error(&codes::UNREADABLE, path, &error))?;
    parse(&text, &file, &|blob| fs::read(path.with_file_name(blob)))
}

/// Writes a `.oir` file that [`read`] reads.
///
/// # Errors
/// When a file cannot be written.
pub fn write(graph: &Graph, path: &Path) -> diag::Result<()> {
    let mut blob = path.as_os_str().to_os_string();
    blob.push(".bin");
    let blob = Path::new(&blob);
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    let printed = print(graph, &PrintOptions::file(name));
    fs::write(path, &printed.text).map_err(|error| io_error(&codes::UNWRITABLE, path, &error))?;
    if !printed.blob.is_empty() {
        fs::write(blob, &printed.blob).map_err(|error| io_error(&codes::UNWRITABLE, blob, &error))?;
    }
    Ok(())
}

fn io_error(code: &'static codes::Code, path: &Path, error: &io::Error) -> Diagnostics {
    Diagnostic::error(code, Place::file(path.display().to_string()), error.to_string()).into()
}
