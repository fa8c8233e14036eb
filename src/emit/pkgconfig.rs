//! A `.pc` file for the static library of a model, so that `pkg-config --cflags --libs` finds it and its header.
//!
//! Paths are relative to the file, so the three may be moved or installed together.

use crate::lower::program::Program;

/// The file for `program`, whose library is called `library` and stands beside it, as its header does.
pub fn file(program: &Program, library: &str) -> String {
    format!(
        "Name: {name}\nDescription: {name}, compiled by octet from a model with the digest {hash}\n\
         Version: {version}\nCflags: -I${{pcfiledir}}\nLibs: ${{pcfiledir}}/{library}\n",
        name = program.name,
        hash = program.model_hash,
        version = env!("CARGO_PKG_VERSION"),
    )
}
