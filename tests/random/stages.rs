//! One graph through the whole compiler: what every stage computes is compared with the stage before.
//!
//! ```text
//! the graph           interpreted
//!   passes            interpreted: equal up to roundings (octet::passes::meaning)
//!   lowering          kernels interpreted, at several widths: equal up to roundings; where no float sums are involved,
//!                     the same bits at every width
//!   machine code      run as a program: the bits that the interpreted kernels give at the same width
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use octet::codegen::object;
use octet::codegen::target::Target;
use octet::ir::op::ReduceKind;
use octet::ir::verify::verify;
use octet::ir::{ElemType, Graph, Node, Op, Tensor};
use octet::lower::choice::{Choices, Estimate, alternatives, variant};
use octet::lower::kernel::KernelSpec;
use octet::lower::program::Program;
use octet::lower::{LowerOptions, lower};
use octet::passes::meaning::{Reference, Sample, samples};
use octet::passes::{PIPELINE, manager};
use octet::simd::execute::execute;
use octet::simd::ir::{Vectors, Width};

use super::program::Executable;

/// Where a graph went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Passes,
    Lowering,
    Kernels,
    MachineCode,
    Panic,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub stage: Stage,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.stage, self.message)
    }
}

/// How much of each graph is checked.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Every kind of sample and every width, or two samples and one width that the seed chooses.
    pub everything: bool,
    pub machine_code: bool,
}

/// Runs the graph through all stages.
pub fn check(graph: &Graph, seed: u64, effort: Effort) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| stages(graph, seed, effort))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(failure(Stage::Panic)(text.unwrap_or("without a message").to_string()))
    })
}

fn failure(stage: Stage) -> impl Fn(String) -> Failure {
    move |message| Failure { stage, message }
}

/// Runs the graph through the passes only.
pub fn check_passes(graph: &Graph, seed: u64) -> Result<(), Failure> {
    let effort = Effort { everything: true, machine_code: false };
    passed(graph, &chosen_samples(graph, seed, effort)).map(drop)
}

fn stages(graph: &Graph, seed: u64, effort: Effort) -> Result<(), Failure> {
    let samples = chosen_samples(graph, seed, effort);
    let (after, references) = passed(graph, &samples)?;
    let target = Target::native().map_err(failure(Stage::MachineCode))?;
    let program = lowered(&after, target.width, target.has_dot(), Choices::new())?;
    let results = kernels(&program, target.vectors(), &samples, &references)?;
    other_widths(&after, seed, effort, &samples, &references, &results, target.vectors())?;
    if effort.machine_code {
        machine_code(&program, &target, seed, &samples, &results)?;
    }
    Ok(())
}

/// The graph after all passes, and what it computes, which is what it computed before.
fn passed(graph: &Graph, samples: &[Sample]) -> Result<(Graph, Vec<Reference>), Failure> {
    verify(graph).map_err(|errors| failure(Stage::Passes)(format!("the graph itself: {errors}")))?;
    let mut after = graph.clone();
    manager::run(&mut after, PIPELINE, &manager::Options::default(), &mut std::io::sink())
        .map_err(|problems| failure(Stage::Passes)(problems.to_string()))?;
    let mut references = Vec::new();
    for sample in samples {
        let before = Reference::new(graph, &sample.inputs).map_err(failure(Stage::Passes))?;
        let reference = Reference::new(&after, &sample.inputs).map_err(failure(Stage::Passes))?;
        before.judge(&reference.outputs).map_err(|difference| {
            failure(Stage::Passes)(format!("{} inputs, output {}: {difference}", sample.name, difference.output))
        })?;
        references.push(reference);
    }
    Ok((after, references))
}

fn chosen_samples(graph: &Graph, seed: u64, effort: Effort) -> Vec<Sample> {
    let mut all = samples(graph, seed);
    if !effort.everything {
        let other = 1 + seed as usize % (all.len() - 1);
        all.swap(1, other);
        all.truncate(2);
    }
    all
}

/// Every step takes long enough to be shared between threads.
struct Long;

impl Estimate for Long {
    fn cycles(&self, _: &KernelSpec, _: &[Option<&[u8]>]) -> f64 {
        1e9
    }
}

/// Other forms of the program's layers than the default ones.
fn some_forms(program: &Program, seed: u64) -> Choices {
    let alternatives = alternatives(&program.choices);
    let most = alternatives.values().map(Vec::len).max().unwrap_or(0);
    variant(&alternatives, seed as usize % most.max(1))
}

fn lowered(graph: &Graph, width: Width, has_dot: bool, choices: Choices) -> Result<Program, Failure> {
    let cpu = if has_dot { "avx512vnni,+amx-int8" } else { "x86-64-v4" };
    let target = Target::parse(Some("x86_64-unknown-linux-gnu"), cpu).map_err(failure(Stage::Lowering))?;
    let options = LowerOptions { choices, ..target.with_width(width).lowering() };
    lower(graph, &options, &Long).map_err(|problems| failure(Stage::Lowering)(problems.to_string()))
}

/// Outputs of the interpreted kernels, per sample.
fn kernels(
    program: &Program,
    vectors: Vectors,
    samples: &[Sample],
    references: &[Reference],
) -> Result<Vec<Vec<Tensor>>, Failure> {
    let mut results = Vec::new();
    for (sample, reference) in samples.iter().zip(references) {
        let place = format!("{} bytes wide, {} inputs", vectors.width.bytes(), sample.name);
        let outputs = execute(program, vectors, &sample.inputs, 1)
            .map_err(|problem| failure(Stage::Kernels)(format!("{place}: {problem}")))?;
        reference.judge(&outputs).map_err(|difference| {
            failure(Stage::Kernels)(format!("{place}, output {}: {difference}", difference.output))
        })?;
        results.push(outputs);
    }
    Ok(results)
}

