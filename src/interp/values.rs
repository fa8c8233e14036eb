//! Between a tensor's element type and the two domains in which the interpreter computes: f64 for floats, i64 for the rest.
//!
//! Invariant: the way in is exact, the way out rounds once. One f64 operation on f32 operands that is then rounded to f32 is
//! the correctly rounded f32 operation for `+ - * /` and the square root, because f64 has more than twice the precision.

use half::{bf16, f16};

use crate::ir::tensor::Data;
use crate::ir::{ElemType, Tensor, TensorType};

/// The elements of a tensor in the domain of its type.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Real(Vec<f64>),
    Int(Vec<i64>),
}

impl Values {
    pub(super) fn of(tensor: &Tensor) -> Values {
        match tensor.to_i64() {
            Some(ints) => Values::Int(ints),
            None => Values::Real(tensor.to_f64()),
        }
    }

    /// As [`real`] or [`int`], by domain.
    pub(super) fn into_tensor(self, ty: &TensorType) -> Result<Tensor, String> {
        match self {
            Values::Real(values) => real(ty, values),
            Values::Int(values) => int(ty, values),
        }
    }
}

/// A tensor of reals: floats round to nearest even (f16 and bf16 through f32), integers truncate toward zero and saturate
/// with NaN as 0, `bool` is `!= 0`.
pub(super) fn real(ty: &TensorType, values: Vec<f64>) -> Result<Tensor, String> {
    let values = values.into_iter();
    let data = match ty.elem {
        ElemType::F32 => Data::F32(values.map(|x| x as f32).collect()),
        ElemType::F16 => Data::F16(values.map(|x| f16::from_f32(x as f32)).collect()),
        ElemType::BF16 => Data::BF16(values.map(|x| bf16::from_f32(x as f32)).collect()),
        ElemType::I64 => Data::I64(values.map(|x| x as i64).collect()),
        ElemType::I32 => Data::I32(values.map(|x| x as i32).collect()),
        ElemType::I16 => Data::I16(values.map(|x| x as i16).collect()),
        ElemType::I8 => Data::I8(values.map(|x| x as i8).collect()),
        ElemType::I4 => Data::I8(values.map(|x| (x as i8).clamp(-8, 7)).collect()),
        ElemType::U8 => Data::U8(values.map(|x| x as u8).collect()),
        ElemType::U4 => Data::U8(values.map(|x| (x as u8).min(15)).collect()),
        ElemType::Bool => Data::U8(values.map(|x| u8::from(x != 0.0)).collect()),
    };
    tensor(ty, data)
}

/// A tensor of integers: integer types wrap, floats round once, `bool` is `!= 0`.
pub(super) fn int(ty: &TensorType, values: Vec<i64>) -> Result<Tensor, String> {
    let values = values.into_iter();
    let data = match ty.elem {
        ElemType::F32 => Data::F32(values.map(|x| x as f32).collect()),
        ElemType::F16 => Data::F16(values.map(|x| f16::from_f32(x as f32)).collect()),
        ElemType::BF16 => Data::BF16(values.map(|x| bf16::from_f32(x as f32)).collect()),
        ElemType::I64 => Data::I64(values.collect()),
        ElemType::I32 => Data::I32(values.map(|x| x as i32).collect()),
        ElemType::I16 => Data::I16(values.map(|x| x as i16).collect()),
        ElemType::I8 => Data::I8(values.map(|x| x as i8).collect()),
        ElemType::I4 => Data::I8(values.map(|x| ((x as i8) << 4) >> 4).collect()),
        ElemType::U8 => Data::U8(values.map(|x| x as u8).collect()),
        ElemType::U4 => Data::U8(values.map(|x| (x & 15) as u8).collect()),
        ElemType::Bool => Data::U8(values.map(|x| u8::from(x != 0)).collect()),
    };
    tensor(ty, data)
}

/// Elements as f32: exact for f32, f16, bf16 and integers below 2^24; others round to nearest even.
pub(super) fn f32s(tensor: &Tensor) -> Vec<f32> {
    match tensor.data() {
        Data::F32(values) => values.clone(),
        Data::I64(values) => values.iter().map(|&x| x as f32).collect(),
        Data::F16(_) | Data::BF16(_) | Data::I32(_) | Data::I16(_) | Data::I8(_) | Data::U8(_) => {
            tensor.to_f64().into_iter().map(|x| x as f32).collect()
        }
    }
}

/// A tensor whose elements were computed in f32.
pub(super) fn from_f32s(ty: &TensorType, values: Vec<f32>) -> Result<Tensor, String> {
    match ty.elem {
        ElemType::F32 => tensor(ty, Data::F32(values)),
        ElemType::F16
        | ElemType::BF16
        | ElemType::I64
        | ElemType::I32
        | ElemType::I16
        | ElemType::I8
        | ElemType::U8
        | ElemType::I4
        | ElemType::U4
        | ElemType::Bool => real(ty, values.into_iter().map(f64::from).collect()),
    }
}

/// The value `x` has in a tensor of `elem`: rounded to the float type, integers unchanged.
pub(super) fn round_to(elem: ElemType, x: f64) -> f64 {
    match elem {
        ElemType::F32 => (x as f32).into(),
        ElemType::F16 => f16::from_f32(x as f32).into(),
        ElemType::BF16 => bf16::from_f32(x as f32).into(),
        ElemType::I64
        | ElemType::I32
        | ElemType::I16
        | ElemType::I8
        | ElemType::U8
        | ElemType::I4
        | ElemType::U4
        | ElemType::Bool => x,
    }
}

/// # Errors
/// When the number of elements is not the one of the type, that is, when the operands do not fit the result type.
pub(super) fn tensor(ty: &TensorType, data: Data) -> Result<Tensor, String> {
    if data.len() != ty.shape.elements() {
        return Err(format!("internal error: {} elements computed for a result of type {ty}", data.len()));
    }
    Ok(Tensor::new(ty.clone(), data))
}
