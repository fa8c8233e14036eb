//! Einsum of one or two operands, without ellipsis or repeated labels: sums, transposes and one matrix product.
//!
//! Plan for two operands: sum away the labels only one of them has and the result has not; sort the rest into batch
//! (both operands and the result), contracted (both operands only) and free (one operand and the result); bring them
//! to `[batch.., free, contracted]` and `[batch.., contracted, free]` with one dimension per group, multiply, and
//! bring the result to its order.

use crate::ir::op::{BinaryOp, ReduceAttrs, ReduceKind};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault};

/// A value and the label of each of its dimensions.
struct Labelled {
    value: Value,
    labels: Vec<char>,
}

pub fn einsum(context: &mut Context) -> Fallible<Vec<Value>> {
    let equation: String = context.required("equation")?.chars().filter(|char| !char.is_whitespace()).collect();
    let refuse = || Fault::unsupported(format!("the equation \"{equation}\" is not supported"));
    let (inputs, output) = equation.split_once("->").ok_or_else(refuse)?;
    let output: Vec<char> = output.chars().collect();
    let mut operands = Vec::new();
    for (index, labels) in inputs.split(',').enumerate() {
        let value = context.operand(index)?;
        let labels: Vec<char> = labels.chars().collect();
        let plain = labels.iter().enumerate().all(|(at, label)| label.is_alphabetic() && !labels[..at].contains(label));
        if !plain || labels.len() != context.rank(value) {
            return Err(refuse());
        }
        operands.push(Labelled { value, labels });
    }
    let known = output.iter().all(|label| operands.iter().any(|operand| operand.labels.contains(label)));
    if !known || operands.len() != context.operands.len() {
        return Err(refuse());
    }
    let product = match operands.as_slice() {
        [a] => sum_except(context, a, |label| output.contains(&label))?,
        [a, b] => contract(context, a, b, &output)?,
        _ => return Err(refuse()),
    };
    Ok(vec![order(context, &product, &output)?.value])
}

/// Sums over every label that is not kept.
fn sum_except(context: &mut Context, x: &Labelled, keep: impl Fn(char) -> bool) -> Fallible<Labelled> {
    let axes: Vec<usize> = (0..x.labels.len()).filter(|&axis| !keep(x.labels[axis])).collect();
    let labels = x.labels.iter().copied().filter(|&label| keep(label)).collect();
    if axes.is_empty() {
        return Ok(Labelled { value: x.value, labels });
    }
    let attrs = ReduceAttrs { kind: ReduceKind::Sum, axes, keep_dims: false };
    Ok(Labelled { value: context.emit(Op::Reduce(attrs), &[x.value])?, labels })
}

/// The same value with its dimensions in this order.
fn order(context: &mut Context, x: &Labelled, labels: &[char]) -> Fallible<Labelled> {
    let find = |label: &char| x.labels.iter().position(|own| own == label);
    let perm: Option<Vec<usize>> = labels.iter().map(find).collect();
    let perm = perm.ok_or_else(|| Fault::new("internal error: a label of the result was lost"))?;
    Ok(Labelled { value: context.transpose(x.value, &perm)?, labels: labels.to_vec() })
}

fn contract(context: &mut Context, a: &Labelled, b: &Labelled, output: &[char]) -> Fallible<Labelled> {
    let a = sum_except(context, a, |label| output.contains(&label) || b.labels.contains(&label))?;
    let b = sum_except(context, b, |label| output.contains(&label) || a.labels.contains(&label))?;
    let pick = |from: &Labelled, shared: bool, kept: bool, other: &Labelled| -> Vec<char> {
        let labels = from.labels.iter().copied();
        labels.filter(|label| other.labels.contains(label) == shared && output.contains(label) == kept).collect()
    };
    let (batch, contracted) = (pick(&a, true, true, &b), pick(&a, true, false, &b));
    let (a_free, b_free) = (pick(&a, false, true, &b), pick(&b, false, true, &a));
    let (a_dims, a_value) = matrix(context, &a, [&batch, &a_free, &contracted])?;
    let (b_dims, b_value) = matrix(context, &b, [&batch, &contracted, &b_free])?;
    let value = if contracted.is_empty() {
        // an outer product: `[batch, m, 1] * [batch, 1, n]`
        context.binary(BinaryOp::Mul, a_value, b_value)?
    } else {
        context.emit(Op::MatMul { transpose_a: false, transpose_b: false }, &[a_value, b_value])?
    };
    let labels = [batch.as_slice(), &a_free, &b_free].concat();
    let dims =
        [a_dims[..batch.len() + a_free.len()].to_vec(), b_dims[batch.len() + contracted.len()..].to_vec()].concat();
    Ok(Labelled { value: context.reshape(value, &dims)?, labels })
}

/// Brings the dimensions into three groups; gives them singly, and the value with one dimension per group.
fn matrix(context: &mut Context, x: &Labelled, groups: [&[char]; 3]) -> Fallible<(Vec<usize>, Value)> {
    let ordered = order(context, x, &groups.concat())?;
    let dims = context.dims(ordered.value);
    let mut rest = dims.as_slice();
    let mut sizes = Vec::with_capacity(groups.len());
    for group in groups {
        let (own, behind) = rest.split_at(group.len());
        sizes.push(own.iter().product());
        rest = behind;
    }
    Ok((dims.clone(), context.reshape(ordered.value, &sizes)?))
}