fn other_widths(
    graph: &Graph,
    seed: u64,
    effort: Effort,
    samples: &[Sample],
    references: &[Reference],
    results: &[Vec<Tensor>],
    known: Vectors,
) -> Result<(), Failure> {
    let others: Vec<Width> =
        [Width::W128, Width::W256, Width::W512].into_iter().filter(|&width| width != known.width).collect();
    let exact = graph.body_nodes().all(|node| !sums_floats(graph, node));
    for (index, &width) in others.iter().enumerate() {
        if !effort.everything && index as u64 != seed % 2 {
            continue;
        }
        let has_dot = (seed / 2).is_multiple_of(2);
        let program = lowered(graph, width, has_dot, Choices::new())?;
        let other = lowered(graph, width, has_dot, some_forms(&program, seed))?;
        for program in [program, other] {
            let wide = kernels(&program, Vectors { width, ..known }, samples, references)?;
            if exact {
                same_bits(&wide, results, samples).map_err(|problem| {
                    failure(Stage::Kernels)(format!(
                        "{} and {} bytes wide: {problem}",
                        width.bytes(),
                        known.width.bytes()
                    ))
                })?;
            }
        }
    }
    Ok(())
}

/// The order of summation, which depends on the width, shows in the result.
fn sums_floats(graph: &Graph, node: Node) -> bool {
    let is_float = |index: usize| graph.ty(graph.operand(node, index)).elem.is_float();
    let of_integers = |index: usize| matches!(graph.def_op(graph.operand(node, index)), Some(Op::Dequantize(_)));
    match graph.op(node) {
        Op::Convolution(_) | Op::Deconvolution(_) | Op::MatMul { .. } => is_float(0),
        Op::Softmax { .. } | Op::Mvn(_) | Op::NormalizeL2(_) | Op::CumSum { .. } | Op::Interpolate(_) => true,
        Op::AvgPool(_) => is_float(0) && !of_integers(0),
        Op::Reduce(attrs) => !matches!(attrs.kind, ReduceKind::Max | ReduceKind::Min) && is_float(0),
        _ => false,
    }
}

/// Runs machine code on 1, 2 and 3 threads: the same bits. False when the program has nothing to share between threads.
pub fn threads_agree(graph: &Graph, seed: u64) -> Result<bool, Failure> {
    let fail = failure(Stage::MachineCode);
    let mut after = graph.clone();
    manager::run(&mut after, PIPELINE, &manager::Options::default(), &mut std::io::sink())
        .map_err(|problems| failure(Stage::Passes)(problems.to_string()))?;
    let target = Target::native().map_err(&fail)?;
    let mut program = lowered(&after, target.width, target.has_dot(), Choices::new())?;
    // whether or not it is worth it
    for step in &mut program.steps {
        step.parallel = program.kernels[step.kernel].items() > 1;
    }
    if !program.steps.iter().any(|step| step.parallel) {
        return Ok(false);
    }
    let object = object::build(&program, &target).map_err(|problems| fail(problems.to_string()))?;
    let executable = Executable::new(&program, &object).map_err(&fail)?;
    let sample = &samples(graph, seed)[..1];
    let one = executable.run(&sample[0].inputs, 1).map_err(&fail)?;
    for threads in [2, 3] {
        let several = executable.run(&sample[0].inputs, threads).map_err(&fail)?;
        same_bits(&[several], std::slice::from_ref(&one), sample)
            .map_err(|problem| fail(format!("{threads} threads: {problem}")))?;
    }
    Ok(true)
}

fn machine_code(
    program: &Program,
    target: &Target,
    seed: u64,
    samples: &[Sample],
    expected: &[Vec<Tensor>],
) -> Result<(), Failure> {
    let fail = failure(Stage::MachineCode);
    let object = object::build(program, target).map_err(|problems| fail(problems.to_string()))?;
    let executable = Executable::new(program, &object).map_err(&fail)?;
    let threads = 1 + seed as usize % 3;
    let results = samples.iter().map(|sample| executable.run(&sample.inputs, threads)).collect::<Result<Vec<_>, _>>();
    same_bits(&results.map_err(&fail)?, expected, samples)
        .map_err(|problem| fail(format!("{threads} threads: {problem}")))
}

/// Any NaN is as good as another.
fn same_bits(actual: &[Vec<Tensor>], expected: &[Vec<Tensor>], samples: &[Sample]) -> Result<(), String> {
    for ((actual, expected), sample) in actual.iter().zip(expected).zip(samples) {
        for (output, (actual, expected)) in actual.iter().zip(expected).enumerate() {
            if let Some((at, a, e)) = first_other_bits(actual, expected) {
                return Err(format!("{} inputs, output {output}: element {at} is {a}, not {e}", sample.name));
            }
        }
    }
    Ok(())
}

fn first_other_bits(actual: &Tensor, expected: &Tensor) -> Option<(usize, f64, f64)> {
    let (a, e) = (actual.to_bytes(), expected.to_bytes());
    if a == e {
        return None;
    }
    let (values, wanted) = (actual.to_f64(), expected.to_f64());
    let size = if expected.elem() == ElemType::Bool { 1 } else { expected.elem().bytes() };
    let differs =
        |&at: &usize| a[at * size..][..size] != e[at * size..][..size] && !(values[at].is_nan() && wanted[at].is_nan());
    (0..values.len()).find(differs).map(|at| (at, values[at], wanted[at]))
}
