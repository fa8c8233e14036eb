//! What code is compiled for: the triple, the CPU features it may use, the vector width.
//!
//! Features are the bits of [`octet_runtime::abi::cpu`], because the object tells its caller which of them it needs.
//! [`Target::parse`] reads `--target` and `--cpu`; [`Target::cpu_name`] prints a CPU in the form `--cpu` reads.

use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::Arc;

use cranelift_codegen::isa::{self, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use octet_runtime::abi::cpu;

use crate::lower::LowerOptions;
use crate::lower::choice::Choices;
use crate::simd::ir::{Vectors, Width};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub arch: Arch,
    /// As given: `x86_64-unknown-linux-gnu`.
    pub triple: String,
    /// Bits of [`octet_runtime::abi::cpu`].
    pub features: u64,
    /// Vector width of the kernels.
    pub width: Width,
}

/// One feature: its name in `--cpu +name`, its bit, those it cannot do without, the flags of Cranelift it stands for.
struct Feature {
    name: &'static str,
    bit: u64,
    needs: u64,
    flags: &'static [&'static str],
}

const X86_FEATURES: &[Feature] = &[
    Feature { name: "ssse3", bit: cpu::SSSE3, needs: 0, flags: &["has_sse3", "has_ssse3"] },
    Feature { name: "sse4.1", bit: cpu::SSE41, needs: cpu::SSSE3, flags: &["has_sse41"] },
    Feature { name: "sse4.2", bit: cpu::SSE42, needs: cpu::SSE41, flags: &["has_sse42"] },
    Feature { name: "popcnt", bit: cpu::POPCNT, needs: 0, flags: &["has_popcnt"] },
    Feature { name: "avx", bit: cpu::AVX, needs: cpu::SSE42, flags: &["has_avx"] },
    Feature { name: "avx2", bit: cpu::AVX2, needs: cpu::AVX, flags: &["has_avx2"] },
    Feature { name: "fma", bit: cpu::FMA, needs: cpu::AVX, flags: &["has_fma"] },
    Feature { name: "bmi1", bit: cpu::BMI1, needs: 0, flags: &["has_bmi1"] },
    Feature { name: "bmi2", bit: cpu::BMI2, needs: 0, flags: &["has_bmi2"] },
    Feature { name: "lzcnt", bit: cpu::LZCNT, needs: 0, flags: &["has_lzcnt"] },
    Feature { name: "avxvnni", bit: cpu::AVX_VNNI, needs: cpu::AVX2, flags: &["has_avx_vnni"] },
    Feature {
        name: "avx512",
        bit: cpu::AVX512,
        needs: cpu::AVX2 | cpu::FMA,
        flags: &["has_avx512f", "has_avx512dq", "has_avx512vl"],
    },
    Feature { name: "avx512vnni", bit: cpu::AVX512_VNNI, needs: cpu::AVX512, flags: &["has_avx512vnni"] },
    Feature { name: "amx-tile", bit: cpu::AMX_TILE, needs: cpu::AVX512, flags: &[] },
    Feature { name: "amx-int8", bit: cpu::AMX_INT8, needs: cpu::AMX_TILE, flags: &[] },
];

const AARCH64_FEATURES: &[Feature] = &[
    Feature { name: "dotprod", bit: cpu::DOTPROD, needs: 0, flags: &["has_dotprod"] },
    Feature { name: "i8mm", bit: cpu::I8MM, needs: cpu::DOTPROD, flags: &["has_i8mm"] },
];

/// The least an x86-64 CPU must have: kernels round and multiply bytes with SSE4.1.
const X86_BASE: u64 = cpu::SSSE3 | cpu::SSE41;
const X86_V2: u64 = X86_BASE | cpu::SSE42 | cpu::POPCNT;
const X86_V3: u64 = X86_V2 | cpu::AVX | cpu::AVX2 | cpu::FMA | cpu::BMI1 | cpu::BMI2 | cpu::LZCNT;
const X86_V4: u64 = X86_V3 | cpu::AVX512;

