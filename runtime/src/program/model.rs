//! The model of this program behind plain Rust types.
//!
//! [`Model::from_slot`] is where the pointers of [`ModelInfo`] are followed, once; everything after it is slices.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

use super::error::Failure;
use crate::abi::{ABI_VERSION, ElementType, Infer, Info, LayerInfo, ModelInfo, ModelSlot, Reset, TensorInfo};
use crate::npy::TensorType;

type Text = Cow<'static, str>;

/// What is known about the model, and its entry.
pub struct Model {
    pub infer: Infer,
    /// Of a model with variables.
    pub reset: Option<Reset>,
    pub name: Text,
    pub hash: Text,
    pub compiler: Text,
    /// What the code was compiled for.
    pub cpu_name: Text,
    /// Bits of [`crate::abi::cpu`].
    pub cpu_features: u64,
    /// Which version of the model this is, the best one for this CPU, and of how many.
    pub version: u32,
    pub version_count: u32,
    pub workspace_bytes: usize,
    pub workspace_align: usize,
    pub constant_bytes: u64,
    pub code_bytes: u64,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
    pub layers: Vec<Layer>,
}

/// An input or output.
pub struct Tensor {
    pub name: Text,
    pub tensor: TensorType,
    pub byte_size: usize,
}

/// A step of the model; [`LayerInfo`] documents the fields.
pub struct Layer {
    pub name: Text,
    pub original_names: Text,
    pub layer_type: Text,
    pub exec_type: Text,
    pub precision: Text,
    pub macs: u64,
}

impl Model {
    /// Reads the description of the attached model.
    ///
    /// # Safety
    /// The slot is empty or holds addresses of a model's [`Infer`] and [`Info`] functions.
    pub unsafe fn from_slot(slot: &ModelSlot) -> Result<Model, Failure> {
        if slot.infer == 0 || slot.info == 0 {
            return Err(Failure::unsupported("this program has no model; `octet compile` attaches one"));
        }
        // SAFETY: not zero, so the addresses are of functions of these types.
        let (infer, info) = unsafe {
            (core::mem::transmute::<usize, Infer>(slot.infer), core::mem::transmute::<usize, Info>(slot.info))
        };
        // SAFETY: the info function returns read-only data that lives as long as the program. Only the two fields whose
        // place no version changes are read before the version is known.
        let info: &'static ModelInfo = unsafe {
            let info = info();
            let (version, size) = ((&raw const (*info).abi_version).read(), (&raw const (*info).struct_size).read());
            if version != ABI_VERSION || (size as usize) < size_of::<ModelInfo>() {
                let message = format!("the model has ABI version {version} ({size} bytes), the program {ABI_VERSION}");
                return Err(Failure::internal(message));
            }
            &*info
        };
        // SAFETY: a model of our version keeps the promises of `abi`.
        unsafe { Model::from_info(infer, info) }
    }

    /// # Safety
    /// Pointers and counts of `info` are as [`crate::abi`] says.
    unsafe fn from_info(infer: Infer, info: &'static ModelInfo) -> Result<Model, Failure> {
        // SAFETY: the caller's promise, for every pointer below.
        unsafe {
            let inputs = slice(info.inputs, info.input_count);
            let outputs = slice(info.outputs, info.output_count);
            let layers = slice(info.layers, info.layer_count);
            Ok(Model {
                infer,
                reset: info.reset,
                name: text(info.name),
                hash: text(info.model_hash),
                compiler: text(info.compiler),
                cpu_name: text(info.cpu_name),
                cpu_features: info.cpu_features,
                version: info.version,
                version_count: info.version_count,
                workspace_bytes: info.workspace_bytes as usize,
                workspace_align: info.workspace_align as usize,
                constant_bytes: info.constant_bytes,
                code_bytes: info.code_bytes,
                inputs: inputs.iter().map(|tensor| Tensor::from_info(tensor)).collect::<Result<_, _>>()?,
                outputs: outputs.iter().map(|tensor| Tensor::from_info(tensor)).collect::<Result<_, _>>()?,
                layers: layers.iter().map(|layer| Layer::from_info(layer)).collect(),
            })
        }
    }
}

impl Tensor {
    /// # Safety
    /// The pointers of `info` are as [`TensorInfo`] says.
    unsafe fn from_info(info: &'static TensorInfo) -> Result<Tensor, Failure> {
        // SAFETY: the caller's promise.
        let (name, dims) = unsafe { (text(info.name), slice(info.dims, info.rank)) };
        let element = ElementType::from_code(info.element_type)
            .ok_or_else(|| Failure::internal(format!("{name} has the unknown element type {}", info.element_type)))?;
        let tensor = TensorType { element, dims: dims.to_vec() };
        match tensor.byte_size() {
            Some(byte_size) if byte_size as u64 == info.byte_size => Ok(Tensor { name, tensor, byte_size }),
            _ => Err(Failure::internal(format!("{name} is {tensor} but claims {} bytes", info.byte_size))),
        }
    }
}

impl Layer {
    /// # Safety
    /// The pointers of `info` are as [`LayerInfo`] says.
    unsafe fn from_info(info: &'static LayerInfo) -> Layer {
        // SAFETY: the caller's promise.
        unsafe {
            Layer {
                name: text(info.name),
                original_names: text(info.original_names),
                layer_type: text(info.layer_type),
                exec_type: text(info.exec_type),
                precision: text(info.precision),
                macs: info.macs,
            }
        }
    }
}

/// A string of the model; null reads as empty.
///
/// # Safety
/// `pointer` is null or a NUL-terminated string that lives as long as the program.
unsafe fn text(pointer: *const c_char) -> Text {
    if pointer.is_null() {
        return Text::Borrowed("");
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy()
}

/// # Safety
/// `count` values that live as long as the program stand at `pointer`; it may be anything when there are none.
unsafe fn slice<T>(pointer: *const T, count: u32) -> &'static [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(pointer, count as usize) }
}
