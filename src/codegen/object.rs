//! A program as an object file.

use super::target::Target;
use crate::diag::{Diagnostic, Place, Result};
use crate::lower::program::Program;

/// A relocatable ELF file that exports `NAME_infer` and `NAME_info` and needs no symbol.
pub struct Object {
    pub bytes: Vec<u8>,
    pub code_bytes: u64,
    pub constant_bytes: u64,
}

/// Compiles a program.
///
/// # Errors
/// Internal ones.
pub fn build(program: &Program, target: &Target) -> Result<Object> {
    let place = Place::item(format!("{} for {}", program.name, target.cpu_name()));
    Err(Diagnostic::internal(place, "machine code cannot be written yet").into())
}
