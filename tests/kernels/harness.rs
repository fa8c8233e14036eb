//! Runs a case at every width and compares with what it expects.

use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use octet::codegen::target::Target;
use octet::codegen::{clif, x86};
use octet::lower::kernel::KernelSpec;
use octet::lower::program::READ_SLACK;
use octet::simd::interp::{self, Arg, Memory};
use octet::simd::ir::{Function, Vectors, Width};
use octet::simd::kernels;
use octet::simd::verify::verify;

/// What kernels may read behind a buffer: junk here.
const SLACK: [u8; READ_SLACK] = [0xa5; READ_SLACK];

/// A kernel with its memory.
pub struct Case {
    pub spec: KernelSpec,
    pub regions: Vec<Vec<u8>>,
    /// Region and offset of each operand.
    pub operands: Vec<(usize, i64)>,
    /// Regions without readable bytes behind their end.
    pub exact: Vec<usize>,
    /// All regions afterwards.
    pub expected: Vec<Vec<u8>>,
    /// A region the kernel works in: whatever is left there is right.
    pub scratch: Option<usize>,
    /// Error allowed in these regions of floats, relative to the element or to 0.05 if that is greater; all others are compared bit by bit.
    pub tolerance: Vec<(usize, f32)>,
}

impl Case {
    /// A case whose operands are regions of their own, in order; `expected` is still what is there before.
    pub fn new(spec: KernelSpec, regions: Vec<Vec<u8>>) -> Case {
        let operands = (0..regions.len()).map(|region| (region, 0)).collect();
        let expected = regions.clone();
        Case { spec, regions, operands, exact: Vec::new(), expected, scratch: None, tolerance: Vec::new() }
    }
}

pub const WIDTHS: [Width; 3] = [Width::W128, Width::W256, Width::W512];

/// Builds and checks a case at every width.
pub fn check(name: &str, case: impl Fn(Vectors) -> Case) {
    check_at(&WIDTHS, name, case);
}

/// Builds and checks a case at some widths, for targets that fuse multiplication and addition and those that do not.
pub fn check_at(widths: &[Width], name: &str, case: impl Fn(Vectors) -> Case) {
    let vectors = widths.iter().flat_map(|&width| [false, true].map(|fma| Vectors { width, fma }));
    for vectors in vectors.filter(|vectors| vectors.fma || !Vectors::from(vectors.width).fma) {
        let Vectors { width, fma } = vectors;
        let name = format!("{name} at {} bits{}", 8 * width.bytes(), if fma { " with FMA" } else { "" });
        let mut case = case(vectors);
        for (i, (region, expected)) in case.regions.iter_mut().zip(&mut case.expected).enumerate() {
            if !case.exact.contains(&i) {
                region.extend(SLACK);
                expected.extend(SLACK);
            }
        }
        assert_eq!(case.operands.len(), case.spec.operands().len(), "{name}: number of operands");
        let function = kernels::build(&case.spec, "kernel", vectors);
        verify(&function).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let interpreted = interpret(&name, &function, &case);
        compare(&name, &case, &interpreted);
        let has_tiles = |target: &Target| target.has_tiles() && may_use_tiles();
        let runs = |target: &Target| {
            (!function.fma || target.vectors().fma) && (function.tiles.is_none() || has_tiles(target))
        };
        for target in targets(width).into_iter().filter(runs) {
            let ran = run_here(&function, &case, &target);
            for (region, (ran, interpreted)) in ran.iter().zip(&interpreted).enumerate() {
                let differs = ran.iter().zip(interpreted).position(|(a, b)| a != b);
                let cpu = target.cpu_name();
                assert_eq!(differs, None, "{name}: byte of region {region} where machine code for {cpu} differs");
            }
        }
    }
}

/// Whether the system lets this process use the registers of AMX.
fn may_use_tiles() -> bool {
    octet_runtime::cpu::detect(Default::default()) & octet_runtime::abi::cpu::AMX_INT8 != 0
}

/// The items in two calls, the later half first.
fn calls(spec: &KernelSpec) -> [(i64, i64); 2] {
    let items = spec.items() as i64;
    [(items / 2, items), (0, items / 2)]
}

