//! Objects -> what users take away: programs, libraries, headers.
//!
//! [`stub`] is the program around a model, [`exe`] attaches a model's object to it without a linker, [`archive`] makes a
//! static library of objects, [`header`] declares a model's functions in C. For people, [`report`] says
//! what became of each operation, [`page`] draws it, and [`exec_graph`] is the graph of the steps for Netron; [`flow`]
//! knows their edges. All of them are pure functions, and deterministic.

pub mod archive;
pub mod exe;
pub mod exec_graph;
pub mod flow;
pub mod header;
pub mod markup;
pub mod page;
pub mod report;
pub mod stub;
