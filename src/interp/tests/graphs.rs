//! Whole graphs: regions, captured values, loops, variables, observation.

use super::super::{State, run, run_observed, run_stateful};
use super::*;
use crate::ir::{Region, Value};

fn ty(elem: ElemType, dims: &[usize]) -> TensorType {
    TensorType::new(elem, shape(dims))
}

fn add(graph: &mut Graph, region: Region, op: Op, operands: &[Value]) -> Value {
    let node = graph.append(region, op, operands, &[]).expect("a valid test graph");
    graph.result(node)
}

fn constant(graph: &mut Graph, region: Region, tensor: Tensor) -> Value {
    let id = graph.add_tensor(tensor);
    add(graph, region, Op::Const(id), &[])
}

fn finish(graph: &mut Graph, region: Region, results: &[Value]) {
    graph.append(region, Op::Return, results, &[]).expect("a valid test graph");
}

/// `y = relu(x) + x`
fn straight_line() -> Graph {
    let mut graph = Graph::new("straight_line");
    let body = graph.body();
    let x = graph.add_input("x", ty(ElemType::F32, &[3]));
    let relu = add(&mut graph, body, Op::Unary(UnaryOp::Relu), &[x]);
    let y = add(&mut graph, body, Op::Binary(BinaryOp::Add), &[relu, x]);
    finish(&mut graph, body, &[y, x]);
    graph
}

#[test]
fn results_are_the_operands_of_return() {
    let x = f(&[3], &[-1.0, 0.0, 2.0]);
    let results = run(&straight_line(), std::slice::from_ref(&x)).expect("runs");
    assert_eq!(results, [f(&[3], &[-1.0, 0.0, 4.0]), x]);
}

#[test]
fn every_value_is_observed_once_in_order() {
    let mut seen = Vec::new();
    let mut observe = |value: Value, tensor: &Tensor| seen.push((value.to_string(), tensor.to_f64()));
    run_observed(&straight_line(), &[f(&[3], &[-1.0, 0.0, 2.0])], &mut observe).expect("runs");
    let expected = [("%0", [-1.0, 0.0, 2.0]), ("%1", [0.0, 0.0, 2.0]), ("%2", [-1.0, 0.0, 4.0])];
    assert_eq!(seen, expected.map(|(value, tensor)| (value.to_string(), tensor.to_vec())));
}

#[test]
fn inputs_of_other_types_are_refused() {
    for inputs in [vec![], vec![f(&[4], &[0.0; 4])], vec![i(&[3], &[0; 3])]] {
        assert!(run(&straight_line(), &inputs).is_err(), "{inputs:?}");
    }
}

/// Both branches use `x` of the enclosing region; one gets its argument doubled.
#[test]
fn branches_see_outer_values() {
    let mut graph = Graph::new("branches");
    let body = graph.body();
    let condition = graph.add_input("c", ty(ElemType::Bool, &[]));
    let x = graph.add_input("x", ty(ElemType::F32, &[2]));
    let [then_body, else_body] = [BinaryOp::Add, BinaryOp::Mul].map(|op| {
        let region = graph.new_region();
        let param = graph.add_param(region, ty(ElemType::F32, &[2]));
        let result = add(&mut graph, region, Op::Binary(op), &[param, x]);
        finish(&mut graph, region, &[result]);
        region
    });
    let y = add(&mut graph, body, Op::If { then_body, else_body }, &[condition, x]);
    let z = add(&mut graph, body, Op::Binary(BinaryOp::Sub), &[y, x]);
    finish(&mut graph, body, &[z]);
    for (condition, expected) in [(1, [3.0, -5.0]), (0, [6.0, 30.0])] {
        let results = run(&graph, &[b(&[], &[condition]), f(&[2], &[3.0, -5.0])]).expect("runs");
        assert_eq!(results, [f(&[2], &expected)]);
    }
}

/// Iterations 0, 1, 2 take the elements 2, 1, 0 of `x`, add them and the iteration's number to the carried value, and give
/// its double; the loop goes on while the carried value is below `limit`, a value of the enclosing region.
fn summing_loop() -> Graph {
    let mut graph = Graph::new("summing_loop");
    let body = graph.body();
    let x = graph.add_input("x", ty(ElemType::I64, &[3]));
    let limit = graph.add_input("limit", ty(ElemType::I64, &[1]));
    let zero = constant(&mut graph, body, l(&[1], &[0]));
    let inner = graph.new_region();
    let index = graph.add_param(inner, ty(ElemType::I64, &[]));
    let [element, carried, two] = [0; 3].map(|_| graph.add_param(inner, ty(ElemType::I64, &[1])));
    let sum = add(&mut graph, inner, Op::Binary(BinaryOp::Add), &[carried, element]);
    let sum = add(&mut graph, inner, Op::Binary(BinaryOp::Add), &[sum, index]);
    let double = add(&mut graph, inner, Op::Binary(BinaryOp::Mul), &[sum, two]);
    let more = add(&mut graph, inner, Op::Binary(BinaryOp::Less), &[sum, limit]);
    finish(&mut graph, inner, &[more, sum, double]);
    let attrs = LoopAttrs {
        body: inner,
        trip_count: 3,
        takes_index: true,
        has_condition: true,
        sliced: vec![LoopSlice { axis: 0, start: 2, stride: -1, part: 1 }],
        carried: 1,
        concatenated: vec![LoopSlice { axis: 0, start: 2, stride: -1, part: 1 }],
    };
    let two = constant(&mut graph, body, l(&[1], &[2]));
    let node = graph.append(body, Op::Loop(attrs), &[x, zero, two], &[]).expect("a valid loop");
    let results = graph.results(node).to_vec();
    finish(&mut graph, body, &results);
    graph
}

#[test]
fn loops_carry_slice_and_concatenate() {
    let rows = [
        // limit, carried at the end, concatenated backwards
        (100, [63], [126, 62, 60]),
        (31, [31], [0, 62, 60]),
        (0, [30], [0, 0, 60]),
    ];
    for (limit, carried, concatenated) in rows {
        let results = run(&summing_loop(), &[l(&[3], &[30, 0, 30]), l(&[1], &[limit])]).expect("runs");
        assert_eq!(results, [l(&[1], &carried), l(&[3], &concatenated)], "limit {limit}");
    }
}

#[test]
fn variables_have_their_initial_values() {
    let mut graph = Graph::new("variables");
    let body = graph.body();
    let x = graph.add_input("x", ty(ElemType::F32, &[2]));
    let initial = constant(&mut graph, body, f(&[2], &[10.0, 20.0]));
    let state = add(&mut graph, body, Op::ReadValue { variable: "state".into() }, &[initial]);
    let next = add(&mut graph, body, Op::Binary(BinaryOp::Add), &[state, x]);
    let stored = add(&mut graph, body, Op::Assign { variable: "state".into() }, &[next]);
    finish(&mut graph, body, &[stored]);
    assert_eq!(run(&graph, &[f(&[2], &[1.0, 2.0])]).expect("runs"), [f(&[2], &[11.0, 22.0])]);
    let mut kept = State::new();
    for expected in [[11.0, 22.0], [12.0, 24.0], [13.0, 26.0]] {
        assert_eq!(run_stateful(&graph, &[f(&[2], &[1.0, 2.0])], &mut kept).expect("runs"), [f(&[2], &expected)]);
    }
}
