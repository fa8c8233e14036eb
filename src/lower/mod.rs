//! Graph to [`program::Program`]: fusion into kernels, layouts, weight packing, memory plan. After this no graph exists.
//!
//! - [`program`]: the result: a list of steps over buffers with fixed places.
//! - [`kernel`]: what a kernel computes, family by family, with every size and stride a constant.
//! - [`pack`]: constants as kernels read them: weights in blocks, tables of resampling.
//! - [`pointwise`]: the arithmetic around a kernel: conversions, scales, biases, activations, residual adds.

pub mod kernel;
pub mod pack;
pub mod pointwise;
pub mod program;
