//! Tensors in `.npy` files: the header and nothing else, in memory; reading and writing files is the program's part.
//!
//! Format: NEP 1, versions 1 to 3. A magic string, a version, the length of the header, the header (a Python dictionary
//! literal), then the elements. Accepted are C order, little endian, and the element types of [`ElementType`].
//! numpy has no bfloat16: it is written as `<u2` (`array.view(ml_dtypes.bfloat16)` gives it its meaning back) and read
//! from that or from `V2`, which is what ml_dtypes saves. A header that is truncated, absurd or hostile is an [`Error`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::abi::ElementType;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Alignment of the elements in files we write, as numpy does it.
const DATA_ALIGN: usize = 64;
/// Longest header we look at. numpy itself refuses headers over 10 000 bytes unless told to trust the file.
pub const MAX_HEADER: usize = 1 << 16;

/// Element type and shape, of a file or of a model's tensor. Prints as `f32[1,3,32,32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    pub element: ElementType,
    pub dims: Vec<u64>,
}

impl TensorType {
    /// Size in bytes; `None` if it exceeds the address space.
    pub fn byte_size(&self) -> Option<usize> {
        let dims = self.dims.iter().map(|dim| usize::try_from(*dim).ok());
        // A zero anywhere makes the tensor empty, however large the other dimensions are.
        if self.dims.contains(&0) {
            return Some(0);
        }
        dims.chain([Some(self.element.size())]).try_fold(1usize, |size, dim| size.checked_mul(dim?))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.element.name())?;
        for (axis, dim) in self.dims.iter().enumerate() {
            write!(f, "{}{dim}", if axis > 0 { "," } else { "" })?;
        }
        f.write_str("]")
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// As the file's `descr` says; `<u2` counts as bf16.
    pub tensor: TensorType,
    /// Where the elements begin in the file.
    pub data_offset: usize,
}

/// Why a file is not a tensor we can read. Prints as the end of a sentence that begins with the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    NotNpy,
    Version(u8, u8),
    Truncated,
    HeaderTooLong(usize),
    /// The dictionary is malformed; says where and how.
    Syntax(&'static str),
    /// A `descr` that is none of our types.
    ElementType(String),
    FortranOrder,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotNpy => f.write_str("is not a .npy file (write one with numpy.save)"),
            Error::Version(major, minor) => write!(f, "is .npy version {major}.{minor}; versions 1 to 3 are read"),
            Error::Truncated => f.write_str("ends inside its .npy header"),
            Error::HeaderTooLong(len) => {
                write!(f, "claims a .npy header of {len} bytes; at most {MAX_HEADER} are read")
            }
            Error::Syntax(what) => write!(f, "has a malformed .npy header: {what}"),
            Error::ElementType(descr) => write!(
                f,
                "holds elements of type {descr}; read are little-endian f4, f2, i8, i4, i2, i1, u1, b1 and u2 (bf16)"
            ),
            Error::FortranOrder => f.write_str("is in Fortran order (save numpy.ascontiguousarray of the array)"),
        }
    }
}

impl Header {
    /// Parses the beginning of a file: `bytes` may end anywhere after the header.
    pub fn parse(bytes: &[u8]) -> Result<Header, Error> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Error::NotNpy)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(Error::Truncated)?;
        let (len, rest) = match *version {
            [1, _] => rest.split_first_chunk::<2>().map(|(len, rest)| (u16::from_le_bytes(*len) as usize, rest)),
            [2 | 3, _] => rest.split_first_chunk::<4>().map(|(len, rest)| (u32::from_le_bytes(*len) as usize, rest)),
            [major, minor] => return Err(Error::Version(major, minor)),
        }
        .ok_or(Error::Truncated)?;
        if len > MAX_HEADER {
            return Err(Error::HeaderTooLong(len));
        }
        let dictionary = rest.get(..len).ok_or(Error::Truncated)?;
        let tensor = Dictionary::parse(dictionary)?.tensor()?;
        Ok(Header { tensor, data_offset: bytes.len() - rest.len() + len })
    }
}

