//! Recurrent weights, and when their products with the state can be taken in integers.
//!
//! Weights that came from integers are integers times a scale per row. [`IntegerRow::of`] finds both again in the constants: the
//! scale is the row's greatest weight divided by one of 1..=128, and every weight must be a multiple of it up to the roundings
//! of a product of floats.

use crate::ir::op::RnnKind;
use crate::lower::kernel::StateProduct;
use crate::lower::program::READ_SLACK;
use crate::simd::ir::Width;

/// Relative distance of a weight from its multiple of the scale: rounded once when it was multiplied, once or twice before.
const ROUNDING: f64 = 1.0 / (1 << 22) as f64;

/// Bits of the state behind the binary point, as integers hold it.
pub const STATE_BITS: u32 = 22;

/// Gates of a recurrent cell.
pub fn rnn_gates(kind: RnnKind) -> usize {
    match kind {
        RnnKind::Lstm => 4,
        RnnKind::Gru => 3,
        RnnKind::Rnn => 1,
    }
}

/// A row of weights: `scale * weights`.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerRow {
    pub scale: f64,
    pub weights: Vec<i8>,
}

impl IntegerRow {
    /// The row as integers, if it is one.
    pub fn of(row: &[f32]) -> Option<IntegerRow> {
        let greatest = row.iter().fold(0.0f64, |greatest, &weight| greatest.max(f64::from(weight).abs()));
        if greatest == 0.0 {
            return Some(IntegerRow { scale: 0.0, weights: vec![0; row.len()] });
        }
        (1..=128).rev().find_map(|steps| {
            let scale = greatest / f64::from(steps);
            let multiple = |&weight: &f32| {
                let weight = f64::from(weight);
                let nearest = (weight / scale).round();
                let close = (nearest * scale - weight).abs() <= ROUNDING * weight.abs();
                (close && nearest < 128.0).then_some(nearest as i8)
            };
            Some(IntegerRow { scale, weights: row.iter().map(multiple).collect::<Option<_>>()? })
        })
    }
}

/// Where things are in the recurrent weights of one direction.
///
/// ```text
/// weights   [group of vectors of hidden units][step of k][gate][vector][lane: unit][k of a step]
/// starts    [gate][unit] i32    of sums of bytes: -128 times the sum of the row    } of integers only
/// scales    [gate][unit] f32    of a unit of the integer sum                       }
/// ```
///
/// Lanes behind the last unit, and weights behind the last k, are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RnnLayout {
    /// Vectors of hidden units that go through the state together: with several gates of each, enough sums to hide that each
    /// waits for its additions, few enough for the registers.
    pub vectors: usize,
    /// Steps through the state.
    pub steps: usize,
    pub starts_at: usize,
    pub scales_at: usize,
    /// Bytes of a direction.
    pub bytes: usize,
}

impl RnnLayout {
    pub fn new(width: Width, product: StateProduct, kind: RnnKind, hidden: usize) -> RnnLayout {
        let (wide, gates) = (width == Width::W512, rnn_gates(kind));
        let vectors = match product {
            StateProduct::F32 => 2 << usize::from(wide),
            StateProduct::Bytes | StateProduct::Words => 1 << usize::from(wide),
        };
        let steps = hidden.div_ceil(product.step());
        let starts_at = 4 * hidden.next_multiple_of(width.lanes32()) * gates * steps;
        let row = if product == StateProduct::F32 { 0 } else { 4 * gates * hidden };
        let bytes = (starts_at + 2 * row).next_multiple_of(super::BLOCK_ALIGN);
        RnnLayout { vectors, steps, starts_at, scales_at: starts_at + row, bytes }
    }

    /// Recurrent weights `[dirs, gates * hidden, hidden]` of floats.
    pub fn pack_f32(width: Width, kind: RnnKind, hidden: usize, weights: &[f32]) -> Vec<u8> {
        let layout = RnnLayout::new(width, StateProduct::F32, kind, hidden);
        let mut packed = Vec::new();
        for direction in weights.chunks(rnn_gates(kind) * hidden * hidden) {
            let weight = |row: usize, k: usize| direction[row * hidden + k].to_le_bytes();
            layout.weights(width, StateProduct::F32, hidden, rnn_gates(kind), &mut packed, weight);
            super::align(&mut packed);
        }
        packed
    }

    /// The same of integers, all rows of all directions.
    pub fn pack_integers(
        width: Width,
        product: StateProduct,
        kind: RnnKind,
        hidden: usize,
        rows: &[IntegerRow],
    ) -> Vec<u8> {
        let layout = RnnLayout::new(width, product, kind, hidden);
        let mut packed = Vec::new();
        for rows in rows.chunks(rnn_gates(kind) * hidden) {
            match product {
                StateProduct::Words => {
                    let weight = |row: usize, k: usize| i16::from(rows[row].weights[k]).to_le_bytes();
                    layout.weights(width, product, hidden, rnn_gates(kind), &mut packed, weight);
                }
                StateProduct::Bytes | StateProduct::F32 => {
                    let weight = |row: usize, k: usize| rows[row].weights[k].to_le_bytes();
                    layout.weights(width, product, hidden, rnn_gates(kind), &mut packed, weight);
                }
            }
            let start = |row: &IntegerRow| -128 * row.weights.iter().map(|&weight| i32::from(weight)).sum::<i32>();
            packed.extend(rows.iter().flat_map(|row| start(row).to_le_bytes()));
            let unit = 0.5f64.powi(STATE_BITS as i32);
            packed.extend(rows.iter().flat_map(|row| ((row.scale * unit) as f32).to_le_bytes()));
            super::align(&mut packed);
        }
        packed.resize(packed.len() + READ_SLACK, 0);
        packed
    }

    /// Appends weights of `N` bytes in the order of the kernel.
    fn weights<const N: usize>(
        &self,
        width: Width,
        product: StateProduct,
        hidden: usize,
        gates: usize,
        packed: &mut Vec<u8>,
        weight: impl Fn(usize, usize) -> [u8; N],
    ) {
        let (lanes, step) = (width.lanes32(), product.step());
        let group = self.vectors * lanes;
        for first in (0..hidden).step_by(group) {
            let units = first..(first + group).min(hidden.next_multiple_of(lanes));
            for (at, gate) in (0..self.steps).flat_map(|at| (0..gates).map(move |gate| (at * step, gate))) {
                for (unit, k) in units.clone().flat_map(|unit| (at..at + step).map(move |k| (unit, k))) {
                    let exists = unit < hidden && k < hidden;
                    packed.extend(if exists { weight(gate * hidden + unit, k) } else { [0; N] });
                }
            }
        }
    }
}
