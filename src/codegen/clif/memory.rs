//! Loads and stores.

use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};

use super::{Lowering, clif_type};
use crate::simd::ir::{Addr, Inst, IntMem, Mem, Ty, Widen, pieces};

/// A store of what this function may also load: in program order, never faulting.
const IN_ORDER: MemFlagsData = MemFlagsData::new().with_notrap();
const MOVABLE: MemFlagsData = MemFlagsData::new().with_notrap().with_readonly().with_can_move();

fn flags(mem: Mem) -> MemFlagsData {
    match mem {
        Mem::Const => MOVABLE,
        Mem::Mutable => IN_ORDER,
    }
}

/// The vector of integer lanes of `bytes` bytes.
fn vector_of(bytes: usize) -> Type {
    match bytes {
        1 => types::I8X16,
        2 => types::I16X8,
        4 => types::I32X4,
        _ => types::I64X2,
    }
}

impl Lowering<'_> {
    pub(super) fn load(&mut self, inst: &Inst) -> Value {
        match *inst {
            Inst::LoadInt { addr, kind, mem } => self.load_int(addr, kind, mem),
            Inst::LoadF32 { addr, mem } => self.load_at(types::F32, addr, 0, mem),
            Inst::Load { ty, addr, mem } | Inst::LoadChunks { ty, addr, mem, .. } => {
                self.load_at(clif_type(ty), addr, 0, mem)
            }
            Inst::LoadPartial { ty, addr, bytes, mem } => self.load_partial(ty, addr, bytes, mem),
            // one chunk: the beginning of a vector
            Inst::LoadPartialChunks { ty, addr, span, mem } => self.load_partial(ty, addr, span.part(0).1, mem),
            Inst::LoadSplat32 { ty, addr, mem } => {
                let lane = self.load_at(types::F32, addr, 0, mem);
                let vector = self.builder.ins().splat(types::F32X4, lane);
                self.cast(clif_type(ty), vector)
            }
            Inst::LoadWiden { widen, addr, mem } => self.load_widen(widen, addr, mem),
            ref other => unreachable!("internal error: {other:?} is no load"),
        }
    }

    pub(super) fn store(&mut self, inst: &Inst) {
        match *inst {
            Inst::StoreInt { addr, kind, value } => {
                let value = self.get(value);
                let narrow = match kind {
                    IntMem::U8 | IntMem::I8 => self.builder.ins().ireduce(types::I8, value),
                    IntMem::U16 | IntMem::I16 => self.builder.ins().ireduce(types::I16, value),
                    IntMem::I32 => self.builder.ins().ireduce(types::I32, value),
                    IntMem::I64 => value,
                };
                self.store_at(narrow, addr, 0);
            }
            Inst::StoreF32 { addr, value } | Inst::Store { addr, value } | Inst::StoreChunks { addr, value, .. } => {
                let value = self.get(value);
                self.store_at(value, addr, 0);
            }
            Inst::StorePartial { addr, value, bytes } => {
                let value = self.get(value);
                self.store_partial(value, addr, bytes);
            }
            Inst::StorePartialChunks { addr, span, value } => {
                let value = self.get(value);
                self.store_partial(value, addr, span.part(0).1);
            }
            ref other => unreachable!("internal error: {other:?} is no store"),
        }
    }

    fn load_at(&mut self, ty: Type, addr: Addr, extra: usize, mem: Mem) -> Value {
        let base = self.get(addr.base);
        self.builder.ins().load(ty, flags(mem), base, offset(addr, extra))
    }

    fn store_at(&mut self, value: Value, addr: Addr, extra: usize) {
        let base = self.get(addr.base);
        self.builder.ins().store(IN_ORDER, value, base, offset(addr, extra));
    }

    /// A plain load and an extension, not one of the extending loads: those never move.
    fn load_int(&mut self, addr: Addr, kind: IntMem, mem: Mem) -> Value {
        let (ty, signed) = match kind {
            IntMem::U8 => (types::I8, false),
            IntMem::I8 => (types::I8, true),
            IntMem::U16 => (types::I16, false),
            IntMem::I16 => (types::I16, true),
            IntMem::I32 => (types::I32, true),
            IntMem::I64 => return self.load_at(types::I64, addr, 0, mem),
        };
        let value = self.load_at(ty, addr, 0, mem);
        if signed {
            self.builder.ins().sextend(types::I64, value)
        } else {
            self.builder.ins().uextend(types::I64, value)
        }
    }

    fn load_partial(&mut self, ty: Ty, addr: Addr, bytes: usize, mem: Mem) -> Value {
        let mut vector = None;
        for (at, size) in pieces(bytes) {
            let lanes = vector_of(size);
            let piece = self.load_at(lanes.lane_type(), addr, at, mem);
            vector = Some(match vector {
                None if size >= 4 => self.builder.ins().scalar_to_vector(lanes, piece),
                None => {
                    let wide = self.builder.ins().uextend(types::I32, piece);
                    self.builder.ins().scalar_to_vector(types::I32X4, wide)
                }
                Some(vector) => {
                    let vector = self.cast(lanes, vector);
                    self.builder.ins().insertlane(vector, piece, (at / size) as u8)
                }
            });
        }
        let vector = match vector {
            Some(vector) => vector,
            None => self.vec_const(types::I8X16, &[0; 16]),
        };
        self.cast(clif_type(ty), vector)
    }

    fn store_partial(&mut self, value: Value, addr: Addr, bytes: usize) {
        for (at, size) in pieces(bytes) {
            let lanes = self.cast(vector_of(size), value);
            let piece = self.builder.ins().extractlane(lanes, (at / size) as u8);
            self.store_at(piece, addr, at);
        }
    }

    /// Exactly the bytes wanted, into the low lanes, then widened in the register. (The widening loads never move.)
    fn load_widen(&mut self, widen: Widen, addr: Addr, mem: Mem) -> Value {
        let half = widen.ratio() == 2;
        let (scalar, vector) = if half { (types::F64, types::F64X2) } else { (types::F32, types::F32X4) };
        let bytes = self.load_at(scalar, addr, 0, mem);
        let low = self.builder.ins().scalar_to_vector(vector, bytes);
        let (lanes, signed) = match widen {
            Widen::U8ToI16 | Widen::U8ToI32 => (types::I8X16, false),
            Widen::I8ToI16 | Widen::I8ToI32 => (types::I8X16, true),
            Widen::U16ToI32 => (types::I16X8, false),
            Widen::I16ToI32 => (types::I16X8, true),
        };
        let mut value = self.cast(lanes, low);
        for _ in 0..widen.ratio() / 2 {
            value = if signed { self.builder.ins().swiden_low(value) } else { self.builder.ins().uwiden_low(value) };
        }
        value
    }
}

fn offset(addr: Addr, extra: usize) -> Offset32 {
    // Partial accesses stay inside a vector.
    Offset32::new(addr.offset + extra as i32)
}
