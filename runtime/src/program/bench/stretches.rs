//! The times of a model's layers, in nanoseconds and in cycles.
//!
//! The clock of a CPU changes with what runs on it and beside it, many times a second. So a profile goes in *stretches* of about a
//! millisecond: the least time of a layer in a stretch, and the clock right behind it, give its cycles. The lower quartile
//! over the stretches counts: whatever disturbs a layer makes it slower, but a clock that changed within the stretch
//! can make it look faster.

use alloc::vec;
use alloc::vec::Vec;

use crate::clock::now_ns;
use crate::peak;
use crate::program::error::Failure;
use crate::program::session::Session;
use crate::program::stats::Summary;

/// Profiled inferences, unless fewer were measured; more while they have not taken [`PROFILE_NS`].
const MAX_INFERENCES: u64 = 100;
/// Long enough for a layer of a microsecond to be met undisturbed.
const PROFILE_NS: u64 = 30_000_000;
const STRETCH_NS: u64 = 1_000_000;
/// Readings of the clock behind one another, of which the least distance counts.
const CLOCK_READINGS: usize = 1000;

/// What was measured of a layer.
pub struct Times {
    /// Over the inferences.
    pub median_ns: u64,
    pub min_ns: u64,
    pub cycles: u64,
}

/// What was measured of the layers, in their order.
pub struct Stretches {
    pub layers: Vec<Times>,
    pub inferences: u64,
    /// Of the CPU, right behind inferences: the median.
    pub clock_mhz: u64,
}

impl Stretches {
    /// Profiles some inferences. `count`: those that were measured as a whole, which are enough.
    pub fn measure(session: &mut Session<'_>, layers: usize, count: u64) -> Result<Stretches, Failure> {
        let reading_ns = reading_ns();
        let (mut ns, mut cycles) = (vec![Vec::new(); layers], vec![Vec::new(); layers]);
        let mut clocks = Vec::new();
        let begin = now_ns();
        let mut inferences = 0;
        while inferences < count.clamp(1, MAX_INFERENCES) || inferences < count && now_ns() - begin < PROFILE_NS {
            let stretch = now_ns();
            let mut least = vec![u64::MAX; layers];
            while inferences < count.max(1) && now_ns() - stretch < STRETCH_NS {
                for (layer, found) in session.infer_profiled()?.iter().enumerate() {
                    let found = found.saturating_sub(reading_ns);
                    ns[layer].push(found);
                    least[layer] = least[layer].min(found);
                }
                inferences += 1;
            }
            let mhz = peak::clock_mhz();
            clocks.push(mhz);
            cycles.iter_mut().zip(least).for_each(|(cycles, least)| cycles.push(least.saturating_mul(mhz) / 1000));
        }
        let times = |(ns, cycles)| {
            let (ns, cycles) = (Summary::of(ns)?, Summary::of(cycles)?);
            Some(Times { median_ns: ns.median, min_ns: ns.min, cycles: cycles.p25 })
        };
        let layers = ns.into_iter().zip(cycles).filter_map(times).collect();
        Ok(Stretches { layers, inferences, clock_mhz: Summary::of(clocks).map_or(0, |clocks| clocks.median) })
    }
}

/// What reading the clock takes, which a layer that is timed has in its time: a call of the system, as long as a small layer.
fn reading_ns() -> u64 {
    let distance = |_| {
        let begin = now_ns();
        now_ns() - begin
    };
    (0..CLOCK_READINGS).map(distance).min().unwrap_or(0)
}
