//! Kernels of 128-bit vectors through Cranelift, for every target.
//!
//! The translation is one to one, in the order of the kernel; Cranelift's optimizer schedules. What decides the speed:
//!
//! - Loads of [`Mem::Const`](crate::simd::ir::Mem) are `readonly notrap can_move`: only such loads are placed where their
//!   value is used, all others stay in program order and their results live long.
//! - No load is marked `aligned`: with legacy SSE encodings that would allow memory operands that fault.
//! - A 32-bit broadcast loads a float and casts: that is one instruction, the integer form goes through a register.
//! - Products are written in the shapes the instruction selectors recognise, which differ per target (`multiply`).
//! - Vectors come first among the arguments of a loop, then scalars, then the index: the back edge is one jump.
//!
//! Invariant: nothing here becomes a call. SSE4.1 is the least on x86-64, so rounding is an instruction; kernels fuse multiply
//! and add only where the target has an instruction for it. [`compile`] checks that the code refers to no symbol.

mod control;
mod memory;
mod multiply;
mod scalar;
mod shuffle;
mod vector;

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    self, AbiParam, Endianness, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Type, UserFuncName,
    Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::packed_option::PackedOption;
use cranelift_codegen::{CompiledCode, Context};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use super::MachineCode;
use super::target::Target;
use crate::simd::ir::{Block, Function, Inst, Ty, Val, Width};
use crate::simd::verify::verify;

/// Machine code of a kernel of [`Width::W128`]. Errors are internal: the kernel or Cranelift is wrong.
pub fn compile(function: &Function, target: &Target, isa: &dyn TargetIsa) -> Result<MachineCode, String> {
    let context = compile_context(function, target, isa, false)?;
    let code =
        context.compiled_code().ok_or_else(|| format!("internal error: kernel {} has no code", function.name))?;
    if let Some(reloc) = code.buffer.relocs().first() {
        return Err(format!("internal error: kernel {} refers to a symbol: {:?}", function.name, reloc.target));
    }
    let align = u64::from(code.buffer.alignment.max(isa.function_alignment().preferred));
    Ok(MachineCode { bytes: code.buffer.data().to_vec(), align, stack_bytes: stack_bytes(code) })
}

/// Stack that one call of a function takes: its frame, the saved frame pointer, the return address.
pub fn stack_bytes(code: &CompiledCode) -> usize {
    code.buffer.frame_layout().map_or(0, |layout| layout.frame_to_fp_offset as usize) + 16
}

/// The machine instructions of a kernel with their registers, as text for people and tests.
pub fn disassemble(function: &Function, target: &Target, isa: &dyn TargetIsa) -> Result<String, String> {
    let context = compile_context(function, target, isa, true)?;
    Ok(context.compiled_code().and_then(|code| code.vcode.clone()).unwrap_or_default())
}

fn compile_context(function: &Function, target: &Target, isa: &dyn TargetIsa, text: bool) -> Result<Context, String> {
    verify(function).map_err(|problem| format!("internal error: {problem}"))?;
    if function.tiles.is_some() {
        return Err(format!("internal error: kernel {} has tiles, and Cranelift has none", function.name));
    }
    let mut context = Context::for_function(lower(function, target, isa));
    context.set_disasm(text);
    context
        .compile(isa, &mut ControlPlane::default())
        .map_err(|error| format!("internal error: kernel {}: {:?}", function.name, error.inner))?;
    Ok(context)
}

/// The signature of a kernel: pointers and integers are 64-bit integers, no result.
pub fn signature(function: &Function, isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params = vec![AbiParam::new(types::I64); function.params.len()];
    signature
}

/// Cranelift IR of a kernel.
pub fn lower(function: &Function, target: &Target, isa: &dyn TargetIsa) -> ir::Function {
    assert_eq!(function.width, Width::W128, "internal error: kernel {} is too wide for Cranelift", function.name);
    let mut clif = ir::Function::with_name_signature(UserFuncName::default(), signature(function, isa));
    let mut context = FunctionBuilderContext::new();
    let builder = FunctionBuilder::new(&mut clif, &mut context);
    let mut lowering = Lowering { builder, function, target, values: SecondaryMap::new() };
    lowering.start();
    lowering.block(&function.body);
    lowering.builder.ins().return_(&[]);
    lowering.builder.seal_all_blocks();
    lowering.builder.finalize(isa.frontend_config());
    clif
}

struct Lowering<'a> {
    builder: FunctionBuilder<'a>,
    function: &'a Function,
    target: &'a Target,
    values: SecondaryMap<Val, PackedOption<Value>>,
}

