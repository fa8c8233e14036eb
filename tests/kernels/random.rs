//! Reproducible test data.

use octet::ir::ElemType;

/// Splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `low..=high`.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// In -1..1.
    pub fn float(&mut self) -> f32 {
        self.int(-(1 << 23), (1 << 23) - 1) as f32 / (1 << 23) as f32
    }

    /// One of the values.
    pub fn of(&mut self, values: &[i32]) -> i32 {
        values[self.int(0, values.len() as i64 - 1) as usize]
    }

    /// Little-endian elements: any value of narrow integers, small i32 and i64, floats in -4..4.
    pub fn elements(&mut self, elem: ElemType, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            match elem {
                ElemType::F32 => bytes.extend((4.0 * self.float()).to_le_bytes()),
                ElemType::I32 => bytes.extend((self.int(-1000, 1000) as i32).to_le_bytes()),
                ElemType::I64 => bytes.extend(self.int(-1000, 1000).to_le_bytes()),
                ElemType::I16 => bytes.extend((self.int(-32768, 32767) as i16).to_le_bytes()),
                ElemType::Bool => bytes.push(self.int(0, 1) as u8),
                _ => bytes.push(self.next() as u8),
            }
        }
        bytes
    }
}
