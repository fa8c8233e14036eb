//! The slow, obvious meaning of every operation: the oracle of tests, comparisons and constant folding.
//!
//! - [`eval_op`] evaluates one operation; each family has a file whose `//!` states how it rounds.
//! - [`run`] evaluates a graph (see [`graph`]).
//! - [`values`] is the border between element types and the domains of computation; [`view`] moves elements.
//!
//! Rules that hold everywhere: floats are computed in f64 and rounded to their type once, except quantization, whose f32
//! operations are its definition; integers wrap; nothing depends on an order of summation, on the machine or on a
//! previous call; nothing panics: what `verify` would have refused is an `Err`. What the operations' definitions leave open
//! is decided here: an index outside its dimension reads 0 and writes nothing, integer division by zero gives 0.

mod elementwise;
mod gather;
mod graph;
mod interpolate;
mod layout;
mod linear;
mod loops;
mod math;
mod order;
mod pool;
mod quantize;
mod reduce;
mod rnn;
mod values;
mod view;
mod windows;

#[cfg(test)]
mod tests;

use crate::ir::op::Arity;
use crate::ir::{Op, Tensor, TensorType};

pub use graph::{State, run, run_observed, run_stateful};
pub use interpolate::{Taps, axis_taps};
pub use layout::padded_source;
pub use quantize::quantize_factor;

/// Evaluates one operation. `results` are the types that [`crate::ir::infer`] gives.
///
/// # Errors
/// A reason without a place: the operation has a region or state, or is `const` or `return` (those belong to [`run`]); or
/// operands and results do not fit it.
pub fn eval_op(op: &Op, operands: &[&Tensor], results: &[TensorType]) -> Result<Vec<Tensor>, String> {
    check_arity(op, operands.len())?;
    if !results.is_empty() && results.iter().all(|ty| ty.shape.elements() == 0) {
        return results.iter().map(|ty| values::int(ty, Vec::new())).collect();
    }
    compute(op, operands, results)
}

/// The table of meanings.
fn compute(op: &Op, operands: &[&Tensor], results: &[TensorType]) -> Result<Vec<Tensor>, String> {
    let Some(ty) = results.first() else {
        return Err(format!("{} has no result to compute", op.name()));
    };
    let single = match op {
        Op::FakeQuantize { levels } => quantize::fake_quantize(*levels, operands, ty),
        Op::Quantize(attrs) => quantize::quantize(attrs, operands[0], ty),
        Op::Dequantize(params) => quantize::dequantize(params, operands[0], ty),
        Op::Requantize(attrs) => quantize::requantize(attrs, operands[0], ty),
        Op::Convolution(attrs) => linear::convolution(attrs, operands, ty),
        Op::Deconvolution(attrs) => linear::deconvolution(attrs, operands, ty),
        Op::MatMul { transpose_a, transpose_b } => linear::matmul(*transpose_a, *transpose_b, operands, ty),
        Op::Unary(unary) => elementwise::unary(*unary, operands[0], ty),
        Op::Binary(binary) => elementwise::binary(*binary, operands, ty),
        Op::Select => elementwise::select(operands, ty),
        Op::Convert { elem: _ } => elementwise::convert(operands[0], ty),
        Op::MaxPool(attrs) => pool::max_pool(attrs, operands[0], ty),
        Op::AvgPool(attrs) => pool::avg_pool(attrs, operands[0], ty),
        Op::Reduce(attrs) => reduce::reduce(attrs, operands[0], ty),
        Op::Softmax { axis, log } => reduce::softmax(*axis, *log, operands[0], ty),
        Op::Mvn(attrs) => reduce::mvn(attrs, operands[0], ty),
        Op::NormalizeL2(attrs) => reduce::normalize_l2(attrs, operands[0], ty),
        Op::Reshape { shape: _ } => values::tensor(ty, operands[0].data().clone()),
        Op::Transpose { perm } => layout::transpose(perm, operands[0], ty),
        Op::Concat { axis } => layout::concat(*axis, operands, ty),
        Op::Split { axis, lengths } => return layout::split(*axis, lengths, operands[0], results),
        Op::Slice(attrs) => layout::slice(attrs, operands[0], ty),
        Op::Pad(attrs) => layout::pad(attrs, operands[0], ty),
        Op::Broadcast { shape: _ } => layout::broadcast(operands[0], ty),
        Op::Tile { repeats } => layout::tile(repeats, operands[0], ty),
        Op::DepthToSpace { block, mode } => layout::depth_to_space(*block, *mode, operands[0], ty),
        Op::SpaceToDepth { block, mode } => layout::space_to_depth(*block, *mode, operands[0], ty),
        Op::BatchToSpace { block, crops_begin, crops_end: _ } => {
            layout::batch_to_space(block, crops_begin, operands[0], ty)
        }
        Op::SpaceToBatch { block, pads_begin, pads_end } => {
            layout::space_to_batch(block, pads_begin, pads_end, operands[0], ty)
        }
        Op::Reverse { axis } => layout::reverse(*axis, operands[0], ty),
        Op::Interpolate(attrs) => interpolate::interpolate(attrs, operands[0], ty),
        Op::Gather { axis, batch_dims } => gather::gather(*axis, *batch_dims, operands, ty),
        Op::GatherElements { axis } => gather::gather_elements(*axis, operands, ty),
        Op::GatherNd { batch_dims } => gather::gather_nd(*batch_dims, operands, ty),
        Op::ScatterElements { axis, reduction } => gather::scatter_elements(*axis, *reduction, operands, ty),
        Op::ScatterNd => gather::scatter_nd(operands, ty),
        Op::CumSum { axis, exclusive, reverse } => order::cum_sum(*axis, *exclusive, *reverse, operands[0], ty),
        Op::TopK(attrs) => return order::top_k(attrs, operands[0], results),
        Op::OneHot { axis, depth, on, off, elem: _ } => order::one_hot(*axis, *depth, (*on, *off), operands[0], ty),
        Op::Rnn(attrs) => return rnn::rnn(attrs, operands, results),
        Op::Const(_) | Op::Return | Op::If { .. } | Op::Loop(_) | Op::ReadValue { .. } | Op::Assign { .. } => {
            Err(format!("internal error: {} evaluated outside its graph", op.name()))
        }
    };
    single.map(|tensor| vec![tensor])
}

fn check_arity(op: &Op, operands: usize) -> Result<(), String> {
    match op.info().arity {
        Arity::Exactly(n) if operands != n => Err(format!("{} takes {n} operands, not {operands}", op.name())),
        Arity::AtLeast(n) if operands < n => Err(format!("{} takes {n} or more operands, not {operands}", op.name())),
        Arity::Exactly(_) | Arity::AtLeast(_) => Ok(()),
    }
}
