//! One attribute's value: as text, and as the Rust types that stand in [`Op`](super::super::op::Op).

use std::fmt;

use super::super::op::LoopSlice;
use super::words::Word;

/// Numbers stay text until their type is known: so f32 and f64 both round-trip in their shortest form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attr {
    /// A number, or a word: `-1.5e-7`, `inf`, `true`, `half_pixel`.
    Atom(String),
    /// A quoted string, here without quotes and escapes.
    Text(String),
    List(Vec<Attr>),
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::Atom(atom) => f.write_str(atom),
            Attr::Text(text) => f.write_str(&quoted(text)),
            Attr::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// A string as the text form quotes it: `\"`, `\\` and control characters as `\u{a}`.
pub fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => result.extend(['\\', c]),
            c if c.is_control() => result.extend(c.escape_unicode()),
            c => result.push(c),
        }
    }
    result.push('"');
    result
}

/// A Rust type that is an attribute.
pub trait AttrValue: Sized {
    /// What an error message calls it: `an integer`.
    fn expected() -> String;
    fn to_attr(&self) -> Attr;
    fn from_attr(attr: &Attr) -> Option<Self>;
}

/// A number by its `Debug`: integers as they are, floats in the shortest form that reads back as the same bits.
fn number(value: impl fmt::Debug) -> Attr {
    Attr::Atom(format!("{value:?}"))
}

fn atom<T: std::str::FromStr>(attr: &Attr) -> Option<T> {
    match attr {
        Attr::Atom(atom) => atom.parse().ok(),
        Attr::Text(_) | Attr::List(_) => None,
    }
}

impl AttrValue for usize {
    fn expected() -> String {
        "an integer of at least 0".into()
    }

    fn to_attr(&self) -> Attr {
        number(self)
    }

    fn from_attr(attr: &Attr) -> Option<usize> {
        atom(attr)
    }
}

impl AttrValue for u32 {
    fn expected() -> String {
        "an integer of at least 0 and below 2^32".into()
    }

    fn to_attr(&self) -> Attr {
        number(self)
    }

    fn from_attr(attr: &Attr) -> Option<u32> {
        atom(attr)
    }
}

impl AttrValue for isize {
    fn expected() -> String {
        "an integer".into()
    }

    fn to_attr(&self) -> Attr {
        number(self)
    }

    fn from_attr(attr: &Attr) -> Option<isize> {
        atom(attr)
    }
}

impl AttrValue for i32 {
    fn expected() -> String {
        "an integer of 32 bits".into()
    }

    fn to_attr(&self) -> Attr {
        number(self)
    }

    fn from_attr(attr: &Attr) -> Option<i32> {
        atom(attr)
    }
}

impl AttrValue for f32 {
    fn expected() -> String {
        "a number".into()
    }

    fn to_attr(&self) -> Attr {
        number(self)
    }

    fn from_attr(attr: &Attr) -> Option<f32> {
        atom(attr)
    }
}

impl AttrValue for f64 {
    fn expected() -> String {
        "a number".into()
    }

    fn to_attr(&self) -> Attr {
        number(self)
    }

    fn from_attr(attr: &Attr) -> Option<f64> {
        atom(attr)
    }
}

impl AttrValue for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn to_attr(&self) -> Attr {
        Attr::Atom(self.to_string())
    }

    fn from_attr(attr: &Attr) -> Option<bool> {
        atom(attr)
    }
}

impl AttrValue for String {
    fn expected() -> String {
        "a quoted string".into()
    }

    fn to_attr(&self) -> Attr {
        Attr::Text(self.clone())
    }

    fn from_attr(attr: &Attr) -> Option<String> {
        match attr {
            Attr::Text(text) => Some(text.clone()),
            Attr::Atom(_) | Attr::List(_) => None,
        }
    }
}

impl<T: Word> AttrValue for T {
    fn expected() -> String {
        let names: Vec<&str> = T::ALL.iter().map(|value| value.name()).collect();
        format!("one of {}", names.join(", "))
    }

    fn to_attr(&self) -> Attr {
        Attr::Atom(self.name().into())
    }

    fn from_attr(attr: &Attr) -> Option<T> {
        let word: String = atom(attr)?;
        T::ALL.iter().copied().find(|value| value.name() == word)
    }
}

impl<T: AttrValue> AttrValue for Vec<T> {
    fn expected() -> String {
        format!("a list; each item is {}", T::expected())
    }

    fn to_attr(&self) -> Attr {
        Attr::List(self.iter().map(AttrValue::to_attr).collect())
    }

    fn from_attr(attr: &Attr) -> Option<Vec<T>> {
        match attr {
            Attr::List(items) => items.iter().map(T::from_attr).collect(),
            Attr::Atom(_) | Attr::Text(_) => None,
        }
    }
}

/// `none` is the default wherever it occurs.
impl<T: AttrValue> AttrValue for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn to_attr(&self) -> Attr {
        self.as_ref().map_or_else(|| Attr::Atom("none".into()), AttrValue::to_attr)
    }

    fn from_attr(attr: &Attr) -> Option<Option<T>> {
        if *attr == Attr::Atom("none".into()) { Some(None) } else { T::from_attr(attr).map(Some) }
    }
}

/// `[axis, start, stride, part]`.
impl AttrValue for LoopSlice {
    fn expected() -> String {
        "a list [axis, start, stride, part]".into()
    }

    fn to_attr(&self) -> Attr {
        Attr::List(vec![self.axis.to_attr(), self.start.to_attr(), self.stride.to_attr(), self.part.to_attr()])
    }

    fn from_attr(attr: &Attr) -> Option<LoopSlice> {
        let Attr::List(items) = attr else {
            return None;
        };
        let [axis, start, stride, part] = items.as_slice() else {
            return None;
        };
        Some(LoopSlice { axis: atom(axis)?, start: atom(start)?, stride: atom(stride)?, part: atom(part)? })
    }
}
