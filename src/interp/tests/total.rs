//! What `infer` accepts, `eval_op` evaluates: no panic, no error, and the types that `infer` gave, for random operations on
//! random small tensors, empty ones included.

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;

use super::*;

const ELEMS: [ElemType; 8] = [
    ElemType::F32,
    ElemType::F16,
    ElemType::BF16,
    ElemType::I64,
    ElemType::I32,
    ElemType::I8,
    ElemType::U8,
    ElemType::Bool,
];

#[test]
fn what_infer_accepts_is_evaluated() {
    arbtest(|u| {
        let op = any_op(u)?;
        let operands = any_operands(u, &op)?;
        let mut graph = Graph::new("test");
        let values: Vec<_> = operands.iter().map(|operand| graph.add_input("x", operand.ty().clone())).collect();
        if result_types(&graph, &op, &values).is_ok() {
            eval(&op, &operands).unwrap_or_else(|reason| panic!("{op:?} of {operands:?}: {reason}"));
        }
        Ok(())
    })
    .size_min(1 << 11)
    .size_max(1 << 12)
    .budget_ms(500);
}

fn size(u: &mut Unstructured<'_>, max: usize) -> Result<usize> {
    u.int_in_range(0..=max)
}

fn list(u: &mut Unstructured<'_>, len: usize, max: usize) -> Result<Vec<usize>> {
    (0..len).map(|_| size(u, max)).collect()
}

fn signed_list(u: &mut Unstructured<'_>, len: usize) -> Result<Vec<isize>> {
    (0..len).map(|_| u.int_in_range(-2..=2)).collect()
}

/// Sizes that are rarely 0.
fn positive(u: &mut Unstructured<'_>, len: usize) -> Result<Vec<usize>> {
    (0..len).map(|_| Ok(if u.ratio(1, 12)? { 0 } else { u.int_in_range(1..=2)? })).collect()
}

fn tensor(u: &mut Unstructured<'_>, elem: ElemType, dims: &[usize]) -> Result<Tensor> {
    let ty = TensorType::new(elem, shape(dims));
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e30];
    let element = |u: &mut Unstructured<'_>| {
        if u.ratio(1, 10)? { Ok(*u.choose(&special)?) } else { Ok(f64::from(u.int_in_range(-8..=8)?) / 2.0) }
    };
    let values = (0..ty.shape.elements()).map(|_| element(u)).collect::<Result<Vec<f64>>>()?;
    Ok(super::super::values::real(&ty, values).expect("as many elements as the shape has"))
}

/// Operands of the kind the operation wants: one element type except for indices and conditions, shapes that often fit.
fn any_operands(u: &mut Unstructured<'_>, op: &Op) -> Result<Vec<Tensor>> {
    let elem = *u.choose(&ELEMS)?;
    let rank = size(u, 4)?;
    let dims = list(u, rank, 4)?;
    let related = |u: &mut Unstructured<'_>| -> Result<Vec<usize>> {
        dims.iter().map(|&d| Ok(if u.ratio(1, 4)? { u.int_in_range(0..=2)? } else { d })).collect()
    };
    let index = ElemType::I64;
    let wanted: Vec<(ElemType, Vec<usize>)> = match op {
        Op::Convolution(attrs) => {
            let kernel = positive(u, rank.saturating_sub(2))?;
            let ic = dims.get(1).copied().unwrap_or(1).checked_div(attrs.groups).unwrap_or(0);
            let weights = if elem == ElemType::U8 { ElemType::I8 } else { elem };
            vec![(elem, dims.clone()), (weights, [&[attrs.groups * size(u, 2)?, ic], kernel.as_slice()].concat())]
        }
        Op::Deconvolution(_) => {
            let kernel = positive(u, rank.saturating_sub(2))?;
            let ic = dims.get(1).copied().unwrap_or(1);
            vec![(elem, dims.clone()), (elem, [&[ic, size(u, 2)?], kernel.as_slice()].concat())]
        }
        Op::Select => vec![(ElemType::Bool, related(u)?), (elem, dims.clone()), (elem, related(u)?)],
        Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => {
            vec![(elem, dims.clone()), (index, related(u)?)]
        }
        Op::ScatterElements { .. } => {
            let places = related(u)?;
            vec![(elem, dims.clone()), (index, places.clone()), (elem, places)]
        }
        Op::ScatterNd => {
            let depth = size(u, rank)?;
            let updates = [&[2], &dims[depth..]].concat();
            vec![(elem, dims.clone()), (index, vec![2, depth]), (elem, updates)]
        }
        Op::OneHot { .. } => vec![(index, dims.clone())],
        Op::Rnn(attrs) => rnn_operands(u, attrs, elem)?,
        Op::Concat { .. } | Op::FakeQuantize { .. } | Op::Binary(_) | Op::MatMul { .. } => {
            let count = if matches!(op, Op::FakeQuantize { .. }) { 5 } else { 2 };
            let mut wanted = vec![(elem, dims.clone())];
            for _ in 1..count {
                wanted.push((elem, related(u)?));
            }
            wanted
        }
        _ => vec![(elem, dims.clone())],
    };
    wanted.into_iter().map(|(elem, dims)| tensor(u, elem, &dims)).collect()
}

