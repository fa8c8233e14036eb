//! The vector kernel IR: every kernel is written once, for any vector width.
//!
//! - [`ir`]: values, instructions, structured loops. What an instruction means is said there, for any width.
//! - [`builder`]: how kernels are written, as Rust functions that build programs.
//! - [`math`]: exp, tanh, erf and their like, for kernels to inline.
//! - [`verify`]: what must hold before a kernel is run or compiled; [`print`]: kernels as text.
//! - [`tiles`]: registers that hold matrices, where the CPU has them;
//! - [`interp`]: runs a program on byte regions with bounds checks; the oracle of every back end.
//!
//! A kernel must not know its width. It asks [`ir::Width`] how many lanes there are, and respects one rule: **nothing crosses
//! a 16-byte chunk**. Packs, unpacks and byte shuffles work inside each chunk of a vector, as the wide instruction sets do;
//! only loads, stores, splats, reductions and one permutation see the whole vector. Where bytes become 32-bit lanes and back, this gives the
//! *packed order* of channels ([`ir::Width::packed_channel`]), and constants are laid out in it at compile time.

pub mod builder;
pub mod execute;
pub mod interp;
pub mod ir;
pub mod kernels;
pub mod math;
pub mod print;
pub mod tiles;
pub mod verify;
