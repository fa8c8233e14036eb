//! Every instruction alone: a kernel that loads its operands, computes and stores, in a loop over many operands.

use octet::simd::builder::{Builder, Pointer};
use octet::simd::interp::{self, Arg, Memory};
use octet::simd::ir::{
    Cmp, FloatOp, FloatUnary, Half, IntMem, IntOp, Mem, Pack, Reduction, ShiftOp, Span, Ty, Val, VecOp, Vectors, Widen,
    Width,
};

use crate::machine::{Case, WIDTHS, check};

/// Deterministic bits; quality does not matter.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 32
    }

    /// A byte, often one at the border of a range.
    fn byte(&mut self) -> u8 {
        match self.next() % 8 {
            0 => [0x00, 0x01, 0x7f, 0x80, 0x81, 0xff][self.next() as usize % 6],
            _ => self.next() as u8,
        }
    }

    fn float(&mut self) -> f32 {
        const SPECIAL: [f32; 14] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            1.5,
            2.5,
            -2.5,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1e-40,
            8388609.5,
            3e9,
        ];
        match self.next() % 4 {
            0 => SPECIAL[self.next() as usize % SPECIAL.len()],
            1 => f32::from_bits(self.next() as u32),
            _ => (self.next() as i32 as f32) / 65536.0,
        }
    }
}

type Build = Box<dyn Fn(&mut Builder, &[Val]) -> Val>;

struct Row {
    name: String,
    inputs: Vec<Ty>,
    build: Build,
    /// Only for targets that fuse multiplication and addition.
    fma: bool,
}

fn row(name: impl Into<String>, inputs: &[Ty], build: impl Fn(&mut Builder, &[Val]) -> Val + 'static) -> Row {
    Row { name: name.into(), inputs: inputs.to_vec(), build: Box::new(build), fma: false }
}

const BLOCKS: usize = 96;
const CMPS: [Cmp; 6] = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge];
const INT_VECTORS: [Ty; 3] = [Ty::V8, Ty::V16, Ty::V32];
const VECTORS: [Ty; 4] = [Ty::V8, Ty::V16, Ty::V32, Ty::VF32];

fn integer_rows() -> Vec<Row> {
    use VecOp::{Add, And, AndNot, MaxS, MaxU, MinS, MinU, Mul, Or, Sub, Xor};
    let mut rows = Vec::new();
    for ty in INT_VECTORS {
        for op in [Add, Sub, Mul, And, Or, Xor, AndNot, MinS, MaxS, MinU, MaxU] {
            if (op, ty) != (Mul, Ty::V8) {
                rows.push(row(format!("{op:?} {ty}"), &[ty, ty], move |b, v| b.vec_op(op, v[0], v[1])));
            }
        }
        for op in [ShiftOp::Left, ShiftOp::RightUnsigned, ShiftOp::RightSigned] {
            for bits in [0, 1, 3, 8 * ty.lane_bytes() as u8 - 1] {
                rows.push(row(format!("{op:?} {ty} by {bits}"), &[ty], move |b, v| b.shift(op, v[0], bits)));
            }
        }
        for cmp in CMPS {
            rows.push(row(format!("{cmp:?} {ty}"), &[ty, ty], move |b, v| b.vec_cmp(cmp, v[0], v[1])));
        }
    }
    rows
}

fn float_rows() -> Vec<Row> {
    use FloatUnary::{Abs, Ceil, Floor, Neg, Round, Sqrt, Trunc};
    let mut rows = Vec::new();
    for ty in [Ty::F32, Ty::VF32] {
        for op in [FloatOp::Add, FloatOp::Sub, FloatOp::Mul, FloatOp::Div, FloatOp::Min, FloatOp::Max] {
            rows.push(row(format!("{op:?} {ty}"), &[ty, ty], move |b, v| b.float_op(op, v[0], v[1])));
        }
        for op in [Neg, Abs, Sqrt, Floor, Ceil, Trunc, Round] {
            rows.push(row(format!("{op:?} {ty}"), &[ty], move |b, v| b.float_unary(op, v[0])));
        }
    }
    for cmp in CMPS {
        rows.push(row(format!("{cmp:?} f32"), &[Ty::F32; 2], move |b, v| b.float_cmp(cmp, v[0], v[1])));
        rows.push(row(format!("{cmp:?} vf32"), &[Ty::VF32; 2], move |b, v| b.float_vec_cmp(cmp, v[0], v[1])));
    }
    rows.push(row("ToFloat", &[Ty::V32], |b, v| b.to_float(v[0])));
    rows.push(row("ToInt", &[Ty::VF32], |b, v| {
        let inside = inside_i32(b, v[0]);
        b.to_int(inside)
    }));
    rows.push(row("FloatToInt", &[Ty::VF32], |b, v| {
        let inside = inside_i32(b, v[0]);
        let lane = b.reduce(Reduction::MinF32, inside);
        b.float_to_int(lane)
    }));
    rows
}

