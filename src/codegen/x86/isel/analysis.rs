//! What selection knows about a kernel before it starts: which values are the same, which are constant integers, and who
//! uses what where.

use cranelift_entity::{EntitySet, SecondaryMap, packed_option::PackedOption};

use crate::simd::ir::{Addr, Block, Function, Inst, IntOp, Val};

/// Uses of a value; a value that stands for another has none, they count for the other.
#[derive(Clone, Copy, Default)]
struct Uses {
    count: u32,
    /// Of them: as the base of an address, in the defining block.
    as_base: u32,
    block: u32,
}

/// Facts about the values of a kernel. Values that stand for others are looked through everywhere.
pub struct Facts {
    same: SecondaryMap<Val, PackedOption<Val>>,
    ints: SecondaryMap<Val, Option<i64>>,
    uses: SecondaryMap<Val, Uses>,
    /// Used outside the block that defines it.
    foreign: EntitySet<Val>,
    blocks: u32,
}

impl Facts {
    pub fn new(function: &Function) -> Facts {
        let mut facts = Facts {
            same: SecondaryMap::new(),
            ints: SecondaryMap::new(),
            uses: SecondaryMap::new(),
            foreign: EntitySet::new(),
            blocks: 0,
        };
        facts.simplify(&function.body);
        facts.block(&function.body, &[]);
        facts
    }

    /// The value this one stands for.
    pub fn canonical(&self, value: Val) -> Val {
        self.same[value].expand().unwrap_or(value)
    }

    pub fn int(&self, value: Val) -> Option<i64> {
        self.ints[self.canonical(value)]
    }

    pub fn uses(&self, value: Val) -> u32 {
        self.uses[self.canonical(value)].count
    }

    /// Whether nobody needs the value behind its only use: a register that is overwritten there costs no move.
    pub fn has_one_use(&self, value: Val) -> bool {
        let value = self.canonical(value);
        self.uses[value].count == 1 && !self.foreign.contains(value)
    }

    /// Whether an address takes every use, in the block that defines the value.
    pub fn only_addresses(&self, value: Val) -> bool {
        let value = self.canonical(value);
        self.uses[value].as_base == self.uses[value].count && !self.foreign.contains(value)
    }

    fn simplify(&mut self, block: &Block) {
        for (results, inst) in &block.insts {
            match inst {
                Inst::Loop(l) => self.simplify(&l.body),
                Inst::If(i) => {
                    self.simplify(&i.then_block);
                    self.simplify(&i.else_block);
                }
                _ => {
                    if let &[result] = results.as_slice() {
                        self.ints[result] = self.fold(inst);
                        self.same[result] = self.copy_of(inst).map(|value| self.canonical(value)).into();
                    }
                }
            }
        }
    }

    fn fold(&self, inst: &Inst) -> Option<i64> {
        match *inst {
            Inst::ConstI64(value) => Some(value),
            Inst::Int(op, a, b) => {
                let (a, b) = (self.int(a), self.int(b));
                match (op, a, b) {
                    (IntOp::Mul, Some(0), _) | (IntOp::Mul, _, Some(0)) => Some(0),
                    (IntOp::Add, Some(a), Some(b)) => Some(a.wrapping_add(b)),
                    (IntOp::Sub, Some(a), Some(b)) => Some(a.wrapping_sub(b)),
                    (IntOp::Mul, Some(a), Some(b)) => Some(a.wrapping_mul(b)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn copy_of(&self, inst: &Inst) -> Option<Val> {
        match *inst {
            Inst::Cast { value, .. } => Some(value),
            Inst::PtrAdd(a, b) if self.int(b) == Some(0) => Some(a),
            Inst::Int(IntOp::Add, a, b) => match (self.int(a), self.int(b)) {
                (_, Some(0)) => Some(a),
                (Some(0), _) => Some(b),
                _ => None,
            },
            Inst::Int(IntOp::Mul, a, b) => match (self.int(a), self.int(b)) {
                (_, Some(1)) => Some(a),
                (Some(1), _) => Some(b),
                _ => None,
            },
            _ => None,
        }
    }

    /// Counts the uses in a block; `leaving` are handed on at its end.
    fn block(&mut self, block: &Block, leaving: &[Val]) {
        let number = self.blocks;
        self.blocks += 1;
        self.block_numbered(block, leaving, number);
    }

    fn block_numbered(&mut self, block: &Block, leaving: &[Val], number: u32) {
        for (results, inst) in &block.insts {
            for &result in results {
                self.uses[result].block = number;
            }
            if !results.iter().any(|&result| self.same[result].is_some()) {
                inst.each_operand(&mut |operand| self.count(operand, number));
            }
            if let Some(Addr { base, .. }) = address_of(inst) {
                let base = self.canonical(base);
                self.uses[base].as_base += 1;
            }
            match inst {
                Inst::Loop(l) => {
                    let inside = self.blocks;
                    self.blocks += 1;
                    for &value in l.carried.iter().chain([&l.index]) {
                        self.uses[value].block = inside;
                    }
                    self.block_numbered(&l.body, &l.next, inside);
                }
                Inst::If(i) => {
                    self.block(&i.then_block, &i.then_values);
                    self.block(&i.else_block, &i.else_values);
                }
                _ => {}
            }
        }
        for &value in leaving {
            self.count(value, number);
        }
    }

    fn count(&mut self, value: Val, block: u32) {
        let value = self.canonical(value);
        self.uses[value].count += 1;
        if self.uses[value].block != block {
            self.foreign.insert(value);
        }
    }
}

/// The address an instruction reads or writes.
fn address_of(inst: &Inst) -> Option<Addr> {
    match *inst {
        Inst::Prefetch(_, addr)
        | Inst::LoadInt { addr, .. }
        | Inst::LoadF32 { addr, .. }
        | Inst::Load { addr, .. }
        | Inst::LoadPartial { addr, .. }
        | Inst::LoadChunks { addr, .. }
        | Inst::LoadPartialChunks { addr, .. }
        | Inst::LoadSplat32 { addr, .. }
        | Inst::LoadWiden { addr, .. }
        | Inst::StoreInt { addr, .. }
        | Inst::StoreF32 { addr, .. }
        | Inst::Store { addr, .. }
        | Inst::StorePartial { addr, .. }
        | Inst::StoreChunks { addr, .. }
        | Inst::StorePartialChunks { addr, .. } => Some(addr),
        _ => None,
    }
}

/// Calls `f` with every value a block and the blocks inside use, and hand on.
pub fn each_used(block: &Block, f: &mut impl FnMut(Val)) {
    for (_, inst) in &block.insts {
        inst.each_operand(f);
        match inst {
            Inst::Loop(l) => {
                each_used(&l.body, f);
                l.next.iter().copied().for_each(&mut *f);
            }
            Inst::If(i) => {
                for (block, values) in [(&i.then_block, &i.then_values), (&i.else_block, &i.else_values)] {
                    each_used(block, f);
                    values.iter().copied().for_each(&mut *f);
                }
            }
            _ => {}
        }
    }
}
