//! Pointwise kernels: element types, sizes, broadcasts, places; and every operation of pointwise programs against `interp`.

use octet::interp::eval_op;
use octet::ir::op::{BinaryOp, UnaryOp};
use octet::ir::{ElemType, Op, Tensor};
use octet::lower::kernel::{KernelSpec, PointwiseSpec};
use octet::lower::pointwise::{Epilogue, Inner, PointwiseProgram, PwInst, PwTensor, Ref};

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, dense, tensor, tensor_type};

/// A kernel over `outer` x `inner` with its regions: loads, then stores.
fn case(outer: &[usize], inner: usize, epilogue: Epilogue, regions: Vec<Vec<u8>>) -> Case {
    let spec = PointwiseSpec { outer: outer.to_vec(), inner, epilogue: epilogue.clone() };
    let mut case = Case::new(KernelSpec::Pointwise(spec), regions);
    case.exact = (0..epilogue.loads.len()).filter(|&i| epilogue.loads[i].exact_reads).collect();
    for_each(outer, |at| {
        for channel in 0..inner {
            reference::epilogue(&mut case, &epilogue, 0, at, channel, None);
        }
    });
    case
}

const LENGTHS: [usize; 12] = [1, 2, 3, 4, 5, 8, 15, 16, 17, 63, 64, 100];

/// `to` elements from `from` elements: what a conversion does.
fn conversion(from: ElemType, to: ElemType) -> PointwiseProgram {
    let mut program = PointwiseProgram::default();
    let x = program.push(PwInst::Load(0));
    let (float_from, float_to) = (from == ElemType::F32, to == ElemType::F32);
    let y = match (float_from, float_to) {
        (true, false) => program.push(PwInst::Truncate(x)),
        (false, true) => program.push(PwInst::ToFloat(x)),
        _ => x,
    };
    program.stores.push((y, to));
    program
}

#[test]
fn every_pair_of_element_types() {
    let elems =
        [ElemType::F32, ElemType::I32, ElemType::I64, ElemType::I16, ElemType::I8, ElemType::U8, ElemType::Bool];
    for from in elems {
        for to in elems {
            for (inner, exact) in [(1, true), (3, true), (16, true), (24, true), (37, false), (75, true)] {
                check(&format!("{from} to {to}, {inner} elements, exact {exact}"), |_| {
                    let outer = [2, 3];
                    let load = PwTensor { exact_reads: exact, ..dense(from, &outer, inner) };
                    let epilogue = Epilogue {
                        program: conversion(from, to),
                        loads: vec![load],
                        stores: vec![dense(to, &outer, inner)],
                    };
                    let src = Random(1).elements(from, 6 * inner);
                    case(&outer, inner, epilogue, vec![src, vec![0x55; 6 * inner * to.bytes()]])
                });
            }
        }
    }
}

#[test]
fn lengths_and_broadcasts() {
    for inner in LENGTHS {
        check(&format!("sum of {inner} elements"), |_| {
            let outer = [3, 2];
            let mut program = PointwiseProgram::default();
            let loads = [0, 1, 2].map(|i| program.push(PwInst::Load(i)));
            let x = program.push(PwInst::ToFloat(loads[0]));
            let x = program.push(PwInst::Binary(BinaryOp::Mul, x, loads[1]));
            let x = program.push(PwInst::Binary(BinaryOp::Add, x, loads[2]));
            let q = program.push(PwInst::Quantize { x, low: -128, high: 127 });
            program.stores = vec![(q, ElemType::I8), (x, ElemType::F32)];
            // the second operand is one element per outer index, the third a row for all
            let splat = PwTensor { inner: Inner::Splat, ..dense(ElemType::F32, &outer, 1) };
            let row = PwTensor { strides: vec![0, 0], ..dense(ElemType::F32, &outer, inner) };
            let epilogue = Epilogue {
                program,
                loads: vec![dense(ElemType::U8, &outer, inner), splat, row],
                stores: vec![dense(ElemType::I8, &outer, inner), dense(ElemType::F32, &outer, inner)],
            };
            let mut random = Random(2);
            let regions = vec![
                random.elements(ElemType::U8, 6 * inner),
                random.elements(ElemType::F32, 6),
                random.elements(ElemType::F32, inner),
                vec![0; 6 * inner],
                vec![0; 24 * inner],
            ];
            case(&outer, inner, epilogue, regions)
        });
    }
}

