//! How many multiply-accumulates this machine can do at best: what profiles compare layers with.
//!
//! A peak is measured, not looked up: a loop of nothing but products on registers, with enough independent accumulators to
//! hide their latency, on as many threads as the model uses, at the clock the CPU has at that moment. For each precision
//! there is one loop per instruction that octet's kernels could use; those whose features the model was compiled for are
//! tried, and the fastest is the peak. So a model compiled for AVX2 is measured against `vpmaddubsw`, with the two
//! instructions that make a sum of it, even where the CPU has dot products, and a kernel in a slower form (16-bit weights,
//! float with separate rounding) against the fastest form of its precision.
//!
//! A kernel can come close to its peak but not beyond it: it has to load what the loop has in registers. A layer far below
//! it is bound by memory, by its shape, or by its kernel.

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod arch;

use core::ffi::c_void;

use crate::clock::now_ns;
use crate::threads::Pool;

/// What the loops are for, in the words of [`crate::abi::LayerInfo::precision`].
pub const PRECISIONS: [&str; 2] = ["I8", "FP32"];

/// The best rate of one precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// One of [`PRECISIONS`].
    pub precision: &'static str,
    /// The instructions that reached it.
    pub instructions: &'static str,
    /// Multiply-accumulates per microsecond of all threads together: thousandths of 10^9 per second.
    pub macs_per_us: u64,
}

/// A loop of products.
struct ProductLoop {
    precision: &'static str,
    instructions: &'static str,
    /// Bits of [`crate::abi::cpu`] without which [`ProductLoop::run`] must not be called.
    needs: u64,
    /// Multiply-accumulates of one iteration.
    macs: u64,
    /// Runs a number of iterations, at least one.
    run: unsafe fn(u64),
}

/// Measures the peak of each precision on the threads of `pool`, with the instructions that `cpu_features` allow. Takes some
/// hundredths of a second.
///
/// # Safety
/// The CPU has `cpu_features`, bits of [`crate::abi::cpu`].
pub unsafe fn measure(pool: &mut Pool, cpu_features: u64) -> [Peak; PRECISIONS.len()] {
    PRECISIONS.map(|precision| {
        let mut peak = Peak { precision, instructions: "", macs_per_us: 0 };
        let possible = |of: &&ProductLoop| of.precision == precision && of.needs & !cpu_features == 0;
        for product_loop in arch::LOOPS.iter().filter(possible) {
            // SAFETY: the caller's promise covers what the loop needs.
            let macs_per_us = unsafe { product_loop.rate(pool) };
            if macs_per_us > peak.macs_per_us {
                peak = Peak { precision, instructions: product_loop.instructions, macs_per_us };
            }
        }
        peak
    })
}

/// Cycles in a microsecond, on this thread and now: additions that wait for each other take a cycle each. Instructions that are
/// wide or heavy slow the clock down for some time, so it is that of the work that was done right before. The best of
/// some runs, which take some microseconds together.
pub fn clock_mhz() -> u64 {
    const ADDITIONS: u64 = 1 << 14;
    const RUNS: usize = 3;
    let run = |_| {
        let begin = now_ns();
        arch::wait_cycles(ADDITIONS);
        now_ns() - begin
    };
    let best_ns = (0..RUNS).map(run).min().unwrap_or(u64::MAX);
    ADDITIONS * 1000 / best_ns.max(1)
}

/// One thread's share of a measurement.
struct Run<'a> {
    product_loop: &'a ProductLoop,
    iterations: u64,
}

impl ProductLoop {
    /// Multiply-accumulates per microsecond: the best of some runs, since whatever disturbs one makes it slower.
    ///
    /// # Safety
    /// The CPU has what the loop needs.
    unsafe fn rate(&self, pool: &mut Pool) -> u64 {
        /// Long enough for the clock of the system, short enough that a busy neighbour misses some of them.
        const RUN_NS: u64 = 200_000;
        const RUNS: usize = 40;
        let mut run = Run { product_loop: self, iterations: 1024 };
        // SAFETY: the caller's promise, here and below.
        while unsafe { run.time(pool) } < RUN_NS {
            run.iterations *= 2;
        }
        let best_ns = (0..RUNS).map(|_| unsafe { run.time(pool) }).min().unwrap_or(u64::MAX);
        let macs = u128::from(self.macs) * u128::from(run.iterations) * pool.threads() as u128;
        (macs * 1000 / u128::from(best_ns.max(1))) as u64
    }
}

impl Run<'_> {
    /// Nanoseconds until every thread has done the iterations.
    ///
    /// # Safety
    /// The CPU has what the loop needs.
    unsafe fn time(&self, pool: &mut Pool) -> u64 {
        unsafe extern "C" fn task(context: *const c_void, begin: i64, end: i64) {
            // SAFETY: `time` passes a `Run`, whose loop this CPU can run, and waits for the threads.
            unsafe {
                let run = &*context.cast::<Run<'_>>();
                for _ in begin..end {
                    (run.product_loop.run)(run.iterations);
                }
            }
        }
        let begin = now_ns();
        // SAFETY: `task` writes nothing but registers.
        unsafe { pool.run(pool.threads() as i64, task, (&raw const *self).cast()) };
        now_ns() - begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{self, HardwareCapabilities};

    /// Without any feature, and with what this machine has; auxiliary vectors are not at hand here.
    #[test]
    fn every_precision_has_a_peak_that_more_features_do_not_lower_by_much() {
        let mut pool = Pool::new(1).unwrap();
        let features = cpu::detect(HardwareCapabilities::default());
        // SAFETY: the machine has the features it says it has, and may be used without any of them.
        let (all, least) = unsafe { (measure(&mut pool, features), measure(&mut pool, 0)) };
        for (all, least) in all.iter().zip(&least) {
            assert!(least.macs_per_us > 0 && !least.instructions.is_empty(), "{least:?}");
            assert!(all.macs_per_us * 2 > least.macs_per_us, "{all:?}, {least:?}");
        }
    }

    #[test]
    fn the_clock_is_that_of_a_machine_of_our_days() {
        let clock = clock_mhz();
        assert!((100..20_000).contains(&clock), "{clock}");
    }

    #[test]
    fn each_precision_has_a_loop_on_every_cpu_octet_compiles_for() {
        for precision in PRECISIONS {
            let least = |of: &&ProductLoop| of.precision == precision && of.needs == 0;
            assert!(arch::LOOPS.iter().any(|of| least(&of)), "{precision}");
        }
    }
}
