//! The constants of a kernel, which stand behind its code: each once, aligned to its size.

use cranelift_entity::{PrimaryMap, entity_impl};

/// A constant of the pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstId(u32);
entity_impl!(ConstId, "const");

#[derive(Default)]
pub struct Constants {
    pool: PrimaryMap<ConstId, Vec<u8>>,
}

impl Constants {
    /// The constant of these bytes, whose number is a power of two.
    pub fn add(&mut self, bytes: Vec<u8>) -> ConstId {
        let known = self.pool.iter().find(|(_, known)| **known == bytes).map(|(id, _)| id);
        known.unwrap_or_else(|| self.pool.push(bytes))
    }

    /// The constants behind `code_bytes` bytes of code: where each starts, and the bytes from the end of the code on.
    pub fn place(&self, code_bytes: usize) -> (PrimaryMap<ConstId, usize>, Vec<u8>) {
        let mut offsets = PrimaryMap::new();
        let mut bytes = Vec::new();
        for constant in self.pool.values() {
            let at = (code_bytes + bytes.len()).next_multiple_of(constant.len());
            bytes.resize(at - code_bytes, 0);
            bytes.extend_from_slice(constant);
            offsets.push(at);
        }
        (offsets, bytes)
    }

    /// The alignment the first byte of the code needs.
    pub fn align(&self) -> usize {
        self.pool.values().map(Vec::len).max().unwrap_or(1)
    }
}
