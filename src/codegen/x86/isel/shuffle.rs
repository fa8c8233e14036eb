//! What moves lanes: packs, interleaves, byte shuffles, reductions. All but reductions and `unchunk` stay inside chunks, as the
//! instructions do.

use iced_x86::Code;
use regalloc2::VReg;

use super::Selector;
use crate::codegen::x86::codes::{self, Pair, Size};
use crate::codegen::x86::inst::{INT, Source, VECTOR};
use crate::simd::ir::{Inst, Reduction, Val};

const SHUFFLE: Pair = [Code::VEX_Vpshufb_ymm_ymm_ymmm256, Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512];
const LOAD_CONST: Pair = [Code::VEX_Vmovdqa_ymm_ymmm256, Code::EVEX_Vmovdqa32_zmm_k1z_zmmm512];
const SHUFFLE_LANES: Pair = [Code::VEX_Vpshufd_xmm_xmmm128_imm8, Code::EVEX_Vpshufd_xmm_k1z_xmmm128b32_imm8];

impl Selector<'_> {
    pub(super) fn rearrange(&mut self, inst: &Inst) -> VReg {
        match *inst {
            Inst::Pack(pack, a, b) => {
                let (a, b) = (self.reg(a), self.source(b));
                self.vector_inst(codes::pack(pack), &[a.into(), b])
            }
            Inst::Interleave { half, lane_bytes, a, b } => {
                let (a, b) = (self.reg(a), self.source(b));
                self.vector_inst(codes::interleave(half, lane_bytes), &[a.into(), b])
            }
            Inst::Shuffle { value, pattern } => {
                let (value, pattern) = (self.reg(value), self.vec_const_source(pattern));
                self.vector_inst(SHUFFLE, &[value.into(), pattern])
            }
            Inst::ShuffleBy { table, indices } => {
                let (table, indices) = (self.reg(table), self.source(indices));
                self.vector_inst(SHUFFLE, &[table.into(), indices])
            }
            Inst::Unchunk(value) => self.unchunk(value),
            Inst::Reduce(reduction, value) => {
                let value = self.reg(value);
                self.reduce(reduction, value)
            }
            ref other => unreachable!("internal error: {other:?} moves no lanes"),
        }
    }

    fn unchunk(&mut self, value: Val) -> VReg {
        let chunks = self.function.width.chunks();
        let from = (0..self.function.width.lanes32()).map(|lane| (lane % chunks * 4 + lane / chunks) as u32);
        let from = Source::Const(self.constants.add(from.flat_map(u32::to_le_bytes).collect()));
        let from = self.vector_inst(LOAD_CONST, &[from]);
        let value = self.source(value);
        self.vector_inst(
            [Code::VEX_Vpermd_ymm_ymm_ymmm256, Code::EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32],
            &[from.into(), value],
        )
    }

    /// Halves meet until one lane is left; the lower half is the first operand.
    fn reduce(&mut self, reduction: Reduction, value: VReg) -> VReg {
        let mut value = value;
        if self.wide {
            let high =
                self.emit(VECTOR, Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8, &[value.into(), Source::Imm(1)]);
            value = self.emit(VECTOR, codes::reduction(reduction, Size::Evex256), &[value.into(), high.into()]);
        }
        let size = if self.wide { Size::Evex128 } else { Size::Vex128 };
        let high = match self.wide {
            true => Code::EVEX_Vextracti32x4_xmmm128_k1z_ymm_imm8,
            false => Code::VEX_Vextracti128_xmmm128_ymm_imm8,
        };
        let high = self.emit(VECTOR, high, &[value.into(), Source::Imm(1)]);
        value = self.emit(VECTOR, codes::reduction(reduction, size), &[value.into(), high.into()]);
        // lanes 2, 3 to 0, 1; then lane 1 to 0
        for order in [0b01_00_11_10, 0b10_11_00_01] {
            let high = self.vector_inst(SHUFFLE_LANES, &[value.into(), Source::Imm(order)]);
            value = self.emit(VECTOR, codes::reduction(reduction, size), &[value.into(), high.into()]);
        }
        match reduction {
            Reduction::AddI32 | Reduction::MaxI32 => {
                let lane = self.vector_to_int(value);
                self.emit(INT, Code::Movsxd_r64_rm32, &[lane.into()])
            }
            Reduction::AddF32 | Reduction::MaxF32 | Reduction::MinF32 => value,
        }
    }
}
