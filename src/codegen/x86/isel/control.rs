//! Loops and branches.
//!
//! A loop is tested at its end, with one test in front where it may run no iteration:
//!
//! ```text
//!   before:  branch lo >= hi, skip, enter
//!   enter:   jump body(init, lo)
//!   body(carried, index):
//!            ...
//!            branch index + step < hi, latch, done
//!   latch:   jump body(next, index + step)
//!   done:    jump exit(next)
//!   skip:    jump exit(init)
//!   exit(results):
//! ```
//!
//! A loop whose body does not use the index counts down what is left instead. `latch` holds what the register allocator moves on
//! the way back: nothing, in a good loop; then it is no code.
//!
//! An innermost loop keeps the constants it uses in registers, as far as there are enough besides what lives through it,
//! and then the vectors it would read from memory several times.

use std::collections::{BTreeMap, BTreeSet};

use regalloc2::VReg;

use super::analysis::each_used;
use super::scalar::by_size;
use super::vector::ONES16;
use super::{Reread, Selector};
use crate::codegen::x86::inst::{Builder, Condition, INT, Source, VECTOR};
use crate::codegen::x86::outline::Part;
use crate::simd::ir::{Block, CHUNK, FloatOp, If, Inst, Loop, Mem, Ty, Val, VecOp};
use iced_x86::Code;

impl<'a> Selector<'a> {
    /// Gives the loop and the block behind it.
    pub(super) fn for_loop(&mut self, results: &[Val], l: &'a Loop) -> Vec<Part<usize>> {
        self.prepare(&[&l.body], &l.next);
        let trip = (self.facts.int(l.lo), self.facts.int(l.hi));
        if let (Some(lo), Some(hi)) = trip
            && lo >= hi
        {
            let init: Vec<VReg> = l.init.iter().map(|&value| self.reg(value)).collect();
            self.define(results, &init);
            return vec![Part::Skipped];
        }
        let always = matches!(trip, (Some(_), Some(_)));
        let [enter, body, latch, done, skip, exit] = std::array::from_fn(|_| self.cfg.label());
        let counter = if self.facts.uses(l.index) > 0 { Counter::Index } else { Counter::Left };
        let outside = self.keep_constants(l);
        let strides = self.keep_strides(l);
        let init: Vec<VReg> = l.init.iter().map(|&value| self.reg(value)).collect();
        let first = self.first_count(counter, l);
        let mut enter_args = init.clone();
        enter_args.push(first);
        if always {
            self.cfg.jump(body, enter_args);
        } else {
            let (step, operands) = self.compare(Vec::new(), l.lo, l.hi);
            self.cfg.branch((step, operands), Condition::GreaterEqual, [skip, enter]);
            self.cfg.start(enter, Vec::new());
            self.cfg.jump(body, enter_args);
        }

        let mut params = self.params_of(&l.carried);
        let count = self.cfg.vreg(INT);
        params.push(count);
        self.cfg.start(body, params);
        self.regs[l.index] = (counter == Counter::Index).then_some(count);
        let outline = self.block(&l.body);
        // in the order the kernel computes them: it finishes with an operand before it begins with the next
        let mut computed = l.next.clone();
        computed.sort_unstable();
        computed.iter().for_each(|&value| self.need(value));
        let mut next: Vec<VReg> = l.next.iter().map(|&value| self.reg(value)).collect();
        self.loads.clear();
        self.repeat(counter, l, count, &mut next, [latch, done]);

        self.cfg.start(latch, Vec::new());
        let leaving = next[..l.next.len()].to_vec();
        self.cfg.jump(body, next);
        self.cfg.start(done, Vec::new());
        self.cfg.jump(exit, leaving);
        if !always {
            self.cfg.start(skip, Vec::new());
            self.cfg.jump(exit, init);
        }
        (self.kept, self.reread, self.strides) = (outside.0, outside.1, strides);
        let params = self.params_of(results);
        self.cfg.start(exit, params);
        vec![Part::Loop(outline), Part::Straight(self.cfg.current())]
    }

    /// The counter of the first iteration.
    fn first_count(&mut self, counter: Counter, l: &Loop) -> VReg {
        match (counter, self.facts.int(l.lo), self.facts.int(l.hi)) {
            (Counter::Index, ..) => self.reg(l.lo),
            (Counter::Left, Some(lo), Some(hi)) => self.int_const(hi.wrapping_sub(lo)),
            (Counter::Left, Some(0), None) => self.reg(l.hi),
            (Counter::Left, ..) => {
                let (hi, lo) = (self.reg(l.hi), self.reg(l.lo));
                self.update(Code::Sub_r64_rm64, hi, &[lo.into()])
            }
        }
    }