fn interpret(name: &str, function: &Function, case: &Case) -> Vec<Vec<u8>> {
    let mut memory = Memory { regions: case.regions.clone() };
    for (begin, end) in calls(&case.spec) {
        let mut args: Vec<Arg> = case.operands.iter().map(|&(region, offset)| Arg::Ptr { region, offset }).collect();
        args.extend([Arg::Int(begin), Arg::Int(end)]);
        interp::run_strict(function, &mut memory, &args).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
    memory.regions
}

fn compare(name: &str, case: &Case, found: &[Vec<u8>]) {
    for (region, (expected, found)) in case.expected.iter().zip(found).enumerate() {
        if case.scratch == Some(region) {
            continue;
        }
        let tolerance = case.tolerance.iter().find(|(of, _)| *of == region).map_or(0.0, |(_, tolerance)| *tolerance);
        if tolerance == 0.0 {
            let differs = expected.iter().zip(found).position(|(a, b)| a != b);
            if let Some(at) = differs {
                let all = expected.iter().zip(found).filter(|(a, b)| a != b).count();
                let end = (at / 4 * 4 + 16).min(expected.len());
                let (expected, found) = (&expected[at / 4 * 4..end], &found[at / 4 * 4..end]);
                panic!("{name}: region {region} byte {at} ({all} differ): {found:?}, expected {expected:?}");
            }
            continue;
        }
        for (i, (expected, found)) in expected.as_chunks().0.iter().zip(found.as_chunks().0).enumerate() {
            let (expected, found) = (f32::from_le_bytes(*expected), f32::from_le_bytes(*found));
            let close = (expected - found).abs() <= tolerance * expected.abs().max(0.05);
            let same = expected == found || expected.is_nan() && found.is_nan();
            assert!(close || same, "{name}: region {region} element {i}: {found}, expected {expected}");
        }
    }
}

/// As many arguments as any kernel here has.
type Entry = unsafe extern "C" fn(i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// CPUs with vectors of `width` whose code this machine can run: itself, and at wide widths one without dot products.
fn targets(width: Width) -> Vec<Target> {
    let native = Target::native().unwrap();
    let plain = match width {
        Width::W128 => None,
        Width::W256 => Some("x86-64-v3"),
        _ => Some("x86-64-v4"),
    };
    let plain = plain.and_then(|cpu| Target::parse(None, cpu).ok()).filter(|target| native.has(target.features));
    let targets = [Some(native), plain].into_iter().flatten().filter(|target| target.widest() >= width);
    targets.map(|target| target.with_width(width)).collect()
}

fn run_here(function: &Function, case: &Case, target: &Target) -> Vec<Vec<u8>> {
    let isa = target.isa().unwrap();
    let code = match function.width {
        Width::W128 => clif::compile(function, target, &*isa).unwrap(),
        _ => x86::compile(function, target).unwrap(),
    };
    let mut module = JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()));
    let signature = module.make_signature();
    let id = module.declare_function("kernel", Linkage::Local, &signature).unwrap();
    module.define_function_bytes(id, code.align, &code.bytes, &[]).unwrap();
    module.finalize_definitions().unwrap();
    let entry = module.get_finalized_function(id);
    let mut regions = case.regions.clone();
    // no vector access is wider than the slack, so an address behind the end is still this vector's memory
    for region in &mut regions {
        region.extend(SLACK);
    }
    for (begin, end) in calls(&case.spec) {
        let mut words = [0i64; 12];
        for (word, &(region, offset)) in words.iter_mut().zip(&case.operands) {
            *word = regions[region].as_mut_ptr() as i64 + offset;
        }
        let operands = case.operands.len();
        assert!(operands + 2 <= words.len(), "more arguments than the entry has");
        words[operands] = begin;
        words[operands + 1] = end;
        // SAFETY: the entry is a function of the C calling convention whose integer arguments stand in the same places
        // whatever follows them; the interpreter has run the same kernel on the same memory and found no access outside
        // its regions; the module owns the code and is alive.
        unsafe {
            let entry = std::mem::transmute::<*const u8, Entry>(entry);
            let w = words;
            entry(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11]);
        }
    }
    for region in &mut regions {
        region.truncate(region.len() - SLACK.len());
    }
    regions
}
