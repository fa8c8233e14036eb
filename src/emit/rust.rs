//! The Rust module of a compiled model: the contents of what `octet_runtime::include_model!` includes.
//!
//! It declares the two functions of the object and wraps them: tensors are references to arrays in the model's shapes, so
//! the lists of pointers that `infer` takes are always of the right number, size and alignment. Outputs are exclusive
//! references and do not overlap anything. Everything else stands in `octet_runtime::host`, whose ABI version the module
//! checks when it is compiled.

use std::fmt::Write as _;

use octet_runtime::abi::ABI_VERSION;

use super::header::{Field, fields};
use crate::codegen::object::{Sizes, infer_symbol, info_symbol};
use crate::codegen::target::Target;
use crate::ir::{ElemType, TensorType};
use crate::lower::program::Program;

/// The module of `program`, as an object with `sizes` for `target`.
pub fn module(program: &Program, target: &Target, sizes: &Sizes) -> String {
    let mut text = prologue(program, target);
    let inputs = fields(&program.inputs);
    let outputs = fields(&program.outputs);
    structure(&mut text, "Inputs", "The inputs of an inference.", "", &inputs);
    structure(&mut text, "Outputs", "Where an inference writes its outputs.", "mut ", &outputs);
    text += &workspace(sizes);
    text += &reset(sizes);
    text += &functions(program, &inputs, &outputs);
    text
}

fn prologue(program: &Program, target: &Target) -> String {
    format!(
        "// Model {name}, compiled by octet {version} for {cpu} from a source with the digest {hash}.\n\n\
         const _: () = assert!(\n    ::octet_runtime::abi::ABI_VERSION == {ABI_VERSION},\n    \
         \"octet-runtime and the octet that compiled the model are of different versions\"\n);\n\n",
        name = program.name,
        version = env!("CARGO_PKG_VERSION"),
        cpu = target.cpu_name(),
        hash = program.model_hash,
    )
}

