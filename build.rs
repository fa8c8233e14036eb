//! Builds the program stub of `runtime/stub/` and leaves it where `src/emit/stub.rs` embeds it.
//!
//! The stub is a static executable without libc, so plain `rustc` and the linker that comes with it suffice: no nested
//! cargo, no lock, half a second. It is built for every Linux target whose `core` is installed; a target without a stub
//! gets an empty file, and the compiler says so when a program for it is asked for. What rustc cannot *compile* is a bug
//! and ends the build; what it cannot *link* only costs the default output format, so it is a warning.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The architectures with a runtime. The file names are known to `src/emit/stub.rs`.
const TARGETS: [(&str, &str); 2] = [("x86_64", "x86_64-unknown-linux-gnu"), ("aarch64", "aarch64-unknown-linux-gnu")];

fn main() {
    for input in ["build.rs", "runtime/src", "runtime/stub"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let build = Build {
        rustc: env::var_os("RUSTC").expect("cargo sets RUSTC"),
        out: PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")),
        host: env::var("TARGET").expect("cargo sets TARGET"),
    };
    for (arch, target) in TARGETS {
        let stub = build.out.join(format!("stub-{arch}"));
        let built = build.has_core(target) && build.stub(target, &stub);
        if !built {
            fs::write(&stub, []).expect("OUT_DIR is writable");
        }
    }
}

struct Build {
    rustc: OsString,
    out: PathBuf,
    /// The target octet itself is built for: a stub that does not link there deserves a warning.
    host: String,
}

impl Build {
    /// `rustc` for `target`, run in the package's directory so that no path of this machine gets into the stub.
    fn rustc(&self, target: &str) -> Command {
        let mut command = Command::new(&self.rustc);
        command.args([
            "--edition=2024",
            "--target",
            target,
            "-Cpanic=abort",
            "-Copt-level=z",
            "-Ccodegen-units=1",
            "-Cforce-unwind-tables=no",
        ]);
        command
    }

    fn has_core(&self, target: &str) -> bool {
        let output = self.rustc(target).args(["--print", "target-libdir"]).output();
        let Ok(output) = output else { return false };
        let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        output.status.success()
            && files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
    }

    /// Compiles the runtime and links the stub; false if no linker works.
    fn stub(&self, target: &str, stub: &Path) -> bool {
        let runtime = self.out.join(format!("liboctet_runtime-{target}.rlib"));
        let mut command = self.rustc(target);
        command.args(["--crate-type=rlib", "--crate-name=octet_runtime", "-Cembed-bitcode=yes", "-o"]);
        run(command.arg(&runtime).arg("runtime/src/lib.rs")).unwrap_or_else(|error| {
            panic!("the runtime does not compile for {target}:\n{error}");
        });
        let rust_lld: &[&str] = &[
            "-Clinker=rust-lld",
            "-Clinker-flavor=ld.lld",
            "-Clink-args=-static --no-eh-frame-hdr -Truntime/stub/discard.ld",
        ];
        let cc: &[&str] = &[
            "-Clinker=cc",
            "-Clink-args=-nostdlib -nostartfiles -static -Wl,--no-eh-frame-hdr -Wl,-Truntime/stub/discard.ld",
        ];
        let mut errors = String::new();
        for (name, linker) in [("rust-lld", rust_lld), ("cc", cc)] {
            // The system's cc links for the system only.
            if name == "cc" && target != self.host {
                continue;
            }
            match self.link(target, &runtime, stub, linker) {
                Ok(()) => return true,
                Err(error) => errors += &format!("{name}: {error}\n"),
            }
        }
        if target == self.host {
            println!(
                "cargo::warning=no linker could build the program stub, so `octet compile` cannot emit executables;"
            );
            println!(
                "cargo::warning=install the rust-lld of the tool chain (rustup has it) or a C compiler. What they said:"
            );
            for line in errors.lines() {
                println!("cargo::warning={line}");
            }
        }
        false
    }

    fn link(&self, target: &str, runtime: &Path, stub: &Path, linker: &[&str]) -> Result<(), String> {
        let mut library = OsString::from("octet_runtime=");
        library.push(runtime);
        let mut command = self.rustc(target);
        command.args(["--crate-type=bin", "--crate-name=octet_stub", "-Clto=fat", "-Cstrip=symbols"]);
        command.args(["-Crelocation-model=static"]).args(linker);
        run(command.arg("--extern").arg(library).arg("-o").arg(stub).arg("runtime/stub/main.rs"))
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}
