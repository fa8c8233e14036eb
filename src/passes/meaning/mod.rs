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
use crate::ir::{Graph, Tensor};

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

/// What `before` cannot evaluate says nothing about the pass; what `after` cannot is its fault.
fn compare(before: &Graph, after: &Graph, inputs: &[Tensor], fidelity: Fidelity) -> Result<(), String> {
    let Ok(expected) = interp::run(before, inputs) else {
        return Ok(());
    };
    let actual = interp::run(after, inputs).map_err(|reason| format!("it cannot be evaluated any more: {reason}"))?;
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
