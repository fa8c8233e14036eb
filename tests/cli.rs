//! The command line as its users meet it: exit codes and messages for bad input, and what compiled models promise.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "cli/artifacts.rs"]
mod artifacts;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/drawings.rs"]
mod drawings;
#[path = "cli/readme.rs"]
mod readme;
#[path = "cli/snapshots.rs"]
mod snapshots;
#[path = "cli/tuning.rs"]
mod tuning;
#[path = "cli/versions.rs"]
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A fresh directory for one test, with the digits model in it as `digits.xml`, `digits.bin`, `digits_images.npy`.
struct Folder {
    path: PathBuf,
}

struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Output {
    fn of(command: &mut Command) -> Output {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Output {
            code: output.status.code().expect("the program does not die of a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Folder {
    fn new(test: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{test}"));
        // It may not exist.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let folder = Folder { path };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits");
        for file in ["model/digits.xml", "model/digits.bin", "digits_images.npy"] {
            let name = Path::new(file).file_name().unwrap();
            fs::copy(example.join(file), folder.path.join(name)).unwrap();
        }
        folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).unwrap();
    }

    /// Runs a command in the folder; words are separated by blanks.
    fn command(&self, program: impl AsRef<Path>, line: &str) -> Output {
        Output::of(Command::new(program.as_ref()).args(line.split_whitespace()).current_dir(&self.path))
    }

    /// Runs a script of the shell in the folder, which finds `octet`.
    fn shell(&self, script: &str) -> Output {
        let binaries = Path::new(env!("CARGO_BIN_EXE_octet")).parent().unwrap();
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&self.path).env("PATH", path);
        // Nobody's terminal decides how wide help is.
        command.env_remove("COLUMNS").stdin(Stdio::null());
        Output::of(&mut command)
    }

    fn octet(&self, line: &str) -> Output {
        self.command(env!("CARGO_BIN_EXE_octet"), line)
    }

    /// Runs octet, which succeeds; gives what it prints.
    #[track_caller]
    fn octet_ok(&self, line: &str) -> String {
        let output = self.octet(line);
        assert_eq!(output.code, 0, "octet {line}: {}", output.stderr);
        output.stdout
    }

    /// Runs octet, which fails with this exit code and says all of `messages`.
    #[track_caller]
    fn octet_fails(&self, line: &str, code: i32, messages: &[&str]) {
        let output = self.octet(line);
        assert_eq!(output.code, code, "octet {line}: {}{}", output.stdout, output.stderr);
        for message in messages {
            assert!(output.stderr.contains(message), "octet {line}: {:?} lacks {message:?}", output.stderr);
        }
        assert!(!output.stderr.contains("panicked"), "octet {line}: {}", output.stderr);
    }

    /// Image number `index` of the digits as `name`.
    fn image(&self, index: usize, name: &str) {
        let images = self.read("digits_images.npy");
        let bytes = 64 * size_of::<f32>();
        let data = &images[images.len() - 48 * bytes..][index * bytes..][..bytes];
        self.write(name, npy("<f4", "(1, 1, 8, 8)", data));
    }
}

/// A `.npy` file of version 1.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap();
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), data].concat()
}
