//! A tensor's value: constants of a graph and everything the interpreter computes.
//!
//! Invariant: the vector has as many elements as the shape, and its variant is the one of the element type
//! (`I4` lives in `I8`, `U4` and `Bool` in `U8`). [`Tensor::new`] checks; nothing else builds one.

use half::{bf16, f16};

use super::ty::{ElemType, Shape, TensorType};

/// Elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    I16(Vec<i16>),
    /// `I8`, and `I4` unpacked.
    I8(Vec<i8>),
    /// `U8`, `U4` unpacked, and `Bool` as 0 and 1.
    U8(Vec<u8>),
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::F16(v) => v.len(),
            Data::BF16(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::I16(v) => v.len(),
            Data::I8(v) => v.len(),
            Data::U8(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn holds(&self, elem: ElemType) -> bool {
        match self {
            Data::F32(_) => elem == ElemType::F32,
            Data::F16(_) => elem == ElemType::F16,
            Data::BF16(_) => elem == ElemType::BF16,
            Data::I64(_) => elem == ElemType::I64,
            Data::I32(_) => elem == ElemType::I32,
            Data::I16(_) => elem == ElemType::I16,
            Data::I8(_) => matches!(elem, ElemType::I8 | ElemType::I4),
            Data::U8(_) => matches!(elem, ElemType::U8 | ElemType::U4 | ElemType::Bool),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    ty: TensorType,
    data: Data,
}

impl Tensor {
    /// # Panics
    /// When the data does not fit the type: a bug of the caller, who has checked what came from outside.
    pub fn new(ty: TensorType, data: Data) -> Tensor {
        assert!(data.holds(ty.elem), "internal error: {ty} built from other elements");
        assert_eq!(data.len(), ty.shape.elements(), "internal error: {ty} built from another number of elements");
        Tensor { ty, data }
    }

    pub fn f32(shape: Shape, data: Vec<f32>) -> Tensor {
        Tensor::new(TensorType::new(ElemType::F32, shape), Data::F32(data))
    }

    pub fn i64(shape: Shape, data: Vec<i64>) -> Tensor {
        Tensor::new(TensorType::new(ElemType::I64, shape), Data::I64(data))
    }

    pub fn i32(shape: Shape, data: Vec<i32>) -> Tensor {
        Tensor::new(TensorType::new(ElemType::I32, shape), Data::I32(data))
    }

    pub fn i8(shape: Shape, data: Vec<i8>) -> Tensor {
        Tensor::new(TensorType::new(ElemType::I8, shape), Data::I8(data))
    }

    pub fn u8(shape: Shape, data: Vec<u8>) -> Tensor {
        Tensor::new(TensorType::new(ElemType::U8, shape), Data::U8(data))
    }

    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    pub fn elem(&self) -> ElemType {
        self.ty.elem
    }

    pub fn shape(&self) -> &Shape {
        &self.ty.shape
    }

    pub fn data(&self) -> &Data {
        &self.data
    }

    pub fn into_data(self) -> Data {
        self.data
    }

    /// The same elements under another shape of as many elements.
    pub fn reshaped(&self, shape: Shape) -> Tensor {
        Tensor::new(TensorType::new(self.ty.elem, shape), self.data.clone())
    }

    /// Every element as f64: exact for all types but large `I64`.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(v) => v.iter().map(|&x| x.into()).collect(),
            Data::F16(v) => v.iter().map(|&x| x.into()).collect(),
            Data::BF16(v) => v.iter().map(|&x| x.into()).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::I32(v) => v.iter().map(|&x| x.into()).collect(),
            Data::I16(v) => v.iter().map(|&x| x.into()).collect(),
            Data::I8(v) => v.iter().map(|&x| x.into()).collect(),
            Data::U8(v) => v.iter().map(|&x| x.into()).collect(),
        }
    }

    /// Every element as i64; `None` for float types.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::F32(_) | Data::F16(_) | Data::BF16(_) => None,
            Data::I64(v) => Some(v.clone()),
            Data::I32(v) => Some(v.iter().map(|&x| x.into()).collect()),
            Data::I16(v) => Some(v.iter().map(|&x| x.into()).collect()),
            Data::I8(v) => Some(v.iter().map(|&x| x.into()).collect()),
            Data::U8(v) => Some(v.iter().map(|&x| x.into()).collect()),
        }
    }

    /// Elements as f32 without a conversion; `None` for other types.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The one value all elements have, if they have one.
    pub fn splat_value(&self) -> Option<f64> {
        let values = self.to_f64();
        let first = *values.first()?;
        values.iter().all(|v| v.to_bits() == first.to_bits()).then_some(first)
    }

    /// Little-endian bytes in row-major order, as objects and side files hold them.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.data {
            Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::BF16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I8(v) => v.iter().map(|&x| x as u8).collect(),
            Data::U8(v) => v.clone(),
        }
    }

    /// The reverse of [`Tensor::to_bytes`]; `None` when the length does not fit the type.
    pub fn from_bytes(ty: TensorType, bytes: &[u8]) -> Option<Tensor> {
        if bytes.len() != ty.bytes() {
            return None;
        }
        let data = match ty.elem {
            ElemType::F32 => Data::F32(words(bytes, f32::from_le_bytes)),
            ElemType::F16 => Data::F16(words(bytes, f16::from_le_bytes)),
            ElemType::BF16 => Data::BF16(words(bytes, bf16::from_le_bytes)),
            ElemType::I64 => Data::I64(words(bytes, i64::from_le_bytes)),
            ElemType::I32 => Data::I32(words(bytes, i32::from_le_bytes)),
            ElemType::I16 => Data::I16(words(bytes, i16::from_le_bytes)),
            ElemType::I8 | ElemType::I4 => Data::I8(bytes.iter().map(|&b| b as i8).collect()),
            ElemType::U8 | ElemType::U4 | ElemType::Bool => Data::U8(bytes.to_vec()),
        };
        Some(Tensor::new(ty, data))
    }
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&word| read(word)).collect()
}
