//! How kernels are written: one method per instruction, closures for loops and branches.
//!
//! The builder checks types as it goes; a mismatch is a bug of the kernel and panics with the names of both types.

use cranelift_entity::PrimaryMap;

use super::ir::{
    Addr, Block, CHUNK, Cache, Cmp, FloatOp, FloatUnary, Function, FusedOp, Half, If, Inst, IntMem, IntOp, Loop, Mem,
    Pack, Reduction, ShiftOp, Span, Ty, Val, VecOp, Vectors, Widen, Width,
};
use super::tiles::{Signs, TileInst, TileReg, TileShapes};

pub struct Builder {
    name: String,
    vectors: Vectors,
    params: Vec<Val>,
    values: PrimaryMap<Val, Ty>,
    scratch: usize,
    tiles: Option<TileShapes>,
    /// The block being filled, inside those around it.
    blocks: Vec<Block>,
}

/// A pointer and whether the kernel writes what it points to.
#[derive(Clone, Copy, Debug)]
pub struct Pointer {
    pub base: Val,
    pub mem: Mem,
}

impl Builder {
    pub fn new(name: impl Into<String>, vectors: impl Into<Vectors>) -> Builder {
        let blocks = vec![Block::default()];
        let (params, values) = (Vec::new(), PrimaryMap::new());
        Builder { name: name.into(), vectors: vectors.into(), params, values, scratch: 0, tiles: None, blocks }
    }

    pub fn width(&self) -> Width {
        self.vectors.width
    }

    /// What the kernel is written for.
    pub fn vectors(&self) -> Vectors {
        self.vectors
    }

    pub fn ty(&self, value: Val) -> Ty {
        self.values[value]
    }

    pub fn finish(mut self) -> Function {
        assert_eq!(self.blocks.len(), 1, "internal error: {} finished inside a loop", self.name);
        let body = self.blocks.pop().unwrap_or_default();
        Function {
            name: self.name,
            width: self.vectors.width,
            fma: self.vectors.fma,
            params: self.params,
            values: self.values,
            scratch: self.scratch,
            tiles: self.tiles,
            body,
        }
    }

    /// A pointer parameter.
    pub fn param_ptr(&mut self, mem: Mem) -> Pointer {
        Pointer { base: self.param(Ty::Ptr), mem }
    }

    /// An integer parameter.
    pub fn param_int(&mut self) -> Val {
        self.param(Ty::I64)
    }

    fn param(&mut self, ty: Ty) -> Val {
        let value = self.values.push(ty);
        self.params.push(value);
        value
    }

    // Scalars.

    pub fn int(&mut self, value: i64) -> Val {
        self.define(Ty::I64, Inst::ConstI64(value))
    }

    pub fn float(&mut self, value: f32) -> Val {
        self.define(Ty::F32, Inst::ConstF32(value))
    }

    pub fn int_op(&mut self, op: IntOp, a: Val, b: Val) -> Val {
        self.expect(a, Ty::I64);
        self.expect(b, Ty::I64);
        self.define(Ty::I64, Inst::Int(op, a, b))
    }

    pub fn iadd(&mut self, a: Val, b: Val) -> Val {
        self.int_op(IntOp::Add, a, b)
    }

    pub fn iadd_imm(&mut self, a: Val, imm: i64) -> Val {
        let imm = self.int(imm);
        self.iadd(a, imm)
    }

    pub fn imul_imm(&mut self, a: Val, imm: i64) -> Val {
        let imm = self.int(imm);
        self.int_op(IntOp::Mul, a, imm)
    }

    pub fn div_imm(&mut self, a: Val, imm: i64) -> Val {
        let imm = self.int(imm);
        self.int_op(IntOp::DivU, a, imm)
    }

    pub fn rem_imm(&mut self, a: Val, imm: i64) -> Val {
        let imm = self.int(imm);
        self.int_op(IntOp::RemU, a, imm)
    }

