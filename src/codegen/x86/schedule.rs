//! Order of the instructions in long straight code: chains of dependent arithmetic side by side.
//!
//! Selection emits one chain behind the other (all of an activation function on one vector, then on the next). A processor
//! looks about a hundred waiting instructions ahead, which is two or three such chains, so it would mostly wait for
//! latencies. This is list scheduling on a model that issues [`ISSUE`] instructions a cycle in order: at each cycle the
//! first instruction that could start is taken, so younger chains fill the gaps of older ones.
//!
//! - The vectors alive stay below what the registers hold; at the limit only the oldest instruction may go on, which is the
//!   order of before.
//! - Loads and constants wait until nothing else is missing for what uses them.
//! - What reads and writes memory that the kernel writes keeps its order. Instructions that this file does not know
//!   (fixed registers, no result) are never moved, and nothing moves across them.
//! - An instruction that overwrites an operand stays behind the other users of that operand.
//!
//! Blocks whose longest chain is short ([`LONG_CHAIN`]) are left alone: there the processor overlaps iterations by itself,
//! and the order of the kernel is the one with the fewest registers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use regalloc2::{OperandConstraint, OperandKind, VReg};

use super::cfg::Cfg;
use super::inst::{Effect, INT, Inst, Kind, VECTOR};
use super::timing;
use crate::simd::ir::Width;

/// Cycles from the first to the last result of a stretch from which on it is worth rearranging.
const LONG_CHAIN: u32 = 48;

/// Instructions a cycle.
const ISSUE: usize = 2;

/// How far behind the oldest instruction the order looks.
const LOOK_AHEAD: usize = 480;

/// How far behind the oldest instruction integer arithmetic moves: it is short, and its registers are few.
const LOOK_AHEAD_INT: usize = 16;

/// Vector registers left for what the oldest instructions need at the limit.
const RESERVE: usize = 3;

/// Rearranges every block of the kernel.
pub fn schedule(cfg: &mut Cfg, width: Width) {
    let registers = if width == Width::W512 { 32 } else { 16 };
    let live_out = cfg.live_out();
    for (block, mut live) in live_out.into_iter().enumerate() {
        for stretch in stretches(cfg, block).into_iter().rev() {
            while_behind(cfg, &mut live, stretch.end, cfg.block_range(block).end);
            let order = Stretch::new(&cfg.insts[stretch.clone()], &live).order(registers - RESERVE);
            if let Some(order) = order {
                let old = cfg.insts[stretch.clone()].to_vec();
                for (place, from) in stretch.clone().zip(order) {
                    cfg.insts[place] = old[from].clone();
                }
            }
        }
    }
}

/// Makes `live`, the values used behind a block, those used behind instruction `from` of it.
fn while_behind(cfg: &Cfg, live: &mut BTreeSet<VReg>, from: usize, end: usize) {
    live.extend(cfg.insts[from..end].iter().flat_map(|inst| inst.operands.iter().map(|operand| operand.vreg())));
}

/// Runs of instructions that may be moved among each other. Integer arithmetic at their ends stays: a branch uses its flags.
fn stretches(cfg: &Cfg, block: usize) -> Vec<Range<usize>> {
    let range = cfg.block_range(block);
    let mut stretches = Vec::new();
    let mut first = range.start;
    for at in range {
        if !is_movable(&cfg.insts[at]) {
            stretches.push(first..at);
            first = at + 1;
        }
    }
    for stretch in &mut stretches {
        while !Range::is_empty(stretch) && is_int(&cfg.insts[stretch.end - 1]) {
            stretch.end -= 1;
        }
    }
    stretches
}

fn is_movable(inst: &Inst) -> bool {
    let has_result = inst.operands.first().is_some_and(|operand| operand.kind() == OperandKind::Def);
    let free = inst.operands.iter().all(|operand| !matches!(operand.constraint(), OperandConstraint::FixedReg(_)));
    matches!(inst.kind, Kind::One(_) | Kind::Zero(_)) && free && (has_result || inst.effect == Effect::Writes)
}

fn is_int(inst: &Inst) -> bool {
    inst.operands.iter().all(|operand| operand.class() == INT) && inst.effect != Effect::Writes
}

