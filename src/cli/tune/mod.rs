//! `compile --tune`: which forms of a model's layers are the fastest on this machine.
//!
//! ```text
//! default program -> problems and their forms
//! variant i        every problem takes its form i, if it has as many
//! all in turn      each step's least time; per problem the sum over its layers
//! decide           the fastest form, where it is faster than the default by more than chance
//! confirm          default and tuned program in turn: what is not faster again stays as it was
//! ```
//!
//! Layers are measured where they will run: inside the network, behind and in front of their neighbours, with the caches as those
//! leave them.

pub mod args;
mod decide;
mod measure;

use std::collections::BTreeMap;
use std::path::Path;

use octet::codegen::target::Target;
use octet::diag::{Diagnostic, Diagnostics, Place, codes};
use octet::driver::CompileOptions;
use octet::lower::choice::{Choices, alternatives, variant};
use octet::tuning::{Entry, Tuning};

use super::artifacts::write_file;
use super::failure::Failure;
use super::progress::Progress;
use super::table::{Align, table};
use super::temp::TempDir;
use args::TuneArgs;
use decide::{Measured, confirmed, times};
use measure::{Bench, Variant};

/// How often each program runs, in turn with the others.
const TURNS: u32 = 3;
/// How often the default and the tuned program run at the end.
const LAST_TURNS: u32 = 5;

/// What was found for one CPU.
struct Found {
    entries: BTreeMap<String, Entry>,
    /// The gains, for people.
    text: String,
}

/// Measures, updates the tuning file, and gives what it says now.
pub fn tune(
    model: &Path,
    options: &CompileOptions,
    args: &TuneArgs,
    file: &Path,
    quiet: bool,
) -> Result<Tuning, Failure> {
    expect_runnable(options)?;
    let mut tuning = if file.exists() { Tuning::read(file)? } else { Tuning::default() };
    for target in options.targets() {
        let options = CompileOptions { target: target.clone(), fallbacks: Vec::new(), ..options.clone() };
        let found = tune_for(model, options, args)?;
        if !quiet {
            eprint!("{}", found.text);
        }
        tuning.update(&target.cpu_name(), found.entries);
    }
    write_file(file, tuning.text().as_bytes())?;
    Ok(tuning)
}

/// This machine must run every version.
fn expect_runnable(options: &CompileOptions) -> Result<(), Failure> {
    let native = Target::native().map_err(|reason| Failure::usage(&codes::OTHER_MACHINE, reason))?;
    let runs = |target: &&Target| target.arch == native.arch && native.has(target.features);
    let foreign = options.targets().filter(|target| !runs(target));
    let problem = |target: &Target| {
        let fact =
            format!("code for {} cannot be measured on this machine, a {}", target.cpu_name(), native.cpu_name());
        Diagnostic::error(&codes::OTHER_MACHINE, Place::item("--tune"), fact)
            .with_help("tune on a machine that runs it, and bring the file here for --tuning")
    };
    let problems: Vec<Diagnostic> = foreign.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems).into()) }
}

fn tune_for(model: &Path, options: CompileOptions, args: &TuneArgs) -> Result<Found, Failure> {
    let directory = TempDir::new()?;
    let mut progress = Progress::new();
    let threads = args.threads;
    let cpu = options.target.cpu_name();
    let mut bench = Bench { model, options, directory: directory.path(), threads, inferences: 3 };
    let default = bench.variant(Choices::new(), "default")?;
    bench.set_inferences(&default, args.tune_seconds, TURNS)?;
    let measured = measure_variants(&bench, default, &mut progress)?;
    let chosen = measured.iter().filter_map(|(problem, of)| Some((problem.clone(), of.faster()?))).collect();
    progress.say(&format!("{cpu}: measuring the result"));
    let (chosen, text) = confirm(&bench, chosen)?;
    let entry = |(problem, of): (String, Measured)| {
        let entry = of.entry(chosen.get(&problem).copied(), threads);
        (problem, entry)
    };
    let entries: BTreeMap<String, Entry> = measured.into_iter().map(entry).collect();
    Ok(Found { entries, text: format!("tuned for {cpu} with --threads {threads}\n{text}") })
}

