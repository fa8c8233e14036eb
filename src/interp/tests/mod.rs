//! Rows of (operation, operands, expected results), one file per family. Result types come from `infer`, as everywhere.
//!
//! Expected values are computed by hand or are those of OpenVINO 2026.4; the latter are compared with a small tolerance,
//! because OpenVINO computes in f32.

mod elementwise;
mod graphs;
mod indices;
mod interpolate;
mod layout;
mod linear;
mod math;
mod order;
mod pool;
mod quantize;
mod reduce;
mod rnn;
mod total;

use crate::ir::infer::result_types;
use crate::ir::op::*;
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Graph, Op, QuantParams, Shape, Tensor, TensorType};

use super::eval_op;

type Row = (Op, Vec<Tensor>, Vec<Tensor>);

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("test shapes are small")
}

fn f(dims: &[usize], values: &[f32]) -> Tensor {
    Tensor::f32(shape(dims), values.to_vec())
}

/// The elements 0, 1, 2, ...: each says where it came from.
fn count(dims: &[usize]) -> Tensor {
    f(dims, &(0..dims.iter().product()).map(|index: usize| index as f32).collect::<Vec<_>>())
}

fn l(dims: &[usize], values: &[i64]) -> Tensor {
    Tensor::i64(shape(dims), values.to_vec())
}

fn i(dims: &[usize], values: &[i32]) -> Tensor {
    Tensor::i32(shape(dims), values.to_vec())
}

fn s(dims: &[usize], values: &[i8]) -> Tensor {
    Tensor::i8(shape(dims), values.to_vec())
}

fn u(dims: &[usize], values: &[u8]) -> Tensor {
    Tensor::u8(shape(dims), values.to_vec())
}

fn b(dims: &[usize], values: &[u8]) -> Tensor {
    Tensor::new(TensorType::new(ElemType::Bool, shape(dims)), Data::U8(values.to_vec()))
}

fn eval(op: &Op, operands: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut graph = Graph::new("test");
    let values: Vec<_> = operands.iter().map(|operand| graph.add_input("x", operand.ty().clone())).collect();
    let types = result_types(&graph, op, &values)?;
    let results = eval_op(op, &operands.iter().collect::<Vec<_>>(), &types)?;
    let result_types: Vec<TensorType> = results.iter().map(|result| result.ty().clone()).collect();
    assert_eq!(result_types, types, "{op:?}");
    Ok(results)
}

/// Results equal to the last bit, except that any NaN is NaN.
fn check(rows: &[Row]) {
    check_within(rows, 0.0);
}

/// Results within a few f32 roundings of the expected ones.
fn check_near(rows: &[Row]) {
    check_within(rows, 4e-6);
}

fn check_within(rows: &[Row], tolerance: f64) {
    for (op, operands, expected) in rows {
        let results = eval(op, operands).unwrap_or_else(|reason| panic!("{op:?} of {operands:?}: {reason}"));
        assert_eq!(results.len(), expected.len(), "{op:?}");
        for (result, expected) in results.iter().zip(expected) {
            assert_eq!(result.ty(), expected.ty(), "{op:?} of {operands:?}");
            let same = |(x, y): (&f64, &f64)| {
                (x.is_nan() && y.is_nan())
                    || x.to_bits() == y.to_bits()
                    || (tolerance > 0.0 && (x - y).abs() <= tolerance * y.abs().max(1.0))
            };
            let equal = result.to_f64().iter().zip(&expected.to_f64()).all(same);
            assert!(equal, "{op:?}\n of {operands:?}\n gives {result:?}\n    not {expected:?}");
        }
    }
}

fn conv(strides: &[usize], dilations: &[usize], pads_begin: &[usize], pads_end: &[usize], groups: usize) -> Op {
    let (strides, dilations) = (strides.to_vec(), dilations.to_vec());
    let (pads_begin, pads_end) = (pads_begin.to_vec(), pads_end.to_vec());
    Op::Convolution(ConvAttrs { strides, dilations, pads_begin, pads_end, groups, pad_value: 0 })
}

fn deconv(
    strides: &[usize],
    dilations: &[usize],
    pads_begin: &[usize],
    pads_end: &[usize],
    output_padding: &[usize],
    groups: usize,
) -> Op {
    let (strides, dilations) = (strides.to_vec(), dilations.to_vec());
    let (pads_begin, pads_end) = (pads_begin.to_vec(), pads_end.to_vec());
    let output_padding = output_padding.to_vec();
    Op::Deconvolution(DeconvAttrs { strides, dilations, pads_begin, pads_end, output_padding, groups, zero_point: 0 })
}

fn pool(
    kernel: &[usize],
    strides: &[usize],
    dilations: &[usize],
    pads_begin: &[usize],
    pads_end: &[usize],
    rounding: Rounding,
    exclude_pad: bool,
) -> PoolAttrs {
    let (kernel, strides, dilations) = (kernel.to_vec(), strides.to_vec(), dilations.to_vec());
    let (pads_begin, pads_end) = (pads_begin.to_vec(), pads_end.to_vec());
    PoolAttrs { kernel, strides, dilations, pads_begin, pads_end, rounding, exclude_pad }
}

fn reduce(kind: ReduceKind, axes: &[usize], keep_dims: bool) -> Op {
    Op::Reduce(ReduceAttrs { kind, axes: axes.to_vec(), keep_dims })
}

fn mvn(axes: &[usize], normalize_variance: bool, eps: f64, eps_mode: EpsMode) -> Op {
    Op::Mvn(MvnAttrs { axes: axes.to_vec(), normalize_variance, eps, eps_mode })
}

fn normalize_l2(axes: &[usize], eps: f64, eps_mode: EpsMode) -> Op {
    Op::NormalizeL2(NormalizeL2Attrs { axes: axes.to_vec(), eps, eps_mode })
}

fn pad(mode: PadMode, begin: &[isize], end: &[isize], value: f64) -> Op {
    Op::Pad(PadAttrs { mode, begin: begin.to_vec(), end: end.to_vec(), value })
}

fn top_k(axis: usize, k: usize, largest: bool, sort: TopKSort) -> TopKAttrs {
    TopKAttrs { axis, k, largest, sort, index_elem: ElemType::I64 }
}

/// Hidden size 2 and OpenVINO's default activations.
fn rnn(kind: RnnKind, direction: Direction, clip: Option<f32>, linear_before_reset: bool) -> Op {
    let activations = match kind {
        RnnKind::Lstm => vec![Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        RnnKind::Gru => vec![Activation::Sigmoid, Activation::Tanh],
        RnnKind::Rnn => vec![Activation::Tanh],
    };
    Op::Rnn(RnnAttrs { kind, direction, hidden: 2, activations, clip, linear_before_reset, projected: false })
}