/// Named sets of features, smaller ones first.
const X86_LEVELS: &[(&str, u64)] =
    &[("sse4.1", X86_BASE), ("x86-64-v2", X86_V2), ("x86-64-v3", X86_V3), ("x86-64-v4", X86_V4)];
const AARCH64_LEVELS: &[(&str, u64)] = &[("generic", 0)];

impl Arch {
    fn of_triple(triple: &str) -> Result<Arch, String> {
        match triple.split('-').next() {
            Some("x86_64") => Ok(Arch::X86_64),
            Some("aarch64") => Ok(Arch::Aarch64),
            _ => Err(format!(
                "unsupported target `{triple}`: give x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu"
            )),
        }
    }

    fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Arch::X86_64),
            "aarch64" => Some(Arch::Aarch64),
            _ => None,
        }
    }

    fn features(self) -> &'static [Feature] {
        match self {
            Arch::X86_64 => X86_FEATURES,
            Arch::Aarch64 => AARCH64_FEATURES,
        }
    }

    fn levels(self) -> &'static [(&'static str, u64)] {
        match self {
            Arch::X86_64 => X86_LEVELS,
            Arch::Aarch64 => AARCH64_LEVELS,
        }
    }
}

impl Target {
    /// `triple` as in `--target` (none: the host), `cpu` as in `--cpu` for one CPU: the name of a level or feature, or `native`,
    /// and single features with `+` or `-`, separated by commas, from left to right. Without a level the first feature builds on the least one
    /// (x86-64-v2, generic).
    pub fn parse(triple: Option<&str>, cpu: &str) -> Result<Target, String> {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let triple = triple.unwrap_or(&host);
        let arch = Arch::of_triple(triple)?;
        let mut features = if arch == Arch::X86_64 { X86_V2 } else { 0 };
        for item in cpu.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            features = apply(arch, features, item)?;
        }
        if arch == Arch::X86_64 && features & X86_BASE != X86_BASE {
            return Err("octet needs at least SSE4.1 on x86-64".into());
        }
        Ok(Target::with_features(arch, triple, features))
    }

    /// As [`Self::parse`], for several CPUs: a level, `native` or the plain name of a feature begins one, +feature and -feature
    /// change it. A plain feature stands for itself and the least level that has what it needs. Equal ones are one; the
    /// best comes first: any before those whose features are a part of its own.
    pub fn parse_list(triple: Option<&str>, cpu: &str) -> Result<Vec<Target>, String> {
        let mut lists: Vec<String> = Vec::new();
        for item in cpu.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match lists.last_mut() {
                Some(list) if item.starts_with(['+', '-']) => *list += &format!(",{item}"),
                _ => lists.push(item.to_owned()),
            }
        }
        if lists.is_empty() {
            lists.push(String::new());
        }
        let mut targets: Vec<Target> = Vec::new();
        for list in &lists {
            let target = Target::parse(triple, list)?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        if targets.len() > 1 && targets[0].arch != Arch::X86_64 {
            return Err(
                "several versions in one object are for x86-64: only there it can ask the CPU what it has".into()
            );
        }
        targets.sort_by_key(|target| {
            Reverse((target.has_tiles(), target.has_dot(), target.width, target.features.count_ones()))
        });
        Ok(targets)
    }

    /// What all of them have; none without any.
    pub fn common(targets: &[&Target]) -> Option<Target> {
        let first = targets.first()?;
        let features = targets.iter().fold(first.features, |all, target| all & target.features);
        Some(Target::with_features(first.arch, &first.triple, features))
    }

    /// This machine.
    pub fn native() -> Result<Target, String> {
        Target::parse(None, "native")
    }

    /// A CPU with these features, and vectors as wide as there is a back end for.
    pub fn with_features(arch: Arch, triple: &str, features: u64) -> Target {
        let target = Target { arch, triple: triple.to_string(), features, width: Width::W128 };
        let width = target.widest();
        target.with_width(width)
    }

    /// The widest vectors kernels can have on this CPU.
    pub fn widest(&self) -> Width {
        match (self.has(cpu::AVX512), self.has(cpu::AVX2)) {
            (true, _) => Width::W512,
            (false, true) => Width::W256,
            (false, false) => Width::W128,
        }
    }

    /// The same CPU with vectors of another width, at most [`Self::widest`].
    pub fn with_width(self, width: Width) -> Target {
        Target { width, ..self }
    }

    pub fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// Has an instruction that adds four products u8 x i8 exactly.
    pub fn has_dot(&self) -> bool {
        match self.arch {
            Arch::X86_64 => self.has(cpu::AVX_VNNI) || self.has(cpu::AVX512_VNNI),
            Arch::Aarch64 => self.has(cpu::I8MM) || self.has(cpu::DOTPROD),
        }
    }

    /// What kernels are written for.
    pub fn vectors(&self) -> Vectors {
        let fma = match self.arch {
            Arch::X86_64 => self.has(cpu::FMA),
            Arch::Aarch64 => true,
        };
        Vectors { width: self.width, fma }
    }

    /// Has registers for matrices of bytes, and kernels wide enough to use them.
    pub fn has_tiles(&self) -> bool {
        self.has(cpu::AMX_INT8) && self.width == Width::W512
    }

    /// What lowering must know of the target; the model's hash and source are the caller's to add.
    pub fn lowering(&self) -> LowerOptions {
        LowerOptions {
            width: self.width,
            has_dot: self.has_dot(),
            has_tiles: self.has_tiles(),
            choices: Choices::new(),
            model_hash: String::new(),
            source: None,
        }
    }

    /// The smallest description `--cpu` reads back: the greatest level inside the features, and what is beyond it.
    pub fn cpu_name(&self) -> String {
        let inside = |&&(_, set): &&(&str, u64)| self.features & set == set;
        let (level, set) = self.arch.levels().iter().rfind(inside).copied().unwrap_or(("", 0));
        let mut name = level.to_string();
        for feature in self.arch.features().iter().filter(|feature| self.features & !set & feature.bit != 0) {
            // Writing to a String does not fail.
            let _ = write!(name, ",+{}", feature.name);
        }
        name
    }

    /// The back end of Cranelift for this target. Code and data it compiles are meant for one object whose symbols are
    /// local: `is_pic` is off because it would send even those through the GOT, and addresses are relative without it. Every
    /// function has a frame pointer, for the sake of profilers and debuggers: there is no unwind information.
    pub fn isa(&self) -> Result<Arc<dyn TargetIsa>, String> {
        let mut shared = settings::builder();
        let options = [
            ("opt_level", "speed"),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
            ("enable_probestack", "false"),
            ("preserve_frame_pointers", "true"),
            ("unwind_info", "false"),
            ("is_pic", "false"),
            ("log2_min_function_alignment", "5"),
        ];
        for (name, value) in options {
            shared.set(name, value).map_err(|error| self.internal(&error))?;
        }
        let mut builder = isa::lookup_by_name(&self.triple).map_err(|error| self.internal(&error))?;
        for feature in self.arch.features().iter().filter(|feature| self.has(feature.bit)) {
            for flag in feature.flags {
                builder.enable(flag).map_err(|error| self.internal(&error))?;
            }
        }
        builder.finish(settings::Flags::new(shared)).map_err(|error| self.internal(&error))
    }

    /// Bytes of the instructions that set up the frame pointer, with which every function begins.
    pub fn frame_code(&self) -> u64 {
        match self.arch {
            // push rbp; mov rbp, rsp
            Arch::X86_64 => 4,
            // stp fp, lr, [sp, #-16]!; mov fp, sp
            Arch::Aarch64 => 8,
        }
    }

    fn internal(&self, error: &dyn std::fmt::Display) -> String {
        format!("internal error: no code generator for {} ({}): {error}", self.triple, self.cpu_name())
    }
}

