//! What moves lanes: packs, interleaves, byte shuffles, reductions. A vector of 128 bits is one chunk.

use cranelift_codegen::ir::{ConstantData, InstBuilder, Value, types};

use super::Lowering;
use crate::codegen::target::Arch;
use crate::simd::ir::{CHUNK, Half, Inst, Pack, Reduction};

impl Lowering<'_> {
    pub(super) fn rearrange(&mut self, inst: &Inst) -> Value {
        match *inst {
            Inst::Pack(pack, a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                match pack {
                    Pack::I32ToI16 | Pack::I16ToI8 => self.builder.ins().snarrow(a, b),
                    Pack::I16ToU8 => self.builder.ins().unarrow(a, b),
                }
            }
            Inst::Interleave { half, lane_bytes, a, b } => {
                let (a, b) = (self.get(a), self.get(b));
                self.bytes_of_two(a, b, interleave_mask(half, lane_bytes))
            }
            Inst::Shuffle { value, pattern } => {
                let value = self.get(value);
                self.shuffle(value, pattern)
            }
            Inst::ShuffleBy { table, indices } => {
                let (table, indices) = (self.get(table), self.get(indices));
                self.shuffle_by(table, indices)
            }
            Inst::Reduce(reduction, value) => {
                let value = self.get(value);
                self.reduce(reduction, value)
            }
            ref other => unreachable!("internal error: {other:?} moves no lanes"),
        }
    }

    /// Byte `i` is byte `mask[i]` of `a` followed by `b`; the type stays.
    fn bytes_of_two(&mut self, a: Value, b: Value, mask: [u8; CHUNK]) -> Value {
        let ty = self.builder.func.dfg.value_type(a);
        let (a, b) = (self.cast(types::I8X16, a), self.cast(types::I8X16, b));
        let mask = self.builder.func.dfg.immediates.push(ConstantData::from(mask.as_slice()));
        let bytes = self.builder.ins().shuffle(a, b, mask);
        self.cast(ty, bytes)
    }

    /// Patterns with zeros are `pshufb` and `tbl`, whose index 0x80 gives zero; the others may be anything cheaper.
    fn shuffle(&mut self, value: Value, pattern: [u8; CHUNK]) -> Value {
        if pattern.iter().all(|&from| usize::from(from) < CHUNK) {
            return self.bytes_of_two(value, value, pattern);
        }
        let ty = self.builder.func.dfg.value_type(value);
        let bytes = self.cast(types::I8X16, value);
        let indices = self.vec_const(types::I8X16, &pattern);
        let bytes = match self.target.arch {
            Arch::X86_64 => self.builder.ins().x86_pshufb(bytes, indices),
            Arch::Aarch64 => self.builder.ins().swizzle(bytes, indices),
        };
        self.cast(ty, bytes)
    }

    /// `tbl` gives zero for every index above 15: bits between the low four and the highest go first.
    fn shuffle_by(&mut self, table: Value, indices: Value) -> Value {
        match self.target.arch {
            Arch::X86_64 => self.builder.ins().x86_pshufb(table, indices),
            Arch::Aarch64 => {
                let bits = self.vec_const(types::I8X16, &[0x8f; CHUNK]);
                let indices = self.builder.ins().band(indices, bits);
                self.builder.ins().swizzle(table, indices)
            }
        }
    }

    /// Lanes 0, 1 meet lanes 2, 3; then lane 0 meets lane 1.
    fn reduce(&mut self, reduction: Reduction, value: Value) -> Value {
        let mut value = value;
        for distance in [8, 4] {
            let mask = std::array::from_fn(|i| ((i + distance) % CHUNK) as u8);
            let other = self.bytes_of_two(value, value, mask);
            value = match reduction {
                Reduction::AddI32 => self.builder.ins().iadd(value, other),
                Reduction::MaxI32 => self.builder.ins().smax(value, other),
                Reduction::AddF32 => self.builder.ins().fadd(value, other),
                Reduction::MaxF32 => self.choose_if_less((other, value), value, other),
                Reduction::MinF32 => self.choose_if_less((value, other), value, other),
            };
        }
        let lane = self.builder.ins().extractlane(value, 0);
        match reduction {
            Reduction::AddI32 | Reduction::MaxI32 => self.builder.ins().sextend(types::I64, lane),
            Reduction::AddF32 | Reduction::MaxF32 | Reduction::MinF32 => lane,
        }
    }
}

/// Indices of an interleave into the bytes of `a` followed by `b`.
fn interleave_mask(half: Half, lane_bytes: usize) -> [u8; CHUNK] {
    let first = if half == Half::Low { 0 } else { CHUNK / 2 };
    std::array::from_fn(|i| {
        let lane = i / lane_bytes;
        let operand = (lane % 2) * CHUNK;
        (operand + first + lane / 2 * lane_bytes + i % lane_bytes) as u8
    })
}
