//! Types of values: `tensor<1x3x224x224xf32>`.

use std::fmt;

/// Type of one element. `I4` and `U4` occur in constants only and are held unpacked, one element a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElemType {
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    I4,
    U4,
    Bool,
}

impl ElemType {
    pub const ALL: [ElemType; 11] = [
        ElemType::F32,
        ElemType::F16,
        ElemType::BF16,
        ElemType::I64,
        ElemType::I32,
        ElemType::I16,
        ElemType::I8,
        ElemType::U8,
        ElemType::I4,
        ElemType::U4,
        ElemType::Bool,
    ];

    /// Name in the text form: `f32`.
    pub fn name(self) -> &'static str {
        match self {
            ElemType::F32 => "f32",
            ElemType::F16 => "f16",
            ElemType::BF16 => "bf16",
            ElemType::I64 => "i64",
            ElemType::I32 => "i32",
            ElemType::I16 => "i16",
            ElemType::I8 => "i8",
            ElemType::U8 => "u8",
            ElemType::I4 => "i4",
            ElemType::U4 => "u4",
            ElemType::Bool => "bool",
        }
    }

    pub fn from_name(name: &str) -> Option<ElemType> {
        Self::ALL.into_iter().find(|elem| elem.name() == name)
    }

    /// Bytes of one element in memory.
    pub fn bytes(self) -> usize {
        match self {
            ElemType::I64 => 8,
            ElemType::F32 | ElemType::I32 => 4,
            ElemType::F16 | ElemType::BF16 | ElemType::I16 => 2,
            ElemType::I8 | ElemType::U8 | ElemType::I4 | ElemType::U4 | ElemType::Bool => 1,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, ElemType::F32 | ElemType::F16 | ElemType::BF16)
    }

    /// Signed or unsigned integer; `Bool` is not one.
    pub fn is_int(self) -> bool {
        !self.is_float() && self != ElemType::Bool
    }

    /// Least and greatest value of an integer type; `None` for floats and `Bool`.
    pub fn int_range(self) -> Option<(i64, i64)> {
        match self {
            ElemType::I64 => Some((i64::MIN, i64::MAX)),
            ElemType::I32 => Some((i32::MIN.into(), i32::MAX.into())),
            ElemType::I16 => Some((i16::MIN.into(), i16::MAX.into())),
            ElemType::I8 => Some((-128, 127)),
            ElemType::U8 => Some((0, 255)),
            ElemType::I4 => Some((-8, 7)),
            ElemType::U4 => Some((0, 15)),
            ElemType::F32 | ElemType::F16 | ElemType::BF16 | ElemType::Bool => None,
        }
    }
}

impl fmt::Display for ElemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sizes of the dimensions, outermost first. Rank 0 is a scalar; a size may be 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// More elements than any model has; keeps products of a few shapes far from overflow.
    pub const MAX_ELEMENTS: usize = 1 << 40;

    /// `None` when the number of elements exceeds [`Shape::MAX_ELEMENTS`].
    pub fn new(dims: impl Into<Vec<usize>>) -> Option<Shape> {
        let dims = dims.into();
        let mut elements = 1usize;
        for &dim in dims.iter().filter(|&&dim| dim != 0) {
            elements = elements.checked_mul(dim).filter(|&n| n <= Self::MAX_ELEMENTS)?;
        }
        Some(Shape(dims))
    }

    pub fn scalar() -> Shape {
        Shape(Vec::new())
    }

    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;

    fn index(&self, dim: usize) -> &usize {
        &self.0[dim]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// `[1, 3, 224, 224]`, as messages write a shape.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Type of a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    pub elem: ElemType,
    pub shape: Shape,
}

impl TensorType {
    pub fn new(elem: ElemType, shape: Shape) -> TensorType {
        TensorType { elem, shape }
    }

    /// The same shape with another element type.
    pub fn with_elem(&self, elem: ElemType) -> TensorType {
        TensorType { elem, shape: self.shape.clone() }
    }

    pub fn bytes(&self) -> usize {
        self.shape.elements() * self.elem.bytes()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensor<")?;
        for dim in self.shape.dims() {
            write!(f, "{dim}x")?;
        }
        write!(f, "{}>", self.elem)
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
