//! A program as an object file: kernels, steps, constants, tables; two symbols to the outside (three with variables) and none
//! from it.
//!
//! - `.text`: kernels (each once, compiled on all cores, placed in the order of the program), step functions, `infer`, `info`,
//!   `reset`;
//! - `.rodata`: constants, 64-byte aligned, equal ones once, then the names the tables point to;
//! - `.debug_*`: the layers' lines in the source, if it is known (`dwarf`);
//! - `.data.rel.ro`: the table of steps and the model's description (`abi::ModelInfo`), which hold addresses.
//!
//! The bytes depend on the program and the target only.

use std::collections::BTreeMap;
use std::mem::offset_of;

use cranelift_codegen::Context;
use cranelift_codegen::ir::UserFuncName;
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_entity::{EntityRef, SecondaryMap};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};
use object::BinaryFormat;
use octet_runtime::abi::ModelInfo;

use super::description::Description;
pub use super::description::{Sizes, Version};
use super::entry::{self, Callees};
use super::target::{Arch, Target};
use super::{MachineCode, clif, cpu_check, dwarf, x86};
use crate::diag::{self, Diagnostic, Place};
use crate::lower::program::{ALIGN, ConstId, KernelId, Program, READ_SLACK};
use crate::simd::ir::Width;
use crate::simd::kernels;

/// A relocatable object and what it takes.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub sizes: Sizes,
}

/// Compiles a program for a target.
///
/// # Errors
/// Internal ones only: a kernel or the code generator is wrong.
pub fn build(program: &Program, target: &Target) -> diag::Result<Object> {
    build_versions(&[Version { program, target }])
}

