//! A program as an object file: kernels, steps, constants, tables; two symbols to the outside (three with variables) and none
//! from it.
//!
//! - `.text`: kernels (each once, compiled on all cores, placed in the order of the program), step functions, `infer`, `info`,
//!   `reset`;
//! - `.rodata`: constants, 64-byte aligned, equal ones once, then the names the tables point to;
//! - `.data.rel.ro`: the table of steps and the model's description (`abi::ModelInfo`), which hold addresses.
//!
//! The bytes depend on the program and the target only.

use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};

use cranelift_codegen::Context;
use cranelift_codegen::ir::UserFuncName;
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_entity::{EntityRef, SecondaryMap};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};
use octet_runtime::abi::{ABI_VERSION, ElementType, LayerInfo, ModelInfo, TensorInfo, WORKSPACE_ALIGN};

use super::entry::{self, Callees};
use super::target::{Arch, Target};
use super::{MachineCode, clif, cpu_check, x86};
use crate::diag::{self, Diagnostic, Place};
use crate::ir::ElemType;
use crate::lower::program::{ALIGN, ConstId, KernelId, Port, Program, READ_SLACK};
use crate::simd::ir::Width;
use crate::simd::kernels;

/// A relocatable object and its sizes.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Vec<u8>,
    /// Machine code of kernels and steps.
    pub code_bytes: usize,
    /// Weights and tables of kernels.
    pub constant_bytes: usize,
}

/// Compiles a program for a target.
///
/// # Errors
/// Internal ones only: a kernel or the code generator is wrong.
pub fn build(program: &Program, target: &Target) -> diag::Result<Object> {
    emit(program, target).map_err(|reason| {
        let reason = reason.trim_start_matches("internal error: ").to_string();
        Diagnostic::internal(Place::item(format!("code for {}", target.triple)), reason).into()
    })
}

/// Name of a symbol that the object exports.
pub fn infer_symbol(name: &str) -> String {
    format!("{name}_infer")
}

/// Name of the other.
pub fn info_symbol(name: &str) -> String {
    format!("{name}_info")
}

/// Name of the third, of a program with variables.
pub fn reset_symbol(name: &str) -> String {
    format!("{name}_reset")
}

fn emit(program: &Program, target: &Target) -> Result<Object, String> {
    let isa = target.isa()?;
    let machine_code = compile_kernels(program, target, &*isa)?;
    let names = cranelift_module::default_libcall_names();
    let builder = ObjectBuilder::new(isa, program.name.as_str(), names).map_err(wrong)?;
    let mut emitter = Emitter { program, module: ObjectModule::new(builder), code_bytes: 0 };
    let kernels = emitter.kernels(&machine_code)?;
    let (constants, offsets, constant_bytes) = emitter.constants()?;
    let steps = emitter.steps(&kernels, constants, &offsets)?;
    let table = emitter.step_table(&steps)?;
    let check = emitter.cpu_check(target)?;
    emitter.infer(table, check)?;
    let reset = emitter.reset()?;
    emitter.info(target, constant_bytes, reset)?;
    let code_bytes = emitter.code_bytes;
    let bytes = emitter.module.finish().emit().map_err(wrong)?;
    Ok(Object { bytes, code_bytes, constant_bytes })
}

fn wrong(error: impl std::fmt::Display) -> String {
    format!("internal error: {error}")
}

/// Every kernel, on as many threads as there are cores; results in the order of the program.
fn compile_kernels(program: &Program, target: &Target, isa: &dyn TargetIsa) -> Result<Vec<MachineCode>, String> {
    let ids: Vec<KernelId> = program.kernels.keys().collect();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let compile = |id: KernelId| {
        let spec = &program.kernels[id];
        let function = kernels::build(spec, &format!("{}_{}", spec.family(), id.index()), target.width);
        match function.width {
            Width::W128 => clif::compile(&function, target, isa),
            _ => x86::compile(&function, target),
        }
    };
    let share = |thread: usize| ids.iter().skip(thread).step_by(threads).map(|&id| compile(id)).collect::<Vec<_>>();
    let mut shares: Vec<std::vec::IntoIter<Result<MachineCode, String>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        workers.into_iter().map(|worker| worker.join().map(Vec::into_iter)).collect::<Result<Vec<_>, _>>()
    })
    .map_err(|_| "internal error: a kernel's generator panicked".to_string())?;
    (0..ids.len())
        .map(|index| {
            shares[index % threads].next().unwrap_or_else(|| Err("internal error: a kernel is missing".into()))
        })
        .collect()
}

struct Emitter<'p> {
    program: &'p Program,
    module: ObjectModule,
    code_bytes: usize,
}

