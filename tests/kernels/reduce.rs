//! Reductions of inner and outer dimensions, softmax and normalization, against `interp`.

use octet::interp::eval_op;
use octet::ir::op::{EpsMode, MvnAttrs, NormalizeL2Attrs, ReduceAttrs, ReduceKind};
use octet::ir::{ElemType, Op};
use octet::lower::kernel::{KernelSpec, NormalizeKind, NormalizeSpec, ReduceSpec, SoftmaxSpec};
use octet::lower::pointwise::{Epilogue, PointwiseProgram, PwInst};

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, Outcome, dense, tensor, tensor_type};

/// The operation on a tensor of three dimensions.
fn expected(op: &Op, dims: [usize; 3], elem: ElemType, src: &[u8], result: ElemType, result_dims: &[usize]) -> Vec<u8> {
    let src = tensor(elem, &dims, src);
    eval_op(op, &[&src], &[tensor_type(result, result_dims)]).unwrap()[0].to_bytes()
}

const KINDS: [ReduceKind; 9] = [
    ReduceKind::Sum,
    ReduceKind::Mean,
    ReduceKind::Max,
    ReduceKind::Min,
    ReduceKind::Prod,
    ReduceKind::L1,
    ReduceKind::L2,
    ReduceKind::And,
    ReduceKind::Or,
];

/// Reduces axis 1 of `dims`, or axes 1 and 2.
fn reduction(kind: ReduceKind, elem: ElemType, dims: [usize; 3], inner_reduced: bool) -> Case {
    let src = Random(4).elements(elem, dims.iter().product());
    let logical = matches!(kind, ReduceKind::And | ReduceKind::Or);
    let result = if logical || elem != ElemType::F32 { ElemType::I32 } else { ElemType::F32 };
    let inner_results = if inner_reduced { 1 } else { dims[2] };
    let mut program = PointwiseProgram::default();
    let accumulator = program.push(PwInst::Accumulator);
    program.stores.push((accumulator, result));
    let stores = vec![dense(result, &dims[..1], inner_results)];
    let bytes = elem.bytes() as i64;
    let spec = ReduceSpec {
        kind,
        elem,
        outer: vec![dims[0]],
        outer_strides: vec![(dims[1] * dims[2]) as i64 * bytes],
        reduced: vec![dims[1]],
        reduced_strides: vec![dims[2] as i64 * bytes],
        inner: dims[2],
        inner_reduced,
        exact_reads: true,
        epilogue: Epilogue { program, loads: vec![], stores },
    };
    // the mean is a sum here, and logic gives i32
    let meant = if kind == ReduceKind::Mean { ReduceKind::Sum } else { kind };
    let axes = if inner_reduced { vec![1, 2] } else { vec![1] };
    let attrs = ReduceAttrs { kind: meant, axes, keep_dims: false };
    let (op_elem, op_src) = match elem {
        // interp reduces in the element's own type; here lanes are wide
        ElemType::F32 | ElemType::I32 => (elem, src.clone()),
        _ => (ElemType::I32, src.iter().flat_map(|&x| widen(elem, x).to_le_bytes()).collect()),
    };
    let op_result = if logical { ElemType::Bool } else { result };
    let result_dims = if inner_reduced { vec![dims[0]] } else { vec![dims[0], dims[2]] };
    let mut values = expected(&Op::Reduce(attrs), dims, op_elem, &op_src, op_result, &result_dims);
    if logical {
        values = values.iter().flat_map(|&x| i32::from(x).to_le_bytes()).collect();
    }
    let mut case = Case::new(KernelSpec::Reduce(spec), vec![src, vec![0; 4 * dims[0] * inner_results]]);
    case.exact = vec![0];
    case.expected[1] = values;
    if result == ElemType::F32 {
        case.tolerance = vec![(1, 1e-4)];
    }
    case
}

fn widen(elem: ElemType, x: u8) -> i32 {
    if elem == ElemType::I8 { (x as i8).into() } else { x.into() }
}

#[test]
fn reductions() {
    for kind in KINDS {
        for elem in [ElemType::F32, ElemType::I32, ElemType::U8, ElemType::I8] {
            for dims in [[2, 3, 1], [1, 5, 4], [3, 2, 19], [1, 1, 70]] {
                for inner_reduced in [false, true] {
                    // L2 norms of integers and long products are not exact in lanes
                    if elem != ElemType::F32 && kind == ReduceKind::L2 {
                        continue;
                    }
                    let name = format!("{kind:?} of {elem} {dims:?}, inner {inner_reduced}");
                    check(&name, |_| reduction(kind, elem, dims, inner_reduced));
                }
            }
        }
    }
}

