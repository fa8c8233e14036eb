//! Attributes as text: what stands between braces in `softmax %0 {axis = 1}`.
//!
//! One description per operation ([`ops`]) serves both directions: it names each field to a [`Fields`] visitor, which is
//! either the writer or the reader. So printer and parser cannot disagree. Two rules keep lines short:
//!
//! - an attribute that has its default is not written;
//! - what the result types say (element type, target shape, lengths of slices) is not an attribute of the text at all.

mod ops;
mod prototypes;
mod value;
mod words;

pub use prototypes::prototypes;
pub use value::{Attr, AttrValue, quoted};

use super::op::Op;
use super::ty::TensorType;

/// Attributes in the order in which they are written.
pub type Attrs = Vec<(String, Attr)>;

/// Visits the fields of an operation by name.
trait Fields {
    fn required<T: AttrValue>(&mut self, name: &str, field: &mut T);
    /// A field that is not written while it has its default.
    fn optional<T: AttrValue>(&mut self, name: &str, field: &mut T, default: T);
}

/// The attributes of an operation, without defaults.
pub fn attrs_of(op: &Op) -> Attrs {
    let mut writer = Writer(Vec::new());
    ops::visit(&mut op.clone(), &mut writer);
    writer.0
}

/// The operation `name` with these attributes, result types and no regions yet.
///
/// # Errors
/// Every attribute that is unknown, missing or of the wrong form; the name, if no operation has it.
pub fn op_from_attrs(name: &str, attrs: Attrs, results: &[TensorType]) -> Result<Op, Vec<String>> {
    let prototype = prototypes().into_iter().find(|op| op.name() == name);
    let mut op = prototype.ok_or_else(|| vec![format!("there is no operation {name}")])?;
    ops::adopt_results(&mut op, results).map_err(|message| vec![message])?;
    let mut reader = Reader { attrs, errors: Vec::new() };
    ops::visit(&mut op, &mut reader);
    reader.finish(name)?;
    ops::adopt_lengths(&mut op, results);
    Ok(op)
}

struct Writer(Attrs);

impl Fields for Writer {
    fn required<T: AttrValue>(&mut self, name: &str, field: &mut T) {
        self.0.push((name.to_string(), field.to_attr()));
    }

    fn optional<T: AttrValue>(&mut self, name: &str, field: &mut T, default: T) {
        // Compared as text: -0 is not 0, and NaN is itself.
        if field.to_attr() != default.to_attr() {
            self.required(name, field);
        }
    }
}

struct Reader {
    /// Not read yet.
    attrs: Attrs,
    errors: Vec<String>,
}

impl Reader {
    /// Gives whether the attribute was there.
    fn read<T: AttrValue>(&mut self, name: &str, field: &mut T) -> bool {
        let Some(at) = self.attrs.iter().position(|(key, _)| key == name) else {
            return false;
        };
        let (_, attr) = self.attrs.remove(at);
        match T::from_attr(&attr) {
            Some(value) => *field = value,
            None => self.errors.push(format!("{name} = {attr} is not {}", T::expected())),
        }
        true
    }

    fn finish(mut self, op: &str) -> Result<(), Vec<String>> {
        self.errors
            .extend(self.attrs.iter().map(|(name, _)| format!("{op} has no attribute {name}, or it is given twice")));
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

impl Fields for Reader {
    fn required<T: AttrValue>(&mut self, name: &str, field: &mut T) {
        if !self.read(name, field) {
            self.errors.push(format!("the attribute {name} is missing"));
        }
    }

    fn optional<T: AttrValue>(&mut self, name: &str, field: &mut T, default: T) {
        if !self.read(name, field) {
            *field = default;
        }
    }
}
