//! Instruction selection: from the tree of a kernel to machine instructions over virtual registers.
//!
//! Within a block selection goes by demand. Instructions with effects (stores, loops, branches) keep their order; everything
//! else waits until a value is needed and is emitted just there. So a load becomes the memory operand of what uses it, few
//! values live at a time, and what nobody needs is never emitted. Three limits keep that right:
//!
//! - a load of [`Mem::Mutable`] memory is done before the next store, loop or branch;
//! - what a loop or a branch uses is emitted before it;
//! - constants are never kept: each use has its own, except in the innermost loops, which keep them in registers as far as
//!   there are enough (`control`).

mod analysis;
mod control;
mod fused;
mod memory;
mod scalar;
mod shuffle;
mod tiles;
mod vector;

use std::collections::BTreeSet;

use cranelift_entity::SecondaryMap;
use iced_x86::Code;
use octet_runtime::abi::cpu;
use regalloc2::{Operand, RegClass, VReg};

use super::cfg::{Cfg, CfgBuilder};
use super::codes::Pair;
use super::constants::{ConstId, Constants};
use super::inst::{ARGUMENTS, Address, Builder, INT, Inst as MachInst, Kind, Source, VECTOR};
use super::outline::{Outline, Part};
use crate::codegen::target::Target;
use crate::simd::ir::{Block, CHUNK, Function, Inst, Mem, Ty, Val, Width};
use analysis::Facts;

/// How long a chain of waiting instructions may get. It bounds the depth of recursion.
const LONGEST_CHAIN: u32 = 64;

/// A kernel as machine instructions.
pub struct Selection {
    pub cfg: Cfg,
    pub constants: Constants,
    /// Which basic blocks came from which part of the tree.
    pub outline: Outline<usize>,
}

/// Selects instructions for a kernel. At 128 bits, for which Cranelift makes the code, they are those of AVX: an estimate counts
/// them.
pub fn select(function: &Function, target: &Target) -> Selection {
    let wide = function.width == Width::W512;
    let mut selector = Selector {
        function,
        wide,
        dot4: dot4_code(wide, target),
        madd_add: madd_add_code(wide, target),
        facts: Facts::new(function),
        cfg: CfgBuilder::new(),
        constants: Constants::default(),
        regs: SecondaryMap::new(),
        waiting: SecondaryMap::new(),
        chain: SecondaryMap::new(),
        loads: Vec::new(),
        kept: Vec::new(),
        reread: Reread::InOperands,
        strides: Vec::new(),
    };
    selector.params();
    selector.configure_tiles();
    let outline = selector.block(&function.body);
    selector.release_tiles();
    let cfg = selector.cfg.finish(function.width.bytes(), function.scratch);
    Selection { cfg, constants: selector.constants, outline }
}

/// The instruction that multiplies and adds four bytes, if the target has one.
fn dot4_code(wide: bool, target: &Target) -> Option<Code> {
    match wide {
        true => target.has(cpu::AVX512_VNNI).then_some(Code::EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32),
        false if target.has(cpu::AVX_VNNI) => Some(Code::VEX_Vpdpbusd_ymm_ymm_ymmm256),
        false => target.has(cpu::AVX512_VNNI).then_some(Code::EVEX_Vpdpbusd_ymm_k1z_ymm_ymmm256b32),
    }
}

/// The instruction that multiplies pairs of 16-bit lanes and adds to 32 bits, if the target has one.
fn madd_add_code(wide: bool, target: &Target) -> Option<Code> {
    match wide {
        true => target.has(cpu::AVX512_VNNI).then_some(Code::EVEX_Vpdpwssd_zmm_k1z_zmm_zmmm512b32),
        false if target.has(cpu::AVX_VNNI) => Some(Code::VEX_Vpdpwssd_ymm_ymm_ymmm256),
        false => target.has(cpu::AVX512_VNNI).then_some(Code::EVEX_Vpdpwssd_ymm_k1z_ymm_ymmm256b32),
    }
}

