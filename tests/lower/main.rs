//! Lowering against the meaning of the graph: every case is a small graph, interpreted as it is, and as a program of kernels
//! in the kernel interpreter, at every vector width and with the work cut in several ways. Integers must be equal, floats
//! close.

mod cases;
mod ops;
mod state;

use libtest_mimic::{Arguments, Failed, Trial};
use octet::codegen::target::Target;
use octet::interp;
use octet::ir::parse::parse_text;
use octet::ir::tensor::Data;
use octet::ir::{Graph, Op, Tensor};
use octet::lower::choice::{Choices, Estimate, alternatives, variant};
use octet::lower::kernel::KernelSpec;
use octet::lower::program::{Program, Step};
use octet::lower::{LowerOptions, lower};
use octet::simd::execute::execute;
use octet::simd::ir::Width;

fn main() {
    let args = Arguments::from_args();
    let mut trials: Vec<Trial> =
        cases::all().into_iter().map(|case| Trial::test(case.name.clone(), move || check(&case))).collect();
    trials.extend(
        ops::cases()
            .into_iter()
            .map(|(name, graph)| Trial::test(format!("ops: {name}"), move || compare_programs(&graph, |_, _| Ok(())))),
    );
    trials.push(Trial::test("ops: every operation of the table has a case", || match ops::uncovered()[..] {
        [] => Ok(()),
        ref names => Err(names.join(", ").into()),
    }));
    trials.extend(state::CASES.iter().map(|case| Trial::test(format!("state: {}", case.name), || state::check(case))));
    trials.push(Trial::test("results_without_names_are_outputs", results_without_names));
    trials.push(Trial::test("the_form_with_the_fewest_cycles_is_taken", fewest_cycles));
    trials.push(Trial::test("graphs_become_these_kernels", graphs_become_kernels));
    trials.push(Trial::test("dilated_convolutions_are_transformed_part_by_part", dilated_by_parts));
    trials.push(Trial::test("the_sum_of_a_residual_stream_is_in_place", sum_in_place));
    libtest_mimic::run(&args, trials).exit();
}

/// No step takes long: what runs on how many threads is nothing to these tests.
pub struct Short;

impl Estimate for Short {
    fn cycles(&self, _: &KernelSpec, _: &[Option<&[u8]>]) -> f64 {
        0.0
    }
}

fn options(width: Width, has_dot: bool) -> LowerOptions {
    let cpu = if has_dot { "avx512vnni,+amx-int8" } else { "x86-64-v4" };
    let target = Target::parse(Some("x86_64-unknown-linux-gnu"), cpu).expect("a known CPU");
    target.with_width(width).lowering()
}

fn check(case: &cases::Case) -> Result<(), Failed> {
    compare_programs(&cases::graph(case), once)
}

/// A text form may leave the names of results out; the program has them all the same.
fn results_without_names() -> Result<(), Failed> {
    let text = "func @f(%x: tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>) {
  %0 = relu %x : tensor<2xf32>
  return %0, %x
}";
    let graph = parse_text(text, "names").map_err(|problems| problems.to_string())?.graph;
    let program = lower(&graph, &options(Width::W128, false), &Short).map_err(|problems| problems.to_string())?;
    let names: Vec<&str> = program.outputs.iter().map(|port| port.name.as_str()).collect();
    if names == ["out0", "out1"] { Ok(()) } else { Err(format!("outputs are {names:?}").into()) }
}

/// Cycles that grow with the pixels of a tile: the smallest tile is the best.
struct SmallTiles;

impl Estimate for SmallTiles {
    fn cycles(&self, spec: &KernelSpec, constants: &[Option<&[u8]>]) -> f64 {
        let KernelSpec::Conv(spec) = spec else { return 1e6 };
        assert!(constants[1].is_some_and(|weights| !weights.is_empty()), "the weights are known");
        spec.tile_pixels as f64
    }
}