fn rnn_operands(u: &mut Unstructured<'_>, attrs: &RnnAttrs, elem: ElemType) -> Result<Vec<(ElemType, Vec<usize>)>> {
    let (gates, states) = match attrs.kind {
        RnnKind::Lstm => (4, 2),
        RnnKind::Gru => (3, 1),
        RnnKind::Rnn => (1, 1),
    };
    let biases = gates + usize::from(attrs.linear_before_reset);
    let dirs = if attrs.direction == Direction::Bidirectional { 2 } else { 1 };
    let (batch, seq, input, hidden) = (size(u, 2)?, size(u, 2)?, size(u, 2)?, attrs.hidden);
    let rows = gates * hidden;
    let mut wanted = vec![vec![batch, seq, if attrs.projected { dirs * rows } else { input }]];
    wanted.extend(vec![vec![batch, dirs, hidden]; states]);
    if !attrs.projected {
        wanted.push(vec![dirs, rows, input]);
    }
    wanted.extend([vec![dirs, rows, hidden], vec![dirs, biases * hidden]]);
    Ok(wanted.into_iter().map(|dims| (elem, dims)).collect())
}

/// Any operation without a region, with small attributes that often fit a tensor of rank 4.
fn any_op(u: &mut Unstructured<'_>) -> Result<Op> {
    match size(u, 4)? {
        0 => arithmetic(u),
        1 => windowed(u),
        2 => movement(u),
        3 => indexed(u),
        _ => reduced(u),
    }
}

fn arithmetic(u: &mut Unstructured<'_>) -> Result<Op> {
    use BinaryOp::*;
    let axis = if u.arbitrary()? { Some(1) } else { None };
    let params = QuantParams { scale: vec![0.5], zero_point: vec![3.0, 1.5, 0.0], axis };
    let params = if u.arbitrary()? { params } else { QuantParams::per_tensor(-0.25, 1.0) };
    let binary = [
        Add,
        Sub,
        Mul,
        Div,
        Pow,
        Max,
        Min,
        Mod,
        FloorMod,
        SquaredDifference,
        PRelu,
        Equal,
        NotEqual,
        Less,
        LessEqual,
        Greater,
        GreaterEqual,
        LogicalAnd,
        LogicalOr,
        LogicalXor,
        BitwiseAnd,
        BitwiseOr,
        BitwiseXor,
    ];
    let unary = [
        UnaryOp::Relu,
        UnaryOp::Sigmoid,
        UnaryOp::Abs,
        UnaryOp::Neg,
        UnaryOp::Sign,
        UnaryOp::Round,
        UnaryOp::Erf,
        UnaryOp::Gelu,
        UnaryOp::Mish,
        UnaryOp::Swish { beta: 1.0 },
        UnaryOp::Softplus,
        UnaryOp::LogicalNot,
        UnaryOp::BitwiseNot,
        UnaryOp::IsNan,
        UnaryOp::Clamp { min: -0.5, max: 0.25 },
        UnaryOp::Elu { alpha: 1.0 },
    ];
    Ok(match size(u, 7)? {
        0 => Op::Unary(*u.choose(&unary)?),
        1 => Op::FakeQuantize { levels: u.int_in_range(1..=5)? },
        2 => Op::Quantize(QuantizeAttrs { params, elem: ElemType::I8, low: -128, high: 127 }),
        3 => Op::Dequantize(params),
        4 => Op::Requantize(RequantizeAttrs {
            multiplier: vec![0.5],
            bias: vec![1.0; if axis.is_some() { 2 } else { 1 }],
            axis,
            elem: ElemType::I32,
            low: i32::MIN,
            high: i32::MAX,
        }),
        5 => Op::Select,
        6 => Op::Convert { elem: *u.choose(&ElemType::ALL)? },
        _ => Op::Binary(*u.choose(&binary)?),
    })
}

