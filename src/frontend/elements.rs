//! Element types and shapes as OpenVINO writes them, and what they become.
//!
//! The graph has fewer element types than OpenVINO. Types of which a model only has constants and intermediate values
//! are widened: nothing of a quantized model's meaning hangs on them. Constants are checked to fit.

use crate::ir::ElemType;

use super::context::{Fallible, Fault};
use super::minifloats::MiniFloat;

/// Bits of one element in the .bin file, and how they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stored {
    /// As the graph has it.
    Same(ElemType),
    F64,
    U64,
    U32,
    U16,
    I16,
    Mini(MiniFloat),
}

impl Stored {
    /// Reads `f32`, `FP32`, `boolean`, ...
    pub fn parse(name: &str) -> Fallible<Stored> {
        let stored = match name.to_ascii_lowercase().as_str() {
            "f32" | "fp32" => Stored::Same(ElemType::F32),
            "f16" | "fp16" => Stored::Same(ElemType::F16),
            "bf16" => Stored::Same(ElemType::BF16),
            "i64" => Stored::Same(ElemType::I64),
            "i32" => Stored::Same(ElemType::I32),
            "i8" => Stored::Same(ElemType::I8),
            "u8" => Stored::Same(ElemType::U8),
            "i4" => Stored::Same(ElemType::I4),
            "u4" => Stored::Same(ElemType::U4),
            "boolean" | "bool" => Stored::Same(ElemType::Bool),
            "f64" | "fp64" => Stored::F64,
            "u64" => Stored::U64,
            "u32" => Stored::U32,
            "u16" => Stored::U16,
            "i16" => Stored::I16,
            "f8e4m3" => Stored::Mini(MiniFloat::F8E4M3),
            "f8e5m2" => Stored::Mini(MiniFloat::F8E5M2),
            "f8e8m0" => Stored::Mini(MiniFloat::F8E8M0),
            "f4e2m1" => Stored::Mini(MiniFloat::F4E2M1),
            "nf4" => Stored::Mini(MiniFloat::Nf4),
            _ => {
                let message = format!("element type {name} is not supported");
                return Err(Fault::new(message).help("convert the model with weights in f32, f16, i8, u8, i4 or u4"));
            }
        };
        Ok(stored)
    }

    /// The element type in the graph.
    pub fn elem(self) -> ElemType {
        match self {
            Stored::Same(elem) => elem,
            Stored::F64 | Stored::Mini(_) => ElemType::F32,
            Stored::U64 | Stored::U32 => ElemType::I64,
            Stored::U16 | Stored::I16 => ElemType::I32,
        }
    }

    /// Bits of one element in the file.
    pub fn bits(self) -> usize {
        match self {
            Stored::Same(ElemType::I4 | ElemType::U4) => 4,
            Stored::Same(elem) => elem.bytes() * 8,
            Stored::F64 | Stored::U64 => 64,
            Stored::U32 => 32,
            Stored::U16 | Stored::I16 => 16,
            Stored::Mini(format) => format.bits(),
        }
    }
}

/// A dimension as the model declares it; `None` is dynamic.
pub type Dim = Option<usize>;

/// Reads `1,3,224,224`, `?,3,-1,1..8`, and the empty text of a scalar.
pub fn parse_dims(text: &str) -> Fallible<Vec<Dim>> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text == "..." {
        return Err(Fault::new("its rank is dynamic").help("export the model with a known number of dimensions"));
    }
    text.split(',').map(|dim| parse_dim(dim.trim())).collect()
}

fn parse_dim(text: &str) -> Fallible<Dim> {
    if text == "?" || text == "-1" || text.contains("..") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Fault::new(format!("dimension \"{text}\" is not a number")))
}
