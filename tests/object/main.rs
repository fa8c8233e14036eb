//! Objects as their callers see them: symbols, tables, status codes, threads, profile. A C program with the generated
//! header is the caller.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cranelift_entity::PrimaryMap;
use object::{Object as _, ObjectSymbol as _};
use octet::codegen::estimate::Model;
use octet::codegen::object::{self as objects, Version};
use octet::codegen::target::Target;
use octet::emit::header;
use octet::ir::parse::parse_text;
use octet::ir::{ElemType, Shape, TensorType};
use octet::lower::kernel::{CopySpec, KernelSpec};
use octet::lower::program::{ConstId, KernelId, Label, Place, Port, Program, Step, Variable};
use octet::lower::{LowerOptions, lower};
use octet::simd::ir::Width;

const ROWS: usize = 4;
const COLUMNS: usize = 3;
const ROW_BYTES: i64 = 4 * COLUMNS as i64;

fn port(name: &str) -> Port {
    Port { name: name.into(), ty: TensorType::new(ElemType::F32, Shape::new([ROWS, COLUMNS]).unwrap()) }
}

fn step(kernel: u32, operands: [Place; 2], parallel: bool, layer: &str, line: u32) -> Step {
    let layers = vec![layer.to_string(), "folded".to_string()];
    let label = Label { layer: layer.into(), layers, layer_type: "Reorder".into(), line, macs: 12, cycles: 0 };
    Step { kernel: KernelId::from_u32(kernel), operands: operands.to_vec(), parallel, after_reset: false, label }
}

/// Copies `x` by way of the workspace to `y`, its rows reversed, and a constant to `table`.
fn program() -> Program {
    let copy = |src: i64| {
        KernelSpec::Copy(CopySpec {
            elem_bytes: 4,
            sizes: vec![ROWS, COLUMNS],
            src: vec![src, 4],
            dst: vec![ROW_BYTES, 4],
            exact_reads: true,
        })
    };
    let kernels: PrimaryMap<_, _> = [copy(ROW_BYTES), copy(-ROW_BYTES)].into_iter().collect();
    let table: Vec<u8> = (0..12).flat_map(|i| (i as f32 * 0.5).to_le_bytes()).collect();
    let constants: PrimaryMap<_, _> = [vec![1; 5], table].into_iter().collect();
    let (unused, id) = (64, ConstId::from_u32(1));
    let last_row = unused + (ROWS as i64 - 1) * ROW_BYTES;
    let steps = vec![
        step(
            0,
            [Place::Input { index: 0, offset: 0 }, Place::Workspace { buffer: 0, offset: unused as usize }],
            true,
            "in/x:0",
            7,
        ),
        step(
            1,
            [Place::Workspace { buffer: 0, offset: last_row as usize }, Place::Output { index: 0, offset: 0 }],
            true,
            "flip",
            8,
        ),
        step(0, [Place::Const { id, offset: 0 }, Place::Output { index: 1, offset: 0 }], false, "table", 9),
    ];
    Program {
        name: "toy".into(),
        model_hash: "00ff".into(),
        source: Some("toy.xml".into()),
        inputs: vec![port("x")],
        outputs: vec![port("y"), port("table")],
        workspace_bytes: 256,
        buffers: Vec::new(),
        variables: Vec::new(),
        state_bytes: 0,
        constants,
        kernels,
        steps,
        choices: Vec::new(),
    }
}

fn target(triple: Option<&str>, cpu: &str) -> Target {
    Target::parse(triple, cpu).unwrap().with_width(Width::W128)
}

fn build(triple: Option<&str>, cpu: &str) -> Vec<u8> {
    objects::build(&program(), &target(triple, cpu)).unwrap().bytes
}

#[test]
fn two_symbols_go_out_and_none_comes_in() {
    for (triple, cpu) in [("x86_64-unknown-linux-gnu", "x86-64-v3"), ("aarch64-unknown-linux-gnu", "+dotprod")] {
        let bytes = build(Some(triple), cpu);
        let file = object_file(&bytes);
        let undefined: Vec<&str> =
            file.symbols().filter(|symbol| symbol.is_undefined()).map(|symbol| symbol.name().unwrap()).collect();
        assert_eq!(undefined, Vec::<&str>::new(), "{triple}");
        let global = file.symbols().filter(|symbol| symbol.is_global()).map(|symbol| symbol.name().unwrap());
        assert_eq!(global.collect::<BTreeSet<_>>(), BTreeSet::from(["toy_infer", "toy_info"]), "{triple}");
        let local: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
        assert!(local.iter().any(|name| name.starts_with("toy.") && name.ends_with(".in/x_0")), "{local:?}");
    }
}

fn object_file(bytes: &[u8]) -> object::File<'_> {
    object::File::parse(bytes).unwrap()
}

#[test]
fn the_same_program_gives_the_same_bytes() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        assert!(build(Some(triple), "") == build(Some(triple), ""), "{triple}");
    }
}

/// The host program, linked with the object.
fn host(name: &str, cpu: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("object-{name}"));
    fs::create_dir_all(&folder).unwrap();
    let target = target(None, cpu);
    let object = objects::build(&program(), &target).unwrap();
    fs::write(folder.join("toy.h"), header::c_header(&program(), &target, &object.sizes)).unwrap();
    fs::write(folder.join("toy.o"), &object.bytes).unwrap();
    link(&folder, "tests/object/host.c", "toy.o")
}

