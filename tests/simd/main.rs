//! Kernels mean the same everywhere: compiled code on this CPU with several sets of features, compiled code for aarch64
//! in an emulator, and the interpreter agree to the bit.
//!
//! - `rows`: every instruction alone, on random and boundary values.
//! - `programs`: random programs with loops and branches.
//! - `checks`: what the interpreter and the verifier must reject.
//! - `math`: elementary functions and their errors.
//! - `gemm`: the inner loop of a matrix product has no instruction too many.

mod checks;
mod gemm;
mod machine;
mod math;
mod programs;
mod rows;
mod tiles;
