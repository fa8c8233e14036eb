//! Why an operation stays in float: data that tests assert on, rendered for `explain` in one place.

use std::fmt;

use crate::ir::ElemType;

/// The reason a rule leaves an operation as it is. Leaving it is always correct: its operands stay dequantized.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The data operand is not dequantized 8-bit data.
    SourceNotQuantized,
    /// The weights are no constant integers with scales, nor a `FakeQuantize` of a constant.
    WeightsNotQuantized,
    /// Operands of a product that are integers already; the others have no `FakeQuantize` in front.
    OperandsNotQuantized { first: bool, second: bool },
    /// `FakeQuantize` has more levels than 8 bits hold.
    TooManyLevels(u32),
    /// `FakeQuantize` ranges are computed.
    RangesNotConstant,
    /// `FakeQuantize` ranges have no grid: empty, inverted, infinite, or too small for f32.
    NoGrid { input_low: f64, input_high: f64 },
    /// Parameters vary along an axis (or several: `None`) where this operation needs one value.
    ParametersVary { what: Parameter, axis: Option<usize>, values: usize },
    /// A zero point that is no integer where an integer is needed.
    FractionalZeroPoint { what: Parameter, value: f64 },
    /// A padding value the integer type does not hold.
    PaddingNotRepresentable { value: f64 },
    /// Parts of a `concat` have parameters along an axis other than the concatenated one.
    PartsDiffer { axis: usize },
    /// A scale of zero, or too small for the parameters derived from it.
    VanishingScale(f64),
    /// Products may exceed 32 bits.
    AccumulatorOverflow { bound: f64 },
    /// The integer weights do not fit the bits the kernel takes.
    WideWeights { low: i64, high: i64, bits: u32 },
    /// The source without its zero point leaves 8 bits.
    WideWithoutZeroPoint { low: i64, high: i64 },
    /// The border correction of a padded source would need a constant this large.
    BorderTooLarge { elements: usize },
    /// Source elements of a type no integer kernel takes.
    ElementType(ElemType),
    /// Part of an operation's attributes has no integer form.
    Unsupported(&'static str),
    /// What is assigned to a variable is made of values of several grids.
    VariableGrids,
    /// A variable begins with a value that the grid of what is assigned to it lacks.
    InitialValue { value: f64 },
    /// A variable begins with what the model computes in float.
    InitialValueComputed,
    /// The recurrent products of a cell read a state that no `FakeQuantize` rounds.
    RecurrentState,
    /// Inference does not take the integer operands, and says why.
    NotInferred(String),
    /// The function is computed in float between `dequantize` and `quantize`, where epilogues take it.
    FloatFunction,
}

/// Which parameter a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    SourceScale,
    SourceZeroPoint,
    WeightsScale,
    WeightsZeroPoint,
    Range,
}

impl Parameter {
    fn name(self) -> &'static str {
        match self {
            Parameter::SourceScale => "scale of the source",
            Parameter::SourceZeroPoint => "zero point of the source",
            Parameter::WeightsScale => "scale of the weights",
            Parameter::WeightsZeroPoint => "zero point of the weights",
            Parameter::Range => "range",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::SourceNotQuantized => f.write_str("source is not quantized"),
            Refusal::WeightsNotQuantized => f.write_str("weights are not quantized"),
            Refusal::OperandsNotQuantized { first: false, second: false } => {
                f.write_str("neither operand is quantized in the model")
            }
            Refusal::OperandsNotQuantized { first, .. } => {
                write!(f, "operand {} is not quantized in the model", usize::from(*first))
            }
            Refusal::TooManyLevels(levels) => write!(f, "{levels} levels do not fit 8 bits"),
            Refusal::RangesNotConstant => f.write_str("ranges are not constant"),
            Refusal::NoGrid { input_low, input_high } => {
                write!(f, "input range [{input_low}, {input_high}] has no integer grid")
            }
            Refusal::ParametersVary { what, axis: Some(axis), values } => {
                write!(f, "{} varies: {values} values on axis {axis}", what.name())
            }
            Refusal::ParametersVary { what, axis: None, values } => {
                write!(f, "{} varies along several axes: {values} values", what.name())
            }
            Refusal::FractionalZeroPoint { what, value } => write!(f, "{} is {value}, no integer", what.name()),
            Refusal::PaddingNotRepresentable { value } => write!(f, "padding would be {value} in the integer type"),
            Refusal::PartsDiffer { axis } => write!(f, "parts have different parameters along axis {axis}"),
            Refusal::VanishingScale(scale) => write!(f, "scale {scale} is zero or too small"),
            Refusal::AccumulatorOverflow { bound } => write!(f, "sums may reach {bound}, beyond 32 bits"),
            Refusal::WideWeights { low, high, bits } => {
                write!(f, "integer weights reach from {low} to {high}, beyond {bits} bits")
            }
            Refusal::WideWithoutZeroPoint { low, high } => {
                write!(f, "source without its zero point reaches from {low} to {high}, beyond 8 bits")
            }
            Refusal::BorderTooLarge { elements } => {
                write!(f, "zero point meets padding, and its correction has {elements} elements")
            }
            Refusal::ElementType(elem) => write!(f, "source elements are {elem}"),
            Refusal::Unsupported(what) => f.write_str(what),
            Refusal::VariableGrids => f.write_str("what is assigned to the variable has several scales"),
            Refusal::InitialValue { value } => {
                write!(f, "the variable begins with {value}, which the scale of what is assigned to it cannot express")
            }
            Refusal::InitialValueComputed => f.write_str("the variable begins with a value computed in float"),
            Refusal::RecurrentState => {
                f.write_str("recurrent state is kept in float: the model does not quantize it between steps")
            }
            Refusal::NotInferred(reason) => f.write_str(reason),
            Refusal::FloatFunction => f.write_str("computed in float, from dequantized values"),
        }
    }
}
