//! What every kernel must satisfy before it is run or compiled.
//!
//! - Every value is defined once, before its uses, in the same block or a block around it.
//! - Operands and results have the types of their instruction, results their number.
//! - Loops step forward and carry as many values as they define; both branches of an `If` give what it defines.
//! - Tiles have the shapes registers can have, and products the shapes of products.
//! - Partial accesses have fewer bytes than a vector, shifts fewer bits than a lane, shuffle patterns stay in their
//!   chunk, and lane sizes of interleaves are 1, 2, 4 or 8.
//!
//! Not checked here: that addresses lie in memory, and the obligations of `Dot4` and `ToInt` (the interpreter does).

use std::fmt::Display;

use cranelift_entity::EntitySet;

use super::ir::{Addr, Block, CHUNK, Function, If, Inst, Loop, Pack, Reduction, ShiftOp, Ty, Val, VecOp};
use super::print::Line;
use super::tiles::{TileInst, shape_problem};

/// All problems of a kernel, one a line. They are bugs of the code that built it.
pub fn verify(function: &Function) -> Result<(), String> {
    let mut verifier =
        Verifier { function, defined: EntitySet::new(), visible: EntitySet::new(), problems: Vec::new() };
    for problem in function.tiles.iter().flatten().filter_map(|&shape| shape_problem(shape)) {
        verifier.problem(&"the tiles", problem);
    }
    for &param in &function.params {
        verifier.define(param, &"the parameters");
    }
    verifier.block(&function.body, &[]);
    if verifier.problems.is_empty() {
        return Ok(());
    }
    Err(format!("kernel {}:\n{}", function.name, verifier.problems.join("\n")))
}

struct Verifier<'a> {
    function: &'a Function,
    defined: EntitySet<Val>,
    /// Defined in the block being checked or one around it.
    visible: EntitySet<Val>,
    problems: Vec<String>,
}

/// What an instruction expects of its operands and gives as its results.
struct Signature {
    operands: Vec<(Val, Ty)>,
    results: Vec<Ty>,
}

