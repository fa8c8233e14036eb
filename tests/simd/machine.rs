//! Runs a case on every machine at hand and compares with the interpreter.

use std::io::Write;
use std::process::{Command, Stdio};

use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use octet::codegen::target::Target;
use octet::codegen::{MachineCode, clif, x86};
use octet::simd::interp::{self, Arg, Memory};
use octet::simd::ir::{Function, Width};

/// A kernel with its memory and arguments.
pub struct Case {
    pub name: String,
    pub function: Function,
    pub memory: Memory,
    pub args: Vec<Arg>,
    /// The memory holds floats, of which any NaN is as good as another.
    pub floats: bool,
}

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// Every width a kernel may have.
pub const WIDTHS: [Width; 3] = [Width::W128, Width::W256, Width::W512];

/// CPUs with vectors of `width` whose code this machine can run.
pub fn host_targets(width: Width) -> Vec<Target> {
    let native = Target::native().unwrap();
    let levels: &[&str] = match width {
        Width::W128 => &["sse4.1", "x86-64-v2", "x86-64-v3", "x86-64-v3,+avxvnni", "x86-64-v4,+avx512vnni", "native"],
        Width::W256 => &["x86-64-v3", "x86-64-v3,+avxvnni", "x86-64-v4,+avx512vnni", "native"],
        _ => &["x86-64-v4", "x86-64-v4,+avx512vnni", "native"],
    };
    let runs = |target: &Target| native.has(target.features) && target.widest() >= width;
    let targets = levels.iter().filter_map(|cpu| Target::parse(None, cpu).ok()).filter(runs);
    targets.map(|target| target.with_width(width)).collect()
}

/// All of aarch64.
fn arm_targets() -> Vec<Target> {
    let target = |cpu| Target::parse(Some(AARCH64), cpu).unwrap().with_width(Width::W128);
    ["generic", "+dotprod", "+i8mm"].map(target).to_vec()
}

/// Runs the cases, all of one width, everywhere; panics with the first difference.
pub fn check(cases: &[Case]) {
    let Some(width) = cases.first().map(|case| case.function.width) else { return };
    let expected: Vec<Memory> = cases.iter().map(interpret).collect();
    let needs_fma = cases.iter().any(|case| case.function.fma);
    let needs_tiles = cases.iter().any(|case| case.function.tiles.is_some());
    let has_tiles = |target: &Target| target.has_tiles() && may_use_tiles();
    let runs = |target: &Target| (!needs_fma || target.vectors().fma) && (!needs_tiles || has_tiles(target));
    for target in host_targets(width).into_iter().filter(runs) {
        let results = run_here(&compile(cases, &target), cases);
        compare(cases, &expected, &results, &target);
    }
    for target in arm_targets().into_iter().filter(|target| target.width == width) {
        if let Some(results) = emulate(&compile(cases, &target), cases) {
            compare(cases, &expected, &results, &target);
        }
    }
}

/// Whether the system lets this process use the registers of AMX.
fn may_use_tiles() -> bool {
    octet_runtime::cpu::detect(Default::default()) & octet_runtime::abi::cpu::AMX_INT8 != 0
}

fn interpret(case: &Case) -> Memory {
    let mut memory = case.memory.clone();
    interp::run(&case.function, &mut memory, &case.args)
        .unwrap_or_else(|problem| panic!("{}: {problem}\n{}", case.name, case.function));
    memory
}

pub fn compile(cases: &[Case], target: &Target) -> Vec<MachineCode> {
    let isa = target.isa().unwrap();
    let compile = |case: &Case| match target.width {
        Width::W128 => clif::compile(&case.function, target, &*isa),
        _ => x86::compile(&case.function, target),
    };
    cases.iter().map(|case| compile(case).unwrap()).collect()
}

