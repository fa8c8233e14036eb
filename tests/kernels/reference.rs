//! Elements in memory and pointwise programs, one element at a time.

use octet::ir::op::{BinaryOp, UnaryOp};
use octet::ir::{ElemType, Shape, Tensor, TensorType};
use octet::lower::pointwise::{Epilogue, Inner, PointwiseProgram, PwInst, PwTensor, Ref};
use octet::simd::ir::Vectors;

use crate::harness::Case;

/// A lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lane {
    F(f32),
    I(i32),
}

impl Lane {
    pub fn f(self) -> f32 {
        match self {
            Lane::F(x) => x,
            Lane::I(x) => panic!("i32 lane {x} where a float is needed"),
        }
    }

    pub fn i(self) -> i32 {
        match self {
            Lane::I(x) => x,
            Lane::F(x) => panic!("f32 lane {x} where an integer is needed"),
        }
    }
}

pub fn load(elem: ElemType, bytes: &[u8], at: i64) -> Lane {
    let bytes = &bytes[at as usize..];
    match elem {
        ElemType::F32 => Lane::F(f32::from_le_bytes(bytes[..4].try_into().unwrap())),
        ElemType::I32 | ElemType::I64 => Lane::I(i32::from_le_bytes(bytes[..4].try_into().unwrap())),
        ElemType::I16 => Lane::I(i16::from_le_bytes(bytes[..2].try_into().unwrap()).into()),
        ElemType::I8 => Lane::I((bytes[0] as i8).into()),
        ElemType::U8 | ElemType::Bool => Lane::I(bytes[0].into()),
        other => panic!("no lane of {other:?}"),
    }
}

pub fn store(elem: ElemType, bytes: &mut [u8], at: i64, lane: Lane) {
    let bytes = &mut bytes[at as usize..];
    match (elem, lane) {
        (ElemType::F32, Lane::F(x)) => bytes[..4].copy_from_slice(&x.to_le_bytes()),
        (ElemType::I32, Lane::I(x)) => bytes[..4].copy_from_slice(&x.to_le_bytes()),
        (ElemType::I64, Lane::I(x)) => bytes[..8].copy_from_slice(&i64::from(x).to_le_bytes()),
        (ElemType::I16, Lane::I(x)) => bytes[..2].copy_from_slice(&(x.clamp(-32768, 32767) as i16).to_le_bytes()),
        (ElemType::I8, Lane::I(x)) => bytes[0] = x.clamp(-128, 127) as i8 as u8,
        (ElemType::U8 | ElemType::Bool, Lane::I(x)) => bytes[0] = x.clamp(0, 255) as u8,
        other => panic!("no store of {other:?}"),
    }
}

/// Runs the epilogue of `case` for one element: its operands are those behind the first `first` of the kernel.
pub fn epilogue(
    case: &mut Case,
    epilogue: &Epilogue,
    first: usize,
    outer: &[usize],
    channel: usize,
    acc: Option<Lane>,
) {
    let place = |tensor: &PwTensor, offset: i64| -> i64 {
        let inner = if tensor.inner == Inner::Contiguous { channel * tensor.elem.bytes() } else { 0 };
        let outer: i64 = outer.iter().zip(&tensor.strides).map(|(&i, stride)| i as i64 * stride).sum();
        offset + inner as i64 + outer
    };
    let mut values: Vec<Lane> = Vec::new();
    for inst in &epilogue.program.insts {
        let value = match *inst {
            PwInst::Accumulator => acc.expect("no accumulator"),
            PwInst::Load(i) => {
                let (region, offset) = case.operands[first + i];
                let tensor = &epilogue.loads[i];
                // in place: the element is not written before it is read
                load(tensor.elem, &case.expected[region], place(tensor, offset))
            }
            _ => evaluate(inst, &values),
        };
        values.push(value);
    }
    for (i, (&(value, elem), tensor)) in epilogue.program.stores.iter().zip(&epilogue.stores).enumerate() {
        let (region, offset) = case.operands[first + epilogue.loads.len() + i];
        let at = place(tensor, offset);
        store(elem, &mut case.expected[region], at, values[value.0 as usize]);
    }
}

fn evaluate(inst: &PwInst, values: &[Lane]) -> Lane {
    let v = |r: Ref| values[r.0 as usize];
    match *inst {
        PwInst::ConstF32(x) => Lane::F(x),
        PwInst::ConstI32(x) => Lane::I(x),
        PwInst::ToFloat(x) => Lane::F(v(x).i() as f32),
        PwInst::Quantize { x, low, high } => {
            let x = v(x).f();
            let rounded = x.round_ties_even();
            Lane::I(if x.is_nan() { low } else { (rounded as i32).clamp(low, high) })
        }
        PwInst::Round(x) => Lane::I(v(x).f().round_ties_even() as i32),
        PwInst::Truncate(x) => Lane::I(v(x).f() as i32),
        PwInst::Unary(op, x) => unary(op, v(x)),
        PwInst::Binary(op, x, y) => binary(op, v(x), v(y)),
        PwInst::Select(c, x, y) => {
            if v(c).i() != 0 {
                v(x)
            } else {
                v(y)
            }
        }
        PwInst::Accumulator | PwInst::Load(_) => unreachable!("read elsewhere"),
    }
}

fn unary(op: UnaryOp, x: Lane) -> Lane {
    match (op, x) {
        (UnaryOp::Relu, Lane::F(x)) => Lane::F(if x > 0.0 { x } else { 0.0 }),
        (UnaryOp::Relu, Lane::I(x)) => Lane::I(x.max(0)),
        (UnaryOp::Abs, Lane::F(x)) => Lane::F(x.abs()),
        (UnaryOp::Neg, Lane::F(x)) => Lane::F(-x),
        (UnaryOp::Sqrt, Lane::F(x)) => Lane::F(x.sqrt()),
        other => panic!("{other:?} has no reference here"),
    }
}