/// One item of `--cpu` applied to the features before it.
fn apply(arch: Arch, features: u64, item: &str) -> Result<u64, String> {
    let find = |name: &str| arch.features().iter().find(|feature| feature.name == name);
    if let Some(feature) = item.strip_prefix('+').and_then(find) {
        return Ok(with_needs(arch, features | feature.bit));
    }
    if let Some(feature) = item.strip_prefix('-').and_then(find) {
        return Ok(without_dependents(arch, features & !feature.bit));
    }
    if item == "native" {
        return if Arch::host() == Some(arch) {
            Ok(host_features())
        } else {
            Err(format!("`native` is this machine ({}), which is not the target", std::env::consts::ARCH))
        };
    }
    if let Some((_, set)) = arch.levels().iter().find(|(name, _)| *name == item) {
        return Ok(*set);
    }
    let feature = find(item).ok_or_else(|| unknown_cpu(arch, item))?;
    let has_needs = |set: u64| set & feature.needs == feature.needs;
    let level = arch.levels().iter().map(|(_, set)| *set).find(|&set| has_needs(set)).unwrap_or(features);
    Ok(with_needs(arch, level | feature.bit))
}

fn unknown_cpu(arch: Arch, item: &str) -> String {
    let levels: Vec<&str> = arch.levels().iter().map(|(name, _)| *name).collect();
    let features: Vec<&str> = arch.features().iter().map(|feature| feature.name).collect();
    format!(
        "unknown CPU `{item}`: give native, {}, or one of {}, with + or - in front to change the CPU before it",
        levels.join(", "),
        features.join(", ")
    )
}

