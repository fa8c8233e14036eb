//! The README's commands, and the examples of every command's help, work as they stand there, in order, on the digits
//! model under the names they use.

use std::fs;
use std::path::Path;

use super::Folder;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// `model.xml` with an input `x` and an output `y`, and an `x.npy`.
fn folder(test: &str) -> Folder {
    let folder = Folder::new(test);
    let text = String::from_utf8(folder.read("digits.xml")).unwrap();
    let renamed = text.replace("names=\"image\"", "names=\"x\"").replace("names=\"logits\"", "names=\"y\"");
    assert_ne!(renamed, text);
    folder.write("model.xml", renamed);
    fs::rename(folder.file("digits.bin"), folder.file("model.bin")).unwrap();
    folder.image(3, "x.npy");
    folder
}

/// The lines of blocks that are indented or fenced for the shell.
fn commands(text: &str) -> Vec<String> {
    let mut fence: Option<&str> = None;
    let mut commands = Vec::new();
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language) };
        } else if fence.is_some_and(|language| ["sh", "console", "bash"].contains(&language)) {
            commands.push(line.trim_start_matches("$ ").to_owned());
        } else if fence.is_none() && line.starts_with("    ") {
            commands.push(line.trim().to_owned());
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// The C of the README.
fn snippet(text: &str) -> &str {
    let begin = text.find("```c\n").unwrap() + 5;
    &text[begin..begin + text[begin..].find("```").unwrap()]
}

#[test]
fn commands_of_the_readme_work() {
    let folder = folder("readme");
    let mut run = 0;
    for command in commands(&readme()) {
        // In a clone, before anything is built: the binary is the one under test, the tests are this.
        let command = command.replace("cargo run --release --", "octet");
        if command.starts_with("cargo test") {
            continue;
        }
        // Three seconds say nothing more about a line than thirty inferences.
        let command = command.replacen(" bench ", " bench --iterations 30 ", 1);
        let output = folder.shell(&command);
        // A comparison of thirty inferences may well find the second run slower, which is exit code 1.
        let allowed = if command.contains("--compare") { 1 } else { 0 };
        assert!((0..=allowed).contains(&output.code), "{command}\n{}{}", output.stdout, output.stderr);
        run += 1;
    }
    assert!(run >= 8, "only {run} commands are found");
    for file in ["app", "page.html", "y.npy"] {
        assert!(folder.file(file).exists(), "{file}");
    }
}

#[test]
fn the_c_of_the_readme_compiles_and_runs() {
    let folder = folder("readme-c");
    folder.octet_ok("compile model.xml --emit obj,header -o model.o");
    let snippet = snippet(&readme()).replace("#include \"model.h\"", "");
    let program =
        format!("#include \"model.h\"\n#include <stddef.h>\nint main(void) {{\n{snippet}\nreturn status;\n}}\n");
    folder.write("main.c", program);
    let output = folder.shell("cc -std=c11 -Wall -Werror main.c model.o -o main && ./main");
    assert_eq!(output.code, 0, "{}", output.stderr);
}

/// Lines under `Examples:` that run octet, without what is said about them.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1).map_while(|line| line.strip_prefix("  "));
    let commands = lines.filter(|line| line.starts_with("octet "));
    commands.map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

#[test]
fn examples_of_the_help_work() {
    let folder = folder("examples");
    std::fs::create_dir_all(folder.file(".local/share/bash-completion/completions")).unwrap();
    std::fs::create_dir_all(folder.file(".config/fish/completions")).unwrap();
    std::fs::create_dir_all(folder.file(".zfunc")).unwrap();
    let commands: Vec<String> = folder
        .octet_ok("--help")
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.trim().split(' ').next().filter(|name| !name.is_empty()).map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let help = folder.octet_ok(&format!("{command} --help"));
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{command} --help has no example: {help}");
        for example in examples {
            let short = example.contains("--iterations") || example.contains("--duration") || command != "bench";
            let example = if short { example } else { format!("{example} --iterations 3") };
            let output = folder.shell(&format!("export HOME=.; {example}"));
            assert_eq!(output.code, 0, "{example}\n{}{}", output.stdout, output.stderr);
        }
    }
}

#[test]
fn commands_are_found() {
    let text = "a\n\n    octet x   # why\n\n```sh\n$ octet y\n```\n```c\nint z;\n    w\n```\n    octet v";
    assert_eq!(commands(text), ["octet x   # why", "octet y", "octet v"]);
}