fn compare(cases: &[Case], expected: &[Memory], results: &[Memory], target: &Target) {
    for ((case, expected), result) in cases.iter().zip(expected).zip(results) {
        for (region, (expected, result)) in expected.regions.iter().zip(&result.regions).enumerate() {
            let differs = if case.floats { float_difference(expected, result) } else { difference(expected, result) };
            if let Some(at) = differs {
                let (expected, result) = (&expected[at..], &result[at..]);
                let (expected, result) = (&expected[..expected.len().min(16)], &result[..result.len().min(16)]);
                panic!(
                    "{} on {}: region {region}, byte {at}: {result:x?}, but interpreted {expected:x?}\n{}",
                    case.name,
                    target.cpu_name(),
                    case.function
                );
            }
        }
    }
}

fn difference(a: &[u8], b: &[u8]) -> Option<usize> {
    a.iter().zip(b).position(|(a, b)| a != b)
}

fn float_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let same = |a: &[u8; 4], b: &[u8; 4]| a == b || f32::from_le_bytes(*a).is_nan() && f32::from_le_bytes(*b).is_nan();
    a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0).position(|(a, b)| !same(a, b)).map(|lane| 4 * lane)
}

/// Runs compiled kernels in this process.
pub fn run_here(codes: &[MachineCode], cases: &[Case]) -> Vec<Memory> {
    let code = Loaded::new(codes);
    cases.iter().enumerate().map(|(i, case)| code.run(i, case.memory.clone(), &case.args)).collect()
}

/// Machine code in executable memory.
pub struct Loaded {
    /// Owns the memory.
    _module: JITModule,
    entries: Vec<*const u8>,
}

type Entry = unsafe extern "C" fn(i64, i64, i64, i64, i64, i64);

impl Loaded {
    pub fn new(codes: &[MachineCode]) -> Loaded {
        let isa = Target::native().unwrap().isa().unwrap();
        let mut module = JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()));
        let signature = module.make_signature();
        let mut ids = Vec::new();
        for (i, code) in codes.iter().enumerate() {
            let id = module.declare_function(&format!("kernel{i}"), Linkage::Local, &signature).unwrap();
            module.define_function_bytes(id, code.align, &code.bytes, &[]).unwrap();
            ids.push(id);
        }
        module.finalize_definitions().unwrap();
        let entries = ids.iter().map(|&id| module.get_finalized_function(id)).collect();
        Loaded { _module: module, entries }
    }

    /// Runs kernel `i`; the result is the memory afterwards.
    pub fn run(&self, i: usize, mut memory: Memory, args: &[Arg]) -> Memory {
        let mut words = [0; 6];
        for (word, arg) in words.iter_mut().zip(args) {
            *word = match *arg {
                Arg::Ptr { region, offset } => memory.regions[region].as_mut_ptr() as i64 + offset,
                Arg::Int(value) => value,
            };
        }
        // SAFETY: the entry is a function of the C calling convention whose (at most six) integer arguments are passed in
        // registers, so that surplus ones do no harm; the interpreter has run the same kernel on the same memory and
        // found no access outside its regions; the module owns the code and is alive.
        unsafe {
            let entry = std::mem::transmute::<*const u8, Entry>(self.entries[i]);
            entry(words[0], words[1], words[2], words[3], words[4], words[5]);
        }
        memory
    }
}

/// Runs kernels for aarch64 in `qemu-aarch64`, all in one process; `None`, with a note, where it is not installed.
fn emulate(codes: &[MachineCode], cases: &[Case]) -> Option<Vec<Memory>> {
    let Ok(_) = Command::new("qemu-aarch64").arg("--version").stdout(Stdio::null()).status() else {
        eprintln!("skipped: no qemu-aarch64, so {} kernels for aarch64 are compiled but not run", cases.len());
        return None;
    };
    let path = std::env::temp_dir().join(format!("octet-simd-{}-{:p}", std::process::id(), codes));
    write_program(&path, &program(codes, cases));
    let output = Command::new("qemu-aarch64").args(["-cpu", "max"]).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "the emulator ended with {}", output.status);
    let mut bytes = output.stdout.as_slice();
    let results = cases.iter().map(|case| Memory {
        regions: case.memory.regions.iter().map(|region| bytes.split_off(..region.len()).unwrap().to_vec()).collect(),
    });
    Some(results.collect())
}