/// Which operand is overwritten and which is in memory depends on where operands come from and who else needs them.
fn fused_rows() -> Vec<Row> {
    type Fuse = fn(&mut Builder, Val, Val, Val) -> Val;
    const OPS: [(&str, Fuse); 3] =
        [("MulAdd", Builder::mul_add), ("MulSub", Builder::mul_sub), ("NegMulAdd", Builder::neg_mul_add)];
    let mut rows = Vec::new();
    for ((name, fuse), ty) in OPS.into_iter().flat_map(|op| [Ty::F32, Ty::VF32].map(|ty| (op, ty))) {
        let mut add = |what: &str, build: fn(&mut Builder, &[Val], Fuse) -> Val| {
            let row = row(format!("{name} {ty} {what}"), &[ty; 3], move |b, v| build(b, v, fuse));
            rows.push(Row { fma: true, ..row });
        };
        add("in memory", |b, v, fuse| fuse(b, v[0], v[1], v[2]));
        add("swapped", |b, v, fuse| fuse(b, v[2], v[0], v[1]));
        add("in registers", |b, v, fuse| {
            let [x, y, z] = [0, 1, 2].map(|i| b.float_unary(FloatUnary::Neg, v[i]));
            fuse(b, x, y, z)
        });
        add("used again", |b, v, fuse| {
            let sum = fuse(b, v[0], v[1], v[2]);
            let sum = fuse(b, v[2], sum, v[0]);
            fuse(b, v[0], v[1], sum)
        });
        add("with themselves", |b, v, fuse| {
            let cube = fuse(b, v[0], v[0], v[0]);
            let square = fuse(b, cube, cube, v[1]);
            fuse(b, square, v[0], square)
        });
    }
    for (name, fuse) in OPS {
        let mut add = |what: &str, build: fn(&mut Builder, Val, [Val; 2], Fuse) -> Val| {
            let row = row(format!("{name} {what}"), &[Ty::VF32], move |b, v| {
                let constants = [1.5, -0.3].map(|x| b.splat_const_f32(x));
                build(b, v[0], constants, fuse)
            });
            rows.push(Row { fma: true, ..row });
        };
        add("a constant", |b, x, [c, _], fuse| fuse(b, x, x, c));
        add("by a constant", |b, x, [c, _], fuse| fuse(b, c, x, x));
        add("constants", |b, x, [c, d], fuse| {
            let sum = fuse(b, c, x, d);
            fuse(b, sum, d, c)
        });
    }
    rows
}

/// Obligation of the conversions to integers.
pub fn inside_i32(b: &mut Builder, value: Val) -> Val {
    let (low, high) = (b.splat_const_f32(-2147483648.0), b.splat_const_f32(2147483520.0));
    let value = b.float_op(FloatOp::Max, value, low);
    b.float_op(FloatOp::Min, value, high)
}