impl Emitter<'_> {
    fn call_conv(&self) -> CallConv {
        self.module.isa().default_call_conv()
    }

    /// Local names carry the model's prefix, so that profiles of several models can be told apart.
    fn local_name(&self, name: &str) -> String {
        format!("{}.{}", self.program.name, name)
    }

    fn kernels(&mut self, code: &[MachineCode]) -> Result<Vec<FuncId>, String> {
        let mut functions = Vec::new();
        for ((id, spec), code) in self.program.kernels.iter().zip(code) {
            let name = self.local_name(&format!("kernel.{}.{}", id.index(), spec.family()));
            let signature = entry::signature(self.call_conv(), spec.operands().len() + 2, false);
            let function = self.module.declare_function(&name, Linkage::Local, &signature).map_err(wrong)?;
            self.module.define_function_bytes(function, code.align, &code.bytes, &[]).map_err(wrong)?;
            self.code_bytes += code.bytes.len();
            functions.push(function);
        }
        Ok(functions)
    }

    /// All constants in one piece of data, and where each starts in it.
    fn constants(&mut self) -> Result<(DataId, SecondaryMap<ConstId, usize>, usize), String> {
        let mut bytes = Vec::new();
        let mut offsets = SecondaryMap::new();
        let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
        for (id, constant) in self.program.constants.iter() {
            offsets[id] = *known.entry(constant).or_insert_with(|| {
                let offset = bytes.len();
                bytes.extend_from_slice(constant);
                bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
                offset
            });
        }
        let total = bytes.len();
        bytes.resize(total + READ_SLACK, 0);
        let data = self.data("constants", bytes, ALIGN as u64, |_, _| ())?;
        Ok((data, offsets, total))
    }

    /// Read-only local data; `relocate` adds addresses.
    fn data(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        align: u64,
        relocate: impl FnOnce(&mut ObjectModule, &mut DataDescription),
    ) -> Result<DataId, String> {
        let name = self.local_name(name);
        let id = self.module.declare_data(&name, Linkage::Local, false, false).map_err(wrong)?;
        let mut description = DataDescription::new();
        description.define(bytes.into_boxed_slice());
        description.set_align(align);
        relocate(&mut self.module, &mut description);
        self.module.define_data(id, &description).map_err(wrong)?;
        Ok(id)
    }

    fn steps(
        &mut self,
        kernels: &[FuncId],
        constants: DataId,
        offsets: &SecondaryMap<ConstId, usize>,
    ) -> Result<Vec<FuncId>, String> {
        let program = self.program;
        let signature = entry::task_signature(self.call_conv());
        let mut functions = Vec::new();
        for (index, step) in program.steps.iter().enumerate() {
            let name = self.local_name(&format!("step.{index}.{}", sanitized(&step.label.layer)));
            let function = self.module.declare_function(&name, Linkage::Local, &signature).map_err(wrong)?;
            let mut context = self.module.make_context();
            context.func.signature = signature.clone();
            let kernel = self.module.declare_func_in_func(kernels[step.kernel.index()], &mut context.func);
            let data = self.module.declare_data_in_func(constants, &mut context.func);
            self.define(function, context, |builder| entry::step(builder, step, kernel, data, &|id| offsets[id]))?;
            functions.push(function);
        }
        Ok(functions)
    }

    fn define(
        &mut self,
        function: FuncId,
        mut context: Context,
        body: impl FnOnce(&mut FunctionBuilder<'_>),
    ) -> Result<(), String> {
        context.func.name = UserFuncName::user(0, function.as_u32());
        let mut scratch = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
        body(&mut builder);
        builder.seal_all_blocks();
        builder.finalize(self.module.isa().frontend_config());
        self.module.define_function(function, &mut context).map_err(|error| format!("internal error: {error:?}"))?;
        self.code_bytes += context.compiled_code().map_or(0, |code| code.code_info().total_size as usize);
        Ok(())
    }

    fn step_table(&mut self, steps: &[FuncId]) -> Result<DataId, String> {
        let mut bytes = vec![0; (steps.len() * entry::ROW_BYTES).max(1)];
        for (row, step) in bytes.chunks_exact_mut(entry::ROW_BYTES).zip(&self.program.steps) {
            let items = self.program.kernels[step.kernel].items() as u64;
            row[entry::ROW_ITEMS..][..8].copy_from_slice(&items.to_le_bytes());
            row[entry::ROW_PARALLEL] = u8::from(step.parallel);
            row[entry::ROW_AFTER_RESET] = u8::from(step.after_reset);
        }
        self.data("steps", bytes, 8, |module, description| {
            for (index, &step) in steps.iter().enumerate() {
                let function = module.declare_func_in_data(step, description);
                description.write_function_addr((index * entry::ROW_BYTES) as u32, function);
            }
        })
    }

    fn cpu_check(&mut self, target: &Target) -> Result<Option<FuncId>, String> {
        if target.arch != Arch::X86_64 {
            return Ok(None);
        }
        let signature = entry::signature(self.call_conv(), 0, true);
        let name = self.local_name("cpu_check");
        let function = self.module.declare_function(&name, Linkage::Local, &signature).map_err(wrong)?;
        let code = cpu_check::x86_64(target.features);
        self.module.define_function_bytes(function, 16, &code, &[]).map_err(wrong)?;
        self.code_bytes += code.len();
        Ok(Some(function))
    }

    fn infer(&mut self, table: DataId, check: Option<FuncId>) -> Result<(), String> {
        let program = self.program;
        let call_conv = self.call_conv();
        let signature = entry::infer_signature(call_conv);
        let function =
            self.module.declare_function(&infer_symbol(&program.name), Linkage::Export, &signature).map_err(wrong)?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        let (parallel_for, clock) = entry::callback_signatures(call_conv);
        let callees = Callees {
            cpu_check: check.map(|check| self.module.declare_func_in_func(check, &mut context.func)),
            steps: self.module.declare_data_in_func(table, &mut context.func),
            task: context.func.import_signature(entry::task_signature(call_conv)),
            parallel_for: context.func.import_signature(parallel_for),
            clock: context.func.import_signature(clock),
        };
        self.define(function, context, |builder| entry::infer(builder, program, &callees))
    }

    /// A program without variables has none.
    fn reset(&mut self) -> Result<Option<FuncId>, String> {
        let program = self.program;
        if program.state_bytes == 0 {
            return Ok(None);
        }
        let signature = entry::reset_signature(self.call_conv());
        let name = reset_symbol(&program.name);
        let function = self.module.declare_function(&name, Linkage::Export, &signature).map_err(wrong)?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        self.define(function, context, |builder| entry::reset(builder, program))?;
        Ok(Some(function))
    }

    fn info(&mut self, target: &Target, constant_bytes: usize, reset: Option<FuncId>) -> Result<(), String> {
        let description = Description::new(self.program, target, self.code_bytes, constant_bytes)?;
        let strings = self.data("names", description.strings, 1, |_, _| ())?;
        let tables = self.local_name("info");
        let tables = self.module.declare_data(&tables, Linkage::Local, false, false).map_err(wrong)?;
        let mut data = DataDescription::new();
        data.define(description.bytes.into_boxed_slice());
        data.set_align(8);
        let to_strings = self.module.declare_data_in_data(strings, &mut data);
        let to_tables = self.module.declare_data_in_data(tables, &mut data);
        for pointer in description.pointers {
            let base = if pointer.to_strings { to_strings } else { to_tables };
            data.write_data_addr(pointer.at as u32, base, pointer.offset as i64);
        }
        if let Some(reset) = reset {
            let reset = self.module.declare_func_in_data(reset, &mut data);
            data.write_function_addr(offset_of!(ModelInfo, reset) as u32, reset);
        }
        self.module.define_data(tables, &data).map_err(wrong)?;
        let mut signature = entry::signature(self.call_conv(), 0, false);
        signature.returns = vec![cranelift_codegen::ir::AbiParam::new(cranelift_codegen::ir::types::I64)];
        let name = info_symbol(&self.program.name);
        let function = self.module.declare_function(&name, Linkage::Export, &signature).map_err(wrong)?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        let data = self.module.declare_data_in_func(tables, &mut context.func);
        self.define(function, context, |builder| entry::address_of(builder, data))
    }
}

