//! How far the results of two graphs of one meaning may be apart.
//!
//! In reals the graphs are equal, but both round. Almost always the roundings vanish in the next quantizer; where a value
//! stands on the border between two of its steps, they move it by a whole step, and everything computed from it with it. How
//! much that is depends on graph and input, so it is measured: the graph is evaluated again with the operand of every
//! quantizer nudged by [`NUDGE`] of the range: up, down, and twice every element in a direction of its own, because what
//! moves all together may cancel in a sum. Normalizations, which blow up small differences of large numbers, get their operand
//! with another last bit, and results of `fake_quantize` move by the part of a step that a zero point may be off an integer.
//! What changes is what roundings may change.
//!
//! Two conditions, per output; elements that are not finite in a reference are left out:
//! 1. the signal-to-noise ratio against the reference is at least [`BAR_DB`], or what the nudges leave less [`MARGIN_DB`];
//! 2. among the elements that no nudge moved, at most a few (in relation to those that moved) are off by more than
//!    [`CLOSE`] of the output's range.

use std::fmt;

use super::results;
use crate::ir::op::{BinaryOp, RequantizeAttrs};
use crate::ir::quant::ZERO_POINT_TOLERANCE;
use crate::ir::{ElemType, Graph, Node, Op, Tensor, Value};
use crate::passes::lpt::ranges::const_through_convert;

/// Part of a quantizer's range: some times the error of f32 sums of a few hundred terms.
const NUDGE: f64 = 1.0 / (1 << 18) as f64;

/// Relative error of a sum of a few f32.
const LAST_BITS: f64 = 1.0 / (1 << 21) as f64;

/// Signal-to-noise ratio that is good enough in any case.
const BAR_DB: f64 = 43.0;

/// How far below the noise of the nudges a result may be.
const MARGIN_DB: f64 = 6.0;

/// Part of the range of an output that the roundings of f32 may move an element by.
const CLOSE: f64 = 1e-4;

/// What roundings leave of a sum that is 0 in reals.
const NOISE: f64 = 1e-5;

/// Where two results differ too much.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub output: usize,
    /// The element that is furthest off, in row-major order.
    pub element: usize,
    pub expected: f64,
    pub actual: f64,
    /// The condition that does not hold.
    pub reason: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { output: _, element, expected, actual, reason } = self;
        write!(f, "element {element} is {actual}, but was {expected}; {reason}")
    }
}

/// Results of a graph, and how far its own roundings move them.
#[derive(Clone, Debug)]
pub struct Reference {
    pub outputs: Vec<Tensor>,
    /// Results with nudges; none when results must be equal.
    nudged: Option<Vec<Vec<Tensor>>>,
}

impl Reference {
    /// Results that must be met exactly.
    pub fn exact(outputs: Vec<Tensor>) -> Reference {
        Reference { outputs, nudged: None }
    }

    /// Results that must be met up to roundings.
    ///
    /// # Errors
    /// The graph cannot be evaluated on these inputs.
    pub fn new(graph: &Graph, inputs: &[Tensor]) -> Result<Reference, String> {
        let outputs = results(graph, inputs)?;
        let run = |nudge: &Nudge| results(&nudged(graph, *nudge)?, inputs);
        Ok(Reference { outputs, nudged: Some(NUDGES.iter().map(run).collect::<Result<_, _>>()?) })
    }

    /// Compares results with the reference.
    ///
    /// # Errors
    /// The first output that is too far off.
    pub fn judge(&self, actual: &[Tensor]) -> Result<(), Difference> {
        let Some(nudged) = &self.nudged else {
            return first_difference(&self.outputs, actual).map_or(Ok(()), Err);
        };
        for (output, expected) in self.outputs.iter().enumerate() {
            let actual = &actual[output];
            if expected.ty() != actual.ty() {
                let reason = format!("its type is {}, but was {}", actual.ty(), expected.ty());
                return Err(Difference { output, element: 0, expected: 0.0, actual: 0.0, reason });
            }
            let nudged: Vec<&Tensor> = nudged.iter().map(|outputs| &outputs[output]).collect();
            let rows = Rows::new(expected, actual, &nudged);
            rows.judge().map_err(|reason| rows.difference(output, reason))?;
        }
        Ok(())
    }
}