/// Compiles a model for several CPUs of one architecture into one object, whose entry runs the first version that the CPU it
/// finds itself on can run: the best one stands first. All programs have the same name, inputs and outputs, and a workspace
/// that suffices for each; their variables lie in it alike.
///
/// # Errors
/// Internal ones only, as [`build`].
pub fn build_versions(versions: &[Version<'_>]) -> diag::Result<Object> {
    emit(versions).map_err(|reason| {
        let triple = versions.first().map_or("no target", |version| &version.target.triple);
        let reason = reason.trim_start_matches("internal error: ").to_string();
        Diagnostic::internal(Place::item(format!("code for {triple}")), reason).into()
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

fn emit(versions: &[Version<'_>]) -> Result<Object, String> {
    let targets: Vec<&Target> = versions.iter().map(|version| version.target).collect();
    // Code that runs before the CPU is known, or for every version.
    let common = Target::common(&targets).ok_or("internal error: no target")?;
    let names = cranelift_module::default_libcall_names();
    let program = versions[0].program;
    let builder = ObjectBuilder::new(common.isa()?, program.name.as_str(), names).map_err(wrong)?;
    let mut emitter = Emitter {
        program,
        version: 0,
        module: ObjectModule::new(builder),
        sizes: data_sizes(versions)?,
        functions: Vec::new(),
    };
    let (constants, offsets) = emitter.constants(versions)?;
    let mut parts = Vec::new();
    for (index, (version, offsets)) in versions.iter().zip(&offsets).enumerate() {
        (emitter.program, emitter.version) = (version.program, index);
        parts.push(emitter.version(version.target, constants, offsets)?);
    }
    (emitter.program, emitter.version) = (program, 0);
    emitter.infer(&parts)?;
    let reset = emitter.reset()?;
    // What `info` tells, so without its own few bytes.
    let sizes = emitter.sizes;
    emitter.info(versions, &parts, reset)?;
    let bytes = emitter.finish(&common)?;
    Ok(Object { bytes, sizes })
}

/// Workspace and state that suffice for each version. A state may be continued by another version than the one that began it,
/// as a process moves or its caller names a version, so the variables must lie in it at the same places.
fn data_sizes(versions: &[Version<'_>]) -> Result<Sizes, String> {
    let mut sizes = Sizes::default();
    for Version { program, .. } in versions {
        if program.variables != versions[0].program.variables {
            return Err("internal error: the variables lie differently in the states of two versions".into());
        }
        sizes.workspace_bytes = sizes.workspace_bytes.max(program.workspace_bytes);
        sizes.state_bytes = sizes.state_bytes.max(program.state_bytes);
    }
    Ok(sizes)
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
        let function = kernels::build(spec, &format!("{}_{}", spec.family(), id.index()), target.vectors());
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
    /// Of the version that is emitted, the first one's for what all share.
    program: &'p Program,
    /// Its number.
    version: usize,
    module: ObjectModule,
    /// Of what has been emitted; the stack is that of the deepest chain below `infer` until it is emitted too.
    sizes: Sizes,
    /// What is described to debuggers, in order, with the line of its layer or 0.
    functions: Vec<(FuncId, u32)>,
}

/// What the entry knows of a version.
struct Part {
    /// Table of steps.
    table: DataId,
    steps: usize,
    /// None where only the caller can check the CPU.
    check: Option<FuncId>,
}

/// A kernel in the object, and the stack it takes.
#[derive(Clone, Copy)]
struct Kernel {
    function: FuncId,
    stack_bytes: usize,
}

impl<'p> Emitter<'p> {
    fn call_conv(&self) -> CallConv {
        self.module.isa().default_call_conv()
    }

    /// Local names carry the model's prefix, so that profiles of several models can be told apart, and the number of the
    /// version behind the first.
    fn local_name(&self, name: &str) -> String {
        match self.version {
            0 => format!("{}.{name}", self.program.name),
            version => format!("{}.v{version}.{name}", self.program.name),
        }
    }

    /// Kernels, steps and check of the current version.
    fn version(
        &mut self,
        target: &Target,
        constants: DataId,
        offsets: &SecondaryMap<ConstId, usize>,
    ) -> Result<Part, String> {
        let code = compile_kernels(self.program, target, &*target.isa()?)?;
        let kernels = self.kernels(&code)?;
        let steps = self.steps(&kernels, constants, offsets)?;
        let table = self.step_table(&steps)?;
        Ok(Part { table, steps: steps.len(), check: self.cpu_check(target)? })
    }

    fn kernels(&mut self, code: &[MachineCode]) -> Result<Vec<Kernel>, String> {
        let mut kernels = Vec::new();
        for ((id, spec), code) in self.program.kernels.iter().zip(code) {
            let (layer, line) = self.only_layer(id);
            let name = self.local_name(&format!("kernel.{}.{}{layer}", id.index(), spec.family()));
            let signature = entry::signature(self.call_conv(), spec.operands().len() + 2, false);
            let function = self.module.declare_function(&name, Linkage::Local, &signature).map_err(wrong)?;
            self.module.define_function_bytes(function, code.align, &code.bytes, &[]).map_err(wrong)?;
            self.sizes.code_bytes += code.bytes.len();
            self.functions.push((function, line));
            kernels.push(Kernel { function, stack_bytes: code.stack_bytes });
        }
        Ok(kernels)
    }

    /// End of the name and line of a kernel that works for one layer; nothing and 0 for others.
    fn only_layer(&self, kernel: KernelId) -> (String, u32) {
        let mut users = self.program.steps.iter().filter(|step| step.kernel == kernel).map(|step| &step.label);
        match (users.next(), users.next()) {
            (Some(label), None) => (format!(".{}", sanitized(&label.layer)), label.line),
            _ => (String::new(), 0),
        }
    }

    /// All constants of all versions in one piece of data, and for each version where each starts in it.
    fn constants(&mut self, versions: &[Version<'_>]) -> Result<(DataId, Vec<SecondaryMap<ConstId, usize>>), String> {
        let mut bytes = Vec::new();
        let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
        let mut all = Vec::new();
        for version in versions {
            let mut offsets = SecondaryMap::new();
            for (id, constant) in version.program.constants.iter() {
                offsets[id] = *known.entry(constant).or_insert_with(|| {
                    let offset = bytes.len();
                    bytes.extend_from_slice(constant);
                    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
                    offset
                });
            }
            all.push(offsets);
        }
        self.sizes.constant_bytes = bytes.len();
        bytes.resize(bytes.len() + READ_SLACK, 0);
        let data = self.data("constants", bytes, ALIGN as u64, |_, _| ())?;
        Ok((data, all))
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
        kernels: &[Kernel],
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
            let Kernel { function: kernel, stack_bytes } = kernels[step.kernel.index()];
            let kernel = self.module.declare_func_in_func(kernel, &mut context.func);
            let data = self.module.declare_data_in_func(constants, &mut context.func);
            let own = self.define(function, context, step.label.line, |builder| {
                entry::step(builder, step, kernel, data, &|id| offsets[id])
            })?;
            self.sizes.stack_bytes = self.sizes.stack_bytes.max(own + stack_bytes);
            functions.push(function);
        }
        Ok(functions)
    }

    /// Compiles a function, and gives the stack it takes without its callees.
    fn define(
        &mut self,
        function: FuncId,
        mut context: Context,
        line: u32,
        body: impl FnOnce(&mut FunctionBuilder<'_>),
    ) -> Result<usize, String> {
        context.func.name = UserFuncName::user(0, function.as_u32());
        let mut scratch = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
        body(&mut builder);
        builder.seal_all_blocks();
        builder.finalize(self.module.isa().frontend_config());
        self.module.define_function(function, &mut context).map_err(|error| format!("internal error: {error:?}"))?;
        let code = context.compiled_code().ok_or("internal error: a function without code")?;
        self.sizes.code_bytes += code.code_info().total_size as usize;
        self.functions.push((function, line));
        Ok(clif::stack_bytes(code))
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
        self.sizes.code_bytes += code.len();
        self.sizes.stack_bytes = self.sizes.stack_bytes.max(cpu_check::STACK_BYTES);
        Ok(Some(function))
    }

    fn infer(&mut self, parts: &[Part]) -> Result<(), String> {
        let program = self.program;
        let call_conv = self.call_conv();
        let signature = entry::infer_signature(call_conv);
        let function =
            self.module.declare_function(&infer_symbol(&program.name), Linkage::Export, &signature).map_err(wrong)?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        let (parallel_for, clock) = entry::callback_signatures(call_conv);
        let versions = parts.iter().map(|part| entry::Version {
            cpu_check: part.check.map(|check| self.module.declare_func_in_func(check, &mut context.func)),
            data: self.module.declare_data_in_func(part.table, &mut context.func),
            steps: part.steps,
        });
        let callees = Callees {
            versions: versions.collect(),
            task: context.func.import_signature(entry::task_signature(call_conv)),
            parallel_for: context.func.import_signature(parallel_for),
            clock: context.func.import_signature(clock),
        };
        self.sizes.stack_bytes +=
            self.define(function, context, 0, |builder| entry::infer(builder, program, &callees))?;
        Ok(())
    }

    /// Only of a program with variables.
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
        self.define(function, context, 0, |builder| entry::reset(builder, program))?;
        Ok(Some(function))
    }

    /// The description of every version, and the function that gives the one of the version that runs here.
    fn info(&mut self, versions: &[Version<'p>], parts: &[Part], reset: Option<FuncId>) -> Result<(), String> {
        let mut tables = Vec::new();
        for (index, version) in versions.iter().enumerate() {
            (self.program, self.version) = (version.program, index);
            tables.push(self.description(version, versions.len(), reset)?);
        }
        (self.program, self.version) = (versions[0].program, 0);
        let mut signature = entry::signature(self.call_conv(), 0, false);
        signature.returns = vec![cranelift_codegen::ir::AbiParam::new(cranelift_codegen::ir::types::I64)];
        let name = info_symbol(&self.program.name);
        let function = self.module.declare_function(&name, Linkage::Export, &signature).map_err(wrong)?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        let described = parts.iter().zip(&tables).map(|(part, &table)| entry::Version {
            cpu_check: part.check.map(|check| self.module.declare_func_in_func(check, &mut context.func)),
            data: self.module.declare_data_in_func(table, &mut context.func),
            steps: part.steps,
        });
        let described: Vec<entry::Version> = described.collect();
        self.define(function, context, 0, |builder| entry::info(builder, &described)).map(|_| ())
    }

    fn description(&mut self, version: &Version<'_>, count: usize, reset: Option<FuncId>) -> Result<DataId, String> {
        let description = Description::new(version, (self.version, count), &self.sizes)?;
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
        Ok(tables)
    }
}

impl Emitter<'_> {
    /// The bytes of the object, with line information where the source and the format allow it.
    fn finish(self, target: &Target) -> Result<Vec<u8>, String> {
        let Emitter { program, module, functions, .. } = self;
        let mut product = module.finish();
        if let Some(source) = program.source.as_deref().filter(|_| product.object.format() == BinaryFormat::Elf) {
            let functions: Vec<dwarf::Function> = functions
                .into_iter()
                .map(|(id, line)| dwarf::Function { symbol: product.function_symbol(id), line })
                .collect();
            dwarf::describe(&mut product.object, source, &functions, target.frame_code())?;
        }
        product.emit().map_err(wrong)
    }
}

/// A layer's name as part of a symbol: letters, digits, `_`, `.` and `/` stay.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_./".contains(c) { c } else { '_' }).collect()
}
