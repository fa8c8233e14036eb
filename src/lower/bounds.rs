//! Bounds of what pointwise programs compute: a clamp that the store repeats is left out.
//!
//! Interval arithmetic from the accumulator and the loads on. An instruction without bounds may also be NaN or infinite.
//! Bounds are computed in f64 and leave out that f32 rounds: whoever asks keeps a margin.

use crate::ir::ElemType;
use crate::ir::op::{BinaryOp, UnaryOp};

use super::pointwise::{LaneType, PointwiseProgram, PwInst, Ref};

/// Lowest and highest value, both finite.
pub type Bounds = Option<[f64; 2]>;

const I32: Bounds = Some([-2147483648.0, 2147483647.0]);

/// A rounded value that is no greater fits i32, with a margin of a factor of two for all roundings before it.
const FITS_I32: f64 = 1073741824.0;

/// Above it f32 may overflow on the way.
const FINITE: f64 = 1e37;

/// Bounds of all values of a type in memory.
pub fn of_elem(elem: ElemType) -> Bounds {
    match elem {
        ElemType::Bool => Some([0.0, 1.0]),
        ElemType::I32 | ElemType::I64 => I32,
        _ => saturation(elem).map(|[low, high]| [f64::from(low), f64::from(high)]),
    }
}

/// Bounds of constants.
pub fn of_constants(values: &[f32]) -> Bounds {
    let finite = values.iter().all(|value| value.is_finite()) && !values.is_empty();
    let fold = |f: fn(f64, f64) -> f64| values.iter().map(|&value| f64::from(value)).reduce(f);
    finite.then_some([fold(f64::min)?, fold(f64::max)?])
}

/// What a store of i32 lanes saturates to.
fn saturation(elem: ElemType) -> Option<[i32; 2]> {
    match elem {
        ElemType::U8 => Some([0, 255]),
        ElemType::I8 => Some([-128, 127]),
        ElemType::I16 => Some([-32768, 32767]),
        _ => None,
    }
}

/// Replaces `Quantize` by `Round` where the value fits i32 and is only stored, in types that saturate at the same limits.
/// `lanes` are those of the instructions, `loads` the bounds of what is loaded.
pub fn leave_out_clamps(program: &mut PointwiseProgram, lanes: &[LaneType], loads: &[Bounds]) {
    let bounds = bounds(program, lanes, loads);
    for i in 0..program.insts.len() {
        let PwInst::Quantize { x, low, high } = program.insts[i] else { continue };
        let fits = bounds[x.0 as usize].is_some_and(|limits| limits.iter().all(|limit| limit.abs() <= FITS_I32));
        let this = Ref(i as u32);
        let is_operand = program.insts.iter().any(|inst| inst.operands().any(|operand| operand == this));
        let mut stores = program.stores.iter().filter(|(value, _)| *value == this);
        if fits && !is_operand && stores.all(|&(_, elem)| saturation(elem) == Some([low, high])) {
            program.insts[i] = PwInst::Round(x);
        }
    }
}

fn bounds(program: &PointwiseProgram, lanes: &[LaneType], loads: &[Bounds]) -> Vec<Bounds> {
    let mut bounds: Vec<Bounds> = Vec::with_capacity(program.insts.len());
    for (inst, &lane) in program.insts.iter().zip(lanes) {
        let of = |r: Ref| bounds[r.0 as usize];
        let value = match *inst {
            PwInst::Accumulator => of_lane(lane),
            PwInst::Load(i) => loads[i],
            PwInst::ConstF32(value) => of_constants(&[value]),
            PwInst::ConstI32(value) => Some([f64::from(value); 2]),
            PwInst::ToFloat(x) | PwInst::Round(x) => of(x),
            PwInst::Quantize { low, high, .. } => Some([f64::from(low), f64::from(high)]),
            PwInst::Truncate(_) => I32,
            PwInst::Unary(op, x) => of(x).and_then(|x| unary(op, x)).or(of_lane(lane)),
            PwInst::Binary(op, ..) if op.is_comparison() => Some([0.0, 1.0]),
            // integers wrap
            PwInst::Binary(..) if lane == LaneType::I32 => I32,
            PwInst::Binary(op, x, y) => of(x).zip(of(y)).and_then(|(x, y)| binary(op, x, y)),
            PwInst::Select(_, x, y) => of(x).zip(of(y)).map(|(x, y)| [x[0].min(y[0]), x[1].max(y[1])]),
        };
        bounds.push(value.filter(|limits| limits.iter().all(|limit| limit.abs() <= FINITE)));
    }
    bounds
}