    pub fn int_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> Val {
        self.expect(a, Ty::I64);
        self.expect(b, Ty::I64);
        self.define(Ty::I64, Inst::IntCmp(cmp, a, b))
    }

    pub fn choose(&mut self, condition: Val, a: Val, b: Val) -> Val {
        self.expect(condition, Ty::I64);
        self.expect(b, self.ty(a));
        self.define(self.ty(a), Inst::Choose(condition, a, b))
    }

    /// `pointer + bytes`.
    pub fn advance(&mut self, pointer: Pointer, bytes: Val) -> Pointer {
        self.expect(bytes, Ty::I64);
        Pointer { base: self.define(Ty::Ptr, Inst::PtrAdd(pointer.base, bytes)), mem: pointer.mem }
    }

    /// `pointer + index * bytes`.
    pub fn index(&mut self, pointer: Pointer, index: Val, bytes: i64) -> Pointer {
        let bytes = self.imul_imm(index, bytes);
        self.advance(pointer, bytes)
    }

    pub fn load_int(&mut self, pointer: Pointer, offset: i32, kind: IntMem) -> Val {
        self.define(Ty::I64, Inst::LoadInt { addr: addr(pointer, offset), kind, mem: pointer.mem })
    }

    pub fn store_int(&mut self, pointer: Pointer, offset: i32, kind: IntMem, value: Val) {
        self.expect(value, Ty::I64);
        self.effect(Inst::StoreInt { addr: addr(pointer, offset), kind, value });
    }

    pub fn load_float(&mut self, pointer: Pointer, offset: i32) -> Val {
        self.define(Ty::F32, Inst::LoadF32 { addr: addr(pointer, offset), mem: pointer.mem })
    }

    pub fn store_float(&mut self, pointer: Pointer, offset: i32, value: Val) {
        self.expect(value, Ty::F32);
        self.effect(Inst::StoreF32 { addr: addr(pointer, offset), value });
    }

    pub fn int_to_float(&mut self, value: Val) -> Val {
        self.expect(value, Ty::I64);
        self.define(Ty::F32, Inst::IntToFloat(value))
    }

    pub fn float_to_int(&mut self, value: Val) -> Val {
        self.expect(value, Ty::F32);
        self.define(Ty::I64, Inst::FloatToInt(value))
    }

    pub fn float_bits(&mut self, value: Val) -> Val {
        self.expect(value, Ty::F32);
        self.define(Ty::I64, Inst::FloatBits(value))
    }

    pub fn float_from_bits(&mut self, value: Val) -> Val {
        self.expect(value, Ty::I64);
        self.define(Ty::F32, Inst::FloatFromBits(value))
    }

    pub fn float_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> Val {
        self.expect(a, Ty::F32);
        self.expect(b, Ty::F32);
        self.define(Ty::I64, Inst::FloatCmp(cmp, a, b))
    }

    // Vector constants, loads and stores.

    /// Every lane is `value`, cut to the lane.
    pub fn splat_const(&mut self, ty: Ty, value: i64) -> Val {
        let lane = ty.lane_bytes();
        let chunk = std::array::from_fn(|i| value.to_le_bytes()[i % lane]);
        self.define(ty, Inst::VecConst { ty, chunk })
    }

    pub fn splat_const_f32(&mut self, value: f32) -> Val {
        let chunk = std::array::from_fn(|i| value.to_le_bytes()[i % 4]);
        self.define(Ty::VF32, Inst::VecConst { ty: Ty::VF32, chunk })
    }

    pub fn vec_const(&mut self, ty: Ty, chunk: [u8; CHUNK]) -> Val {
        self.define(ty, Inst::VecConst { ty, chunk })
    }

    pub fn splat(&mut self, ty: Ty, value: Val) -> Val {
        self.expect(value, if ty == Ty::VF32 { Ty::F32 } else { Ty::I64 });
        self.define(ty, Inst::Splat { ty, value })
    }

