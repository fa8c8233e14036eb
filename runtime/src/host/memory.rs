//! The workspace of a model.

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_void;

use super::Info;
use crate::abi::WORKSPACE_ALIGN;

/// A workspace: one per inference that runs at the same time.
#[derive(Debug)]
pub struct Memory {
    lines: Vec<Line>,
    /// An inference has found that this CPU has what the model needs: asking it takes longer than a small layer.
    pub(super) cpu_is_checked: bool,
}

/// A piece of memory with the alignment of a workspace.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; WORKSPACE_ALIGN]);

const _: () = assert!(align_of::<Line>() == WORKSPACE_ALIGN && size_of::<Line>() == WORKSPACE_ALIGN);

impl Memory {
    /// A workspace for the model.
    pub fn new(info: Info) -> Memory {
        let lines = info.workspace_bytes().div_ceil(WORKSPACE_ALIGN);
        Memory { lines: vec![Line([0; WORKSPACE_ALIGN]); lines], cpu_is_checked: false }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.lines.as_mut_ptr().cast()
    }
}
