//! Which step reads what which step wrote, read off a program's operands.
//!
//! Buffers are told apart, parts of a buffer are not: a step that reads a slice of a concatenation depends on every step
//! that wrote into the buffer so far. That may be more than it needs, never less. Sources come before their readers.

use std::collections::BTreeMap;

use crate::lower::kernel::Access;
use crate::lower::program::{Place, Program, Step};

/// Where data comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The model's input of this number.
    Input(usize),
    /// The step of this number.
    Step(usize),
}

pub struct Flow {
    /// Of each step: what it reads, in order, each once. Constants are part of the step.
    pub steps: Vec<Vec<Source>>,
    /// Of each output of the model: the steps that write it.
    pub outputs: Vec<Vec<Source>>,
}

/// Memory that holds one value, perhaps in parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Area {
    Input(usize),
    Output(usize),
    Buffer(usize),
}

impl Flow {
    pub fn new(program: &Program) -> Flow {
        let inputs = 0..program.inputs.len();
        let mut written: BTreeMap<Area, Vec<Source>> =
            inputs.map(|index| (Area::Input(index), vec![Source::Input(index)])).collect();
        let mut steps = Vec::with_capacity(program.steps.len());
        for (index, step) in program.steps.iter().enumerate() {
            let accesses = accesses(program, step);
            let read = accesses.iter().filter(|(_, access)| **access != Access::Write);
            let mut sources: Vec<Source> = read.filter_map(|(area, _)| written.get(area)).flatten().copied().collect();
            sources.sort();
            sources.dedup();
            steps.push(sources);
            for (area, access) in accesses {
                let writers = written.entry(area).or_default();
                match access {
                    Access::Read => {}
                    Access::Write => writers.push(Source::Step(index)),
                    // What was there reaches later readers by way of this step.
                    Access::ReadWrite => *writers = vec![Source::Step(index)],
                }
            }
        }
        let output = |index| written.remove(&Area::Output(index)).unwrap_or_default();
        Flow { steps, outputs: (0..program.outputs.len()).map(output).collect() }
    }
}

/// What a step does with each area, once per area; an area that is read and written is both.
fn accesses(program: &Program, step: &Step) -> BTreeMap<Area, Access> {
    let mut accesses: BTreeMap<Area, Access> = BTreeMap::new();
    for (place, access) in step.operands.iter().zip(program.kernels[step.kernel].operands()) {
        let area = match *place {
            Place::Input { index, .. } => Area::Input(index),
            Place::Output { index, .. } => Area::Output(index),
            Place::Workspace { buffer, .. } => Area::Buffer(buffer),
            Place::Const { .. } => continue,
        };
        let known = accesses.entry(area).or_insert(access);
        if *known != access {
            *known = Access::ReadWrite;
        }
    }
    accesses
}
