//! The border between a compiled model and whoever calls it.
//!
//! Everything a model's object exports or reads through a pointer is defined here, once: the compiler writes these
//! layouts byte by byte, the runtime and the generated C header read them. A change of any size or offset is a change of
//! [`ABI_VERSION`]; the asserts at the end of the file make an accidental one a build error.
//!
//! A model named `m` exports these symbols and needs none:
//!
//! ```c
//! int32_t m_infer(const m_inputs *, const m_outputs *, void *workspace, const octet_exec *);   // `Infer`
//! const octet_model_info *m_info(void);                                                        // `Info`
//! int32_t m_reset(void *workspace);                          // `Reset`, only of a model with variables
//! ```
//!
//! Variables live in the workspace: a workspace is one state. It is reset once before its first inference, and whenever the
//! variables shall begin anew; between inferences its first `state_bytes` are left alone.
//!
//! The model allocates nothing and writes only to the outputs, the workspace and `Exec::layer_ns`.

use core::ffi::{c_char, c_void};

/// Version of every layout in this file. Objects carry it; callers refuse others.
pub const ABI_VERSION: u32 = 2;

/// Required alignment of the workspace in bytes.
pub const WORKSPACE_ALIGN: usize = 64;

/// What `infer` returns: zero, or one of the negative codes.
pub mod status {
    /// The outputs are written.
    pub const OK: i32 = 0;
    /// An argument, an input or output pointer, or the workspace is null.
    pub const NULL_POINTER: i32 = -1;
    /// The workspace is not aligned to `WORKSPACE_ALIGN`, or a tensor not to its element.
    pub const MISALIGNED: i32 = -2;
    /// `Exec::abi_version` is not the object's `ABI_VERSION`.
    pub const ABI_MISMATCH: i32 = -3;
    /// The CPU lacks a feature of `ModelInfo::cpu_features`.
    pub const CPU_UNSUPPORTED: i32 = -4;
    /// The model has variables, and this workspace was not reset for it.
    pub const NOT_RESET: i32 = -5;

    /// A sentence for a code; unknown codes get one too.
    pub fn describe(code: i32) -> &'static str {
        match code {
            OK => "ok",
            NULL_POINTER => "a required pointer is null",
            MISALIGNED => "the workspace is not aligned to 64 bytes, or a tensor not to its element type",
            ABI_MISMATCH => "the caller was built for another version of the octet ABI",
            CPU_UNSUPPORTED => "this CPU lacks instructions the model was compiled for",
            NOT_RESET => "the workspace was not reset before its first inference",
            _ => "unknown status code",
        }
    }
}

/// Bits of `ModelInfo::cpu_features`. A bit means: the CPU has it and the operating system saves its registers.
pub mod cpu {
    pub const SSSE3: u64 = 1 << 0;
    pub const SSE41: u64 = 1 << 1;
    pub const SSE42: u64 = 1 << 2;
    pub const POPCNT: u64 = 1 << 3;
    pub const AVX: u64 = 1 << 4;
    pub const AVX2: u64 = 1 << 5;
    pub const FMA: u64 = 1 << 6;
    pub const BMI1: u64 = 1 << 7;
    pub const BMI2: u64 = 1 << 8;
    pub const LZCNT: u64 = 1 << 9;
    pub const AVX_VNNI: u64 = 1 << 10;
    /// AVX-512 F, BW, DQ and VL together.
    pub const AVX512: u64 = 1 << 11;
    pub const AVX512_VNNI: u64 = 1 << 12;
    /// Registers of matrices. On Linux a process must ask for them (`arch_prctl`, `ARCH_REQ_XCOMP_PERM`), and may use them only
    /// if that was granted.
    pub const AMX_TILE: u64 = 1 << 13;
    pub const AMX_INT8: u64 = 1 << 14;
    /// aarch64 dot product (`sdot`, `udot`).
    pub const DOTPROD: u64 = 1 << 32;
    /// aarch64 `usdot`.
    pub const I8MM: u64 = 1 << 33;

