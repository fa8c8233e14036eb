//! Bounds of what pointwise programs compute: a clamp that the store repeats is left out.
//!
//! Interval arithmetic from the accumulator and the loads on. An instruction without bounds may also be NaN or infinite.
//! Bounds are computed in f64 and leave out that f32 rounds: whoever asks keeps a margin.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::ir::{ElemType, Graph, Op, Value};

use super::plan::Anchor;
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

/// Bounds of what is stored, or of a constant.
pub fn of_value(graph: &Graph, value: Value) -> Bounds {
    let Some(tensor) = graph.const_value(value) else { return of_elem(graph.ty(value).elem) };
    match tensor.to_i64() {
        Some(integers) => Some([*integers.iter().min()? as f64, *integers.iter().max()? as f64]),
        None => of_constants(tensor.as_f32()?),
    }
}

/// Bounds of an integer accumulator as a tree sees it: so many products of two types, and what it starts with. None where it may
/// wrap.
pub fn of_accumulator(graph: &Graph, anchor: Anchor) -> Bounds {
    let dims = |index: usize| graph.ty(graph.operand(anchor.node, index)).shape.dims();
    let products: usize = match graph.op(anchor.node) {
        Op::Convolution(_) => dims(1)[1..].iter().product(),
        Op::Deconvolution(attrs) => dims(1)[0] / attrs.groups * dims(1)[2..].iter().product::<usize>(),
        Op::MatMul { transpose_a, .. } => dims(0).iter().nth_back(usize::from(*transpose_a)).copied()?,
        _ => return None,
    };
    let of = |index: usize| of_elem(graph.ty(graph.operand(anchor.node, index)).elem);
    let [low, high] = binary(BinaryOp::Mul, of(0)?, of(1)?)?.map(|product| product * products as f64);
    let sums = [low.min(0.0), high.max(0.0)];
    let start = anchor.init.map_or(Some([0.0; 2]), |init| of_value(graph, init));
    binary(BinaryOp::Add, sums, start?).filter(is_i32)
}

/// Bounds of what a program takes.
pub struct Inputs {
    pub accumulator: Bounds,
    pub loads: Vec<Bounds>,
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
/// `lanes` are those of the instructions, `inputs` the bounds of what they take.
pub fn leave_out_clamps(program: &mut PointwiseProgram, lanes: &[LaneType], inputs: &Inputs) {
    let bounds = bounds(program, lanes, inputs);
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

fn bounds(program: &PointwiseProgram, lanes: &[LaneType], inputs: &Inputs) -> Vec<Bounds> {
    let mut bounds: Vec<Bounds> = Vec::with_capacity(program.insts.len());
    for (inst, &lane) in program.insts.iter().zip(lanes) {
        let of = |r: Ref| bounds[r.0 as usize];
        let value = match *inst {
            PwInst::Accumulator => inputs.accumulator.or(of_lane(lane)),
            PwInst::Load(i) => inputs.loads[i],
            PwInst::ConstF32(value) => of_constants(&[value]),
            PwInst::ConstI32(value) => Some([f64::from(value); 2]),
            PwInst::ToFloat(x) | PwInst::Round(x) => of(x),
            PwInst::Quantize { low, high, .. } => Some([f64::from(low), f64::from(high)]),
            PwInst::Truncate(_) => I32,
            PwInst::Unary(op, x) => of(x).and_then(|x| unary(op, x)).or(of_lane(lane)),
            PwInst::Binary(op, ..) if op.is_comparison() => Some([0.0, 1.0]),
            PwInst::Binary(op, x, y) if lane == LaneType::I32 => {
                of(x).zip(of(y)).and_then(|(x, y)| binary(op, x, y)).filter(is_i32).or(I32)
            }
            PwInst::Binary(op, x, y) => of(x).zip(of(y)).and_then(|(x, y)| binary(op, x, y)),
            PwInst::Select(_, x, y) => of(x).zip(of(y)).map(|(x, y)| [x[0].min(y[0]), x[1].max(y[1])]),
        };
        bounds.push(value.filter(|limits| limits.iter().all(|limit| limit.abs() <= FINITE)));
    }
    bounds
}

/// Whether integers with these bounds have not wrapped.
fn is_i32(&[low, high]: &[f64; 2]) -> bool {
    low >= f64::from(i32::MIN) && high <= f64::from(i32::MAX)
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

    /// `(accumulator + 1) * load 0`, quantized to `limits` and stored as `elem`.
    fn relaxed(limits: [i32; 2], elem: ElemType, accumulator: Bounds, factor: Bounds) -> bool {
        let mut program = PointwiseProgram::default();
        let sum = program.push(PwInst::Accumulator);
        let one = program.push(PwInst::ConstI32(1));
        let sum = program.push(PwInst::Binary(BinaryOp::Add, sum, one));
        let float = program.push(PwInst::ToFloat(sum));
        let factor_ref = program.push(PwInst::Load(0));
        let x = program.push(PwInst::Binary(BinaryOp::Mul, float, factor_ref));
        let result = program.push(PwInst::Quantize { x, low: limits[0], high: limits[1] });
        program.stores.push((result, elem));
        let (i32, f32) = (LaneType::I32, LaneType::F32);
        let lanes = [i32, i32, i32, f32, f32, f32, i32];
        let inputs = Inputs { accumulator, loads: vec![factor] };
        leave_out_clamps(&mut program, &lanes, &inputs);
        program.insts[6] == PwInst::Round(x)
    }

    #[test]
    fn clamps_go_where_the_store_saturates_and_the_value_fits() {
        let small = of_constants(&[-0.4, 0.01]);
        let sums = Some([-1e6, 1e6]);
        for (limits, elem, accumulator, factor, expected) in [
            ([0, 255], ElemType::U8, None, small, true),
            ([-128, 127], ElemType::I8, None, small, true),
            ([0, 127], ElemType::I8, None, small, false),
            ([0, 255], ElemType::I8, None, small, false),
            ([0, 255], ElemType::I32, None, small, false),
            ([0, 255], ElemType::U8, None, of_constants(&[0.6]), false),
            ([0, 255], ElemType::U8, sums, of_constants(&[1000.0]), true),
            ([0, 255], ElemType::U8, Some([-1e6, 2147483647.0]), of_constants(&[0.6]), false),
            ([0, 255], ElemType::U8, sums, of_constants(&[2000.0]), false),
            ([0, 255], ElemType::U8, None, of_constants(&[0.1, f32::NAN]), false),
            ([0, 255], ElemType::U8, None, None, false),
        ] {
            let found = relaxed(limits, elem, accumulator, factor);
            assert_eq!(found, expected, "{limits:?} {elem} {accumulator:?} {factor:?}");
        }
    }
}