fn mixed_rows() -> Vec<Row> {
    let mut rows = vec![
        row("Madd", &[Ty::V16; 2], |b, v| b.madd(v[0], v[1])),
        row("MaddUbs", &[Ty::V8; 2], |b, v| b.madd_ubs(v[0], v[1])),
        row("Dot4", &[Ty::V32, Ty::V8, Ty::V8], |b, v| {
            // The obligation: 127 * -128 twice fits i16.
            let low = b.splat_const(Ty::V8, 0x7f);
            let u = b.vec_op(VecOp::And, v[1], low);
            b.dot4(v[0], u, v[2])
        }),
        row("Dot4 of great activations", &[Ty::V32, Ty::V8, Ty::V8], |b, v| {
            // The obligation: 255 * -64 twice fits i16.
            let s = b.shift(ShiftOp::RightSigned, v[2], 1);
            b.dot4(v[0], v[1], s)
        }),
        row("Dot4 of any bytes", &[Ty::V32, Ty::V8, Ty::V8], |b, v| b.dot4_any(v[0], v[1], v[2])),
        row("I32ToI16", &[Ty::V32; 2], |b, v| b.pack(Pack::I32ToI16, v[0], v[1])),
        row("I16ToI8", &[Ty::V16; 2], |b, v| b.pack(Pack::I16ToI8, v[0], v[1])),
        row("I16ToU8", &[Ty::V16; 2], |b, v| b.pack(Pack::I16ToU8, v[0], v[1])),
        row("unpack4 and pack4", &[Ty::V8], |b, v| {
            let lanes = b.unpack4_i8(v[0]);
            b.pack4(true, lanes)
        }),
    ];
    for ty in VECTORS {
        let mask = if ty == Ty::VF32 { Ty::V32 } else { ty };
        rows.push(row(format!("VecSelect {ty}"), &[mask, ty, ty], move |b, v| {
            let zero = b.splat_const(mask, 0);
            let mask = b.vec_cmp(Cmp::Lt, v[0], zero);
            b.vec_select(mask, v[1], v[2])
        }));
        for to in VECTORS {
            rows.push(row(format!("Cast {ty} to {to}"), &[ty], move |b, v| b.cast(to, v[0])));
        }
        for (half, lane) in [Half::Low, Half::High].into_iter().flat_map(|half| [1, 2, 4, 8].map(|lane| (half, lane))) {
            let name = format!("Interleave {half:?} {lane} {ty}");
            rows.push(row(name, &[ty, ty], move |b, v| b.interleave(half, lane, v[0], v[1])));
        }
    }
    rows.push(row("ShuffleBy", &[Ty::V8, Ty::V8], |b, v| b.shuffle_by(v[0], v[1])));
    let reverse = std::array::from_fn(|i| 15 - i as u8);
    let rotate = std::array::from_fn(|i| (i as u8 + 5) % 16);
    let broadcast = [7; 16];
    let with_zeros = std::array::from_fn(|i| if i % 3 == 0 { 0x80 } else { i as u8 / 2 });
    for pattern in [reverse, rotate, broadcast, with_zeros, [0x80; 16], [0; 16]] {
        rows.push(row(format!("Shuffle {pattern:x?}"), &[Ty::V8], move |b, v| b.shuffle(v[0], pattern)));
    }
    rows
}

fn reduction_rows() -> Vec<Row> {
    use Reduction::{AddF32, AddI32, MaxF32, MaxI32, MinF32};
    let of = |reduction| if matches!(reduction, AddI32 | MaxI32) { Ty::V32 } else { Ty::VF32 };
    let rows = [AddI32, MaxI32, AddF32, MaxF32, MinF32];
    rows.map(|r| row(format!("{r:?}"), &[of(r)], move |b, v| b.reduce(r, v[0]))).into()
}

fn scalar_rows() -> Vec<Row> {
    use IntOp::{Add, And, DivU, MaxS, MinS, Mul, Or, RemU, Shl, ShrS, Sub, Xor};
    let mut rows = Vec::new();
    for op in [Add, Sub, Mul, DivU, RemU, And, Or, Xor, Shl, ShrS, MinS, MaxS] {
        rows.push(row(format!("{op:?}"), &[Ty::I64; 2], move |b, v| {
            // No division by zero.
            let one = b.int(1);
            let odd = b.int_op(Or, v[1], one);
            b.int_op(op, v[0], odd)
        }));
    }
    for divisor in [1, 3, 7, 8, 224, 1 << 40] {
        rows.push(row(format!("divide by {divisor}"), &[Ty::I64], move |b, v| b.div_imm(v[0], divisor)));
        rows.push(row(format!("remainder by {divisor}"), &[Ty::I64], move |b, v| b.rem_imm(v[0], divisor)));
    }
    for cmp in CMPS {
        rows.push(row(format!("{cmp:?} i64"), &[Ty::I64; 2], move |b, v| b.int_cmp(cmp, v[0], v[1])));
    }
    rows.push(row("Choose i64", &[Ty::I64; 3], |b, v| {
        let condition = b.int_cmp(Cmp::Lt, v[0], v[1]);
        b.choose(condition, v[1], v[2])
    }));
    rows.push(row("Choose f32 by bits", &[Ty::I64, Ty::F32, Ty::F32], |b, v| {
        let one = b.int(1);
        let bit = b.int_op(And, v[0], one);
        b.choose(bit, v[1], v[2])
    }));
    rows.push(row("IntToFloat", &[Ty::I64], |b, v| {
        let bits = b.int(32);
        let inside = b.int_op(ShrS, v[0], bits);
        b.int_to_float(inside)
    }));
    rows.push(row("FloatBits", &[Ty::F32], |b, v| b.float_bits(v[0])));
    rows.push(row("FloatFromBits", &[Ty::I64], |b, v| b.float_from_bits(v[0])));
    for ty in INT_VECTORS {
        rows.push(row(format!("Splat {ty}"), &[Ty::I64], move |b, v| b.splat(ty, v[0])));
    }
    rows.push(row("Splat vf32", &[Ty::F32], |b, v| b.splat(Ty::VF32, v[0])));
    rows
}

