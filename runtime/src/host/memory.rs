//! The workspace of a model.

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_void;

use super::Info;
use crate::abi::{Reset, WORKSPACE_ALIGN, exec_flags, status};

/// A workspace: one per inference that runs at the same time, and one per stream of a model with variables.
#[derive(Debug)]
pub struct Memory {
    lines: Vec<Line>,
    /// Of a model with variables.
    reset: Option<Reset>,
    /// The version of the model that suits this CPU.
    version: u32,
    /// An inference has found that this CPU has what that version needs: asking it takes longer than a small layer.
    pub(super) cpu_is_checked: bool,
}

/// A piece of memory with the alignment of a workspace.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; WORKSPACE_ALIGN]);

const _: () = assert!(align_of::<Line>() == WORKSPACE_ALIGN && size_of::<Line>() == WORKSPACE_ALIGN);

impl Memory {
    /// A workspace for the model, its variables with their initial values.
    pub fn new(info: Info) -> Memory {
        let lines = info.workspace_bytes().div_ceil(WORKSPACE_ALIGN);
        let lines = vec![Line([0; WORKSPACE_ALIGN]); lines];
        let mut memory = Memory { lines, reset: info.reset(), version: info.version(), cpu_is_checked: false };
        memory.reset();
        memory
    }

    /// Gives the variables their initial values; nothing of a model without.
    pub fn reset(&mut self) {
        if let Some(reset) = self.reset {
            // SAFETY: the function of the model whose size the memory has, and its alignment.
            let status = unsafe { reset(self.as_mut_ptr()) };
            debug_assert_eq!(status, status::OK, "aligned and not null");
        }
    }

    /// What `infer` need not find out again.
    pub(super) fn exec_flags(&self) -> u32 {
        match self.cpu_is_checked {
            true => exec_flags::CPU_CHECKED | self.version << exec_flags::VERSION_SHIFT,
            false => 0,
        }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.lines.as_mut_ptr().cast()
    }
}
