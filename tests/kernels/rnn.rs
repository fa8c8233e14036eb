//! Recurrent sequences against `interp`.

use octet::interp::eval_op;
use octet::ir::op::{Activation, Direction, RnnAttrs, RnnKind};
use octet::ir::{ElemType, Op};
use octet::lower::kernel::{KernelSpec, RnnSpec};
use octet::lower::pack::{pack_rnn, rnn_gates};
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

fn case(width: Width, attrs: &RnnAttrs, [batch, seq, input]: [usize; 3]) -> Case {
    let mut random = Random(14);
    let (hidden, gates) = (attrs.hidden, rnn_gates(attrs.kind));
    let dirs = if attrs.direction == Direction::Bidirectional { 2 } else { 1 };
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.float() / 2.0).collect() };
    let biases = gates + usize::from(attrs.linear_before_reset);
    let x = draw(batch * seq * input);
    let (w, r) = (draw(dirs * gates * hidden * input), draw(dirs * gates * hidden * hidden));
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
        pack_rnn(width, attrs.kind, hidden, &r),
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
                check(&format!("{attrs:?}"), |width| case(width, &attrs, [2, 3, 5]));
            }
        }
    }
}