    /// Counts, and ends the body of a loop.
    fn repeat(
        &mut self,
        counter: Counter,
        l: &Loop,
        count: VReg,
        next: &mut Vec<VReg>,
        targets: [crate::codegen::x86::cfg::Label; 2],
    ) {
        let (comparison, condition) = match counter {
            Counter::Index => {
                let index = self.step(count, l.step);
                next.push(index);
                let comparison = match self.immediate(l.hi) {
                    Some(hi) => {
                        let code = by_size(hi, Code::Cmp_rm64_imm8, Code::Cmp_rm64_imm32);
                        Builder::new(code).read(index).imm(hi)
                    }
                    None => {
                        let hi = self.reg(l.hi);
                        Builder::new(Code::Cmp_r64_rm64).read(index).read(hi)
                    }
                };
                (comparison, Condition::Less)
            }
            Counter::Left => {
                let left = self.step(count, -l.step);
                next.push(left);
                (Builder::new(Code::Test_rm64_r64).read(left).read(left), Condition::Greater)
            }
        };
        self.cfg.branch(comparison.into_parts(), condition, targets);
    }

    /// Only loops add so; the code of a branch on the result relies on it (`emit`).
    fn step(&mut self, count: VReg, step: i64) -> VReg {
        match i32::try_from(step) {
            Ok(step) => {
                let code = by_size(step.into(), Code::Add_rm64_imm8, Code::Add_rm64_imm32);
                self.update(code, count, &[Source::Imm(step.into())])
            }
            Err(_) => {
                let step = self.int_const(step);
                self.update(Code::Add_r64_rm64, count, &[step.into()])
            }
        }
    }

    /// Gives the branch and the block behind it.
    pub(super) fn branch(&mut self, results: &[Val], i: &'a If) -> Vec<Part<usize>> {
        self.prepare(&[&i.then_block, &i.else_block], &[i.then_values.as_slice(), &i.else_values].concat());
        let [then_block, else_block, after] = std::array::from_fn(|_| self.cfg.label());
        let (step, operands, condition) = self.test(Vec::new(), i.condition);
        self.cfg.branch((step, operands), condition, [then_block, else_block]);
        let ways = [(then_block, &i.then_block, &i.then_values), (else_block, &i.else_block, &i.else_values)];
        let outlines = ways.map(|(label, block, values)| {
            self.cfg.start(label, Vec::new());
            let outline = self.block(block);
            let values: Vec<VReg> = values.iter().map(|&value| self.reg(value)).collect();
            self.loads.clear();
            self.cfg.jump(after, values);
            outline
        });
        let params = self.params_of(results);
        self.cfg.start(after, params);
        vec![Part::If(outlines), Part::Straight(self.cfg.current())]
    }

    /// Emits what blocks inside use of the waiting values, and the loads that must not enter them.
    fn prepare(&mut self, blocks: &[&Block], leaving: &[Val]) {
        self.flush_loads();
        let mut used: BTreeSet<Val> = leaving.iter().copied().collect();
        for block in blocks {
            each_used(block, &mut |value| {
                used.insert(value);
            });
        }
        for value in used {
            if self.waiting[self.facts.canonical(value)].is_some() {
                self.need(value);
            }
        }
    }

    /// New registers for values that a block receives.
    fn params_of(&mut self, values: &[Val]) -> Vec<VReg> {
        let regs: Vec<VReg> = values
            .iter()
            .map(|&value| match self.ty(value) {
                Ty::Ptr | Ty::I64 => self.cfg.vreg(INT),
                Ty::F32 | Ty::V8 | Ty::V16 | Ty::V32 | Ty::VF32 => self.cfg.vreg(VECTOR),
            })
            .collect();
        self.define(values, &regs);
        regs
    }

    fn define(&mut self, values: &[Val], regs: &[VReg]) {
        for (&value, &reg) in values.iter().zip(regs) {
            self.regs[value] = Some(reg);
        }
    }