/// An estimate decides, but less than measurements do; and what it asks leaves nothing behind in the program.
fn fewest_cycles() -> Result<(), Failed> {
    let text = "func @f(%x: tensor<1x16x6x6xu8>) -> (y: tensor<1x16x6x6xi32>) {
  %w = const dense<1> : tensor<16x16x1x1xi8>
  %0 = convolution %x, %w {strides = [1, 1], pads_begin = [0, 0], pads_end = [0, 0]} : tensor<1x16x6x6xi32>
  return %0
}";
    let graph = parse_text(text, "cycles").map_err(|problems| problems.to_string())?.graph;
    let estimated = |choices: Choices| {
        let options = LowerOptions { choices, ..options(Width::W128, false) };
        lower(&graph, &options, &SmallTiles).map_err(|problems| problems.to_string())
    };
    let program = estimated(Choices::new())?;
    let [choice] = &program.choices[..] else { return Err(format!("choices {:?}", program.choices).into()) };
    let cycles: Vec<f64> = choice.candidates.iter().map(|candidate| candidate.cycles).collect();
    if choice.candidates.len() < 4 || cycles.iter().any(|&c| c < cycles[0]) {
        return Err(format!("{:?}", choice.candidates).into());
    }
    let options =
        LowerOptions { choices: [(choice.problem.clone(), choice.form())].into(), ..options(Width::W128, false) };
    let plain = lower(&graph, &options, &Short).map_err(|problems| problems.to_string())?;
    if (plain.steps.len(), plain.kernels.len(), plain.constants.len(), plain.workspace_bytes)
        != (program.steps.len(), program.kernels.len(), program.constants.len(), program.workspace_bytes)
    {
        return Err("an estimate left something in the program".into());
    }
    let other = choice.candidates[1].form;
    let measured = estimated([(choice.problem.clone(), other)].into())?;
    if measured.choices[0].form() == other {
        Ok(())
    } else {
        Err(format!("{} is taken", measured.choices[0].form()).into())
    }
}

/// Graphs of the IR's text, and the families of the kernels they become at 256 bits.
fn graphs_become_kernels() -> Result<(), Failed> {
    let byte = |op: &str| {
        format!(
            "func @f(%x: tensor<1x64x3x3xu8>) -> tensor<1x64x3x3xu8> {{
  %0 = dequantize %x {{scale = [0.05], zero_point = [128]}} : tensor<1x64x3x3xf32>
  %1 = {op} %0 : tensor<1x64x3x3xf32>
  %2 = quantize %1 {{scale = [0.02], zero_point = [0], low = 0, high = 255}} : tensor<1x64x3x3xu8>
  return %2
}}"
        )
    };
    let convolved = |channels: usize, size: usize, then: &str| {
        let ty = |elem: &str| format!("tensor<1x{channels}x{size}x{size}x{elem}>");
        let (sums, floats) = (ty("i32"), ty("f32"));
        format!(
            "func @f(%x: tensor<1x4x{size}x{size}xu8>) -> {floats} {{
  %0 = const dense<3> : tensor<{channels}x4x1x1xi8>
  %1 = convolution %x, %0 {{strides = [1, 1]}} : {sums}
  %2 = dequantize %1 {{scale = [0.01]}} : {floats}
{then}  return %4
}}"
        )
    };
    let sigmoid =
        |channels: usize| convolved(channels, 64, &format!("  %4 = sigmoid %2 : tensor<1x{channels}x64x64xf32>\n"));
    let places: Vec<String> = (0..32).map(|i| i.to_string()).collect();
    let places = format!("  %3 = const dense<[{}]> : tensor<1x8x2x2xf32>\n", places.join(", "));
    let cases = [
        ("a sigmoid between bytes", byte("sigmoid"), vec!["lookup"]),
        ("a tanh between bytes", byte("tanh"), vec!["lookup"]),
        ("a short function between bytes", byte("abs"), vec!["pointwise"]),
        ("a sigmoid of one channel", sigmoid(1), vec!["copy", "conv", "pointwise"]),
        ("a sigmoid of a vector of channels", sigmoid(8), vec!["copy", "conv", "copy"]),
        (
            "a constant of the result's size, in another order",
            convolved(8, 2, &format!("{places}  %4 = add %2, %3 : tensor<1x8x2x2xf32>\n")),
            vec!["copy", "conv", "copy"],
        ),
    ];
    for (name, text, expected) in cases {
        let graph = parse_text(&text, "graph").map_err(|problems| problems.to_string())?.graph;
        let program = lower(&graph, &options(Width::W256, false), &Short).map_err(|problems| problems.to_string())?;
        let families: Vec<&str> = program.steps.iter().map(|step| program.kernels[step.kernel].family()).collect();
        if families != expected {
            return Err(format!("{name} became {families:?}").into());
        }
        compare_programs(&graph, |_, _| Ok(()))?;
    }
    Ok(())
}

/// A dilated 3x3 convolution without dot products has four parts without dilation, whose weights are one constant.
fn dilated_by_parts() -> Result<(), Failed> {
    let cases = cases::all();
    let case =
        cases.iter().find(|case| case.name == "convolution/dilated_3x3_of_many_channels").ok_or("no such case")?;
    let program = lower(&cases::graph(case), &options(Width::W256, false), &Short).map_err(|e| e.to_string())?;
    let transformed = |step: &&Step| program.kernels[step.kernel].family() == "winograd";
    let mut weights: Vec<_> = program.steps.iter().filter(transformed).map(|step| step.operands[1]).collect();
    weights.dedup();
    let forms: Vec<String> = program.choices.iter().map(|choice| choice.form().to_string()).collect();
    match (forms == ["winograd"; 4], weights.len()) {
        (true, 1) => Ok(()),
        (_, constants) => Err(format!("{forms:?} with {constants} constants").into()),
    }
}