#[test]
fn in_place() {
    for inner in [5, 64, 67] {
        check(&format!("in place, {inner} elements"), |_| {
            let mut program = PointwiseProgram::default();
            let x = program.push(PwInst::Load(0));
            let two = program.push(PwInst::ConstF32(2.0));
            let y = program.push(PwInst::Binary(BinaryOp::Mul, x, two));
            program.stores.push((y, ElemType::F32));
            let tensor = PwTensor { aliased: true, ..dense(ElemType::F32, &[4], inner) };
            let epilogue = Epilogue { program, loads: vec![tensor.clone()], stores: vec![tensor] };
            let spec = PointwiseSpec { outer: vec![4], inner, epilogue: epilogue.clone() };
            let src = Random(3).elements(ElemType::F32, 4 * inner);
            let mut case = Case::new(KernelSpec::Pointwise(spec), vec![src]);
            case.operands = vec![(0, 0), (0, 0)];
            for_each(&[4], |at| (0..inner).for_each(|c| reference::epilogue(&mut case, &epilogue, 0, at, c, None)));
            case
        });
    }
}

#[test]
fn quantize_and_truncate_at_the_ends() {
    let values: Vec<f32> = vec![
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        254.5,
        255.5,
        1e9,
        -1e9,
        2147483648.0,
        -2147483648.0,
        2147483520.0,
        3e9,
        -3e9,
        127.5,
        -128.5,
        -0.0,
        1e-40,
    ];
    let insts: [fn(Ref) -> PwInst; 5] = [
        |x| PwInst::Quantize { x, low: 0, high: 255 },
        |x| PwInst::Quantize { x, low: -128, high: 127 },
        |x| PwInst::Quantize { x, low: -32768, high: 32767 },
        |x| PwInst::Quantize { x, low: i32::MIN, high: i32::MAX },
        PwInst::Truncate,
    ];
    for inst in insts {
        check(&format!("{:?}", inst(Ref(0))), |_| {
            let mut program = PointwiseProgram::default();
            let x = program.push(PwInst::Load(0));
            let y = program.push(inst(x));
            program.stores.push((y, ElemType::I32));
            let epilogue = Epilogue {
                program,
                loads: vec![dense(ElemType::F32, &[], values.len())],
                stores: vec![dense(ElemType::I32, &[], values.len())],
            };
            let src = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            case(&[], values.len(), epilogue, vec![src, vec![0; 4 * values.len()]])
        });
    }
}

/// Without a clamp of its own, a value is clamped when it is stored.
#[test]
fn rounded_values_saturate_in_narrow_stores() {
    const INSIDE: f32 = 2147483520.0;
    let values = [0.5f32, 1.5, -0.5, 254.5, 255.5, 127.5, 128.5, -128.5, -129.5, 65535.0, 65536.0, -65537.0, 1e9, -1e9];
    for elem in [ElemType::U8, ElemType::I8] {
        for inner in [1, 5, 16, 33, 64, 131] {
            check(&format!("rounded to {elem}, {inner} elements"), |_| {
                let mut program = PointwiseProgram::default();
                let x = program.push(PwInst::Load(0));
                let y = program.push(PwInst::Round(x));
                program.stores.push((y, elem));
                let epilogue = Epilogue {
                    program,
                    loads: vec![dense(ElemType::F32, &[], inner)],
                    stores: vec![dense(elem, &[], inner)],
                };
                let all = values.iter().copied().chain([INSIDE, -INSIDE]).cycle().take(inner);
                let src = all.flat_map(f32::to_le_bytes).collect();
                case(&[], inner, epilogue, vec![src, vec![0x55; inner * elem.bytes()]])
            });
        }
    }
}

