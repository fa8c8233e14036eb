//! Clamps that a store makes superfluous.
//!
//! i32 lanes saturate when they are stored to a narrower type. A quantization whose range is that of the type needs no clamp of
//! its own then, provided that its operand is inside i32 before it is rounded:
//!
//! ```text
//! store_u8(rne(clamp(x, 0, 255)))  =  store_u8(rne(x))        if |x| < 2^31
//! ```
//!
//! Bounds on magnitudes show it: of accumulators and integers by their type, of constants by themselves, of the rest by
//! arithmetic. What has no bound, floats from memory for instance, keeps its clamps. A bounded value is no NaN.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::ir::{ElemType, Graph};

use super::expr::Load;
use super::pointwise::{LaneType, PointwiseProgram, PwInst, Ref};

/// Far enough inside i32 that the roundings of a chain of operations in f32 do not matter.
const LIMIT: f64 = 2147483648.0 * 0.99;
const INTEGER_LIMIT: f64 = 2147483648.0;

/// The program with [`PwInst::Round`] for every quantization that a store clamps as well.
pub fn without_superfluous_clamps(
    program: &PointwiseProgram,
    graph: &Graph,
    loads: &[Load],
    accumulator: LaneType,
) -> PointwiseProgram {
    let bounds = bounds(program, graph, loads, accumulator);
    let mut simpler = program.clone();
    for (index, inst) in simpler.insts.iter_mut().enumerate() {
        let result = Ref(index as u32);
        if let PwInst::Quantize { x, low, high } = *inst
            && bounds[x.0 as usize].is_some_and(|bound| bound < LIMIT)
            && is_only_stored_inside(program, result, low, high)
        {
            *inst = PwInst::Round(x);
        }
    }
    simpler
}

/// Nothing but stores uses the value, to types whose range is within `low ..= high`.
fn is_only_stored_inside(program: &PointwiseProgram, value: Ref, low: i32, high: i32) -> bool {
    let inside = |elem: ElemType| match elem {
        ElemType::U8 => low <= 0 && high >= 255,
        ElemType::I8 => low <= -128 && high >= 127,
        _ => false,
    };
    let stored = program.stores.iter().filter(|(stored, _)| *stored == value).all(|&(_, elem)| inside(elem));
    stored && !program.insts.iter().any(|inst| inst.operands().contains(&value))
}

/// For each instruction a number that its absolute value does not exceed, about; `None` if there is none, or it may be NaN.
fn bounds(program: &PointwiseProgram, graph: &Graph, loads: &[Load], accumulator: LaneType) -> Vec<Option<f64>> {
    let mut bounds: Vec<Option<f64>> = Vec::with_capacity(program.insts.len());
    for inst in &program.insts {
        let of = |r: Ref| bounds[r.0 as usize];
        let bound = match *inst {
            PwInst::Accumulator => (accumulator == LaneType::I32).then_some(INTEGER_LIMIT),
            PwInst::Load(index) => loads.get(index).and_then(|load| loaded(graph, load)),
            PwInst::ConstF32(x) => Some(f64::from(x).abs()),
            PwInst::ConstI32(x) => Some(f64::from(x).abs()),
            PwInst::ToFloat(x) => of(x),
            PwInst::Quantize { low, high, .. } => Some(f64::from(low).abs().max(f64::from(high).abs())),
            PwInst::Round(_) | PwInst::Truncate(_) => Some(INTEGER_LIMIT),
            PwInst::Unary(UnaryOp::Relu | UnaryOp::Abs | UnaryOp::Neg, x) => of(x),
            PwInst::Unary(UnaryOp::Sigmoid | UnaryOp::Tanh, x) => of(x).map(|_| 1.0),
            PwInst::Unary(..) => None,
            PwInst::Binary(op, x, y) => of(x).zip(of(y)).and_then(|bounds| combined(op, bounds)),
            PwInst::Select(_, x, y) => of(x).zip(of(y)).map(|(x, y)| x.max(y)),
        };
        bounds.push(bound.filter(|bound| bound.is_finite()));
    }
    bounds
}