fn write_program(path: &std::path::Path, program: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(path).unwrap();
    file.write_all(program).unwrap();
}

/// Where the program lies in memory; the file is mapped there as it is.
const BASE: u64 = 0x40_0000;
const ELF_HEADERS: usize = 64 + 56;

/// An ELF program for aarch64: calls each kernel with its arguments, then writes all regions to its output. Everything is
/// one segment that may be read, written and executed: headers, calls, kernels, regions.
fn program(codes: &[MachineCode], cases: &[Case]) -> Vec<u8> {
    let call_words: usize = cases.iter().map(|case| 4 * (case.args.len() + 1) + 1).sum();
    let mut image = vec![0; ELF_HEADERS + 4 * (call_words + 4 * 6 + 2)];
    let mut place = |bytes: &[u8], align: usize| {
        image.resize(image.len().next_multiple_of(align), 0);
        let address = BASE + image.len() as u64;
        image.extend_from_slice(bytes);
        address
    };
    let kernels: Vec<u64> = codes.iter().map(|code| place(&code.bytes, code.align as usize)).collect();
    // Regions follow each other without gaps: they are written as one piece.
    let regions: Vec<Vec<u64>> =
        cases.iter().map(|case| case.memory.regions.iter().map(|region| place(region, 1)).collect()).collect();
    let end = place(&[], 1);
    let start = regions.iter().flatten().next().copied().unwrap_or(end);

    let mut words = Vec::new();
    for ((case, kernel), regions) in cases.iter().zip(kernels).zip(&regions) {
        for (register, arg) in case.args.iter().enumerate() {
            let value = match *arg {
                Arg::Ptr { region, offset } => regions[region].wrapping_add_signed(offset),
                Arg::Int(value) => value as u64,
            };
            set_register(&mut words, register as u32, value);
        }
        set_register(&mut words, 9, kernel);
        words.push(0xd63f_0120); // blr x9
    }
    for (number, arguments) in [(64, [1, start, end - start]), (93, [0, 0, 0])] {
        set_register(&mut words, 8, number);
        for (register, value) in arguments.into_iter().enumerate().take(if number == 64 { 3 } else { 1 }) {
            set_register(&mut words, register as u32, value);
        }
        words.push(0xd400_0001); // svc #0
    }
    let code: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    image[ELF_HEADERS..ELF_HEADERS + code.len()].copy_from_slice(&code);
    let headers = elf_headers(image.len() as u64);
    image[..ELF_HEADERS].copy_from_slice(&headers);
    image
}

/// movz, then three movk.
fn set_register(words: &mut Vec<u32>, register: u32, value: u64) {
    for (part, opcode) in [0xd280_0000, 0xf280_0000, 0xf280_0000, 0xf280_0000].into_iter().enumerate() {
        let bits = (value >> (16 * part)) as u32 & 0xffff;
        words.push(opcode | (part as u32) << 21 | bits << 5 | register);
    }
}

fn elf_headers(size: u64) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |value: u64, size: usize| bytes.extend_from_slice(&value.to_le_bytes()[..size]);
    let header = [(2, 2), (183, 2), (1, 4), (BASE + ELF_HEADERS as u64, 8), (64, 8), (0, 8), (0, 4)];
    let sizes = [(64, 2), (56, 2), (1, 2), (0, 2), (0, 2), (0, 2)];
    let segment = [(1, 4), (7, 4), (0, 8), (BASE, 8), (BASE, 8), (size, 8), (size, 8), (0x1_0000, 8)];
    for (value, size) in header.into_iter().chain(sizes).chain(segment) {
        put(value, size);
    }
    bytes
}
