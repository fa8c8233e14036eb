//! The cases of `tests/ir/lpt`, by their numbers: what is asserted there about the form of a graph is asserted here about
//! what it computes. Random networks go through the same passes, and all that follows, in `tests/random`.

use octet::ir::Graph;
use octet::ir::parse::parse_text;
use octet::passes::manager;
use octet::passes::meaning::{Reference, results, samples};

const LPT: &[&str] = &["lpt-prepare", "lpt-decompose", "lpt-sink", "lpt-fuse", "lpt-cleanup"];

/// Graphs of the cases in a file, with their names.
fn cases(text: &str) -> impl Iterator<Item = (&str, Graph)> {
    text.split("// case: ").skip(1).map(|case| {
        let (name, rest) = case.split_once('\n').unwrap_or((case, ""));
        let input = rest.split("// =>").next().unwrap_or(rest);
        let parsed = parse_text(input, name).unwrap_or_else(|errors| panic!("{errors}"));
        (name, parsed.graph)
    })
}

/// On every kind of sample: random values, beside ties, ends of ranges, zeros, and values far outside.
fn check(before: &Graph) -> Result<(), String> {
    let mut after = before.clone();
    manager::run(&mut after, LPT, &manager::Options::default(), &mut std::io::sink())
        .map_err(|problems| problems.to_string())?;
    for sample in samples(before, 1) {
        let reference = Reference::new(before, &sample.inputs)?;
        let results = results(&after, &sample.inputs)?;
        reference.judge(&results).map_err(|difference| format!("{} inputs: {difference}", sample.name))?;
    }
    Ok(())
}

#[test]
fn cases_keep_their_meaning() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ir/lpt");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut checked, mut problems) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (name, before) in cases(&text) {
            if let Err(problem) = check(&before) {
                problems.push(format!("{}: {name}: {problem}", file.display()));
            }
            checked += 1;
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(checked > 140, "only {checked} cases found");
}
