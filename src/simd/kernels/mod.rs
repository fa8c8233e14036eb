//! The kernels: one file per family, each a function from a spec to a program of the vector IR.
//!
//! A kernel takes the pointers of [`KernelSpec::operands`] in order, then two integers: the range `begin..end` of its
//! [`KernelSpec::items`]. Sizes, strides and taps are constants of the program; the width and what else is known of the target are the builder's.
//!
//! - [`strip`]: channels in vectors, from memory and back;
//! - [`epilogue`], [`lanes`]: pointwise programs on strips;
//! - [`nest`]: loops over outer dimensions.

pub mod conv;
pub mod copy;
pub mod depthwise;
pub mod epilogue;
pub mod fill;
pub mod indexed;
pub mod lanes;
pub mod lookup;
pub mod matmul;
pub mod nest;
pub mod normalize;
pub mod pointwise;
pub mod pool;
pub mod reduce;
pub mod resize;
pub mod rnn;
pub mod scan;
pub mod softmax;
pub mod strip;
pub mod tile_conv;
pub mod top_k;
mod transpose;
pub mod winograd;

use super::builder::{Builder, Pointer};
use super::ir::{Function, Val, Vectors};
use crate::lower::kernel::KernelSpec;

/// The range of items a call works on.
#[derive(Clone, Copy, Debug)]
pub struct Items {
    pub begin: Val,
    pub end: Val,
}

/// Writes the kernel of a spec.
pub fn build(spec: &KernelSpec, name: &str, vectors: impl Into<Vectors>) -> Function {
    let mut b = Builder::new(name, vectors);
    let operands: Vec<Pointer> = spec.operands().iter().map(|access| b.param_ptr(access.mem())).collect();
    let items = Items { begin: b.param_int(), end: b.param_int() };
    match spec {
        KernelSpec::Conv(spec) => conv::build(&mut b, spec, &operands, items),
        KernelSpec::TileConv(spec) => tile_conv::build(&mut b, spec, &operands, items),
        KernelSpec::Depthwise(spec) => depthwise::build(&mut b, spec, &operands, items),
        KernelSpec::WinogradSource(spec) => winograd::build_source(&mut b, spec, &operands, items),
        KernelSpec::Winograd(spec) => winograd::build(&mut b, spec, &operands, items),
        KernelSpec::Pool(spec) => pool::build(&mut b, spec, &operands, items),
        KernelSpec::Pointwise(spec) => pointwise::build(&mut b, spec, &operands, items),
        KernelSpec::Lookup(spec) => lookup::build(&mut b, spec, &operands, items),
        KernelSpec::Reduce(spec) => reduce::build(&mut b, spec, &operands, items),
        KernelSpec::Copy(spec) => copy::build(&mut b, spec, &operands, items),
        KernelSpec::Fill(spec) => fill::build(&mut b, spec, &operands, items),
        KernelSpec::Resize(spec) => resize::build(&mut b, spec, &operands, items),
        KernelSpec::Softmax(spec) => softmax::build(&mut b, spec, &operands, items),
        KernelSpec::Normalize(spec) => normalize::build(&mut b, spec, &operands, items),
        KernelSpec::MatMul(spec) => matmul::build(&mut b, spec, &operands, items),
        KernelSpec::Indexed(spec) => indexed::build(&mut b, spec, &operands, items),
        KernelSpec::Scan(spec) => scan::build(&mut b, spec, &operands, items),
        KernelSpec::TopK(spec) => top_k::build(&mut b, spec, &operands, items),
        KernelSpec::Rnn(spec) => rnn::build(&mut b, spec, &operands, items),
    }
    b.finish()
}
