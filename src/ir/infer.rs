//! The result types of every operation: the only place where shapes are computed.

use super::entity::Value;
use super::graph::Graph;
use super::op::Op;
use super::ty::TensorType;

/// Types of the results of `op` on these operands.
///
/// # Errors
/// Why the operation cannot take them: a sentence without a place, which the caller knows.
pub fn result_types(graph: &Graph, op: &Op, operands: &[Value]) -> Result<Vec<TensorType>, String> {
    match op {
        Op::Const(id) => Ok(vec![graph.tensor(*id).ty().clone()]),
        _ => Err(format!("{} on {} operands has no inference yet", op.name(), operands.len())),
    }
}