/// `fn(src, dst, blocks)`: operand `i` of block `j` is at `src + (3 * j + i) * width`, its result at `dst + j * width`.
fn kernel(row: &Row, width: Width) -> octet::simd::ir::Function {
    let bytes = width.bytes() as i64;
    let fma = row.fma || Vectors::from(width).fma;
    let mut b = Builder::new(row.name.clone(), Vectors { width, fma });
    let (src, dst, blocks) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable), b.param_int());
    let zero = b.int(0);
    b.for_each(zero, blocks, 1, |b, j| {
        let from = b.index(src, j, 3 * bytes);
        let to = b.index(dst, j, bytes);
        let mut operands = Vec::new();
        for (i, &ty) in row.inputs.iter().enumerate() {
            let offset = i as i32 * bytes as i32;
            operands.push(match ty {
                Ty::I64 | Ty::Ptr => b.load_int(from, offset, IntMem::I64),
                Ty::F32 => b.load_float(from, offset),
                Ty::V8 | Ty::V16 | Ty::V32 | Ty::VF32 => b.load(ty, from, offset),
            });
        }
        let result = (row.build)(b, &operands);
        match b.ty(result) {
            Ty::I64 | Ty::Ptr => b.store_int(to, 0, IntMem::I64, result),
            Ty::F32 => b.store_float(to, 0, result),
            Ty::V8 | Ty::V16 | Ty::V32 | Ty::VF32 => b.store(to, 0, result),
        }
    });
    b.finish()
}

/// Operands of `BLOCKS` blocks, in vectors of `width`.
fn operands(row: &Row, width: Width, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..3 * BLOCKS {
        let float = matches!(row.inputs.get(i % 3), Some(Ty::F32 | Ty::VF32));
        while bytes.len() < (i + 1) * width.bytes() {
            match float {
                true => bytes.extend(random.float().to_le_bytes()),
                false => bytes.push(random.byte()),
            }
        }
    }
    bytes
}

fn row_case(row: &Row, width: Width) -> Case {
    let mut memory = Memory::new();
    let src = memory.add(operands(row, width, &mut Random(1)));
    let dst = memory.add(vec![0; width.bytes() * BLOCKS]);
    let args = [src, dst].map(|region| Arg::Ptr { region, offset: 0 });
    let args = vec![args[0], args[1], Arg::Int(BLOCKS as i64)];
    let floats = row.inputs.iter().any(|ty| matches!(ty, Ty::F32 | Ty::VF32));
    Case { name: row.name.clone(), function: kernel(row, width), memory, args, floats }
}

fn check_rows(rows: &[Row]) {
    for width in WIDTHS {
        check(&rows.iter().map(|row| row_case(row, width)).collect::<Vec<_>>());
    }
}

#[test]
fn integer_vectors() {
    check_rows(&integer_rows());
}

#[test]
fn floats() {
    check_rows(&float_rows());
}

#[test]
fn fused_floats() {
    check_rows(&fused_rows());
}

#[test]
fn products_packs_and_shuffles() {
    check_rows(&mixed_rows());
}

#[test]
fn reductions() {
    check_rows(&reduction_rows());
}

/// The one row that crosses chunks: lanes `i` of all chunks come together.
#[test]
fn lanes_of_chunks_in_order() {
    let unchunk = row("Unchunk", &[Ty::V8], |b, v| b.unchunk(v[0]));
    for width in WIDTHS {
        let (chunks, lanes) = (width.chunks(), width.lanes32());
        let src: Vec<u32> = (0..3 * lanes * BLOCKS).map(|lane| lane as u32).collect();
        let result = interpret(&unchunk, width, src.iter().flat_map(|lane| lane.to_le_bytes()).collect());
        let found: Vec<u32> = result.as_chunks().0.iter().map(|lane| u32::from_le_bytes(*lane)).collect();
        let ordered =
            |operands: &[u32]| (0..lanes).map(|at| operands[at % chunks * 4 + at / chunks]).collect::<Vec<_>>();
        assert_eq!(found, src.chunks(3 * lanes).flat_map(ordered).collect::<Vec<_>>(), "{width:?}");
    }
    check_rows(&[unchunk]);
}