fn combined(op: BinaryOp, (x, y): (f64, f64)) -> Option<f64> {
    match op {
        BinaryOp::Add | BinaryOp::Sub => Some(x + y),
        BinaryOp::Mul => Some(x * y),
        BinaryOp::Max | BinaryOp::Min => Some(x.max(y)),
        _ => None,
    }
}

fn loaded(graph: &Graph, load: &Load) -> Option<f64> {
    let elem = match load {
        Load::Table { values, .. } => {
            return values
                .iter()
                .map(|&value| f64::from(value).abs())
                .try_fold(0.0, |most: f64, value| value.is_finite().then(|| most.max(value)));
        }
        Load::Value(value) => graph.ty(*value).elem,
        Load::Word { .. } => ElemType::I32,
    };
    match elem {
        ElemType::Bool => Some(1.0),
        ElemType::U8 => Some(255.0),
        ElemType::I8 => Some(128.0),
        ElemType::I16 => Some(32768.0),
        ElemType::I32 => Some(INTEGER_LIMIT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `store(quantize(accumulator * factor))`: whether the quantization loses its clamps.
    fn is_simplified(factor: Load, accumulator: LaneType, (low, high): (i32, i32), elem: ElemType) -> bool {
        let mut program = PointwiseProgram::default();
        let sum = program.push(PwInst::Accumulator);
        let float = if accumulator == LaneType::I32 { program.push(PwInst::ToFloat(sum)) } else { sum };
        let by = program.push(PwInst::Load(0));
        let scaled = program.push(PwInst::Binary(BinaryOp::Mul, float, by));
        let result = program.push(PwInst::Quantize { x: scaled, low, high });
        program.stores.push((result, elem));
        let simpler = without_superfluous_clamps(&program, &Graph::new("f"), &[factor], accumulator);
        matches!(simpler.inst(result), PwInst::Round(_))
    }

    fn table(values: &[f32]) -> Load {
        Load::Table { sizes: vec![values.len()], values: values.to_vec() }
    }

    #[test]
    fn clamps_go_where_the_store_has_them_and_the_value_is_inside_i32() {
        let u8_range = (0, 255);
        let rows: [(&[f32], LaneType, (i32, i32), ElemType, bool); 9] = [
            (&[0.5, -0.9], LaneType::I32, u8_range, ElemType::U8, true),
            (&[0.5], LaneType::I32, (-128, 127), ElemType::I8, true),
            (&[0.5, 1.0], LaneType::I32, u8_range, ElemType::U8, false),
            (&[0.5, f32::INFINITY], LaneType::I32, u8_range, ElemType::U8, false),
            (&[0.5, f32::NAN], LaneType::I32, u8_range, ElemType::U8, false),
            (&[0.5], LaneType::F32, u8_range, ElemType::U8, false),
            (&[0.5], LaneType::I32, (0, 127), ElemType::U8, false),
            (&[0.5], LaneType::I32, (0, 127), ElemType::I8, false),
            (&[0.5], LaneType::I32, u8_range, ElemType::I32, false),
        ];
        for (values, accumulator, range, elem, expected) in rows {
            let got = is_simplified(table(values), accumulator, range, elem);
            assert_eq!(got, expected, "{values:?} {accumulator:?} {range:?} {elem}");
        }
    }

    #[test]
    fn a_quantization_that_is_read_as_well_keeps_its_clamps() {
        let mut program = PointwiseProgram::default();
        let x = program.push(PwInst::ConstF32(300.0));
        let q = program.push(PwInst::Quantize { x, low: 0, high: 255 });
        let back = program.push(PwInst::ToFloat(q));
        program.stores.extend([(q, ElemType::U8), (back, ElemType::F32)]);
        assert_eq!(without_superfluous_clamps(&program, &Graph::new("f"), &[], LaneType::I32), program);
    }
}
