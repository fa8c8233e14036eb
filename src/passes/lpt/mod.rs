//! Low Precision Transformations: a float graph with `FakeQuantize` becomes integer arithmetic of the same meaning.
//!
//! ```text
//! lpt-prepare     integers that the model writes itself (Convert, Subtract, Multiply) become dequantize of u8
//! lpt-decompose   fake_quantize -> dequantize(quantize(x)), u8 with a zero point
//! lpt-sink        op(dequantize(q)) -> dequantize(op'(q)), one rule per operation
//! lpt-fuse        quantize(dequantize(q)) -> requantize(q); bounds and data movement pass through quantize
//! lpt-cleanup     requantize that changes nothing goes; what nobody reads goes
//! ```
//!
//! What holds afterwards, and lowering relies on:
//! - integer `convolution`, `deconvolution` and `matmul` read u8 and constant i8 or i16 weights; `pad_value` is the source's zero point;
//!   a `matmul` of two computed operands reads u8 or i8 on either side;
//! - the zero point's correction is an i32 `add` of a constant `[1, oc, 1, 1]` (MatMul: along the last axis), left out where it is 0;
//!   of two computed operands: an i32 column, row, or both;
//! - then one `dequantize` per output channel, with the bias in its zero point, or one `requantize`;
//! - 8-bit data move as integers; what is computed in float stands between `dequantize` and `quantize`.
//!
//! A rule that cannot keep the meaning exact (up to the rounding of f32) refuses with a [`Refusal`], and the operation stays in
//! float. Nothing is approximated: where two results differ, it is at rounding ties.
//!
//! - [`ranges`]: the grids of a `FakeQuantize`; [`weights`], [`integer_weights`]: constant weights in all forms;
//! - [`spread`]: which axis a constant varies along, and where that axis goes;
//! - [`refusal`]: reasons, as data.

pub mod cleanup;
pub mod decompose;
pub mod fuse;
pub mod integer_weights;
pub mod prepare;
pub mod ranges;
pub mod refusal;
pub mod sink;
pub mod spread;
pub mod walk;
pub mod weights;

pub use refusal::Refusal;