/// What happens to vectors in [`Mem::Const`] memory that are used several times.
enum Reread {
    /// They are read again wherever they can be memory operands.
    InOperands,
    /// An innermost loop: these are loaded once, others are read again at every use.
    AllBut(BTreeSet<Val>),
}

struct Selector<'a> {
    function: &'a Function,
    /// 512 bits.
    wide: bool,
    dot4: Option<Code>,
    madd_add: Option<Code>,
    facts: Facts,
    cfg: CfgBuilder,
    constants: Constants,
    /// Values that are in registers.
    regs: SecondaryMap<Val, Option<VReg>>,
    /// What defines a value that is emitted when it is needed.
    waiting: SecondaryMap<Val, Option<&'a Inst>>,
    /// Waiting instructions one behind the other up to this value.
    chain: SecondaryMap<Val, u32>,
    /// Loads of mutable memory that wait.
    loads: Vec<Val>,
    /// Constants that a loop keeps in registers.
    kept: Vec<([u8; CHUNK], VReg)>,
    reread: Reread,
    /// Strides of tiles that a loop keeps in registers.
    strides: Vec<(i64, VReg)>,
}

impl<'a> Selector<'a> {
    fn params(&mut self) {
        let params = &self.function.params;
        let regs: Vec<VReg> = params.iter().map(|_| self.cfg.vreg(INT)).collect();
        let in_registers = regs.iter().zip(ARGUMENTS).map(|(&reg, place)| Operand::reg_fixed_def(reg, place)).collect();
        self.cfg.push(MachInst::new(Kind::Args, in_registers));
        for (i, (&param, &reg)) in params.iter().zip(&regs).enumerate() {
            if i >= ARGUMENTS.len() {
                let kind = Kind::StackArg(i - ARGUMENTS.len());
                self.cfg.push(MachInst::new(kind, vec![Operand::reg_def(reg)]));
            }
            self.regs[param] = Some(reg);
        }
    }

    fn block(&mut self, block: &'a Block) -> Outline<usize> {
        let mut parts = vec![Part::Straight(self.cfg.current())];
        for (results, inst) in &block.insts {
            match inst {
                Inst::Loop(l) => parts.extend(self.for_loop(results, l)),
                Inst::If(i) => parts.extend(self.branch(results, i)),
                _ => match *results.as_slice() {
                    [result] => self.wait(result, inst),
                    _ => self.store(inst),
                },
            }
        }
        Outline { parts }
    }

    fn wait(&mut self, result: Val, inst: &'a Inst) {
        self.waiting[result] = Some(inst);
        if mem_of(inst) == Some(Mem::Mutable) && self.facts.uses(result) > 0 {
            self.loads.push(result);
        }
        let mut longest = 0;
        inst.each_operand(&mut |operand| {
            let operand = self.facts.canonical(operand);
            longest = longest.max(if self.regs[operand].is_some() { 0 } else { self.chain[operand] });
        });
        self.chain[result] = longest + 1;
        if longest >= LONGEST_CHAIN && self.facts.uses(result) > 0 {
            self.reg(result);
        }
    }

    /// Does the loads that must not move past what comes now.
    fn flush_loads(&mut self) {
        for value in std::mem::take(&mut self.loads) {
            self.reg(value);
        }
    }

    /// The register of a value.
    fn reg(&mut self, value: Val) -> VReg {
        let value = self.facts.canonical(value);
        if let Some(reg) = self.regs[value] {
            return reg;
        }
        if let Some(int) = self.facts.int(value) {
            return self.int_const(int);
        }
        let Some(inst) = self.waiting[value] else {
            panic!("internal error: {value} of kernel {} is used before it is defined", self.function.name);
        };
        if let Inst::VecConst { chunk, .. } = inst {
            return self.vec_const(*chunk);
        }
        let reg = self.inst(inst);
        let again = match &self.reread {
            Reread::InOperands => false,
            Reread::AllBut(held) => matches!(inst, Inst::Load { mem: Mem::Const, .. }) && !held.contains(&value),
        };
        if !again && !matches!(inst, Inst::ConstF32(_)) {
            self.regs[value] = Some(reg);
        }
        reg
    }