fn of_lane(lane: LaneType) -> Bounds {
    if lane == LaneType::I32 { I32 } else { None }
}

/// Of functions that follow matrix products; none of the others.
fn unary(op: UnaryOp, x: [f64; 2]) -> Bounds {
    let farthest = x[0].abs().max(x[1].abs());
    match op {
        UnaryOp::Relu => Some(x.map(|limit| limit.max(0.0))),
        UnaryOp::Clamp { min, max } if min <= max => Some(x.map(|limit| limit.clamp(min, max))),
        UnaryOp::HSwish | UnaryOp::Gelu | UnaryOp::GeluTanh => Some([-farthest, farthest]),
        UnaryOp::Swish { beta } if beta > 0.0 => Some([-farthest, farthest]),
        UnaryOp::Sigmoid | UnaryOp::HSigmoid => Some([0.0, 1.0]),
        UnaryOp::Tanh | UnaryOp::Erf => Some([-1.0, 1.0]),
        _ => None,
    }
}

/// On floats.
fn binary(op: BinaryOp, x: [f64; 2], y: [f64; 2]) -> Bounds {
    match op {
        BinaryOp::Add => Some([x[0] + y[0], x[1] + y[1]]),
        BinaryOp::Sub => Some([x[0] - y[1], x[1] - y[0]]),
        BinaryOp::Mul => {
            let products = [x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1]];
            Some([products.into_iter().fold(products[0], f64::min), products.into_iter().fold(products[0], f64::max)])
        }
        BinaryOp::Max => Some([x[0].max(y[0]), x[1].max(y[1])]),
        BinaryOp::Min => Some([x[0].min(y[0]), x[1].min(y[1])]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `accumulator * load 0`, quantized to `limits` and stored as `elem`.
    fn relaxed(limits: [i32; 2], elem: ElemType, factor: Bounds) -> bool {
        let mut program = PointwiseProgram::default();
        let accumulator = program.push(PwInst::Accumulator);
        let float = program.push(PwInst::ToFloat(accumulator));
        let factor_ref = program.push(PwInst::Load(0));
        let x = program.push(PwInst::Binary(BinaryOp::Mul, float, factor_ref));
        let result = program.push(PwInst::Quantize { x, low: limits[0], high: limits[1] });
        program.stores.push((result, elem));
        let lanes = [LaneType::I32, LaneType::F32, LaneType::F32, LaneType::F32, LaneType::I32];
        leave_out_clamps(&mut program, &lanes, &[factor]);
        program.insts[4] == PwInst::Round(x)
    }

    #[test]
    fn clamps_go_where_the_store_saturates_and_the_value_fits() {
        let small = of_constants(&[-0.4, 0.01]);
        for (limits, elem, factor, expected) in [
            ([0, 255], ElemType::U8, small, true),
            ([-128, 127], ElemType::I8, small, true),
            ([0, 127], ElemType::I8, small, false),
            ([0, 255], ElemType::I8, small, false),
            ([0, 255], ElemType::I32, small, false),
            ([0, 255], ElemType::U8, of_constants(&[0.6]), false),
            ([0, 255], ElemType::U8, of_constants(&[0.1, f32::NAN]), false),
            ([0, 255], ElemType::U8, None, false),
        ] {
            assert_eq!(relaxed(limits, elem, factor), expected, "{limits:?} {elem} {factor:?}");
        }
    }
}
