//! Tiles of Intel AMX. They are configured once, where a kernel begins, and released at its end, so that nothing of them stays
//! with the caller; their registers are those the kernel names.

use iced_x86::Code;
use regalloc2::VReg;

use super::Selector;
use crate::codegen::x86::inst::{Address, Builder, Source};
use crate::simd::ir::{Addr, Inst, Loop, Val};
use crate::simd::tiles::{Signs, TileInst, TileShapes};

impl Selector<'_> {
    pub(super) fn configure_tiles(&mut self) {
        if let Some(shapes) = &self.function.tiles {
            let config = self.constants.add(configuration(shapes));
            self.cfg.push(Builder::new(Code::VEX_Ldtilecfg_m512).read(Source::Const(config)).one());
        }
    }

    pub(super) fn release_tiles(&mut self) {
        if self.function.tiles.is_some() {
            self.cfg.push(Builder::new(Code::VEX_Tilerelease).one());
        }
    }

    pub(super) fn tile(&mut self, inst: TileInst) {
        match inst {
            TileInst::Zero(tile) => self.cfg.push(Builder::new(Code::VEX_Tilezero_tmm).read(Source::Tile(tile)).one()),
            TileInst::Load { tile, addr, stride, .. } => {
                let rows = self.rows(addr, stride);
                let load = Builder::new(Code::VEX_Tileloadd_tmm_sibmem).read(Source::Tile(tile));
                self.cfg.push(load.read(Source::Mem(rows)).one());
            }
            TileInst::Store { tile, addr, stride } => {
                let rows = self.rows(addr, stride);
                self.flush_loads();
                let store = Builder::new(Code::VEX_Tilestored_sibmem_tmm).read(Source::Mem(rows));
                self.cfg.push(store.read(Source::Tile(tile)).one());
            }
            TileInst::Dot { acc, a, b, signs } => {
                let dot = [acc, a, b].into_iter().map(Source::Tile).fold(Builder::new(dot_code(signs)), Builder::read);
                self.cfg.push(dot.one());
            }
        }
    }

    /// The address of the first row, and the stride as index.
    fn rows(&mut self, addr: Addr, stride: Val) -> Address {
        let stride = self.stride(stride);
        let base = self.base_register(addr);
        Address { index: Some((stride, 1)), ..base }
    }

    fn stride(&mut self, stride: Val) -> VReg {
        let kept = self.facts.int(stride).and_then(|bytes| self.strides.iter().find(|kept| kept.0 == bytes));
        match kept {
            Some(&(_, register)) => register,
            None => self.reg(stride),
        }
    }

    /// Puts the constant strides of the tiles of an innermost loop into registers.
    pub(super) fn keep_strides(&mut self, l: &Loop) -> Vec<(i64, VReg)> {
        let outside = std::mem::take(&mut self.strides);
        for (_, inst) in &l.body.insts {
            if let Inst::Tile(TileInst::Load { stride, .. } | TileInst::Store { stride, .. }) = *inst
                && let Some(bytes) = self.facts.int(stride)
                && !self.strides.iter().any(|kept| kept.0 == bytes)
            {
                let register = self.int_const(bytes);
                self.strides.push((bytes, register));
            }
        }
        outside
    }
}

fn dot_code(signs: Signs) -> Code {
    match (signs.a, signs.b) {
        (false, true) => Code::VEX_Tdpbusd_tmm_tmm_tmm,
        (false, false) => Code::VEX_Tdpbuud_tmm_tmm_tmm,
        (true, true) => Code::VEX_Tdpbssd_tmm_tmm_tmm,
        (true, false) => Code::VEX_Tdpbsud_tmm_tmm_tmm,
    }
}

/// The operand of `ldtilecfg` (Intel SDM volume 2): palette 1, bytes of a row as u16 from byte 16, rows from byte 48.
fn configuration(shapes: &TileShapes) -> Vec<u8> {
    const ROW_BYTES: usize = 16;
    const ROWS: usize = 48;
    let mut bytes = vec![0; 64];
    bytes[0] = 1;
    for (register, shape) in shapes.iter().enumerate() {
        bytes[ROW_BYTES + 2 * register] = shape.bytes as u8;
        bytes[ROWS + register] = shape.rows as u8;
    }
    bytes
}
