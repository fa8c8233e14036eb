//! Calling a compiled model from Rust: what the module that [`include_model!`](crate::include_model) makes stands on.
//!
//! `octet::build` compiles a model in a `build.rs` and writes a module with typed inputs and outputs; its few unsafe lines
//! end here. The user's code has none:
//!
//! - [`Tensor`]: arrays of arrays, in the shapes of the model, and views of flat slices as such arrays;
//! - [`Memory`]: the workspace;
//! - [`Threads`]: threads of the caller, and [`Work`] for them;
//! - [`Info`]: what the model says about itself; [`Error`]: why it refused.

mod info;
mod memory;
mod tensor;
mod work;

use core::ffi::c_void;
use core::fmt;
use core::ptr;

use crate::abi::{ABI_VERSION, Exec, Infer, status};

pub use info::{Info, Layer, TensorDescription};
pub use memory::Memory;
pub use tensor::Tensor;
pub use work::{Threads, Work};

/// The module that `octet::build` wrote for the model of this name: `Inputs`, `Outputs`, `Workspace`, `infer`, `info`.
///
/// `include_model!(digits)` makes a module `digits`; a visibility may stand before the name.
#[macro_export]
macro_rules! include_model {
    ($visibility:vis $name:ident) => {
        #[allow(unsafe_code, dead_code, non_snake_case)]
        $visibility mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    };
}

/// Why a model did not compute: a code of [`status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    status: i32,
}

impl Error {
    /// The code, a constant of [`status`].
    pub fn status(self) -> i32 {
        self.status
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(status::describe(self.status))
    }
}

/// Calls `infer`, on this thread and those of `threads`.
///
/// # Errors
/// A CPU that lacks what the model was compiled for.
///
/// # Safety
/// `infer` is the function of the model that `memory` was made for. `inputs` and `outputs` point to its tensors, in order; no
/// tensor overlaps another that is written.
pub unsafe fn infer(
    infer: Infer,
    inputs: &[*const c_void],
    outputs: &[*mut c_void],
    memory: &mut Memory,
    threads: Option<&dyn Threads>,
) -> Result<(), Error> {
    let exec = Exec {
        abi_version: ABI_VERSION,
        flags: memory.exec_flags(),
        context: (&raw const threads).cast_mut().cast(),
        parallel_for: threads.map(|_| work::parallel_for as _),
        clock: None,
        layer_ns: ptr::null_mut(),
    };
    // SAFETY: the caller's promise for the tensors; the workspace has the model's size and alignment and is borrowed
    // exclusively; `parallel_for` gets the context it expects, which lives until the call returns.
    let status = unsafe { infer(inputs.as_ptr(), outputs.as_ptr(), memory.as_mut_ptr(), &exec) };
    if status != status::OK {
        return Err(Error { status });
    }
    memory.cpu_is_checked = true;
    Ok(())
}