impl Lowering<'_> {
    fn start(&mut self) {
        let entry = self.builder.create_block();
        self.builder.append_block_params_for_function_params(entry);
        self.builder.switch_to_block(entry);
        let arguments = self.builder.block_params(entry).to_vec();
        self.define(&self.function.params, &arguments);
    }

    fn block(&mut self, block: &Block) {
        for (results, inst) in &block.insts {
            match inst {
                Inst::Loop(l) => self.for_loop(results, l),
                Inst::If(i) => self.branch(results, i),
                _ => {
                    if let Some(value) = self.inst(inst) {
                        self.define(results, &[value]);
                    }
                }
            }
        }
    }

    /// The value an instruction defines; none for stores.
    fn inst(&mut self, inst: &Inst) -> Option<Value> {
        match inst {
            Inst::StoreInt { .. }
            | Inst::StoreF32 { .. }
            | Inst::Store { .. }
            | Inst::StorePartial { .. }
            | Inst::StoreChunks { .. }
            | Inst::StorePartialChunks { .. } => {
                self.store(inst);
                None
            }
            Inst::LoadInt { .. }
            | Inst::LoadF32 { .. }
            | Inst::Load { .. }
            | Inst::LoadPartial { .. }
            | Inst::LoadChunks { .. }
            | Inst::LoadPartialChunks { .. }
            | Inst::LoadSplat32 { .. }
            | Inst::LoadWiden { .. } => Some(self.load(inst)),
            Inst::ConstI64(_)
            | Inst::ConstF32(_)
            | Inst::Int(..)
            | Inst::IntCmp(..)
            | Inst::Choose(..)
            | Inst::PtrAdd(..)
            | Inst::IntToFloat(_)
            | Inst::FloatToInt(_)
            | Inst::FloatBits(_)
            | Inst::FloatFromBits(_)
            | Inst::FloatCmp(..) => Some(self.scalar(inst)),
            Inst::Madd(..) | Inst::MaddUbs { .. } | Inst::Dot4 { .. } => Some(self.multiply(inst)),
            Inst::Unchunk(value) => Some(self.get(*value)),
            Inst::Pack(..)
            | Inst::Interleave { .. }
            | Inst::Shuffle { .. }
            | Inst::ShuffleBy { .. }
            | Inst::Reduce(..) => Some(self.rearrange(inst)),
            Inst::VecConst { .. }
            | Inst::Splat { .. }
            | Inst::Vec(..)
            | Inst::Shift(..)
            | Inst::VecCmp(..)
            | Inst::VecSelect { .. }
            | Inst::Cast { .. }
            | Inst::ToFloat(_)
            | Inst::ToInt(_)
            | Inst::Float(..)
            | Inst::Fused(..)
            | Inst::FloatUnary(..)
            | Inst::FloatVecCmp(..) => Some(self.vector(inst)),
            Inst::Prefetch(..) => None,
            Inst::Scratch => Some(self.scratch()),
            Inst::Tile(_) => unreachable!("internal error: a kernel with tiles is refused"),
            Inst::Loop(_) | Inst::If(_) => unreachable!("internal error: control is lowered with its block"),
        }
    }

    /// The address of the kernel's own memory, once in a kernel.
    fn scratch(&mut self) -> Value {
        /// Of 64 bytes.
        const LOG2_ALIGN: u8 = 6;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, self.function.scratch as u32, LOG2_ALIGN);
        let slot = self.builder.create_sized_stack_slot(data);
        self.builder.ins().stack_addr(types::I64, slot, 0)
    }

    fn define(&mut self, results: &[Val], values: &[Value]) {
        for (&result, &value) in results.iter().zip(values) {
            self.values[result] = value.into();
        }
    }

    fn get(&self, value: Val) -> Value {
        match self.values[value].expand() {
            Some(value) => value,
            None => panic!("internal error: {value} of kernel {} is used before it is defined", self.function.name),
        }
    }

    fn ty(&self, value: Val) -> Ty {
        self.function.values[value]
    }

    /// The same bits as another vector type; lanes are little-endian on every target.
    fn cast(&mut self, ty: Type, value: Value) -> Value {
        if self.builder.func.dfg.value_type(value) == ty {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.builder.ins().bitcast(ty, flags, value)
    }
}

/// The type of a value in Cranelift.
fn clif_type(ty: Ty) -> Type {
    match ty {
        Ty::Ptr | Ty::I64 => types::I64,
        Ty::F32 => types::F32,
        Ty::V8 => types::I8X16,
        Ty::V16 => types::I16X8,
        Ty::V32 => types::I32X4,
        Ty::VF32 => types::F32X4,
    }
}
