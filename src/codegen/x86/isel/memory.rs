//! Addresses, loads and stores.
//!
//! Partial accesses touch no byte outside: at 256 bits they are made of pieces of 16, 8, 4, 2 and 1 bytes, at 512 bits of
//! masked moves, which do not fault on masked bytes.

use iced_x86::Code;
use regalloc2::VReg;

use super::Selector;
use crate::codegen::x86::codes;
use crate::codegen::x86::inst::{Address, Builder, INT, MASK, Source, VECTOR};
use crate::simd::ir::{Addr, CHUNK, Cache, Inst, IntOp, Mem, Span, Val, pieces};

const LOAD_CHUNK: codes::Pair = [Code::VEX_Vmovdqu_xmm_xmmm128, Code::EVEX_Vmovdqu32_xmm_k1z_xmmm128];
const STORE_CHUNK: codes::Pair = [Code::VEX_Vmovdqu_xmmm128_xmm, Code::EVEX_Vmovdqu32_xmmm128_k1z_xmm];
const BROADCAST_CHUNK: codes::Pair = [Code::VEX_Vbroadcasti128_ymm_m128, Code::EVEX_Vbroadcasti32x4_zmm_k1z_m128];
const INSERT: codes::Pair =
    [Code::VEX_Vinserti128_ymm_ymm_xmmm128_imm8, Code::EVEX_Vinserti32x4_zmm_k1z_zmm_xmmm128_imm8];
const EXTRACT: codes::Pair = [Code::VEX_Vextracti128_xmmm128_ymm_imm8, Code::EVEX_Vextracti32x4_xmmm128_k1z_zmm_imm8];