/// The program made of a source of ours and an object in the folder.
fn link(folder: &Path, source: &str, object: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I."])
        .arg(source)
        .args([object, "-o", "host"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("host")
}

/// A model with a variable, for several CPUs, the best first.
#[test]
fn variables_live_in_the_workspace() {
    let expected = "\
not reset: -5, y = 0 0 0
zeroed: -5, y = 0 0 0
reset: -1 -2 0
first: 0, y = 11 11 11
first: 0, y = 13 13 13
reset: 0
second: 0, y = 15 15 15
first: 0, y = 16 16 16
copy of first: 0, y = 17 17 17
in the last version: 0, y = 20 20 20
reset: 0
first: 0, y = 11 11 11
the workspace was not reset before its first inference
";
    let versions: &[&[&str]] =
        if cfg!(target_arch = "x86_64") { &[&["native"], &["native", "x86-64-v2"]] } else { &[&["native"]] };
    for cpus in versions {
        assert_eq!(output(&mut Command::new(stateful(cpus))), expected, "{cpus:?}");
    }
}

fn stateful(cpus: &[&str]) -> PathBuf {
    let text = r#"func @sum(%x: tensor<3xf32>) -> (y: tensor<3xf32>) {
  %0 = const dense<10.0> : tensor<3xf32>
  %1 = read_value %0 {variable = "sum"} : tensor<3xf32>
  %2 = add %1, %x : tensor<3xf32>
  %3 = assign %2 {variable = "sum"} : tensor<3xf32>
  return %2
}"#;
    let graph = parse_text(text, "sum").unwrap().graph;
    let targets: Vec<Target> = cpus.iter().map(|cpu| Target::parse(None, cpu).unwrap()).collect();
    let lowered = |target: &Target| {
        let options = LowerOptions { model_hash: "00ff".into(), ..target.lowering() };
        lower(&graph, &options, &Model::new(target)).unwrap()
    };
    let programs: Vec<Program> = targets.iter().map(lowered).collect();
    let versions = programs.iter().zip(&targets).map(|(program, target)| Version { program, target });
    let object = objects::build_versions(&versions.collect::<Vec<_>>()).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("object-state-{}", cpus.len()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("sum.h"), header::c_header(&programs[0], &targets[0], &object.sizes)).unwrap();
    fs::write(folder.join("sum.o"), &object.bytes).unwrap();
    link(&folder, "tests/object/state.c", "sum.o")
}

/// A state begun by one version could not be continued by the other.
#[test]
fn versions_with_other_variables_are_an_error() {
    let target = target(None, "");
    let other = Variable { name: "v".into(), ty: port("v").ty, order: vec![0, 1] };
    let programs = [program(), Program { variables: vec![other], ..program() }];
    let versions = programs.each_ref().map(|program| Version { program, target: &target });
    let problems = objects::build_versions(&versions).unwrap_err().to_string();
    assert!(problems.contains("the variables lie differently"), "{problems}");
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} ended with {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_caller_in_c() {
    let text = output(&mut Command::new(host("caller", "native")));
    let expected = "\
plain: 0, y = 9 10 11 6 7 8 3 4 5 0 1 2, table = 0 0.5 1 1.5 2 2.5 3 3.5 4 4.5 5 5.5
threads: 0, y = 9 10 11 6 7 8 3 4 5 0 1 2, table = 0 0.5 1 1.5 2 2.5 3 3.5 4 4.5 5 5.5
shared steps: 2, of 4 items
profile: 0, clock 4 times, ns 10 10 10, then 20 20 20
null: -1 -1 -1 -1 -1
misaligned: -2 -2 -2
another ABI: -3
info: toy 00ff, abi 2, workspace 256/64, 1 inputs, 2 outputs, 3 layers
input x: f32 4x3 48 bytes
layer in/x:0 (in/x:0,folded): Reorder, 12 MACs
layer flip (flip,folded): Reorder, 12 MACs
layer table (table,folded): Reorder, 12 MACs
";
    assert_eq!(text, expected);
}

/// An emulated CPU without AVX refuses code for AVX2, unless told that somebody has looked; one with AVX2 takes it.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_cpu_that_lacks_a_feature_gets_a_status() {
    if Command::new("qemu-x86_64").arg("--version").output().is_err() {
        eprintln!("skipped: no qemu-x86_64");
        return;
    }
    let on =
        |cpu: &str, program: &Path| output(Command::new("qemu-x86_64").args(["-cpu", cpu]).arg(program).arg("cpu"));
    let newer = host("cpu-v3", "x86-64-v3");
    let older = host("cpu-v2", "x86-64-v2");
    assert_eq!(on("Nehalem", &newer), "-4\n");
    assert_eq!(on("Nehalem", &older), "0\n");
    assert_eq!(on("max", &newer), "0\n");
    assert_eq!(on("max", &host("cpu-v4", "x86-64-v4,+avx512vnni")), "-4\n");
    assert_eq!(on("max", &host("cpu-vnni", "x86-64-v3,+avxvnni")), "-4\n");
}
