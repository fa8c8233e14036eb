//! Recurrent sequences against `interp`.

use octet::interp::eval_op;
use octet::ir::op::{Activation, Direction, RnnAttrs, RnnKind};
use octet::ir::{ElemType, Op};
use octet::lower::kernel::{KernelSpec, RnnSpec, StateProduct};
use octet::lower::pack::{IntegerRow, RnnLayout, rnn_gates};
use octet::simd::ir::Width;

use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{tensor, tensor_type};

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// `w x` of every step: `[batch, seq, dirs, rows]`.
fn project(x: &[f32], w: &[f32], input: usize, dirs: usize) -> Vec<f32> {
    let rows = w.len() / dirs / input;
    let mut projections = Vec::new();
    for x in x.chunks(input) {
        for row in w.chunks(input).take(dirs * rows) {
            projections.push(row.iter().zip(x).map(|(w, x)| w * x).sum());
        }
    }
    projections
}

/// A row as integers; every third has all its weights at the ends of their range.
fn quantized(index: usize, row: &[f32]) -> IntegerRow {
    let ends = index.is_multiple_of(3);
    let weight = |&weight: &f32| if ends { if weight < 0.0 { -128 } else { 127 } } else { (weight * 254.0) as i8 };
    IntegerRow { scale: 1.0 / 256.0 / row.len() as f64, weights: row.iter().map(weight).collect() }
}

fn floats_of(row: &IntegerRow) -> Vec<f32> {
    row.weights.iter().map(|&weight| (row.scale * f64::from(weight)) as f32).collect()
}

fn case(width: Width, attrs: &RnnAttrs, product: StateProduct, [batch, seq, input]: [usize; 3]) -> Case {
    let mut random = Random(14);
    let (hidden, gates) = (attrs.hidden, rnn_gates(attrs.kind));
    let dirs = if attrs.direction == Direction::Bidirectional { 2 } else { 1 };
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.float() / 2.0).collect() };
    let biases = gates + usize::from(attrs.linear_before_reset);
    let x = draw(batch * seq * input);
    let (w, r) = (draw(dirs * gates * hidden * input), draw(dirs * gates * hidden * hidden));
    let rows: Vec<IntegerRow> = r.chunks(hidden).enumerate().map(|(index, row)| quantized(index, row)).collect();
    let r = if product == StateProduct::F32 { r } else { rows.iter().flat_map(floats_of).collect() };
    let b = draw(dirs * biases * hidden);
    let states = if attrs.kind == RnnKind::Lstm { 2 } else { 1 };
    let first: Vec<Vec<f32>> = (0..states).map(|_| draw(batch * dirs * hidden)).collect();
    let of = |values: &[f32], dims: &[usize]| tensor(ElemType::F32, dims, &bytes(values));
    let mut operands = vec![of(&x, &[batch, seq, input])];
    operands.extend(first.iter().map(|state| of(state, &[batch, dirs, hidden])));
    operands.push(of(&w, &[dirs, gates * hidden, input]));
    operands.push(of(&r, &[dirs, gates * hidden, hidden]));
    operands.push(of(&b, &[dirs, biases * hidden]));
    let mut results = vec![tensor_type(ElemType::F32, &[batch, dirs, seq, hidden])];
    results.extend(vec![tensor_type(ElemType::F32, &[batch, dirs, hidden]); states]);
    let expected = eval_op(&Op::Rnn(attrs.clone()), &operands.iter().collect::<Vec<_>>(), &results).unwrap();
    let expected: Vec<u8> = expected.iter().flat_map(|result| result.to_bytes()).collect();
    let spec = RnnSpec {
        kind: attrs.kind,
        product,
        direction: attrs.direction,
        activations: attrs.activations.clone(),
        clip: attrs.clip,
        linear_before_reset: attrs.linear_before_reset,
        batch,
        sequence: seq,
        input,
        hidden,
    };
    let regions = vec![
        bytes(&project(&x, &w, input, dirs)),
        bytes(&first.concat()),
        match product {
            StateProduct::F32 => RnnLayout::pack_f32(width, attrs.kind, hidden, &r),
            StateProduct::Bytes | StateProduct::Words => {
                RnnLayout::pack_integers(width, product, attrs.kind, hidden, &rows)
            }
        },
        bytes(&b),
        vec![0; expected.len()],
    ];
    assert!(floats(&expected).iter().all(|x| x.is_finite()));
    let mut case = Case::new(KernelSpec::Rnn(spec), regions);
    case.expected[4] = expected;
    case.tolerance = vec![(4, 2e-5)];
    case
}

#[test]
fn cells() {
    let (sigmoid, tanh, relu) = (Activation::Sigmoid, Activation::Tanh, Activation::Relu);
    let rows = [
        (RnnKind::Lstm, vec![sigmoid, tanh, tanh], false, None),
        (RnnKind::Lstm, vec![sigmoid, relu, tanh], false, Some(0.3)),
        (RnnKind::Gru, vec![sigmoid, tanh], false, None),
        (RnnKind::Gru, vec![sigmoid, tanh], true, None),
        (RnnKind::Rnn, vec![tanh], false, Some(0.5)),
    ];
    for (kind, activations, linear_before_reset, clip) in rows {
        for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
            for hidden in [1, 4, 7, 18, 83] {
                let activations = activations.clone();
                let attrs =
                    RnnAttrs { kind, direction, hidden, activations, clip, linear_before_reset, projected: false };
                for product in [StateProduct::F32, StateProduct::Bytes, StateProduct::Words] {
                    let bounded = !attrs.activations.contains(&relu);
                    if product == StateProduct::F32 || bounded {
                        let name = format!("{attrs:?} in {product:?}");
                        check(&name, |vectors| case(vectors.width, &attrs, product, [2, 3, 5]));
                    }
                }
            }
        }
    }
}

/// Integers come back from the floats they were multiplied to, whatever the scale; other rows stay floats.
#[test]
fn rows_of_integers() {
    for scale in [1.0 / 127.0, 0.003_217, 1e-9, 2.5] {
        for weights in [vec![127, -128, 5], vec![-127, 3, 0, 1], vec![64, -64, 32], vec![1], vec![-128]] {
            let row: Vec<f32> = weights.iter().map(|&weight: &i8| f32::from(weight) * scale as f32).collect();
            let found = IntegerRow::of(&row).unwrap_or_else(|| panic!("{weights:?} * {scale} is not found"));
            let close = floats_of(&found).iter().zip(&row).all(|(a, b)| (a - b).abs() <= 2.4e-7 * b.abs());
            assert!(close, "{weights:?} * {scale} became {found:?}");
        }
    }
    assert_eq!(IntegerRow::of(&[0.0, -0.0]), Some(IntegerRow { scale: 0.0, weights: vec![0, 0] }));
    for row in [[1.0, 0.4999], [128.5, 1.0], [1.0, 1e-3]] {
        assert_eq!(IntegerRow::of(&row), None, "{row:?}");
    }
}