    pub fn load(&mut self, ty: Ty, pointer: Pointer, offset: i32) -> Val {
        self.define(ty, Inst::Load { ty, addr: addr(pointer, offset), mem: pointer.mem })
    }

    /// The first `bytes` bytes, zeros behind them; the whole vector when `bytes` covers it.
    pub fn load_partial(&mut self, ty: Ty, pointer: Pointer, offset: i32, bytes: usize) -> Val {
        if bytes >= self.vectors.width.bytes() {
            return self.load(ty, pointer, offset);
        }
        self.define(ty, Inst::LoadPartial { ty, addr: addr(pointer, offset), bytes, mem: pointer.mem })
    }

    /// Chunk `j` from `offset + j * stride`.
    pub fn load_chunks(&mut self, ty: Ty, pointer: Pointer, offset: i32, stride: i32) -> Val {
        if self.vectors.width.chunks() == 1 || stride == CHUNK as i32 {
            return self.load(ty, pointer, offset);
        }
        self.define(ty, Inst::LoadChunks { ty, addr: addr(pointer, offset), stride, mem: pointer.mem })
    }

    /// Parts of chunks, zeros elsewhere; at most `span.limit` bytes behind the address are touched.
    pub fn load_partial_chunks(&mut self, ty: Ty, pointer: Pointer, offset: i32, span: Span) -> Val {
        if span.limit == 0 {
            return self.splat_const(ty, 0);
        }
        if self.covers(span) {
            return self.load_chunks(ty, pointer, offset, span.stride);
        }
        if let Some(bytes) = self.prefix(span) {
            return self.load_partial(ty, pointer, offset, bytes);
        }
        self.define(ty, Inst::LoadPartialChunks { ty, addr: addr(pointer, offset), span, mem: pointer.mem })
    }

    pub fn load_splat32(&mut self, ty: Ty, pointer: Pointer, offset: i32) -> Val {
        self.define(ty, Inst::LoadSplat32 { ty, addr: addr(pointer, offset), mem: pointer.mem })
    }

    pub fn load_widen(&mut self, widen: Widen, pointer: Pointer, offset: i32) -> Val {
        self.define(widen.result(), Inst::LoadWiden { widen, addr: addr(pointer, offset), mem: pointer.mem })
    }

    pub fn store(&mut self, pointer: Pointer, offset: i32, value: Val) {
        self.expect_vector(value);
        self.effect(Inst::Store { addr: addr(pointer, offset), value });
    }

    /// The first `bytes` bytes; the whole vector when `bytes` covers it, nothing when it is 0.
    pub fn store_partial(&mut self, pointer: Pointer, offset: i32, value: Val, bytes: usize) {
        self.expect_vector(value);
        let addr = addr(pointer, offset);
        match bytes {
            0 => {}
            _ if bytes >= self.vectors.width.bytes() => self.effect(Inst::Store { addr, value }),
            _ => self.effect(Inst::StorePartial { addr, value, bytes }),
        }
    }

    /// Chunk `j` to `offset + j * stride`.
    pub fn store_chunks(&mut self, pointer: Pointer, offset: i32, stride: i32, value: Val) {
        self.expect_vector(value);
        let addr = addr(pointer, offset);
        if self.vectors.width.chunks() == 1 || stride == CHUNK as i32 {
            return self.effect(Inst::Store { addr, value });
        }
        self.effect(Inst::StoreChunks { addr, stride, value });
    }

    /// Parts of chunks; nothing when `span.limit` is 0.
    pub fn store_partial_chunks(&mut self, pointer: Pointer, offset: i32, span: Span, value: Val) {
        self.expect_vector(value);
        if span.limit == 0 {
            return;
        }
        if self.covers(span) {
            return self.store_chunks(pointer, offset, span.stride, value);
        }
        if let Some(bytes) = self.prefix(span) {
            return self.store_partial(pointer, offset, value, bytes);
        }
        self.effect(Inst::StorePartialChunks { addr: addr(pointer, offset), span, value });
    }