#[test]
fn scalars() {
    check_rows(&scalar_rows());
}

/// Chunk `j` of every vector of `bytes`, which has vectors of `chunks` chunks.
fn chunks_of(bytes: &[u8], chunks: usize, j: usize) -> Vec<u8> {
    bytes.chunks(16 * chunks).flat_map(|vector| vector[16 * j..16 * (j + 1)].to_vec()).collect()
}

/// Wider vectors do to each chunk what vectors of one chunk do.
#[test]
fn nothing_crosses_a_chunk() {
    for row in integer_rows().into_iter().chain(mixed_rows()).chain(float_rows()) {
        let vectors = row.inputs.iter().all(|ty| ty.is_vector()) && row.name != "FloatToInt";
        for width in [Width::W256, Width::W512].into_iter().filter(|_| vectors) {
            let wide = operands(&row, width, &mut Random(2));
            let result = interpret(&row, width, wide.clone());
            for j in 0..width.chunks() {
                let narrow = interpret(&row, Width::W128, chunks_of(&wide, width.chunks(), j));
                assert_eq!(chunks_of(&result, width.chunks(), j), narrow, "{} at {width:?}, chunk {j}", row.name);
            }
        }
    }
}

fn interpret(row: &Row, width: Width, src: Vec<u8>) -> Vec<u8> {
    let mut memory = Memory { regions: vec![src, vec![0; width.bytes() * BLOCKS]] };
    let pointers = [0, 1].map(|region| Arg::Ptr { region, offset: 0 });
    let args = [pointers[0], pointers[1], Arg::Int(BLOCKS as i64)];
    interp::run(&kernel(row, width), &mut memory, &args).unwrap();
    memory.regions.swap_remove(1)
}

#[test]
fn reductions_of_wide_vectors_are_a_tree() {
    let lanes = [1e8f32, 1.0, -1e8, 2.0, 3.0, 4.0, 1e-3, 5.0];
    let mut b = Builder::new("sum", Width::W256);
    let (src, dst) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable));
    let value = b.load(Ty::VF32, src, 0);
    let sum = b.reduce(Reduction::AddF32, value);
    b.store_float(dst, 0, sum);
    let mut memory = Memory { regions: vec![lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect(), vec![0; 4]] };
    let args = [0, 1].map(|region| Arg::Ptr { region, offset: 0 });
    interp::run(&b.finish(), &mut memory, &args).unwrap();
    let pairs: [f32; 4] = std::array::from_fn(|i| lanes[i] + lanes[i + 4]);
    let expected = (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]);
    assert_eq!(memory.regions[1], expected.to_le_bytes());
}

/// A kernel `fn(src, dst)` on regions of exactly the bytes it may touch.
fn memory_case(
    name: String,
    width: Width,
    src: usize,
    dst: usize,
    build: impl Fn(&mut Builder, Mem),
    mem: Mem,
) -> Case {
    let mut b = Builder::new(name.clone(), width);
    build(&mut b, mem);
    let mut random = Random(3);
    let mut bytes = |count| (0..count).map(|_| random.byte()).collect::<Vec<u8>>();
    let memory = Memory { regions: vec![bytes(src), bytes(dst)] };
    let args = [0, 1].map(|region| Arg::Ptr { region, offset: 0 }).to_vec();
    Case { name, function: b.finish(), memory, args, floats: false }
}

type Load = Box<dyn Fn(&mut Builder, Pointer) -> Val>;

