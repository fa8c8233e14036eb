//! Which steps all threads work on, and how long each takes on one.

use cranelift_entity::PrimaryMap;

use super::choice::Estimate;
use super::kernel::KernelSpec;
use super::program::{ConstId, KernelId, Place, Step};

/// Cycles from which on two threads are faster than one: four microseconds at 3 GHz. A barrier takes one to two.
const WORTH_CYCLES: f64 = 12_000.0;

/// Estimates every step and decides whether it is shared.
pub fn decide(
    steps: &mut [Step],
    kernels: &PrimaryMap<KernelId, KernelSpec>,
    constants: &PrimaryMap<ConstId, Vec<u8>>,
    estimate: &dyn Estimate,
) {
    let bytes = |place: &Place| match *place {
        Place::Const { id, offset } => constants[id].get(offset..),
        Place::Input { .. } | Place::Output { .. } | Place::Workspace { .. } => None,
    };
    for step in steps {
        let spec = &kernels[step.kernel];
        let operands: Vec<Option<&[u8]>> = step.operands.iter().map(bytes).collect();
        let cycles = estimate.cycles(spec, &operands);
        step.parallel = spec.items() > 1 && cycles >= WORTH_CYCLES;
        step.label.cycles = cycles as u64;
    }
}
