//! Walks the tree of a kernel: how often each straight part runs, and what that takes.
//!
//! Scalars are evaluated, so that loops run as often as they will. A long loop is not run through: some of its iterations
//! stand for all, the first, the last and some in between where iterations differ, else the first and the last. What a loop
//! carries is taken to move by the same distance in each iteration, as pointers do.

use cranelift_entity::EntitySet;

use super::machine::Machine;
use super::memory::{Footprint, LINE, Traffic, access};
use super::scalars::{Scalars, Value};
use crate::codegen::x86::straight::{Straight, Uops};
use crate::codegen::x86::timing::Unit;
use crate::codegen::x86::{Outline, Part};
use crate::simd::ir::{Block, Function, If, Inst, Loop, Val};
use crate::simd::tiles::TileInst;

/// Iterations of a loop whose bounds depend on data.
const UNKNOWN_TRIPS: i64 = 2;
/// How often the longer way of a branch is taken that depends on data.
const SELDOM: f64 = 0.15;
/// Loops of so few iterations are run through.
const FEW: i64 = 4;
/// Iterations that are walked of a longer loop where they differ.
const SAMPLES: i64 = 8;
/// Loops of so many instructions in all overlap with what is around them.
const SHORT_LOOP: f64 = 100.0;

/// Iterations from which on a loop of one block runs out of the queue in front of the core, which then fetches no branches.
const LONG_RUN: i64 = 8;
/// What the branch of such a loop counts for. *Measured.*
const QUEUED_BRANCH: f64 = 0.5;

/// How much of a walk is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    Some,
    /// Every iteration of every loop is walked.
    #[cfg(test)]
    None,
}

/// What a part of a kernel takes.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Instructions that overlap with others of the same part.
    pub uops: Uops,
    /// Cycles for which these wait for each other.
    pub latency: f64,
    /// Cycles of loops that stand for themselves.
    pub cycles: f64,
    pub traffic: Traffic,
}

impl Work {
    /// Cycles without what comes from behind the first cache.
    pub fn time(&self, machine: &Machine) -> f64 {
        machine.cycles(&self.uops).max(self.latency) + self.cycles
    }
}

pub struct Walk<'a> {
    pub function: &'a Function,
    pub machine: &'a Machine,
    pub scalars: Scalars<'a>,
    /// Loops, by their indices, whose iterations may take different ways.
    pub varying: &'a EntitySet<Val>,
    pub sampling: Sampling,
}