    /// Whether the span is whole chunks.
    fn covers(&self, span: Span) -> bool {
        span.head == CHUNK && span.limit >= (self.vectors.width.chunks() - 1) * span.stride as usize + CHUNK
    }

    /// Bytes of the span if it is the beginning of a vector.
    fn prefix(&self, span: Span) -> Option<usize> {
        let one_chunk = self.vectors.width.chunks() == 1 || span.limit <= span.stride as usize;
        let contiguous = span.head == CHUNK && span.stride == CHUNK as i32;
        (one_chunk || contiguous).then_some(if contiguous { span.limit } else { span.limit.min(span.head) })
    }

    // Vector arithmetic.

    pub fn vec_op(&mut self, op: VecOp, a: Val, b: Val) -> Val {
        self.expect(b, self.ty(a));
        assert!(matches!(self.ty(a), Ty::V8 | Ty::V16 | Ty::V32), "internal error: {op:?} on {:?}", self.ty(a));
        self.define(self.ty(a), Inst::Vec(op, a, b))
    }

    pub fn vadd(&mut self, a: Val, b: Val) -> Val {
        self.vec_op(VecOp::Add, a, b)
    }

    pub fn shift(&mut self, op: ShiftOp, value: Val, bits: u8) -> Val {
        self.define(self.ty(value), Inst::Shift(op, value, bits))
    }

    pub fn vec_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> Val {
        self.expect(b, self.ty(a));
        self.define(self.ty(a), Inst::VecCmp(cmp, a, b))
    }

    /// `mask` has lanes of the same size as `a` and `b`.
    pub fn vec_select(&mut self, mask: Val, a: Val, b: Val) -> Val {
        self.expect(b, self.ty(a));
        assert_eq!(self.ty(mask).lane_bytes(), self.ty(a).lane_bytes(), "internal error: mask of other lanes");
        self.define(self.ty(a), Inst::VecSelect { mask, a, b })
    }

    pub fn madd(&mut self, a: Val, b: Val) -> Val {
        self.expect(a, Ty::V16);
        self.expect(b, Ty::V16);
        self.define(Ty::V32, Inst::Madd(a, b))
    }

    pub fn madd_ubs(&mut self, u: Val, s: Val) -> Val {
        self.expect(u, Ty::V8);
        self.expect(s, Ty::V8);
        self.define(Ty::V16, Inst::MaddUbs { u, s })
    }

    /// The caller owes the proof stated at [`Inst::Dot4`].
    pub fn dot4(&mut self, acc: Val, u: Val, s: Val) -> Val {
        self.expect(acc, Ty::V32);
        self.expect(u, Ty::V8);
        self.expect(s, Ty::V8);
        self.define(Ty::V32, Inst::Dot4 { acc, u, s, any: false })
    }

    /// As [`Builder::dot4`] for any bytes.
    pub fn dot4_any(&mut self, acc: Val, u: Val, s: Val) -> Val {
        self.expect(acc, Ty::V32);
        self.expect(u, Ty::V8);
        self.expect(s, Ty::V8);
        self.define(Ty::V32, Inst::Dot4 { acc, u, s, any: true })
    }

    pub fn cast(&mut self, ty: Ty, value: Val) -> Val {
        self.expect_vector(value);
        if self.ty(value) == ty { value } else { self.define(ty, Inst::Cast { ty, value }) }
    }

    pub fn to_float(&mut self, value: Val) -> Val {
        self.expect(value, Ty::V32);
        self.define(Ty::VF32, Inst::ToFloat(value))
    }

    /// The caller owes the bound stated at [`Inst::ToInt`].
    pub fn to_int(&mut self, value: Val) -> Val {
        self.expect(value, Ty::VF32);
        self.define(Ty::V32, Inst::ToInt(value))
    }

