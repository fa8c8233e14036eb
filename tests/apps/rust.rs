//! Models in programs in Rust: `octet::build` and `include_model!`. Programs are compiled by `rustc` itself; that cargo builds
//! the example as well is checked where it has the time (`.ci/run`).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use octet::build::Model;

use super::examples::{arguments, expected};
use super::{digits, folder, has, root, run};

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn host() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}

/// Builds a program with models in `folder`, as cargo would after its build script.
fn build(source: &Path, folder: &Path, models: &[Model]) -> PathBuf {
    let (runtime, program) = (folder.join("liboctet_runtime.rlib"), folder.join("program"));
    let crate_type = ["--edition=2024", "--crate-type=rlib", "--crate-name=octet_runtime", "-o"];
    run(rustc().args(crate_type).arg(&runtime).arg(root().join("runtime/src/lib.rs")));
    let mut link = rustc();
    link.args(["--edition=2024", "-Dwarnings", "-o"]).arg(&program).arg(source).env("OUT_DIR", folder);
    link.arg("--extern").arg(format!("octet_runtime={}", runtime.display()));
    for model in models {
        for directive in model.write(folder, &host(), "native").unwrap() {
            if let Some(search) = directive.strip_prefix("rustc-link-search=") {
                link.args(["-L", search]);
            } else if let Some(library) = directive.strip_prefix("rustc-link-lib=") {
                link.args(["-l", library]);
            }
        }
    }
    run(&mut link);
    program
}

#[test]
fn example() {
    let folder = digits("rust");
    let source = root().join("examples/rust/src/main.rs");
    let program = build(&source, &folder, &[Model::new(folder.join("digits.xml"))]);
    assert_eq!(run(Command::new(program).args(arguments(&folder))), expected(&folder));
}

/// Several inputs and outputs of several types, names that are keywords, threads, two models in one program, `info`.
#[test]
fn typed_interface() {
    let folder = digits("typed");
    fs::copy(root().join("tests/apps/mixed.oir"), folder.join("mixed.oir")).unwrap();
    let models = [
        Model::new(folder.join("mixed.oir")),
        Model::new(folder.join("digits.xml")).name("many").batch(48).cpu("native").strip_debug(),
    ];
    let program = build(&root().join("tests/apps/typed.rs"), &folder, &models);
    assert_eq!(run(&mut Command::new(program)), "ok\n");
}

/// Variables, in a new workspace and after a reset. On an emulated CPU that cannot run the best version of the model every
/// inference is that of another.
#[test]
fn streams() {
    let folder = folder("stream");
    fs::copy(root().join("tests/apps/state.oir"), folder.join("state.oir")).unwrap();
    let is_x86 = cfg!(target_arch = "x86_64");
    let cpu = if is_x86 { "x86-64-v3,x86-64-v2" } else { "native" };
    let program =
        build(&root().join("tests/apps/stream.rs"), &folder, &[Model::new(folder.join("state.oir")).cpu(cpu)]);
    assert_eq!(run(&mut Command::new(&program)), "ok\n");
    if is_x86 && has("qemu-x86_64", "every version is run on this CPU only") {
        assert_eq!(run(Command::new("qemu-x86_64").args(["-cpu", "Nehalem"]).arg(&program)), "ok\n");
    }
}

#[test]
fn cargo_is_told_what_to_link_and_when_to_rebuild() {
    let folder = digits("directives");
    let model = folder.join("digits.xml");
    let directives = Model::new(&model).name("net").write(&folder, &host(), "").unwrap();
    let at = folder.display();
    let expected = [
        format!("rerun-if-changed={at}/digits.xml"),
        format!("rerun-if-changed={at}/digits.bin"),
        format!("rustc-link-search=native={at}"),
        "rustc-link-lib=static=net_octet".to_owned(),
    ];
    assert_eq!(directives, expected);
    assert!(folder.join("net.rs").exists() && folder.join("libnet_octet.a").exists());
}

#[test]
fn what_cannot_be_built_is_said() {
    let folder = folder("refused");
    let write = |model: Model, triple: &str| model.write(&folder, triple, "").unwrap_err().to_string();
    for (model, triple, message) in [
        (Model::new("none.xml"), host().as_str(), "none.xml: cannot be read"),
        (Model::new("none.xml"), "x86_64-pc-windows-msvc", "models cannot be compiled for x86_64-pc-windows-msvc"),
        (Model::new("none.xml"), "riscv64gc-unknown-linux-gnu", "unsupported target"),
        (Model::new("none.xml").name("a-b"), host().as_str(), "the name a-b is no identifier"),
        (Model::new("none.xml").cpu("i486"), host().as_str(), "unknown CPU `i486`"),
    ] {
        let error = write(model, triple);
        assert!(error.contains(message), "{error}");
    }
}