/// What is known about one instruction.
#[derive(Default)]
struct Node {
    /// Instructions that come behind: `(number, cycles)`.
    followers: Vec<(usize, u32)>,
    /// Instructions in front that have not been placed.
    missing: usize,
    /// Of them: those that do not come from memory alone.
    missing_arithmetic: usize,
    earliest: u32,
    latency: u32,
    /// A load or a constant: nothing in front of it but integers.
    is_source: bool,
    is_int: bool,
}

/// A run of instructions with their dependences.
struct Stretch<'a> {
    insts: &'a [Inst],
    nodes: Vec<Node>,
    /// Places still to be visited that use a vector; values used behind the stretch have one more.
    uses: BTreeMap<VReg, usize>,
    /// Vectors from in front of the stretch with a single use: sums of a tile. They may wait on the stack for it, so that
    /// they leave the registers to the chains that work on them.
    parked: BTreeSet<VReg>,
    /// Vectors in registers.
    alive: usize,
}

impl<'a> Stretch<'a> {
    fn new(insts: &'a [Inst], behind: &BTreeSet<VReg>) -> Stretch<'a> {
        let mut uses: BTreeMap<VReg, usize> = BTreeMap::new();
        let mut defined = BTreeSet::new();
        for operand in insts.iter().flat_map(|inst| &inst.operands).filter(|operand| operand.class() == VECTOR) {
            match operand.kind() {
                OperandKind::Def => _ = defined.insert(operand.vreg()),
                OperandKind::Use => *uses.entry(operand.vreg()).or_default() += 1,
            }
        }
        let inside = uses.clone();
        for &vreg in behind.iter().filter(|vreg| vreg.class() == VECTOR) {
            *uses.entry(vreg).or_default() += 1;
        }
        let (parked, held): (BTreeSet<VReg>, BTreeSet<VReg>) = uses
            .keys()
            .filter(|vreg| !defined.contains(vreg))
            .partition(|&vreg| uses[vreg] == 1 && inside.contains_key(vreg));
        Stretch { insts, nodes: dependences(insts), uses, parked, alive: held.len() }
    }

    /// The order to place the instructions in; `None` where the present one is good.
    fn order(mut self, limit: usize) -> Option<Vec<usize>> {
        let mut ends = vec![0; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for &(follower, cycles) in &node.followers {
                ends[follower] = ends[follower].max(ends[i] + cycles);
            }
        }
        if ends.into_iter().max().unwrap_or(0) < LONG_CHAIN {
            return None;
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut ready: BTreeSet<usize> = (0..self.nodes.len()).filter(|&i| self.nodes[i].missing == 0).collect();
        let (mut now, mut issued) = (0, 0);
        while let Some(&oldest) = ready.first() {
            let next = ready.range(..oldest + LOOK_AHEAD).copied().find(|&i| self.may_start(i, oldest, now, limit));
            if let Some(i) = next {
                ready.remove(&i);
                self.place(i, now, &mut ready);
                order.push(i);
                issued += 1;
            }
            if next.is_none() || issued == ISSUE {
                (now, issued) = (now + 1, 0);
            }
        }
        Some(order)
    }

    fn may_start(&self, i: usize, oldest: usize, now: u32, limit: usize) -> bool {
        let node = &self.nodes[i];
        if node.earliest > now {
            return false;
        }
        if i == oldest {
            return true;
        }
        if node.is_int {
            return i < oldest + LOOK_AHEAD_INT;
        }
        let wanted =
            !node.is_source || node.followers.iter().any(|&(follower, _)| self.nodes[follower].missing_arithmetic == 0);
        wanted && self.alive as isize + self.growth(i) <= limit as isize
    }

    /// How many more vectors are alive behind an instruction than before it.
    fn growth(&self, i: usize) -> isize {
        let vectors = |kind| {
            let operands = self.insts[i].operands.iter().filter(move |operand| operand.kind() == kind);
            operands.filter(|operand| operand.class() == VECTOR).map(|operand| operand.vreg())
        };
        let born = vectors(OperandKind::Def).filter(|vreg| self.uses.contains_key(vreg)).count();
        let last: BTreeSet<VReg> = vectors(OperandKind::Use)
            .filter(|vreg| !self.parked.contains(vreg))
            .filter(|vreg| vectors(OperandKind::Use).filter(|other| other == vreg).count() == self.uses[vreg])
            .collect();
        born as isize - last.len() as isize
    }

    fn place(&mut self, i: usize, now: u32, ready: &mut BTreeSet<usize>) {
        self.alive = self.alive.saturating_add_signed(self.growth(i));
        for operand in &self.insts[i].operands {
            if operand.kind() == OperandKind::Use
                && let Some(uses) = self.uses.get_mut(&operand.vreg())
            {
                *uses -= 1;
            }
        }
        let (is_arithmetic, followers) = {
            let node = &mut self.nodes[i];
            (!node.is_source && !node.is_int, std::mem::take(&mut node.followers))
        };
        for (follower, cycles) in followers {
            let node = &mut self.nodes[follower];
            node.missing -= 1;
            node.missing_arithmetic -= usize::from(is_arithmetic);
            node.earliest = node.earliest.max(now + cycles);
            if node.missing == 0 {
                ready.insert(follower);
            }
        }
    }
}

/// Who must come in front of whom: results before their uses, uses before what overwrites them, memory and integers in order.
fn dependences(insts: &[Inst]) -> Vec<Node> {
    let mut nodes: Vec<Node> = insts
        .iter()
        .map(|inst| Node { latency: timing::latency(inst), is_int: is_int(inst), ..Node::default() })
        .collect();
    let mut defined: BTreeMap<VReg, usize> = BTreeMap::new();
    let mut users: BTreeMap<VReg, Vec<usize>> = BTreeMap::new();
    let mut memory = Memory::default();
    let mut last_int = None;
    for (i, inst) in insts.iter().enumerate() {
        let mut before: BTreeSet<(usize, bool)> = BTreeSet::new();
        for operand in inst.operands.iter().filter(|operand| operand.kind() == OperandKind::Use) {
            before.extend(defined.get(&operand.vreg()).map(|&at| (at, true)));
            users.entry(operand.vreg()).or_default().push(i);
        }
        for operand in inst.operands.iter().filter(|operand| operand.kind() == OperandKind::Def) {
            if let OperandConstraint::Reuse(source) = operand.constraint() {
                let source = inst.operands[source].vreg();
                before
                    .extend(users.get(&source).into_iter().flatten().filter(|&&user| user != i).map(|&at| (at, false)));
            }
            defined.insert(operand.vreg(), i);
        }
        before.extend(memory.before(i, inst.effect).into_iter().map(|at| (at, false)));
        if nodes[i].is_int {
            before.extend(last_int.replace(i).map(|at| (at, false)));
        }
        link(&mut nodes, i, &before);
    }
    nodes
}

/// Enters that instruction `i` comes behind those of `before`, of which some compute what it uses.
fn link(nodes: &mut [Node], i: usize, before: &BTreeSet<(usize, bool)>) {
    let uses_arithmetic = before.iter().any(|&(at, is_used)| is_used && !nodes[at].is_int);
    nodes[i].is_source = !uses_arithmetic && !nodes[i].is_int;
    for &(at, is_used) in before {
        let cycles = if is_used { nodes[at].latency } else { 0 };
        nodes[at].followers.push((i, cycles));
        nodes[i].missing += 1;
        nodes[i].missing_arithmetic += usize::from(!nodes[at].is_source && !nodes[at].is_int);
    }
}

/// Accesses to memory that the kernel writes.
#[derive(Default)]
struct Memory {
    last_write: Option<usize>,
    reads_since: Vec<usize>,
}

impl Memory {
    /// Records the access of instruction `i` and gives the accesses that must come in front of it.
    fn before(&mut self, i: usize, effect: Effect) -> Vec<usize> {
        match effect {
            Effect::None => Vec::new(),
            Effect::Reads => {
                self.reads_since.push(i);
                self.last_write.into_iter().collect()
            }
            Effect::Writes => self.last_write.replace(i).into_iter().chain(self.reads_since.drain(..)).collect(),
        }
    }
}
