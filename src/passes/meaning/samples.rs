//! Inputs on which graphs are compared.
//!
//! Random values rarely stand where quantization can go wrong, so each input is also filled from the grid of the first
//! quantizer that it reaches: points beside the middle of two steps, the ends of the range with their neighbours, zeros of
//! both signs, and values far outside. Beside: exactly in the middle either neighbour is right once arithmetic is
//! reordered; a distance of [`BESIDE`] has one answer, and is too short for a scale or zero point that is slightly wrong.

use std::collections::{BTreeSet, VecDeque};

use crate::ir::tensor::Data;
use crate::ir::{ElemType, Graph, Node, Op, Tensor, TensorType, Value};

/// One value for every input.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: &'static str,
    pub inputs: Vec<Tensor>,
}

/// The range and the number of values of a quantizer.
#[derive(Clone, Copy, Debug)]
struct Grid {
    low: f32,
    high: f32,
    levels: u32,
}

/// For inputs that reach no quantizer.
const DEFAULT_GRID: Grid = Grid { low: -3.0, high: 3.0, levels: 256 };

type Fill = fn(Grid, &mut Random) -> f32;

const FILLS: &[(&str, Fill)] = &[
    ("random", random),
    ("boundary (ties)", ties),
    ("boundary (range ends)", ends),
    ("zero", zeros),
    ("extreme", extremes),
];

/// Every kind of sample once; the seed decides all of them.
pub fn samples(graph: &Graph, seed: u64) -> Vec<Sample> {
    let mut numbers = Random::new(seed);
    let grids: Vec<Grid> = graph.inputs().iter().map(|&input| grid(graph, input)).collect();
    let sample = |&(name, fill): &(&'static str, Fill)| {
        let values = graph.inputs().iter().zip(&grids);
        let inputs = values.map(|(&input, &grid)| tensor(graph.ty(input), grid, fill, &mut numbers)).collect();
        Sample { name, inputs }
    };
    FILLS.iter().map(sample).collect()
}

fn random(grid: Grid, numbers: &mut Random) -> f32 {
    let margin = (grid.high - grid.low) * 0.1;
    numbers.between(grid.low - margin, grid.high + margin)
}

/// Distance from a tie, as part of the range: above the roundings of f32.
const BESIDE: f32 = 1.0 / (1 << 16) as f32;

/// A few steps and a half, and a little more or less.
fn ties(grid: Grid, numbers: &mut Random) -> f32 {
    let steps = grid.levels.saturating_sub(1).max(1);
    let width = grid.high - grid.low;
    let tie = (numbers.below(u64::from(steps)) as f32 + 0.5) * (width / steps as f32) + grid.low;
    tie + [-BESIDE, BESIDE][numbers.below(2) as usize] * width
}

fn ends(grid: Grid, numbers: &mut Random) -> f32 {
    let end = [grid.low, grid.high][numbers.below(2) as usize];
    let step = (grid.high - grid.low) / grid.levels.saturating_sub(1).max(1) as f32;
    [end, end.next_up(), end.next_down(), end + step, end - step][numbers.below(5) as usize]
}

fn zeros(_: Grid, numbers: &mut Random) -> f32 {
    [0.0, -0.0][numbers.below(2) as usize]
}

fn extremes(grid: Grid, numbers: &mut Random) -> f32 {
    let width = (grid.high - grid.low).abs().max(1.0);
    [-1e3 * width, 1e3 * width, -f32::MIN_POSITIVE, f32::MIN_POSITIVE, 0.0][numbers.below(5) as usize]
}

/// Floats as `fill` says; integers over their range, but small ones of 32 and 64 bits, which are mostly indices.
fn tensor(ty: &TensorType, grid: Grid, fill: Fill, numbers: &mut Random) -> Tensor {
    let count = ty.shape.elements();
    let mut byte = || match numbers.below(8) {
        0 => 0,
        1 => 255,
        2 => 128,
        _ => numbers.below(256) as u8,
    };
    let data = match ty.elem {
        ElemType::U8 => Data::U8((0..count).map(|_| byte()).collect()),
        ElemType::I8 => Data::I8((0..count).map(|_| byte() as i8).collect()),
        ElemType::I4 => Data::I8((0..count).map(|_| (byte() & 15) as i8 - 8).collect()),
        ElemType::U4 => Data::U8((0..count).map(|_| byte() & 15).collect()),
        ElemType::Bool => Data::U8((0..count).map(|_| byte() & 1).collect()),
        ElemType::I16 => Data::I16((0..count).map(|_| i16::from(byte()) - 128).collect()),
        ElemType::I32 => Data::I32((0..count).map(|_| i32::from(byte() & 3)).collect()),
        ElemType::I64 => Data::I64((0..count).map(|_| i64::from(byte() & 3)).collect()),
        ElemType::F32 => Data::F32((0..count).map(|_| fill(grid, numbers)).collect()),
        ElemType::F16 => Data::F16((0..count).map(|_| half::f16::from_f32(fill(grid, numbers))).collect()),
        ElemType::BF16 => Data::BF16((0..count).map(|_| half::bf16::from_f32(fill(grid, numbers))).collect()),
    };
    Tensor::new(ty.clone(), data)
}

/// The grid of the nearest quantizer among those that use the value.
fn grid(graph: &Graph, input: Value) -> Grid {
    let mut open = VecDeque::from([input]);
    let mut seen = BTreeSet::from([input]);
    while let Some(value) = open.pop_front() {
        for &user in graph.users(value) {
            if let Some(grid) = quantizer(graph, user) {
                return grid;
            }
            open.extend(graph.results(user).iter().filter(|&&result| seen.insert(result)));
        }
    }
    DEFAULT_GRID
}

fn quantizer(graph: &Graph, node: Node) -> Option<Grid> {
    let first = |index: usize| graph.const_value(graph.operand(node, index))?.to_f64().first().map(|&end| end as f32);
    let grid = match graph.op(node) {
        Op::FakeQuantize { levels } => Grid { low: first(1)?, high: first(2)?, levels: *levels },
        Op::Quantize(attrs) => {
            let real = |q: i32| ((f64::from(q) - attrs.params.zero_point_at(0)) * attrs.params.scale_at(0)) as f32;
            Grid { low: real(attrs.low), high: real(attrs.high), levels: attrs.high.abs_diff(attrs.low) + 1 }
        }
        _ => return None,
    };
    (grid.low.is_finite() && grid.high.is_finite() && grid.low != grid.high).then_some(grid)
}

/// Xorshift with a multiplicative output, the same on every machine. <https://doi.org/10.18637/jss.v008.i14>
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// `0 .. n`
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 32) % n
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }
}
