//! The command line of a compiled model: `run`, `bench`, `info`.
//!
//! ```text
//! args     -> [args]     a Command, or a usage error
//! slot     -> [model]    names, shapes, layers behind plain slices; refused if ABI or CPU do not fit
//! files    -> [tensors]  aligned buffers of exactly the model's types
//!             [session]  workspace + threads + one call of the model
//!             [run] [bench] [info]
//!             [stats] [table] [json] [csv] [decimal]   how results are written, without floating point
//! ```
//!
//! Exit codes are those of the `octet` command line. A `.npy` file of the wrong type or shape counts as an I/O error: the
//! command line was right, the file is not.

mod args;
mod bench;
mod csv;
mod decimal;
mod error;
mod info;
mod io;
mod json;
mod model;
mod run;
mod session;
mod stats;
mod table;
mod tensors;

use core::panic::PanicInfo;

use crate::abi::ModelSlot;
use crate::clock::now_ns;
use crate::cpu::{self, HardwareCapabilities};
use crate::sys;

use args::{Command, Invocation};
use error::Failure;
use model::Model;

pub use error::INTERNAL_ERROR;

/// What the process is and when it began.
struct Process {
    /// File name of the program, for messages.
    name: alloc::string::String,
    /// Bits of [`crate::abi::cpu`].
    cpu_features: u64,
    start_ns: u64,
}

/// Runs the command line `args` (the program's name first) and returns the exit code.
///
/// # Safety
/// `slot` is empty, or holds the addresses of a model's functions; the model keeps the promises of [`crate::abi`].
pub unsafe fn main(args: &[&[u8]], slot: &ModelSlot, capabilities: HardwareCapabilities) -> i32 {
    let name = io::file_name(args.first().copied().unwrap_or(b"model"));
    let process = Process { name, cpu_features: cpu::detect(capabilities), start_ns: now_ns() };
    // SAFETY: the caller's promise.
    let result = unsafe { execute(args.get(1..).unwrap_or_default(), slot, &process) };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            io::print(sys::STDERR, &alloc::format!("{}: error: {failure}\n", process.name));
            failure.code
        }
    }
}

/// # Safety
/// As [`main`].
unsafe fn execute(args: &[&[u8]], slot: &ModelSlot, process: &Process) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let model = unsafe { Model::from_slot(slot) }?;
    let Invocation::Command(command) = args::parse(args)? else {
        return io::out(&args::usage(&process.name, &model));
    };
    match command {
        Command::Info => info::info(&model, process),
        Command::Run(options) => run::run(&model, process, &options),
        Command::Bench(options) => bench::bench(&model, process, &options),
    }
}

/// Prints a panic, which is a bug of this crate; the caller ends the process with [`INTERNAL_ERROR`].
pub fn report_panic(info: &PanicInfo<'_>) {
    use core::fmt::Write;
    // Without the heap: it may be what failed.
    let _ = writeln!(io::Stderr, "internal error, please report it: {info}");
}