/// Times of all forms of all problems that have a choice.
fn measure_variants(
    bench: &Bench<'_>,
    default: Variant,
    progress: &mut Progress,
) -> Result<BTreeMap<String, Measured>, Failure> {
    let problems = default.choices.clone();
    let alternatives = alternatives(&problems);
    let count = alternatives.values().map(Vec::len).max().unwrap_or(0);
    let cpu = bench.options.target.cpu_name();
    let mut variants = vec![default];
    for number in 0..count {
        progress.say(&format!("{cpu}: compiling variant {} of {count}", number + 1));
        variants.push(bench.variant(variant(&alternatives, number), &format!("variant{number}"))?);
    }
    for turn in 1..=TURNS {
        for (number, variant) in variants.iter_mut().enumerate() {
            progress.say(&format!("{cpu}: measuring variant {number} of {count}, turn {turn} of {TURNS}"));
            bench.measure(variant)?;
        }
    }
    let times: Vec<BTreeMap<String, f64>> =
        variants.iter().map(|variant| times(&variant.choices, &variant.steps_us)).collect();
    let us = |variant: usize, problem: &str| times[variant].get(problem).copied().unwrap_or(f64::INFINITY);
    let measured = |(problem, forms): (&&str, &Vec<_>)| {
        let forms = forms.iter().enumerate().map(|(number, &form)| (form, us(number + 1, problem))).collect();
        (problem.to_string(), Measured { default_us: us(0, problem), forms })
    };
    Ok(alternatives.iter().filter(|(_, forms)| !forms.is_empty()).map(measured).collect())
}

/// The forms that are still faster when only the default and the tuned program are measured; and the gains, as a table.
fn confirm(bench: &Bench<'_>, chosen: Choices) -> Result<(Choices, String), Failure> {
    if chosen.is_empty() {
        return Ok((chosen, "nothing is faster than what octet decides without measurements\n".to_owned()));
    }
    let mut default = bench.variant(Choices::new(), "default")?;
    let mut tuned = bench.variant(chosen.clone(), "tuned")?;
    for _ in 0..LAST_TURNS {
        bench.measure(&mut default)?;
        bench.measure(&mut tuned)?;
    }
    let before = times(&default.choices, &default.steps_us);
    let after = times(&tuned.choices, &tuned.steps_us);
    let chosen = confirmed(chosen, &before, &after);
    let text = gains(&default, &chosen, &before, &after);
    Ok((chosen, text))
}

const COLUMNS: [(&str, Align); 7] = [
    ("layers", Align::Right),
    ("first layer", Align::Left),
    ("without", Align::Left),
    ("us", Align::Right),
    ("tuned", Align::Left),
    ("us", Align::Right),
    ("gain", Align::Right),
];

/// A row for each form that changes, and what they sum up to.
fn gains(default: &Variant, chosen: &Choices, before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> String {
    let us = |times: &BTreeMap<String, f64>, problem: &str| times.get(problem).copied().unwrap_or(0.0);
    let row = |(problem, form): (&String, _)| {
        let layers: Vec<_> = default.choices.iter().filter(|choice| choice.problem == *problem).collect();
        let first = layers.first().and_then(|choice| default.layers.get(choice.steps.start));
        let without = layers.first().map(|choice| choice.form().to_string());
        let (before, after) = (us(before, problem), us(after, problem));
        vec![
            layers.len().to_string(),
            first.cloned().unwrap_or_default(),
            without.unwrap_or_default(),
            format!("{before:.1}"),
            format!("{form}"),
            format!("{after:.1}"),
            format!("{:.1} %", 100.0 * (1.0 - after / before)),
        ]
    };
    let rows: Vec<Vec<String>> = chosen.iter().map(row).collect();
    let all: f64 = default.steps_us.iter().sum();
    let gain: f64 = chosen.keys().map(|problem| us(before, problem) - us(after, problem)).sum();
    let share = 100.0 * gain / all;
    format!("{}all layers: {:.1} us less of {all:.1} us, {share:.1} %\n", table(&COLUMNS, &rows), gain)
}