// Every operation against `interp`.

const UNARY: [UnaryOp; 41] = [
    UnaryOp::Relu,
    UnaryOp::Sigmoid,
    UnaryOp::Tanh,
    UnaryOp::Exp,
    UnaryOp::Log,
    UnaryOp::Sqrt,
    UnaryOp::Abs,
    UnaryOp::Neg,
    UnaryOp::Sign,
    UnaryOp::Floor,
    UnaryOp::Ceil,
    UnaryOp::Round,
    UnaryOp::RoundAway,
    UnaryOp::Erf,
    UnaryOp::Gelu,
    UnaryOp::GeluTanh,
    UnaryOp::HSwish,
    UnaryOp::HSigmoid,
    UnaryOp::HardSigmoid { alpha: 0.2, beta: 0.5 },
    UnaryOp::Swish { beta: 1.5 },
    UnaryOp::Elu { alpha: 0.7 },
    UnaryOp::Selu { alpha: 1.67, lambda: 1.05 },
    UnaryOp::Softplus,
    UnaryOp::Softsign,
    UnaryOp::Mish,
    UnaryOp::Clamp { min: -1.25, max: 3.5 },
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Tan,
    UnaryOp::Asin,
    UnaryOp::Acos,
    UnaryOp::Atan,
    UnaryOp::Sinh,
    UnaryOp::Cosh,
    UnaryOp::Asinh,
    UnaryOp::Acosh,
    UnaryOp::Atanh,
    UnaryOp::LogicalNot,
    UnaryOp::IsNan,
    UnaryOp::IsInf,
    UnaryOp::IsFinite,
];

fn gives_bool(op: UnaryOp) -> bool {
    matches!(op, UnaryOp::LogicalNot | UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::IsFinite)
}

fn is_comparison(op: BinaryOp) -> bool {
    !ARITHMETIC.contains(&op) && !BITWISE.contains(&op)
}

const BITWISE: [BinaryOp; 3] = [BinaryOp::BitwiseAnd, BinaryOp::BitwiseOr, BinaryOp::BitwiseXor];

const ARITHMETIC: [BinaryOp; 11] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Pow,
    BinaryOp::Max,
    BinaryOp::Min,
    BinaryOp::Mod,
    BinaryOp::FloorMod,
    BinaryOp::SquaredDifference,
    BinaryOp::PRelu,
];

const LOGIC: [BinaryOp; 9] = [
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Less,
    BinaryOp::LessEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterEqual,
    BinaryOp::LogicalAnd,
    BinaryOp::LogicalOr,
    BinaryOp::LogicalXor,
];

/// One operation on `operands` of one type, against `interp`. `relative` is the error allowed in floats.
fn check_op(op: &Op, program: PointwiseProgram, elem: ElemType, operands: &[Vec<u8>], result: ElemType, relative: f32) {
    let count = operands[0].len() / elem.bytes();
    let tensors: Vec<Tensor> = operands.iter().map(|bytes| tensor(elem, &[count], bytes)).collect();
    let refs: Vec<&Tensor> = tensors.iter().collect();
    let expected = eval_op(op, &refs, &[tensor_type(result, &[count])]).unwrap();
    check(&format!("{op:?} on {elem}"), |_| {
        let epilogue = Epilogue {
            program: program.clone(),
            loads: vec![dense(elem, &[], count); operands.len()],
            stores: vec![dense(result, &[], count)],
        };
        let mut regions = operands.to_vec();
        regions.push(vec![0; count * result.bytes()]);
        let spec = PointwiseSpec { outer: vec![], inner: count, epilogue };
        let mut case = Case::new(KernelSpec::Pointwise(spec), regions);
        case.expected[operands.len()] = expected[0].to_bytes();
        if result == ElemType::F32 {
            case.tolerance = vec![(operands.len(), relative)];
        }
        case
    });
}

