//! One model ready to run: inputs, outputs, workspace and threads, all allocated before the first call.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr;

use super::Process;
use super::error::Failure;
use super::model::Model;
use super::tensors::{self, Buffer};
use crate::abi::{ABI_VERSION, Exec, ParallelFor, exec_flags, status};
use crate::clock;
use crate::cpu::Names;
use crate::peak::{self, PRECISIONS, Peak};
use crate::threads::{self, Pool};

/// Calls the model on fixed buffers.
pub struct Session<'a> {
    model: &'a Model,
    _inputs: Vec<Buffer>,
    pub outputs: Vec<Buffer>,
    input_pointers: Vec<*const c_void>,
    output_pointers: Vec<*mut c_void>,
    workspace: Buffer,
    pool: Pool,
    layer_ns: Vec<u64>,
}

/// Refuses a CPU that lacks what the model was compiled for.
fn check_cpu(model: &Model, process: &Process) -> Result<(), Failure> {
    let missing = model.cpu_features & !process.cpu_features;
    if missing == 0 {
        return Ok(());
    }
    let message = format!(
        "this CPU lacks {} (the model was compiled for {}); compile it with --cpu native on this machine",
        Names(missing),
        model.cpu_name
    );
    Err(Failure::unsupported(message))
}

impl<'a> Session<'a> {
    /// Variables have their initial values. `threads` includes the calling one.
    pub fn new(model: &'a Model, process: &Process, inputs: Vec<Buffer>, threads: usize) -> Result<Self, Failure> {
        check_cpu(model, process)?;
        let outputs = tensors::buffers(&model.outputs)?;
        let pool = Pool::new(threads).map_err(|errno| Failure::system("cannot start the threads", errno))?;
        let workspace = Buffer::new(model.workspace_bytes, model.workspace_align)?;
        if let Some(reset) = model.reset {
            // SAFETY: a workspace of the size and alignment the model asks for.
            checked(unsafe { reset(workspace.as_ptr().cast()) })?;
        }
        Ok(Session {
            model,
            input_pointers: inputs.iter().map(|buffer| buffer.as_ptr().cast_const().cast()).collect(),
            output_pointers: outputs.iter().map(|buffer| buffer.as_ptr().cast()).collect(),
            _inputs: inputs,
            outputs,
            workspace,
            pool,
            layer_ns: vec![0; model.layers.len()],
        })
    }

    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// One inference.
    pub fn infer(&mut self) -> Result<(), Failure> {
        self.call(None)
    }

    /// One inference, and the nanoseconds of each of its layers.
    pub fn infer_profiled(&mut self) -> Result<&[u64], Failure> {
        self.layer_ns.fill(0);
        self.call(Some(clock::abi_clock))?;
        Ok(&self.layer_ns)
    }

    /// What the machine can do at best with the instructions of the model, on the threads of this session.
    pub fn peaks(&mut self) -> [Peak; PRECISIONS.len()] {
        // SAFETY: `check_cpu` found that this CPU has what the model needs.
        unsafe { peak::measure(&mut self.pool, self.model.cpu_features) }
    }

    fn call(&mut self, clock: Option<crate::abi::Clock>) -> Result<(), Failure> {
        let parallel_for: ParallelFor = threads::parallel_for;
        let exec = Exec {
            abi_version: ABI_VERSION,
            flags: exec_flags::CPU_CHECKED | self.model.version << exec_flags::VERSION_SHIFT,
            context: (&raw mut self.pool).cast(),
            parallel_for: Some(parallel_for).filter(|_| self.pool.threads() > 1),
            clock,
            layer_ns: if clock.is_some() { self.layer_ns.as_mut_ptr() } else { ptr::null_mut() },
        };
        // SAFETY: one pointer per input and output to a buffer of its size and alignment, a workspace of the size and
        // alignment the model asks for, a pool that only this call uses, and a counter per layer.
        let code = unsafe {
            (self.model.infer)(
                self.input_pointers.as_ptr(),
                self.output_pointers.as_ptr(),
                self.workspace.as_ptr().cast(),
                &exec,
            )
        };
        checked(code)
    }
}

/// A status as a result.
fn checked(code: i32) -> Result<(), Failure> {
    match code {
        status::OK => Ok(()),
        status::CPU_UNSUPPORTED => Err(Failure::unsupported(status::describe(code))),
        code => Err(Failure::internal(format!("the model returned {code}: {}", status::describe(code)))),
    }
}
