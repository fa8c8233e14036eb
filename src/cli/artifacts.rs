//! What `--emit` asks for, as bytes and files.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use octet::codegen::object::{infer_symbol, info_symbol};
use octet::codegen::target::Target;
use octet::diag::{Diagnostic, Place, codes};
use octet::driver::Compiled;
use octet::emit::{archive, exe, exec_graph, header, pkgconfig, rust, stub};

use super::args::Emit;
use super::failure::Failure;
use super::temp::TempDir;

impl Emit {
    /// As in `--emit`.
    pub fn name(self) -> &'static str {
        match self {
            Emit::Exe => "exe",
            Emit::Obj => "obj",
            Emit::Staticlib => "staticlib",
            Emit::Sharedlib => "sharedlib",
            Emit::Header => "header",
            Emit::Rust => "rust",
            Emit::Pkgconfig => "pkgconfig",
            Emit::ExecGraph => "exec-graph",
        }
    }

    /// What a file of this kind is called by default.
    pub fn file_name(self, model: &str) -> String {
        match self {
            Emit::Exe => model.to_owned(),
            Emit::Obj => format!("{model}.o"),
            Emit::Staticlib => format!("lib{model}.a"),
            Emit::Sharedlib => format!("lib{model}.so"),
            Emit::Header => format!("{model}.h"),
            Emit::Rust => format!("{model}.rs"),
            Emit::Pkgconfig => format!("{model}.pc"),
            Emit::ExecGraph => format!("{model}.exec.xml"),
        }
    }
}

/// Writes one artifact to `path`.
pub fn write(emit: Emit, compiled: &Compiled, target: &Target, path: &Path) -> Result<(), Failure> {
    let name = &compiled.plan.program.name;
    match emit {
        Emit::Exe => {
            write_file(path, &program(compiled, target)?)?;
            make_executable(path)
        }
        Emit::Obj => write_file(path, &compiled.object.bytes),
        Emit::Staticlib => {
            let member = Emit::Obj.file_name(name);
            write_file(path, &archive::static_library(&[(&member, &compiled.object.bytes)]))
        }
        Emit::Sharedlib => shared_library(compiled, target, path),
        Emit::Header => {
            write_file(path, header::c_header(&compiled.plan.program, target, &compiled.object.sizes).as_bytes())
        }
        Emit::Rust => {
            let module = rust::module(&compiled.plan.program, target, &compiled.object.sizes);
            write_file(path, module.as_bytes())
        }
        Emit::Pkgconfig => {
            let library = Emit::Staticlib.file_name(name);
            write_file(path, pkgconfig::file(&compiled.plan.program, &library).as_bytes())
        }
        Emit::ExecGraph => write_file(path, exec_graph::xml(&compiled.plan.program).as_bytes()),
    }
}

/// The model as a program of its own.
pub fn program(compiled: &Compiled, target: &Target) -> Result<Vec<u8>, Failure> {
    let arch = target.triple.split('-').next().unwrap_or_default();
    let stub = stub::program(arch).ok_or_else(|| {
        Diagnostic::error(
            &codes::OTHER_MACHINE,
            Place::default(),
            format!("this octet has no program to attach a model for {arch} to"),
        )
        .with_help(format!(
            "use --emit obj,header and link them into your own program; or build octet where `rustup target add \
                 {arch}-unknown-linux-gnu` was done"
        ))
    })?;
    let name = &compiled.plan.program.name;
    exe::attach(stub, &compiled.object.bytes, &infer_symbol(name), &info_symbol(name))
        .map_err(|error| Diagnostic::internal(Place::item("attaching the model"), error.to_string()).into())
}

/// Links the object with the C compiler: formats and search paths of shared libraries are the system's business.
fn shared_library(compiled: &Compiled, target: &Target, path: &Path) -> Result<(), Failure> {
    if target.triple.split('-').next() != Some(env::consts::ARCH) {
        let message = format!("cannot link a shared library for {}", target.triple);
        return Err(Diagnostic::error(&codes::OTHER_MACHINE, Place::default(), message)
            .with_help("use --emit obj and link it with a cross compiler: cc -shared -o lib.so model.o")
            .into());
    }
    let directory = TempDir::new()?;
    let object = directory.path().join("model.o");
    write_file(&object, &compiled.object.bytes)?;
    // What programs that link it look for, wherever it was when they were linked.
    let soname = format!("-Wl,-soname,{}", Emit::Sharedlib.file_name(&compiled.plan.program.name));
    let cc = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&cc)
        .args(["-shared", "-nostdlib", "-Wl,-z,noexecstack", &soname, "-o"])
        .arg(path)
        .arg(&object)
        .output();
    let problem = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => format!("failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => format!("cannot be run: {error}"),
    };
    let message = format!("a shared library needs a C compiler, but {} {problem}", cc.display());
    Err(Diagnostic::error(&codes::NO_C_COMPILER, Place::default(), message)
        .with_help(
            "install a C compiler, or name one in the environment variable CC; --emit exe, obj and staticlib need none",
        )
        .into())
}

pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::io(path, "be written", &error))
}

/// Everybody who may read the file may run it.
#[cfg(unix)]
pub fn make_executable(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let set = || {
        let mode = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
    };
    set().map_err(|error| Failure::io(path, "be made executable", &error))
}

#[cfg(not(unix))]
pub fn make_executable(_: &Path) -> Result<(), Failure> {
    Ok(())
}

/// Where each kind goes: `output` is the first one's path, the others stand beside it under their usual names.
pub fn paths(emits: &[Emit], output: Option<&Path>, model: &str) -> Vec<(Emit, PathBuf)> {
    let directory = output.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut paths: Vec<(Emit, PathBuf)> = Vec::new();
    for &emit in emits {
        if paths.iter().any(|(known, _)| *known == emit) {
            continue;
        }
        let path = match output {
            Some(output) if paths.is_empty() => output.to_owned(),
            _ => directory.join(emit.file_name(model)),
        };
        paths.push((emit, path));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_stand_beside_the_first() {
        let written = |emits: &[Emit], output: Option<&str>| -> Vec<String> {
            let paths = paths(emits, output.map(Path::new), "net");
            paths.iter().map(|(_, path)| path.display().to_string()).collect()
        };
        assert_eq!(written(&[Emit::Exe], None), ["net"]);
        assert_eq!(written(&[Emit::Exe], Some("out/app")), ["out/app"]);
        assert_eq!(written(&[Emit::Obj, Emit::Header, Emit::Obj], Some("out/x.o")), ["out/x.o", "out/net.h"]);
        assert_eq!(written(&[Emit::Staticlib, Emit::Sharedlib], None), ["libnet.a", "libnet.so"]);
    }
}
