//! The scalars of a kernel as far as they are known: integers, and pointers into operands.
//!
//! Only loads from constants are known; floats, vectors and whatever depends on data are not.

use cranelift_entity::SecondaryMap;

use crate::simd::interp::{compare, extend, int_op};
use crate::simd::ir::{Addr, Inst, IntMem, Val};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    #[default]
    Unknown,
    Int(i64),
    Ptr {
        region: usize,
        offset: i64,
    },
}

impl Value {
    pub fn int(self) -> Option<i64> {
        match self {
            Value::Int(int) => Some(int),
            Value::Unknown | Value::Ptr { .. } => None,
        }
    }

    pub fn plus(self, bytes: i64) -> Value {
        match self {
            Value::Unknown => Value::Unknown,
            Value::Int(int) => Value::Int(int.wrapping_add(bytes)),
            Value::Ptr { region, offset } => Value::Ptr { region, offset: offset.wrapping_add(bytes) },
        }
    }

    /// How far a value has moved from another one of its kind.
    pub fn since(self, before: Value) -> Option<i64> {
        match (self, before) {
            (Value::Int(now), Value::Int(before)) => Some(now.wrapping_sub(before)),
            (Value::Ptr { region, offset }, Value::Ptr { region: same, offset: before }) if region == same => {
                Some(offset.wrapping_sub(before))
            }
            _ => None,
        }
    }
}

pub struct Scalars<'a> {
    pub values: SecondaryMap<Val, Value>,
    /// The bytes of each operand that is a constant.
    constants: &'a [Option<&'a [u8]>],
    /// The kernel's own memory.
    scratch: usize,
}

impl<'a> Scalars<'a> {
    /// Operands are regions, in order; behind them is the kernel's own memory.
    pub fn new(constants: &'a [Option<&'a [u8]>], scratch: usize) -> Scalars<'a> {
        Scalars { values: SecondaryMap::new(), constants, scratch }
    }

    pub fn int(&self, value: Val) -> Option<i64> {
        self.values[value].int()
    }

    /// Region and offset of an address.
    pub fn place(&self, addr: Addr) -> Option<(usize, i64)> {
        match self.values[addr.base] {
            Value::Ptr { region, offset } => Some((region, offset.wrapping_add(addr.offset.into()))),
            Value::Unknown | Value::Int(_) => None,
        }
    }

    pub fn evaluate(&self, inst: &Inst) -> Value {
        let known = match *inst {
            Inst::ConstI64(int) => Some(Value::Int(int)),
            Inst::Int(op, a, b) => self.both(a, b).and_then(|(a, b)| int_op(op, a, b).ok()).map(Value::Int),
            Inst::IntCmp(cmp, a, b) => self.both(a, b).map(|(a, b)| Value::Int(compare(cmp, &a, &b).into())),
            Inst::Choose(condition, a, b) => {
                self.int(condition).map(|condition| self.values[if condition != 0 { a } else { b }])
            }
            Inst::PtrAdd(base, bytes) => self.int(bytes).map(|bytes| self.values[base].plus(bytes)),
            Inst::LoadInt { addr, kind, .. } => self.load(addr, kind).map(Value::Int),
            Inst::Scratch => Some(Value::Ptr { region: self.scratch, offset: 0 }),
            _ => None,
        };
        known.unwrap_or_default()
    }

    fn both(&self, a: Val, b: Val) -> Option<(i64, i64)> {
        Some((self.int(a)?, self.int(b)?))
    }

    fn load(&self, addr: Addr, kind: IntMem) -> Option<i64> {
        let (region, offset) = self.place(addr)?;
        let bytes = (*self.constants.get(region)?)?;
        let begin = usize::try_from(offset).ok()?;
        bytes.get(begin..begin.checked_add(kind.bytes())?).map(|bytes| extend(kind, bytes))
    }
}
