//! From kernels to machine code.
//!
//! - [`target`]: what the code is compiled for: triple, CPU features, vector width.
//! - [`clif`]: kernels of 128-bit vectors through Cranelift, for every target.
//! - [`x86`]: kernels of 256-bit and 512-bit vectors for x86-64;
//! - [`estimate`]: how long kernels take.
//! - [`entry`]: what stands between a caller and the kernels: checks, steps, threads, clock.
//! - [`cpu_check`]: the features a CPU must have, as x86-64 code.
//! - [`description`]: what the model says about itself, as bytes.
//! - [`dwarf`]: layers and their lines for debuggers and profilers.
//! - [`object`]: all of it with the constants as an object file.
//!
//! Whatever the back end, a kernel becomes [`MachineCode`]: position-independent bytes that refer to nothing outside
//! themselves. That is why kernels can be compiled on any thread and in any order.

pub mod clif;
mod cpu_check;
mod description;
mod dwarf;
mod entry;
pub mod estimate;
pub mod object;
pub mod target;
pub mod x86;

/// A compiled function without references to the outside; its constants stand behind its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineCode {
    pub bytes: Vec<u8>,
    /// Required alignment of the first byte.
    pub align: u64,
    /// Stack that one call takes at most, its return address included.
    pub stack_bytes: usize,
}