impl Walk<'_> {
    pub fn block(&mut self, block: &Block, outline: &Outline<Straight>) -> Work {
        let mut parts = outline.parts.iter();
        let mut work = Work::default();
        let mut touched = Footprint::default();
        let mut traffic = Vec::new();
        self.straight(&mut work, parts.next());
        for (results, inst) in &block.insts {
            let inner = match (inst, results.as_slice()) {
                (Inst::Loop(l), _) => self.for_loop(results, l, parts.next()),
                (Inst::If(i), _) => self.branch(results, i, parts.next()),
                (_, results) => {
                    self.touch(inst, &mut touched, &mut work.uops);
                    if let &[result] = results {
                        self.scalars.values[result] = self.scalars.evaluate(inst);
                    }
                    continue;
                }
            };
            if let Some(inner) = inner {
                work.uops.add(&inner.uops, 1.0);
                work.latency += inner.latency;
                work.cycles += inner.cycles;
                traffic.push((inner.traffic, 1.0));
                self.straight(&mut work, parts.next());
            }
        }
        let own = Traffic::straight(touched);
        work.traffic = match traffic.is_empty() {
            true => own,
            false => {
                traffic.push((own, 1.0));
                Traffic::of(self.machine, &traffic, false)
            }
        };
        work
    }

    fn straight(&self, work: &mut Work, part: Option<&Part<Straight>>) {
        let Some(Part::Straight(straight)) = part else { panic!("internal error: no straight part") };
        work.uops.add(&straight.uops, 1.0);
        work.latency += f64::from(straight.chain) * (straight.uops.issued / self.machine.window).min(1.0);
        work.cycles += f64::from(straight.stored_tiles) * self.machine.tile_wait;
    }

    /// Enters the memory an instruction accesses, and loads that cross a line.
    fn touch(&self, inst: &Inst, touched: &mut Footprint, uops: &mut Uops) {
        let Some(access) = access(inst, self.function.width, self.function.tiles.as_ref()) else { return };
        let stride = match (access.stride, inst) {
            (Some(stride), _) => Some(stride),
            (None, Inst::Tile(TileInst::Load { stride, .. } | TileInst::Store { stride, .. })) => {
                self.scalars.int(*stride)
            }
            (None, _) => None,
        };
        let (Some((region, begin)), Some(stride)) = (self.scalars.place(access.addr), stride) else { return };
        let crosses = |&row: &i64| (begin + row * stride).rem_euclid(LINE) + access.bytes > LINE;
        let splits = (0..access.count).filter(crosses).count() as f64;
        let is_store = is_store(inst);
        // lines that are written come and go
        let weight = if is_store { 2.0 } else { 1.0 };
        touched.touch(region, begin, (access.bytes, access.count, stride), weight);
        let pieces = if access.bytes > 32 { 2.0 } else { 1.0 };
        let mut add = |unit: Unit, number: f64| uops.on[unit as usize] += number * splits * self.machine.split;
        if is_store {
            add(Unit::Store, pieces);
        } else {
            add(Unit::Load, 1.0);
            add(Unit::LoadWide, pieces - 1.0);
        }
    }

    fn for_loop(&mut self, results: &[Val], l: &Loop, part: Option<&Part<Straight>>) -> Option<Work> {
        let init: Vec<Value> = l.init.iter().map(|&value| self.scalars.values[value]).collect();
        let Some(Part::Loop(outline)) = part else {
            self.define(results, &init);
            return None;
        };
        let (lo, hi) = (self.scalars.int(l.lo), self.scalars.int(l.hi));
        let trips = match (lo, hi) {
            (Some(lo), Some(hi)) => ((hi - lo).max(0) + l.step - 1) / l.step,
            _ => UNKNOWN_TRIPS,
        };
        let index = |i: i64| lo.map_or(Value::Unknown, |lo| Value::Int(lo + i * l.step));
        let (mut carried, mut moved) = (init.clone(), vec![None; init.len()]);
        let mut at = 0;
        let mut work = LoopWork::default();
        for (i, times) in self.samples(l, outline, trips) {
            if i != at {
                let extrapolate = |(init, moved): (&Value, &Option<i64>)| match moved {
                    Some(moved) => init.plus(moved.wrapping_mul(i)),
                    None => Value::Unknown,
                };
                carried = init.iter().zip(&moved).map(extrapolate).collect();
            }
            self.scalars.values[l.index] = index(i);
            self.define(&l.carried, &carried);
            let mut body = self.block(&l.body, outline);
            if outline.parts.len() == 1 && trips > LONG_RUN {
                body.uops.on[Unit::Branch as usize] *= QUEUED_BRANCH;
            }
            carried = l.next.iter().map(|&value| self.scalars.values[value]).collect();
            if i == 0 {
                moved = carried.iter().zip(&init).map(|(next, init)| next.since(*init)).collect();
            }
            at = i + 1;
            work.add(self.machine, &body, carried_cycles(outline), times);
        }
        self.define(results, &carried);
        Some(work.finish(self.machine, trips))
    }

    /// Iterations that are walked, and how many each stands for. Straight ones differ in what crosses a line only.
    fn samples(&self, l: &Loop, outline: &Outline<Straight>, trips: i64) -> Vec<(i64, f64)> {
        let varies = self.varying.contains(l.index);
        let samples = if varies || outline.parts.len() == 1 { SAMPLES } else { 2 };
        if trips <= FEW.max(samples) || self.sampling != Sampling::Some {
            return (0..trips).map(|i| (i, 1.0)).collect();
        }
        let at = |sample: i64| sample * (trips - 1) / (samples - 1);
        if !varies {
            return (0..samples).map(|sample| (at(sample), trips as f64 / samples as f64)).collect();
        }
        let times = |sample: i64| match sample {
            0 => 1.0,
            _ if sample == samples - 1 => 1.0,
            _ => (trips - 2) as f64 / (samples - 2) as f64,
        };
        (0..samples).map(|sample| (at(sample), times(sample))).collect()
    }

    fn branch(&mut self, results: &[Val], i: &If, part: Option<&Part<Straight>>) -> Option<Work> {
        let Some(Part::If([then_part, else_part])) = part else { panic!("internal error: a branch without code") };
        let ways = [(&i.then_block, then_part, &i.then_values), (&i.else_block, else_part, &i.else_values)];
        if let Some(condition) = self.scalars.int(i.condition) {
            let (block, outline, values) = ways[usize::from(condition == 0)];
            let work = self.block(block, outline);
            let values: Vec<Value> = values.iter().map(|&value| self.scalars.values[value]).collect();
            self.define(results, &values);
            return Some(work);
        }
        let works = ways.map(|(block, outline, _)| self.block(block, outline));
        let is_first_longer = works[0].time(self.machine) > works[1].time(self.machine);
        let [longer, shorter] = if is_first_longer { [0, 1] } else { [1, 0] };
        let mut work = Work { cycles: SELDOM * self.machine.loop_end, ..Work::default() };
        let mut parts = Vec::new();
        for (way, times) in [(longer, SELDOM), (shorter, 1.0 - SELDOM)] {
            work.uops.add(&works[way].uops, times);
            work.latency += times * works[way].latency;
            work.cycles += times * works[way].cycles;
            parts.push((works[way].traffic.clone(), times));
        }
        work.traffic = Traffic::of(self.machine, &parts, false);
        self.define(results, &vec![Value::Unknown; results.len()]);
        Some(work)
    }

    fn define(&mut self, values: &[Val], known: &[Value]) {
        for (&value, &known) in values.iter().zip(known) {
            self.scalars.values[value] = known;
        }
    }
}

