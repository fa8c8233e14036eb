//! The elements of a constant as text: `dense<[1.5, -2]>`, or `dense<0>` when all are equal.
//!
//! Floats are written in the shortest form that reads back as the same bits; a NaN other than the canonical one is its
//! bits in hex, `0x7fc00001`.

use half::{bf16, f16};

use super::tensor::{Data, Tensor};
use super::ty::{ElemType, TensorType};

/// Constants of up to so many elements stand in the line that defines them.
const INLINE_ELEMENTS: usize = 16;

/// Fits into its line: few elements, or all the same.
pub fn is_inline(tensor: &Tensor) -> bool {
    tensor.shape().elements() <= INLINE_ELEMENTS || is_splat(tensor)
}

/// `dense<..>`.
pub fn to_text(tensor: &Tensor) -> String {
    if is_splat(tensor) {
        return format!("dense<{}>", element(tensor, 0));
    }
    let elements: Vec<String> = (0..tensor.shape().elements()).map(|at| element(tensor, at)).collect();
    format!("dense<[{}]>", elements.join(", "))
}

/// All elements have the same bits, and there is one.
fn is_splat(tensor: &Tensor) -> bool {
    let bytes = tensor.to_bytes();
    let mut elements = bytes.chunks_exact(tensor.elem().bytes());
    elements.next().is_some_and(|first| elements.all(|element| element == first))
}

fn element(tensor: &Tensor, at: usize) -> String {
    match tensor.data() {
        Data::F32(v) => float(v[at], v[at].to_bits(), f32::NAN.to_bits()),
        Data::F16(v) => float(v[at].to_f32(), v[at].to_bits().into(), f16::NAN.to_bits().into()),
        Data::BF16(v) => float(v[at].to_f32(), v[at].to_bits().into(), bf16::NAN.to_bits().into()),
        Data::I64(v) => v[at].to_string(),
        Data::I32(v) => v[at].to_string(),
        Data::I16(v) => v[at].to_string(),
        Data::I8(v) => v[at].to_string(),
        Data::U8(v) if tensor.elem() == ElemType::Bool => (v[at] != 0).to_string(),
        Data::U8(v) => v[at].to_string(),
    }
}

fn float(value: f32, bits: u32, canonical_nan: u32) -> String {
    if value.is_nan() && bits != canonical_nan { format!("{bits:#x}") } else { format!("{value:?}") }
}

/// The tensor whose elements are written so; one element fills any shape if `splat`.
///
/// # Errors
/// A sentence: a word is not a value of the type, or their number is wrong.
pub fn from_text(words: &[&str], splat: bool, ty: &TensorType) -> Result<Tensor, String> {
    let expected = ty.shape.elements();
    if !splat && words.len() != expected {
        return Err(format!("{} elements for {ty}, which has {expected}", words.len()));
    }
    let mut one = Vec::with_capacity(words.len() * ty.elem.bytes());
    for word in words {
        one.extend(element_bytes(word, ty.elem).ok_or_else(|| format!("{word} is not a value of {}", ty.elem))?);
    }
    let bytes = if splat { one.repeat(expected) } else { one };
    Tensor::from_bytes(ty.clone(), &bytes).ok_or_else(|| format!("the elements do not fit {ty}"))
}

fn element_bytes(word: &str, elem: ElemType) -> Option<Vec<u8>> {
    match elem {
        ElemType::F32 => match hex(word) {
            Some(bits) => Some(bits.to_le_bytes().to_vec()),
            None => Some(word.parse::<f32>().ok()?.to_le_bytes().to_vec()),
        },
        ElemType::F16 => half_bytes(word, |value| f16::from_f32(value).to_bits()),
        ElemType::BF16 => half_bytes(word, |value| bf16::from_f32(value).to_bits()),
        ElemType::Bool => Some(vec![u8::from(word.parse::<bool>().ok()?)]),
        ElemType::I64 | ElemType::I32 | ElemType::I16 | ElemType::I8 | ElemType::U8 | ElemType::I4 | ElemType::U4 => {
            let value: i64 = word.parse().ok()?;
            let (low, high) = elem.int_range()?;
            (low..=high).contains(&value).then(|| value.to_le_bytes()[..elem.bytes()].to_vec())
        }
    }
}

fn half_bytes(word: &str, convert: impl Fn(f32) -> u16) -> Option<Vec<u8>> {
    let bits = match hex(word) {
        Some(bits) => u16::try_from(bits).ok()?,
        None => convert(word.parse().ok()?),
    };
    Some(bits.to_le_bytes().to_vec())
}

fn hex(word: &str) -> Option<u32> {
    u32::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// The tensor in the bytes of a side file.
///
/// # Errors
/// A sentence: bytes that no value of the type has.
pub fn from_blob(ty: &TensorType, bytes: &[u8]) -> Result<Tensor, String> {
    let holds = match ty.elem {
        ElemType::Bool => bytes.iter().all(|&byte| byte <= 1),
        ElemType::U4 => bytes.iter().all(|&byte| byte <= 15),
        ElemType::I4 => bytes.iter().all(|&byte| (-8..=7).contains(&(byte as i8))),
        ElemType::F32 | ElemType::F16 | ElemType::BF16 => true,
        ElemType::I64 | ElemType::I32 | ElemType::I16 | ElemType::I8 | ElemType::U8 => true,
    };
    if !holds {
        return Err(format!("its bytes are not elements of {}", ty.elem));
    }
    Tensor::from_bytes(ty.clone(), bytes).ok_or_else(|| format!("its bytes are not a {ty}"))
}

/// FNV-1a over the elements: tells a stale side file, and stands for elided constants in dumps.
pub fn content_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
