//! The words for the values of the attributes' enums: `ceil_torch`, `half_pixel`.
//!
//! [`Word::name`] is exhaustive, so a new value cannot be forgotten in the text form; the parser looks through [`Word::ALL`].

use super::super::op::{
    Activation, CoordinateMode, DepthMode, Direction, EpsMode, InterpolateMode, NearestMode, PadMode, ReduceKind,
    RnnKind, Rounding, ScatterReduction, TopKSort,
};

/// An enum whose values are words of the text form.
pub trait Word: Copy + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
}

impl Word for Rounding {
    const ALL: &'static [Rounding] = &[Rounding::Floor, Rounding::Ceil, Rounding::CeilTorch];

    fn name(self) -> &'static str {
        match self {
            Rounding::Floor => "floor",
            Rounding::Ceil => "ceil",
            Rounding::CeilTorch => "ceil_torch",
        }
    }
}

impl Word for ReduceKind {
    const ALL: &'static [ReduceKind] = &[
        ReduceKind::Sum,
        ReduceKind::Mean,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::Prod,
        ReduceKind::L1,
        ReduceKind::L2,
        ReduceKind::And,
        ReduceKind::Or,
    ];

    fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "sum",
            ReduceKind::Mean => "mean",
            ReduceKind::Max => "max",
            ReduceKind::Min => "min",
            ReduceKind::Prod => "prod",
            ReduceKind::L1 => "l1",
            ReduceKind::L2 => "l2",
            ReduceKind::And => "and",
            ReduceKind::Or => "or",
        }
    }
}

impl Word for EpsMode {
    const ALL: &'static [EpsMode] = &[EpsMode::Inside, EpsMode::Outside];

    fn name(self) -> &'static str {
        match self {
            EpsMode::Inside => "inside",
            EpsMode::Outside => "outside",
        }
    }
}

impl Word for PadMode {
    const ALL: &'static [PadMode] = &[PadMode::Constant, PadMode::Edge, PadMode::Reflect, PadMode::Symmetric];

    fn name(self) -> &'static str {
        match self {
            PadMode::Constant => "constant",
            PadMode::Edge => "edge",
            PadMode::Reflect => "reflect",
            PadMode::Symmetric => "symmetric",
        }
    }
}

impl Word for InterpolateMode {
    const ALL: &'static [InterpolateMode] =
        &[InterpolateMode::Nearest, InterpolateMode::Linear, InterpolateMode::LinearOnnx, InterpolateMode::Cubic];

    fn name(self) -> &'static str {
        match self {
            InterpolateMode::Nearest => "nearest",
            InterpolateMode::Linear => "linear",
            InterpolateMode::LinearOnnx => "linear_onnx",
            InterpolateMode::Cubic => "cubic",
        }
    }
}

impl Word for CoordinateMode {
    const ALL: &'static [CoordinateMode] = &[
        CoordinateMode::HalfPixel,
        CoordinateMode::PytorchHalfPixel,
        CoordinateMode::Asymmetric,
        CoordinateMode::TfHalfPixelForNn,
        CoordinateMode::AlignCorners,
    ];

    fn name(self) -> &'static str {
        match self {
            CoordinateMode::HalfPixel => "half_pixel",
            CoordinateMode::PytorchHalfPixel => "pytorch_half_pixel",
            CoordinateMode::Asymmetric => "asymmetric",
            CoordinateMode::TfHalfPixelForNn => "tf_half_pixel_for_nn",
            CoordinateMode::AlignCorners => "align_corners",
        }
    }
}

impl Word for NearestMode {
    const ALL: &'static [NearestMode] = &[
        NearestMode::RoundPreferFloor,
        NearestMode::RoundPreferCeil,
        NearestMode::Floor,
        NearestMode::Ceil,
        NearestMode::Simple,
    ];

    fn name(self) -> &'static str {
        match self {
            NearestMode::RoundPreferFloor => "round_prefer_floor",
            NearestMode::RoundPreferCeil => "round_prefer_ceil",
            NearestMode::Floor => "floor",
            NearestMode::Ceil => "ceil",
            NearestMode::Simple => "simple",
        }
    }
}

impl Word for DepthMode {
    const ALL: &'static [DepthMode] = &[DepthMode::BlocksFirst, DepthMode::DepthFirst];

    fn name(self) -> &'static str {
        match self {
            DepthMode::BlocksFirst => "blocks_first",
            DepthMode::DepthFirst => "depth_first",
        }
    }
}

impl Word for ScatterReduction {
    const ALL: &'static [ScatterReduction] = &[
        ScatterReduction::None,
        ScatterReduction::Sum,
        ScatterReduction::Prod,
        ScatterReduction::Min,
        ScatterReduction::Max,
        ScatterReduction::Mean,
    ];

    fn name(self) -> &'static str {
        match self {
            ScatterReduction::None => "none",
            ScatterReduction::Sum => "sum",
            ScatterReduction::Prod => "prod",
            ScatterReduction::Min => "min",
            ScatterReduction::Max => "max",
            ScatterReduction::Mean => "mean",
        }
    }
}

impl Word for TopKSort {
    const ALL: &'static [TopKSort] = &[TopKSort::ByValue, TopKSort::ByIndex];

    fn name(self) -> &'static str {
        match self {
            TopKSort::ByValue => "by_value",
            TopKSort::ByIndex => "by_index",
        }
    }
}

impl Word for RnnKind {
    const ALL: &'static [RnnKind] = &[RnnKind::Lstm, RnnKind::Gru, RnnKind::Rnn];

    fn name(self) -> &'static str {
        match self {
            RnnKind::Lstm => "lstm",
            RnnKind::Gru => "gru",
            RnnKind::Rnn => "rnn",
        }
    }
}

impl Word for Direction {
    const ALL: &'static [Direction] = &[Direction::Forward, Direction::Reverse, Direction::Bidirectional];

    fn name(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
            Direction::Bidirectional => "bidirectional",
        }
    }
}

impl Word for Activation {
    const ALL: &'static [Activation] = &[Activation::Sigmoid, Activation::Tanh, Activation::Relu];

    fn name(self) -> &'static str {
        match self {
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
        }
    }
}