    /// Decides which constants an innermost loop keeps in registers and loads them; gives what was decided outside.
    fn keep_constants(&mut self, l: &'a Loop) -> (Vec<([u8; CHUNK], VReg)>, Reread) {
        let outside = (std::mem::take(&mut self.kept), std::mem::replace(&mut self.reread, Reread::InOperands));
        if l.body.insts.iter().any(|(_, inst)| matches!(inst, Inst::Loop(_) | Inst::If(_))) {
            return outside;
        }
        let needs = Needs::of(self, l);
        let registers: usize = if self.wide { 32 } else { 16 };
        let mut free = registers.saturating_sub(needs.living + needs.temporaries);
        let most = if self.wide && divides(l) { CONSTANTS_BESIDE_CHAINS } else { free };
        let mut constants: Vec<([u8; CHUNK], usize)> = needs.constants.into_iter().collect();
        constants.sort_by_key(|&(chunk, uses)| (std::cmp::Reverse(uses), chunk));
        for (chunk, _) in constants.into_iter().take(free.min(most)) {
            let reg = self.vec_const(chunk);
            self.kept.push((chunk, reg));
            free -= 1;
        }
        self.reread = Reread::AllBut(needs.shared_loads.into_iter().take(free).collect());
        outside
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counter {
    /// The index, up to `hi`.
    Index,
    /// What is left of `hi - index`, down to nothing.
    Left,
}

/// Vector registers an innermost loop asks for.
struct Needs {
    /// Values carried, and those from outside.
    living: usize,
    /// Values of one iteration beside those counted below: an estimate.
    temporaries: usize,
    constants: BTreeMap<[u8; CHUNK], usize>,
    /// Vectors of constant memory with several uses.
    shared_loads: Vec<Val>,
}

impl Needs {
    fn of(selector: &Selector<'_>, l: &Loop) -> Needs {
        let is_vector = |value: Val| !matches!(selector.ty(value), Ty::Ptr | Ty::I64);
        let mut inside: BTreeMap<Val, &Inst> = BTreeMap::new();
        let temporaries = temporaries(l, selector.dot4.is_some());
        let mut needs = Needs { living: 0, temporaries, constants: BTreeMap::new(), shared_loads: Vec::new() };
        let mut from_outside: BTreeSet<Val> = BTreeSet::new();
        for (results, inst) in &l.body.insts {
            inside.extend(results.iter().map(|&result| (result, inst)));
            inst.each_operand(&mut |operand| {
                let operand = selector.facts.canonical(operand);
                match inside.get(&operand).copied().or(selector.waiting[operand]) {
                    Some(Inst::VecConst { chunk, .. }) => *needs.constants.entry(*chunk).or_default() += 1,
                    _ if is_vector(operand) && !inside.contains_key(&operand) => {
                        from_outside.insert(operand);
                    }
                    _ => {}
                }
            });
            match inst {
                Inst::Dot4 { any: false, .. } if selector.dot4.is_none() => {
                    *needs.constants.entry(ONES16).or_default() += 1
                }
                Inst::Shuffle { pattern, .. } => *needs.constants.entry(*pattern).or_default() += 1,
                Inst::Load { mem: Mem::Const, .. } if selector.facts.uses(results[0]) > 1 => {
                    needs.shared_loads.push(results[0]);
                }
                _ => {}
            }
        }
        from_outside.extend(l.carried.iter().filter(|&&value| is_vector(value)));
        needs.living = from_outside.len();
        needs
    }
}

/// Constants that registers hold in a loop of chains so long that more of them side by side are worth more.
const CONSTANTS_BESIDE_CHAINS: usize = 4;

fn divides(l: &Loop) -> bool {
    l.body.insts.iter().any(|(_, inst)| matches!(inst, Inst::Float(FloatOp::Div, ..)))
}

/// A loop of products needs a register for a broadcast, and one for a product on its way to the sum (of pairs: for each of two
/// products) unless one instruction does both. Others are given one more, for they have longer ways; and if they interleave what they multiply, as many again,
/// for that comes in pairs.
fn temporaries(l: &Loop, has_dot4: bool) -> usize {
    let has = |wanted: fn(&Inst) -> bool| l.body.insts.iter().any(|(_, inst)| wanted(inst));
    if has(|inst| matches!(inst, Inst::Interleave { .. })) && has(|inst| matches!(inst, Inst::Dot4 { .. })) {
        return 6;
    }
    let only_products = l.body.insts.iter().all(|(_, inst)| {
        matches!(
            inst,
            Inst::Dot4 { .. }
                | Inst::MaddUbs { .. }
                | Inst::Madd(..)
                | Inst::Vec(VecOp::Add, ..)
                | Inst::Fused(..)
                | Inst::VecConst { .. }
                | Inst::Load { .. }
                | Inst::LoadSplat32 { .. }
                | Inst::LoadInt { .. }
                | Inst::PtrAdd(..)
                | Inst::ConstI64(_)
        )
    });
    let in_one = has_dot4 || !has(|inst| matches!(inst, Inst::Dot4 { .. } | Inst::Madd(..) | Inst::MaddUbs { .. }));
    match (only_products, in_one) {
        (true, true) => 1,
        (true, false) => 2,
        (false, _) => 3,
    }
}