/// An address inside the tables.
struct Pointer {
    at: usize,
    to_strings: bool,
    offset: usize,
}

/// `abi::ModelInfo` with everything it points to, as bytes and pointers.
#[derive(Default)]
struct Description {
    bytes: Vec<u8>,
    strings: Vec<u8>,
    pointers: Vec<Pointer>,
}

impl Description {
    fn new(program: &Program, target: &Target, code_bytes: usize, constant_bytes: usize) -> Result<Self, String> {
        let mut info = Description { bytes: vec![0; size_of::<ModelInfo>()], ..Description::default() };
        info.put32(offset_of!(ModelInfo, abi_version), ABI_VERSION);
        info.put32(offset_of!(ModelInfo, struct_size), size_of::<ModelInfo>() as u32);
        info.put_string(offset_of!(ModelInfo, name), &program.name);
        info.put_string(offset_of!(ModelInfo, model_hash), &program.model_hash);
        info.put_string(offset_of!(ModelInfo, compiler), concat!("octet ", env!("CARGO_PKG_VERSION")));
        info.put_string(offset_of!(ModelInfo, cpu_name), &target.cpu_name());
        info.put64(offset_of!(ModelInfo, cpu_features), target.features);
        info.put64(offset_of!(ModelInfo, workspace_bytes), program.workspace_bytes as u64);
        info.put64(offset_of!(ModelInfo, workspace_align), WORKSPACE_ALIGN as u64);
        info.put64(offset_of!(ModelInfo, constant_bytes), constant_bytes as u64);
        info.put64(offset_of!(ModelInfo, code_bytes), code_bytes as u64);
        info.put64(offset_of!(ModelInfo, state_bytes), program.state_bytes as u64);
        info.put32(offset_of!(ModelInfo, input_count), program.inputs.len() as u32);
        info.put32(offset_of!(ModelInfo, output_count), program.outputs.len() as u32);
        info.put32(offset_of!(ModelInfo, layer_count), program.steps.len() as u32);
        info.ports(offset_of!(ModelInfo, inputs), &program.inputs)?;
        info.ports(offset_of!(ModelInfo, outputs), &program.outputs)?;
        info.layers(program);
        Ok(info)
    }

