//! A kernel as basic blocks of machine instructions over virtual registers: what the register allocator works on.
//!
//! Invariants: every block ends in a jump, a branch or a return, and no other instruction is one; arguments are passed along
//! jumps only, so a block that branches goes to blocks that nothing else goes to (no critical edges); blocks and their
//! instructions have the order of the code to be.

use std::collections::BTreeSet;
use std::ops::Range;

use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap, entity_impl, packed_option::PackedOption};
use regalloc2::{Block, InstRange, Operand, OperandKind, PRegSet, RegClass, VReg};

use super::inst::{Condition, Inst, Kind, Step};

/// A block that other blocks may go to before it has been started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(u32);
entity_impl!(Label, "block");

#[derive(Debug, Default)]
struct BlockData {
    first: usize,
    end: usize,
    params: Vec<VReg>,
    succs: Vec<Block>,
    preds: Vec<Block>,
    /// Of the only successor.
    args: Vec<VReg>,
}

/// A finished kernel.
#[derive(Debug)]
pub struct Cfg {
    pub insts: Vec<Inst>,
    blocks: Vec<BlockData>,
    vregs: usize,
    /// Bytes of a vector register.
    vector_bytes: usize,
    /// Bytes of the kernel's own memory.
    pub scratch_bytes: usize,
}

impl Cfg {
    /// Vectors of 512 bits, of which there are 32 registers.
    pub fn is_wide(&self) -> bool {
        self.vector_bytes == 64
    }

    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The instructions of a block.
    pub fn block_range(&self, block: usize) -> Range<usize> {
        self.blocks[block].first..self.blocks[block].end
    }

    /// The values each block hands on to those behind it, its jump's arguments among them.
    pub fn live_out(&self) -> Vec<BTreeSet<VReg>> {
        let mut live_in = vec![BTreeSet::new(); self.blocks.len()];
        loop {
            let mut is_stable = true;
            for block in (0..self.blocks.len()).rev() {
                let mut live = self.live_behind(block, &live_in);
                for operand in self.insts[self.block_range(block)].iter().rev().flat_map(|inst| &inst.operands) {
                    match operand.kind() {
                        OperandKind::Use => _ = live.insert(operand.vreg()),
                        OperandKind::Def => _ = live.remove(&operand.vreg()),
                    }
                }
                self.blocks[block].params.iter().for_each(|param| _ = live.remove(param));
                is_stable &= live == live_in[block];
                live_in[block] = live;
            }
            if is_stable {
                return (0..self.blocks.len()).map(|block| self.live_behind(block, &live_in)).collect();
            }
        }
    }

    fn live_behind(&self, block: usize, live_in: &[BTreeSet<VReg>]) -> BTreeSet<VReg> {
        let data = &self.blocks[block];
        data.succs.iter().flat_map(|succ| &live_in[succ.index()]).chain(&data.args).copied().collect()
    }

    /// What a block that is a loop of its own hands from one iteration to the next: the value received, the value given.
    pub fn carried(&self, block: usize) -> impl Iterator<Item = (VReg, VReg)> {
        let back = |latch: &&Block| {
            matches!(self.blocks[latch.index()].succs.as_slice(), [to] if to.index() == block) && latch.index() > block
        };
        let latch = self.blocks[block].succs.iter().find(back);
        let given = latch.map_or([].as_slice(), |latch| &self.blocks[latch.index()].args);
        self.blocks[block].params.iter().copied().zip(given.iter().copied())
    }

    pub fn succs(&self, block: usize) -> Vec<usize> {
        self.blocks[block].succs.iter().map(|succ| succ.index()).collect()
    }
}

/// Builds a kernel block by block.
pub struct CfgBuilder {
    insts: Vec<Inst>,
    /// The block each label became.
    started: SecondaryMap<Label, PackedOption<Place>>,
    labels: PrimaryMap<Label, ()>,
    blocks: Vec<(BlockData, Vec<Label>)>,
    vregs: usize,
}

/// Number of a block in the order of the code.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u32);
entity_impl!(Place);