fn windowed(u: &mut Unstructured<'_>) -> Result<Op> {
    let rank = u.int_in_range(1..=2)?;
    let (kernel, strides, dilations) = (positive(u, rank)?, positive(u, rank)?, positive(u, rank)?);
    let (pads_begin, pads_end) = (list(u, rank, 2)?, list(u, rank, 2)?);
    let (output_padding, groups) = (list(u, rank, 1)?, u.int_in_range(1..=2)?);
    let rounding = *u.choose(&[Rounding::Floor, Rounding::Ceil, Rounding::CeilTorch])?;
    let exclude_pad = u.arbitrary()?;
    Ok(match size(u, 3)? {
        0 => {
            let pad_value = u.int_in_range(0..=1)?;
            Op::Convolution(ConvAttrs { strides, dilations, pads_begin, pads_end, groups, pad_value })
        }
        1 => {
            let zero_point = u.int_in_range(0..=1)?;
            let attrs = DeconvAttrs { strides, dilations, pads_begin, pads_end, output_padding, groups, zero_point };
            Op::Deconvolution(attrs)
        }
        2 => Op::MaxPool(PoolAttrs { kernel, strides, dilations, pads_begin, pads_end, rounding, exclude_pad }),
        _ => Op::AvgPool(PoolAttrs { kernel, strides, dilations, pads_begin, pads_end, rounding, exclude_pad }),
    })
}

fn movement(u: &mut Unstructured<'_>) -> Result<Op> {
    let rank = size(u, 4)?;
    let mut block = positive(u, rank)?;
    block.iter_mut().take(1).for_each(|size| *size = 1);
    let inner = |mut pads: Vec<usize>| {
        pads.iter_mut().take(1).for_each(|pad| *pad = 0);
        pads
    };
    let (before, after) = (inner(list(u, rank, 1)?), inner(list(u, rank, 1)?));
    let mode = *u.choose(&[DepthMode::BlocksFirst, DepthMode::DepthFirst])?;
    Ok(match size(u, 11)? {
        0 => Op::Transpose { perm: (0..rank).rev().collect() },
        1 => Op::Slice(SliceAttrs {
            begin: list(u, rank, 3)?,
            lengths: list(u, rank, 2)?,
            strides: (0..rank)
                .map(|_| Ok(*u.choose(&[-2, -1, 1, 2, isize::MIN, isize::MAX])?))
                .collect::<Result<_>>()?,
        }),
        2 => Op::Pad(PadAttrs {
            mode: *u.choose(&[PadMode::Constant, PadMode::Edge, PadMode::Reflect, PadMode::Symmetric])?,
            begin: signed_list(u, rank)?,
            end: signed_list(u, rank)?,
            value: 1.0,
        }),
        3 => Op::Broadcast { shape: shape(&list(u, rank, 3)?) },
        4 => Op::Tile { repeats: list(u, rank, 2)? },
        5 => Op::DepthToSpace { block: size(u, 2)?, mode },
        6 => Op::SpaceToDepth { block: size(u, 2)?, mode },
        7 => Op::BatchToSpace { block, crops_begin: before, crops_end: after },
        8 => Op::SpaceToBatch { block, pads_begin: before, pads_end: after },
        9 => Op::Reverse { axis: size(u, 3)? },
        10 => Op::Split { axis: size(u, 3)?, lengths: list(u, 2, 2)? },
        _ => resize(u, rank)?,
    })
}

