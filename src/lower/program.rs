//! A compiled model before machine code: kernels, constants, and steps that run kernels on places in memory.
//!
//! Invariants: every operand of a step lies inside its constant, buffer, input or output; a kernel never writes what it
//! declares `Mem::Const`; workspace places of values that live at the same time do not overlap; the first `state_bytes` of
//! the workspace are the variables', where nothing else has its place; constants are followed by
//! at least [`READ_SLACK`] readable bytes, and so is the workspace's last buffer, because kernels load whole vectors.

use cranelift_entity::{PrimaryMap, entity_impl};

use super::kernel::KernelSpec;
use crate::ir::TensorType;

/// Bytes behind the end of any constant or buffer that a kernel may read (and ignore). Model inputs have none: kernels
/// that read them declare `exact_reads`. The widest: one block of 64 channels of f32.
pub const READ_SLACK: usize = 256;

/// Alignment of constants and buffers.
pub const ALIGN: usize = 64;

/// Bytes in front of the variables in the workspace. The first eight tell whether it was reset and whether an inference has
/// run since; the entry writes them.
pub const STATE_HEADER: usize = ALIGN;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelId(u32);
entity_impl!(KernelId, "kernel");

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstId(u32);
entity_impl!(ConstId, "const");

#[derive(Clone, Debug)]
pub struct Program {
    /// Prefix of the object's symbols.
    pub name: String,
    /// Hexadecimal digest of the source model.
    pub model_hash: String,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub workspace_bytes: usize,
    /// What the model remembers from inference to inference: name and type in memory of each variable.
    pub variables: Vec<Port>,
    /// Bytes at the beginning of the workspace that keep the variables: a mark of [`STATE_HEADER`] bytes, then their buffers.
    /// 0 without variables.
    pub state_bytes: usize,
    pub constants: PrimaryMap<ConstId, Vec<u8>>,
    /// Each spec once.
    pub kernels: PrimaryMap<KernelId, KernelSpec>,
    pub steps: Vec<Step>,
}

/// A tensor at the model's border: dense and row-major in the model's order of dimensions.
#[derive(Clone, Debug)]
pub struct Port {
    pub name: String,
    pub ty: TensorType,
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct Step {
    pub kernel: KernelId,
    /// In the order of [`KernelSpec::operands`].
    pub operands: Vec<Place>,
    /// Large enough to be shared between threads.
    pub parallel: bool,
    /// Runs in the first inference after a reset only: it computes the initial value of a variable.
    pub after_reset: bool,
    pub label: Label,
}

/// What a profile or a symbol calls a step.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// Source layer that gives the step its name.
    pub layer: String,
    /// All source layers the step computes, in order.
    pub layers: Vec<String>,
    /// The source's own type of the main layer: `Convolution`.
    pub layer_type: String,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
}

/// Where an operand starts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Input {
        index: usize,
        offset: usize,
    },
    Output {
        index: usize,
        offset: usize,
    },
    /// `buffer` counts the buffers: places of one buffer are parts of the same data, those of different buffers share no data,
    /// though perhaps bytes, one after the other.
    Workspace {
        buffer: usize,
        offset: usize,
    },
    Const {
        id: ConstId,
        offset: usize,
    },
}
