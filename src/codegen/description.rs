//! The model's description, `abi::ModelInfo` with everything it points to, as bytes of an object.
//!
//! One block of tables, which begins with `ModelInfo`, and one of strings. Addresses are zero in the bytes; [`Description`] lists
//! where they belong, and the object relocates them. The address of `reset` is not among them: it is no part of the description
//! but a function of the object.

use std::mem::{offset_of, size_of};

use octet_runtime::abi::{ABI_VERSION, ElementType, LayerInfo, ModelInfo, TensorInfo, WORKSPACE_ALIGN};

use super::target::Target;
use crate::ir::ElemType;
use crate::lower::program::{Port, Program};

/// Memory of a model, in bytes. Code and constants are read-only parts of the object, workspace and stack belong to the
/// caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Machine code of kernels, steps and entry.
    pub code_bytes: usize,
    /// Weights and tables of kernels, equal ones counted once.
    pub constant_bytes: usize,
    pub workspace_bytes: usize,
    /// The part of the workspace that keeps the variables between inferences; 0 without variables.
    pub state_bytes: usize,
    /// What one call of `infer` takes at most: the deepest chain of entry, step and kernel. What the caller's own callbacks
    /// take comes on top.
    pub stack_bytes: usize,
}

/// A model for one CPU.
#[derive(Clone, Copy)]
pub struct Version<'p> {
    pub program: &'p Program,
    pub target: &'p Target,
}

/// An address inside the tables.
pub struct Pointer {
    pub at: usize,
    pub to_strings: bool,
    pub offset: usize,
}

/// `abi::ModelInfo` with everything it points to, as bytes and pointers.
#[derive(Default)]
pub struct Description {
    pub bytes: Vec<u8>,
    pub strings: Vec<u8>,
    pub pointers: Vec<Pointer>,
}

impl Description {
    /// `numbers` are that of the version and of how many it is one.
    pub fn new(version: &Version<'_>, numbers: (usize, usize), sizes: &Sizes) -> Result<Self, String> {
        let Version { program, target } = *version;
        let mut info = Description { bytes: vec![0; size_of::<ModelInfo>()], ..Description::default() };
        info.put32(offset_of!(ModelInfo, abi_version), ABI_VERSION);
        info.put32(offset_of!(ModelInfo, struct_size), size_of::<ModelInfo>() as u32);
        info.put_string(offset_of!(ModelInfo, name), &program.name);
        info.put_string(offset_of!(ModelInfo, model_hash), &program.model_hash);
        info.put_string(offset_of!(ModelInfo, compiler), concat!("octet ", env!("CARGO_PKG_VERSION")));
        info.put_string(offset_of!(ModelInfo, cpu_name), &target.cpu_name());
        info.put64(offset_of!(ModelInfo, cpu_features), target.features);
        info.put64(offset_of!(ModelInfo, workspace_bytes), sizes.workspace_bytes as u64);
        info.put64(offset_of!(ModelInfo, workspace_align), WORKSPACE_ALIGN as u64);
        info.put64(offset_of!(ModelInfo, constant_bytes), sizes.constant_bytes as u64);
        info.put64(offset_of!(ModelInfo, code_bytes), sizes.code_bytes as u64);
        info.put64(offset_of!(ModelInfo, state_bytes), sizes.state_bytes as u64);
        info.put32(offset_of!(ModelInfo, input_count), program.inputs.len() as u32);
        info.put32(offset_of!(ModelInfo, output_count), program.outputs.len() as u32);
        info.put32(offset_of!(ModelInfo, layer_count), program.steps.len() as u32);
        info.put32(offset_of!(ModelInfo, stack_bytes), sizes.stack_bytes as u32);
        info.put32(offset_of!(ModelInfo, version), numbers.0 as u32);
        info.put32(offset_of!(ModelInfo, version_count), numbers.1 as u32);
        info.ports(offset_of!(ModelInfo, inputs), &program.inputs)?;
        info.ports(offset_of!(ModelInfo, outputs), &program.outputs)?;
        info.layers(program);
        Ok(info)
    }

    fn ports(&mut self, at: usize, ports: &[Port]) -> Result<(), String> {
        let table = self.table(at, ports.len() * size_of::<TensorInfo>());
        for (index, port) in ports.iter().enumerate() {
            let row = table + index * size_of::<TensorInfo>();
            let dims = port.ty.shape.dims();
            self.put_string(row + offset_of!(TensorInfo, name), &port.name);
            let list = self.table(row + offset_of!(TensorInfo, dims), dims.len() * 8);
            for (dim, &size) in dims.iter().enumerate() {
                self.put64(list + dim * 8, size as u64);
            }
            self.put64(row + offset_of!(TensorInfo, byte_size), port.ty.bytes() as u64);
            self.put32(row + offset_of!(TensorInfo, element_type), element_type(port.ty.elem)? as u32);
            self.put32(row + offset_of!(TensorInfo, rank), dims.len() as u32);
        }
        Ok(())
    }

    fn layers(&mut self, program: &Program) {
        let table = self.table(offset_of!(ModelInfo, layers), program.steps.len() * size_of::<LayerInfo>());
        for (index, step) in program.steps.iter().enumerate() {
            let row = table + index * size_of::<LayerInfo>();
            let spec = &program.kernels[step.kernel];
            self.put_string(row + offset_of!(LayerInfo, name), &step.label.layer);
            self.put_string(row + offset_of!(LayerInfo, original_names), &step.label.layers.join(","));
            self.put_string(row + offset_of!(LayerInfo, layer_type), &step.label.layer_type);
            self.put_string(row + offset_of!(LayerInfo, exec_type), &spec.exec_type());
            self.put_string(row + offset_of!(LayerInfo, precision), spec.precision());
            self.put64(row + offset_of!(LayerInfo, macs), step.label.macs);
        }
    }

    /// Appends zeros, points to them from `at`, and gives their offset.
    fn table(&mut self, at: usize, len: usize) -> usize {
        let offset = self.bytes.len();
        self.bytes.resize(offset + len, 0);
        self.pointers.push(Pointer { at, to_strings: false, offset });
        offset
    }

    fn put_string(&mut self, at: usize, text: &str) {
        self.pointers.push(Pointer { at, to_strings: true, offset: self.strings.len() });
        self.strings.extend(text.bytes().filter(|&byte| byte != 0));
        self.strings.push(0);
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn element_type(elem: ElemType) -> Result<ElementType, String> {
    match elem {
        ElemType::F32 => Ok(ElementType::F32),
        ElemType::F16 => Ok(ElementType::F16),
        ElemType::BF16 => Ok(ElementType::BF16),
        ElemType::I64 => Ok(ElementType::I64),
        ElemType::I32 => Ok(ElementType::I32),
        ElemType::I16 => Ok(ElementType::I16),
        ElemType::I8 => Ok(ElementType::I8),
        ElemType::U8 => Ok(ElementType::U8),
        ElemType::Bool => Ok(ElementType::Bool),
        ElemType::I4 | ElemType::U4 => Err(format!("internal error: an input or output of {elem}")),
    }
}
