//! Graph to [`program::Program`]: fusion into kernels, layouts, weight packing, memory plan. After this no graph exists.
//!
//! - [`program`]: the result: a list of steps over buffers with fixed places.
//! - [`kernel`]: what a kernel computes, family by family, with every size and stride a constant.
//! - [`pointwise`]: the arithmetic around a kernel: conversions, scales, biases, activations, residual adds.

pub mod kernel;
pub mod pointwise;
pub mod program;