fn resize(u: &mut Unstructured<'_>, rank: usize) -> Result<Op> {
    use CoordinateMode::{AlignCorners, Asymmetric, HalfPixel, PytorchHalfPixel, TfHalfPixelForNn};
    use InterpolateMode::{Cubic, Linear, LinearOnnx, Nearest};
    use NearestMode::{Ceil, Floor, RoundPreferCeil, RoundPreferFloor, Simple};
    let axes: Vec<usize> = (0..rank).filter(|axis| axis % 2 == 0).collect();
    let scales = axes.iter().map(|_| Ok(*u.choose(&[1e-300, 0.3, 1.0, 2.5, 1e300])?)).collect::<Result<_>>()?;
    Ok(Op::Interpolate(InterpolateAttrs {
        mode: *u.choose(&[Nearest, Linear, LinearOnnx, Cubic])?,
        coordinates: *u.choose(&[HalfPixel, PytorchHalfPixel, Asymmetric, TfHalfPixelForNn, AlignCorners])?,
        nearest: *u.choose(&[RoundPreferFloor, RoundPreferCeil, Floor, Ceil, Simple])?,
        antialias: u.arbitrary()?,
        cube_coeff: -0.5,
        sizes: list(u, axes.len(), 3)?,
        scales,
        pads_begin: list(u, rank, 1)?,
        pads_end: list(u, rank, 1)?,
        axes,
    }))
}

fn indexed(u: &mut Unstructured<'_>) -> Result<Op> {
    use ScatterReduction::{Max, Mean, Min, None, Prod, Sum};
    let (axis, batch_dims) = (size(u, 3)?, size(u, 2)?);
    Ok(match size(u, 6)? {
        0 => Op::Gather { axis, batch_dims },
        1 => Op::GatherElements { axis },
        2 => Op::GatherNd { batch_dims },
        3 => Op::ScatterElements { axis, reduction: *u.choose(&[None, Sum, Prod, Min, Max, Mean])? },
        4 => Op::ScatterNd,
        5 => Op::TopK(TopKAttrs {
            axis,
            k: size(u, 3)?,
            largest: u.arbitrary()?,
            sort: *u.choose(&[TopKSort::ByValue, TopKSort::ByIndex])?,
            index_elem: ElemType::I32,
        }),
        _ => Op::OneHot { axis, depth: size(u, 3)?, on: 1.0, off: 0.0, elem: *u.choose(&ELEMS)? },
    })
}

fn reduced(u: &mut Unstructured<'_>) -> Result<Op> {
    use ReduceKind::{And, L1, L2, Max, Mean, Min, Or, Prod, Sum};
    let axes: Vec<usize> = (0..4).filter(|_| u.ratio(1, 3).unwrap_or(false)).collect();
    let (axis, eps) = (size(u, 3)?, 1e-3);
    let eps_mode = *u.choose(&[EpsMode::Inside, EpsMode::Outside])?;
    Ok(match size(u, 7)? {
        0 => Op::Reduce(ReduceAttrs {
            kind: *u.choose(&[Sum, Mean, Max, Min, Prod, L1, L2, And, Or])?,
            axes,
            keep_dims: u.arbitrary()?,
        }),
        1 => Op::Softmax { axis, log: u.arbitrary()? },
        2 => mvn(&axes, u.arbitrary()?, eps, eps_mode),
        3 => normalize_l2(&axes, eps, eps_mode),
        4 => Op::CumSum { axis, exclusive: u.arbitrary()?, reverse: u.arbitrary()? },
        5 => Op::Concat { axis },
        6 => Op::MatMul { transpose_a: u.arbitrary()?, transpose_b: u.arbitrary()? },
        _ => {
            let kind = *u.choose(&[RnnKind::Lstm, RnnKind::Gru, RnnKind::Rnn])?;
            let direction = *u.choose(&[Direction::Forward, Direction::Reverse, Direction::Bidirectional])?;
            rnn(kind, direction, Some(1.0), kind == RnnKind::Gru && u.arbitrary()?)
        }
    })
}
