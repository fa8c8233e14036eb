//! What a core does in a cycle: one table per class of machine.
//!
//! The classes follow the width of vectors, which is what kernels are written for:
//!
//! - 128 bits: any core with SSE4.1 or NEON; numbers of Zen 3;
//! - 256 bits: AVX2, with or without dot products. Zen 3 has four vector pipes, two of which multiply, and sustains three vector
//!   instructions a cycle; Golden Cove has three ports, two of which multiply. In the units below they come to the same;
//! - 512 bits: Golden Cove (server), where ports 0 and 1 work as one on wide vectors, beside port 5; and its tiles. It loads two
//!   whole lines in a cycle, or three smaller pieces, and stores one, or two halves of one. Of whole lines loaded and wide
//!   instructions together it does three in a cycle (*measured*, with loops of nothing else).
//!
//! Fetching ends at each branch, so short blocks keep a core waiting: one branch in a cycle, and fewer beside instructions of 512
//! bits (*measured*; why is not known).
//!
//! Sources: uops.info and Agner Fog's tables for instructions (`codegen::x86::timing`); the Intel optimization reference
//! manual, 2.3 (Golden Cove: issue of six, loads, stores, caches, windows) and 20 (tiles); AMD's software optimization guide for
//! family 19h, 2.1 to 2.12 (dispatch of six, loads, stores, caches). Numbers marked *measured* are those of
//! `cargo bench --bench kernels`.

use crate::codegen::x86::straight::Uops;
use crate::codegen::x86::timing::Unit;
use crate::simd::ir::Width;

/// Instructions on some units, together, in a cycle at most.
pub struct Bound {
    units: &'static [Unit],
    per_cycle: f64,
}

/// A cache behind the first: what fits the one before it costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Of the cache in front.
    pub bytes: f64,
    /// Cycles for each line of 64 bytes that comes from here, and for each that goes back. *Measured.*
    pub line_cycles: f64,
}

#[derive(Clone, Copy)]
pub struct Machine {
    bounds: &'static [Bound],
    /// Instructions issued in a cycle.
    issue: f64,
    /// Instructions among which the core finds one that can start: between what waits in schedulers (97 on Golden Cove) and what is in
    /// flight (512; 256 on Zen 3). *Measured.*
    pub window: f64,
    /// Cycles lost where a loop ends: the end is not foreseen. *Measured.*
    pub loop_end: f64,
    /// Loads a load counts for in addition where it crosses a line.
    pub split: f64,
    /// Cycles until a stored tile can be read as vectors: stores of tiles are not forwarded to loads. *Measured.*
    pub tile_wait: f64,
    /// The shorter of computing and moving data, as far as it does not hide behind the longer one. *Measured.*
    pub beside: f64,
    /// Cycles of a call: the step around the kernel, its first misses. *Measured.*
    pub call: f64,
    /// Cycles of a call with tiles beside it: they are configured, and their unit may have to wake up. *Measured.*
    pub tiles: f64,
    pub levels: [Level; LEVELS],
}

/// Caches behind the first.
pub const LEVELS: usize = 2;

use Unit::*;

const fn bound(units: &'static [Unit], per_cycle: f64) -> Bound {
    Bound { units, per_cycle }
}

/// 128 and 256 bits.
static NARROW: Machine = Machine {
    bounds: &[
        bound(&[Lanes, Multiply, Shift, FloatAdd, FloatMultiply, Shuffle, Cross], 3.0),
        bound(&[Multiply, Shift, FloatMultiply], 2.0),
        bound(&[Shuffle, Cross, FloatAdd], 2.0),
        bound(&[Cross], 1.0),
        bound(&[Divide], 0.2),
        bound(&[Load], 2.0),
        bound(&[Store], 1.0),
        bound(&[Int, IntMultiply], 4.0),
        bound(&[IntMultiply], 1.0),
        bound(&[IntDivide], 0.15),
        bound(&[Branch], 1.0),
    ],
    issue: 6.0,
    window: 280.0,
    loop_end: 5.0,
    split: 1.0,
    tile_wait: 30.0,
    beside: 0.4,
    call: 40.0,
    tiles: 3000.0,
    levels: [Level { bytes: 32768.0, line_cycles: 1.0 }, Level { bytes: 524288.0, line_cycles: 2.0 }],
};

static WIDE: Machine = Machine {
    bounds: &[
        bound(&[Lanes, Multiply, Shift, FloatAdd, FloatMultiply, Shuffle, Cross], 2.0),
        bound(&[Shift], 1.0),
        bound(&[Shuffle, Cross], 1.0),
        bound(&[Divide], 0.1),
        bound(&[LoadWide, Lanes, Multiply, Shift, FloatAdd, FloatMultiply, Shuffle, Cross], 3.0),
        bound(&[LoadWide], 2.0),
        bound(&[Load], 3.0),
        bound(&[Store], 2.0),
        bound(&[Int, IntMultiply], 5.0),
        bound(&[IntMultiply], 1.0),
        bound(&[IntDivide], 0.15),
        bound(&[Branch], 0.67),
        bound(&[TileRow], 1.0),
    ],
    issue: 6.0,
    window: 150.0,
    loop_end: 5.0,
    split: 1.0,
    tile_wait: 15.0,
    beside: 0.15,
    call: 40.0,
    tiles: 300.0,
    levels: [Level { bytes: 49152.0, line_cycles: 1.2 }, Level { bytes: 2097152.0, line_cycles: 3.0 }],
};

impl Machine {
    /// The machine with the caches of the class whose second cache is most like one of so many bytes.
    pub fn with_second_cache(self, bytes: f64) -> Machine {
        let distance = |machine: &&Machine| (machine.levels[1].bytes / bytes).ln().abs();
        let nearest = [&NARROW, &WIDE].into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        Machine { levels: nearest.unwrap_or(&self).levels, ..self }
    }

    pub fn of(width: Width) -> &'static Machine {
        match width {
            Width::W512 => &WIDE,
            _ => &NARROW,
        }
    }

    /// Cycles for instructions that wait for nothing: those of the unit that is busiest.
    pub fn cycles(&self, uops: &Uops) -> f64 {
        let busy = |bound: &Bound| bound.units.iter().map(|&unit| uops.of(unit)).sum::<f64>() / bound.per_cycle;
        self.bounds.iter().map(busy).fold(uops.issued / self.issue, f64::max)
    }
}
