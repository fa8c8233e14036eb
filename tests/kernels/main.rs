//! Every family of kernels against plain loops written from the documentation of its spec, at every width in the interpreter
//! of kernels, and as machine code of this CPU, bit for bit.
//!
//! - `harness`: runs a case everywhere.
//! - `reference`: elements in memory and pointwise programs, one element at a time.
//! - one file per family: a table of shapes.

mod conv;
mod depthwise;
mod harness;
mod lookup;
mod matmul;
mod movement;
mod pointwise;
mod pool;
mod random;
mod reduce;
mod reference;
mod rnn;
mod tile_conv;
mod wide;
mod winograd;
