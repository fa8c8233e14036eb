//! Pointwise programs of one byte as tables of 256 results.
//!
//! Every instruction gives what `interp` gives: functions are rounded correctly from f64, where a kernel may be a few units in
//! the last place away. So a result differs from the kernel's only where that distance crosses the middle between two steps
//! of the result, and then the table is the one that is right.

use crate::interp::eval_op;
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Op, Shape, Tensor, TensorType};

use super::expr::{Load, Tree};
use super::pointwise::{Epilogue, Inner, PwInst, Ref};

/// Results of all bytes, in the order of their bits.
pub type Table = [u8; 256];

/// Instructions on a vector of 32-bit lanes above which a lookup is shorter. It takes 48 for a vector of bytes, four times as
/// many elements.
const WORTH: u64 = 14;

/// The table of a tree that reads one tensor of bytes and stores bytes, where that is worth it. `epilogue` says where they lie.
pub fn of(tree: &Tree, epilogue: &Epilogue) -> Option<Table> {
    let ([Load::Value(_)], [load], [store]) = (&tree.loads[..], &epilogue.loads[..], &epilogue.stores[..]) else {
        return None;
    };
    let is_byte = |elem: ElemType| matches!(elem, ElemType::U8 | ElemType::I8);
    let contiguous = load.inner == Inner::Contiguous && store.inner == Inner::Contiguous;
    let long = tree.program.length() > WORTH;
    if !contiguous || !long || !is_byte(load.elem) || !is_byte(store.elem) {
        return None;
    }
    let source = Lanes::I(every_byte(load.elem));
    let mut values: Vec<Lanes> = Vec::with_capacity(tree.program.insts.len());
    for inst in &tree.program.insts {
        values.push(value(inst, &values, &source)?);
    }
    let (result, elem) = tree.program.stores.first()?;
    let Lanes::I(result) = &values[result.0 as usize] else { return None };
    let byte = |&x: &i32| match elem {
        ElemType::I8 => x.clamp(-128, 127) as u8,
        _ => x.clamp(0, 255) as u8,
    };
    result.iter().map(byte).collect::<Vec<u8>>().try_into().ok()
}

/// What an instruction gives for every byte.
#[derive(Clone)]
enum Lanes {
    F(Vec<f32>),
    I(Vec<i32>),
}

impl Lanes {
    fn floats(&self) -> Option<&[f32]> {
        if let Lanes::F(values) = self { Some(values) } else { None }
    }

    fn ints(&self) -> Option<&[i32]> {
        if let Lanes::I(values) = self { Some(values) } else { None }
    }
}

fn every_byte(elem: ElemType) -> Vec<i32> {
    (0..=255u8).map(|byte| if elem == ElemType::I8 { byte.cast_signed().into() } else { byte.into() }).collect()
}

fn value(inst: &PwInst, values: &[Lanes], source: &Lanes) -> Option<Lanes> {
    let of = |r: Ref| &values[r.0 as usize];
    let to_ints = |x: Ref, f: &dyn Fn(f32) -> i32| Some(Lanes::I(of(x).floats()?.iter().map(|&x| f(x)).collect()));
    match *inst {
        PwInst::Accumulator => None,
        PwInst::Load(_) => Some(source.clone()),
        PwInst::ConstF32(x) => Some(Lanes::F(vec![x; 256])),
        PwInst::ConstI32(x) => Some(Lanes::I(vec![x; 256])),
        PwInst::ToFloat(x) => Some(Lanes::F(of(x).ints()?.iter().map(|&x| x as f32).collect())),
        PwInst::Quantize { x, low, high } => to_ints(x, &|x| match x.is_nan() {
            true => low,
            false => (x.round_ties_even() as i32).clamp(low, high),
        }),
        PwInst::Round(x) => to_ints(x, &|x| x.round_ties_even() as i32),
        PwInst::Truncate(x) => to_ints(x, &|x| x as i32),
        PwInst::Unary(op, x) => floats(&Op::Unary(op), op.is_predicate(), &[of(x)]),
        PwInst::Binary(op, x, y) => floats(&Op::Binary(op), op.is_comparison(), &[of(x), of(y)]),
        PwInst::Select(condition, x, y) => match (of(condition).ints()?, of(x), of(y)) {
            (condition, Lanes::F(x), Lanes::F(y)) => Some(Lanes::F(select(condition, x, y))),
            (condition, Lanes::I(x), Lanes::I(y)) => Some(Lanes::I(select(condition, x, y))),
            _ => None,
        },
    }
}

/// `interp`'s answer for operands of floats.
fn floats(op: &Op, is_condition: bool, operands: &[&Lanes]) -> Option<Lanes> {
    let ty = |elem: ElemType| Some(TensorType::new(elem, Shape::new([256])?));
    let mut tensors = Vec::with_capacity(operands.len());
    for operand in operands {
        tensors.push(Tensor::new(ty(ElemType::F32)?, Data::F32(operand.floats()?.to_vec())));
    }
    let result = ty(if is_condition { ElemType::Bool } else { ElemType::F32 })?;
    let results = eval_op(op, &tensors.iter().collect::<Vec<_>>(), &[result]).ok()?;
    match results.first()? {
        tensor if is_condition => Some(Lanes::I(tensor.to_i64()?.iter().map(|&x| x as i32).collect())),
        tensor => Some(Lanes::F(tensor.as_f32()?.to_vec())),
    }
}

fn select<T: Copy>(condition: &[i32], x: &[T], y: &[T]) -> Vec<T> {
    condition.iter().zip(x.iter().zip(y)).map(|(&condition, (&x, &y))| if condition != 0 { x } else { y }).collect()
}
