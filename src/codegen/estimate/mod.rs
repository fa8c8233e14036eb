//! How long kernels take: a model of the core that runs a kernel's own program.
//!
//! ```text
//! KernelSpec ── simd::kernels ── Function ── isel ── machine instructions in basic blocks
//!                                    │                      │ x86::straight   per block: instructions on each unit, chains
//!                                    └───────── walk ───────┘
//!                                                 │ scalars: loops run as often as they will, with the real weights
//!                                                 │ memory:  what is touched, and what comes from behind the first cache
//!                                               cycles      machine: what a core does in a cycle
//! ```
//!
//! Nothing here knows a family of kernels: the numbers follow from the instructions. They are those of the back end for wide
//! vectors; at 128 bits Cranelift makes about the same, one for one. Where data decide how long a kernel takes (an order, a list),
//! the model guesses.

pub mod machine;
mod memory;
mod scalars;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::{Arc, Mutex, PoisonError};

use cranelift_entity::EntitySet;
use octet_runtime::abi::cpu;

use crate::codegen::target::{Arch, Target};
use crate::codegen::x86::straight::Straight;
use crate::codegen::x86::{self, Outline};
use crate::lower::choice::Estimate;
use crate::lower::kernel::KernelSpec;
use crate::simd::ir::{Function, Val, Width};
use crate::simd::kernels;
use machine::Machine;
use scalars::{Scalars, Value};
use walk::{Sampling, Walk};

/// The estimates for a target.
pub struct Model {
    /// Whose instructions are counted: the target, or the x86-64 that is like it.
    counted: Target,
    machine: Machine,
    known: Mutex<Vec<(KernelSpec, Arc<Kernel>)>>,
}

/// What of a kernel does not depend on its constants.
struct Kernel {
    function: Function,
    outline: Outline<Straight>,
    varying: EntitySet<Val>,
}

impl Model {
    pub fn new(target: &Target) -> Model {
        Model { counted: counted(target), machine: *Machine::of(target.width), known: Mutex::default() }
    }

    /// With the caches of the class whose second cache is most like one of so many bytes: what checks the model on a machine
    /// asks about that machine, while programs are compiled for the class of their target.
    pub fn with_second_cache(self, bytes: usize) -> Model {
        Model { machine: self.machine.with_second_cache(bytes as f64), ..self }
    }

    fn kernel(&self, spec: &KernelSpec) -> Arc<Kernel> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, kernel)) = known.iter().find(|(of, _)| of == spec) {
            return kernel.clone();
        }
        drop(known);
        let function = kernels::build(spec, spec.family(), self.counted.vectors());
        let outline = x86::outline(&function, &self.counted);
        let varying = walk::varying(&function.body);
        let kernel = Arc::new(Kernel { function, outline, varying });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push((spec.clone(), kernel.clone()));
        kernel
    }

    /// As [`Estimate::cycles`], walking every iteration of every loop: slow, to check what is left out otherwise.
    #[cfg(test)]
    fn unsampled_cycles(&self, spec: &KernelSpec, constants: &[Option<&[u8]>]) -> f64 {
        self.walk(spec, constants, Sampling::None)
    }

    fn walk(&self, spec: &KernelSpec, constants: &[Option<&[u8]>], sampling: Sampling) -> f64 {
        let kernel = self.kernel(spec);
        let operands = spec.operands().len();
        let mut scalars = Scalars::new(constants, operands);
        let pointers = (0..operands).map(|region| Value::Ptr { region, offset: 0 });
        let arguments = pointers.chain([0, spec.items() as i64].map(Value::Int));
        for (&param, argument) in kernel.function.params.iter().zip(arguments) {
            scalars.values[param] = argument;
        }
        let (function, machine) = (&kernel.function, &self.machine);
        let mut walk = Walk { function, machine, scalars, varying: &kernel.varying, sampling };
        let work = walk.block(&function.body, &kernel.outline);
        let (core, memory) = (work.time(machine), work.traffic.cycles(machine));
        let call = machine.call + if function.tiles.is_some() { machine.tiles } else { 0.0 };
        call + core.max(memory) + machine.beside * core.min(memory)
    }
}

impl Estimate for Model {
    fn cycles(&self, spec: &KernelSpec, constants: &[Option<&[u8]>]) -> f64 {
        self.walk(spec, constants, Sampling::Some)
    }
}

/// Targets of the back end for wide vectors are counted as they are; others as x86-64 with AVX at their width.
fn counted(target: &Target) -> Target {
    if target.width != Width::W128 {
        return target.clone();
    }
    let fma = if target.vectors().fma { cpu::FMA } else { 0 };
    let features = cpu::AVX | fma | if target.has_dot() { cpu::AVX_VNNI } else { 0 };
    Target::with_features(Arch::X86_64, &target.triple, features).with_width(Width::W128)
}
