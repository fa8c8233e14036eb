//! What a model says about itself, without pointers.

use core::ffi::{CStr, c_char};
use core::slice;

use crate::abi::{ElementType, LayerInfo, ModelInfo, Reset, TensorInfo};

/// The description of a model.
#[derive(Clone, Copy, Debug)]
pub struct Info(&'static ModelInfo);

/// An input or output.
#[derive(Clone, Copy, Debug)]
pub struct TensorDescription {
    pub name: &'static str,
    /// `None` for a type that this version does not know.
    pub element: Option<ElementType>,
    pub dims: &'static [u64],
}

/// A step of the model; [`LayerInfo`] documents the fields.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub name: &'static str,
    pub original_names: &'static str,
    pub layer_type: &'static str,
    pub exec_type: &'static str,
    pub precision: &'static str,
    pub macs: u64,
}

impl Info {
    /// # Safety
    /// `info` is what a model's [`crate::abi::Info`] of this version returned.
    pub unsafe fn new(info: *const ModelInfo) -> Info {
        // SAFETY: the caller's promise: a description lives as long as the program.
        Info(unsafe { &*info })
    }

    pub fn name(self) -> &'static str {
        text(self.0.name)
    }

    /// Digest of the source model.
    pub fn model_hash(self) -> &'static str {
        text(self.0.model_hash)
    }

    /// Name and version of the compiler.
    pub fn compiler(self) -> &'static str {
        text(self.0.compiler)
    }

    /// What the code was compiled for, as `--cpu` reads it.
    pub fn cpu_name(self) -> &'static str {
        text(self.0.cpu_name)
    }

    /// Bits of [`crate::abi::cpu`], all of which the model needs.
    pub fn cpu_features(self) -> u64 {
        self.0.cpu_features
    }

    pub fn workspace_bytes(self) -> usize {
        self.0.workspace_bytes as usize
    }

    /// Weights and tables.
    pub fn constant_bytes(self) -> usize {
        self.0.constant_bytes as usize
    }

    pub fn code_bytes(self) -> usize {
        self.0.code_bytes as usize
    }

    /// What an inference takes of the stack at most.
    pub fn stack_bytes(self) -> usize {
        self.0.stack_bytes as usize
    }

    /// The part of the workspace that keeps the variables between inferences; 0 of a model without variables.
    pub fn state_bytes(self) -> usize {
        self.0.state_bytes as usize
    }

    /// Which of the model's versions for several CPUs suits this one.
    pub(super) fn version(self) -> u32 {
        self.0.version
    }

    /// Gives the variables in a workspace their initial values.
    pub(super) fn reset(self) -> Option<Reset> {
        self.0.reset
    }

    pub fn inputs(self) -> impl ExactSizeIterator<Item = TensorDescription> {
        table(self.0.inputs, self.0.input_count).iter().map(tensor)
    }

    pub fn outputs(self) -> impl ExactSizeIterator<Item = TensorDescription> {
        table(self.0.outputs, self.0.output_count).iter().map(tensor)
    }

    /// The steps, in the order in which they run.
    pub fn layers(self) -> impl ExactSizeIterator<Item = Layer> {
        table(self.0.layers, self.0.layer_count).iter().map(layer)
    }
}

fn tensor(info: &'static TensorInfo) -> TensorDescription {
    TensorDescription {
        name: text(info.name),
        element: ElementType::from_code(info.element_type),
        dims: table(info.dims, info.rank),
    }
}

fn layer(info: &'static LayerInfo) -> Layer {
    Layer {
        name: text(info.name),
        original_names: text(info.original_names),
        layer_type: text(info.layer_type),
        exec_type: text(info.exec_type),
        precision: text(info.precision),
        macs: info.macs,
    }
}

/// A string of a description. Models write UTF-8.
fn text(pointer: *const c_char) -> &'static str {
    // SAFETY: only called for fields of a description, which `Info::new` was promised: NUL-terminated, for ever.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or_default()
}

/// A table of a description.
fn table<T>(pointer: *const T, count: u32) -> &'static [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as in `text`: that many values, for ever.
    unsafe { slice::from_raw_parts(pointer, count as usize) }
}
