//! Objects -> what users take away: programs, libraries, headers.
//!
//! [`stub`] is the program around a model, [`exe`] attaches a model's object to it without a linker, [`archive`] makes a
//! static library of objects, [`header`] declares a model's functions in C, [`report`] says what
//! became of each operation. All of them are pure functions from bytes to
//! bytes, and deterministic.

pub mod archive;
pub mod exe;
pub mod header;
pub mod report;
pub mod stub;
