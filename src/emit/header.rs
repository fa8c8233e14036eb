//! The C header of a compiled model: C99 and C++, without warnings under `-Wall -Wextra -pedantic`.
//!
//! What all models share (`octet_exec`, `octet_model_info`, status codes) stands in [`shared`], guarded so that a source
//! may include the headers of several models. The rest is named after the model. Layouts and numbers are those of
//! [`octet_runtime::abi`]; names of tensors become C identifiers that differ from each other and from keywords.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use octet_runtime::abi::{self, WORKSPACE_ALIGN, cpu, exec_flags, status};

use crate::codegen::object::Sizes;
use crate::codegen::target::Target;
use crate::ir::ElemType;
use crate::lower::program::{Port, Program};

mod shared;

/// The header of `program`, whose name is a C identifier, as an object with `sizes` for `target`.
pub fn c_header(program: &Program, target: &Target, sizes: &Sizes) -> String {
    let name = &program.name;
    let upper = name.to_uppercase();
    let inputs = fields(&program.inputs);
    let outputs = fields(&program.outputs);
    let mut text = format!(
        "/* Model {name}, compiled by octet {version} from a source with the digest\n * {hash}. */\n\
         #ifndef OCTET_MODEL_{upper}_H\n#define OCTET_MODEL_{upper}_H\n\n#include <stdint.h>\n\n",
        version = env!("CARGO_PKG_VERSION"),
        hash = program.model_hash,
    );
    text += &shared::declarations();
    text += &memory(program, sizes);
    text += &identity(&upper, program, target);
    tensors(&mut text, &format!("{upper}_INPUT"), &inputs);
    tensors(&mut text, &format!("{upper}_OUTPUT"), &outputs);
    text.push_str("\n/* Tensors are dense and row-major, aligned to their elements. They do not overlap each other or the workspace. */\n");
    structure(&mut text, &format!("{name}_inputs"), "const ", &inputs);
    structure(&mut text, &format!("{name}_outputs"), "", &outputs);
    let _ = write!(text, "{}", functions(program));
    text
}

/// What the caller promises about the workspace.
fn workspace_contents(program: &Program, sizes: &Sizes) -> String {
    const SHARED: &str = "Memory the caller provides to each call that runs at the same time";
    if sizes.state_bytes == 0 {
        return format!("{SHARED}: any contents, kept by nobody.");
    }
    let variables = program.variables.iter().map(|kept| format!("\n *   {}: {}", comment(&kept.name), kept.ty));
    format!(
        "{SHARED}. Its first {bytes} bytes keep the model's variables from\n * inference to inference: one workspace is one \
         stream. {name}_reset is called once before the first inference (the\n * memory may hold anything), and where a new \
         stream begins. Variables, as they lie in it:{variables}\n",
        bytes = sizes.state_bytes,
        name = program.name,
        variables = variables.collect::<String>(),
    )
}

/// Declared only where there are variables.
fn reset(program: &Program) -> String {
    if program.state_bytes == 0 {
        return String::new();
    }
    format!(
        "/* Gives the variables in a workspace their initial values. Returns OCTET_OK or a negative code. */\n\
         int32_t {}_reset(void *workspace);\n\n",
        program.name
    )
}

fn functions(program: &Program) -> String {
    let (name, reset) = (&program.name, reset(program));
    format!(
        "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         /* Computes the outputs. exec may be null: everything runs on this thread. Returns OCTET_OK or a negative code. */\n\
         int32_t {name}_infer(const {name}_inputs *inputs, const {name}_outputs *outputs, void *workspace,\n    \
         const octet_exec *exec);\n\n\
         /* What the model is; never null, valid for ever. */\n\
         const octet_model_info *{name}_info(void);\n\n{reset}\
         #ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )
}

/// A tensor and what C calls it.
pub(super) struct Field<'p> {
    pub port: &'p Port,
    pub identifier: String,
}

/// The identifiers differ from each other, not only in case.
pub(super) fn fields(ports: &[Port]) -> Vec<Field<'_>> {
    let mut used = BTreeSet::new();
    ports.iter().map(|port| Field { port, identifier: unique(identifier(&port.name), &mut used) }).collect()
}

/// `base`, or the first of `base_2`, `base_3`, ... that is not `used`.
fn unique(base: String, used: &mut BTreeSet<String>) -> String {
    let mut candidate = base.clone();
    let mut number = 2;
    // Macros are written in capitals, so names that differ only there count as the same.
    while !used.insert(candidate.to_uppercase()) {
        candidate = format!("{base}_{number}");
        number += 1;
    }
    candidate
}