fn binary(op: BinaryOp, x: Lane, y: Lane) -> Lane {
    match (op, x, y) {
        (BinaryOp::Add, Lane::F(x), Lane::F(y)) => Lane::F(x + y),
        (BinaryOp::Sub, Lane::F(x), Lane::F(y)) => Lane::F(x - y),
        (BinaryOp::Mul, Lane::F(x), Lane::F(y)) => Lane::F(x * y),
        (BinaryOp::Add, Lane::I(x), Lane::I(y)) => Lane::I(x.wrapping_add(y)),
        (BinaryOp::Mul, Lane::I(x), Lane::I(y)) => Lane::I(x.wrapping_mul(y)),
        (BinaryOp::Greater, Lane::F(x), Lane::F(y)) => Lane::I((x > y).into()),
        other => panic!("{other:?} has no reference here"),
    }
}

/// `sum + a * b`, rounded as the target does.
pub fn mul_add(vectors: Vectors, a: f32, b: f32, sum: f32) -> f32 {
    if vectors.fma { a.mul_add(b, sum) } else { a * b + sum }
}

/// A tensor of these bytes.
pub fn tensor(elem: ElemType, dims: &[usize], bytes: &[u8]) -> Tensor {
    Tensor::from_bytes(tensor_type(elem, dims), bytes).unwrap()
}

pub fn tensor_type(elem: ElemType, dims: &[usize]) -> TensorType {
    TensorType::new(elem, Shape::new(dims).unwrap())
}

// Epilogues.

/// Loads and stores of an epilogue with the regions they use, in order.
pub struct Built {
    pub epilogue: Epilogue,
    pub regions: Vec<Vec<u8>>,
}

/// The kinds of results a kernel is tested with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The accumulator as it is.
    Plain,
    /// `rne(clamp(acc * m[c] + b[c]))` as u8 or i8.
    Quantized(ElemType),
    /// As quantized, plus a u8 tensor of the result's shape times a constant, with Relu in between.
    Residual,
    /// Two results: f32 with the scale of the channel, and u8.
    Both,
}

/// Results over `outer` dimensions and `channels`, dense.
pub fn build(
    kind: Outcome,
    float: bool,
    outer: &[usize],
    channels: usize,
    random: &mut crate::random::Random,
) -> Built {
    let elements = outer.iter().product::<usize>() * channels;
    let mut program = PointwiseProgram::default();
    let (mut loads, mut stores, mut regions) = (Vec::new(), Vec::new(), Vec::new());
    let mut value = program.push(PwInst::Accumulator);
    if kind == Outcome::Plain {
        let elem = if float { ElemType::F32 } else { ElemType::I32 };
        program.stores.push((value, elem));
        stores.push(dense(elem, outer, channels));
        regions.push(vec![0x77; elements * 4]);
        return Built { epilogue: Epilogue { program, loads, stores }, regions };
    }
    if !float {
        value = program.push(PwInst::ToFloat(value));
    }
    for (i, op) in [BinaryOp::Mul, BinaryOp::Add].into_iter().enumerate() {
        loads.push(per_channel(ElemType::F32, outer.len()));
        let scale = if float { 20.0 } else { 0.01 };
        let values =
            (0..channels).map(|_| if i == 0 { scale * (1.1 + random.float()) } else { 100.0 * random.float() });
        regions.push(values.flat_map(f32::to_le_bytes).collect());
        let operand = program.push(PwInst::Load(i));
        value = program.push(PwInst::Binary(op, value, operand));
    }
    if kind == Outcome::Residual {
        loads.push(dense(ElemType::U8, outer, channels));
        regions.push(random.elements(ElemType::U8, elements));
        let other = program.push(PwInst::Load(2));
        let other = program.push(PwInst::ToFloat(other));
        let scale = program.push(PwInst::ConstF32(0.37));
        let other = program.push(PwInst::Binary(BinaryOp::Mul, other, scale));
        value = program.push(PwInst::Binary(BinaryOp::Add, value, other));
        value = program.push(PwInst::Unary(UnaryOp::Relu, value));
    }
    if kind == Outcome::Both {
        program.stores.push((value, ElemType::F32));
        stores.push(dense(ElemType::F32, outer, channels));
        regions.push(vec![0x77; elements * 4]);
    }
    let (elem, low, high) = match kind {
        Outcome::Quantized(ElemType::I8) => (ElemType::I8, -128, 127),
        _ => (ElemType::U8, 0, 255),
    };
    let quantized = program.push(PwInst::Quantize { x: value, low, high });
    program.stores.push((quantized, elem));
    stores.push(dense(elem, outer, channels));
    regions.push(vec![0x77; elements]);
    Built { epilogue: Epilogue { program, loads, stores }, regions }
}

/// A dense tensor `[outer.., channels]`.
pub fn dense(elem: ElemType, outer: &[usize], channels: usize) -> PwTensor {
    let mut strides = vec![0; outer.len()];
    let mut stride = (channels * elem.bytes()) as i64;
    for (i, &size) in outer.iter().enumerate().rev() {
        strides[i] = stride;
        stride *= size as i64;
    }
    PwTensor { elem, strides, inner: Inner::Contiguous, exact_reads: false, aliased: false }
}

/// One element per channel.
pub fn per_channel(elem: ElemType, outer: usize) -> PwTensor {
    PwTensor { elem, strides: vec![0; outer], inner: Inner::Contiguous, exact_reads: false, aliased: false }
}
