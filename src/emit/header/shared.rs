//! The part of a header that all models share. The numbers come from the ABI; the layouts are checked against it by a test
//! that compiles a header.

use super::{abi, cpu, exec_flags, status};

/// Declarations guarded by `OCTET_ABI_VERSION`; a header of another version beside it is an error of the build.
pub fn declarations() -> String {
    let version = abi::ABI_VERSION;
    format!(
        "/* Shared by the headers of all models. */\n\
         #ifdef OCTET_ABI_VERSION\n\
         #if OCTET_ABI_VERSION != {version}\n\
         #error \"headers of two versions of the octet ABI in one source\"\n\
         #endif\n\
         #else\n\
         #define OCTET_ABI_VERSION {version}\n\n{statuses}\n{cpus}\n{elements}\n{STRUCTS}\n{describe}\n\
         #endif /* OCTET_ABI_VERSION */\n",
        statuses = statuses(),
        cpus = cpus(),
        elements = elements(),
        describe = describe(),
    )
}

const STATUSES: [(&str, i32); 6] = [
    ("OCTET_OK", status::OK),
    ("OCTET_NULL_POINTER", status::NULL_POINTER),
    ("OCTET_MISALIGNED", status::MISALIGNED),
    ("OCTET_ABI_MISMATCH", status::ABI_MISMATCH),
    ("OCTET_CPU_UNSUPPORTED", status::CPU_UNSUPPORTED),
    ("OCTET_NOT_RESET", status::NOT_RESET),
];

fn statuses() -> String {
    let line = |(name, code): &(&str, i32)| format!("#define {name} ({code}) /* {} */\n", status::describe(*code));
    STATUSES.iter().map(line).collect()
}

fn cpus() -> String {
    let macro_name = |name: &str| name.replace('.', "").replace('-', "_").to_uppercase();
    let line = |(bit, name): &(u64, &str)| {
        format!("#define OCTET_CPU_{} (UINT64_C(1) << {}) /* {name} */\n", macro_name(name), bit.trailing_zeros())
    };
    let bits: String = cpu::NAMES.iter().map(line).collect();
    format!("/* octet_model_info.cpu_features */\n{bits}")
}

fn elements() -> String {
    let line = |element: &abi::ElementType| {
        format!("#define OCTET_TYPE_{} {}u\n", element.name().to_uppercase(), *element as u32)
    };
    let types: String = abi::ElementType::ALL.iter().map(line).collect();
    format!(
        "/* octet_tensor_info.element_type */\n{types}\n\
         /* octet_exec.flags: the caller has compared cpu_features with this CPU, and names the version they belong to;\n\
         \x20  infer then does not ask the CPU, which takes a while. Where they name amx-tile, the caller also got the right\n\
         \x20  to use it: arch_prctl(ARCH_REQ_XCOMP_PERM, 18) on Linux */\n\
         #define OCTET_EXEC_CPU_CHECKED {}u\n#define OCTET_EXEC_VERSION(version) ((uint32_t)(version) << {})\n",
        exec_flags::CPU_CHECKED,
        exec_flags::VERSION_SHIFT,
    )
}

fn describe() -> String {
    let case = |(name, code): &(&str, i32)| format!("  case {name}: return \"{}\";\n", status::describe(*code));
    let cases: String = STATUSES.iter().map(case).collect();
    format!(
        "/* A sentence for a code that infer returned. */\n\
         static inline const char *octet_status_string(int32_t status) {{\n  switch (status) {{\n{cases}  \
         default: return \"{}\";\n  }}\n}}\n",
        status::describe(i32::MIN)
    )
}

const STRUCTS: &str = "\
/* An input or output: dense, row-major. */
typedef struct {
  const char *name;
  const uint64_t *dims; /* rank sizes */
  uint64_t byte_size;
  uint32_t element_type;
  uint32_t rank;
} octet_tensor_info;

/* One step of the model, the unit of profiles. */
typedef struct {
  const char *name;
  const char *original_names; /* all layers of the source it computes, separated by commas */
  const char *layer_type;
  const char *exec_type;
  const char *precision;
  uint64_t macs;
} octet_layer_info;

/* What a model is; sizes are in bytes. */
typedef struct {
  uint32_t abi_version; /* OCTET_ABI_VERSION of the compiler */
  uint32_t struct_size; /* sizeof(octet_model_info) of the compiler */
  const char *name;
  const char *model_hash; /* of the source */
  const char *compiler;
  const char *cpu_name;
  uint64_t cpu_features; /* OCTET_CPU_*, all of which infer needs */
  uint64_t workspace_bytes;
  uint64_t workspace_align;
  uint64_t constant_bytes;
  uint64_t code_bytes;
  const octet_tensor_info *inputs;
  const octet_tensor_info *outputs;
  const octet_layer_info *layers;
  uint32_t input_count;
  uint32_t output_count;
  uint32_t layer_count;
  uint32_t stack_bytes;
  uint32_t version; /* of the model that this describes: the best one for this CPU */
  uint32_t version_count;
  int32_t (*reset)(void *workspace); /* null in a model without variables */
  uint64_t state_bytes; /* at the beginning of the workspace: left alone between inferences */
} octet_model_info;

/* A share of a step's work: the items begin <= i < end. */
typedef void (*octet_task)(const void *task_context, int64_t begin, int64_t end);

/* How to run. Zero everything but abi_version for one thread and no profile. */
typedef struct {
  uint32_t abi_version; /* OCTET_ABI_VERSION */
  uint32_t flags;
  void *context; /* passed to the callbacks */
  /* Runs task over disjoint ranges that cover 0..items, on any threads, and returns when all is done. */
  void (*parallel_for)(void *context, int64_t items, octet_task task, const void *task_context);
  /* Nanoseconds of a monotonic clock; each step adds its time to its element of layer_ns. */
  uint64_t (*clock)(void *context);
  uint64_t *layer_ns; /* layer_count elements, not null when clock is given */
} octet_exec;
";
