//! Variables: graphs as text, several inferences one after the other, interpreted and as programs that keep their workspace.

use libtest_mimic::Failed;
use octet::interp;
use octet::ir::parse::parse_text;
use octet::ir::{Graph, Tensor};
use octet::lower::lower;
use octet::simd::execute::execute_next;
use octet::simd::ir::Width;

use super::{Short, cases, compare, options};

const INFERENCES: u64 = 3;

pub struct Case {
    pub name: &'static str,
    /// Steps in inferences after the first: what is computed into the variable's own buffer is not copied there.
    steps: usize,
    text: &'static str,
}

pub const CASES: &[Case] = &[
    Case {
        name: "a sum over inferences, which the model gives out",
        steps: 2,
        text: r#"func @f(%x: tensor<2x3xf32>) -> (y: tensor<2x3xf32>) {
  %0 = const dense<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> : tensor<2x3xf32>
  %1 = read_value %0 {variable = "sum"} : tensor<2x3xf32>
  %2 = add %1, %x : tensor<2x3xf32>
  %3 = assign %2 {variable = "sum"} : tensor<2x3xf32>
  return %3
}"#,
    },
    Case {
        name: "the initial value is computed from the first input only",
        steps: 2,
        text: r#"func @f(%x: tensor<4xf32>) -> (y: tensor<4xf32>) {
  %0 = exp %x : tensor<4xf32>
  %1 = softmax %0 {axis = 0} : tensor<4xf32>
  %2 = read_value %1 {variable = "v"} : tensor<4xf32>
  %3 = mul %2, %x : tensor<4xf32>
  %4 = assign %3 {variable = "v"} : tensor<4xf32>
  return %3
}"#,
    },
    Case {
        name: "the variable is read behind its assignment, and has the old value there",
        steps: 4,
        text: r#"func @f(%x: tensor<4xf32>) -> (y: tensor<4xf32>) {
  %0 = const dense<0.0> : tensor<4xf32>
  %1 = tanh %x : tensor<4xf32>
  %2 = assign %1 {variable = "v"} : tensor<4xf32>
  %3 = softmax %2 {axis = 0} : tensor<4xf32>
  %4 = read_value %0 {variable = "v"} : tensor<4xf32>
  %5 = sub %4, %3 : tensor<4xf32>
  return %5
}"#,
    },
    Case {
        name: "two variables change places",
        steps: 5,
        text: r#"func @f(%x: tensor<4xf32>) -> (y: tensor<4xf32>) {
  %0 = const dense<0.0> : tensor<4xf32>
  %1 = read_value %0 {variable = "a"} : tensor<4xf32>
  %2 = read_value %x {variable = "b"} : tensor<4xf32>
  %3 = assign %1 {variable = "b"} : tensor<4xf32>
  %4 = assign %2 {variable = "a"} : tensor<4xf32>
  %5 = sub %1, %2 : tensor<4xf32>
  return %5
}"#,
    },
    Case {
        name: "a variable is turned round",
        steps: 3,
        text: r#"func @f(%x: tensor<5xf32>) -> (y: tensor<5xf32>) {
  %0 = read_value %x {variable = "a"} : tensor<5xf32>
  %1 = reverse %0 {axis = 0} : tensor<5xf32>
  %2 = assign %1 {variable = "a"} : tensor<5xf32>
  return %0
}"#,
    },
    Case {
        name: "one value for two variables",
        steps: 3,
        text: r#"func @f(%x: tensor<4xf32>) -> (y: tensor<4xf32>) {
  %0 = const dense<1.0> : tensor<4xf32>
  %1 = read_value %0 {variable = "a"} : tensor<4xf32>
  %2 = read_value %x {variable = "b"} : tensor<4xf32>
  %3 = add %1, %2 : tensor<4xf32>
  %4 = assign %3 {variable = "b"} : tensor<4xf32>
  %5 = assign %3 {variable = "a"} : tensor<4xf32>
  return %3
}"#,
    },
    Case {
        name: "a window that moves by one column: channels last",
        steps: 8,
        text: r#"func @f(%x: tensor<1x3x1xf32>) -> (y: tensor<1x2x4xf32>) {
  %0 = const dense<0.0> : tensor<1x3x4xf32>
  %1 = const dense<[0.5, -1.0, 1.0, 1.5, 0.25, 0.0, 1.0, 1.0, -2.0, 0.5, 1.0, -1.0, -1.5, 0.5, 2.0, 1.0, 3.0, -2.0]> : tensor<2x3x3xf32>
  %2 = read_value %0 {variable = "window"} : tensor<1x3x4xf32>
  %3 = concat %2, %x {axis = 2} : tensor<1x3x5xf32>
  %4 = slice %3 {begin = [0, 0, 1]} : tensor<1x3x4xf32>
  %5 = assign %4 {variable = "window"} : tensor<1x3x4xf32>
  %6 = convolution %4, %1 {strides = [1], dilations = [1], pads_begin = [1], pads_end = [1]} : tensor<1x2x4xf32>
  return %6
}"#,
    },
    Case {
        name: "integers, and a variable of more than one reader",
        steps: 4,
        text: r#"func @f(%x: tensor<3x4xu8>) -> (y: tensor<3x4xf32>, z: tensor<3x4xu8>) {
  %0 = const dense<7> : tensor<3x4xu8>
  %1 = read_value %0 {variable = "q"} : tensor<3x4xu8>
  %2 = max %1, %x : tensor<3x4xu8>
  %3 = assign %2 {variable = "q"} : tensor<3x4xu8>
  %4 = read_value %0 {variable = "q"} : tensor<3x4xu8>
  %5 = dequantize %4 {scale = [0.5], zero_point = [3]} : tensor<3x4xf32>
  return %5, %2
}"#,
    },
];

pub fn check(case: &Case) -> Result<(), Failed> {
    let graph = parse_text(case.text, case.name).map_err(|problems| problems.to_string())?.graph;
    for width in [Width::W128, Width::W256, Width::W512] {
        for (parts, has_dot) in [(1, false), (3, true)] {
            let program = lower(&graph, &options(width, has_dot), &Short).map_err(|problems| problems.to_string())?;
            let (mut state, mut expected_state) = (None, interp::State::new());
            for inference in 0..INFERENCES {
                let inputs = inputs(&graph, inference);
                let expected = interp::run_stateful(&graph, &inputs, &mut expected_state)?;
                let got = execute_next(&program, width, &inputs, parts, &mut state)?;
                for (got, expected) in got.iter().zip(&expected) {
                    compare(got, expected)
                        .map_err(|e| format!("{} bytes, {parts} parts, inference {inference}: {e}", width.bytes()))?;
                }
            }
            let steps = program.steps.iter().filter(|step| !step.after_reset).count();
            if steps != case.steps {
                return Err(format!("{steps} steps instead of {}", case.steps).into());
            }
        }
    }
    Ok(())
}

fn inputs(graph: &Graph, inference: u64) -> Vec<Tensor> {
    let random = |(i, &value)| cases::random(graph.ty(value), 10 * inference + i as u64);
    graph.inputs().iter().enumerate().map(random).collect()
}
