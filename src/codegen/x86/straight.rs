//! What a basic block asks of a core.
//!
//! Counted are the instructions that selection made, so folded loads, constants and addresses are what they are in the code;
//! only the register allocator's moves are not there yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use iced_x86::Mnemonic;
use regalloc2::{OperandKind, VReg};

use super::cfg::Cfg;
use super::inst::{Arg, Effect, Inst, Kind, Step, VECTOR};
use super::timing::{self, INT_DIVIDE, Unit};
use crate::simd::tiles::TileShapes;

/// Instructions by what executes them, and all as they are issued.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Uops {
    pub on: [f64; Unit::COUNT],
    /// An instruction with a memory operand counts once.
    pub issued: f64,
}

impl Uops {
    pub fn add(&mut self, other: &Uops, times: f64) {
        for (mine, theirs) in self.on.iter_mut().zip(&other.on) {
            *mine += times * theirs;
        }
        self.issued += times * other.issued;
    }

    pub fn of(&self, unit: Unit) -> f64 {
        self.on[unit as usize]
    }
}

/// The work of a block.
#[derive(Clone, Debug, Default)]
pub struct Straight {
    pub uops: Uops,
    /// Cycles from the first operand to the last result.
    pub chain: u32,
    /// Of a block that is a loop of its own: cycles from what an iteration receives to what it hands on, the longest.
    pub carried: u32,
    /// Tiles that are stored, to be read again as vectors.
    pub stored_tiles: u32,
}

impl Straight {
    pub fn of(cfg: &Cfg, block: &usize, tiles: Option<&TileShapes>) -> Straight {
        let insts = &cfg.insts[cfg.block_range(*block)];
        let mut uops = Uops::default();
        insts.iter().for_each(|inst| count(&mut uops, inst, tiles));
        let handed: BTreeSet<VReg> = cfg.carried(*block).map(|(_, given)| given).collect();
        let (stores, loads) = spills(insts, &handed, if cfg.is_wide() { 32 } else { 16 });
        let pieces = if cfg.is_wide() { 2.0 } else { 1.0 };
        uops.on[Unit::Store as usize] += pieces * stores;
        uops.on[Unit::Load as usize] += loads;
        uops.on[Unit::LoadWide as usize] += (pieces - 1.0) * loads;
        uops.issued += stores + loads;
        let chain = ends(insts, None).into_values().max().unwrap_or(0);
        let carried = cfg.carried(*block).filter_map(|(received, given)| ends(insts, Some(received)).remove(&given));
        let stored =
            |inst: &&Inst| matches!(&inst.kind, Kind::One(step) if step.code.mnemonic() == Mnemonic::Tilestored);
        let stored_tiles = insts.iter().filter(stored).count() as u32;
        Straight { uops, chain, carried: carried.max().unwrap_or(0), stored_tiles }
    }
}

/// When each value is there, in cycles behind `from`, as far as it depends on it; or behind the block's begin.
fn ends(insts: &[Inst], from: Option<VReg>) -> BTreeMap<VReg, u32> {
    let mut ends: BTreeMap<VReg, u32> = from.into_iter().map(|value| (value, 0)).collect();
    for inst in insts {
        let operands = |kind| inst.operands.iter().filter(move |operand| operand.kind() == kind);
        let ready = operands(OperandKind::Use).filter_map(|operand| ends.get(&operand.vreg())).max().copied();
        let ready = if from.is_none() { ready.or(Some(0)) } else { ready };
        if let Some(ready) = ready {
            let end = ready + if from.is_some() { timing::chained_latency(inst) } else { timing::whole_latency(inst) };
            operands(OperandKind::Def).for_each(|operand| _ = ends.insert(operand.vreg(), end));
        }
    }
    ends
}