fn load_cases(width: Width, mem: Mem) -> Vec<Case> {
    let vector = width.bytes();
    let case = |name: String, src: usize, load: Load| {
        memory_case(
            name,
            width,
            src,
            vector,
            |b, mem| {
                let (src, dst) = (b.param_ptr(mem), b.param_ptr(Mem::Mutable));
                let value = load(b, src);
                if b.ty(value).is_vector() {
                    b.store(dst, 0, value);
                } else {
                    b.store_int(dst, 0, IntMem::I64, value);
                }
            },
            mem,
        )
    };
    let mut cases = Vec::new();
    for ty in VECTORS {
        for bytes in 0..=vector {
            let load = move |b: &mut Builder, src| b.load_partial(ty, src, 0, bytes);
            cases.push(case(format!("load {bytes} bytes of {ty}"), bytes, Box::new(load)));
        }
        cases.push(case(format!("splat from memory {ty}"), 9, Box::new(move |b, src| b.load_splat32(ty, src, 5))));
    }
    for widen in [Widen::U8ToI16, Widen::I8ToI16, Widen::U8ToI32, Widen::I8ToI32, Widen::I16ToI32, Widen::U16ToI32] {
        let bytes = vector / widen.ratio();
        cases.push(case(format!("{widen:?}"), bytes + 3, Box::new(move |b, src| b.load_widen(widen, src, 3))));
    }
    for kind in [IntMem::U8, IntMem::I8, IntMem::U16, IntMem::I16, IntMem::I32, IntMem::I64] {
        cases.push(case(format!("load {kind:?}"), kind.bytes() + 1, Box::new(move |b, src| b.load_int(src, 1, kind))));
    }
    cases
}

#[test]
fn loads() {
    for width in WIDTHS {
        for mem in [Mem::Const, Mem::Mutable] {
            check(&load_cases(width, mem));
        }
    }
}

/// Parts of chunks: strides and heads of a chunk and of less, limits that cut any chunk.
fn spans(width: Width) -> Vec<Span> {
    let mut spans = Vec::new();
    for (stride, head) in [(16, 16), (16, 4), (20, 16), (16, 7), (5, 3), (33, 12)] {
        let most = (width.chunks() - 1) * stride as usize + head;
        spans.extend((1..=most).map(|limit| Span { stride, head, limit }));
    }
    spans
}

#[test]
fn parts_of_chunks() {
    for width in WIDTHS.into_iter().filter(|width| width.chunks() > 1) {
        let mut cases = Vec::new();
        for span in spans(width) {
            let load = move |b: &mut Builder, mem| {
                let (src, dst) = (b.param_ptr(mem), b.param_ptr(Mem::Mutable));
                let value = b.load_partial_chunks(Ty::V8, src, 0, span);
                b.store(dst, 0, value);
            };
            let store = move |b: &mut Builder, mem| {
                let (src, dst) = (b.param_ptr(mem), b.param_ptr(Mem::Mutable));
                let value = b.load(Ty::V8, src, 0);
                b.store_partial_chunks(dst, 2, span, value);
            };
            let bytes = width.bytes();
            cases.push(memory_case(format!("load {span:?}"), width, span.limit, bytes, load, Mem::Const));
            cases.push(memory_case(format!("store {span:?}"), width, bytes, span.limit + 4, store, Mem::Const));
        }
        for stride in [16, 24, 100] {
            let build = move |b: &mut Builder, mem| {
                let (src, dst) = (b.param_ptr(mem), b.param_ptr(Mem::Mutable));
                let value = b.load_chunks(Ty::V8, src, 0, stride);
                b.store_chunks(dst, 3, 2 * stride, value);
            };
            let reach = (width.chunks() - 1) * stride as usize + 16;
            cases.push(memory_case(format!("chunks {stride}"), width, reach, 2 * reach + 4, build, Mem::Mutable));
        }
        check(&cases);
    }
}

#[test]
fn stores_touch_only_their_bytes() {
    for width in WIDTHS {
        check(&store_cases(width));
    }
}

fn store_cases(width: Width) -> Vec<Case> {
    let vector = width.bytes();
    let mut cases = Vec::new();
    for ty in VECTORS {
        for bytes in 0..=vector {
            let build = |b: &mut Builder, mem| {
                let (src, dst) = (b.param_ptr(mem), b.param_ptr(Mem::Mutable));
                let value = b.load(ty, src, 0);
                b.store_partial(dst, 2, value, bytes);
            };
            cases.push(memory_case(
                format!("store {bytes} bytes of {ty}"),
                width,
                vector,
                bytes + 4,
                build,
                Mem::Const,
            ));
        }
    }
    for kind in [IntMem::U8, IntMem::I8, IntMem::U16, IntMem::I16, IntMem::I32, IntMem::I64] {
        let build = |b: &mut Builder, mem| {
            let (src, dst) = (b.param_ptr(mem), b.param_ptr(Mem::Mutable));
            let value = b.load_int(src, 0, IntMem::I64);
            b.store_int(dst, 1, kind, value);
        };
        cases.push(memory_case(format!("store {kind:?}"), width, 8, kind.bytes() + 2, build, Mem::Const));
    }
    cases
}
