//! Files and standard streams, with errors that name the file.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::error::Failure;
use crate::sys::{self, Errno, File};

/// Writes text to standard output.
pub fn out(text: &str) -> Result<(), Failure> {
    sys::write_all(sys::STDOUT, text.as_bytes()).map_err(|errno| Failure::io(format!("standard output: {errno}")))
}

/// Writes text where a failure to do so has no remedy.
pub fn print(fd: i32, text: &str) {
    let _ = sys::write_all(fd, text.as_bytes());
}

/// Standard error without a buffer.
pub struct Stderr;

impl fmt::Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        sys::write_all(sys::STDERR, text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// The last part of a path.
pub fn file_name(path: &[u8]) -> String {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    String::from_utf8_lossy(name).into_owned()
}

/// A path with the NUL the system wants.
fn c_path(path: &str) -> Result<CString, Failure> {
    CString::new(path).map_err(|_| Failure::io(format!("\"{path}\": a path cannot contain NUL")))
}

/// Reads a file up to its end, but at most `limit` bytes: whoever asks knows how much can be of use.
pub fn read(path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    const CHUNK: usize = 1 << 16;
    let failed = |errno: Errno| Failure::io(format!("{path}: {errno}"));
    let mut file = File::open(&c_path(path)?).map_err(failed)?;
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        let len = bytes.len();
        bytes.resize(len + CHUNK.max(len).min(limit - len), 0);
        let count = file.read(&mut bytes[len..]).map_err(failed)?;
        bytes.truncate(len + count);
        if count == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// Creates or replaces a file.
pub fn write(path: &str, parts: &[&[u8]]) -> Result<(), Failure> {
    let failed = |errno: Errno| Failure::io(format!("{path}: {errno}"));
    let mut file = File::create(&c_path(path)?).map_err(failed)?;
    parts.iter().try_for_each(|part| file.write_all(part)).map_err(failed)
}
