//! Constants out of the .bin file: bounds, sizes, and the widening of element types.
//!
//! Several layers may share bytes; the exporter merges equal constants. Equal (offset, type, shape) gives one
//! constant of the graph, and the total that is decoded is bounded by the file's size, so a small file cannot ask for
//! much memory.

use std::collections::BTreeMap;

use crate::ir::tensor::Data;
use crate::ir::{Const, ElemType, Graph, Shape, Tensor, TensorType};

use super::context::{Fallible, Fault};
use super::elements::{Stored, parse_dims};
use super::xml::LayerXml;

/// How often the file's bytes may be decoded in all, and what is always allowed.
const MAX_REUSE: usize = 16;
const FREE_BYTES: usize = 64 << 20;

/// The .bin file and what was decoded of it.
#[derive(Debug)]
pub struct Weights<'a> {
    bin: &'a [u8],
    decoded: usize,
    known: BTreeMap<Extent, Const>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Extent {
    offset: usize,
    size: usize,
    stored: Stored,
    shape: Shape,
}

impl<'a> Weights<'a> {
    pub fn new(bin: &'a [u8]) -> Weights<'a> {
        Weights { bin, decoded: 0, known: BTreeMap::new() }
    }

    /// The constant of a `Const` layer.
    pub fn constant(&mut self, graph: &mut Graph, layer: &LayerXml) -> Fallible<Const> {
        let extent = read_extent(layer)?;
        if let Some(&known) = self.known.get(&extent) {
            return Ok(known);
        }
        let bytes = self.bytes(&extent)?;
        let tensor = decode(bytes, &extent)?;
        let id = graph.add_tensor(tensor);
        self.known.insert(extent, id);
        Ok(id)
    }

    fn bytes(&mut self, extent: &Extent) -> Fallible<&'a [u8]> {
        let Extent { offset, size, .. } = *extent;
        let bytes = offset.checked_add(size).and_then(|end| self.bin.get(offset..end)).ok_or_else(|| {
            let message =
                format!("its {size} bytes at offset {offset} lie outside the .bin file of {} bytes", self.bin.len());
            Fault::new(message).help("the .bin file is truncated or belongs to another model")
        })?;
        self.decoded = self.decoded.saturating_add(size);
        if self.decoded > self.bin.len().saturating_mul(MAX_REUSE).saturating_add(FREE_BYTES) {
            let message = format!("the constants up to here read the .bin file more than {MAX_REUSE} times over");
            return Err(Fault::new(message).help("the file is damaged: export the model again"));
        }
        Ok(bytes)
    }
}

fn read_extent(layer: &LayerXml) -> Fallible<Extent> {
    let number = |name: &str| -> Fallible<usize> {
        let text = attr(layer, name)?;
        text.parse().map_err(|_| Fault::new(format!("{name}=\"{text}\" is not a number")))
    };
    let stored = Stored::parse(attr(layer, "element_type")?)?;
    let (offset, size) = (number("offset")?, number("size")?);
    let dims: Option<Vec<usize>> = parse_dims(attr(layer, "shape")?)?.into_iter().collect();
    let dims = dims.ok_or_else(|| Fault::new("a constant has a dynamic shape"))?;
    let shape = Shape::new(dims.clone())
        .ok_or_else(|| Fault::new(format!("shape {dims:?} has more than {} elements", Shape::MAX_ELEMENTS)))?;
    let expected = (shape.elements() * stored.bits()).div_ceil(8);
    // without elements there is nothing to read, whatever the size says
    if size != expected && shape.elements() > 0 {
        let name = attr(layer, "element_type")?;
        return Err(Fault::new(format!("size is {size} bytes, but {shape} of {name} takes {expected}")));
    }
    Ok(Extent { offset, size: expected, stored, shape })
}

fn attr<'a>(layer: &LayerXml<'a>, name: &str) -> Fallible<&'a str> {
    layer.attr(name).ok_or_else(|| Fault::new(format!("the attribute {name} is missing")))
}

fn decode(bytes: &[u8], extent: &Extent) -> Fallible<Tensor> {
    let ty = TensorType::new(extent.stored.elem(), extent.shape.clone());
    let data = match extent.stored {
        Stored::Same(ElemType::I4) => Data::I8(nibbles(bytes, &ty).map(|nibble| ((nibble << 4) as i8) >> 4).collect()),
        Stored::Same(ElemType::U4) => Data::U8(nibbles(bytes, &ty).collect()),
        Stored::Same(ElemType::Bool) => Data::U8(bytes.iter().map(|&byte| u8::from(byte != 0)).collect()),
        Stored::Same(_) => {
            return Tensor::from_bytes(ty, bytes).ok_or_else(|| Fault::new("internal error: its size was checked"));
        }
        Stored::F64 => Data::F32(words(bytes, f64::from_le_bytes).map(narrow).collect::<Fallible<_>>()?),
        Stored::U64 => Data::I64(words(bytes, u64::from_le_bytes).map(signed).collect::<Fallible<_>>()?),
        Stored::U32 => Data::I64(words(bytes, u32::from_le_bytes).map(i64::from).collect()),
        Stored::U16 => Data::I32(words(bytes, u16::from_le_bytes).map(i32::from).collect()),
        Stored::I16 => Data::I32(words(bytes, i16::from_le_bytes).map(i32::from).collect()),
        Stored::Mini(format) if format.bits() == 4 => {
            Data::F32(nibbles(bytes, &ty).map(|code| format.value(code)).collect())
        }
        Stored::Mini(format) => Data::F32(bytes.iter().map(|&code| format.value(code)).collect()),
    };
    Ok(Tensor::new(ty, data))
}

/// Two elements a byte, the first in the low half.
fn nibbles<'a>(bytes: &'a [u8], ty: &TensorType) -> impl Iterator<Item = u8> + 'a {
    bytes.iter().flat_map(|&byte| [byte & 15, byte >> 4]).take(ty.shape.elements())
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |&word| read(word))
}

/// Rounds to f32; a finite number stays finite.
fn narrow(value: f64) -> Fallible<f32> {
    let narrowed = value as f32;
    if narrowed.is_finite() || !value.is_finite() {
        return Ok(narrowed);
    }
    Err(Fault::new(format!("{value:e} does not fit f32")).help("convert the model's f64 constants to f32"))
}

fn signed(value: u64) -> Fallible<i64> {
    i64::try_from(value).map_err(|_| Fault::new(format!("{value} does not fit i64")))
}