    fn ports(&mut self, at: usize, ports: &[Port]) -> Result<(), String> {
        let table = self.table(at, ports.len() * size_of::<TensorInfo>());
        for (index, port) in ports.iter().enumerate() {
            let row = table + index * size_of::<TensorInfo>();
            let dims = port.ty.shape.dims();
            self.put_string(row + offset_of!(TensorInfo, name), &port.name);
            let list = self.table(row + offset_of!(TensorInfo, dims), dims.len() * 8);
            for (dim, &size) in dims.iter().enumerate() {
                self.put64(list + dim * 8, size as u64);
            }
            self.put64(row + offset_of!(TensorInfo, byte_size), port.ty.bytes() as u64);
            self.put32(row + offset_of!(TensorInfo, element_type), element_type(port.ty.elem)? as u32);
            self.put32(row + offset_of!(TensorInfo, rank), dims.len() as u32);
        }
        Ok(())
    }

    fn layers(&mut self, program: &Program) {
        let table = self.table(offset_of!(ModelInfo, layers), program.steps.len() * size_of::<LayerInfo>());
        for (index, step) in program.steps.iter().enumerate() {
            let row = table + index * size_of::<LayerInfo>();
            let spec = &program.kernels[step.kernel];
            self.put_string(row + offset_of!(LayerInfo, name), &step.label.layer);
            self.put_string(row + offset_of!(LayerInfo, original_names), &step.label.layers.join(","));
            self.put_string(row + offset_of!(LayerInfo, layer_type), &step.label.layer_type);
            self.put_string(row + offset_of!(LayerInfo, exec_type), &spec.exec_type());
            self.put_string(row + offset_of!(LayerInfo, precision), spec.precision());
            self.put64(row + offset_of!(LayerInfo, macs), step.label.macs);
        }
    }

    /// Appends zeros, points to them from `at`, and gives their offset.
    fn table(&mut self, at: usize, len: usize) -> usize {
        let offset = self.bytes.len();
        self.bytes.resize(offset + len, 0);
        self.pointers.push(Pointer { at, to_strings: false, offset });
        offset
    }

    fn put_string(&mut self, at: usize, text: &str) {
        self.pointers.push(Pointer { at, to_strings: true, offset: self.strings.len() });
        self.strings.extend(text.bytes().filter(|&byte| byte != 0));
        self.strings.push(0);
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn element_type(elem: ElemType) -> Result<ElementType, String> {
    match elem {
        ElemType::F32 => Ok(ElementType::F32),
        ElemType::F16 => Ok(ElementType::F16),
        ElemType::BF16 => Ok(ElementType::BF16),
        ElemType::I64 => Ok(ElementType::I64),
        ElemType::I32 => Ok(ElementType::I32),
        ElemType::I16 => Ok(ElementType::I16),
        ElemType::I8 => Ok(ElementType::I8),
        ElemType::U8 => Ok(ElementType::U8),
        ElemType::Bool => Ok(ElementType::Bool),
        ElemType::I4 | ElemType::U4 => Err(format!("internal error: an input or output of {elem}")),
    }
}

/// A layer's name as part of a symbol: letters, digits, `_`, `.` and `/` stay.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_./".contains(c) { c } else { '_' }).collect()
}
