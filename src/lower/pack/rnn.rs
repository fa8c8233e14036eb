//! Recurrent weights.

use crate::ir::op::RnnKind;
use crate::simd::ir::Width;

/// Gates of a recurrent cell.
pub fn rnn_gates(kind: RnnKind) -> usize {
    match kind {
        RnnKind::Lstm => 4,
        RnnKind::Gru => 3,
        RnnKind::Rnn => 1,
    }
}

/// Vectors of hidden units that go through the state together: with several gates of each, enough sums to hide that each
/// waits for its additions, few enough for the registers.
pub fn rnn_vectors(width: Width) -> usize {
    if width.lanes32() == 16 { 4 } else { 2 }
}

/// Recurrent weights `[dirs, gates * hidden, hidden]` for a recurrent kernel, in the order in which it reads them: for each
/// direction, group of [`rnn_vectors`] vectors of hidden units and unit of the state before, the vectors of each gate; zeros
/// in lanes behind the last unit.
pub fn pack_rnn(width: Width, kind: RnnKind, hidden: usize, weights: &[f32]) -> Vec<u8> {
    let (lanes, gates) = (width.lanes32(), rnn_gates(kind));
    let group = rnn_vectors(width) * lanes;
    let mut packed = Vec::new();
    for direction in weights.chunks(gates * hidden * hidden) {
        for first in (0..hidden).step_by(group) {
            let units = first..(first + group).min(hidden.next_multiple_of(lanes));
            for k in 0..hidden {
                for gate in direction.chunks(hidden * hidden) {
                    let weight = |unit: usize| if unit < hidden { gate[unit * hidden + k] } else { 0.0 };
                    packed.extend(units.clone().flat_map(|unit| weight(unit).to_le_bytes()));
                }
            }
        }
    }
    packed
}