/// Stores and loads of vectors that do not fit the registers, if always that one goes to the stack which is needed last.
fn spills(insts: &[Inst], handed: &BTreeSet<VReg>, registers: usize) -> (f64, f64) {
    let vectors =
        |inst: &'_ Inst| inst.operands.iter().filter(|operand| operand.class() == VECTOR).copied().collect::<Vec<_>>();
    let mut uses: BTreeMap<VReg, VecDeque<usize>> = BTreeMap::new();
    for (at, inst) in insts.iter().enumerate() {
        for operand in vectors(inst) {
            let uses = uses.entry(operand.vreg()).or_default();
            if operand.kind() == OperandKind::Use {
                uses.push_back(at);
            }
        }
    }
    handed.iter().for_each(|value| uses.entry(*value).or_default().push_back(insts.len()));
    let (mut held, mut stored): (BTreeSet<VReg>, BTreeSet<VReg>) = Default::default();
    let (mut stores, mut loads) = (0.0, 0.0);
    for (at, inst) in insts.iter().enumerate() {
        for operand in vectors(inst) {
            let value = operand.vreg();
            if held.insert(value) && stored.contains(&value) {
                loads += 1.0;
            }
            let Some(uses) = uses.get_mut(&value) else { continue };
            while uses.front().is_some_and(|&next| next <= at) {
                uses.pop_front();
            }
            if uses.is_empty() {
                held.remove(&value);
            }
        }
        while held.len() > registers {
            let Some(last) = held.iter().copied().max_by_key(|value| uses[value].front().copied()) else { break };
            held.remove(&last);
            if stored.insert(last) {
                stores += 1.0;
            }
        }
    }
    (stores, loads)
}

fn count(uops: &mut Uops, inst: &Inst, tiles: Option<&TileShapes>) {
    let mut add = |unit: Unit, number: f64| uops.on[unit as usize] += number;
    let mut issued = 1.0;
    match &inst.kind {
        Kind::Args | Kind::Jump => issued = 0.0,
        Kind::StackArg(_) => add(Unit::Load, 1.0),
        Kind::Scratch => add(Unit::Int, 1.0),
        Kind::Zero(_) => {}
        Kind::Divide => {
            add(Unit::IntDivide, INT_DIVIDE.uops);
            issued = 4.0;
        }
        Kind::SetIf(..) => {
            add(Unit::Int, 3.0);
            issued = 3.0;
        }
        Kind::MoveIf(..) => {
            add(Unit::Int, 2.0);
            issued = 2.0;
        }
        Kind::Branch(..) => add(Unit::Branch, 1.0),
        Kind::Return => add(Unit::Branch, 4.0),
        Kind::One(step) => issued = count_step(&mut add, step, inst.effect, tiles),
    }
    uops.issued += issued;
}

/// Counts an instruction, and gives how many it counts for when it is issued.
fn count_step(add: &mut impl FnMut(Unit, f64), step: &Step, effect: Effect, tiles: Option<&TileShapes>) -> f64 {
    let rows = tile_rows(step, tiles);
    match step.code.mnemonic() {
        Mnemonic::Tileloadd => {
            add(Unit::Load, rows);
            add(Unit::LoadWide, rows);
            return rows;
        }
        Mnemonic::Tilestored => {
            add(Unit::Store, 2.0 * rows);
            return rows;
        }
        Mnemonic::Tdpbusd | Mnemonic::Tdpbuud | Mnemonic::Tdpbssd | Mnemonic::Tdpbsud => {
            // a product of few rows costs a little more than its rows
            add(Unit::TileRow, (rows + 2.0).clamp(8.0, 16.0));
            return 1.0;
        }
        _ => {}
    }
    let timing = timing::timing(step, effect);
    if timing::has_memory(step) {
        count_access(add, step, effect);
    }
    match timing.unit {
        Some(unit) => {
            add(unit, timing.uops);
            timing.uops.max(1.0)
        }
        None => 1.0,
    }
}

fn count_access(add: &mut impl FnMut(Unit, f64), step: &Step, effect: Effect) {
    let bytes = timing::memory_bytes(step);
    if effect == Effect::Writes {
        let pieces = bytes.div_ceil(32).max(1) as f64;
        // a mask makes a store wait for itself
        add(Unit::Store, if step.mask.is_some() { 2.0 * pieces } else { pieces });
        return;
    }
    add(Unit::Load, 1.0);
    if bytes > 32 {
        add(Unit::LoadWide, 1.0);
    }
}

/// Rows of the tile an instruction loads or stores, or of the pixels that it multiplies.
fn tile_rows(step: &Step, tiles: Option<&TileShapes>) -> f64 {
    let named = |arg: &Arg| match arg {
        Arg::Tile(tile) => tiles.map(|shapes| shapes[usize::from(tile.0)].rows as f64),
        _ => None,
    };
    step.args.iter().find_map(named).unwrap_or(0.0)
}