/// `text` as a C identifier: other characters than ASCII letters, digits and `_` become `_`. Never a keyword of C or C++,
/// never reserved for the implementation.
pub fn identifier(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let trimmed = plain.trim_matches('_');
    match trimmed.as_bytes().first() {
        None => "t".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("t{trimmed}"),
        Some(_) if KEYWORDS.contains(&trimmed) => format!("{trimmed}_"),
        // Two underscores in a row are reserved in C++.
        Some(_) => trimmed.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_"),
    }
}

fn memory(program: &Program, sizes: &Sizes) -> String {
    format!(
        "\n/* {contents} */\n\
         #define {upper}_WORKSPACE_BYTES {workspace}u\n#define {upper}_WORKSPACE_ALIGN {WORKSPACE_ALIGN}u\n\
         /* Stack that a call takes at most, and the read-only memory of the model. */\n\
         #define {upper}_STACK_BYTES {stack}u\n#define {upper}_CONSTANT_BYTES {constants}u\n\
         #define {upper}_CODE_BYTES {code}u\n\n",
        contents = workspace_contents(program, sizes),
        upper = program.name.to_uppercase(),
        workspace = sizes.workspace_bytes,
        stack = sizes.stack_bytes,
        constants = sizes.constant_bytes,
        code = sizes.code_bytes,
    )
}

fn identity(upper: &str, program: &Program, target: &Target) -> String {
    format!(
        "/* The source, and what the code was compiled for: infer returns OCTET_CPU_UNSUPPORTED on a CPU without it. */\n\
         #define {upper}_HASH \"{hash}\"\n#define {upper}_CPU \"{cpu}\"\n\
         #define {upper}_CPU_FEATURES UINT64_C({features:#x})\n\n",
        hash = program.model_hash,
        cpu = target.cpu_name(),
        features = target.features,
    )
}

/// Macros of each tensor; one without dimensions has no list of them.
fn tensors(text: &mut String, prefix: &str, fields: &[Field<'_>]) {
    for Field { port, identifier } in fields {
        let (dims, macro_name) = (port.ty.shape.dims(), format!("{prefix}_{}", identifier.to_uppercase()));
        let elements: usize = dims.iter().product();
        let elem = port.ty.elem.to_string().to_uppercase();
        let _ =
            writeln!(text, "#define {macro_name}_TYPE OCTET_TYPE_{elem}\n#define {macro_name}_RANK {}u", dims.len());
        if !dims.is_empty() {
            let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
            let _ = writeln!(text, "#define {macro_name}_DIMS {{{}}}", dims.join(", "));
        }
        let bytes = port.ty.bytes();
        let _ = writeln!(text, "#define {macro_name}_ELEMENTS {elements}u\n#define {macro_name}_BYTES {bytes}u");
    }
}

fn structure(text: &mut String, name: &str, qualifier: &str, fields: &[Field<'_>]) {
    text.push_str("typedef struct {\n");
    for Field { port, identifier } in fields {
        let (c_type, comment) = (c_type(port.ty.elem), comment(&port.name));
        let _ = writeln!(text, "  {qualifier}{c_type} *{identifier}; /* {comment}: {} */", port.ty);
    }
    if fields.is_empty() {
        text.push_str("  const void *none; /* a struct of C has a member; not read */\n");
    }
    let _ = writeln!(text, "}} {name};\n");
}

/// The type of an element. C has none for `f16` and `bf16`: their bits.
fn c_type(elem: ElemType) -> &'static str {
    match elem {
        ElemType::F32 => "float",
        ElemType::F16 | ElemType::BF16 => "uint16_t",
        ElemType::I64 => "int64_t",
        ElemType::I32 => "int32_t",
        ElemType::I16 => "int16_t",
        ElemType::I8 | ElemType::I4 => "int8_t",
        ElemType::U8 | ElemType::U4 | ElemType::Bool => "uint8_t",
    }
}

/// A name as it may stand in a comment, where `*/`, `/*`, `??/` and a backslash mean something.
fn comment(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || matches!(c, '*' | '?' | '\\') { '_' } else { c }).collect()
}

/// Keywords of C23 and C++23, and macros of the headers we include.
const KEYWORDS: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "linux",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        let cases = [
            ("image", "image"),
            ("input.1", "input_1"),
            ("/conv1/Conv", "conv1_Conv"),
            ("3", "t3"),
            ("", "t"),
            ("class", "class_"),
            ("__x__y", "x_y"),
            ("größe", "gr_e"),
        ];
        for (text, expected) in cases {
            assert_eq!(identifier(text), expected, "{text}");
        }
    }

    #[test]
    fn equal_identifiers_are_numbered() {
        let mut used = BTreeSet::new();
        let names = ["x", "X", "x", "x_2"].map(|name| unique(name.to_owned(), &mut used));
        assert_eq!(names, ["x", "X_2", "x_3", "x_2_2"]);
    }

    #[test]
    fn comments_do_not_end_early() {
        assert_eq!(comment("a*/b\\\n??/"), "a_/b____/");
    }
}