    /// Puts a value into a register unless it is a constant, of which every use has its own.
    fn need(&mut self, value: Val) {
        let value = self.facts.canonical(value);
        let is_const = matches!(self.waiting[value], Some(Inst::VecConst { .. } | Inst::ConstF32(_)));
        if !is_const && self.facts.int(value).is_none() && self.regs[value].is_none() {
            self.reg(value);
        }
    }

    /// A value as an operand that may be in memory: a whole vector, or an F32.
    fn source(&mut self, value: Val) -> Source {
        let value = self.facts.canonical(value);
        if self.regs[value].is_some() {
            return self.reg(value).into();
        }
        match self.waiting[value] {
            Some(&Inst::VecConst { chunk, .. }) => self.vec_const_source(chunk),
            Some(&Inst::ConstF32(float)) => Source::Const(self.constants.add(float.to_le_bytes().to_vec())),
            Some(&(Inst::Load { addr, mem, .. } | Inst::LoadF32 { addr, mem })) if self.is_operand(value, mem) => {
                self.loads.retain(|&load| load != value);
                Source::Mem(self.address(addr, mem))
            }
            _ => self.reg(value).into(),
        }
    }

    /// Whether a load that waits is read by what uses it.
    fn is_operand(&self, value: Val, mem: Mem) -> bool {
        let is_held = matches!(&self.reread, Reread::AllBut(held) if held.contains(&value));
        self.facts.uses(value) == 1 || mem == Mem::Const && !is_held
    }

    /// Whether [`Self::source`] would be in memory.
    fn in_memory(&self, value: Val) -> bool {
        let value = self.facts.canonical(value);
        self.regs[value].is_none()
            && match self.waiting[value] {
                Some(Inst::VecConst { chunk, .. }) => self.kept_const(*chunk).is_none(),
                Some(Inst::ConstF32(_)) => true,
                Some(&(Inst::Load { mem, .. } | Inst::LoadF32 { mem, .. })) => self.is_operand(value, mem),
                _ => false,
            }
    }

    /// Whether the value is a constant that a loop keeps in a register.
    fn is_kept(&self, value: Val) -> bool {
        let value = self.facts.canonical(value);
        matches!(self.waiting[value], Some(Inst::VecConst { chunk, .. }) if self.kept_const(*chunk).is_some())
    }

    /// Two operands whose order does not matter; the second may be in memory.
    fn either_order(&mut self, a: Val, b: Val) -> (VReg, Source) {
        let (a, b) = if self.in_memory(a) && !self.in_memory(b) { (b, a) } else { (a, b) };
        (self.reg(a), self.source(b))
    }

    fn inst(&mut self, inst: &Inst) -> VReg {
        match inst {
            Inst::LoadInt { .. }
            | Inst::LoadF32 { .. }
            | Inst::Load { .. }
            | Inst::LoadPartial { .. }
            | Inst::LoadChunks { .. }
            | Inst::LoadPartialChunks { .. }
            | Inst::LoadSplat32 { .. }
            | Inst::LoadWiden { .. } => self.load(inst),
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
            | Inst::FloatCmp(..)
            | Inst::Scratch => self.scalar(inst),
            Inst::Pack(..)
            | Inst::Interleave { .. }
            | Inst::Shuffle { .. }
            | Inst::ShuffleBy { .. }
            | Inst::Unchunk(_)
            | Inst::Reduce(..) => self.rearrange(inst),
            Inst::VecConst { .. }
            | Inst::Splat { .. }
            | Inst::Vec(..)
            | Inst::Shift(..)
            | Inst::VecCmp(..)
            | Inst::VecSelect { .. }
            | Inst::Madd(..)
            | Inst::MaddUbs { .. }
            | Inst::Dot4 { .. }
            | Inst::Cast { .. }
            | Inst::ToFloat(_)
            | Inst::ToInt(_)
            | Inst::Float(..)
            | Inst::Fused(..)
            | Inst::FloatUnary(..)
            | Inst::FloatVecCmp(..) => self.vector(inst),
            Inst::StoreInt { .. }
            | Inst::StoreF32 { .. }
            | Inst::Store { .. }
            | Inst::StorePartial { .. }
            | Inst::StoreChunks { .. }
            | Inst::StorePartialChunks { .. }
            | Inst::Prefetch(..)
            | Inst::Tile(_)
            | Inst::Loop(_)
            | Inst::If(_) => unreachable!("internal error: {inst:?} is emitted in its place"),
        }
    }

