//! From the four ranges of a `FakeQuantize` to two integer grids (lpt-spec 1.1 and 1.9).
//!
//! The input range gives the grid of `quantize`: `q = rne((x - input_low) / s_in)`, an index `0 ..= levels - 1`. The output
//! range gives the grid of `dequantize`: `y = q * s_out + output_low`. They differ in models that rescale.
//!
//! Every activation becomes u8 with indices from 0: a signed range has its zero point at 128 (or wherever it falls).
//! Output scales come out positive: a falling output range flips the indices.

use crate::ir::op::QuantizeAttrs;
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Value};

use super::refusal::{Parameter, Refusal};
use super::spread::Field;

/// Most levels 8 bits hold.
pub const MAX_LEVELS: u32 = 256;

/// A scale so large that `x * (1 / scale)` rounds to 0 for every f32 that matters: the index is the zero point.
const CONSTANT_SCALE: f64 = 1e30;

/// The ranges of one slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub input_low: f64,
    pub input_high: f64,
    pub output_low: f64,
    pub output_high: f64,
}

/// Ranges of a `FakeQuantize`: one, or one per slice of `axis`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    pub slices: Vec<Range>,
    pub axis: Option<usize>,
    pub levels: u32,
}

impl Ranges {
    /// Reads the constants of a `FakeQuantize`.
    ///
    /// # Errors
    /// Ranges that are not constant or vary along several axes.
    pub fn read(graph: &Graph, node: Node, levels: u32) -> Result<Ranges, Refusal> {
        let shape = &graph.ty(graph.operand(node, 0)).shape;
        let field = |index: usize| -> Result<Field, Refusal> {
            let value = graph.operand(node, index);
            let tensor = const_through_convert(graph, value).ok_or(Refusal::RangesNotConstant)?;
            Field::new(tensor.to_f64(), tensor.shape().dims(), shape)
                .ok_or(Refusal::Unsupported("ranges enlarge the data"))
        };
        let fields = [field(1)?, field(2)?, field(3)?, field(4)?];
        let mut axis = None;
        let mut columns = Vec::new();
        for field in &fields {
            let (own, values) = field.one_axis().ok_or_else(|| vary(None, field.values.len()))?;
            if axis.is_some() && own.is_some() && own != axis {
                return Err(vary(None, values.len()));
            }
            axis = axis.or(own);
            columns.push(values);
        }
        let count = columns.iter().map(Vec::len).max().unwrap_or(1);
        let at = |column: usize, slice: usize| columns[column][if columns[column].len() == 1 { 0 } else { slice }];
        let slice =
            |s: usize| Range { input_low: at(0, s), input_high: at(1, s), output_low: at(2, s), output_high: at(3, s) };
        Ok(Ranges { slices: (0..count).map(slice).collect(), axis, levels })
    }

    /// The grids of the two operations that replace the `FakeQuantize`.
    ///
    /// # Errors
    /// More levels than 8 bits hold, or a range without a grid.
    pub fn grids(&self) -> Result<(QuantizeAttrs, QuantParams), Refusal> {
        if self.levels > MAX_LEVELS {
            return Err(Refusal::TooManyLevels(self.levels));
        }
        let top = f64::from(self.levels - 1);
        let zero = self.common_zero(top);
        let grids = self.slices.iter().map(|range| range.grid(top, zero)).collect::<Result<Vec<_>, _>>()?;
        let input = QuantParams::per_axis(
            grids.iter().map(|grid| grid.input_scale).collect(),
            grids.iter().map(|grid| grid.input_zero).collect(),
            self.axis.unwrap_or(0),
        );
        let output = QuantParams::per_axis(
            grids.iter().map(|grid| grid.output_scale).collect(),
            grids.iter().map(|grid| grid.output_zero).collect(),
            self.axis.unwrap_or(0),
        );
        let high = i32::try_from(self.levels - 1).unwrap_or(i32::MAX);
        Ok((QuantizeAttrs { params: input, elem: ElemType::U8, low: 0, high }, output))
    }

    /// The zero point of the slices that have a grid, if it is an index: constant slices take it, so that all agree.
    fn common_zero(&self, top: f64) -> f64 {
        let varying = self.slices.iter().find(|range| range.output_low != range.output_high);
        let zero = varying.and_then(|range| range.grid(top, 0.0).ok()).map_or(0.0, |grid| grid.output_zero);
        if zero.fract() == 0.0 && (0.0..=top).contains(&zero) { zero } else { 0.0 }
    }
}

fn vary(axis: Option<usize>, values: usize) -> Refusal {
    Refusal::ParametersVary { what: Parameter::Range, axis, values }
}

struct Grid {
    input_scale: f64,
    input_zero: f64,
    output_scale: f64,
    output_zero: f64,
}

impl Range {
    /// `zero` is the zero point of a slice without a grid of its own.
    fn grid(&self, top: f64, zero: f64) -> Result<Grid, Refusal> {
        let Range { input_low, input_high, output_low, output_high } = *self;
        let refusal = Refusal::NoGrid { input_low, input_high };
        if ![input_low, input_high, output_low, output_high].iter().all(|v| v.is_finite()) {
            return Err(refusal);
        }
        if output_low == output_high {
            return Ok(Grid::constant(output_low, zero, top));
        }
        let input_scale = (input_high - input_low) / top;
        let inverse = (1.0 / input_scale) as f32;
        if input_scale <= 0.0 || !inverse.is_normal() || !((-input_low / input_scale) as f32).is_finite() {
            return Err(refusal);
        }
        let output_scale = (output_high - output_low) / top;
        let grid = Grid {
            input_scale,
            input_zero: 0.0 - input_low / input_scale,
            output_scale,
            output_zero: snap(0.0 - output_low / output_scale),
        };
        Ok(if output_scale < 0.0 { grid.flipped(top) } else { grid })
    }
}

impl Grid {
    /// One index for every input: the zero point's neighbour on the side that keeps the scale positive where there is
    /// one, and the zero point itself for 0.
    fn constant(value: f64, zero: f64, top: f64) -> Grid {
        let below = (value < 0.0 && zero >= 1.0) || zero + 1.0 > top;
        let (index, scale) = match value {
            0.0 => (zero, 1.0),
            _ if below => (zero - 1.0, -value),
            _ => (zero + 1.0, value),
        };
        Grid { input_scale: CONSTANT_SCALE, input_zero: index, output_scale: scale, output_zero: zero }
    }

    /// The same values under indices `top - q`.
    fn flipped(self, top: f64) -> Grid {
        Grid {
            input_scale: -self.input_scale,
            input_zero: top - self.input_zero,
            output_scale: -self.output_scale,
            output_zero: top - self.output_zero,
        }
    }
}

/// The integer a zero point is within the tolerance, else itself.
pub fn snap(zero_point: f64) -> f64 {
    near_integer(zero_point).map_or(zero_point, |integer| integer as f64)
}

/// A constant, also behind conversions between types that change no value of a range.
pub fn const_through_convert(graph: &Graph, value: Value) -> Option<&crate::ir::Tensor> {
    if let Some(tensor) = graph.const_value(value) {
        return Some(tensor);
    }
    let node = graph.def_node(value)?;
    match graph.op(node) {
        Op::Convert { elem: ElemType::F32 } => {
            let tensor = graph.const_value(graph.operand(node, 0))?;
            tensor.elem().is_float().then_some(&**tensor)
        }
        _ => None,
    }
}
