//! Values, types and instructions of kernels.
//!
//! A [`Function`] is a tree: blocks of instructions, loops and branches with blocks inside. Values are defined once and used
//! in their block or in blocks inside it. Integers wrap unless an instruction says otherwise; floats are IEEE 754 binary32,
//! round to nearest even. A product and a sum are rounded once only where an instruction says so ([`Inst::Fused`]).

use cranelift_entity::{PrimaryMap, entity_impl};

pub use super::tiles::{TILE_ROW_BYTES, TILE_ROWS};
use super::tiles::{TileInst, TileShapes};

/// A value of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Val(u32);
entity_impl!(Val, "v");

/// Bytes of a vector: 16, 32 or 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Width(usize);

/// Bytes of a chunk: the part of a vector inside which packs and shuffles stay.
pub const CHUNK: usize = 16;

/// The pieces of a part of a chunk in memory: `(offset, bytes)`, powers of two up to 8, in order.
pub fn pieces(bytes: usize) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut offset = 0;
    for size in [8, 4, 2, 1] {
        while bytes - offset >= size {
            pieces.push((offset, size));
            offset += size;
        }
    }
    pieces
}

impl Width {
    pub const W128: Width = Width(16);
    pub const W256: Width = Width(32);
    pub const W512: Width = Width(64);

    pub fn bytes(self) -> usize {
        self.0
    }

    pub fn chunks(self) -> usize {
        self.0 / CHUNK
    }

    /// 32-bit lanes of a vector.
    pub fn lanes32(self) -> usize {
        self.0 / 4
    }

    /// Packed order: which of the `bytes()` consecutive channels stands in lane `lane` of 32-bit vector `vector` (0..4) of
    /// the four that hold them. It is the order in which four 32-bit vectors pack into one byte vector and back.
    pub fn packed_channel(self, vector: usize, lane: usize) -> usize {
        self.strip_channel(4, vector, lane)
    }

    /// Packed order of fewer vectors: which of the `vectors * lanes32()` consecutive channels stands in lane `lane` of vector
    /// `vector`. Chunk `j` of all vectors together holds neighbours; with one vector it is the natural order.
    pub fn strip_channel(self, vectors: usize, vector: usize, lane: usize) -> usize {
        (lane / 4) * 4 * vectors + vector * 4 + lane % 4
    }

    /// Order of channels in a block of any number of vectors: strips of four, then one of what is left.
    pub fn block_channel(self, vectors: usize, vector: usize, lane: usize) -> usize {
        let first = vector / 4 * 4;
        first * self.lanes32() + self.strip_channel((vectors - first).min(4), vector - first, lane)
    }
}

/// What a kernel may know of the target it is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    pub width: Width,
    /// Whether there are instructions that multiply and add with one rounding.
    pub fma: bool,
}

/// What every target with vectors of that width has: where there are 512 bits, there is [`Inst::Fused`].
impl From<Width> for Vectors {
    fn from(width: Width) -> Vectors {
        Vectors { width, fma: width == Width::W512 }
    }
}

/// Type of a value. Vectors have no sign; instructions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ty {
    /// An address.
    Ptr,
    /// A scalar integer: index, count, condition (zero or not).
    I64,
    /// A scalar float.
    F32,
    /// A vector of 8-bit lanes.
    V8,
    V16,
    V32,
    /// A vector of float lanes.
    VF32,
}

impl Ty {
    pub fn is_vector(self) -> bool {
        matches!(self, Ty::V8 | Ty::V16 | Ty::V32 | Ty::VF32)
    }

    /// Bytes of a lane of a vector, or of a scalar in memory.
    pub fn lane_bytes(self) -> usize {
        match self {
            Ty::V8 => 1,
            Ty::V16 => 2,
            Ty::V32 | Ty::VF32 | Ty::F32 => 4,
            Ty::Ptr | Ty::I64 => 8,
        }
    }
}

