//! One test per file `tests/ir/**/*.oir`. The first line is the command, then come cases:
//!
//! ```text
//! // octet opt --passes canonicalize,dce
//! // case: a reshape to the same shape vanishes
//! func @f(..) -> .. { .. }
//! // =>
//! func @f(..) -> .. { .. }
//! ```
//!
//! - `// octet opt --passes A,B [--locations] [--remarks]` runs passes, verifying after each, and compares the text behind
//!   `// =>`. Where no low precision pass is among them, the outputs for pseudo-random inputs must not change by a bit.
//! - `// parse` expects the text itself to be what the printer writes.
//! - `// parse-errors` and `// verify` expect `// error: part of the message` on each line with an error, and no others.
//!
//! `BLESS=1 cargo test --test ir_files` rewrites the expected texts (of `opt` and `parse`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use octet::diag::Diagnostics;
use octet::ir::attrs::prototypes;
use octet::ir::parse::{Parsed, parse_text};
use octet::ir::print::{PrintOptions, print};
use octet::ir::tensor::{Data, Tensor};
use octet::ir::verify::verify;
use octet::ir::{ElemType, Graph, TensorType};
use octet::passes::manager::{self, Options};
use octet::passes::meaning::results;

const CASE: &str = "// case:";
const EXPECTED: &str = "// =>";
const ERROR: &str = "// error: ";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ir");
    let mut trials: Vec<Trial> = collect(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
            Trial::test(name, move || check_file(&path).map_err(Failed::from))
        })
        .collect();
    trials.push(Trial::test("every operation has a round trip", move || every_operation(&root).map_err(Failed::from)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The `.oir` files in a directory and below, in order.
fn collect(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("tests/ir can be read") {
        let path = entry.expect("tests/ir can be read").path();
        if path.is_dir() {
            files.extend(collect(&path));
        } else if path.extension().is_some_and(|extension| extension == "oir") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// One case of a file.
struct Case {
    name: String,
    /// With empty lines in front, so that line numbers are those of the file.
    input: String,
    expected: Option<String>,
}

fn check_file(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let command = text.lines().next().unwrap_or_default();
    let bless = std::env::var_os("BLESS").is_some();
    let mut blessed = format!("{command}\n");
    let mut failures = Vec::new();
    for case in cases(&text) {
        match run_case(command, &case) {
            Ok(actual) => {
                let written = case.written(actual.as_deref());
                if !bless && written.trim() != case.written(case.expected.as_deref()).trim() {
                    failures.push(format!("case: {}\nactual:\n{}", case.name, actual.unwrap_or_default()));
                }
                blessed += &written;
            }
            Err(message) => failures.push(format!("case: {}\n{message}", case.name)),
        }
    }
    if bless && failures.is_empty() && blessed != text {
        fs::write(path, blessed).map_err(|error| error.to_string())?;
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

impl Case {
    /// The case as a file has it, with this expected text.
    fn written(&self, expected: Option<&str>) -> String {
        let header = if self.name.is_empty() { String::new() } else { format!("{CASE} {}\n", self.name) };
        let expected = expected.map_or(String::new(), |text| format!("{EXPECTED}\n{}\n", text.trim_end()));
        format!("{header}{}\n{expected}", self.input.trim())
    }
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate().skip(1) {
        if let Some(name) = line.strip_prefix(CASE) {
            cases.push(Case { name: name.trim().into(), input: "\n".repeat(index + 1), expected: None });
            continue;
        }
        if cases.is_empty() {
            cases.push(Case { name: String::new(), input: "\n".repeat(index), expected: None });
        }
        let Some(case) = cases.last_mut() else { continue };
        if line == EXPECTED {
            case.expected = Some(String::new());
            continue;
        }
        let part = case.expected.as_mut().unwrap_or(&mut case.input);
        *part += line;
        *part += "\n";
    }
    cases
}

/// Gives the text that must stand behind the input, if one must.
fn run_case(command: &str, case: &Case) -> Result<Option<String>, String> {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    match words.as_slice() {
        ["parse"] => round_trip(case),
        ["parse-errors"] => {
            let errors = parse_text(&case.input, "file").err().ok_or("has no error")?;
            compare_errors(&case.input, &located(&errors))
        }
        ["verify"] => {
            let Parsed { graph, lines } = parse(case)?;
            let errors = verify(&graph).err().ok_or("has no error")?;
            let function = case.input.lines().position(|line| line.starts_with("func")).unwrap_or(0) as u32 + 1;
            let to_line = |node: Option<octet::ir::Node>| node.map_or(function, |node| lines[node]);
            let errors: Vec<(u32, String)> =
                errors.0.iter().map(|error| (to_line(error.node), error.message.clone())).collect();
            compare_errors(&case.input, &errors)
        }
        ["octet", "opt", "--passes", passes, flags @ ..] => opt(passes, flags, case).map(Some),
        _ => Err(format!("unknown command {command:?}")),
    }
}

fn parse(case: &Case) -> Result<Parsed, String> {
    parse_text(&case.input, "file").map_err(|errors| errors.to_string())
}

/// What is printed parses to the same text; an expected text is needed only where the input is not written like that.
fn round_trip(case: &Case) -> Result<Option<String>, String> {
    let graph = parse(case)?.graph;
    verify(&graph).map_err(|errors| errors.to_string())?;
    let printed = print(&graph, &PrintOptions::file("blob")).text;
    let again = parse_text(&printed, "printed").map_err(|errors| format!("{errors}\n{printed}"))?.graph;
    let printed_again = print(&again, &PrintOptions::file("blob")).text;
    if printed != printed_again {
        return Err(format!("printed as\n{printed}\nand then as\n{printed_again}"));
    }
    Ok((printed.trim() != case.input.trim()).then_some(printed))
}

fn opt(passes: &str, flags: &[&str], case: &Case) -> Result<String, String> {
    let mut graph = parse(case)?.graph;
    let before = graph.clone();
    let names: Vec<&str> = passes.split(',').collect();
    let options = Options { verify: true, ..Options::default() };
    let mut log = Vec::new();
    let report = manager::run(&mut graph, &names, &options, &mut log)
        .map_err(|errors| format!("{errors}\n{}", String::from_utf8_lossy(&log)))?;
    if names.iter().all(|name| !name.starts_with("lpt")) {
        same_outputs(&before, &graph)?;
    }
    let print_options = PrintOptions { locations: flags.contains(&"--locations"), ..PrintOptions::test() };
    let mut text = print(&graph, &print_options).text;
    if flags.contains(&"--remarks") {
        text.extend(report.context.remarks.iter().map(|remark| format!("// remark: {remark}\n")));
    }
    Ok(text)
}

/// Both graphs give the same bits.
fn same_outputs(before: &Graph, after: &Graph) -> Result<(), String> {
    let inputs: Vec<Tensor> = before.inputs().iter().map(|&value| pseudo_random(before.ty(value))).collect();
    let expected = results(before, &inputs)?;
    let actual = results(after, &inputs)?;
    for (index, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
        if expected.ty() != actual.ty() || expected.to_bytes() != actual.to_bytes() {
            return Err(format!("output {index} changed from {expected:?} to {actual:?}"));
        }
    }
    Ok(())
}

/// Small numbers of both signs, the same in every run.
fn pseudo_random(ty: &TensorType) -> Tensor {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as i64 % 64 - 32
    };
    let values: Vec<i64> = (0..ty.shape.elements()).map(|_| next()).collect();
    let data = match ty.elem {
        ElemType::F32 => Data::F32(values.iter().map(|&v| v as f32 / 8.0).collect()),
        ElemType::I64 => Data::I64(values),
        ElemType::I32 => Data::I32(values.iter().map(|&v| v as i32).collect()),
        ElemType::I8 => Data::I8(values.iter().map(|&v| v as i8).collect()),
        ElemType::U8 => Data::U8(values.iter().map(|&v| (v + 32) as u8).collect()),
        ElemType::Bool => Data::U8(values.iter().map(|&v| (v & 1) as u8).collect()),
        other => panic!("inputs of {other} are not generated"),
    };
    Tensor::new(ty.clone(), data)
}

fn located(errors: &Diagnostics) -> Vec<(u32, String)> {
    errors.0.iter().map(|error| (error.place.line.unwrap_or(0), error.message.clone())).collect()
}

/// Each annotated line has an error with that text, each error an annotated line.
fn compare_errors(input: &str, errors: &[(u32, String)]) -> Result<Option<String>, String> {
    let annotated: Vec<(u32, &str)> = input
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index as u32 + 1, line.split_once(ERROR)?.1.trim())))
        .collect();
    let matches = |(line, part): &(u32, &str), (at, message): &(u32, String)| line == at && message.contains(part);
    let missing = annotated.iter().filter(|a| !errors.iter().any(|e| matches(a, e)));
    let extra = errors.iter().filter(|e| !annotated.iter().any(|a| matches(a, e)));
    let report: Vec<String> = missing
        .map(|(line, part)| format!("line {line}: no error with {part:?}"))
        .chain(extra.map(|(line, message)| format!("line {line}: unexpected error: {message}")))
        .collect();
    if report.is_empty() { Ok(None) } else { Err(report.join("\n")) }
}

/// Each operation's name stands in a file of `tests/ir/parse`.
fn every_operation(root: &Path) -> Result<(), String> {
    let text: String = collect(&root.join("parse")).iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let words: BTreeSet<&str> = text.split_whitespace().collect();
    let missing: Vec<&str> = prototypes().iter().map(|op| op.name()).filter(|name| !words.contains(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no round trip for {missing:?}")) }
}
