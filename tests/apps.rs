//! Models inside other programs: the examples in C, Rust and Python build, run, and say what `octet run` says; what debuggers
//! see of the layers; what objects and programs do without.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "apps/examples.rs"]
mod examples;
#[path = "apps/lines.rs"]
mod lines;
#[path = "apps/rust.rs"]
mod rust;
#[path = "apps/without.rs"]
mod without;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The package's directory.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn octet() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_octet"))
}

/// A fresh directory for one test.
fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("apps-{test}"));
    // It may not exist.
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A directory with the digits model and its images.
fn digits(test: &str) -> PathBuf {
    let folder = folder(test);
    for file in ["model/digits.xml", "model/digits.bin", "digits_images.npy"] {
        let from = root().join("examples/digits").join(file);
        fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
    }
    folder
}

/// What a command that succeeds prints.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let Output { status, stdout, stderr } = &output;
    let stderr = String::from_utf8_lossy(stderr);
    assert!(status.success(), "{command:?} ended with {status}: {}{stderr}", String::from_utf8_lossy(stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A command in a directory, its words separated by blanks.
fn command(directory: &Path, program: impl AsRef<Path>, line: &str) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(line.split_whitespace()).current_dir(directory);
    command
}

/// Whether a tool is there; says so if not.
fn has(tool: &str, why: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: no {tool}, {why}");
    }
    found
}