impl Verifier<'_> {
    /// `leaving`: values the block hands on, used at its end.
    fn block(&mut self, block: &Block, leaving: &[Val]) {
        let outside = self.visible.clone();
        for (results, inst) in &block.insts {
            let place = Line(results, inst);
            match inst {
                Inst::Loop(l) => self.for_loop(results, l, &place),
                Inst::If(i) => self.branch(results, i, &place),
                _ => self.inst(results, inst, &place),
            }
            for &result in results {
                self.define(result, &place);
            }
        }
        for &value in leaving {
            self.visible(value, &"the end of a block");
        }
        self.visible = outside;
    }

    fn define(&mut self, value: Val, place: &dyn Display) {
        if !self.function.values.is_valid(value) {
            return self.problem(place, &format!("{value} does not exist"));
        }
        if !self.defined.insert(value) {
            self.problem(place, &format!("{value} is defined twice"));
        }
        self.visible.insert(value);
    }

    fn problem(&mut self, place: &dyn Display, problem: &str) {
        self.problems.push(format!("  {place}: {problem}"));
    }

    fn visible(&mut self, value: Val, place: &dyn Display) {
        if !self.visible.contains(value) {
            self.problem(place, &format!("{value} is not defined here"));
        }
    }

    fn expect(&mut self, value: Val, ty: Ty, place: &dyn Display) {
        self.visible(value, place);
        match self.function.values.get(value) {
            Some(&found) if found != ty => self.problem(place, &format!("{value} is {found}, not {ty}")),
            _ => {}
        }
    }

    fn same_types(&mut self, a: &[Val], b: &[Val], place: &dyn Display) {
        let types = |values: &[Val]| -> Vec<Option<Ty>> {
            values.iter().map(|&value| self.function.values.get(value).copied()).collect()
        };
        if types(a) != types(b) {
            self.problem(place, &format!("{a:?} and {b:?} differ in number or types"));
        }
    }

    fn for_loop(&mut self, results: &[Val], l: &Loop, place: &dyn Display) {
        self.expect(l.lo, Ty::I64, place);
        self.expect(l.hi, Ty::I64, place);
        for &value in &l.init {
            self.visible(value, place);
        }
        if l.step <= 0 {
            self.problem(place, "the step is not positive");
        }
        for list in [&l.carried, &l.next, &results.to_vec()] {
            self.same_types(&l.init, list, place);
        }
        let outside = self.visible.clone();
        for &value in l.carried.iter().chain([&l.index]) {
            self.define(value, place);
        }
        self.block(&l.body, &l.next);
        self.visible = outside;
    }

    fn branch(&mut self, results: &[Val], i: &If, place: &dyn Display) {
        self.expect(i.condition, Ty::I64, place);
        self.block(&i.then_block, &i.then_values);
        self.block(&i.else_block, &i.else_values);
        self.same_types(results, &i.then_values, place);
        self.same_types(results, &i.else_values, place);
    }

    fn inst(&mut self, results: &[Val], inst: &Inst, place: &dyn Display) {
        if let Some(problem) = self.immediate(inst) {
            self.problem(place, problem);
        }
        let signature = self.signature(inst);
        for (value, ty) in signature.operands {
            self.expect(value, ty, place);
        }
        let types: Vec<Ty> = results.iter().filter_map(|&value| self.function.values.get(value).copied()).collect();
        if types != signature.results {
            self.problem(place, &format!("gives {types:?}, not {:?}", signature.results));
        }
    }

    /// What is wrong with the numbers in an instruction.
    fn immediate(&self, inst: &Inst) -> Option<&'static str> {
        let width = self.function.width.bytes();
        match inst {
            Inst::LoadPartial { bytes, .. } | Inst::StorePartial { bytes, .. } if *bytes >= width => {
                Some("a partial access of a whole vector")
            }
            Inst::Shift(_, value, bits) if usize::from(*bits) >= 8 * self.ty(*value).lane_bytes() => {
                Some("a shift by a whole lane or more")
            }
            Inst::Shuffle { pattern, .. } if pattern.iter().any(|&from| from != 0x80 && usize::from(from) >= CHUNK) => {
                Some("a shuffle from outside the chunk")
            }
            Inst::Interleave { lane_bytes, .. } if ![1, 2, 4, 8].contains(lane_bytes) => {
                Some("an interleave of lanes that are not 1, 2, 4 or 8 bytes")
            }
            Inst::Tile(inst) => inst.problem(self.function.tiles.as_ref()),
            Inst::Fused(..) if !self.function.fma => Some("the target has no fused multiplication and addition"),
            Inst::Scratch if self.function.scratch == 0 => Some("the kernel has no scratch memory"),
            Inst::Vec(VecOp::Mul, a, _) if self.ty(*a) == Ty::V8 => Some("a product of V8"),
            _ => None,
        }
    }

    /// The type of a value; I64 where it does not exist, which is reported elsewhere.
    fn ty(&self, value: Val) -> Ty {
        self.function.values.get(value).copied().unwrap_or(Ty::I64)
    }

    fn signature(&self, inst: &Inst) -> Signature {
        let unary = |value, from, to| Signature { operands: vec![(value, from)], results: vec![to] };
        let binary = |a, b, from, to| Signature { operands: vec![(a, from), (b, from)], results: vec![to] };
        match *inst {
            Inst::ConstI64(_) => Signature { operands: vec![], results: vec![Ty::I64] },
            Inst::ConstF32(_) => Signature { operands: vec![], results: vec![Ty::F32] },
            Inst::Int(_, a, b) | Inst::IntCmp(_, a, b) => binary(a, b, Ty::I64, Ty::I64),
            Inst::Choose(condition, a, b) => {
                let ty = self.one_of(a, &[Ty::I64, Ty::Ptr, Ty::F32]);
                Signature { operands: vec![(condition, Ty::I64), (a, ty), (b, ty)], results: vec![ty] }
            }
            Inst::PtrAdd(base, bytes) => {
                Signature { operands: vec![(base, Ty::Ptr), (bytes, Ty::I64)], results: vec![Ty::Ptr] }
            }
            Inst::IntToFloat(value) | Inst::FloatFromBits(value) => unary(value, Ty::I64, Ty::F32),
            Inst::FloatToInt(value) | Inst::FloatBits(value) => unary(value, Ty::F32, Ty::I64),
            Inst::FloatCmp(_, a, b) => binary(a, b, Ty::F32, Ty::I64),
            Inst::Float(_, a, b) => {
                let ty = self.one_of(a, &[Ty::F32, Ty::VF32]);
                binary(a, b, ty, ty)
            }
            Inst::Fused(_, a, b, c) => {
                let ty = self.one_of(a, &[Ty::F32, Ty::VF32]);
                Signature { operands: vec![(a, ty), (b, ty), (c, ty)], results: vec![ty] }
            }
            Inst::FloatUnary(_, value) => {
                let ty = self.one_of(value, &[Ty::F32, Ty::VF32]);
                unary(value, ty, ty)
            }
            _ => self.memory_signature(inst).unwrap_or_else(|| self.vector_signature(inst)),
        }
    }

    /// The type of `value` if it is allowed, else the first allowed one.
    fn one_of(&self, value: Val, allowed: &[Ty]) -> Ty {
        let ty = self.ty(value);
        if allowed.contains(&ty) { ty } else { allowed[0] }
    }

    fn memory_signature(&self, inst: &Inst) -> Option<Signature> {
        let load = |addr: Addr, to| Some(Signature { operands: vec![(addr.base, Ty::Ptr)], results: vec![to] });
        let store = |addr: Addr, value, from| {
            Some(Signature { operands: vec![(addr.base, Ty::Ptr), (value, from)], results: vec![] })
        };
        match *inst {
            Inst::LoadInt { addr, .. } => load(addr, Ty::I64),
            Inst::LoadF32 { addr, .. } => load(addr, Ty::F32),
            Inst::Load { ty, addr, .. }
            | Inst::LoadPartial { ty, addr, .. }
            | Inst::LoadChunks { ty, addr, .. }
            | Inst::LoadPartialChunks { ty, addr, .. }
            | Inst::LoadSplat32 { ty, addr, .. } => load(addr, ty),
            Inst::LoadWiden { widen, addr, .. } => load(addr, widen.result()),
            Inst::StoreInt { addr, value, .. } => store(addr, value, Ty::I64),
            Inst::StoreF32 { addr, value } => store(addr, value, Ty::F32),
            Inst::Prefetch(_, addr) => Some(Signature { operands: vec![(addr.base, Ty::Ptr)], results: vec![] }),
            Inst::Scratch => Some(Signature { operands: vec![], results: vec![Ty::Ptr] }),
            Inst::Tile(inst) => Some(tile_signature(inst)),
            Inst::Store { addr, value }
            | Inst::StorePartial { addr, value, .. }
            | Inst::StoreChunks { addr, value, .. }
            | Inst::StorePartialChunks { addr, value, .. } => {
                store(addr, value, self.one_of(value, &[Ty::V8, Ty::V16, Ty::V32, Ty::VF32]))
            }
            _ => None,
        }
    }

    fn vector_signature(&self, inst: &Inst) -> Signature {
        let unary = |value, from, to| Signature { operands: vec![(value, from)], results: vec![to] };
        let binary = |a, b, from, to| Signature { operands: vec![(a, from), (b, from)], results: vec![to] };
        let integer = |value| self.one_of(value, &[Ty::V8, Ty::V16, Ty::V32]);
        let any = |value| self.one_of(value, &[Ty::V8, Ty::V16, Ty::V32, Ty::VF32]);
        match *inst {
            Inst::VecConst { ty, .. } => Signature { operands: vec![], results: vec![ty] },
            Inst::Splat { ty, value } => unary(value, if ty == Ty::VF32 { Ty::F32 } else { Ty::I64 }, ty),
            Inst::Vec(_, a, b) | Inst::VecCmp(_, a, b) => binary(a, b, integer(a), integer(a)),
            Inst::Shift(ShiftOp::Left | ShiftOp::RightUnsigned | ShiftOp::RightSigned, value, _) => {
                unary(value, integer(value), integer(value))
            }
            Inst::VecSelect { mask, a, b } => {
                let ty = any(a);
                let same_lanes = self.ty(mask).is_vector() && self.ty(mask).lane_bytes() == ty.lane_bytes();
                let mask_ty = if same_lanes { self.ty(mask) } else { ty };
                Signature { operands: vec![(mask, mask_ty), (a, ty), (b, ty)], results: vec![ty] }
            }
            Inst::Madd(a, b) => binary(a, b, Ty::V16, Ty::V32),
            Inst::MaddUbs { u, s } => binary(u, s, Ty::V8, Ty::V16),
            Inst::Dot4 { acc, u, s, .. } => {
                Signature { operands: vec![(acc, Ty::V32), (u, Ty::V8), (s, Ty::V8)], results: vec![Ty::V32] }
            }
            Inst::Cast { ty, value } => unary(value, any(value), ty),
            Inst::ToFloat(value) => unary(value, Ty::V32, Ty::VF32),
            Inst::ToInt(value) => unary(value, Ty::VF32, Ty::V32),
            Inst::FloatVecCmp(_, a, b) => binary(a, b, Ty::VF32, Ty::V32),
            Inst::Pack(Pack::I32ToI16, a, b) => binary(a, b, Ty::V32, Ty::V16),
            Inst::Pack(Pack::I16ToI8 | Pack::I16ToU8, a, b) => binary(a, b, Ty::V16, Ty::V8),
            Inst::Interleave { a, b, .. } => binary(a, b, any(a), any(a)),
            Inst::ShuffleBy { table, indices } => binary(table, indices, Ty::V8, Ty::V8),
            Inst::Shuffle { value, .. } | Inst::Unchunk(value) => unary(value, any(value), any(value)),
            Inst::Reduce(Reduction::AddI32 | Reduction::MaxI32, value) => unary(value, Ty::V32, Ty::I64),
            Inst::Reduce(Reduction::AddF32 | Reduction::MaxF32 | Reduction::MinF32, value) => {
                unary(value, Ty::VF32, Ty::F32)
            }
            ref other => unreachable!("internal error: {other:?} is checked elsewhere"),
        }
    }
}

fn tile_signature(inst: TileInst) -> Signature {
    let operands = match inst {
        TileInst::Zero(_) | TileInst::Dot { .. } => vec![],
        TileInst::Load { addr, stride, .. } | TileInst::Store { addr, stride, .. } => {
            vec![(addr.base, Ty::Ptr), (stride, Ty::I64)]
        }
    };
    Signature { operands, results: vec![] }
}
