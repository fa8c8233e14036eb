//! Octet: an ahead-of-time compiler from quantized OpenVINO IR to native INT8 code.
//!
//! ```text
//! model.xml + model.bin
//!        │ frontend      OpenVINO layers become operations of one graph
//!        ▼
//!      Graph ──── passes  low precision transformations: float + FakeQuantize becomes integer arithmetic
//!        │ lower         operations become fused kernels on buffers with fixed places
//!        ▼
//!     Program
//!        │ simd          each kernel written once, for any vector width
//!        ▼
//!   simd::Function
//!        │ codegen       machine code
//!        ▼
//!      object ──── emit   program, library, header
//! ```
//!
//! Read in that order; [`driver`] is where the stages meet. [`interp`] is the meaning of every operation, and the judge of
//! everything after the frontend. [`build`] is for build scripts of programs in Rust that have a model inside.
#![forbid(unsafe_code)]

pub mod build;
pub mod codegen;
pub mod diag;
pub mod driver;
pub mod emit;
pub mod frontend;
pub mod interp;
pub mod ir;
pub mod lower;
pub mod passes;
pub mod simd;
pub mod tuning;
