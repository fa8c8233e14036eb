//! The side file with large constants, and the table at the end of the text that says where each stands in it:
//!
//! ```text
//! blob "resnet8.bin" {
//!   @w0 = 0 0x1d7b3b4ff2aab5f1
//! }
//! ```
//!
//! A row is a constant's name, its offset in bytes and the hash of its bytes. The side file is in the text's directory.

use std::collections::BTreeMap;
use std::io;

use super::super::dense;
use super::super::entity::Const;
use super::super::ty::TensorType;
use super::lex::Token;
use super::{Parser, Step, Stop};
use crate::diag::{Diagnostic, Place, codes};

pub(super) struct Blob {
    bytes: Vec<u8>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    offset: usize,
    hash: u64,
}

impl Parser<'_> {
    /// Finds the table, which follows the function, and loads the side file.
    pub(super) fn read_blob(&mut self, load: &dyn Fn(&str) -> io::Result<Vec<u8>>) -> Step<()> {
        let is_table = |window: &[super::Located]| {
            matches!(&window[0].token, Token::Atom(word) if word == "blob") && matches!(window[1].token, Token::Text(_))
        };
        let Some(start) = self.tokens.windows(2).rposition(|window| window[0].first && is_table(window)) else {
            return Ok(());
        };
        self.at = start + 1;
        let file = self.text().unwrap_or_default();
        if file.is_empty() || file.contains(['/', '\\', ':']) || file.starts_with('.') {
            return Err(self.error(format!("{file:?} is not the name of a file beside this one")));
        }
        let entries = self.entries()?;
        let bytes = load(&file).map_err(|error| {
            let message = format!("the constants of {} cannot be read: {error}", self.file);
            Stop::Error(Diagnostic::error(&codes::UNREADABLE, Place::file(file), message))
        })?;
        self.blob = Some(Blob { bytes, entries });
        self.at = 0;
        Ok(())
    }

    fn entries(&mut self) -> Step<BTreeMap<String, Entry>> {
        let mut entries = BTreeMap::new();
        self.mark('{')?;
        while !self.eat('}') {
            let name = self.symbol()?;
            self.mark('=')?;
            let offset = self.atom("an offset")?;
            let hash = self.atom("a hash")?;
            let hash = hash.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let (Ok(offset), Some(hash)) = (offset.parse(), hash) else {
                return Err(self.error(format!("@{name} has no offset and hash")));
            };
            entries.insert(name, Entry { offset, hash });
        }
        Ok(entries)
    }

    /// Steps over the table, which [`Parser::read_blob`] has read.
    pub(super) fn skip_blob(&mut self) -> Step<()> {
        if self.blob.is_some() && self.eat_keyword("blob") {
            self.text();
            self.entries()?;
        }
        Ok(())
    }

    /// The constant `@name`; all its uses share one.
    pub(super) fn blob_constant(&mut self, name: String, ty: &TensorType) -> Step<Const> {
        if let Some(&id) = self.consts.get(&name) {
            if self.graph.tensor(id).ty() != ty {
                return Err(self.error(format!("@{name} is {} elsewhere", self.graph.tensor(id).ty())));
            }
            return Ok(id);
        }
        let Some(blob) = &self.blob else {
            return Err(self.error(format!("@{name} needs a blob table at the end of the text")));
        };
        let Some(&Entry { offset, hash }) = blob.entries.get(&name) else {
            return Err(self.error(format!("@{name} is not in the blob table")));
        };
        let end = offset.checked_add(ty.bytes());
        let Some(bytes) = end.and_then(|end| blob.bytes.get(offset..end)) else {
            let size = blob.bytes.len();
            return Err(self.error(format!("@{name} at {offset} leaves the blob, which has {size} bytes")));
        };
        if dense::content_hash(bytes) != hash {
            return Err(self.error(format!("@{name} is not what the blob holds: text and blob are of different dumps")));
        }
        let tensor = dense::from_blob(ty, bytes).map_err(|message| self.error(format!("@{name}: {message}")))?;
        let id = self.graph.add_tensor(tensor);
        self.consts.insert(name, id);
        Ok(id)
    }
}
