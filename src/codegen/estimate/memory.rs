//! Which memory a part of a kernel touches, and how much of it comes from behind the first cache.
//!
//! A footprint is, for each operand, the range from the first to the last byte and the bytes touched in it, in whole lines.
//! Data that a loop's iteration touches stay for the next one where they fit the cache together; what the iterations touch
//! in all then comes once. Where they do not fit, each part of the iteration fetches what it needs again.

use super::machine::{LEVELS, Level, Machine};
use crate::simd::ir::{Addr, CHUNK, Inst, Width};
use crate::simd::tiles::{TileInst, TileShapes};

pub const LINE: i64 = 64;

/// Multiples of a cache's size between which less and less of what a kernel touched is still there when it runs again: replacement
/// knows the order of accesses only about, and code and other data are there too. *Measured.*
const FILLED: (f64, f64) = (0.6, 1.4);

/// The part of so many bytes that a cache has lost when the kernel runs again.
fn lost(bytes: f64, capacity: f64) -> f64 {
    ((bytes / capacity - FILLED.0) / (FILLED.1 - FILLED.0)).clamp(0.0, 1.0)
}

/// What is touched of one operand.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    begin: i64,
    end: i64,
    /// Those touched several times count as often, until [`Footprint::settle`].
    bytes: f64,
    /// Lines that a line of it counts for on its way between caches.
    weight: f64,
}

/// What is touched of each operand, and of the kernel's own memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Footprint {
    ranges: Vec<Option<Range>>,
}

impl Footprint {
    /// Enters `count` pieces of `bytes` bytes of an operand, the first at `begin`, `stride` apart.
    pub fn touch(&mut self, region: usize, begin: i64, (bytes, count, stride): (i64, i64, i64), weight: f64) {
        let last = begin + stride * (count - 1);
        let (begin, end) = (begin.min(last), begin.max(last) + bytes);
        let (begin, end) = (begin.div_euclid(LINE) * LINE, (end + LINE - 1).div_euclid(LINE) * LINE);
        let bytes = if stride.abs() < LINE { end - begin } else { count * bytes.max(LINE) };
        self.merge_range(region, Range { begin, end, bytes: bytes as f64, weight }, 1.0);
    }

    /// Nothing is touched twice that lies in the same place.
    pub fn settle(&mut self) {
        for range in self.ranges.iter_mut().flatten() {
            range.bytes = range.bytes.min((range.end - range.begin) as f64);
        }
    }

    /// Lines fetched, by their weights.
    fn lines(&self) -> f64 {
        self.ranges.iter().flatten().map(|range| range.bytes * range.weight).sum::<f64>() / LINE as f64
    }

    fn merge_range(&mut self, region: usize, other: Range, times: f64) {
        if self.ranges.len() <= region {
            self.ranges.resize(region + 1, None);
        }
        let range = self.ranges[region].get_or_insert(Range { bytes: 0.0, ..other });
        let (begin, end) = (range.begin.min(other.begin), range.end.max(other.end));
        let weight = range.weight.max(other.weight);
        *range = Range { begin, end, bytes: range.bytes + times * other.bytes, weight };
    }

    /// Enters what is touched in a part that runs so often.
    pub fn merge(&mut self, other: &Footprint, times: f64) {
        for (region, range) in other.ranges.iter().enumerate() {
            if let Some(range) = range {
                self.merge_range(region, *range, times);
            }
        }
    }

    pub fn bytes(&self) -> f64 {
        self.ranges.iter().flatten().map(|range| range.bytes).sum()
    }
}

/// What a part of a kernel touches, and the lines it takes from behind each cache.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub touched: Footprint,
    pub lines: [f64; LEVELS],
}

impl Traffic {
    /// Parts one behind the other, each so many times; `again`: what one of them brings is there for the next, where it fits.
    pub fn of(machine: &Machine, parts: &[(Traffic, f64)], is_loop: bool) -> Traffic {
        let mut touched = Footprint::default();
        parts.iter().for_each(|(part, times)| touched.merge(&part.touched, *times));
        touched.settle();
        let lines = std::array::from_fn(|level| {
            let capacity = machine.levels[level].bytes;
            let largest = parts.iter().map(|(part, _)| part.touched.bytes()).fold(0.0, f64::max);
            let stays = if is_loop { largest <= capacity } else { touched.bytes() <= capacity };
            let apart = parts.iter().map(|(part, times)| times * part.lines[level]).sum::<f64>();
            if stays { apart.min(touched.lines()) } else { apart }
        });
        Traffic { touched, lines }
    }

    /// Of straight code: every line is fetched.
    pub fn straight(mut touched: Footprint) -> Traffic {
        touched.settle();
        let lines = [touched.lines(); LEVELS];
        Traffic { touched, lines }
    }

    /// Cycles for all of it, when it has run before.
    pub fn cycles(&self, machine: &Machine) -> f64 {
        let cost = |(level, lines): (&Level, &f64)| lost(self.touched.bytes(), level.bytes) * lines * level.line_cycles;
        machine.levels.iter().zip(&self.lines).map(cost).sum()
    }
}

/// How an instruction accesses memory: `count` pieces of `bytes` bytes, `stride` apart; a stride of none is a value's.
pub struct Access {
    pub addr: Addr,
    pub bytes: i64,
    pub count: i64,
    pub stride: Option<i64>,
}

/// The access of an instruction; strides of tiles are values, which the caller knows.
pub fn access(inst: &Inst, width: Width, tiles: Option<&TileShapes>) -> Option<Access> {
    let vector = width.bytes() as i64;
    let one = |addr: Addr, bytes: i64| Some(Access { addr, bytes, count: 1, stride: Some(0) });
    let chunks = |addr: Addr, stride: i32, bytes: usize| {
        let (count, stride) = (width.chunks() as i64, Some(stride.into()));
        Some(Access { addr, bytes: bytes as i64, count, stride })
    };
    match *inst {
        Inst::LoadInt { addr, kind, .. } | Inst::StoreInt { addr, kind, .. } => one(addr, kind.bytes() as i64),
        Inst::LoadF32 { addr, .. } | Inst::StoreF32 { addr, .. } | Inst::LoadSplat32 { addr, .. } => one(addr, 4),
        Inst::Load { addr, .. } | Inst::Store { addr, .. } => one(addr, vector),
        Inst::LoadPartial { addr, bytes, .. } | Inst::StorePartial { addr, bytes, .. } => one(addr, bytes as i64),
        Inst::LoadWiden { addr, widen, .. } => one(addr, vector / widen.ratio() as i64),
        Inst::LoadChunks { addr, stride, .. } | Inst::StoreChunks { addr, stride, .. } => chunks(addr, stride, CHUNK),
        Inst::LoadPartialChunks { addr, span, .. } | Inst::StorePartialChunks { addr, span, .. } => {
            chunks(addr, span.stride, span.head)
        }
        Inst::Tile(TileInst::Load { tile, addr, .. } | TileInst::Store { tile, addr, .. }) => {
            let shape = tiles?[usize::from(tile.0)];
            Some(Access { addr, bytes: shape.bytes as i64, count: shape.rows as i64, stride: None })
        }
        _ => None,
    }
}