/// An address: `base + offset` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr {
    pub base: Val,
    pub offset: i32,
}

/// Which bytes of memory belong to parts of chunks: see [`Inst::LoadPartialChunks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub stride: i32,
    /// 1..=16
    pub head: usize,
    pub limit: usize,
}

impl Span {
    /// Where the part of chunk `chunk` is, and its bytes; an empty part is at the address itself.
    pub fn part(self, chunk: usize) -> (i64, usize) {
        let begin = (chunk * self.stride as usize).min(self.limit);
        let bytes = (self.limit - begin).min(self.head);
        (if bytes == 0 { 0 } else { begin as i64 }, bytes)
    }
}

/// Whether the function itself writes the memory it loads. `Const` loads may be moved and merged freely: past stores, and
/// out of a branch inside a loop (never out of a loop that runs no iteration). So the address of a `Const` load must be
/// readable wherever its operands are known, also where a branch would skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mem {
    Const,
    Mutable,
}

/// A scalar integer in memory, extended to I64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntMem {
    U8,
    I8,
    U16,
    I16,
    I32,
    I64,
}

impl IntMem {
    pub fn bytes(self) -> usize {
        match self {
            IntMem::U8 | IntMem::I8 => 1,
            IntMem::U16 | IntMem::I16 => 2,
            IntMem::I32 => 4,
            IntMem::I64 => 8,
        }
    }
}

/// Narrow elements in memory that a load widens, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widen {
    U8ToI16,
    I8ToI16,
    U8ToI32,
    I8ToI32,
    I16ToI32,
    U16ToI32,
}

impl Widen {
    pub fn result(self) -> Ty {
        match self {
            Widen::U8ToI16 | Widen::I8ToI16 => Ty::V16,
            Widen::U8ToI32 | Widen::I8ToI32 | Widen::I16ToI32 | Widen::U16ToI32 => Ty::V32,
        }
    }

    /// Bytes in memory per byte of the vector, as a divisor.
    pub fn ratio(self) -> usize {
        match self {
            Widen::U8ToI16 | Widen::I8ToI16 | Widen::I16ToI32 | Widen::U16ToI32 => 2,
            Widen::U8ToI32 | Widen::I8ToI32 => 4,
        }
    }
}

/// Scalar integer arithmetic. Division and remainder are unsigned and by a divisor that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOp {
    Add,
    Sub,
    Mul,
    DivU,
    RemU,
    And,
    Or,
    Xor,
    Shl,
    ShrS,
    MinS,
    MaxS,
}

/// Comparisons. For floats: false with a NaN, but `Ne` is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Lane-wise integer arithmetic on V8, V16 or V32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VecOp {
    Add,
    Sub,
    /// Low half of the product; V16 and V32 only.
    Mul,
    And,
    Or,
    Xor,
    /// `a & !b`
    AndNot,
    MinS,
    MaxS,
    MinU,
    MaxU,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShiftOp {
    Left,
    RightUnsigned,
    RightSigned,
}

/// Float arithmetic on F32 or VF32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatOp {
    Add,
    Sub,
    Mul,
    Div,
    /// `a < b ? a : b`: gives `b` when either is NaN.
    Min,
    /// `a > b ? a : b`: gives `b` when either is NaN.
    Max,
}

/// A product and a sum of floats with one rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FusedOp {
    /// `a * b + c`
    MulAdd,
    /// `a * b - c`
    MulSub,
    /// `c - a * b`
    NegMulAdd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatUnary {
    Neg,
    Abs,
    Sqrt,
    Floor,
    Ceil,
    Trunc,
    /// To nearest, ties to even.
    Round,
}

/// Two vectors into one of half the lane size, inside each chunk: chunk `j` of the result is chunk `j` of `a`, then of `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// Signed saturation.
    I32ToI16,
    I16ToI8,
    /// Unsigned saturation of signed lanes.
    I16ToU8,
}