/// The first element that is not equal; zeros of both signs are, and any two NaN.
pub fn first_difference(expected: &[Tensor], actual: &[Tensor]) -> Option<Difference> {
    for (output, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let reason = "they must be equal".to_string();
        if expected.ty() != actual.ty() {
            let reason = format!("its type is {}, but was {}", actual.ty(), expected.ty());
            return Some(Difference { output, element: 0, expected: 0.0, actual: 0.0, reason });
        }
        let (expected, actual) = (expected.to_f64(), actual.to_f64());
        let equal = |(e, a): (&f64, &f64)| e == a || e.is_nan() && a.is_nan();
        if let Some(element) = expected.iter().zip(&actual).position(|pair| !equal(pair)) {
            let (expected, actual) = (expected[element], actual[element]);
            return Some(Difference { output, element, expected, actual, reason });
        }
    }
    None
}

/// One element: expected, actual, and how far the nudges moved the expected one.
#[derive(Clone, Copy, Debug)]
struct Row {
    element: usize,
    expected: f64,
    actual: f64,
    moved: f64,
    noise: f64,
}

struct Rows(Vec<Row>);

impl Rows {
    fn new(expected: &Tensor, actual: &Tensor, nudged: &[&Tensor]) -> Rows {
        let (expected, actual) = (expected.to_f64(), actual.to_f64());
        let nudged: Vec<Vec<f64>> = nudged.iter().map(|tensor| tensor.to_f64()).collect();
        let row = |element: usize| {
            let moves = nudged.iter().map(|nudged| (nudged[element] - expected[element]).abs());
            let moved = moves.clone().fold(0.0, f64::max);
            let noise = moves.map(|by| by * by).sum();
            Row { element, expected: expected[element], actual: actual[element], moved, noise }
        };
        let meant = |row: &Row| row.expected.is_finite() && row.noise.is_finite();
        Rows((0..expected.len()).map(row).filter(meant).collect())
    }

    fn judge(&self) -> Result<(), String> {
        let range = self.0.iter().fold(0.0f64, |most, row| most.max(row.expected.abs()));
        let close = CLOSE * range + NOISE;
        let off = |row: &&Row| row.actual.is_nan() || (row.actual - row.expected).abs() > close;
        if !self.0.iter().any(|row| off(&row)) {
            return Ok(());
        }
        let sum = |term: fn(&Row) -> f64| self.0.iter().map(term).sum::<f64>();
        let signal = sum(|row| row.expected * row.expected);
        let db = decibels(signal, sum(|row| (row.actual - row.expected).powi(2)));
        let bar = BAR_DB.min(decibels(signal, sum(|row| row.noise)) - MARGIN_DB);
        if db.is_nan() || db < bar {
            return Err(format!("{db:.1} dB, at least {bar:.1} dB are expected"));
        }
        let moved = self.0.iter().filter(|row| row.moved > close).count();
        let strangers = self.0.iter().filter(off).filter(|row| row.moved <= close).count();
        if strangers > 2 * moved + self.0.len() / 100 {
            return Err(format!("{strangers} of {} elements differ, roundings move {moved}", self.0.len()));
        }
        Ok(())
    }

    fn difference(&self, output: usize, reason: String) -> Difference {
        let error = |row: &Row| (row.actual - row.expected).abs() - row.moved;
        let worst = self.0.iter().max_by(|a, b| error(a).total_cmp(&error(b)));
        let (element, expected, actual) = worst.map_or((0, 0.0, 0.0), |row| (row.element, row.expected, row.actual));
        Difference { output, element, expected, actual, reason }
    }
}

/// `10 log10(signal / noise)`; infinite without noise.
fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}

/// A direction for each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nudge {
    Up,
    Down,
    Mixed,
    /// Against `Mixed`.
    Opposite,
}

const NUDGES: [Nudge; 4] = [Nudge::Up, Nudge::Down, Nudge::Mixed, Nudge::Opposite];

