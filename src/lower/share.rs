//! Which steps all threads work on, and how long each takes on one.
//!
//! Cores have caches of their own, and a byte that another core wrote takes several times as long to read. Threads get the
//! same part of the items in every step, so that data stay where they are while neighbouring steps are shared; a step that
//! one thread does alone first fetches what the others wrote, and gives it back after. So even a step that is hardly longer
//! than a barrier is shared.
//!
//! A model that gains too little by all this keeps to one thread altogether: between two inferences workers fall asleep, and
//! waking them costs more than it gains.

use cranelift_entity::PrimaryMap;

use super::choice::Estimate;
use super::kernel::KernelSpec;
use super::program::{ConstId, KernelId, Place, Step};

/// Cycles that starting and ending a step together takes: half a microsecond at 3 GHz.
const BARRIER_CYCLES: f64 = 1_500.0;

/// Cycles until a thread that is woken works.
const WAKE_CYCLES: f64 = 150_000.0;

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
    let mut gain = 0.0;
    for step in &mut *steps {
        let spec = &kernels[step.kernel];
        let operands: Vec<Option<&[u8]>> = step.operands.iter().map(bytes).collect();
        let cycles = estimate.cycles(spec, &operands);
        step.label.cycles = cycles as u64;
        step.parallel = spec.items() > 1 && cycles >= BARRIER_CYCLES;
        if step.parallel {
            gain += gain_of_two(cycles, spec.items());
        }
    }
    if gain < WAKE_CYCLES {
        steps.iter_mut().for_each(|step| step.parallel = false);
    }
}

/// Cycles that two threads are faster than one.
fn gain_of_two(cycles: f64, items: usize) -> f64 {
    cycles * (items / 2) as f64 / items as f64 - BARRIER_CYCLES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_gain_what_the_second_one_does() {
        assert_eq!(gain_of_two(8_000.0, 2), 2_500.0);
        assert_eq!(gain_of_two(9_000.0, 3), 1_500.0);
        assert!(gain_of_two(BARRIER_CYCLES, 64) < 0.0);
    }
}
