//! A compiled model before machine code: kernels, constants, and steps that run kernels on places in memory.
//!
//! Invariants: every operand of a step lies inside its constant, buffer, input or output; a kernel never writes what it
//! declares `Mem::Const`; workspace places of values that live at the same time do not overlap; the first `state_bytes` of
//! the workspace are the variables', where nothing else has its place; constants are followed by
//! at least [`READ_SLACK`] readable bytes, and so is the workspace's last buffer, because kernels load whole vectors.

use cranelift_entity::{PrimaryMap, entity_impl};

use super::choice::Choice;
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
    /// Name of the file that the lines of labels are in, without its directory; none where debuggers shall not see them.
    pub source: Option<String>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub workspace_bytes: usize,
    /// What lies in the workspace when, in no order that matters.
    pub buffers: Vec<Buffer>,
    /// What the model remembers from inference to inference, in the order of the state.
    pub variables: Vec<Variable>,
    /// Bytes at the beginning of the workspace that keep the variables: a mark of [`STATE_HEADER`] bytes, then their buffers.
    /// 0 without variables.
    pub state_bytes: usize,
    pub constants: PrimaryMap<ConstId, Vec<u8>>,
    /// Each spec once.
    pub kernels: PrimaryMap<KernelId, KernelSpec>,
    pub steps: Vec<Step>,
    /// What was decided about the layers that can take several forms, in the order of their steps.
    pub choices: Vec<Choice>,
}

impl Program {
    /// The first step at which most bytes of the workspace are in use, and what uses them, the largest first; none if nothing
    /// does. The plan may need more than their sum, where buffers of different sizes leave gaps.
    pub fn peak(&self) -> Option<(usize, Vec<&Buffer>)> {
        let live = |step: usize| self.buffers.iter().filter(move |buffer| (buffer.first..=buffer.last).contains(&step));
        let bytes = |step: &usize| live(*step).map(|buffer| buffer.bytes).sum::<usize>();
        // Of equal ones the last is the maximum: the first step, in reverse.
        let step = (0..self.steps.len()).rev().max_by_key(bytes)?;
        let mut buffers: Vec<&Buffer> = live(step).collect();
        buffers.sort_by_key(|buffer| (std::cmp::Reverse(buffer.bytes), buffer.offset));
        (!buffers.is_empty()).then_some((step, buffers))
    }
}

/// A part of the workspace that holds one value, perhaps in parts, from its first step to its last; a variable lives in all
/// steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Number in [`Place::Workspace`].
    pub number: usize,
    pub bytes: usize,
    pub offset: usize,
    /// Steps, both inclusive; 0 and [`usize::MAX`] of a variable.
    pub first: usize,
    pub last: usize,
}

impl Buffer {
    pub fn is_variable(&self) -> bool {
        self.last == usize::MAX
    }
}

/// A tensor at the model's border: dense and row-major in the model's order of dimensions.
#[derive(Clone, Debug)]
pub struct Port {
    pub name: String,
    pub ty: TensorType,
}

/// A tensor in the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    pub name: String,
    /// In memory, where a model's f32 may be quantized.
    pub ty: TensorType,
    /// How its dimensions lie there, outermost first.
    pub order: Vec<usize>,
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
    /// Line of `layer` in the source, from 1; 0 when there is none.
    pub line: u32,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Cycles of one core that the step takes, by the estimate lowering was given.
    pub cycles: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_where_most_bytes_live() {
        let buffer = |number, bytes, first, last| Buffer { number, bytes, offset: 0, first, last };
        let step = Step {
            kernel: KernelId::from_u32(0),
            operands: Vec::new(),
            parallel: false,
            after_reset: false,
            label: Label::default(),
        };
        let mut program = Program {
            name: "p".into(),
            model_hash: String::new(),
            source: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            workspace_bytes: 0,
            buffers: vec![buffer(0, 64, 0, 1), buffer(1, 128, 1, 2), buffer(2, 64, 2, 3)],
            variables: Vec::new(),
            state_bytes: 0,
            constants: PrimaryMap::new(),
            kernels: PrimaryMap::new(),
            steps: vec![step; 4],
            choices: Vec::new(),
        };
        let numbers = |program: &Program| {
            program.peak().map(|(step, live)| (step, live.iter().map(|buffer| buffer.number).collect::<Vec<_>>()))
        };
        assert_eq!(numbers(&program), Some((1, vec![1, 0])));
        program.buffers.clear();
        assert_eq!(numbers(&program), None);
    }
}