    /// What messages call the bits, in the order of the bits.
    pub const NAMES: [(u64, &str); 17] = [
        (SSSE3, "ssse3"),
        (SSE41, "sse4.1"),
        (SSE42, "sse4.2"),
        (POPCNT, "popcnt"),
        (AVX, "avx"),
        (AVX2, "avx2"),
        (FMA, "fma"),
        (BMI1, "bmi1"),
        (BMI2, "bmi2"),
        (LZCNT, "lzcnt"),
        (AVX_VNNI, "avxvnni"),
        (AVX512, "avx512"),
        (AVX512_VNNI, "avx512vnni"),
        (AMX_TILE, "amx-tile"),
        (AMX_INT8, "amx-int8"),
        (DOTPROD, "dotprod"),
        (I8MM, "i8mm"),
    ];
}

/// Element type of an input or output. The discriminants are part of the ABI.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    F32 = 1,
    F16 = 2,
    BF16 = 3,
    I64 = 4,
    I32 = 5,
    I16 = 6,
    I8 = 7,
    U8 = 8,
    Bool = 9,
}

impl ElementType {
    /// Every type, in the order of the discriminants.
    pub const ALL: [ElementType; 9] = [
        ElementType::F32,
        ElementType::F16,
        ElementType::BF16,
        ElementType::I64,
        ElementType::I32,
        ElementType::I16,
        ElementType::I8,
        ElementType::U8,
        ElementType::Bool,
    ];

    /// The type of a `TensorInfo::element_type`; `None` for a number this version does not know.
    pub fn from_code(code: u32) -> Option<ElementType> {
        Self::ALL.into_iter().find(|element| *element as u32 == code)
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            ElementType::I64 => 8,
            ElementType::F32 | ElementType::I32 => 4,
            ElementType::F16 | ElementType::BF16 | ElementType::I16 => 2,
            ElementType::I8 | ElementType::U8 | ElementType::Bool => 1,
        }
    }

    /// The name users read: `f32`, `bf16`, `bool`, ...
    pub const fn name(self) -> &'static str {
        match self {
            ElementType::F32 => "f32",
            ElementType::F16 => "f16",
            ElementType::BF16 => "bf16",
            ElementType::I64 => "i64",
            ElementType::I32 => "i32",
            ElementType::I16 => "i16",
            ElementType::I8 => "i8",
            ElementType::U8 => "u8",
            ElementType::Bool => "bool",
        }
    }
}

/// One input or output: dense, row-major in the model's own order of dimensions.
#[repr(C)]
#[derive(Debug)]
pub struct TensorInfo {
    /// NUL-terminated UTF-8.
    pub name: *const c_char,
    /// `rank` sizes.
    pub dims: *const u64,
    pub byte_size: u64,
    pub element_type: u32,
    pub rank: u32,
}

/// One step of the program, the unit of profiles. Several layers of the source may have been fused into it.
#[repr(C)]
#[derive(Debug)]
pub struct LayerInfo {
    /// Name of the layer in the source model that gave the step its name, NUL-terminated.
    pub name: *const c_char,
    /// All source layers the step computes, separated by commas.
    pub original_names: *const c_char,
    /// Type of the main layer, as the source calls it (`Convolution`).
    pub layer_type: *const c_char,
    /// Kernel that runs it, as `explain` prints it.
    pub exec_type: *const c_char,
    /// `I8`, `FP32`, ... : the type the step computes in.
    pub precision: *const c_char,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
}

/// Everything about a model that its caller may want to know. Lives in the object's read-only data.
#[repr(C)]
#[derive(Debug)]
pub struct ModelInfo {
    pub abi_version: u32,
    /// `size_of::<ModelInfo>()` of the compiler that wrote it.
    pub struct_size: u32,
    pub name: *const c_char,
    /// Hexadecimal digest of the source model.
    pub model_hash: *const c_char,
    /// Version of the compiler.
    pub compiler: *const c_char,
    /// What the code was compiled for, as `--cpu` prints it.
    pub cpu_name: *const c_char,
    /// Bits of [`cpu`].
    pub cpu_features: u64,
    pub workspace_bytes: u64,
    pub workspace_align: u64,
    pub constant_bytes: u64,
    pub code_bytes: u64,
    pub inputs: *const TensorInfo,
    pub outputs: *const TensorInfo,
    pub layers: *const LayerInfo,
    pub input_count: u32,
    pub output_count: u32,
    pub layer_count: u32,
    /// What one call of `infer` takes of the stack at most, without the caller's own callbacks.
    pub stack_bytes: u32,
    /// Which of the object's versions for different CPUs this describes: the best one that this CPU can run, or the last one
    /// where it can run none. A caller who sets `exec_flags::CPU_CHECKED` names it there.
    pub version: u32,
    pub version_count: u32,
    /// Null in a model without variables: its workspace may hold anything before each inference.
    pub reset: Option<Reset>,
    /// Bytes at the beginning of the workspace that keep the variables between inferences; 0 without variables. The same in all
    /// versions.
    pub state_bytes: u64,
}

