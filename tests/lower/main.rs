//! Lowering against the meaning of the graph: every case is a small graph, interpreted as it is, and as a program of kernels
//! in the kernel interpreter, at every vector width and with the work cut in several ways. Integers must be equal, floats
//! close.

mod cases;
mod ops;
mod state;

use libtest_mimic::{Arguments, Failed, Trial};
use octet::interp;
use octet::ir::parse::parse_text;
use octet::ir::tensor::Data;
use octet::ir::{Graph, Op, Tensor};
use octet::lower::choice::Estimate;
use octet::lower::kernel::KernelSpec;
use octet::lower::program::Program;
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
    let has_tiles = has_dot && width == Width::W512;
    LowerOptions { width, has_dot, has_tiles, model_hash: String::new(), source: None }
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

/// The graph as it is against its programs, which `also` looks at.
fn compare_programs(graph: &Graph, also: fn(&Graph, &Program) -> Result<(), String>) -> Result<(), Failed> {
    let inputs: Vec<Tensor> =
        graph.inputs().iter().enumerate().map(|(i, &v)| cases::random(graph.ty(v), i as u64)).collect();
    let expected = interp::run(graph, &inputs)?;
    for width in [Width::W128, Width::W256, Width::W512] {
        for (parts, has_dot) in [(1, false), (3, true)] {
            let program = lower(graph, &options(width, has_dot), &Short).map_err(|problems| problems.to_string())?;
            also(graph, &program)?;
            let got = execute(&program, width, &inputs, parts).map_err(|e| format!("{} bytes: {e}", width.bytes()))?;
            for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                compare(got, expected)
                    .map_err(|e| format!("{} bytes, {parts} parts, output {index}: {e}", width.bytes()))?;
            }
        }
    }
    Ok(())
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
