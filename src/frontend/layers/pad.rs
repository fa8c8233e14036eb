//! Pad.

use crate::ir::op::{PadAttrs, PadMode};
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault};

pub fn pad(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let modes = [
        ("constant", PadMode::Constant),
        ("edge", PadMode::Edge),
        ("reflect", PadMode::Reflect),
        ("symmetric", PadMode::Symmetric),
    ];
    let mode = context.choice("pad_mode", "constant", &modes)?;
    let begin = amounts(context, 1, "pads_begin")?;
    let end = amounts(context, 2, "pads_end")?;
    let value = if mode == PadMode::Constant && context.has(3) { context.float(3, "the pad value")? } else { 0.0 };
    Ok(vec![context.emit(Op::Pad(PadAttrs { mode, begin, end, value }), &[x])?])
}

fn amounts(context: &mut Context, index: usize, what: &str) -> Fallible<Vec<isize>> {
    let values = context.ints(index, what)?;
    let amounts = values.iter().map(|&value| isize::try_from(value));
    amounts.collect::<Result<_, _>>().map_err(|_| Fault::new(format!("{what} {values:?} is out of range")))
}