/// A share of a step's work: the half-open range `begin..end` of its work items.
pub type Task = unsafe extern "C" fn(task_context: *const c_void, begin: i64, end: i64);

/// Runs `task` over disjoint ranges that cover `0..items`, on any threads, and returns when all of it is done and
/// visible to the caller. The result must not depend on how the range was split.
pub type ParallelFor = unsafe extern "C" fn(context: *mut c_void, items: i64, task: Task, task_context: *const c_void);

/// Nanoseconds of a monotonic clock.
pub type Clock = unsafe extern "C" fn(context: *mut c_void) -> u64;

/// How to run: threads and profile. A null `Exec` means this thread and no profile.
#[repr(C)]
#[derive(Debug)]
pub struct Exec {
    pub abi_version: u32,
    /// Bits of [`exec_flags`].
    pub flags: u32,
    /// Passed back to the callbacks.
    pub context: *mut c_void,
    /// Null: everything runs on the calling thread.
    pub parallel_for: Option<ParallelFor>,
    /// Null: no profile. Called once before the first step and once after each.
    pub clock: Option<Clock>,
    /// `ModelInfo::layer_count` counters; each step adds its nanoseconds. Not null when `clock` is given.
    pub layer_ns: *mut u64,
}

/// Bits of `Exec::flags`.
pub mod exec_flags {
    /// The caller compared `ModelInfo::cpu_features` with this CPU, and asked the system for the registers of AMX where the
    /// model needs them: `infer` does neither again.
    pub const CPU_CHECKED: u32 = 1;
    /// With `CPU_CHECKED` the bits from this one on are the `ModelInfo::version` to run.
    pub const VERSION_SHIFT: u32 = 8;
}

/// `inputs` and `outputs` point to one tensor pointer each, in the order of `ModelInfo`.
pub type Infer = unsafe extern "C" fn(
    inputs: *const *const c_void,
    outputs: *const *mut c_void,
    workspace: *mut c_void,
    exec: *const Exec,
) -> i32;

/// Gives the variables in a workspace their initial values. `OK`, `NULL_POINTER` or `MISALIGNED`.
pub type Reset = unsafe extern "C" fn(workspace: *mut c_void) -> i32;

/// The model's description.
pub type Info = unsafe extern "C" fn() -> *const ModelInfo;

/// Where a prebuilt program finds its model: the compiler looks for `MODEL_SLOT_MARK` in the program's data and writes
/// the two addresses behind it.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct ModelSlot {
    pub mark: [u8; 16],
    /// Address of [`Infer`]; zero in a program without a model.
    pub infer: usize,
    /// Address of [`Info`].
    pub info: usize,
}

/// Chosen at random; occurs in a program once.
pub const MODEL_SLOT_MARK: [u8; 16] =
    [0x8e, 0x4f, 0xd1, 0x03, 0x9b, 0x72, 0xc6, 0x5a, 0xe7, 0x18, 0x2d, 0xb4, 0x60, 0xf9, 0xa3, 0x4c];

#[cfg(target_pointer_width = "64")]
mod layout {
    use super::*;
    use core::mem::{offset_of, size_of};

    const _: () = assert!(size_of::<TensorInfo>() == 32 && offset_of!(TensorInfo, byte_size) == 16);
    const _: () = assert!(size_of::<LayerInfo>() == 48 && offset_of!(LayerInfo, macs) == 40);
    const _: () = assert!(size_of::<ModelInfo>() == 144 && offset_of!(ModelInfo, cpu_features) == 40);
    const _: () = assert!(offset_of!(ModelInfo, inputs) == 80 && offset_of!(ModelInfo, input_count) == 104);
    const _: () = assert!(offset_of!(ModelInfo, reset) == 128 && offset_of!(ModelInfo, state_bytes) == 136);
    const _: () = assert!(size_of::<Exec>() == 40 && offset_of!(Exec, parallel_for) == 16);
    const _: () = assert!(size_of::<ModelSlot>() == 32 && offset_of!(ModelSlot, infer) == 16);
}
