//! Programs and libraries made of a model that was compiled by the system's C compiler: attaching to the stub, the
//! program's command line with its exit codes, static libraries.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "common/executable.rs"]
mod executable;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection, ObjectSymbol};
use octet::emit::exe::{self, Problem};
use octet::emit::{archive, stub};

/// `x` and what the toy model makes of it.
const X: [f32; 6] = [1.0, -2.0, 3.5, 0.0, 5.0, 6.0];
const Y: [f32; 6] = [2.0, -4.0, 7.0, 0.0, 10.0, -12.0];
const NEGATIVE: [u8; 6] = [0, 1, 0, 0, 0, 1];

/// A fresh directory for one test.
struct Workspace {
    directory: PathBuf,
}

struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Workspace {
    fn new(test: &str) -> Workspace {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("program-{test}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Workspace { directory }
    }

    /// The toy model's object.
    fn toy(&self, flags: &[&str]) -> Vec<u8> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/toy.c");
        let object = self.directory.join("toy.o");
        let status = Command::new("cc")
            .args(["-c", "-O2", "-ffreestanding", "-fno-stack-protector", "-fPIE", "-o"])
            .arg(&object)
            .args(flags)
            .arg(source)
            .status()
            .unwrap();
        assert!(status.success());
        fs::read(object).unwrap()
    }

    /// The toy model as a program, with files `x.npy` (right) and others beside it.
    fn program(&self, flags: &[&str]) {
        executable::write(&self.directory.join("toy"), &attach(&self.toy(flags)).unwrap()).unwrap();
        self.write("x.npy", &npy("<f4", "(2, 3)", &bytes_of(&X)));
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.join(name), bytes).unwrap();
    }

    /// Runs the program in the directory.
    fn run(&self, line: &str) -> Output {
        let output = Command::new("./toy").args(line.split_whitespace()).current_dir(&self.directory).output().unwrap();
        Output {
            code: output.status.code().expect("the program does not die of a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn expect(&self, line: &str, code: i32, message: &str) {
        let output = self.run(line);
        assert_eq!(output.code, code, "{line}: {}{}", output.stdout, output.stderr);
        let text = if code == 0 { &output.stdout } else { &output.stderr };
        assert!(text.contains(message), "{line}: {text:?} lacks {message:?}");
    }
}

fn attach(object: &[u8]) -> Result<Vec<u8>, exe::LinkError> {
    let stub = stub::program(std::env::consts::ARCH).expect("octet was built with a stub");
    exe::attach(stub, object, "toy_infer", "toy_info")
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A version 1 file, written independently of the runtime's own writer.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", (header.len() as u16).to_le_bytes().as_slice(), header.as_bytes(), data].concat()
}

#[test]
fn outputs_are_the_same_for_every_number_of_threads_and_code_model() {
    for flag in ["-fPIE", "-fno-pic", "-fPIC"] {
        let files = Workspace::new(&format!("run{flag}"));
        files.program(&[flag, "-fvisibility=hidden"]);
        for threads in [1, 2, 3, 7] {
            files.expect(&format!("run --input x.npy --output y.npy --output n.npy --threads {threads}"), 0, "");
            let (y, negative) = (fs::read(files.directory.join("y.npy")), fs::read(files.directory.join("n.npy")));
            assert_eq!(y.unwrap()[128..], bytes_of(&Y), "{flag}, {threads} threads");
            assert_eq!(negative.unwrap()[128..], NEGATIVE, "{flag}, {threads} threads");
        }
    }
}

#[test]
fn tensors_are_assigned_by_name_or_order() {
    let files = Workspace::new("names");
    files.program(&[]);
    files.expect("run -i x=x.npy -o negative=n.npy -o y.npy --time", 0, "");
    let header =
        |name: &str| String::from_utf8_lossy(&fs::read(files.directory.join(name)).unwrap()[10..128]).into_owned();
    assert!(header("n.npy").starts_with("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3), }"));
    assert!(header("y.npy").starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"));
    files.expect("run --input x.npy", 0, "y f32[2,3]: not written, no --output for it");
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let files = Workspace::new("usage");
    files.program(&[]);
    for (line, message) in [
        ("", "toy: error: no command; there are run, bench and info (--help shows the options)"),
        ("fly", "unknown command \"fly\""),
        ("run", "no --input for \"x\" (f32[2,3])"),
        ("run --input x.npy --input x.npy", "x.npy is one input too many: the model has 1"),
        ("run --input x=x.npy --input x=x.npy", "the input \"x\" is given twice"),
        ("run --input z=x.npy", "the model has no input \"z\"; it has \"x\""),
        ("run --input x.npy --output z=y.npy", "the model has no output \"z\"; it has \"y\", \"negative\""),
        ("bench --threads 0", "--threads takes a number from 1"),
    ] {
        files.expect(line, 2, message);
    }
}

#[test]
fn wrong_files_exit_with_4() {
    let files = Workspace::new("files");
    files.program(&[]);
    files.write("type.npy", &npy("|i1", "(2, 3)", &[0; 6]));
    files.write("shape.npy", &npy("<f4", "(1, 2, 3)", &bytes_of(&X)));
    files.write("short.npy", &npy("<f4", "(2, 3)", &bytes_of(&X)[1..]));
    files.write("long.npy", &npy("<f4", "(2, 3)", &[0; 25]));
    files.write("absurd.npy", &npy("<f4", "(18446744073709551615, 18446744073709551615)", &[]));
    files.write("text.npy", b"not a tensor");
    files.write("empty.npy", b"");
    for (file, message) in [
        ("type.npy", "type.npy holds i8[2,3], the model's input \"x\" takes f32[2,3]"),
        ("shape.npy", "shape.npy holds f32[1,2,3], the model's input \"x\" takes f32[2,3]"),
        ("short.npy", "short.npy has fewer bytes of data than the 24 of its f32[2,3]"),
        ("long.npy", "long.npy has more bytes of data than the 24 of its f32[2,3]"),
        ("absurd.npy", "holds f32[18446744073709551615,18446744073709551615]"),
        ("text.npy", "text.npy is not a .npy file"),
        ("empty.npy", "empty.npy is not a .npy file"),
        ("none.npy", "none.npy: no such file or directory"),
        (".", ".: is a directory"),
        ("/dev/zero", "/dev/zero is not a .npy file"),
    ] {
        files.expect(&format!("run --input {file}"), 4, message);
        files.expect(&format!("bench --input {file}"), 4, message);
    }
    files.expect("run --input x.npy --output none/y.npy", 4, "none/y.npy: no such file or directory");
    files.expect("bench --iterations 1 --json none/b.json", 4, "none/b.json: no such file or directory");
}

#[test]
fn unsuitable_cpus_exit_with_3() {
    let files = Workspace::new("cpu");
    // A feature of the other architecture, and a bit that no version has named.
    let bits = if cfg!(target_arch = "x86_64") {
        "-DTOY_CPU_FEATURES=(3ull<<33)"
    } else {
        "-DTOY_CPU_FEATURES=(1ull<<34|1ull<<5)"
    };
    files.program(&[bits]);
    let missing = if cfg!(target_arch = "x86_64") { "i8mm, bit 34" } else { "avx2, bit 34" };
    files.expect("run --input x.npy", 3, &format!("this CPU lacks {missing} (the model was compiled for any)"));
    files.expect("bench", 3, &format!("this CPU lacks {missing}"));
    files.expect("info", 0, &format!("missing     {missing}"));
}

#[test]
fn broken_promises_of_the_model_exit_with_5() {
    let files = Workspace::new("abi");
    files.program(&["-DTOY_ABI_VERSION=99"]);
    files.expect("run --input x.npy", 5, "the model has ABI version 99");
    files.program(&["-DTOY_STATUS=-2"]);
    files.expect("run --input x.npy", 5, "the model returned -2: the workspace is not aligned");
}

#[test]
fn stub_without_a_model_says_so() {
    let files = Workspace::new("stub");
    files.program(&[]);
    executable::write(&files.directory.join("toy"), stub::program(std::env::consts::ARCH).unwrap()).unwrap();
    files.expect("info", 3, "this program has no model");
}

#[test]
fn stub_is_small_and_names_no_directory_of_this_machine() {
    let stub = stub::program(std::env::consts::ARCH).unwrap();
    assert!(stub.len() < 80 << 10, "{} bytes", stub.len());
    let directory = env!("CARGO_MANIFEST_DIR").as_bytes();
    assert!(!stub.windows(directory.len()).any(|window| window == directory));
}

#[test]
fn info_and_help_describe_the_model() {
    let files = Workspace::new("info");
    files.program(&[]);
    for line in ["info", "--help", "run --help"] {
        for text in ["toy", "x f32[2,3]", "y f32[2,3]", "negative bool[2,3]"] {
            files.expect(line, 0, text);
        }
    }
}

#[test]
fn bench_writes_text_and_json() {
    let files = Workspace::new("bench");
    files.program(&[]);
    let output = files.run("bench --iterations 20 --warmup 1 --threads 2 --profile --json bench.json");
    assert_eq!(output.code, 0, "{}", output.stderr);
    for text in ["toy: 20 iterations, 1 warm-up, 2 threads", "first inference", "median", "p99", "throughput", "peak"] {
        assert!(output.stdout.contains(text), "{}", output.stdout);
    }
    let row =
        output.stdout.lines().find(|line| line.starts_with("scale/with a long name  EXECUTED  Multiply")).unwrap();
    assert_eq!(row.split_whitespace().nth(7), Some("FP32"), "{row}");

    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(files.directory.join("bench.json")).unwrap()).unwrap();
    assert_eq!(
        (json["schema"].as_u64(), json["threads"].as_u64(), json["iterations"].as_u64()),
        (Some(1), Some(2), Some(20))
    );
    let latency = ["min", "median", "p90", "p95", "p99", "max"].map(|key| json["latency_ms"][key].as_f64().unwrap());
    assert!(latency.is_sorted() && latency[0] > 0.0, "{latency:?}");
    assert!(json["latency_ms"]["mean"].as_f64().unwrap() >= latency[0]);
    assert!(json["throughput_per_s"].as_f64().unwrap() > 0.0 && json["first_inference_ms"].as_f64().unwrap() > 0.0);
    let samples: Vec<u64> = json["samples_ns"].as_array().unwrap().iter().map(|ns| ns.as_u64().unwrap()).collect();
    assert_eq!(samples.len(), 20);
    assert_eq!(samples.iter().min().map(|ns| *ns as f64 / 1e6), Some(latency[0]));
    let layers = json["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0]["name"], "scale/with a long name");
    assert_eq!(layers[0]["macs"], 6);
    let shares: f64 = layers.iter().map(|layer| layer["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 0.001, "{shares}");
    let peak = |precision: &str| json["peak"][precision]["gmac_per_s"].as_f64().unwrap();
    assert!(peak("I8") > 0.0 && peak("FP32") > 0.0);
    let rate = layers[0]["macs"].as_f64().unwrap() / layers[0]["real_time_ms"].as_f64().unwrap() / 1e6;
    let share = layers[0]["peak_share"].as_f64().unwrap();
    assert!((share - rate / peak("FP32")).abs() < 2e-4, "{share}");
    assert!(layers[1]["peak_share"].is_null(), "a layer that multiplies nothing has no peak");
}

#[test]
fn bench_without_a_profile_has_no_layers() {
    let files = Workspace::new("plain");
    files.program(&[]);
    let output = files.run("bench --iterations 3 --json bench.json");
    assert!(!output.stdout.contains("GMAC/s"), "{}", output.stdout);
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(files.directory.join("bench.json")).unwrap()).unwrap();
    assert_eq!(json["layers"].as_array().map(Vec::len), Some(0));
    assert!(json["warmup"].as_u64().unwrap() >= 10);
}

#[test]
fn bench_writes_csv() {
    let files = Workspace::new("csv");
    files.program(&[]);
    files.expect("bench --iterations 3 --csv layers.csv", 0, "peak");
    let csv = fs::read_to_string(files.directory.join("layers.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    let columns = "name,original_names,status,layer_type,exec_type,precision,real_time_ms,min_time_ms,macs,gmac_per_s,share,peak_share";
    assert_eq!(lines[0], columns);
    assert!(
        lines[1].starts_with("scale/with a long name,\"scale,factor\",EXECUTED,Multiply,toy_f32,FP32,"),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("sign,sign,EXECUTED,Less,toy_bool,FP32,") && lines[2].ends_with(','), "{}", lines[2]);
    assert_eq!((lines.len(), lines[2].split(',').count()), (3, 12));
}

#[test]
fn bench_stops_after_its_duration() {
    let files = Workspace::new("duration");
    files.program(&[]);
    let begin = std::time::Instant::now();
    files.expect("bench --duration 0.05 --threads 1", 0, "throughput");
    let seconds = begin.elapsed().as_secs_f64();
    assert!((0.05..2.0).contains(&seconds), "{seconds}");
}

#[test]
fn objects_that_cannot_be_attached() {
    let files = Workspace::new("objects");
    let problems = |object: &[u8]| attach(object).unwrap_err().problems;
    assert_eq!(
        problems(&files.toy(&["-DTOY_UNDEFINED", "-fno-pic"])),
        ["not_defined", "not_defined_either"].map(|name| Problem::Undefined(name.into()))
    );
    assert_eq!(
        problems(&files.toy(&["-DTOY_WRITABLE"])),
        [(".data"), (".bss")].map(|section| Problem::Writable { section: section.into(), bytes: 4 })
    );
    assert_eq!(problems(&files.toy(&["-Dtoy_infer=other"])), [Problem::MissingSymbol("toy_infer".into())]);
    let mut foreign = files.toy(&[]);
    foreign[18] ^= 1;
    assert!(matches!(problems(&foreign)[..], [Problem::Machine { .. }]));
    assert!(matches!(problems(b"garbage")[..], [Problem::Object(_)]));
    let program = attach(&files.toy(&[])).unwrap();
    assert!(matches!(problems(&program)[..], [Problem::Object(_)]), "a program is no object");
}

#[test]
fn truncated_objects_are_errors_not_panics() {
    let object = Workspace::new("truncated").toy(&[]);
    for len in (0..object.len()).step_by(7) {
        assert!(attach(&object[..len]).is_err(), "{len} of {} bytes", object.len());
    }
}

#[test]
fn program_has_symbols_sections_and_protected_segments() {
    let object = Workspace::new("segments").toy(&[]);
    let program = attach(&object).unwrap();
    assert_eq!(program, attach(&object).unwrap(), "the same object gives the same bytes");
    let file = object::File::parse(&*program).unwrap();
    let infer = file.symbols().find(|symbol| symbol.name() == Ok("toy_infer")).unwrap();
    let text = file.section_by_name(".model.text").unwrap();
    assert!((text.address()..text.address() + text.size()).contains(&infer.address()));
    assert_eq!(infer.section_index(), Some(text.index()));
    let stub_text = file.section_by_name(".text").expect("the stub's sections are kept");
    let distance = |section: &object::Section<'_, '_>| section.address() - section.file_range().unwrap().0;
    assert_eq!(distance(&text), distance(&stub_text), "perf translates addresses of all code by those of .text");
    let constants = file.section_by_name(".model.rodata").unwrap();
    assert_eq!(constants.address() % 64, 0);
    let flags = |address: u64| {
        let segment = segment_at(&program, address).expect("the section is loaded");
        segment.p_flags.get(object::LittleEndian)
    };
    assert_eq!(flags(text.address()), object::elf::PF_R | object::elf::PF_X);
    assert_eq!(flags(constants.address()), object::elf::PF_R);
}

fn segment_at(program: &[u8], address: u64) -> Option<object::elf::ProgramHeader64<object::LittleEndian>> {
    use object::read::elf::{ElfFile64, ProgramHeader};
    let endian = object::LittleEndian;
    let file = ElfFile64::<object::LittleEndian>::parse(program).unwrap();
    let mut loads = file.elf_program_headers().iter().filter(|header| header.p_type(endian) == object::elf::PT_LOAD);
    loads.find(|load| (load.p_vaddr(endian)..load.p_vaddr(endian) + load.p_memsz(endian)).contains(&address)).copied()
}

#[test]
fn static_library_links_with_cc() {
    let files = Workspace::new("archive");
    let toy = files.toy(&[]);
    // The long name, and the odd length before the object, are what goes wrong in archives.
    let members: [(&str, &[u8]); 2] = [("a note about the toy model.txt", b"odd"), ("toy.o", &toy)];
    let library = archive::static_library(&members);
    files.write("libtoy.a", &library);
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/host.c");
    let program = files.directory.join("host");
    let linked = Command::new("cc").arg(host).arg(files.directory.join("libtoy.a")).arg("-o").arg(&program).status();
    assert!(linked.unwrap().success());
    let output = Command::new(program).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0: 2 4 6 8 10 -12\n");
}
