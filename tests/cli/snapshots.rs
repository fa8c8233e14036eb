//! What users read: each file of `tests/cli/snapshots` is a session in a shell, in a folder with the digits model.
//!
//! A line that begins with `$ ` is run; what it prints, to both streams, stands below it, then `[exit N]` if it fails.
//! `BLESS=1 cargo test --test cli snapshots` rewrites the outputs.

use std::fs;
use std::path::{Path, PathBuf};

use super::Folder;

/// The session with the outputs of today.
fn replay(folder: &Folder, session: &str) -> String {
    let mut text = String::new();
    for line in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let output = folder.shell(&format!("{{ {line}\n}} 2>&1"));
        text += &format!("$ {line}\n{}", output.stdout);
        if output.code != 0 {
            text += &format!("[exit {}]\n", output.code);
        }
    }
    text
}

fn sessions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn snapshots() {
    let mut differing = String::new();
    for path in sessions() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let session = fs::read_to_string(&path).unwrap();
        assert!(session.starts_with("$ "), "{name}: no command");
        let today = replay(&Folder::new(&format!("snapshot-{name}")), &session);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, today).unwrap();
        } else if today != session {
            differing += &format!("\n{name} (BLESS=1 rewrites it)\n--- expected\n{session}--- got\n{today}");
        }
    }
    assert!(differing.is_empty(), "{differing}");
}

/// No code is without a way to look it up, and no general code stands where a message has its own.
#[test]
fn codes_of_the_snapshots_can_be_explained() {
    let folder = Folder::new("codes");
    let mut seen = 0;
    for path in sessions() {
        for rest in fs::read_to_string(path).unwrap().split("error[").skip(1) {
            let code = rest.split(']').next().unwrap();
            assert!(folder.octet_ok(&format!("explain-code {code}")).starts_with(&format!("{code}: ")));
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} errors");
}
