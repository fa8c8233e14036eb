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

/// Recurrent weights `[dirs, gates * hidden, hidden]` for a recurrent kernel: for each direction, gate and vector of hidden units
/// one vector per unit of the state before, zeros in lanes behind the last unit.
pub fn pack_rnn(width: Width, kind: RnnKind, hidden: usize, weights: &[f32]) -> Vec<u8> {
    let lanes = width.lanes32();
    let dirs = weights.len() / (rnn_gates(kind) * hidden * hidden);
    let mut packed = Vec::new();
    for gate in 0..dirs * rnn_gates(kind) {
        for first in (0..hidden).step_by(lanes) {
            for k in 0..hidden {
                let weight = |unit: usize| {
                    if unit < hidden { weights[(gate * hidden + unit) * hidden + k] } else { 0.0 }
                };
                packed.extend((first..first + lanes).flat_map(|unit| weight(unit).to_le_bytes()));
            }
        }
    }
    packed
}