#[test]
fn unary_operations_on_floats() {
    let mut values: Vec<f32> = (-60..=60).map(|i| i as f32 / 8.0).collect();
    values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.49999997, 30.3, -30.3, 1e-3]);
    for unary in UNARY {
        // -inf * 0 is NaN for interp, but the limit 0 in a kernel
        let limit = |x: &&f32| unary != UnaryOp::HSwish || **x != f32::NEG_INFINITY;
        let bytes: Vec<u8> = values.iter().filter(limit).flat_map(|x| x.to_le_bytes()).collect();
        let mut program = PointwiseProgram::default();
        let x = program.push(PwInst::Load(0));
        let y = program.push(PwInst::Unary(unary, x));
        let result = if gives_bool(unary) { ElemType::Bool } else { ElemType::F32 };
        program.stores.push((y, result));
        // the error below -4, where results are almost 0, is one of `|x|`
        let relative = if unary == UnaryOp::Gelu { 2e-5 } else { 2e-6 };
        check_op(&Op::Unary(unary), program, ElemType::F32, std::slice::from_ref(&bytes), result, relative);
    }
}

#[test]
fn unary_operations_on_integers() {
    let values = [0, 1, -1, 2, -2, 5, -7, 100, -100, i32::MAX, i32::MIN + 1, 12345];
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let exact = [
        UnaryOp::Relu,
        UnaryOp::Abs,
        UnaryOp::Neg,
        UnaryOp::Sign,
        UnaryOp::Floor,
        UnaryOp::Clamp { min: -1.5, max: 3.5 },
        UnaryOp::BitwiseNot,
        UnaryOp::LogicalNot,
    ];
    for unary in exact {
        let mut program = PointwiseProgram::default();
        let x = program.push(PwInst::Load(0));
        let y = program.push(PwInst::Unary(unary, x));
        let result = if gives_bool(unary) { ElemType::Bool } else { ElemType::I32 };
        program.stores.push((y, result));
        check_op(&Op::Unary(unary), program, ElemType::I32, std::slice::from_ref(&bytes), result, 0.0);
    }
}

fn binary_program(op: BinaryOp, result: ElemType) -> PointwiseProgram {
    let mut program = PointwiseProgram::default();
    let x = program.push(PwInst::Load(0));
    let y = program.push(PwInst::Load(1));
    let z = program.push(PwInst::Binary(op, x, y));
    program.stores.push((z, result));
    program
}

/// All pairs of the values as two operands.
fn pairs<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> [Vec<u8>; 2] {
    let pairs: Vec<(T, T)> = values.iter().flat_map(|&x| values.iter().map(move |&y| (x, y))).collect();
    [pairs.iter().flat_map(|p| bytes(p.0)).collect(), pairs.iter().flat_map(|p| bytes(p.1)).collect()]
}

#[test]
fn binary_operations_on_floats() {
    let values = [0.0f32, 1.0, -1.0, 2.0, -2.5, 3.75, 7.0, -9.0, 0.125, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for op in ARITHMETIC.into_iter().chain(LOGIC) {
        let result = if is_comparison(op) { ElemType::Bool } else { ElemType::F32 };
        // powers with infinite exponents have limits of their own
        let finite = if op == BinaryOp::Pow { &values[..9] } else { &values[..] };
        let operands = pairs(finite, f32::to_le_bytes);
        check_op(&Op::Binary(op), binary_program(op, result), ElemType::F32, &operands, result, 2e-6);
    }
}

#[test]
fn binary_operations_on_integers() {
    let values = [0, 1, -1, 2, -2, 3, 7, -9, 31, 1000, -1001, 46341, 123456789, i32::MAX, i32::MIN + 1];
    for op in ARITHMETIC.into_iter().chain(LOGIC).chain(BITWISE) {
        let result = if is_comparison(op) { ElemType::Bool } else { ElemType::I32 };
        let operands = pairs(&values, i32::to_le_bytes);
        check_op(&Op::Binary(op), binary_program(op, result), ElemType::I32, &operands, result, 0.0);
    }
}
