//! The whole LPT pipeline against the meaning of the graph it started from: both are interpreted on the same inputs.
//!
//! Every case of `tests/ir/lpt` is one graph: what is asserted there about its form is asserted here about its numbers.
//! More graphs come from a generator, seed by seed: every operation with a sinking rule, per-tensor and per-channel ranges with
//! and without zero points, weights in every form. Outputs must agree up to ties of roundings: nearly all of them exactly,
//! and the error in total below the bar of the zoo.

mod generator;

use octet::ir::parse::parse_text;
use octet::ir::print::{PrintOptions, print};
use octet::ir::{Graph, Tensor};
use octet::passes::meaning::results;
use octet::passes::{Remark, manager};

use generator::{Rng, random_graph, random_input};

/// `10 log10(sum ref^2 / sum (ref - out)^2)`; infinite when equal.
fn sqnr(reference: &[f64], out: &[f64]) -> f64 {
    let signal: f64 = reference.iter().map(|r| r * r).sum();
    let noise: f64 = reference.iter().zip(out).map(|(r, o)| (r - o) * (r - o)).sum();
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}

const LPT: &[&str] = &["lpt-prepare", "lpt-decompose", "lpt-sink", "lpt-fuse", "lpt-cleanup"];

fn passes(graph: &mut Graph, names: &[&str]) -> Vec<Remark> {
    let report = manager::run(graph, names, &manager::Options::default(), &mut std::io::sink());
    report.unwrap_or_else(|errors| panic!("{errors}")).context.remarks
}

fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    results(graph, inputs).unwrap_or_else(|error| panic!("{error}"))
}

fn text(graph: &Graph) -> String {
    print(graph, &PrintOptions::test()).text
}

/// Bar of the zoo's check, for graphs of a few layers.
const BAR_DB: f64 = 40.0;

/// How far below the difference of two valid float evaluations a result may fall where ties decide.
const MARGIN_DB: f64 = 6.0;

/// A tie that falls the other way shifts one element of a small output by one step.
const MOSTLY_EQUAL: f64 = 0.9;
const ONE_STEP_DB: f64 = 25.0;

/// What f32 sums leave of an exact 0 in a reference.
const NOISE: f64 = 1e-5;

fn check(seed: u64) -> Result<(), String> {
    let before = random_graph(seed);
    let mut after = before.clone();
    let remarks = passes(&mut after, LPT);
    let mut rng = Rng::new(seed ^ 0x5eed);
    let inputs: Vec<Tensor> = before.inputs().iter().map(|&input| random_input(before.ty(input), &mut rng)).collect();
    let mut rounded = before.clone();
    passes(&mut rounded, &["lpt-decompose"]);
    let (reference, rounded, out) = (run(&before, &inputs), run(&rounded, &inputs), run(&after, &inputs));
    for ((reference, rounded), out) in reference.iter().zip(&rounded).zip(&out) {
        let (reference, rounded, out) = (reference.to_f64(), rounded.to_f64(), out.to_f64());
        let floor = sqnr(&reference, &rounded);
        let range = reference.iter().fold(0.0f64, |most, r| most.max(r.abs()));
        let equal = reference.iter().zip(&out).filter(|(r, o)| (**r - **o).abs() <= 1e-4 * range + NOISE).count();
        let db = sqnr(&reference, &out);
        let one_tie = equal as f64 >= MOSTLY_EQUAL * reference.len() as f64 && db >= ONE_STEP_DB;
        if equal < reference.len() && !one_tie && db < BAR_DB.min(floor - MARGIN_DB) {
            let remarks: String = remarks.iter().map(|remark| format!("{remark}\n")).collect();
            return Err(format!(
                "seed {seed}: {db:.1} dB (floor {floor:.1}), {equal} of {} equal\n{}--- after\n{}{remarks}",
                reference.len(),
                text(&before),
                text(&after)
            ));
        }
    }
    Ok(())
}

#[test]
fn random_graphs_keep_their_meaning() {
    let seeds = std::env::var("OCTET_LPT_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let failures: Vec<String> = (0..seeds).filter_map(|seed| check(seed).err()).collect();
    if let Some(first) = failures.iter().min_by_key(|failure| failure.len()) {
        panic!("{} of {seeds} graphs changed their meaning; the smallest:\n{first}", failures.len());
    }
}

/// Graphs of the cases in a file of `tests/ir/lpt`, with their names.
fn cases(text: &str) -> impl Iterator<Item = (&str, Graph)> {
    text.split("// case: ").skip(1).map(|case| {
        let (name, rest) = case.split_once('\n').unwrap_or((case, ""));
        let input = rest.split("// =>").next().unwrap_or(rest);
        let parsed = parse_text(input, name).unwrap_or_else(|errors| panic!("{errors}"));
        (name, parsed.graph)
    })
}

#[test]
fn cases_keep_their_meaning() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ir/lpt");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut checked = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (name, before) in cases(&text) {
            let mut after = before.clone();
            passes(&mut after, LPT);
            let mut rng = Rng::new(1);
            let random = |&input| random_input(before.ty(input), &mut rng);
            let inputs: Vec<Tensor> = before.inputs().iter().map(random).collect();
            for (expected, actual) in run(&before, &inputs).iter().zip(&run(&after, &inputs)) {
                let pairs = expected.to_f64().into_iter().zip(actual.to_f64());
                let close = pairs.clone().all(|(e, a)| (e - a).abs() <= 1e-5 * e.abs().max(1.0));
                assert!(close, "{}: {name}: {:?}", file.display(), pairs.collect::<Vec<_>>());
            }
            checked += 1;
        }
    }
    assert!(checked > 90, "only {checked} cases found");
}
