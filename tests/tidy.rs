//! The architecture as rules over the source text: which module may use which, and how files are written.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the library, and those each may use. Below: `lower` names the vector width, sizes of tiles and how operands
/// are accessed, which are the vector IR's; `simd` reads kernel specs.
const EDGES: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("ir", &["diag"]),
    ("interp", &["diag", "ir"]),
    ("frontend", &["diag", "ir", "interp"]),
    ("passes", &["diag", "ir", "interp"]),
    ("lower", &["diag", "ir", "interp", "passes", "simd::ir"]),
    ("simd", &["diag", "ir", "lower"]),
    ("codegen", &["diag", "ir::ElemType", "lower", "simd"]),
    ("emit", &["diag", "ir", "passes", "lower", "codegen"]),
    ("tuning", &["diag", "lower"]),
    ("build", &["diag", "frontend", "passes", "codegen", "emit", "driver", "tuning"]),
    ("driver", &["diag", "ir", "frontend", "passes", "lower", "codegen", "emit", "tuning"]),
];

/// Longest file, in lines.
const MAX_LINES: usize = 800;

struct Source {
    /// From the package's directory, with `/`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files with one of the extensions under a folder, in order.
fn sources(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // What is built, and what stands in front of names that begin with a dot, is not the project's text.
                if name != "target" && name != ".git" {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known)) {
                found.push(source(path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn source(path: PathBuf) -> Source {
    let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    Source { path: relative, text: fs::read_to_string(&path).unwrap() }
}

fn rust_sources() -> Vec<Source> {
    ["src", "runtime", "tests"].into_iter().flat_map(|folder| sources(folder, &["rs"])).collect()
}

#[track_caller]
fn expect_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The code of a file: without comments, and without its unit tests, which stand at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let code = lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What stands behind each `crate::` of a line, up to the end of the path: `ir::op::Op`, and for a group each member.
fn uses(line: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                let members = group.split([',', '}', ';']).map(str::trim).filter(|member| !member.is_empty());
                found.extend(members.map(str::to_owned));
            }
            None => found.push(rest.split(|c| !is_path(c)).next().unwrap().to_owned()),
        }
    }
    found
}

fn may_use(allowed: &[&str], used: &str) -> bool {
    allowed.iter().any(|allowed| used == *allowed || used.starts_with(&format!("{allowed}::")))
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut problems = Vec::new();
    for Source { path, text } in sources("src", &["rs"]) {
        let module = path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        if matches!(module.as_str(), "lib" | "main" | "cli") {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == module) else {
            problems.push(format!("{path}: module `{module}` has no row in the table of edges"));
            continue;
        };
        for (number, line) in code(&text) {
            for used in uses(line).into_iter().filter(|used| !may_use(&[module.as_str()], used)) {
                if !may_use(allowed, &used) {
                    problems.push(format!("{path}:{number}: `{module}` may not use `{used}`"));
                }
            }
        }
    }
    expect_none(problems);
}

/// The compiler shares the ABI with the runtime; its command line also the format of tensors in files.
#[test]
fn the_compiler_uses_only_the_abi_of_the_runtime() {
    let mut problems = Vec::new();
    for Source { path, text } in sources("src", &["rs"]) {
        let allowed: &[&str] = if path.starts_with("src/cli/") { &["abi", "npy"] } else { &["abi"] };
        for (number, line) in code(&text) {
            // Behind `::` it is a path in the text of a generated module.
            let pieces: Vec<&str> = line.split("octet_runtime::").collect();
            for used in pieces.windows(2).filter(|pair| !pair[0].ends_with("::")).map(|pair| pair[1]) {
                let module = used.trim_start_matches('{').split(|c: char| !c.is_alphanumeric()).next().unwrap();
                if !allowed.contains(&module) {
                    problems.push(format!("{path}:{number}: uses `octet_runtime::{module}`"));
                }
            }
        }
    }
    expect_none(problems);
}

#[test]
fn files_say_what_they_are_for() {
    let silent = rust_sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    expect_none(silent.map(|source| format!("{}: does not begin with //!", source.path)).collect());
}

#[test]
fn files_are_short() {
    let long = rust_sources().into_iter().map(|source| (source.text.lines().count(), source.path));
    let long = long.filter(|(lines, _)| *lines > MAX_LINES);
    expect_none(long.map(|(lines, path)| format!("{path}: {lines} lines, more than {MAX_LINES}")).collect());
}

#[test]
fn the_compiler_forbids_unsafe_code() {
    for path in ["src/lib.rs", "src/main.rs"] {
        let source = source(root().join(path));
        assert!(source.text.contains("#![forbid(unsafe_code)]"), "{path}");
    }
}

/// A test that is switched off proves nothing.
#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    // Written in parts, or this file would be found.
    let forbidden = [concat!("#[ig", "nore"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut problems = Vec::new();
    for Source { path, text } in rust_sources() {
        for (index, line) in text.lines().enumerate() {
            problems.extend(
                forbidden
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{path}:{}: {word}", index + 1)),
            );
        }
    }
    expect_none(problems);
}

/// Paths of the machine that a file was written on.
#[test]
fn no_file_names_a_place_on_one_machine() {
    let places = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
        concat!("C:\\", "Users"),
    ];
    let mut problems = Vec::new();
    for Source { path, text } in sources(".", &["rs", "toml", "md", "py", "c", "h", "sh", "oir", "yml"]) {
        for (index, line) in text.lines().enumerate() {
            problems.extend(
                places
                    .iter()
                    .filter(|place| line.contains(**place))
                    .map(|place| format!("{path}:{}: {place}", index + 1)),
            );
        }
    }
    expect_none(problems);
}

#[test]
fn paths_in_uses_are_found() {
    assert_eq!(uses("use crate::ir::{Graph, Op};"), ["ir::"]);
    assert_eq!(uses("use crate::{diag, lower::program::Program};"), ["diag", "lower::program::Program"]);
    assert_eq!(
        uses("pub fn f(x: crate::simd::ir::Width) -> crate::diag::Result<()> {"),
        ["simd::ir::Width", "diag::Result"]
    );
}