/// Features with all they need. The table lists needed features first, so one pass from the end finds all.
fn with_needs(arch: Arch, features: u64) -> u64 {
    let needed = |all: u64, feature: &Feature| if all & feature.bit != 0 { all | feature.needs } else { all };
    arch.features().iter().rev().fold(features, needed)
}

fn without_dependents(arch: Arch, features: u64) -> u64 {
    let satisfied = |all: u64, feature: &Feature| {
        if all & feature.needs == feature.needs { all } else { all & !feature.bit }
    };
    arch.features().iter().fold(features, satisfied)
}

#[cfg(target_arch = "x86_64")]
fn host_features() -> u64 {
    use std::arch::is_x86_feature_detected as has;
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    let detected = [
        (has!("ssse3"), cpu::SSSE3),
        (has!("sse4.1"), cpu::SSE41),
        (has!("sse4.2"), cpu::SSE42),
        (has!("popcnt"), cpu::POPCNT),
        (has!("avx"), cpu::AVX),
        (has!("avx2"), cpu::AVX2),
        (has!("fma"), cpu::FMA),
        (has!("bmi1"), cpu::BMI1),
        (has!("bmi2"), cpu::BMI2),
        (has!("lzcnt"), cpu::LZCNT),
        (has!("avxvnni"), cpu::AVX_VNNI),
        (avx512, cpu::AVX512),
        (has!("avx512vnni"), cpu::AVX512_VNNI),
    ];
    let features = union(&detected);
    if avx512 { features | host_tiles() } else { features }
}

/// AMX (Intel SDM volume 2, CPUID). The operating system keeps its registers if what it saves now reaches to the end of
/// their place in the area of XSAVE.
#[cfg(target_arch = "x86_64")]
fn host_tiles() -> u64 {
    use std::arch::x86_64::__cpuid_count as cpuid;
    const TILE_DATA: u32 = 18;
    if cpuid(0, 0).eax < 0xd {
        return 0;
    }
    let (features, saved, tiles) = (cpuid(7, 0).edx, cpuid(0xd, 0).ebx, cpuid(0xd, TILE_DATA));
    let is_saved = tiles.eax > 0 && saved >= tiles.ebx + tiles.eax;
    let has = |bit: u32| is_saved && features & 1 << bit != 0;
    union(&[(has(24), cpu::AMX_TILE), (has(24) && has(25), cpu::AMX_INT8)])
}