#[test]
fn softmax() {
    for log in [false, true] {
        for dims in [[3, 10, 1], [2, 7, 5], [1, 33, 1], [2, 3, 64], [4, 1, 1]] {
            check(&format!("softmax {dims:?}, log {log}"), |_| {
                let src = Random(6).elements(ElemType::F32, dims.iter().product());
                let stride = 4 * dims[2] as i64;
                let spec = SoftmaxSpec {
                    log,
                    outer: dims[0],
                    src_outer: dims[1] as i64 * stride,
                    dst_outer: dims[1] as i64 * stride,
                    axis: dims[1],
                    src_axis: stride,
                    dst_axis: stride,
                    inner: dims[2],
                    exact_reads: true,
                };
                let op = Op::Softmax { axis: 1, log };
                let values = expected(&op, dims, ElemType::F32, &src, ElemType::F32, &dims);
                let mut case = Case::new(KernelSpec::Softmax(spec), vec![src.clone(), vec![0; src.len()]]);
                case.exact = vec![0];
                case.expected[1] = values;
                case.tolerance = vec![(1, 3e-6)];
                case
            });
        }
    }
}

#[test]
fn normalizations() {
    let kinds = [NormalizeKind::Mean, NormalizeKind::MeanVariance, NormalizeKind::L2];
    for kind in kinds {
        for eps_mode in [EpsMode::Inside, EpsMode::Outside] {
            for dims in [[2, 3, 1], [2, 4, 5], [3, 2, 19], [1, 3, 70]] {
                for inner_reduced in [false, true] {
                    let name = format!("{kind:?} {eps_mode:?} of {dims:?}, inner {inner_reduced}");
                    for elem in [ElemType::F32, ElemType::U8, ElemType::I8] {
                        for result in [Outcome::Plain, Outcome::Residual] {
                            check(&format!("{name} of {elem}, {result:?}"), |_| {
                                normalization(kind, (0.001, eps_mode), elem, dims, inner_reduced, result)
                            });
                        }
                    }
                }
            }
        }
    }
}

fn normalization(
    kind: NormalizeKind,
    (eps, eps_mode): (f64, EpsMode),
    elem: ElemType,
    dims: [usize; 3],
    inner_reduced: bool,
    result: Outcome,
) -> Case {
    let mut random = Random(8);
    let src = random.elements(elem, dims.iter().product());
    let built = reference::build(result, true, &dims[..2], dims[2], &mut random);
    let (row, outer) = (dims[2] as i64, (dims[1] * dims[2]) as i64);
    let bytes = elem.bytes() as i64;
    let spec = NormalizeSpec {
        kind,
        elem,
        eps,
        eps_mode,
        outer: vec![dims[0]],
        src_outer: vec![bytes * outer],
        reduced: vec![dims[1]],
        src_reduced: vec![bytes * row],
        inner: dims[2],
        inner_reduced,
        exact_reads: true,
        epilogue: built.epilogue.clone(),
    };
    let axes = if inner_reduced { vec![1, 2] } else { vec![1] };
    let op = match kind {
        NormalizeKind::L2 => Op::NormalizeL2(NormalizeL2Attrs { axes, eps, eps_mode }),
        _ => Op::Mvn(MvnAttrs { axes, normalize_variance: kind == NormalizeKind::MeanVariance, eps, eps_mode }),
    };
    let normalized = expected(&op, dims, elem, &src, ElemType::F32, &dims);
    let mut case = Case::new(KernelSpec::Normalize(spec), [vec![src], built.regions].concat());
    case.exact = vec![0];
    for_each(&dims[..2], |at| {
        for column in 0..dims[2] {
            let place = 4 * ((at[0] * dims[1] + at[1]) * dims[2] + column);
            let value = reference::load(ElemType::F32, &normalized, place as i64);
            reference::epilogue(&mut case, &built.epilogue, 1, at, column, Some(value));
        }
    });
    if result == Outcome::Plain {
        case.tolerance = vec![(1, 1e-4)];
    }
    case
}