    pub fn float_op(&mut self, op: FloatOp, a: Val, b: Val) -> Val {
        self.expect(b, self.ty(a));
        assert!(matches!(self.ty(a), Ty::F32 | Ty::VF32), "internal error: {op:?} on {:?}", self.ty(a));
        self.define(self.ty(a), Inst::Float(op, a, b))
    }

    pub fn fadd(&mut self, a: Val, b: Val) -> Val {
        self.float_op(FloatOp::Add, a, b)
    }

    pub fn fsub(&mut self, a: Val, b: Val) -> Val {
        self.float_op(FloatOp::Sub, a, b)
    }

    pub fn fmul(&mut self, a: Val, b: Val) -> Val {
        self.float_op(FloatOp::Mul, a, b)
    }

    /// `a * b + c`, rounded once where the target can, else after the product too.
    pub fn mul_add(&mut self, a: Val, b: Val, c: Val) -> Val {
        self.fused(FusedOp::MulAdd, [a, b, c])
    }

    /// `a * b - c`, as [`Self::mul_add`].
    pub fn mul_sub(&mut self, a: Val, b: Val, c: Val) -> Val {
        self.fused(FusedOp::MulSub, [a, b, c])
    }

    /// `c - a * b`, as [`Self::mul_add`].
    pub fn neg_mul_add(&mut self, a: Val, b: Val, c: Val) -> Val {
        self.fused(FusedOp::NegMulAdd, [a, b, c])
    }

    fn fused(&mut self, op: FusedOp, [a, b, c]: [Val; 3]) -> Val {
        if !self.vectors.fma {
            let product = self.fmul(a, b);
            return match op {
                FusedOp::MulAdd => self.fadd(product, c),
                FusedOp::MulSub => self.fsub(product, c),
                FusedOp::NegMulAdd => self.fsub(c, product),
            };
        }
        let ty = self.ty(a);
        self.expect(b, ty);
        self.expect(c, ty);
        assert!(matches!(ty, Ty::F32 | Ty::VF32), "internal error: {op:?} on {ty:?}");
        self.define(ty, Inst::Fused(op, a, b, c))
    }

    pub fn float_unary(&mut self, op: FloatUnary, value: Val) -> Val {
        assert!(matches!(self.ty(value), Ty::F32 | Ty::VF32), "internal error: {op:?} on {:?}", self.ty(value));
        self.define(self.ty(value), Inst::FloatUnary(op, value))
    }

    pub fn float_vec_cmp(&mut self, cmp: Cmp, a: Val, b: Val) -> Val {
        self.expect(a, Ty::VF32);
        self.expect(b, Ty::VF32);
        self.define(Ty::V32, Inst::FloatVecCmp(cmp, a, b))
    }

    pub fn pack(&mut self, pack: Pack, a: Val, b: Val) -> Val {
        let (from, to) = match pack {
            Pack::I32ToI16 => (Ty::V32, Ty::V16),
            Pack::I16ToI8 | Pack::I16ToU8 => (Ty::V16, Ty::V8),
        };
        self.expect(a, from);
        self.expect(b, from);
        self.define(to, Inst::Pack(pack, a, b))
    }

    /// Four V32 in packed order into one V8, saturating to u8 or i8.
    pub fn pack4(&mut self, signed: bool, v: [Val; 4]) -> Val {
        let low = self.pack(Pack::I32ToI16, v[0], v[1]);
        let high = self.pack(Pack::I32ToI16, v[2], v[3]);
        self.pack(if signed { Pack::I16ToI8 } else { Pack::I16ToU8 }, low, high)
    }

    pub fn interleave(&mut self, half: Half, lane_bytes: usize, a: Val, b: Val) -> Val {
        self.expect(b, self.ty(a));
        self.define(self.ty(a), Inst::Interleave { half, lane_bytes, a, b })
    }