impl CfgBuilder {
    /// A kernel whose entry block is started.
    pub fn new() -> CfgBuilder {
        let mut builder = CfgBuilder {
            insts: Vec::new(),
            started: SecondaryMap::new(),
            labels: PrimaryMap::new(),
            blocks: Vec::new(),
            vregs: 0,
        };
        let entry = builder.label();
        builder.start(entry, Vec::new());
        builder
    }

    pub fn vreg(&mut self, class: RegClass) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs - 1, class)
    }

    pub fn label(&mut self) -> Label {
        self.labels.push(())
    }

    /// Begins a block. The one before has ended.
    pub fn start(&mut self, label: Label, params: Vec<VReg>) {
        self.started[label] = Place::new(self.blocks.len()).into();
        let data = BlockData { first: self.insts.len(), params, ..BlockData::default() };
        self.blocks.push((data, Vec::new()));
    }

    /// The number of the block that was started last.
    pub fn current(&self) -> usize {
        self.blocks.len() - 1
    }

    pub fn push(&mut self, inst: Inst) {
        self.insts.push(inst);
    }

    pub fn jump(&mut self, to: Label, args: Vec<VReg>) {
        self.end(Inst::new(Kind::Jump, Vec::new()), vec![to], args);
    }

    /// To `then` if the comparison meets the condition, else to `otherwise`.
    pub fn branch(
        &mut self,
        (step, operands): (Step, Vec<Operand>),
        condition: Condition,
        [then, otherwise]: [Label; 2],
    ) {
        self.end(Inst::new(Kind::Branch(step, condition), operands), vec![then, otherwise], Vec::new());
    }

    fn end(&mut self, inst: Inst, succs: Vec<Label>, args: Vec<VReg>) {
        self.push(inst);
        if let Some((data, to)) = self.blocks.last_mut() {
            data.end = self.insts.len();
            data.args = args;
            *to = succs;
        }
    }

    /// Ends the last block and the kernel.
    pub fn finish(mut self, vector_bytes: usize, scratch_bytes: usize) -> Cfg {
        self.end(Inst::new(Kind::Return, Vec::new()), Vec::new(), Vec::new());
        let place = |label: &Label| match self.started[*label].expand() {
            Some(place) => Block::new(place.index()),
            None => panic!("internal error: {label} is never started"),
        };
        let succs: Vec<Vec<Block>> = self.blocks.iter().map(|(_, labels)| labels.iter().map(place).collect()).collect();
        let mut blocks: Vec<BlockData> = self.blocks.into_iter().map(|(data, _)| data).collect();
        for (from, succs) in succs.into_iter().enumerate() {
            for succ in &succs {
                blocks[succ.index()].preds.push(Block::new(from));
            }
            blocks[from].succs = succs;
        }
        Cfg { insts: self.insts, blocks, vregs: self.vregs, vector_bytes, scratch_bytes }
    }
}

impl regalloc2::Function for Cfg {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let data = &self.blocks[block.index()];
        InstRange::new(regalloc2::Inst::new(data.first), regalloc2::Inst::new(data.end))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].succs
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].preds
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.blocks[block.index()].params
    }

    fn is_ret(&self, inst: regalloc2::Inst) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Return)
    }

    fn is_branch(&self, inst: regalloc2::Inst) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Jump | Kind::Branch(..))
    }

    fn branch_blockparams(&self, block: Block, _: regalloc2::Inst, _: usize) -> &[VReg] {
        &self.blocks[block.index()].args
    }

    fn inst_operands(&self, inst: regalloc2::Inst) -> &[Operand] {
        &self.insts[inst.index()].operands
    }

    fn inst_clobbers(&self, inst: regalloc2::Inst) -> PRegSet {
        self.insts[inst.index()].clobbers
    }

    fn num_vregs(&self) -> usize {
        self.vregs
    }

    /// In units of 8 bytes.
    fn spillslot_size(&self, class: RegClass) -> usize {
        match class {
            RegClass::Float => self.vector_bytes / 8,
            RegClass::Int | RegClass::Vector => 1,
        }
    }
}