impl Selector<'_> {
    /// An address with what was added to its base, as far as it fits into the operand.
    pub(super) fn address(&mut self, addr: Addr, mem: Mem) -> Address {
        let (mut base, mut disp) = (self.facts.canonical(addr.base), i64::from(addr.offset));
        let mut index = None;
        while let (None, Some(&Inst::PtrAdd(pointer, bytes))) = (self.regs[base], self.waiting[base]) {
            match self.facts.int(bytes) {
                Some(bytes) if i32::try_from(disp + bytes).is_ok() => disp += bytes,
                None if index.is_none() && self.facts.only_addresses(base) => index = Some(self.scaled(bytes)),
                _ => break,
            }
            base = self.facts.canonical(pointer);
        }
        Address { base: self.reg(base), index, disp: disp as i32, mem }
    }

    /// An address without an index: only constants are added in the operand.
    pub(super) fn base_register(&mut self, addr: Addr) -> Address {
        let (mut base, mut disp) = (self.facts.canonical(addr.base), i64::from(addr.offset));
        while let (None, Some(&Inst::PtrAdd(pointer, bytes))) = (self.regs[base], self.waiting[base]) {
            match self.facts.int(bytes) {
                Some(bytes) if i32::try_from(disp + bytes).is_ok() => disp += bytes,
                _ => break,
            }
            base = self.facts.canonical(pointer);
        }
        Address { base: self.reg(base), index: None, disp: disp as i32, mem: Mem::Mutable }
    }

    /// A number of bytes as index and scale of an address.
    fn scaled(&mut self, bytes: Val) -> (VReg, u32) {
        let bytes = self.facts.canonical(bytes);
        if let (None, Some(&Inst::Int(IntOp::Mul, a, b))) = (self.regs[bytes], self.waiting[bytes])
            && let Some(scale @ (2 | 4 | 8)) = self.facts.int(b)
            && self.facts.int(a).is_none()
        {
            return (self.reg(a), scale as u32);
        }
        (self.reg(bytes), 1)
    }

    pub(super) fn load(&mut self, inst: &Inst) -> VReg {
        match *inst {
            Inst::LoadInt { addr, kind, mem } => {
                let address = self.address(addr, mem);
                self.emit(INT, codes::load_int(kind), &[Source::Mem(address)])
            }
            Inst::LoadF32 { addr, mem, .. } => {
                let address = self.address(addr, mem);
                self.vector_inst([Code::VEX_Vmovss_xmm_m32, Code::EVEX_Vmovss_xmm_k1z_m32], &[Source::Mem(address)])
            }
            Inst::Load { addr, mem, .. } => {
                let address = self.address(addr, mem);
                let codes = [Code::VEX_Vmovdqu_ymm_ymmm256, Code::EVEX_Vmovdqu32_zmm_k1z_zmmm512];
                self.vector_inst(codes, &[Source::Mem(address)])
            }
            Inst::LoadPartial { addr, bytes, mem, .. } => {
                let address = self.address(addr, mem);
                self.load_partial(address, bytes)
            }
            Inst::LoadChunks { addr, stride: 0, mem, .. } => {
                let address = self.address(addr, mem);
                self.vector_inst(BROADCAST_CHUNK, &[Source::Mem(address)])
            }
            Inst::LoadChunks { addr, stride, mem, .. } => {
                let address = self.address(addr, mem);
                self.load_chunks(address, Span { stride, head: CHUNK, limit: usize::MAX })
            }
            Inst::LoadPartialChunks { addr, span, mem, .. } => {
                let address = self.address(addr, mem);
                self.load_chunks(address, span)
            }
            Inst::LoadSplat32 { addr, mem, .. } => {
                let address = self.address(addr, mem);
                self.vector_inst(codes::broadcast(4), &[Source::Mem(address)])
            }
            Inst::LoadWiden { widen, addr, mem, .. } => {
                let address = self.address(addr, mem);
                self.vector_inst(codes::widen(widen), &[Source::Mem(address)])
            }
            ref other => unreachable!("internal error: {other:?} is no load"),
        }
    }

    /// The first bytes of a vector, fewer than it has; the rest is zero.
    fn load_partial(&mut self, address: Address, bytes: usize) -> VReg {
        if self.wide {
            let mask = self.mask(bytes);
            return self.load_masked(Code::EVEX_Vmovdqu8_zmm_k1z_zmmm512, address, mask);
        }
        self.load_chunks(address, Span { stride: CHUNK as i32, head: CHUNK, limit: bytes })
    }

    /// Chunk by chunk. A 128-bit load clears what is above it.
    fn load_chunks(&mut self, address: Address, span: Span) -> VReg {
        let mut vector = None;
        for chunk in 0..self.function.width.chunks() {
            let (offset, bytes) = span.part(chunk);
            let at = address.plus(offset);
            vector = match vector {
                None => Some(self.load_part(at, bytes)),
                Some(vector) if bytes == 0 => Some(vector),
                Some(vector) => {
                    let part = if bytes == CHUNK { Source::Mem(at) } else { self.load_part(at, bytes).into() };
                    Some(self.vector_inst(INSERT, &[vector.into(), part, Source::Imm(chunk as i64)]))
                }
            };
        }
        vector.unwrap_or_else(|| self.zero_vector())
    }

    /// The first bytes of one chunk, zeros behind.
    fn load_part(&mut self, address: Address, bytes: usize) -> VReg {
        match bytes {
            0 => self.zero_vector(),
            CHUNK => self.vector_inst(LOAD_CHUNK, &[Source::Mem(address)]),
            _ if self.wide => {
                let mask = self.mask(bytes);
                self.load_masked(Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128, address, mask)
            }
            _ => self.load_pieces(address, bytes),
        }
    }

    fn load_pieces(&mut self, address: Address, bytes: usize) -> VReg {
        let mut vector = None;
        for (at, size) in pieces(bytes) {
            let piece = Source::Mem(address.plus(at as i64));
            let index = Source::Imm((at / size) as i64);
            let insert = match (size, vector) {
                (8, _) => {
                    vector = Some(self.emit(VECTOR, Code::VEX_Vmovq_xmm_xmmm64, &[piece]));
                    continue;
                }
                (4, None) => {
                    vector = Some(self.emit(VECTOR, Code::VEX_Vmovd_xmm_rm32, &[piece]));
                    continue;
                }
                (4, _) => Code::VEX_Vpinsrd_xmm_xmm_rm32_imm8,
                (2, _) => Code::VEX_Vpinsrw_xmm_xmm_r32m16_imm8,
                _ => Code::VEX_Vpinsrb_xmm_xmm_r32m8_imm8,
            };
            let before = vector.unwrap_or_else(|| self.zero_vector());
            vector = Some(self.emit(VECTOR, insert, &[before.into(), piece, index]));
        }
        vector.unwrap_or_else(|| self.zero_vector())
    }

    /// The mask of the first `bytes` bytes.
    fn mask(&mut self, bytes: usize) -> VReg {
        let ones = u64::MAX.checked_shr(64 - bytes as u32).unwrap_or(0);
        let ones = self.int_const(ones.cast_signed());
        self.emit(MASK, Code::VEX_Kmovq_kr_r64, &[ones.into()])
    }

    fn load_masked(&mut self, code: Code, address: Address, mask: VReg) -> VReg {
        let result = self.cfg.vreg(VECTOR);
        self.cfg.push(Builder::new(code).def(result).read(Source::Mem(address)).mask(mask).one());
        result
    }

    /// Stores keep their order; loads of mutable memory before them are done first.
    pub(super) fn store(&mut self, inst: &Inst) {
        match *inst {
            Inst::StoreInt { addr, kind, value } => self.store_one(codes::store_int(kind), addr, value),
            Inst::StoreF32 { addr, value } => {
                self.store_one(self.pick([Code::VEX_Vmovss_m32_xmm, Code::EVEX_Vmovss_m32_k1_xmm]), addr, value);
            }
            Inst::Store { addr, value } => {
                let codes = [Code::VEX_Vmovdqu_ymmm256_ymm, Code::EVEX_Vmovdqu32_zmmm512_k1z_zmm];
                self.store_one(self.pick(codes), addr, value);
            }
            Inst::StorePartial { addr, value, bytes } => {
                let (address, value) = self.store_operands(addr, value);
                self.store_partial(address, value, bytes);
            }
            Inst::StoreChunks { addr, stride, value } => {
                let (address, value) = self.store_operands(addr, value);
                self.store_chunks(address, value, Span { stride, head: CHUNK, limit: usize::MAX });
            }
            Inst::StorePartialChunks { addr, span, value } => {
                let (address, value) = self.store_operands(addr, value);
                self.store_chunks(address, value, span);
            }
            Inst::Prefetch(cache, addr) => {
                let address = self.address(addr, Mem::Mutable);
                let code = match cache {
                    Cache::L1 => Code::Prefetcht0_m8,
                    Cache::L2 => Code::Prefetcht1_m8,
                };
                self.write_memory(code, address, &[]);
            }
            Inst::Tile(inst) => self.tile(inst),
            ref other => unreachable!("internal error: {other:?} is no store"),
        }
    }

    fn store_operands(&mut self, addr: Addr, value: Val) -> (Address, VReg) {
        let value = self.reg(value);
        let address = self.address(addr, Mem::Mutable);
        self.flush_loads();
        (address, value)
    }

    fn store_one(&mut self, code: Code, addr: Addr, value: Val) {
        let (address, value) = self.store_operands(addr, value);
        self.write_memory(code, address, &[value.into()]);
    }

    fn store_partial(&mut self, address: Address, value: VReg, bytes: usize) {
        if self.wide {
            let mask = self.mask(bytes);
            return self.store_masked(Code::EVEX_Vmovdqu8_zmmm512_k1z_zmm, address, value, mask);
        }
        self.store_chunks(address, value, Span { stride: CHUNK as i32, head: CHUNK, limit: bytes });
    }

    fn store_chunks(&mut self, address: Address, value: VReg, span: Span) {
        for chunk in 0..self.function.width.chunks() {
            let (offset, bytes) = span.part(chunk);
            let at = address.plus(offset);
            match (bytes, chunk) {
                (0, _) => {}
                (CHUNK, 0) => self.write_memory(self.pick(STORE_CHUNK), at, &[value.into()]),
                (CHUNK, _) => self.write_memory(self.pick(EXTRACT), at, &[value.into(), Source::Imm(chunk as i64)]),
                _ => {
                    let part = self.chunk(value, chunk);
                    self.store_part(at, part, bytes);
                }
            }
        }
    }

    /// Chunk `chunk` in the low part of a register.
    pub(super) fn chunk(&mut self, value: VReg, chunk: usize) -> VReg {
        match chunk {
            0 => value,
            _ => self.vector_inst(EXTRACT, &[value.into(), Source::Imm(chunk as i64)]),
        }
    }

    fn store_part(&mut self, address: Address, chunk: VReg, bytes: usize) {
        if self.wide {
            let mask = self.mask(bytes);
            return self.store_masked(Code::EVEX_Vmovdqu8_xmmm128_k1z_xmm, address, chunk, mask);
        }
        for (at, size) in pieces(bytes) {
            let index = Source::Imm((at / size) as i64);
            let piece = address.plus(at as i64);
            match size {
                8 => self.write_memory(Code::VEX_Vmovq_xmmm64_xmm, piece, &[chunk.into()]),
                4 if at == 0 => self.write_memory(Code::VEX_Vmovd_rm32_xmm, piece, &[chunk.into()]),
                4 => self.write_memory(Code::VEX_Vpextrd_rm32_xmm_imm8, piece, &[chunk.into(), index]),
                2 => self.write_memory(Code::VEX_Vpextrw_r32m16_xmm_imm8, piece, &[chunk.into(), index]),
                _ => self.write_memory(Code::VEX_Vpextrb_r32m8_xmm_imm8, piece, &[chunk.into(), index]),
            }
        }
    }

    fn store_masked(&mut self, code: Code, address: Address, value: VReg, mask: VReg) {
        self.cfg.push(Builder::new(code).write(address).read(value).mask(mask).one());
    }
}