#[cfg(target_arch = "aarch64")]
fn host_features() -> u64 {
    use std::arch::is_aarch64_feature_detected as has;
    union(&[(has!("dotprod"), cpu::DOTPROD), (has!("i8mm"), cpu::I8MM)])
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn host_features() -> u64 {
    0
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn union(detected: &[(bool, u64)]) -> u64 {
    detected.iter().filter(|(present, _)| *present).fold(0, |all, (_, bit)| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: &str = "x86_64-unknown-linux-gnu";
    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn cpus_are_read_and_printed() {
        let rows = [
            (X86, "", "x86-64-v2"),
            (X86, "sse4.1", "sse4.1"),
            (X86, "x86-64-v3", "x86-64-v3"),
            (X86, "x86-64-v3, +avxvnni", "x86-64-v3,+avxvnni"),
            (X86, "x86-64-v4,+avx512vnni", "x86-64-v4,+avx512vnni"),
            (X86, "x86-64-v4,+amx-int8", "x86-64-v4,+amx-tile,+amx-int8"),
            // What a feature needs comes with it, what needs a feature goes with it.
            (X86, "+avxvnni", "x86-64-v2,+avx,+avx2,+avxvnni"),
            (X86, "x86-64-v4,-avx2", "x86-64-v2,+avx,+fma,+bmi1,+bmi2,+lzcnt"),
            (ARM, "", "generic"),
            (ARM, "+i8mm", "generic,+dotprod,+i8mm"),
            (ARM, "+i8mm,-dotprod", "generic"),
        ];
        for (triple, cpu, name) in rows {
            let target = Target::parse(Some(triple), cpu).unwrap();
            assert_eq!(target.cpu_name(), name, "{cpu}");
            assert_eq!(Target::parse(Some(triple), name).unwrap(), target, "{name}");
            target.isa().unwrap();
        }
    }

    #[test]
    fn lists_have_the_best_first() {
        let rows: &[(&str, &[&str])] = &[
            ("", &["x86-64-v2"]),
            ("x86-64-v3,+avxvnni", &["x86-64-v3,+avxvnni"]),
            ("x86-64-v2,x86-64-v3,avx512vnni", &["x86-64-v4,+avx512vnni", "x86-64-v3", "x86-64-v2"]),
            ("x86-64-v4, sse4.1, +sse4.2, avxvnni", &["x86-64-v3,+avxvnni", "x86-64-v4", "sse4.1,+sse4.2"]),
            ("x86-64-v3,x86-64-v3,-fma,+fma", &["x86-64-v3"]),
            ("avx2,avx512", &["x86-64-v4", "x86-64-v3"]),
        ];
        for (list, names) in rows {
            let targets = Target::parse_list(Some(X86), list).unwrap();
            assert_eq!(targets.iter().map(Target::cpu_name).collect::<Vec<_>>(), *names, "{list}");
            for (index, target) in targets.iter().enumerate() {
                assert!(targets[..index].iter().all(|better| !target.has(better.features)), "{list}");
            }
        }
        assert!(Target::parse_list(Some(ARM), "generic,+dotprod").is_ok());
        assert!(Target::parse_list(Some(ARM), "generic,dotprod").unwrap_err().contains("x86-64"));
    }

    #[test]
    fn what_several_have_in_common() {
        let targets = Target::parse_list(Some(X86), "x86-64-v4,avxvnni").unwrap();
        assert_eq!(Target::common(&targets.iter().collect::<Vec<_>>()).unwrap().cpu_name(), "x86-64-v3");
        assert_eq!(Target::common(&[]), None);
    }

    #[test]
    fn what_is_no_target_is_named() {
        let rows = [
            ("riscv64gc-unknown-linux-gnu", "", "unsupported target `riscv64gc-unknown-linux-gnu`"),
            (X86, "i486", "unknown CPU `i486`"),
            (X86, "+dotprod", "unknown CPU `+dotprod`"),
            (X86, "-sse4.1", "at least SSE4.1"),
            (ARM, "x86-64-v3", "unknown CPU `x86-64-v3`"),
        ];
        for (triple, cpu, message) in rows {
            let error = Target::parse(Some(triple), cpu).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_host_is_a_target() {
        let target = Target::native().unwrap();
        assert_eq!(Target::parse(None, &target.cpu_name()).unwrap(), target);
    }
}