fn structure(text: &mut String, name: &str, doc: &str, qualifier: &str, fields: &[Field<'_>]) {
    // Writing to a String does not fail.
    let lifetime = if fields.is_empty() { "" } else { "<'t>" };
    let _ = writeln!(text, "/// {doc}\npub struct {name}{lifetime} {{");
    for Field { port, identifier } in fields {
        let (doc, field, array) = (comment(&port.name), field_name(identifier), array(&port.ty));
        let _ = writeln!(text, "    /// `{doc}`, {}.\n    pub {field}: &'t {qualifier}{array},", port.ty.elem);
    }
    text.push_str("}\n\n");
}

fn workspace(sizes: &Sizes) -> String {
    let variables = match sizes.state_bytes {
        0 => "",
        _ => "/// It keeps the model's variables from inference to inference: one workspace is one stream.\n",
    };
    format!(
        "/// Memory of an inference, {bytes} bytes on the heap. Inferences that run at the same time have one each.\n\
         {variables}#[derive(Debug)]\npub struct Workspace(::octet_runtime::host::Memory);\n\n\
         impl Workspace {{\n    pub fn new() -> Workspace {{\n        \
         Workspace(::octet_runtime::host::Memory::new(info()))\n    }}\n}}\n\n\
         impl Default for Workspace {{\n    fn default() -> Workspace {{\n        Workspace::new()\n    }}\n}}\n\n",
        bytes = sizes.workspace_bytes
    )
}

/// Only of a model with variables.
fn reset(sizes: &Sizes) -> String {
    if sizes.state_bytes == 0 {
        return String::new();
    }
    "impl Workspace {\n    \
     /// Gives the model's variables their initial values, as they have in a new workspace: the next inference begins anew.\n    \
     pub fn reset(&mut self) {\n        self.0.reset();\n    }\n}\n\n"
        .to_owned()
}

fn functions(program: &Program, inputs: &[Field<'_>], outputs: &[Field<'_>]) -> String {
    let (inputs_type, outputs_type) = (generic("Inputs", inputs), generic("Outputs", outputs));
    let arguments = format!("inputs: &{inputs_type}, outputs: &mut {outputs_type}, workspace: &mut Workspace");
    let error = "::core::result::Result<(), ::octet_runtime::host::Error>";
    format!(
        "/// Computes the outputs on this thread.\n///\n/// # Errors\n\
         /// A CPU that lacks what the model was compiled for.\n\
         pub fn infer({arguments}) -> {error} {{\n    run(inputs, outputs, workspace, ::core::option::Option::None)\n}}\n\n\
         /// Computes the outputs, on the caller's threads too; the bits are the same.\n///\n/// # Errors\n/// As [`infer`].\n\
         pub fn infer_on(threads: &dyn ::octet_runtime::host::Threads, {arguments}) -> {error} {{\n    \
         run(inputs, outputs, workspace, ::core::option::Option::Some(threads))\n}}\n\n\
         /// What the model is.\npub fn info() -> ::octet_runtime::host::Info {{\n    \
         // SAFETY: the model's own function, of the ABI version that is checked above.\n    \
         unsafe {{ ::octet_runtime::host::Info::new({info}()) }}\n}}\n\n\
         fn run({arguments}, threads: ::core::option::Option<&dyn ::octet_runtime::host::Threads>) -> {error} {{\n    \
         let inputs: [*const ::core::ffi::c_void; {input_count}] = [{input_list}];\n    \
         let outputs: [*mut ::core::ffi::c_void; {output_count}] = [{output_list}];\n    \
         // SAFETY: the workspace was made for this model, and references to arrays in the shapes of its tensors are what\n    \
         // it takes; those that are written are exclusive.\n    \
         unsafe {{ ::octet_runtime::host::infer({infer}, &inputs, &outputs, &mut workspace.0, threads) }}\n}}\n\n\
         unsafe extern \"C\" {{\n    fn {infer}(\n        inputs: *const *const ::core::ffi::c_void,\n        \
         outputs: *const *mut ::core::ffi::c_void,\n        workspace: *mut ::core::ffi::c_void,\n        \
         exec: *const ::octet_runtime::abi::Exec,\n    ) -> i32;\n    \
         fn {info}() -> *const ::octet_runtime::abi::ModelInfo;\n}}\n",
        infer = infer_symbol(&program.name),
        info = info_symbol(&program.name),
        input_count = inputs.len(),
        output_count = outputs.len(),
        input_list = list(inputs, |field| format!("(&raw const *inputs.{field}).cast()")),
        output_list = list(outputs, |field| format!("(&raw mut *outputs.{field}).cast()")),
    )
}

fn generic(name: &str, fields: &[Field<'_>]) -> String {
    if fields.is_empty() { name.to_owned() } else { format!("{name}<'_>") }
}

fn list(fields: &[Field<'_>], pointer: impl Fn(&str) -> String) -> String {
    fields.iter().map(|field| pointer(&field_name(&field.identifier))).collect::<Vec<_>>().join(", ")
}

/// `[[f32; 10]; 1]`
fn array(ty: &TensorType) -> String {
    let element = element(ty.elem).to_owned();
    ty.shape.dims().iter().rev().fold(element, |inner, size| format!("[{inner}; {size}]"))
}

/// The type of an element as `octet_runtime::host::Tensor` has it: bits and bytes for what Rust has no type for.
fn element(elem: ElemType) -> &'static str {
    match elem {
        ElemType::F32 => "f32",
        ElemType::F16 | ElemType::BF16 => "u16",
        ElemType::I64 => "i64",
        ElemType::I32 => "i32",
        ElemType::I16 => "i16",
        ElemType::I8 | ElemType::I4 => "i8",
        ElemType::U8 | ElemType::U4 | ElemType::Bool => "u8",
    }
}

/// A C identifier as the name of a field.
fn field_name(identifier: &str) -> String {
    if KEYWORDS.contains(&identifier) { format!("{identifier}_") } else { identifier.to_owned() }
}

/// A name as it may stand in a line of documentation.
fn comment(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || c == '`' { '_' } else { c }).collect()
}

/// Keywords of all editions that are none of C or C++, with which [`super::header::identifier`] deals.
const KEYWORDS: &[&str] = &[
    "Self", "abstract", "as", "async", "await", "become", "box", "crate", "dyn", "final", "fn", "gen", "impl", "in",
    "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "self", "super", "trait",
    "type", "unsafe", "unsized", "use", "where", "yield",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;

    #[test]
    fn types_of_tensors() {
        let of = |elem, dims: &[usize]| array(&TensorType::new(elem, Shape::new(dims).unwrap()));
        assert_eq!(of(ElemType::F32, &[1, 3, 8]), "[[[f32; 8]; 3]; 1]");
        assert_eq!(of(ElemType::I64, &[]), "i64");
        assert_eq!(of(ElemType::Bool, &[4]), "[u8; 4]");
    }

    #[test]
    fn keywords_are_no_fields() {
        assert_eq!(["type", "self", "x", "match_"].map(field_name), ["type_", "self_", "x", "match_"]);
    }
}