fn is_store(inst: &Inst) -> bool {
    matches!(
        inst,
        Inst::StoreInt { .. }
            | Inst::StoreF32 { .. }
            | Inst::Store { .. }
            | Inst::StorePartial { .. }
            | Inst::StoreChunks { .. }
            | Inst::StorePartialChunks { .. }
            | Inst::Tile(TileInst::Store { .. })
    )
}

/// Cycles from one iteration to the next, where the body is straight.
fn carried_cycles(outline: &Outline<Straight>) -> f64 {
    match outline.parts.as_slice() {
        [Part::Straight(straight)] => straight.carried.into(),
        _ => 0.0,
    }
}

/// Iterations of a loop.
#[derive(Default)]
struct LoopWork {
    uops: Uops,
    latency: f64,
    /// Of the iterations one behind the other.
    time: f64,
    /// Of loops inside.
    inner: f64,
    traffic: Vec<(Traffic, f64)>,
}

impl LoopWork {
    fn add(&mut self, machine: &Machine, body: &Work, carried: f64, times: f64) {
        let overlapped = machine.cycles(&body.uops).max(body.latency).max(carried);
        self.time += times * (overlapped + body.cycles);
        self.latency += times * carried;
        self.inner += times * body.cycles;
        self.uops.add(&body.uops, times);
        self.traffic.push((body.traffic.clone(), times));
    }

    fn finish(self, machine: &Machine, trips: i64) -> Work {
        let traffic = Traffic::of(machine, &self.traffic, true);
        if self.inner == 0.0 && self.uops.issued <= SHORT_LOOP {
            return Work { uops: self.uops, latency: self.latency, cycles: 0.0, traffic };
        }
        let end = if trips > 1 { machine.loop_end } else { 0.0 };
        Work { uops: Uops::default(), latency: 0.0, cycles: self.time + end, traffic }
    }
}

/// Loops, by their indices, whose iterations may take different ways: a bound or a condition inside depends on the index or on
/// what is carried.
pub fn varying(block: &Block) -> EntitySet<Val> {
    let mut found = EntitySet::new();
    each_loop(block, &mut |l| {
        let mut moving: EntitySet<Val> = EntitySet::new();
        moving.insert(l.index);
        l.carried.iter().for_each(|&value| _ = moving.insert(value));
        if is_varying(&l.body, &mut moving) {
            found.insert(l.index);
        }
    });
    found
}

fn each_loop(block: &Block, f: &mut impl FnMut(&Loop)) {
    for (_, inst) in &block.insts {
        match inst {
            Inst::Loop(l) => {
                f(l);
                each_loop(&l.body, f);
            }
            Inst::If(i) => {
                each_loop(&i.then_block, f);
                each_loop(&i.else_block, f);
            }
            _ => {}
        }
    }
}

/// Whether a bound or a condition in the block depends on a value that moves; adds the values that do.
fn is_varying(block: &Block, moving: &mut EntitySet<Val>) -> bool {
    let mut varies = false;
    for (results, inst) in &block.insts {
        let mut moves = false;
        inst.each_operand(&mut |operand| moves |= moving.contains(operand));
        match inst {
            Inst::Loop(l) => {
                varies |= moving.contains(l.lo) || moving.contains(l.hi);
                if moves {
                    l.carried.iter().chain([&l.index]).for_each(|&value| _ = moving.insert(value));
                }
                varies |= is_varying(&l.body, moving);
                moves |= l.next.iter().any(|&value| moving.contains(value));
            }
            Inst::If(i) => {
                varies |= moves;
                varies |= is_varying(&i.then_block, moving) | is_varying(&i.else_block, moving);
                moves |= i.then_values.iter().chain(&i.else_values).any(|&value| moving.contains(value));
            }
            _ => {}
        }
        if moves {
            results.iter().for_each(|&result| _ = moving.insert(result));
        }
    }
    varies
}