    /// One V8 of u8 into four V32 in packed order.
    pub fn unpack4_u8(&mut self, value: Val) -> [Val; 4] {
        self.expect(value, Ty::V8);
        let zero = self.splat_const(Ty::V8, 0);
        let mut quarters = [value; 4];
        for (i, half) in [Half::Low, Half::High].into_iter().enumerate() {
            let words = self.interleave(half, 1, value, zero);
            for (j, half) in [Half::Low, Half::High].into_iter().enumerate() {
                let lanes = self.interleave(half, 2, words, zero);
                quarters[2 * i + j] = self.cast(Ty::V32, lanes);
            }
        }
        quarters
    }

    /// One V8 of i8 into four V32 in packed order.
    pub fn unpack4_i8(&mut self, value: Val) -> [Val; 4] {
        let offset = self.splat_const(Ty::V8, 0x80);
        let biased = self.vec_op(VecOp::Xor, value, offset);
        let bias = self.splat_const(Ty::V32, 128);
        self.unpack4_u8(biased).map(|lanes| self.vec_op(VecOp::Sub, lanes, bias))
    }

    pub fn shuffle(&mut self, value: Val, pattern: [u8; CHUNK]) -> Val {
        self.expect_vector(value);
        self.define(self.ty(value), Inst::Shuffle { value, pattern })
    }

    /// See [`Inst::ShuffleBy`].
    pub fn shuffle_by(&mut self, table: Val, indices: Val) -> Val {
        self.expect(table, Ty::V8);
        self.expect(indices, Ty::V8);
        self.define(Ty::V8, Inst::ShuffleBy { table, indices })
    }

    /// See [`Inst::Unchunk`].
    pub fn unchunk(&mut self, value: Val) -> Val {
        self.expect_vector(value);
        match self.vectors.width.chunks() {
            1 => value,
            _ => self.define(self.ty(value), Inst::Unchunk(value)),
        }
    }

    pub fn reduce(&mut self, reduction: Reduction, value: Val) -> Val {
        let (from, to) = match reduction {
            Reduction::AddI32 | Reduction::MaxI32 => (Ty::V32, Ty::I64),
            Reduction::AddF32 | Reduction::MaxF32 | Reduction::MinF32 => (Ty::VF32, Ty::F32),
        };
        self.expect(value, from);
        self.define(to, Inst::Reduce(reduction, value))
    }

    pub fn prefetch(&mut self, cache: Cache, pointer: Pointer, offset: i32) {
        self.effect(Inst::Prefetch(cache, addr(pointer, offset)));
    }

    // Tiles.

    /// Memory of the kernel's own, `bytes` of it; once in a kernel.
    pub fn scratch(&mut self, bytes: usize) -> Pointer {
        assert_eq!(self.scratch, 0, "internal error: {} has scratch memory twice", self.name);
        self.scratch = bytes;
        Pointer { base: self.define(Ty::Ptr, Inst::Scratch), mem: Mem::Mutable }
    }

    /// Gives the kernel tiles of these shapes.
    pub fn use_tiles(&mut self, shapes: TileShapes) {
        self.tiles = Some(shapes);
    }

    /// Row `i` from `offset + i * stride`.
    pub fn tile_load(&mut self, tile: TileReg, pointer: Pointer, offset: i32, stride: Val) {
        self.expect(stride, Ty::I64);
        let addr = addr(pointer, offset);
        self.effect(Inst::Tile(TileInst::Load { tile, addr, stride, mem: pointer.mem }));
    }

    /// Row `i` to `offset + i * stride`.
    pub fn tile_store(&mut self, tile: TileReg, pointer: Pointer, offset: i32, stride: Val) {
        self.expect(stride, Ty::I64);
        let addr = addr(pointer, offset);
        self.effect(Inst::Tile(TileInst::Store { tile, addr, stride }));
    }

    /// `acc += a * b`, see `tiles`.
    pub fn tile_dot(&mut self, acc: TileReg, a: TileReg, b: TileReg, signs: Signs) {
        self.effect(Inst::Tile(TileInst::Dot { acc, a, b, signs }));
    }