impl Nudge {
    /// [`NUDGE`] with the sign of an element.
    fn of(self, element: usize) -> f64 {
        // The high bit of a product with an odd number (Fibonacci hashing) looks random.
        let up = match self {
            Nudge::Up => true,
            Nudge::Down => false,
            Nudge::Mixed | Nudge::Opposite => {
                let hash = (element as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((hash ^ hash >> 31) >> 63 == 1) == (self == Nudge::Mixed)
            }
        };
        if up { NUDGE } else { -NUDGE }
    }

    /// 1 or -1 for a slice: neighbours move apart, as few as they may be.
    fn of_slice(self, slice: usize) -> f64 {
        match self {
            Nudge::Up => 1.0,
            Nudge::Down => -1.0,
            Nudge::Mixed => [1.0, -1.0][slice % 2],
            Nudge::Opposite => [-1.0, 1.0][slice % 2],
        }
    }
}

/// The graph with the operand of every quantizer moved by a part of its range. Requantize has no reals as its operand: its
/// bias moves.
fn nudged(graph: &Graph, nudge: Nudge) -> Result<Graph, String> {
    let mut graph = graph.clone();
    for region in graph.all_regions() {
        for node in graph.nodes(region).collect::<Vec<Node>>() {
            match graph.op(node).clone() {
                Op::FakeQuantize { levels } => {
                    let ends = [1, 2].map(|index| range(&graph, node, index).map(|tensor| tensor.to_f64()));
                    if let [Some(low), Some(high)] = ends {
                        let width = low.iter().zip(&high).fold(0.0f64, |most, (low, high)| most.max(high - low));
                        add_to_source(&mut graph, node, width, nudge)?;
                    }
                    move_results(&mut graph, node, levels, nudge)?;
                }
                Op::Quantize(attrs) => {
                    let scale = attrs.params.scale.iter().fold(0.0f64, |most, scale| most.max(scale.abs()));
                    add_to_source(&mut graph, node, scale * f64::from(attrs.high.abs_diff(attrs.low)), nudge)?;
                }
                Op::Mvn(_) | Op::NormalizeL2(_) => scale_source(&mut graph, node, nudge)?,
                Op::Requantize(attrs) => {
                    let steps = f64::from(attrs.high.abs_diff(attrs.low));
                    let moved = |(slice, bias): (usize, &f32)| bias + (steps * nudge.of(slice)) as f32;
                    let bias = attrs.bias.iter().enumerate().map(moved).collect();
                    replace(&mut graph, node, Op::Requantize(RequantizeAttrs { bias, ..attrs }))?;
                }
                _ => {}
            }
        }
    }
    Ok(graph)
}

/// A constant range of a `fake_quantize`, as it is stored: floats of any width.
fn range(graph: &Graph, node: Node, index: usize) -> Option<&Tensor> {
    const_through_convert(graph, graph.operand(node, index))
}

/// Adds to every element of the operand a part of `width`.
fn add_to_source(graph: &mut Graph, node: Node, width: f64, nudge: Nudge) -> Result<(), String> {
    insert_on_source(graph, node, BinaryOp::Add, &|element| (width * nudge.of(element)) as f32)
}

/// Shifts the output range by twice [`ZERO_POINT_TOLERANCE`] steps, as other nudges may work against it. Results that are integers themselves stay integers.
fn move_results(graph: &mut Graph, node: Node, levels: u32, nudge: Nudge) -> Result<(), String> {
    let ends = [3, 4].map(|index| range(graph, node, index).cloned());
    let converts = |&user: &Node| matches!(graph.op(user), Op::Convert { .. });
    let ([Some(low), Some(high)], false) = (ends, graph.users(graph.result(node)).iter().any(converts)) else {
        return Ok(());
    };
    let width = low.to_f64().iter().zip(high.to_f64()).fold(0.0f64, |most, (low, high)| most.max((high - low).abs()));
    let shift = 2.0 * ZERO_POINT_TOLERANCE * width / f64::from(levels.saturating_sub(1).max(1));
    for (index, end) in [(3, low), (4, high)] {
        let values = end.to_f64().into_iter().enumerate();
        let moved = values.map(|(slice, end)| (end + shift * nudge.of_slice(slice)) as f32);
        let moved = graph.insert_const(node, Tensor::f32(end.shape().clone(), moved.collect()), &[]);
        graph.set_operand(node, index, moved)?;
    }
    Ok(())
}

/// Puts an operation with a constant between a node and its f32 operand.
fn insert_on_source(
    graph: &mut Graph,
    node: Node,
    op: BinaryOp,
    constant: &dyn Fn(usize) -> f32,
) -> Result<(), String> {
    let source = graph.operand(node, 0);
    let ty = graph.ty(source).clone();
    if ty.elem != ElemType::F32 {
        return Ok(());
    }
    let constants = (0..ty.shape.elements()).map(constant).collect();
    let constants = graph.insert_const(node, Tensor::f32(ty.shape, constants), &[]);
    let moved = graph.insert_before(node, Op::Binary(op), &[source, constants], &[])?;
    let moved = graph.result(moved);
    graph.set_operand(node, 0, moved)
}

/// Multiplies every element of the operand by almost 1.
fn scale_source(graph: &mut Graph, node: Node, nudge: Nudge) -> Result<(), String> {
    let factor = |element: usize| (1.0 + LAST_BITS * nudge.of(element).signum()) as f32;
    insert_on_source(graph, node, BinaryOp::Mul, &factor)
}

fn replace(graph: &mut Graph, node: Node, op: Op) -> Result<(), String> {
    let operands: Vec<Value> = graph.operands(node).to_vec();
    let new = graph.insert_before(node, op, &operands, &[])?;
    let (old, new) = (graph.result(node), graph.result(new));
    graph.replace_value(old, new);
    graph.remove(node);
    Ok(())
}
