//! What changes a graph: one table of passes, and the order in which the compiler runs them.
//!
//! A pass is a function; it never leaves a graph that [`crate::ir::verify`] refuses, never changes a value's type, and
//! says whether it changed anything. It fails on a bug only: what it cannot improve it leaves alone, with a [`Remark`] if the
//! user should know why.
//!
//! - [`manager`] runs passes by name, with all that helps to find the one to blame;
//! - [`meaning`] compares what a graph computes before and after a pass;
//! - [`rewrite`] is the driver for passes made of local rules;
//! - [`canonicalize`], [`fold_constants`], [`cse`], [`dce`] are the general passes;
//! - [`unroll`] takes loops and branches apart; [`legalize`] leaves what lowering has kernels for;
//! - [`lpt`] turns float operations around `fake_quantize` into integer arithmetic.

pub mod canonicalize;
pub mod cse;
pub mod dce;
pub mod fold_constants;
pub mod legalize;
pub mod lpt;
pub mod manager;
pub mod meaning;
pub mod rewrite;
pub mod unroll;

use std::collections::BTreeMap;
use std::fmt;

use crate::diag;
use crate::ir::{Graph, Node};
use meaning::Fidelity;

/// Changes the graph; gives whether it did.
pub type PassFn = fn(&mut Graph, &mut PassContext) -> diag::Result<bool>;

/// One row of the table of passes.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    pub name: &'static str,
    pub doc: &'static str,
    /// What must hold before, beyond the verifier's checklist.
    pub needs: &'static str,
    /// What it leaves as it is, so that passes may rely on it.
    pub keeps: &'static str,
    /// How it keeps what the graph computes.
    pub fidelity: Fidelity,
    pub run: PassFn,
}

/// Every pass, by name.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "canonicalize",
        doc: "one form for what can be written in several; operations without an effect vanish",
        needs: "nothing",
        keeps: "fake_quantize, and constants as they are",
        fidelity: Fidelity::Exact,
        run: canonicalize::run,
    },
    Pass {
        name: "cse",
        doc: "equal operations on the same operands, and equal constants, become one",
        needs: "nothing",
        keeps: "the set of distinct computations",
        fidelity: Fidelity::Exact,
        run: cse::run,
    },
    Pass {
        name: "dce",
        doc: "what nobody uses vanishes",
        needs: "nothing",
        keeps: "everything that an output or a variable depends on",
        fidelity: Fidelity::Exact,
        run: dce::run,
    },
    Pass {
        name: "fold-shapes",
        doc: "constants are computed, but for what quantizes weights",
        needs: "nothing",
        keeps: "fake_quantize, and integer weights with their convert, subtract, multiply",
        fidelity: Fidelity::Exact,
        run: fold_constants::fold_shapes,
    },
    Pass {
        name: "fold",
        doc: "all constants are computed",
        needs: "low precision transformations are done: quantized weights in float form lose their integers here",
        keeps: "everything with an operand that is not constant",
        fidelity: Fidelity::Exact,
        run: fold_constants::fold,
    },
    Pass {
        name: "unroll",
        doc: "bodies of loops and branches become part of the graph around them",
        needs: "nothing",
        keeps: "loops of very many operations, and bodies with variables",
        fidelity: Fidelity::Exact,
        run: unroll::run,
    },
    Pass {
        name: "legalize",
        doc: "operations that have no kernel become operations that have one",
        needs: "nothing",
        keeps: "what quantizes, and operations that have a kernel",
        fidelity: Fidelity::Roundings,
        run: legalize::run,
    },
    Pass {
        name: "lpt-prepare",
        doc: "integers that the model spells out become dequantize of u8",
        needs: "fold-shapes: what scales and shifts is constant",
        keeps: "fake_quantize, and constants as they are",
        fidelity: Fidelity::Roundings,
        run: lpt::prepare::run,
    },
    Pass {
        name: "lpt-decompose",
        doc: "fake_quantize that serves integers becomes quantize and dequantize",
        needs: "lpt-prepare",
        keeps: "fake_quantize among float operations, and of constants",
        fidelity: Fidelity::Roundings,
        run: lpt::decompose::run,
    },
    Pass {
        name: "lpt-sink",
        doc: "dequantize moves from operands to results, and what it passes works on integers",
        needs: "lpt-decompose",
        keeps: "every operation whose rule refuses, with a remark",
        fidelity: Fidelity::Roundings,
        run: lpt::sink::run,
    },
    Pass {
        name: "lpt-fuse",
        doc: "quantize moves up to the integers it is computed from and becomes requantize",
        needs: "lpt-sink",
        keeps: "quantize of values computed in float",
        fidelity: Fidelity::Roundings,
        run: lpt::fuse::run,
    },
    Pass {
        name: "lpt-cleanup",
        doc: "chains of requantize become one, and those without an effect vanish",
        needs: "nothing",
        keeps: "everything but requantize, quantize and dequantize",
        fidelity: Fidelity::Roundings,
        run: lpt::cleanup::run,
    },
];

/// The passes between frontend and lowering, in order.
pub const PIPELINE: &[&str] = &[
    // Everything after works on one graph without borders.
    "unroll",
    // The importer writes layers as they come; everything after wants one form of each.
    "canonicalize",
    // Shapes and ranges as constants: what recognises quantized weights looks for constants.
    "fold-shapes",
    // Shared ranges become one value, so that "the same scale" is "the same operand".
    "cse",
    "dce",
    "lpt-prepare",
    "lpt-decompose",
    "lpt-sink",
    "lpt-fuse",
    "lpt-cleanup",
    // Weights of operations that stayed in float.
    "fold",
    "legalize",
    "fold",
    "canonicalize",
    "cse",
    "dce",
];

/// The pass of this name.
pub fn pass(name: &str) -> Option<&'static Pass> {
    PASSES.iter().find(|pass| pass.name == name)
}

/// What passes tell beyond the graph.
#[derive(Clone, Debug, Default)]
pub struct PassContext {
    /// For `explain`, in the order of the decisions.
    pub remarks: Vec<Remark>,
    /// How often each rewrite rule applied.
    pub rule_counts: BTreeMap<&'static str, usize>,
}

impl PassContext {
    pub fn remark(&mut self, graph: &Graph, node: Node, pass: &'static str, message: impl Into<String>) {
        self.remarks.push(Remark::new(graph, node, pass, message.into(), None));
    }

    /// A remark that a rule left the operation in float, with the reason as data.
    pub fn refuse(&mut self, graph: &Graph, node: Node, pass: &'static str, refusal: lpt::Refusal) {
        self.remarks.push(Remark::new(graph, node, pass, refusal.to_string(), Some(refusal)));
    }
}

/// A decision about one operation that the user may want to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// Name of the operation in the text form.
    pub op: &'static str,
    /// Names of the source layers it stands for.
    pub layers: Vec<String>,
    pub pass: &'static str,
    pub message: String,
    /// Why a rule of the low precision transformations left the operation in float.
    pub refusal: Option<lpt::Refusal>,
}

impl Remark {
    fn new(graph: &Graph, node: Node, pass: &'static str, message: String, refusal: Option<lpt::Refusal>) -> Remark {
        let layers = graph.layers(node).iter().map(|&layer| graph.layer(layer).name.clone()).collect();
        Remark { op: graph.op(node).name(), layers, pass, message, refusal }
    }
}

/// `convolution "conv1": weights are not quantized (lpt-sink)`
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op)?;
        for layer in &self.layers {
            write!(f, " {layer:?}")?;
        }
        write!(f, ": {} ({})", self.message, self.pass)
    }
}