/// Which half of each chunk an interleave takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Low,
    High,
}

/// Where a prefetch brings a line: to all levels, or only to those behind the first, for what is needed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    L1,
    L2,
}

impl Cache {
    /// Bytes of a line.
    pub const LINE: usize = 64;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    AddI32,
    MaxI32,
    AddF32,
    MaxF32,
    MinF32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Inst {
    ConstI64(i64),
    ConstF32(f32),
    /// I64 x I64 -> I64
    Int(IntOp, Val, Val),
    /// Signed I64 x I64 -> I64, 0 or 1.
    IntCmp(Cmp, Val, Val),
    /// `(condition I64, a, b)`: scalars or pointers of one type.
    Choose(Val, Val, Val),
    /// Ptr + I64 bytes.
    PtrAdd(Val, Val),
    LoadInt {
        addr: Addr,
        kind: IntMem,
        mem: Mem,
    },
    /// Stores the low bytes of an I64.
    StoreInt {
        addr: Addr,
        kind: IntMem,
        value: Val,
    },
    LoadF32 {
        addr: Addr,
        mem: Mem,
    },
    StoreF32 {
        addr: Addr,
        value: Val,
    },
    /// F32 from a signed I64 that fits 32 bits.
    IntToFloat(Val),
    /// I64 from an F32 inside i32, truncated.
    FloatToInt(Val),
    /// Bits of an F32 as I64 (zero-extended) and back (the low 32 bits).
    FloatBits(Val),
    FloatFromBits(Val),
    /// F32 x F32 -> I64, 0 or 1.
    FloatCmp(Cmp, Val, Val),

    /// Every chunk is these 16 bytes.
    VecConst {
        ty: Ty,
        chunk: [u8; CHUNK],
    },
    /// The low bits of an I64, or an F32, in every lane.
    Splat {
        ty: Ty,
        value: Val,
    },
    Load {
        ty: Ty,
        addr: Addr,
        mem: Mem,
    },
    /// The first `bytes` bytes (fewer than the vector has); the rest is zero. Touches no other byte.
    LoadPartial {
        ty: Ty,
        addr: Addr,
        bytes: usize,
        mem: Mem,
    },
    /// Chunk `j` from `addr + j * stride`.
    LoadChunks {
        ty: Ty,
        addr: Addr,
        stride: i32,
        mem: Mem,
    },
    /// The first `head` bytes of chunk `j` from `addr + j * stride`, as far as they lie before `addr + limit`; zeros
    /// elsewhere. Touches no other byte. Only at widths of several chunks.
    LoadPartialChunks {
        ty: Ty,
        addr: Addr,
        span: Span,
        mem: Mem,
    },
    /// The 32 bits at the address in every 32-bit lane.
    LoadSplat32 {
        ty: Ty,
        addr: Addr,
        mem: Mem,
    },
    /// Reads `width / ratio` bytes in order.
    LoadWiden {
        widen: Widen,
        addr: Addr,
        mem: Mem,
    },
    Store {
        addr: Addr,
        value: Val,
    },
    /// The first `bytes` bytes.
    StorePartial {
        addr: Addr,
        value: Val,
        bytes: usize,
    },
    /// Chunk `j` to `addr + j * stride`.
    StoreChunks {
        addr: Addr,
        stride: i32,
        value: Val,
    },

    /// The first `head` bytes of chunk `j` to `addr + j * stride`, as far as they lie before `addr + limit`. Only at widths
    /// of several chunks.
    StorePartialChunks {
        addr: Addr,
        span: Span,
        value: Val,
    },

    Vec(VecOp, Val, Val),
    Shift(ShiftOp, Val, u8),
    /// Lane-wise on integer vectors: all ones or all zeros.
    VecCmp(Cmp, Val, Val),
    /// Bits of `a` where the mask is one, of `b` elsewhere; masks are whole lanes.
    VecSelect {
        mask: Val,
        a: Val,
        b: Val,
    },
    /// i16 x i16, neighbours added: V16 x V16 -> V32.
    Madd(Val, Val),
    /// u8 x i8, neighbours added with signed saturation: V8 x V8 -> V16.
    MaddUbs {
        u: Val,
        s: Val,
    },
    /// `acc + sum of 4 products u8 x i8`, exact: V32 x V8 x V8 -> V32. Obligation of the builder unless `any`: for every
    /// pair of neighbours (2i, 2i+1) the sum of the two products fits i16. `any` is fast only where the target has a dot
    /// product instruction.
    Dot4 {
        acc: Val,
        u: Val,
        s: Val,
        any: bool,
    },
    /// The same bits as another vector type.
    Cast {
        ty: Ty,
        value: Val,
    },
    /// V32 -> VF32, rounded to nearest even.
    ToFloat(Val),
    /// VF32 -> V32, rounded to nearest even. Obligation: every lane is inside i32, or its result is not used.
    ToInt(Val),
    /// F32 x F32 or VF32 x VF32.
    Float(FloatOp, Val, Val),
    /// `(a, b, c)`, all F32 or all VF32. Only in kernels whose target has it ([`Function::fma`]).
    Fused(FusedOp, Val, Val, Val),
    FloatUnary(FloatUnary, Val),
    /// VF32 x VF32 -> V32: all ones or all zeros.
    FloatVecCmp(Cmp, Val, Val),
    Pack(Pack, Val, Val),
    /// Lanes of `lane_bytes` bytes of the half of each chunk of `a` and `b`, in turn, `a` first.
    Interleave {
        half: Half,
        lane_bytes: usize,
        a: Val,
        b: Val,
    },
    /// Byte `i` of each chunk is byte `pattern[i]` of the same chunk; 0x80 gives zero.
    Shuffle {
        value: Val,
        pattern: [u8; CHUNK],
    },
    /// Byte `i` of each chunk is byte `indices[i] % 16` of the same chunk of `table`, zero where `indices[i]` has its highest
    /// bit set: V8 x V8 -> V8.
    ShuffleBy {
        table: Val,
        indices: Val,
    },
    /// 32-bit lane `i` of chunk `j` becomes lane `i * chunks + j`: the bytes of four packed vectors one vector behind the other.
    Unchunk(Val),
    /// V32 -> I64 (sign-extended) or VF32 -> F32. Lane `i` meets lane `i + n/2`, then halves again: a fixed tree.
    Reduce(Reduction, Val),

    /// The kernel's own memory (`Function::scratch`), aligned to 64 bytes. It holds nothing of use at first.
    Scratch,
    /// The cache line at the address will be read. It need not exist.
    Prefetch(Cache, Addr),
    /// Only in kernels with tiles.
    Tile(TileInst),

    /// `for index in (lo..hi).step_by(step)`, none when `lo >= hi`. `hi - lo` and `hi + step` fit i64.
    Loop(Box<Loop>),
    If(Box<If>),
}

impl Inst {
    /// Calls `f` with every value the instruction uses, in the order it is written; not those used by blocks inside.
    pub fn each_operand(&self, f: &mut impl FnMut(Val)) {
        match self {
            Inst::ConstI64(_) | Inst::ConstF32(_) | Inst::VecConst { .. } | Inst::Scratch => {}
            Inst::Tile(inst) => inst.operands().into_iter().for_each(f),
            Inst::Prefetch(_, addr)
            | Inst::LoadInt { addr, .. }
            | Inst::LoadF32 { addr, .. }
            | Inst::Load { addr, .. }
            | Inst::LoadPartial { addr, .. }
            | Inst::LoadChunks { addr, .. }
            | Inst::LoadPartialChunks { addr, .. }
            | Inst::LoadSplat32 { addr, .. }
            | Inst::LoadWiden { addr, .. } => f(addr.base),
            Inst::StoreInt { addr, value, .. }
            | Inst::StoreF32 { addr, value }
            | Inst::Store { addr, value }
            | Inst::StorePartial { addr, value, .. }
            | Inst::StoreChunks { addr, value, .. }
            | Inst::StorePartialChunks { addr, value, .. } => [addr.base, *value].into_iter().for_each(f),
            Inst::IntToFloat(a)
            | Inst::FloatToInt(a)
            | Inst::FloatBits(a)
            | Inst::FloatFromBits(a)
            | Inst::Splat { value: a, .. }
            | Inst::Shift(_, a, _)
            | Inst::Cast { value: a, .. }
            | Inst::ToFloat(a)
            | Inst::ToInt(a)
            | Inst::FloatUnary(_, a)
            | Inst::Shuffle { value: a, .. }
            | Inst::Unchunk(a)
            | Inst::Reduce(_, a) => f(*a),
            Inst::Int(_, a, b)
            | Inst::IntCmp(_, a, b)
            | Inst::PtrAdd(a, b)
            | Inst::FloatCmp(_, a, b)
            | Inst::Vec(_, a, b)
            | Inst::VecCmp(_, a, b)
            | Inst::Madd(a, b)
            | Inst::MaddUbs { u: a, s: b }
            | Inst::Float(_, a, b)
            | Inst::FloatVecCmp(_, a, b)
            | Inst::Pack(_, a, b)
            | Inst::Interleave { a, b, .. }
            | Inst::ShuffleBy { table: a, indices: b } => [*a, *b].into_iter().for_each(f),
            Inst::Choose(a, b, c)
            | Inst::Fused(_, a, b, c)
            | Inst::VecSelect { mask: a, a: b, b: c }
            | Inst::Dot4 { acc: a, u: b, s: c, .. } => [*a, *b, *c].into_iter().for_each(f),
            Inst::Loop(l) => [l.lo, l.hi].iter().chain(&l.init).copied().for_each(f),
            Inst::If(i) => f(i.condition),
        }
    }
}

impl Block {
    /// Whether an instruction of the block or of a block inside uses `value`, or a block inside hands it on.
    pub fn uses(&self, value: Val) -> bool {
        self.insts.iter().any(|(_, inst)| {
            let mut used = false;
            inst.each_operand(&mut |operand| used |= operand == value);
            used || match inst {
                Inst::Loop(l) => l.body.uses(value) || l.next.contains(&value),
                Inst::If(i) => {
                    let given = i.then_values.contains(&value) || i.else_values.contains(&value);
                    given || i.then_block.uses(value) || i.else_block.uses(value)
                }
                _ => false,
            }
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    pub lo: Val,
    pub hi: Val,
    /// Positive.
    pub step: i64,
    /// I64, defined by the loop, visible in the body.
    pub index: Val,
    /// Values of the first iteration.
    pub init: Vec<Val>,
    /// Defined by the loop, visible in the body: the carried values of this iteration.
    pub carried: Vec<Val>,
    pub body: Block,
    /// Values of the next iteration, computed in the body.
    pub next: Vec<Val>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct If {
    /// I64: not zero.
    pub condition: Val,
    pub then_block: Block,
    pub then_values: Vec<Val>,
    pub else_block: Block,
    pub else_values: Vec<Val>,
}

/// Instructions with the values they define: none for stores, several for loops and branches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub insts: Vec<(Vec<Val>, Inst)>,
}

/// A kernel: `fn(params..)`, no result.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub width: Width,
    /// As [`Vectors::fma`].
    pub fma: bool,
    pub params: Vec<Val>,
    pub values: PrimaryMap<Val, Ty>,
    /// Bytes of the kernel's own memory, on the stack.
    pub scratch: usize,
    /// The shapes of its tiles, if it has any.
    pub tiles: Option<TileShapes>,
    pub body: Block,
}
