//! Which steps all threads work on, and how long each takes on one.
//!
//! Cores have caches of their own, and a byte that another core wrote takes several times as long to read. Threads get the
//! same part of the items in every step, so that data stay where they are while neighbouring steps are shared; a step that
//! one thread does alone first fetches what the others wrote, and gives it back after. So even a step that is hardly longer
//! than a barrier is shared, but not between two that are not.
//!
//! A model that gains too little by all this keeps to one thread altogether: between two inferences workers fall asleep, and
//! waking them costs more than it gains.

use cranelift_entity::PrimaryMap;

use super::choice::Estimate;
use super::kernel::KernelSpec;
use super::program::{ConstId, KernelId, Place, Step};

/// Cycles that starting and ending a step together takes: half a microsecond at 3 GHz.
const BARRIER_CYCLES: f64 = 1_500.0;

/// Cycles from which on a step is shared between two that are not: its data go to another core and back.
const ALONE_CYCLES: f64 = 12_000.0;

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
    let mut work = Vec::with_capacity(steps.len());
    for step in &mut *steps {
        let spec = &kernels[step.kernel];
        let operands: Vec<Option<&[u8]>> = step.operands.iter().map(bytes).collect();
        let cycles = estimate.cycles(spec, &operands);
        step.label.cycles = cycles as u64;
        work.push((cycles, spec.items()));
    }
    for (step, shared) in steps.iter_mut().zip(shared(&work)) {
        step.parallel = shared;
    }
}

/// Which of the steps, given as cycles and items, are shared.
fn shared(work: &[(f64, usize)]) -> Vec<bool> {
    let worth = |&(cycles, items): &(f64, usize)| items > 1 && cycles >= BARRIER_CYCLES;
    let beside = |i: usize| i > 0 && worth(&work[i - 1]) || work.get(i + 1).is_some_and(worth);
    let is_shared = |i: usize| worth(&work[i]) && (work[i].0 >= ALONE_CYCLES || beside(i));
    let shared: Vec<bool> = (0..work.len()).map(is_shared).collect();
    let gains = work.iter().zip(&shared).filter(|(_, shared)| **shared);
    let gain: f64 = gains.map(|(&(cycles, items), _)| gain_of_two(cycles, items)).sum();
    if gain < WAKE_CYCLES { vec![false; work.len()] } else { shared }
}

/// Cycles that two threads are faster than one.
fn gain_of_two(cycles: f64, items: usize) -> f64 {
    cycles * (items / 2) as f64 / items as f64 - BARRIER_CYCLES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_steps_are_shared_beside_others() {
        let (long, short, single) = ((1e6, 8), (5_000.0, 8), (50_000.0, 1));
        assert_eq!(shared(&[long, short, single, short, single, short]), [true, true, false, false, false, false]);
        assert_eq!(shared(&[long, single, short, short]), [true, false, true, true]);
        assert_eq!(shared(&[short, short]), [false, false], "less than it costs to wake a thread");
    }

    #[test]
    fn two_threads_gain_what_the_second_one_does() {
        assert_eq!(gain_of_two(8_000.0, 2), 2_500.0);
        assert_eq!(gain_of_two(9_000.0, 3), 1_500.0);
        assert!(gain_of_two(BARRIER_CYCLES, 64) < 0.0);
    }
}