/// A tensor that is added and not read again gives its memory to the sum: the kernel reads and writes one buffer.
fn sum_in_place() -> Result<(), Failed> {
    let cases = cases::all();
    let case = cases.iter().find(|case| case.name == "chain/residual_stream_in_place").ok_or("no such case")?;
    compare_programs(&cases::graph(case), |_, program| {
        let in_place = program.steps.iter().any(|step| {
            let written = step.operands.last();
            step.operands.iter().filter(|&operand| Some(operand) == written).count() == 2
        });
        if in_place { Ok(()) } else { Err("no step reads what it writes".into()) }
    })
}

/// The graph as it is against its programs, which `also` looks at.
fn compare_programs(graph: &Graph, also: fn(&Graph, &Program) -> Result<(), String>) -> Result<(), Failed> {
    let inputs: Vec<Tensor> =
        graph.inputs().iter().enumerate().map(|(i, &v)| cases::random(graph.ty(v), i as u64)).collect();
    let expected = interp::run(graph, &inputs)?;
    for width in [Width::W128, Width::W256, Width::W512] {
        for (parts, has_dot) in [(1, false), (3, true)] {
            let program = lower(graph, &options(width, has_dot), &Short).map_err(|problems| problems.to_string())?;
            also(graph, &program)?;
            let bits = run(&program, width, &inputs, &expected, parts)?;
            for choices in variants(&program) {
                let options = LowerOptions { choices, ..options(width, has_dot) };
                let program = lower(graph, &options, &Short).map_err(|problems| problems.to_string())?;
                let forms = || program.choices.iter().map(|choice| choice.form().to_string()).collect::<Vec<_>>();
                let got = run(&program, width, &inputs, &expected, parts).map_err(|e| format!("{:?}: {e}", forms()))?;
                if got != bits {
                    return Err(format!("{} bytes, {:?}: other bits than by default", width.bytes(), forms()).into());
                }
            }
        }
    }
    Ok(())
}

/// What the program computes, which is what is expected.
fn run(
    program: &Program,
    width: Width,
    inputs: &[Tensor],
    expected: &[Tensor],
    parts: usize,
) -> Result<Vec<Tensor>, String> {
    let place = format!("{} bytes, {parts} parts", width.bytes());
    let outputs = execute(program, width, inputs, parts).map_err(|e| format!("{place}: {e}"))?;
    for (index, (got, expected)) in outputs.iter().zip(expected).enumerate() {
        compare(got, expected).map_err(|e| format!("{place}, output {index}: {e}"))?;
    }
    Ok(outputs)
}

/// Choices that together take every form of every layer.
fn variants(program: &Program) -> Vec<Choices> {
    let alternatives = alternatives(&program.choices);
    let most = alternatives.values().map(Vec::len).max().unwrap_or(0);
    (0..most).map(|number| variant(&alternatives, number)).collect()
}

/// No multiplication is done twice: as many multiply-accumulates in the steps as the graph has.
fn once(graph: &Graph, program: &Program) -> Result<(), String> {
    let anchors = graph.body_nodes().filter(|&node| {
        matches!(graph.op(node), Op::Convolution(_) | Op::MatMul { .. } | Op::MaxPool(_) | Op::AvgPool(_))
    });
    let kernels = program.steps.iter().filter(|step| {
        let spec = &program.kernels[step.kernel];
        matches!(spec, KernelSpec::Conv(_) | KernelSpec::Depthwise(_) | KernelSpec::MatMul(_) | KernelSpec::Pool(_))
    });
    let (anchors, kernels) = (anchors.count(), kernels.count());
    let phases = graph.body_nodes().any(|node| matches!(graph.op(node), Op::Deconvolution(_)));
    match phases || kernels <= anchors || program.inputs.iter().any(|input| input.ty.shape.rank() == 5) {
        true => Ok(()),
        false => Err(format!("{anchors} products and pools became {kernels} kernels")),
    }
}

fn compare(got: &Tensor, expected: &Tensor) -> Result<(), String> {
    if got.ty() != expected.ty() {
        return Err(format!("{} instead of {}", got.ty(), expected.ty()));
    }
    let float = matches!(got.data(), Data::F32(_));
    let (got, expected) = (got.to_f64(), expected.to_f64());
    let largest = expected.iter().fold(1.0f64, |max, x| max.max(x.abs()));
    for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let close = if float { (got - expected).abs() <= 1e-5 * largest } else { got == expected };
        let equal = close || got == expected || got.is_nan() && expected.is_nan();
        if !equal {
            return Err(format!("element {at} is {got}, expected {expected}"));
        }
    }
    Ok(())
}