    fn ty(&self, value: Val) -> Ty {
        self.function.values[value]
    }

    fn pick(&self, pair: Pair) -> Code {
        pair[usize::from(self.wide)]
    }

    // Emission of the commonest shapes.

    /// `code result, operands..`
    fn emit(&mut self, class: RegClass, code: Code, operands: &[Source]) -> VReg {
        let result = self.cfg.vreg(class);
        let start = Builder::new(code).def(result);
        let inst = operands.iter().fold(start, |inst, &operand| inst.read(operand)).one();
        self.cfg.push(inst);
        result
    }

    fn vector_inst(&mut self, pair: Pair, operands: &[Source]) -> VReg {
        let code = self.pick(pair);
        self.emit(VECTOR, code, operands)
    }

    /// `code source, operands..`, where the result takes the place of `source`.
    fn update(&mut self, code: Code, source: VReg, operands: &[Source]) -> VReg {
        let result = self.cfg.vreg(source.class());
        let start = Builder::new(code).update(result, source);
        let inst = operands.iter().fold(start, |inst, &operand| inst.read(operand)).one();
        self.cfg.push(inst);
        result
    }

    /// `code [address], operands..`
    fn write_memory(&mut self, code: Code, address: Address, operands: &[Source]) {
        let start = Builder::new(code).write(address);
        let inst = operands.iter().fold(start, |inst, &operand| inst.read(operand)).one();
        self.cfg.push(inst);
    }

    // Constants.

    /// The constant of a whole vector.
    fn chunk_id(&mut self, chunk: [u8; CHUNK]) -> ConstId {
        self.constants.add(chunk.repeat(self.function.width.chunks()))
    }

    fn kept_const(&self, chunk: [u8; CHUNK]) -> Option<VReg> {
        self.kept.iter().find(|(kept, _)| *kept == chunk).map(|&(_, reg)| reg)
    }

    fn vec_const_source(&mut self, chunk: [u8; CHUNK]) -> Source {
        match self.kept_const(chunk) {
            Some(reg) => reg.into(),
            None => Source::Const(self.chunk_id(chunk)),
        }
    }

    fn vec_const(&mut self, chunk: [u8; CHUNK]) -> VReg {
        if let Some(reg) = self.kept_const(chunk) {
            return reg;
        }
        if chunk == [0; CHUNK] {
            return self.zero_vector();
        }
        let id = self.chunk_id(chunk);
        self.vector_inst([Code::VEX_Vmovdqa_ymm_ymmm256, Code::EVEX_Vmovdqa32_zmm_k1z_zmmm512], &[Source::Const(id)])
    }
}

/// The memory an instruction loads from.
fn mem_of(inst: &Inst) -> Option<Mem> {
    match *inst {
        Inst::LoadInt { mem, .. }
        | Inst::LoadF32 { mem, .. }
        | Inst::Load { mem, .. }
        | Inst::LoadPartial { mem, .. }
        | Inst::LoadChunks { mem, .. }
        | Inst::LoadPartialChunks { mem, .. }
        | Inst::LoadSplat32 { mem, .. }
        | Inst::LoadWiden { mem, .. } => Some(mem),
        _ => None,
    }
}