/// The bytes that stand before the elements of a `tensor` in a file, version 1.0 (2.0 for absurdly many dimensions).
pub fn header(tensor: &TensorType) -> Vec<u8> {
    let mut shape = String::new();
    for (axis, dim) in tensor.dims.iter().enumerate() {
        shape += &format!("{}{dim}", if axis > 0 { ", " } else { "" });
    }
    // A tuple of one is written with a comma.
    if tensor.dims.len() == 1 {
        shape += ",";
    }
    let descr = descr(tensor.element);
    let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let wide = dictionary.len() + DATA_ALIGN > u16::MAX as usize;
    let prefix = MAGIC.len() + 2 + if wide { 4 } else { 2 };
    let padded = (prefix + dictionary.len() + 1).next_multiple_of(DATA_ALIGN) - prefix;
    let mut bytes = Vec::from(MAGIC);
    if wide {
        bytes.extend([2, 0]);
        bytes.extend((padded as u32).to_le_bytes());
    } else {
        bytes.extend([1, 0]);
        bytes.extend((padded as u16).to_le_bytes());
    }
    bytes.extend(dictionary.as_bytes());
    bytes.resize(prefix + padded - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// What numpy writes for a type.
fn descr(element: ElementType) -> &'static str {
    match element {
        ElementType::F32 => "<f4",
        ElementType::F16 => "<f2",
        ElementType::BF16 => "<u2",
        ElementType::I64 => "<i8",
        ElementType::I32 => "<i4",
        ElementType::I16 => "<i2",
        ElementType::I8 => "|i1",
        ElementType::U8 => "|u1",
        ElementType::Bool => "|b1",
    }
}

fn element_of(descr: &str) -> Option<ElementType> {
    // numpy writes `=` never, but other writers do; `V2` comes as `<V2` or `|V2`.
    let (order, kind) = descr.split_at_checked(1)?;
    let known = ElementType::ALL.into_iter().find(|element| self::descr(*element).get(1..) == Some(kind));
    let element = if kind == "V2" { Some(ElementType::BF16) } else { known }?;
    let order_is_ours = match order {
        "<" | "=" => true,
        "|" => element.size() == 1 || kind == "V2",
        ">" => element.size() == 1,
        _ => false,
    };
    order_is_ours.then_some(element)
}

/// The three entries of a header, as written.
#[derive(Default)]
struct Dictionary<'a> {
    descr: Option<&'a str>,
    fortran_order: Option<bool>,
    shape: Option<Vec<u64>>,
}

impl<'a> Dictionary<'a> {
    /// The grammar is what numpy writes: `{'key': value, ...}` with string, `True`/`False` and tuple-of-integers values,
    /// each key once.
    fn parse(bytes: &'a [u8]) -> Result<Dictionary<'a>, Error> {
        let text = core::str::from_utf8(bytes).map_err(|_| Error::Syntax("it is not UTF-8"))?;
        let mut cursor = Cursor { rest: text };
        let mut dictionary = Dictionary::default();
        cursor.expect('{', "it does not begin with '{'")?;
        while !cursor.eat('}') {
            let key = cursor.string()?;
            cursor.expect(':', "a key is not followed by ':'")?;
            let repeated = match key {
                "descr" => dictionary.descr.replace(cursor.descr()?).is_some(),
                "fortran_order" => dictionary.fortran_order.replace(cursor.boolean()?).is_some(),
                "shape" => dictionary.shape.replace(cursor.shape()?).is_some(),
                _ => {
                    return Err(Error::Syntax("it has a key other than descr, fortran_order and shape"));
                }
            };
            if repeated {
                return Err(Error::Syntax("a key occurs twice"));
            }
            if !cursor.eat(',') {
                cursor.expect('}', "',' or '}' is missing after a value")?;
                break;
            }
        }
        if !cursor.rest.trim_ascii().is_empty() {
            return Err(Error::Syntax("there is text after the closing '}'"));
        }
        Ok(dictionary)
    }

    fn tensor(self) -> Result<TensorType, Error> {
        let descr = self.descr.ok_or(Error::Syntax("'descr' is missing"))?;
        let dims = self.shape.ok_or(Error::Syntax("'shape' is missing"))?;
        let fortran_order = self.fortran_order.ok_or(Error::Syntax("'fortran_order' is missing"))?;
        let element = element_of(descr).ok_or_else(|| Error::ElementType(printable(descr)))?;
        // With fewer than two dimensions both orders are the same.
        if fortran_order && dims.len() > 1 {
            return Err(Error::FortranOrder);
        }
        Ok(TensorType { element, dims })
    }
}

/// Text of a file as a message may repeat it: short, and no control characters.
fn printable(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_ascii_start();
        let stripped = self.rest.strip_prefix(c);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    fn expect(&mut self, c: char, otherwise: &'static str) -> Result<(), Error> {
        if self.eat(c) { Ok(()) } else { Err(Error::Syntax(otherwise)) }
    }

    /// A quoted string without escapes.
    fn string(&mut self) -> Result<&'a str, Error> {
        for quote in ['\'', '"'] {
            if self.eat(quote) {
                let (content, rest) = self.rest.split_once(quote).ok_or(Error::Syntax("a string does not end"))?;
                self.rest = rest;
                return Ok(content);
            }
        }
        Err(Error::Syntax("a string is missing"))
    }

    /// A string, or a list of fields, which is no type of ours: it is returned as it stands, for the message.
    fn descr(&mut self) -> Result<&'a str, Error> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.starts_with('[') {
            return Err(Error::ElementType(printable(self.rest)));
        }
        self.string()
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        self.rest = self.rest.trim_ascii_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(Error::Syntax("'fortran_order' is neither True nor False"))
    }

    fn shape(&mut self) -> Result<Vec<u64>, Error> {
        self.expect('(', "'shape' is not a tuple")?;
        let mut dims = Vec::new();
        while !self.eat(')') {
            dims.push(self.integer()?);
            if !self.eat(',') {
                self.expect(')', "'shape' does not end")?;
                break;
            }
        }
        Ok(dims)
    }

    fn integer(&mut self) -> Result<u64, Error> {
        self.rest = self.rest.trim_ascii_start();
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = self.rest.split_at_checked(digits).unwrap_or_default();
        // Python 2 wrote long integers as `3L`.
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        number.parse().map_err(|_| Error::Syntax("'shape' has an entry that is not a size"))
    }
}

#[cfg(test)]
mod tests;