    pub fn tile_zero(&mut self, tile: TileReg) {
        self.effect(Inst::Tile(TileInst::Zero(tile)));
    }

    // Control.

    /// `for index in (lo..hi).step_by(step)` with values carried from one iteration to the next; gives the last ones.
    pub fn for_range(
        &mut self,
        (lo, hi, step): (Val, Val, i64),
        init: &[Val],
        body: impl FnOnce(&mut Builder, Val, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        assert!(step > 0, "internal error: loop with step {step}");
        let index = self.values.push(Ty::I64);
        let types: Vec<Ty> = init.iter().map(|&value| self.ty(value)).collect();
        let carried: Vec<Val> = types.iter().map(|&ty| self.values.push(ty)).collect();
        let (block, next) = self.nested(|b| body(b, index, &carried));
        assert_eq!(next.len(), types.len(), "internal error: loop carries another number of values");
        for (&value, &ty) in next.iter().zip(&types) {
            self.expect(value, ty);
        }
        let results: Vec<Val> = types.iter().map(|&ty| self.values.push(ty)).collect();
        let inst = Inst::Loop(Box::new(Loop { lo, hi, step, index, init: init.to_vec(), carried, body: block, next }));
        self.push(results.clone(), inst);
        results
    }

    /// A loop that carries nothing.
    pub fn for_each(&mut self, lo: Val, hi: Val, step: i64, body: impl FnOnce(&mut Builder, Val)) {
        self.for_range((lo, hi, step), &[], |b, index, _| {
            body(b, index);
            Vec::new()
        });
    }

    /// Both branches give values of the same types.
    pub fn if_else(
        &mut self,
        condition: Val,
        then_body: impl FnOnce(&mut Builder) -> Vec<Val>,
        else_body: impl FnOnce(&mut Builder) -> Vec<Val>,
    ) -> Vec<Val> {
        self.expect(condition, Ty::I64);
        let (then_block, then_values) = self.nested(then_body);
        let (else_block, else_values) = self.nested(else_body);
        let types: Vec<Ty> = then_values.iter().map(|&value| self.ty(value)).collect();
        let other: Vec<Ty> = else_values.iter().map(|&value| self.ty(value)).collect();
        assert_eq!(types, other, "internal error: branches give different types");
        let results: Vec<Val> = types.iter().map(|&ty| self.values.push(ty)).collect();
        let inst = If { condition, then_block, then_values, else_block, else_values };
        self.push(results.clone(), Inst::If(Box::new(inst)));
        results
    }

    pub fn if_then(&mut self, condition: Val, body: impl FnOnce(&mut Builder)) {
        self.if_else(
            condition,
            |b| {
                body(b);
                Vec::new()
            },
            |_| Vec::new(),
        );
    }

    fn nested(&mut self, body: impl FnOnce(&mut Builder) -> Vec<Val>) -> (Block, Vec<Val>) {
        self.blocks.push(Block::default());
        let values = body(self);
        (self.blocks.pop().unwrap_or_default(), values)
    }

    fn define(&mut self, ty: Ty, inst: Inst) -> Val {
        let value = self.values.push(ty);
        self.push(vec![value], inst);
        value
    }

    fn effect(&mut self, inst: Inst) {
        self.push(Vec::new(), inst);
    }

    fn push(&mut self, results: Vec<Val>, inst: Inst) {
        if let Some(block) = self.blocks.last_mut() {
            block.insts.push((results, inst));
        }
    }

    #[track_caller]
    fn expect(&self, value: Val, ty: Ty) {
        assert_eq!(self.ty(value), ty, "internal error: {value} in kernel {}", self.name);
    }

    #[track_caller]
    fn expect_vector(&self, value: Val) {
        assert!(self.ty(value).is_vector(), "internal error: {value} in kernel {} is no vector", self.name);
    }
}

fn addr(pointer: Pointer, offset: i32) -> Addr {
    Addr { base: pointer.base, offset }
}
