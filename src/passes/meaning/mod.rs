//! Whether two graphs mean the same: what `--verify-passes` asks around every pass, and tests around the whole compiler.
//!
//! - [`samples`]: inputs on which graphs are compared: random ones, and those where quantization decides;
//! - [`judge`]: how far results may be apart;
//! - [`shrink`]: a small graph that still shows the difference;
//! - [`check_pass`]: all of it for one pass.
//!
//! A pass says in its row of the table how it keeps the meaning ([`Fidelity`]). Passes that only move and merge operations are
//! exact. Low precision transformations compute the same reals in another order, so values on the border between two steps of
//! a grid may fall to either side; [`judge`] measures how much that is for the graph and the inputs at hand.

pub mod judge;
pub mod samples;
pub mod shrink;

use std::fmt;

use super::{Pass, PassContext};
use crate::interp;
use crate::ir::{Graph, Op, Tensor};

pub use judge::{Difference, Reference};
pub use samples::{Sample, samples};
pub use shrink::shrink;

/// How a pass keeps the meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// Every result is equal; the sign of a zero, and which NaN it is, may change.
    Exact,
    /// Results are equal up to roundings: ties of grids may fall to either side.
    Roundings,
}

/// A sample on which a pass changed the meaning.
#[derive(Clone, Debug)]
pub struct Violation {
    pub pass: &'static str,
    pub sample: &'static str,
    pub what: String,
}

/// `lpt-sink changed the meaning on random inputs: output 0 ("y"): element 3 is 1.5, but was 1.25`
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changed the meaning on {} inputs: {}", self.pass, self.sample, self.what)
    }
}

/// Seed of the samples: the same graph gives the same verdict every time.
const SEED: u64 = 1;

/// Compares the graph before the pass with the one after it.
///
/// # Errors
/// The first sample on which they differ.
pub fn check_pass(pass: &Pass, before: &Graph, after: &Graph) -> Result<(), Violation> {
    for sample in samples(before, SEED) {
        compare(before, after, &sample.inputs, pass.fidelity).map_err(|what| Violation {
            pass: pass.name,
            sample: sample.name,
            what,
        })?;
    }
    Ok(())
}

/// The smallest graph found on which the pass still changes the meaning. A graph on which it fails otherwise is not one.
pub fn shrink_for_pass(pass: &Pass, before: &Graph) -> Graph {
    shrink(before, &mut |candidate| {
        let mut after = candidate.clone();
        let ran = (pass.run)(&mut after, &mut PassContext::default());
        ran.is_ok() && check_pass(pass, candidate, &after).is_err()
    })
}

/// Inferences in a row that show what variables do.
const INFERENCES: usize = 3;

/// Results of an inference; of a graph with variables, of several in a row on the same inputs.
///
/// # Errors
/// As [`interp::run`].
pub fn results(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut nodes = graph.all_regions().into_iter().flat_map(|region| graph.nodes(region));
    let inferences = if nodes.any(|node| matches!(graph.op(node), Op::ReadValue { .. })) { INFERENCES } else { 1 };
    let mut state = interp::State::new();
    let mut results = Vec::new();
    for _ in 0..inferences {
        results.extend(interp::run_stateful(graph, inputs, &mut state)?);
    }
    Ok(results)
}

/// What `before` cannot evaluate says nothing about the pass; what `after` cannot is its fault.
fn compare(before: &Graph, after: &Graph, inputs: &[Tensor], fidelity: Fidelity) -> Result<(), String> {
    let Ok(expected) = results(before, inputs) else {
        return Ok(());
    };
    let actual = results(after, inputs).map_err(|reason| format!("it cannot be evaluated any more: {reason}"))?;
    if judge::first_difference(&expected, &actual).is_none() {
        return Ok(());
    }
    let reference = match fidelity {
        Fidelity::Exact => Reference::exact(expected),
        Fidelity::Roundings => Reference::new(before, inputs)?,
    };
    reference.judge(&actual).map_err(|difference| {
        let name = before.output_names.get(difference.output).cloned().unwrap_or_default();
        format!("output {} ({name:?}): {difference}", difference.output)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag;
    use crate::ir::op::UnaryOp;
    use crate::ir::parse::parse_text;
    use crate::ir::{Node, QuantParams};

    const NET: &str = "func @net(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
      %a = tanh %x : tensor<2x8xf32>
      %b = relu %a : tensor<2x8xf32>
      %q = quantize %b {scale = [0.01], zero_point = [3.0]} : tensor<2x8xu8>
      %r = dequantize %q {scale = [0.01], zero_point = [3.0]} : tensor<2x8xf32>
      %y = sigmoid %r : tensor<2x8xf32>
      return %y
    }";

    fn net() -> Graph {
        parse_text(NET, "test").unwrap_or_else(|errors| panic!("{errors}")).graph
    }

    fn bad_pass(fidelity: Fidelity, run: crate::passes::PassFn) -> Pass {
        Pass { name: "bad", doc: "", needs: "", keeps: "", fidelity, run }
    }

    fn find(graph: &Graph, is: impl Fn(&Op) -> bool) -> Option<Node> {
        graph.body_nodes().find(|&node| is(graph.op(node)))
    }

    fn drop_relu(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
        let Some(relu) = find(graph, |op| *op == Op::Unary(UnaryOp::Relu)) else { return Ok(false) };
        let (result, source) = (graph.result(relu), graph.operand(relu, 0));
        graph.replace_value(result, source);
        graph.remove(relu);
        Ok(true)
    }

    /// Dequantizes with the zero point moved.
    fn move_zero_point(graph: &mut Graph, by: f64) -> bool {
        let Some(node) = find(graph, |op| matches!(op, Op::Dequantize(_))) else { return false };
        let Op::Dequantize(params) = graph.op(node).clone() else { return false };
        let params = QuantParams { zero_point: vec![params.zero_point[0] + by], ..params };
        let q = graph.operand(node, 0);
        let moved = graph.insert_before(node, Op::Dequantize(params), &[q], &[]).expect("the same operand");
        let (old, new) = (graph.result(node), graph.result(moved));
        graph.replace_value(old, new);
        graph.remove(node);
        true
    }

    #[test]
    fn a_lost_operation_is_found_and_stands_alone() {
        let pass = bad_pass(Fidelity::Exact, drop_relu);
        let mut after = net();
        drop_relu(&mut after, &mut PassContext::default()).expect("it runs");
        let violation = check_pass(&pass, &net(), &after).expect_err("negative inputs differ");
        assert_eq!((violation.pass, violation.sample), ("bad", "random"));
        let small = shrink_for_pass(&pass, &net());
        let ops: Vec<&str> = small.body_nodes().map(|node| small.op(node).name()).collect();
        assert_eq!(ops, ["relu", "return"]);
    }

    #[test]
    fn half_a_step_is_a_change_and_the_last_bits_are_not() {
        let judge = |by: f64| {
            let mut after = net();
            assert!(move_zero_point(&mut after, by));
            check_pass(&bad_pass(Fidelity::Roundings, |_, _| Ok(true)), &net(), &after)
        };
        assert!(judge(0.5).is_err());
        assert!(judge(1e-5).is_ok());
    }

    #[test]
    fn exact_passes_may_not_change_the_last_bit() {
        let mut after = net();
        assert!(move_zero_point(&mut after, 1e-5));
        assert!(check_pass(&bad_pass(Fidelity::Exact, |_, _| Ok(true)), &net(), &after).is_err());
    }
}
